//! Codes that a summary adds, so that readers of either kind find them: LOINC beside JP Core's for what people measure, the
//! categories of both, where an item comes from, and that a date is unknown.
//!
//! Sources: FHIR R4 (`observation-category`, `list-empty-reason`, `data-absent-reason`), JP Core 1.2, IPS 2.0.

use bumpalo::Bump;

use crate::request::json::{Json, Members, member, member_mut, put};
use crate::store::registry::PartyText;

pub(super) use sekisho_adapters::fhir_terms::LOINC;
use sekisho_adapters::fhir_terms::{
    BODY_MEASUREMENT_CODE as JP_BODY, DATA_ABSENT_REASON as ABSENT, JP_OBSERVATION_CATEGORY as JP_CATEGORY,
    NURSING_OBSERVATION as JP_NURSING, OBSERVATION_CATEGORY as CATEGORY, ORIGIN,
};

const EMPTY_REASON: &str = "http://terminology.hl7.org/CodeSystem/list-empty-reason";
const ORIGIN_CODES: &str = "urn:sekisho:origin";

/// What people measure: LOINC, JP Core's system, code and category.
struct Measured {
    loinc: &'static str,
    system: &'static str,
    code: &'static str,
    category: &'static str,
}

const MEASURED: [Measured; 4] = [
    Measured { loinc: "29463-7", system: JP_BODY, code: "31000296", category: "body-measurement" },
    Measured { loinc: "8302-2", system: JP_BODY, code: "31000298", category: "body-measurement" },
    Measured { loinc: "39156-5", system: JP_BODY, code: "31003020", category: "body-measurement" },
    Measured { loinc: "8310-5", system: JP_NURSING, code: "31001368", category: "vital-signs" },
];

/// Whether a concept holds a code.
pub(super) fn has(concept: &Json<'_>, system: &str, code: &str) -> bool {
    concept
        .list("coding")
        .iter()
        .any(|coding| coding.text("system") == Some(system) && coding.text("code") == Some(code))
}

fn measured(observation: &Json<'_>) -> Option<&'static Measured> {
    let code = observation.get("code")?;
    MEASURED.iter().find(|one| has(code, LOINC, one.loinc) || has(code, one.system, one.code))
}

/// Whether an Observation belongs among the vital signs.
pub(super) fn is_vital_sign(observation: &Json<'_>) -> bool {
    let said = observation.list("category").iter().any(|category| has(category, CATEGORY, "vital-signs"));
    said || measured(observation).is_some()
}

/// Adds what IPS and JP Core both want to find.
pub(super) fn complete<'a>(resource: &mut Json<'a>, arena: &'a Bump) {
    let known = measured(resource);
    let Json::Object(members) = resource else { return };
    match member(members, "resourceType").and_then(Json::as_str) {
        Some("Observation") => {
            if let Some(known) = known {
                both_codes(members, known, arena);
            }
        }
        // IPS: `effective[x]` is mandatory, a reason for its absence included.
        Some("MedicationStatement") if !members.iter().any(|(name, _)| name.starts_with("effective")) => {
            let unknown = Json::object([("url", Json::Text(ABSENT)), ("valueCode", Json::Text("unknown"))], arena);
            let unknown = Json::object([("extension", Json::array([unknown], arena))], arena);
            put(members, "_effectiveDateTime", unknown);
        }
        _ => {}
    }
}

fn both_codes<'a>(observation: &mut Members<'a>, known: &Measured, arena: &'a Bump) {
    // It was known by one of its codes: there is a list of them.
    if let Some(code) = member_mut(observation, "code") {
        for (system, value) in [(LOINC, known.loinc), (known.system, known.code)] {
            if !has(code, system, value)
                && let Json::Object(members) = code
                && let Some(Json::Array(codings)) = member_mut(members, "coding")
            {
                codings.push(coding(system, value, arena));
            }
        }
    }
    if member(observation, "category").is_none() {
        put(observation, "category", Json::array([], arena));
    }
    let Some(Json::Array(all)) = member_mut(observation, "category") else { return };
    for (system, value) in [(CATEGORY, "vital-signs"), (JP_CATEGORY, known.category)] {
        if !all.iter().any(|category| has(category, system, value)) {
            all.push(concept(coding(system, value, arena), arena));
        }
    }
}

pub(super) fn coding<'a>(system: &'a str, code: &'a str, arena: &'a Bump) -> Json<'a> {
    Json::object([("system", Json::Text(system)), ("code", Json::Text(code))], arena)
}

/// A concept of this one code.
pub(super) fn concept<'a>(coding: Json<'a>, arena: &'a Bump) -> Json<'a> {
    Json::object([("coding", Json::array([coding], arena))], arena)
}

/// A code with the words for it.
pub(super) fn shown<'a>(system: &'a str, code: &'a str, display: &'a str, arena: &'a Bump) -> Json<'a> {
    Json::object([("system", Json::Text(system)), ("code", Json::Text(code)), ("display", Json::Text(display))], arena)
}

/// Where an item comes from: how it was entered, or what kind of source it is.
#[must_use]
pub fn origin<'r>(resource: &Json<'r>, party: &'r PartyText) -> &'r str {
    let said = resource.list("extension").iter().find(|extension| extension.text("url") == Some(ORIGIN));
    said.and_then(|extension| extension.text("valueCode")).unwrap_or(match party.kind.as_str() {
        "phr-app" => "app",
        other => other,
    })
}

/// An origin in words.
#[must_use]
pub fn origin_words(code: &str) -> (&'static str, &'static str) {
    match code {
        "self" => ("本人申告", "self-reported"),
        "device" => ("機器で測定", "measured by a device"),
        "clinic" => ("医療機関の記録", "a clinic's record"),
        "portal-copy" => ("マイナポータルの記録の写し", "a copy of the portal's record"),
        "municipality" => ("自治体の記録", "a municipality's record"),
        "portal" => ("マイナポータルの記録", "the portal's record"),
        "app" => ("PHRアプリの記録", "a PHR app's record"),
        _ => ("提供元の記録", "the source's record"),
    }
}

/// Says in the resource itself where it comes from.
pub(super) fn say_source<'a>(resource: &mut Json<'a>, party: &'a PartyText, arena: &'a Bump) {
    let code = origin(resource, party);
    let (ja, _) = origin_words(code);
    let tag = shown(ORIGIN_CODES, code, ja, arena);
    if let Json::Object(members) = resource {
        let source = Json::made(&format!("urn:sekisho:party:{}", party.code), arena);
        put(members, "meta", Json::object([("source", source), ("tag", Json::array([tag], arena))], arena));
    }
}

/// Nothing is listed: nobody can tell from it whether there is something.
pub(super) fn empty_reason(arena: &Bump) -> Json<'_> {
    let coding = shown(EMPTY_REASON, "unavailable", "Unavailable", arena);
    let text = "情報がありません（「なし」という意味ではありません） / No information (which does not mean none)";
    Json::object([("coding", Json::array([coding], arena)), ("text", Json::Text(text))], arena)
}
