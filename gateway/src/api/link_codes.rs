//! A one-time code by which an app's user links the id under which the app knows them (`/my/links`).

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::codes;
use crate::consent::give::GiveError;
use crate::consent::people::rfc3339;

/// Scope of a token that may have codes.
pub(super) const SCOPE: &str = "link/code";
/// Letters of an id, at most.
const ID_MAX: usize = 200;
/// Codes that one party has in an hour, at most: each is an entry of the ledger.
const AN_HOUR: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The id under which the party knows its user.
    id: String,
}

/// A fresh one each time: what an earlier one was, nobody can tell any more.
pub(super) async fn issue(call: &Call<'_>) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let Some(party) = &caller.party else { return Err(Problem::party_needed()) };
    if !caller.claims.has_scope(SCOPE) {
        return Err(Problem::scope(SCOPE));
    }
    let wanted: Wanted = call.json()?;
    let id = wanted.id.as_str();
    if id.trim().is_empty() || id.chars().count() > ID_MAX || id.chars().any(char::is_control) {
        return Err(Problem::field("id", "must be 1 to 200 letters"));
    }
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    if !call.app.web.sessions.tries.may(["codes issued", &party.code], AN_HOUR, now) {
        return Err(GiveError::TooMany("codes in this hour").into());
    }
    let issued = codes::issue_link(call.app, &party.code, id).await?;
    let body = json!({"code": issued.code.shown(), "until": rfc3339(issued.until)});
    Ok(Answer::json(StatusCode::CREATED, &body))
}
