use super::*;
use serde_json::json;

const BASE: &str = "https://fhir.example/r4";

fn names() -> FhirNames {
    FhirNames {
        questionnaire: "https://service.example/q/consultation".to_owned(),
        choice_questionnaire: "https://service.example/q/choice".to_owned(),
        epds: std::array::from_fn(|at| format!("epds-{}", at + 1)),
        items: PATHS.iter().map(|path| ((*path).to_owned(), format!("x.{path}"))).collect(),
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00+09:00".parse().unwrap()
}

fn item(id: &str, answers: &[Value]) -> Value {
    json!({"linkId": id, "text": "WORDING", "answer": answers})
}

fn response() -> Value {
    let coded =
        |score: u8| json!({"valueCoding": {"code": "a", "extension": [{"url": ORDINAL, "valueDecimal": score}]}});
    let mut epds: Vec<Value> = (1..=9).map(|n| item(&format!("epds-{n}"), &[json!({"valueInteger": n % 3})])).collect();
    epds.push(item("epds-10", &[coded(1)]));
    let text = |path: &str, text: &str| item(&format!("x.{path}"), &[json!({"valueString": text})]);
    let yes = |path: &str, yes: bool| item(&format!("x.{path}"), &[json!({"valueBoolean": yes})]);
    json!({
        "resourceType": "QuestionnaireResponse", "id": "k-1", "status": "completed", "authored": "2026-11-17T10:05:00+09:00",
        "meta": {"lastUpdated": "2026-11-17T10:06:00+09:00"}, "subject": {"reference": "Patient/u-1"},
        "item": [
            {"linkId": "group", "item": epds},
            item("x.asker.birth", &[json!({"valueDate": "1994-03-02"})]),
            text("child.id", "u-2"), item("x.child.birth", &[json!({"valueDate": "2026-08-30"})]), text("child.name", "見本 一"),
            yes("judgement", true), text("judgement.reason", "眠れていない"), yes("emergency", false), text("marks", "sleep"),
            text("sharing.choice", "content"), text("sharing.municipality", "132063"), text("sharing.text_version", "2026-04"),
            item("x.sharing.at", &[json!({"valueDateTime": "2026-11-17T10:00:00+09:00"})]), text("sharing.evidence", "ev-1"),
            text("residence.municipality", "132063"), text("residence.postal", "183-0055"),
            item("x.safe_contact.means", &[json!({"valueCoding": {"code": "telephone"}}), json!({"valueCoding": {"code": "mail"}})]),
            text("safe_contact.hours", "平日"), yes("safe_contact.voicemail", false), yes("safe_contact.hidden_from_family", true),
            text("content.consultation", "眠れません"),
            item("something else", &[json!({"valueString": "not looked at"})]),
        ]
    })
}

fn searchset(resources: &[Value], next: Option<&str>) -> Vec<u8> {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    let link = next.map(|url| json!([{"relation": "next", "url": url}]));
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": entries});
    if let Some(link) = link {
        bundle["link"] = link;
    }
    bundle.to_string().into_bytes()
}

fn read(resource: &Value) -> Result<Consultation, Rejected> {
    pushed(resource.to_string().as_bytes(), &names(), now()).unwrap().remove(0)
}

#[test]
fn a_response_is_the_same_as_a_record() {
    // child.name is of details: it is none of the triage minimum, and is dropped.
    let read = read(&response()).unwrap();
    assert_eq!((read.id.as_str(), read.asker.id.as_str()), ("k-1", "u-1"));
    assert_eq!(read.epds.map(|epds| (epds.sum(), epds.item_10())), Some((10, Some(1))));
    assert!(read.is_urgent() && read.judgement.unwrap().reasoned && read.child.is_some());
    assert_eq!((read.marks.len(), read.contact.means.len()), (1, 2));
}

#[test]
fn what_is_wrong_is_named_by_the_plain_shape() {
    let mut twice = response();
    twice["item"].as_array_mut().unwrap().push(item("epds-10", &[json!({"valueInteger": 0})]));
    let rejected = read(&twice).unwrap_err();
    assert_eq!(
        rejected.problems.iter().map(|p| (p.field.as_str(), p.why)).collect::<Vec<_>>(),
        [("epds[10]", "out-of-range")]
    );
    assert!(rejected.urgent, "one of the two answers is above 0");

    let mut draft = response();
    draft["status"] = json!("in-progress");
    let rejected = read(&draft).unwrap_err();
    assert_eq!((rejected.problems[0].field.as_str(), rejected.problems[0].why), ("status", "unknown-field"));

    let number = (0..10).map(|d| format!("11111111111{d}")).find(|n| crate::my_number::contained_in(n)).unwrap();
    let mut numbered = response();
    numbered["identifier"] = json!({"value": number});
    assert_eq!(read(&numbered).unwrap_err().problems[0].why, "my-number");
}

#[test]
fn pages_go_on_where_the_server_says_and_nowhere_else() {
    let page = |next: Option<&str>, since| consultations(&searchset(&[response()], next), &names(), BASE, since, now());
    let first = page(None, None).unwrap();
    assert_eq!((first.next.as_str(), first.more, first.items.len()), ("2026-11-17T01:06:00Z", false, 1));
    let next = page(Some("https://fhir.example/r4?_getpages=1"), None).unwrap();
    assert_eq!((next.next.as_str(), next.more), ("/?_getpages=1", true));
    assert_eq!(target("q", Some(&next.next), 5), "/?_getpages=1");
    assert!(target("q", Some("2026-11-17T01:06:00Z"), 5).ends_with("_count=5&_lastUpdated=ge2026-11-17T01%3A06%3A00Z"));
    for elsewhere in ["https://other.example/r4?x=1", "//other.example/", "relative"] {
        assert_eq!(page(Some(elsewhere), None).unwrap_err().what, "link");
    }
    let empty = consultations(&searchset(&[], None), &names(), BASE, Some("2026-11-17T01:06:00Z"), now()).unwrap();
    assert_eq!((empty.next.as_str(), empty.items.len()), ("2026-11-17T01:06:00Z", 0));
    let broken = br#"{"resourceType":"Bundle","entry":[{"linkId":"epds-10"#;
    assert_eq!(
        consultations(broken, &names(), BASE, None, now()).unwrap_err(),
        Broken { what: "bundle", urgent: false }
    );
    let broken = br#"{"resourceType":"Bundle","entry":[{"linkId":"epds-10","#;
    assert!(consultations(broken, &names(), BASE, None, now()).unwrap_err().urgent);
}

#[test]
fn details_come_from_patients_and_words_only_if_wanted() {
    let patient = json!({
        "resourceType": "Patient", "id": "u-1", "birthDate": "1994-03-02", "address": [{"text": "府中市見本町1-2"}],
        "telecom": [{"system": "phone", "value": "03-0000-0042"}, {"system": "fax", "value": "1"}],
        "name": [{"extension": [{"url": REPRESENTATION, "valueCode": "SYL"}], "text": "ゴウセイ ハナコ"},
                 {"extension": [{"url": REPRESENTATION, "valueCode": "IDE"}], "family": "合成", "given": ["花子"]}]
    });
    let id = ConsultationId::parse("k-1").unwrap();
    for wanted in [Wanted::Identity, Wanted::Content] {
        let body = details(&searchset(&[response(), patient.clone()], None), &names(), wanted).unwrap();
        let read =
            super::super::details::read(&body, std::slice::from_ref(&id), wanted, now()).unwrap().remove(0).unwrap();
        assert_eq!((read.asker.name.as_str(), read.asker.kana.as_str()), ("合成 花子", "ゴウセイ ハナコ"));
        assert_eq!((read.address.as_str(), read.reach.len()), ("府中市見本町1-2", 1));
        assert_eq!(read.child.unwrap().name, "見本 一");
        assert_eq!(read.content.is_some(), wanted == Wanted::Content);
        assert!(!String::from_utf8(body).unwrap().contains("WORDING"));
    }
}

#[test]
fn changed_choices_are_responses_too() {
    let mut change = response();
    change["item"].as_array_mut().unwrap().push(item("x.consultation", &[json!({"valueString": "k-9"})]));
    let page = choices(&searchset(&[change, response()], None), &names(), BASE, None, now()).unwrap();
    let [Ok(one), Ok(all)] = page.items.as_slice() else { panic!() };
    assert_eq!(one.consultation.as_ref().map(ConsultationId::as_str), Some("k-9"));
    assert_eq!((all.user.as_str(), &all.consultation), ("u-1", &None));
}
