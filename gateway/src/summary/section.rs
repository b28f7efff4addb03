//! Which section an item belongs to, in which order, and what a section says when there is nothing.
//!
//! Codes: IPS 2.0 (`CompositionUvIps`), LOINC. A required section is always there; an optional one only with items.

use std::cmp::Reverse;
use std::collections::HashMap;

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use super::{Item, codes, line, same, state};
use crate::request::json::{Json, put};

/// Items of one section; older ones are left out, and said to be.
const ITEMS_MAX: usize = 500;
/// Of each code, as many stay, for so many codes.
const OF_EACH_MIN: usize = 5;
const CODES_MAX: usize = 50;

/// Where the vaccinations stand in [`SECTIONS`].
const DOSES: usize = 4;

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
fn place(resource: &Json<'_>, today: &str) -> usize {
    match resource.text("resourceType").unwrap_or_default() {
        "AllergyIntolerance" => 0,
        "MedicationStatement" | "MedicationRequest" if state::is_not_taken(resource, today) => 8,
        "Immunization" if state::is_not_done(resource) => 8,
        "MedicationStatement" | "MedicationRequest" | "MedicationDispense" | "MedicationAdministration" => 1,
        "Condition" if is_over(resource) => 5,
        "Condition" => 2,
        "Observation" if codes::is_vital_sign(resource) => 3,
        "Immunization" => DOSES,
        "Procedure" => 6,
        "Observation" | "DiagnosticReport" => 7,
        _ => 8,
    }
}

/// A condition that is over (FHIR R4 `condition-clinical`).
fn is_over(condition: &Json<'_>) -> bool {
    let codings = condition.get("clinicalStatus").map(|status| status.list("coding")).unwrap_or_default();
    codings.iter().any(|coding| matches!(coding.text("code"), Some("inactive" | "remission" | "resolved")))
}

/// The items of a section, the newest first.
pub(super) struct Listed<'a> {
    pub items: Vec<Item<'a>>,
    /// Older ones that are not listed.
    pub left_out: usize,
}

/// All sections that are there, with their items made ready, as of a day in Japan.
pub(super) fn sorted<'a>(items: Vec<Item<'a>>, today: &str, arena: &'a Bump) -> Vec<(&'static Section, Listed<'a>)> {
    let mut placed: [Vec<Item<'a>>; SECTIONS.len()] = std::array::from_fn(|_| Vec::new());
    for mut item in items.into_iter().filter(|item| !state::is_void(&item.resource)) {
        codes::complete(&mut item.resource, arena);
        codes::say_source(&mut item.resource, item.party, arena);
        if let Some(section) = placed.get_mut(place(&item.resource, today)) {
            section.push(item);
        }
    }
    if let Some(doses) = placed.get_mut(DOSES) {
        same::mark(doses, arena);
    }
    let there = SECTIONS.iter().zip(placed).filter(|(section, items)| section.required || !items.is_empty());
    there.map(|(section, items)| (section, listed(items))).collect()
}

/// The newest. Of each thing that is measured a few stay in any case: four temperatures a day must not press out the last weight.
fn listed<'a>(mut items: Vec<Item<'a>>) -> Listed<'a> {
    items.sort_by_cached_key(|item| Reverse(line::moment(&item.resource)));
    let left_out = items.len().saturating_sub(ITEMS_MAX);
    if left_out > 0 {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut room = ITEMS_MAX;
        let mut stays = |item: &Item<'a>| {
            let first = item.resource.get("code").and_then(|code| code.list("coding").first());
            let times = seen.entry(first.and_then(|coding| coding.text("code")).unwrap_or_default()).or_default();
            *times += 1;
            *times <= OF_EACH_MIN && seen.len() <= CODES_MAX
        };
        let first: Vec<bool> = items.iter().map(&mut stays).collect();
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
pub(super) fn written<'a>(section: &Section, listed: &Listed<'_>, arena: &'a Bump) -> Json<'a> {
    let lines: Vec<line::Line> = listed.items.iter().map(|item| line::line(&item.resource, item.party)).collect();
    let title = Json::made(&format!("{} / {}", section.ja, section.en), arena);
    let text = line::text(&line::narrative(&lines, listed.left_out), arena);
    let mut written = ArenaVec::from_iter_in([("title", title), ("text", text)], arena);
    if let Some(code) = section.code {
        put(&mut written, "code", codes::concept(codes::coding(codes::LOINC, code, arena), arena));
    }
    if listed.items.is_empty() {
        put(&mut written, "emptyReason", codes::empty_reason(arena));
    } else {
        let references = listed.items.iter().map(|item| reference(&item.resource, arena));
        put(&mut written, "entry", Json::array(references, arena));
    }
    Json::Object(written)
}

fn reference<'a>(resource: &Json<'_>, arena: &'a Bump) -> Json<'a> {
    let text = |name: &str| resource.text(name).unwrap_or_default();
    let to = format!("{}/{}", text("resourceType"), text("id"));
    Json::object([("reference", Json::made(&to, arena))], arena)
}
