//! An item in one line, as narrative and the clinic's page show it. Texts of sources stay texts: the templates escape them.

use askama::Template;
use jiff::civil::Date;
use jiff::tz::{TimeZone, offset};
use serde_json::Value;

use super::{codes, state};
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
    plain(&Narrative { lines, left_out }.render().unwrap_or_default())
}

/// The narrative of the whole document.
pub(super) fn head(sentences: &[(String, String)]) -> String {
    plain(&Head { sentences }.render().unwrap_or_default())
}

/// Without characters that XML can't hold, and without those that turn the direction of what follows.
fn plain(text: &str) -> String {
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().filter(|c| !odd(*c)).collect()
}

/// An item in a line.
#[must_use]
pub fn line(resource: &Value, party: &PartyText) -> Line {
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
pub(super) fn moment(resource: &Value) -> Option<i64> {
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
pub(super) fn when(resource: &Value) -> Option<&str> {
    const DATES: [&str; 12] = [
        "/effectiveDateTime",
        "/effectiveInstant",
        "/effectivePeriod/start",
        "/occurrenceDateTime",
        "/occurrenceString",
        "/onsetDateTime",
        "/performedDateTime",
        "/performedPeriod/start",
        "/authoredOn",
        "/recordedDate",
        "/dateAsserted",
        "/issued",
    ];
    DATES.iter().find_map(|at| resource.pointer(at)?.as_str())
}

fn what(resource: &Value) -> String {
    let concepts = ["code", "medicationCodeableConcept", "vaccineCode", "type", "category"];
    let named = concepts.iter().find_map(|name| words(resource.get(*name)?));
    let kind = || resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    named.unwrap_or_else(kind)
}

/// A concept in words: its text, a display, or a code.
fn words(concept: &Value) -> Option<String> {
    if let Some(text) = concept.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let codings = concept.get("coding").and_then(Value::as_array)?;
    let by = |name: &str| codings.iter().find_map(|coding| coding.get(name)?.as_str());
    by("display").or_else(|| by("code")).map(str::to_owned)
}

fn more(resource: &Value) -> Vec<String> {
    let text = |at: &str| resource.pointer(at).and_then(Value::as_str);
    let list = |name: &str| resource.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut more = state::words(resource);
    more.extend(quantity(resource));
    more.extend(
        list("component").filter_map(|part| Some(format!("{} {}", words(part.get("code")?)?, quantity(part)?))),
    );
    more.extend(text("/valueString").map(str::to_owned));
    more.extend(resource.get("valueCodeableConcept").and_then(words));
    more.extend(text("/criticality").map(|code| criticality(code).to_owned()));
    more.extend(list("reaction").flat_map(|reaction| {
        let shown = reaction.get("manifestation").and_then(Value::as_array).into_iter().flatten().filter_map(words);
        let told = reaction.get("description").and_then(Value::as_str).map(str::to_owned);
        shown.chain(told).collect::<Vec<_>>()
    }));
    more.extend(list("dosage").filter_map(|dosage| dosage.get("text")?.as_str()).map(str::to_owned));
    more.extend(list("protocolApplied").filter_map(dose));
    more.extend(list("note").filter_map(|note| note.get("text")?.as_str()).map(str::to_owned));
    more
}

fn quantity(of: &Value) -> Option<String> {
    let quantity = of.get("valueQuantity")?;
    let unit = quantity.get("unit").or_else(|| quantity.get("code")).and_then(Value::as_str).unwrap_or_default();
    let unit = if unit == "Cel" { "℃" } else { unit };
    let than = quantity.get("comparator").and_then(Value::as_str).unwrap_or_default();
    Some(format!("{than}{} {unit}", quantity.get("value")?).trim().to_owned())
}

fn dose(protocol: &Value) -> Option<String> {
    let number = protocol.get("doseNumberPositiveInt").map(Value::to_string);
    let number = number.or_else(|| Some(protocol.get("doseNumberString")?.as_str()?.to_owned()))?;
    Some(format!("{number}回目 / dose {number}"))
}

fn criticality(code: &str) -> &str {
    match code {
        "high" => "重症になり得る / high criticality",
        "low" => "重症化しにくい / low criticality",
        _ => "重さ不明 / criticality unknown",
    }
}
