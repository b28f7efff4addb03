//! The index (sled): where in the ledger things stand. It holds locations and random ids, never content, and can be
//! rebuilt from ledger and vault at any time.
//!
//! sled's flush does not survive power cuts, so the index carries a watermark: how many entries it had taken in when it
//! was last flushed, the root of the tree of those, in which boot, and whether the process then stopped cleanly. It is
//! trusted only after a clean stop or within the same boot, when all of it can be read, and when the ledger begins with
//! those entries; else it is deleted and rebuilt. A file beside it stands while it is being opened: where sled ends the
//! process on a broken file, the next start finds that and does not try again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sekisho_policy::{ConsentId, PartyId, PersonId};
use sled::Tree;

use super::index_files::{open_database, opening};
use super::lines::{Line, Open};
use super::log::Location;
use crate::ids::{EntryId, PairwiseId};
use crate::ledger::event::{Event, LinkTarget};
use crate::ledger::merkle::{Hash, sha256};

/// The index could not be read or written. It is never the reason to lose anything: delete and rebuild.
#[derive(Debug, thiserror::Error)]
#[error("index: {0}")]
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
    entries: Tree,
    logins: Tree,
    pairwise: Tree,
    consents: Tree,
    wards: Tree,
    idempotency: Tree,
    /// Permits without outcome, as of the last mark.
    open_then: Tree,
    /// Permits without outcome, now. A permit's line goes into `log` together with its outcome: a release is one entry
    /// and one line there, not six changes on the way of every commit.
    open: Mutex<HashMap<EntryId, Open>>,
    /// Entries in `entries`.
    known: AtomicU64,
}

const WATERMARK: &[u8] = b"watermark";
/// How far an index had come: so many entries, under this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Entries taken in.
    pub count: u64,
    /// Root of the tree of those.
    pub root: Hash,
}

impl Index {
    /// Opens an index that can be trusted to hold the entries up to its mark; `None` when there is none, or it can't.
    /// [`Index::opened`] says when all went well.
    #[must_use]
    pub fn open(path: &Path, boot: &str) -> Option<(Self, Mark)> {
        let opening = opening(path);
        if !path.exists() || opening.exists() {
            return None;
        }
        std::fs::write(opening, "").ok()?;
        let (path, boot) = (path.to_owned(), boot.to_owned());
        // sled panics on some broken files. In a build that unwinds, that ends this thread; in one that aborts, the
        // file left beside the index tells the next start.
        let opened = std::thread::spawn(move || {
            let index = Self::open_at(&path).ok()?;
            let mark = index.trusted(&boot)?;
            index.readable().then_some((index, mark))
        });
        opened.join().ok().flatten()
    }

    /// An empty index, in place of what may be there.
    ///
    /// # Errors
    /// When even an empty one can't be made.
    pub fn fresh(path: &Path) -> Result<Self, IndexError> {
        if path.exists() {
            tracing::warn!("the index is not one to be trusted: it is rebuilt from the ledger");
            std::fs::remove_dir_all(path).map_err(sled::Error::from)?;
        }
        std::fs::write(opening(path), "").map_err(sled::Error::from)?;
        Self::open_at(path)
    }

    /// The index is open and has taken in what it had to.
    ///
    /// # Errors
    /// When the file beside it can't be removed.
    pub fn opened(&self) -> Result<(), IndexError> {
        Ok(std::fs::remove_file(opening(&self.path)).map_err(sled::Error::from)?)
    }

    fn open_at(path: &Path) -> Result<Self, IndexError> {
        let db = open_database(path)?;
        Ok(Self {
            state: db.open_tree("state")?,
            log: db.open_tree("log")?,
            entries: db.open_tree("entries")?,
            logins: db.open_tree("logins")?,
            pairwise: db.open_tree("pairwise")?,
            consents: db.open_tree("consents")?,
            wards: db.open_tree("wards")?,
            idempotency: db.open_tree("idempotency")?,
            open_then: db.open_tree("open")?,
            open: Mutex::default(),
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
        let (clean, in_boot) = rest.split_first()?;
        let mark = Mark { count: u64::from_le_bytes(*count), root: *root };
        (*clean == 1 || in_boot == boot.as_bytes()).then_some(mark)
    }

    /// Whether everything can be read, and at least as many entries are there as were at the mark; takes up the permits
    /// that were open then.
    fn readable(&self) -> bool {
        let known = self.known.swap(self.entries.len() as u64, Ordering::AcqRel);
        let whole = self.trees().into_iter().all(|tree| tree.iter().all(|item| item.is_ok()));
        let opened = self.open_then.iter().map(|item| {
            let (id, value) = item.ok()?;
            Some((EntryId::from_bytes(*id.first_chunk::<16>()?), Open::read(&value)?))
        });
        let Some(opened) = opened.collect::<Option<HashMap<_, _>>>() else { return false };
        *self.opens() = opened;
        whole && self.known.load(Ordering::Acquire) >= known
    }

    fn opens(&self) -> MutexGuard<'_, HashMap<EntryId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trees(&self) -> [&Tree; 8] {
        [
            &self.state,
            &self.log,
            &self.entries,
            &self.logins,
            &self.pairwise,
            &self.consents,
            &self.wards,
            &self.idempotency,
        ]
    }

    /// Flushes, then notes how far it has come. `clean` only as the last act of a clean stop.
    ///
    /// # Errors
    /// When sled fails.
    pub fn mark(&self, mark: Mark, boot: &str, clean: bool) -> Result<(), IndexError> {
        self.open_then.clear()?;
        for (id, open) in self.opens().iter() {
            self.open_then.insert(id.bytes(), open.written())?;
        }
        self.db.flush()?;
        let (count, known) = (mark.count.to_le_bytes(), self.known.load(Ordering::Acquire).to_be_bytes());
        let mark = [count.as_slice(), &known, &mark.root, &[u8::from(clean)], boot.as_bytes()].concat();
        self.db.insert(WATERMARK, mark)?;
        self.db.flush()?;
        Ok(())
    }

    /// Takes in entries, in order. Taking one in twice changes nothing.
    ///
    /// # Errors
    /// When sled fails.
    pub fn apply<'a>(&self, placed: impl IntoIterator<Item = Placed<'a>>) -> Result<(), IndexError> {
        for one in placed {
            if let (Some(person), Some(Event::Closed(closed))) = (one.person, one.event) {
                self.close(person, EntryId::from_bytes(closed.decision.0), one.location)?;
                continue;
            }
            let location = one.location.number().to_be_bytes();
            if self.entries.insert(one.id.bytes(), &location)?.is_none() {
                self.known.fetch_add(1, Ordering::AcqRel);
            }
            let Some(person) = one.person else {
                if one.event.is_some_and(|e| e.entry_type().changes_registry()) {
                    self.append_state(GLOBAL, one.location)?;
                }
                continue;
            };
            match one.event {
                Some(Event::Decided(decided)) if decided.kept != 0 => {
                    let open = Open { person, position: one.position, location: one.location };
                    self.opens().insert(one.id, open);
                }
                Some(Event::Decided(_)) => {
                    self.log.insert(log_key(person, one.position), &location)?;
                }
                event => {
                    self.append_state(*person.bytes(), one.location)?;
                    self.look_ups(person, event)?;
                }
            }
            if let Some(key) = one.idempotency {
                self.idempotency.insert(key, &location)?;
            }
        }
        Ok(())
    }

    /// A permit's line, with its outcome. A second pass finds it closed already.
    fn close(&self, person: PersonId, decision: EntryId, closed: Location) -> Result<(), IndexError> {
        let Some(open) = self.opens().get(&decision).copied().filter(|open| open.person == person) else {
            return Ok(());
        };
        let line = [open.location.number().to_be_bytes(), closed.number().to_be_bytes()].concat();
        self.log.insert(log_key(person, open.position), line)?;
        // Only now: a reader finds it in one of the two at every moment.
        self.opens().remove(&decision);
        Ok(())
    }

    fn look_ups(&self, person: PersonId, event: Option<&Event>) -> Result<(), IndexError> {
        match event {
            Some(Event::Linked(linked)) => {
                if let LinkTarget::Login { issuer, sub } = &linked.to {
                    self.logins.insert(login_key(issuer, sub), person.bytes())?;
                }
            }
            Some(Event::PairwiseMinted(minted)) => {
                let party = crate::ids::party_id(&minted.party);
                self.pairwise.insert(pair_key(party, minted.id.0), person.bytes())?;
            }
            Some(Event::ConsentProposed(proposed)) => {
                // An approval that was taken in earlier (a second pass) stays.
                let _ = self.consents.compare_and_swap(
                    proposed.consent.0,
                    None as Option<&[u8]>,
                    Some(person.bytes().as_slice()),
                )?;
            }
            Some(Event::ConsentApproved(approved)) => {
                self.consents.insert(approved.consent.0, person.bytes())?;
            }
            Some(Event::Refused(refused)) => {
                self.consents.insert(refused.refusal.0, person.bytes())?;
            }
            Some(Event::AuthorityRecorded(authority)) => {
                self.wards.insert([authority.guardian.0, *person.bytes()].concat(), &[])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn append_state(&self, key: [u8; 16], location: Location) -> Result<(), IndexError> {
        let number = location.number().to_be_bytes();
        self.state.fetch_and_update(key, |old| {
            let mut list = old.map(<[u8]>::to_vec).unwrap_or_default();
            // In order, each once: a second pass over the same entries changes nothing.
            if list.last_chunk::<8>().is_none_or(|last| *last < number) {
                list.extend_from_slice(&number);
            }
            Some(list)
        })?;
        Ok(())
    }

    /// The entries that shaped a person's records, in order.
    ///
    /// # Errors
    /// When sled fails.
    pub fn state_of(&self, person: PersonId) -> Result<Vec<Location>, IndexError> {
        self.locations(*person.bytes())
    }

    /// The entries that shaped the registry, in order.
    ///
    /// # Errors
    /// When sled fails.
    pub fn global(&self) -> Result<Vec<Location>, IndexError> {
        self.locations(GLOBAL)
    }

    fn locations(&self, key: [u8; 16]) -> Result<Vec<Location>, IndexError> {
        let list = self.state.get(key)?;
        let (numbers, _) = list.as_deref().unwrap_or_default().as_chunks::<8>();
        Ok(numbers.iter().map(|n| Location::from_number(u64::from_be_bytes(*n))).collect())
    }

    /// Decisions about a person before a position, newest first, at most `limit`.
    ///
    /// # Errors
    /// When sled fails.
    pub fn log_of(&self, person: PersonId, before: u64, limit: usize) -> Result<Vec<Line>, IndexError> {
        let line = |open: &Open| Line { position: open.position, decided: open.location, closed: None };
        let mine = |open: &&Open| open.person == person && open.position < before;
        let mut lines: Vec<Line> = self.opens().values().filter(mine).map(line).collect();
        for item in self.log.range(log_key(person, 0)..log_key(person, before)).rev().take(limit) {
            let (key, value) = item?;
            let position = key.last_chunk::<8>().map_or(0, |p| u64::from_be_bytes(*p));
            let closed = value.get(8..).filter(|rest| rest.len() == 8).map(number);
            lines.push(Line { position, decided: number(&value), closed });
        }
        lines.sort_unstable_by_key(|line| std::cmp::Reverse(line.position));
        // One that was closed between the two looks stands in both.
        lines.dedup_by_key(|line| line.position);
        lines.truncate(limit);
        Ok(lines)
    }

    /// Where an entry lies.
    ///
    /// # Errors
    /// When sled fails.
    pub fn entry(&self, id: EntryId) -> Result<Option<Location>, IndexError> {
        Ok(self.entries.get(id.bytes())?.map(|l| number(&l)))
    }

    /// Whom a login is linked to, or once was: the person's own links say whether it still holds.
    ///
    /// # Errors
    /// When sled fails.
    pub fn login(&self, issuer: &str, sub: &str) -> Result<Option<PersonId>, IndexError> {
        Ok(self.logins.get(login_key(issuer, sub))?.and_then(|p| person(&p)))
    }

    /// Whom a party knows by this id.
    ///
    /// # Errors
    /// When sled fails.
    pub fn pairwise(&self, party: PartyId, id: PairwiseId) -> Result<Option<PersonId>, IndexError> {
        Ok(self.pairwise.get(pair_key(party, *id.bytes()))?.and_then(|p| person(&p)))
    }

    /// Whose a consent, proposal or refusal is.
    ///
    /// # Errors
    /// When sled fails.
    pub fn consent(&self, id: ConsentId) -> Result<Option<PersonId>, IndexError> {
        Ok(self.consents.get(id.bytes())?.and_then(|p| person(&p)))
    }

    /// Over whom a person holds or held authority.
    pub fn wards(&self, guardian: PersonId) -> impl Iterator<Item = PersonId> {
        self.wards
            .scan_prefix(guardian.bytes())
            .keys()
            .filter_map(|key| key.ok()?.last_chunk::<16>().map(|p| PersonId::from_bytes(*p)))
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
        self.opens().iter().map(|(id, open)| (*id, open.person)).collect()
    }

    /// SHA-256 over all that was taken in: two indexes with the same digest answer alike.
    ///
    /// # Errors
    /// When sled fails.
    pub fn digest(&self) -> Result<Hash, IndexError> {
        let mut all = Vec::new();
        for tree in self.trees() {
            for item in tree {
                let (key, value) = item?;
                all.extend_from_slice(&sha256(&[key.as_ref(), value.as_ref()].concat()));
            }
            all = sha256(&all).to_vec();
        }
        let opens = self.opens();
        let mut open: Vec<_> =
            opens.iter().map(|(id, open)| [id.bytes().as_slice(), &open.written()].concat()).collect();
        open.sort_unstable();
        all.extend(open.concat());
        Ok(sha256(&all))
    }
}

/// The registry's list of entries stands under the id that no person has.
const GLOBAL: [u8; 16] = [0xff; 16];

fn number(bytes: &[u8]) -> Location {
    Location::from_number(bytes.first_chunk::<8>().map_or(0, |n| u64::from_be_bytes(*n)))
}

fn person(bytes: &[u8]) -> Option<PersonId> {
    bytes.first_chunk::<16>().map(|p| PersonId::from_bytes(*p))
}

fn log_key(person: PersonId, position: u64) -> Vec<u8> {
    [person.bytes().as_slice(), &position.to_be_bytes()].concat()
}

fn pair_key(party: PartyId, id: [u8; 16]) -> Vec<u8> {
    [*party.bytes(), id].concat()
}

/// A login's key: a hash, so that the index holds no name that a provider gave.
#[must_use]
pub fn login_key(issuer: &str, sub: &str) -> Hash {
    let length = (issuer.len() as u64).to_le_bytes();
    sha256(&[length.as_slice(), issuer.as_bytes(), sub.as_bytes()].concat())
}
