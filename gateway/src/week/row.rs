//! What a municipality gets about one case: a row of a package, of a list, of a page. Made only of what one recorded permit
//! covers (`share`); nothing of it is in `Debug`.

use std::fmt;

use jiff::civil::Date;
use sekisho_adapters::consultation::Means;
use serde::{Deserialize, Serialize};

use super::triage::{Flag, Mark, Raise, Trigger, Urgency};

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
    /// `epds-sum`, `epds-item-10`, `judgement`, `emergency`, `mark:…`, `repeated`, `rising`; in an identity-only row only the
    /// classes `questionnaire`, `judgement`, `emergency`, `mark`, `repeated`.
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

/// The reasons of a flag in words. With `scores`, as in a full row; else the classes alone, each once: which item was answered
/// how, which mark was set and whether a score rose is content.
#[must_use]
pub fn reasons(flag: &Flag, scores: bool, marks: &[Mark]) -> Vec<Reason> {
    let triggers = flag.triggers.iter().map(|trigger| if scores { in_words(trigger, marks) } else { class(trigger) });
    let raises = flag.raises.iter().filter_map(|raise| match raise {
        Raise::Repeated { count, days } if scores => Some(reason(
            "repeated",
            format!("{days}日間に{count}回の相談"),
            format!("{count} consultations in {days} days"),
        )),
        Raise::Repeated { .. } => Some(reason("repeated", "繰り返しの相談", "Repeated consultations")),
        Raise::Rising { from, to } if scores => Some(reason(
            "rising",
            format!("EPDSの合計点が{from}点から{to}点へ上昇"),
            format!("EPDS sum rose from {from} to {to}"),
        )),
        Raise::Rising { .. } => None,
    });
    let mut reasons: Vec<Reason> = Vec::with_capacity(4);
    for reason in triggers.chain(raises) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

fn in_words(trigger: &Trigger, marks: &[Mark]) -> Reason {
    let (ja, en) = match trigger {
        Trigger::EpdsSum { sum, from, answered: 10 } => {
            (format!("EPDS合計{sum}点（基準{from}点以上）"), format!("EPDS sum {sum} (from {from})"))
        }
        Trigger::EpdsSum { sum, from, answered } => (
            format!("EPDS合計{sum}点以上（10項目中{answered}項目に回答、基準{from}点以上）"),
            format!("EPDS sum at least {sum} ({answered} of 10 items answered; from {from})"),
        ),
        Trigger::EpdsItem10 { score } => (format!("EPDS項目10が{score}点"), format!("EPDS item 10: {score}")),
        Trigger::Judgement => (
            "専門職の判断（理由の記載あり）".to_owned(),
            "A professional's judgement, with a written reason".to_owned(),
        ),
        Trigger::Emergency => ("相談サービスの緊急の印".to_owned(), "The service's emergency mark".to_owned()),
        Trigger::Mark { code } => match marks.iter().find(|mark| mark.code == *code) {
            Some(mark) => (mark.label_ja.clone(), mark.label_en.clone()),
            None => (format!("サービスの印: {code}"), format!("Mark of the service: {code}")),
        },
    };
    Reason { code: trigger.code(), ja, en }
}

fn class(trigger: &Trigger) -> Reason {
    match trigger {
        Trigger::EpdsSum { .. } | Trigger::EpdsItem10 { .. } => reason("questionnaire", "質問票", "Questionnaire"),
        Trigger::Judgement => reason("judgement", "専門職の判断", "A professional's judgement"),
        Trigger::Emergency => reason("emergency", "緊急", "Emergency"),
        Trigger::Mark { .. } => reason("mark", "相談サービスの基準", "A criterion of the service"),
    }
}

fn reason(code: &str, ja: impl Into<String>, en: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), ja: ja.into(), en: en.into() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn flag() -> Flag {
        Flag {
            triggers: vec![
                Trigger::EpdsSum { sum: 12, from: 9, answered: 10 },
                Trigger::EpdsItem10 { score: 2 },
                Trigger::Judgement,
                Trigger::Emergency,
                Trigger::Mark { code: "sleep".to_owned() },
                Trigger::Mark { code: "other".to_owned() },
            ],
            urgency: Urgency::Urgent,
            raises: vec![Raise::Repeated { count: 3, days: 28 }, Raise::Rising { from: 4, to: 12 }],
        }
    }

    #[test]
    fn full_rows_say_the_scores() {
        let marks = [Mark { code: "sleep".to_owned(), label_ja: "睡眠".to_owned(), label_en: "Sleep".to_owned() }];
        let said: Vec<(String, String)> = reasons(&flag(), true, &marks).into_iter().map(|r| (r.code, r.ja)).collect();
        let expected = [
            ("epds-sum", "EPDS合計12点（基準9点以上）"),
            ("epds-item-10", "EPDS項目10が2点"),
            ("judgement", "専門職の判断（理由の記載あり）"),
            ("emergency", "相談サービスの緊急の印"),
            ("mark:sleep", "睡眠"),
            ("mark:other", "サービスの印: other"),
            ("repeated", "28日間に3回の相談"),
            ("rising", "EPDSの合計点が4点から12点へ上昇"),
        ];
        assert_eq!(said, expected.map(|(code, ja)| (code.to_owned(), ja.to_owned())));
        let partial = Flag { triggers: vec![Trigger::EpdsSum { sum: 9, from: 9, answered: 4 }], ..flag() };
        assert_eq!(reasons(&partial, true, &[])[0].en, "EPDS sum at least 9 (4 of 10 items answered; from 9)");
    }

    #[test]
    fn identity_only_rows_say_classes_and_no_number() {
        let marks = [Mark { code: "sleep".to_owned(), label_ja: "睡眠".to_owned(), label_en: "Sleep".to_owned() }];
        let said = reasons(&flag(), false, &marks);
        let codes: Vec<&str> = said.iter().map(|reason| reason.code.as_str()).collect();
        assert_eq!(codes, ["questionnaire", "judgement", "emergency", "mark", "repeated"]);
        for text in said.iter().flat_map(|reason| [&reason.code, &reason.ja, &reason.en]) {
            assert!(
                !text.chars().any(|c| c.is_numeric()) && !text.contains("EPDS") && !text.contains("睡眠"),
                "{text}"
            );
            assert!(!text.to_ascii_lowercase().contains("sleep") && !text.contains("item"), "{text}");
        }
    }
}
