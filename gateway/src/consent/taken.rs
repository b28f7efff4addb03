//! What a person takes of a proposal: all of it, or less; never more. Categories without which nothing goes stay.

use sekisho_policy::Timestamp;

use super::give::{GiveError, field};
use crate::ledger::event::Terms;
use crate::sabotage::{self, Check};

/// The choice; where nothing is said, as proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// These of the proposed category versions.
    pub categories: Option<Vec<String>>,
    /// Until then.
    pub until: Option<Timestamp>,
}

/// The terms as the person takes them. That they hold together, what must be part of them included, is for whoever records
/// them to check.
///
/// # Errors
/// When they would go further than what was proposed, or nothing is left.
pub fn narrowed(proposed: &Terms, taken: &Taken, now: Timestamp) -> Result<Terms, GiveError> {
    let mut terms = proposed.clone();
    if let Some(wanted) = &taken.categories {
        terms.categories.clone_from(wanted);
        terms.categories.sort_unstable();
        terms.categories.dedup();
    }
    if let Some(until) = taken.until {
        if until <= now || until.millis() <= proposed.from_ms {
            return Err(field("until", "must be after now, and after the beginning"));
        }
        terms.until_ms = until.millis();
    }
    if terms.categories.is_empty() {
        return Err(field("categories", "must be at least one of those that are proposed"));
    }
    let within = terms.categories.iter().all(|one| proposed.categories.contains(one));
    if !within && !sabotage::off(Check::NeverWider) {
        return Err(field("categories", "must be among those that are proposed"));
    }
    if terms.until_ms > proposed.until_ms && !sabotage::off(Check::NeverWider) {
        return Err(field("until", "must not be later than what is proposed"));
    }
    Ok(terms)
}
