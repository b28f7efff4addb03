//! Pruning: what the law no longer asks to be kept goes from a stopped store, and the ledger goes on verifying.
//!
//! Of a pruned entry its leaf hash stays, so that roots, checkpoints and the other entries' proofs are what they were. What
//! goes: decisions, their outcomes and operators' looks that are older than the retention, and as old entries of people
//! of whom no key is left. What shapes records or registry stays, whoever it is about: decisions need it. It never runs by
//! itself and never goes by the machine's clock alone: age is counted back from the newest entry.
//!
//! Order: the ledger is verified; an entry tells what will be pruned, durable and under a new checkpoint; then each segment
//! is written beside, compared, and takes the old one's name. After a crash in between some segments are pruned and some
//! are not, all told of, and doing it again goes on. The index is not touched: its locations no longer fit, which the next
//! start sees (`Mark::layout`).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use sekisho_policy::Timestamp;

use super::embedded::log::segment_path;
use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::write_checkpoint;
use super::open::refuse_without_vault;
use super::{OpenError, Options, Store, StoreError, directory, prepare, take_up};
use crate::clock::{BACKWARD_TOLERANCE_MS, ClockError, years_before};
use crate::ids::{KeyId, TextId};
use crate::ledger::checkpoint::{CheckpointError, LedgerKey};
use crate::ledger::entry::{Cause, Entry, EntryType, Header, KeyClass};
use crate::ledger::event::{Event, Pruned, PrunedOf};
use crate::ledger::frame::{self, Frame, SEGMENT_MAGIC, Stored};
use crate::ledger::seal::SealKey;
use crate::ledger::verify::{Report, VerifyError, verify};
use crate::ledger::walk::walk;
use crate::sabotage::{self, Check};

/// Segments that one run prunes at most: an entry tells of all of them. Running it again goes on.
const SEGMENTS_MAX: usize = 10_000;

/// What a pruning did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// Only what is older than this went.
    pub before: Timestamp,
    /// Entries that went.
    pub entries: u64,
    /// Segments that they lay in.
    pub segments: usize,
    /// Bytes that were freed.
    pub bytes: u64,
    /// Entries that had been pruned earlier.
    pub earlier: u64,
    /// Entries that are whole afterwards.
    pub kept: u64,
}

/// Why nothing was pruned, or not all of it. Doing it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger does not verify.
    #[error("nothing was pruned, since the ledger does not verify: {0}")]
    Verify(#[from] VerifyError),
    /// The clock is not to be believed.
    #[error("nothing was pruned: {0}")]
    Clock(#[from] ClockError),
    /// There is no date to count from.
    #[error("nothing was pruned: the ledger shows no date that years can be counted from")]
    NoDate,
    /// A file can't be read or written.
    #[error("{0}: {1}. What was pruned so far is whole; run it again when this is mended")]
    Io(&'static str, std::io::Error),
    /// A segment did not come out as it should.
    #[error(
        "segment {0} did not come out as it should, and was left as it is: run the verifier, and tell the maintainers"
    )]
    Differs(u32),
    /// The checkpoint could not be signed.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

impl From<VaultError> for PruneError {
    fn from(error: VaultError) -> Self {
        Self::Open(error.into())
    }
}

impl From<StoreError> for PruneError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> PruneError {
    move |error| PruneError::Io(what, error)
}

impl Store {
    /// Prunes a stopped store of what is older than so many years, or only finds out what that would be; `done` hears of
    /// each segment. It blocks: it reads the ledger several times over.
    ///
    /// # Errors
    /// When another process has it open, the ledger does not verify, or a file can't be read or written.
    pub fn prune(options: &Options, years: u16, dry: bool, done: &mut dyn FnMut(u32)) -> Result<Pruning, PruneError> {
        let directory = &options.directory;
        let _held = directory::lock(directory)?;
        refuse_without_vault(directory)?;
        let vault = Vault::open(&directory.join("vault.redb"), SealKey::new(options.master_key))?;
        let key = LedgerKey::new(&options.origin, vault.secret("ledger-signing-seed")?)?;
        let found = verified(directory, &key)?;
        let newest = found.latest.ok_or(PruneError::NoDate)?;
        // Refuses where the clock lies behind. Where it lies ahead it doesn't count: the newest entry does.
        options.clock.raise_floor(newest);
        options.clock.now()?;
        let before = years_before(newest, years).ok_or(PruneError::NoDate)?;
        let mut rule = Rule::new(&directory.join("ledger"), &vault, before)?;
        let (plan, mut pruning) = plan(directory, &found, &mut rule)?;
        if dry || plan.is_empty() {
            return Ok(pruning);
        }
        tell(directory, &key, newest, before, &plan)?;
        // The entry that tells.
        pruning.kept += 1;
        for (of, first) in &plan {
            replace(directory, *of, *first, &mut rule)?;
            done(of.segment);
        }
        verified(directory, &key)?;
        Ok(pruning)
    }
}

fn verified(directory: &Path, key: &LedgerKey) -> Result<Report, PruneError> {
    let checkpoint = std::fs::read(directory.join("checkpoint")).map_err(io("reading the checkpoint"))?;
    Ok(verify(&directory.join("ledger"), &key.verifier_key(), &[&checkpoint], &mut |_| {})?)
}

/// Which entries may go.
struct Rule<'a> {
    vault: &'a Vault,
    before: Timestamp,
    /// Keys that the ledger says were destroyed.
    destroyed: HashSet<KeyId>,
    /// Of a destroyed key's owner no other key is left either.
    nothing_left: HashMap<KeyId, bool>,
}

impl<'a> Rule<'a> {
    fn new(ledger: &Path, vault: &'a Vault, before: Timestamp) -> Result<Self, PruneError> {
        let mut destroyed = HashSet::new();
        walk(ledger, &mut |_| {}, |_, stored| {
            if let Some(Event::KeyDestroyed(gone)) = stored.whole().and_then(take_up::about_the_ledger) {
                destroyed.insert(KeyId::of(gone.key.0));
            }
            Ok(())
        })?;
        Ok(Self { vault, before, destroyed, nothing_left: HashMap::new() })
    }

    fn may_go(&mut self, header: &Header) -> Result<bool, PruneError> {
        let kind = header.entry_type().map_err(|_| StoreError::Entry("unknown type"))?;
        // An outcome may stand up to a minute before its decision in time: it never goes without it.
        let before =
            if kind == EntryType::Closed { self.before.plus_millis(-BACKWARD_TOLERANCE_MS) } else { self.before };
        if header.at() >= before && !sabotage::off(Check::PruneAge) {
            return Ok(false);
        }
        match (kind, header.key()) {
            (EntryType::Decided | EntryType::Closed | EntryType::OperatorRead, _) => Ok(true),
            (_, Some(key)) => Ok(self.nothing_left(key)? || sabotage::off(Check::PruneKind)),
            (_, None) => Ok(false),
        }
    }

    /// Whether a key, and its owner's record key, were destroyed: nothing about this person can be read any more. After an
    /// erasure alone, entries that can't be read still say that there is something to deny.
    fn nothing_left(&mut self, key: KeyId) -> Result<bool, PruneError> {
        if !self.destroyed.contains(&key) {
            return Ok(false);
        }
        if let Some(known) = self.nothing_left.get(&key) {
            return Ok(*known);
        }
        let left = match self.vault.owner_of(key)? {
            _ if self.vault.holds(key)? => true,
            Some(owner) => match self.vault.key_of(owner, KeyClass::Record) {
                Err(VaultError::Destroyed) => false,
                other => other.map(|_| true)?,
            },
            None => true,
        };
        self.nothing_left.insert(key, !left);
        Ok(!left)
    }
}

/// A segment as it will be.
struct Rewritten {
    bytes: Vec<u8>,
    of: PrunedOf,
    /// Entries in it, and those of them that had been pruned.
    entries: u64,
    earlier: u64,
}

/// Writes a segment anew, its first entry being number `first`.
fn rewrite(old: &[u8], segment: u32, first: u64, rule: &mut Rule<'_>) -> Result<Rewritten, PruneError> {
    let mut new = Rewritten { bytes: SEGMENT_MAGIC.to_vec(), of: PrunedOf::none(segment), entries: 0, earlier: 0 };
    for found in frames(old) {
        let Frame { acknowledged, more, stored, .. } = found.map_err(|_| PruneError::Differs(segment))?;
        let goes = match stored {
            Stored::Whole(bytes) => {
                let header = Entry::decode(bytes).map_err(|_| StoreError::Entry("not an entry"))?.header;
                rule.may_go(&header)?
            }
            Stored::Pruned(_) => true,
        };
        new.earlier += u64::from(stored.whole().is_none());
        match stored.whole().filter(|_| !goes) {
            Some(bytes) => frame::put(&mut new.bytes, acknowledged, more, bytes),
            None => {
                let leaf = stored.leaf();
                new.of.add(first + new.entries, &leaf);
                frame::put_pruned(&mut new.bytes, acknowledged, more, &leaf);
            }
        }
        new.entries += 1;
    }
    Ok(new)
}

fn frames(segment: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, frame::FrameError>> {
    let mut rest = segment.get(SEGMENT_MAGIC.len()..).unwrap_or_default();
    std::iter::from_fn(move || {
        let found = (!rest.is_empty()).then(|| frame::get(rest))?;
        rest = found.as_ref().ok().and_then(|found| rest.get(found.length..)).unwrap_or_default();
        Some(found)
    })
}

/// What is to be pruned in which segment, with the number of its first entry; the one being written is left alone.
type Plan = Vec<(PrunedOf, u64)>;

fn plan(directory: &Path, found: &Report, rule: &mut Rule<'_>) -> Result<(Plan, Pruning), PruneError> {
    let (mut plan, mut first) = (Vec::new(), 0);
    let before = rule.before;
    let mut pruning = Pruning {
        before,
        entries: 0,
        segments: 0,
        bytes: 0,
        earlier: found.pruned,
        kept: found.entries - found.pruned,
    };
    for segment in 0..found.segments.saturating_sub(1) {
        let old = read(directory, segment)?;
        let new = rewrite(&old, segment, first, rule)?;
        let goes = new.of.entries - new.earlier;
        if goes > 0 {
            pruning.entries += goes;
            pruning.kept -= goes;
            pruning.bytes += old.len().saturating_sub(new.bytes.len()) as u64;
            plan.push((new.of, first));
        }
        first += new.entries;
        if plan.len() == SEGMENTS_MAX {
            break;
        }
    }
    pruning.segments = plan.len();
    Ok((plan, pruning))
}

fn read(directory: &Path, segment: u32) -> Result<Vec<u8>, PruneError> {
    std::fs::read(segment_path(&directory.join("ledger"), segment)).map_err(io("reading a segment"))
}

/// Records what will be pruned, durably, and signs the ledger with that in it. At the time of the newest entry: a clock
/// that lies ahead must not make everything look old to the next run.
fn tell(directory: &Path, key: &LedgerKey, at: Timestamp, before: Timestamp, plan: &Plan) -> Result<(), PruneError> {
    let ledger = take_up::read_ledger(directory, key, None, &super::Watch::default())?;
    let (mut log, mut frontier) = (ledger.log, ledger.frontier);
    let segments = plan.iter().map(|(of, _)| *of).collect();
    let event = Event::Pruned(Pruned { before_ms: before.millis(), segments });
    let entry = prepare::in_clear(event, at, Cause::Gateway)?;
    log.append(&entry.bytes, false);
    log.sync().map_err(OpenError::from)?;
    frontier.push(entry.leaf);
    let signed = key.checkpoint(frontier.size(), frontier.root())?;
    write_checkpoint(directory, &signed).map_err(io("writing the checkpoint"))?;
    directory::sync(directory).map_err(io("syncing the data directory"))
}

/// Puts a pruned segment in the old one's place: written beside, on the disk, read back and compared before it gets the
/// name.
fn replace(directory: &Path, of: PrunedOf, first: u64, rule: &mut Rule<'_>) -> Result<(), PruneError> {
    let segment = of.segment;
    let old = read(directory, segment)?;
    let new = rewrite(&old, segment, first, rule)?;
    let path = segment_path(&directory.join("ledger"), segment);
    // Another ending: nobody takes it for a segment, and a later run writes over it.
    let beside = path.with_extension("pruned");
    let mut file = File::create(&beside).map_err(io("writing a segment"))?;
    file.write_all(&new.bytes).and_then(|()| file.sync_all()).map_err(io("writing a segment"))?;
    let written = std::fs::read(&beside).map_err(io("reading a segment"))?;
    if new.of != of || !same_leaves(&old, &written) {
        let _ = std::fs::remove_file(&beside);
        return Err(PruneError::Differs(segment));
    }
    std::fs::rename(&beside, &path).map_err(io("renaming a segment"))?;
    File::open(directory.join("ledger")).and_then(|d| d.sync_all()).map_err(io("syncing the ledger directory"))
}

/// Whether two segments are the same but for what was pruned in the second: as many frames, the same counts and leaves.
fn same_leaves(old: &[u8], new: &[u8]) -> bool {
    let all = |segment| -> Option<Vec<_>> {
        frames(segment).map(|found| found.ok().map(|f| (f.acknowledged, f.more, f.stored.leaf()))).collect()
    };
    new.starts_with(SEGMENT_MAGIC) && all(old).is_some_and(|old| all(new) == Some(old))
}
