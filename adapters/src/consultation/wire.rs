//! The plain shape, `docs/consultation-source.md`: pages of consultations and of changed choices, read record by record.
//!
//! What it never does: let a bad record spoil its page, keep the words of a judgement, or take a field that isn't known.

use std::borrow::Cow;

use jiff::Timestamp;

use super::members::{self, Members};
use super::reader::{Part, Reader, holds_my_number, local_day};
use super::{
    Choice, ChoiceChanged, Chosen, Consultation, ConsultationId, EPDS_ITEMS, EPDS_SCORE_MAX, Epds, Judgement, Means,
    Page, Place, PostalCode, Problem, Rejected, SafeContact, User, UserId, salvage,
};
use crate::phr_app::text::deceives;

/// Bytes of one record, at most.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Records of one page, at most.
pub const RECORDS_MAX: usize = 10_000;
const NEXT_BYTES_MAX: usize = 512;
const MARKS_MAX: usize = 32;
const CODE_MAX: usize = 64;
const EVIDENCE_MAX: usize = 200;
const HOURS_CHARS_MAX: usize = 100;
const REASON_CHARS_MAX: usize = 10_000;

/// A page that can't be read at all. Nothing of it is in here but whether a human should look now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which part of it.
    pub what: &'static str,
    /// Whether something in it looks as if it couldn't wait.
    pub urgent: bool,
}

/// Reads a page of consultations.
///
/// # Errors
/// [`Broken`] when it isn't one page; what is wrong with a record is said at its place.
pub fn consultations(body: &[u8], now: Timestamp) -> Result<Page<Result<Consultation, Rejected>>, Broken> {
    page(body, |raw, index| consultation(raw, index, now))
}

/// Reads a page of changed choices.
///
/// # Errors
/// The same.
pub fn choices(body: &[u8], now: Timestamp) -> Result<Page<Result<ChoiceChanged, Rejected>>, Broken> {
    page(body, |raw, index| choice_changed(raw, index, now))
}

/// Reads what was pushed: a list of records, as a page has it, or one record.
///
/// # Errors
/// [`Broken`] when it is neither.
pub(super) fn pushed(body: &[u8], now: Timestamp) -> Result<Vec<Result<Consultation, Rejected>>, Broken> {
    let text = String::from_utf8_lossy(body);
    let repaired = matches!(text, Cow::Owned(_));
    let broken = |what| Broken { what, urgent: salvage::may_be_urgent(&text) };
    let mut members = Members::read(&text).ok_or_else(|| broken("body"))?;
    let Some(items) = members.take("items") else {
        return Ok(records(repaired, &[text.trim()], |raw, index| consultation(raw, index, now)));
    };
    let raws = members::list(items, RECORDS_MAX).ok_or_else(|| broken("items"))?;
    Ok(records(repaired, &raws, |raw, index| consultation(raw, index, now)))
}

fn page<T>(
    body: &[u8],
    read: impl Fn(&str, usize) -> Result<T, Rejected>,
) -> Result<Page<Result<T, Rejected>>, Broken> {
    let text = String::from_utf8_lossy(body);
    let repaired = matches!(text, Cow::Owned(_));
    let broken = |what| Broken { what, urgent: salvage::may_be_urgent(&text) };
    let mut members = Members::read(&text).ok_or_else(|| broken("body"))?;
    let raws = members.take("items").and_then(|raw| members::list(raw, RECORDS_MAX)).ok_or_else(|| broken("items"))?;
    let next = members.take("next").and_then(members::text).filter(|next| is_watermark(next));
    let next = next.ok_or_else(|| broken("next"))?.into_owned();
    let more = match members.take("more") {
        Some("true") => true,
        Some("false") => false,
        _ => return Err(broken("more")),
    };
    if members.left().next().is_some() {
        return Err(broken("a member that isn't known"));
    }
    let items = records(repaired, &raws, read);
    Ok(Page { items, next, more })
}

/// Reads records one by one. Those that hold what stands for broken UTF-8, if the body wasn't UTF-8, are left out.
fn records<T>(
    repaired: bool,
    raws: &[&str],
    read: impl Fn(&str, usize) -> Result<T, Rejected>,
) -> Vec<Result<T, Rejected>> {
    let one = |(index, raw): (usize, &&str)| {
        let record = read(raw, index);
        if !repaired || !raw.contains(char::REPLACEMENT_CHARACTER) {
            return record;
        }
        let rejected = record.err().unwrap_or_else(|| reject(raw, index, Vec::new()));
        Err(Rejected { problems: vec![whole("not-utf8")], ..rejected })
    };
    raws.iter().enumerate().map(one).collect()
}

/// Whether a text can be where to go on.
pub(super) fn is_watermark(text: &str) -> bool {
    (1..=NEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn whole(why: &'static str) -> Problem {
    Problem { field: String::new(), why }
}

/// A record as rejected: names it and says whether it may be urgent, from whatever can be read.
pub(super) fn reject(raw: &str, index: usize, problems: Vec<Problem>) -> Rejected {
    let Some(mut members) = Members::read(raw) else {
        return Rejected { id: Err(index), user: None, problems, urgent: salvage::may_be_urgent(raw) };
    };
    let id_under =
        |name: &str, members: &mut Members<'_>| members.take(name).and_then(members::text).map(Cow::into_owned);
    let id = id_under("id", &mut members).or_else(|| id_under("consultation", &mut members));
    let id = id.as_deref().and_then(ConsultationId::parse).ok_or(index);
    let user = members.take("user").and_then(members::text).and_then(|id| UserId::parse(&id));
    let asker =
        || Members::read(members.take("asker")?)?.take("id").and_then(members::text).and_then(|id| UserId::parse(&id));
    let user = user.or_else(asker);
    Rejected { id, user, problems, urgent: urgent(raw) }
}

/// From the two members that say so; where a name stands twice, from anything that looks like them.
fn urgent(raw: &str) -> bool {
    let Some(mut members) = Members::read(raw) else { return salvage::may_be_urgent(raw) };
    members.take("emergency").is_some_and(salvage::says_yes) || members.take("epds").is_some_and(salvage::item_10)
}

/// What is wrong with a record before its fields are looked at.
fn unreadable(raw: &str) -> Option<&'static str> {
    match raw {
        _ if raw.len() > RECORD_BYTES_MAX => Some("too-large"),
        _ if !raw.starts_with('{') => Some("not-an-object"),
        _ if holds_my_number(raw) => Some("my-number"),
        _ => None,
    }
}

/// Reads one consultation, which stood at this place.
///
/// # Errors
/// Everything that is wrong with it.
pub fn consultation(raw: &str, index: usize, now: Timestamp) -> Result<Consultation, Rejected> {
    if let Some(why) = unreadable(raw) {
        return Err(reject(raw, index, vec![whole(why)]));
    }
    let Some(members) = Members::read(raw) else { return Err(reject(raw, index, vec![whole("name-twice")])) };
    let mut reader = Reader::new(now);
    let read = fields(&mut reader, Part::of_record(members));
    match read.filter(|_| reader.problems.is_empty()) {
        Some(consultation) => Ok(consultation),
        None => Err(reject(raw, index, reader.problems)),
    }
}

/// All fields are read before the first missing one ends it, so that every problem is found.
fn fields(r: &mut Reader, mut record: Part<'_>) -> Option<Consultation> {
    let id = r.consultation_id(&mut record, "id");
    let at = r.instant(&mut record, "at");
    let asker = r.part(&mut record, "asker");
    let asker = asker.and_then(|part| user(r, part, at));
    let child = r.optional_part(&mut record, "child");
    let child = child.and_then(|part| user(r, part, at));
    let epds = record.raw("epds").and_then(|raw| epds(r, raw));
    let judgement = r.optional_part(&mut record, "judgement").map(|part| judgement(r, part));
    let emergency = r.yes_or_no(&mut record, "emergency");
    let marks = record.raw("marks").map_or_else(|| Some(Vec::new()), |raw| marks(r, raw));
    let sharing = r.part(&mut record, "sharing");
    let chosen = sharing.and_then(|part| chosen(r, part));
    let residence = r.part(&mut record, "residence");
    let residence = residence.and_then(|part| place(r, part));
    let present = r.optional_part(&mut record, "present");
    let present = present.and_then(|part| place(r, part));
    let contact = r.part(&mut record, "safe_contact");
    let contact = contact.and_then(|part| safe_contact(r, part));
    r.end(&record);
    Some(Consultation {
        id: id?,
        asker: asker?,
        child,
        at: at?,
        epds,
        judgement,
        emergency: emergency?,
        marks: marks?,
        chosen: chosen?,
        residence: residence?,
        present,
        contact: contact?,
    })
}

fn user(r: &mut Reader, mut part: Part<'_>, at: Option<Timestamp>) -> Option<User> {
    let id = r.user_id(&mut part, "id");
    let birth = r.date(&mut part, "birth");
    if let (Some(birth), Some(at)) = (birth, at)
        && birth > local_day(at)
    {
        r.wrong_in(&part, "birth", "after-consultation");
    }
    r.end(&part);
    Some(User { id: id?, birth: birth? })
}

/// Ten places, one for each item in order; `null` where it wasn't answered. Fewer would leave open which is which.
fn epds(r: &mut Reader, raw: &str) -> Option<Epds> {
    let Some(given) = members::list(raw, RECORD_BYTES_MAX) else {
        r.wrong("epds", "not-a-list");
        return None;
    };
    if given.len() != EPDS_ITEMS {
        r.wrong("epds", if given.len() > EPDS_ITEMS { "too-many" } else { "too-few" });
    }
    let mut scores = [None; EPDS_ITEMS];
    for ((place, item), raw) in scores.iter_mut().zip(1..).zip(given) {
        if raw == "null" {
            continue;
        }
        *place = raw.parse().ok().filter(|score| *score <= EPDS_SCORE_MAX && raw.len() == 1);
        if place.is_none() {
            r.wrong(format!("epds[{item}]"), "out-of-range");
        }
    }
    Epds::new(scores)
}

/// The reason is looked at and dropped: blanks, also full-width ones and what doesn't show, are none.
fn judgement(r: &mut Reader, mut part: Part<'_>) -> Judgement {
    let reason = r.optional_text(&mut part, "reason").unwrap_or_default();
    if reason.chars().count() > REASON_CHARS_MAX {
        r.wrong("judgement.reason", "too-long");
    }
    r.end(&part);
    Judgement { reasoned: !is_blank(&reason) }
}

/// Letters that look like none, beside what deceives anyway: joiners, selectors, blanks that count as letters.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || deceives(c)
            || matches!(c, '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{3164}' | '\u{115f}' | '\u{1160}' | '\u{ffa0}')
            || matches!(c, '\u{34f}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}')
            || matches!(c, '\u{e0100}'..='\u{e01ef}')
    })
}

fn marks(r: &mut Reader, raw: &str) -> Option<Vec<String>> {
    let Some(given) = members::list(raw, MARKS_MAX) else {
        r.wrong("marks", if members::list(raw, usize::MAX).is_some() { "too-many" } else { "not-a-list" });
        return None;
    };
    let mut marks: Vec<String> = Vec::with_capacity(given.len());
    for (raw, at) in given.into_iter().zip(1_usize..) {
        match members::text(raw).filter(|mark| is_code(mark)) {
            None => r.wrong(format!("marks[{at}]"), "not-a-code"),
            Some(mark) if marks.iter().any(|known| *known == mark) => r.wrong(format!("marks[{at}]"), "twice"),
            Some(mark) => marks.push(mark.into_owned()),
        }
    }
    Some(marks)
}

fn is_code(text: &str) -> bool {
    (1..=CODE_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn chosen(r: &mut Reader, mut part: Part<'_>) -> Option<Chosen> {
    let choice = r.text(&mut part, "choice").and_then(|word| {
        let choice = choice(&word);
        if choice.is_none() {
            r.wrong("sharing.choice", "unknown-value");
        }
        choice
    });
    let municipality = r.municipality(&mut part, "municipality");
    let text_version = r.code(&mut part, "text_version", CODE_MAX);
    let at = r.instant(&mut part, "at");
    let evidence = r.code(&mut part, "evidence", EVIDENCE_MAX);
    r.end(&part);
    Some(Chosen {
        choice: choice?,
        municipality: municipality?,
        text_version: text_version?,
        at: at?,
        evidence: evidence?,
    })
}

/// A choice by its word.
pub(super) fn choice(word: &str) -> Option<Choice> {
    Some(match word {
        "content" => Choice::Content,
        "identity-only" => Choice::IdentityOnly,
        "nothing" => Choice::Nothing,
        _ => return None,
    })
}

fn place(r: &mut Reader, mut part: Part<'_>) -> Option<Place> {
    let municipality = r.municipality(&mut part, "municipality");
    let postal = r.optional_text(&mut part, "postal").filter(|text| !text.is_empty()).and_then(|text| {
        let postal = PostalCode::parse(&text);
        if postal.is_none() {
            r.wrong_in(&part, "postal", "not-a-postal-code");
        }
        postal
    });
    r.end(&part);
    Some(Place { municipality: municipality?, postal })
}

fn safe_contact(r: &mut Reader, mut part: Part<'_>) -> Option<SafeContact> {
    let given = part.raw("means").and_then(|raw| members::list(raw, MARKS_MAX)).unwrap_or_default();
    let mut ways = Vec::with_capacity(given.len());
    for (raw, at) in given.iter().zip(1_usize..) {
        match members::text(raw).and_then(|word| means(&word)) {
            None => r.wrong(format!("safe_contact.means[{at}]"), "unknown-value"),
            Some(way) if ways.contains(&way) => r.wrong(format!("safe_contact.means[{at}]"), "twice"),
            Some(way) => ways.push(way),
        }
    }
    if given.is_empty() {
        r.wrong("safe_contact.means", "missing");
    }
    let hours = r.needed_words(&mut part, "hours", HOURS_CHARS_MAX);
    let voicemail = r.yes_or_no(&mut part, "voicemail");
    let hidden_from_family = r.yes_or_no(&mut part, "hidden_from_family");
    r.end(&part);
    Some(SafeContact { means: ways, hours: hours?, voicemail: voicemail?, hidden_from_family: hidden_from_family? })
}

/// A means by its name in the shape.
pub(super) fn means(word: &str) -> Option<Means> {
    Some(match word {
        "telephone" => Means::Telephone,
        "app-message" => Means::AppMessage,
        "mail" => Means::Mail,
        "letter" => Means::Letter,
        "visit" => Means::Visit,
        _ => return None,
    })
}

pub(super) fn choice_changed(raw: &str, index: usize, now: Timestamp) -> Result<ChoiceChanged, Rejected> {
    if let Some(why) = unreadable(raw) {
        return Err(reject(raw, index, vec![whole(why)]));
    }
    let Some(members) = Members::read(raw) else { return Err(reject(raw, index, vec![whole("name-twice")])) };
    let mut r = Reader::new(now);
    let mut record = Part::of_record(members);
    let user = r.user_id(&mut record, "user");
    let consultation = record.raw("consultation").map(|raw| {
        let id = members::text(raw).and_then(|id| ConsultationId::parse(&id));
        if id.is_none() {
            r.wrong("consultation", "not-an-id");
        }
        id
    });
    let chosen = r.part(&mut record, "sharing").and_then(|part| chosen(&mut r, part));
    r.end(&record);
    let changed = || Some(ChoiceChanged { user: user?, consultation: consultation.flatten(), chosen: chosen? });
    match changed().filter(|_| r.problems.is_empty()) {
        Some(changed) => Ok(changed),
        None => Err(reject(raw, index, r.problems)),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
