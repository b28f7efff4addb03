//! What can be wrong with an item, in every field that it can be wrong in.

use serde_json::{Value, json};

use super::tests::{NOW, changed, mapped, only, whys, with};
use super::{Unmapped, Why, map};
use crate::my_number;
use crate::phr_app::Part;
use crate::phr_app::wire::read;

/// Fields that are dates, and whether the record goes with them.
const DATES: [(Part, &str, bool); 12] = [
    (Part::Profile, "birth_date", true),
    (Part::Conditions, "since", false),
    (Part::Conditions, "recorded", false),
    (Part::Medications, "from", false),
    (Part::Medications, "recorded", false),
    (Part::Allergies, "since", false),
    (Part::Allergies, "recorded", false),
    (Part::Heights, "at", true),
    (Part::Weights, "at", true),
    (Part::Temperatures, "at", true),
    (Part::Vaccinations, "on", true),
    (Part::Vaccinations, "recorded", false),
];

#[test]
fn dates_that_cannot_be_are_left_out() {
    for (part, field, required) in DATES {
        for (text, why) in [
            ("2026-11-25", Why::InTheFuture),
            ("2099-01-01T00:00:00Z", Why::InTheFuture),
            ("1899-12-31", Why::TooLongAgo),
            ("2024-02-30", Why::NotADate),
            ("令和6年", Why::NotADate),
        ] {
            let out = with(part, &[(field, json!(text))]);
            assert_eq!(whys(&out), [(field, why, required)], "{part:?} {field} {text}");
            assert_eq!(out.resources.is_empty(), required);
            assert!(!json!(out.resources).to_string().contains(text));
        }
    }
    for part in [Part::Heights, Part::Weights, Part::Temperatures] {
        assert_eq!(whys(&with(part, &[("at", json!("2026-11"))])), [("at", Why::NotPrecise, true)]);
    }
    let year = only(with(Part::Profile, &[("birth_date", json!("1985"))]));
    assert_eq!(year["birthDate"], "1985");
    let instant = with(Part::Profile, &[("birth_date", json!("1985-03-15T10:00:00+09:00"))]);
    assert_eq!(whys(&instant), [("birth_date", Why::NotADate, true)]);
    // The planned end may lie ahead, and is as old as anything else.
    assert_eq!(
        only(with(Part::Medications, &[("until", json!("2027-03-31"))]))["effectivePeriod"]["end"],
        "2027-03-31"
    );
    assert_eq!(whys(&with(Part::Medications, &[("until", json!("1899"))])), [("until", Why::TooLongAgo, false)]);
}

/// Fields of free text, whether of several lines, and whether the record goes with them.
const TEXTS: [(Part, &str, bool, bool); 23] = [
    (Part::Profile, "name", false, true),
    (Part::Profile, "family", false, false),
    (Part::Profile, "given", false, false),
    (Part::Profile, "kana", false, false),
    (Part::Profile, "family_kana", false, false),
    (Part::Profile, "given_kana", false, false),
    (Part::Conditions, "name", false, true),
    (Part::Conditions, "note", true, false),
    (Part::Medications, "name", false, true),
    (Part::Medications, "dosage", true, false),
    (Part::Medications, "note", true, false),
    (Part::Allergies, "name", false, true),
    (Part::Allergies, "reaction", true, false),
    (Part::Allergies, "note", true, false),
    (Part::Heights, "note", true, false),
    (Part::Weights, "note", true, false),
    (Part::Temperatures, "note", true, false),
    (Part::Vaccinations, "vaccine", false, true),
    (Part::Vaccinations, "lot", false, false),
    (Part::Vaccinations, "maker", false, false),
    (Part::Vaccinations, "clinic", false, false),
    (Part::Vaccinations, "disease", false, false),
    (Part::Vaccinations, "note", true, false),
];

#[test]
fn text_stays_text_and_what_deceives_is_taken_out() {
    let markup = "<script>alert('x')</script> & \"<b>\" {{7*7}} =1+1";
    for (part, field, lines, _) in TEXTS {
        let as_it_is = only(with(part, &[(field, json!(markup))])).to_string();
        assert!(as_it_is.contains(&json!(markup).to_string()), "{part:?} {field}");
        let hidden = with(part, &[(field, json!("甲\u{202e}乙\u{0}丙\u{2066}丁\u{200b}"))]);
        assert_eq!(whys(&hidden), [(field, Why::Deceiving, false)]);
        assert!(hidden.resources[0].to_string().contains("甲乙丙丁"), "{part:?} {field}");
        let broken = with(part, &[(field, json!("上\n下"))]);
        assert_eq!(broken.unmapped.len(), usize::from(!lines), "{part:?} {field}");
        assert!(broken.resources[0].to_string().contains(if lines { "上\\n下" } else { "上 下" }));
    }
}

#[test]
fn text_is_cut_never_but_left_out() {
    for (part, field, lines, required) in TEXTS {
        let max = if lines { 1_000 } else { 200 };
        assert!(only(with(part, &[(field, json!("乙".repeat(max)))])).to_string().contains(&"乙".repeat(max)));
        let long = with(part, &[(field, json!("乙".repeat(max + 1)))]);
        assert_eq!(whys(&long), [(field, Why::TooLong, required)], "{part:?} {field}");
        assert!(!json!(long.resources).to_string().contains('乙'));
        assert_eq!(long.resources.is_empty(), required);
        for empty in ["", " \u{3000}", "\u{200b}"] {
            let empty = with(part, &[(field, json!(empty))]);
            let missing = whys(&empty).contains(&(field, Why::Missing, true));
            assert_eq!((missing, empty.resources.is_empty()), (required, required), "{part:?} {field}");
        }
    }
}

#[test]
fn what_could_be_an_individual_number_takes_its_record_with_it() {
    let number = (0..10).map(|d| format!("11111111111{d}")).find(|n| my_number::contained_in(n)).unwrap();
    let (head, tail) = number.split_at(5);
    let written = [
        number.clone(),
        format!("番号{number}です"),
        format!("{head} {tail}"),
        format!("{head}\u{200b}{tail}"),
        format!("{head}\u{202e}{tail}"),
    ];
    for (part, field, ..) in TEXTS {
        for text in &written {
            let out = with(part, &[(field, json!(text))]);
            assert_eq!(out.resources, Vec::<Value>::new(), "{part:?} {field} {text}");
            assert_eq!(whys(&out), [("records", Why::IndividualNumber, true)]);
            assert!(!format!("{out:?}").contains(&number));
        }
    }
    for part in Part::ALL {
        for (field, value) in [
            ("id", json!(number)),
            ("mood", json!(number)),
            ("mood", json!([{"deep": {"deeper": number}}])),
            (number.as_str(), json!(1)),
            ("mood", number.parse::<serde_json::Number>().unwrap().into()),
            ("entered", json!(number)),
            ("copied_on", json!(number)),
        ] {
            let out = with(part, &[(field, value)]);
            assert_eq!(
                (out.resources.len(), whys(&out)),
                (0, vec![("records", Why::IndividualNumber, true)]),
                "{part:?} {field}"
            );
        }
    }
    for part in [Part::Heights, Part::Weights, Part::Temperatures] {
        let out = with(part, &[("value", number.parse::<serde_json::Number>().unwrap().into())]);
        assert_eq!(whys(&out), [("records", Why::IndividualNumber, true)]);
    }
}

#[test]
fn what_is_unknown_is_reported_and_never_passed() {
    for part in Part::ALL {
        let out = with(part, &[("mood", json!("marker-1")), ("blood", json!({"type": "marker-2"}))]);
        assert_eq!(whys(&out), [("unknown", Why::Unknown, false)]);
        assert!(!json!(out.resources).to_string().contains("marker") && !format!("{out:?}").contains("mood"));
    }
    let out = mapped(&json!({"diary": [{"id": "d", "text": "marker"}], "weights": []}));
    assert_eq!(
        out.unmapped,
        [Unmapped { part: None, index: 0, field: "records", why: Why::Unknown, record_left_out: true }]
    );
    let body = json!({"user": "u-1", "records": changed(Part::Weights, &[])}).to_string();
    let records = read(body.as_bytes(), "u-1", &[Part::Heights]).unwrap();
    let out = map(&records, "u-1", NOW.parse().unwrap());
    assert_eq!(out.resources, Vec::<Value>::new());
    let why = Why::NotAskedFor;
    assert_eq!(
        out.unmapped,
        [Unmapped { part: Some(Part::Weights), index: 0, field: "records", why, record_left_out: true }]
    );
}

#[test]
fn a_code_is_taken_only_whole_and_in_its_systems_shape() {
    for part in [Part::Conditions, Part::Medications, Part::Vaccinations] {
        for (system, code, field, why) in [
            (json!("snomed"), json!("1"), "code_system", Why::UnknownWord),
            (json!(null), json!("999999999"), "code_system", Why::Missing),
            (json!(if part == Part::Conditions { "icd10" } else { "hot9" }), json!(null), "code", Why::Missing),
            (json!(if part == Part::Conditions { "icd10" } else { "hot9" }), json!("99999999 "), "code", Why::NotACode),
            (
                json!(if part == Part::Conditions { "icd10" } else { "hot13" }),
                json!("999999999"),
                "code",
                Why::NotACode,
            ),
            (
                json!(if part == Part::Conditions { "disease-key" } else { "yj" }),
                json!("999999aa9999"),
                "code",
                Why::NotACode,
            ),
        ] {
            let out = with(part, &[("code_system", system), ("code", code)]);
            assert_eq!(whys(&out), [(field, why, false)], "{part:?}");
            let text = out.resources[0].to_string();
            assert!(
                !text.contains("master-HOT")
                    && !text.contains("YJ-code")
                    && !text.contains("ICD10")
                    && !text.contains("keyNumber")
            );
            assert_eq!(text.contains("NOCODED"), part == Part::Medications);
        }
    }
}

fn number(digits: &str) -> Value {
    Value::Number(digits.parse().unwrap())
}

#[test]
fn digits_are_kept_and_nothing_is_converted_by_guess() {
    for (part, value, unit, said) in [
        (Part::Temperatures, "36.50", "Cel", "36.50"),
        (Part::Weights, "61.5", "kg", "61.5"),
        (Part::Weights, "268", "g", "0.268"),
        (Part::Weights, "650", "kg", "650"),
        (Part::Weights, "0.150", "kg", "0.150"),
        (Part::Heights, "165", "cm", "165"),
        (Part::Heights, "1.6", "m", "160"),
    ] {
        let resource = only(with(part, &[("value", number(value)), ("unit", json!(unit))]));
        assert_eq!(resource["valueQuantity"]["value"].to_string(), said);
    }
    for (part, value, unit, field, why) in [
        (Part::Weights, "135", "lb", "unit", Why::Unit),
        (Part::Weights, "135", "[lb_av]", "unit", Why::Unit),
        (Part::Weights, "61", "KG", "unit", Why::Unit),
        (Part::Weights, "61", "Cel", "unit", Why::Unit),
        (Part::Weights, "61", "", "unit", Why::Missing),
        (Part::Heights, "65", "[in_i]", "unit", Why::Unit),
        (Part::Heights, "165", "kg", "unit", Why::Unit),
        (Part::Temperatures, "97.7", "[degF]", "unit", Why::Unit),
        (Part::Temperatures, "36.5", "°F", "unit", Why::Unit),
        (Part::Temperatures, "36.5", "K", "unit", Why::Unit),
        (Part::Temperatures, "365", "Cel", "value", Why::Impossible),
        (Part::Temperatures, "97.7", "Cel", "value", Why::Impossible),
        (Part::Temperatures, "47.01", "Cel", "value", Why::Impossible),
        (Part::Temperatures, "0", "Cel", "value", Why::Impossible),
        (Part::Weights, "0", "kg", "value", Why::Impossible),
        (Part::Weights, "700", "kg", "value", Why::Impossible),
        (Part::Weights, "61", "g", "value", Why::Impossible),
        (Part::Heights, "3", "cm", "value", Why::Impossible),
        (Part::Heights, "165", "m", "value", Why::Impossible),
        (Part::Heights, "1.65", "cm", "value", Why::Impossible),
        (Part::Weights, "-61", "kg", "value", Why::NotANumber),
        (Part::Weights, "6.1e1", "kg", "value", Why::NotANumber),
        (Part::Weights, "1e400", "kg", "value", Why::NotANumber),
        (Part::Weights, "61.00000000000000000000", "kg", "value", Why::NotANumber),
        (Part::Weights, "99999999999999999999999", "kg", "value", Why::NotANumber),
    ] {
        let out = with(part, &[("value", number(value)), ("unit", json!(unit))]);
        assert_eq!(out.resources, Vec::<Value>::new(), "{value} {unit}");
        assert_eq!(whys(&out), [(field, why, true)], "{value} {unit}");
    }
    let nothing = mapped(&json!({"weights": [{"id": "w"}]}));
    let missing = |field| (field, Why::Missing, true);
    assert_eq!(whys(&nothing), [missing("unit"), missing("value"), missing("at")]);
}
