//! The index's files: opening sled, and the mark that stands beside it meanwhile.

use std::path::{Path, PathBuf};

use super::index::IndexError;

/// Times that a lock which the last user has not let go of yet is tried again, 20 ms apart.
const LOCK_ATTEMPTS: u32 = 100;

/// Stands while the index is being opened.
pub(super) fn opening(path: &Path) -> PathBuf {
    path.with_extension("opening")
}

/// sled lets go of its lock a moment after the last handle. The directory's own lock is ours, so nobody else can hold it.
pub(super) fn open_database(path: &Path) -> Result<sled::Db, IndexError> {
    let config = sled::Config::new().path(path).cache_capacity(256 << 20).flush_every_ms(None);
    for _ in 0..LOCK_ATTEMPTS {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
    Ok(config.open()?)
}
