//! The independent verifier: reads a ledger directory and says whether it is whole, unchanged, and the one that a signed
//! checkpoint speaks of.
//!
//! It needs no key but the public one, opens nothing, and never writes; a server may be running on the directory. Of the
//! writer it shares the formats only (`frame`, `entry`, `pruned`): the tree is the `tlog_tiles` crate's, not `merkle`'s. It
//! can't tell what sealed bodies say, nor what a pruned entry said: of those it checks that the ledger tells of them. A
//! checkpoint kept elsewhere is what shows that a whole directory was put back to an older state. Read next: `walk` for how
//! files are read, `proof` for proving one entry.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use sekisho_policy::Timestamp;
use tlog_tiles::{
    HashReader, record_hash, stored_hash_index, stored_hashes_for_record_hash, sub_tree_index, tree_hash,
};

use super::checkpoint::open_checkpoint;
use super::entry::Entry;
use super::event::Event;
use super::frame::Stored;
use super::merkle::Hash;
use super::pruned::Tally;
pub use super::walk::{Fault, Place, Progress, VerifyError};
use super::walk::{Walked, walk};
use crate::clock::BACKWARD_TOLERANCE_MS;
use crate::sabotage::{self, Check};

/// A sealed body has at least a nonce and a tag.
const SEALED_BYTES_MIN: usize = 12 + 16;

/// What a ledger that verifies holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries.
    pub entries: u64,
    /// Root of the Merkle tree of all of them.
    pub root: Hash,
    /// Segment files.
    pub segments: u32,
    /// Entries that the ledger itself shows to have been acknowledged.
    pub acknowledged: u64,
    /// Entries about people, sealed.
    pub sealed: u64,
    /// Entries of which the leaf hash is left: their time was over.
    pub pruned: u64,
    /// Bytes at the end that were never acknowledged, or are being written.
    pub unfinished_bytes: u64,
    /// The latest time.
    pub latest: Option<Timestamp>,
    /// Entries that the longest of the given checkpoints covers; `None` when none was given.
    pub signed: Option<u64>,
}

/// Verifies the ledger in this directory, and that every one of these signed checkpoints, however old and wherever it
/// was kept, is of its beginning.
///
/// # Errors
/// What is wrong first: where, and what to do.
pub fn verify(
    ledger: &Path,
    verifier_key: &str,
    checkpoints: &[&[u8]],
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    let mut expected: Vec<(u64, Hash)> = Vec::new();
    for signed in checkpoints {
        expected.push(open_checkpoint(signed, verifier_key)?);
    }
    let mut checks = Checks::new(&expected);
    checks.compare(0)?;
    let walked = walk(ledger, progress, |place, stored| checks.entry(place, stored))?;
    checks.report(walked)
}

struct Checks<'a> {
    expected: &'a [(u64, Hash)],
    tree: Edge,
    ids: HashSet<[u8; 16]>,
    /// Leaves of pruned entries: a copy of one from before would be whole.
    pruned: HashSet<Hash>,
    tally: Tally,
    latest_ms: Option<i64>,
    sealed: u64,
}

impl<'a> Checks<'a> {
    fn new(expected: &'a [(u64, Hash)]) -> Self {
        Self {
            expected,
            tree: Edge::default(),
            ids: HashSet::new(),
            pruned: HashSet::new(),
            tally: Tally::default(),
            latest_ms: None,
            sealed: 0,
        }
    }

    fn entry(&mut self, place: Place, stored: Stored<'_>) -> Result<(), VerifyError> {
        let wrong = |fault| VerifyError::Entry { place, fault };
        let leaf = match stored {
            Stored::Whole(bytes) => record_hash(bytes),
            Stored::Pruned(leaf) => tlog_tiles::Hash(*leaf),
        };
        if self.pruned.contains(&leaf.0) {
            return Err(wrong(Fault::Copied));
        }
        match stored {
            Stored::Whole(bytes) => self.one(bytes).map_err(wrong)?,
            Stored::Pruned(leaf) => {
                self.tally.one(place.segment, place.position, stored);
                self.pruned.insert(*leaf);
            }
        }
        self.tree.push(leaf)?;
        self.compare(self.tree.size)
    }

    fn one(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Entry { header, body } = Entry::decode(bytes)?;
        let entry_type = header.entry_type()?;
        match (header.key(), entry_type.key_class()) {
            (None, None) => {
                if let Event::Pruned(pruned) = Event::decode(entry_type, &body).map_err(|_| Fault::Body)? {
                    self.tally.told(&pruned);
                }
            }
            (Some(_), Some(_)) if body.len() >= SEALED_BYTES_MIN => self.sealed += 1,
            _ => return Err(Fault::Sealing),
        }
        if !self.ids.insert(*header.id().bytes()) {
            return Err(Fault::Copied);
        }
        let at_ms = header.at().millis();
        let backward = self.latest_ms.unwrap_or(at_ms).saturating_sub(at_ms);
        if backward > BACKWARD_TOLERANCE_MS {
            return Err(Fault::Backward(backward));
        }
        self.latest_ms = self.latest_ms.max(Some(at_ms));
        Ok(())
    }

    /// Compares the root with the checkpoints of this size.
    fn compare(&self, size: u64) -> Result<(), VerifyError> {
        for (_, root) in self.expected.iter().filter(|(of, _)| *of == size) {
            if self.tree.root()? != *root && !sabotage::off(Check::CheckpointRoot) {
                return Err(VerifyError::Root { size });
            }
        }
        Ok(())
    }

    fn report(self, walked: Walked) -> Result<Report, VerifyError> {
        let Walked { segments, entries, acknowledged, unfinished_bytes } = walked;
        let signed = self.expected.iter().map(|(size, _)| *size).max();
        if let Some(size) = signed.filter(|size| *size > entries) {
            return Err(VerifyError::RolledBack { found: entries, size });
        }
        if let Some(segment) = self.tally.untold() {
            return Err(VerifyError::Untold(segment));
        }
        Ok(Report {
            entries,
            root: self.tree.root()?,
            segments,
            acknowledged,
            sealed: self.sealed,
            pruned: self.tally.entries(),
            unfinished_bytes,
            latest: self.latest_ms.map(Timestamp::from_millis),
            signed,
        })
    }
}

/// The tree's right edge, by the library's arithmetic: what the next leaf and the root need, and little else.
#[derive(Default)]
struct Edge {
    size: u64,
    hashes: HashMap<u64, tlog_tiles::Hash>,
}

/// Hashes that are no longer needed are dropped once there are so many.
const EDGE_HASHES: usize = 4096;

impl Edge {
    fn push(&mut self, leaf: tlog_tiles::Hash) -> Result<(), VerifyError> {
        let new = stored_hashes_for_record_hash(self.size, leaf, self).map_err(arithmetic)?;
        self.hashes.extend((stored_hash_index(0, self.size)..).zip(new));
        self.size += 1;
        if self.hashes.len() > EDGE_HASHES {
            let needed: HashSet<u64> = sub_tree_index(0, self.size, Vec::new()).into_iter().collect();
            self.hashes.retain(|index, _| needed.contains(index));
        }
        Ok(())
    }

    fn root(&self) -> Result<Hash, VerifyError> {
        tree_hash(self.size, self).map(|hash| hash.0).map_err(arithmetic)
    }
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let found = indexes.iter().map(|index| self.hashes.get(index).copied());
        found.collect::<Option<_>>().ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}

fn arithmetic(error: tlog_tiles::Error) -> VerifyError {
    VerifyError::Io { what: "computing the tree", source: std::io::Error::other(error.to_string()) }
}
