//! Requests to erase (消去のお願い), for the party that received: which are not answered, and answering one.
//!
//! For a machine of the party: nobody's sign-in is needed, and no user of an app can answer for the organisation.

use sekisho_policy::{ConsentId, PersonId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::erase_request;
use crate::consent::people::rfc3339;
use crate::ids::TextId;
use crate::request::authenticate::KnownParty;

/// Requests on one page.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    answer: String,
    law: Option<String>,
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let party = call.machine()?;
    let wrong = |_| Problem::field("after", "must be the `next` of the page before");
    let after = call.parameter("after").map(ConsentId::parse).transpose().map_err(wrong)?;
    let found = call.app.store.erasures(party.id, after, PAGE)?;
    let next = found.last().filter(|_| found.len() == PAGE).map(|(id, _)| id.text());
    let mut items = Vec::with_capacity(found.len());
    for (consent, subject) in found {
        items.extend(view(call, &party, consent, subject).await?);
    }
    Ok(Answer::ok(&json!({"items": items, "next": next})))
}

async fn view(
    call: &Call<'_>,
    party: &KnownParty,
    consent: ConsentId,
    subject: PersonId,
) -> Result<Option<Value>, Problem> {
    let dossier = call.app.store.dossier(subject).await?;
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == consent);
    Ok(agreement.zip(agreement.and_then(|a| a.erasure.as_ref())).map(|(agreement, request)| {
        json!({
            "consent": consent.text(),
            // None once the ids were retired: the party knows nobody by an id of ours then.
            "patient": dossier.subject.pairwise_at(&party.code).map(|known| known.id.text()),
            "purpose": agreement.terms.purpose,
            "categories": agreement.terms.categories,
            "asked_at": rfc3339(request.asked),
        })
    }))
}

pub(super) async fn answer(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let party = call.machine()?;
    let id = ConsentId::parse(id).map_err(|_| Problem::not_found())?;
    let said: Answered = call.json()?;
    let answer = erase_request::parse(&said.answer, said.law.as_deref())?;
    erase_request::answer(call.app, party.id, id, &answer).await?;
    Ok(Answer::ok(&json!({"consent": id.text(), "answer": answer.code(), "law": answer.law()})))
}
