//! Deliveries: a person's app asks for one under a consent, and sees what became of it.

use http::StatusCode;
use sekisho_policy::{ConsentId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::consents::consent_id;
use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::give::{self, GiveError};
use crate::consent::people::{parse_instant, rfc3339};
use crate::consent::receipt::Receipt;
use crate::forward::{self, Asking, State};
use crate::ids::{ForwardId, TextId};
use crate::ledger::event::{Event, ForwardEnd};
use crate::request::authenticate::KnownParty;
use crate::sabotage::{self, Check};
use crate::store::state::Forward;
use crate::store::{Dossier, StoreError};

/// Scope of a token that may have something delivered.
const SCOPE: &str = "summary/forward";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Until when it is of use: the visit.
    by: Option<String>,
}

pub(super) async fn ask(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (party, person) = app_and_person(call)?;
    let consent = consent_id(id)?;
    let caller = call.caller().await?;
    let idempotency = call.idempotency(&caller, &format!("POST /v1/consents/{id}/deliveries"))?;
    if let Some((Event::ForwardAsked(before), _)) = call.earlier(idempotency)? {
        return created(call, consent, ForwardId::of(before.forward.0)).await;
    }
    let wanted: Wanted = if call.body.is_empty() { Wanted::default() } else { call.json()? };
    let instant = |text: &str| parse_instant(text).ok_or_else(|| Problem::field("by", "must be an RFC 3339 instant"));
    let by = wanted.by.as_deref().map(instant).transpose()?;
    let asking = Asking { app: &party.code, person, consent, by, idempotency };
    let forward = match forward::ask(call.app, &asking).await {
        // The same request came twice at once, and the other was first.
        Err(GiveError::Store(StoreError::Repeated)) => match call.earlier(idempotency)? {
            Some((Event::ForwardAsked(before), _)) => ForwardId::of(before.forward.0),
            _ => return Err(Problem::not_now()),
        },
        other => other?,
    };
    created(call, consent, forward).await
}

/// A registered party whose user is signed in, with a token that may have something delivered.
fn app_and_person(call: &Call<'_>) -> Result<(KnownParty, sekisho_policy::PersonId), Problem> {
    let caller = call.caller.as_ref().ok_or_else(Problem::unauthenticated)?;
    let (Some(party), Some(person)) = (&caller.party, caller.person) else { return Err(Problem::party_needed()) };
    if !caller.claims.has_scope(SCOPE) {
        return Err(Problem::scope(SCOPE));
    }
    Ok((party.clone(), person))
}

async fn created(call: &Call<'_>, consent: ConsentId, forward: ForwardId) -> Result<Answer, Problem> {
    let (dossier, now) = looked_up(call, consent).await?;
    let found = dossier.papers.forwards.iter().find(|f| f.id == forward).ok_or_else(Problem::not_found)?;
    Ok(Answer::json(StatusCode::ACCEPTED, &view(call, &dossier, found, now)))
}

/// The deliveries under a consent that this app asked for, the newest first.
pub(super) async fn list(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (party, person) = app_and_person(call)?;
    let consent = consent_id(id)?;
    let (dossier, now) = looked_up(call, consent).await?;
    let global = call.app.store.registry().await?;
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == consent).ok_or_else(Problem::not_found)?;
    let decides = give::may_decide_on(&dossier.subject, &global, person, &agreement.terms.categories, now);
    let hidden = give::is_hidden_from_party(&dossier.subject, party.id, now);
    if (!decides || hidden) && !sabotage::off(Check::ShownTo) {
        return Err(Problem::not_found());
    }
    let theirs = |f: &&Forward| f.consent == consent && f.asked_by == *party.code;
    let items: Vec<Value> =
        dossier.papers.forwards.iter().rev().filter(theirs).map(|f| view(call, &dossier, f, now)).collect();
    Ok(Answer::ok(&json!({"consent": consent.text(), "items": items})))
}

async fn looked_up(call: &Call<'_>, consent: ConsentId) -> Result<(Dossier, Timestamp), Problem> {
    let store = &call.app.store;
    let subject = store.person_of_consent(consent)?.ok_or_else(Problem::not_found)?;
    let now = store.clock().now().map_err(StoreError::from)?;
    Ok((store.dossier(subject).await?, now))
}

fn view(call: &Call<'_>, dossier: &Dossier, forward: &Forward, now: Timestamp) -> Value {
    let state = State::of(dossier, forward, now);
    let waiting = call.app.outbox.waiting(forward.id).filter(|_| state == State::Queued);
    let ended = forward.ended.as_ref();
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == forward.consent);
    json!({
        "id": forward.id.text(),
        "consent": forward.consent.text(),
        "state": state.code(),
        "asked_at": rfc3339(forward.at),
        "by": agreement.map(|agreement| rfc3339(forward::last_time(forward, agreement))),
        "attempts": ended.map_or_else(|| waiting.map_or(0, |w| w.attempts), |e| e.attempts),
        "next_try": waiting.map(|w| rfc3339(w.next)),
        "ended_at": ended.map(|e| rfc3339(e.entry.at)),
        "digest": ended.and_then(|e| e.digest).map(|digest| data_encoding::HEXLOWER.encode(&digest)),
        "receipt": receipt(call, forward),
    })
}

/// The recipient's word that it has it, as the ledger holds it, signed.
fn receipt(call: &Call<'_>, forward: &Forward) -> Option<String> {
    let ended = forward.ended.as_ref().filter(|ended| ended.end == ForwardEnd::Delivered)?;
    let receipt = Receipt::new(&call.app.config.server.url, "delivered", &ended.entry, forward.id.text(), 0);
    receipt.sign(call.app.store.ledger_key())
}
