//! Opening the store: lock, vault, ledger, index, and closing what a crash left open.

use std::collections::HashSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::sync::Cache;
use sekisho_policy::PersonId;

use super::embedded::disk;
use super::embedded::index::{Index, IndexError, Mark, Placed};
use super::embedded::log::{Location, Log, LogError, LogReader};
use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::{Guard, Parts, Slot, Writer};
use super::state::{Global, Subject};
use super::{Inner, Store, StoreError, Watch, directory, prepare};
use crate::clock::Clock;
use crate::ids::{KeyId, TextId};
use crate::ledger::checkpoint::{CheckpointError, LedgerKey, open_checkpoint};
use crate::ledger::entry::{Bytes16, Entry, EntryType};
use crate::ledger::event::{Closed, Enrolled, Event, Outcome};
use crate::ledger::frame::SEGMENT_MAGIC;
use crate::ledger::merkle::{Frontier, Hash, leaf_hash};
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
        let (index, ledger) = index_and_ledger(&directory, &boot, &key, &vault, &clock, &watch)?;
        // The names of vault and ledger: a power cut must not take what is in them by taking those.
        directory::sync(&directory)?;
        let nobody = PersonId::of(*first_16(&vault.secret("nobody")?));
        let ledger_path = directory.join("ledger");
        let index = Arc::new(index);
        let parts = Parts {
            log: ledger.log,
            index: Arc::clone(&index),
            frontier: ledger.frontier,
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
        let subjects = Cache::new(CACHED_SUBJECTS);
        let reader = LogReader::new(&ledger_path);
        let inner = Inner {
            vault,
            index,
            reader,
            writer,
            clock,
            key,
            subjects,
            global,
            nobody,
            keeping: tokio::sync::Mutex::default(),
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

    pub(super) fn load(&self, person: PersonId) -> Result<Subject, StoreError> {
        self.load_up_to(person, u64::MAX)
    }

    /// The records as the first `entries` entries shaped them.
    pub(super) fn load_up_to(&self, person: PersonId, entries: u64) -> Result<Subject, StoreError> {
        let mut subject = Subject::unknown(person);
        let limit = usize::try_from(entries).unwrap_or(usize::MAX);
        for location in self.inner.index.state_of(person)?.into_iter().take(limit) {
            let opened = self.read(location)?;
            if opened.person != Some(person) {
                return Err(StoreError::Entry("filed under another person"));
            }
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

/// The ledger, read through.
struct Ledger {
    log: Log,
    frontier: Frontier,
    places: Vec<Location>,
    /// Keys that it says were destroyed.
    destroyed: HashSet<KeyId>,
    /// Whether it begins with what the index had taken in.
    fits: bool,
}

/// Opens the index, reads the ledger, and brings the one up to date with the other.
fn index_and_ledger(
    directory: &Path,
    boot: &str,
    key: &LedgerKey,
    vault: &Vault,
    clock: &Clock,
    watch: &Watch,
) -> Result<(Index, Ledger), OpenError> {
    let path = directory.join("index");
    let known = Index::open(&path, boot);
    let ledger = match read_ledger(directory, key, known.as_ref().map(|(_, mark)| *mark), watch) {
        Ok(ledger) => ledger,
        Err(error) => {
            // The index is not to blame.
            if let Some((index, _)) = known {
                index.opened()?;
            }
            return Err(error);
        }
    };
    directory::write_new(&directory.join("checkpoint.vkey"), key.verifier_key().as_bytes())?;
    for id in &ledger.destroyed {
        if vault.holds(*id)? && !sabotage::off(Check::DestroyAgain) {
            vault.destroy(*id)?;
        }
    }
    watch.will_index(ledger.log.count());
    let (index, taken) = match known {
        Some((index, mark)) if ledger.fits => (index, mark),
        other => {
            drop(other);
            (Index::fresh(&path)?, Mark { count: 0, root: Frontier::default().root() })
        }
    };
    // From here on it is not what a clean stop left.
    index.mark(taken, boot, false)?;
    let reader = LogReader::new(&directory.join("ledger"));
    if !sabotage::off(Check::CatchUp) {
        take_in(&index, vault, &reader, clock, &ledger, (taken.count, watch))?;
    }
    index.mark(Mark { count: ledger.log.count(), root: ledger.frontier.root() }, boot, false)?;
    index.opened()?;
    Ok((index, ledger))
}

/// Reads the whole ledger, and compares it with the checkpoint beside it and with the index's mark.
fn read_ledger(directory: &Path, key: &LedgerKey, mark: Option<Mark>, watch: &Watch) -> Result<Ledger, OpenError> {
    let signed = std::fs::read(directory.join("checkpoint")).ok();
    // A checkpoint file that is not whole tells nothing; a power cut may have left it so.
    let head = signed.and_then(|signed| open_checkpoint(&signed, &key.verifier_key()).ok());
    let mut frontier = Frontier::default();
    let (mut places, mut destroyed) = (Vec::new(), HashSet::new());
    let fits_at = |frontier: &Frontier, expected: Option<(u64, Hash)>| {
        expected.filter(|(size, _)| *size == frontier.size()).map(|(_, root)| root == frontier.root())
    };
    let mark = mark.map(|mark| (mark.count, mark.root));
    let (mut fits, mut signed_fits) = (fits_at(&frontier, mark), fits_at(&frontier, head));
    let log = Log::open(&directory.join("ledger"), head.map_or(0, |(size, _)| size), |location, _, entry| {
        watch.one_read();
        frontier.push(leaf_hash(entry));
        places.push(location);
        destroyed.extend(destroyed_key(entry));
        fits = fits.or_else(|| fits_at(&frontier, mark));
        signed_fits = signed_fits.or_else(|| fits_at(&frontier, head));
    })?;
    if let Some((size, _)) = head
        && signed_fits != Some(true)
        && !sabotage::off(Check::CheckpointRoot)
    {
        return Err(OpenError::OtherLedger { size });
    }
    Ok(Ledger { log, frontier, places, destroyed, fits: fits == Some(true) })
}

/// The key that an entry says was destroyed.
fn destroyed_key(entry: &[u8]) -> Option<KeyId> {
    // The type number's place in the encoding; everything else need not be read.
    if entry.get(3) != Some(&(EntryType::KeyDestroyed as u8)) {
        return None;
    }
    let entry = Entry::decode(entry).ok()?;
    match Event::decode(entry.header.entry_type().ok()?, &entry.body).ok()? {
        Event::KeyDestroyed(gone) => Some(KeyId::of(gone.key.0)),
        _ => None,
    }
}

/// Takes the entries from number `taken` on into the index, and tells the clock the latest time.
fn take_in(
    index: &Index,
    vault: &Vault,
    reader: &LogReader,
    clock: &Clock,
    ledger: &Ledger,
    (taken, watch): (u64, &Watch),
) -> Result<(), OpenError> {
    let first = usize::try_from(taken).unwrap_or(usize::MAX);
    // The entry before the first new one tells the time up to which the ledger had come.
    let from = first.saturating_sub(1).min(ledger.places.len());
    let mut position = from as u64;
    watch.have_indexed(position);
    for group in ledger.places.get(from..).unwrap_or_default().chunks(REBUILD_GROUP) {
        let mut opened = Vec::with_capacity(group.len());
        for location in group {
            let entry = reader.read(*location).map_err(StoreError::from);
            let entry = entry.and_then(|bytes| prepare::open(vault, &bytes));
            let entry = entry.map_err(|source| OpenError::Entry { position, source })?;
            let lost = entry.event.is_none() && entry.header.key().is_some_and(|key| !ledger.destroyed.contains(&key));
            if lost && !sabotage::off(Check::VaultOlder) {
                return Err(OpenError::Entry { position, source: VaultError::Lost.into() });
            }
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
        index.write_behind()?;
        watch.have_indexed(group.len() as u64);
    }
    Ok(())
}

/// A new vault beside a ledger would read all of it as erased.
fn refuse_without_vault(directory: &Path) -> Result<(), OpenError> {
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
