//! 閲覧・提供の記録: who looked, on paper too (CSV, JSON), and the proof of each line.

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use sekisho_policy::{PersonId, Timestamp};

use super::page::{Answer, Frame, Trouble};
use super::view::{self, LogView};
use super::visit::Visit;
use crate::ids::TextId;
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};
use crate::store::state::Global;
use crate::store::{LogLine, Provable, StoreError};

/// Lines of a page.
const PAGE: usize = 50;
/// Lines of an export, at most.
const EXPORT_MAX: usize = 50_000;
/// Lines that are read at once.
const READ: usize = 200;

#[derive(Template)]
#[template(path = "log.html")]
struct Page {
    f: Frame,
    people: Vec<(String, String, bool)>,
    parties: Vec<(String, String, bool)>,
    /// Each with the address of its proof.
    lines: Vec<(LogView, String)>,
    only_refused: bool,
    month: String,
    next: Option<String>,
    query: String,
}

#[derive(Template)]
#[template(path = "line.html")]
struct One {
    f: Frame,
    line: LogView,
    leaf: String,
    /// What checks the signature under the ledger.
    key: String,
    /// Where the proof is.
    proof: String,
    /// From when on there is one, where there is none yet.
    waits: Option<String>,
}

/// What is looked for.
struct Filter {
    subject: PersonId,
    /// A party's code.
    party: Option<String>,
    only_refused: bool,
    month: Option<Month>,
}

/// A month in Japan.
struct Month {
    /// As it was asked for, `2026-11`.
    text: String,
    from: Timestamp,
    until: Timestamp,
}

impl Month {
    fn of(text: &str) -> Option<Self> {
        let first = format!("{text}-01").parse::<jiff::civil::Date>().ok()?;
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(9));
        let begins = |day: jiff::civil::Date| {
            let at = day.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
            Some(Timestamp::from_millis(at))
        };
        let next = first.checked_add(jiff::Span::new().months(1)).ok()?;
        (text.len() == 7).then_some(())?;
        Some(Self { text: text.to_owned(), from: begins(first)?, until: begins(next)? })
    }
}

impl Filter {
    async fn of(visit: &Visit, person: PersonId) -> Result<Self, Trouble> {
        let subject = match visit.query("about").filter(|text| !text.is_empty()) {
            None => person,
            Some(text) => PersonId::parse(text).map_err(|_| Trouble::not_found())?,
        };
        if !visit.decided_by(person).await?.contains(&subject) && !sabotage::off(Check::LogAbout) {
            return Err(Trouble::not_found());
        }
        let party = visit.query("party").filter(|code| !code.is_empty()).map(str::to_owned);
        let month = visit.query("month").filter(|text| !text.is_empty());
        let month = month.map(|text| Month::of(text).ok_or(Trouble::bad_form())).transpose()?;
        Ok(Self { subject, party, only_refused: visit.query("refused").is_some(), month })
    }

    fn takes(&self, global: &Global, line: &LogLine) -> bool {
        let (code, refused) = match line {
            LogLine::Decision(line) => {
                let party = line.decided.question.party.map(|p| sekisho_policy::PartyId::from_bytes(p.0));
                (party.and_then(|id| global.text.party_code(id)), line.decided.kept == 0)
            }
            LogLine::Look(look) => (Some(look.looked.party.as_str()), false),
        };
        let same_party = self.party.as_deref().is_none_or(|wanted| code == Some(wanted));
        same_party && (refused || !self.only_refused)
    }

    /// As a query, for the links on the page.
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("about", &self.subject.text());
        if let Some(party) = &self.party {
            query.append_pair("party", party);
        }
        if let Some(month) = &self.month {
            query.append_pair("month", &month.text);
        }
        if self.only_refused {
            query.append_pair("refused", "1");
        }
        query.finish()
    }
}

/// The newest lines about one person, at most so many.
pub async fn newest(visit: &Visit, person: PersonId, subject: PersonId, most: usize) -> Result<Vec<LogView>, Trouble> {
    let filter = Filter { subject, party: None, only_refused: false, month: None };
    Ok(lines(visit, person, &filter, u64::MAX, most).await?.0)
}

/// Up to `most` lines before a position, the newest first, and the position to go on from. Lines that this person may not
/// see are passed over, so that a page is full as long as there is more.
async fn lines(
    visit: &Visit,
    person: PersonId,
    filter: &Filter,
    mut before: u64,
    most: usize,
) -> Result<(Vec<LogView>, Option<u64>), Trouble> {
    let store = &visit.app.store;
    let (snapshot, global) = (store.snapshot(filter.subject).await?, store.registry().await?);
    let mut shown = Vec::new();
    if let Some(month) = &filter.month {
        before = before.min(store.log_before(filter.subject, month.until)?);
    }
    let at_once = READ.min(most.saturating_mul(10));
    loop {
        let read = store.access_log(filter.subject, before, at_once)?;
        let last = read.len() < at_once;
        for logged in read {
            if shown.len() == most {
                return Ok((shown, Some(before)));
            }
            if filter.month.as_ref().is_some_and(|month| logged.at() < month.from) {
                return Ok((shown, None));
            }
            before = logged.position();
            if filter.takes(&global, &logged) {
                shown.extend(view::line(visit, person, &snapshot.subject, &global, &logged));
            }
        }
        if last {
            return Ok((shown, None));
        }
        // Long logs are read in pieces, and others' requests go on between two of them.
        tokio::task::yield_now().await;
    }
}

/// Positions tell how busy the gateway is: in addresses they are sealed, for one person and subject.
struct Cursor(SealKey, Vec<u8>);

impl Cursor {
    fn new(visit: &Visit, person: PersonId, subject: PersonId) -> Result<Self, Trouble> {
        let secret = visit.app.store.vault().secret("cursor").map_err(StoreError::from)?;
        Ok(Self(SealKey::new(secret), [*person.bytes(), *subject.bytes()].concat()))
    }

    fn seal(&self, position: u64) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&self.0.seal(&self.1, &position.to_be_bytes()))
    }

    fn open(&self, text: &str) -> Option<u64> {
        let sealed = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        self.0.open(&self.1, &sealed).ok()?.try_into().ok().map(u64::from_be_bytes)
    }
}

/// A page of it.
pub async fn page(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let filter = Filter::of(visit, person).await?;
    let cursor = Cursor::new(visit, person, filter.subject)?;
    let before = match visit.query("before") {
        None => u64::MAX,
        Some(text) => cursor.open(text).ok_or(Trouble::not_found())?,
    };
    let (lines, next) = lines(visit, person, &filter, before, PAGE).await?;
    let (mut people, global) = (Vec::new(), visit.app.store.registry().await?);
    for subject in visit.decided_by(person).await? {
        let snapshot = visit.app.store.snapshot(subject).await?;
        people.push((subject.text(), view::who(visit, person, &snapshot.subject), subject == filter.subject));
    }
    let chosen = filter.party.as_deref();
    let parties = global.text.parties.iter().map(|party| {
        (party.code.clone(), visit.t(&party.name_ja, &party.name_en).to_owned(), chosen == Some(&party.code))
    });
    let proofs = |line: LogView| {
        let at = cursor.seal(line.position);
        let href = format!("/my/log/{}?about={}&at={at}", line.id, filter.subject.text());
        (line, href)
    };
    let page = Page {
        f: visit.frame(),
        people,
        parties: parties.collect(),
        lines: lines.into_iter().map(proofs).collect(),
        only_refused: filter.only_refused,
        month: filter.month.as_ref().map(|month| month.text.clone()).unwrap_or_default(),
        next: next.map(|position| format!("/my/log?{}&before={}", filter.query(), cursor.seal(position))),
        query: filter.query(),
    };
    Ok(Answer::page(StatusCode::OK, &page))
}

/// All that the filter takes, as CSV: UTF-8 with a mark, as spreadsheets want it.
pub async fn csv(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let filter = Filter::of(visit, person).await?;
    let (lines, _) = lines(visit, person, &filter, u64::MAX, EXPORT_MAX).await?;
    let mut written = csv::Writer::from_writer(Vec::from("\u{feff}".as_bytes()));
    let head = [
        visit.t("日時", "Time"),
        visit.t("対象", "About"),
        visit.t("提供先", "Organisation"),
        visit.t("立場", "Role"),
        visit.t("利用目的", "Purpose"),
        visit.t("提供した情報", "Information sent"),
        visit.t("提供しなかった情報", "Information not sent"),
        visit.t("結果", "Outcome"),
        visit.t("同意", "Consent"),
        visit.t("記録番号", "Entry"),
        visit.t("提供元", "Held by"),
    ];
    let failed = |_| Trouble::not_now();
    written.write_record(head).map_err(failed)?;
    for line in &lines {
        let LogView { instant, who, party, role, outcome, id, .. } = line;
        let purpose = line.purpose.as_deref().unwrap_or_default();
        let [released, withheld, consents] = [&line.released, &line.withheld, &line.consents].map(|all| all.join(" "));
        let source = line.source.as_deref().unwrap_or_default();
        let fields = [instant, who, party, *role, purpose, &released, &withheld, *outcome, &consents, id, source];
        written.write_record(fields.map(harmless)).map_err(failed)?;
    }
    let bytes = written.into_inner().map_err(|_| Trouble::not_now())?;
    Ok(Answer::of(StatusCode::OK, "text/csv; charset=utf-8", Bytes::from(bytes)).to_keep("records.csv"))
}

/// A field that a spreadsheet would take for a formula begins with a quote instead.
fn harmless(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{field}") } else { field.to_owned() }
}

/// All that the filter takes, as JSON.
pub async fn json(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let filter = Filter::of(visit, person).await?;
    let (lines, _) = lines(visit, person, &filter, u64::MAX, EXPORT_MAX).await?;
    let lines: Vec<_> = lines
        .into_iter()
        .map(|line| {
            serde_json::json!({
                "entry": line.id, "at": line.instant, "about": line.who, "organisation": line.party, "role": line.role,
                "purpose": line.purpose, "sent": line.released, "not_sent": line.withheld, "outcome": line.outcome,
                "consents": line.consents, "held_by": line.source,
            })
        })
        .collect();
    let body = serde_json::json!({"records": lines}).to_string();
    Ok(Answer::of(StatusCode::OK, "application/json; charset=utf-8", Bytes::from(body)).to_keep("records.json"))
}

/// A line that this person may see. The address says where it stands, sealed: nothing has to be searched.
async fn find(visit: &Visit, id: &str) -> Result<(PersonId, LogLine, LogView), Trouble> {
    let person = visit.person().await?;
    let filter = Filter::of(visit, person).await?;
    let cursor = Cursor::new(visit, person, filter.subject)?;
    let position = visit.query("at").and_then(|text| cursor.open(text)).ok_or(Trouble::not_found())?;
    let store = &visit.app.store;
    let logged = store.access_log(filter.subject, position.saturating_add(1), 1)?.into_iter().next();
    let logged = logged.filter(|logged| logged.entry().text() == id).ok_or(Trouble::not_found())?;
    let (snapshot, global) = (store.snapshot(filter.subject).await?, store.registry().await?);
    let line = view::line(visit, person, &snapshot.subject, &global, &logged).ok_or(Trouble::not_found())?;
    Ok((filter.subject, logged, line))
}

/// One line, and how to check that it is in the ledger.
pub async fn one(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let (subject, logged, line) = find(visit, id).await?;
    let store = &visit.app.store;
    let waits = match store.prove(subject, logged.position()).await? {
        Provable::From(at) => Some(visit.lang.minute(at)),
        Provable::Proof(_) | Provable::Unknown => None,
    };
    let page = One {
        f: visit.frame(),
        line,
        leaf: data_encoding::BASE64.encode(&logged.leaf()),
        key: store.ledger_key().verifier_key(),
        proof: format!("/my/log/{id}/proof?about={}&at={}", subject.text(), visit.query("at").unwrap_or_default()),
        waits,
    };
    Ok(Answer::page(StatusCode::OK, &page))
}

/// The proof of a line, to be kept and checked anywhere: the entry as it is stored, sealed, and how it leads to the signed
/// root.
pub async fn proof(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let (subject, logged, _) = find(visit, id).await?;
    match visit.app.store.prove(subject, logged.position()).await? {
        Provable::Proof(proof) => {
            Ok(Answer::of(StatusCode::OK, "application/json; charset=utf-8", Bytes::from(proof)).to_keep("proof.json"))
        }
        Provable::From(_) | Provable::Unknown => Err(Trouble::not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_one_in_japan() {
        let month = Month::of("2026-12").unwrap();
        assert_eq!(crate::consent::people::rfc3339(month.from), "2026-11-30T15:00:00.000Z");
        assert_eq!(crate::consent::people::rfc3339(month.until), "2026-12-31T15:00:00.000Z");
        for text in ["2026-13", "2026", "2026-1", "+2026-01", "x", "2026-01-01"] {
            assert!(Month::of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_name_is_never_a_formula() {
        assert_eq!(harmless("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(harmless("府中市"), "府中市");
    }
}
