//! The store's one API. Its heart is [`Store::decide_and_record`]: it reads the current records, runs the pure decision,
//! appends it, and returns [`Recorded`] once it is durable; a decision computed on records that have changed since can't
//! be appended (invariant 1).
//!
//! [`Store::update`] is the same for what people and officials record. Readers see a change only after it is durable, and
//! from then on always. Read next: `embedded/writer.rs` for the order in which this happens, `memory` for
//! what is read, `state` for what it is made of.

mod codes;
pub mod conformance;
mod directory;
pub mod embedded;
mod erasure;
mod error;
pub(crate) mod explain;
mod global;
mod lines;
mod look_up;
mod memory;
mod open;
mod papers;
mod prepare;
mod prove;
mod prune;
mod recorded;
pub mod registry;
mod report;
pub mod state;
mod take_up;
mod watch;

use std::sync::Arc;

use arrayvec::ArrayVec;
use sekisho_policy::{AccessRequest, Decision, Permit, PersonId, Timestamp, decide};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::ledger::checkpoint::LedgerKey;
use crate::ledger::entry::{Cause, Idempotency};
use crate::ledger::event::{Closed, Event};
use crate::ledger::merkle::Hash;
use embedded::index::Index;
use embedded::log::LogReader;
pub use embedded::pace::{UnderWay, Workers};
pub use embedded::pages::Used;
use embedded::vault::Vault;
pub use embedded::writer::Appended;
use embedded::writer::{Append, Guard, Message, Refused, Slot, Writer};
pub use error::StoreError;
pub use explain::Explained;
pub use lines::{LogLine, Logged, Look};
use memory::Memory;
pub use memory::{Dossier, Snapshot};
pub use open::{OpenError, Options};
pub use prove::Provable;
pub use prune::{PruneError, Pruning};
use recorded::ruling;
pub use recorded::{Recorded, Ruling};
pub use report::{Kept, KeptOf, Received, ReportAsked};
use state::Global;
pub use watch::Watch;

/// Times that a computation is tried again when what it was based on changed meanwhile.
const ATTEMPTS: usize = 32;

/// What an update writes.
#[derive(Default)]
pub struct Draft {
    /// Up to three events about the person, in order.
    pub events: ArrayVec<Event, 3>,
    /// Who causes it.
    pub cause: Option<Cause>,
    /// The idempotency key that came with it.
    pub idempotency: Option<Idempotency>,
    /// An event about one of the others that the update names, in the same group.
    pub beside: Option<(PersonId, Event)>,
    /// Further events about the person, each with a key of its own: rows of a table, a bounded part of it at once.
    pub rows: Vec<(Event, Option<Idempotency>)>,
}

struct Inner {
    vault: Vault,
    index: Arc<Index>,
    reader: LogReader,
    writer: Writer,
    clock: Clock,
    key: Arc<LedgerKey>,
    memory: Memory,
    global: arc_swap::ArcSwap<(Guard, Arc<Global>)>,
    nobody: PersonId,
    /// What proofs are made under, and since when.
    proving: tokio::sync::Mutex<Option<prove::Current>>,
    /// Held while keys are destroyed, and while a backup is made: a backup's ledger and vault must agree on it.
    keeping: tokio::sync::Mutex<()>,
    /// Held while the vault is changed.
    changing_vault: tokio::sync::Mutex<()>,
    _lock: Arc<std::fs::File>,
}

/// The store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Decides on the current records and records the decision. Whoever gets [`Ruling::Permitted`] knows that the
    /// decision is durable and that nothing it was based on had changed when it was appended.
    ///
    /// # Errors
    /// When it could not be decided or recorded. That denies.
    pub async fn decide_and_record(
        &self,
        request: &AccessRequest,
        route: &str,
        cause: Cause,
    ) -> Result<Ruling, StoreError> {
        for _ in 0..ATTEMPTS {
            let (global_guard, global) = self.global().await?;
            let snapshot = self.snapshot(request.subject).await?;
            let now = self.inner.clock.now()?;
            let decision = decide(&snapshot.subject.records, &global.registry, request, now);
            let event = explain::decided(request, route, now, &snapshot.subject, &global, &decision);
            let prepared = self.prepare(request.subject, Event::Decided(event), now, cause, None)?;
            match self.inner.writer.append(vec![prepared], [global_guard, snapshot.guard], []).await {
                Ok(appended) => return Ok(ruling(decision, request, appended)),
                Err(Refused::Changed) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(StoreError::Busy)
    }

    /// Decides again, in memory, on the records as they stand now: whether a recorded permit is still covered.
    ///
    /// # Errors
    /// When it can't be told. That denies.
    pub async fn still_permitted(&self, request: &AccessRequest, permit: &Permit) -> Result<bool, StoreError> {
        Ok(self.permitted_until(request, permit).await?.is_some())
    }

    /// Likewise, and until when on these records.
    ///
    /// # Errors
    /// When it can't be told. That denies.
    pub async fn permitted_until(
        &self,
        request: &AccessRequest,
        permit: &Permit,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (_, global) = self.global().await?;
        let snapshot = self.snapshot(request.subject).await?;
        let now = self.inner.clock.now()?;
        Ok(match decide(&snapshot.subject.records, &global.registry, request, now) {
            Decision::Permit(current) if current.covers(permit) => Some(current.until()),
            Decision::Permit(_) | Decision::Deny(_) => None,
        })
    }

    /// Records something about a person: computes a draft on the current records and appends it unless they have changed
    /// meanwhile, in which case it is computed again. An empty draft writes nothing.
    ///
    /// # Errors
    /// The draft's own error, or the store's.
    pub async fn update<T, E: From<StoreError>>(
        &self,
        person: PersonId,
        draft: impl Fn(&Dossier, &Global, Timestamp) -> Result<(T, Draft), E>,
    ) -> Result<(T, Option<Appended>), E> {
        self.update_with(person, &[], |dossier, _, global, now| draft(dossier, global, now)).await
    }

    /// Like [`Store::update`], guarded by, and counting as a change of, up to two further people (or things that are known
    /// by 16 random bytes, which have no records): two updates that name the same one never both succeed on the same view
    /// of it.
    ///
    /// # Errors
    /// The draft's own error, or the store's.
    pub async fn update_with<T, E: From<StoreError>>(
        &self,
        person: PersonId,
        others: &[PersonId],
        draft: impl Fn(&Dossier, &[Dossier], &Global, Timestamp) -> Result<(T, Draft), E>,
    ) -> Result<(T, Option<Appended>), E> {
        for _ in 0..ATTEMPTS {
            let mut guards: ArrayVec<Guard, 4> = ArrayVec::new();
            let also: ArrayVec<Slot, 2> = others.iter().take(2).map(|p| Slot::of(p.bytes())).collect();
            let mut seen: ArrayVec<Dossier, 2> = ArrayVec::new();
            for other in others.iter().take(2) {
                seen.push(self.dossier(*other).await?);
            }
            guards.extend(seen.iter().map(|dossier| dossier.guard));
            let (global_guard, global) = self.global().await?;
            let dossier = self.dossier(person).await?;
            let now = self.inner.clock.now().map_err(StoreError::from)?;
            let (value, drafted) = draft(&dossier, &seen, &global, now)?;
            if drafted.events.is_empty() && drafted.rows.is_empty() {
                return Ok((value, None));
            }
            let mut prepared = Vec::with_capacity(drafted.events.len() + drafted.rows.len() + 1);
            let mut idempotency = drafted.idempotency;
            let cause = drafted.cause.unwrap_or(Cause::Gateway);
            for event in drafted.events {
                prepared.push(self.prepare(person, event, now, cause, idempotency.take())?);
            }
            for (event, key) in drafted.rows {
                prepared.push(self.prepare(person, event, now, cause, key)?);
            }
            if let Some((other, event)) = drafted.beside {
                prepared.push(self.prepare(other, event, now, cause, None)?);
            }
            guards.push(global_guard);
            guards.push(dossier.guard);
            match self.inner.writer.append(prepared, guards, also).await {
                Ok(appended) => return Ok((value, Some(appended))),
                Err(Refused::Changed) => {}
                Err(refused) => return Err(StoreError::from(refused).into()),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Records something about no person: a registry, a standing, an operator's look.
    ///
    /// # Errors
    /// When it could not be recorded.
    pub async fn record_global(&self, event: Event, cause: Cause) -> Result<Appended, StoreError> {
        let now = self.inner.clock.now()?;
        let prepared = prepare::in_clear(event, now, cause)?;
        Ok(self.inner.writer.append(vec![prepared], [], []).await?)
    }

    /// Records how a release ended. It does not wait for the disk: the next group carries it, and a start closes what a
    /// crash left open.
    pub fn close(&self, subject: PersonId, closed: Closed) {
        let Ok(now) = self.inner.clock.now() else { return };
        let prepared = match self.prepare(subject, Event::Closed(closed), now, Cause::Gateway, None) {
            Ok(prepared) => prepared,
            Err(error) => return tracing::error!(%error, "an outcome could not be sealed; the next start closes it"),
        };
        let append =
            Append { entries: vec![prepared], guards: ArrayVec::new(), also_changes: ArrayVec::new(), reply: None };
        let sent = self.inner.writer.sender.try_send(Message::Append(append));
        if let Err(TrySendError::Full(message)) = sent
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let sender = self.inner.writer.sender.clone();
            runtime.spawn(async move { sender.send(message).await.is_ok() });
        }
    }

    /// The registry in force.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn registry(&self) -> Result<Arc<Global>, StoreError> {
        self.global().await.map(|(_, global)| global)
    }

    async fn global(&self) -> Result<(Guard, Arc<Global>), StoreError> {
        let guard = self.inner.writer.versions.settled(Slot::GLOBAL).await;
        let current = self.inner.global.load();
        if current.0 == guard {
            return Ok((guard, Arc::clone(&current.1)));
        }
        let global = Arc::new(self.load_global(u64::MAX)?);
        self.inner.global.store(Arc::new((guard, Arc::clone(&global))));
        Ok((guard, global))
    }

    /// Makes keys for new people, durably; enrolment needs them.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub async fn make_keys(&self, people: Vec<PersonId>) -> Result<(), StoreError> {
        self.in_vault(move |vault| vault.make_keys(&people)).await
    }

    /// Has the writer gather requests while these workers are all busy.
    pub fn paced_by(&self, workers: Arc<Workers>) {
        // A second runtime changes nothing: the store is opened by one.
        let _ = self.inner.writer.workers.set(workers);
    }

    /// A request is under way until what this gives is dropped: the writer gathers the better for knowing how many are.
    #[must_use]
    pub fn request_begins(&self) -> Option<UnderWay> {
        self.inner.writer.workers.get().map(Workers::begin)
    }

    /// Whether the writer still takes what is to be recorded.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.inner.writer.sender.is_closed()
    }

    /// Index records that wait to be written.
    #[must_use]
    pub fn index_backlog(&self) -> usize {
        self.inner.index.waiting()
    }

    /// The vault, for upstream tokens.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// The key that signs checkpoints and receipts.
    #[must_use]
    pub fn ledger_key(&self) -> &Arc<LedgerKey> {
        &self.inner.key
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Signs a checkpoint of the ledger as it stands and writes it beside the ledger.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, StoreError> {
        self.ask(Message::Checkpoint).await
    }

    /// Flushes the index, so that a restart has less to read.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub async fn mark(&self) -> Result<(), StoreError> {
        self.ask(Message::Mark).await
    }

    /// Stops cleanly: everything taken is durable, the checkpoint signed, the index flushed.
    ///
    /// # Errors
    /// When the writer had stopped already.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.ask(Message::Stop).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inner.writer.sender.send(message(reply)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)
    }

    /// SHA-256 over the index, to compare a rebuilt one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn index_digest(&self) -> Result<Hash, StoreError> {
        Ok(self.inner.index.digest()?)
    }
}
