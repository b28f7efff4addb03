//! Which entries of a ledger were pruned, and whether it says so itself (`docs/formats.md` §4).
//!
//! A leaf hash does not tell what it was the hash of. Whoever can write to the disk could put one in the place of a
//! revocation, and the tree would not show it. So what is pruned must be told by an entry of the ledger: for each segment
//! the number of pruned entries and a digest over which they are. Pure; writer and verifier share it, as a format.

use std::collections::HashSet;

use super::event::{Pruned, PrunedOf};
use super::frame::Stored;
use super::merkle::{Hash, sha256};
use crate::sabotage::{self, Check};

/// What is found pruned while a ledger is read from one end to the other, and what its entries tell.
#[derive(Default)]
pub struct Tally {
    found: Vec<PrunedOf>,
    told: HashSet<PrunedOf>,
}

impl Tally {
    /// The next entry of the ledger; a pruned one is counted.
    pub fn one(&mut self, segment: u32, position: u64, stored: Stored<'_>) {
        let Stored::Pruned(leaf) = stored else { return };
        if self.found.last().is_none_or(|last| last.segment != segment) {
            self.found.push(PrunedOf::none(segment));
        }
        if let Some(last) = self.found.last_mut() {
            last.add(position, leaf);
        }
    }

    /// What an entry tells.
    pub fn told(&mut self, event: &Pruned) {
        self.told.extend(&event.segments);
    }

    /// How many are pruned.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.found.iter().map(|of| of.entries).sum()
    }

    /// The first segment of which no entry tells just what is pruned there.
    #[must_use]
    pub fn untold(&self) -> Option<u32> {
        let untold = self.found.iter().find(|of| !self.told.contains(of)).map(|of| of.segment);
        untold.filter(|_| !sabotage::off(Check::PrunedTold))
    }

    /// A digest of what is pruned where. Entries lie elsewhere once it is another.
    #[must_use]
    pub fn layout(&self) -> Hash {
        self.found
            .iter()
            .fold([0; 32], |layout, of| sha256(&[layout.as_slice(), &of.segment.to_le_bytes(), &of.digest.0].concat()))
    }
}

impl PrunedOf {
    /// A segment in which nothing is pruned.
    #[must_use]
    pub const fn none(segment: u32) -> Self {
        Self { segment, entries: 0, digest: super::entry::Bytes32([0; 32]) }
    }

    /// One more entry of it.
    pub fn add(&mut self, position: u64, leaf: &Hash) {
        self.entries += 1;
        self.digest.0 = sha256(&[self.digest.0.as_slice(), &position.to_le_bytes(), leaf].concat());
    }
}
