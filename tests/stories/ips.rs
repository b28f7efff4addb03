//! What IPS 2.0 and JP Core ask of a document, held against one of two sources with every kind of item. `docs/ips.md` names the rows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::summary::{ALL, composition, grant, opened, resources, set, summary};

/// Which types an IPS section holds (`CompositionUvIps`), by its code.
const SECTIONS: [(&str, &[&str]); 5] = [
    ("48765-2", &["AllergyIntolerance"]),
    ("10160-0", &["MedicationStatement"]),
    ("11450-4", &["Condition"]),
    ("8716-3", &["Observation"]),
    ("11369-6", &["Immunization"]),
];

/// What must stand in each: the profiles of IPS 2.0, and JP Core's where it asks for more. One of those divided by a bar.
const MUST: [(&str, &[&str]); 6] = [
    ("Patient", &["name", "birthDate"]),
    ("AllergyIntolerance", &["clinicalStatus", "code", "patient"]),
    ("Condition", &["clinicalStatus", "code", "subject"]),
    (
        "MedicationStatement",
        &["status", "medicationCodeableConcept", "subject", "effectiveDateTime|effectivePeriod|_effectiveDateTime"],
    ),
    ("Observation", &["status", "category", "code", "subject", "effectiveDateTime", "valueQuantity"]),
    ("Immunization", &["status", "vaccineCode", "patient", "occurrenceDateTime|occurrenceString"]),
];

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at} in {value}"))
}

/// A child of whom there is something of every kind.
async fn rich() -> (sekisho_tests::town::Town, String) {
    let town = opened(|text| text).await;
    let allergy =
        json!([{"id": "a1", "name": "鶏卵", "criticality": "high", "recorded": "2026-01-10", "entered": "self"}]);
    let condition = json!([{"id": "c1", "name": "気管支喘息", "since": "2024-05", "entered": "self"}]);
    let medicine = json!([{"id": "m1", "name": "見本シロップ", "entered": "self"},
        {"id": "m2", "name": "見本錠", "status": "active", "from": "2026-10-01", "entered": "clinic"}]);
    set(&town, &[("allergies", allergy), ("conditions", condition), ("medications", medicine)]);
    let (_, patient) = grant(&town, &ALL, None).await;
    (town, patient)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_is_a_document_whose_references_lead_somewhere() {
    let (town, patient) = rich().await;
    let bundle = summary(&town, &patient).await;
    assert_eq!((text(&bundle, "/type"), text(&bundle, "/identifier/system")), ("document", "urn:ietf:rfc:3986"));
    assert!(text(&bundle, "/timestamp").parse::<jiff::Timestamp>().is_ok());
    assert!(bundle["total"].is_null() && bundle["link"].is_null(), "those are of searches");
    let entries = bundle["entry"].as_array().unwrap();
    let mut urls = BTreeSet::new();
    for entry in entries {
        let (kind, id) = (text(entry, "/resource/resourceType"), text(entry, "/resource/id"));
        assert_eq!(text(entry, "/fullUrl"), format!("{}/fhir/{kind}/{id}", town.world.url));
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        assert!((1..=64).contains(&id.len()) && id.bytes().all(letter), "{id}");
        assert!(urls.insert(format!("{kind}/{id}")), "{kind}/{id} is there twice");
        assert!(entry["search"].is_null() && entry["resource"]["contained"].is_null(), "{entry}");
    }
    let composition = composition(&bundle);
    for at in ["/subject/reference", "/author/0/reference"] {
        assert!(urls.contains(text(composition, at)), "{at}");
    }
    assert_eq!(text(composition, "/status"), "final");
    assert!(text(composition, "/date").parse::<jiff::Timestamp>().is_ok() && !text(composition, "/title").is_empty());
    // Whose it is: the same in every item.
    for entry in entries {
        for of in ["subject", "patient"].iter().filter_map(|name| entry["resource"].get(name)) {
            assert_eq!(*of, json!({"reference": format!("Patient/{patient}")}));
        }
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_section_has_title_text_and_what_belongs_into_it() {
    let (town, patient) = rich().await;
    let bundle = summary(&town, &patient).await;
    let sections = composition(&bundle)["section"].as_array().unwrap();
    let codes: Vec<&str> = sections.iter().map(|section| text(section, "/code/coding/0/code")).collect();
    assert_eq!(codes, SECTIONS.map(|(code, _)| code), "in the order in which a doctor needs them");
    let mut named = BTreeSet::new();
    for (section, (code, kinds)) in sections.iter().zip(SECTIONS) {
        assert_eq!(text(section, "/code/coding/0/system"), "http://loinc.org");
        assert!(!text(section, "/title").is_empty() && text(section, "/text/status") == "generated", "{code}");
        assert!(text(section, "/text/div").starts_with("<div xmlns=\"http://www.w3.org/1999/xhtml\""), "{code}");
        let entries = section["entry"].as_array().unwrap_or_else(|| panic!("{code} has entries"));
        assert!(section["emptyReason"].is_null(), "only an empty one says why (cmp-2)");
        for entry in entries {
            let reference = text(entry, "/reference");
            assert!(kinds.contains(&reference.split('/').next().unwrap()), "{reference} in {code}");
            assert!(named.insert(reference.to_owned()), "{reference} stands in two places");
        }
    }
    let items = bundle["entry"].as_array().unwrap().len() - 3;
    assert_eq!(named.len(), items, "every item is in a section, and there are none without one");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_resource_has_what_its_profiles_ask_for() {
    let (town, patient) = rich().await;
    let bundle = summary(&town, &patient).await;
    for (kind, must) in MUST {
        let all = resources(&bundle, kind);
        assert!(!all.is_empty(), "{kind}");
        for (one, names) in all.iter().flat_map(|one| must.iter().map(move |names| (one, names))) {
            assert!(names.split('|').any(|name| !one[name].is_null()), "{names} in {one}");
        }
    }
    // JP_MedicationStatement: a medicine has system, code and display, and its name.
    for medicine in resources(&bundle, "MedicationStatement") {
        for at in ["coding/0/system", "coding/0/code", "coding/0/display", "text"] {
            assert!(!text(medicine, &format!("/medicationCodeableConcept/{at}")).is_empty());
        }
    }
    // Vital signs (FHIR R4): the category, UCUM with a code, one value. JP Core: its own category, exactly once.
    for observation in resources(&bundle, "Observation") {
        assert_eq!(text(observation, "/valueQuantity/system"), "http://unitsofmeasure.org");
        assert!(["kg", "cm", "Cel"].contains(&text(observation, "/valueQuantity/code")), "{observation}");
        let systems: Vec<&str> = observation["category"]
            .as_array()
            .unwrap()
            .iter()
            .map(|category| text(category, "/coding/0/system"))
            .collect();
        let of = |system: &str| systems.iter().filter(|one| **one == system).count();
        assert_eq!(of("http://terminology.hl7.org/CodeSystem/observation-category"), 1, "{observation}");
        assert_eq!(of("http://jpfhir.jp/fhir/core/CodeSystem/JP_SimpleObservationCategory_CS"), 1, "{observation}");
    }
    for kind in ["AllergyIntolerance", "Condition"] {
        for one in resources(&bundle, kind) {
            assert!(text(one, "/clinicalStatus/coding/0/system").starts_with("http://terminology.hl7.org/CodeSystem/"));
        }
    }
    town.gateway.stop().await;
}
