//! The embedded engine: ledger segments, vault (redb), index (sled), one writer.

pub mod disk;
mod high_water;
pub mod index;
mod index_files;
mod indexer;
mod lines;
pub mod log;
pub mod pace;
pub mod pages;
mod reader;
mod scan;
pub mod vault;
pub mod writer;
