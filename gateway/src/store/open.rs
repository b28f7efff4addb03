//! Opening the store: lock, vault, ledger, index, and closing what a crash left open.

use std::path::PathBuf;
use std::sync::Arc;

use quick_cache::sync::Cache;
use sekisho_policy::PersonId;

use super::embedded::index::{Index, IndexError, Placed};
use super::embedded::log::{Location, Log, LogError, LogReader};
use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::{Guard, Parts, Slot, Writer};
use super::state::{Global, Subject};
use super::{Inner, Store, StoreError, prepare};
use crate::clock::Clock;
use crate::ids::{EntryId, TextId};
use crate::ledger::checkpoint::{CheckpointError, LedgerKey};
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{Closed, Enrolled, Event, Outcome};
use crate::ledger::merkle::{Frontier, leaf_hash};
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};

/// People held in memory, at most.
const CACHED_SUBJECTS: usize = 50_000;
/// Entries taken into the index at a time during a rebuild.
const REBUILD_GROUP: usize = 1_000;

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
    #[error("data directory: {0}")]
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
        let store = tokio::task::spawn_blocking(move || Self::open_blocking(options))
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
        let _held = lock(directory)?;
        match std::fs::remove_dir_all(directory.join("index")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn open_blocking(options: Options) -> Result<Self, OpenError> {
        let Options { directory, origin, master_key, clock } = options;
        std::fs::create_dir_all(&directory)?;
        let lock = lock(&directory)?;
        let vault = Vault::open(&directory.join("vault.redb"), &SealKey::new(master_key))?;
        let key = Arc::new(LedgerKey::new(&origin, vault.secret("ledger-signing-seed")?)?);
        std::fs::write(directory.join("checkpoint.vkey"), key.verifier_key())?;
        let ledger = directory.join("ledger");
        let boot = boot_id();

        let mut frontier = Frontier::default();
        let mut places: Vec<Location> = Vec::new();
        let log = Log::open(&ledger, |location, _, entry| {
            frontier.push(leaf_hash(entry));
            places.push(location);
        })?;
        let reader = LogReader::new(&ledger);
        let (index, taken) = Index::open(&directory.join("index"), &boot, log.count())?;
        let index = Arc::new(index);
        take_in(&index, &vault, &reader, &clock, &places, taken)?;
        index.mark(log.count(), &boot, false)?;

        let nobody = PersonId::of(*first_16(&vault.secret("nobody")?));
        let parts = Parts {
            log,
            index: Arc::clone(&index),
            frontier,
            key: Arc::clone(&key),
            clock: clock.clone(),
            boot,
            dir: directory,
        };
        let writer = Writer::start(parts)?;
        // A guard that no counter ever shows: the first reader loads the registry.
        let never = Guard { slot: Slot::GLOBAL, seen: u64::MAX };
        let inner = Inner {
            vault,
            index,
            reader,
            writer,
            clock,
            key,
            subjects: Cache::new(CACHED_SUBJECTS),
            global: arc_swap::ArcSwap::from_pointee((never, Arc::new(Global::empty()))),
            nobody,
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
        let open: Vec<(EntryId, Location)> = self.inner.index.open_decisions().collect();
        for (decision, location) in open {
            let Some(person) = self.read(location)?.person else { continue };
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

    pub(super) fn load(&self, person: PersonId) -> Result<Subject, StoreError> {
        self.load_up_to(person, u64::MAX)
    }

    /// The records as the first `entries` entries shaped them.
    pub(super) fn load_up_to(&self, person: PersonId, entries: u64) -> Result<Subject, StoreError> {
        let mut subject = Subject::unknown(person);
        let limit = usize::try_from(entries).unwrap_or(usize::MAX);
        for location in self.inner.index.state_of(person)?.into_iter().take(limit) {
            let opened = self.read(location)?;
            subject.apply(&opened.header, &opened.leaf, opened.event.as_ref());
        }
        Ok(subject)
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

/// Takes the entries from number `taken` on into the index, and tells the clock the latest time.
fn take_in(
    index: &Index,
    vault: &Vault,
    reader: &LogReader,
    clock: &Clock,
    places: &[Location],
    taken: u64,
) -> Result<(), OpenError> {
    let first = usize::try_from(taken).unwrap_or(usize::MAX);
    // The entry before the first new one tells the time up to which the ledger had come.
    let from = first.saturating_sub(1).min(places.len());
    let mut position = from as u64;
    for group in places.get(from..).unwrap_or_default().chunks(REBUILD_GROUP) {
        let mut opened = Vec::with_capacity(group.len());
        for location in group {
            let entry = reader.read(*location).map_err(StoreError::from);
            let entry = entry.and_then(|bytes| prepare::open(vault, &bytes));
            let entry = entry.map_err(|source| OpenError::Entry { position, source })?;
            clock.raise_floor(entry.header.at());
            opened.push((position, *location, entry));
            position += 1;
        }
        index.apply(opened.iter().filter(|(position, _, _)| *position >= taken).map(
            |(position, location, entry)| Placed {
                position: *position,
                location: *location,
                id: entry.header.id(),
                person: entry.person,
                idempotency: entry.header.idempotency().map(|i| i.key.0),
                event: entry.event.as_ref(),
            },
        ))?;
    }
    Ok(())
}

fn lock(directory: &std::path::Path) -> Result<std::fs::File, OpenError> {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) if sabotage::off(Check::DirectoryLock) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Identifies this boot of the machine; where it can't be read, no boot is trusted to be the same.
fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map_or_else(|_| EntryId::mint().text(), |id| id.trim().to_owned())
}

fn first_16(bytes: &[u8; 32]) -> &[u8; 16] {
    bytes.first_chunk::<16>().unwrap_or(&[0; 16])
}
