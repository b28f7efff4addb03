//! Codes that a summary adds, so that readers of either kind find them: LOINC beside JP Core's for what people measure, the
//! categories of both, where an item comes from, and that a date is unknown.
//!
//! Sources: FHIR R4 (`observation-category`, `list-empty-reason`, `data-absent-reason`), JP Core 1.2, IPS 2.0.

use serde_json::{Map, Value, json};

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
pub(super) fn has(concept: Option<&Value>, system: &str, code: &str) -> bool {
    let codings = concept.and_then(|concept| concept.get("coding")).and_then(Value::as_array);
    codings.into_iter().flatten().any(|coding| {
        let text = |name: &str| coding.get(name).and_then(Value::as_str);
        text("system") == Some(system) && text("code") == Some(code)
    })
}

fn measured(observation: &Value) -> Option<&'static Measured> {
    let code = observation.get("code");
    MEASURED.iter().find(|one| has(code, LOINC, one.loinc) || has(code, one.system, one.code))
}

/// Whether an Observation belongs among the vital signs.
pub(super) fn is_vital_sign(observation: &Value) -> bool {
    let categories = observation.get("category").and_then(Value::as_array);
    let said = categories.into_iter().flatten().any(|category| has(Some(category), CATEGORY, "vital-signs"));
    said || measured(observation).is_some()
}

/// Adds what IPS and JP Core both want to find.
pub(super) fn complete(resource: &mut Value) {
    let known = measured(resource);
    let Some(object) = resource.as_object_mut() else { return };
    match object.get("resourceType").and_then(Value::as_str) {
        Some("Observation") => {
            if let Some(known) = known {
                both_codes(object, known);
            }
        }
        // IPS: `effective[x]` is mandatory, a reason for its absence included.
        Some("MedicationStatement") if !object.keys().any(|key| key.starts_with("effective")) => {
            let unknown = json!({"extension": [{"url": ABSENT, "valueCode": "unknown"}]});
            object.insert("_effectiveDateTime".to_owned(), unknown);
        }
        _ => {}
    }
}

fn both_codes(observation: &mut Map<String, Value>, known: &Measured) {
    let code = observation.entry("code").or_insert_with(|| json!({}));
    for (system, value) in [(LOINC, known.loinc), (known.system, known.code)] {
        if !has(Some(code), system, value)
            && let Some(codings) = list(code, "coding")
        {
            codings.push(json!({"system": system, "code": value}));
        }
    }
    let categories = observation.entry("category").or_insert_with(|| json!([]));
    for (system, value) in [(CATEGORY, "vital-signs"), (JP_CATEGORY, known.category)] {
        let Some(all) = categories.as_array_mut() else { return };
        if !all.iter().any(|category| has(Some(category), system, value)) {
            all.push(json!({"coding": [{"system": system, "code": value}]}));
        }
    }
}

fn list<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Vec<Value>> {
    value.as_object_mut()?.entry(name).or_insert_with(|| json!([])).as_array_mut()
}

/// Where an item comes from: how it was entered, or what kind of source it is.
#[must_use]
pub fn origin<'r>(resource: &'r Value, party: &'r PartyText) -> &'r str {
    let extensions = resource.get("extension").and_then(Value::as_array);
    let said = extensions.into_iter().flatten().find(|e| e.get("url").and_then(Value::as_str) == Some(ORIGIN));
    said.and_then(|e| e.get("valueCode")).and_then(Value::as_str).unwrap_or(match party.kind.as_str() {
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
pub(super) fn say_source(resource: &mut Value, party: &PartyText) {
    let code = origin(resource, party).to_owned();
    let (ja, _) = origin_words(&code);
    let tag = json!({"system": ORIGIN_CODES, "code": code, "display": ja});
    if let Some(object) = resource.as_object_mut() {
        let source = format!("urn:sekisho:party:{}", party.code);
        object.insert("meta".to_owned(), json!({"source": source, "tag": [tag]}));
    }
}

/// Nothing is listed: nobody can tell from it whether there is something.
pub(super) fn empty_reason() -> Value {
    json!({
        "coding": [{"system": EMPTY_REASON, "code": "unavailable", "display": "Unavailable"}],
        "text": "情報がありません（「なし」という意味ではありません） / No information (which does not mean none)",
    })
}
