//! The My Portal mapping. Input: the body of an answer; or, after an `m`, records to map: of each line the first byte is the
//! item and the rest the content, an empty line ends a record.
//!
//! Whatever is mapped is a resource of the shape that JP Core asks for, and every record is either mapped or reported.

use jiff::civil::Date;
use sekisho_adapters::fhir_terms::{DOSE_MUNICIPALITY, MUNICIPALITY_CODE, PROFILE_IMMUNIZATION};
use sekisho_adapters::municipality::MunicipalityCode;
use sekisho_adapters::my_number;
use sekisho_adapters::my_portal::map::map;
use sekisho_adapters::my_portal::wire::{requested, result};
use sekisho_adapters::my_portal::{PortalAnswer, PortalCodes, PortalItem, PortalRecord, PortalRecords};
use serde_json::{Value, json};

const PATIENT: &str = "Patient/p";
const ELEMENTS: [&str; 12] = [
    "resourceType",
    "id",
    "meta",
    "status",
    "vaccineCode",
    "patient",
    "occurrenceDateTime",
    "occurrenceString",
    "extension",
    "manufacturer",
    "lotNumber",
    "performer",
];

/// Panics on a finding.
pub fn check(data: &[u8]) {
    let codes = PortalCodes::synthetic();
    if let Some(lines) = data.strip_prefix(b"m") {
        if let Ok(text) = std::str::from_utf8(lines) {
            mapped(&records(text), &codes);
        }
        return;
    }
    if let Ok(Ok(id)) = requested(data, &codes, None) {
        assert!((1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()), "an id fit to be sent");
    }
    if let Ok(PortalAnswer::WithData(records)) = result(data, &codes, None) {
        assert!((1..=500).contains(&records.records.len()), "bounded");
        for record in &records.records {
            assert!((1..=64).contains(&record.items.len()), "bounded");
            assert!(record.items.iter().all(|item| item.code.len() == 10 && item.content.len() <= 1_000));
        }
        mapped(&records, &codes);
    }
}

fn records(text: &str) -> PortalRecords {
    let record = |lines: &str| PortalRecord { items: lines.lines().filter_map(item).collect() };
    PortalRecords { records: text.split("\n\n").map(record).collect() }
}

fn item(line: &str) -> Option<PortalItem> {
    let first = line.chars().next()?;
    let content = line.get(first.len_utf8()..)?.to_owned();
    // Items are numbered 01 to 08; others are unknown.
    Some(PortalItem { code: format!("99999999{:02}", u32::from(first) % 10), content })
}

fn mapped(records: &PortalRecords, codes: &PortalCodes) {
    let mapped = map(records, codes, PATIENT);
    assert_eq!(map(records, codes, PATIENT), mapped, "the same answer gives the same");
    let mut of_records = mapped.immunizations.iter().peekable();
    for (index, record) in records.records.iter().enumerate() {
        let id = format!("dose-{}", index + 1);
        let resource = of_records.next_if(|resource| resource["id"] == *id);
        let left_out = mapped.unmapped.iter().any(|u| u.index == index && u.record_left_out);
        assert_eq!(resource.is_none(), left_out, "a record is mapped or reported");
        let number = record.items.iter().any(|item| my_number::contained_in(&item.content));
        assert!(!number || resource.is_none(), "what could be an individual number takes its record with it");
        if let Some(resource) = resource {
            sound(resource, record);
        }
    }
    assert!(of_records.next().is_none(), "nothing is made up");
}

fn sound(resource: &Value, record: &PortalRecord) {
    let object = resource.as_object().expect("an object");
    let known = |name: &String| ELEMENTS.contains(&name.as_str()) || name == "protocolApplied";
    assert!(object.keys().all(known), "only elements that the mapping names");
    assert_eq!(object["resourceType"], "Immunization");
    assert_eq!(object["status"], "completed");
    assert_eq!(object["meta"], json!({"profile": [PROFILE_IMMUNIZATION]}));
    assert_eq!(object["patient"], json!({"reference": PATIENT}));
    // What the portal wrote stands there as it was written, if it stands there.
    let written = |text: &Value| {
        let text = text.as_str().expect("a text");
        assert!(!text.is_empty() && text.chars().count() <= 100, "bounded");
        assert!(record.items.iter().any(|item| item.content.trim() == text), "nothing is made up");
    };
    written(&resource["vaccineCode"]["text"]);
    match (object.get("occurrenceDateTime"), object.get("occurrenceString")) {
        (Some(date), None) => dated(date.as_str().expect("a text"), record),
        (None, Some(text)) => written(text),
        _ => panic!("one occurrence, of one kind"),
    }
    for found in ["/manufacturer/display", "/lotNumber", "/performer/0/actor/display"] {
        resource.pointer(found).into_iter().for_each(written);
    }
    if let Some(extension) = object.get("extension") {
        let code = extension[0]["valueCoding"]["code"].as_str().expect("a code");
        assert!(MunicipalityCode::parse(code).is_ok(), "a code with a right check digit");
        let coding = json!({"system": MUNICIPALITY_CODE, "code": code});
        assert_eq!(*extension, json!([{"url": DOSE_MUNICIPALITY, "valueCoding": coding}]));
    }
    if let Some(protocol) = object.get("protocolApplied").map(|all| &all[0]) {
        protocol.pointer("/targetDisease/0/text").into_iter().for_each(written);
        match (protocol.get("doseNumberPositiveInt"), protocol.get("doseNumberString")) {
            (Some(number), None) => assert!(number.as_u64().is_some_and(|n| (1..=20).contains(&n))),
            (None, Some(text)) => written(text),
            _ => panic!("R4 asks for one number of the dose"),
        }
    }
}

/// A date is a real one, and has the digits that the portal wrote, no more.
fn dated(date: &str, record: &PortalRecord) {
    let digits = date.replace('-', "");
    assert!(record.items.iter().any(|item| item.content.trim() == digits), "the precision that it came with");
    let whole = match date.len() {
        4 => format!("{date}-01-01"),
        7 => format!("{date}-01"),
        _ => date.to_owned(),
    };
    assert!(whole.parse::<Date>().is_ok(), "{whole} is a date");
}
