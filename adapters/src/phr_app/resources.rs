//! The resource of each part's item. Every field is read before anything is given up, so that the report is whole.

use serde_json::{Map, Value, json};

use super::Part;
use super::map::Why;
use super::reader::{CodeSystem, Reader};
use super::when::{Precision, When};
use super::wire::Item;
use crate::fhir_terms::{
    ALLERGY_CLINICAL, CONDITION_CLINICAL, DATA_ABSENT_REASON, DISEASE_KEY_NUMBER, DOSE_MUNICIPALITY, HOT9, HOT13,
    ICD10, MUNICIPALITY_CODE, NAME_REPRESENTATION, NOCODED, PROFILE_ALLERGY, PROFILE_CONDITION, PROFILE_IMMUNIZATION,
    PROFILE_MEDICATION_STATEMENT, SNOMED, YJ,
};
use crate::municipality::MunicipalityCode;
use crate::my_portal::map::dose_number;

type Object = Map<String, Value>;

const MEDICINES: [CodeSystem; 3] = [
    CodeSystem { name: "hot9", url: HOT9, fits: |code| digits(code, 9) },
    CodeSystem { name: "hot13", url: HOT13, fits: |code| digits(code, 13) },
    CodeSystem { name: "yj", url: YJ, fits: |code| code.len() == 12 && code.bytes().all(is_code_letter) },
];

/// ICD-10: a letter, then digits, letters and a point. 病名管理番号: eight digits, an assumption.
const DISEASES: [CodeSystem; 2] = [
    CodeSystem {
        name: "icd10",
        url: ICD10,
        fits: |code| {
            let rest = |b: u8| is_code_letter(b) || b == b'.';
            (3..=8).contains(&code.len())
                && code.starts_with(|c: char| c.is_ascii_uppercase())
                && code.bytes().all(rest)
        },
    },
    CodeSystem { name: "disease-key", url: DISEASE_KEY_NUMBER, fits: |code| digits(code, 8) },
];

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

const fn is_code_letter(letter: u8) -> bool {
    letter.is_ascii_digit() || letter.is_ascii_uppercase()
}

/// Puts a member where there is a value.
pub(super) fn put(object: &mut Object, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

pub(super) fn put_note(object: &mut Object, note: Option<String>) {
    put(object, "note", note.map(|text| json!([{"text": text}])));
}

pub(super) fn coded(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

fn named(coding: Option<(&str, &str)>, text: String) -> Value {
    let mut concept = Map::new();
    put(&mut concept, "coding", coding.map(|(system, code)| json!([{"system": system, "code": code}])));
    put(&mut concept, "text", Some(text));
    Value::Object(concept)
}

fn written(when: Option<When>) -> Option<String> {
    when.map(|when| when.text)
}

/// The person. JP_Patient asks for an identifier, which an app's user doesn't have: the profile isn't claimed.
pub(super) fn patient(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let text = reader.required_name("name");
    let (family, given) = (reader.name("family"), reader.name("given"));
    let kana = reader.name("kana");
    let (family_kana, given_kana) = (reader.name("family_kana"), reader.name("given_kana"));
    let birth_date = reader.date("birth_date", Precision::Year, true);
    let gender = reader.word("sex", &["female", "male", "other", "unknown"]);
    let resource = reader.resource("Patient", None);
    let (text, birth_date, mut patient) = (text?, birth_date?, resource?);
    let mut names = vec![name("IDE", Some(text), family, given)];
    if kana.is_some() || family_kana.is_some() || given_kana.is_some() {
        names.push(name("SYL", kana, family_kana, given_kana));
    }
    put(&mut patient, "name", Some(names));
    put(&mut patient, "gender", gender);
    put(&mut patient, "birthDate", Some(birth_date));
    Some(Value::Object(patient))
}

/// Without `use`: what somebody calls themselves in an app is not vouched for.
fn name(representation: &str, text: Option<String>, family: Option<String>, given: Option<String>) -> Value {
    let mut name = Map::new();
    put(&mut name, "extension", Some(json!([{"url": NAME_REPRESENTATION, "valueCode": representation}])));
    put(&mut name, "text", text);
    put(&mut name, "family", family);
    put(&mut name, "given", given.map(|given| vec![given]));
    Value::Object(name)
}

pub(super) fn condition(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let text = reader.required_name("name");
    let coding = reader.coding(&DISEASES);
    let status = status(reader, &["active", "recurrence", "relapse", "inactive", "remission", "resolved"]);
    let since = reader.when("since", Precision::Year, false);
    let recorded = reader.when("recorded", Precision::Year, false);
    let note = reader.lines("note");
    let resource = reader.resource("Condition", Some(PROFILE_CONDITION));
    let (text, mut condition) = (text?, resource?);
    put(&mut condition, "clinicalStatus", status.map(|status| coded(CONDITION_CLINICAL, status)));
    put(&mut condition, "code", Some(named(coding, text)));
    put(&mut condition, "subject", Some(reader.patient()));
    put(&mut condition, "onsetDateTime", written(since));
    put(&mut condition, "recordedDate", written(recorded));
    put_note(&mut condition, note);
    Some(Value::Object(condition))
}

/// What an app lists without saying more, the person has: so the shape defines it. None for an unknown word.
fn status(reader: &mut Reader<'_, '_>, words: &[&'static str]) -> Option<&'static str> {
    if reader.has("status") { reader.word("status", words) } else { Some("active") }
}

pub(super) fn medication(reader: &mut Reader<'_, '_>) -> Option<Value> {
    const STATUS: [&str; 6] = ["active", "completed", "stopped", "on-hold", "not-taken", "unknown"];
    let text = reader.required_name("name");
    let coding = reader.coding(&MEDICINES);
    let status = reader.word("status", &STATUS).unwrap_or("unknown");
    let effective = effective(reader);
    let dosage = reader.lines("dosage");
    let recorded = reader.when("recorded", Precision::Year, false);
    let note = reader.lines("note");
    let resource = reader.resource("MedicationStatement", Some(PROFILE_MEDICATION_STATEMENT));
    let (text, mut statement) = (text?, resource?);
    let (system, code, display) = match coding {
        // JP Core wants a display: the name as the app wrote it.
        Some((system, code)) => (system, code, text.as_str()),
        None => (NOCODED, "NOCODED", "標準コードなし"),
    };
    let concept = json!({"coding": [{"system": system, "code": code, "display": display}], "text": text});
    put(&mut statement, "status", Some(status));
    put(&mut statement, "medicationCodeableConcept", Some(concept));
    put(&mut statement, "subject", Some(reader.patient()));
    let (name, when) = effective;
    put(&mut statement, name, Some(when));
    put(&mut statement, "dateAsserted", written(recorded));
    put_note(&mut statement, note);
    put(&mut statement, "dosage", dosage.map(|text| json!([{"text": text}])));
    Some(Value::Object(statement))
}

/// When a medicine is or was taken: a period, a day, or that it isn't known. A planned end may lie ahead.
fn effective(reader: &mut Reader<'_, '_>) -> (&'static str, Value) {
    let (from, until) = (reader.when("from", Precision::Year, false), reader.end("until"));
    let on = reader.when("on", Precision::Year, false);
    let is_a_period = from.is_some() || until.is_some();
    if is_a_period && on.is_some() {
        reader.report("on", Why::Contradictory, false);
    }
    if matches!((&from, &until), (Some(from), Some(until)) if until.is_before(from)) {
        reader.report("from", Why::Contradictory, false);
        reader.report("until", Why::Contradictory, false);
    } else if is_a_period {
        let mut period = Map::new();
        put(&mut period, "start", written(from));
        put(&mut period, "end", written(until));
        return ("effectivePeriod", Value::Object(period));
    } else if let Some(on) = on {
        return ("effectiveDateTime", json!(on.text));
    }
    ("_effectiveDateTime", json!({"extension": [{"url": DATA_ABSENT_REASON, "valueCode": "unknown"}]}))
}

/// Whether an item says that no allergy is known. One that names something as well is that allergy.
pub(super) fn says_none_known(item: &Item) -> bool {
    let name = item.fields.get("name").and_then(Value::as_str).is_some_and(|name| !name.trim().is_empty());
    item.part == Part::Allergies && !name && item.fields.get("none_known") == Some(&Value::Bool(true))
}

/// As IPS 2.0 writes an asserted absence. It stands only alone: beside any allergy, even one that couldn't be mapped, it
/// would be the more dangerous of the two.
pub(super) fn no_known_allergy(reader: &mut Reader<'_, '_>, some_allergy: bool) -> Option<Value> {
    if some_allergy {
        reader.report("none_known", Why::Contradictory, true);
        return None;
    }
    for field in ["category", "criticality", "reaction", "status", "since"] {
        if reader.has(field) {
            reader.report(field, Why::Contradictory, false);
        }
    }
    let recorded = reader.when("recorded", Precision::Year, false);
    let note = reader.lines("note");
    let mut allergy = reader.resource("AllergyIntolerance", Some(PROFILE_ALLERGY))?;
    let coding = json!([{"system": SNOMED, "code": "716186003", "display": "No known allergy (situation)"}]);
    put(&mut allergy, "clinicalStatus", Some(coded(ALLERGY_CLINICAL, "active")));
    put(&mut allergy, "code", Some(json!({"coding": coding, "text": "既知のアレルギーなし"})));
    put(&mut allergy, "patient", Some(reader.patient()));
    put(&mut allergy, "recordedDate", written(recorded));
    put_note(&mut allergy, note);
    Some(Value::Object(allergy))
}

pub(super) fn allergy(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let text = reader.required_name("name");
    if reader.item.fields.get("none_known") == Some(&Value::Bool(true)) {
        reader.report("none_known", Why::Contradictory, false);
    }
    let category = reader.word("category", &["food", "medication", "environment", "biologic"]);
    let criticality = reader.word("criticality", &["low", "high", "unable-to-assess"]);
    let reaction = reader.lines("reaction");
    // R4 insists on one. Where the word isn't known it is an allergy of now: one too many is better than one hidden.
    let status = status(reader, &["active", "inactive", "resolved"]).unwrap_or("active");
    let since = reader.when("since", Precision::Year, false);
    let recorded = reader.when("recorded", Precision::Year, false);
    let note = reader.lines("note");
    let resource = reader.resource("AllergyIntolerance", Some(PROFILE_ALLERGY));
    let (text, mut allergy) = (text?, resource?);
    put(&mut allergy, "clinicalStatus", Some(coded(ALLERGY_CLINICAL, status)));
    put(&mut allergy, "category", category.map(|category| vec![category]));
    put(&mut allergy, "criticality", criticality);
    put(&mut allergy, "code", Some(json!({"text": text})));
    put(&mut allergy, "patient", Some(reader.patient()));
    put(&mut allergy, "onsetDateTime", written(since));
    put(&mut allergy, "recordedDate", written(recorded));
    put_note(&mut allergy, note);
    // R4 asks for a manifestation in every reaction: what the person wrote is one.
    put(&mut allergy, "reaction", reaction.map(|text| json!([{"manifestation": [{"text": text}]}])));
    Some(Value::Object(allergy))
}

pub(super) fn vaccination(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let text = reader.required_name("vaccine");
    let coding = reader.coding(&MEDICINES);
    let occurrence = occurrence(reader);
    let recorded = reader.when("recorded", Precision::Year, false);
    let (lot, maker, clinic) = (reader.name("lot"), reader.name("maker"), reader.name("clinic"));
    let municipality = municipality(reader);
    let protocol = protocol(reader);
    let note = reader.lines("note");
    let from_the_clinic = reader.says("entered", "clinic");
    let resource = reader.resource("Immunization", Some(PROFILE_IMMUNIZATION));
    let (text, (occurrence, when), mut immunization) = (text?, occurrence?, resource?);
    if let (Some(municipality), Some(Value::Array(extensions))) = (municipality, immunization.get_mut("extension")) {
        extensions.push(municipality);
    }
    put(&mut immunization, "status", Some("completed"));
    put(&mut immunization, "vaccineCode", Some(named(coding, text)));
    put(&mut immunization, "patient", Some(reader.patient()));
    put(&mut immunization, occurrence, Some(when));
    put(&mut immunization, "recorded", written(recorded));
    // Nobody who gave the dose says so: a copy, or a person's word.
    put(&mut immunization, "primarySource", (!from_the_clinic).then_some(false));
    put(&mut immunization, "manufacturer", maker.map(|maker| json!({"display": maker})));
    put(&mut immunization, "lotNumber", lot);
    put(&mut immunization, "performer", clinic.map(|clinic| json!([{"actor": {"display": clinic}}])));
    put_note(&mut immunization, note);
    put(&mut immunization, "protocolApplied", protocol.map(|protocol| vec![protocol]));
    Some(Value::Object(immunization))
}

/// A day, or words for one (６才頃); without either there is no record.
fn occurrence(reader: &mut Reader<'_, '_>) -> Option<(&'static str, Value)> {
    if reader.has("on") {
        if reader.has("on_text") {
            reader.report("on_text", Why::Contradictory, false);
        }
        return reader.when("on", Precision::Year, true).map(|on| ("occurrenceDateTime", json!(on.text)));
    }
    let words = reader.name("on_text").map(|words| ("occurrenceString", json!(words)));
    if words.is_none() {
        reader.report("on", Why::Missing, true);
    }
    words
}

fn municipality(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let code = reader.name("municipality")?;
    let Ok(code) = MunicipalityCode::parse(&code) else {
        reader.report("municipality", Why::NotAMunicipality, false);
        return None;
    };
    let coding = json!({"system": MUNICIPALITY_CODE, "code": code.as_str()});
    Some(json!({"url": DOSE_MUNICIPALITY, "valueCoding": coding}))
}

/// Which dose of what; R4 has no place for the disease without the number.
fn protocol(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let (disease, number) = (reader.name("disease"), reader.name("dose_number"));
    let number = match number.as_deref().map(dose_number) {
        Some(Some(number)) => Some(number),
        Some(None) => {
            reader.report("dose_number", Why::NotANumber, false);
            None
        }
        None => None,
    };
    let Some((name, number)) = number else {
        if disease.is_some() {
            reader.report("disease", Why::NeedsDoseNumber, false);
        }
        return None;
    };
    let mut protocol = Map::new();
    put(&mut protocol, "targetDisease", disease.map(|text| json!([{"text": text}])));
    protocol.insert(name.to_owned(), number);
    Some(Value::Object(protocol))
}
