//! What somebody chose in a consultation service about sharing: one of three (design §5), taken over as that service's attested
//! word. The newest choice holds: what it no longer covers ends, through the barrier, whoever it was given to.
//!
//! It never reads silence as a choice, and never lifts a refusal that the person made elsewhere.

use sekisho_policy::{ConsentId, PersonId, RefusalId, Timestamp};

use super::attested::{self, Word};
use super::give::GiveError;
use super::stop::{RefusedScope, Revoker, Said, end, refuse_as};
use crate::app::App;
use crate::ids::{TextId, party_id, random};
use crate::ledger::entry::{Bytes16, Bytes32, Cause, Idempotency};
use crate::ledger::event::{Attestation, Event, PairwiseMinted, RefusalLifted, Terms};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::state::{Agreement, Global, Papers};
use crate::store::{Dossier, Draft, StoreError};

/// A choice, as the service attests it.
pub struct Choice<'a> {
    /// Whose.
    pub person: PersonId,
    /// To whom: a party's code.
    pub recipient: &'a str,
    /// For which purpose.
    pub purpose: &'a str,
    /// Which category versions may be shared, sorted; none at all is *nothing*.
    pub wanted: &'a [String],
    /// Version of the text that was agreed to.
    pub text_version: &'a str,
    /// What the service says of it; its party is the service, which alone is the source.
    pub attestation: &'a Attestation,
    /// By which key it counts once.
    pub key: [u8; 32],
    /// The refusal that an earlier choice of *nothing* made.
    pub refusal: Option<RefusalId>,
}

/// By whom an attested word was recorded that a service's feed told.
pub const FEED: &str = "feed";

/// What else is recorded in the same request, each once.
pub type Beside = Vec<(Event, Option<Idempotency>)>;

/// Takes a choice over; gives the refusal that it made, if it did.
///
/// # Errors
/// When it could never count: an outdated text, a refusal made elsewhere, a party that may not attest. What it ends has ended
/// all the same.
pub async fn choose(app: &App, choice: &Choice<'_>, beside: Beside) -> Result<Option<RefusalId>, GiveError> {
    narrow(app, choice).await?;
    if choice.wanted.is_empty() {
        record(app, choice.person, beside, cause(choice)).await?;
        return refuse(app, choice).await.map(Some);
    }
    if let Some(refusal) = choice.refusal {
        lift(app, choice, refusal).await?;
    }
    grant(app, choice, beside).await.map(|()| None)
}

fn cause(choice: &Choice<'_>) -> Cause {
    Cause::party(party_id(&choice.attestation.party))
}

/// Ends what the choice does not cover.
async fn narrow(app: &App, choice: &Choice<'_>) -> Result<(), GiveError> {
    let dossier = app.store.dossier(choice.person).await?;
    let wider = |a: &&Agreement| {
        let same = a.terms.recipient == choice.recipient && a.terms.purpose == choice.purpose;
        same && a.ended.is_none() && a.terms.categories.iter().any(|category| !choice.wanted.contains(category))
    };
    let wider: Vec<ConsentId> = dossier.papers.agreements.iter().filter(wider).map(|a| a.consent).collect();
    if wider.is_empty() {
        return Ok(());
    }
    let _first = app.releases.precedence.first();
    for consent in wider {
        end(app, choice.person, consent, Revoker::Attested(choice.person, choice.attestation), None).await?;
    }
    app.barrier.after_person(choice.person).await?;
    Ok(())
}

async fn refuse(app: &App, choice: &Choice<'_>) -> Result<RefusalId, GiveError> {
    if let Some((Event::Refused(before), ..)) = app.store.by_idempotency(choice.key)? {
        return Ok(RefusalId::of(before.refusal.0));
    }
    if let Some(before) = choice.refusal {
        let dossier = app.store.dossier(choice.person).await?;
        if dossier.subject.records.refusals.iter().any(|r| stands(r, before, choice.person)) {
            return Ok(before);
        }
    }
    let scope = RefusedScope {
        recipient: Some(choice.recipient.to_owned()),
        purpose: Some(choice.purpose.to_owned()),
        categories: None,
    };
    let said = Said { person: choice.person, attestation: Some(choice.attestation) };
    let key = Idempotency { key: Bytes32(choice.key), body: Bytes32(choice.key) };
    let (refusal, _) = refuse_as(app, choice.person, said, &scope, Some(key)).await?;
    Ok(refusal)
}

/// Lifts the refusal that an earlier choice in the same service made, and no other.
async fn lift(app: &App, choice: &Choice<'_>, refusal: RefusalId) -> Result<(), GiveError> {
    let recorded = app.store.update(choice.person, |dossier, _, now| {
        let found = dossier.subject.records.refusals.iter().find(|r| stands(r, refusal, choice.person));
        let lifted = found.map(|r| {
            Event::RefusalLifted(RefusalLifted {
                refusal: Bytes16(*r.id.bytes()),
                by: Bytes16(*choice.person.bytes()),
                at_ms: now.millis(),
            })
        });
        let events = lifted.into_iter().collect();
        Ok::<_, StoreError>(((), Draft { events, cause: Some(cause(choice)), ..Draft::default() }))
    });
    recorded.await?;
    Ok(())
}

async fn grant(app: &App, choice: &Choice<'_>, beside: Beside) -> Result<(), GiveError> {
    let (id, pairwise) = (ConsentId::mint(), (Bytes16(random()), Bytes32(random())));
    let recorded = app.store.update(choice.person, |dossier, global, now| {
        let mut rows: Beside = fresh(app, &beside)?;
        let terms = terms(app, global, choice, now)?;
        let word = Word { subject: choice.person, person: choice.person, attestation: choice.attestation.clone() };
        if withdrawn_since(dossier, choice) {
            return Err(GiveError::Changed);
        }
        if !holds(dossier, &terms, now) && app.store.by_idempotency(choice.key)?.is_none() {
            attested::counts(app, &dossier.subject, global, &word, &terms, 0, now)?;
            let approved = attested::approved(id, &word, &terms, now);
            let key = Idempotency { key: Bytes32(choice.key), body: Bytes32(choice.key) };
            rows.push((Event::ConsentApproved(approved), Some(key)));
        }
        if dossier.subject.pairwise_at(choice.recipient).is_none() {
            let minted = PairwiseMinted {
                subject: Bytes16(*choice.person.bytes()),
                party: choice.recipient.to_owned(),
                id: pairwise.0,
                secret: pairwise.1,
            };
            rows.push((Event::PairwiseMinted(minted), None));
        }
        Ok::<_, GiveError>(((), Draft { cause: Some(cause(choice)), rows, ..Draft::default() }))
    });
    recorded.await.map(|_| ())
}

fn stands(refusal: &sekisho_policy::Refusal, id: RefusalId, by: PersonId) -> bool {
    refusal.id == id && refusal.grantor == by && refusal.lift.is_none()
}

/// Records something about a person, each once.
///
/// # Errors
/// When the store fails.
pub async fn record(app: &App, person: PersonId, rows: Beside, cause: Cause) -> Result<(), StoreError> {
    let recorded = app.store.update(person, |_, _, _| {
        Ok::<_, StoreError>(((), Draft { cause: Some(cause), rows: fresh(app, &rows)?, ..Draft::default() }))
    });
    recorded.await.map(|_| ())
}

/// Those whose key was not seen.
fn fresh(app: &App, rows: &Beside) -> Result<Beside, StoreError> {
    let mut fresh = Vec::with_capacity(rows.len());
    for (event, key) in rows {
        let seen = match key {
            Some(key) => app.store.by_idempotency(key.key.0)?.is_some(),
            None => false,
        };
        if !seen {
            fresh.push((event.clone(), *key));
        }
    }
    Ok(fresh)
}

/// Whether the person has withdrawn the same here since the choice was made: told late, it is not the newest word.
fn withdrawn_since(dossier: &Dossier, choice: &Choice<'_>) -> bool {
    let since = |a: &Agreement| {
        let same = a.terms.recipient == choice.recipient && a.terms.purpose == choice.purpose;
        same && a.withdrawn_here.is_some_and(|at| at.millis() >= choice.attestation.given_ms)
    };
    dossier.papers.agreements.iter().any(since) && !sabotage::off(Check::WithdrawnSince)
}

/// Whether this was chosen in a service and nobody has withdrawn it here. Whoever stops it stops what they chose there, though it ended by
/// a newer choice that was told while they read: [`withdrawn_since`] must know of it. What was withdrawn before is only
/// acknowledged again, and takes nothing from what was chosen since.
pub(super) fn is_stopped_by(stopped: &Agreement) -> bool {
    service(stopped).is_some() && stopped.withdrawn_here.is_none() && !sabotage::off(Check::ChosenBeside)
}

/// What that service was told to share beside this, with the same recipient for the same purpose, and what of it still stands.
pub(super) fn beside<'p>(stopped: &'p Agreement, papers: &'p Papers) -> impl Iterator<Item = &'p Agreement> {
    papers.agreements.iter().filter(|a| {
        let same = a.terms.recipient == stopped.terms.recipient && a.terms.purpose == stopped.terms.purpose;
        same && a.consent != stopped.consent && a.ended.is_none() && service(a) == service(stopped)
    })
}

/// The service that somebody chose this in.
fn service(a: &Agreement) -> Option<&str> {
    a.attestation.as_ref().filter(|word| word.recorded_by == FEED).map(|word| word.party.as_str())
}

/// Whether just this is agreed to already, and lasts.
fn holds(dossier: &Dossier, terms: &Terms, now: Timestamp) -> bool {
    let half = now.plus_millis((terms.until_ms - terms.from_ms) / 2);
    dossier.papers.agreements.iter().any(|a| {
        let same = a.terms.recipient == terms.recipient
            && a.terms.purpose == terms.purpose
            && a.terms.categories == terms.categories
            && a.terms.text_hash == terms.text_hash
            && a.terms.source.as_ref().is_none_or(|source| Some(source) == terms.source.as_ref());
        same && a.status(&dossier.subject.records, now) == "active" && a.until() >= half
    })
}

fn terms(app: &App, global: &Global, choice: &Choice<'_>, now: Timestamp) -> Result<Terms, GiveError> {
    let text = app.config.texts.get(choice.purpose).filter(|text| text.text.version == choice.text_version);
    let text = text.ok_or(GiveError::Field { field: "text_version", why: "is not the one in force" })?;
    let longest = global.text.purpose(choice.purpose).map_or(0, |purpose| purpose.longest_days);
    Ok(Terms {
        recipient: choice.recipient.to_owned(),
        purpose: choice.purpose.to_owned(),
        categories: choice.wanted.to_vec(),
        source: Some(choice.attestation.party.clone()),
        from_ms: now.millis(),
        until_ms: now.plus_millis(i64::from(longest) * 86_400_000).millis(),
        data_from: None,
        data_until: None,
        text_hash: Bytes32(text.hash),
        booking: None,
    })
}

/// The key by which a choice counts once: of the service, the user and the moment.
#[must_use]
pub fn key_of(service: &str, user: &str, at_ms: i64) -> [u8; 32] {
    sha256(format!("sekisho choice 1\n{service}\n{user}\n{at_ms}").as_bytes())
}
