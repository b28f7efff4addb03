//! Whether a consultation needs a nurse, and why. Pure: no clock, no I/O; criteria are configuration.
//!
//! Each trigger alone is enough. What raises urgency never lowers it.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use sekisho_adapters::consultation::Consultation;
use serde::{Deserialize, Serialize};

/// The criteria, from configuration. The criteria of the 青色フラグ itself are not in the source text: `marks` is where a
/// municipality and a service write down theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// EPDS sum from which a nurse is needed; 9 in Japan (cut-off 8/9).
    pub epds_sum: u8,
    /// Score of item 10 from which it is urgent; 1.
    pub epds_item_10: u8,
    /// Marks of the service that flag by themselves.
    pub marks: Vec<Mark>,
    /// So many consultations within `repeated_days`, this one included, raise urgency; one alone never does.
    pub repeated: u8,
    /// Days that count for that.
    pub repeated_days: u16,
    /// A sum that rose by so much since the last questionnaire raises urgency; one that didn't rise never does.
    pub rise: u8,
}

/// A mark that flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The service's code.
    pub code: String,
    /// What it means, for the nurse.
    pub label_ja: String,
    /// The same in English.
    pub label_en: String,
}

/// What is known of somebody's earlier consultations with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// When.
    pub at: Timestamp,
    /// The sum then, where a questionnaire was answered.
    pub sum: Option<u8>,
}

/// Why a nurse is needed. Each alone is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// EPDS: the sum of what was answered reaches the threshold.
    EpdsSum {
        /// The sum.
        sum: u8,
        /// The threshold.
        from: u8,
        /// How many of the ten items were answered.
        answered: u8,
    },
    /// EPDS: item 10 was answered with this score.
    EpdsItem10 {
        /// The score.
        score: u8,
    },
    /// A professional judged so, with a written reason.
    Judgement,
    /// The service's emergency mark.
    Emergency,
    /// A configured mark.
    Mark {
        /// Its code.
        code: String,
    },
}

/// How soon. In order: a later one is never lowered to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// With the week.
    Weekly,
    /// With the week, first of all: repeated, or rising.
    Raised,
    /// At once: a human decides, not the week.
    Urgent,
}

/// Why urgency is higher than the triggers alone make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Raise {
    /// So many consultations in so many days.
    Repeated {
        /// How many, this one included.
        count: u8,
        /// In so many days.
        days: u16,
    },
    /// The sum rose.
    Rising {
        /// From.
        from: u8,
        /// To.
        to: u8,
    },
}

/// A flag (要ケア): at least one trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Why; at least one, in the order of [`Trigger`].
    pub triggers: Vec<Trigger>,
    /// How soon.
    pub urgency: Urgency,
    /// Why sooner.
    pub raises: Vec<Raise>,
}

/// What triage says of one consultation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The flag, if there is one.
    pub flag: Option<Flag>,
    /// A professional judged and gave no reason: that goes back to the service, whatever else flags.
    pub judgement_without_reason: bool,
}

impl Trigger {
    /// Its code in rows and entries.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::EpdsSum { .. } => "epds-sum".to_owned(),
            Self::EpdsItem10 { .. } => "epds-item-10".to_owned(),
            Self::Judgement => "judgement".to_owned(),
            Self::Emergency => "emergency".to_owned(),
            Self::Mark { code } => format!("mark:{code}"),
        }
    }
}

/// Days of repeated consultations are counted in these.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Whether a consultation needs a nurse. `earlier` are the same person's with the same service, in any order; what isn't before
/// this one doesn't count, and this one itself may be among them.
#[must_use]
pub fn triage(consultation: &Consultation, earlier: &[Earlier], criteria: &Criteria) -> Verdict {
    let triggers = triggers(consultation, criteria);
    let judgement_without_reason = consultation.judgement.is_some_and(|judgement| !judgement.reasoned);
    if triggers.is_empty() {
        return Verdict { flag: None, judgement_without_reason };
    }
    let raises = raises(consultation, earlier, criteria);
    let cannot_wait = |trigger: &Trigger| matches!(trigger, Trigger::EpdsItem10 { .. } | Trigger::Emergency);
    let urgency = match () {
        () if triggers.iter().any(cannot_wait) => Urgency::Urgent,
        () if !raises.is_empty() => Urgency::Raised,
        () => Urgency::Weekly,
    };
    Verdict { flag: Some(Flag { triggers, urgency, raises }), judgement_without_reason }
}

fn triggers(consultation: &Consultation, criteria: &Criteria) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    if let Some(epds) = consultation.epds {
        // What wasn't answered can only add to it: a partial sum suffices.
        if epds.sum() >= criteria.epds_sum {
            triggers.push(Trigger::EpdsSum { sum: epds.sum(), from: criteria.epds_sum, answered: epds.answered() });
        }
        if let Some(score) = epds.item_10().filter(|score| *score >= criteria.epds_item_10) {
            triggers.push(Trigger::EpdsItem10 { score });
        }
    }
    if consultation.judgement.is_some_and(|judgement| judgement.reasoned) {
        triggers.push(Trigger::Judgement);
    }
    if consultation.emergency {
        triggers.push(Trigger::Emergency);
    }
    // In the order of the criteria: the service's order says nothing.
    let marked = criteria.marks.iter().filter(|mark| consultation.marks.contains(&mark.code));
    triggers.extend(marked.map(|mark| Trigger::Mark { code: mark.code.clone() }));
    triggers
}

fn raises(consultation: &Consultation, earlier: &[Earlier], criteria: &Criteria) -> Vec<Raise> {
    let mut raises = Vec::new();
    let before = || earlier.iter().filter(|one| one.at < consultation.at);
    let counted = |one: &&Earlier| consultation.at.duration_since(one.at) <= DAY * i32::from(criteria.repeated_days);
    let count = u8::try_from(before().filter(counted).count()).unwrap_or(u8::MAX).saturating_add(1);
    if count > 1 && count >= criteria.repeated {
        raises.push(Raise::Repeated { count, days: criteria.repeated_days });
    }
    // Of two at one instant the lower counts: what is unclear raises.
    let last = before().filter_map(|one| Some((one.at, one.sum?))).max_by_key(|(at, sum)| (*at, Reverse(*sum)));
    if let (Some((_, from)), Some(epds)) = (last, consultation.epds) {
        let to = epds.sum();
        if to > from && to.saturating_sub(from) >= criteria.rise {
            raises.push(Raise::Rising { from, to });
        }
    }
    raises
}

#[cfg(test)]
#[path = "triage_tests.rs"]
mod tests;
