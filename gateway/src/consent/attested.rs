//! Words given at a counter: a consent, a refusal or a withdrawal on paper, in person or by telephone, which a party records
//! after an identity check (`attested`, policy-spec P-11).
//!
//! Nobody attests in their own favour: what could never count is refused here, so that no clerk believes that something was
//! granted. It never takes a word from whoever could not give it here, and never ends one consent by another.

use std::collections::HashSet;

use sekisho_policy::{ConsentId, PersonId, RefusalId, Timestamp};

use super::give::{CONSENTS_MAX, GiveError, check_terms, draft, field, may_decide, may_decide_on};
use super::people::mint_pairwise;
use super::refused::{Grant, could_count};
use super::stop::{Narrowed, RefusedScope, Revoker, Said, end, refuse_as};
use crate::app::App;
use crate::forward::erase;
use crate::ids::{TextId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32, Cause, Idempotency};
use crate::ledger::event::{Attestation, ConsentApproved, Event, Terms, Way};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::registry::COUNTER_KINDS;
use crate::store::state::{Agreement, Global, Subject};
use crate::store::{Dossier, Draft, StoreError};

/// Letters of a reference or a name, at most.
const WORDS_MAX: usize = 200;

/// A word that a party attests.
#[derive(Clone, Debug)]
pub struct Word {
    /// About whom.
    pub subject: PersonId,
    /// Who gave it: the subject or a guardian.
    pub person: PersonId,
    /// What the party says of it.
    pub attestation: Attestation,
}

/// The way by its word: those that a counter records. What people choose online, a service's feed says (`crate::week`).
#[must_use]
pub fn way(word: &str) -> Option<Way> {
    Some(match word {
        "paper" => Way::Paper,
        "in-person" => Way::InPerson,
        "telephone" => Way::Telephone,
        _ => return None,
    })
}

/// The word for a way.
#[must_use]
pub const fn way_word(way: Way) -> &'static str {
    match way {
        Way::Paper => "paper",
        Way::InPerson => "in-person",
        Way::Telephone => "telephone",
        Way::Online => "online",
    }
}

/// Whether this party is of a kind that may attest at all.
#[must_use]
pub fn has_counter(global: &Global, party: &str) -> bool {
    global.text.party(party).is_some_and(|p| COUNTER_KINDS.contains(&p.kind.as_str()))
}

/// P-11: a party attests only in favour of a party of another kind, and not while it is suspended.
fn may_attest(global: &Global, party: &str, recipient: &str) -> bool {
    let (by, to) = (global.text.party(party), global.text.party(recipient));
    let active = global.registry.party(party_id(party)).is_some_and(|p| p.standing == sekisho_policy::Standing::Active);
    let other_kind = by.zip(to).is_some_and(|(by, to)| by.code != to.code && by.kind != to.kind);
    (other_kind && active) || sabotage::off(Check::AttestForOthers)
}

pub(super) fn check_words(attestation: &Attestation, now: Timestamp) -> Result<(), GiveError> {
    for (name, text) in [("evidence", &attestation.evidence), ("checked_by", &attestation.checked_by)] {
        if text.trim().is_empty() || text.chars().count() > WORDS_MAX {
            return Err(field(name, "must say something, in 200 letters at most"));
        }
    }
    if attestation.given_ms > now.millis() {
        return Err(field("given_at", "must not be in the future"));
    }
    Ok(())
}

/// Records a consent that a party attests.
///
/// # Errors
/// When it could never count, a field is not what it should be, or whoever gave it may not give it.
pub async fn grant(
    app: &App,
    word: &Word,
    terms: &Terms,
    cause: Cause,
    idempotency: Option<Idempotency>,
) -> Result<ConsentId, GiveError> {
    let id = ConsentId::mint();
    let recorded = app.store.update(word.subject, |dossier, global, now| {
        counts(app, &dossier.subject, global, word, terms, 0, now)?;
        let event = Event::ConsentApproved(approved(id, word, terms, now));
        Ok::<_, GiveError>(((), draft([event], idempotency, cause)))
    });
    recorded.await?;
    known_to(app, word.subject, &terms.recipient).await?;
    Ok(id)
}

/// Whether [`grant`] would record it, now.
///
/// # Errors
/// As [`grant`].
pub async fn check(app: &App, word: &Word, terms: &Terms) -> Result<(), GiveError> {
    let global = app.store.registry().await?;
    let snapshot = app.store.snapshot(word.subject).await?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    counts(app, &snapshot.subject, &global, word, terms, 0, now)
}

/// A row of a table: a word, what it says of the consent, and the key by which it counts once.
pub struct Row {
    /// The word.
    pub word: Word,
    /// What it says.
    pub terms: Terms,
    /// Its key.
    pub key: Option<Idempotency>,
}

/// Rows about one person that are recorded at once, at most.
const ROWS_AT_ONCE: usize = 256;
/// Times that rows are looked at anew when another import records the same ones.
const ROWS_ATTEMPTS: usize = 4;

/// Records rows about one person, as [`grant`] would one by one, but a part of them in one request: they share the look at the
/// person's records and the sync, which else would take longer with every consent that is there. Of each: whether it was recorded
/// now, or was there already; or why it is not.
///
/// # Errors
/// When the store fails. What was recorded by then stays.
pub async fn grant_rows(
    app: &App,
    subject: PersonId,
    rows: &[Row],
    cause: Cause,
) -> Result<Vec<Result<bool, GiveError>>, StoreError> {
    let mut all = Vec::with_capacity(rows.len());
    for some in rows.chunks(ROWS_AT_ONCE) {
        let mut attempts = ROWS_ATTEMPTS;
        let done = loop {
            attempts -= 1;
            let draft = |dossier: &Dossier, global: &Global, now| some_rows(app, dossier, global, some, cause, now);
            match app.store.update(subject, draft).await {
                Err(StoreError::Repeated) if attempts > 0 => {}
                done => break done?.0,
            }
        };
        all.extend(done);
    }
    let mut told: Vec<&str> = Vec::new();
    for (row, done) in rows.iter().zip(&all) {
        let recipient = row.terms.recipient.as_str();
        // Also of one that was there: a crash may have come between the consent and its recipient's id.
        if done.is_ok() && !told.contains(&recipient) {
            known_to(app, subject, recipient).await?;
            told.push(recipient);
        }
    }
    Ok(all)
}

type Rows = Vec<Result<bool, GiveError>>;

fn some_rows(
    app: &App,
    dossier: &Dossier,
    global: &Global,
    some: &[Row],
    cause: Cause,
    now: Timestamp,
) -> Result<(Rows, Draft), StoreError> {
    let (mut done, mut drafted, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
    for Row { word, terms, key } in some {
        if let Some(key) = key
            && (!keys.insert(key.key.0) || app.store.by_idempotency(key.key.0)?.is_some())
        {
            done.push(Ok(false));
            continue;
        }
        let counts = counts(app, &dossier.subject, global, word, terms, drafted.len(), now);
        if counts.is_ok() {
            drafted.push((Event::ConsentApproved(approved(ConsentId::mint(), word, terms, now)), *key));
        }
        done.push(counts.map(|()| true));
    }
    Ok((done, Draft { cause: Some(cause), rows: drafted, ..Draft::default() }))
}

/// Makes sure that the recipient has an id for the subject: what a crash may have left out.
///
/// # Errors
/// When the store fails.
pub async fn known_to(app: &App, subject: PersonId, recipient: &str) -> Result<(), StoreError> {
    mint_pairwise(&app.store, subject, recipient).await
}

/// `beside`: how many more are about to be recorded in the same request.
pub(super) fn counts(
    app: &App,
    subject: &Subject,
    global: &Global,
    word: &Word,
    terms: &Terms,
    beside: usize,
    now: Timestamp,
) -> Result<(), GiveError> {
    check_words(&word.attestation, now)?;
    if !may_attest(global, &word.attestation.party, &terms.recipient) {
        return Err(GiveError::NeverCounts);
    }
    if subject.records.consents.len() + beside >= CONSENTS_MAX {
        return Err(GiveError::TooMany("consents"));
    }
    check_terms(app, global, &terms.recipient, terms, now)?;
    if !may_decide_on(subject, global, word.person, &terms.categories, now) {
        return Err(GiveError::NoAuthority);
    }
    let grant = Grant { grantor: word.person, attested_by: Some(&word.attestation.party) };
    could_count(subject, global, terms, grant, now)
}

pub(super) fn approved(id: ConsentId, word: &Word, terms: &Terms, now: Timestamp) -> ConsentApproved {
    ConsentApproved {
        consent: Bytes16(*id.bytes()),
        subject: Bytes16(*word.subject.bytes()),
        grantor: Bytes16(*word.person.bytes()),
        terms: terms.clone(),
        // Not when it was given, which the party says: nothing is released on a word before it is here.
        approved_ms: now.millis(),
        attested_by: Some(word.attestation.party.clone()),
        how: way_word(word.attestation.way).to_owned(),
        attestation: Some(word.attestation.clone()),
        proposed_by: None,
    }
}

/// Records a refusal that a party attests, and cuts what it stands against. A refusal counts whoever collected it.
///
/// # Errors
/// When a field is not what it should be, or whoever refused may not decide about the subject.
pub async fn refuse(
    app: &App,
    word: &Word,
    scope: &RefusedScope,
    idempotency: Option<Idempotency>,
) -> Result<(RefusalId, Narrowed), GiveError> {
    check_words(&word.attestation, app.store.clock().now().map_err(StoreError::from)?)?;
    let said = Said { person: word.person, attestation: Some(&word.attestation) };
    refuse_as(app, word.subject, said, scope, idempotency).await
}

/// What is to be withdrawn.
pub struct Withdrawal<'a> {
    /// From which party.
    pub recipient: &'a str,
    /// For which purpose; `None` is each.
    pub purpose: Option<&'a str>,
    /// The idempotency key of the request.
    pub idempotency: Option<Idempotency>,
    /// The consent that the same request ended, when it came before.
    pub earlier: Option<ConsentId>,
}

/// Ends the consents to a recipient on a word that a party attests. The same idempotency key gives the same ends again;
/// what ended otherwise is not told.
///
/// # Errors
/// When a field is not what it should be, or whoever withdraws may not; or it is recorded but can't be acknowledged yet.
pub async fn withdraw(app: &App, word: &Word, asked: &Withdrawal<'_>) -> Result<Vec<(ConsentId, Narrowed)>, GiveError> {
    let _first = app.releases.precedence.first();
    let now = app.store.clock().now().map_err(StoreError::from)?;
    check_words(&word.attestation, now)?;
    let global = app.store.registry().await?;
    if global.text.party(asked.recipient).is_none() {
        return Err(field("recipient", "is not a registered party"));
    }
    if asked.purpose.is_some_and(|p| global.text.purpose(p).is_none()) {
        return Err(field("purpose", "is not registered"));
    }
    let dossier = app.store.dossier(word.subject).await?;
    let named = |a: &&Agreement| {
        a.terms.recipient == asked.recipient && asked.purpose.is_none_or(|purpose| purpose == a.terms.purpose)
    };
    let named: Vec<&Agreement> = dossier.papers.agreements.iter().filter(named).collect();
    if !named.iter().any(|a| a.grantor == word.person) {
        may_decide(&dossier.subject, word.person, now)?;
    }
    let (mut ended, mut whole) = (Vec::new(), asked.idempotency.filter(|_| asked.earlier.is_none()));
    for agreement in named {
        let id = agreement.consent;
        let own = asked.idempotency.map(|key| of_one(key, id));
        if let Some(ending) = agreement.ended {
            let before = own.map(|key| app.store.by_idempotency(key.key.0)).transpose()?.flatten();
            if asked.earlier == Some(id) || before.is_some() {
                ended.push((id, ending));
            }
            continue;
        }
        let categories = &agreement.terms.categories;
        if agreement.grantor == word.person || may_decide_on(&dossier.subject, &global, word.person, categories, now) {
            let revoker = Revoker::Attested(word.person, &word.attestation);
            ended.push((id, end(app, word.subject, id, revoker, whole.take().or(own)).await?));
        }
    }
    let transfers_cut = app.barrier.after_person(word.subject).await?;
    for (id, _) in &ended {
        erase::told(app, word.subject, *id).await;
    }
    Ok(ended.into_iter().map(|(id, ending)| (id, Narrowed { ending, transfers_cut })).collect())
}

/// The first end of a request carries its key; each further one a key made of that and the consent.
fn of_one(key: Idempotency, consent: ConsentId) -> Idempotency {
    let own = sha256(&[key.key.0.as_slice(), consent.bytes()].concat());
    Idempotency { key: Bytes32(own), body: key.body }
}
