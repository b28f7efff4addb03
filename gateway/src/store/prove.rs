//! Proofs of single entries while the store is in use, without reading the whole ledger.
//!
//! They are made under one checkpoint an hour, the same for everybody: a checkpoint of the moment would count out, to
//! whoever asks again and again, when anything at all is recorded (invariant 11). An entry that this checkpoint does not
//! cover yet waits for the next one. Which entries may be proven to whom is not decided here.

use std::collections::HashMap;
use std::sync::Arc;

use sekisho_policy::{PersonId, Timestamp};

use super::embedded::writer::{Message, Proving};
use super::{Store, StoreError};
use crate::ledger::merkle::WINDOW;
use crate::ledger::proof::{Windows, prove_in_windows};
use crate::sabotage::{self, Check};

/// How long a checkpoint is what proofs are made under, in milliseconds.
const PROVEN_UNDER_MS: i64 = 3_600_000;

/// The checkpoint that proofs are made under now.
pub(super) struct Current {
    since: Timestamp,
    proving: Arc<Proving>,
}

/// What there is of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provable {
    /// The proof (`docs/formats.md` §10).
    Proof(String),
    /// None yet: from this instant on.
    From(Timestamp),
    /// None: there is no such entry.
    Unknown,
}

impl Store {
    /// Proves that a decision about a person, known by its number, is in the ledger.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn prove(&self, person: PersonId, position: u64) -> Result<Provable, StoreError> {
        let line = self.inner.index.log_of(person, position.saturating_add(1), 1)?.pop();
        let Some(line) = line.filter(|line| line.position == position) else { return Ok(Provable::Unknown) };
        let (since, proving) = self.proving().await?;
        if position >= proving.size {
            return Ok(Provable::From(since.plus_millis(PROVEN_UNDER_MS)));
        }
        let store = self.clone();
        let proof = tokio::task::spawn_blocking(move || {
            let entry = store.inner.reader.read(line.decided)?;
            let tree = store.windows(&proving, position)?;
            Ok::<_, StoreError>(prove_in_windows(&entry, position, &tree, &proving.checkpoint)?)
        });
        Ok(Provable::Proof(proof.await.map_err(|_| StoreError::Stopped)??))
    }

    /// What proofs are made under now, and since when.
    async fn proving(&self) -> Result<(Timestamp, Arc<Proving>), StoreError> {
        let now = self.inner.clock.now()?;
        let mut held = self.inner.proving.lock().await;
        let current = held.as_ref().filter(|current| {
            let age_ms = now.millis().saturating_sub(current.since.millis());
            age_ms < PROVEN_UNDER_MS && !sabotage::off(Check::ProofHourly)
        });
        if let Some(current) = current {
            return Ok((current.since, Arc::clone(&current.proving)));
        }
        let proving = Arc::new(self.ask(Message::Proving).await?);
        *held = Some(Current { since: now, proving: Arc::clone(&proving) });
        Ok((now, proving))
    }

    /// The tree under a checkpoint, with the leaves that a proof of one entry needs: of its own window, and of the last
    /// one, where that is not whole.
    fn windows(&self, proving: &Proving, position: u64) -> Result<Windows, StoreError> {
        let mut leaves = HashMap::new();
        for number in [position / WINDOW, proving.size / WINDOW] {
            let Some(begins) = usize::try_from(number).ok().and_then(|number| proving.begins.get(number)) else {
                continue;
            };
            let count = (proving.size - number * WINDOW).min(WINDOW);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            leaves.insert(number, self.inner.reader.leaves(*begins, count)?);
        }
        let whole = usize::try_from(proving.size / WINDOW).unwrap_or(usize::MAX);
        Ok(Windows { roots: proving.roots.iter().take(whole).copied().collect(), leaves })
    }
}
