//! Reading the ledger from one end to the other: who received what in a period, whoever it was about.
//!
//! For the report of a breach (個人情報保護法26条): it goes by the ledger alone, so that it can be made when nothing else is
//! to be trusted, and reads every entry of the period.

use std::collections::HashMap;

use sekisho_policy::{PartyId, PersonId, Timestamp};

use super::lines::{LogLine, Logged};
use super::{Store, StoreError, prepare};
use crate::ids::{EntryId, TextId};
use crate::ledger::entry::{Entry, EntryType};
use crate::ledger::event::Event;
use crate::ledger::walk::walk;

/// Lines of one report, at most; the rest begins where it ended.
pub const LINES_MAX: usize = 100_000;

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct ReportAsked {
    /// From this instant on.
    pub since: Timestamp,
    /// Before this one.
    pub until: Timestamp,
    /// Only what this party received.
    pub party: Option<PartyId>,
    /// Only what stands behind this place in the ledger.
    pub after: Option<u64>,
}

/// Who received what.
#[derive(Debug, Default)]
pub struct Received {
    /// Permits, oldest first, each with its outcome where that is known.
    pub lines: Vec<Logged>,
    /// Permits that can't be read any more: their keys were destroyed.
    pub erased: u64,
    /// Of what is older than this, decisions were pruned: they stand in no list any more.
    pub pruned_before: Option<Timestamp>,
    /// The place behind which a further report has to begin, when there were more lines than fit.
    pub more_after: Option<u64>,
}

impl Store {
    /// Every permit of a period: what was released, or was about to be.
    ///
    /// # Errors
    /// When the ledger can't be read. It blocks: reading a million entries takes seconds.
    pub fn received(&self, asked: ReportAsked) -> Result<Received, StoreError> {
        let mut found = Received::default();
        let mut by_decision: HashMap<EntryId, usize> = HashMap::new();
        let mut failed = None;
        let ledger = self.inner.reader.directory().to_owned();
        let walked = walk(&ledger, &mut |_| {}, |place, stored| {
            if failed.is_none()
                && let Some(bytes) = stored.whole()
                && let Err(error) = self.one(asked, place.position, bytes, &mut found, &mut by_decision)
            {
                failed = Some(error);
            }
            Ok(())
        });
        walked.map_err(|_| StoreError::Entry("the ledger can't be read through: run the verifier"))?;
        failed.map_or(Ok(found), Err)
    }

    fn one(
        &self,
        asked: ReportAsked,
        position: u64,
        bytes: &[u8],
        found: &mut Received,
        by_decision: &mut HashMap<EntryId, usize>,
    ) -> Result<(), StoreError> {
        let header = Entry::decode(bytes).map_err(|_| StoreError::Entry("not an entry"))?.header;
        let at = header.at();
        let entry_type = header.entry_type().map_err(|_| StoreError::Entry("unknown type"))?;
        match entry_type {
            EntryType::Decided
                if at >= asked.since && at < asked.until && asked.after.is_none_or(|after| position > after) => {}
            EntryType::Closed if at >= asked.since => {}
            EntryType::Pruned => {}
            _ => return Ok(()),
        }
        let opened = prepare::open(&self.inner.vault, bytes)?;
        match opened.event {
            Some(Event::Decided(decided)) => {
                let party = decided.question.party.map(|id| PartyId::of(id.0));
                if decided.kept == 0 || asked.party.is_some_and(|wanted| Some(wanted) != party) {
                    return Ok(());
                }
                if found.lines.len() == LINES_MAX {
                    found.more_after = found.lines.last().map(|line| line.position);
                    return Ok(());
                }
                let entry = header.id();
                by_decision.insert(entry, found.lines.len());
                found.lines.push(Logged { position, entry, leaf: opened.leaf, at, decided, closed: None });
            }
            Some(Event::Closed(closed)) => {
                let line = by_decision.get(&EntryId::of(closed.decision.0)).and_then(|at| found.lines.get_mut(*at));
                if let Some(line) = line {
                    line.closed = Some(closed);
                }
            }
            Some(Event::Pruned(pruned)) => {
                found.pruned_before = found.pruned_before.max(Some(Timestamp::from_millis(pruned.before_ms)));
            }
            // Whether it was a permit can't be told any more either; it is counted so that nobody takes the list for all.
            None if entry_type == EntryType::Decided => found.erased += 1,
            _ => {}
        }
        Ok(())
    }
}

/// One record about a person, as it is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its entry.
    pub entry: EntryId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What kind.
    pub kind: EntryType,
    /// What it says; `None` when its key was destroyed.
    pub event: Option<Event>,
}

/// Everything that is kept of a person.
#[derive(Debug)]
pub struct KeptOf {
    /// What shaped the person's records, oldest first.
    pub records: Vec<Kept>,
    /// Decisions about the person, newest first.
    pub decisions: Vec<Logged>,
    /// Whether these are all decisions: at most 100,000 are given.
    pub complete: bool,
}

impl Store {
    /// What is kept of a person, content that was erased excepted.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kept(&self, person: PersonId) -> Result<KeptOf, StoreError> {
        let mut records = Vec::new();
        for location in self.inner.index.state_of(person, 0)? {
            let opened = self.read(location)?;
            let kind = opened.header.entry_type().map_err(|_| StoreError::Entry("unknown type"))?;
            records.push(Kept { entry: opened.header.id(), at: opened.header.at(), kind, event: opened.event });
        }
        let lines = self.access_log(person, u64::MAX, LINES_MAX)?;
        let complete = lines.len() < LINES_MAX;
        // Looks are among the records.
        let decisions = lines.into_iter().filter_map(LogLine::decision).collect();
        Ok(KeptOf { records, decisions, complete })
    }
}
