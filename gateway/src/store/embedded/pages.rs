//! Decisions in the index: in pages, written behind.
//!
//! A commit only notes a decision and its outcome here, in memory; many of them go into sled together, later. What is
//! not written yet when the process ends is taken in again from the ledger: the index's mark says from where. A page
//! holds what lies within one window of entry numbers, so what a page holds does not depend on when it was written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sekisho_policy::{ConsentId, PersonId, Timestamp};
use sled::Tree;

use super::lines::{Line, Open};
use super::log::Location;
use crate::ids::EntryId;

/// Entries whose numbers share a page.
const WINDOW: u64 = 4_096;

/// The number of the window that holds an entry.
pub(super) const fn window(position: u64) -> u64 {
    position / WINDOW
}

/// When a consent permitted something, the first and the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

impl Used {
    /// Both, whichever came first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (first, last) = bytes.split_at_mut(8);
        first.copy_from_slice(&self.first.millis().to_be_bytes());
        last.copy_from_slice(&self.last.millis().to_be_bytes());
        bytes
    }

    /// As it stands in the tree.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let at = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
        Some(Self { first: at(bytes.first_chunk()?), last: at(bytes.last_chunk()?) })
    }
}

/// Decisions not written yet.
#[derive(Default)]
pub(super) struct Pages {
    lines: HashMap<PersonId, Vec<Line>>,
    ids: Vec<(u64, EntryId, Location)>,
    /// When a consent about a person permitted something.
    uses: HashMap<(PersonId, ConsentId), Used>,
    len: usize,
}

impl Pages {
    /// A decision's id.
    fn decision(&mut self, position: u64, id: EntryId, location: Location) {
        self.ids.push((position, id, location));
        self.len += 1;
    }

    /// A line of a person's access log.
    fn line(&mut self, person: PersonId, line: Line) {
        self.lines.entry(person).or_default().push(line);
        self.len += 1;
    }

    /// A consent about a person permitted something.
    pub(super) fn used(&mut self, person: PersonId, consent: ConsentId, at_ms: i64) {
        let at = Timestamp::from_millis(at_ms);
        let used = Used { first: at, last: at };
        let known = self.uses.entry((person, consent)).or_insert(used);
        *known = known.and(used);
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Merges all of it into the trees; gives how many decisions were new there. Writing twice changes nothing.
    pub(super) fn write(&self, log: &Tree, decisions: &Tree, uses: &Tree) -> Result<u64, sled::Error> {
        for ((person, consent), used) in &self.uses {
            let key = [*person.bytes(), *consent.bytes()].concat();
            let known = uses.get(&key)?.and_then(|known| Used::read(&known));
            let both = known.map_or(*used, |known| known.and(*used));
            if known != Some(both) {
                uses.insert(key, &both.bytes())?;
            }
        }
        for (person, lines) in &self.lines {
            for in_window in by_window(lines, |line| line.position) {
                let position = in_window.first().map_or(0, |line| line.position);
                merge(log, &log_key(*person, window(position)), in_window.iter().map(line_bytes))?;
            }
        }
        let mut new = 0;
        for in_window in by_window(&self.ids, |(position, _, _)| *position) {
            let position = in_window.first().map_or(0, |(position, _, _)| *position);
            let records = in_window.iter().map(|(position, id, location)| id_bytes(*position, *id, *location));
            new += merge(decisions, &window(position).to_be_bytes(), records)?;
        }
        Ok(new)
    }
}

/// What is noted in memory: permits without outcome, and what waits to be written.
#[derive(Default)]
pub(super) struct Behind {
    /// A permit's line is written together with its outcome.
    pub(super) open: HashMap<EntryId, Open>,
    pub(super) fresh: Pages,
    /// Being written: readers still look here.
    pub(super) going: Vec<Arc<Pages>>,
}

impl Behind {
    /// A decision about a person. A permit stays open until its outcome is there; taken in again, it changes nothing.
    pub(super) fn decide(&mut self, person: PersonId, permit: bool, position: u64, id: EntryId, location: Location) {
        self.fresh.decision(position, id, location);
        if permit {
            self.open.insert(id, Open { person, position, location });
        } else {
            self.fresh.line(person, Line { position, decided: location, closed: None });
        }
    }

    /// A look at a person at a counter: a line that nothing comes of.
    pub(super) fn look(&mut self, person: PersonId, position: u64, location: Location) {
        self.fresh.line(person, Line { position, decided: location, closed: None });
    }

    /// A permit's line, with its outcome. A second pass finds it closed already.
    pub(super) fn close(&mut self, person: PersonId, decision: EntryId, closed: Location) {
        if let Entry::Occupied(open) = self.open.entry(decision)
            && open.get().person == person
        {
            let Open { position, location, .. } = open.remove();
            self.fresh.line(person, Line { position, decided: location, closed: Some(closed) });
        }
    }

    /// Lines about a person before a position, in no order.
    pub(super) fn lines_of(&self, person: PersonId, before: u64) -> Vec<Line> {
        let open = self.open.values().filter(|open| open.person == person);
        let open = open.map(|open| Line { position: open.position, decided: open.location, closed: None });
        let waiting = self.pages().filter_map(|pages| pages.lines.get(&person)).flatten().copied();
        open.chain(waiting).filter(|line| line.position < before).collect()
    }

    /// Uses of consents about a person that wait.
    pub(super) fn uses_of(&self, person: PersonId) -> Vec<(ConsentId, Used)> {
        let all = self.pages().flat_map(|pages| &pages.uses);
        all.filter(|((of, _), _)| *of == person).map(|((_, consent), used)| (*consent, *used)).collect()
    }

    /// Where a decision lies.
    pub(super) fn find(&self, id: EntryId) -> Option<Location> {
        let mut ids = self.pages().flat_map(|pages| &pages.ids);
        ids.find(|(_, known, _)| *known == id).map(|(_, _, location)| *location)
    }

    fn pages(&self) -> impl Iterator<Item = &Pages> {
        std::iter::once(&self.fresh).chain(self.going.iter().map(Arc::as_ref))
    }

    /// What waits, now being written; [`Behind::written`] ends that.
    pub(super) fn take(&mut self) -> Arc<Pages> {
        let pages = Arc::new(std::mem::take(&mut self.fresh));
        self.going.push(Arc::clone(&pages));
        pages
    }

    pub(super) fn written(&mut self, pages: &Arc<Pages>) {
        self.going.retain(|going| !Arc::ptr_eq(going, pages));
    }
}

/// Key of a page of the access log.
pub(super) fn log_key(person: PersonId, window: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let (who, when) = key.split_at_mut(16);
    who.copy_from_slice(person.bytes());
    when.copy_from_slice(&window.to_be_bytes());
    key
}

/// Runs of items in the same window.
fn by_window<T>(items: &[T], position: impl Fn(&T) -> u64) -> impl Iterator<Item = &[T]> {
    items.chunk_by(move |a, b| window(position(a)) == window(position(b)))
}

/// Both kinds of record begin with the decision's number, by which a page is ordered.
type LineBytes = [u8; 24];
type IdBytes = [u8; ID_BYTES];
/// Bytes of one record in a page of ids.
pub(super) const ID_BYTES: usize = 32;

fn line_bytes(line: &Line) -> LineBytes {
    let mut out = [0; 24];
    let fields = [line.position, line.decided.number(), line.closed.map_or(0, Location::number)];
    for (slot, field) in out.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
        *slot = field.to_be_bytes();
    }
    out
}

fn id_bytes(position: u64, id: EntryId, location: Location) -> IdBytes {
    let mut out = [0; ID_BYTES];
    let (number, rest) = out.split_at_mut(8);
    let (name, place) = rest.split_at_mut(16);
    number.copy_from_slice(&position.to_be_bytes());
    name.copy_from_slice(id.bytes());
    place.copy_from_slice(&location.number().to_be_bytes());
    out
}

/// The lines of a page, oldest first.
pub(super) fn lines(page: &[u8]) -> impl DoubleEndedIterator<Item = Line> {
    page.as_chunks::<24>().0.iter().map(|record| {
        let [position, decided, closed] = numbers(record);
        // No frame lies at 0: there is the segment's magic.
        let closed = (closed != 0).then(|| Location::from_number(closed));
        Line { position, decided: Location::from_number(decided), closed }
    })
}

/// Where the decision with this id lies, if it is on the page.
pub(super) fn find(page: &[u8], id: EntryId) -> Option<Location> {
    page.as_chunks::<ID_BYTES>().0.iter().find_map(|record| {
        let (name, place) = record.get(8..)?.split_first_chunk::<16>()?;
        let location = Location::from_number(u64::from_be_bytes(*place.first_chunk::<8>()?));
        (name == id.bytes()).then_some(location)
    })
}

fn numbers(record: &LineBytes) -> [u64; 3] {
    let (chunks, _) = record.as_chunks::<8>();
    let mut out = [0; 3];
    for (slot, chunk) in out.iter_mut().zip(chunks) {
        *slot = u64::from_be_bytes(*chunk);
    }
    out
}

/// Merges records into a page, in order of their numbers, each number once; gives how many were not there.
fn merge<const N: usize>(tree: &Tree, key: &[u8], records: impl Iterator<Item = [u8; N]>) -> Result<u64, sled::Error> {
    let mut page: Vec<[u8; N]> = tree.get(key)?.map(|old| old.as_chunks::<N>().0.to_vec()).unwrap_or_default();
    let before = page.len();
    page.extend(records);
    // Stable: of two with one number the one that was there stays.
    page.sort_by(|a, b| a.first_chunk::<8>().cmp(&b.first_chunk::<8>()));
    page.dedup_by(|a, b| a.first_chunk::<8>() == b.first_chunk::<8>());
    tree.insert(key, page.as_flattened())?;
    Ok((page.len() - before) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        sled::Config::new().temporary(true).open().unwrap().open_tree("t").unwrap()
    }

    fn line(position: u64) -> Line {
        let closed = position.is_multiple_of(2).then(|| Location::from_number(position * 10 + 5));
        Line { position, decided: Location::from_number(position * 10), closed }
    }

    /// What the trees hold after these decisions were written in these portions.
    fn written(portions: &[&[u64]]) -> (Vec<[Vec<u8>; 2]>, u64) {
        let (log, decisions, uses) = (tree(), tree(), tree());
        let mut new = 0;
        for portion in portions {
            let mut pages = Pages::default();
            for position in *portion {
                pages.decision(*position, EntryId::from_bytes([*position as u8; 16]), Location::from_number(*position));
                let person = PersonId::from_bytes([(position % 3) as u8; 16]);
                pages.line(person, line(*position));
                pages.used(person, ConsentId::from_bytes([(position % 2) as u8; 16]), *position as i64);
            }
            new += pages.write(&log, &decisions, &uses).unwrap();
        }
        let all = log.iter().chain(decisions.iter()).chain(uses.iter()).map(|item| item.unwrap());
        (all.map(|(key, value)| [key.to_vec(), value.to_vec()]).collect(), new)
    }

    #[test]
    fn what_a_page_holds_does_not_depend_on_when_it_was_written() {
        let all: Vec<u64> = (4_090..4_110).collect();
        let (expected, new) = written(&[&all]);
        assert_eq!(new, 20);
        assert_eq!(expected.len(), 3 * 2 + 2 + 6, "three people and the ids, in two windows; two consents of each");
        let (early, late) = all.split_at(7);
        assert_eq!(written(&[early, late]), (expected.clone(), 20));
        assert_eq!(written(&[late, early]), (expected.clone(), 20));
        assert_eq!(written(&[&all, late, &all]), (expected, 20), "a second time changes nothing");
    }

    #[test]
    fn lines_and_ids_are_read_back() {
        let (log, decisions) = (tree(), tree());
        let (person, mut pages) = (PersonId::from_bytes([7; 16]), Pages::default());
        for position in [3, 1, 2] {
            pages.decision(position, EntryId::from_bytes([position as u8; 16]), Location::from_number(position + 40));
            pages.line(person, line(position));
        }
        pages.write(&log, &decisions, &tree()).unwrap();
        let page = log.get(log_key(person, 0)).unwrap().unwrap();
        assert_eq!(lines(&page).collect::<Vec<_>>(), [line(1), line(2), line(3)]);
        let page = decisions.get(0u64.to_be_bytes()).unwrap().unwrap();
        assert_eq!(find(&page, EntryId::from_bytes([2; 16])), Some(Location::from_number(42)));
        assert_eq!(find(&page, EntryId::from_bytes([9; 16])), None);
    }
}
