//! Ledgers that go back four years, in several segments: what there is to prune.

use std::path::{Path, PathBuf};

use sekisho::clock::Clock;
use sekisho::ids::{EntryId, TextId};
use sekisho::ledger::entry::{Bytes16, Cause, Entry};
use sekisho::ledger::event::{Closed, Event, OperatorRead, Outcome};
use sekisho::ledger::frame::{self, SEGMENT_MAGIC};
use sekisho::ledger::verify::{Report, VerifyError, verify};
use sekisho::ledger::walk::walk;
use sekisho::store::conformance::world;
use sekisho::store::{Options, Ruling, Store};
use sekisho_policy::{ConsentId, PersonId, Timestamp};
use tempfile::TempDir;

/// Four years later, in days.
pub(crate) const LATER: i64 = 4 * 366;
pub(crate) const YEARS: u16 = 3;

pub(crate) fn later() -> Timestamp {
    world::START.plus_millis(LATER * world::DAY_MS)
}

pub(crate) fn options(directory: &Path, at: Timestamp) -> Options {
    let origin = "sekisho.example/test".to_owned();
    Options { directory: directory.to_owned(), origin, master_key: [1; 32], clock: Clock::manual(at) }
}

pub(crate) async fn open(directory: &Path) -> Store {
    Store::open(options(directory, later())).await.unwrap()
}

pub(crate) struct Old {
    pub(crate) root: TempDir,
    pub(crate) key: String,
    /// From before anything was four years old, and from the end.
    pub(crate) checkpoints: Vec<Vec<u8>>,
    /// Consented four years ago, and again lately.
    pub(crate) people: Vec<PersonId>,
    /// Revoked four years ago what was given then, for ten years.
    pub(crate) revoked: PersonId,
    pub(crate) erased: PersonId,
    pub(crate) old: Vec<EntryId>,
    pub(crate) new: Vec<EntryId>,
}

impl Old {
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn verify(&self, data: &Path) -> Result<Report, VerifyError> {
        let beside = std::fs::read(data.join("checkpoint")).unwrap();
        let all: Vec<&[u8]> = self.checkpoints.iter().chain([&beside]).map(Vec::as_slice).collect();
        verify(&data.join("ledger"), &self.key, &all, &mut |_| {})
    }

    /// What is left says what it said.
    pub(crate) async fn is_as_it_was(&self, data: &Path) {
        let entries = self.verify(data).unwrap().entries;
        let store = open(data).await;
        for (person, decision) in self.people.iter().zip(&self.new) {
            let explained = store.explain(*decision).unwrap();
            assert!(explained.agrees && explained.kept == 1);
            let log = store.access_log(*person, u64::MAX, 9).unwrap();
            assert_eq!(log.first().unwrap().entry(), *decision);
            assert_eq!(store.snapshot(*person).await.unwrap().subject.records.consents.len(), 2);
        }
        let subject = store.snapshot(self.revoked).await.unwrap().subject;
        assert!(subject.records.consents.iter().all(|consent| consent.ended_at.is_some()), "revoked stays revoked");
        let digest = store.index_digest().unwrap();
        store.stop().await.unwrap();
        drop(store);
        // Nothing was found open, and so nothing closed.
        assert_eq!(self.verify(data).unwrap().entries, entries);
        Store::forget_index(data).unwrap();
        let store = open(data).await;
        assert_eq!(store.index_digest().unwrap(), digest, "an index made anew is the same");
        store.stop().await.unwrap();
    }
}

pub(crate) fn consent(person: PersonId, from: Timestamp, days: i64) -> (ConsentId, Event) {
    let id = ConsentId::mint();
    let Event::ConsentApproved(mut approved) = world::approved(person, id) else { panic!("a consent") };
    approved.approved_ms = from.millis();
    approved.terms.from_ms = from.millis();
    approved.terms.until_ms = from.plus_millis(days * world::DAY_MS).millis();
    (id, Event::ConsentApproved(approved))
}

pub(crate) async fn permitted(store: &Store, person: PersonId) -> EntryId {
    match store.decide_and_record(&world::question(person), "test", Cause::Gateway).await.unwrap() {
        Ruling::Permitted(recorded) => recorded.decision(),
        Ruling::Denied(denial) => panic!("{denial:?}"),
    }
}

async fn looked(store: &Store) {
    let read = OperatorRead { operator: "a".into(), what: "b".into(), entry: None };
    store.record_global(Event::OperatorRead(read), Cause::Gateway).await.unwrap();
}

/// Four years ago: consents, decisions, half of them closed, a revocation, an erasure. Lately: the same people again.
pub(crate) async fn old() -> Old {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let store = Store::open(options(&data, world::START)).await.unwrap();
    world::activate(&store, &world::registry()).await.unwrap();
    let mut people = world::enrol(&store, 8).await.unwrap();
    let mut old = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let (_, given) = consent(*person, world::START, 100);
        world::record(&store, *person, given).await.unwrap();
        old.push(permitted(&store, *person).await);
        let decision = Bytes16(*old.last().unwrap().bytes());
        let closed = Closed { decision, outcome: Outcome::Complete, items: 1, withheld: 0, bytes: 2, digest: None };
        // The others are closed by the next start, and so four years later.
        if number % 2 == 0 {
            store.close(*person, closed);
        }
        looked(&store).await;
    }
    let (erased, revoked) = (people.pop().unwrap(), people.pop().unwrap());
    let (ten_years, given) = consent(revoked, world::START, 3_650);
    world::record(&store, revoked, given).await.unwrap();
    for consent in store.snapshot(revoked).await.unwrap().subject.records.consents.clone() {
        world::record(&store, revoked, world::ended(revoked, consent.id, world::START)).await.unwrap();
    }
    assert!(store.person_of_consent(ten_years).unwrap().is_some());
    store.erase(erased, Cause::Gateway).await.unwrap();
    let mut checkpoints = vec![store.checkpoint().await.unwrap()];
    let key = store.ledger_key().verifier_key();
    store.stop().await.unwrap();
    drop(store);
    let store = open(&data).await;
    // More lies between: of a day less than three years ago.
    let mut new = Vec::new();
    for person in &people {
        world::record(&store, *person, consent(*person, later(), 100).1).await.unwrap();
        new.push(permitted(&store, *person).await);
        looked(&store).await;
    }
    // The newest about the erased person is the outcome that this start recorded.
    let soon = later().plus_millis(1);
    assert_eq!(store.destroy_old_records(soon, Cause::Gateway).await.unwrap(), 1);
    checkpoints.push(store.checkpoint().await.unwrap());
    store.stop().await.unwrap();
    drop(store);
    // Closes the new ones.
    open(&data).await.stop().await.unwrap();
    split(&data.join("ledger"), &[15, 20, 20]);
    Store::forget_index(&data).unwrap();
    open(&data).await.stop().await.unwrap();
    Old { root, key, checkpoints, people, revoked, erased, old, new }
}

/// The one segment as several, as if they had been that large.
fn split(ledger: &Path, sizes: &[usize]) {
    let whole = std::fs::read(ledger.join("00000000.seg")).unwrap();
    let (mut at, mut sizes, mut segments) = (SEGMENT_MAGIC.len(), sizes.iter(), vec![SEGMENT_MAGIC.to_vec()]);
    let mut left = sizes.next().copied().unwrap_or(usize::MAX);
    while at < whole.len() {
        let found = frame::get(&whole[at..]).unwrap();
        segments.last_mut().unwrap().extend_from_slice(&whole[at..at + found.length]);
        at += found.length;
        left -= 1;
        if left == 0 && !found.more {
            segments.push(SEGMENT_MAGIC.to_vec());
            left = sizes.next().copied().unwrap_or(usize::MAX);
        }
    }
    for (number, segment) in segments.iter().enumerate() {
        std::fs::write(ledger.join(format!("{number:08}.seg")), segment).unwrap();
    }
}

/// Entries in order: segment, and what is stored.
pub(crate) fn entries(data: &Path) -> Vec<(u32, Option<Entry>)> {
    let mut all = Vec::new();
    walk(&data.join("ledger"), &mut |_| {}, |place, stored| {
        all.push((place.segment, stored.whole().map(|bytes| Entry::decode(bytes).unwrap())));
        Ok(())
    })
    .unwrap();
    all
}

/// A data directory for a configuration: two decisions with their outcomes of four years ago, one of now; and the checkpoint
/// of that.
pub(crate) async fn aged(config: &sekisho::config::Config) -> Vec<u8> {
    let now = Clock::system().now().unwrap();
    let with = |clock: Clock| Options {
        directory: config.server.data.clone(),
        origin: config.server.ledger.clone(),
        master_key: sekisho::app::master_key(&config.server.master_key).unwrap(),
        clock,
    };
    let then = now.plus_millis(-LATER * world::DAY_MS);
    let store = Store::open(with(Clock::manual(then))).await.unwrap();
    world::activate(&store, &world::registry()).await.unwrap();
    let people = world::enrol(&store, 3).await.unwrap();
    for person in people.iter().skip(1) {
        world::record(&store, *person, consent(*person, then, 100).1).await.unwrap();
        permitted(&store, *person).await;
    }
    store.stop().await.unwrap();
    drop(store);
    // Closes them, at the time of then.
    Store::open(with(Clock::manual(then))).await.unwrap().stop().await.unwrap();
    let store = Store::open(with(Clock::system())).await.unwrap();
    world::record(&store, people[0], consent(people[0], now, 100).1).await.unwrap();
    permitted(&store, people[0]).await;
    let checkpoint = store.checkpoint().await.unwrap();
    store.stop().await.unwrap();
    drop(store);
    split(&config.server.data.join("ledger"), &[12]);
    Store::forget_index(&config.server.data).unwrap();
    checkpoint
}
