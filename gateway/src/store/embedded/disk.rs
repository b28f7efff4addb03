//! When the disk fails: what to tell the operator, and stopping at once.

use std::error::Error;
use std::io::ErrorKind;

/// A failed write, sync or index leaves no safe way on: what the disk holds is unknown.
pub(super) fn stop_the_process(error: &dyn Error) -> ! {
    tracing::error!(%error, "stopping at once: nothing more can be acknowledged");
    std::process::exit(74)
}

/// What an operator should do about an error that the file system gave.
#[must_use]
pub fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "The disk with the data directory is full: make room there, then start again"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "The file system with the data directory is read-only, and the kernel's log may say why: mend it and mount it \
             for writing, then start again"
        }
        ErrorKind::PermissionDenied => {
            "The data directory must belong to the user that the gateway runs as: mend that, then start again"
        }
        _ => {
            "The disk failed, and the kernel's log says how: mend or replace it, then start again. A start reads the whole \
             ledger, and says so if anything that was acknowledged is missing"
        }
    }
}

/// [`advice`] on an error of the index's library; nothing where the disk is not to blame.
pub(super) fn of_index(error: &sled::Error) -> &'static str {
    if let sled::Error::Io(error) = error { advice(error) } else { "Start again: it is rebuilt from the ledger" }
}

/// The same of the vault's library.
pub(super) fn of_vault(error: &redb::Error) -> &'static str {
    if let redb::Error::Io(error) = error { advice(error) } else { "If it stays so, restore vault.redb from a backup" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_trouble_has_its_own_advice() {
        let of = |number| advice(&std::io::Error::from_raw_os_error(number));
        assert!(of(28).contains("make room") && of(122).contains("make room"), "ENOSPC, EDQUOT");
        assert!(of(30).contains("read-only"), "EROFS");
        assert!(of(13).contains("belong to the user"), "EACCES");
        assert!(of(5).contains("kernel's log"), "EIO");
        assert!(of_index(&sled::Error::Io(std::io::Error::from_raw_os_error(28))).contains("make room"));
        assert!(of_vault(&redb::Error::Io(std::io::Error::from_raw_os_error(30))).contains("read-only"));
    }
}
