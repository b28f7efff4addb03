//! Builds the stand-in's Bundles, faults included. Pure.

use serde_json::{Map, Value, json};

use super::stand_in::Knobs;
use crate::my_number;

/// The system of the indication tags, as the implementation guide writes it.
const INDICATION: &str = "http://jpfhir.jp/fhir/clins/CodeSystem/JP_ehrshrs_indication";
/// Overhead of `,"note":[{"text":""}]`.
const NOTE_OVERHEAD: usize = 21;

pub(super) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Types that can be searched by patient: also where nothing of a type is held, as on any FHIR server.
pub(super) const SEARCHED: [&str; 7] = [
    "AllergyIntolerance",
    "Condition",
    "Immunization",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
];

/// Whether R4 has the search parameter `date` for a type.
pub(super) fn has_date(kind: &str) -> bool {
    date_of(kind).is_some()
}

/// Whether R4 has the search parameter `code` for a type.
pub(super) fn has_code(kind: &str) -> bool {
    SEARCHED.contains(&kind) && kind != "Immunization"
}

fn date_of(kind: &str) -> Option<&'static str> {
    match kind {
        "Immunization" => Some("occurrenceDateTime"),
        "Observation" => Some("effectiveDateTime"),
        "Procedure" => Some("performedDateTime"),
        "AllergyIntolerance" => Some("recordedDate"),
        _ => None,
    }
}

/// A resource's type.
pub(super) fn kind(resource: &Value) -> &str {
    resource.get("resourceType").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn capability(now_ms: i64) -> Value {
    let searched = SEARCHED.iter().map(|kind| {
        let date = has_date(kind).then(|| json!({"name": "date", "type": "date"}));
        let code = has_code(kind).then(|| json!({"name": "code", "type": "token"}));
        let parameters = std::iter::once(json!({"name": "patient", "type": "reference"})).chain(date).chain(code);
        json!({"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}],
               "searchParam": parameters.collect::<Vec<_>>()})
    });
    let patient = json!({"type": "Patient", "interaction": [{"code": "read"}]});
    json!({
        "resourceType": "CapabilityStatement", "status": "active", "date": instant(now_ms), "kind": "instance",
        "fhirVersion": "4.0.1", "format": ["application/fhir+json"],
        "implementation": {"description": "Development stand-in: synthetic data only"},
        "rest": [{"mode": "server", "resource": std::iter::once(patient).chain(searched).collect::<Vec<_>>()}]
    })
}

/// Whether a resource has one of the codes of each parameter: `system|code`, or a code of any system; a comma is "or".
pub(super) fn coded(resource: &Value, parameters: &[String]) -> bool {
    let concept = ["code", "medicationCodeableConcept"].into_iter().find_map(|name| resource.get(name));
    let codings = concept.and_then(|concept| concept.get("coding")?.as_array()).map(Vec::as_slice).unwrap_or_default();
    let is = |wanted: &str| {
        let (system, code) = wanted.split_once('|').map_or((None, wanted), |(system, code)| (Some(system), code));
        let text = |coding: &Value, name: &str| coding.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        codings.iter().any(|own| text(own, "code") == code && system.is_none_or(|system| text(own, "system") == system))
    };
    parameters.iter().all(|parameter| parameter.split(',').any(is))
}

/// Whether a resource's date lies within all `date` parameters (`ge le gt lt eq`, days).
pub(super) fn within(resource: &Value, dates: &[String]) -> bool {
    let Some(own) = date_of(kind(resource)).and_then(|name| resource.get(name)?.as_str()) else {
        return dates.is_empty();
    };
    let day = own.get(..10).unwrap_or(own);
    dates.iter().all(|date| {
        let (prefix, bound) = match date.get(..2) {
            Some(prefix @ ("ge" | "le" | "gt" | "lt" | "eq")) => (prefix, date.get(2..).unwrap_or_default()),
            _ => ("eq", date.as_str()),
        };
        match prefix {
            "ge" => day >= bound,
            "le" => day <= bound,
            "gt" => day > bound,
            "lt" => day < bound,
            _ => day == bound,
        }
    })
}

/// A searchset Bundle as bytes.
pub(super) fn searchset(
    base: &str,
    link: &str,
    now_ms: i64,
    found: Vec<Value>,
    (kind, patient): (&str, &str),
    knobs: &Knobs,
) -> Vec<u8> {
    let mut resources = resized(found, knobs.entries);
    if let Some(first) = resources.first_mut().and_then(Value::as_object_mut) {
        spoil(first, knobs);
    }
    if knobs.others_mixed_in {
        resources.extend(resources.first().cloned().map(|r| of_another(r, patient)));
    }
    let mut bundle = wrap(base, link, now_ms, &resources);
    if let (Some(port), Some(links)) = (knobs.next_at_port, bundle.get_mut("link").and_then(Value::as_array_mut)) {
        let url = format!("https://localhost:{port}/fhir/{kind}?patient={patient}");
        links.push(json!({"relation": "next", "url": url}));
    }
    let mut bytes = bundle.to_string();
    if let Some(missing) = knobs.pad_to_bytes.and_then(|n| n.checked_sub(bytes.len()))
        && missing >= NOTE_OVERHEAD
        && let Some(first) = bundle.pointer_mut("/entry/0/resource").and_then(Value::as_object_mut)
        && !first.contains_key("note")
    {
        first.insert("note".to_owned(), json!([{"text": "x".repeat(missing - NOTE_OVERHEAD)}]));
        bytes = bundle.to_string();
    }
    bytes.into_bytes()
}

fn wrap(base: &str, link: &str, now_ms: i64, resources: &[Value]) -> Value {
    let updated = instant(now_ms);
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let kind = kind(resource);
            let id = resource.get("id").and_then(Value::as_str).unwrap_or("none");
            let mut resource = resource.clone();
            if let Some(object) = resource.as_object_mut() {
                let meta = object.entry("meta").or_insert_with(|| json!({}));
                if let Some(meta) = meta.as_object_mut() {
                    meta.entry("versionId").or_insert_with(|| json!("1"));
                    meta.entry("lastUpdated").or_insert_with(|| json!(updated));
                }
            }
            json!({"fullUrl": format!("{base}/{kind}/{id}"), "resource": resource, "search": {"mode": "match"}})
        })
        .collect();
    let mut bundle = json!({
        "resourceType": "Bundle", "id": "searchset", "meta": {"lastUpdated": updated}, "type": "searchset",
        "total": entries.len(), "link": [{"relation": "self", "url": link}]
    });
    // FHIR has no empty lists.
    if let (false, Some(object)) = (entries.is_empty(), bundle.as_object_mut()) {
        object.insert("entry".to_owned(), Value::Array(entries));
    }
    bundle
}

fn resized(found: Vec<Value>, entries: Option<usize>) -> Vec<Value> {
    let Some(wanted) = entries else { return found };
    let repeated = found.iter().cycle().take(if found.is_empty() { 0 } else { wanted });
    repeated
        .enumerate()
        .map(|(i, resource)| {
            let mut resource = resource.clone();
            if i >= found.len()
                && let Some(object) = resource.as_object_mut()
            {
                let id = object.get("id").and_then(Value::as_str).unwrap_or("i").to_owned();
                object.insert("id".to_owned(), json!(format!("{id}-r{i}")));
            }
            resource
        })
        .collect()
}

fn spoil(first: &mut Map<String, Value>, knobs: &Knobs) {
    if knobs.wrong_types {
        first.insert("status".to_owned(), json!(7));
        first.insert("vaccineCode".to_owned(), json!("free text where an object belongs"));
        first.insert("protocolApplied".to_owned(), json!("one"));
    }
    if knobs.my_number_in_identifier {
        let number = check_digit_valid_twelve();
        first.insert("identifier".to_owned(), json!([{"system": "urn:sekisho:synthetic:id", "value": number}]));
    }
    if knobs.my_number_in_text {
        let number = check_digit_valid_twelve();
        first.insert("note".to_owned(), json!([{"text": format!("番号 {number} の方")}]));
    }
    if knobs.uninformed {
        let meta = first.entry("meta").or_insert_with(|| json!({}));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("tag".to_owned(), json!([{"system": INDICATION, "code": "UNINFORMED"}]));
        }
    }
}

fn of_another(mut resource: Value, patient: &str) -> Value {
    if let Some(object) = resource.as_object_mut() {
        object.insert("id".to_owned(), json!("of-another"));
        let name = if object.contains_key("subject") { "subject" } else { "patient" };
        object.insert(name.to_owned(), json!({"reference": format!("Patient/{patient}-other")}));
    }
    resource
}

/// Twelve digits as a gateway must refuse them: a plainly artificial run of eleven, completed with its check digit here
/// so that none stands in the source.
fn check_digit_valid_twelve() -> String {
    (0..10)
        .map(|check| format!("11111111111{check}"))
        .find(|number| my_number::contained_in(number))
        .unwrap_or_default()
}
