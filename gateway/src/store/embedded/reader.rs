//! Reading single entries of the ledger by where they lie.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::log::{Location, LogError, io, segment_path};
use crate::ledger::entry::ENTRY_BYTES_MAX;
use crate::ledger::frame::{self, FRAME_HEADER_BYTES, SEGMENT_MAGIC};
use crate::ledger::merkle::Hash;

/// What is read of an entry at first: more than most are.
const FIRST_READ_BYTES: usize = 1 << 10;

/// What is read at once of entries in a row: more than the longest takes.
const CHUNK_BYTES: usize = ENTRY_BYTES_MAX + FRAME_HEADER_BYTES;

/// Segment files that are held open for reading, at most.
const OPEN_FILES: usize = 256;

/// Reads entries back by location; any number of threads at once.
pub struct LogReader {
    dir: PathBuf,
    files: Cache<u32, Arc<File>>,
}

impl LogReader {
    /// A reader of the ledger in this directory.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), files: Cache::new(OPEN_FILES) }
    }

    /// Where it reads.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// The leaf hashes of so many entries in a row, from the one at this location on; of fewer, where the ledger ends.
    ///
    /// # Errors
    /// When they can't be read, or are damaged.
    pub fn leaves(&self, from: Location, count: usize) -> Result<Vec<Hash>, LogError> {
        let (mut segment, mut offset) = from.parts();
        let mut leaves = Vec::with_capacity(count);
        while leaves.len() < count {
            let path = segment_path(&self.dir, segment);
            if !path.exists() {
                break;
            }
            let file =
                self.files.get_or_insert_with(&segment, || File::open(path).map(Arc::new).map_err(io("open")))?;
            let mut bytes = vec![0; CHUNK_BYTES];
            loop {
                let found = read_up_to(&file, &mut bytes, offset).map_err(io("read"))?;
                let mut at = 0;
                while leaves.len() < count
                    && let Some(Ok(frame)) = bytes.get(at..found).map(frame::get)
                {
                    leaves.push(frame.stored.leaf());
                    at += frame.length;
                }
                offset += at as u64;
                if leaves.len() == count || at == 0 {
                    break;
                }
            }
            (segment, offset) = (segment + 1, SEGMENT_MAGIC.len() as u64);
        }
        Ok(leaves)
    }

    /// The entry at a location, its checksum compared.
    ///
    /// # Errors
    /// When it can't be read, is damaged or was pruned.
    pub fn read(&self, location: Location) -> Result<Vec<u8>, LogError> {
        let (segment, offset) = location.parts();
        let unreadable = || LogError::Unreadable { segment, offset };
        let file = self.files.get_or_insert_with(&segment, || {
            File::open(segment_path(&self.dir, segment)).map(Arc::new).map_err(io("open"))
        })?;
        // Nearly always the whole frame comes at once.
        let mut bytes = vec![0; FIRST_READ_BYTES];
        let found = read_up_to(&file, &mut bytes, offset).map_err(io("read"))?;
        let length = bytes.first_chunk::<4>().map_or(0, |h| frame::entry_length(*h));
        if found < FRAME_HEADER_BYTES || length > ENTRY_BYTES_MAX {
            return Err(unreadable());
        }
        bytes.resize(FRAME_HEADER_BYTES + length, 0);
        if let Some(rest) = bytes.get_mut(found..) {
            file.read_exact_at(rest, offset + found as u64).map_err(io("read"))?;
        }
        let entry = frame::get(&bytes).ok().and_then(|found| found.stored.whole().map(<[u8]>::to_vec));
        entry.ok_or_else(unreadable)
    }
}

/// Reads until the buffer is full or the file ends; gives how much there was.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + found as u64) {
            Ok(0) => break,
            Ok(more) => found += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::*;
    use crate::ledger::merkle::leaf_hash;

    #[test]
    fn entries_of_any_length_are_read_back_also_at_the_end_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0, |_, _, _| ()).unwrap();
        let whole = FIRST_READ_BYTES - FRAME_HEADER_BYTES;
        let lengths = [1, whole - 1, whole, whole + 1, 3 * FIRST_READ_BYTES, ENTRY_BYTES_MAX, 2];
        let entries: Vec<Vec<u8>> = (1..).zip(lengths).map(|(n, length)| vec![n; length]).collect();
        let places: Vec<Location> = entries.iter().map(|entry| log.append(entry, false)).collect();
        log.sync().unwrap();
        let reader = LogReader::new(dir.path());
        let read = |places: &[Location]| places.iter().map(|at| reader.read(*at).unwrap()).collect::<Vec<_>>();
        assert_eq!(read(&places), entries);
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(reader.leaves(places[0], 7).unwrap(), leaves);
        assert_eq!(reader.leaves(places[5], 9).unwrap(), leaves[5..], "the ledger ends");
        // Without the zeros ahead the last one ends where the file does.
        drop(log);
        assert_eq!(read(&places), entries);
        let path = segment_path(dir.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(reader.read(places[6]), Err(LogError::Unreadable { .. })), "its checksum differs");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(reader.read(places[6]).is_err(), "it is cut");
        std::fs::write(&path, &bytes[..bytes.len() - 12]).unwrap();
        assert!(reader.read(places[6]).is_err(), "not even its head is whole");
    }
}
