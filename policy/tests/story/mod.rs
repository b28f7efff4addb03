//! The written form of a policy case: names instead of ids, times in Japan, sentences instead of enums.

pub mod words;

use serde::Deserialize;
use std::collections::BTreeMap;

/// One file: a story, its records, and what is decided at one or more instants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    pub title: Title,
    /// Rules of `docs/policy-spec.md` that the story shows.
    pub rules: Vec<String>,
    pub subject: Subject,
    #[serde(default)]
    pub suspended: Vec<String>,
    #[serde(default = "yes")]
    pub guardian_refusal_stands: bool,
    pub records: Records,
    pub request: Request,
    pub steps: Vec<Step>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    pub ja: String,
    pub en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    pub born: jiff_text::Day,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    pub authorities: Vec<AuthorityText>,
    pub consents: Vec<ConsentText>,
    pub refusals: Vec<RefusalText>,
    pub blocks: Vec<BlockText>,
    pub bases: Vec<BasisText>,
    pub unreadable: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityText {
    pub id: String,
    pub guardian: String,
    pub from: jiff_text::Instant,
    pub until: Option<jiff_text::Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentText {
    pub id: String,
    pub grantor: String,
    pub recipient: String,
    pub purpose: String,
    pub categories: Vec<String>,
    pub source: Option<String>,
    pub from: jiff_text::Instant,
    pub until: Option<jiff_text::Instant>,
    pub data_from: Option<jiff_text::Day>,
    pub data_until: Option<jiff_text::Day>,
    pub attested_by: Option<String>,
    /// When it was given, if that is not its beginning.
    pub approved_at: Option<jiff_text::Instant>,
    pub ended_at: Option<jiff_text::Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalText {
    pub id: String,
    pub grantor: String,
    pub recipient: Option<String>,
    pub purpose: Option<String>,
    pub categories: Option<Vec<String>>,
    pub from: jiff_text::Instant,
    pub lifted: Option<LiftText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftText {
    pub by: String,
    pub at: jiff_text::Instant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockText {
    pub id: String,
    pub hidden_from: Hidden,
    pub from: jiff_text::Instant,
    pub until: Option<jiff_text::Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hidden {
    Person(String),
    Party(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasisText {
    pub id: String,
    pub recipient: String,
    pub purpose: String,
    pub categories: Vec<String>,
    pub from: jiff_text::Instant,
    pub until: Option<jiff_text::Instant>,
    pub ended_at: Option<jiff_text::Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// About whom, if not the story's subject.
    pub about: Option<String>,
    pub receiver: ReceiverText,
    pub source: String,
    pub purpose: String,
    pub categories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReceiverText {
    System { party: String },
    Staff { party: String, person: String },
    Subject { party: String, person: String },
    Guardian { party: String, person: String },
    OwnPagesAsSubject { person: String },
    OwnPagesAsGuardian { person: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub now: jiff_text::Instant,
    /// Another request than the story's.
    pub request: Option<Request>,
    #[serde(default)]
    pub kept: BTreeMap<String, String>,
    #[serde(default)]
    pub withheld: BTreeMap<String, String>,
    /// `no end`, or an instant; only where something is kept.
    pub until: Option<String>,
}

/// What every story's world has registered: `common/registry.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    pub parties: Vec<PartyText>,
    pub purposes: Vec<PurposeText>,
    pub categories: Vec<CategoryText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyText {
    pub id: String,
    pub kind: Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeText {
    pub code: String,
    pub receivers: Vec<Kind>,
    pub longest_days: i64,
    #[serde(default)]
    pub one_guardian_alone: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryText {
    pub category: String,
    pub own_consent_age: u8,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    PhrApp,
    Clinic,
    Municipality,
    ConsultationService,
    Research,
    Portal,
    Person,
}

/// Dates and instants as they are written in a story.
pub mod jiff_text {
    use serde::{Deserialize, Deserializer, de::Error};

    #[derive(Clone, Copy)]
    pub struct Day(pub jiff::civil::Date);

    #[derive(Clone, Copy)]
    pub struct Instant(pub sekisho_policy::Timestamp);

    impl Instant {
        /// An instant with its offset, which must be Japan's: a reader should not have to convert.
        pub fn parse(text: &str) -> Result<Self, String> {
            if !text.ends_with("+09:00") {
                return Err(format!("not a time in Japan: {text}"));
            }
            let instant: jiff::Timestamp = text.parse().map_err(|e| format!("{text}: {e}"))?;
            Ok(Self(sekisho_policy::Timestamp::from_millis(instant.as_millisecond())))
        }
    }

    impl<'de> Deserialize<'de> for Day {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            String::deserialize(d)?.parse().map(Day).map_err(D::Error::custom)
        }
    }

    impl<'de> Deserialize<'de> for Instant {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            Instant::parse(&String::deserialize(d)?).map_err(D::Error::custom)
        }
    }
}
