//! Restoring a backup into a data directory that is not there yet.
//!
//! What a backup can't know is what was recorded after it: revocations, refusals, blocks, erasures. So a restore destroys
//! again the keys of a list kept elsewhere; and unless a checkpoint kept elsewhere proves that nothing is missing, every
//! party is suspended, and an official lets each back when what is missing has been looked into.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::seal::Opening;
use super::{CHECKPOINT, CHECKPOINT_KEY, DESTROYED, HIGH_WATER, VAULT};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::checkpoint::{CheckpointError, open_checkpoint};
use crate::ledger::destroyed;
use crate::ledger::entry::Cause;
use crate::ledger::event::{Event, StandingChanged};
use crate::ledger::verify::{Report, VerifyError, verify};
use crate::sabotage::{self, Check};
use crate::store::{OpenError, Options, Store, StoreError};

/// What is restored, and what is known from elsewhere.
pub struct Restore<'a> {
    /// The backup.
    pub from: &'a Path,
    /// The configuration of the gateway that is to run on it.
    pub config: &'a Config,
    /// Its master key.
    pub master_key: [u8; 32],
    /// The newest checkpoint that was kept elsewhere.
    pub checkpoint: Option<Vec<u8>>,
    /// The newest list of destroyed keys that was kept elsewhere.
    pub destroyed: Option<Vec<u8>>,
    /// The clock.
    pub clock: Clock,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the restored ledger, before what the restore itself recorded.
    pub entries: u64,
    /// Entries that are known to be missing: the kept checkpoint speaks of so many more. `None` when there was none to tell.
    pub missing: Option<u64>,
    /// Keys that were destroyed again.
    pub destroyed: usize,
    /// Parties that were suspended.
    pub suspended: Vec<String>,
}

/// Why nothing was restored. The data directory is as it was: not there.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("{0} is there already: a restore never overwrites. Move it away first, and keep it")]
    There(PathBuf),
    /// The backup or the new directory.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A file that no backup has.
    #[error("the backup holds {0}, which is no part of one. Nothing was restored")]
    Stranger(String),
    /// A file that every backup has.
    #[error("the backup has no {0}: it is not whole. Take another one")]
    Lacks(&'static str),
    /// The ledger does not verify.
    #[error("the backup's ledger does not verify: {0}")]
    Verify(#[from] VerifyError),
    /// A checkpoint or list from elsewhere.
    #[error("{0} that was given: {1}")]
    Kept(&'static str, CheckpointError),
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Restores a backup.
///
/// # Errors
/// Why not; then there is no data directory.
pub async fn restore(asked: Restore<'_>) -> Result<Restored, RestoreError> {
    let data = &asked.config.server.data;
    if data.exists() {
        return Err(RestoreError::There(data.clone()));
    }
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let fresh = data.with_file_name(name);
    if fresh.exists() {
        // Of a restore that was broken off; nothing else makes a directory of this name.
        std::fs::remove_dir_all(&fresh).map_err(|e| RestoreError::Io(fresh.clone(), e))?;
    }
    let done = into(&asked, &fresh).await;
    let failed = |e| RestoreError::Io(data.clone(), e);
    match done {
        Ok(restored) => {
            std::fs::rename(&fresh, data).map_err(failed)?;
            let above = data.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(above).and_then(|d| d.sync_all()).map_err(failed)?;
            Ok(restored)
        }
        Err(error) => {
            let _ = std::fs::remove_dir_all(&fresh);
            Err(error)
        }
    }
}

async fn into(asked: &Restore<'_>, fresh: &Path) -> Result<Restored, RestoreError> {
    unpack(asked.from, &asked.master_key, fresh)?;
    let read = |name: &'static str| std::fs::read(fresh.join(name)).map_err(|_| RestoreError::Lacks(name));
    let key = String::from_utf8_lossy(&read(CHECKPOINT_KEY)?).trim().to_owned();
    let (own, own_list) = (read(CHECKPOINT)?, read(DESTROYED)?);
    read(HIGH_WATER)?;
    let report = verified(asked, fresh, &key, &own)?;
    let missing = missing(asked, &key, &report)?;
    let list = asked.destroyed.as_ref().unwrap_or(&own_list);
    let list = destroyed::open(list, &key).map_err(|e| RestoreError::Kept("the list of destroyed keys", e))?;
    std::fs::remove_file(fresh.join(DESTROYED)).map_err(|e| RestoreError::Io(fresh.to_owned(), e))?;

    let options = Options {
        directory: fresh.to_owned(),
        origin: asked.config.server.ledger.clone(),
        master_key: asked.master_key,
        clock: asked.clock.clone(),
    };
    let store = Store::open(options).await?;
    let list = if sabotage::off(Check::RestoreDestroys) { Vec::new() } else { list };
    let destroyed = store.destroy_again(&list, Cause::Gateway).await?;
    let whole = missing == Some(0);
    let suspended =
        if whole || sabotage::off(Check::RestoreSuspends) { Vec::new() } else { suspend_all(&store).await? };
    store.stop().await?;
    Ok(Restored { entries: report.entries, missing, destroyed, suspended })
}

/// Verifies the ledger with the backup's own checkpoint, and the kept one as far as the ledger goes.
fn verified(asked: &Restore<'_>, fresh: &Path, key: &str, own: &[u8]) -> Result<Report, RestoreError> {
    let ledger = fresh.join("ledger");
    let report = verify(&ledger, key, &[own], &mut |_| {})?;
    match &asked.checkpoint {
        Some(kept) if kept_size(kept, key)? <= report.entries => Ok(verify(&ledger, key, &[own, kept], &mut |_| {})?),
        _ => Ok(report),
    }
}

fn kept_size(kept: &[u8], key: &str) -> Result<u64, RestoreError> {
    let opened = open_checkpoint(kept, key).map_err(|e| RestoreError::Kept("the checkpoint", e))?;
    Ok(opened.0)
}

fn missing(asked: &Restore<'_>, key: &str, report: &Report) -> Result<Option<u64>, RestoreError> {
    let kept = asked.checkpoint.as_ref().map(|kept| kept_size(kept, key)).transpose()?;
    Ok(kept.map(|size| size.saturating_sub(report.entries)))
}

async fn suspend_all(store: &Store) -> Result<Vec<String>, StoreError> {
    let registered = store.registry().await?;
    let reason = "restored from a backup: revocations since may be missing";
    let mut suspended = Vec::new();
    for party in registered.text.parties.iter().filter(|p| !registered.suspended.contains(&p.code)) {
        let event = StandingChanged { party: party.code.clone(), suspended: true, reason: reason.to_owned() };
        store.record_global(Event::StandingChanged(event), Cause::Gateway).await?;
        suspended.push(party.code.clone());
    }
    Ok(suspended)
}

/// Writes the files of a backup, those that a backup has and no others, durably.
fn unpack(from: &Path, master: &[u8; 32], fresh: &Path) -> Result<(), RestoreError> {
    let failed = |e| RestoreError::Io(from.to_owned(), e);
    let file = File::open(from).map_err(failed)?;
    DirBuilder::new().recursive(true).mode(0o700).create(fresh.join("ledger")).map_err(failed)?;
    let mut tar = tar::Archive::new(Opening::new(master, io::BufReader::new(file)).map_err(failed)?);
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !belongs(&name) || !entry.header().entry_type().is_file() {
            return Err(RestoreError::Stranger(name));
        }
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh.join(&name));
        let mut new = new.map_err(failed)?;
        io::copy(&mut entry, &mut new).and_then(|_| new.flush()).and_then(|()| new.sync_all()).map_err(failed)?;
    }
    // To its very end: what is behind the last file must be there and open as well.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(failed)?;
    for directory in [fresh.join("ledger"), fresh.to_owned()] {
        File::open(directory).and_then(|d| d.sync_all()).map_err(failed)?;
    }
    if fresh.join(VAULT).exists() { Ok(()) } else { Err(RestoreError::Lacks(VAULT)) }
}

/// Whether a backup has a file of this name.
fn belongs(name: &str) -> bool {
    let segment = |name: &str| {
        let number = name.strip_prefix("ledger/").and_then(|rest| rest.strip_suffix(".seg"));
        number.is_some_and(|n| n.len() == 8 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    [CHECKPOINT, CHECKPOINT_KEY, DESTROYED, HIGH_WATER, VAULT].contains(&name) || segment(name)
}
