//! Proofs that one entry is in the ledger (`docs/formats.md` §10): made from the ledger's files and a signed checkpoint,
//! checked with nothing but the proof and the ledger's public key.
//!
//! A proof shows the entry as it is stored: who it is about stays sealed. It holds no key, and making one changes nothing.
//! Which entries may be proven to whom is not decided here (invariant 11).

use std::collections::HashMap;
use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use signed_note::Note;
use tlog_tiles::{
    Checkpoint, HashReader, check_record, prove_record, record_hash, split_stored_hash_index,
    stored_hashes_for_record_hash, tree_hash,
};

use super::checkpoint::{CheckpointError, open_checkpoint};
use super::entry::{Entry, EntryError};
use super::merkle::{Hash, WINDOW, WINDOW_LEVEL, node_hash};
use super::walk::{VerifyError, walk};
use crate::ids::EntryId;

/// What the first field of a proof says.
const FORMAT: &str = "sekisho-inclusion-proof/1";

/// Why there is no proof, or why one does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The ledger can't be read, or isn't as written.
    #[error(transparent)]
    Ledger(#[from] VerifyError),
    /// The checkpoint says no.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// No such entry among those that the checkpoint covers.
    #[error("the checkpoint covers no entry of this id: take a newer checkpoint, or look at the id")]
    NotCovered,
    /// No such entry among those that are left of what the checkpoint covers.
    #[error(
        "no entry of this id is left among those that the checkpoint covers; {0} of them were pruned when their time was \
         over, and this may be one: of those nothing can be proven any more"
    )]
    Pruned(u64),
    /// The ledger is not the one of the checkpoint.
    #[error("the ledger is not the one that the checkpoint was signed for: run the verifier on it")]
    OtherLedger,
    /// Not a proof.
    #[error("not an inclusion proof of this version")]
    Malformed,
    /// What it proves is not an entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It does not lead from the entry to the checkpoint's root.
    #[error("the proof does not lead from the entry to the signed root: the entry is not in that ledger")]
    Unproven,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: String,
    entry: String,
    index: u64,
    size: u64,
    hashes: Vec<String>,
    checkpoint: String,
}

/// What a proof has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The entry as stored.
    pub entry: Entry,
    /// Its number in the ledger, from 0.
    pub index: u64,
    /// Entries that the checkpoint covers.
    pub size: u64,
}

/// Proves that the entry is among those that the checkpoint was signed for, which may be fewer than there are now.
///
/// # Errors
/// When it is not, or the ledger is another one.
pub fn prove(ledger: &Path, entry: EntryId, checkpoint: &[u8]) -> Result<String, ProofError> {
    let note = Note::from_bytes(checkpoint).map_err(|_| CheckpointError::Malformed)?;
    let head = Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
    let mut tree = Stored(Vec::new());
    let mut found: Option<(u64, Vec<u8>)> = None;
    let mut pruned = 0;
    walk(ledger, &mut |_| {}, |place, stored| {
        if place.position >= head.size() {
            return Ok(());
        }
        tree.push(place.position, tlog_tiles::Hash(stored.leaf()))
            .map_err(|_| VerifyError::Root { size: head.size() })?;
        match stored.whole() {
            Some(bytes) if Entry::decode(bytes).is_ok_and(|e| e.header.id() == entry) => {
                found = Some((place.position, bytes.to_vec()));
            }
            Some(_) => {}
            None => pruned += 1,
        }
        Ok(())
    })?;
    let root = tree_hash(head.size(), &tree).map_err(|_| ProofError::OtherLedger)?;
    if root != *head.hash() {
        return Err(ProofError::OtherLedger);
    }
    let missing = if pruned == 0 { ProofError::NotCovered } else { ProofError::Pruned(pruned) };
    let (index, bytes) = found.ok_or(missing)?;
    let hashes = prove_record(head.size(), index, &tree).map_err(|_| ProofError::NotCovered)?;
    written(&bytes, index, head.size(), &hashes, checkpoint)
}

fn written(
    entry: &[u8],
    index: u64,
    size: u64,
    hashes: &[tlog_tiles::Hash],
    checkpoint: &[u8],
) -> Result<String, ProofError> {
    let json = Json {
        format: FORMAT.to_owned(),
        entry: BASE64.encode(entry),
        index,
        size,
        hashes: hashes.iter().map(|hash| BASE64.encode(&hash.0)).collect(),
        checkpoint: String::from_utf8(checkpoint.to_vec()).map_err(|_| CheckpointError::Malformed)?,
    };
    serde_json::to_string_pretty(&json).map_err(|_| ProofError::Malformed)
}

/// The same of an entry whose number is known, by the roots of windows that the writer keeps, and the leaves of the two
/// windows that are read: the entry's own, and the one at the end, where that is not whole.
///
/// # Errors
/// When these are not what the checkpoint was signed for.
pub fn prove_in_windows(entry: &[u8], index: u64, tree: &Windows, checkpoint: &[u8]) -> Result<String, ProofError> {
    let note = Note::from_bytes(checkpoint).map_err(|_| CheckpointError::Malformed)?;
    let head = Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
    if index >= head.size() {
        return Err(ProofError::NotCovered);
    }
    let hashes = prove_record(head.size(), index, tree).map_err(|_| ProofError::OtherLedger)?;
    // The tree is the library's, the roots are the writer's: a proof that does not hold is not given out.
    check_record(&hashes, head.size(), *head.hash(), index, record_hash(entry)).map_err(|_| ProofError::OtherLedger)?;
    written(entry, index, head.size(), &hashes, checkpoint)
}

/// The tree by windows: every node above them by their roots, and those below by the leaves of the windows that were read.
pub struct Windows {
    /// The root of every whole window.
    pub roots: Vec<Hash>,
    /// The leaves of some windows, by the window's number.
    pub leaves: HashMap<u64, Vec<Hash>>,
}

impl Windows {
    fn node(&self, level: u32, number: u64) -> Option<Hash> {
        match level {
            WINDOW_LEVEL => self.roots.get(usize::try_from(number).ok()?).copied(),
            0 => {
                let leaves = self.leaves.get(&(number / WINDOW))?;
                leaves.get(usize::try_from(number % WINDOW).ok()?).copied()
            }
            _ => Some(node_hash(&self.node(level - 1, 2 * number)?, &self.node(level - 1, 2 * number + 1)?)),
        }
    }
}

impl HashReader for Windows {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let found = indexes.iter().map(|index| {
            let (level, number) = split_stored_hash_index(*index);
            self.node(u32::from(level), number).map(tlog_tiles::Hash)
        });
        found.collect::<Option<_>>().ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}

/// Checks a proof against the ledger's public key, and gives what it shows.
///
/// # Errors
/// When the proof does not hold.
pub fn check(proof: &str, verifier_key: &str) -> Result<Proven, ProofError> {
    let json: Json = serde_json::from_str(proof).map_err(|_| ProofError::Malformed)?;
    if json.format != FORMAT {
        return Err(ProofError::Malformed);
    }
    let (size, root) = open_checkpoint(json.checkpoint.as_bytes(), verifier_key)?;
    if size != json.size {
        return Err(ProofError::Unproven);
    }
    let bytes = BASE64.decode(json.entry.as_bytes()).map_err(|_| ProofError::Malformed)?;
    let hashes = json.hashes.iter().map(|text| {
        let hash = BASE64.decode(text.as_bytes()).ok()?;
        hash.try_into().ok().map(tlog_tiles::Hash)
    });
    let hashes: Vec<_> = hashes.collect::<Option<_>>().ok_or(ProofError::Malformed)?;
    check_record(&hashes, size, tlog_tiles::Hash(root), json.index, record_hash(&bytes))
        .map_err(|_| ProofError::Unproven)?;
    Ok(Proven { entry: Entry::decode(&bytes)?, index: json.index, size })
}

/// Every node of the tree, in the library's order.
struct Stored(Vec<tlog_tiles::Hash>);

impl Stored {
    fn push(&mut self, position: u64, leaf: tlog_tiles::Hash) -> Result<(), tlog_tiles::Error> {
        let new = stored_hashes_for_record_hash(position, leaf, self)?;
        self.0.extend(new);
        Ok(())
    }
}

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let found = indexes.iter().map(|index| self.0.get(usize::try_from(*index).ok()?).copied());
        found.collect::<Option<_>>().ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}
