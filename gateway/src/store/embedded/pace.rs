//! When the writer takes a group: at once while a core is free, else a little later, so that more requests share its
//! `fdatasync`. What a sync costs in processor time matters only when there is none to spare, and then it is what limits
//! how much gets through. (PostgreSQL's `commit_delay` is the same trade, by the clock alone.)

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Longest time that a group waits for others to join it.
const WAIT_MAX: Duration = Duration::from_millis(1);

/// The runtime's workers: how many of them have nothing to do.
#[derive(Default)]
pub struct Workers {
    idle: AtomicUsize,
    writer_waits: AtomicBool,
    writer: OnceLock<Thread>,
}

impl Workers {
    /// Has a runtime that is being built tell when its workers have nothing to do.
    pub fn watch(self: &Arc<Self>, runtime: &mut tokio::runtime::Builder) {
        let (parked, unparked) = (Arc::clone(self), Arc::clone(self));
        runtime.on_thread_park(move || parked.has_nothing_to_do());
        runtime.on_thread_unpark(move || {
            unparked.idle.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn has_nothing_to_do(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
        if self.writer_waits.load(Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Returns once a worker has nothing to do, and after [`WAIT_MAX`] whatever they do. For the writer's thread only.
    pub(super) fn until_one_is_idle(&self) {
        let began = Instant::now();
        self.writer.get_or_init(std::thread::current);
        self.writer_waits.store(true, Ordering::SeqCst);
        while self.idle.load(Ordering::SeqCst) == 0
            && let Some(left) = WAIT_MAX.checked_sub(began.elapsed())
        {
            std::thread::park_timeout(left);
        }
        self.writer_waits.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_only_while_every_worker_is_busy() {
        let workers = Arc::new(Workers::default());
        let began = Instant::now();
        workers.until_one_is_idle();
        assert!(began.elapsed() >= WAIT_MAX, "nobody is known to be idle");

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
        workers.until_one_is_idle();
        assert!(began.elapsed() < WAIT_MAX, "one worker is idle");
        drop(release);
        assert!(runtime.block_on(busy).unwrap());
    }

    #[test]
    fn who_becomes_idle_wakes_a_waiting_writer() {
        let workers = Arc::new(Workers::default());
        let waiting = Arc::clone(&workers);
        let writer = std::thread::spawn(move || waiting.until_one_is_idle());
        while !workers.writer_waits.load(Ordering::SeqCst) && !writer.is_finished() {
            std::thread::yield_now();
        }
        workers.has_nothing_to_do();
        writer.join().unwrap();
        assert!(!workers.writer_waits.load(Ordering::SeqCst));
    }
}
