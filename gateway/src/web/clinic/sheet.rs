//! What the clinic's page shows, read out of the document that was composed: nothing is added to it but sums that are said to be
//! such (age, BMI), and nothing in it is left out but where the page says how many there are more.

use std::collections::HashMap;

use bumpalo::Bump;
use jiff::civil::{Date, DateTime};
use sekisho_policy::Timestamp;

use super::chart::{Chart, Reading, is_possible};
use crate::request::json::{self, Json};
use crate::store::registry::{PartyText, RegistryText};
use crate::summary::{Document, SAME_DOSE, line};

/// Items of a section that stand open; the rest is folded away, and counted.
const OPEN_MAX: usize = 12;
/// Vaccinations of one source, which are short, likewise.
const DOSES_MAX: usize = 15;
const WEIGHT: &str = "29463-7";
const HEIGHT: &str = "8302-2";
const BMI: &str = "39156-5";
const TEMPERATURE: &str = "8310-5";

/// An item as it stands on the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub what: String,
    /// What else is said of it.
    pub more: String,
    /// When.
    pub when: String,
    /// Where it comes from.
    pub origin: String,
    /// The same in English.
    pub origin_en: String,
    /// Another source may hold the same dose: said once, below all of them.
    pub same: bool,
}

/// A section: what stands open, and what is folded away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Title in Japanese.
    pub ja: String,
    /// Title in English.
    pub en: String,
    /// The newest.
    pub items: Vec<Item>,
    /// Older ones.
    pub folded: Vec<Item>,
}

/// The page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// Name, as it is written; its readings.
    pub names: Vec<String>,
    /// Date of birth, in words.
    pub born: String,
    /// Age, in words.
    pub age: (String, String),
    /// Sex, in words.
    pub sex: Option<(&'static str, &'static str)>,
    /// What is said at the head.
    pub heads: Vec<(String, String)>,
    /// Allergies.
    pub allergies: Part,
    /// Medication.
    pub medication: Part,
    /// Weight, height, BMI: the newest of each.
    pub measures: Vec<Item>,
    /// Temperatures.
    pub chart: Option<Chart>,
    /// Conditions.
    pub conditions: Part,
    /// Vaccinations, for each source.
    pub doses: Vec<Part>,
    /// Whatever else there is.
    pub others: Vec<Part>,
}

impl Sheet {
    /// Whether a dose may stand twice.
    #[must_use]
    pub fn has_same_doses(&self) -> bool {
        self.doses.iter().flat_map(|part| part.items.iter().chain(&part.folded)).any(|item| item.same)
    }

    /// What is said of such.
    #[must_use]
    pub const fn same_dose(&self) -> &'static str {
        SAME_DOSE
    }

    /// Of a document.
    #[must_use]
    pub fn of(document: &Document, registry: &RegistryText, now: Timestamp) -> Self {
        let arena = Bump::new();
        let bundle = json::read(&document.json, &arena).unwrap_or(Json::Null);
        let resources: Vec<&Json<'_>> = bundle.list("entry").iter().filter_map(|entry| entry.get("resource")).collect();
        let mut sheet = Self { heads: document.heads.clone(), ..Self::default() };
        if let Some(patient) = resources.iter().find(|r| text(r, "resourceType") == "Patient") {
            sheet.person(patient, now);
        }
        let name = |r: &Json<'_>| format!("{}/{}", text(r, "resourceType"), text(r, "id"));
        let by_name: HashMap<String, &Json<'_>> = resources.iter().map(|r| (name(r), *r)).collect();
        for section in resources.first().map(|composition| composition.list("section")).unwrap_or_default() {
            let found = section.list("entry").iter().filter_map(|e| by_name.get(text(e, "reference")).copied());
            sheet.section(section, &found.collect::<Vec<_>>(), registry, now);
        }
        sheet
    }

    fn person(&mut self, patient: &Json<'_>, now: Timestamp) {
        self.names = patient.list("name").iter().filter_map(written).collect();
        let born = text(patient, "birthDate").parse::<Date>();
        if let Ok(born) = born {
            self.born = born.strftime("%Y年%-m月%-d日").to_string();
            self.age = age(born, today(now));
        }
        self.sex = match text(patient, "gender") {
            "male" => Some(("男性", "male")),
            "female" => Some(("女性", "female")),
            "other" => Some(("その他", "other")),
            _ => None,
        };
    }

    fn section(&mut self, section: &Json<'_>, found: &[&Json<'_>], registry: &RegistryText, now: Timestamp) {
        let code = codings(section).first().map(|coding| text(coding, "code")).unwrap_or_default();
        let (ja, en) = text(section, "title").split_once(" / ").unwrap_or((text(section, "title"), ""));
        let part = |most| part((ja, en), found, registry, most);
        match code {
            // None is folded away: on paper it would not be there.
            "48765-2" => self.allergies = part(usize::MAX),
            "10160-0" => self.medication = part(OPEN_MAX),
            "11450-4" => self.conditions = part(OPEN_MAX),
            "11369-6" => self.doses = by_origin(found, registry),
            "8716-3" => self.vital_signs((ja, en), found, registry, now),
            _ => self.others.push(part(OPEN_MAX)),
        }
    }

    fn vital_signs(&mut self, title: (&str, &str), found: &[&Json<'_>], registry: &RegistryText, now: Timestamp) {
        let of = |code: &str| found.iter().filter(|r| is(r, code)).copied().collect::<Vec<_>>();
        let (weights, heights) = (of(WEIGHT), of(HEIGHT));
        let newest = |all: &[&Json<'_>], name: &str| {
            let one = item(all.first()?, registry);
            Some(Item { what: name.to_owned(), ..one })
        };
        let said = newest(&of(BMI), "BMI");
        self.measures.extend(newest(&weights, "体重 Weight"));
        self.measures.extend(newest(&heights, "身長 Height"));
        self.measures.extend(said.or_else(|| computed(weights.first()?, heights.first()?)));
        let now = now_in_japan(now);
        let drawn = |r: &Json<'_>| reading(r, registry).filter(|one| is_possible(one.value) && one.at <= now);
        self.chart = Chart::of(of(TEMPERATURE).into_iter().filter_map(drawn).collect(), now);
        let known = [WEIGHT, HEIGHT, BMI];
        // What can't be drawn stands there as an item.
        let elsewhere = |r: &Json<'_>| known.iter().any(|code| is(r, code)) || is(r, TEMPERATURE) && drawn(r).is_some();
        let rest: Vec<&Json<'_>> = found.iter().filter(|r| !elsewhere(r)).copied().collect();
        if !rest.is_empty() {
            self.others.push(part(title, &rest, registry, OPEN_MAX));
        }
    }
}

fn text<'v>(value: &Json<'v>, name: &str) -> &'v str {
    value.text(name).unwrap_or_default()
}

/// The codes of what a resource or a section is about.
fn codings<'r, 'v>(of: &'r Json<'v>) -> &'r [Json<'v>] {
    of.get("code").map(|code| code.list("coding")).unwrap_or_default()
}

/// A name: its text, or family and given name.
fn written(name: &Json<'_>) -> Option<String> {
    let whole = text(name, "text");
    if !whole.is_empty() {
        return Some(whole.to_owned());
    }
    let given = name.list("given").iter().filter_map(Json::as_str);
    let parts: Vec<&str> = std::iter::once(text(name, "family")).chain(given).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn today(now: Timestamp) -> Date {
    now_in_japan(now).date()
}

fn now_in_japan(now: Timestamp) -> DateTime {
    in_japan(jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default())
}

fn in_japan(at: jiff::Timestamp) -> DateTime {
    at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).datetime()
}

/// Years, and of small children months: a dose goes by it.
fn age(born: Date, today: Date) -> (String, String) {
    let span = born.until((jiff::Unit::Year, today)).unwrap_or_default();
    let (years, months, days) = (span.get_years(), span.get_months(), span.get_days());
    match (years, months) {
        (0, 0) => (format!("生後{days}日"), format!("{days} days")),
        (0..=5, _) => (format!("{years}歳{months}か月"), format!("{years} y {months} mo")),
        _ => (format!("{years}歳"), format!("{years} years")),
    }
}

/// The party that an item says it comes from.
fn party<'r>(resource: &Json<'_>, registry: &'r RegistryText) -> Option<&'r PartyText> {
    let source = resource.get("meta")?.text("source")?;
    registry.party(source.strip_prefix("urn:sekisho:party:")?)
}

fn item(resource: &Json<'_>, registry: &RegistryText) -> Item {
    let Some(party) = party(resource, registry) else { return Item::default() };
    let line = line(resource, party);
    let (origin, origin_en) = line.origin;
    let same = line.more.iter().any(|said| said == SAME_DOSE);
    let more: Vec<String> = line.more.into_iter().filter(|said| said != SAME_DOSE).collect();
    Item { what: line.what, more: more.join("、"), when: when(&line.when), origin, origin_en, same }
}

/// A day, and the minute where it is said; what is no date stays as it is.
fn when(text: &str) -> String {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return in_japan(at).strftime("%Y-%m-%d %H:%M").to_string();
    }
    text.to_owned()
}

fn part((ja, en): (&str, &str), found: &[&Json<'_>], registry: &RegistryText, open: usize) -> Part {
    let mut items: Vec<Item> = found.iter().map(|resource| item(resource, registry)).collect();
    let folded = items.split_off(items.len().min(open));
    Part { ja: ja.to_owned(), en: en.to_owned(), items, folded }
}

/// Under the name of each source what comes from it: it need not be said with every item.
fn by_origin(found: &[&Json<'_>], registry: &RegistryText) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for one in found.iter().map(|resource| item(resource, registry)) {
        let at = match parts.iter().position(|part| part.ja == one.origin) {
            Some(at) => at,
            None => {
                parts.push(Part { ja: one.origin.clone(), en: one.origin_en.clone(), ..Part::default() });
                parts.len() - 1
            }
        };
        if let Some(part) = parts.get_mut(at) {
            let list = if part.items.len() < DOSES_MAX { &mut part.items } else { &mut part.folded };
            list.push(one);
        }
    }
    parts
}

fn is(resource: &Json<'_>, code: &str) -> bool {
    codings(resource).iter().any(|coding| text(coding, "code") == code)
}

fn number(resource: &Json<'_>) -> Option<f64> {
    let Json::Number(digits) = resource.get("valueQuantity")?.get("value")? else { return None };
    digits.parse().ok()
}

/// In the unit that is meant, or not at all: nothing is converted by guess.
fn in_unit(resource: &Json<'_>, unit: &str) -> Option<f64> {
    let quantity = resource.get("valueQuantity")?;
    let said = quantity.get("code").or_else(|| quantity.get("unit")).and_then(Json::as_str);
    let said = said.map(|said| if said == "℃" { "Cel" } else { said });
    number(resource).filter(|_| said == Some(unit))
}

/// BMI of the newest weight and height, said to be computed, with both dates.
fn computed(weight: &Json<'_>, height: &Json<'_>) -> Option<Item> {
    let (kg, cm) = (in_unit(weight, "kg")?, in_unit(height, "cm")?);
    if !(20.0..=250.0).contains(&cm) {
        return None;
    }
    let bmi = kg / (cm / 100.0).powi(2);
    let date = |of: &Json<'_>| text(of, "effectiveDateTime").get(..10).unwrap_or("?").to_owned();
    Some(Item {
        what: "BMI".to_owned(),
        more: format!("{bmi:.1} kg/m2"),
        when: format!("{} / {}", date(weight), date(height)),
        origin: "体重と身長からの計算値".to_owned(),
        origin_en: "computed from weight and height".to_owned(),
        same: false,
    })
}

fn reading(resource: &Json<'_>, registry: &RegistryText) -> Option<Reading> {
    let said = text(resource, "effectiveDateTime");
    let at = match said.parse::<jiff::Timestamp>() {
        Ok(at) => in_japan(at),
        Err(_) => said.parse::<Date>().ok()?.at(0, 0, 0, 0),
    };
    let item = item(resource, registry);
    Some(Reading { at, value: in_unit(resource, "Cel")?, written: item.more, origin: item.origin })
}
