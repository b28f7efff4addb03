//! Reading the ledger at a start, and bringing the index up to date with it.

use std::collections::HashSet;
use std::path::Path;

use super::embedded::index::{Index, Mark, Placed};
use super::embedded::log::{Location, Log, LogReader};
use super::embedded::vault::{Vault, VaultError};
use super::{OpenError, StoreError, Watch, directory, prepare};
use crate::clock::Clock;
use crate::ids::{KeyId, TextId};
use crate::ledger::checkpoint::{LedgerKey, open_checkpoint};
use crate::ledger::entry::{Entry, EntryType};
use crate::ledger::event::Event;
use crate::ledger::merkle::{Frontier, Hash, WINDOW};
use crate::ledger::pruned::Tally;
use crate::sabotage::{self, Check};

/// Entries taken into the index at a time during a rebuild.
const REBUILD_GROUP: usize = 1_000;

/// The ledger, read through.
pub(super) struct Ledger {
    pub(super) log: Log,
    pub(super) frontier: Frontier,
    /// Where each window of leaves begins.
    pub(super) begins: Vec<Location>,
    /// Where each entry lies; `None` where it was pruned.
    places: Vec<Option<Location>>,
    pub(super) tally: Tally,
    /// Keys that it says were destroyed.
    destroyed: HashSet<KeyId>,
    /// Whether it begins with what the index had taken in.
    fits: bool,
}

/// Opens the index, reads the ledger, and brings the one up to date with the other.
pub(super) fn index_and_ledger(
    directory: &Path,
    boot: &str,
    key: &LedgerKey,
    vault: &Vault,
    clock: &Clock,
    watch: &Watch,
) -> Result<(Index, Ledger), OpenError> {
    let path = directory.join("index");
    // References are short: without the key nobody who has the index tries them out.
    let bookings = vault.secret("bookings")?;
    let known = Index::open(&path, boot, bookings);
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
    // Where something was pruned since, its locations are those of other entries, or of none.
    let layout = ledger.tally.layout();
    let lies_there = |mark: Mark| mark.layout == layout || sabotage::off(Check::IndexLayout);
    let (index, taken) = match known {
        Some((index, mark)) if ledger.fits && lies_there(mark) => (index, mark),
        other => {
            drop(other);
            (Index::fresh(&path, bookings)?, Mark { count: 0, root: Frontier::default().root(), layout })
        }
    };
    // From here on it is not what a clean stop left.
    index.mark(taken, boot, false)?;
    let reader = LogReader::new(&directory.join("ledger"));
    if !sabotage::off(Check::CatchUp) {
        take_in(&index, vault, &reader, clock, &ledger, (taken.count, watch))?;
    }
    index.mark(Mark { count: ledger.log.count(), root: ledger.frontier.root(), layout }, boot, false)?;
    index.opened()?;
    Ok((index, ledger))
}

/// Reads the whole ledger, and compares it with the checkpoint beside it and with the index's mark.
pub(super) fn read_ledger(
    directory: &Path,
    key: &LedgerKey,
    mark: Option<Mark>,
    watch: &Watch,
) -> Result<Ledger, OpenError> {
    let signed = std::fs::read(directory.join("checkpoint")).ok();
    // A checkpoint file that is not whole tells nothing; a power cut may have left it so.
    let head = signed.and_then(|signed| open_checkpoint(&signed, &key.verifier_key()).ok());
    let mut frontier = Frontier::default();
    let (mut places, mut begins, mut destroyed, mut tally) = (Vec::new(), Vec::new(), HashSet::new(), Tally::default());
    let fits_at = |frontier: &Frontier, expected: Option<(u64, Hash)>| {
        expected.filter(|(size, _)| *size == frontier.size()).map(|(_, root)| root == frontier.root())
    };
    let mark = mark.map(|mark| (mark.count, mark.root));
    let (mut fits, mut signed_fits) = (fits_at(&frontier, mark), fits_at(&frontier, head));
    let log = Log::open(&directory.join("ledger"), head.map_or(0, |(size, _)| size), |location, position, stored| {
        watch.one_read();
        frontier.push(stored.leaf());
        tally.one(location.segment(), position, stored);
        if position.is_multiple_of(WINDOW) {
            begins.push(location);
        }
        places.push(stored.whole().map(|_| location));
        match stored.whole().and_then(about_the_ledger) {
            Some(Event::KeyDestroyed(gone)) => drop(destroyed.insert(KeyId::of(gone.key.0))),
            Some(Event::Pruned(pruned)) => tally.told(&pruned),
            _ => {}
        }
        fits = fits.or_else(|| fits_at(&frontier, mark));
        signed_fits = signed_fits.or_else(|| fits_at(&frontier, head));
    })?;
    if let Some((size, _)) = head
        && signed_fits != Some(true)
        && !sabotage::off(Check::CheckpointRoot)
    {
        return Err(OpenError::OtherLedger { size });
    }
    if let Some(segment) = tally.untold() {
        return Err(OpenError::Untold(segment));
    }
    Ok(Ledger { log, frontier, begins, places, tally, destroyed, fits: fits == Some(true) })
}

/// What an entry tells about the ledger itself: keys destroyed, entries pruned.
pub(super) fn about_the_ledger(entry: &[u8]) -> Option<Event> {
    // The type number's place in the encoding; everything else need not be read. Numbers from 24 on take two bytes there.
    let kinds = [EntryType::KeyDestroyed, EntryType::Pruned];
    let kind = kinds.into_iter().find(|kind| entry.get(3) == Some(&(*kind as u8)))?;
    Event::decode(kind, &Entry::decode(entry).ok()?.body).ok()
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
            let Some(location) = location else {
                position += 1;
                continue;
            };
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
