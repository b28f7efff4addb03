//! A case as a nurse reads it: on a list, in detail, on paper, and offline from a package. Made of a row, which one permit covers, and of
//! nothing else.

use jiff::civil::Date;

use super::super::page::Lang;
use super::course::Course;
use crate::package::BANNER;
use crate::week::row::{Ground, Row, RowKind};

/// What a row says, ready to be written.
pub struct Card {
    /// Name as written, and in kana.
    pub name: String,
    /// In kana.
    pub kana: String,
    /// Date of birth, and age in years.
    pub born: String,
    /// In years.
    pub age: i16,
    /// How soon: code and words.
    pub urgency: (&'static str, &'static str),
    /// Why.
    pub reasons: Vec<String>,
    /// The family must not get to know.
    pub hidden: bool,
    /// How to reach them, in their order.
    pub reach: Vec<(String, String)>,
    /// At which hours.
    pub hours: String,
    /// Whether a message may be left.
    pub voicemail: bool,
    /// What must not be said, of a row without words.
    pub banner: Option<&'static str>,
    /// On which article it rests, where not on consent.
    pub article: Option<String>,
    /// Address in words.
    pub address: String,
    /// Where they are now, if elsewhere.
    pub present: Option<String>,
    /// The district, by its code.
    pub district: String,
    /// When they asked.
    pub consulted: String,
    /// Until when it may be used.
    pub valid_until: String,
    /// The words.
    pub words: Option<Words>,
}

/// The words of a full row.
pub struct Words {
    /// The professional's written reason.
    pub judgement: Option<String>,
    /// What was asked.
    pub consultation: String,
    /// What was answered.
    pub advice: String,
    /// Item scores, where answered.
    pub scores: Vec<(usize, String)>,
    /// The course of sums.
    pub course: Option<Course>,
}

impl Card {
    /// Of a row. `threshold`: from which sum on a case is flagged.
    #[must_use]
    pub fn of(row: &Row, lang: Lang, today: Date, threshold: Option<u8>) -> Self {
        let age = row.asker.birth.until((jiff::Unit::Year, today)).map_or(0, |span| span.get_years());
        let means = |name: &str| match name {
            "telephone" => lang.t("電話", "Telephone"),
            "app-message" => lang.t("アプリのメッセージ", "Message in the app"),
            "mail" => lang.t("メール", "Mail"),
            "letter" => lang.t("手紙", "Letter"),
            "visit" => lang.t("訪問", "Visit"),
            _ => lang.t("その他", "Another way"),
        };
        Self {
            name: row.asker.name.clone(),
            kana: row.asker.kana.clone(),
            born: day(lang, row.asker.birth),
            age,
            urgency: (row.urgency.code(), urgency(lang, row.urgency.code())),
            reasons: row.reasons.iter().map(|reason| lang.t(&reason.ja, &reason.en).to_owned()).collect(),
            hidden: row.contact.hidden_from_family,
            reach: row.contact.by.iter().map(|one| (means(&one.means).to_owned(), one.at.clone())).collect(),
            hours: row.contact.hours.clone(),
            voicemail: row.contact.voicemail,
            banner: (row.kind == RowKind::IdentityOnly).then_some(BANNER),
            article: match &row.ground {
                Ground::Consent => None,
                Ground::Basis { article } => Some(article.clone()),
            },
            address: row.address.clone(),
            present: row.present.clone(),
            district: row.district.clone(),
            consulted: day(lang, row.consulted),
            valid_until: row.valid_until.get(..10).unwrap_or_default().to_owned(),
            words: row.content.as_ref().map(|words| Words {
                judgement: words.judgement.clone(),
                consultation: words.consultation.clone(),
                advice: words.advice.clone(),
                scores: scores(lang, words.epds),
                course: Course::of(&course(row), threshold),
            }),
        }
    }
}

/// The course as the service has it, and this time's own sum.
fn course(row: &Row) -> Vec<(Date, u8)> {
    let Some(words) = &row.content else { return Vec::new() };
    let mut course = words.course.clone();
    let answered: Vec<u8> = words.epds.into_iter().flatten().flatten().collect();
    if !answered.is_empty() && course.iter().all(|(day, _)| *day != row.consulted) {
        course.push((row.consulted, answered.iter().fold(0, |sum, score| sum.saturating_add(*score))));
    }
    course
}

fn scores(lang: Lang, epds: Option<[Option<u8>; 10]>) -> Vec<(usize, String)> {
    let said = |score: Option<u8>| match score {
        Some(score) => score.to_string(),
        None => lang.t("無回答", "not answered").to_owned(),
    };
    epds.into_iter().flatten().enumerate().map(|(at, score)| (at + 1, said(score))).collect()
}

/// The words for how soon.
#[must_use]
pub fn urgency(lang: Lang, code: &str) -> &'static str {
    match code {
        "weekly" => lang.t("今週", "This week"),
        "raised" => lang.t("急ぎ", "Soon"),
        _ => lang.t("緊急", "Urgent"),
    }
}

fn day(lang: Lang, day: Date) -> String {
    day.strftime(lang.t("%Y年%-m月%-d日", "%-d %B %Y")).to_string()
}
