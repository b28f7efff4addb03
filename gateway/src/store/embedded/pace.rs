//! When the writer takes a group: at once while a core is free, else once half of the requests that are under way wait for
//! it, or a little later: so that many share its `fdatasync`, and the others keep the cores busy meanwhile. What a sync costs
//! in processor time matters only when there is none to spare, and then it is what limits how much gets through. (PostgreSQL's
//! `commit_delay` is the same trade, by the clock alone.) What withdraws never waits for others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Longest time that a group waits for others to join it.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// The runtime's workers: how many of them have nothing to do; and how many requests they work on.
#[derive(Default)]
pub struct Workers {
    under_way: AtomicUsize,
    /// Of those, how many wait for the writer to take them.
    waiting: AtomicUsize,
    idle: AtomicUsize,
    /// One of the idle was just given something to do, and has not noticed yet.
    waking: AtomicBool,
    writer_waits: AtomicBool,
    /// Something that narrows waits for the writer to take it.
    hurry: AtomicBool,
    writer: OnceLock<Thread>,
}

impl Workers {
    /// Has a runtime that is being built tell when its workers have nothing to do.
    pub fn watch(self: &Arc<Self>, runtime: &mut tokio::runtime::Builder) {
        let (parked, unparked) = (Arc::clone(self), Arc::clone(self));
        runtime.on_thread_park(move || parked.has_nothing_to_do());
        runtime.on_thread_unpark(move || {
            unparked.waking.store(false, Ordering::SeqCst);
            unparked.idle.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn has_nothing_to_do(&self) {
        self.waking.store(false, Ordering::SeqCst);
        self.idle.fetch_add(1, Ordering::SeqCst);
        self.wake_writer();
    }

    fn wake_writer(&self) {
        if self.writer_waits.load(Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// A request is under way until this is dropped.
    pub(in crate::store) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(self))
    }

    /// A request waits for the writer to take it, and does not let it wait for others if it `narrows`.
    pub(super) fn waits(&self, narrows: bool) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.hurry.fetch_or(narrows, Ordering::SeqCst);
        if narrows || self.half_wait() {
            self.wake_writer();
        }
    }

    fn half_wait(&self) -> bool {
        2 * self.waiting.load(Ordering::SeqCst) >= self.under_way.load(Ordering::SeqCst)
    }

    /// The writer has answered: whoever was idle will wake. Else the next group, which has only begun to gather, would be
    /// written before anybody had begun on these answers.
    pub(super) fn will_wake(&self) {
        self.waking.store(true, Ordering::SeqCst);
    }

    fn one_is_idle(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > usize::from(self.waking.load(Ordering::SeqCst))
    }

    /// Returns once a worker has nothing to do, half of the requests wait, or one that narrows does; and after [`WAIT_MAX`] at the
    /// latest. For the writer's thread only.
    pub(super) fn until_worth_it(&self) {
        let began = Instant::now();
        self.writer.get_or_init(std::thread::current);
        self.writer_waits.store(true, Ordering::SeqCst);
        while !self.one_is_idle()
            && !self.half_wait()
            && !self.hurry.load(Ordering::SeqCst)
            && let Some(left) = WAIT_MAX.checked_sub(began.elapsed())
        {
            std::thread::park_timeout(left);
        }
        self.writer_waits.store(false, Ordering::SeqCst);
        // All that wait are taken now. Who comes while they are may count for the next group as well: it is a hint.
        self.waiting.store(0, Ordering::SeqCst);
        self.hurry.store(false, Ordering::SeqCst);
    }
}

/// A request under way.
pub struct UnderWay(Arc<Workers>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_only_while_every_worker_is_busy() {
        let workers = Arc::new(Workers::default());
        let _under_way = [workers.begin(), workers.begin(), workers.begin()];
        workers.waits(false);
        let began = Instant::now();
        workers.until_worth_it();
        assert!(began.elapsed() >= WAIT_MAX, "nobody is known to be idle, and one of three waits");
        assert_eq!(workers.waiting.load(Ordering::SeqCst), 0, "it was taken");
        workers.waits(false);
        workers.waits(false);
        let began = Instant::now();
        workers.until_worth_it();
        assert!(began.elapsed() < WAIT_MAX, "two of three wait");

        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        workers.watch(&mut runtime);
        let runtime = runtime.worker_threads(2).build().unwrap();
        while workers.idle.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = runtime.spawn(async move { held.recv().is_err() });
        while workers.idle.load(Ordering::SeqCst) > 1 {
            std::thread::yield_now();
        }
        let began = Instant::now();
        workers.until_worth_it();
        assert!(began.elapsed() < WAIT_MAX, "one worker is idle");
        drop(release);
        assert!(runtime.block_on(busy).unwrap());
    }

    #[test]
    fn what_narrows_waits_for_nobody() {
        let workers = Arc::new(Workers::default());
        let _under_way = [workers.begin(), workers.begin(), workers.begin()];
        workers.waits(true);
        let began = Instant::now();
        workers.until_worth_it();
        assert!(began.elapsed() < WAIT_MAX);
        workers.waits(false);
        let began = Instant::now();
        workers.until_worth_it();
        assert!(began.elapsed() >= WAIT_MAX, "only its own group was in a hurry");
    }

    #[test]
    fn what_was_just_answered_is_not_idle() {
        let workers = Arc::new(Workers::default());
        workers.has_nothing_to_do();
        assert!(workers.one_is_idle());
        workers.will_wake();
        assert!(!workers.one_is_idle(), "it has not noticed yet");
        workers.has_nothing_to_do();
        assert!(workers.one_is_idle());
    }

    #[test]
    fn who_becomes_idle_wakes_a_waiting_writer() {
        let workers = Arc::new(Workers::default());
        let waiting = Arc::clone(&workers);
        let _under_way = workers.begin();
        let writer = std::thread::spawn(move || waiting.until_worth_it());
        while !workers.writer_waits.load(Ordering::SeqCst) && !writer.is_finished() {
            std::thread::yield_now();
        }
        workers.has_nothing_to_do();
        writer.join().unwrap();
        assert!(!workers.writer_waits.load(Ordering::SeqCst));
    }
}
