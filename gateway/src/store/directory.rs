//! The data directory: its lock, what makes its names last, and the machine's boot that an index was left in.

use std::path::Path;
use std::time::Duration;

use super::OpenError;
use crate::ids::{EntryId, TextId};
use crate::sabotage::{self, Check};

/// Writes a file, whole or not at all, unless it holds that already.
pub(super) fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, content)?;
    std::fs::rename(fresh, path)
}

/// Makes the names in a directory, and its own, survive a power cut.
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    let above = directory.canonicalize()?;
    let above = above.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(directory)?.sync_all()?;
    match std::fs::File::open(above) {
        Ok(above) => above.sync_all(),
        // Not ours to read: then it was there before us, with this name in it.
        Err(_) => Ok(()),
    }
}

/// A process that is being started holds, for a moment, whatever its parent had open: so a lock that was just let go of may
/// seem held. Asked for again so often, so far apart.
const LOCK_TRIES: u32 = 20;
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// Whoever holds it has the directory to itself.
pub(super) fn lock(directory: &Path) -> Result<std::fs::File, OpenError> {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock"))?;
    let mut tries = LOCK_TRIES;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(_) if sabotage::off(Check::DirectoryLock) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(LOCK_AGAIN);
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Identifies this boot of the machine; where it can't be read, no boot is trusted to be the same.
pub(super) fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map_or_else(|_| EntryId::mint().text(), |id| id.trim().to_owned())
}
