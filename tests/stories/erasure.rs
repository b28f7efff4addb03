//! Erasing a person; what the law keeps, and for how long; and who received what, for the report of a breach.

use http::Method;
use http::StatusCode;
use http_body_util::BodyExt;
use sekisho::admin::client::ask;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

async fn look(town: &Town, path: &str) -> Value {
    ask(&town.world.socket(), Method::GET, path, &Value::Null).await.unwrap()
}

async fn refused(town: &Town, path: &str) -> String {
    ask(&town.world.socket(), Method::GET, path, &Value::Null).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_and_what_the_law_keeps_ends_when_its_time_is_over() {
    let clock = standing_clock();
    let town = Town::open_with(clock.clone(), |text| text).await;
    let (consent, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    assert_eq!(town.newest_outcome().await, "complete");
    let decision = town.newest_decision().await["decision"].as_str().unwrap().to_owned();
    let child = town.child().to_owned();
    let done = town.act(&format!("/people/{child}/erase"), json!({})).await;
    assert_eq!(done, json!({"transfers_cut": 0}));
    assert_eq!(town.items(&patient).await, 0, "as if nobody were there");
    let explained = town.explain(&decision).await;
    assert_eq!((&explained["erased"], &explained["agrees_with_record"]), (&json!(true), &json!(true)), "{explained}");
    assert_eq!(explained["categories"][0]["kept"], true, "what was released stays known");

    let kept = look(&town, &format!("/people/{child}/records")).await;
    let records = kept["records"].as_array().unwrap();
    let of = |kind: &str| records.iter().find(|r| r["kind"] == kind).unwrap_or_else(|| panic!("{kind} in {kept}"));
    assert_eq!(of("ConsentApproved")["record"]["consent"], consent.as_str(), "the law keeps consents");
    assert_eq!(of("Enrolled")["record"], Value::Null, "and not who it was");
    assert!(!kept.to_string().contains(&town.family.children[0].person.id), "nor the id at the city");
    assert_eq!((&kept["complete"], kept["decisions"].as_array().unwrap().len()), (&json!(true), 2));

    let year = 366 * 86_400;
    town.pass_seconds(3 * year - 86_400 * 10);
    assert_eq!(town.act("/records/destroy-old", json!({})).await, json!({"people": 0}), "three years are not over");
    town.pass_seconds(86_400 * 20);
    assert_eq!(town.act("/records/destroy-old", json!({})).await, json!({"people": 1}));
    assert_eq!(town.act("/records/destroy-old", json!({})).await, json!({"people": 0}));
    let kept = look(&town, &format!("/people/{child}/records")).await;
    assert!(kept["records"].as_array().unwrap().iter().all(|record| record["record"].is_null()), "{kept}");
    assert_eq!(kept["decisions"], json!([]));
    let nobodys = town.world.act("/people/psn-aaaaaaaaaaaaaaaaaaaaaaaaaa/erase", &json!({})).await;
    assert!(nobodys.unwrap_err().to_string().contains("person"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_cuts_what_is_under_way() {
    let (town, _, held) = crate::reload::with_a_release_under_way().await;
    let done = town.act(&format!("/people/{}/erase", town.child()), json!({})).await;
    assert_eq!(done, json!({"transfers_cut": 1}));
    assert!(held.into_body().collect().await.is_err());
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_destroyed_stays_so_after_a_restart_and_is_on_the_signed_list() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let list = |answer: &Value| answer["destroyed"].as_str().unwrap().to_owned();
    let before = list(&look(&town, "/destroyed").await);
    town.act(&format!("/people/{}/erase", town.child()), json!({})).await;
    let after = list(&look(&town, "/destroyed").await);
    assert!(before.contains("\n0\n") && after.contains("\n1\n"), "{after}");
    let key = std::fs::read_to_string(town.directory.path().join("data/checkpoint.vkey")).unwrap();
    assert_eq!(sekisho::ledger::destroyed::open(after.as_bytes(), key.trim()).unwrap().len(), 1);
    let town = town.restart().await;
    assert_eq!(town.items(&patient).await, 0);
    assert_eq!(list(&look(&town, "/destroyed").await), after);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_received_what_since_then_can_be_told() {
    let clock = standing_clock();
    let town = Town::open_with(clock.clone(), |text| text).await;
    let (_, patient) = town.consent().await;
    let items = town.items(&patient).await;
    assert_eq!(town.newest_outcome().await, "complete");
    let of_then = town.newest_decision().await["decision"].clone();
    town.pass_seconds(3_600);
    let since = town.in_seconds(-1_800);
    town.items(&patient).await;
    assert_eq!(town.newest_outcome().await, "complete");
    let (_, stranger) = town.world.consent(town.mother(), town.child(), &town.in_seconds(60)).await.unwrap();
    town.act("/parties/yotsuba-phr/suspend", json!({"reason": "漏えいの疑い"})).await;
    assert_eq!(town.items(&stranger).await, 0, "a denial is none of it");

    let path = |query: &str| format!("/releases?{query}");
    let told = look(&town, &path(&format!("since={since}"))).await;
    let lines = told["releases"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{told}");
    let line = &lines[0];
    assert_eq!((&line["recipient"], &line["purpose"]), (&json!("yotsuba-phr"), &json!("phr-view")));
    assert_eq!(
        (&line["subject"], &line["outcome"], &line["items"]),
        (&json!(town.child()), &json!("complete"), &json!(items))
    );
    assert_eq!(line["categories"], json!(["vaccination@1"]));
    assert!(line["bytes"].as_u64().unwrap() > 1_000 && line["sha256"].as_str().unwrap().len() == 64);

    let all = look(&town, &path("since=2020-01-01T00:00:00Z&party=yotsuba-phr")).await;
    assert_eq!(all["releases"][0]["decision"], of_then);
    assert_eq!(all["releases"].as_array().unwrap().len(), 2);
    let others = look(&town, &path("since=2020-01-01T00:00:00Z&party=midori-clinic")).await;
    assert_eq!(others, json!({"releases": [], "erased": 0, "pruned_before": null, "more_after": null}));
    let earlier = look(&town, &path(&format!("since=2020-01-01T00:00:00Z&until={since}"))).await;
    assert_eq!(earlier["releases"].as_array().unwrap().len(), 1);
    assert!(refused(&town, "/releases").await.contains("`since`"));
    assert!(refused(&town, &path("since=yesterday")).await.contains("2026-11-01T00:00:00+09:00"));
    assert!(refused(&town, &path("since=2020-01-01T00:00:00Z&partei=x")).await.contains("`partei`"));
    assert_eq!(town.ask(&patient).await.status, StatusCode::OK);
    town.gateway.stop().await;
}
