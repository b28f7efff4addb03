//! Special adoption (特別養子縁組): for parties and former parents the child is somebody they never knew.

use std::sync::Arc;

use http::Method;
use sekisho::demo::world::Enrolled;
use sekisho::ids::TextId;
use sekisho_adapters::certs::client_config;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_adapters::people::{Person, fhir};
use sekisho_tests::reader::{Got, Pace, Reader};
use sekisho_tests::town::{Town, body, history};
use serde_json::{Value, json};

const IN_EFFECT: &str = "2026-04-01T00:00:00+09:00";

fn adoption() -> Value {
    json!({"from": IN_EFFECT, "evidence": "審判書謄本・確定証明書", "verified_by": "府中市 戸籍係"})
}

async fn adopt(town: &Town) -> Value {
    town.act(&format!("/people/{}/special-adoption", town.child()), adoption()).await
}

/// The ordinary acts by which a new parent gets authority and the child its new id at the city.
async fn new_parent(town: &Town) -> (Enrolled, Person) {
    let family = &town.world.families[1];
    let people = town.world.enrol(family).await.unwrap();
    let authority = json!({
        "guardian": people.parents[0], "from": IN_EFFECT, "kind": "親権者", "evidence": "戸籍全部事項証明書",
        "verified_by": "府中市 戸籍係",
    });
    town.act(&format!("/people/{}/authorities", town.child()), authority).await;
    (people, family.parents[0].clone())
}

async fn new_record_at_the_city(town: &Town) {
    let mut child = town.family.children[0].clone();
    child.person.id = "adopted-0001".to_owned();
    town.world.city.put(&child.person.id, fhir::resources(&child));
    let link = json!({"to": {"party": "fuchu-city", "id": "adopted-0001"}, "evidence": "e", "verified_by": "v"});
    town.act(&format!("/people/{}/links", town.child()), link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_known_from_before_leads_to_the_child_any_more() {
    let town = Town::open().await;
    let (consent, old) = town.consent().await;
    assert!(town.items(&old).await > 0);
    assert_eq!(town.refuse(town.father(), json!({"recipient": "midori-clinic"})).await.0, 201);
    let nobodys = "aaaqeayeaudaocajbifqydiob4";
    let unknown = town.ask(nobodys).await;
    adopt(&town).await;

    // The app's old id is one that nobody has; the consent under which it knew it is gone for it.
    let answer = town.ask(&old).await;
    let shown = |answer: &Response, id: &str| String::from_utf8_lossy(&answer.body).replace(id, "");
    assert_eq!((answer.status, shown(&answer, &old)), (unknown.status, shown(&unknown, nobodys)));
    let app = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{consent}");
    assert_eq!(town.call(&town.world.app_http, Method::GET, &path, &app, None).await.0, 404);

    for former in [town.mother(), town.father()] {
        let (_, me) = town.person(Method::GET, "/v1/me", former, None).await;
        assert!(!me.to_string().contains(town.child()), "{me}");
        for list in ["/v1/consents", "/v1/refusals", "/v1/access-log"] {
            assert_eq!(town.person(Method::GET, list, former, None).await.1["items"], json!([]), "{list}");
        }
        let log = format!("/v1/access-log?subject={}", town.child());
        assert_eq!(town.person(Method::GET, &log, former, None).await.0, 404);
        assert_eq!(town.person(Method::GET, &path, former, None).await.0, 404);
        assert_eq!(town.person(Method::POST, &format!("{path}/revoke"), former, None).await.0, 404);
        assert_eq!(town.refuse(former, json!({})).await.0, 403);
    }

    let (_, mother) = new_parent(&town).await;
    new_record_at_the_city(&town).await;
    let until = town.in_seconds(3_600);
    let (_, new) = town.world.consent(&mother.id, town.child(), &until).await.unwrap();
    assert_ne!(new, old);
    let token = town.world.app_token(&mother.id).unwrap();
    assert!(body(&town.get(&history(&new), &token).await)["total"].as_u64().unwrap() > 0);
    assert_eq!(body(&town.get(&history(&old), &token).await)["total"], 0);
    let mut seen = String::new();
    for list in ["/v1/me", "/v1/consents", "/v1/refusals", &format!("/v1/access-log?subject={}", town.child())] {
        seen.push_str(&town.person(Method::GET, list, &mother.id, None).await.1.to_string());
    }
    for former in [old.as_str(), consent.as_str(), &town.people.parents[0], &town.people.parents[1]] {
        assert!(!seen.contains(former), "the new mother sees nothing of before: {former} in {seen}");
    }

    // Neither a second time nor a restart, which reads the ledger again, brings anything back or ends what is new.
    let town = town.restart().await;
    assert_eq!(adopt(&town).await["entry"], Value::Null, "it was recorded before");
    assert_eq!(body(&town.get(&history(&old), &token).await)["total"], 0);
    assert!(body(&town.get(&history(&new), &token).await)["total"].as_u64().unwrap() > 0);
    let stopped = town.stopped().await;
    sekisho::store::Store::forget_index(&stopped.directory.path().join("data")).unwrap();
    let town = stopped.started().await;
    assert_eq!(body(&town.get(&history(&old), &token).await)["total"], 0, "nor with an index built anew");
    assert!(body(&town.get(&history(&new), &token).await)["total"].as_u64().unwrap() > 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_about_the_child_is_cut() {
    let town = Town::open().await;
    town.world.city.set_knobs(Knobs { entries: Some(3_000), ..Knobs::default() });
    let host = town.world.url.trim_start_matches("https://").to_owned();
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, patient) = town.consent().await;
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), &[b"h2"]).unwrap();
    let reader = Reader::connect(town.gateway.address, Arc::new(tls), Some(1 << 24), Some(4_096)).await;
    let reading = tokio::spawn(Arc::clone(&reader).read(Pace::Stalled));
    let stream = reader.ask(&host, &history(&patient), &token).await;
    reader.until(stream, |got| got.bytes > 0 || got.is_over()).await;
    let severed = adopt(&town).await;
    let arrived = reader.arrived();
    assert_eq!(severed["transfers_cut"], 1);
    reader.hurry();
    let got = reader.until(stream, Got::is_over).await;
    assert!(got.last <= arrived && got.digest.is_none(), "{got:?}, {arrived} at the acknowledgement");
    reading.abort();
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_legal_basis_gets_an_id_anew_and_others_when_they_need_one() {
    let town = Town::open().await;
    let basis = json!({
        "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": town.in_seconds(-60), "until": town.in_seconds(3_600),
        "article": "児童虐待防止法13条の4", "requester": "府中市長", "decided_by": "保健師 A", "reason": "安全確認",
    });
    town.act(&format!("/people/{}/bases", town.child()), basis).await;
    let subject = TextId::parse(town.child()).unwrap();
    let at = async |party: &str| {
        let snapshot = town.gateway.app().store.snapshot(subject).await.unwrap();
        snapshot.subject.pairwise_at(party).map(|p| p.id.text())
    };
    town.consent().await;
    let (clinic, app) = (at("midori-clinic").await, at("yotsuba-phr").await);
    assert!(clinic.is_some() && app.is_some());
    adopt(&town).await;
    let anew = at("midori-clinic").await;
    assert!(anew.is_some() && anew != clinic);
    assert_eq!(at("yotsuba-phr").await, None);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_is_not_in_effect_or_without_evidence_is_not_recorded() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let path = format!("/people/{}/special-adoption", town.child());
    for (name, value) in [
        ("from", town.in_seconds(3_600)),
        ("from", "去年".to_owned()),
        ("evidence", " ".to_owned()),
        ("verified_by", String::new()),
    ] {
        let mut bent = adoption();
        bent[name] = json!(value);
        let why = town.world.act(&path, &bent).await.unwrap_err().to_string();
        assert!(why.contains(name), "{why}");
    }
    assert!(town.items(&patient).await > 0, "nothing was ended");
    town.gateway.stop().await;
}
