//! What a consultation service tells. Input: a byte that says which feed, then the body: a page of consultations, of changed
//! choices, or a FHIR resource that is pushed.
//!
//! What is read is what another, loose reader of JSON sees at the same place; nothing unknown, impossible or ahead is taken, and
//! no My Number; a record is read or rejected with its problems, whose paths say nothing of the content; and whatever says
//! plainly that it can't wait is urgent, also in a record that is rejected and in a page that can't be read.

use jiff::Timestamp;
use sekisho_adapters::consultation::fhir::{FhirNames, PATHS};
use sekisho_adapters::consultation::{Choice, Chosen, Consultation, Rejected, Shape, read_pushed, wire};
use sekisho_adapters::my_number;
use serde_json::Value;

const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);
const FIELDS: [&str; 12] = [
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

/// Panics on a finding.
pub fn check(data: &[u8]) {
    let Some((which, body)) = data.split_first() else { return };
    match which % 3 {
        0 => feed(body),
        1 => choices(body),
        _ => pushed(body),
    }
}

fn feed(body: &[u8]) {
    let read = wire::consultations(body, NOW);
    assert_eq!(read, wire::consultations(body, NOW), "the same page gives the same");
    let loose: Option<Value> = serde_json::from_str(&String::from_utf8_lossy(body)).ok();
    match read {
        Err(broken) => {
            let plainly = body.windows(16).any(|some| some == b"\"emergency\":true");
            assert!(broken.urgent || !plainly, "a page that can't be read calls somebody");
        }
        Ok(page) => {
            let loose = loose.expect("what was read is JSON");
            let items = loose["items"].as_array().expect("a list");
            assert_eq!(items.len(), page.items.len(), "every record is read or rejected");
            assert_eq!(loose["next"].as_str(), Some(page.next.as_str()));
            for (item, read) in items.iter().zip(&page.items) {
                match read {
                    Ok(consultation) => sound(item, consultation),
                    Err(rejected) => named(item, rejected),
                }
            }
        }
    }
}

fn sound(item: &Value, read: &Consultation) {
    let members = item.as_object().expect("an object");
    assert!(members.keys().all(|name| FIELDS.contains(&name.as_str())), "nothing unknown is taken");
    assert!(!holds_a_my_number(item), "what could be an individual number takes its record with it");
    assert_eq!(item["id"].as_str(), Some(read.id.as_str()));
    assert_eq!(item["emergency"].as_bool(), Some(read.emergency));
    assert!(read.at.as_second() <= NOW.as_second() + 300, "nothing ahead");
    for (who, user) in [("asker", Some(&read.asker)), ("child", read.child.as_ref())] {
        let Some(user) = user else { continue };
        assert_eq!(item[who]["id"].as_str(), Some(user.id.as_str()));
        assert_eq!(item[who]["birth"].as_str(), Some(user.birth.to_string().as_str()));
        assert!(jiff::tz::Offset::constant(9).to_datetime(read.at).date() >= user.birth, "born before it");
    }
    if let Some(epds) = read.epds {
        let given: Vec<Option<u64>> = item["epds"].as_array().expect("a list").iter().map(Value::as_u64).collect();
        let taken: Vec<Option<u64>> = epds.scores().iter().map(|score| score.map(u64::from)).collect();
        assert_eq!(given, taken, "no score is made up or moved");
        assert!(taken.iter().flatten().all(|score| *score <= 3));
    }
    assert_eq!(read.judgement.is_some(), item["judgement"].is_object());
    let reason = item["judgement"]["reason"].as_str().unwrap_or_default();
    assert!(!read.judgement.is_some_and(|j| j.reasoned) || !reason.trim().is_empty(), "a reason isn't blank");
    chosen(&item["sharing"], &read.chosen);
    assert!(!read.contact.means.is_empty() && !read.contact.hours.is_empty(), "a safe contact, always");
    assert_eq!(item["safe_contact"]["hidden_from_family"].as_bool(), Some(read.contact.hidden_from_family));
    assert_eq!(item["safe_contact"]["voicemail"].as_bool(), Some(read.contact.voicemail));
}

fn chosen(item: &Value, read: &Chosen) {
    let word = match read.choice {
        Choice::Content => "content",
        Choice::IdentityOnly => "identity-only",
        Choice::Nothing => "nothing",
    };
    assert_eq!(item["choice"].as_str(), Some(word), "a choice is never read as another");
    assert_eq!(item["municipality"].as_str(), Some(read.municipality.as_str()));
    assert_eq!(item["evidence"].as_str(), Some(read.evidence.as_str()));
}

fn named(item: &Value, rejected: &Rejected) {
    assert!(!rejected.problems.is_empty(), "what is rejected has a reason");
    for problem in &rejected.problems {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]?".contains(c);
        assert!(problem.field.chars().all(plain) && problem.field.len() < 100, "a path says nothing of the content");
    }
    let item_10 = item["epds"].as_array().and_then(|scores| scores.get(9)?.as_u64()).is_some_and(|score| score >= 1);
    assert!(rejected.urgent || !(item["emergency"] == true || item_10), "what can't wait is seen in any wreck");
}

fn choices(body: &[u8]) {
    let Ok(page) = wire::choices(body, NOW) else { return };
    let loose: Value = serde_json::from_str(&String::from_utf8_lossy(body)).expect("what was read is JSON");
    let items = loose["items"].as_array().expect("a list");
    assert_eq!(items.len(), page.items.len());
    for (item, read) in items.iter().zip(&page.items) {
        match read {
            Ok(changed) => {
                assert_eq!(item["user"].as_str(), Some(changed.user.as_str()));
                assert_eq!(item["consultation"].as_str(), changed.consultation.as_ref().map(|id| id.as_str()));
                assert!(item["consultation"].is_string() || item["consultation"].is_null(), "all of theirs is said so");
                chosen(&item["sharing"], &changed.chosen);
            }
            Err(rejected) => assert!(!rejected.problems.is_empty()),
        }
    }
}

/// The names of items are their paths.
fn pushed(body: &[u8]) {
    let names = FhirNames {
        questionnaire: String::new(),
        choice_questionnaire: String::new(),
        epds: std::array::from_fn(|at| format!("epds.{}", at + 1)),
        items: PATHS.iter().map(|path| ((*path).to_owned(), (*path).to_owned())).collect(),
    };
    let shape = Shape::Fhir(Box::new(names));
    let Ok(read) = read_pushed(body, &shape, NOW) else { return };
    for consultation in read.iter().flatten() {
        assert!(consultation.at.as_second() <= NOW.as_second() + 300, "nothing ahead");
        assert!(!consultation.contact.means.is_empty(), "a safe contact, always");
    }
}

fn holds_a_my_number(value: &Value) -> bool {
    match value {
        Value::String(text) => my_number::contained_in(text),
        Value::Number(number) => my_number::contained_in(&number.to_string()),
        Value::Array(items) => items.iter().any(holds_a_my_number),
        Value::Object(members) => {
            members.iter().any(|(name, value)| my_number::contained_in(name) || holds_a_my_number(value))
        }
        Value::Null | Value::Bool(_) => false,
    }
}
