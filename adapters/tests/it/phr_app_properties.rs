//! Whatever an app writes: no panic, every item mapped or reported, and no text anywhere but where it belongs.

use jiff::Timestamp;
use proptest::prelude::*;
use sekisho_adapters::phr_app::map::map;
use sekisho_adapters::phr_app::wire::read;
use sekisho_adapters::phr_app::{Mapped, Part, Unmapped};
use serde_json::{Map, Value, json};

const USER: &str = "user-0042";

/// What comes of a field: the places where its text may stand.
type Places = &'static [&'static str];

/// Free texts, with where they belong. Any text may stand there.
fn free(part: Part) -> &'static [(&'static str, Places)] {
    match part {
        Part::Profile => &[
            ("name", &["/name/0/text"]),
            ("family", &["/name/0/family"]),
            ("given", &["/name/0/given/0"]),
            ("kana", &["/name/1/text"]),
            ("family_kana", &["/name/1/family"]),
            ("given_kana", &["/name/1/given/0"]),
        ],
        Part::Conditions => &[("name", &["/code/text"]), ("note", &["/note/0/text"])],
        Part::Medications => &[
            ("name", &["/medicationCodeableConcept/text", "/medicationCodeableConcept/coding/0/display"]),
            ("dosage", &["/dosage/0/text"]),
            ("note", &["/note/0/text"]),
        ],
        Part::Allergies => &[
            ("name", &["/code/text"]),
            ("reaction", &["/reaction/0/manifestation/0/text"]),
            ("note", &["/note/0/text"]),
        ],
        Part::Heights | Part::Weights | Part::Temperatures => &[("note", &["/note/0/text"])],
        Part::Vaccinations => &[
            ("vaccine", &["/vaccineCode/text"]),
            ("on_text", &["/occurrenceString"]),
            ("dose_number", &["/protocolApplied/0/doseNumberString"]),
            ("disease", &["/protocolApplied/0/targetDisease/0/text"]),
            ("lot", &["/lotNumber"]),
            ("maker", &["/manufacturer/display"]),
            ("clinic", &["/performer/0/actor/display"]),
            ("note", &["/note/0/text"]),
        ],
    }
}

/// Fields that aren't free, each with a sound value. Of any other text nothing may pass.
fn bound(part: Part) -> &'static [(&'static str, &'static str)] {
    match part {
        Part::Profile => &[("birth_date", "1985-03-15"), ("sex", "female")],
        Part::Conditions => &[
            ("code_system", "icd10"),
            ("code", "E11"),
            ("status", "active"),
            ("since", "2019"),
            ("recorded", "2024-05-01"),
        ],
        Part::Medications => &[
            ("code_system", "hot9"),
            ("code", "999999999"),
            ("status", "stopped"),
            ("from", "2024-01"),
            ("until", "2024-02"),
            ("on", "2024"),
            ("recorded", "2024-05-01"),
        ],
        Part::Allergies => &[
            ("category", "food"),
            ("criticality", "high"),
            ("status", "resolved"),
            ("since", "1999"),
            ("recorded", "2024-05-01"),
        ],
        Part::Heights => &[("unit", "cm"), ("at", "2024-05-01")],
        Part::Weights => &[("unit", "kg"), ("at", "2024-05-01T07:30:00+09:00")],
        Part::Temperatures => &[("unit", "Cel"), ("at", "2024-05-01T07:30:00Z")],
        Part::Vaccinations => &[
            ("code_system", "yj"),
            ("code", "999999AA9999"),
            ("on", "2024-04-05"),
            ("municipality", "131121"),
            ("recorded", "2024-05-01"),
        ],
    }
}

/// In every text of a field, so that it can be found again: two letters that nothing else here is written with.
fn mark(field: &str) -> String {
    format!("⟪{field}⟫")
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,30}",
        "[\\x00-\\x20<>&\"'\\\\{}$]{0,12}",
        "[\u{202a}-\u{202e}\u{2066}-\u{2069}\u{200b}-\u{200f}あ-ん]{0,12}",
        "[0-9０-９ -]{0,20}",
        Just("長".repeat(1_200)),
    ]
}

/// An item: of each field nothing, something sound, or anything.
fn item(part: Part) -> impl Strategy<Value = Map<String, Value>> {
    let text = |field: &'static str| {
        let marked = any_text().prop_map(move |text| Some((field, json!(format!("{}{text}", mark(field))))));
        prop_oneof![1 => Just(None), 4 => marked]
    };
    let mut fields: Vec<BoxedStrategy<Option<(&'static str, Value)>>> =
        free(part).iter().map(|(field, _)| text(field).boxed()).collect();
    let common = [("entered", "self"), ("copied_on", "2024-05-01"), ("mood", "x")];
    for (field, sound) in bound(part).iter().chain(&common) {
        let (field, sound) = (*field, *sound);
        fields.push(prop_oneof![3 => Just(Some((field, json!(sound)))), 2 => text(field)].boxed());
    }
    let number = prop_oneof![
        3 => prop_oneof![Just("36.50"), Just("61.5"), Just("165")].prop_map(str::to_owned),
        1 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
    ];
    let number =
        number.prop_map(|digits| digits.parse::<serde_json::Number>().ok().map(|n| ("value", Value::Number(n))));
    match part {
        Part::Heights | Part::Weights | Part::Temperatures => fields.push(number.boxed()),
        Part::Allergies => {
            fields.push(prop_oneof![Just(None), any::<bool>().prop_map(|is| Some(("none_known", json!(is))))].boxed())
        }
        _ => {}
    }
    fields.prop_map(|fields| fields.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// An answer of up to three items of each part, given their ids.
fn answer() -> impl Strategy<Value = Map<String, Value>> {
    let lists: Vec<_> = Part::ALL
        .iter()
        .map(|part| prop::collection::vec(item(*part), usize::from(*part == Part::Profile)..=3))
        .collect();
    lists.prop_map(|lists| {
        let named = Part::ALL.iter().zip(lists).map(|(part, mut items)| {
            for (at, item) in items.iter_mut().enumerate() {
                item.insert("id".to_owned(), json!(format!("i{at}")));
            }
            let value = if *part == Part::Profile { json!(items[0]) } else { json!(items) };
            (part.name().to_owned(), value)
        });
        named.collect()
    })
}

fn leaves<'a>(value: &'a Value, at: String, found: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) => found.push((at, text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, format!("{at}/{index}"), found));
        }
        Value::Object(members) => members.iter().for_each(|(name, value)| leaves(value, format!("{at}/{name}"), found)),
        _ => {}
    }
}

fn check(records: &Map<String, Value>) -> Result<(), TestCaseError> {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let body = json!({"user": USER, "records": records}).to_string();
    let Mapped { resources, unmapped } = map(&read(body.as_bytes(), USER, &Part::ALL).unwrap(), USER, now);
    let mut mapped = resources.iter().peekable();
    for (part, value) in Part::ALL.iter().zip(records.values()) {
        let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for (index, item) in items.iter().enumerate() {
            let id = if *part == Part::Profile { USER.to_owned() } else { format!("{}-i{index}", part.name()) };
            let resource = mapped.next_if(|resource| resource["id"] == *id);
            let of_item = |u: &&Unmapped| u.part == Some(*part) && u.index == index;
            prop_assert_eq!(
                resource.is_none(),
                unmapped.iter().filter(of_item).any(|u| u.record_left_out),
                "{:?}",
                item
            );
            let Some(resource) = resource else { continue };
            let mut found = Vec::new();
            leaves(resource, String::new(), &mut found);
            for (field, value) in item.as_object().unwrap() {
                let places =
                    free(*part).iter().find(|(name, _)| name == field).map(|(_, places)| *places).unwrap_or_default();
                for (at, text) in found.iter().filter(|(_, text)| text.contains(&mark(field))) {
                    prop_assert!(places.contains(&at.as_str()), "{} came to {}", field, at);
                    let own = value.as_str().unwrap();
                    prop_assert!(text.chars().all(|c| c == ' ' || own.contains(c)), "{} isn't what was written", text);
                    prop_assert!(!text.chars().any(|c| c.is_control() && !"\n\t".contains(c)), "{:?}", text);
                }
                // What isn't reported stands somewhere, as it was.
                let reported = unmapped.iter().filter(of_item).any(|u| u.field == field);
                if !places.is_empty() && !reported && field != "on_text" {
                    let own = value.as_str().unwrap().trim().replace("\r\n", "\n");
                    let stands = places.iter().any(|at| resource.pointer(at) == Some(&json!(own)));
                    prop_assert!(stands, "{} is gone without a word", field);
                }
            }
        }
    }
    prop_assert!(mapped.next().is_none(), "nothing is made up");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn every_text_is_where_it_belongs_or_reported(records in answer()) {
        check(&records)?;
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        for body in [&body[..], text.as_bytes(), format!("{{\"user\":\"{USER}\",\"records\":{text}}}").as_bytes()] {
            if let Ok(records) = read(body, USER, &Part::ALL) {
                let _ = map(&records, USER, Timestamp::UNIX_EPOCH);
            }
        }
    }
}
