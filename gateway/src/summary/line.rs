//! An item in one line, as narrative and the clinic's page show it. Texts of sources stay texts: the templates escape them.

use askama::Template;
use bumpalo::Bump;
use jiff::civil::Date;
use jiff::tz::{TimeZone, offset};

use super::{codes, same, state};
use crate::request::json::Json;
use crate::store::registry::PartyText;

/// An item as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// What else is said of it.
    pub more: Vec<String>,
    /// When, as far as it is known.
    pub when: String,
    /// Where it comes from, in Japanese and English.
    pub origin: (String, String),
}

#[derive(Template)]
#[template(path = "summary/section.html")]
struct Narrative<'a> {
    lines: &'a [Line],
    left_out: usize,
}

#[derive(Template)]
#[template(path = "summary/head.html")]
struct Head<'a> {
    sentences: &'a [(String, String)],
}

/// The narrative of a section (XHTML, FHIR R4 §2.6.1).
pub(super) fn narrative(lines: &[Line], left_out: usize) -> String {
    plain(Narrative { lines, left_out }.render().unwrap_or_default())
}

/// The narrative of the whole document.
pub(super) fn head(sentences: &[(String, String)]) -> String {
    plain(Head { sentences }.render().unwrap_or_default())
}

/// A narrative as it stands in a resource.
pub(super) fn text<'a>(div: &str, arena: &'a Bump) -> Json<'a> {
    Json::object([("status", Json::Text("generated")), ("div", Json::made(div, arena))], arena)
}

/// Without characters that XML can't hold, and without those that turn the direction of what follows.
fn plain(text: String) -> String {
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    // Nearly all texts hold none.
    if text.chars().any(odd) { text.chars().filter(|c| !odd(*c)).collect() } else { text }
}

/// An item in a line.
#[must_use]
pub fn line(resource: &Json<'_>, party: &PartyText) -> Line {
    let (ja, en) = codes::origin_words(codes::origin(resource, party));
    Line {
        what: what(resource),
        more: more(resource),
        when: when(resource).unwrap_or_default().to_owned(),
        origin: (format!("{}・{ja}", party.name_ja), format!("{}, {en}", party.name_en)),
    }
}

/// The moment by which items are sorted, in ms since the epoch: of a day, a month or a year its last in Japan. None where it is not
/// said as a date.
pub(super) fn moment(resource: &Json<'_>) -> Option<i64> {
    let text = when(resource)?;
    // Most are days: a reader that has to say why they are no instants would take longer than all else here.
    if text.contains('T') {
        return text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    }
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i16>().ok());
    let year = parts.next()??;
    let (month, day) = (parts.next(), parts.next());
    let number = |part: Option<Option<i16>>| part.map(|number| i8::try_from(number?).ok());
    let date = match (number(month), number(day)) {
        (None, _) => Date::new(year, 12, 31),
        (Some(month), None) => Date::new(year, month?, 1).map(|first| first.last_of_month()),
        (Some(month), Some(day)) => Date::new(year, month?, day?),
    };
    let next = date.ok()?.tomorrow().ok()?.to_zoned(TimeZone::fixed(offset(9))).ok()?;
    Some(next.timestamp().as_millisecond() - 1)
}

/// The date that an item bears, as its source wrote it.
pub(super) fn when<'a>(resource: &Json<'a>) -> Option<&'a str> {
    const DATES: [(&str, Option<&str>); 12] = [
        ("effectiveDateTime", None),
        ("effectiveInstant", None),
        ("effectivePeriod", Some("start")),
        ("occurrenceDateTime", None),
        ("occurrenceString", None),
        ("onsetDateTime", None),
        ("performedDateTime", None),
        ("performedPeriod", Some("start")),
        ("authoredOn", None),
        ("recordedDate", None),
        ("dateAsserted", None),
        ("issued", None),
    ];
    let said = |(name, part): &(&str, Option<&str>)| {
        let member = resource.get(name)?;
        part.map_or_else(|| member.as_str(), |part| member.text(part))
    };
    DATES.iter().find_map(said)
}

fn what(resource: &Json<'_>) -> String {
    let concepts = ["code", "medicationCodeableConcept", "vaccineCode", "type", "category"];
    let named = concepts.iter().find_map(|name| words(resource.get(name)?));
    named.or_else(|| resource.text("resourceType")).unwrap_or_default().to_owned()
}

/// A concept in words: its text, a display, or a code.
fn words<'a>(concept: &Json<'a>) -> Option<&'a str> {
    let by = |name: &str| concept.list("coding").iter().find_map(|coding| coding.text(name));
    concept.text("text").or_else(|| by("display")).or_else(|| by("code"))
}

fn more(resource: &Json<'_>) -> Vec<String> {
    let mut more = state::words(resource);
    more.extend(same::is_marked(resource).then(|| same::WORDS.to_owned()));
    more.extend(quantity(resource));
    let component = |part: &Json<'_>| Some(format!("{} {}", words(part.get("code")?)?, quantity(part)?));
    more.extend(resource.list("component").iter().filter_map(component));
    let mut texts: Vec<&str> = resource.text("valueString").into_iter().collect();
    texts.extend(resource.get("valueCodeableConcept").and_then(words));
    texts.extend(resource.text("criticality").map(criticality));
    for reaction in resource.list("reaction") {
        texts.extend(reaction.list("manifestation").iter().filter_map(words));
        texts.extend(reaction.text("description"));
    }
    texts.extend(resource.list("dosage").iter().filter_map(|dosage| dosage.text("text")));
    more.extend(texts.into_iter().map(str::to_owned));
    more.extend(resource.list("protocolApplied").iter().filter_map(dose));
    more.extend(resource.list("note").iter().filter_map(|note| note.text("text")).map(str::to_owned));
    more
}

fn quantity(of: &Json<'_>) -> Option<String> {
    let quantity = of.get("valueQuantity")?;
    let unit = quantity.get("unit").or_else(|| quantity.get("code")).and_then(Json::as_str).unwrap_or_default();
    let unit = if unit == "Cel" { "℃" } else { unit };
    let than = quantity.text("comparator").unwrap_or_default();
    Some(format!("{than}{} {unit}", figure(quantity.get("value")?)?).trim().to_owned())
}

/// A number as it was written, or a text that stands in its place.
const fn figure<'a>(value: &Json<'a>) -> Option<&'a str> {
    if let Json::Number(said) | Json::Text(said) = value { Some(said) } else { None }
}

fn dose(protocol: &Json<'_>) -> Option<String> {
    let number = protocol.get("doseNumberPositiveInt").and_then(figure);
    let number = number.or_else(|| protocol.text("doseNumberString"))?;
    Some(format!("{number}回目 / dose {number}"))
}

fn criticality(code: &str) -> &str {
    match code {
        "high" => "重症になり得る / high criticality",
        "low" => "重症化しにくい / low criticality",
        _ => "重さ不明 / criticality unknown",
    }
}
