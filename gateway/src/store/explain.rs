//! Decisions as they are recorded, read back, and made again to explain them (invariant 9).
//!
//! An entry holds the question, the instant, and how far records and registry had come, with their digests. Replaying
//! the ledger up to there gives the very input; the decision made on it again must agree with the recorded one.

use std::collections::HashMap;

use sekisho_policy::{
    AccessRequest, Actor, Capacity, Categories, ConsentId, Decision, PartyId, PermittedBy, PersonId, PurposeCode,
    Receiver, Timestamp, decide,
};

use super::state::{ERASED, Ending, Global, Subject, category_version};
use super::{Store, StoreError, Used};
use crate::ids::{EntryId, TextId};
use crate::ledger::entry::{Bytes16, Bytes32};
use crate::ledger::event::{Decided, Event, Question};

/// A pruned one has left its hash, which doesn't tell its id.
const NO_SUCH_DECISION: &str = "no such decision, or one that was pruned when its time was over";

/// A decision, made again on what it was made on.
#[derive(Debug)]
pub struct Explained {
    /// The decision's entry.
    pub entry: EntryId,
    /// When it was made.
    pub at: Timestamp,
    /// Which route asked.
    pub route: String,
    /// What was asked.
    pub request: AccessRequest,
    /// The decision, made again, with its reasons.
    pub decision: Decision,
    /// Whether digests and outcome agree with what was recorded; only the digests, where what it was made on was erased.
    pub agrees: bool,
    /// Whether what it was made on was erased since, so that it can't be made again.
    pub erased: bool,
    /// Bit `i` is set when category `i` of the question was kept, as recorded.
    pub kept: u16,
    /// The registry of its day.
    pub registry: Global,
}

pub(super) fn decided(
    request: &AccessRequest,
    route: &str,
    now: Timestamp,
    subject: &Subject,
    global: &Global,
    decision: &Decision,
) -> Decided {
    Decided {
        question: question(request),
        route: route.to_owned(),
        now_ms: now.millis(),
        records: subject.entries,
        records_digest: Bytes32(subject.digest),
        registry: global.entries,
        registry_digest: Bytes32(global.digest),
        kept: kept_bits(request, decision),
        by_basis: by_basis(decision) || official(request, subject),
        consents: consents(decision),
    }
}

/// The consents that a permit rests on, each once.
fn consents(decision: &Decision) -> Option<Vec<Bytes16>> {
    let Decision::Permit(permit) = decision else { return None };
    let mut all: Vec<Bytes16> = Vec::new();
    for kept in permit.kept() {
        if let PermittedBy::Consent(id) = kept.by
            && !all.contains(&Bytes16(*id.bytes()))
        {
            all.push(Bytes16(*id.bytes()));
        }
    }
    (!all.is_empty()).then_some(all)
}

/// Whether a legal basis was ever recorded for this recipient and purpose: what is asked around it, refused or not, would
/// show that there was one.
fn official(request: &AccessRequest, subject: &Subject) -> bool {
    let party = request.receiver.party();
    subject.records.bases.iter().any(|b| Some(b.recipient) == party && b.purpose == request.purpose)
}

fn by_basis(decision: &Decision) -> bool {
    let Decision::Permit(permit) = decision else { return false };
    permit.kept().iter().any(|kept| matches!(kept.by, PermittedBy::Basis(_)))
}

fn kept_bits(request: &AccessRequest, decision: &Decision) -> u16 {
    let Decision::Permit(permit) = decision else { return 0 };
    let categories = request.categories.as_slice().iter().enumerate();
    categories
        .filter(|(_, c)| permit.kept().iter().any(|k| k.category == **c))
        .fold(0, |bits, (at, _)| bits | 1u16.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0))
}

fn question(request: &AccessRequest) -> Question {
    let (party, capacity, person) = match request.receiver {
        Receiver::Party { party, actor } => {
            let capacity = match actor {
                Actor::System => 0,
                Actor::Subject(_) => 1,
                Actor::Guardian(_) => 2,
                Actor::Staff(_) => 3,
            };
            (Some(Bytes16(*party.bytes())), capacity, actor.person())
        }
        Receiver::Person { person, capacity: Capacity::Subject } => (None, 1, Some(person)),
        Receiver::Person { person, capacity: Capacity::Guardian } => (None, 2, Some(person)),
    };
    Question {
        subject: Bytes16(*request.subject.bytes()),
        party,
        capacity,
        person: person.map(|p| Bytes16(*p.bytes())),
        source: Bytes16(*request.source.bytes()),
        purpose: request.purpose.0.as_str().to_owned(),
        categories: request.categories.as_slice().iter().map(ToString::to_string).collect(),
    }
}

/// The request that a question records.
pub(crate) fn request(question: &Question) -> Option<AccessRequest> {
    let person = question.person.map(|p| PersonId::of(p.0));
    let receiver = match (question.party.map(|p| PartyId::of(p.0)), question.capacity, person) {
        (Some(party), 0, None) => Receiver::Party { party, actor: Actor::System },
        (Some(party), 1, Some(p)) => Receiver::Party { party, actor: Actor::Subject(p) },
        (Some(party), 2, Some(p)) => Receiver::Party { party, actor: Actor::Guardian(p) },
        (Some(party), 3, Some(p)) => Receiver::Party { party, actor: Actor::Staff(p) },
        (None, 1, Some(person)) => Receiver::Person { person, capacity: Capacity::Subject },
        (None, 2, Some(person)) => Receiver::Person { person, capacity: Capacity::Guardian },
        _ => return None,
    };
    let categories: Option<Vec<_>> = question.categories.iter().map(|c| category_version(c)).collect();
    Some(AccessRequest {
        subject: PersonId::of(question.subject.0),
        receiver,
        source: PartyId::of(question.source.0),
        purpose: PurposeCode(sekisho_policy::Code::parse(&question.purpose).ok()?),
        categories: Categories::new(categories?)?,
    })
}

impl Store {
    /// Makes a recorded decision again, on the records and registry of its instant.
    ///
    /// # Errors
    /// When the entry is not a decision, or something it was made on can't be read any more.
    pub fn explain(&self, entry: EntryId) -> Result<Explained, StoreError> {
        let location = self.inner.index.decision(entry)?.ok_or(StoreError::Entry(NO_SUCH_DECISION))?;
        let opened = self.read(location)?;
        let Some(Event::Decided(recorded)) = opened.event else {
            return Err(StoreError::Entry("not a decision, or its key was destroyed"));
        };
        let request = request(&recorded.question).ok_or(StoreError::Entry("question"))?;
        let subject = self.as_of(request.subject, recorded.records)?;
        let registry = self.load_global(recorded.registry)?;
        let now = Timestamp::from_millis(recorded.now_ms);
        let decision = decide(&subject.records, &registry.registry, &request, now);
        let erased = subject.records.unreadable == Some(ERASED);
        let kept = recorded.kept;
        let agrees = subject.digest == recorded.records_digest.0
            && registry.digest == recorded.registry_digest.0
            && (erased || kept_bits(&request, &decision) == kept);
        let (at, route) = (opened.header.at(), recorded.route);
        Ok(Explained { entry, at, route, request, decision, agrees, erased, kept, registry })
    }

    /// When each consent about a person permitted something, the first and the last time. What a legal basis had a part in does not count: it would
    /// tell of it (invariant 11).
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn uses(&self, person: PersonId) -> Result<HashMap<ConsentId, Used>, StoreError> {
        Ok(self.inner.index.uses_of(person)?)
    }

    /// The event that came with an idempotency key, the hash of the body that came with it, and its entry.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn by_idempotency(&self, key: [u8; 32]) -> Result<Option<(Event, [u8; 32], Ending)>, StoreError> {
        let Some(location) = self.inner.index.idempotency(key)? else { return Ok(None) };
        let opened = self.read(location)?;
        let ending = Ending { entry: opened.header.id(), leaf: opened.leaf, at: opened.header.at() };
        let body = opened.header.idempotency().map(|i| i.body.0);
        Ok(opened.event.zip(body).map(|(event, body)| (event, body, ending)))
    }
}
