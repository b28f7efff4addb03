//! The index (sled): where in the ledger things stand, and when consents were used last. It holds locations, times and
//! random ids, never content, and can be rebuilt from ledger and vault at any time.
//!
//! sled's flush does not survive power cuts, so the index carries a watermark: how many entries it had taken in when it
//! was last flushed, the root of the tree of those, what of them was pruned, in which boot, and whether the process then
//! stopped cleanly. It is trusted only after a clean stop or within the same boot, when all of it can be read, and when the
//! ledger begins with those entries, lying where they lay; else it is deleted and rebuilt. A file beside it stands while it is being opened: where sled ends the
//! process on a broken file, the next start finds that and does not try again.
//!
//! What shapes records is written at once. Decisions are noted in memory and written behind, in `pages`.

mod look_ups;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
pub use look_ups::login_key;
use quick_cache::sync::Cache;
use sekisho_policy::{ConsentId, PersonId};
use sled::Tree;

use super::disk;
use super::index_files::{open_database, opening};
use super::lines::{Line, Open};
use super::log::Location;
use super::pages::{self, Behind, Used, log_key, window};
use crate::ids::EntryId;
use crate::ledger::event::Event;
use crate::ledger::merkle::{Hash, sha256};
use crate::sabotage::{self, Check};

/// The index could not be read or written. It is never the reason to lose anything: delete and rebuild.
#[derive(Debug, thiserror::Error)]
#[error("index: {0}. {advice}", advice = disk::of_index(.0))]
pub struct IndexError(#[from] sled::Error);

/// Where and whose one entry is.
pub struct Placed<'a> {
    /// Number of the entry, from 0.
    pub position: u64,
    /// Where it lies.
    pub location: Location,
    /// Its id.
    pub id: EntryId,
    /// The person whose key seals it.
    pub person: Option<PersonId>,
    /// Hash of the idempotency key.
    pub idempotency: Option<[u8; 32]>,
    /// What it says; `None` when its key was destroyed.
    pub event: Option<&'a Event>,
}

/// The index, open.
pub struct Index {
    db: sled::Db,
    path: PathBuf,
    state: Tree,
    log: Tree,
    decisions: Tree,
    logins: Tree,
    pairwise: Tree,
    consents: Tree,
    wards: Tree,
    /// Requests to erase that a recipient has not answered: by party and consent, whose.
    erasures: Tree,
    idempotency: Tree,
    /// One-time codes by their keyed hash: where each was issued, and whether it is used.
    codes: Tree,
    /// Consents for visits: by recipient and the reference's keyed hash, then consent; whose.
    bookings: Tree,
    /// The key of those hashes.
    bookings_key: hmac::Key,
    /// Permits without outcome, as of the last mark.
    open_then: Tree,
    /// When each consent about a person permitted something.
    uses: Tree,
    /// Decisions that are not in `log` and `decisions` yet.
    behind: Mutex<Behind>,
    /// Held while pages are written: one at a time.
    writing: Mutex<()>,
    /// `logins` and `pairwise`, as far as they were asked for lately: two look-ups of every request.
    people: Cache<[u8; 32], Option<PersonId>>,
    /// Entries in `state` and `decisions`.
    known: AtomicU64,
}

/// Look-ups of people held in memory, at most.
const CACHED_PEOPLE: usize = 100_000;
/// The name says which form the index has: one of an older form has no mark, and is rebuilt.
const WATERMARK: &[u8] = b"watermark-4";
/// How far an index had come: so many entries, under this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Entries taken in.
    pub count: u64,
    /// Root of the tree of those.
    pub root: Hash,
    /// What was pruned where, when their locations were noted (`ledger::pruned`).
    pub layout: Hash,
}

impl Index {
    /// Opens an index that can be trusted to hold the entries up to its mark; `None` when there is none, or it can't.
    /// [`Index::opened`] says when all went well.
    #[must_use]
    pub fn open(path: &Path, boot: &str, bookings: [u8; 32]) -> Option<(Self, Mark)> {
        let opening = opening(path);
        if !path.exists() || opening.exists() {
            return None;
        }
        std::fs::write(opening, "").ok()?;
        let (path, boot) = (path.to_owned(), boot.to_owned());
        // sled panics on some broken files. In a build that unwinds, that ends this thread; in one that aborts, the
        // file left beside the index tells the next start.
        let opened = std::thread::spawn(move || {
            let index = Self::open_at(&path, bookings).ok()?;
            let mark = index.trusted(&boot)?;
            index.readable().then_some((index, mark))
        });
        opened.join().ok().flatten()
    }

    /// An empty index, in place of what may be there.
    ///
    /// # Errors
    /// When even an empty one can't be made.
    pub fn fresh(path: &Path, bookings: [u8; 32]) -> Result<Self, IndexError> {
        if path.exists() {
            tracing::warn!("the index is not one to be trusted: it is rebuilt from the ledger");
            std::fs::remove_dir_all(path).map_err(sled::Error::from)?;
        }
        std::fs::write(opening(path), "").map_err(sled::Error::from)?;
        Self::open_at(path, bookings)
    }

    /// The index is open and has taken in what it had to.
    ///
    /// # Errors
    /// When the file beside it can't be removed.
    pub fn opened(&self) -> Result<(), IndexError> {
        Ok(std::fs::remove_file(opening(&self.path)).map_err(sled::Error::from)?)
    }

    fn open_at(path: &Path, bookings: [u8; 32]) -> Result<Self, IndexError> {
        let db = open_database(path)?;
        Ok(Self {
            state: db.open_tree("state")?,
            log: db.open_tree("log")?,
            decisions: db.open_tree("decisions")?,
            logins: db.open_tree("logins")?,
            pairwise: db.open_tree("pairwise")?,
            consents: db.open_tree("consents")?,
            wards: db.open_tree("wards")?,
            erasures: db.open_tree("erasures")?,
            idempotency: db.open_tree("idempotency")?,
            codes: db.open_tree("codes")?,
            bookings: db.open_tree("bookings")?,
            bookings_key: hmac::Key::new(hmac::HMAC_SHA256, &bookings),
            open_then: db.open_tree("open")?,
            uses: db.open_tree("uses")?,
            behind: Mutex::default(),
            writing: Mutex::default(),
            people: Cache::new(CACHED_PEOPLE),
            known: AtomicU64::new(0),
            path: path.to_owned(),
            db,
        })
    }

    /// Where the index lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn trusted(&self, boot: &str) -> Option<Mark> {
        let mark = self.db.get(WATERMARK).ok()??;
        let (count, rest) = mark.split_first_chunk::<8>()?;
        let (known, rest) = rest.split_first_chunk::<8>()?;
        self.known.store(u64::from_be_bytes(*known), Ordering::Release);
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (layout, rest) = rest.split_first_chunk::<32>()?;
        let (clean, in_boot) = rest.split_first()?;
        let mark = Mark { count: u64::from_le_bytes(*count), root: *root, layout: *layout };
        (*clean == 1 || in_boot == boot.as_bytes()).then_some(mark)
    }

    /// Whether everything can be read, and at least as many entries are there as were at the mark; takes up the permits
    /// that were open then.
    fn readable(&self) -> bool {
        let whole = self.trees().into_iter().all(|tree| tree.iter().all(|item| item.is_ok()));
        let values = |tree: &Tree| tree.iter().values().map(|value| value.map_or(0, |v| v.len())).sum::<usize>();
        let found = values(&self.state) / STATE_BYTES + values(&self.decisions) / pages::ID_BYTES;
        let known = self.known.swap(found as u64, Ordering::AcqRel);
        let opened = self.open_then.iter().map(|item| {
            let (id, value) = item.ok()?;
            Some((EntryId::from_bytes(*id.first_chunk::<16>()?), Open::read(&value)?))
        });
        let Some(opened) = opened.collect::<Option<HashMap<_, _>>>() else { return false };
        self.behind().open = opened;
        whole && self.known.load(Ordering::Acquire) >= known
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trees(&self) -> [&Tree; 12] {
        [
            &self.state,
            &self.log,
            &self.decisions,
            &self.logins,
            &self.pairwise,
            &self.consents,
            &self.wards,
            &self.erasures,
            &self.idempotency,
            &self.codes,
            &self.bookings,
            &self.uses,
        ]
    }

    /// Writes what waits, flushes, then notes how far it had come at the least. `clean` only as the last act of a clean
    /// stop.
    ///
    /// # Errors
    /// When sled fails.
    pub fn mark(&self, mark: Mark, boot: &str, clean: bool) -> Result<(), IndexError> {
        self.write_behind()?;
        let open: Vec<_> = self.behind().open.iter().map(|(id, open)| (*id, open.written())).collect();
        self.open_then.clear()?;
        for (id, open) in open {
            self.open_then.insert(id.bytes(), open)?;
        }
        self.db.flush()?;
        let (count, known) = (mark.count.to_le_bytes(), self.known.load(Ordering::Acquire).to_be_bytes());
        let mark = [count.as_slice(), &known, &mark.root, &mark.layout, &[u8::from(clean)], boot.as_bytes()].concat();
        self.db.insert(WATERMARK, mark)?;
        self.db.flush()?;
        Ok(())
    }

    /// Takes in entries, in order; gives how much waits to be written behind. Taking one in twice changes nothing.
    ///
    /// # Errors
    /// When sled fails.
    pub fn apply<'a>(&self, placed: impl IntoIterator<Item = Placed<'a>>) -> Result<usize, IndexError> {
        let mut behind = self.behind();
        for one in placed {
            match (one.person, one.event) {
                (Some(person), Some(Event::Closed(closed))) => {
                    behind.close(person, EntryId::from_bytes(closed.decision.0), one.location);
                }
                (Some(person), Some(Event::Decided(decided))) => {
                    behind.decide(person, decided.kept != 0, one.position, one.id, one.location);
                    let told = !decided.by_basis || sabotage::off(Check::UsesTold);
                    for consent in decided.consents.iter().flatten().filter(|_| told) {
                        behind.fresh.used(person, ConsentId::from_bytes(consent.0), decided.now_ms);
                    }
                }
                (None, Some(Event::LinkCodeIssued(issued))) => self.note_code(issued.code.0, one.location)?,
                (Some(person), event) => {
                    self.append_state(*person.bytes(), one.location)?;
                    match event {
                        Some(Event::EnrolmentCodeIssued(issued)) => self.note_code(issued.code.0, one.location)?,
                        Some(Event::CounterLooked(_)) => behind.look(person, one.position, one.location),
                        _ => {}
                    }
                    self.look_ups(person, event)?;
                }
                (None, event) if event.is_some_and(|e| e.entry_type().changes_registry()) => {
                    self.append_state(GLOBAL, one.location)?;
                }
                (None, _) => {}
            }
            if let Some(key) = one.idempotency {
                self.idempotency.insert(key, &one.location.number().to_be_bytes())?;
            }
        }
        Ok(behind.fresh.len())
    }

    /// Records that wait to be written behind.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.behind().fresh.len()
    }

    /// Writes the decisions that wait. Readers find them in memory or in sled at every moment.
    ///
    /// # Errors
    /// When sled fails.
    pub fn write_behind(&self) -> Result<(), IndexError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = self.behind().take();
        let new = pages.write(&self.log, &self.decisions, &self.uses)?;
        self.known.fetch_add(new, Ordering::AcqRel);
        self.behind().written(&pages);
        Ok(())
    }

    /// In pages, each full before the next one begins: one more entry costs the same however many there are.
    fn append_state(&self, key: [u8; 16], location: Location) -> Result<(), IndexError> {
        let number = location.number().to_be_bytes();
        let (mut page, mut list) = match self.state.scan_prefix(key).next_back().transpose()? {
            Some((key, list)) => (state_page(&key), list.to_vec()),
            None => (0, Vec::new()),
        };
        // In order, each once: a second pass over the same entries changes nothing.
        if list.last_chunk::<STATE_BYTES>().is_none_or(|last| *last < number) {
            if list.len() >= STATE_PAGE * STATE_BYTES {
                (page, list) = (page.saturating_add(1), Vec::new());
            }
            list.extend_from_slice(&number);
            self.state.insert(state_key(key, page), list)?;
            self.known.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The entries that shaped a person's records, in order, but for the first `skip`.
    ///
    /// # Errors
    /// When sled fails.
    pub fn state_of(&self, person: PersonId, skip: usize) -> Result<Vec<Location>, IndexError> {
        self.locations(*person.bytes(), skip)
    }

    /// The last entry that shaped a person's records.
    ///
    /// # Errors
    /// When sled fails.
    pub fn last_state_of(&self, person: PersonId) -> Result<Option<Location>, IndexError> {
        let last = self.state.scan_prefix(person.bytes()).next_back().transpose()?;
        let number = last.as_ref().and_then(|(_, list)| list.last_chunk::<STATE_BYTES>());
        Ok(number.map(|number| Location::from_number(u64::from_be_bytes(*number))))
    }

    /// The entries that shaped the registry, in order.
    ///
    /// # Errors
    /// When sled fails.
    pub fn global(&self) -> Result<Vec<Location>, IndexError> {
        self.locations(GLOBAL, 0)
    }

    fn locations(&self, key: [u8; 16], skip: usize) -> Result<Vec<Location>, IndexError> {
        let first = u32::try_from(skip / STATE_PAGE).unwrap_or(u32::MAX);
        let (mut skip, mut all) = (skip % STATE_PAGE, Vec::new());
        for list in self.state.range(state_key(key, first)..=state_key(key, u32::MAX)).values() {
            let list = list?;
            let (numbers, _) = list.as_chunks::<STATE_BYTES>();
            let fresh = numbers.iter().skip(std::mem::take(&mut skip));
            all.extend(fresh.map(|n| Location::from_number(u64::from_be_bytes(*n))));
        }
        Ok(all)
    }

    /// Decisions about a person, and looks at a counter, before a position, newest first, at most `limit`.
    ///
    /// # Errors
    /// When sled fails.
    pub fn log_of(&self, person: PersonId, before: u64, limit: usize) -> Result<Vec<Line>, IndexError> {
        let mut lines = self.behind().lines_of(person, before);
        let mut written = 0;
        for page in self.log.range(log_key(person, 0)..=log_key(person, window(before))).values().rev() {
            let page = page?;
            let earlier = pages::lines(&page).rev().filter(|line| line.position < before).take(limit);
            let known = lines.len();
            lines.extend(earlier);
            written += lines.len() - known;
            if written >= limit {
                break;
            }
        }
        lines.sort_unstable_by_key(|line| (std::cmp::Reverse(line.position), line.closed.is_none()));
        // One that was written between the two looks stands in both.
        lines.dedup_by_key(|line| line.position);
        lines.truncate(limit);
        Ok(lines)
    }

    /// When each consent about a person permitted something.
    ///
    /// # Errors
    /// When sled fails.
    pub fn uses_of(&self, person: PersonId) -> Result<HashMap<ConsentId, Used>, IndexError> {
        let mut all: HashMap<ConsentId, Used> = HashMap::new();
        let waiting = self.behind().uses_of(person);
        for item in self.uses.scan_prefix(person.bytes()) {
            let (key, used) = item?;
            let consent = key.last_chunk::<16>().map(|id| ConsentId::from_bytes(*id));
            all.extend(consent.zip(Used::read(&used)));
        }
        for (consent, used) in waiting {
            let known = all.entry(consent).or_insert(used);
            *known = known.and(used);
        }
        Ok(all)
    }

    /// Where a decision lies. For an operator's question now and then: it reads through all of them.
    ///
    /// # Errors
    /// When sled fails.
    pub fn decision(&self, id: EntryId) -> Result<Option<Location>, IndexError> {
        if let Some(location) = self.behind().find(id) {
            return Ok(Some(location));
        }
        for page in self.decisions.iter().values().rev() {
            if let Some(location) = pages::find(&page?, id) {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }

    /// The entry that came with an idempotency key.
    ///
    /// # Errors
    /// When sled fails.
    pub fn idempotency(&self, key: [u8; 32]) -> Result<Option<Location>, IndexError> {
        Ok(self.idempotency.get(key)?.map(|l| number(&l)))
    }

    /// Permits whose outcome is not recorded: what a crash left open.
    #[must_use]
    pub fn open_decisions(&self) -> Vec<(EntryId, PersonId)> {
        self.behind().open.iter().map(|(id, open)| (*id, open.person)).collect()
    }

    /// SHA-256 over all that was taken in: two indexes with the same digest answer alike.
    ///
    /// # Errors
    /// When sled fails.
    pub fn digest(&self) -> Result<Hash, IndexError> {
        self.write_behind()?;
        let mut all = Vec::new();
        for tree in self.trees() {
            for item in tree {
                let (key, value) = item?;
                all.extend_from_slice(&sha256(&[key.as_ref(), value.as_ref()].concat()));
            }
            all = sha256(&all).to_vec();
        }
        let mut open: Vec<_> =
            self.behind().open.iter().map(|(id, open)| [id.bytes().as_slice(), &open.written()].concat()).collect();
        open.sort_unstable();
        all.extend(open.concat());
        Ok(sha256(&all))
    }
}

/// Bytes of one location in a list of `state`.
const STATE_BYTES: usize = 8;
/// Locations in one page of such a list.
const STATE_PAGE: usize = 128;

fn state_key(key: [u8; 16], page: u32) -> [u8; 20] {
    let mut whole = [0; 20];
    let (whose, which) = whole.split_at_mut(16);
    whose.copy_from_slice(&key);
    which.copy_from_slice(&page.to_be_bytes());
    whole
}

fn state_page(key: &[u8]) -> u32 {
    key.last_chunk::<4>().map_or(0, |page| u32::from_be_bytes(*page))
}

/// The registry's list of entries stands under the id that no person has.
const GLOBAL: [u8; 16] = [0xff; 16];

fn number(bytes: &[u8]) -> Location {
    Location::from_number(bytes.first_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n)))
}
