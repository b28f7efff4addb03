//! People's records as they stand, and which of them are held in memory.
//!
//! A person's records are in two parts. The [`Subject`] is what every decision and release looks at, and is held of many
//! people; the [`Papers`] are what people look at who give and end consents, and are held of few. Both are bounded by
//! their weight in bytes.
//!
//! What is held is used only while the person's counter stands where it stood when it was read. Once it has moved, the
//! entries that came since are applied to what is held: the list of a person's entries only grows, and an entry never
//! changes. Where a key was destroyed since, what is held may say what nobody may read any more: all is read anew.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sekisho_policy::{Consent, LegalBasis, PersonId, Refusal, Scope};

use super::embedded::writer::{Guard, Slot};
use super::papers::BasisPaper;
use super::state::{Agreement, Link, Pairwise, Papers, Proposal, Subject};
use super::{Store, StoreError};
use crate::ledger::event::{Attestation, LinkTarget, Terms};
use crate::sabotage::{self, Check};

/// Bytes of subjects held, at most: a million consents of a hundred thousand people fit.
const SUBJECTS_BYTES: u64 = 512 << 20;
/// Bytes of papers, each with its subject, held at most.
const DOSSIERS_BYTES: u64 = 64 << 20;
/// Parts of the caches, each locked and bounded by itself: none so small that the records of one person would not fit.
const SHARDS: [usize; 2] = [16, 4];
/// Bytes of a subject with one consent, about: how many there will be tells the caches how to begin.
const SMALL: u64 = 1 << 10;
/// Bytes that each person takes in a cache beside the records: key, counters, the allocators' rounding.
const BESIDE: usize = 160;

/// What decisions and releases look at of one person, as it stands, with what guards it against change.
#[derive(Clone)]
pub struct Snapshot {
    /// The records.
    pub subject: Arc<Subject>,
    pub(super) guard: Guard,
}

/// Everything recorded about one person, as it stands, with what guards it against change.
#[derive(Clone)]
pub struct Dossier {
    /// What decisions and releases look at.
    pub subject: Arc<Subject>,
    /// What was proposed and agreed to, word by word.
    pub papers: Arc<Papers>,
    pub(super) guard: Guard,
}

/// People held in memory.
pub(super) struct Memory {
    subjects: Cache<PersonId, Held<Snapshot>, Weight>,
    dossiers: Cache<PersonId, Held<Dossier>, Weight>,
}

#[derive(Clone)]
struct Held<T> {
    what: T,
    /// Keys that this process had destroyed before it was read.
    destroyed: usize,
    bytes: u64,
}

#[derive(Clone)]
struct Weight;

impl<T> Weighter<PersonId, Held<T>> for Weight {
    fn weight(&self, _: &PersonId, held: &Held<T>) -> u64 {
        held.bytes
    }
}

impl Memory {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        let [many, few] = SHARDS;
        Self { subjects: cache(SUBJECTS_BYTES, many), dossiers: cache(DOSSIERS_BYTES, few) }
    }
}

fn cache<T: Clone>(bytes: u64, shards: usize) -> Cache<PersonId, Held<T>, Weight> {
    let items = usize::try_from(bytes / SMALL).unwrap_or(usize::MAX);
    let options = OptionsBuilder::new().shards(shards).estimated_items_capacity(items).weight_capacity(bytes).build();
    #[expect(clippy::expect_used, reason = "fails only where one of the two capacities is missing")]
    let options = options.expect("both capacities are given");
    Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

impl Store {
    /// Somebody need not be held in memory any more: what is done about very many people, once each, leaves the room to others.
    pub fn let_go(&self, person: PersonId) {
        self.inner.memory.subjects.remove(&person);
        self.inner.memory.dossiers.remove(&person);
    }

    /// What decisions and releases look at of one person, as it stands.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn snapshot(&self, person: PersonId) -> Result<Snapshot, StoreError> {
        let guard = self.inner.writer.versions.settled(Slot::of(person.bytes())).await;
        let held = self.inner.memory.subjects.get(&person);
        let destroyed = self.inner.vault.destroyed_here();
        let mut subject = match held {
            Some(held) if is_current(held.what.guard, guard) => return Ok(Snapshot { guard, ..held.what }),
            Some(held) if may_go_on(&held, destroyed) => held.what.subject,
            _ => Arc::new(Subject::unknown(person)),
        };
        // Papers without what came before; nobody sees them.
        self.read_on(person, &mut subject, &mut Arc::default(), u64::MAX)?;
        let snapshot = Snapshot { subject, guard };
        self.hold(person, &snapshot, destroyed);
        Ok(snapshot)
    }

    /// Everything recorded about one person, as it stands.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn dossier(&self, person: PersonId) -> Result<Dossier, StoreError> {
        let guard = self.inner.writer.versions.settled(Slot::of(person.bytes())).await;
        let held = self.inner.memory.dossiers.get(&person);
        let destroyed = self.inner.vault.destroyed_here();
        let (mut subject, mut papers) = match held {
            Some(held) if is_current(held.what.guard, guard) => return Ok(Dossier { guard, ..held.what }),
            Some(held) if may_go_on(&held, destroyed) => (held.what.subject, held.what.papers),
            _ => (Arc::new(Subject::unknown(person)), Arc::default()),
        };
        self.read_on(person, &mut subject, &mut papers, u64::MAX)?;
        self.hold(person, &Snapshot { subject: Arc::clone(&subject), guard }, destroyed);
        let bytes = (BESIDE + subject_bytes(&subject) + papers_bytes(&papers)) as u64;
        let what = Dossier { subject, papers, guard };
        self.inner.memory.dossiers.insert(person, Held { what: what.clone(), destroyed, bytes });
        Ok(what)
    }

    /// Whoever finds the same counter takes it as it is; if that moved while it was read, the next one goes on from it.
    fn hold(&self, person: PersonId, snapshot: &Snapshot, destroyed: usize) {
        let bytes = (BESIDE + subject_bytes(&snapshot.subject)) as u64;
        self.inner.memory.subjects.insert(person, Held { what: snapshot.clone(), destroyed, bytes });
    }

    /// The records as the first `entries` entries shaped them.
    pub(super) fn as_of(&self, person: PersonId, entries: u64) -> Result<Arc<Subject>, StoreError> {
        let mut subject = Arc::new(Subject::unknown(person));
        self.read_on(person, &mut subject, &mut Arc::default(), entries)?;
        Ok(subject)
    }

    /// Applies the entries from where these records end, up to the first `entries` of them.
    fn read_on(
        &self,
        person: PersonId,
        subject: &mut Arc<Subject>,
        papers: &mut Arc<Papers>,
        entries: u64,
    ) -> Result<(), StoreError> {
        let (from, to) = (usize::try_from(subject.entries), usize::try_from(entries));
        let (from, to) = (from.unwrap_or(usize::MAX), to.unwrap_or(usize::MAX));
        let mut fresh = self.inner.index.state_of(person, from)?;
        fresh.truncate(to.saturating_sub(from));
        if fresh.is_empty() {
            return Ok(());
        }
        let (subject, papers) = (Arc::make_mut(subject), Arc::make_mut(papers));
        for location in fresh {
            let opened = self.read(location)?;
            if opened.person != Some(person) {
                return Err(StoreError::Entry("filed under another person"));
            }
            subject.apply(papers, &opened.header, &opened.leaf, opened.event.as_ref());
        }
        shrink(subject, papers);
        Ok(())
    }
}

/// Whether nothing changed since.
fn is_current(held: Guard, now: Guard) -> bool {
    held == now || sabotage::off(Check::HeldCurrent)
}

/// Whether records that were read earlier may be gone on from: no key was destroyed since, which might have been theirs.
fn may_go_on<T>(held: &Held<T>, destroyed: usize) -> bool {
    held.destroyed == destroyed || sabotage::off(Check::ReadAnewErased)
}

fn shrink(subject: &mut Subject, papers: &mut Papers) {
    let records = &mut subject.records;
    records.consents.shrink_to_fit();
    records.refusals.shrink_to_fit();
    records.blocks.shrink_to_fit();
    records.authorities.shrink_to_fit();
    records.bases.shrink_to_fit();
    subject.links.shrink_to_fit();
    subject.pairwise.shrink_to_fit();
    subject.officials.shrink_to_fit();
    subject.undisclosed.shrink_to_fit();
    papers.proposals.shrink_to_fit();
    papers.agreements.shrink_to_fit();
    papers.authorities.shrink_to_fit();
    papers.links.shrink_to_fit();
    papers.bases.shrink_to_fit();
}

fn subject_bytes(subject: &Subject) -> usize {
    let records = &subject.records;
    let consent = |c: &Consent| size_of_val(c) + size_of_val(&*c.categories);
    let refusal = |r: &Refusal| {
        let categories = if let Scope::Only(codes) = &r.scope.categories { size_of_val(&**codes) } else { 0 };
        size_of_val(r) + categories
    };
    let basis = |b: &LegalBasis| size_of_val(b) + size_of_val(&*b.categories);
    let link = |l: &Link| {
        let (LinkTarget::Login { issuer: one, sub: other } | LinkTarget::Source { party: one, id: other }) = &l.to;
        size_of_val(l) + one.len() + other.len()
    };
    let pairwise = |p: &Pairwise| size_of_val(p) + p.party.len();
    size_of_val(subject)
        + records.consents.iter().map(consent).sum::<usize>()
        + records.refusals.iter().map(refusal).sum::<usize>()
        + size_of_val(&*records.blocks)
        + size_of_val(&*records.authorities)
        + records.bases.iter().map(basis).sum::<usize>()
        + subject.links.iter().map(link).sum::<usize>()
        + subject.pairwise.iter().map(pairwise).sum::<usize>()
        + size_of_val(&*subject.officials)
        + size_of_val(&*subject.undisclosed)
}

fn papers_bytes(papers: &Papers) -> usize {
    let proposal = |p: &Proposal| size_of_val(p) + p.proposed_by.len() + terms_bytes(&p.terms);
    let attested = |a: &Attestation| a.party.len() + a.evidence.len() + a.checked_by.len() + a.recorded_by.len();
    let agreement = |a: &Agreement| {
        let proposer = a.proposed_by.as_ref().map_or(0, String::len);
        size_of_val(a) + a.how.len() + proposer + a.attestation.as_ref().map_or(0, attested) + terms_bytes(&a.terms)
    };
    let basis = |b: &BasisPaper| size_of_val(b) + b.article.len() + b.requester.len() + b.decided_by.len();
    size_of_val(papers)
        + papers.proposals.iter().map(proposal).sum::<usize>()
        + papers.agreements.iter().map(agreement).sum::<usize>()
        + papers.authorities.iter().map(|a| size_of_val(a) + a.kind.len()).sum::<usize>()
        + papers.links.iter().map(|l| size_of_val(l) + l.verified_by.len()).sum::<usize>()
        + papers.bases.iter().map(basis).sum::<usize>()
}

fn terms_bytes(terms: &Terms) -> usize {
    let categories = terms.categories.iter().map(|c| size_of_val(c) + c.len()).sum::<usize>();
    let optional = [&terms.source, &terms.data_from, &terms.data_until];
    let optional = optional.into_iter().flatten().map(String::len).sum::<usize>();
    let booking = terms.booking.as_ref().map_or(0, |b| b.reference.len());
    terms.recipient.len() + terms.purpose.len() + categories + optional + booking
}
