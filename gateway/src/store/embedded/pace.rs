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
