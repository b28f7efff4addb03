use super::*;
use crate::people::consultations::Consultations;
use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-20T12:00:00+09:00".parse().unwrap()
}

fn sound() -> Value {
    json!({
        "id": "k-1", "at": "2026-11-17T10:05:00+09:00",
        "asker": {"id": "u-1", "birth": "1994-03-02"}, "child": {"id": "u-2", "birth": "2026-11-17"},
        "epds": [0, 1, null, 3, 2, 0, 0, 1, 0, 0], "judgement": {"reason": "眠れていない"}, "emergency": false,
        "marks": ["sleep"],
        "sharing": {"choice": "content", "municipality": "132063", "text_version": "2026-04",
                    "at": "2026-11-17T10:00:00+09:00", "evidence": "ev-1"},
        "residence": {"municipality": "132063", "postal": "183-0055"},
        "present": {"municipality": "131121", "postal": "1540011"},
        "safe_contact": {"means": ["telephone", "mail"], "hours": "平日 10:00-15:00", "voicemail": false,
                         "hidden_from_family": true}
    })
}

/// The record with a value at a pointer, or without it.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut record = sound();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = record.pointer_mut(parent).unwrap();
    match (value, parent) {
        (Some(value), Value::Array(items)) => items[name.parse::<usize>().unwrap()] = value,
        (Some(value), parent) => parent[name] = value,
        (None, parent) => {
            parent.as_object_mut().unwrap().remove(name);
        }
    }
    record
}

fn read(record: &Value) -> Result<Consultation, Rejected> {
    consultation(&record.to_string(), 7, now())
}

fn problems(rejected: &Rejected) -> Vec<(&str, &str)> {
    rejected.problems.iter().map(|problem| (problem.field.as_str(), problem.why)).collect()
}

#[test]
fn a_sound_record_is_read_whole() {
    let read = read(&sound()).unwrap();
    assert_eq!(read.id.as_str(), "k-1");
    assert_eq!((read.asker.id.as_str(), read.asker.birth), ("u-1", date(1994, 3, 2)));
    assert_eq!(read.child.as_ref().map(|child| child.id.as_str()), Some("u-2"));
    assert_eq!(read.epds.map(|epds| (epds.sum(), epds.answered(), epds.item_10())), Some((7, 9, Some(0))));
    assert_eq!(read.judgement, Some(Judgement { reasoned: true }));
    assert_eq!((read.emergency, read.marks.as_slice()), (false, ["sleep".to_owned()].as_slice()));
    assert_eq!((read.chosen.choice, read.chosen.evidence.as_str()), (Choice::Content, "ev-1"));
    assert_eq!(read.residence.postal.map(|code| code.as_str().to_owned()).as_deref(), Some("1830055"));
    assert_eq!(read.present.map(|place| place.municipality.to_string()).as_deref(), Some("131121"));
    assert_eq!(read.contact.means, [Means::Telephone, Means::Mail]);
    assert!(!read.is_urgent() && read.contact.hidden_from_family && !read.contact.voicemail);
    for optional in ["/child", "/epds", "/judgement", "/marks", "/present", "/residence/postal"] {
        assert!(self::read(&with(optional, None)).is_ok() && self::read(&with(optional, Some(Value::Null))).is_ok());
    }
}

#[test]
fn every_wrong_field_is_named() {
    let rows: [(&str, Option<Value>, &str, &str); 37] = [
        ("/id", None, "id", "missing"),
        ("/id", Some(json!("a b")), "id", "not-an-id"),
        ("/id", Some(json!(5)), "id", "not-text"),
        ("/at", Some(json!("2026-11-17T10:05:00")), "at", "not-an-instant"),
        ("/at", Some(json!("2026-11-20T12:06:00+09:00")), "at", "in-the-future"),
        ("/asker", None, "asker", "missing"),
        ("/asker", Some(json!("u-1")), "asker", "not-an-object"),
        ("/asker/birth", Some(json!("1994-02-30")), "asker.birth", "not-a-date"),
        ("/asker/birth", Some(json!("1899-12-31")), "asker.birth", "out-of-range"),
        ("/asker/name", Some(json!("合成 花子")), "asker.name", "unknown-field"),
        ("/child/birth", Some(json!("2026-11-18")), "child.birth", "after-consultation"),
        ("/child/birth", Some(json!("2027-01-01")), "child.birth", "in-the-future"),
        ("/epds/2", Some(json!(4)), "epds[3]", "out-of-range"),
        ("/epds/9", Some(json!(-1)), "epds[10]", "out-of-range"),
        ("/epds/0", Some(json!("1")), "epds[1]", "out-of-range"),
        ("/epds/0", Some(json!(1.0)), "epds[1]", "out-of-range"),
        ("/epds", Some(json!(vec![0; 11])), "epds", "too-many"),
        ("/epds", Some(json!(vec![0; 9])), "epds", "too-few"),
        ("/epds", Some(json!({"1": 0})), "epds", "not-a-list"),
        ("/judgement/reason", Some(json!("長".repeat(10_001))), "judgement.reason", "too-long"),
        ("/emergency", None, "emergency", "missing"),
        ("/emergency", Some(json!("no")), "emergency", "not-true-or-false"),
        ("/marks/0", Some(json!("a b")), "marks[1]", "not-a-code"),
        ("/marks", Some(json!(["a", "a"])), "marks[2]", "twice"),
        ("/marks", Some(json!(vec!["a"; 33])), "marks", "too-many"),
        ("/sharing", None, "sharing", "missing"),
        ("/sharing/choice", Some(json!("name")), "sharing.choice", "unknown-value"),
        ("/sharing/municipality", Some(json!("132064")), "sharing.municipality", "check-digit"),
        ("/sharing/municipality", Some(json!("府中市")), "sharing.municipality", "not-a-municipality"),
        ("/sharing/evidence", None, "sharing.evidence", "missing"),
        ("/residence/postal", Some(json!("183")), "residence.postal", "not-a-postal-code"),
        ("/safe_contact", None, "safe_contact", "missing"),
        ("/safe_contact/means", Some(json!([])), "safe_contact.means", "missing"),
        ("/safe_contact/means/1", Some(json!("fax")), "safe_contact.means[2]", "unknown-value"),
        ("/safe_contact/hours", Some(json!("　")), "safe_contact.hours", "missing"),
        ("/safe_contact/hours", Some(json!("時".repeat(101))), "safe_contact.hours", "too-long"),
        ("/合成 花子", Some(json!(1)), "?", "unknown-field"),
    ];
    for (pointer, value, field, why) in rows {
        let record = with(pointer, value);
        let rejected = read(&record).unwrap_err();
        assert_eq!(problems(&rejected), [(field, why)], "{record}");
        assert_eq!(
            rejected.user.as_ref().map(UserId::as_str),
            (!pointer.starts_with("/asker") || pointer.len() > 6).then_some("u-1")
        );
        let urgent = pointer == "/epds/9";
        assert_eq!(rejected.urgent, urgent, "{record}");
    }
}

#[test]
fn all_problems_come_at_once_and_what_is_urgent_stays_so() {
    let mut record = sound();
    record["epds"] = json!([0, 4, 0, 0, 0, 0, 0, 0, 0, 2]);
    record["sharing"]["municipality"] = json!("131203");
    record["safe_contact"]["hours"] = json!("");
    let rejected = read(&record).unwrap_err();
    let expected =
        [("epds[2]", "out-of-range"), ("sharing.municipality", "check-digit"), ("safe_contact.hours", "missing")];
    assert_eq!(problems(&rejected), expected);
    assert_eq!(rejected.id.as_ref().map(ConsultationId::as_str), Ok("k-1"));
    assert!(rejected.urgent);
    let marked = with("/emergency", Some(json!("TRUE")));
    assert!(read(&marked).unwrap_err().urgent);
}

#[test]
fn a_reason_of_blanks_is_none() {
    for blank in ["", " ", "　\t\n", "\u{200b}\u{feff}", "\u{3164}\u{2800}", "\u{200d}\u{fe0f}", "\u{ad}"] {
        let read = read(&with("/judgement/reason", Some(json!(blank)))).unwrap();
        assert_eq!(read.judgement, Some(Judgement { reasoned: false }), "{blank:?}");
    }
    assert_eq!(read(&with("/judgement/reason", None)).unwrap().judgement, Some(Judgement { reasoned: false }));
    assert_eq!(
        read(&with("/judgement/reason", Some(json!("。")))).unwrap().judgement,
        Some(Judgement { reasoned: true })
    );
}

#[test]
fn a_my_number_is_refused_wherever_it_stands() {
    let number = (0..10).map(|d| format!("11111111111{d}")).find(|n| crate::my_number::contained_in(n)).unwrap();
    for pointer in ["/id", "/asker/id", "/judgement/reason", "/sharing/evidence", "/safe_contact/hours", "/x"] {
        let rejected = read(&with(pointer, Some(json!(number)))).unwrap_err();
        assert_eq!(problems(&rejected), [("", "my-number")]);
        assert!(!format!("{rejected:?}").contains(&number));
    }
}

fn a_page(records: &[String]) -> String {
    format!(r#"{{"items":[{}],"next":"w-1","more":false}}"#, records.join(","))
}

#[test]
fn one_bad_record_never_spoils_the_page() {
    let large = with("/judgement/reason", Some(json!("長".repeat(3_500_000)))).to_string();
    let urgent = with("/emergency", Some(json!(true))).to_string();
    let twice = urgent.replacen('{', "{\"id\":\"k-9\",", 1);
    let records = [
        sound().to_string(),
        "5".to_owned(),
        large.replace("false", "true"),
        twice,
        "null".to_owned(),
        sound().to_string(),
    ];
    let page = consultations(a_page(&records).as_bytes(), now()).unwrap();
    let why: Vec<_> = page.items.iter().map(|item| item.as_ref().map_or_else(|r| problems(r)[0].1, |_| "")).collect();
    assert_eq!(why, ["", "not-an-object", "too-large", "name-twice", "not-an-object", ""]);
    let urgent: Vec<_> = page.items.iter().map(|item| item.as_ref().is_err_and(|r| r.urgent)).collect();
    assert_eq!(urgent, [false, false, true, true, false, false]);
    assert_eq!(page.items[2].as_ref().unwrap_err().id.as_ref().map(ConsultationId::as_str), Ok("k-1"));
    assert_eq!(page.items[3].as_ref().unwrap_err().id, Err(3));

    let mut bytes = a_page(&records[..2]).into_bytes();
    let at = bytes.windows(3).position(|three| three == "眠".as_bytes()).unwrap();
    bytes[at] = 0x91;
    let page = consultations(&bytes, now()).unwrap();
    assert_eq!(problems(page.items[0].as_ref().unwrap_err()), [("", "not-utf8")]);
}

#[test]
fn a_broken_page_says_where_and_whether_somebody_should_look() {
    let urgent = with("/emergency", Some(json!(true))).to_string();
    let sound = a_page(&[urgent]);
    for (body, what, urgent) in [
        (sound[..sound.len() - 5].to_owned(), "body", true),
        (sound.replace("items", "things"), "items", true),
        (sound.replace("w-1", "w 1"), "next", true),
        (sound.replace(r#""more":false"#, r#""more":0"#), "more", true),
        (sound.replacen('{', "{\"total\":1,", 1), "a member that isn't known", true),
        (String::new(), "body", false),
        ("[]".to_owned(), "body", false),
    ] {
        assert_eq!(consultations(body.as_bytes(), now()).unwrap_err(), Broken { what, urgent }, "{body}");
    }
}

#[test]
fn changed_choices_are_read_and_what_cannot_be_read_says_whose_it_is() {
    let sharing = sound()["sharing"].clone();
    let one =
        |consultation: Value| json!({"user": "u-1", "consultation": consultation, "sharing": sharing}).to_string();
    let page = choices(a_page(&[one(Value::Null), one(json!("k-1")), one(json!(1))]).as_bytes(), now()).unwrap();
    let [Ok(all), Ok(of_one), Err(rejected)] = page.items.as_slice() else { panic!() };
    assert_eq!((all.user.as_str(), &all.consultation), ("u-1", &None));
    assert_eq!(of_one.consultation.as_ref().map(ConsultationId::as_str), Some("k-1"));
    assert_eq!(problems(rejected), [("consultation", "not-an-id")]);
    assert_eq!((rejected.user.as_ref().map(UserId::as_str), rejected.urgent), (Some("u-1"), false));
}

#[test]
fn generated_consultations_are_sound_and_as_they_should_be() {
    let from = "2026-11-16T00:00:00+09:00".parse().unwrap();
    let all = Consultations::new(7, date(2026, 11, 20), from, 10);
    let (mut flagged, mut urgent, mut content, mut nothing, mut away) = (0, 0, 0, 0, 0);
    for index in 0..20_000 {
        let text = all.json(index);
        let read = consultation(&text, 0, now()).unwrap_or_else(|rejected| panic!("{text} {rejected:?}"));
        assert_eq!(Consultations::index(read.id.as_str()), Some(index));
        urgent += u32::from(read.is_urgent());
        flagged += u32::from(read.judgement.is_some() || read.epds.is_some_and(|epds| epds.sum() >= 9));
        content += u32::from(read.chosen.choice == Choice::Content);
        nothing += u32::from(read.chosen.choice == Choice::Nothing);
        away += u32::from(read.present.is_some());
    }
    assert!((1_800..2_300).contains(&flagged) && (1..20).contains(&urgent), "{flagged} {urgent}");
    assert!((14_600..15_400).contains(&content) && (1_800..2_200).contains(&nothing) && (400..1_200).contains(&away));
}

/// The model: a tree, walked without cleverness, that says only whether a record is sound.
fn model(record: &Value) -> bool {
    let known = |value: &Value, names: &[&str]| {
        value.as_object().is_some_and(|o| o.keys().all(|k| names.contains(&k.as_str())))
    };
    let text = |v: &Value| {
        v.as_str().is_some_and(|t| !t.is_empty() && t.len() <= 64 && t.bytes().all(|b| b.is_ascii_graphic()))
    };
    let place = |v: &Value| {
        known(v, &["municipality", "postal"])
            && v["municipality"].as_str().is_some_and(|m| m == "132063" || m == "131121")
    };
    let user = |v: &Value| {
        known(v, &["id", "birth"]) && text(&v["id"]) && matches!(v["birth"].as_str(), Some("1994-03-02" | "2026-11-17"))
    };
    let maybe = |v: &Value, sound: &dyn Fn(&Value) -> bool| v.is_null() || sound(v);
    let names = [
        "id",
        "at",
        "asker",
        "child",
        "epds",
        "judgement",
        "emergency",
        "marks",
        "sharing",
        "residence",
        "present",
        "safe_contact",
    ];
    let score = |v: &Value| v.is_null() || v.as_u64().is_some_and(|s| s <= 3);
    known(record, &names)
        && text(&record["id"])
        && record["at"] == "2026-11-17T10:05:00+09:00"
        && user(&record["asker"])
        && maybe(&record["child"], &user)
        && maybe(&record["epds"], &|v| v.as_array().is_some_and(|a| a.len() == 10 && a.iter().all(score)))
        && maybe(&record["judgement"], &|v| known(v, &["reason"]) && (v["reason"].is_null() || v["reason"].is_string()))
        && record["emergency"].is_boolean()
        && maybe(&record["marks"], &|v| v.as_array().is_some_and(|a| a.iter().all(text) && a.len() < 2))
        && known(&record["sharing"], &["choice", "municipality", "text_version", "at", "evidence"])
        && matches!(record["sharing"]["choice"].as_str(), Some("content" | "identity-only" | "nothing"))
        && place(&json!({"municipality": record["sharing"]["municipality"]}))
        && text(&record["sharing"]["text_version"])
        && text(&record["sharing"]["evidence"])
        && record["sharing"]["at"] == "2026-11-17T10:00:00+09:00"
        && place(&record["residence"])
        && maybe(&record["residence"]["postal"], &|v| matches!(v.as_str(), Some("" | "183-0055" | "1540011")))
        && maybe(&record["present"], &|v| {
            place(v) && maybe(&v["postal"], &|p| matches!(p.as_str(), Some("" | "183-0055" | "1540011")))
        })
        && known(&record["safe_contact"], &["means", "hours", "voicemail", "hidden_from_family"])
        && record["safe_contact"]["means"].as_array().is_some_and(|a| {
            !a.is_empty()
                && a.iter().all(|m| m == "telephone" || m == "mail")
                && (a.len() < 2 || (a.len() == 2 && a[0] != a[1]))
        })
        && record["safe_contact"]["hours"].as_str().is_some_and(|t| !t.trim().is_empty())
        && record["safe_contact"]["voicemail"].is_boolean()
        && record["safe_contact"]["hidden_from_family"].is_boolean()
}

const PLACES: [&str; 24] = [
    "/id",
    "/at",
    "/asker",
    "/asker/id",
    "/asker/birth",
    "/child",
    "/child/birth",
    "/epds",
    "/epds/2",
    "/epds/9",
    "/judgement",
    "/judgement/reason",
    "/emergency",
    "/marks",
    "/marks/0",
    "/sharing",
    "/sharing/choice",
    "/sharing/municipality",
    "/residence/postal",
    "/present/municipality",
    "/safe_contact/means",
    "/safe_contact/means/0",
    "/safe_contact/hours",
    "/safe_contact/x",
];

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2..6_i64).prop_map(|n: i64| json!(n)),
        Just(json!(1.5)),
        Just(json!([])),
        Just(json!({})),
        prop::sample::select(vec![
            "",
            "u-9",
            "content",
            "nothing",
            "132063",
            "132064",
            "mail",
            "telephone",
            "183-0055",
            "2026-11-17",
            "　"
        ])
        .prop_map(|text| json!(text)),
        prop::collection::vec((0..5_u8).prop_map(|n| json!(n)), 8..12).prop_map(Value::Array),
    ]
}

proptest! {
    #[test]
    fn reading_agrees_with_a_slow_model(changes in prop::collection::vec((prop::sample::select(PLACES.to_vec()), anything()), 0..4)) {
        let mut record = sound();
        for (pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match record.pointer_mut(parent) {
                Some(Value::Object(members)) => { members.insert(name.to_owned(), value); }
                Some(Value::Array(items)) => if let Some(item) = items.get_mut(name.parse::<usize>().unwrap_or(99)) { *item = value },
                _ => {}
            }
        }
        let read = read(&record);
        prop_assert_eq!(read.is_ok(), model(&record), "{} {:?}", &record, &read);
        let urgent = record["emergency"] == true || record["epds"][9].as_u64().is_some_and(|score| score >= 1);
        let seen = read.as_ref().map_or_else(|rejected| rejected.urgent, Consultation::is_urgent);
        prop_assert!(seen || !urgent, "what is urgent is seen: {}", &record);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..1200_usize, at in 0..1200_usize) {
        let _ = consultations(&bytes, now());
        let mut page = a_page(&[sound().to_string()]).into_bytes();
        page.truncate(cut.max(1));
        let at = at % page.len();
        page.splice(at..at, bytes);
        let _ = consultations(&page, now());
        let _ = choices(&page, now());
    }
}

/// How long a record takes; `cargo test --release -p sekisho-adapters --lib speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let from = "2026-11-16T00:00:00+09:00".parse().unwrap();
    let all = Consultations::new(7, date(2026, 11, 20), from, 10);
    let pages: Vec<String> =
        (0..20).map(|p| a_page(&(0..1000).map(|i| all.json(p * 1000 + i)).collect::<Vec<_>>())).collect();
    let started = std::time::Instant::now();
    let read: usize = pages.iter().map(|page| consultations(page.as_bytes(), now()).unwrap().items.len()).sum();
    println!("read {:?} a record", started.elapsed() / u32::try_from(read).unwrap());
}
