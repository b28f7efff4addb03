//! The one writer: takes groups of entries, checks that nothing they were computed on has changed, makes them durable
//! with one `fdatasync`, lets new decisions see them, and only then answers.
//!
//! Order within a group: guards compared and counted → frames written → synced → index → counters published → answers.
//! A failed sync ends the process: what the disk holds is unknown then, and nothing more may be acknowledged.

use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrayvec::ArrayVec;
use sekisho_policy::{PersonId, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

use super::disk::stop_the_process;
use super::index::{Index, Mark, Placed};
use super::indexer::Indexer;
use super::log::{Location, Log, LogError};
use super::pace::Workers;
use crate::clock::{BACKWARD_TOLERANCE_MS, Clock};
use crate::ids::EntryId;
use crate::ledger::checkpoint::LedgerKey;
use crate::ledger::entry::{Entry, Header};
use crate::ledger::event::Event;
use crate::ledger::merkle::{Frontier, Hash, WINDOW, leaf_hash};
use crate::sabotage::{self, Check};
use crate::store::Watch;

/// Requests that wait for the writer, at most; beyond it callers wait for a place.
const QUEUE: usize = 4096;
/// Requests in one group, at most.
const GROUP: usize = 512;
/// Version counters. Subjects share them by hash: a collision costs a second look, never correctness.
const SLOTS: usize = 1 << 16;
/// Guards of one request, at most.
const GUARDS_MAX: usize = 4;

/// An entry, ready to be written.
pub struct Prepared {
    pub(crate) header: Header,
    pub(crate) person: Option<PersonId>,
    pub(crate) event: Event,
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf: Hash,
}

impl Prepared {
    pub(crate) fn new(header: Header, person: Option<PersonId>, event: Event, body: Vec<u8>) -> Self {
        let bytes = Entry { header, body }.encode();
        let leaf = leaf_hash(&bytes);
        Self { header, person, event, bytes, leaf }
    }
}

/// An entry that is durable and seen by every new decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its id.
    pub entry: EntryId,
    /// Its leaf hash.
    pub leaf: Hash,
    /// Its number in the ledger, from 0.
    pub position: u64,
    /// When.
    pub at: Timestamp,
}

/// Why the writer did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// What it was computed on has changed: look again.
    Changed,
    /// An entry with this idempotency key is there already.
    Repeated,
    /// The writer has stopped.
    Stopped,
}

/// Which counter something is guarded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// The registry's.
    pub const GLOBAL: Self = Self(0);

    /// The counter of a person, or of anything else that is known by 16 random bytes.
    #[must_use]
    pub fn of(bytes: &[u8; 16]) -> Self {
        let (first, _) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        // Slot 0 is the registry's.
        Self(1 + (u64::from_le_bytes(*first) as usize) % (SLOTS - 1))
    }
}

/// A counter's value when something was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub(crate) slot: Slot,
    pub(crate) seen: u64,
}

/// How many changes were appended, and how many of them every reader sees.
pub struct Versions {
    appended: Box<[AtomicU64]>,
    applied: Box<[AtomicU64]>,
    changed: Notify,
}

impl Versions {
    fn new() -> Self {
        let zeros = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { appended: zeros(), applied: zeros(), changed: Notify::new() }
    }

    /// The slot's value, once everything appended to it is also seen.
    pub async fn settled(&self, slot: Slot) -> Guard {
        loop {
            let changed = self.changed.notified();
            if let Some(guard) = self.settled_now(slot) {
                return guard;
            }
            changed.await;
        }
    }

    /// The slot's value, if everything appended to it is also seen.
    pub fn settled_now(&self, slot: Slot) -> Option<Guard> {
        let seen = self.applied.get(slot.0)?.load(Ordering::Acquire);
        let appended = self.appended.get(slot.0)?.load(Ordering::Acquire);
        (appended == seen).then_some(Guard { slot, seen })
    }

    /// Whether nothing was appended to the slot since.
    pub fn holds(&self, guard: Guard) -> bool {
        self.appended.get(guard.slot.0).is_some_and(|now| now.load(Ordering::Acquire) == guard.seen)
    }

    fn count(&self, slot: Slot) {
        if let Some(counter) = self.appended.get(slot.0) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn publish(&self, slot: Slot) {
        if let (Some(applied), Some(appended)) = (self.applied.get(slot.0), self.appended.get(slot.0)) {
            applied.store(appended.load(Ordering::Acquire), Ordering::Release);
        }
    }
}

pub(crate) struct Append {
    pub(crate) entries: Vec<Prepared>,
    pub(crate) guards: ArrayVec<Guard, GUARDS_MAX>,
    pub(crate) also_changes: ArrayVec<Slot, 2>,
    pub(crate) reply: Option<oneshot::Sender<Result<Appended, Refused>>>,
}

pub(crate) enum Message {
    Append(Append),
    Checkpoint(oneshot::Sender<Vec<u8>>),
    /// A checkpoint, and what proofs under it are made from.
    Proving(oneshot::Sender<Proving>),
    Mark(oneshot::Sender<()>),
    /// Something about this slot has changed that is not in the ledger: look again.
    Touch(Slot, oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// The callers' end.
#[derive(Clone)]
pub struct Writer {
    pub(crate) sender: mpsc::Sender<Message>,
    pub(crate) versions: Arc<Versions>,
    /// The workers of the runtime that it serves, once they are known.
    pub(crate) workers: Arc<OnceLock<Arc<Workers>>>,
}

/// A signed checkpoint, and what proofs under it are made from.
#[derive(Clone, Default)]
pub(crate) struct Proving {
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) size: u64,
    /// The root of every whole window of leaves.
    pub(crate) roots: Vec<Hash>,
    /// Where each window begins.
    pub(crate) begins: Vec<Location>,
}

/// What the writer works on.
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) index: Arc<Index>,
    pub(crate) frontier: Frontier,
    /// Where each window of leaves begins.
    pub(crate) begins: Vec<Location>,
    /// What was pruned where.
    pub(crate) layout: Hash,
    pub(crate) key: Arc<LedgerKey>,
    pub(crate) clock: Clock,
    pub(crate) boot: String,
    pub(crate) dir: std::path::PathBuf,
    pub(crate) watch: Arc<Watch>,
    /// Held as long as anything may still be written.
    pub(crate) _lock: Arc<std::fs::File>,
}

impl Writer {
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let versions = Arc::new(Versions::new());
        let workers = Arc::new(OnceLock::new());
        let indexer = Indexer::start(Arc::clone(&parts.index), parts.boot.clone())?;
        let (latest_ms, keys) = (i64::MIN, HashSet::new());
        let thread = Thread {
            parts,
            indexer,
            workers: Arc::clone(&workers),
            versions: Arc::clone(&versions),
            receiver,
            latest_ms,
            keys,
        };
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || thread.run())?;
        Ok(Self { sender, versions, workers })
    }

    pub(crate) async fn append(
        &self,
        entries: Vec<Prepared>,
        guards: impl IntoIterator<Item = Guard>,
        also_changes: impl IntoIterator<Item = Slot>,
    ) -> Result<Appended, Refused> {
        let (reply, answer) = oneshot::channel();
        let narrows = entries.iter().any(|entry| entry.event.entry_type().narrows());
        let append = Append {
            entries,
            guards: guards.into_iter().collect(),
            also_changes: also_changes.into_iter().collect(),
            reply: Some(reply),
        };
        self.sender.send(Message::Append(append)).await.map_err(|_| Refused::Stopped)?;
        if let Some(workers) = self.workers.get() {
            workers.waits(narrows);
        }
        answer.await.map_err(|_| Refused::Stopped)?
    }
}

struct Thread {
    parts: Parts,
    indexer: Indexer,
    workers: Arc<OnceLock<Arc<Workers>>>,
    versions: Arc<Versions>,
    receiver: mpsc::Receiver<Message>,
    /// The latest time of any entry written by this thread.
    latest_ms: i64,
    /// Idempotency keys of the group that is being taken: the index does not know them yet.
    keys: HashSet<[u8; 32]>,
}

type Placing = (Prepared, Location, u64);
type Answer = (oneshot::Sender<Result<Appended, Refused>>, Appended);

impl Thread {
    fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.receiver.blocking_recv_many(&mut group, GROUP) > 0 {
            if let Some(workers) = self.workers.get() {
                workers.until_worth_it();
            }
            while group.len() < GROUP
                && let Ok(message) = self.receiver.try_recv()
            {
                group.push(message);
            }
            if let Some(reply) = self.group(group.drain(..)) {
                self.finish();
                // Whoever is told that it has stopped may open the directory again at once: let go of it first.
                drop(self);
                let _ = reply.send(());
                return;
            }
        }
        self.finish();
    }

    /// Takes a group; gives whom to tell when it was the last.
    fn group(&mut self, messages: impl Iterator<Item = Message>) -> Option<oneshot::Sender<()>> {
        let (mut placed, mut answers, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        let mut after = Vec::new();
        for message in messages {
            match message {
                Message::Append(append) => self.take(append, &mut placed, &mut answers, &mut slots),
                other => after.push(other),
            }
        }
        self.commit(placed, answers, slots);
        for message in after {
            match message {
                Message::Append(_) => {}
                Message::Checkpoint(reply) => drop(reply.send(self.checkpoint())),
                Message::Proving(reply) => drop(reply.send(Proving {
                    checkpoint: self.checkpoint(),
                    size: self.parts.frontier.size(),
                    roots: self.parts.frontier.windows().to_vec(),
                    begins: self.parts.begins.clone(),
                })),
                Message::Mark(reply) => self.indexer.mark(self.mark(), reply),
                Message::Touch(slot, reply) => {
                    self.versions.count(slot);
                    self.versions.publish(slot);
                    self.versions.changed.notify_waiters();
                    let _ = reply.send(());
                }
                Message::Stop(reply) => return Some(reply),
            }
        }
        None
    }

    /// Why a request can't be taken. What was computed so long ago that time would run backwards is computed again.
    fn refused(&self, append: &Append) -> Option<Refused> {
        let held = append.guards.iter().all(|g| self.versions.holds(*g)) || sabotage::off(Check::VersionGuard);
        let oldest_ms = self.latest_ms.saturating_sub(BACKWARD_TOLERANCE_MS);
        if !held || append.entries.iter().any(|entry| entry.header.at().millis() < oldest_ms) {
            return Some(Refused::Changed);
        }
        let mut keys = append.entries.iter().filter_map(|entry| entry.header.idempotency());
        let repeated = keys.any(|idempotency| {
            let key = idempotency.key.0;
            self.keys.contains(&key) || self.parts.index.idempotency(key).is_ok_and(|found| found.is_some())
        });
        (repeated && !sabotage::off(Check::IdempotencyKey)).then_some(Refused::Repeated)
    }

    /// Compares the guards and, when they hold, counts the changes and appends. Counting before the sync keeps every
    /// later request of this group, and every reader, from using what is about to change.
    fn take(&mut self, append: Append, placed: &mut Vec<Placing>, answers: &mut Vec<Answer>, slots: &mut Vec<Slot>) {
        if let Some(refused) = self.refused(&append) {
            match append.reply {
                Some(reply) => drop(reply.send(Err(refused))),
                None => tracing::warn!(?refused, "an outcome came too late to be recorded; the next start closes it"),
            }
            return;
        }
        for slot in append.also_changes {
            self.versions.count(slot);
            slots.push(slot);
        }
        let mut first = None;
        let last = append.entries.len().saturating_sub(1);
        for (number, entry) in append.entries.into_iter().enumerate() {
            self.latest_ms = self.latest_ms.max(entry.header.at().millis());
            self.keys.extend(entry.header.idempotency().map(|idempotency| idempotency.key.0));
            if let Some(slot) = changed_slot(&entry) {
                self.versions.count(slot);
                slots.push(slot);
            }
            let position = self.parts.log.count();
            let location = self.parts.log.append(&entry.bytes, number < last);
            self.parts.frontier.push(entry.leaf);
            if position.is_multiple_of(WINDOW) {
                self.parts.begins.push(location);
            }
            let appended = Appended { entry: entry.header.id(), leaf: entry.leaf, position, at: entry.header.at() };
            first.get_or_insert(appended);
            placed.push((entry, location, position));
        }
        if let (Some(reply), Some(first)) = (append.reply, first) {
            answers.push((reply, first));
        }
    }

    fn commit(&mut self, placed: Vec<Placing>, answers: Vec<Answer>, slots: Vec<Slot>) {
        if placed.is_empty() && slots.is_empty() {
            return;
        }
        let began = Instant::now();
        if let Err(error) = self.parts.log.sync() {
            stop_the_process(&error);
        }
        self.parts.watch.synced(placed.len(), self.parts.log.count(), began.elapsed());
        for (entry, _, _) in &placed {
            self.parts.clock.raise_floor(entry.header.at());
        }
        let applied = self.parts.index.apply(placed.iter().map(|(entry, location, position)| Placed {
            position: *position,
            location: *location,
            id: entry.header.id(),
            person: entry.person,
            idempotency: entry.header.idempotency().map(|i| i.key.0),
            event: Some(&entry.event),
        }));
        match applied {
            Ok(waiting) => self.indexer.waiting(waiting),
            // Durable but invisible: readers would decide on an old set. Stop; the start rebuilds the index.
            Err(error) => stop_the_process(&error),
        }
        self.keys.clear();
        slots.into_iter().for_each(|slot| self.versions.publish(slot));
        self.versions.changed.notify_waiters();
        if let Some(workers) = self.workers.get().filter(|_| !answers.is_empty()) {
            workers.will_wake();
        }
        for (reply, appended) in answers {
            let _ = reply.send(Ok(appended));
        }
    }

    /// A checkpoint while the store is in use. A disk that is dead takes nothing any more: where it can't be read either,
    /// nobody gets as far as a write that would tell. Full is another thing: the ledger may have room left, and a
    /// revocation may need it.
    fn checkpoint(&self) -> Vec<u8> {
        let (signed, written) = self.write_checkpoint();
        if let Err(error) = written {
            let full =
                |source: &std::io::Error| matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            if !matches!(&error, LogError::Io { source, .. } if full(source)) {
                stop_the_process(&error);
            }
            tracing::error!(%error, "the checkpoint file could not be written");
        }
        signed
    }

    fn write_checkpoint(&self) -> (Vec<u8>, Result<(), LogError>) {
        let signed = self.parts.key.checkpoint(self.parts.frontier.size(), self.parts.frontier.root());
        let signed = signed.unwrap_or_default();
        let written = write_checkpoint(&self.parts.dir, &signed);
        if written.is_ok() {
            self.parts.watch.checkpoint_written();
        }
        (signed, written.map_err(|source| LogError::Io { what: "checkpoint", source }))
    }

    fn mark(&self) -> Mark {
        let Parts { log, frontier, layout, .. } = &self.parts;
        Mark { count: log.count(), root: frontier.root(), layout: *layout }
    }

    /// The last thing: what was acknowledged is on the disk already, so that nothing here can fail it.
    fn finish(&mut self) {
        if let (_, Err(error)) = self.write_checkpoint() {
            tracing::error!(%error, "the last checkpoint could not be written; the one before stands");
        }
        self.indexer.finish();
        if let Err(error) = self.parts.index.mark(self.mark(), &self.parts.boot, true) {
            tracing::warn!(%error, "the index could not be flushed; it will be rebuilt at the next start");
        }
    }
}

fn changed_slot(entry: &Prepared) -> Option<Slot> {
    let entry_type = entry.event.entry_type();
    match entry.person {
        Some(person) => entry_type.changes_subject().then(|| Slot::of(person.bytes())),
        None => entry_type.changes_registry().then_some(Slot::GLOBAL),
    }
}

/// The newest checkpoint, whole or not at all.
pub(in crate::store) fn write_checkpoint(dir: &std::path::Path, signed: &[u8]) -> std::io::Result<()> {
    let fresh = dir.join("checkpoint.new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(signed)?;
    file.sync_data()?;
    std::fs::rename(fresh, dir.join("checkpoint"))
}
