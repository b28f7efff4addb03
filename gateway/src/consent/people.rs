//! People: enrolment, blocks, legal bases, standings; links are in `links`.
//!
//! These are officials' acts, with evidence and who checked it; they come over the operators' socket. What narrows goes
//! through the barrier before it is acknowledged.

use jiff::civil::Date;
use sekisho_policy::{BasisId, BlockId, PersonId, Timestamp};
use serde::Deserialize;

use super::barrier::BarrierError;
use crate::app::App;
use crate::ids::{TextId, random};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{
    BasisEnded, BasisRecorded, BlockEnded, BlockSet, BlockedFrom, Enrolled, Event, PairwiseMinted, StandingChanged,
};
use crate::sabotage::{self, Check};
use crate::store::{Appended, Draft, Store, StoreError};

/// Why an act could not be recorded. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Recorded, but not acknowledged: try again.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// A field is not what it should be.
    #[error("`{field}` {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It contradicts what is recorded.
    #[error("{0}")]
    Conflict(&'static str),
    /// There is no such thing.
    #[error("there is no such {0}")]
    Unknown(&'static str),
}

pub(super) const fn field(field: &'static str, why: &'static str) -> ActError {
    ActError::Field { field, why }
}

/// RFC 3339, UTC, with milliseconds.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

/// Parses an RFC 3339 instant.
#[must_use]
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|t| Timestamp::from_millis(t.as_millisecond()))
}

/// A person to enrol, after an identity check.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// Date of birth.
    pub birth: String,
    /// Evidence that was seen.
    pub evidence: String,
    /// Who checked it.
    pub verified_by: String,
}

pub(super) fn draft(events: impl IntoIterator<Item = Event>, cause: Cause) -> Draft {
    Draft { events: events.into_iter().collect(), cause: Some(cause), ..Draft::default() }
}

fn enrolled(person: PersonId, new: &NewPerson) -> Result<Event, ActError> {
    new.birth.parse::<Date>().map_err(|_| field("birth", "must be a date such as 2021-04-05"))?;
    Ok(Event::Enrolled(Enrolled {
        person: Bytes16(*person.bytes()),
        birth: new.birth.clone(),
        evidence: new.evidence.clone(),
        verified_by: new.verified_by.clone(),
    }))
}

/// Enrols people; their keys are made in one durable step.
///
/// # Errors
/// When a birth date isn't one, or the store fails.
pub async fn enrol(store: &Store, people: &[NewPerson], cause: Cause) -> Result<Vec<PersonId>, ActError> {
    let ids: Vec<PersonId> = people.iter().map(|_| PersonId::mint()).collect();
    for (id, person) in ids.iter().zip(people) {
        enrolled(*id, person)?;
    }
    store.make_keys(ids.clone()).await?;
    for (id, person) in ids.iter().zip(people) {
        store.update(*id, |_, _, _| Ok::<_, ActError>(((), draft([enrolled(*id, person)?], cause)))).await?;
    }
    Ok(ids)
}

pub(super) fn instant(text: &str, name: &'static str) -> Result<i64, ActError> {
    let at = parse_instant(text).ok_or(field(name, "must be an instant such as 2026-04-01T00:00:00+09:00"))?;
    Ok(at.millis())
}

/// Sets a protective block from now on.
///
/// # Errors
/// When the store fails.
pub async fn block(
    app: &App,
    subject: PersonId,
    target: BlockedFrom,
    evidence: &str,
    cause: Cause,
) -> Result<(BlockId, u32), ActError> {
    let id = BlockId::mint();
    match &target {
        // A misspelt target would be a block that blocks nobody.
        BlockedFrom::Party(code) if app.store.registry().await?.text.party(code).is_none() => {
            return Err(ActError::Unknown("party"));
        }
        BlockedFrom::Person(person) if !app.store.snapshot(PersonId::of(person.0)).await?.subject.enrolled => {
            return Err(ActError::Unknown("person to be blocked"));
        }
        _ => {}
    }
    app.store
        .update(subject, |dossier, _, now| {
            if !dossier.subject.enrolled {
                return Err(ActError::Unknown("person"));
            }
            let set = BlockSet {
                block: Bytes16(*id.bytes()),
                subject: Bytes16(*subject.bytes()),
                target: target.clone(),
                from_ms: now.millis(),
                until_ms: None,
                evidence: evidence.to_owned(),
            };
            Ok(((), draft([Event::BlockSet(set)], cause)))
        })
        .await?;
    Ok((id, app.barrier.after_person(subject).await?))
}

/// Ends a block now.
///
/// # Errors
/// When there is no such block, or the store fails.
pub async fn end_block(app: &App, subject: PersonId, block: BlockId, cause: Cause) -> Result<(), ActError> {
    app.store
        .update(subject, |dossier, _, now| {
            if !dossier.subject.records.blocks.iter().any(|b| b.id == block) {
                return Err(ActError::Unknown("block"));
            }
            let ended = BlockEnded { block: Bytes16(*block.bytes()), at_ms: now.millis() };
            Ok(((), draft([Event::BlockEnded(ended)], cause)))
        })
        .await
        .map(|_| ())
}

/// A legal basis to record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBasis {
    /// The receiving party's code.
    pub recipient: String,
    /// The purpose's code.
    pub purpose: String,
    /// Category versions.
    pub categories: Vec<String>,
    /// From, RFC 3339.
    pub from: String,
    /// Until, RFC 3339.
    pub until: String,
    /// Article of the law.
    pub article: String,
    /// Who asked.
    pub requester: String,
    /// The professional or official who decided.
    pub decided_by: String,
    /// Why.
    pub reason: String,
}

/// Records a legal basis. It needs a named person's decision, an article and a reason.
///
/// # Errors
/// When a field is empty or not registered, or the store fails.
pub async fn record_basis(app: &App, subject: PersonId, new: &NewBasis, cause: Cause) -> Result<BasisId, ActError> {
    let id = BasisId::mint();
    for (name, text) in [("article", &new.article), ("decided_by", &new.decided_by), ("reason", &new.reason)] {
        if text.trim().is_empty() && !sabotage::off(Check::BasisReason) {
            return Err(field(name, "must not be empty"));
        }
    }
    let registry = &app.store.registry().await?.text;
    if registry.party(&new.recipient).is_none() {
        return Err(field("recipient", "is not a registered party"));
    }
    if registry.purpose(&new.purpose).is_none() {
        return Err(field("purpose", "is not registered"));
    }
    let known = |c: &String| crate::store::state::category_version(c).is_some_and(|v| registry.category(v).is_some());
    if new.categories.is_empty() || !new.categories.iter().all(known) {
        return Err(field("categories", "must be registered category versions"));
    }
    let (from_ms, until_ms) = (instant(&new.from, "from")?, instant(&new.until, "until")?);
    if until_ms <= from_ms {
        return Err(field("until", "must be after `from`"));
    }
    let event = BasisRecorded {
        basis: Bytes16(*id.bytes()),
        subject: Bytes16(*subject.bytes()),
        recipient: new.recipient.clone(),
        purpose: new.purpose.clone(),
        categories: new.categories.clone(),
        from_ms,
        until_ms,
        article: new.article.clone(),
        requester: new.requester.clone(),
        decided_by: new.decided_by.clone(),
        reason: new.reason.clone(),
    };
    record(app, subject, Event::BasisRecorded(event), cause).await?;
    mint_pairwise(&app.store, subject, &new.recipient).await?;
    Ok(id)
}

/// Ends a legal basis now.
///
/// # Errors
/// When there is no such record, or the store fails.
pub async fn end_basis(app: &App, subject: PersonId, basis: BasisId, cause: Cause) -> Result<u32, ActError> {
    app.store
        .update(subject, |dossier, _, now| {
            if !dossier.subject.records.bases.iter().any(|b| b.id == basis) {
                return Err(ActError::Unknown("legal basis"));
            }
            let ended = BasisEnded { basis: Bytes16(*basis.bytes()), at_ms: now.millis() };
            Ok(((), draft([Event::BasisEnded(ended)], cause)))
        })
        .await?;
    Ok(app.barrier.after_person(subject).await?)
}

async fn record(app: &App, subject: PersonId, event: Event, cause: Cause) -> Result<Option<Appended>, ActError> {
    let recorded = app.store.update(subject, |dossier, _, _| {
        if !dossier.subject.enrolled {
            return Err(ActError::Unknown("person"));
        }
        Ok(((), draft([event.clone()], cause)))
    });
    recorded.await.map(|((), appended)| appended)
}

/// Suspends a party, or reinstates it. Suspending cuts everything that goes to it or comes from it.
///
/// # Errors
/// When the party is not registered, or the store fails.
pub async fn set_standing(
    app: &App,
    party: &str,
    suspended: bool,
    reason: &str,
    cause: Cause,
) -> Result<(Appended, u32), ActError> {
    if app.store.registry().await?.text.party(party).is_none() {
        return Err(ActError::Unknown("party"));
    }
    let event = StandingChanged { party: party.to_owned(), suspended, reason: reason.to_owned() };
    let appended = app.store.record_global(Event::StandingChanged(event), cause).await?;
    Ok((appended, app.barrier.after_all().await?))
}

/// The subject's pairwise id at a party, minted when there is none yet.
///
/// # Errors
/// When the store fails.
pub async fn mint_pairwise(store: &Store, subject: PersonId, party: &str) -> Result<(), StoreError> {
    let (id, secret) = (Bytes16(random()), Bytes32(random()));
    store
        .update(subject, |dossier, _, _| {
            let minted = PairwiseMinted { subject: Bytes16(*subject.bytes()), party: party.to_owned(), id, secret };
            let needed = dossier.subject.pairwise_at(party).is_none();
            let events = needed.then_some(Event::PairwiseMinted(minted));
            Ok::<_, StoreError>(((), draft(events, Cause::Gateway)))
        })
        .await
        .map(|_| ())
}
