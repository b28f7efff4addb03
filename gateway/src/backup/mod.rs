//! Backups of the embedded store: made by the running gateway, sealed under a key derived from the master key, restored by
//! `sekisho restore`.
//!
//! A backup is a tar file of checkpoint, its key, the list of destroyed keys, ledger and vault; the index is not in it. It
//! is taken in an order in which what comes later may only know more: high water before segments, ledger before vault;
//! and no key is destroyed meanwhile. Restoring: `restore`.

pub mod restore;
mod seal;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::store::{Store, StoreError};
use seal::Sealing;

/// Names in a backup, beside the ledger's segments.
const CHECKPOINT: &str = "checkpoint";
const CHECKPOINT_KEY: &str = "checkpoint.vkey";
const DESTROYED: &str = "destroyed";
const HIGH_WATER: &str = "ledger/high-water";
const VAULT: &str = "vault.redb";

/// Why there is no backup. What was written of one does not open.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files.
    #[error("the backup could not be written: {0}")]
    Io(#[from] io::Error),
}

fn put(tar: &mut tar::Builder<impl Write>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    tar.append_data(&mut header, name, content)
}

fn segments(ledger: &Path) -> io::Result<Vec<PathBuf>> {
    let listed: io::Result<Vec<PathBuf>> = std::fs::read_dir(ledger)?.map(|e| e.map(|e| e.path())).collect();
    let mut found: Vec<PathBuf> = listed?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
    found.sort_unstable();
    Ok(found)
}

/// Writes a sealed backup of the running store. Whole segments are read at a time: 64 MiB of memory.
///
/// # Errors
/// When the store can't be read, or `out` not written.
pub async fn write<W: Write + Send + 'static>(store: &Store, master: [u8; 32], out: W) -> Result<(), BackupError> {
    let _no_key_is_destroyed_meanwhile = store.keeping().await;
    let checkpoint = store.checkpoint().await?;
    let destroyed = store.destroyed_keys()?;
    let store = store.clone();
    let written = tokio::task::spawn_blocking(move || files(&store, &master, &checkpoint, &destroyed, out)).await;
    written.map_err(|_| StoreError::Stopped)?
}

fn files(
    store: &Store,
    master: &[u8; 32],
    checkpoint: &[u8],
    destroyed: &[u8],
    out: impl Write,
) -> Result<(), BackupError> {
    let mut tar = tar::Builder::new(Sealing::new(master, out)?);
    put(&mut tar, CHECKPOINT, checkpoint)?;
    put(&mut tar, CHECKPOINT_KEY, store.ledger_key().verifier_key().as_bytes())?;
    put(&mut tar, DESTROYED, destroyed)?;
    let ledger = store.ledger_directory();
    put(&mut tar, HIGH_WATER, &std::fs::read(ledger.join("high-water"))?)?;
    for path in segments(ledger)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        put(&mut tar, &format!("ledger/{name}"), &std::fs::read(&path)?)?;
    }
    // Last: keys made meanwhile do no harm, a missing one would.
    let copy = ledger.with_file_name("vault.backup");
    let vault = copied(store, &copy);
    let removed = std::fs::remove_file(&copy);
    put(&mut tar, VAULT, &vault?)?;
    removed?;
    tar.into_inner()?.finish()?;
    Ok(())
}

fn copied(store: &Store, to: &Path) -> Result<Vec<u8>, BackupError> {
    // Left behind by a crash.
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    store.vault().copy_to(to).map_err(StoreError::from)?;
    Ok(std::fs::read(to)?)
}
