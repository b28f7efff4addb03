use serde_json::json;

use super::*;

fn answer(records: &Value) -> Vec<u8> {
    json!({"user": "u-1", "records": records}).to_string().into_bytes()
}

fn refused(records: &Value) -> PhrAppError {
    read(&answer(records), "u-1", &Part::ALL).unwrap_err()
}

#[test]
fn a_sound_answer_is_read() {
    let body = answer(&json!({
        "profile": {"name": "合成 花子"}, "weights": [{"id": "a", "value": 1}, {"id": "b"}], "allergies": [], "diary": ["x"],
        "temperatures": [{"id": "a", "user": "u-1", "mood": {"user": "u-1"}}]
    }));
    let records = read(&body, "u-1", &[Part::Profile, Part::Weights, Part::Allergies]).unwrap();
    let places: Vec<_> = records.items.iter().map(|item| (item.part, item.index)).collect();
    assert_eq!(places, [(Part::Profile, 0), (Part::Weights, 0), (Part::Weights, 1)]);
    assert_eq!(records.not_asked_for, [Part::Temperatures]);
    assert!(records.has_unknown_part);
    assert!(!format!("{records:?}").contains("花子"));
    let records = read(&body, "u-1", &Part::ALL).unwrap();
    assert_eq!(records.items.iter().filter(|item| item.has_unknown_field).count(), 1);
    let empty = read(&answer(&json!({})), "u-1", &Part::ALL).unwrap();
    assert_eq!(empty, Records::default());
}

#[test]
fn another_user_anywhere_refuses_the_whole_answer() {
    for records in [
        json!({"weights": [{"id": "a"}, {"id": "b", "user": "u-2"}]}),
        json!({"profile": {"user": "u-2"}}),
        json!({"profile": {"mood": [[{"user": "u-2"}]]}}),
        json!({"profile": {"user": "U-1"}}),
        json!({"profile": {"user": "u-1 "}}),
        json!({"profile": {"mood": {"user": null}}}),
        json!({"diary": [{"user": "u-2"}]}),
        json!({"user": "u-2"}),
    ] {
        assert_eq!(refused(&records), PhrAppError::WrongUser, "{records}");
    }
    // Of a part that wasn't asked for, too; and above all records.
    let records = answer(&json!({"weights": [{"id": "a", "user": "u-2"}]}));
    assert_eq!(read(&records, "u-1", &[Part::Heights]), Err(PhrAppError::WrongUser));
    let others = json!({"user": "u-2", "records": {}}).to_string();
    assert_eq!(read(others.as_bytes(), "u-1", &Part::ALL), Err(PhrAppError::WrongUser));
    let beside = json!({"user": "u-1", "records": {}, "next": {"user": "u-2"}}).to_string();
    assert_eq!(read(beside.as_bytes(), "u-1", &Part::ALL), Err(PhrAppError::WrongUser));
}

#[test]
fn wrong_types_and_shapes_are_refused() {
    for (records, field) in [
        (json!({"profile": []}), "profile"),
        (json!({"profile": "x"}), "profile"),
        (json!({"weights": {}}), "weights"),
        (json!({"weights": null}), "weights"),
        (json!({"weights": [1]}), "weights"),
        (json!({"weights": [[]]}), "weights"),
        (json!({"weights": [{}]}), "id"),
        (json!({"weights": [{"id": 1}]}), "id"),
        (json!({"weights": [{"id": ""}]}), "id"),
        (json!({"weights": [{"id": "a/b"}]}), "id"),
        (json!({"weights": [{"id": "あ"}]}), "id"),
        (json!({"weights": [{"id": "x".repeat(49)}]}), "id"),
        (json!({"weights": [{"id": "a"}, {"id": "a"}]}), "id"),
        (json!({"weights": [{"id": "a", "value": "61.5"}]}), "value"),
        (json!({"weights": [{"id": "a", "value": null}]}), "value"),
        (json!({"weights": [{"id": "a", "value": {"value": 61}}]}), "value"),
        (json!({"weights": [{"id": "a", "at": 20240405}]}), "at"),
        (json!({"allergies": [{"id": "a", "none_known": "true"}]}), "none_known"),
        (json!({"allergies": [{"id": "a", "name": ["x"]}]}), "name"),
    ] {
        assert_eq!(refused(&records), PhrAppError::Malformed(field), "{records}");
    }
    for (body, field) in [
        (json!([]), "body"),
        (json!({}), "user"),
        (json!({"user": 1}), "user"),
        (json!({"user": "u-1"}), "records"),
        (json!({"user": "u-1", "records": []}), "records"),
        (json!({"user": "u-1", "records": null}), "records"),
    ] {
        let refused = read(body.to_string().as_bytes(), "u-1", &Part::ALL);
        assert_eq!(refused, Err(PhrAppError::Malformed(field)), "{body}");
    }
    let same_id: Value = json!({"weights": [{"id": "a"}], "heights": [{"id": "a"}]});
    assert_eq!(read(&answer(&same_id), "u-1", &Part::ALL).unwrap().items.len(), 2);
}

#[test]
fn the_number_of_items_is_bounded() {
    let items = |count: usize| -> Value { (0..count).map(|n| json!({"id": format!("i{n}")})).collect() };
    let half = ITEMS_MAX / 2;
    let full = json!({"weights": items(half), "heights": items(ITEMS_MAX - half)});
    assert_eq!(read(&answer(&full), "u-1", &Part::ALL).unwrap().items.len(), ITEMS_MAX);
    let more = json!({"weights": items(half), "heights": items(ITEMS_MAX - half + 1)});
    assert_eq!(refused(&more), PhrAppError::Malformed("too many items"));
}

#[test]
fn ids_are_what_fhir_takes() {
    for (id, is) in
        [("u-1", true), ("A.b-9", true), ("", false), ("a b", false), ("a/b", false), ("a?b", false), ("山", false)]
    {
        assert_eq!(is_user_id(id), is, "{id}");
    }
    assert!(is_user_id(&"x".repeat(64)) && !is_user_id(&"x".repeat(65)));
}

#[test]
fn only_the_agreed_words_say_that_nobody_is_known() {
    assert!(says_unknown_user(br#"{"error":"unknown_user"}"#));
    for body in ["", "{}", "unknown_user", r#"{"error":"no_such_path"}"#, r#"{"error":"unknown_user","error":"x"}"#] {
        assert!(!says_unknown_user(body.as_bytes()), "{body}");
    }
}

const DOCUMENT: &str = include_str!("../../../docs/phr-app-source.md");

#[test]
fn the_documents_example_is_mapped_whole() {
    let (_, rest) = DOCUMENT.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let records = read(example.as_bytes(), "user-0042", &Part::ALL).unwrap();
    let parts: HashSet<Part> = records.items.iter().map(|item| item.part).collect();
    assert_eq!(parts.len(), Part::ALL.len(), "one of each");
    let mapped = crate::phr_app::map::map(&records, "user-0042", "2026-11-23T12:00:00Z".parse().unwrap());
    assert_eq!((mapped.resources.len(), mapped.unmapped), (8, vec![]));
}

#[test]
fn the_document_names_every_part_and_field() {
    for part in Part::ALL {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{}`", part.name()))).unwrap();
        for (field, _) in own_fields(part) {
            assert!(row.contains(&format!("`{field}`")), "{part:?} {field}");
        }
        // And no field that isn't there: what stands in backticks is a field, a part or another field's name.
        for named in row.split('`').skip(1).step_by(2) {
            let known = COMMON.iter().chain(own_fields(part)).any(|(field, _)| *field == named);
            assert!(known || named == part.name(), "{part:?} {named}");
        }
    }
    for (field, _) in COMMON {
        assert!(DOCUMENT.contains(&format!("`{field}`")), "{field}");
    }
    for bound in [format!("{} items", "5,000"), format!("1 to {ITEM_ID_MAX} of"), format!("1 to {USER_ID_MAX} of")] {
        assert!(DOCUMENT.contains(&bound), "{bound}");
    }
    assert_eq!(ITEMS_MAX, 5_000);
}
