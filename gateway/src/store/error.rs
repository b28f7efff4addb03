//! Why the store could not do something.

use super::embedded;
use super::embedded::writer::Refused;
use crate::clock::ClockError;

/// Why the store could not do it. Nothing was released, and nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no time to decide at.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The writer has stopped.
    #[error("the store has stopped")]
    Stopped,
    /// The records kept changing.
    #[error("the records about this person kept changing: try again")]
    Busy,
    /// A key needed for recording was destroyed.
    #[error(transparent)]
    Vault(#[from] embedded::vault::VaultError),
    /// The index can't be read.
    #[error(transparent)]
    Index(#[from] embedded::index::IndexError),
    /// The ledger can't be read.
    #[error(transparent)]
    Log(#[from] embedded::log::LogError),
    /// The idempotency key came with an earlier request.
    #[error("this idempotency key was used by an earlier request: look up what it gave")]
    Repeated,
    /// A proof could not be made.
    #[error("no proof: {0}")]
    Proof(#[from] crate::ledger::proof::ProofError),
    /// A stored entry isn't what was written, or an event can't become one.
    #[error("a ledger entry can't be opened or made: {0}")]
    Entry(&'static str),
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Changed => Self::Busy,
            Refused::Repeated => Self::Repeated,
            Refused::Stopped => Self::Stopped,
        }
    }
}
