//! 同意の管理: every consent about the people one decides about, and one of them with the text that was agreed to.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId};

use super::page::{Answer, Frame, Trouble};
use super::view::{self, ConsentView, ErasureView, Words};
use super::visit::Visit;
use crate::consent::give;
use crate::consent::record::{ConsentRecord, is_for};
use crate::ids::TextId;
use crate::notify::is_older;
use crate::sabotage::{self, Check};
use crate::store::Dossier;
use crate::store::state::{Agreement, Global};

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
    /// The text that was agreed to; none where it is from before texts were kept.
    words: Option<Words>,
    /// Whether another is in force since.
    newer: bool,
    /// The request to erase, and what came of it.
    erasure: Option<ErasureView>,
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

/// Whose a consent is, and what it is about. Of an id that nobody has, the same work is done on nobody's records and some
/// category: the time must not tell.
async fn looked_up(visit: &Visit, id: ConsentId) -> Result<(PersonId, Dossier, Arc<Global>, Vec<String>), Trouble> {
    let store = &visit.app.store;
    let subject = store.person_of_consent(id)?.unwrap_or(store.nobody());
    let (dossier, global) = (store.dossier(subject).await?, store.registry().await?);
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id);
    let some = || global.text.categories.iter().take(1).map(|c| c.version.clone()).collect();
    let categories = agreement.map_or_else(some, |a| a.terms.categories.clone());
    Ok((subject, dossier, global, categories))
}

/// One, if this person may see it.
///
/// # Errors
/// When there is none such for this person.
pub async fn find(visit: &Visit, id: &str) -> Result<(ConsentId, ConsentView, Agreement), Trouble> {
    let person = visit.person().await?;
    let id = ConsentId::parse(id).map_err(|_| Trouble::not_found())?;
    let store = &visit.app.store;
    let (subject, dossier, global, categories) = looked_up(visit, id).await?;
    let decides = give::may_decide_on(&dossier.subject, &global, person, &categories, visit.now);
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id);
    let agreement = agreement.filter(|_| decides || sabotage::off(Check::PageOf)).ok_or(Trouble::not_found())?;
    let used = store.uses(subject)?;
    let shown = view::consent(visit, person, &dossier, &global, agreement, &used).ok_or(Trouble::not_found())?;
    Ok((id, shown, agreement.clone()))
}

/// One of them.
pub async fn one(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let (_, consent, agreement) = find(visit, id).await?;
    let hash = agreement.terms.text_hash.0;
    let global = visit.app.store.registry().await?;
    let words = global.texts.get(&hash).map(|text| Words::of(visit.lang, text));
    let newer = consent.active && is_older(&visit.app, &agreement);
    let erasure = agreement.erasure.as_ref().map(|request| view::erasure(visit, request));
    let hash = data_encoding::HEXLOWER.encode(&hash);
    let record = signed_record(visit, id).await.is_ok();
    Ok(Answer::page(StatusCode::OK, &One { f: visit.frame(), consent, hash, words, newer, erasure, record }))
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
    // Of an id that nobody has, the same work is done on nobody's records.
    let (_, dossier, global, categories) = looked_up(visit, id).await?;
    let decides = give::may_decide_on(&dossier.subject, &global, person, &categories, visit.now);
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id).ok_or(Trouble::not_found())?;
    if !is_for(person, &dossier.subject, agreement, decides) && !sabotage::off(Check::RecordFor) {
        return Err(Trouble::not_found());
    }
    let record = ConsentRecord::of(&visit.app.config, &global, &dossier.subject, agreement, visit.now);
    record.and_then(|record| record.sign(store.ledger_key())).ok_or(Trouble::not_now())
}
