//! The My Portal relay: sign-in, the linked account, each answer and each error of the portal.

use sekisho_adapters::municipality::MunicipalityCode;
use sekisho_adapters::my_portal::stand_in::Knobs;
use sekisho_adapters::stand_in::{Damage, Faults};
use sekisho_tests::town::{Town, body};

fn path(patient: &str) -> String {
    format!("/portal/Immunization?patient={patient}")
}

async fn ask(town: &Town, patient: &str) -> (u16, serde_json::Value) {
    let token = town.world.app_token(town.mother()).unwrap();
    let answer = town.get(&path(patient), &token).await;
    (answer.status.as_u16(), body(&answer))
}

fn account(town: &Town) -> String {
    sekisho::demo::world::portal_account(town.child_at_city())
}

async fn signed_in() -> (Town, String) {
    let town =
        Town::open_with(sekisho::clock::Clock::system(), |text| text.replace("timeout_ms = 5000", "timeout_ms = 1500"))
            .await;
    let (_, patient) = town.consent().await;
    let (status, outcome) = ask(&town, &patient).await;
    assert_eq!((status, outcome["issue"][0]["code"].as_str()), (409, Some("login")));
    let url = outcome["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
    assert_eq!(town.world.sign_in_at_portal(&url, &account(&town)).await.unwrap(), 200);
    (town, patient)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_subjects_sign_in_the_history_is_relayed() {
    let (town, patient) = signed_in().await;
    let (status, bundle) = ask(&town, &patient).await;
    assert_eq!(status, 200);
    assert_eq!(bundle["total"].as_u64().unwrap() as usize, town.family.children[0].doses.len());
    let text = bundle.to_string();
    assert!(!text.contains(&account(&town)) && !text.contains(town.child_at_city()));
    let first = &bundle["entry"][0]["resource"];
    assert_eq!(first["status"], "completed");
    assert!(first["lotNumber"].is_string() && first["vaccineCode"]["text"].is_string());
    assert!(first["extension"][0]["valueCoding"]["code"].is_string(), "the municipality of the dose: {first}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_account_is_not_the_subject() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let (_, outcome) = ask(&town, &patient).await;
    let url = outcome["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
    let stranger = sekisho::demo::world::portal_account(&town.world.families[1].children[0].person.id);
    assert_eq!(town.world.sign_in_at_portal(&url, &stranger).await.unwrap(), 403);
    assert_eq!(ask(&town, &patient).await.0, 409, "still to sign in");
    // The same state can't be used again, and a made-up one never was.
    assert_eq!(town.world.sign_in_at_portal(&url, &account(&town)).await.unwrap(), 400);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_and_error_of_the_portal_is_told_apart() {
    let (town, patient) = signed_in().await;
    let municipality = MunicipalityCode::parse("132047").unwrap();
    for (what, knobs, status) in [
        ("without data", Knobs { without_data: true, ..Knobs::default() }, 200),
        ("not supported", Knobs { not_supported: Some(municipality), ..Knobs::default() }, 501),
        ("capacity exceeded", Knobs { capacity_exceeded: true, ..Knobs::default() }, 503),
        ("rate limited", Knobs { rate_limited_s: Some(7), ..Knobs::default() }, 503),
        ("an error code", Knobs { error_code: Some("ED9999".to_owned()), ..Knobs::default() }, 502),
        ("an unknown status", Knobs { status: Some("77".to_owned()), ..Knobs::default() }, 502),
        ("garbage", Knobs { faults: Faults { damage: Damage::Garbage, ..Faults::default() }, ..Knobs::default() }, 502),
        ("hangs", Knobs { faults: Faults { hang: true, ..Faults::default() }, ..Knobs::default() }, 503),
        ("ready at the third look", Knobs { pending_polls: 2, ..Knobs::default() }, 200),
    ] {
        town.world.portal.set_knobs(knobs);
        let (found, answer) = ask(&town, &patient).await;
        assert_eq!(found, status, "{what}: {answer}");
        town.world.portal.set_knobs(Knobs::default());
    }
    let (status, bundle) = ask(&town, &patient).await;
    assert!(status == 200 && bundle["total"].as_u64().unwrap() > 0, "and it goes on after");
    town.world.portal.set_knobs(Knobs { pending_polls: 1_000, ..Knobs::default() });
    assert_eq!(ask(&town, &patient).await.0, 503, "never ready in our time");
    town.world.portal.end_sessions();
    assert_eq!(ask(&town, &patient).await.0, 409, "the portal forgot the sign-in: sign in again");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_time_of_the_portal_is_passed_on() {
    let (town, patient) = signed_in().await;
    town.world.portal.set_knobs(Knobs { rate_limited_s: Some(7), ..Knobs::default() });
    let token = town.world.app_token(town.mother()).unwrap();
    let answer = town.get(&path(&patient), &token).await;
    assert_eq!(answer.headers.get("retry-after").unwrap(), "7");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_consent_the_portal_is_not_asked_even_after_sign_in() {
    let (town, patient) = signed_in().await;
    let (status, _) = ask(&town, &patient).await;
    assert_eq!(status, 200);
    town.refuse(town.father(), serde_json::json!({})).await;
    let before = town.world.portal.requests();
    let (status, bundle) = ask(&town, &patient).await;
    assert_eq!((status, bundle["total"].as_u64()), (200, Some(0)));
    assert_eq!(town.world.portal.requests(), before);
    town.gateway.stop().await;
}
