//! How entries lie in a segment file (`docs/formats.md` §4): length, checksum, what was acknowledged before, entry. Of an
//! entry that was pruned, the leaf hash stands in its place.
//!
//! Shared by writer and verifier, as the design allows: the format, nothing else. What is written together (a consent
//! that takes another's place) is chained: a start that finds only a part of it takes none of it.

use super::merkle::{Hash, leaf_hash};

/// Bytes in front of each entry: length `u32`, CRC-32C `u32` over the length and what follows the checksum,
/// acknowledged `u64`; little-endian.
pub const FRAME_HEADER_BYTES: usize = 16;

/// Set in the length where the next frame belongs to the same request.
const MORE: u32 = 1 << 31;
/// Set in the length where the entry was pruned: its leaf hash stands here.
const PRUNED: u32 = 1 << 30;

/// Bytes of a leaf hash.
const LEAF_BYTES: u32 = size_of::<Hash>() as u32;

/// Frames start after these bytes, which name the format and its version.
pub const SEGMENT_MAGIC: &[u8; 16] = b"sekisho-ledger-1";

/// What stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// The entry's bytes.
    Whole(&'a [u8]),
    /// The leaf hash of an entry whose time was over. What it said is gone.
    Pruned(&'a Hash),
}

impl<'a> Stored<'a> {
    /// The entry's bytes, unless it was pruned.
    #[must_use]
    pub const fn whole(self) -> Option<&'a [u8]> {
        match self {
            Self::Whole(entry) => Some(entry),
            Self::Pruned(_) => None,
        }
    }

    /// The leaf of the Merkle tree: the same before and after pruning.
    #[must_use]
    pub fn leaf(self) -> Hash {
        match self {
            Self::Whole(entry) => leaf_hash(entry),
            Self::Pruned(leaf) => *leaf,
        }
    }
}

/// One frame read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Entries known durable when this one was written: seeing it proves that they were acknowledged.
    pub acknowledged: u64,
    /// Whether the next frame belongs to the same request: all of it counts, or none.
    pub more: bool,
    /// The entry, or what is left of it.
    pub stored: Stored<'a>,
    /// Bytes that the frame takes.
    pub length: usize,
}

/// Why the bytes at a place are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// They end before the frame does.
    Cut,
    /// Length out of bounds, or the checksum differs.
    Damaged,
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, acknowledged: u64, more: bool, entry: &[u8]) {
    // The store refuses entries past ENTRY_BYTES_MAX; a longer one could not be read back.
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    put_bytes(out, length | if more { MORE } else { 0 }, acknowledged, entry);
}

/// Appends the frame of a pruned entry, its counts as they were.
pub fn put_pruned(out: &mut Vec<u8>, acknowledged: u64, more: bool, leaf: &Hash) {
    put_bytes(out, LEAF_BYTES | PRUNED | if more { MORE } else { 0 }, acknowledged, leaf);
}

fn put_bytes(out: &mut Vec<u8>, length: u32, acknowledged: u64, bytes: &[u8]) {
    let (length, acknowledged) = (length.to_le_bytes(), acknowledged.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, acknowledged, bytes).to_le_bytes());
    out.extend_from_slice(&acknowledged);
    out.extend_from_slice(bytes);
}

fn checksum(length: [u8; 4], acknowledged: [u8; 8], entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&length), &acknowledged), entry)
}

/// Bytes of what stands in the frame that begins like this.
#[must_use]
pub fn entry_length(head: [u8; 4]) -> usize {
    (u32::from_le_bytes(head) & !(MORE | PRUNED)) as usize
}

/// The frame at the start of these bytes.
///
/// # Errors
/// When they end too early, or are not what was written.
pub fn get(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(FrameError::Cut)?;
    let (expected, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Cut)?;
    let (acknowledged, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::Cut)?;
    let length = entry_length(*head);
    if length == 0 || length > super::entry::ENTRY_BYTES_MAX {
        return Err(FrameError::Damaged);
    }
    let entry = rest.get(..length).ok_or(FrameError::Cut)?;
    let found = checksum(*head, *acknowledged, entry);
    if found != u32::from_le_bytes(*expected) && !crate::sabotage::off(crate::sabotage::Check::FrameChecksum) {
        return Err(FrameError::Damaged);
    }
    let marks = u32::from_le_bytes(*head);
    let stored = if marks & PRUNED == 0 {
        Stored::Whole(entry)
    } else {
        Stored::Pruned(entry.try_into().map_err(|_| FrameError::Damaged)?)
    };
    Ok(Frame {
        acknowledged: u64::from_le_bytes(*acknowledged),
        more: marks & MORE != 0,
        stored,
        length: FRAME_HEADER_BYTES + length,
    })
}
