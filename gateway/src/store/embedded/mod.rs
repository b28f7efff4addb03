//! The embedded engine: ledger segments, vault (redb), index (sled), one writer.

pub mod index;
pub mod log;
mod scan;
pub mod vault;
pub mod writer;
