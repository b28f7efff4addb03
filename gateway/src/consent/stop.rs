//! Refusing, lifting a refusal, revoking. What narrows goes through the barrier before it is acknowledged; lifting widens,
//! and does not.

use sekisho_policy::{ConsentId, PersonId, RefusalId, Timestamp};

use super::chosen;
use super::give::{
    GiveError, draft, field, is_hidden_from, is_hidden_from_party, may_decide, may_decide_on, may_decide_on_codes,
};
use crate::app::App;
use crate::forward::erase;
use crate::ids::{TextId, party_id};
use crate::ledger::entry::{Bytes16, Cause, Idempotency};
use crate::ledger::event::{Attestation, ConsentEnded, ErasureAsked, Event, RefusalLifted, Refused};
use crate::sabotage::{self, Check};
use crate::store::Draft;
use crate::store::state::{Ending, Global};

/// Refusals that one person lets stand about another, at most: a decision looks at all of them.
const REFUSALS_MAX: usize = 200;

/// What a refusal reaches; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct RefusedScope {
    /// Towards which party.
    pub recipient: Option<String>,
    /// For which purpose.
    pub purpose: Option<String>,
    /// Which categories, without version.
    pub categories: Option<Vec<String>>,
}

/// What came of something that narrows.
pub struct Narrowed {
    /// The entry.
    pub ending: Ending,
    /// Transfers cut.
    pub transfers_cut: u32,
}

/// Records a refusal, and cuts what it stands against.
///
/// # Errors
/// When the person may not decide about the subject, or the scope is empty or not registered.
pub async fn refuse(
    app: &App,
    subject: PersonId,
    person: PersonId,
    scope: &RefusedScope,
    idempotency: Option<Idempotency>,
) -> Result<(RefusalId, Narrowed), GiveError> {
    refuse_as(app, subject, Said { person, attestation: None }, scope, idempotency).await
}

/// Whose word it is, and what a party attests of it where it was not given here.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// The subject or a guardian.
    pub(super) person: PersonId,
    /// The attestation.
    pub(super) attestation: Option<&'a Attestation>,
}

impl Said<'_> {
    fn cause(self) -> Cause {
        self.attestation.map_or(Cause::Person, |a| Cause::party(party_id(&a.party)))
    }
}

pub(super) async fn refuse_as(
    app: &App,
    subject: PersonId,
    said: Said<'_>,
    scope: &RefusedScope,
    idempotency: Option<Idempotency>,
) -> Result<(RefusalId, Narrowed), GiveError> {
    let person = said.person;
    let id = RefusalId::mint();
    let _first = app.releases.precedence.first();
    let recorded = app.store.update(subject, |dossier, global, now| {
        may_decide(&dossier.subject, person, now)?;
        check_scope(global, scope)?;
        let codes = scope.categories.iter().flatten().map(String::as_str);
        // A word about what the subject alone decides would not count (P-8), and the answer would say that there is such.
        if person != subject && !may_decide_on_codes(&dossier.subject, global, person, codes, now) {
            return Err(GiveError::NoAuthority);
        }
        let own = |r: &&sekisho_policy::Refusal| r.grantor == person && r.lift.is_none();
        if dossier.subject.records.refusals.iter().filter(own).count() >= REFUSALS_MAX {
            return Err(GiveError::TooMany("refusals"));
        }
        let refused = Refused {
            refusal: Bytes16(*id.bytes()),
            subject: Bytes16(*subject.bytes()),
            grantor: Bytes16(*person.bytes()),
            recipient: scope.recipient.clone(),
            purpose: scope.purpose.clone(),
            categories: scope.categories.clone(),
            from_ms: now.millis(),
            attestation: said.attestation.cloned(),
        };
        Ok(((), draft([Event::Refused(refused)], idempotency, said.cause())))
    });
    let ((), appended) = recorded.await?;
    let appended = appended.ok_or(GiveError::Changed)?;
    let transfers_cut = app.barrier.after_person(subject).await?;
    let ending = Ending { entry: appended.entry, leaf: appended.leaf, at: appended.at };
    Ok((id, Narrowed { ending, transfers_cut }))
}

fn check_scope(global: &Global, scope: &RefusedScope) -> Result<(), GiveError> {
    if scope.recipient.as_deref().is_some_and(|p| global.text.party(p).is_none()) {
        return Err(field("recipient", "is not a registered party"));
    }
    if scope.purpose.as_deref().is_some_and(|p| global.text.purpose(p).is_none()) {
        return Err(field("purpose", "is not registered"));
    }
    let known = |code: &String| {
        global.text.categories.iter().any(|c| c.version.split_once('@').is_some_and(|(name, _)| name == code))
    };
    // An empty list would refuse nothing, which nobody means.
    let good = |list: &Vec<String>| !list.is_empty() && list.iter().all(known);
    if scope.categories.as_ref().is_some_and(|list| !good(list)) {
        return Err(field("categories", "must be registered category codes such as vaccination, at least one"));
    }
    Ok(())
}

/// Lifts a refusal. Only who refused can.
///
/// # Errors
/// When there is no such refusal by this person.
pub async fn lift(app: &App, id: RefusalId, person: PersonId) -> Result<(), GiveError> {
    let as_key = ConsentId::of(*id.bytes());
    let subject = app.store.person_of_consent(as_key)?.ok_or(GiveError::Unknown("refusal"))?;
    let recorded = app.store.update(subject, |dossier, _, now| {
        let by_them = |r: &sekisho_policy::Refusal| r.grantor == person || sabotage::off(Check::OwnRefusal);
        let own = |r: &&sekisho_policy::Refusal| r.id == id && by_them(r);
        let refusal = dossier.subject.records.refusals.iter().find(own).ok_or(GiveError::Unknown("refusal"))?;
        let lifted = RefusalLifted { refusal: Bytes16(*id.bytes()), by: Bytes16(*person.bytes()), at_ms: now.millis() };
        let events = refusal.lift.is_none().then_some(Event::RefusalLifted(lifted));
        Ok(((), draft(events, None, Cause::Person)))
    });
    recorded.await.map(|_| ())
}

/// Who asks for a revocation.
#[derive(Clone, Copy, Debug)]
pub enum Revoker<'a> {
    /// The subject, the grantor, or a guardian.
    Person(PersonId),
    /// The receiving party, which gives the consent up.
    Party(&'a str),
    /// The party that proposed it for another one to receive.
    Proposer(&'a str),
    /// Like [`Revoker::Person`], by a word that a party attests.
    Attested(PersonId, &'a Attestation),
}

/// Revokes a consent: recorded, seen by every new decision, everything under it silent. Doing it again changes nothing and
/// acknowledges again.
///
/// # Errors
/// When there is no such consent for this caller; or it is recorded but can't be acknowledged yet.
pub async fn revoke(app: &App, id: ConsentId, revoker: Revoker<'_>) -> Result<Narrowed, GiveError> {
    let subject = app.store.person_of_consent(id)?.ok_or(GiveError::Unknown("consent"))?;
    let _first = app.releases.precedence.first();
    let ending = end(app, subject, id, revoker, None).await?;
    let transfers_cut = app.barrier.after_person(subject).await?;
    erase::told(app, subject, id).await;
    Ok(Narrowed { ending, transfers_cut })
}

/// The end of a consent, recorded; whoever calls this goes through the barrier before anything is acknowledged.
pub(super) async fn end(
    app: &App,
    subject: PersonId,
    id: ConsentId,
    revoker: Revoker<'_>,
    idempotency: Option<Idempotency>,
) -> Result<Ending, GiveError> {
    let recorded = app.store.update(subject, |dossier, global, now| {
        let consent = dossier.subject.records.consents.iter().find(|c| c.id == id);
        let consent = consent.ok_or(GiveError::Unknown("consent"))?;
        let by_person = |person| {
            let terms = dossier.papers.agreements.iter().find(|a| a.consent == id).map(|a| &a.terms);
            let categories = terms.map(|t| t.categories.as_slice()).unwrap_or_default();
            // Whoever gave it may take it back, also when their authority has ended; not behind a block: the answer tells
            // what became of it since.
            let gave = consent.grantor == person && !is_hidden_from(&dossier.subject, person, now);
            gave || may_decide_on(&dossier.subject, global, person, categories, now)
        };
        let (may, by, cause, attestation) = match revoker {
            Revoker::Person(person) => (by_person(person), person, Cause::Person, None),
            Revoker::Attested(person, attestation) => {
                (by_person(person), person, Cause::party(party_id(&attestation.party)), Some(attestation.clone()))
            }
            Revoker::Party(code) => {
                let party = party_id(code);
                let hidden = is_hidden_from_party(&dossier.subject, party, now);
                (consent.recipient == party && !hidden, app.store.nobody(), Cause::party(party), None)
            }
            Revoker::Proposer(code) => {
                let party = party_id(code);
                let proposed = dossier.papers.agreements.iter().find(|a| a.consent == id);
                let proposed = proposed.is_some_and(|a| a.proposed_by.as_deref() == Some(code));
                let hidden = is_hidden_from_party(&dossier.subject, party, now);
                (proposed && !hidden, app.store.nobody(), Cause::party(party), None)
            }
        };
        if !may && !sabotage::off(Check::MayRevoke) {
            return Err(GiveError::Unknown("consent"));
        }
        let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id);
        let before = agreement.and_then(|a| a.ended);
        let here = matches!(revoker, Revoker::Person(_));
        let chosen = agreement.filter(|agreement| here && chosen::is_stopped_by(agreement));
        let asked = agreement.filter(|_| before.is_none()).map(|a| a.terms.recipient.as_str());
        let ends = |id, recipient| ends(id, recipient, by, attestation.clone(), now);
        let itself = (before.is_none() || chosen.is_some()).then(|| ends(id, asked));
        let beside = chosen.into_iter().flat_map(|agreement| chosen::beside(agreement, &dossier.papers));
        let beside = beside.flat_map(|a| ends(a.consent, Some(a.terms.recipient.as_str()))).map(|event| (event, None));
        let draft = draft(itself.into_iter().flatten(), idempotency, cause);
        Ok((before, Draft { rows: beside.collect(), ..draft }))
    });
    let (before, appended) = recorded.await?;
    let new = appended.map(|a| Ending { entry: a.entry, leaf: a.leaf, at: a.at });
    new.or(before).ok_or(GiveError::Changed)
}

/// That a consent ends, and the request that its recipient erase, in one group: no withdrawal without it.
fn ends(
    id: ConsentId,
    recipient: Option<&str>,
    by: PersonId,
    attestation: Option<Attestation>,
    now: Timestamp,
) -> impl Iterator<Item = Event> + use<> {
    let (consent, at_ms) = (Bytes16(*id.bytes()), now.millis());
    let ended = ConsentEnded { consent, at_ms, by: Bytes16(*by.bytes()), superseded_by: None, attestation };
    let asked = recipient.map(|recipient| ErasureAsked { consent, recipient: recipient.to_owned(), at_ms });
    [Event::ConsentEnded(ended)].into_iter().chain(asked.map(Event::ErasureAsked))
}
