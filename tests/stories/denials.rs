//! Invariant 5: a denial teaches nothing. Unknown, no consent, refused, revoked, blocked, suspended, expired: the same
//! status, headers and body, and no source is asked.

use http::Method;
use sekisho_adapters::http::Response;
use sekisho_tests::town::{Town, history, standing_clock};
use serde_json::json;

/// What a caller can see of an answer: status, headers without the date, and the body without what it sent itself.
fn visible(answer: &Response, named: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status.as_u16(), headers, String::from_utf8_lossy(&answer.body).replace(named, "NAMED"))
}

async fn denied(town: &Town, what: &str, patient: &str, token: &str) {
    let unknown = "abcdefghijklmnopqrstuvwxy2";
    let unknown = if patient.len() == unknown.len() { "aaaaaaaaaaaaaaaaaaaaaaaaaa" } else { unknown };
    for path in [history as fn(&str) -> String, |p| format!("/fhir/Patient/{p}")] {
        let before = town.world.city.requests();
        let nobody = town.get(&path(unknown), token).await;
        let somebody = town.get(&path(patient), token).await;
        assert_eq!(visible(&nobody, unknown), visible(&somebody, patient), "{what}");
        assert_eq!(town.world.city.requests(), before, "{what}: a source was asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_denial_looks_like_an_unknown_person() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let (consent, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    assert!(town.items(&patient).await > 0);
    let child = town.child().to_owned();

    // A category that was never consented to.
    let answer = town.get(&format!("/fhir/Patient/{patient}"), &token).await;
    assert_eq!(answer.status.as_u16(), 404);

    let (status, refused) = town.refuse(town.father(), json!({"recipient": "yotsuba-phr"})).await;
    assert_eq!(status, 201, "{refused}");
    denied(&town, "refused", &patient, &token).await;
    let refusal = refused["summary"]["about"].as_str().unwrap().to_owned();
    let lifted = town.person(Method::POST, &format!("/v1/refusals/{refusal}/lift"), town.father(), None).await;
    assert_eq!(lifted.0, 200, "{}", lifted.1);
    assert!(town.items(&patient).await > 0, "lifted");

    let block =
        town.act(&format!("/people/{child}/blocks"), json!({"party": "yotsuba-phr", "evidence": "支援措置"})).await;
    denied(&town, "blocked party", &patient, &token).await;
    let path = format!("/people/{child}/blocks/{}/end", block["block"].as_str().unwrap());
    town.pass_seconds(1);
    town.act(&path, json!({})).await;
    assert!(town.items(&patient).await > 0, "the block has ended");

    let mother = town.people.parents[0].clone();
    town.act(&format!("/people/{child}/blocks"), json!({"person": mother, "evidence": "支援措置"})).await;
    denied(&town, "blocked person", &patient, &token).await;

    town.act("/parties/yotsuba-phr/suspend", json!({"reason": "漏えいの疑い"})).await;
    denied(&town, "suspended and blocked", &patient, &token).await;
    // The mother's own word is not asked for behind the block: the answer would tell her what has become of it.
    assert!(town.world.revoke(town.mother(), &consent).await.is_err());
    town.world.revoke(town.father(), &consent).await.unwrap();
    denied(&town, "revoked", &patient, &token).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_and_expired_look_alike() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let (consent, patient) = town.consent().await;
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    denied(&town, "revoked", &patient, &token).await;
    let (_, again) = town.world.consent(town.mother(), town.child(), &town.in_seconds(60)).await.unwrap();
    assert_eq!(again, patient, "the pairwise id stays");
    assert!(town.items(&patient).await > 0);
    town.pass_seconds(60);
    let token = town.world.app_token(town.mother()).unwrap();
    denied(&town, "expired", &patient, &token).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partys_pairwise_id_is_nobodys() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.clinic_token().unwrap();
    let path = |p: &str| format!("/first-visit/Immunization?patient={p}");
    let unknown = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let nobody = town.world.call(&town.world.clinic_http, Method::GET, &path(unknown), &token, None).await.unwrap();
    let theirs = town.world.call(&town.world.clinic_http, Method::GET, &path(&patient), &token, None).await.unwrap();
    assert_eq!(visible(&nobody, unknown), visible(&theirs, &patient));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_asks_too_often_in_vain_is_told_to_wait() {
    let bound = |text: String| text.replace("[server]\n", "[server]\ndenials_per_second_max = 3\n");
    let town = Town::open_with(standing_clock(), bound).await;
    let (consent, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let unknown = history("aaaaaaaaaaaaaaaaaaaaaaaaaa");
    for _ in 0..3 {
        assert_eq!(town.get(&unknown, &token).await.status.as_u16(), 200);
    }
    let known = town.get(&history(&patient), &token).await;
    let other = town.get(&unknown, &token).await;
    assert_eq!((known.status.as_u16(), other.status.as_u16()), (429, 429), "whoever is asked about");
    assert_eq!(known.body, other.body);
    assert_eq!(known.headers["retry-after"], "1");
    // Another party goes on, and what narrows is never held back.
    let clinic = town.world.clinic_token().unwrap();
    let path = "/first-visit/Immunization?patient=aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let answer = town.world.call(&town.world.clinic_http, Method::GET, path, &clinic, None).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    town.pass_seconds(1);
    assert!(town.items(&patient).await > 0, "the next second");
    for _ in 0..3 {
        let _ = town.get(&unknown, &token).await;
    }
    assert_eq!(town.get(&unknown, &token).await.status.as_u16(), 429);
    town.world.revoke(town.mother(), &consent).await.unwrap();
    town.gateway.stop().await;
}
