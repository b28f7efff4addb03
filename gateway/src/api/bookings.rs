//! Bookings, for the party that receives: whom one is of; and for it and whoever proposed: cancelled, moved.
//!
//! Only a consent that counts now leads from a reference to a person; everything else is the same 404.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::consents::acknowledged;
use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::booking::{self, Reference};
use crate::consent::people::{parse_instant, rfc3339};
use crate::ids::TextId;
use crate::request::authenticate::Caller;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancelled {
    /// With whom the visit was booked; without it the caller.
    recipient: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    recipient: Option<String>,
    visit_at: String,
}

/// One that can't be a reference is one that nobody has.
fn reference(text: &str) -> Result<Reference, Problem> {
    Reference::parse(text).ok_or_else(Problem::not_found)
}

pub(super) async fn one(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let party = call.machine()?;
    let found = booking::find(call.app, &party.code, &reference(id)?).await?;
    Ok(Answer::ok(&json!({
        "patient": found.patient.text(),
        "visit_at": rfc3339(found.visit),
        "consent": found.consent.text(),
    })))
}

/// A party's machine, or the party with its user signed in.
fn by(caller: &Caller) -> Result<booking::Caller<'_>, Problem> {
    let party = caller.party.as_ref().ok_or_else(Problem::party_needed)?;
    Ok(booking::Caller { party: &party.code, person: caller.person })
}

pub(super) async fn cancelled(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let by = by(&caller)?;
    let said: Cancelled = if call.body.is_empty() { Cancelled::default() } else { call.json()? };
    let recipient = said.recipient.as_deref().unwrap_or(by.party);
    let ended = booking::cancel(call.app, by, recipient, &reference(id)?).await?;
    let asked = [recipient.to_owned()];
    let receipts = ended.iter().map(|(id, narrowed)| acknowledged(call, "revoked", id.text(), narrowed, &asked));
    Ok(Answer::ok(&json!({"ended": receipts.collect::<Vec<Value>>()})))
}

pub(super) async fn moved(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let by = by(&caller)?;
    let said: Moved = call.json()?;
    let visit =
        parse_instant(&said.visit_at).ok_or_else(|| Problem::field("visit_at", "must be an RFC 3339 instant"))?;
    let recipient = said.recipient.as_deref().unwrap_or(by.party);
    let moved = booking::reschedule(call.app, by, recipient, &reference(id)?, visit).await?;
    let items = moved.iter().map(|one| {
        json!({
            "consent": one.consent.text(),
            "visit_at": rfc3339(one.visit),
            "until": rfc3339(one.until),
            "new_consent_needed": one.anew,
        })
    });
    Ok(Answer::json(StatusCode::OK, &json!({"moved": items.collect::<Vec<Value>>()})))
}
