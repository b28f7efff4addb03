//! Which section an item belongs to, in which order, and what a section says when there is nothing.
//!
//! Codes: IPS 2.0 (`CompositionUvIps`), LOINC. A required section is always there; an optional one only with items.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Item, codes, line, state};

/// Items of one section; older ones are left out, and said to be.
const ITEMS_MAX: usize = 500;
/// Of each code, as many stay, for so many codes.
const OF_EACH_MIN: usize = 5;
const CODES_MAX: usize = 50;

/// A section of the summary.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// LOINC; none for what no section of IPS is for.
    pub code: Option<&'static str>,
    /// Title in Japanese.
    pub ja: &'static str,
    /// Title in English.
    pub en: &'static str,
    /// It is there even without items.
    pub required: bool,
}

const fn section(code: &'static str, ja: &'static str, en: &'static str, required: bool) -> Section {
    Section { code: Some(code), ja, en, required }
}

/// All of them, in the order in which a doctor needs them.
pub static SECTIONS: [Section; 9] = [
    section("48765-2", "アレルギー", "Allergies and intolerances", true),
    section("10160-0", "服用中の薬", "Medication", true),
    section("11450-4", "持病・症状", "Problems", true),
    section("8716-3", "体重・体温など", "Vital signs", false),
    section("11369-6", "予防接種", "Immunizations", false),
    section("11348-0", "過去の病気", "Past illness", false),
    section("47519-4", "手術・処置", "Procedures", false),
    section("30954-2", "検査結果", "Results", false),
    Section { code: None, ja: "その他", en: "Other", required: false },
];

/// Its place in [`SECTIONS`].
fn place(resource: &Value, today: &str) -> usize {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "AllergyIntolerance" => 0,
        "MedicationStatement" | "MedicationRequest" if state::is_not_taken(resource, today) => 8,
        "Immunization" if state::is_not_done(resource) => 8,
        "MedicationStatement" | "MedicationRequest" | "MedicationDispense" | "MedicationAdministration" => 1,
        "Condition" if is_over(resource) => 5,
        "Condition" => 2,
        "Observation" if codes::is_vital_sign(resource) => 3,
        "Immunization" => 4,
        "Procedure" => 6,
        "Observation" | "DiagnosticReport" => 7,
        _ => 8,
    }
}

/// A condition that is over (FHIR R4 `condition-clinical`).
fn is_over(condition: &Value) -> bool {
    let codings = condition.pointer("/clinicalStatus/coding").and_then(Value::as_array);
    codings.into_iter().flatten().any(|coding| {
        let code = coding.get("code").and_then(Value::as_str);
        matches!(code, Some("inactive" | "remission" | "resolved"))
    })
}

/// The items of a section, the newest first.
pub(super) struct Listed<'a> {
    pub items: Vec<Item<'a>>,
    /// Older ones that are not listed.
    pub left_out: usize,
}

/// All sections that are there, with their items made ready, as of a day in Japan.
pub(super) fn sorted<'a>(items: Vec<Item<'a>>, today: &str) -> Vec<(&'static Section, Listed<'a>)> {
    let mut placed: [Vec<Item<'a>>; SECTIONS.len()] = std::array::from_fn(|_| Vec::new());
    for mut item in items.into_iter().filter(|item| !state::is_void(&item.resource)) {
        codes::complete(&mut item.resource);
        codes::say_source(&mut item.resource, item.party);
        if let Some(section) = placed.get_mut(place(&item.resource, today)) {
            section.push(item);
        }
    }
    let there = SECTIONS.iter().zip(placed).filter(|(section, items)| section.required || !items.is_empty());
    there.map(|(section, items)| (section, listed(items))).collect()
}

/// The newest. Of each thing that is measured a few stay in any case: four temperatures a day must not press out the last weight.
fn listed(mut items: Vec<Item<'_>>) -> Listed<'_> {
    items.sort_by_cached_key(|item| Reverse(line::moment(&item.resource)));
    let left_out = items.len().saturating_sub(ITEMS_MAX);
    if left_out > 0 {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut room = ITEMS_MAX;
        let stays = |item: &Item<'_>, seen: &mut HashMap<String, usize>| {
            let code = item.resource.pointer("/code/coding/0/code").and_then(Value::as_str).unwrap_or_default();
            let times = seen.entry(code.to_owned()).or_default();
            *times += 1;
            *times <= OF_EACH_MIN && seen.len() <= CODES_MAX
        };
        let first: Vec<bool> = items.iter().map(|item| stays(item, &mut seen)).collect();
        room -= first.iter().filter(|stays| **stays).count().min(room);
        let mut first = first.into_iter();
        items.retain(|_| {
            first.next().unwrap_or(false) || {
                let fits = room > 0;
                room -= usize::from(fits);
                fits
            }
        });
    }
    Listed { items, left_out }
}

/// A section as it stands in the Composition.
pub(super) fn written(section: &Section, listed: &Listed<'_>) -> Value {
    let lines: Vec<line::Line> = listed.items.iter().map(|item| line::line(&item.resource, item.party)).collect();
    let mut written = json!({
        "title": format!("{} / {}", section.ja, section.en),
        "text": {"status": "generated", "div": line::narrative(&lines, listed.left_out)},
    });
    let Some(object) = written.as_object_mut() else { return written };
    if let Some(code) = section.code {
        object.insert("code".to_owned(), json!({"coding": [{"system": codes::LOINC, "code": code}]}));
    }
    if listed.items.is_empty() {
        object.insert("emptyReason".to_owned(), codes::empty_reason());
    } else {
        let references: Vec<Value> = listed.items.iter().map(|item| reference(&item.resource)).collect();
        object.insert("entry".to_owned(), Value::Array(references));
    }
    written
}

fn reference(resource: &Value) -> Value {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    json!({"reference": format!("{}/{}", text("resourceType"), text("id"))})
}
