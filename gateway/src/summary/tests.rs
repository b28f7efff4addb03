//! What a document is made of, item by item; what may be in it at all is `gateway/tests/it/summary.rs`.

use jiff::civil::date;
use sekisho_policy::Timestamp;
use serde_json::{Value, json};

use super::{About, Came, Contribution, Document, NoIdentity, compose};
use crate::store::registry::PartyText;

const AT: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn party(code: &str, kind: &str) -> PartyText {
    let name = format!("{code}の名前");
    PartyText { code: code.to_owned(), kind: kind.to_owned(), name_ja: name, name_en: format!("the {code}") }
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p", "name": [{"text": "合成 花子"}], "birthDate": "1980-01-01"})
}

fn came(resources: &[Value]) -> Came {
    let entries: Vec<String> = resources.iter().map(|resource| json!({"resource": resource}).to_string()).collect();
    Came::Items { json: entries.join(",").into_bytes(), incomplete: false }
}

fn composed(all: &[(&PartyText, Came)]) -> Result<Document, NoIdentity> {
    let all: Vec<Contribution<'_>> = all.iter().map(|(party, came)| Contribution { party, came }).collect();
    compose(&About { patient: "p", birth: date(1980, 1, 1), base: "https://localhost" }, &all, AT)
}

/// A document of one app that holds these.
fn document(resources: &[Value]) -> Value {
    let app = party("app", "phr-app");
    let all = [&[patient()], resources].concat();
    let Ok(document) = composed(&[(&app, came(&all))]) else { panic!("a document") };
    serde_json::from_slice(&document.json).unwrap()
}

fn items<'v>(document: &'v Value, kind: &str) -> Vec<&'v Value> {
    let all = document["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    all.filter(|resource| resource["resourceType"] == kind).collect()
}

fn section<'v>(document: &'v Value, code: &str) -> &'v Value {
    let all = document["entry"][0]["resource"]["section"].as_array().unwrap();
    all.iter().find(|section| section["code"]["coding"][0]["code"] == code).unwrap_or(&Value::Null)
}

fn codes(concept: &Value) -> Vec<(&str, &str)> {
    let all = concept["coding"].as_array().unwrap().iter();
    all.map(|coding| (coding["system"].as_str().unwrap(), coding["code"].as_str().unwrap())).collect()
}

#[test]
fn what_is_measured_has_codes_and_categories_of_both_whichever_it_came_with() {
    let loinc = ("http://loinc.org", "8310-5");
    let japanese = ("http://medis.or.jp/CodeSystem/master-nursingObservationKeyCode", "31001368");
    let quantity: Value = serde_json::from_str(r#"{"value": 36.50}"#).unwrap();
    for (system, code) in [loinc, japanese] {
        let found = document(&[json!({
            "resourceType": "Observation", "id": "o", "status": "final",
            "code": {"coding": [{"system": system, "code": code}]}, "valueQuantity": quantity,
        })]);
        let observation = items(&found, "Observation")[0];
        let mut both = codes(&observation["code"]);
        both.sort_unstable();
        assert_eq!(both, [loinc, japanese]);
        let categories: Vec<_> = observation["category"].as_array().unwrap().iter().flat_map(codes).collect();
        assert_eq!(categories.len(), 2);
        assert!(categories.iter().all(|(_, code)| *code == "vital-signs"));
        assert_eq!(observation["valueQuantity"]["value"].to_string(), "36.50", "digit by digit");
        assert_eq!(section(&found, "8716-3")["entry"][0]["reference"], "Observation/o");
    }
}

#[test]
fn an_unknown_time_of_taking_a_medicine_is_said_to_be_unknown() {
    let medicine = |more: Value| {
        let mut medicine =
            json!({"resourceType": "MedicationStatement", "id": "m", "medicationCodeableConcept": {"text": "薬"}});
        medicine.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        items(&document(&[medicine]), "MedicationStatement")[0].clone()
    };
    let unknown = medicine(json!({}));
    assert_eq!(unknown["_effectiveDateTime"]["extension"][0]["valueCode"], "unknown");
    for known in [json!({"effectiveDateTime": "2026-10"}), json!({"effectivePeriod": {"start": "2026"}})] {
        assert!(medicine(known)["_effectiveDateTime"].is_null());
    }
}

#[test]
fn what_is_over_is_past_and_what_has_no_section_is_not_lost() {
    let condition = |id: &str, status: &str| json!({"resourceType": "Condition", "id": id, "code": {"text": "喘息"}, "clinicalStatus": {"coding": [{"code": status}]}});
    let found = document(&[
        condition("now", "active"),
        condition("then", "resolved"),
        json!({"resourceType": "Appointment", "id": "a", "status": "booked"}),
    ]);
    assert_eq!(section(&found, "11450-4")["entry"], json!([{"reference": "Condition/now"}]));
    assert_eq!(section(&found, "11348-0")["entry"], json!([{"reference": "Condition/then"}]));
    assert_eq!(section(&found, "8716-3"), &Value::Null, "without items there is no such section");
    let last = found["entry"][0]["resource"]["section"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["entry"], &last["code"]), (&json!([{"reference": "Appointment/a"}]), &Value::Null));
}

#[test]
fn a_section_holds_the_newest_and_says_how_many_are_older() {
    let dose = |n: u32| {
        let day = format!("{}-{:02}-{:02}", 1990 + n / 336, 1 + n / 28 % 12, 1 + n % 28);
        json!({"resourceType": "Immunization", "id": format!("d{n}"), "occurrenceDateTime": day, "vaccineCode": {"text": "BCG"}})
    };
    let found = document(&(0..507).map(dose).collect::<Vec<_>>());
    let listed = section(&found, "11369-6");
    assert_eq!(listed["entry"].as_array().unwrap().len(), 500);
    assert_eq!(items(&found, "Immunization").len(), 500, "and no entry that no section names");
    assert_eq!(listed["entry"][0]["reference"], "Immunization/d506");
    assert!(listed["text"]["div"].as_str().unwrap().contains("ほかに古いものが 7 件あります"));
}

#[test]
fn markup_in_a_text_is_a_text_and_its_direction_stays() {
    let allergy = |text: &str| {
        let found = document(&[json!({"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": text}})]);
        section(&found, "48765-2")["text"]["div"].as_str().unwrap().to_owned()
    };
    let shown = allergy("<script>alert('&')</script>");
    assert!(!shown.contains("<script") && shown.contains("script&"), "{shown}");
    let turned = allergy("卵\u{202e}ンリシニペ\u{0}\u{1b}");
    assert!(turned.contains("卵ンリシニペ") && !turned.chars().any(|c| c.is_control() || c == '\u{202e}'), "{turned}");
}

#[test]
fn who_it_is_comes_from_the_first_that_says_so_and_is_somebody() {
    let (app, city) = (party("app", "phr-app"), party("city", "municipality"));
    let nameless = json!({"resourceType": "Patient", "id": "p", "birthDate": "1980-01-01"});
    let year = json!({"resourceType": "Patient", "id": "p", "name": [{"text": "合成 花子"}], "birthDate": "1980"});
    for (first, second, of) in
        [(nameless, patient(), [0, 1]), (year, patient(), [0, 1]), (patient(), patient(), [1, 0])]
    {
        let Ok(document) = composed(&[(&app, came(&[first])), (&city, came(&[second]))]) else { panic!("a document") };
        assert_eq!(document.items, of);
    }
    let nobody = || came(&[json!({"resourceType": "Patient", "id": "p", "name": [{"given": ["花子"]}]})]);
    assert_eq!(composed(&[(&app, nobody())]).err(), Some(NoIdentity { missing: false }));
    assert_eq!(composed(&[(&app, nobody()), (&city, Came::Missing)]).err(), Some(NoIdentity { missing: true }));
}

#[test]
fn each_item_says_where_it_comes_from() {
    let entered = |how: Option<&str>, kind: &str| {
        let mut allergy = json!({"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": "卵"}});
        if let Some(how) = how {
            allergy["extension"] = json!([{"url": "urn:sekisho:extension:origin", "valueCode": how}]);
        }
        let source = party("source", kind);
        let Ok(document) = composed(&[(&source, came(&[patient(), allergy]))]) else { panic!("a document") };
        let document: Value = serde_json::from_slice(&document.json).unwrap();
        let meta = &items(&document, "AllergyIntolerance")[0]["meta"];
        assert_eq!(meta["source"], "urn:sekisho:party:source");
        let shown = section(&document, "48765-2")["text"]["div"].as_str().unwrap();
        assert!(
            shown.contains(meta["tag"][0]["display"].as_str().unwrap()) && shown.contains("sourceの名前"),
            "{shown}"
        );
        meta["tag"][0]["code"].as_str().unwrap().to_owned()
    };
    for how in ["self", "device", "clinic", "portal-copy"] {
        assert_eq!(entered(Some(how), "phr-app"), how);
    }
    assert_eq!(entered(None, "phr-app"), "app");
    assert_eq!(entered(None, "municipality"), "municipality");
}

#[test]
fn a_dose_that_two_sources_hold_stands_twice_and_says_so() {
    let (app, city) = (party("app", "phr-app"), party("city", "municipality"));
    let dose = |id: &str, day: &str, code: &str, name: &str| {
        json!({"resourceType": "Immunization", "id": id, "status": "completed", "occurrenceDateTime": day,
            "vaccineCode": {"coding": [{"system": "urn:x", "code": code}], "text": name}})
    };
    let app_holds = [
        patient(),
        dose("code", "2025-01-02", "mr", "麻しん風しん"),
        dose("name", "2025-02-03", "bcg-1", "BCG"),
        dose("twice", "2025-03-04", "hib", "ヒブ"),
        dose("other", "2025-03-04", "hib", "ヒブ"),
        dose("month", "2025-05", "je", "日本脳炎"),
    ];
    let city_holds = [
        dose("code2", "2025-01-02T09:00:00+09:00", "mr", "ＭＲ"),
        dose("name2", "2025-02-03", "bcg-2", "BCG"),
        dose("day2", "2025-03-05", "hib", "ヒブ"),
        dose("month2", "2025-05", "je", "日本脳炎"),
    ];
    let Ok(document) = composed(&[(&app, came(&app_holds)), (&city, came(&city_holds))]) else { panic!("a document") };
    let document: Value = serde_json::from_slice(&document.json).unwrap();
    let doses = items(&document, "Immunization");
    assert_eq!(doses.len(), 9, "none is dropped");
    let is_marked = |dose: &&&Value| dose["meta"]["tag"].to_string().contains("possibly-same-dose");
    let mut marked: Vec<&str> = doses.iter().filter(is_marked).map(|dose| dose["id"].as_str().unwrap()).collect();
    marked.sort_unstable();
    assert_eq!(
        marked,
        ["code", "code2", "name", "name2"],
        "not twice at one source, nor on another day, nor in a month"
    );
    let said = section(&document, "11369-6")["text"]["div"].as_str().unwrap();
    assert_eq!(said.matches("同じ接種かもしれません").count(), 4, "{said}");
}
