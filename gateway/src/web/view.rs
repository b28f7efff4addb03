//! What pages show of records: in the visitor's language, with registered names in the place of codes.

use std::collections::HashMap;

use sekisho_policy::{Consent, ConsentId, PartyId, PersonId, Timestamp};

use super::page::{Lang, Trouble};
use super::visit::Visit;
use crate::consent::{give, seen};
use crate::ids::TextId;
use crate::ledger::event::{ConsentText, ErasureAnswer, Outcome, Terms};
use crate::store::state::{Agreement, ErasureRequest, Global, Subject, category_version};
use crate::store::{Dossier, LogLine, Logged, Look, Used};

/// A party's name.
pub fn party(global: &Global, lang: Lang, code: &str) -> String {
    let named = global.text.party(code).map(|p| lang.t(&p.name_ja, &p.name_en).to_owned());
    named.unwrap_or_else(|| code.to_owned())
}

/// A purpose's label.
pub fn purpose(global: &Global, lang: Lang, code: &str) -> String {
    let named = global.text.purpose(code).map(|p| lang.t(&p.label_ja, &p.label_en).to_owned());
    named.unwrap_or_else(|| code.to_owned())
}

/// A category version's label.
pub fn category(global: &Global, lang: Lang, version: &str) -> String {
    let known = category_version(version).and_then(|v| global.text.category(v));
    known.map_or_else(|| version.to_owned(), |c| lang.t(&c.label_ja, &c.label_en).to_owned())
}

/// A category's label, in its newest version.
pub fn category_code(global: &Global, lang: Lang, code: &str) -> String {
    let of =
        |c: &&crate::store::registry::CategoryText| c.version.split_once('@').is_some_and(|(name, _)| name == code);
    let newest = global.text.categories.iter().rfind(of);
    newest.map_or_else(|| code.to_owned(), |c| lang.t(&c.label_ja, &c.label_en).to_owned())
}

/// How a page names a person: names are not kept here.
pub fn who(visit: &Visit, asking: PersonId, subject: &Subject) -> String {
    if subject.records.subject == asking {
        return visit.t("あなた", "You").to_owned();
    }
    let birth = subject.records.birth;
    match visit.lang {
        Lang::Ja => format!("{}生まれのお子さま", birth.strftime("%Y年%-m月%-d日")),
        Lang::En => format!("Your child born on {}", birth.strftime("%-d %B %Y")),
    }
}

/// A consent, to be shown.
pub struct ConsentView {
    /// Its id.
    pub id: String,
    /// About whom.
    pub who: String,
    /// 提供先.
    pub recipient: String,
    /// 利用目的.
    pub purpose: String,
    /// 提供する情報.
    pub categories: Vec<String>,
    /// From whom, where the consent says so.
    pub source: Option<String>,
    /// The first day.
    pub from: String,
    /// The last moment.
    pub until: String,
    /// When the visit is that it is for.
    pub visit: Option<String>,
    /// Whether that visit was moved since.
    pub moved: bool,
    /// When it was given.
    pub given: String,
    /// By whom.
    pub by: &'static str,
    /// When it last permitted something.
    pub used: Option<String>,
    /// Its state, in words.
    pub state: &'static str,
    /// When it ended before its time.
    pub ended: Option<String>,
    /// Whether it can be stopped.
    pub active: bool,
}

/// The consents about a subject that this person may see, the newest first.
pub async fn consents(visit: &Visit, person: PersonId, subject: PersonId) -> Result<Vec<ConsentView>, Trouble> {
    let store = &visit.app.store;
    let (dossier, global) = (store.dossier(subject).await?, store.registry().await?);
    let used = store.uses(subject)?;
    let mut views = Vec::new();
    for agreement in dossier.papers.agreements.iter().rev() {
        if give::may_decide_on(&dossier.subject, &global, person, &agreement.terms.categories, visit.now) {
            views.extend(consent(visit, person, &dossier, &global, agreement, &used));
        }
    }
    Ok(views)
}

/// One consent, to be shown.
pub fn consent(
    visit: &Visit,
    person: PersonId,
    dossier: &Dossier,
    global: &Global,
    agreement: &Agreement,
    used: &HashMap<ConsentId, Used>,
) -> Option<ConsentView> {
    let (lang, terms) = (visit.lang, &agreement.terms);
    let consent = dossier.subject.records.consents.iter().find(|c| c.id == agreement.consent)?;
    let entitled = give::may_decide_on(&dossier.subject, global, consent.grantor, &terms.categories, visit.now);
    let (state, active) = state(visit, agreement, consent, entitled);
    let by = if consent.grantor == person {
        visit.t("あなた", "You")
    } else if consent.grantor == dossier.subject.records.subject {
        visit.t("ご本人", "The person themself")
    } else if person == dossier.subject.records.subject {
        visit.t("保護者", "A guardian")
    } else {
        visit.t("ほかの保護者", "Another guardian")
    };
    Some(ConsentView {
        id: agreement.consent.text(),
        who: who(visit, person, &dossier.subject),
        recipient: party(global, lang, &terms.recipient),
        purpose: purpose(global, lang, &terms.purpose),
        categories: terms.categories.iter().map(|c| category(global, lang, c)).collect(),
        source: terms.source.as_deref().map(|code| party(global, lang, code)),
        from: lang.day(Timestamp::from_millis(terms.from_ms)),
        until: lang.minute(agreement.until()),
        visit: agreement.visit().map(|visit| lang.minute(visit)),
        moved: agreement.moved.is_some(),
        given: lang.minute(consent.approved_at),
        by,
        used: used.get(&agreement.consent).map(|used| lang.minute(used.last)),
        state,
        ended: consent.ended_at.map(|at| lang.second(at)),
        active,
    })
}

/// `entitled`: whether who gave it could give it now. Why not is said to nobody: it may be a block (P-8, P-9, P-6).
fn state(visit: &Visit, agreement: &Agreement, consent: &Consent, entitled: bool) -> (&'static str, bool) {
    let ended = consent.ended_at.is_some_and(|at| at <= visit.now);
    match () {
        () if ended && agreement.superseded_by.is_some() => {
            (visit.t("新しい同意に置き換え済み", "Replaced by a newer one"), false)
        }
        () if ended => (visit.t("停止済み", "Stopped"), false),
        () if !entitled => (visit.t("いまは提供されていません", "Nothing is passed on under it now"), false),
        () if consent.period.until() <= visit.now => (visit.t("期限切れ", "Expired"), false),
        () if visit.now < consent.period.from() => (visit.t("これから有効", "Not begun yet"), true),
        () => (visit.t("提供中", "In force"), true),
    }
}

/// A request to erase, to be shown.
pub struct ErasureView {
    /// When it was made.
    pub asked: String,
    /// What the recipient says, in words.
    pub state: String,
    /// When it said so.
    pub answered: Option<String>,
}

/// A request to erase, to be shown.
#[must_use]
pub fn erasure(visit: &Visit, request: &ErasureRequest) -> ErasureView {
    let state = match &request.answer {
        None => visit.t("返事を待っています", "No answer yet").to_owned(),
        Some((ErasureAnswer::Erased, _)) => {
            visit.t("消去したとの返事がありました", "It says that it has erased it").to_owned()
        }
        Some((ErasureAnswer::NothingHeld, _)) => {
            visit.t("受け取った情報はないとの返事がありました", "It says that it holds nothing").to_owned()
        }
        Some((ErasureAnswer::Kept { law }, _)) => {
            let (ja, en) = ("法令により保存するとの返事がありました：", "It says that it must keep it: ");
            format!("{}{law}", visit.t(ja, en))
        }
    };
    let answered = request.answer.as_ref().map(|(_, at)| visit.lang.minute(*at));
    ErasureView { asked: visit.lang.minute(request.asked), state, answered }
}

/// A line of the access log, to be shown.
pub struct LogView {
    /// The entry.
    pub id: String,
    /// Its number in the ledger, which no page shows.
    pub position: u64,
    /// When.
    pub at: String,
    /// When, RFC 3339.
    pub instant: String,
    /// About whom.
    pub who: String,
    /// Which organisation.
    pub party: String,
    /// In which capacity.
    pub role: &'static str,
    /// Which organisation held what was asked for, where something was.
    pub source: Option<String>,
    /// For which purpose, where it is one of a release.
    pub purpose: Option<String>,
    /// Which information went, or was seen.
    pub released: Vec<String>,
    /// Which was asked for and did not go.
    pub withheld: Vec<String>,
    /// What came of it.
    pub outcome: &'static str,
    /// On which consents.
    pub consents: Vec<String>,
}

/// A line, or none where this person may not see it (`consent::seen`).
pub fn line(visit: &Visit, person: PersonId, subject: &Subject, global: &Global, line: &LogLine) -> Option<LogView> {
    if !seen::may_see(subject, global, person, line, visit.now) {
        return None;
    }
    let view = LogView {
        id: line.entry().text(),
        position: line.position(),
        at: visit.lang.second(line.at()),
        instant: crate::consent::people::rfc3339(line.at()),
        who: who(visit, person, subject),
        party: String::new(),
        role: "",
        source: None,
        purpose: None,
        released: Vec::new(),
        withheld: Vec::new(),
        outcome: "",
        consents: Vec::new(),
    };
    Some(match line {
        LogLine::Decision(line) => decision(visit, global, line, view),
        LogLine::Look(look) => at_counter(visit, global, look, view),
    })
}

/// Which member of staff it was stands in the ledger, and is the party's to say.
fn at_counter(visit: &Visit, global: &Global, look: &Look, view: LogView) -> LogView {
    LogView {
        party: party(global, visit.lang, &look.looked.party),
        role: visit.t("窓口の職員", "Staff at the counter"),
        released: vec![
            visit.t("同意の状況（健康の情報は見ていません）", "The state of consents (no health data)").to_owned(),
        ],
        outcome: visit.t("窓口の画面で見ました", "Seen on the counter's pages"),
        ..view
    }
}

fn decision(visit: &Visit, global: &Global, line: &Logged, view: LogView) -> LogView {
    let (lang, question) = (visit.lang, &line.decided.question);
    let code = question.party.and_then(|id| global.text.party_code(PartyId::from_bytes(id.0)));
    let roles = [
        ("システム", "System"),
        ("本人（アプリ）", "The person, by app"),
        ("保護者（アプリ）", "A guardian, by app"),
        ("職員", "Staff"),
    ];
    let role = roles.get(usize::from(question.capacity)).map_or("", |(ja, en)| lang.t(ja, en));
    let kept = |at: usize| line.decided.kept >> at & 1 == 1;
    let named = |wanted: bool| {
        let all = question.categories.iter().enumerate().filter(move |(at, _)| kept(*at) == wanted);
        all.map(|(_, version)| category(global, lang, version)).collect::<Vec<_>>()
    };
    let consents = line.decided.consents.iter().flatten().map(|id| ConsentId::from_bytes(id.0).text());
    let here = || lang.t("この窓口のページ", "These pages").to_owned();
    let source = global.text.party_code(PartyId::from_bytes(question.source.0));
    LogView {
        party: code.map_or_else(here, |code| party(global, lang, code)),
        role,
        source: source.map(|code| party(global, lang, code)),
        purpose: Some(purpose(global, lang, &question.purpose)),
        released: named(true),
        withheld: named(false),
        outcome: outcome(visit, line),
        consents: consents.collect(),
        ..view
    }
}

fn outcome(visit: &Visit, line: &Logged) -> &'static str {
    match line.closed.as_ref().map(|c| c.outcome) {
        _ if line.decided.kept == 0 => visit.t("お断りしました（何も提供していません）", "Refused, nothing was sent"),
        None => visit.t("提供中", "Under way"),
        Some(Outcome::Complete) => visit.t("提供しました", "Sent"),
        Some(Outcome::Cut) => visit.t("途中で止めました", "Cut off"),
        Some(Outcome::Failed) => visit.t("途中で切れました", "Broken off"),
        Some(Outcome::Unknown) => visit.t("結果は確認できません", "Not known"),
        Some(Outcome::NothingSent) => visit.t("何も提供していません", "Nothing was sent"),
    }
}

/// The words of a text that people are asked to agree to.
pub struct Words {
    /// Its version.
    pub version: String,
    /// What would happen.
    pub text: String,
    /// What good it does.
    pub benefit: String,
    /// What refusing means.
    pub refusing: String,
}

impl Words {
    /// In this language.
    #[must_use]
    pub fn of(lang: Lang, text: &ConsentText) -> Self {
        Self {
            version: text.version.clone(),
            text: lang.t(&text.ja, &text.en).to_owned(),
            benefit: lang.t(&text.benefit_ja, &text.benefit_en).to_owned(),
            refusing: lang.t(&text.refusing_ja, &text.refusing_en).to_owned(),
        }
    }
}

/// The terms of a proposal, to be shown.
pub struct TermsView {
    /// 提供先.
    pub recipient: String,
    /// 利用目的.
    pub purpose: String,
    /// 提供する情報.
    pub categories: Vec<String>,
    /// From whom.
    pub source: Option<String>,
    /// From.
    pub from: String,
    /// Until.
    pub until: String,
    /// When the visit is that it is for.
    pub visit: Option<String>,
}

/// Terms, to be shown.
pub fn terms(lang: Lang, global: &Global, terms: &Terms) -> TermsView {
    TermsView {
        recipient: party(global, lang, &terms.recipient),
        purpose: purpose(global, lang, &terms.purpose),
        categories: terms.categories.iter().map(|c| category(global, lang, c)).collect(),
        source: terms.source.as_deref().map(|code| party(global, lang, code)),
        from: lang.day(Timestamp::from_millis(terms.from_ms)),
        until: lang.minute(Timestamp::from_millis(terms.until_ms)),
        visit: terms.booking.as_ref().map(|b| lang.minute(Timestamp::from_millis(b.visit_ms))),
    }
}
