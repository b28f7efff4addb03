//! Sources that hang, lie, send garbage or die; bundles with what must not pass. A clear answer for the caller, nothing
//! leaked, and the record says that nothing was sent.

use std::os::unix::fs::FileExt;

use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::stand_in::{Damage, Faults};
use sekisho_tests::town::{Town, body};
use serde_json::{Value, json};

fn faults(faults: Faults) -> Knobs {
    Knobs { faults, ..Knobs::default() }
}

fn damaged(damage: Damage) -> Knobs {
    faults(Faults { damage, ..Faults::default() })
}

async fn town_with_quick_source() -> Town {
    Town::open_with(sekisho::clock::Clock::system(), |text| text.replacen("timeout_ms = 5000", "timeout_ms = 700", 1))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_in_any_way_gets_a_clear_answer_and_is_recorded() {
    let town = town_with_quick_source().await;
    let (_, patient) = town.consent().await;
    for (what, knobs, status) in [
        ("hangs", faults(Faults { hang: true, ..Faults::default() }), 503),
        ("slow", faults(Faults { latency_ms: 2_000, ..Faults::default() }), 503),
        ("lies about its length", damaged(Damage::WrongLength), 502),
        ("garbage", damaged(Damage::Garbage), 502),
        ("dies half-way", damaged(Damage::DieHalfWay), 502),
        ("stalls half-way", damaged(Damage::StallHalfWay), 503),
        ("answers 500", faults(Faults { status: Some(500), ..Faults::default() }), 502),
    ] {
        town.world.city.set_knobs(knobs);
        let answer = town.ask(&patient).await;
        assert_eq!(answer.status.as_u16(), status, "{what}");
        assert_eq!(body(&answer)["resourceType"], "OperationOutcome", "{what}");
        assert_eq!(town.newest_outcome().await, "nothing-sent", "{what}");
        town.world.city.set_knobs(Knobs::default());
        assert!(town.items(&patient).await > 0, "and it goes on after: {what}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_not_passed_on() {
    let town = Town::open_with(sekisho::clock::Clock::system(), |text| {
        text.replace("body_bytes_max = 16777216", "body_bytes_max = 100000")
    })
    .await;
    let (_, patient) = town.consent().await;
    town.world.city.set_knobs(Knobs { entries: Some(2_000), ..Knobs::default() });
    assert_eq!(town.ask(&patient).await.status.as_u16(), 502);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_page_elsewhere_is_not_asked_for_and_pages_without_end_are_not_followed() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let elsewhere = town.world.portal.requests();
    let at = |port: u16| Knobs { next_at_port: Some(port), ..Knobs::default() };
    town.world.city.set_knobs(at(town.world.portal.addr().port()));
    assert_eq!(town.ask(&patient).await.status.as_u16(), 502);
    assert_eq!(town.world.portal.requests(), elsewhere, "it may have been anybody");
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    let before = town.world.city.requests();
    town.world.city.set_knobs(at(town.world.city.addr().port()));
    assert_eq!(town.ask(&patient).await.status.as_u16(), 502);
    assert_eq!(town.world.city.requests() - before, 20);
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_while_the_source_is_asked_is_not_released() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let before = town.world.city.requests();
    town.world.city.set_knobs(faults(Faults { latency_ms: 1_500, ..Faults::default() }));
    let asking = town.ask(&patient);
    let revoking = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
        town.world.revoke(town.mother(), &consent).await.unwrap()
    };
    let (answer, receipt) = tokio::join!(asking, revoking);
    assert_eq!(receipt["summary"]["transfers_cut"], 0, "nothing was under way yet");
    assert_eq!((answer.status.as_u16(), body(&answer)["total"].as_u64()), (200, Some(0)));
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_look_that_fails_releases_nothing_and_does_not_say_no_data() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let before = town.world.city.requests();
    town.world.city.set_knobs(faults(Faults { latency_ms: 1_500, ..Faults::default() }));
    let asking = town.ask(&patient);
    let failing = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
        // A change has the records be read on, and the disk gives back something else than was written.
        town.refuse(town.mother(), json!({"recipient": "midori-clinic"})).await;
        let ledger = town.directory.path().join("data/ledger/00000000.seg");
        let file = std::fs::OpenOptions::new().write(true).open(ledger).unwrap();
        let length = file.metadata().unwrap().len() as usize;
        file.write_all_at(&vec![0; length - 16], 16).unwrap();
    };
    let (answer, ()) = tokio::join!(asking, failing);
    assert_eq!(answer.status.as_u16(), 503, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(town.world.city.requests(), before + 1, "the decision was recorded, and the source asked");
    town.gateway.stop().await;
}

async fn entries(town: &Town, patient: &str) -> Vec<Value> {
    body(&town.ask(patient).await)["entry"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_hidden_and_my_number_records_never_pass() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let all = entries(&town, &patient).await.len();
    let with = |knobs: Knobs| {
        town.world.city.set_knobs(knobs);
    };
    with(Knobs { others_mixed_in: true, ..Knobs::default() });
    let mixed = entries(&town, &patient).await;
    assert_eq!(mixed.len(), all, "the other patient's are dropped, the subject's stay");
    let whole = json!(mixed).to_string();
    assert!(mixed.iter().all(|e| e["resource"]["patient"]["reference"] == format!("Patient/{patient}")));
    assert!(!whole.contains(town.child_at_city()));
    with(Knobs { uninformed: true, ..Knobs::default() });
    assert_eq!(entries(&town, &patient).await.len(), all - 1, "未告知");
    with(Knobs { my_number_in_identifier: true, ..Knobs::default() });
    assert_eq!(entries(&town, &patient).await.len(), all - 1, "an identifier that could be a My Number");
    with(Knobs { my_number_in_text: true, ..Knobs::default() });
    assert_eq!(entries(&town, &patient).await.len(), all - 1, "a text that could hold one");
    with(Knobs { wrong_types: true, ..Knobs::default() });
    let bent = town.ask(&patient).await;
    assert!(bent.status.as_u16() == 200 || bent.status.as_u16() == 502, "{}", bent.status);
    assert!(!String::from_utf8_lossy(&bent.body).contains(town.child_at_city()));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_registered_elements_leave_with_ids_of_this_party_only() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let released = entries(&town, &patient).await;
    let allowed = [
        "resourceType",
        "id",
        "status",
        "vaccineCode",
        "patient",
        "occurrenceDateTime",
        "lotNumber",
        "manufacturer",
        "protocolApplied",
        "extension",
    ];
    for entry in &released {
        let resource = entry["resource"].as_object().unwrap();
        assert!(resource.keys().all(|name| allowed.contains(&name.as_str())), "{:?}", resource.keys());
        let id = resource["id"].as_str().unwrap();
        assert_eq!(id.len(), 26);
        assert_eq!(entry["fullUrl"], format!("{}/fhir/Immunization/{id}", town.world.url));
    }
    let ids = |entries: &[Value]| entries.iter().map(|e| e["resource"]["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&released), ids(&entries(&town, &patient).await), "stable for this party");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_leave_as_the_source_wrote_them() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let dose =
        r#"{"doseNumberPositiveInt":2,"extension":[],"seriesDosesDecimal":0.50,"large":12345678901234567890.10}"#;
    let immunization = format!(
        r#"{{"resourceType":"Immunization","id":"one","status":"completed","patient":{{"reference":"Patient/{}"}},
            "vaccineCode":{{"text":"四種混合"}},"occurrenceDateTime":"2024-04-05","protocolApplied":[{dose}]}}"#,
        town.child_at_city()
    );
    town.world.city.put(town.child_at_city(), vec![serde_json::from_str(&immunization).unwrap()]);
    let answer = town.ask(&patient).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let kept =
        r#""protocolApplied":[{"doseNumberPositiveInt":2,"seriesDosesDecimal":0.50,"large":12345678901234567890.10}]"#;
    assert!(text.contains(kept), "{text}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_for_some_dates_releases_those_only() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let dates: Vec<String> = entries(&town, &patient)
        .await
        .iter()
        .map(|e| e["resource"]["occurrenceDateTime"].as_str().unwrap().to_owned())
        .collect();
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let mut sorted = dates.clone();
    sorted.sort();
    let from = sorted[sorted.len() / 2].clone();
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, http::Method::GET, "/v1/texts/phr-view", &token, None).await;
    let proposal = json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(3_600),
        "text_hash": text["text_hash"], "data_from": from,
    });
    let (status, proposed) =
        town.call(&town.world.app_http, http::Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{proposed}");
    town.world.approve(town.mother(), proposed["id"].as_str().unwrap(), town.child()).await.unwrap();
    let released = entries(&town, &patient).await;
    assert_eq!(released.len(), dates.iter().filter(|d| **d >= from).count());
    assert!(released.iter().all(|e| e["resource"]["occurrenceDateTime"].as_str().unwrap() >= from.as_str()));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_no_decision_without_its_outcome() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let before = town.world.city.requests();
    town.world.city.set_knobs(faults(Faults { latency_ms: 500, ..Faults::default() }));
    let asked = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
    };
    // Dropped while it waits, the client closes its connection.
    tokio::select! {
        answer = town.ask(&patient) => panic!("answered {} before it could hang up", answer.status),
        () = asked => {}
    }
    assert_ne!(town.newest_outcome().await, "complete");
    town.gateway.stop().await;
}
