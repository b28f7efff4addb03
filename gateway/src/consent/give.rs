//! Proposing, approving, declining (design §7); what narrows is in `stop`, what a party attests in `attested`.
//!
//! A party proposes; the person decides, signed in with our own client and, to grant, with step-up. An app can't grant
//! itself: nothing here makes a consent of a proposal but [`approve`], which no party's token reaches.

use sekisho_policy::{
    Block, BlockTarget, Categories, CategoryCode, ConsentId, PartyId, PersonId, Refusal, RefusalId, Scope, Timestamp,
};

pub use super::stop::{Narrowed, RefusedScope, Revoker, lift, refuse, revoke};

use super::barrier::BarrierError;
use super::booking;
use super::people::mint_pairwise;
use super::refused::{Grant, no_refusal_stands};
use super::taken::{Taken, narrowed};
use crate::app::App;
use crate::ids::{TextId, party_id};
use crate::ledger::entry::{Bytes16, Cause, Idempotency};
use crate::ledger::event::{ConsentApproved, ConsentEnded, ConsentProposed, Event, ProposalClosed, Terms};
use crate::sabotage::{self, Check};
use crate::store::registry::party_kind;
use crate::store::state::{Global, Proposal, Subject, category_version, data_period};
use crate::store::{Dossier, Draft, Store, StoreError};

/// Proposals that wait for one person, at most.
const PROPOSALS_MAX: usize = 100;
/// Consents kept about one person, at most, ended ones included.
pub(super) const CONSENTS_MAX: usize = 10_000;

/// Why it could not be done. Nothing was recorded, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Recorded, but not acknowledged: try again.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// There is no such thing, or not for this caller.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// A field is not what it should be.
    #[error("`{field}` {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The text has changed since; here is the new one's hash.
    #[error("the text has changed")]
    OutdatedText([u8; 32]),
    /// It is no longer in the state that the caller saw.
    #[error("it has changed meanwhile")]
    Changed,
    /// The person has no authority over the subject.
    #[error("no authority over the subject")]
    NoAuthority,
    /// A refusal stands against it.
    #[error("a refusal stands against it")]
    RefusalStands(RefusalId),
    /// A party's attestation would never count (P-11).
    #[error("an attestation of this party never counts for this recipient")]
    NeverCounts,
    /// Consents of several people stand under one booking: whose visit it is, nobody here can tell.
    #[error("several people's consents stand under this booking")]
    SeveralPeople,
    /// Too many of them.
    #[error("too many {0}")]
    TooMany(&'static str),
}

pub(super) const fn field(field: &'static str, why: &'static str) -> GiveError {
    GiveError::Field { field, why }
}

pub(super) fn draft(events: impl IntoIterator<Item = Event>, idempotency: Option<Idempotency>, cause: Cause) -> Draft {
    Draft { events: events.into_iter().collect(), cause: Some(cause), idempotency, ..Draft::default() }
}

/// Records a party's proposal to the person who is signed in with it.
///
/// # Errors
/// When the terms don't hold together, or the store fails.
pub async fn propose(
    app: &App,
    party: &str,
    person: PersonId,
    terms: &Terms,
    idempotency: Option<Idempotency>,
) -> Result<ConsentId, GiveError> {
    let id = ConsentId::mint();
    let recorded = app.store.update(person, |dossier, global, now| {
        if person == app.store.nobody() || !dossier.subject.enrolled {
            return Err(GiveError::Unknown("enrolled person behind this sign-in"));
        }
        if dossier.papers.proposals.iter().filter(|p| !p.declined).count() >= PROPOSALS_MAX {
            return Err(GiveError::TooMany("proposals that wait for an answer"));
        }
        check_terms(app, global, party, terms, now)?;
        booking::has_room(&app.store, terms)?;
        let proposed = ConsentProposed {
            consent: Bytes16(*id.bytes()),
            person: Bytes16(*person.bytes()),
            terms: terms.clone(),
            proposed_by: party.to_owned(),
        };
        Ok(((), draft([Event::ConsentProposed(proposed)], idempotency, Cause::party(party_id(party)))))
    });
    recorded.await?;
    Ok(id)
}

/// Whether terms hold together that this party brings.
pub(super) fn check_terms(
    app: &App,
    global: &Global,
    party: &str,
    terms: &Terms,
    now: Timestamp,
) -> Result<(), GiveError> {
    let purpose = global.text.purpose(&terms.purpose).ok_or(field("purpose", "is not registered"))?;
    // Only a visit is booked by one and held by another.
    if terms.recipient != party && purpose.visit_hours_after.is_none() && !sabotage::off(Check::ProposedFor) {
        return Err(field("recipient", "must be the party that proposes, for this purpose"));
    }
    let kind = global.text.party(&terms.recipient).map(|p| p.kind.as_str()).unwrap_or_default();
    if party_kind(kind).is_none() || !purpose.receivers.iter().any(|r| r == kind) {
        return Err(field("purpose", "is not for this kind of party"));
    }
    booking::check(purpose, terms)?;
    let categories: Option<Vec<_>> = terms.categories.iter().map(|c| category_version(c)).collect();
    let categories = categories.filter(|all| all.iter().all(|c| global.text.category(*c).is_some()));
    let categories = categories.ok_or(field("categories", "must be registered versions such as vaccination@1"))?;
    Categories::new(categories.iter().copied()).ok_or(field("categories", "must be 1 to 16"))?;
    if terms.source.as_deref().is_some_and(|source| global.text.party(source).is_none()) {
        return Err(field("source", "is not a registered party"));
    }
    if terms.until_ms <= terms.from_ms {
        return Err(field("until", "must be after `from`"));
    }
    if terms.until_ms <= now.millis() {
        return Err(field("until", "must be in the future"));
    }
    if terms.until_ms - terms.from_ms > i64::from(purpose.longest_days) * 86_400_000 {
        return Err(field("until", "is further away than this purpose allows"));
    }
    data_period(terms).map_err(|_| field("data_period", "must be dates, the end after the beginning"))?;
    let text = app.config.texts.get(&terms.purpose).ok_or(field("purpose", "has no text to agree to"))?;
    if text.hash != terms.text_hash.0 && !sabotage::off(Check::OutdatedText) {
        return Err(GiveError::OutdatedText(text.hash));
    }
    if !text.compulsory.iter().all(|code| categories.iter().any(|c| c.code.0.as_str() == code)) {
        return Err(field("categories", "lacks one without which nothing goes for this purpose"));
    }
    Ok(())
}

/// What a person says who approves.
pub struct Approval {
    /// Who.
    pub person: PersonId,
    /// About whom: the person, or a child.
    pub subject: PersonId,
    /// What of it.
    pub taken: Taken,
    /// The text that was shown.
    pub text_hash: [u8; 32],
    /// The proposal's revision that was shown, if stated.
    pub revision: Option<u64>,
    /// How the person was signed in.
    pub acr: String,
    /// The idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// Makes a consent of a proposal, or of a part of it; gives what was agreed to.
///
/// # Errors
/// When there is no such proposal for this person, more than it is asked for, the text is outdated, the person has no authority,
/// or a refusal stands.
pub async fn approve(app: &App, id: ConsentId, approval: &Approval) -> Result<Terms, GiveError> {
    let (person, subject) = (approval.person, approval.subject);
    let proposer = [person];
    let recorded = app.store.update_with(subject, &proposer, |dossier, others, global, now| {
        let records = &dossier.subject.records;
        if let Some(done) = dossier.papers.agreements.iter().find(|a| a.consent == id) {
            let own = records.consents.iter().any(|c| c.id == id && c.grantor == person);
            return if own { Ok((done.terms.clone(), Draft::default())) } else { Err(GiveError::Unknown("proposal")) };
        }
        let proposal = others.first().and_then(|o| open_proposal(o, id)).ok_or(GiveError::Unknown("proposal"))?;
        if approval.revision.is_some_and(|seen| seen != proposal.revision) && !sabotage::off(Check::IfMatch) {
            return Err(GiveError::Changed);
        }
        let current = app.config.texts.get(&proposal.terms.purpose).map_or(proposal.terms.text_hash.0, |t| t.hash);
        let outdated = approval.text_hash != current || proposal.terms.text_hash.0 != current;
        if outdated && !sabotage::off(Check::OutdatedText) {
            return Err(GiveError::OutdatedText(current));
        }
        if records.consents.len() >= CONSENTS_MAX {
            return Err(GiveError::TooMany("consents"));
        }
        let terms = narrowed(&proposal.terms, &approval.taken, now)?;
        check_terms(app, global, &proposal.proposed_by, &terms, now)?;
        booking::has_room(&app.store, &terms)?;
        if !may_decide_on(&dossier.subject, global, person, &terms.categories, now) {
            return Err(GiveError::NoAuthority);
        }
        let grant = Grant { grantor: person, attested_by: None };
        no_refusal_stands(&dossier.subject, global, &terms, grant, now)?;
        let approved = ConsentApproved {
            consent: Bytes16(*id.bytes()),
            subject: Bytes16(*subject.bytes()),
            grantor: Bytes16(*person.bytes()),
            terms: terms.clone(),
            approved_ms: now.millis(),
            attested_by: None,
            how: approval.acr.clone(),
            attestation: None,
            proposed_by: Some(&proposal.proposed_by).filter(|by| **by != terms.recipient).cloned(),
        };
        let superseded = superseded(dossier, id, person, &terms, now);
        let events = [Event::ConsentApproved(approved)].into_iter().chain(superseded);
        let mut drafted = draft(events, approval.idempotency, Cause::Person);
        if subject != person {
            // In the same group: the proposal can't be answered a second time for another child.
            let closed = ProposalClosed { consent: Bytes16(*id.bytes()), by: Bytes16(*person.bytes()), approved: true };
            drafted.beside = Some((person, Event::ProposalClosed(closed)));
        }
        Ok((terms, drafted))
    });
    let (terms, _) = recorded.await?;
    mint_pairwise(&app.store, subject, &terms.recipient).await?;
    app.barrier.after_person(subject).await?;
    Ok(terms)
}

fn open_proposal(dossier: &Dossier, id: ConsentId) -> Option<&Proposal> {
    dossier.papers.proposals.iter().find(|p| p.consent == id && !p.declined)
}

/// Up to two older consents that the new one replaces: of the same grantor, to the same recipient, for the same purpose,
/// visit and source, and for nothing that the new one does not name.
fn superseded(dossier: &Dossier, by: ConsentId, grantor: PersonId, terms: &Terms, now: Timestamp) -> Vec<Event> {
    let reference = |terms: &Terms| terms.booking.as_ref().map(|booking| booking.reference.clone());
    let visit = |id| dossier.papers.agreements.iter().find(|a| a.consent == id).map(|a| reference(&a.terms));
    let older = dossier.subject.records.consents.iter().filter(move |c| {
        let live = c.ended_at.is_none() && now < c.period.until();
        live && c.grantor == grantor
            && visit(c.id) == Some(reference(terms))
            && c.recipient == party_id(&terms.recipient)
            && c.purpose.0.as_str() == terms.purpose
            && c.source == terms.source.as_deref().map(party_id)
            && c.categories.iter().all(|old| terms.categories.contains(&old.to_string()))
    });
    older
        .take(2)
        .map(|c| {
            Event::ConsentEnded(ConsentEnded {
                consent: Bytes16(*c.id.bytes()),
                at_ms: now.millis(),
                by: Bytes16(*grantor.bytes()),
                superseded_by: Some(Bytes16(*by.bytes())),
                attestation: None,
            })
        })
        .collect()
}

/// Whether a person may decide about a subject now, in general: it is themself, or they hold authority and no block hides
/// the subject from them.
///
/// # Errors
/// When they may not.
pub fn may_decide(subject: &Subject, person: PersonId, now: Timestamp) -> Result<(), GiveError> {
    let records = &subject.records;
    if subject.enrolled && (records.subject == person || guards(subject, person, 18, now)) {
        return Ok(());
    }
    Err(GiveError::NoAuthority)
}

/// The people about whom a person decides: themself, and those under their authority now.
///
/// # Errors
/// When the store can't be read.
pub async fn decided_by(store: &Store, person: PersonId, now: Timestamp) -> Result<Vec<PersonId>, StoreError> {
    let mut all = vec![person];
    for ward in store.wards(person) {
        let snapshot = store.snapshot(ward).await?;
        if may_decide(&snapshot.subject, person, now).is_ok() {
            all.push(ward);
        }
    }
    Ok(all)
}

/// Whether a person may decide about these categories of a subject now (P-8): a guardian up to the age from which the
/// subject decides alone, for every one of them.
#[must_use]
pub fn may_decide_on(
    subject: &Subject,
    global: &Global,
    person: PersonId,
    categories: &[String],
    now: Timestamp,
) -> bool {
    let age = |category: &String| {
        let version = category_version(category).and_then(|v| global.text.category(v));
        // One that is no longer registered is taken for one that only its subject decides about.
        version.map_or(0, |c| if sabotage::off(Check::OwnConsentAge) { 18 } else { c.own_consent_age.min(18) })
    };
    // Also about nobody: the time must not tell whether there was somebody to look at.
    let youngest = categories.iter().map(age).min().unwrap_or(0);
    let guards = guards(subject, person, youngest, now);
    if subject.records.subject == person { subject.enrolled } else { subject.enrolled && guards }
}

/// Whether a person may decide now about these categories, named without version: about every version of each.
#[must_use]
pub fn may_decide_on_codes<'a>(
    subject: &Subject,
    global: &Global,
    person: PersonId,
    codes: impl IntoIterator<Item = &'a str>,
    now: Timestamp,
) -> bool {
    codes.into_iter().all(|code| {
        let all = global.text.categories.iter().map(|c| &c.version);
        let of_code = all.filter(|version| version.split_once('@').is_some_and(|(name, _)| name == code));
        may_decide_on(subject, global, person, &of_code.cloned().collect::<Vec<_>>(), now)
    })
}

/// Whether a person may see a refusal about a subject they decide about: not one of what the subject alone decides about.
#[must_use]
pub fn may_see_refusal(
    subject: &Subject,
    global: &Global,
    person: PersonId,
    refusal: &Refusal,
    now: Timestamp,
) -> bool {
    let on = |codes: &[CategoryCode]| {
        let codes = codes.iter().map(|code| code.0.as_str());
        may_decide_on_codes(subject, global, person, codes, now) || sabotage::off(Check::RefusalOwn)
    };
    refusal.grantor == person || matches!(&refusal.scope.categories, Scope::Any) || {
        matches!(&refusal.scope.categories, Scope::Only(codes) if on(codes))
    }
}

/// Whether a block hides the subject from this person, whatever they gave or hold.
#[must_use]
pub fn is_hidden_from(subject: &Subject, person: PersonId, now: Timestamp) -> bool {
    let hides = |b: &Block| b.target == BlockTarget::Person(person) && b.period.contains(now);
    subject.records.blocks.iter().any(hides) && !sabotage::off(Check::GuardianBlocked)
}

/// Whether a block hides the subject from this party: its systems, and its staff at the counter.
#[must_use]
pub fn is_hidden_from_party(subject: &Subject, party: PartyId, now: Timestamp) -> bool {
    let hides = |b: &Block| b.target == BlockTarget::Party(party) && b.period.contains(now);
    subject.records.blocks.iter().any(hides) && !sabotage::off(Check::PartyBlocked)
}

/// Authority now, below this age, and no block on the guardian.
fn guards(subject: &Subject, person: PersonId, age: u8, now: Timestamp) -> bool {
    let records = &subject.records;
    let young = now < sekisho_policy::age_reached_at(records.birth, age);
    let holds = records.authorities.iter().any(|a| a.guardian == person && a.period.contains(now));
    (young || sabotage::off(Check::GuardianOfAge))
        && (holds || sabotage::off(Check::GuardianAuthority))
        && !is_hidden_from(subject, person, now)
}

/// Declines a proposal.
///
/// # Errors
/// When there is no such proposal for this person.
pub async fn decline(app: &App, id: ConsentId, person: PersonId) -> Result<(), GiveError> {
    let recorded = app.store.update(person, |dossier, _, _| {
        let proposal = dossier.papers.proposals.iter().find(|p| p.consent == id);
        let declined = proposal.ok_or(GiveError::Unknown("proposal"))?.declined;
        let event = ProposalClosed { consent: Bytes16(*id.bytes()), by: Bytes16(*person.bytes()), approved: false };
        let events = (!declined).then_some(Event::ProposalClosed(event));
        Ok::<_, GiveError>(((), draft(events, None, Cause::Person)))
    });
    recorded.await.map(|_| ())
}
