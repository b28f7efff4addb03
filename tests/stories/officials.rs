//! Officials' work with guardianship and with consents that are no longer up to date.

use http::Method;
use sekisho::admin::client::{SocketError, ask};
use sekisho::ids::TextId;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

async fn look(town: &Town, path: &str) -> Result<Value, SocketError> {
    ask(&town.world.socket(), Method::GET, path, &Value::Null).await
}

fn authority(guardian: &str) -> Value {
    json!({
        "guardian": guardian, "from": "2026-01-01T00:00:00+09:00", "kind": "単独親権", "evidence": "戸籍全部事項証明書",
        "verified_by": "府中市",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_says_on_what_it_rests_who_checked_it_and_when_to_look_again() {
    let town = Town::open().await;
    let path = format!("/people/{}/authorities", town.child());
    let good = authority(&town.people.parents[0]);
    for (name, value) in [
        ("kind", "叔父"),
        ("kind", ""),
        ("evidence", " "),
        ("verified_by", ""),
        ("recheck", "2020-01-01T00:00:00+09:00"),
        ("until", "2025-01-01T00:00:00+09:00"),
    ] {
        let mut bent = good.clone();
        bent[name] = json!(value);
        assert!(town.world.act(&path, &bent).await.is_err(), "{name}: {value:?}");
    }
    let mut none = good.clone();
    none.as_object_mut().unwrap().remove("kind");
    assert!(town.world.act(&path, &none).await.is_err(), "of no kind");
    let made = town.act(&path, good).await;
    let kept = look(&town, &format!("/people/{}/records", town.child())).await.unwrap();
    let told = |record: &&Value| record["record"]["authority"] == made["authority"];
    let told = kept["records"].as_array().unwrap().iter().find(told).unwrap();
    assert_eq!(told["record"]["kind"], "単独親権");
    assert!(told["record"]["recheck"].is_string(), "a date to look again is always there: {told}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_are_to_be_checked_again_are_listed() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let path = format!("/people/{}/authorities", town.child());
    let mut soon = authority(&town.people.parents[0]);
    soon["recheck"] = json!(town.in_seconds(40 * 86_400));
    let made = town.act(&path, soon).await;
    let due = async |days: u16| {
        let answer = look(&town, &format!("/authorities?within_days={days}")).await.unwrap();
        assert_eq!(answer["more_after"], Value::Null);
        answer["authorities"].as_array().unwrap().clone()
    };
    assert!(due(30).await.is_empty());
    let listed = due(60).await;
    assert_eq!((listed.len(), &listed[0]["authority"], &listed[0]["past"]), (1, &made["authority"], &json!(false)));
    assert_eq!((&listed[0]["subject"], &listed[0]["kind"]), (&json!(town.child()), &json!("単独親権")));
    town.pass_seconds(41 * 86_400);
    assert_eq!(due(0).await[0]["past"], true);
    // The others are to be looked at a year after they were recorded.
    let others = 2 * town.people.children.len();
    assert_eq!(due(400).await.len(), 1 + others);
    town.act(&format!("{path}/{}/end", made["authority"].as_str().unwrap()), json!({"reason": "r"})).await;
    assert!(due(0).await.is_empty(), "one that ended is nobody's to check");
    for query in ["within_days=x", "days=3", "after=psn-x"] {
        assert!(look(&town, &format!("/authorities?{query}")).await.is_err(), "{query}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authority_that_was_suspended_and_came_back_does_not_bring_back_what_was_granted() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let path = format!("/people/{}/authorities", town.child());
    let subject = TextId::parse(town.child()).unwrap();
    let mother = &town.people.parents[0];
    let snapshot = town.gateway.app().store.snapshot(subject).await.unwrap();
    for held in snapshot.subject.records.authorities.iter().filter(|a| a.guardian.text() == *mother) {
        let end = format!("{path}/{}/end", held.id.text());
        town.act(&end, json!({"reason": "親権停止の審判"})).await;
    }
    assert_eq!(town.items(&patient).await, 0);
    let mut back = authority(mother);
    // Not from the day of birth on: that would be as if it had never been suspended.
    back["from"] = json!("2020-01-01T00:00:00+09:00");
    assert!(town.world.act(&path, &back).await.is_err());
    back["from"] = json!(town.in_seconds(0));
    town.act(&path, back).await;
    assert_eq!(town.items(&patient).await, 0, "the old word does not revive");
    let (_, again) = town.consent().await;
    assert_eq!(again, patient, "the app's id is the same");
    assert!(town.items(&patient).await > 0, "given anew it counts");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_to_ask_for_anew_are_listed_with_the_reason() {
    let town = Town::open().await;
    let (consent, _) = town.consent().await;
    let anew = async |more: &str| {
        let path = format!("/consents/ask-anew?purpose=phr-view{more}");
        look(&town, &path).await.unwrap()["consents"].as_array().unwrap().clone()
    };
    assert!(anew("").await.is_empty(), "nothing has changed");
    assert!(anew("&recipient=yotsuba-phr").await.is_empty(), "that one has its consent");
    town.reload_with(|text| {
        let app =
            "[[party]]\ncode = \"futaba-phr\"\nkind = \"phr-app\"\nname_ja = \"ふたば\"\nname_en = \"Futaba\"\n\n";
        text.replacen("[[purpose]]", &format!("{app}[[purpose]]"), 1)
    })
    .await
    .unwrap();
    let listed = anew("&recipient=futaba-phr").await;
    assert_eq!((&listed[0]["consent"], &listed[0]["why"]), (&json!(consent), &json!(["recipient"])));
    assert_eq!((&listed[0]["subject"], &listed[0]["grantor"]), (&json!(town.child()), &json!(town.people.parents[0])));
    town.reload_with(|text| {
        let wider = "[[category]]\nversion = \"vaccination@2\"\nlabel_ja = \"予防接種の記録（広い）\"\nlabel_en = \"More\"\n\n\
                     [[category.covers]]\nresource = \"Immunization\"\nelements = [\"status\", \"note\"]\n\n";
        text.replacen("[[category]]", &format!("{wider}[[category]]"), 1)
    })
    .await
    .unwrap();
    assert_eq!(anew("").await[0]["why"], json!(["category"]));
    town.reload_with(|text| text.replace("text_version = \"2026-04\"", "text_version = \"2026-12\"")).await.unwrap();
    assert_eq!(anew("").await[0]["why"], json!(["text", "category"]));
    town.world.revoke(town.mother(), &consent).await.unwrap();
    assert!(anew("").await.is_empty(), "who withdrew is not asked because of a version");
    for query in ["", "?purpose=spying", "?purpose=phr-view&recipient=nobody", "?purpose=phr-view&who=x"] {
        assert!(look(&town, &format!("/consents/ask-anew{query}")).await.is_err(), "{query}");
    }
    town.gateway.stop().await;
}
