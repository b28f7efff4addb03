//! The consent API: propose, approve, refuse, lift, revoke, list; what an app can't do, and what is said when it tries.

use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sekisho_tests::town::{Town, body, standing_clock};
use serde_json::{Value, json};

async fn proposal(town: &Town, until: &str) -> Value {
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    json!({"purpose": "phr-view", "categories": ["vaccination@1"], "until": until, "text_hash": text["text_hash"]})
}

async fn propose(town: &Town, key: Option<&str>, json: &Value) -> (u16, Value) {
    let token = town.world.app_token(town.mother()).unwrap();
    let mut request = town.request(Method::POST, "/v1/consents", &token);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let answer = town.send(&town.world.app_http, request, &json.to_string()).await;
    (answer.status.as_u16(), body(&answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_cannot_grant_itself() {
    let town = Town::open().await;
    let until = town.in_seconds(86_400);
    let (status, proposed) = propose(&town, None, &proposal(&town, &until).await).await;
    assert_eq!((status, proposed["status"].as_str()), (201, Some("proposed")));
    let path = format!("/v1/consents/{}/approve", proposed["id"].as_str().unwrap());
    let approval = json!({"subject": town.child(), "text_hash": proposed["text_hash"]});
    let token = town.world.app_token(town.mother()).unwrap();
    let (status, problem) = town.call(&town.world.app_http, Method::POST, &path, &token, Some(&approval)).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("person-needed")));
    let by_clinic = town.world.clinic_token().unwrap();
    let (status, _) = town.call(&town.world.clinic_http, Method::POST, &path, &by_clinic, Some(&approval)).await;
    assert_eq!(status, 403);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn granting_needs_a_fresh_step_up_sign_in() {
    let town = Town::open().await;
    let (_, proposed) = propose(&town, None, &proposal(&town, &town.in_seconds(86_400)).await).await;
    let path = format!("/v1/consents/{}/approve", proposed["id"].as_str().unwrap());
    let approval = json!({"subject": town.child(), "text_hash": proposed["text_hash"]});
    let mut weak =
        sekisho_adapters::identity::stand_in::MintRequest::new(town.mother(), "sekisho-pages", &town.world.url);
    weak.acr = Some("aal1".to_owned());
    let mut stale = weak.clone();
    (stale.acr, stale.signed_in_ago_s) = (Some("aal3".to_owned()), 301);
    for request in [weak, stale] {
        let token = town.world.token(request).unwrap();
        let (status, problem) = town.call(&town.world.browser, Method::POST, &path, &token, Some(&approval)).await;
        assert_eq!((status, problem["code"].as_str()), (403, Some("step-up-needed")));
    }
    let (status, approved) = town.person(Method::POST, &path, town.mother(), Some(&approval)).await;
    assert_eq!((status, approved["status"].as_str()), (200, Some("active")), "{approved}");
    // Once more, for another child or the same: there is no such proposal any more.
    let other = json!({"subject": town.people.parents[0], "text_hash": proposed["text_hash"]});
    let (status, _) = town.person(Method::POST, &path, town.mother(), Some(&other)).await;
    assert_eq!(status, 404);
    let (status, again) = town.person(Method::POST, &path, town.mother(), Some(&approval)).await;
    assert_eq!((status, again["status"].as_str()), (200, Some("active")), "approving again changes nothing");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_and_a_person_without_authority_can_not_approve() {
    let town = Town::open().await;
    let (_, proposed) = propose(&town, None, &proposal(&town, &town.in_seconds(86_400)).await).await;
    let path = format!("/v1/consents/{}/approve", proposed["id"].as_str().unwrap());
    let approval = json!({"subject": town.child(), "text_hash": proposed["text_hash"]});
    let (status, _) = town.person(Method::POST, &path, town.father(), Some(&approval)).await;
    assert_eq!(status, 404, "it was proposed to the mother");
    let for_father = json!({"subject": town.people.parents[1], "text_hash": proposed["text_hash"]});
    let (status, problem) = town.person(Method::POST, &path, town.mother(), Some(&for_father)).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("no-authority")));
    let (status, _) = town.person(Method::GET, "/v1/me", "unlinked-login", None).await;
    assert_eq!(status, 403);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outdated_text_a_changed_proposal_or_a_reused_key_gets() {
    let town = Town::open().await;
    let good = proposal(&town, &town.in_seconds(86_400)).await;
    let mut outdated = good.clone();
    outdated["text_hash"] = json!("00".repeat(32));
    let (status, problem) = propose(&town, None, &outdated).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("outdated-text")));
    assert_eq!(problem["text_hash"], good["text_hash"], "the new one is named");

    let (status, first) = propose(&town, Some("key-1"), &good).await;
    let (again_status, again) = propose(&town, Some("key-1"), &good).await;
    assert_eq!((status, again_status), (201, 201));
    assert_eq!(first["id"], again["id"], "the same key gives the same proposal");
    let mut other = good.clone();
    other["until"] = json!(town.in_seconds(3_600));
    let (status, problem) = propose(&town, Some("key-1"), &other).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency-key-reused")));

    let path = format!("/v1/consents/{}/approve", first["id"].as_str().unwrap());
    let unread = json!({"subject": town.child(), "text_hash": "00".repeat(32)});
    let (status, problem) = town.person(Method::POST, &path, town.mother(), Some(&unread)).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("outdated-text")), "another text than the proposal's");
    let approval = json!({"subject": town.child(), "text_hash": first["text_hash"]}).to_string();
    let token = town.world.person_token(town.mother()).unwrap();
    let wrong = town.request(Method::POST, &path, &token).header("if-match", "\"r99999\"");
    let answer = town.send(&town.world.browser, wrong, &approval).await;
    assert_eq!((answer.status.as_u16(), body(&answer)["code"].as_str()), (412, Some("changed")));
    let shown = town.request(Method::GET, path.trim_end_matches("/approve"), &token);
    let shown = town.send(&town.world.browser, shown, "").await;
    let tag = shown.headers.get("etag").unwrap().to_str().unwrap().to_owned();
    let right = town.request(Method::POST, &path, &token).header("if-match", tag);
    assert_eq!(town.send(&town.world.browser, right, &approval).await.status.as_u16(), 200);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_do_not_hold_together_are_named() {
    let town = Town::open().await;
    let good = proposal(&town, &town.in_seconds(86_400)).await;
    let bend = |name: &str, value: Value| {
        let mut bent = good.clone();
        bent[name] = value;
        bent
    };
    for (what, json, field) in [
        ("unknown purpose", bend("purpose", json!("spying")), "purpose"),
        ("another kind's purpose", bend("purpose", json!("first-visit")), "purpose"),
        ("unknown version", bend("categories", json!(["vaccination@2"])), "categories"),
        ("no category", bend("categories", json!([])), "categories"),
        ("the past", bend("until", json!("2020-01-01T00:00:00Z")), "until"),
        ("a hundred years", bend("until", json!("2126-01-01T00:00:00Z")), "until"),
        ("until before from", bend("from", json!("2126-01-01T00:00:00Z")), "until"),
        ("unknown source", bend("source", json!("elsewhere")), "source"),
        ("no date", bend("data_from", json!("2026-13-01")), "data_period"),
        ("no hash", bend("text_hash", json!("xyz")), "text_hash"),
    ] {
        let (status, problem) = propose(&town, None, &json).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{what}: {problem}");
    }
    let (status, problem) = propose(&town, None, &bend("more", json!(1))).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("bad-body")));
    let (status, problem) = propose(&town, None, &bend("source", json!("1111-1111-1118"))).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("my-number")));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proposal_stands_until_it_is_lifted() {
    let town = Town::open().await;
    let (_, proposed) = propose(&town, None, &proposal(&town, &town.in_seconds(86_400)).await).await;
    let id = proposed["id"].as_str().unwrap();
    let refuse = json!({"subject": town.child()});
    let path = format!("/v1/consents/{id}/refuse");
    let (status, receipt) = town.person(Method::POST, &path, town.mother(), Some(&refuse)).await;
    assert_eq!((status, receipt["summary"]["event"].as_str()), (200, Some("refused")), "{receipt}");
    let (_, second) = propose(&town, None, &proposal(&town, &town.in_seconds(86_400)).await).await;
    let approve = format!("/v1/consents/{}/approve", second["id"].as_str().unwrap());
    let approval = json!({"subject": town.child(), "text_hash": second["text_hash"]});
    let (status, problem) = town.person(Method::POST, &approve, town.mother(), Some(&approval)).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("refusal-stands")));
    let lift = format!("/v1/refusals/{}/lift", problem["refusal"].as_str().unwrap());
    assert_eq!(town.person(Method::POST, &lift, town.father(), None).await.0, 404, "only who refused lifts");
    assert_eq!(town.person(Method::POST, &lift, town.mother(), None).await.0, 200);
    assert_eq!(town.person(Method::POST, &approve, town.mother(), Some(&approval)).await.0, 200);
    let (_, refusals) = town.person(Method::GET, "/v1/refusals", town.mother(), None).await;
    assert_eq!(refusals["items"][0]["status"], "lifted");
    let (status, problem) = town.refuse(town.mother(), json!({"categories": []})).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("categories")), "an empty scope refuses nothing");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_signed_final_and_repeatable() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let first = town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(town.items(&patient).await, 0);
    let again = town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(first["summary"]["entry"], again["summary"]["entry"], "one event, acknowledged twice");
    let keys = town
        .world
        .browser
        .send(town.request(Method::GET, "/.well-known/jwks.json", "").body(Default::default()).unwrap());
    let keys: JwkSet = serde_json::from_slice(&keys.await.unwrap().body).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let claims = jsonwebtoken::decode::<Value>(first["receipt"].as_str().unwrap(), &key, &validation).unwrap().claims;
    assert_eq!(claims["entry"], first["summary"]["entry"]);
    assert_eq!(claims["about"].as_str(), Some(consent.as_str()));
    let app = town.world.app_token(town.mother()).unwrap();
    let (_, seen) = town.call(&town.world.app_http, Method::GET, &format!("/v1/consents/{consent}"), &app, None).await;
    assert_eq!((seen["status"].as_str(), &seen["patient"]), (Some("revoked"), &Value::Null));
    let clinic = town.world.clinic_token().unwrap();
    let path = format!("/v1/consents/{consent}");
    assert_eq!(town.call(&town.world.clinic_http, Method::GET, &path, &clinic, None).await.0, 404);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_can_be_kept_as_a_signed_record() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let path = format!("/v1/consents/{consent}/receipt");
    let keys = town.request(Method::GET, "/.well-known/jwks.json", "").body(Default::default()).unwrap();
    let keys: JwkSet = serde_json::from_slice(&town.world.browser.send(keys).await.unwrap().body).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let record = async || {
        let token = town.world.person_token(town.mother()).unwrap();
        let answer = town.send(&town.world.browser, town.request(Method::GET, &path, &token), "").await;
        assert_eq!(answer.headers.get("content-type").unwrap(), "application/jose");
        let signed = String::from_utf8(answer.body.to_vec()).unwrap();
        jsonwebtoken::decode::<Value>(&signed, &key, &validation).unwrap().claims
    };
    let first = record().await;
    assert_eq!((&first["record_id"], &first["status"]), (&json!(consent), &json!("active")));
    assert_eq!(first["pii_principal_id"], json!(town.child()));
    assert_eq!(first["purposes"][0]["pii_information"], json!(["vaccination@1"]));
    assert_eq!(first["parties"][0]["party_id"], "yotsuba-phr");
    assert_eq!(first["privacy_notice"]["version"], "2026-04");
    assert_eq!(first["events"][0]["entity_id"], json!(town.people.parents[0]));
    assert!(!first.to_string().contains(&patient), "no party's id for the child stands in it");
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let second = record().await;
    assert_eq!((&second["status"], &second["events"][1]["event_type"]), (&json!("revoked"), &json!("revoked")));

    // Neither the other parent, nor a party, nor anybody else; nor she when the child is hidden from her.
    assert_eq!(town.person(Method::GET, &path, town.father(), None).await.0, 404);
    let app = town.world.app_token(town.mother()).unwrap();
    assert_eq!(town.call(&town.world.app_http, Method::GET, &path, &app, None).await.0, 403);
    town.act(&format!("/people/{}/blocks", town.child()), json!({"person": town.people.parents[0], "evidence": "e"}))
        .await;
    assert_eq!(town.person(Method::GET, &path, town.mother(), None).await.0, 404);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_survive_a_restart() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    for _ in 0..5 {
        town.consent().await;
    }
    let (_, patient) = town.consent().await;
    for _ in 0..7 {
        town.items(&patient).await;
    }
    let town = town.restart().await;
    let mut seen = Vec::new();
    let mut path = "/v1/consents?limit=2".to_owned();
    loop {
        let (status, page) = town.person(Method::GET, &path, town.mother(), None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().map(|c| c["status"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/consents?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["superseded", "superseded", "superseded", "superseded", "superseded", "active"]);
    let (mut lines, mut path) = (0, format!("/v1/access-log?limit=3&subject={}", town.child()));
    loop {
        let (_, page) = town.person(Method::GET, &path, town.mother(), None).await;
        lines += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/access-log?limit=3&subject={}&cursor={next}", town.child());
    }
    assert_eq!(lines, 7);
    assert_eq!(town.person(Method::GET, "/v1/access-log?cursor=x", town.mother(), None).await.0, 422);
    town.gateway.stop().await;
}
