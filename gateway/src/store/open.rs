//! Opening the store: lock, vault, ledger, index, and closing what a crash left open.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho_policy::PersonId;

use super::embedded::disk;
use super::embedded::index::IndexError;
use super::embedded::log::{LogError, LogReader};
use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::{Guard, Parts, Slot, Writer};
use super::memory::Memory;
use super::state::Global;
use super::{Inner, Store, StoreError, Watch, directory, take_up};
use crate::clock::Clock;
use crate::ids::TextId;
use crate::ledger::checkpoint::{CheckpointError, LedgerKey};
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{Closed, Enrolled, Event, Outcome};
use crate::ledger::frame::SEGMENT_MAGIC;
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};

/// What to open, and how.
pub struct Options {
    /// Directory of ledger, vault and index.
    pub directory: PathBuf,
    /// Name of the ledger, as it stands on checkpoints: no spaces, no `+`.
    pub origin: String,
    /// The operator's master key.
    pub master_key: [u8; 32],
    /// The clock.
    pub clock: Clock,
}

/// Why the store does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory is in use by another process: stop that one first, or talk to it over its operators' socket"
    )]
    InUse,
    /// The file system said no.
    #[error("data directory: {0}. {advice}", advice = disk::advice(.0))]
    Io(#[from] std::io::Error),
    /// The ledger says no.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The vault says no.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The index can't even be made anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The ledger's name is not usable.
    #[error("ledger name: {0}")]
    Origin(#[from] CheckpointError),
    /// The ledger is not the one of the checkpoint beside it.
    #[error(
        "the first {size} entries of the ledger are not those that the checkpoint beside it was signed for. \
         Run the verifier, and restore the ledger directory from a backup"
    )]
    OtherLedger {
        /// Entries that the checkpoint covers.
        size: u64,
    },
    /// Entries are missing as if they had been pruned.
    #[error(
        "ledger segment {0} holds hashes in place of entries, and no entry tells of just that pruning: entries were taken \
         out. Restore this file from a backup"
    )]
    Untold(u32),
    /// An entry can't be taken in.
    #[error("ledger entry {position}: {source}")]
    Entry {
        /// Its number, from 0.
        position: u64,
        /// Why.
        source: StoreError,
    },
    /// A step after opening failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Opens or creates the store.
    ///
    /// # Errors
    /// When another process has it, the master key is another's, an acknowledged record is damaged or missing, or the
    /// file system fails.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_watched(options, Arc::default()).await
    }

    /// Like [`Store::open`], and `watch` tells how far it has come.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_watched(options: Options, watch: Arc<Watch>) -> Result<Self, OpenError> {
        let store = tokio::task::spawn_blocking(move || Self::open_blocking(options, watch))
            .await
            .map_err(|_| StoreError::Stopped)??;
        store.ensure_nobody().await?;
        store.close_open_decisions().await?;
        Ok(store)
    }

    /// Deletes the index of a stopped store, so that the next opening rebuilds it.
    ///
    /// # Errors
    /// When another process has the store open, or the file system fails.
    pub fn forget_index(directory: &std::path::Path) -> Result<(), OpenError> {
        let _held = directory::lock(directory)?;
        match std::fs::remove_dir_all(directory.join("index")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn open_blocking(options: Options, watch: Arc<Watch>) -> Result<Self, OpenError> {
        let Options { directory, origin, master_key, clock } = options;
        // Whoever else has an account on the machine has no business in here.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let lock = Arc::new(directory::lock(&directory)?);
        refuse_without_vault(&directory)?;
        let vault = Vault::open(&directory.join("vault.redb"), SealKey::new(master_key))?;
        let key = Arc::new(LedgerKey::new(&origin, vault.secret("ledger-signing-seed")?)?);
        let boot = directory::boot_id();
        let (index, ledger) = take_up::index_and_ledger(&directory, &boot, &key, &vault, &clock, &watch)?;
        // The names of vault and ledger: a power cut must not take what is in them by taking those.
        directory::sync(&directory)?;
        let nobody = PersonId::of(*first_16(&vault.secret("nobody")?));
        let ledger_path = directory.join("ledger");
        let index = Arc::new(index);
        let parts = Parts {
            log: ledger.log,
            index: Arc::clone(&index),
            frontier: ledger.frontier,
            begins: ledger.begins,
            layout: ledger.tally.layout(),
            key: Arc::clone(&key),
            clock: clock.clone(),
            boot,
            dir: directory,
            watch,
            _lock: Arc::clone(&lock),
        };
        let writer = Writer::start(parts)?;
        // A guard that no counter ever shows: the first reader loads the registry.
        let never = Guard { slot: Slot::GLOBAL, seen: u64::MAX };
        let global = arc_swap::ArcSwap::from_pointee((never, Arc::new(Global::empty())));
        let reader = LogReader::new(&ledger_path);
        let inner = Inner {
            vault,
            index,
            reader,
            writer,
            clock,
            key,
            memory: Memory::new(),
            global,
            nobody,
            proving: tokio::sync::Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            changing_vault: tokio::sync::Mutex::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The person who stands for everyone unknown has keys and an enrolment like anyone.
    async fn ensure_nobody(&self) -> Result<(), StoreError> {
        let nobody = self.nobody();
        if self.snapshot(nobody).await?.subject.enrolled {
            return Ok(());
        }
        self.make_keys(vec![nobody]).await?;
        self.update(nobody, |_, _, _| {
            let enrolled = Enrolled {
                person: Bytes16(*nobody.bytes()),
                birth: "1970-01-01".to_owned(),
                evidence: "stands for unknown people".to_owned(),
                verified_by: "sekisho".to_owned(),
            };
            let draft =
                super::Draft { events: [Event::Enrolled(enrolled)].into_iter().collect(), ..Default::default() };
            Ok::<_, StoreError>(((), draft))
        })
        .await
        .map(|_| ())
    }

    /// Outcomes that a crash kept from being recorded are unknown, and said to be.
    async fn close_open_decisions(&self) -> Result<(), StoreError> {
        for (decision, person) in self.inner.index.open_decisions() {
            self.close(
                person,
                Closed {
                    decision: Bytes16(*decision.bytes()),
                    outcome: Outcome::Unknown,
                    items: 0,
                    withheld: 0,
                    bytes: 0,
                    digest: None,
                },
            );
        }
        Ok(())
    }

    /// The registry as its first `entries` entries shaped it.
    pub(super) fn load_global(&self, entries: u64) -> Result<Global, StoreError> {
        let mut global = Global::empty();
        let limit = usize::try_from(entries).unwrap_or(usize::MAX);
        for location in self.inner.index.global()?.into_iter().take(limit) {
            let opened = self.read(location)?;
            global.apply(&opened.leaf, opened.event.as_ref());
        }
        Ok(global)
    }
}

/// A new vault beside a ledger would read all of it as erased.
pub(super) fn refuse_without_vault(directory: &Path) -> Result<(), OpenError> {
    let length = |path: PathBuf| path.metadata().map_or(0, |m| m.len());
    let entries = length(directory.join("ledger").join("00000000.seg")) > SEGMENT_MAGIC.len() as u64;
    if entries && length(directory.join("vault.redb")) == 0 && !sabotage::off(Check::VaultMissing) {
        return Err(VaultError::Missing.into());
    }
    Ok(())
}

fn first_16(bytes: &[u8; 32]) -> &[u8; 16] {
    bytes.first_chunk::<16>().unwrap_or(&[0; 16])
}
