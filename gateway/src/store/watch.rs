//! What the store tells about itself: how far an opening has come, since a start on a long ledger takes a while and
//! whoever waits for it should see that it gets on; and what its writer does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Writing;

/// How far an opening has come, and what the writer does. Counts and times only, nothing about anybody.
#[derive(Default)]
pub struct Watch {
    read: AtomicU64,
    to_index: AtomicU64,
    indexed: AtomicU64,
    writing: Option<Writing>,
    checkpointed: Mutex<Option<Instant>>,
}

impl Watch {
    /// One whose writer is counted.
    #[must_use]
    pub fn counted(writing: Writing) -> Self {
        Self { writing: Some(writing), ..Self::default() }
    }

    pub(in crate::store) fn synced(&self, group: usize, entries: u64, took: Duration) {
        if let Some(writing) = &self.writing {
            writing.group.observe(group as f64);
            writing.sync.observe(took.as_secs_f64());
            writing.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
    }

    pub(in crate::store) fn checkpoint_written(&self) {
        *self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long ago this process wrote its newest checkpoint.
    #[must_use]
    pub fn checkpoint_age(&self) -> Option<Duration> {
        self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    pub(super) fn one_read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn will_index(&self, entries: u64) {
        self.to_index.store(entries, Ordering::Relaxed);
    }

    pub(super) fn have_indexed(&self, entries: u64) {
        self.indexed.fetch_add(entries, Ordering::Relaxed);
    }

    /// Entries of the ledger that were read through.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Entries that the index has taken in, of so many that it must.
    #[must_use]
    pub fn indexed(&self) -> (u64, u64) {
        (self.indexed.load(Ordering::Relaxed), self.to_index.load(Ordering::Relaxed))
    }
}
