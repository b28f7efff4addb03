//! The ledger's segment files (`docs/formats.md` §4): one writer, appended and synced in groups.
//!
//! A high-water file, written after each sync, and the acknowledged count in every frame tell a torn tail (never
//! acknowledged: cut off) from a damaged acknowledged record (refuse to start). Nothing here knows what an entry says.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk;
use super::high_water::HighWater;
pub use super::high_water::high_water;
pub use super::reader::LogReader;
use super::scan::{self, Scanned};
use crate::ledger::frame::{self, SEGMENT_MAGIC, Stored};
use crate::sabotage::{self, Check};

/// A new segment is begun once one is larger than this.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Zeros that are written ahead of the entries at a time: a sync within them has no new file size to write, which halves
/// its time. After a crash they look like what was never acknowledged, and go.
const AHEAD_BYTES: usize = 1 << 20;
static ZEROS: [u8; AHEAD_BYTES] = [0; AHEAD_BYTES];

/// Where an entry lies: segment and offset of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location(u64);

const OFFSET_BITS: u32 = 40;

impl Location {
    pub(super) fn new(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << OFFSET_BITS | offset)
    }

    /// As a number, for the index.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// From [`Location::number`].
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The segment.
    pub(in crate::store) fn segment(self) -> u32 {
        self.parts().0
    }

    pub(super) fn parts(self) -> (u32, u64) {
        ((self.0 >> OFFSET_BITS) as u32, self.0 & ((1 << OFFSET_BITS) - 1))
    }
}

/// Why the ledger can't be opened or written. Each says what an operator should do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system said no.
    #[error("ledger {what}: {source}. {advice}", advice = disk::advice(.source))]
    Io {
        /// Which step.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// An acknowledged record is damaged.
    #[error(
        "ledger segment {segment} is damaged at byte {offset}, in entry {position}, which had been acknowledged. \
         Nothing was changed. Restore this file from a backup; do not delete it"
    )]
    Damaged {
        /// Segment number.
        segment: u32,
        /// Byte offset.
        offset: u64,
        /// Entry number, from 0.
        position: u64,
    },
    /// Acknowledged entries are not there.
    #[error(
        "the ledger holds {found} entries, but {acknowledged} had been acknowledged. Nothing was changed. \
         Restore the ledger directory from a backup"
    )]
    Missing {
        /// Entries found.
        found: u64,
        /// Entries once acknowledged.
        acknowledged: u64,
    },
    /// A segment file is missing between others.
    #[error(
        "ledger segment {0} is missing, though later ones are there. Nothing was changed. \
         Restore this file from a backup"
    )]
    Gap(u32),
    /// An entry can't be read back.
    #[error("ledger segment {segment} can't be read at byte {offset}: restore this file from a backup")]
    Unreadable {
        /// Segment number.
        segment: u32,
        /// Byte offset.
        offset: u64,
    },
    /// A file that is not a segment of this format.
    #[error("segment {0} is not a ledger segment of this version. Nothing was changed. Restore it from a backup")]
    Format(u32),
}

pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> LogError {
    move |source| LogError::Io { what, source }
}

pub(in crate::store) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.seg"))
}

/// The writer's end of the ledger.
pub struct Log {
    dir: PathBuf,
    file: File,
    segment: u32,
    offset: u64,
    /// Where the zeros written ahead end.
    ahead: u64,
    count: u64,
    acknowledged: u64,
    pending: Vec<u8>,
    high_water: HighWater,
}

impl Drop for Log {
    fn drop(&mut self) {
        // Tidy only: what is left of the zeros does no harm.
        let _ = self.file.set_len(self.offset);
    }
}

impl Log {
    /// Opens or creates the ledger, of which at least so many entries are known to have been acknowledged; hands every
    /// entry, oldest first, to `visit`.
    ///
    /// # Errors
    /// When an acknowledged record is damaged or missing, or the file system fails. Nothing is changed then.
    pub fn open(dir: &Path, at_least: u64, visit: impl FnMut(Location, u64, Stored<'_>)) -> Result<Self, LogError> {
        std::fs::create_dir_all(dir).map_err(io("directory"))?;
        let (high_water, known) = HighWater::open(dir)?;
        let known = if sabotage::off(Check::HighWater) { 0 } else { known.max(at_least) };
        let Scanned { segment, end, torn, count, unproven } = scan::all(dir, known, visit)?;
        if torn {
            tracing::warn!(segment, end, "cut off a torn tail that was never acknowledged");
        }
        let (file, offset) = open_for_append(dir, segment, end)?;
        // What lies beyond the high water may stand in the page cache only, if the sync that should have carried it
        // failed: written again, the sync below carries it for certain.
        if let Some((at, bytes)) = unproven {
            file.write_all_at(&bytes, at).map_err(io("write"))?;
        }
        let mut log = Self {
            dir: dir.to_owned(),
            file,
            segment,
            offset,
            ahead: offset,
            count,
            acknowledged: count,
            pending: Vec::new(),
            high_water,
        };
        log.sync_file()?;
        Ok(log)
    }

    /// Entries, pending ones included.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds an entry to the group that the next [`Log::sync`] makes durable; `more` when the next one belongs to the
    /// same request.
    pub fn append(&mut self, entry: &[u8], more: bool) -> Location {
        let location = Location::new(self.segment, self.offset + self.pending.len() as u64);
        frame::put(&mut self.pending, self.acknowledged, more, entry);
        self.count += 1;
        location
    }

    /// Writes the group and makes it durable with one `fdatasync`. After an error nothing may be acknowledged any more:
    /// what the disk holds is unknown, and the process must stop.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn sync(&mut self) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.pending.len() as u64;
        if end > self.ahead {
            self.file.write_all_at(&ZEROS, end).map_err(io("write"))?;
            self.ahead = end + AHEAD_BYTES as u64;
        }
        self.file.write_all_at(&self.pending, self.offset).map_err(io("write"))?;
        self.pending.clear();
        self.offset = end;
        self.sync_file()?;
        if self.offset > SEGMENT_BYTES {
            self.next_segment()?;
        }
        Ok(())
    }

    /// Only the newest segment may end in zeros.
    fn next_segment(&mut self) -> Result<(), LogError> {
        self.file.set_len(self.offset).map_err(io("truncate"))?;
        self.file.sync_all().map_err(io("fsync"))?;
        self.segment += 1;
        (self.file, self.offset) = open_for_append(&self.dir, self.segment, 0)?;
        self.ahead = self.offset;
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        if !sabotage::off(Check::SyncBeforeAck) {
            let synced = self.file.sync_data().map_err(io("fdatasync"));
            if !sabotage::off(Check::SyncError) {
                synced?;
            }
        }
        self.acknowledged = self.count;
        self.high_water.set(self.count)
    }
}

/// Opens a segment, cut to `end`; a new one gets its magic and is made to survive a power cut.
fn open_for_append(dir: &Path, segment: u32, end: u64) -> Result<(File, u64), LogError> {
    let path = segment_path(dir, segment);
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io("open"))?;
    let magic = SEGMENT_MAGIC.len() as u64;
    if end < magic {
        file.set_len(0).map_err(io("truncate"))?;
        file.write_all(SEGMENT_MAGIC).map_err(io("write"))?;
        file.sync_all().map_err(io("fsync"))?;
        File::open(dir).and_then(|d| d.sync_all()).map_err(io("directory fsync"))?;
        return Ok((file, magic));
    }
    if file.metadata().map_err(io("metadata"))?.len() > end {
        file.set_len(end).map_err(io("truncate"))?;
    }
    Ok((file, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::frame::FRAME_HEADER_BYTES;

    fn open(dir: &Path) -> Result<(Log, Vec<Vec<u8>>), LogError> {
        let mut seen = Vec::new();
        Log::open(dir, 0, |_, _, stored| seen.push(stored.whole().unwrap().to_vec())).map(|log| (log, seen))
    }

    fn three(dir: &Path) {
        let (mut log, _) = open(dir).unwrap();
        for entry in [b"one".as_slice(), b"two", b"three"] {
            log.append(entry, false);
            log.sync().unwrap();
        }
    }

    fn segment(dir: &Path) -> PathBuf {
        segment_path(dir, 0)
    }

    #[test]
    fn what_was_synced_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        let (log, seen) = open(dir.path()).unwrap();
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(log.count(), 3);
        assert_eq!(high_water(dir.path()), Some(3));
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_a_damaged_acknowledged_record_refuses() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        let whole = std::fs::read(segment(dir.path())).unwrap();
        // A fourth record, torn: never acknowledged.
        let mut torn = whole.clone();
        frame::put(&mut torn, 3, false, b"four");
        torn.truncate(torn.len() - 1);
        std::fs::write(segment(dir.path()), &torn).unwrap();
        assert_eq!(open(dir.path()).unwrap().1.len(), 3);
        assert_eq!(std::fs::read(segment(dir.path())).unwrap(), whole);
        // Every bit of the three acknowledged ones matters.
        for at in SEGMENT_MAGIC.len()..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            std::fs::write(segment(dir.path()), &bent).unwrap();
            assert!(matches!(open(dir.path()), Err(LogError::Damaged { .. })), "byte {at}");
            assert_eq!(std::fs::read(segment(dir.path())).unwrap(), bent, "nothing may be changed");
        }
        std::fs::write(segment(dir.path()), &whole[..whole.len() - 21]).unwrap();
        assert!(matches!(open(dir.path()), Err(LogError::Missing { found: 2, acknowledged: 3 })));
    }

    #[test]
    fn zeros_ahead_are_neither_entries_nor_a_torn_tail() {
        let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut log, _) = open(dir.path()).unwrap();
        for entry in [b"one".as_slice(), b"two", b"three"] {
            log.append(entry, false);
            log.sync().unwrap();
        }
        for name in ["00000000.seg", "high-water"] {
            std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
        }
        let bytes = std::fs::read(segment(crashed.path())).unwrap();
        assert!(bytes.len() > AHEAD_BYTES, "one sync in many has a new file size to write");
        assert!(!scan::all(crashed.path(), 3, |_, _, _| ()).unwrap().torn);
        assert_eq!(open(crashed.path()).unwrap().1.len(), 3);
        drop(log);
        let whole = std::fs::read(segment(dir.path())).unwrap();
        assert_eq!(whole.last(), Some(&b'e'), "a clean stop leaves none");
        assert!(bytes.starts_with(&whole));
        assert_eq!(std::fs::read(segment(crashed.path())).unwrap(), whole);
        // Zeros in place of what was acknowledged are damage.
        let mut gone = bytes.clone();
        gone[whole.len() - 21..].fill(0);
        std::fs::write(segment(crashed.path()), &gone).unwrap();
        assert!(matches!(open(crashed.path()), Err(LogError::Damaged { position: 2, .. })));
    }

    #[test]
    fn without_its_high_water_file_later_groups_still_prove_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        std::fs::remove_file(dir.path().join("high-water")).unwrap();
        let mut bytes = std::fs::read(segment(dir.path())).unwrap();
        bytes[SEGMENT_MAGIC.len() + FRAME_HEADER_BYTES] ^= 1;
        std::fs::write(segment(dir.path()), &bytes).unwrap();
        assert!(matches!(open(dir.path()), Err(LogError::Damaged { position: 0, .. })));
    }

    #[test]
    fn what_was_asked_for_together_is_taken_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        let whole = std::fs::read(segment(dir.path())).unwrap();
        let mut half = whole.clone();
        frame::put(&mut half, 3, true, b"the old one ends");
        std::fs::write(segment(dir.path()), &half).unwrap();
        assert_eq!(open(dir.path()).unwrap().1.len(), 3);
        assert_eq!(std::fs::read(segment(dir.path())).unwrap(), whole);
        frame::put(&mut half, 3, false, b"and the new one begins");
        std::fs::write(segment(dir.path()), &half).unwrap();
        assert_eq!(open(dir.path()).unwrap().1.len(), 5);
    }

    #[test]
    fn a_missing_segment_between_others_refuses() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        std::fs::copy(segment(dir.path()), segment_path(dir.path(), 2)).unwrap();
        std::fs::remove_file(dir.path().join("high-water")).unwrap();
        assert!(matches!(open(dir.path()), Err(LogError::Gap(1))));
    }

    #[test]
    fn entries_removed_from_the_middle_are_missed() {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path());
        std::fs::remove_file(dir.path().join("high-water")).unwrap();
        let mut bytes = SEGMENT_MAGIC.to_vec();
        frame::put(&mut bytes, 0, false, b"one");
        frame::put(&mut bytes, 2, false, b"three");
        std::fs::write(segment(dir.path()), &bytes).unwrap();
        assert!(matches!(open(dir.path()), Err(LogError::Missing { found: 1, acknowledged: 2 })));
    }
}
