//! Going through a ledger directory from the first entry to the last, for those who check it: `verify` and `proof`.
//!
//! Read-only, also beside a running server, and apart from the store's own reading: of what the writer uses, it shares
//! the frame's format only. An unfinished tail that was never acknowledged is left out; anything else that isn't as
//! written is an error that says where.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::checkpoint::CheckpointError;
use super::entry::EntryError;
use super::frame::{self, FRAME_HEADER_BYTES, Frame, SEGMENT_MAGIC, Stored};

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Segment number.
    pub segment: u32,
    /// Byte offset of the frame.
    pub offset: u64,
    /// Number of the entry, from 0.
    pub position: u64,
}

/// What is wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Length or checksum.
    #[error("the frame is damaged, though it or a later one was acknowledged")]
    Frame,
    /// The acknowledged count is larger than the entries before it.
    #[error("entries before this one are missing: it says that more had been acknowledged")]
    Ahead,
    /// The acknowledged count is smaller than an earlier one.
    #[error("it was written before the one in front of it: entries were moved")]
    Moved,
    /// A request breaks off in the middle.
    #[error("the entries that were written together with this one are missing")]
    Unfinished,
    /// Not an entry of this version.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The body in clear is not one of its type.
    #[error("the body is not one of the entry's type")]
    Body,
    /// Sealed though it should be in clear, or the other way round.
    #[error("the body is sealed and should not be, or the other way round")]
    Sealing,
    /// An id that an earlier entry has.
    #[error("an earlier entry has the same id: the entry was copied")]
    Copied,
    /// Its time lies too far before that of an earlier entry.
    #[error("its time is {0} ms before that of an earlier entry")]
    Backward(i64),
}

/// Why a ledger does not verify. Each says what an operator should do.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file system said no.
    #[error("{what}: {source}")]
    Io {
        /// Which step.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// A segment file is missing between others.
    #[error("segment {0} is missing, though later ones are there: restore it from a backup")]
    Gap(u32),
    /// A file that is not a segment of this format.
    #[error("segment {0} does not begin as one of this version: restore it from a backup, or use the newer build")]
    Format(u32),
    /// One entry is not as it was written.
    #[error(
        "segment {}, byte {}, entry {}: {fault}. Keep these files as they are, as evidence; restore a copy from a backup \
         and verify that", place.segment, place.offset, place.position
    )]
    Entry {
        /// Where.
        place: Place,
        /// What is wrong.
        fault: Fault,
    },
    /// Acknowledged entries are not there.
    #[error(
        "there are {found} entries, but {acknowledged} had been acknowledged: the end of the ledger was cut off. \
         Restore it from a backup"
    )]
    Missing {
        /// Entries found.
        found: u64,
        /// Entries once acknowledged.
        acknowledged: u64,
    },
    /// The checkpoint says no.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint knows of more entries.
    #[error(
        "there are {found} entries, but a signed checkpoint is of {size}: the ledger was put back to an older state. \
         Find the copy that goes up to there"
    )]
    RolledBack {
        /// Entries found.
        found: u64,
        /// Entries that the checkpoint covers.
        size: u64,
    },
    /// The first entries are not those that the checkpoint was signed for.
    #[error(
        "the first {size} entries are not those that the checkpoint was signed for: some were changed, moved or \
         replaced. Keep these files as they are, as evidence, and compare with a backup"
    )]
    Root {
        /// Entries that the checkpoint covers.
        size: u64,
    },
    /// Entries are missing as if they had been pruned.
    #[error(
        "segment {0} holds hashes in place of entries, and no entry of the ledger tells of just that pruning: entries were \
         taken out. Keep these files as they are, as evidence, and restore from a backup"
    )]
    Untold(u32),
}

pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> VerifyError {
    move |source| VerifyError::Io { what, source }
}

/// How far a long reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes there are.
    pub of_bytes: u64,
    /// Entries read.
    pub entries: u64,
}

/// What a walk went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Segment files.
    pub segments: u32,
    /// Entries.
    pub entries: u64,
    /// Entries that the ledger itself shows to have been acknowledged.
    pub acknowledged: u64,
    /// Bytes at the end that were never acknowledged, or are being written; zeros written ahead do not count.
    pub unfinished_bytes: u64,
}

struct Walk<V> {
    visit: V,
    walked: Walked,
    latest: u64,
}

/// Hands each entry to `visit`, oldest first.
///
/// # Errors
/// What is wrong first, or what `visit` says.
pub fn walk(
    ledger: &Path,
    progress: &mut dyn FnMut(Progress),
    visit: impl FnMut(Place, Stored<'_>) -> Result<(), VerifyError>,
) -> Result<Walked, VerifyError> {
    // In this order: what is acknowledged after the first line can only make the ledger longer.
    let acknowledged = high_water(ledger).unwrap_or(0);
    let segments = segments(ledger)?;
    let walked = Walked { segments: 0, entries: 0, acknowledged, unfinished_bytes: 0 };
    let mut walk = Walk { visit, walked, latest: 0 };
    let sizes = segments.iter().map(|path| path.metadata().map_or(0, |m| m.len()));
    let of_bytes = sizes.sum::<u64>();
    let mut done = 0;
    for (number, path) in (0..).zip(&segments) {
        let mut bytes = Vec::new();
        std::fs::File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).map_err(io("reading a segment"))?;
        walk.segment(number, &bytes, number as usize + 1 == segments.len())?;
        done += bytes.len() as u64;
        progress(Progress { bytes: done, of_bytes: of_bytes.max(done), entries: walk.walked.entries });
    }
    walk.enough()?;
    Ok(walk.walked)
}

fn segments(ledger: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(ledger).map_err(io("reading the ledger directory"))? {
        let path = entry.map_err(io("reading the ledger directory"))?.path();
        if path.extension().is_some_and(|e| e == "seg") {
            found.push(path);
        }
    }
    found.sort_unstable();
    for (number, path) in (0u32..).zip(&found) {
        if path.file_name().is_none_or(|name| *name != *format!("{number:08}.seg")) {
            return Err(VerifyError::Gap(number));
        }
    }
    Ok(found)
}

/// What the high-water file says: the larger of two slots, each a count and its CRC-32C.
fn high_water(ledger: &Path) -> Option<u64> {
    let bytes = std::fs::read(ledger.join("high-water")).ok()?;
    let (slots, _) = bytes.as_chunks::<16>();
    let slot = |slot: &[u8; 16]| {
        let (count, rest) = slot.split_first_chunk::<8>()?;
        let checksum = rest.first_chunk::<4>()?;
        (crc32c::crc32c(count) == u32::from_le_bytes(*checksum)).then(|| u64::from_le_bytes(*count))
    };
    slots.iter().filter_map(slot).max()
}

impl<V: FnMut(Place, Stored<'_>) -> Result<(), VerifyError>> Walk<V> {
    /// All of a segment's frames are looked at before any of its entries is handed out: damage is told before time is
    /// spent on hashing.
    fn segment(&mut self, segment: u32, bytes: &[u8], last: bool) -> Result<(), VerifyError> {
        self.walked.segments += 1;
        if !bytes.starts_with(SEGMENT_MAGIC) {
            let begun = last && SEGMENT_MAGIC.starts_with(bytes);
            return if begun { Ok(()) } else { Err(VerifyError::Format(segment)) };
        }
        let (mut at, mut whole) = (SEGMENT_MAGIC.len(), SEGMENT_MAGIC.len());
        let (mut request, mut found): (Vec<(Place, Stored<'_>)>, Vec<_>) = Default::default();
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let place = Place { segment, offset: at as u64, position: self.walked.entries + request.len() as u64 };
            let wrong = |fault| Err(VerifyError::Entry { place, fault });
            let Ok(Frame { acknowledged, more, stored, length }) = frame::get(rest) else {
                let proven = self.walked.acknowledged.max(shown_later(rest));
                if last && self.walked.entries >= proven {
                    break;
                }
                return wrong(Fault::Frame);
            };
            if acknowledged > place.position {
                return wrong(Fault::Ahead);
            }
            if acknowledged < self.latest {
                return wrong(Fault::Moved);
            }
            self.latest = acknowledged;
            self.walked.acknowledged = self.walked.acknowledged.max(acknowledged);
            request.push((place, stored));
            at += length;
            if !more {
                self.walked.entries += request.len() as u64;
                found.append(&mut request);
                whole = at;
            }
        }
        if let Some((place, _)) = request.first()
            && !last
        {
            return Err(VerifyError::Entry { place: *place, fault: Fault::Unfinished });
        }
        let after = bytes.get(whole..).unwrap_or_default();
        self.walked.unfinished_bytes = after.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
        if last {
            self.enough()?;
        }
        found.into_iter().try_for_each(|(place, stored)| (self.visit)(place, stored))
    }

    fn enough(&self) -> Result<(), VerifyError> {
        let Walked { entries, acknowledged, .. } = self.walked;
        if entries < acknowledged { Err(VerifyError::Missing { found: entries, acknowledged }) } else { Ok(()) }
    }
}

/// The largest acknowledged count in whole frames after a broken one.
fn shown_later(rest: &[u8]) -> u64 {
    let mut shown = 0;
    let mut at = 1;
    while let Some(tail) = rest.get(at..).filter(|tail| tail.len() > FRAME_HEADER_BYTES) {
        let found = frame::get(tail);
        shown = shown.max(found.as_ref().map_or(0, |f| f.acknowledged));
        at += found.map_or(1, |f| f.length);
    }
    shown
}
