//! 同意の管理: every consent about the people one decides about, and one of them with the text that was agreed to.

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use sekisho_policy::ConsentId;

use super::page::{Answer, Frame, Trouble};
use super::view::{self, ConsentView};
use super::visit::Visit;
use crate::consent::give;
use crate::consent::record::{ConsentRecord, is_for};
use crate::ids::TextId;
use crate::sabotage::{self, Check};

#[derive(Template)]
#[template(path = "consents.html")]
struct List {
    f: Frame,
    active: Vec<ConsentView>,
    over: Vec<ConsentView>,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct One {
    f: Frame,
    consent: ConsentView,
    hash: String,
    /// The text, if it is the one that is in force now; else only its hash is kept here.
    text: Option<String>,
    /// Whether this person may keep a signed record of it.
    record: bool,
}

/// All of them.
pub async fn list(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let mut all = Vec::new();
    for subject in visit.decided_by(person).await? {
        all.extend(view::consents(visit, person, subject).await?);
    }
    let (active, over) = all.into_iter().partition(|consent| consent.active);
    Ok(Answer::page(StatusCode::OK, &List { f: visit.frame(), active, over }))
}

/// One, if this person may see it.
///
/// # Errors
/// When there is none such for this person.
pub async fn find(visit: &Visit, id: &str) -> Result<(ConsentId, ConsentView, [u8; 32], String), Trouble> {
    let person = visit.person().await?;
    let id = ConsentId::parse(id).map_err(|_| Trouble::not_found())?;
    let store = &visit.app.store;
    let subject = store.person_of_consent(id)?.ok_or(Trouble::not_found())?;
    let (dossier, global) = (store.dossier(subject).await?, store.registry().await?);
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id).ok_or(Trouble::not_found())?;
    let granted = dossier.subject.records.consents.iter().any(|c| c.id == id && c.grantor == person);
    if !granted && !give::may_decide_on(&dossier.subject, &global, person, &agreement.terms.categories, visit.now) {
        return Err(Trouble::not_found());
    }
    let shown = view::consent(visit, person, &dossier, &global, agreement, &[]).ok_or(Trouble::not_found())?;
    Ok((id, shown, agreement.terms.text_hash.0, agreement.terms.purpose.clone()))
}

/// One of them.
pub async fn one(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let (_, consent, hash, purpose) = find(visit, id).await?;
    let text = visit.app.config.texts.get(&purpose).filter(|text| text.hash == hash);
    let text = text.map(|text| visit.t(&text.ja, &text.en).to_owned());
    let hash = data_encoding::HEXLOWER.encode(&hash);
    let record = signed_record(visit, id).await.is_ok();
    Ok(Answer::page(StatusCode::OK, &One { f: visit.frame(), consent, hash, text, record }))
}

/// A consent as a signed record to keep, for the subject and for whoever gave it.
pub async fn record(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let signed = signed_record(visit, id).await?;
    Ok(Answer::of(StatusCode::OK, "application/jose", Bytes::from(signed)).to_keep("consent-receipt.jws"))
}

async fn signed_record(visit: &Visit, id: &str) -> Result<String, Trouble> {
    let person = visit.person().await?;
    let id = ConsentId::parse(id).map_err(|_| Trouble::not_found())?;
    let store = &visit.app.store;
    let subject = store.person_of_consent(id)?.ok_or(Trouble::not_found())?;
    let (dossier, global) = (store.dossier(subject).await?, store.registry().await?);
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id).ok_or(Trouble::not_found())?;
    let decides = give::may_decide_on(&dossier.subject, &global, person, &agreement.terms.categories, visit.now);
    if !is_for(person, &dossier.subject, agreement, decides) && !sabotage::off(Check::RecordFor) {
        return Err(Trouble::not_found());
    }
    let record = ConsentRecord::of(&visit.app.config, &global.text, &dossier.subject, agreement, visit.now);
    record.and_then(|record| record.sign(store.ledger_key())).ok_or(Trouble::not_now())
}
