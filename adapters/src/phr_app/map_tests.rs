use serde_json::json;

use super::*;
use crate::fhir_terms::{COPIED_ON, ORIGIN};
use crate::phr_app::wire::read;

pub(super) const NOW: &str = "2026-11-23T12:00:00Z";

pub(super) fn mapped(records: &Value) -> Mapped {
    let body = json!({"user": "u-1", "records": records}).to_string();
    map(&read(body.as_bytes(), "u-1", &Part::ALL).unwrap(), "u-1", NOW.parse().unwrap())
}

/// An item of each kind with every field that it can have.
fn whole(part: Part) -> Value {
    match part {
        Part::Profile => json!({"name": "合成 花子", "family": "合成", "given": "花子", "kana": "ゴウセイ ハナコ",
            "family_kana": "ゴウセイ", "given_kana": "ハナコ", "birth_date": "1985-03-15", "sex": "female", "entered": "self"}),
        Part::Conditions => json!({"id": "c1", "name": "2型糖尿病", "code_system": "icd10", "code": "E11.9",
            "status": "remission", "since": "2019-04", "recorded": "2024-05-01", "note": "食事療法", "entered": "clinic"}),
        Part::Medications => json!({"id": "m1", "name": "見本錠5mg", "code_system": "hot9", "code": "999999999",
            "status": "active", "from": "2026-10-01", "until": "2026-12-31", "dosage": "1日1回\n朝食後",
            "recorded": "2026-10-01", "note": "飲み忘れあり", "entered": "self"}),
        Part::Allergies => json!({"id": "a1", "name": "ペニシリン", "category": "medication", "criticality": "high",
            "reaction": "息苦しさ", "status": "inactive", "since": "1999", "recorded": "2024-05-01", "note": "30年前",
            "entered": "self"}),
        Part::Heights => {
            json!({"id": "h1", "value": 1.655, "unit": "m", "at": "2026-11-01", "note": "靴下", "entered": "self"})
        }
        Part::Weights => {
            json!({"id": "w1", "value": 2950, "unit": "g", "at": "2026-11-01", "note": "裸", "entered": "clinic"})
        }
        Part::Temperatures => json!({"id": "t1", "value": 36.5, "unit": "Cel", "at": "2026-11-23T07:30:00+09:00",
            "note": "脇", "entered": "device"}),
        Part::Vaccinations => json!({"id": "v1", "vaccine": "水痘", "code_system": "hot13", "code": "9999999999999",
            "on": "2024-04-05", "dose_number": "1", "disease": "水ぼうそう", "lot": "SYN-A123B", "maker": "見本製薬",
            "clinic": "見本小児科", "municipality": "131121", "recorded": "2024-05-01", "note": "左腕",
            "entered": "portal", "copied_on": "2026-11-11"}),
    }
}

fn records_of(part: Part, item: &Value) -> Value {
    let items = if part == Part::Profile { item.clone() } else { json!([item]) };
    json!({part.name(): items})
}

/// The item with fields changed; null takes one out.
pub(super) fn changed(part: Part, changes: &[(&str, Value)]) -> Value {
    let mut item = whole(part);
    let object = item.as_object_mut().unwrap();
    for (name, value) in changes {
        object.insert((*name).to_owned(), value.clone());
        if value.is_null() {
            object.remove(*name);
        }
    }
    records_of(part, &item)
}

pub(super) fn with(part: Part, changes: &[(&str, Value)]) -> Mapped {
    mapped(&changed(part, changes))
}

pub(super) fn only(mapped: Mapped) -> Value {
    assert_eq!(mapped.unmapped, []);
    let [resource] = &mapped.resources[..] else { panic!("one resource") };
    resource.clone()
}

pub(super) fn whys(mapped: &Mapped) -> Vec<(&str, Why, bool)> {
    mapped.unmapped.iter().map(|u| (u.field, u.why, u.record_left_out)).collect()
}

fn origin(code: &str) -> Value {
    json!({"url": "urn:sekisho:extension:origin", "valueCode": code})
}

#[test]
fn a_whole_person() {
    let name = |code: &str| json!([{"url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation", "valueCode": code}]);
    assert_eq!(
        only(with(Part::Profile, &[])),
        json!({
            "resourceType": "Patient", "id": "u-1", "extension": [origin("self")],
            "name": [
                {"extension": name("IDE"), "text": "合成 花子", "family": "合成", "given": ["花子"]},
                {"extension": name("SYL"), "text": "ゴウセイ ハナコ", "family": "ゴウセイ", "given": ["ハナコ"]}
            ],
            "gender": "female", "birthDate": "1985-03-15"
        })
    );
    let plain = with(
        Part::Profile,
        &["kana", "family_kana", "given_kana", "family", "given", "sex", "entered"].map(|f| (f, json!(null))),
    );
    let plain = only(plain);
    assert_eq!(plain["name"], json!([{"extension": name("IDE"), "text": "合成 花子"}]));
    assert_eq!(plain.get("gender"), None);
    assert_eq!(plain["extension"], json!([origin("app")]));
}

#[test]
fn a_whole_condition() {
    assert_eq!(
        only(with(Part::Conditions, &[])),
        json!({
            "resourceType": "Condition", "id": "conditions-c1",
            "meta": {"profile": ["http://jpfhir.jp/fhir/core/StructureDefinition/JP_Condition"]}, "extension": [origin("clinic")],
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "remission"}]},
            "code": {"coding": [{"system": "http://jpfhir.jp/fhir/core/mhlw/CodeSystem/ICD10-2013-full", "code": "E11.9"}],
                     "text": "2型糖尿病"},
            "subject": {"reference": "Patient/u-1"}, "onsetDateTime": "2019-04", "recordedDate": "2024-05-01",
            "note": [{"text": "食事療法"}]
        })
    );
    let key = only(with(Part::Conditions, &[("code_system", json!("disease-key")), ("code", json!("20061234"))]));
    assert_eq!(key["code"]["coding"][0]["system"], "http://medis.or.jp/CodeSystem/master-disease-keyNumber");
    let bare = only(mapped(&json!({"conditions": [{"id": "c", "name": "喘息"}]})));
    assert_eq!(bare["code"], json!({"text": "喘息"}));
    assert_eq!(bare["clinicalStatus"]["coding"][0]["code"], "active");
    let unknown = with(Part::Conditions, &[("status", json!("ongoing"))]);
    assert_eq!(whys(&unknown), [("status", Why::UnknownWord, false)]);
    assert_eq!(unknown.resources[0].get("clinicalStatus"), None);
}

#[test]
fn a_whole_medication() {
    assert_eq!(
        only(with(Part::Medications, &[])),
        json!({
            "resourceType": "MedicationStatement", "id": "medications-m1",
            "meta": {"profile": ["http://jpfhir.jp/fhir/core/StructureDefinition/JP_MedicationStatement"]},
            "extension": [origin("self")], "status": "active",
            "medicationCodeableConcept": {
                "coding": [{"system": "http://medis.or.jp/CodeSystem/master-HOT9", "code": "999999999", "display": "見本錠5mg"}],
                "text": "見本錠5mg"
            },
            "subject": {"reference": "Patient/u-1"}, "effectivePeriod": {"start": "2026-10-01", "end": "2026-12-31"},
            "dateAsserted": "2026-10-01", "note": [{"text": "飲み忘れあり"}], "dosage": [{"text": "1日1回\n朝食後"}]
        })
    );
    let bare = only(mapped(&json!({"medications": [{"id": "m", "name": "見本"}]})));
    assert_eq!(
        bare["medicationCodeableConcept"],
        json!({"coding": [{"system": "http://jpfhir.jp/fhir/eCS/CodeSystem/MedicationCodeNocoded_CS", "code": "NOCODED",
                           "display": "標準コードなし"}], "text": "見本"})
    );
    assert_eq!(bare["status"], "unknown");
    let absent = json!({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]});
    assert_eq!(bare["_effectiveDateTime"], absent);
    let on = only(mapped(&json!({"medications": [{"id": "m", "name": "見本", "on": "2026-11-20T21:00:00+09:00"}]})));
    assert_eq!(on["effectiveDateTime"], "2026-11-20T21:00:00+09:00");
    assert_eq!(on.get("_effectiveDateTime"), None);
}

#[test]
fn when_a_medicine_is_taken_is_not_chosen_between_contradictions() {
    let both = with(Part::Medications, &[("on", json!("2026-10-02"))]);
    assert_eq!(whys(&both), [("on", Why::Contradictory, false)]);
    assert_eq!(both.resources[0]["effectivePeriod"]["start"], "2026-10-01");
    let backwards = with(Part::Medications, &[("until", json!("2026-09-30"))]);
    assert_eq!(whys(&backwards), [("from", Why::Contradictory, false), ("until", Why::Contradictory, false)]);
    let future = with(Part::Medications, &[("from", json!("2026-11-25")), ("until", json!(null))]);
    assert_eq!(whys(&future), [("from", Why::InTheFuture, false)]);
    for resource in [&backwards.resources[0], &future.resources[0]] {
        assert!(resource.get("_effectiveDateTime").is_some() && resource.get("effectivePeriod").is_none());
    }
}

#[test]
fn a_whole_allergy() {
    assert_eq!(
        only(with(Part::Allergies, &[])),
        json!({
            "resourceType": "AllergyIntolerance", "id": "allergies-a1",
            "meta": {"profile": ["http://jpfhir.jp/fhir/core/StructureDefinition/JP_AllergyIntolerance"]},
            "extension": [origin("self")],
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                                           "code": "inactive"}]},
            "category": ["medication"], "criticality": "high", "code": {"text": "ペニシリン"},
            "patient": {"reference": "Patient/u-1"}, "onsetDateTime": "1999", "recordedDate": "2024-05-01",
            "note": [{"text": "30年前"}], "reaction": [{"manifestation": [{"text": "息苦しさ"}]}]
        })
    );
    for field in ["status", "category", "criticality"] {
        let unknown = with(Part::Allergies, &[(field, json!("lethal"))]);
        assert_eq!(whys(&unknown), [(field, Why::UnknownWord, false)]);
        let allergy = &unknown.resources[0];
        assert_eq!(allergy["code"]["text"], "ペニシリン", "an allergy is not hidden for a word");
        assert!(!allergy.to_string().contains("lethal"));
        assert_eq!(
            allergy["clinicalStatus"]["coding"][0]["code"],
            if field == "status" { "active" } else { "inactive" }
        );
    }
}

#[test]
fn no_known_allergy_is_recognisable_and_stands_alone() {
    let none =
        json!({"id": "n1", "none_known": true, "recorded": "2026-11-01", "note": "本人に確認", "entered": "self"});
    let said = only(mapped(&json!({"allergies": [none]})));
    assert_eq!(
        said,
        json!({
            "resourceType": "AllergyIntolerance", "id": "allergies-n1",
            "meta": {"profile": ["http://jpfhir.jp/fhir/core/StructureDefinition/JP_AllergyIntolerance"]},
            "extension": [origin("self")],
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                                           "code": "active"}]},
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy (situation)"}],
                     "text": "既知のアレルギーなし"},
            "patient": {"reference": "Patient/u-1"}, "recordedDate": "2026-11-01", "note": [{"text": "本人に確認"}]
        })
    );
    // Beside an allergy it goes, also where that allergy couldn't be mapped, or is over.
    for other in [
        whole(Part::Allergies),
        json!({"id": "x"}),
        json!({"id": "x", "name": "x".repeat(300)}),
        json!({"id": "x", "none_known": false}),
        json!({"id": "x", "name": "卵", "status": "resolved"}),
    ] {
        let both = mapped(&json!({"allergies": [none, other]}));
        assert!(!json!(both.resources).to_string().contains("716186003"), "{other}");
        assert!(whys(&both).contains(&("none_known", Why::Contradictory, true)), "{other}");
    }
    // One that names something is that allergy.
    let both = with(Part::Allergies, &[("none_known", json!(true))]);
    assert_eq!(whys(&both), [("none_known", Why::Contradictory, false)]);
    assert_eq!(both.resources[0]["code"], json!({"text": "ペニシリン"}));
    let more = mapped(&json!({"allergies": [{"id": "n", "none_known": true, "criticality": "high", "reaction": "?"}]}));
    assert_eq!(whys(&more), [("criticality", Why::Contradictory, false), ("reaction", Why::Contradictory, false)]);
    // Nothing said is nothing said.
    assert_eq!(mapped(&json!({"allergies": []})).resources, Vec::<Value>::new());
}

#[test]
fn whole_measurements() {
    let measured = |part,
                    id: &str,
                    origin_code,
                    codes: [(&str, &str); 2],
                    category,
                    profile,
                    quantity: Value,
                    text,
                    at,
                    note| {
        assert_eq!(
            only(with(part, &[])),
            json!({
                "resourceType": "Observation", "id": id,
                "meta": {"profile": [format!("http://jpfhir.jp/fhir/core/StructureDefinition/{profile}")]},
                "extension": [origin(origin_code)], "status": "final",
                "category": [
                    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]},
                    {"coding": [{"system": "http://jpfhir.jp/fhir/core/CodeSystem/JP_SimpleObservationCategory_CS", "code": category}]}
                ],
                "code": {"coding": codes.map(|(system, code)| json!({"system": system, "code": code})), "text": text},
                "subject": {"reference": "Patient/u-1"}, "effectiveDateTime": at, "valueQuantity": quantity,
                "note": [{"text": note}]
            })
        );
    };
    let quantity = |digits: &str, unit: &str, code: &str| {
        json!({"value": digits.parse::<serde_json::Number>().unwrap(), "unit": unit,
               "system": "http://unitsofmeasure.org", "code": code})
    };
    let body = "http://jpfhir.jp/fhir/core/CodeSystem/JP_ObservationBodyMeasurementCode_CS";
    let nursing = "http://medis.or.jp/CodeSystem/master-nursingObservationKeyCode";
    let loinc = "http://loinc.org";
    let measurement = "JP_Observation_BodyMeasurement";
    measured(
        Part::Heights,
        "heights-h1",
        "self",
        [(loinc, "8302-2"), (body, "31000298")],
        "body-measurement",
        measurement,
        quantity("165.5", "cm", "cm"),
        "身長",
        "2026-11-01",
        "靴下",
    );
    measured(
        Part::Weights,
        "weights-w1",
        "clinic",
        [(loinc, "29463-7"), (body, "31000296")],
        "body-measurement",
        measurement,
        quantity("2.950", "kg", "kg"),
        "体重",
        "2026-11-01",
        "裸",
    );
    measured(
        Part::Temperatures,
        "temperatures-t1",
        "device",
        [(loinc, "8310-5"), (nursing, "31001368")],
        "vital-signs",
        "JP_Observation_VitalSigns",
        quantity("36.5", "℃", "Cel"),
        "体温",
        "2026-11-23T07:30:00+09:00",
        "脇",
    );
}

#[test]
fn a_whole_vaccination() {
    assert_eq!(
        only(with(Part::Vaccinations, &[])),
        json!({
            "resourceType": "Immunization", "id": "vaccinations-v1",
            "meta": {"profile": ["http://jpfhir.jp/fhir/core/StructureDefinition/JP_Immunization"]},
            "extension": [
                origin("portal-copy"), {"url": "urn:sekisho:extension:copied-on", "valueDate": "2026-11-11"},
                {"url": "urn:sekisho:extension:dose-municipality",
                 "valueCoding": {"system": "urn:sekisho:municipality-code", "code": "131121"}}
            ],
            "status": "completed",
            "vaccineCode": {"coding": [{"system": "http://medis.or.jp/CodeSystem/master-HOT13", "code": "9999999999999"}],
                            "text": "水痘"},
            "patient": {"reference": "Patient/u-1"}, "occurrenceDateTime": "2024-04-05", "recorded": "2024-05-01",
            "primarySource": false, "manufacturer": {"display": "見本製薬"}, "lotNumber": "SYN-A123B",
            "performer": [{"actor": {"display": "見本小児科"}}], "note": [{"text": "左腕"}],
            "protocolApplied": [{"targetDisease": [{"text": "水ぼうそう"}], "doseNumberPositiveInt": 1}]
        })
    );
    let words = only(mapped(
        &json!({"vaccinations": [{"id": "v", "vaccine": "BCG", "on_text": "６才頃", "entered": "clinic"}]}),
    ));
    assert_eq!(words["occurrenceString"], "６才頃");
    assert_eq!(words.get("primarySource"), None, "the clinic gave it");
    let yj = only(with(Part::Vaccinations, &[("code_system", json!("yj")), ("code", json!("999999AA9999"))]));
    assert_eq!(yj["vaccineCode"]["coding"][0]["system"], "http://capstandard.jp/iyaku.info/CodeSystem/YJ-code");
    for (changes, field, why, out) in [
        (vec![("municipality", json!("131122"))], "municipality", Why::NotAMunicipality, false),
        (vec![("dose_number", json!(null))], "disease", Why::NeedsDoseNumber, false),
        (vec![("dose_number", json!("99")), ("disease", json!(null))], "dose_number", Why::NotANumber, false),
        (vec![("on_text", json!("春"))], "on_text", Why::Contradictory, false),
        (vec![("on", json!(null))], "on", Why::Missing, true),
        (vec![("on", json!("20240405"))], "on", Why::NotADate, true),
        (vec![("vaccine", json!(" "))], "vaccine", Why::Missing, true),
    ] {
        let mapped = with(Part::Vaccinations, &changes);
        assert_eq!(whys(&mapped), [(field, why, out)], "{changes:?}");
        assert_eq!(mapped.resources.is_empty(), out);
    }
}

#[test]
fn every_resource_says_where_it_comes_from() {
    for part in Part::ALL {
        for (entered, code) in [("self", "self"), ("device", "device"), ("clinic", "clinic"), ("app", "app")] {
            let resource = only(with(part, &[("entered", json!(entered)), ("copied_on", json!(null))]));
            assert_eq!(resource["extension"][0], json!({"url": ORIGIN, "valueCode": code}));
            assert!(!resource.to_string().contains(COPIED_ON));
        }
        let copy = only(with(part, &[("entered", json!("portal")), ("copied_on", json!("2026-11-01"))]));
        let dated = json!({"url": COPIED_ON, "valueDate": "2026-11-01"});
        assert_eq!(
            copy["extension"].as_array().unwrap()[..2],
            [json!({"url": ORIGIN, "valueCode": "portal-copy"}), dated]
        );
        let unknown = with(part, &[("entered", json!("friend")), ("copied_on", json!(null))]);
        assert_eq!(whys(&unknown), [("entered", Why::UnknownWord, false)]);
        assert_eq!(unknown.resources[0]["extension"][0]["valueCode"], "app");
        // A copy without a day could be years old.
        for (day, why) in [
            (json!(null), Why::Missing),
            (json!("2026-11"), Why::NotPrecise),
            (json!("2027-01-01"), Why::InTheFuture),
            (json!("2026-11-01T00:00:00Z"), Why::NotADate),
        ] {
            let undated = with(part, &[("entered", json!("portal")), ("copied_on", day)]);
            assert_eq!(whys(&undated), [("copied_on", why, true)]);
            assert_eq!(undated.resources, Vec::<Value>::new());
        }
        let no_copy = with(part, &[("entered", json!("self")), ("copied_on", json!("2026-11-01"))]);
        assert_eq!(whys(&no_copy), [("copied_on", Why::Contradictory, false)]);
    }
}

#[test]
fn debug_shows_no_content() {
    let everything = Part::ALL.iter().map(|part| {
        let item = whole(*part);
        (part.name().to_owned(), if *part == Part::Profile { item } else { json!([item]) })
    });
    let out = mapped(&Value::Object(everything.collect()));
    assert_eq!((out.resources.len(), &out.unmapped), (8, &vec![]));
    assert_eq!(format!("{out:?}"), "Mapped { resources: 8, unmapped: [] }");
}
