//! Releases under way: what the barrier can cut.
//!
//! A handle is registered before the last look at the records and stays until every byte has left the kernel, or the
//! connection is closed. It ends exactly once, and its end is recorded. What is put together from several sources rests on
//! a decision for each: one handle, and whatever ends one of them cuts it all.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sekisho_policy::{AccessRequest, PersonId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::admission::Admission;
use super::connection::Connection;
use super::cut::{After, cut_all};
use super::http2::Stream;
use super::precedence::Precedence;
use crate::app::App;
use crate::ledger::entry::{Bytes16, Bytes32};
use crate::ledger::event::{Closed, Outcome};
use crate::metrics::Metrics;
use crate::sabotage::{self, Check};
use crate::store::{Recorded, Store, StoreError};

/// A release may take this long, whatever the client does; then it is cut.
pub const RELEASE_LASTS_MAX: Duration = Duration::from_secs(300);
/// Releases that end within this time get a timer of their own; the rest are looked at this often.
const TIMER_WITHIN_MS: i64 = 60_000;
const SHARDS: usize = 64;

/// What is being released: counts and digest for the record of its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    /// Items in the body.
    pub items: u32,
    /// Items left out.
    pub withheld: u32,
    /// SHA-256 of the whole body.
    pub digest: [u8; 32],
}

/// A decision, and what is released under it.
pub struct Part {
    /// The durable decision.
    pub recorded: Box<Recorded>,
    /// What is released under it; the digest is that of the whole body.
    pub contents: Contents,
}

/// One release under way.
pub struct Handle {
    first: Part,
    /// Further decisions that the same body rests on, to the same receiver; of a package about other people too.
    others: Vec<Part>,
    admission: Admission,
    connection: Arc<Connection>,
    releases: Arc<Releases>,
    began: Instant,
    /// When the first of the permits runs out, on the records as they were looked at last.
    until_ms: AtomicI64,
    cut: AtomicBool,
    ended: AtomicBool,
    given_up: AtomicBool,
    draining: AtomicBool,
    sent: AtomicU64,
    /// Its stream, with HTTP/2, once the response's head was sent.
    stream: Mutex<Option<Arc<Stream>>>,
    over: Notify,
}

impl Handle {
    /// Whether it was cut: not one byte more.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) && !sabotage::off(Check::Cut)
    }

    /// Counts bytes handed to the connection.
    pub fn sending(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// What must be given precedence to before each frame.
    pub(super) fn precedence(&self) -> &Precedence {
        &self.releases.precedence
    }

    /// The first question that was decided: who receives is the same in all, and about whom in all but packages.
    #[must_use]
    pub const fn request(&self) -> &AccessRequest {
        self.first.recorded.request()
    }

    /// Whether any of it is about this person, or asked for by them.
    #[must_use]
    pub fn concerns(&self, person: PersonId) -> bool {
        let about = |part: &Part| part.recorded.request().subject == person;
        self.decisions().any(about) || self.request().receiver.person() == Some(person)
    }

    /// Everybody it is about, each once.
    fn subjects(&self) -> BTreeSet<PersonId> {
        self.decisions().map(|part| part.recorded.request().subject).collect()
    }

    /// The decisions that it rests on.
    fn decisions(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether the current records cover all of it.
    ///
    /// # Errors
    /// When it can't be told. That is a reason to stop as well.
    pub async fn still_permitted(&self) -> Result<bool, StoreError> {
        self.still_permitted_about(None).await
    }

    /// Likewise, of what is about one person alone: nobody else's records have changed.
    ///
    /// # Errors
    /// When it can't be told. That is a reason to stop as well.
    pub async fn still_permitted_about(&self, person: Option<PersonId>) -> Result<bool, StoreError> {
        let all = if sabotage::off(Check::EachPart) { 1 } else { usize::MAX };
        let changed = |part: &&Part| person.is_none_or(|person| part.recorded.request().subject == person);
        for (at, part) in self.decisions().filter(changed).take(all).enumerate() {
            let (request, permit) = (part.recorded.request(), part.recorded.permit());
            let Some(until) = self.releases.store.permitted_until(request, permit).await? else { return Ok(false) };
            if at == 0 || !sabotage::off(Check::UntilParts) {
                self.until_ms.fetch_min(until.millis(), Ordering::AcqRel);
            }
        }
        Ok(true)
    }

    /// Whether the current records cover some of it.
    pub async fn still_permitted_in_part(&self) -> bool {
        for part in self.decisions() {
            let permitted = self.releases.store.still_permitted(part.recorded.request(), part.recorded.permit());
            if permitted.await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// Whether one of the decisions is too old to release anything under.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.decisions().any(|part| part.recorded.expired())
    }

    /// When the first of the permits runs out.
    fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until_ms.load(Ordering::Acquire))
    }

    /// Whether this configuration would let it come about.
    #[must_use]
    pub fn is_admitted_by(&self, app: &Arc<App>) -> bool {
        self.admission.holds_under(app, &self.connection)
    }

    /// Cuts it: no frame more. HTTP/1.1: the connection is aborted. HTTP/2: the stream is reset, and its queue thrown away.
    pub(super) fn cut(self: &Arc<Self>) -> After {
        self.cut.store(true, Ordering::Release);
        if !self.connection.is_http2() || sabotage::off(Check::SparesOthers) {
            return if self.connection.abort() { After::Silent } else { After::Close };
        }
        // Without a stream nothing was handed over, and nothing will be: whoever attaches one sees the cut.
        let Some(stream) = self.stream() else { return After::Silent };
        if !sabotage::off(Check::Cut) {
            stream.reset();
            self.drain();
            self.connection.nudge();
        }
        After::Queue
    }

    /// Goes over this HTTP/2 stream from now on.
    pub(super) fn attach(&self, stream: &Arc<Stream>) {
        self.connection.attach(stream);
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(stream));
    }

    /// Sends an answer that is all head, unless it is cut. From then on a cut finds its stream: it comes before or after, never
    /// in between. None when nothing was sent.
    pub(super) fn send_head(&self, send: impl FnOnce() -> Option<Arc<Stream>>) -> Option<Arc<Stream>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cut() {
            return None;
        }
        *stream = send();
        stream.as_ref().inspect(|sent| self.connection.attach(sent)).map(Arc::clone)
    }

    fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stream_id(&self) -> Option<u32> {
        self.stream().map(|stream| stream.id())
    }

    /// Whether the protocol may hold bytes of it that were not written into TLS. HTTP/1.1 is asked at a flush only: then it
    /// holds none.
    pub(super) fn is_queued(&self) -> bool {
        self.stream().is_some_and(|stream| stream.holds(self.sent.load(Ordering::Acquire)))
    }

    /// Nothing more of it will be handed over.
    pub(super) fn drain(self: &Arc<Self>) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            self.connection.drain(Arc::clone(self));
        }
    }

    /// Whether its queue is worth waiting for longer: an abort would harm others, or the client has taken everything.
    pub(super) fn may_be_late(&self) -> bool {
        self.connection.is_taken() || self.connection.has_others()
    }

    /// Returns once it has ended.
    pub(super) async fn over(&self) {
        let over = self.over.notified();
        tokio::pin!(over);
        // From here on no notification is missed.
        over.as_mut().enable();
        if !self.ended.load(Ordering::Acquire) {
            over.await;
        }
    }

    /// The connection it goes over.
    #[must_use]
    pub const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Nothing of it was sent: a last look said no.
    pub(crate) fn nothing_sent(&self) {
        self.connection.finish(1);
        self.end(Outcome::NothingSent);
    }

    /// The client gave up before the end.
    pub(super) fn give_up(self: &Arc<Self>) {
        self.given_up.store(true, Ordering::Release);
        if let Some(stream) = self.stream() {
            stream.reset();
        }
        self.drain();
        self.connection.nudge();
    }

    /// Every byte that was handed over, and not thrown away by a cut, has left.
    pub(super) fn left(&self) {
        self.end(if self.cut.load(Ordering::Acquire) {
            Outcome::Cut
        } else if self.given_up.load(Ordering::Acquire) {
            Outcome::Failed
        } else {
            Outcome::Complete
        });
    }

    /// The connection was closed before every byte had left.
    pub(super) fn connection_lost(&self) {
        self.end(if self.cut.load(Ordering::Acquire) { Outcome::Cut } else { Outcome::Failed });
    }

    fn end(&self, outcome: Outcome) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        self.releases.remove(self);
        self.over.notify_waiters();
        self.releases.metrics.released(outcome);
        for part in self.decisions() {
            self.close(part, outcome);
        }
    }

    fn close(&self, part: &Part, outcome: Outcome) {
        // Of one source among several nothing may have come: it was permitted, and nothing of it was sent.
        let nothing = part.contents.items == 0 && !self.others.is_empty();
        let outcome = if nothing { Outcome::NothingSent } else { outcome };
        let sent = self.stream().map_or_else(|| self.sent.load(Ordering::Acquire), |stream| stream.written());
        self.releases.store.close(
            part.recorded.request().subject,
            Closed {
                decision: Bytes16(*part.recorded.decision().bytes()),
                outcome,
                items: part.contents.items,
                withheld: part.contents.withheld,
                bytes: if nothing { 0 } else { sent },
                digest: (outcome == Outcome::Complete).then_some(Bytes32(part.contents.digest)),
            },
        );
    }
}

async fn cut_and_log(handle: Arc<Handle>) {
    let silent = cut_all(vec![handle]).await.is_ok();
    tracing::info!(silent, "a release was cut: its time was over");
}

/// All releases under way, by subject.
pub struct Releases {
    store: Store,
    metrics: Arc<Metrics>,
    shards: [Mutex<HashMap<PersonId, Vec<Arc<Handle>>>>; SHARDS],
    /// What narrows goes first.
    pub precedence: Precedence,
}

impl Releases {
    /// None yet.
    #[must_use]
    pub fn new(store: Store, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            store,
            metrics,
            shards: std::array::from_fn(|_| Mutex::default()),
            precedence: Precedence::new(),
        })
    }

    /// Registers a release. From here on the barrier sees it.
    pub fn register(
        self: &Arc<Self>,
        first: Part,
        others: Vec<Part>,
        admission: Admission,
        connection: &Arc<Connection>,
    ) -> Arc<Handle> {
        let counted = if sabotage::off(Check::UntilParts) { &[][..] } else { &others };
        let until = counted.iter().chain([&first]).map(|part| part.recorded.permit().until()).min();
        let handle = Arc::new(Handle {
            until_ms: AtomicI64::new(until.unwrap_or(Timestamp::MAX).millis()),
            first,
            others,
            admission,
            connection: Arc::clone(connection),
            releases: Arc::clone(self),
            began: Instant::now(),
            cut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            stream: Mutex::default(),
            over: Notify::new(),
        });
        connection.begin();
        self.metrics.releases.inc();
        for subject in handle.subjects() {
            self.with(subject, |all| all.push(Arc::clone(&handle)));
        }
        self.time(&handle);
        handle
    }

    /// Cuts the release the instant its permit runs out, if that is soon.
    pub fn time(&self, handle: &Arc<Handle>) {
        let until = handle.until();
        let clock = self.store.clock().clone();
        let soon = clock.now().is_ok_and(|now| until.millis().saturating_sub(now.millis()) <= TIMER_WITHIN_MS);
        if until == Timestamp::MAX || !soon || sabotage::off(Check::UntilMidStream) {
            return;
        }
        let handle = Arc::downgrade(handle);
        tokio::spawn(async move {
            clock.reached(until).await;
            if let Some(handle) = handle.upgrade().filter(|h| !h.ended.load(Ordering::Acquire)) {
                cut_and_log(handle).await;
            }
        });
    }

    /// Looks at every release now and then: starts the timers that have come near, cuts what takes too long.
    pub async fn sweep(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(TIMER_WITHIN_MS.unsigned_abs() / 3));
        loop {
            tick.tick().await;
            for handle in self.all() {
                if handle.began.elapsed() > RELEASE_LASTS_MAX {
                    tokio::spawn(cut_and_log(handle));
                } else {
                    self.time(&handle);
                }
            }
        }
    }

    /// The releases about a person.
    #[must_use]
    pub fn of(&self, subject: PersonId) -> Vec<Arc<Handle>> {
        self.with(subject, |all| all.clone())
    }

    /// Every release, each once.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Handle>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // One that is about several people is found under the first of its decisions.
            let filed = shard.iter().flat_map(|(subject, handles)| handles.iter().map(move |handle| (subject, handle)));
            let first = filed.filter(|(subject, handle)| handle.request().subject == **subject);
            all.extend(first.map(|(_, handle)| Arc::clone(handle)));
        }
        all
    }

    fn remove(&self, handle: &Handle) {
        handle.subjects().into_iter().for_each(|subject| self.remove_of(subject, handle));
    }

    fn remove_of(&self, subject: PersonId, handle: &Handle) {
        let mut shard = self.shard(subject).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = shard.get_mut(&subject) {
            all.retain(|h| !std::ptr::eq(Arc::as_ptr(h), handle));
            if all.is_empty() {
                shard.remove(&subject);
            }
        }
    }

    fn with<T>(&self, subject: PersonId, use_it: impl FnOnce(&mut Vec<Arc<Handle>>) -> T) -> T {
        let mut shard = self.shard(subject).lock().unwrap_or_else(PoisonError::into_inner);
        let out = use_it(shard.entry(subject).or_default());
        if shard.get(&subject).is_some_and(Vec::is_empty) {
            shard.remove(&subject);
        }
        out
    }

    fn shard(&self, subject: PersonId) -> &Mutex<HashMap<PersonId, Vec<Arc<Handle>>>> {
        let [first, ..] = subject.bytes();
        let [zero, ..] = &self.shards;
        self.shards.get(usize::from(*first) % SHARDS).unwrap_or(zero)
    }
}
