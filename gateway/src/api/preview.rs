//! What a party that proposed may see of it before anybody has agreed: what it holds itself. `request::held` decides, asks and
//! releases.

use serde_json::Value;

use super::consents::{PROPOSE_SCOPE, consent_id};
use super::problem::Problem;
use super::{Answer, Call};
use crate::request::held::{self, NotShown, Sought};

pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let (Some(party), Some(person)) = (&caller.party, caller.person) else { return Err(Problem::party_needed()) };
    if !caller.claims.has_scope(PROPOSE_SCOPE) {
        return Err(Problem::scope(PROPOSE_SCOPE));
    }
    let patient = call.parameter("patient").filter(|text| !text.is_empty());
    let patient = patient.ok_or_else(|| Problem::field("patient", "must be an id that was given to this party"))?;
    let (consent, store) = (consent_id(id)?, &call.app.store);
    // It waits for the very person who is signed in; to everybody else it is not there.
    if store.person_of_consent(consent)? != Some(person) {
        return Err(Problem::not_found());
    }
    let dossier = store.dossier(person).await?;
    let waits = dossier.papers.proposals.iter().find(|p| p.consent == consent && *p.proposed_by == *party.code);
    let proposal = waits.filter(|proposal| !proposal.declined).ok_or_else(Problem::not_found)?;
    // A text of ours: what was sent stands in it in its normal form only.
    let named: String = form_urlencoded::byte_serialize(patient.as_bytes()).collect();
    let link = format!("{}/v1/consents/{id}/preview?patient={named}", call.app.config.server.url);
    let sought = Sought { terms: &proposal.terms, patient, link: &link };
    let shown = held::show(call.app, call.connection, (&caller, party), &sought).await.map_err(|why| match why {
        NotShown::TooMany => Problem::throttled(),
        NotShown::NotNow => Problem::not_now(),
    })?;
    let mut answer = Answer::ok(&Value::Null);
    answer.content_type = "application/fhir+json; charset=utf-8";
    (answer.body, answer.handle) = (shown.body, shown.release);
    Ok(answer)
}
