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
async fn what_one_parent_may_decide_alone_the_other_cannot_stop() {
    let town = Town::open_with(sekisho::clock::Clock::system(), |text| {
        text.replace("longest_days = 1096", "longest_days = 1096\none_guardian_alone = true")
    })
    .await;
    let link = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": "the-child"}, "evidence": "e", "verified_by": "v",
    });
    town.act(&format!("/people/{}/links", town.child()), link).await;
    let scope = json!({"purpose": "phr-view"});
    assert_eq!(town.refuse(town.father(), scope.clone()).await.0, 201);
    // She grants though he has refused, and it holds.
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    // What she refused herself, she has to lift herself; and the child's own no stands against either parent.
    for (sub, lifts) in [(town.mother(), true), ("the-child", false)] {
        let (status, refused) = town.refuse(sub, scope.clone()).await;
        assert_eq!((status, town.items(&patient).await), (201, 0), "{sub}");
        let proposed = town.world.propose(town.mother(), &town.in_seconds(3_600)).await.unwrap();
        let (status, code) = approval(&town, town.mother(), &proposed, town.child()).await;
        assert_eq!((status, code), (409, json!("refusal-stands")), "{sub}");
        if lifts {
            let lift = format!("/v1/refusals/{}/lift", refused["summary"]["about"].as_str().unwrap());
            assert_eq!(town.person(Method::POST, &lift, sub, None).await.0, 200);
            assert!(town.items(&patient).await > 0);
        }
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_that_flag_the_fathers_refusal_keeps_the_mother_from_granting() {
    let town = Town::open().await;
    assert_eq!(town.refuse(town.father(), json!({"purpose": "phr-view"})).await.0, 201);
    let proposed = town.world.propose(town.mother(), &town.in_seconds(3_600)).await.unwrap();
    assert_eq!(approval(&town, town.mother(), &proposed, town.child()).await, (409, json!("refusal-stands")));
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

/// A person's approval of a proposal for a subject: status and code.
async fn approval(town: &Town, sub: &str, proposed: &Value, subject: &str) -> (u16, Value) {
    let path = format!("/v1/consents/{}/approve", proposed["id"].as_str().unwrap());
    let body = json!({"subject": subject, "text_hash": proposed["text_hash"]});
    let (status, answer) = town.person(Method::POST, &path, sub, Some(&body)).await;
    (status, answer["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_about_somebody_of_age_whatever_is_recorded() {
    let town = Town::open().await;
    let father = &town.people.parents[1];
    let authority = json!({
        "guardian": town.people.parents[0], "from": "2020-01-01T00:00:00+09:00", "kind": "親権者", "evidence": "e", "verified_by": "v",
    });
    town.act(&format!("/people/{father}/authorities"), authority).await;
    let proposed = town.world.propose(town.mother(), &town.in_seconds(3_600)).await.unwrap();
    assert_eq!(approval(&town, town.mother(), &proposed, father).await, (403, json!("no-authority")));
    let refusal = json!({"subject": father});
    assert_eq!(town.person(Method::POST, "/v1/refusals", town.mother(), Some(&refusal)).await.0, 403);
    let log = format!("/v1/access-log?subject={father}");
    assert_eq!(town.person(Method::GET, &log, town.mother(), None).await.0, 404);
    assert_eq!(approval(&town, town.mother(), &proposed, town.child()).await.0, 200, "for the child she may");
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
    use sekisho::ids::TextId;
    let subject = TextId::parse(town.child()).unwrap();
    let snapshot = town.gateway.app().store.snapshot(subject).await.unwrap();
    for authority in &snapshot.subject.records.authorities {
        town.act(&end(&authority.id.text()), json!({"reason": "r"})).await;
    }
    assert_eq!(town.items(&patient).await, 0, "her consent went with her authority");
    assert_eq!(town.person(Method::GET, &log, town.mother(), None).await.0, 404);
    assert_eq!(town.refuse(town.mother(), json!({})).await.0, 403);
    let again = town.world.propose(town.mother(), &town.in_seconds(3_600)).await.unwrap();
    assert_eq!(approval(&town, town.mother(), &again, town.child()).await, (403, json!("no-authority")));
    let bad = json!({"guardian": town.child(), "from": "2026-01-01T00:00:00+09:00", "kind": "親権者", "evidence": "e", "verified_by": "v"});
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
    let snapshot = town.gateway.app().store.snapshot(subject).await.unwrap();
    let pairwise = snapshot.subject.pairwise_at("midori-clinic").unwrap().id.text();
    let token = town.world.clinic_token().unwrap();
    let search = format!("/first-visit/Immunization?patient={pairwise}");
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
    let (_, seen) = town.person(Method::GET, &log, town.mother(), None).await;
    assert_eq!(seen["items"], json!([]), "nor what was asked after its end: {seen}");
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

/// The link of the child to its id at a source.
async fn link_of(town: &Town, source: &str) -> String {
    use sekisho::ids::TextId;
    use sekisho::ledger::event::LinkTarget;
    let subject = TextId::parse(town.child()).unwrap();
    let snapshot = town.gateway.app().store.snapshot(subject).await.unwrap();
    let of = |l: &&sekisho::store::state::Link| matches!(&l.to, LinkTarget::Source { party, .. } if party == source);
    snapshot.subject.links.iter().find(of).unwrap().id.text()
}

pub(super) async fn end_link(town: &Town, source: &str) {
    let path = format!("/people/{}/links/{}/end", town.child(), link_of(town, source).await);
    town.act(&path, json!({"reason": "別人の記録だった"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_repair_the_wrong_accounts_sign_in_is_worth_nothing() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let path = format!("/portal/Immunization?patient={patient}");
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, outcome) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
    let url = outcome["issue"][0]["diagnostics"].as_str().unwrap().to_owned();
    let wrong = sekisho::demo::world::portal_account(town.child_at_city());
    assert_eq!(town.world.sign_in_at_portal(&url, &wrong).await.unwrap(), 200);
    assert_eq!(town.call(&town.world.app_http, Method::GET, &path, &token, None).await.0, 200);
    end_link(&town, "my-portal").await;
    let right = sekisho::demo::world::portal_account(&town.world.families[1].children[0].person.id);
    let link = json!({"to": {"party": "my-portal", "id": right}, "evidence": "e", "verified_by": "v"});
    town.act(&format!("/people/{}/links", town.child()), link).await;
    let (status, answer) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
    assert_eq!(status, 409, "the right account has to sign in: {answer}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_while_the_source_is_asked_releases_nothing() {
    use sekisho_adapters::fhir_server::stand_in::Knobs;
    use sekisho_adapters::stand_in::Faults;
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let before = town.world.city.requests();
    let faults = Faults { latency_ms: 1_500, ..Faults::default() };
    town.world.city.set_knobs(Knobs { faults, ..Knobs::default() });
    let ending = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
        end_link(&town, "fuchu-city").await;
    };
    let (items, ()) = tokio::join!(town.items(&patient), ending);
    assert_eq!(items, 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_hides_the_child_from_the_guardian_it_names() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let log = format!("/v1/access-log?subject={}", town.child());
    assert_eq!(town.person(Method::GET, &log, town.father(), None).await.0, 200, "not yet blocked");
    let misspelt = json!({"party": "yotsuba-prh", "evidence": "支援措置"});
    let path = format!("/people/{}/blocks", town.child());
    assert!(town.world.act(&path, &misspelt).await.is_err(), "a block that would block nobody");
    town.act(&path, json!({"person": town.people.parents[1], "evidence": "支援措置"})).await;
    let (_, me) = town.person(Method::GET, "/v1/me", town.father(), None).await;
    assert!(!me.to_string().contains(town.child()), "the child is not among his: {me}");
    assert_eq!(town.person(Method::GET, &log, town.father(), None).await.0, 404);
    let (_, list) = town.person(Method::GET, "/v1/consents", town.father(), None).await;
    assert_eq!(list["items"], json!([]));
    let revoke = format!("/v1/consents/{consent}/revoke");
    assert_eq!(town.person(Method::POST, &revoke, town.father(), None).await.0, 404);
    assert_eq!(town.refuse(town.father(), json!({})).await.0, 403);
    assert!(town.items(&patient).await > 0, "the mother's consent stands");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_young_person_decides_about_is_not_the_parents_to_see_or_stop() {
    let town = Town::open_with(sekisho::clock::Clock::system(), |text| {
        text.replace("label_en = \"Vaccination history\"", "label_en = \"Vaccination history\"\nown_consent_age = 0")
    })
    .await;
    let link = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": "the-child"}, "evidence": "e", "verified_by": "v",
    });
    town.act(&format!("/people/{}/links", town.child()), link).await;
    let (consent, patient) = town.world.consent("the-child", town.child(), &town.in_seconds(3_600)).await.unwrap();
    let token = town.world.app_token("the-child").unwrap();
    let (_, answer) =
        town.call(&town.world.app_http, Method::GET, &sekisho_tests::town::history(&patient), &token, None).await;
    assert!(answer["total"].as_u64().unwrap() > 0);
    assert_eq!(town.items(&patient).await, 0, "not to the mother");
    let path = format!("/v1/consents/{consent}");
    assert_eq!(town.person(Method::GET, &path, town.mother(), None).await.0, 404);
    assert_eq!(town.person(Method::POST, &format!("{path}/revoke"), town.mother(), None).await.0, 404);
    let (_, log) =
        town.person(Method::GET, &format!("/v1/access-log?subject={}", town.child()), town.mother(), None).await;
    assert_eq!(log["items"], json!([]));
    let (_, log) = town.person(Method::GET, "/v1/access-log", "the-child", None).await;
    assert!(!log["items"].as_array().unwrap().is_empty());
    town.gateway.stop().await;
}
