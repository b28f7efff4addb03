//! Whether a consultation needs a nurse, and why. Pure: no clock, no I/O; criteria are configuration.
//!
//! Each trigger alone is enough. What raises urgency never lowers it.

use jiff::Timestamp;

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
    /// So many consultations within `repeated_days`, this one included, raise urgency.
    pub repeated: u8,
    /// Days that count for that.
    pub repeated_days: u16,
    /// A sum that rose by so much since the last raises urgency.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
