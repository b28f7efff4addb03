//! What forms at the counter have in common: whom they are about, who gave the word, what the party says of it, and the
//! words for what is wrong with it.

use http::StatusCode;
use sekisho_policy::{PersonId, Timestamp};

use super::super::page::Trouble;
use super::super::view::{self, TermsView};
use super::super::visit::Visit;
use super::Member;
use crate::consent::attested::{Word, way};
use crate::consent::give::GiveError;
use crate::ids::random;
use crate::import::cell::{begins_ms, day};
use crate::ledger::event::{Attestation, Terms};

/// Letters of a field that are looked at, at most.
const TYPED_MAX: usize = 500;

/// What is wrong, in both languages.
pub type Why = (&'static str, &'static str);

/// What was typed, to be shown again where something is wrong with it.
#[derive(Default)]
pub struct Typed {
    /// The id of the person it is about.
    pub id: String,
    /// The id of the guardian who gave the word; empty: the person themself.
    pub by: String,
    /// Whether the person is the one who gave it.
    pub own: bool,
    /// `paper`, `in-person`, `telephone`.
    pub way: String,
    /// Where the evidence lies.
    pub evidence: String,
    /// Who checked the identity.
    pub checked_by: String,
    /// On which day it was given; empty: now.
    pub given: String,
    /// The last day of the period.
    pub until: String,
    /// What makes one form of two that were sent.
    pub once: String,
}

impl Typed {
    /// What this form holds.
    pub fn of(visit: &Visit) -> Self {
        let text = |name| visit.field(name).unwrap_or_default().trim().chars().take(TYPED_MAX).collect::<String>();
        let once = match text("once") {
            empty if empty.is_empty() => data_encoding::BASE64URL_NOPAD.encode(&random::<16>()),
            once => once,
        };
        let by = text("by");
        Self {
            id: text("id"),
            own: by.is_empty(),
            by,
            way: text("way"),
            evidence: text("evidence"),
            checked_by: text("checked_by"),
            given: text("given"),
            until: text("until"),
            once,
        }
    }
}

/// Whom a form is about, and who gave the word.
pub struct Named {
    /// About whom.
    pub subject: PersonId,
    /// The subject or a guardian.
    pub person: PersonId,
}

/// No such person, or not to this party: it is not told which.
pub const NOBODY: Why = (
    "この番号の方は見つかりません。番号を確かめてください。まだ登録されていない方は、先に登録が必要です。何も記録していません。",
    "Nobody is known here under this id. Check it. Somebody who is not enrolled yet must be enrolled first. Nothing was recorded.",
);

impl Named {
    /// Finds both.
    ///
    /// # Errors
    /// When the store can't be read. `None`: one of them is not known to this party.
    pub async fn of(visit: &Visit, member: &Member, typed: &Typed) -> Result<Option<Self>, Trouble> {
        let subject = member.find(visit, &typed.id).await?;
        let person = if typed.own { subject } else { member.find(visit, &typed.by).await? };
        Ok(subject.zip(person).map(|(subject, person)| Self { subject, person }))
    }
}

/// What the party says of the word; what is wrong with a field otherwise. The rest is `consent::attested`'s to judge.
pub fn word(visit: &Visit, member: &Member, named: &Named, typed: &Typed) -> Result<Word, Why> {
    let way = way(&typed.way).ok_or((
        "意思がどのように示されたか（書面・対面・電話）を選んでください。",
        "Choose how it was given: on paper, in person or by telephone.",
    ))?;
    let given_ms = match typed.given.as_str() {
        "" => visit.now.millis(),
        text => day(text)
            .and_then(begins_ms)
            .ok_or(("日付を読めません。2026-04-01 の形にしてください。", "Not a date. Write it as 2026-04-01."))?,
    };
    let attestation = Attestation {
        party: member.code.clone(),
        way,
        evidence: typed.evidence.clone(),
        checked_by: typed.checked_by.clone(),
        recorded_by: member.login.clone(),
        given_ms,
    };
    Ok(Word { subject: named.subject, person: named.person, attestation })
}

/// What stands against recording it, for the one at the counter; what is nobody's fault there is a page of its own.
pub fn wrong(error: GiveError) -> Result<(StatusCode, Why), Trouble> {
    let why = match error {
        GiveError::NeverCounts => (
            "自らや同じ種類の機関が受け取る同意、また利用停止中の機関からの同意は、代わりに登録できません。本人に、ご自分のサインインで同意してもらってください。",
            "A party can't record a consent in favour of itself or of its own kind, nor while it is suspended. Have the person give it at the gateway.",
        ),
        GiveError::NoAuthority => (
            "この方は、この情報について決められません。親権などの登録と、年齢を確かめてください。",
            "This person may not decide about it. Check the recorded authority and the ages.",
        ),
        GiveError::RefusalStands(_) => (
            "「同意しない」が登録されています。先に、登録した方に取り消してもらってください。",
            "A refusal stands against it. Whoever refused must lift it first.",
        ),
        GiveError::OutdatedText(_) => (
            "文面が新しくなっています。下の新しい文面で、もう一度意思を確かめてください。",
            "The text has changed. Ask again with the new one below.",
        ),
        GiveError::TooMany(_) => {
            ("この方の記録の件数が上限に達しています。", "There are too many records about this person.")
        }
        GiveError::Field { field, .. } => field_wrong(field),
        other => return Err(other.into()),
    };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, why))
}

const fn field_wrong(field: &str) -> Why {
    match field.as_bytes() {
        b"evidence" => (
            "根拠の書類や記録の番号・保管場所を、200字までで書いてください。",
            "Say where the evidence is, in 200 letters at most.",
        ),
        b"checked_by" => (
            "本人確認をした職員の名前か番号を、200字までで書いてください。",
            "Say who checked the identity, in 200 letters at most.",
        ),
        b"given_at" => ("意思が示された日が未来になっています。", "The day on which it was given is in the future."),
        b"until" => (
            "最後の日を確かめてください。明日以降で、この利用目的に認められた期間の中でなければなりません。",
            "Check the last day: after today, and within the longest period of this purpose.",
        ),
        b"categories" => ("提供する情報を選んでください。", "Choose the information."),
        _ => ("提供先、利用目的、提供元を選び直してください。", "Choose recipient, purpose and source again."),
    }
}

/// Registered parties to choose from: code, name, whether it is the one chosen.
pub fn parties(visit: &Visit, member: &Member, chosen: &str) -> Vec<(String, String, bool)> {
    let all = member.global.text.parties.iter();
    all.map(|p| (p.code.clone(), view::party(&member.global, visit.lang, &p.code), p.code == chosen)).collect()
}

/// Registered purposes to choose from.
pub fn purposes(visit: &Visit, member: &Member, chosen: &str) -> Vec<(String, String, bool)> {
    let all = member.global.text.purposes.iter();
    all.map(|p| (p.code.clone(), view::purpose(&member.global, visit.lang, &p.code), p.code == chosen)).collect()
}

/// Terms, with the last day that they cover rather than the midnight after it, as it was typed.
pub fn terms_of(visit: &Visit, member: &Member, terms: &Terms) -> TermsView {
    let until = visit.lang.minute(Timestamp::from_millis(terms.until_ms.saturating_sub(1)));
    TermsView { until, ..view::terms(visit.lang, &member.global, terms) }
}

/// The day on which a word was given.
pub fn given_of(visit: &Visit, given_ms: i64) -> String {
    visit.lang.day(Timestamp::from_millis(given_ms))
}

/// How a word was given, in words.
pub fn way_of<'a>(visit: &Visit, typed: &str) -> &'a str {
    let t = |ja, en| visit.lang.t(ja, en);
    match typed {
        "paper" => t("書面", "On paper"),
        "in-person" => t("対面", "In person"),
        _ => t("電話", "By telephone"),
    }
}
