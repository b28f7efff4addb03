//! What the store tells about itself while it opens: a start on a long ledger takes a while, and whoever waits for it
//! should see that it gets on.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far an opening has come. Counts only, nothing about anybody.
#[derive(Debug, Default)]
pub struct Watch {
    read: AtomicU64,
    to_index: AtomicU64,
    indexed: AtomicU64,
}

impl Watch {
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
