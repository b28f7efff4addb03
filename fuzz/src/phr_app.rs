//! A PHR app's answer, and the mapping. Input: a byte whose bits say which parts were asked for, then the body.
//!
//! What is read is about the user, everywhere. Every item is mapped or reported; each leaf of a resource is a constant that
//! belongs there, or what stood in the one field that it comes from, without what deceives; numbers keep their digits; days
//! are real and not ahead; and nothing that could be a My Number passes.

use jiff::Timestamp;
use jiff::civil::Date;
use sekisho_adapters::my_number;
use sekisho_adapters::phr_app::map::map;
use sekisho_adapters::phr_app::wire::{self, ITEMS_MAX};
use sekisho_adapters::phr_app::{Mapped, Part};
use serde_json::{Map, Value};

const USER: &str = "u-1";
const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);
/// The last day that isn't ahead anywhere, at that time.
const TODAY: Date = Date::constant(2026, 11, 24);
const NO_KNOWN_ALLERGY: &str = "716186003";

/// Panics on a finding.
pub fn check(data: &[u8]) {
    let Some((mask, body)) = data.split_first() else { return };
    let asked: Vec<Part> =
        Part::ALL.into_iter().zip(0..).filter(|(_, bit)| mask & (1 << bit) != 0).map(|(part, _)| part).collect();
    let Ok(records) = wire::read(body, USER, &asked) else { return };
    let mapped = map(&records, USER, NOW);
    assert_eq!(map(&records, USER, NOW), mapped, "the same answer gives the same");
    assert!(mapped.resources.len() <= ITEMS_MAX, "bounded");
    // Another reader, and a loose one, sees the same.
    let answer: Value = serde_json::from_slice(body).expect("what was read is JSON");
    about_the_user(&answer);
    assert_eq!(answer["user"], USER, "the answer says whom it is about");
    let parts = answer["records"].as_object().expect("parts");
    let mut resources = mapped.resources.iter().peekable();
    for (name, value) in parts {
        let Some(part) = asked.iter().find(|part| part.name() == name) else { continue };
        let alone = std::slice::from_ref(value);
        let items = if *part == Part::Profile { alone } else { value.as_array().expect("a list") };
        for (index, item) in items.iter().enumerate() {
            let item = item.as_object().expect("an item");
            let id = if *part == Part::Profile { USER.to_owned() } else { format!("{name}-{}", text(item, "id")) };
            let resource = resources.next_if(|resource| resource["id"] == *id);
            let out = |u: &&sekisho_adapters::phr_app::Unmapped| {
                u.part == Some(*part) && u.index == index && u.record_left_out
            };
            assert_eq!(resource.is_none(), mapped.unmapped.iter().any(|u| out(&u)), "an item is mapped or reported");
            if let Some(resource) = resource {
                sound(*part, resource, item, items);
            }
        }
    }
    assert!(resources.next().is_none(), "nothing is made up");
    unread(&asked, parts, &mapped);
}

fn about_the_user(value: &Value) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            assert!(name != "user" || value == USER, "another user, and it was read");
            about_the_user(value);
        }),
        Value::Array(items) => items.iter().for_each(about_the_user),
        _ => {}
    }
}

/// What is unknown, or wasn't asked for, is reported.
fn unread(asked: &[Part], parts: &Map<String, Value>, mapped: &Mapped) {
    for name in parts.keys() {
        let part = Part::ALL.into_iter().find(|part| part.name() == name);
        if part.is_none_or(|part| !asked.contains(&part)) {
            assert!(mapped.unmapped.iter().any(|u| u.part == part && u.record_left_out), "what goes is reported");
        }
    }
}

fn text<'a>(item: &'a Map<String, Value>, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn sound(part: Part, resource: &Value, item: &Map<String, Value>, items: &[Value]) {
    assert!(
        !holds_a_my_number(&Value::Object(item.clone())),
        "what could be an individual number takes its record with it"
    );
    leaves(resource, "", &mut |path, leaf| match leaf {
        Value::String(written) => {
            assert!(!written.is_empty() && written.chars().count() <= 1_000, "bounded: {path}");
            assert!(!written.chars().any(deceives), "what deceives is gone: {path}");
            if is_constant(part, path, written) {
                return;
            }
            let field = field(part, path).unwrap_or_else(|| panic!("nothing comes to {path}"));
            assert_eq!(squashed(written), squashed(text(item, field)), "{path} comes from {field}");
            if is_a_day(path) {
                real(written, path == "effectivePeriod/end");
            }
        }
        Value::Number(number) => match path {
            "valueQuantity/value" => measured(part, number.as_str(), item),
            // 01 is the first.
            "protocolApplied/0/doseNumberPositiveInt" => {
                assert_eq!(number.as_str(), squashed(text(item, "dose_number")).trim_start_matches('0'));
            }
            _ => panic!("a number at {path}"),
        },
        Value::Bool(is) => assert!(path == "primarySource" && !is, "{path}"),
        _ => panic!("nothing at {path}"),
    });
    if resource["code"]["coding"][0]["code"] == NO_KNOWN_ALLERGY {
        let none =
            |item: &Value| item["none_known"] == true && squashed(item["name"].as_str().unwrap_or_default()).is_empty();
        assert!(items.iter().all(none), "it stands alone");
    }
}

fn leaves(value: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| leaves(value, &below(name), each)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| leaves(value, &below(&at.to_string()), each))
        }
        leaf => each(path, leaf),
    }
}

/// What the mapping itself writes at a place.
fn is_constant(part: Part, path: &str, written: &str) -> bool {
    let one_of = |words: &[&str]| words.contains(&written);
    let kind = match part {
        Part::Profile => "Patient",
        Part::Conditions => "Condition",
        Part::Medications => "MedicationStatement",
        Part::Allergies => "AllergyIntolerance",
        Part::Heights | Part::Weights | Part::Temperatures => "Observation",
        Part::Vaccinations => "Immunization",
    };
    match path {
        "resourceType" => written == kind,
        // Looked at before.
        "id" => true,
        "meta/profile/0" => written.starts_with("http://jpfhir.jp/fhir/core/StructureDefinition/JP_"),
        "subject/reference" | "patient/reference" => written == "Patient/u-1",
        "extension/0/url" => written == "urn:sekisho:extension:origin",
        "extension/0/valueCode" => one_of(&["self", "device", "clinic", "portal-copy", "app"]),
        "extension/1/url" | "extension/2/url" => {
            one_of(&["urn:sekisho:extension:copied-on", "urn:sekisho:extension:dose-municipality"])
        }
        "name/0/extension/0/valueCode" => written == "IDE",
        "name/1/extension/0/valueCode" => written == "SYL",
        "_effectiveDateTime/extension/0/valueCode" => written == "unknown",
        "clinicalStatus/coding/0/code" => written == "active",
        "status" => match part {
            Part::Medications => written == "unknown",
            Part::Vaccinations => written == "completed",
            _ => written == "final",
        },
        "medicationCodeableConcept/coding/0/code" => written == "NOCODED",
        "medicationCodeableConcept/coding/0/display" => written == "標準コードなし",
        "code/text" if part == Part::Allergies => written == "既知のアレルギーなし",
        "code/coding/0/display" => written == "No known allergy (situation)",
        "code/coding/0/code" if part == Part::Allergies => written == NO_KNOWN_ALLERGY,
        "code/text" => one_of(&["身長", "体重", "体温"]),
        "code/coding/0/code" | "code/coding/1/code" => one_of(match part {
            Part::Heights => &["8302-2", "31000298"],
            Part::Weights => &["29463-7", "31000296"],
            Part::Temperatures => &["8310-5", "31001368"],
            _ => &[],
        }),
        "category/0/coding/0/code" => written == "vital-signs",
        "category/1/coding/0/code" => one_of(&["vital-signs", "body-measurement"]),
        "valueQuantity/unit" => one_of(&["cm", "kg", "℃"]),
        "valueQuantity/code" => one_of(&["cm", "kg", "Cel"]),
        _ => (path.ends_with("/system") || path.ends_with("/url")) && written.contains(':') && !written.contains(' '),
    }
}

/// Which field of an item comes to a place.
fn field(part: Part, path: &str) -> Option<&'static str> {
    Some(match (part, path) {
        (_, "note/0/text") => "note",
        (_, "extension/1/valueDate") => "copied_on",
        (Part::Profile, "name/0/text") => "name",
        (Part::Profile, "name/0/family") => "family",
        (Part::Profile, "name/0/given/0") => "given",
        (Part::Profile, "name/1/text") => "kana",
        (Part::Profile, "name/1/family") => "family_kana",
        (Part::Profile, "name/1/given/0") => "given_kana",
        (Part::Profile, "gender") => "sex",
        (Part::Profile, "birthDate") => "birth_date",
        (Part::Conditions | Part::Allergies, "code/text") => "name",
        (Part::Conditions, "code/coding/0/code") | (Part::Vaccinations, "vaccineCode/coding/0/code") => "code",
        (Part::Conditions | Part::Allergies, "clinicalStatus/coding/0/code") | (Part::Medications, "status") => {
            "status"
        }
        (Part::Conditions | Part::Allergies, "onsetDateTime") => "since",
        (Part::Conditions | Part::Allergies, "recordedDate")
        | (Part::Medications, "dateAsserted")
        | (Part::Vaccinations, "recorded") => "recorded",
        (Part::Medications, "medicationCodeableConcept/text" | "medicationCodeableConcept/coding/0/display") => "name",
        (Part::Medications, "medicationCodeableConcept/coding/0/code") => "code",
        (Part::Medications, "effectivePeriod/start") => "from",
        (Part::Medications, "effectivePeriod/end") => "until",
        (Part::Medications, "effectiveDateTime") | (Part::Vaccinations, "occurrenceDateTime") => "on",
        (Part::Medications, "dosage/0/text") => "dosage",
        (Part::Allergies, "category/0") => "category",
        (Part::Allergies, "criticality") => "criticality",
        (Part::Allergies, "reaction/0/manifestation/0/text") => "reaction",
        (Part::Heights | Part::Weights | Part::Temperatures, "effectiveDateTime") => "at",
        (Part::Vaccinations, "vaccineCode/text") => "vaccine",
        (Part::Vaccinations, "occurrenceString") => "on_text",
        (Part::Vaccinations, "lotNumber") => "lot",
        (Part::Vaccinations, "manufacturer/display") => "maker",
        (Part::Vaccinations, "performer/0/actor/display") => "clinic",
        (Part::Vaccinations, "extension/1/valueCoding/code" | "extension/2/valueCoding/code") => "municipality",
        (Part::Vaccinations, "protocolApplied/0/targetDisease/0/text") => "disease",
        (Part::Vaccinations, "protocolApplied/0/doseNumberString") => "dose_number",
        _ => return None,
    })
}

/// What the eye sees of a text: spaces and what doesn't show aside.
fn squashed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !deceives(*c)).collect()
}

fn deceives(c: char) -> bool {
    let breaks = matches!(c, '\n' | '\t');
    let unseen = [0xad, 0x61c, 0x180e, 0x200b, 0x200e, 0x200f, 0xfeff].contains(&u32::from(c));
    let ranges = [0x2028..=0x202e, 0x2060..=0x206f, 0xfff9..=0xfffb, 0xe0000..=0xe007f];
    c.is_control() && !breaks || unseen || ranges.iter().any(|range| range.contains(&u32::from(c)))
}

fn is_a_day(path: &str) -> bool {
    path.ends_with("Date")
        || path.ends_with("DateTime")
        || path == "dateAsserted"
        || path == "recorded"
        || path.starts_with("effectivePeriod")
}

/// A real day, not before 1900, and not ahead unless it may be.
fn real(written: &str, may_lie_ahead: bool) {
    let day = match written.len() {
        4 => format!("{written}-01-01"),
        7 => format!("{written}-01"),
        _ => written.get(..10).expect("a day").to_owned(),
    };
    let day: Date = day.parse().unwrap_or_else(|_| panic!("{written} is no day"));
    assert!(day.year() >= 1900, "{written} is too long ago");
    if written.len() > 10 {
        let at: Timestamp = written.parse().unwrap_or_else(|_| panic!("{written} is no instant"));
        assert!(may_lie_ahead || at.duration_since(NOW).as_secs() <= 300, "{written} is ahead");
    } else {
        assert!(may_lie_ahead || day <= TODAY, "{written} is ahead");
    }
}

/// The same digits as were given, the point moved as its unit says, within what a body has.
fn measured(part: Part, written: &str, item: &Map<String, Value>) {
    let given = item["value"].as_number().expect("a number").as_str();
    let digits = |text: &str| text.replace('.', "").trim_start_matches('0').to_owned();
    let factor = match text(item, "unit").trim() {
        "kg" | "cm" | "Cel" => 1.0,
        "g" => 0.001,
        "m" => 100.0,
        unit => panic!("{unit} was converted"),
    };
    let (before, after): (f64, f64) = (given.parse().expect("a number"), written.parse().expect("a number"));
    assert!((before * factor - after).abs() <= after.abs() * 1e-9, "{given} became {written}");
    let added = digits(written).strip_prefix(&digits(given)).expect("the same digits").to_owned();
    assert!(added.bytes().all(|b| b == b'0') && (added.is_empty() || factor > 1.0), "{given} became {written}");
    assert!(factor != 1.0 || given == written, "{given} became {written}");
    let possible = match part {
        Part::Weights => 0.15..=650.0,
        Part::Heights => 20.0..=280.0,
        _ => 10.0..=47.0,
    };
    assert!(possible.contains(&after), "nobody has {written}");
}

fn holds_a_my_number(value: &Value) -> bool {
    let found = |text: &str| my_number::contained_in(text) || my_number::contained_in(&seen(text));
    match value {
        Value::String(text) => found(text),
        Value::Number(number) => found(number.as_str()),
        Value::Array(items) => items.iter().any(holds_a_my_number),
        Value::Object(members) => members.iter().any(|(name, value)| found(name) || holds_a_my_number(value)),
        _ => false,
    }
}

/// As it is shown in one line: a break is a space, and what doesn't show is not there.
fn seen(text: &str) -> String {
    let breaks = |c: char| if matches!(c, '\n' | '\t' | '\r' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
    text.chars().map(breaks).filter(|c| !deceives(*c)).collect()
}
