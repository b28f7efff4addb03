//! An app looks at what it proposes before anybody has agreed: at what it holds itself, and at nothing else.

use http::Method;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::town::{Town, body, standing_clock};
use serde_json::{Value, json};

use super::summary::{ALL, PURPOSE, UnderWay, opened, opened_on, text, with_much};

const CLINIC: &str = "midori-clinic";

/// What the app proposes for the clinic: the proposal's id.
async fn proposed(town: &Town, more: Value) -> String {
    let mut proposal = json!({
        "recipient": CLINIC, "purpose": PURPOSE, "categories": ALL, "text_hash": text(town).await,
        "booking": {"reference": "Y-1", "visit_at": town.in_seconds(3_600)},
    });
    proposal.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let token = town.world.app_token(town.mother()).unwrap();
    let (status, made) = town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn path(id: &str, patient: &str) -> String {
    format!("/v1/consents/{id}/preview?patient={patient}")
}

async fn preview(town: &Town, id: &str, patient: &str) -> Response {
    town.get(&path(id, patient), &town.world.app_token(town.mother()).unwrap()).await
}

/// The items of an answer.
fn items(answer: &Response) -> Vec<Value> {
    assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
    let bundle = body(answer);
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    assert_eq!(bundle["total"], entries.len());
    entries.into_iter().map(|entry| entry["resource"].clone()).collect()
}

fn days(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["occurrenceDateTime"].as_str().unwrap()).collect()
}

/// The app's own consent for the child's vaccinations from this day on: the child's id at the app.
async fn holds_since(town: &Town, since: Option<&str>) -> String {
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    let proposal = json!({"purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(3_600),
        "text_hash": text["text_hash"], "data_from": since});
    let (_, made) = town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    let id = made["id"].as_str().unwrap();
    town.world.approve(town.mother(), id, town.child()).await.unwrap();
    let (_, seen) = town.call(&town.world.app_http, Method::GET, &format!("/v1/consents/{id}"), &token, None).await;
    seen["patient"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_previews_is_what_it_holds_and_proposes() {
    let town = opened(|text| text).await;
    let (first, patient) = town.consent().await;
    let all = items(&town.ask(&patient).await);
    let proposal = proposed(&town, json!({})).await;
    let phr = town.world.phr.requests();
    // Of eight categories of two sources it holds one of one: those items, under its own ids.
    assert_eq!(items(&preview(&town, &proposal, &patient).await), all);
    assert_eq!(town.world.phr.requests(), phr, "what it does not hold is not asked for");
    assert_eq!(town.newest_outcome().await, "complete");
    let line = town.newest_decision().await;
    assert_eq!((&line["recipient"], &line["source"]), (&json!("yotsuba-phr"), &json!("fuchu-city")), "its own access");
    // Dates of both.
    let mut sorted: Vec<String> = days(&all).into_iter().map(str::to_owned).collect();
    sorted.sort();
    let (early, late) = (&sorted[sorted.len() / 3], &sorted[sorted.len() * 2 / 3]);
    let until = proposed(&town, json!({"data_until": late})).await;
    let shown = items(&preview(&town, &until, &patient).await);
    assert!(!shown.is_empty() && shown.len() < all.len(), "narrower than what it holds: {}", shown.len());
    assert!(days(&shown).iter().all(|day| *day <= late.as_str()));
    town.world.revoke(town.mother(), &first).await.unwrap();
    let patient = holds_since(&town, Some(early)).await;
    let held = items(&town.ask(&patient).await);
    assert!(!held.is_empty() && held.len() < all.len());
    assert_eq!(items(&preview(&town, &proposal, &patient).await), held, "no wider than what it holds");
    let both = items(&preview(&town, &until, &patient).await);
    assert!(!both.is_empty() && both.len() < held.len() && days(&both).iter().all(|day| *day >= early.as_str()));
    // What it does not propose, it does not see here.
    let without = proposed(&town, json!({"categories": ["identity@1", "allergy@1"]})).await;
    assert!(items(&preview(&town, &without, &patient).await).is_empty());
    let elsewhere = proposed(&town, json!({"source": "yotsuba-phr"})).await;
    assert!(items(&preview(&town, &elsewhere, &patient).await).is_empty());
    town.gateway.stop().await;
}

/// Whatever the app does not hold, and whatever somebody decided about the clinic, looks the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_teaches_nothing_beyond_what_the_app_holds() {
    let town = opened(|text| text).await;
    let (consent, patient) = town.consent().await;
    let proposal = proposed(&town, json!({})).await;
    let before = preview(&town, &proposal, &patient).await;
    // Refused, blocked, and agreed to already: for the clinic.
    town.refuse(town.father(), json!({"recipient": CLINIC})).await;
    assert_eq!(preview(&town, &proposal, &patient).await.body, before.body, "a refusal does not show");
    let block = json!({"party": CLINIC, "evidence": "支援措置"});
    town.act(&format!("/people/{}/blocks", town.child()), block).await;
    assert_eq!(preview(&town, &proposal, &patient).await.body, before.body, "nor a block");
    // Nothing held, nobody known, and a source that is down for somebody who holds nothing.
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let asked = town.world.city.requests();
    let never = "a".repeat(26);
    let nobody = preview(&town, &proposal, &never).await;
    let nothing = preview(&town, &proposal, &patient).await;
    assert_eq!(String::from_utf8_lossy(&nothing.body).replace(&patient, &never), String::from_utf8_lossy(&nobody.body));
    assert_eq!((nothing.status, nothing.headers.len()), (nobody.status, nobody.headers.len()));
    assert!(items(&nothing).is_empty() && town.world.city.requests() == asked, "and no source is asked");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_the_proposers_alone_and_only_while_it_waits() {
    let town = opened(|text| text).await;
    let (_, patient) = town.consent().await;
    let proposal = proposed(&town, json!({})).await;
    let unknown = preview(&town, "cns-aaaaaaaaaaaaaaaaaaaaaaaaaa", &patient).await;
    let same = |answer: &Response, what: &str| {
        assert_eq!((answer.status.as_u16(), &answer.body), (404, &unknown.body), "{what}");
    };
    same(&town.get(&path(&proposal, &patient), &town.world.app_token(town.father()).unwrap()).await, "another's user");
    let clinic = town.world.clinic_token_of(town.mother()).unwrap();
    let asked = path(&proposal, &patient);
    let at_clinic = town.world.call(&town.world.clinic_http, Method::GET, &asked, &clinic, None).await.unwrap();
    same(&at_clinic, "the recipient");
    let (status, problem) = town.person(Method::GET, &path(&proposal, &patient), town.mother(), None).await;
    assert_eq!((status, &problem["code"]), (403, &json!("party-needed")));
    let token = town.world.app_token(town.mother()).unwrap();
    let bare = town.get(&format!("/v1/consents/{proposal}/preview"), &token).await;
    assert_eq!((bare.status.as_u16(), &body(&bare)["field"]), (422, &json!("patient")));
    town.world.city.set_knobs(Knobs { faults: Faults { status: Some(500), ..Faults::default() }, ..Knobs::default() });
    assert_eq!(preview(&town, &proposal, &patient).await.status.as_u16(), 503, "down is not nothing");
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.world.city.set_knobs(Knobs::default());
    assert!(!items(&preview(&town, &proposal, &patient).await).is_empty());
    let approval = json!({"subject": town.child(), "text_hash": text(&town).await});
    let agree = format!("/v1/consents/{proposal}/approve");
    assert_eq!(town.person(Method::POST, &agree, town.mother(), Some(&approval)).await.0, 200);
    same(&preview(&town, &proposal, &patient).await, "agreed to");
    town.gateway.stop().await;
}

/// A release like any other: the end of what the app holds cuts it, and its period does.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_under_way_ends_with_what_the_app_holds() {
    let town = with_much(standing_clock()).await;
    let (consent, patient) = town.consent().await;
    let proposal = proposed(&town, json!({})).await;
    let token = town.world.app_token(town.mother()).unwrap();
    let under_way = UnderWay::begun_by(&town, &town.world.app, &token, &path(&proposal, &patient)).await;
    let receipt = town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(receipt["summary"]["transfers_cut"], 1);
    under_way.ends_cut("revoked").await;
    assert_eq!(town.newest_outcome().await, "cut");
    town.gateway.stop().await;
    // And what is withdrawn while the source is asked is not released at all.
    let town = opened_on(standing_clock(), |text| text).await;
    let (consent, patient) = town.consent().await;
    let proposal = proposed(&town, json!({})).await;
    let before = town.world.city.requests();
    town.world.city.set_knobs(Knobs { faults: Faults { latency_ms: 1_500, ..Faults::default() }, ..Knobs::default() });
    let revoking = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
        town.world.revoke(town.mother(), &consent).await.unwrap();
    };
    let (answer, ()) = tokio::join!(preview(&town, &proposal, &patient), revoking);
    assert_eq!(answer.status.as_u16(), 503, "{}", String::from_utf8_lossy(&answer.body));
    assert!(items(&town.ask(&patient).await).is_empty());
    town.gateway.stop().await;
}
