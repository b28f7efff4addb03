//! What waits to be delivered: in the vault, durable, as references; here, in the order in which it is tried.
//!
//! Each recipient has a lane of its own, so that one that is down holds nobody else up. A lane that can't be reached rests, longer
//! each time; nothing in it is tried meanwhile, so that no source is asked for something that can't be delivered.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_policy::{PartyId, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use super::deliver::{Came, deliver};
use super::line::Line;
use crate::ids::{ForwardId, party_id, unpredictable};
use crate::reload::Current;
use crate::store::embedded::vault::{Change, Waiting};
use crate::store::{Store, StoreError};

/// Deliveries that wait, at most: each takes some hundred bytes of memory.
pub const WAITING_MAX: usize = 1_000_000;
/// Deliveries to one recipient at once.
const LANE_AT_ONCE: usize = 8;
/// Changes of the vault that are made durable together, at most.
const GROUP_MAX: usize = 512;
/// After a first failure, in milliseconds; doubled with each further one.
const BACK_OFF_MS: i64 = 10_000;
/// Longest time between two tries of a delivery.
const BACK_OFF_MAX_MS: i64 = 30 * 60_000;
/// Longest rest of a lane: a clinic that comes back late must not wait long for what patients sent.
const REST_MAX_MS: i64 = 5 * 60_000;
/// Without a clock nothing is tried; it is looked again after this time.
const NO_CLOCK: std::time::Duration = std::time::Duration::from_secs(1);

type Asked = (Change, Option<oneshot::Sender<()>>);

/// What waits to be delivered.
pub struct Outbox {
    lanes: Mutex<Lanes>,
    stirred: Notify,
    changes: mpsc::Sender<Asked>,
}

#[derive(Default)]
struct Lanes {
    of: HashMap<PartyId, Lane>,
    waiting: HashMap<ForwardId, Waiting>,
}

struct Lane {
    /// What nobody works on, by when it is tried next.
    due: BTreeSet<(Timestamp, ForwardId)>,
    workers: usize,
    /// Times in a row that it could not be reached.
    failures: u32,
    rests_until: Timestamp,
}

impl Default for Lane {
    fn default() -> Self {
        Self { due: BTreeSet::new(), workers: 0, failures: 0, rests_until: Timestamp::from_millis(i64::MIN) }
    }
}

impl Lane {
    /// When the next one may be tried.
    fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| (*at).max(self.rests_until))
    }
}

impl Outbox {
    /// What the vault says is waiting.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub async fn open(store: &Store) -> Result<Arc<Self>, StoreError> {
        let reading = store.clone();
        let waiting = tokio::task::spawn_blocking(move || reading.vault().forwards()).await;
        let waiting = waiting.map_err(|_| StoreError::Stopped)??;
        let (changes, asked) = mpsc::channel(GROUP_MAX);
        tokio::spawn(keep(store.clone(), asked));
        let outbox = Self { lanes: Mutex::default(), stirred: Notify::new(), changes };
        waiting.into_iter().for_each(|one| outbox.line_up(one));
        Ok(Arc::new(outbox))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes().waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often one that waits was tried, and when it is tried next.
    #[must_use]
    pub fn waiting(&self, id: ForwardId) -> Option<Waiting> {
        self.lanes().waiting.get(&id).copied()
    }

    /// How often in a row a party could not be reached.
    #[must_use]
    pub fn failures(&self, party: &str) -> u32 {
        self.lanes().of.get(&party_id(party)).map_or(0, |lane| lane.failures)
    }

    /// Keeps one, durably. Nothing is done about it yet: [`Outbox::line_up`].
    ///
    /// # Errors
    /// When the store has stopped.
    pub async fn keep(&self, waiting: Waiting) -> Result<(), StoreError> {
        let (done, kept) = oneshot::channel();
        let asked = (Change::Put(waiting), Some(done));
        self.changes.send(asked).await.map_err(|_| StoreError::Stopped)?;
        kept.await.map_err(|_| StoreError::Stopped)
    }

    /// It is to be delivered from now on.
    pub fn line_up(&self, waiting: Waiting) {
        let mut lanes = self.lanes();
        lanes.waiting.insert(waiting.id, waiting);
        lanes.of.entry(waiting.recipient).or_default().due.insert((waiting.next, waiting.id));
        drop(lanes);
        self.stirred.notify_one();
    }

    /// It waits no more.
    pub async fn forget(&self, id: ForwardId) {
        self.lanes().waiting.remove(&id);
        // A row that stays is dropped when it is tried the next time: what it stood for has ended.
        let _ = self.changes.send((Change::Drop(id), None)).await;
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one to be tried in a lane, which nobody else tries meanwhile.
    fn take(&self, recipient: PartyId, now: Timestamp) -> Option<Waiting> {
        let mut lanes = self.lanes();
        let lane = lanes.of.get_mut(&recipient)?;
        if lane.next()? > now {
            return None;
        }
        let (_, id) = lane.due.pop_first()?;
        lanes.waiting.get(&id).copied()
    }

    /// It was tried, and is to be again.
    async fn again(&self, mut waiting: Waiting, at: Timestamp) {
        (waiting.next, waiting.attempts) = (at, waiting.attempts.saturating_add(1));
        let _ = self.changes.send((Change::Put(waiting), None)).await;
        self.line_up(waiting);
    }

    /// The lane can't be reached: what was taken goes back as it was.
    fn rest(&self, waiting: Waiting, now: Timestamp) {
        let mut lanes = self.lanes();
        let lane = lanes.of.entry(waiting.recipient).or_default();
        // Several that failed together failed once.
        if lane.rests_until <= now {
            lane.failures = lane.failures.saturating_add(1);
            lane.rests_until = after(now, lane.failures, REST_MAX_MS);
        }
        drop(lanes);
        self.line_up(waiting);
    }

    fn reached(&self, recipient: PartyId) {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.of.get_mut(&recipient).filter(|lane| lane.failures > 0) else { return };
        lane.failures = 0;
        drop(lanes);
        // The others may try again.
        self.stirred.notify_one();
    }

    /// Lanes for which another worker is wanted now, and when there is next something to do.
    fn wanted(&self, now: Timestamp) -> (Vec<PartyId>, Timestamp) {
        let (mut wanted, mut next) = (Vec::new(), Timestamp::MAX);
        for (recipient, lane) in &mut self.lanes().of {
            match lane.next() {
                Some(at) if at <= now => {
                    // Of one that could not be reached, one tries whether it can be again.
                    let most = if lane.failures > 0 { 1 } else { LANE_AT_ONCE };
                    let due = lane.due.iter().take_while(|(at, _)| *at <= now).take(most).count();
                    let more = due.min(most.saturating_sub(lane.workers));
                    lane.workers += more;
                    wanted.extend(std::iter::repeat_n(*recipient, more));
                }
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        (wanted, next)
    }

    fn worker_ends(&self, recipient: PartyId) {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.of.get_mut(&recipient) {
            lane.workers = lane.workers.saturating_sub(1);
            if lane.workers == 0 && lane.due.is_empty() {
                lanes.of.remove(&recipient);
            }
        }
    }
}

/// Makes changes durable, as many together as have come.
async fn keep(store: Store, mut asked: mpsc::Receiver<Asked>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while asked.recv_many(&mut group, GROUP_MAX).await > 0 {
        let (changes, waiting): (Vec<Change>, Vec<_>) = group.drain(..).unzip();
        match store.in_vault(move |vault| vault.change_forwards(&changes)).await {
            Ok(()) => waiting.into_iter().flatten().for_each(|done| {
                // Whoever asked may have gone.
                let _ = done.send(());
            }),
            // Whoever waits hears that it was not kept.
            Err(error) => tracing::error!(%error, "deliveries that wait could not be kept"),
        }
    }
}

/// Delivers, for as long as the gateway runs.
pub async fn run(current: Arc<Current>) {
    let outbox = Arc::clone(&current.app().outbox);
    let mut workers = JoinSet::new();
    loop {
        let stirred = outbox.stirred.notified();
        let clock = current.app().store.clock().clone();
        let next = match clock.now() {
            Ok(now) => {
                let (wanted, next) = outbox.wanted(now);
                for recipient in wanted {
                    workers.spawn(worker(Arc::clone(&current), Arc::clone(&outbox), recipient));
                }
                next
            }
            Err(_) => {
                tokio::time::sleep(NO_CLOCK).await;
                continue;
            }
        };
        tokio::select! {
            () = stirred => {}
            () = clock.reached(next) => {}
            Some(_) = workers.join_next() => {}
        }
    }
}

/// Delivers to one recipient over one connection, one after the other, until nothing is due.
async fn worker(current: Arc<Current>, outbox: Arc<Outbox>, recipient: PartyId) {
    let mut line: Option<Line> = None;
    loop {
        let app = current.app();
        let Ok(now) = app.store.clock().now() else { break };
        let Some(waiting) = outbox.take(recipient, now) else { break };
        let came = deliver(&app, &mut line, &waiting).await;
        if line.is_some() {
            outbox.reached(recipient);
        }
        match came {
            Came::Over => outbox.forget(waiting.id).await,
            Came::Again { after_ms } => {
                // A try takes its time; what is counted from its end is a wait.
                let now = app.store.clock().now().unwrap_or(now);
                let later = after(now, waiting.attempts.saturating_add(1), BACK_OFF_MAX_MS);
                // Never sooner than we would come by ourselves, whatever the recipient says.
                let asked = after_ms.map(|ms| Timestamp::from_millis(now.millis().saturating_add(ms)));
                outbox.again(waiting, asked.unwrap_or(later).max(later)).await;
            }
            Came::Unreachable => {
                outbox.rest(waiting, app.store.clock().now().unwrap_or(now));
                break;
            }
        }
    }
    outbox.worker_ends(recipient);
}

/// Twice as long after each failure, and a little more or less each time, so that not all come back at once.
fn after(now: Timestamp, failures: u32, most: i64) -> Timestamp {
    let doubled = BACK_OFF_MS.saturating_mul(1_i64.checked_shl(failures.saturating_sub(1)).unwrap_or(i64::MAX).max(1));
    let wait = doubled.min(most);
    let spread = i64::from(u16::from_le_bytes(unpredictable())) * (wait / 4) / i64::from(u16::MAX);
    Timestamp::from_millis(now.millis().saturating_add(wait - spread))
}
