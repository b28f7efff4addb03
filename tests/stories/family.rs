//! Mother, father, child; links and their repair; officials' acts; what each can see.

use http::Method;
use sekisho::admin::client::SocketError;
use sekisho_tests::town::Town;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_fathers_refusal_stands_against_the_mothers_grant() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let (status, _) = town.refuse(town.father(), json!({"purpose": "phr-view"})).await;
    assert_eq!(status, 201);
    assert_eq!(town.items(&patient).await, 0);
    let line = town.newest_decision().await;
    let told = town.explain(line["decision"].as_str().unwrap()).await;
    assert_eq!(told["agrees_with_record"], true);
    assert!(told["categories"][0]["why_en"].as_str().unwrap().starts_with("forbidden by refusal"), "{told}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_link_is_repaired_and_nothing_more_is_released_on_it() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let others = town.world.families[1].children[0].person.id.clone();
    let path = format!("/people/{}/links", town.child());
    let log = town.person(Method::GET, &format!("/v1/access-log?subject={}", town.child()), town.mother(), None).await;
    assert_eq!(log.0, 200);
    // The city's clerk linked the child to another family's record.
    let wrong = json!({"to": {"party": "my-portal", "id": others}, "evidence": "e", "verified_by": "v"});
    let wrong = town.act(&path, wrong).await;
    let end = format!("{path}/{}/end", wrong["link"].as_str().unwrap());
    town.act(&end, json!({"reason": "別人の記録だった"})).await;
    let unknown = town.world.act(&end, &json!({"reason": "もう一度"})).await;
    assert!(matches!(unknown, Err(SocketError::Refused(_))), "it has ended already");
    assert!(town.items(&patient).await > 0, "the right link is untouched");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_one_persons_and_moves_only_by_repair() {
    let town = Town::open().await;
    let (mother, father) = (&town.people.parents[0], &town.people.parents[1]);
    let login = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": town.mother()}, "evidence": "e", "verified_by": "v",
    });
    let taken = town.world.act(&format!("/people/{father}/links"), &login).await;
    assert!(matches!(taken, Err(SocketError::Refused(_))), "{taken:?}");
    let new = json!({"to": {"issuer": town.world.issuer.base_url(), "sub": "new-login"}, "evidence": "e", "verified_by": "v"});
    let link = town.act(&format!("/people/{mother}/links"), new).await;
    assert_eq!(town.person(Method::GET, "/v1/me", "new-login", None).await.0, 200);
    let end = format!("/people/{mother}/links/{}/end", link["link"].as_str().unwrap());
    town.act(&end, json!({"reason": "r"})).await;
    assert_eq!(town.person(Method::GET, "/v1/me", "new-login", None).await.0, 403, "an ended link signs nobody in");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_whose_authority_ended_gives_and_sees_nothing() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let log = format!("/v1/access-log?subject={}", town.child());
    assert_eq!(town.person(Method::GET, &log, town.mother(), None).await.0, 200);
    let authority = json!({
        "guardian": town.people.parents[0], "from": "2026-01-01T00:00:00+09:00", "kind": "親権者", "evidence": "e", "verified_by": "v",
    });
    let path = format!("/people/{}/authorities", town.child());
    let second = town.act(&path, authority).await;
    let end = |id: &str| format!("{path}/{id}/end");
    town.act(&end(second["authority"].as_str().unwrap()), json!({"reason": "r"})).await;
    assert!(town.items(&patient).await > 0, "the first authority still holds");
    let bad = json!({"guardian": town.child(), "from": "2026-01-01T00:00:00+09:00", "kind": "k", "evidence": "e", "verified_by": "v"});
    assert!(town.world.act(&path, &bad).await.is_err(), "nobody is their own guardian");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_basis_releases_to_the_citys_machine_and_shows_to_no_citizen() {
    let town = Town::open_with(sekisho::clock::Clock::system(), |text| {
        text.replace("receivers = [\"clinic\"]", "receivers = [\"clinic\", \"municipality\"]")
    })
    .await;
    let basis = json!({
        "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": town.in_seconds(-60), "until": town.in_seconds(3_600),
        "article": "児童虐待防止法13条の4", "requester": "府中市長", "decided_by": "保健師 A", "reason": "安全確認",
    });
    let path = format!("/people/{}/bases", town.child());
    let mut empty = basis.clone();
    empty["reason"] = json!(" ");
    assert!(town.world.act(&path, &empty).await.is_err(), "a basis needs a reason");
    let recorded = town.act(&path, basis).await;
    // The clinic learns its id for the child with the basis; here the store tells it.
    let subject = sekisho::ids::TextId::parse(town.child()).unwrap();
    let snapshot = town.gateway.app.store.snapshot(subject).await.unwrap();
    let pairwise = snapshot.subject.pairwise_at("midori-clinic").unwrap().id.text();
    let token = town.world.clinic_token().unwrap();
    let search = format!("/clinic/Immunization?patient={pairwise}");
    let (status, answer) = town.call(&town.world.clinic_http, Method::GET, &search, &token, None).await;
    assert_eq!(status, 200);
    assert!(answer["total"].as_u64().unwrap() > 0);
    let log = format!("/v1/access-log?subject={}", town.child());
    let (_, seen) = town.person(Method::GET, &log, town.mother(), None).await;
    assert_eq!(seen["items"], json!([]), "no line, and no gap: {seen}");
    assert_eq!(seen["next"], Value::Null);
    let end = format!("{path}/{}/end", recorded["basis"].as_str().unwrap());
    town.act(&end, json!({})).await;
    let (_, answer) = town.call(&town.world.clinic_http, Method::GET, &search, &token, None).await;
    assert_eq!(answer["total"], 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_my_number_is_taken_from_nobody() {
    let town = Town::open().await;
    let path = format!("/people/{}/links", town.child());
    let link = json!({"to": {"party": "my-portal", "id": "111111111118"}, "evidence": "e", "verified_by": "v"});
    let Err(SocketError::Refused(why)) = town.world.act(&path, &link).await else { panic!("it was taken") };
    assert!(!why.contains("1111"), "and it is not repeated");
    town.gateway.stop().await;
}
