//! The lines of 閲覧・提供の記録: decisions about a person with what came of them, and looks by a party's staff at its counter.
//!
//! All of them are here. Which of them a person may see, `consent::seen` says (invariant 11); nobody shows one without asking it.

use sekisho_policy::{PersonId, Timestamp};

use super::{Store, StoreError};
use crate::ids::EntryId;
use crate::ledger::event::{Closed, CounterLooked, Decided, Event};

/// A decision about a person.
#[derive(Debug)]
pub struct Logged {
    /// Number in the ledger.
    pub position: u64,
    /// The decision's entry.
    pub entry: EntryId,
    /// Its leaf hash.
    pub leaf: [u8; 32],
    /// When.
    pub at: Timestamp,
    /// The decision.
    pub decided: Decided,
    /// What became of it, once that is known.
    pub closed: Option<Closed>,
}

/// A look by a party's staff at what is kept about a person.
#[derive(Debug)]
pub struct Look {
    /// Number in the ledger.
    pub position: u64,
    /// The look's entry.
    pub entry: EntryId,
    /// Its leaf hash.
    pub leaf: [u8; 32],
    /// When.
    pub at: Timestamp,
    /// Who looked.
    pub looked: CounterLooked,
}

/// One line.
#[derive(Debug)]
pub enum LogLine {
    /// Somebody asked for data.
    Decision(Box<Logged>),
    /// Somebody opened the person at a counter.
    Look(Look),
}

impl LogLine {
    /// Number in the ledger.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match self {
            Self::Decision(line) => line.position,
            Self::Look(look) => look.position,
        }
    }

    /// The entry.
    #[must_use]
    pub const fn entry(&self) -> EntryId {
        match self {
            Self::Decision(line) => line.entry,
            Self::Look(look) => look.entry,
        }
    }

    /// Its leaf hash.
    #[must_use]
    pub const fn leaf(&self) -> [u8; 32] {
        match self {
            Self::Decision(line) => line.leaf,
            Self::Look(look) => look.leaf,
        }
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Decision(line) => line.at,
            Self::Look(look) => look.at,
        }
    }

    /// The decision, if it is one.
    #[must_use]
    pub fn decision(self) -> Option<Logged> {
        match self {
            Self::Decision(line) => Some(*line),
            Self::Look(_) => None,
        }
    }
}

impl Store {
    /// Lines about a person before a position, newest first, at most `limit`; fewer only where there are no more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn access_log(&self, person: PersonId, before: u64, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        let mut lines = Vec::new();
        for line in self.inner.index.log_of(person, before, limit)? {
            let position = line.position;
            let opened = self.read(line.decided)?;
            let (entry, leaf, at) = (opened.header.id(), opened.leaf, opened.header.at());
            let decided = match opened.event {
                Some(Event::Decided(decided)) => decided,
                Some(Event::CounterLooked(looked)) => {
                    lines.push(LogLine::Look(Look { position, entry, leaf, at, looked }));
                    continue;
                }
                _ => continue,
            };
            let closed = match line.closed {
                Some(location) => self.read(location)?.event,
                None => None,
            };
            let closed = closed.and_then(|event| if let Event::Closed(closed) = event { Some(closed) } else { None });
            lines.push(LogLine::Decision(Box::new(Logged { position, entry, leaf, at, decided, closed })));
        }
        Ok(lines)
    }

    /// The position before which a person's lines are older than this instant; by bisection, so that it takes as long
    /// however many there are.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn log_before(&self, person: PersonId, at: Timestamp) -> Result<u64, StoreError> {
        // Whether the newest line before this position is not older.
        let not_older = |position: u64| {
            let Some(line) = self.inner.index.log_of(person, position, 1)?.pop() else { return Ok(false) };
            Ok::<_, StoreError>(self.read(line.decided)?.header.at() >= at)
        };
        let newest = self.inner.index.log_of(person, u64::MAX, 1)?.pop().map_or(0, |line| line.position);
        let (mut low, mut high) = (0, newest.saturating_add(1));
        if !not_older(high)? {
            return Ok(u64::MAX);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if not_older(middle)? { high = middle } else { low = middle + 1 }
        }
        Ok(low.saturating_sub(1))
    }
}
