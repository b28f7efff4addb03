//! The high-water file (`docs/formats.md` §4): how many entries were durable when it was last written.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::log::{LogError, io};

/// Two slots written in turn: count and its checksum. A torn write leaves the other slot.
pub(super) struct HighWater {
    file: File,
    turn: u64,
}

const SLOT_BYTES: u64 = 16;

impl HighWater {
    pub(super) fn open(dir: &Path) -> Result<(Self, u64), LogError> {
        let path = dir.join("high-water");
        let new = !path.exists();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(io("high-water file"))?;
        if new {
            file.sync_all().map_err(io("high-water file"))?;
            File::open(dir).and_then(|d| d.sync_all()).map_err(io("directory fsync"))?;
        }
        let known = (0..2).filter_map(|slot| read_slot(&file, slot)).max().unwrap_or(0);
        Ok((Self { file, turn: 0 }, known))
    }

    pub(super) fn set(&mut self, count: u64) -> Result<(), LogError> {
        let count_bytes = count.to_le_bytes();
        let mut slot = [0; SLOT_BYTES as usize];
        let (number, rest) = slot.split_at_mut(8);
        number.copy_from_slice(&count_bytes);
        rest.iter_mut().zip(crc32c::crc32c(&count_bytes).to_le_bytes()).for_each(|(to, from)| *to = from);
        self.turn ^= 1;
        self.file.write_all_at(&slot, self.turn * SLOT_BYTES).map_err(io("high-water file"))
    }
}

fn read_slot(file: &File, slot: u64) -> Option<u64> {
    let mut bytes = [0; SLOT_BYTES as usize];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let (count, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, _) = rest.split_first_chunk::<4>()?;
    (crc32c::crc32c(count) == u32::from_le_bytes(*checksum)).then(|| u64::from_le_bytes(*count))
}

/// What the high-water file says, for the verifier's report.
#[must_use]
pub fn high_water(dir: &Path) -> Option<u64> {
    let file = File::open(dir.join("high-water")).ok()?;
    (0..2).filter_map(|slot| read_slot(&file, slot)).max()
}
