//! The ledger's formats and mathematics: entries, events, sealing, Merkle tree, checkpoints, proofs, verification.
//!
//! Nothing here decides or releases, and only `verify` and `proof` read files (by way of `walk`). The stored bytes of an entry are the
//! RFC 6962 leaf. Formats: `docs/formats.md`. Writing: `store::embedded`.

pub mod checkpoint;
pub mod destroyed;
pub mod entry;
pub mod event;
#[cfg(test)]
mod formats;
pub mod frame;
pub mod merkle;
mod parts;
pub mod proof;
pub mod pruned;
pub mod seal;
pub mod verify;
pub mod walk;
