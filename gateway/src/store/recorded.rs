//! Decisions that are durable. A [`Recorded`] is the only leave to fetch, forward or release, and only this module's
//! parent makes one.

use std::time::{Duration, Instant};

use sekisho_policy::{AccessRequest, Decision, Denial, Permit, Timestamp};

use super::embedded::writer::Appended;
use crate::ids::EntryId;

/// How long a recorded permit may wait before it is used.
const RECORDED_LIVES: Duration = Duration::from_secs(60);

/// A permit whose decision is durable. Only [`Store::decide_and_record`] makes one; only this can fetch, forward or
/// release (invariant 1). It can't be copied: one decision, one release.
///
/// [`Store::decide_and_record`]: super::Store::decide_and_record
#[derive(Debug)]
pub struct Recorded {
    decision: EntryId,
    request: AccessRequest,
    permit: Permit,
    at: Timestamp,
    made: Instant,
}

impl Recorded {
    /// The decision's entry.
    #[must_use]
    pub const fn decision(&self) -> EntryId {
        self.decision
    }

    /// What was asked.
    #[must_use]
    pub const fn request(&self) -> &AccessRequest {
        &self.request
    }

    /// What was permitted.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// When it was decided.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether it has waited too long to be used.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.made.elapsed() > RECORDED_LIVES
    }
}

/// A decision that is durable, either way.
#[derive(Debug)]
pub enum Ruling {
    /// Release may go on.
    Permitted(Box<Recorded>),
    /// Nothing may be released, and no source asked.
    Denied(Box<Denial>),
}

pub(super) fn ruling(decision: Decision, request: &AccessRequest, appended: Appended) -> Ruling {
    match decision {
        Decision::Permit(permit) => Ruling::Permitted(Box::new(Recorded {
            decision: appended.entry,
            request: request.clone(),
            permit,
            at: appended.at,
            made: Instant::now(),
        })),
        Decision::Deny(denial) => Ruling::Denied(Box::new(denial)),
    }
}
