//! Sources that write what they must not, and a clinic that reads a summary meanwhile: what can't be read or trusted is left out
//! and said to be missing, what else there is comes, and nothing of the rest goes anywhere. And summaries that race with a
//! revocation.

use std::time::{Duration, Instant};

use http::Method;
use sekisho::demo::world::DOCTOR;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::phr_app::stand_in::{self as phr, Encoding};
use sekisho_tests::town::{Town, history, standing_clock};
use serde_json::{Value, json};

use super::bookings::booked;
use super::clinic_pages::{check, confirm, staff};
use super::summary::{
    self, ALL, PURPOSE, UnderWay, ask, composition, grant, head, opened, opened_on, resources, section, set, summary,
    with_much,
};

/// Planted where nothing may come from.
const MARK: &str = "mk-must-not-leave";
const FROM_CITY: &str = "府中市から受け取れなかった情報があります。";
const FROM_APP: &str = "よつば母子手帳アプリから受け取れなかった情報があります。";

/// A town whose city holds every category as well.
async fn with_a_rich_city() -> Town {
    let all = format!("categories = {ALL:?}");
    opened(move |text| text.replace("categories = [\"identity@1\", \"vaccination@1\"]", &all)).await
}

/// A document, which came in bounded time and holds nothing of what was planted.
async fn clean(town: &Town, patient: &str, what: &str) -> Value {
    let began = Instant::now();
    let bundle = summary(town, patient).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{what}");
    let text = bundle.to_string();
    assert!(!text.contains(MARK) && !text.contains(town.child_at_city()), "{what}: {text}");
    bundle
}

fn says_missing(bundle: &Value, sentence: &str) -> bool {
    let said = composition(bundle)["extension"].to_string().contains("source-missing");
    assert_eq!(said, head(bundle).contains(sentence), "in words and as data alike: {}", head(bundle));
    said
}

/// Searchsets that none is to be read from.
fn unreadable(patient: &str) -> Vec<(&'static str, Vec<u8>)> {
    let dose = |more: &str| {
        format!(
            r#"{{"resourceType":"Immunization","id":"d","status":"completed","patient":{{"reference":"Patient/{patient}"}},"vaccineCode":{{"text":"{MARK}"}}{more}}}"#
        )
    };
    let bundle = |resource: &str| {
        format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{resource}}}]}}"#).into_bytes()
    };
    let deep = format!(r#","protocolApplied":{}1{}"#, "[".repeat(2_000), "]".repeat(2_000));
    let (good, said) = (bundle(&dose("")), bundle(&dose(r#","lotNumber":"体重"#)));
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(std::str::from_utf8(&said).unwrap());
    let utf16: Vec<u8> = [0xfe, 0xff].into_iter().chain(good.iter().flat_map(|b| [0, *b])).collect();
    let broken = [&good[..good.len() - 20], &[0xe4, 0xbd], &good[good.len() - 20..]].concat();
    vec![
        ("nested two thousand deep", bundle(&dose(&deep))),
        ("Shift_JIS", sjis.into_owned()),
        ("broken UTF-8", broken),
        ("UTF-16", utf16),
        ("a byte order mark", [b"\xef\xbb\xbf", &good[..]].concat()),
        ("a page", format!("<!DOCTYPE html><script>{MARK}</script>").into_bytes()),
        ("a name twice", bundle(&dose(r#","status":"not-done""#))),
        ("no searchset", String::from_utf8(good.clone()).unwrap().replace("searchset", "history").into_bytes()),
        (
            "entries that are none",
            format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":"{MARK}"}}"#).into_bytes(),
        ),
        ("cut short", good[..good.len() - 9].to_vec()),
        ("nothing", Vec::new()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_writes_what_none_can_read_is_missing_and_the_app_comes() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let whole = clean(&town, &patient, "before").await;
    assert!(!says_missing(&whole, FROM_CITY));
    let missing = async |what: &str| {
        let bundle = clean(&town, &patient, what).await;
        assert!(says_missing(&bundle, FROM_CITY), "{what}");
        assert_eq!(resources(&bundle, "Observation").len(), resources(&whole, "Observation").len(), "{what}");
        assert!(resources(&bundle, "Immunization").iter().all(|dose| dose["meta"]["tag"][0]["code"] == "portal-copy"));
    };
    for (what, bytes) in unreadable(town.child_at_city()) {
        town.world.city.answer_with(Some(bytes));
        missing(what).await;
    }
    town.world.city.answer_with(None);
    town.world.city.set_knobs(Knobs { pad_to_bytes: Some(50 << 20), ..Knobs::default() });
    missing("fifty megabytes").await;
    town.world.city.set_knobs(Knobs { next_at_port: Some(town.world.city.addr().port()), ..Knobs::default() });
    missing("pages in a circle").await;
    town.world.city.set_knobs(Knobs::default());
    assert!(!says_missing(&clean(&town, &patient, "after").await, FROM_CITY), "and it goes on after");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_answer_that_is_not_to_be_trusted_is_left_out_whole() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let held = json!([{"id": "c1", "name": format!("{MARK}体重"), "entered": "self"}]);
    set(&town, &[("conditions", held)]);
    let knobs = phr::Knobs::default();
    for (what, knobs) in [
        ("somebody else's", phr::Knobs { somebody_elses: true, ..knobs }),
        ("one item of another", phr::Knobs { one_item_of_another: true, ..knobs }),
        ("Shift_JIS", phr::Knobs { encoding: Encoding::ShiftJis, ..knobs }),
        ("broken UTF-8", phr::Knobs { encoding: Encoding::BrokenUtf8, ..knobs }),
        ("said to be Shift_JIS", phr::Knobs { content_type: Some("application/json; charset=Shift_JIS"), ..knobs }),
        ("a page", phr::Knobs { content_type: Some("text/html"), ..knobs }),
        ("a name twice", phr::Knobs { name_twice: true, ..knobs }),
        ("six thousand items", phr::Knobs { items: Some(6_000), ..knobs }),
        ("fifty megabytes", phr::Knobs { pad_to_bytes: Some(50 << 20), ..knobs }),
        ("a redirect", phr::Knobs { redirect_to_port: Some(town.world.city.addr().port()), ..knobs }),
    ] {
        town.world.phr.set_knobs(knobs);
        let bundle = clean(&town, &patient, what).await;
        assert!(says_missing(&bundle, FROM_APP), "{what}");
        assert!(resources(&bundle, "Condition").is_empty() && resources(&bundle, "Observation").is_empty(), "{what}");
        assert!(!resources(&bundle, "Immunization").is_empty(), "{what}: the city's");
    }
    town.gateway.stop().await;
}

/// What an app writes that can't be is left out, which is said: a doctor must not take it for not being there.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_left_out_and_said_to_be_missing() {
    let town = opened(|text| text).await;
    let (consent, patient) = grant(&town, &ALL, None).await;
    let egg = json!({"id": "a1", "name": "鶏卵", "entered": "self"});
    let others = [("temperatures", json!([])), ("weights", json!([])), ("conditions", json!([]))];
    set(&town, &[&others[..], &[("allergies", json!([egg]))]].concat());
    let before = clean(&town, &patient, "before").await;
    assert!(!says_missing(&before, FROM_APP));
    let heights = resources(&before, "Observation").len();
    let at = "2026-11-20T07:12:00+09:00";
    let measured = |value: f64, unit: &str, at: &str| json!([{"id": "x", "value": value, "unit": unit, "at": at, "note": MARK, "entered": "device"}]);
    let named = |name: &str| json!([egg, {"id": "x", "name": name, "entered": "self"}]);
    // Eleven digits and the digit that makes a My Number of them.
    let number = (0..10).map(|n| format!("11111111111{n}")).find(|n| sekisho_adapters::my_number::contained_in(n));
    for (what, part, items) in [
        ("体温 365", "temperatures", measured(365.0, "Cel", at)),
        ("degrees Fahrenheit", "temperatures", measured(97.9, "[degF]", at)),
        ("pounds", "weights", measured(35.2, "lb", at)),
        ("tomorrow", "temperatures", measured(36.5, "Cel", &town.in_seconds(86_400))),
        ("a My Number", "allergies", named(&format!("{MARK} {}", number.unwrap()))),
        ("longer than a name is", "allergies", named(&format!("{MARK}{}", "長".repeat(300)))),
        ("no name", "conditions", json!([{"id": "x", "code_system": "icd10", "code": "J45.0", "entered": "self"}])),
    ] {
        let mut parts = others.to_vec();
        parts.push(("allergies", json!([egg])));
        parts.push((part, items));
        set(&town, &parts);
        let bundle = clean(&town, &patient, what).await;
        assert!(says_missing(&bundle, FROM_APP), "{what}");
        assert_eq!(resources(&bundle, "AllergyIntolerance").len(), 1, "{what}: the others come");
        let kinds = ["Observation", "Condition"].map(|kind| resources(&bundle, kind).len());
        assert_eq!(kinds, [heights, 0], "{what}");
    }
    // A code or a word that is not known takes only itself away.
    let condition =
        json!([{"id": "c", "name": "喘息", "code_system": "none", "code": MARK, "status": MARK, "entered": "self"}]);
    set(&town, &[&others[..2], &[("conditions", condition), ("allergies", json!([egg]))]].concat());
    let bundle = clean(&town, &patient, "unknown codes").await;
    assert!(!says_missing(&bundle, FROM_APP));
    assert_eq!(resources(&bundle, "Condition")[0]["code"], json!({"text": "喘息"}));
    // Parts that nobody asked for say nothing, not even that they are there.
    town.world.phr.set_knobs(phr::Knobs { sends_everything: true, ..phr::Knobs::default() });
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let (_, patient) = grant(&town, &ALL[..1], None).await;
    assert!(!says_missing(&clean(&town, &patient, "unasked").await, FROM_APP));
    town.gateway.stop().await;
}

fn observation(id: &str, code: &str, at: &str, quantity: &Value) -> Value {
    json!({"resourceType": "Observation", "id": id, "status": "final", "effectiveDateTime": at,
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueQuantity": quantity})
}

/// A FHIR server says what it says: nobody here knows better, and nobody converts. On the page it is neither drawn nor computed with.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_oddly_stays_as_it_was_said_and_is_not_computed_with() {
    let town = with_a_rich_city().await;
    let nothing = ["weights", "heights", "temperatures"].map(|part| (part, json!([])));
    set(&town, &nothing);
    let (of, today) = (town.child_at_city(), "2026-11-20");
    let person = json!({"resourceType": "Patient", "id": of, "name": [{"text": "合成 花子"}],
        "birthDate": town.family.children[0].person.birth.to_string()});
    let mut held = vec![
        observation("w", "29463-7", today, &json!({"value": 33, "unit": "lb", "code": "[lb_av]"})),
        observation("h", "8302-2", today, &json!({"value": 98, "unit": "cm", "code": "cm"})),
        observation("t", "8310-5", today, &json!({"value": 365, "unit": "Cel", "code": "Cel"})),
        observation("f", "8310-5", today, &json!({"value": 97.9, "unit": "°F", "code": "[degF]"})),
        observation("z", "8310-5", "2099-01-01", &json!({"value": 36.6, "unit": "Cel", "code": "Cel"})),
        observation("u", "718-7", today, &json!({"value": 12, "unit": MARK})),
    ];
    held.iter_mut().for_each(|one| one["subject"] = json!({"reference": format!("Patient/{of}")}));
    held.insert(0, person);
    town.world.city.put(of, held);
    booked(&town, "Y-17", town.child()).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let bundle = clean(&town, &patient, "odd").await;
    let said = section(&bundle, "8716-3").unwrap()["text"]["div"].as_str().unwrap();
    for words in ["33 lb", "98 cm", "365 ℃", "97.9 °F", "36.6 ℃", "2099-01-01"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut doctor = staff(&town, DOCTOR).await;
    let checked = check(&mut doctor, "Y-17").await;
    let page = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(page.says("33 lb") && page.says("365 ℃") && page.says("97.9 °F"), "{}", page.text);
    assert!(!page.says("BMI") && !page.says("<svg"), "{}", page.text);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_markup_and_other_people_stay_outside() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let of = town.child_at_city();
    let me = json!({"reference": format!("Patient/{of}")});
    let circle = json!({"resourceType": "Immunization", "id": "one", "status": "completed", "patient": me,
        "vaccineCode": {"text": "<script>alert(1)</script>\"><img src=x onerror=alert(2)>&amp;"},
        "occurrenceDateTime": "2025-01-02", "lotNumber": "]]></div><!--",
        "contained": [
            {"resourceType": "Organization", "id": "a", "name": MARK, "partOf": {"reference": "#b"}},
            {"resourceType": "Organization", "id": "b", "name": MARK, "partOf": {"reference": "#a"}}],
        "manufacturer": {"reference": "#a", "display": MARK},
        "protocolApplied": [{"doseNumberPositiveInt": 1, "authority": {"reference": "Immunization/one"}}]});
    let others = json!({"resourceType": "Immunization", "id": "two", "status": "completed",
        "vaccineCode": {"text": MARK}, "patient": {"reference": "Patient/somebody-else"}});
    let both = json!({"resourceType": "Immunization", "id": "three", "status": "completed", "subject": {"reference": "Patient/x"},
        "vaccineCode": {"text": MARK}, "patient": me});
    let person = json!({"resourceType": "Patient", "id": of, "name": [{"text": "合成 花子"}], "link": [{"other": me}],
        "birthDate": town.family.children[0].person.birth.to_string()});
    town.world.city.put(of, vec![person, circle, others, both]);
    let bundle = clean(&town, &patient, "circles").await;
    assert!(!says_missing(&bundle, FROM_CITY));
    let doses = resources(&bundle, "Immunization");
    let [dose] = doses.iter().filter(|dose| dose["meta"]["tag"][0]["code"] == "municipality").collect::<Vec<_>>()[..]
    else {
        panic!("one of the city's: {doses:?}")
    };
    assert_eq!(
        dose["protocolApplied"][0]["authority"],
        json!({"reference": format!("Immunization/{}", dose["id"].as_str().unwrap())})
    );
    assert!(dose["contained"].is_null() && dose["manufacturer"].is_null(), "{dose}");
    assert!(dose["vaccineCode"]["text"].as_str().unwrap().starts_with("<script>"), "a text stays what it was");
    let said = section(&bundle, "11369-6").unwrap()["text"]["div"].as_str().unwrap();
    for markup in ["<script", "<img", "</div><", "<!--"] {
        assert!(!said.contains(markup), "{markup}: {said}");
    }
    // What could be a My Number takes its item along, and that is said.
    town.world.city.set_knobs(Knobs { my_number_in_identifier: true, ..Knobs::default() });
    let bundle = clean(&town, &patient, "a My Number in an identifier").await;
    assert!(says_missing(&bundle, FROM_CITY) && !bundle.to_string().contains("11111111111"));
    town.world.city.set_knobs(Knobs { uninformed: true, others_mixed_in: true, ..Knobs::default() });
    let bundle = clean(&town, &patient, "hidden").await;
    assert!(!says_missing(&bundle, FROM_CITY), "that something is hidden is not said");
    assert!(resources(&bundle, "Immunization").iter().all(|dose| dose["meta"]["tag"][0]["code"] == "portal-copy"));
    town.gateway.stop().await;
}

/// Somebody else's child, whose mother agrees for the same clinic: the child's id there.
async fn another(town: &Town) -> String {
    let family = town.world.families[1].clone();
    let people = town.world.enrol(&family).await.unwrap();
    let (mother, child) = (&family.parents[0].id, &people.children[0]);
    town.world.link_app(child, &family.children[0].person.id).await.unwrap();
    let text = summary::text(town).await;
    let proposal = json!({"purpose": PURPOSE, "categories": ALL, "until": town.in_seconds(86_400), "text_hash": text,
        "booking": {"reference": "B-2", "visit_at": town.in_seconds(3_600)}});
    let token = town.world.clinic_token_of(mother).unwrap();
    let (_, made) = town.call(&town.world.clinic_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    let id = made["id"].as_str().unwrap();
    let approval = json!({"subject": child, "text_hash": text});
    let (status, agreed) =
        town.person(Method::POST, &format!("/v1/consents/{id}/approve"), mother, Some(&approval)).await;
    assert_eq!(status, 200, "{agreed}");
    summary::patient(town, id).await
}

/// Two documents under way, and with them what rests on something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cuts_every_summary_of_its_consent_and_nothing_else() {
    let town = with_much(standing_clock()).await;
    let (consent, patient) = grant(&town, &ALL, None).await;
    let (_, at_app) = town.consent().await;
    let other = another(&town).await;
    let (first, second) = tokio::join!(UnderWay::begun(&town, &patient), UnderWay::begun(&town, &patient));
    let theirs = UnderWay::begun(&town, &other).await;
    let token = town.world.app_token(town.mother()).unwrap();
    let apps = UnderWay::begun_by(&town, &town.world.app, &token, &history(&at_app)).await;
    let receipt = town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(receipt["summary"]["transfers_cut"], 2, "{receipt}");
    first.ends_cut("the first").await;
    second.ends_cut("the second").await;
    theirs.ends_whole("another person's").await;
    apps.ends_whole("another consent's").await;
    assert_eq!(ask(&town, &patient).await.status.as_u16(), 404);
    town.gateway.stop().await;
}

/// Two that wait for a source when the revocation comes: neither is released.
#[tokio::test(flavor = "multi_thread")]
async fn summaries_that_are_still_asked_for_at_a_revocation_are_not_released() {
    let town = opened_on(standing_clock(), |text| text).await;
    let (consent, patient) = grant(&town, &ALL, None).await;
    let other = another(&town).await;
    let faults = sekisho_adapters::stand_in::Faults { latency_ms: 1_500, ..Default::default() };
    town.world.phr.set_knobs(phr::Knobs { faults, ..phr::Knobs::default() });
    let before = town.world.phr.requests();
    let revoking = async {
        while town.world.phr.requests() < before + 3 {
            tokio::task::yield_now().await;
        }
        town.world.revoke(town.mother(), &consent).await.unwrap()
    };
    let (first, second, theirs, receipt) =
        tokio::join!(ask(&town, &patient), ask(&town, &patient), ask(&town, &other), revoking);
    assert_eq!(receipt["summary"]["transfers_cut"], 0, "nothing was under way yet");
    for answer in [first, second] {
        assert_eq!(answer.status.as_u16(), 404, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(theirs.status.as_u16(), 200, "another's");
    town.gateway.stop().await;
}
