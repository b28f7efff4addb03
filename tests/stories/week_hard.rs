//! The week where it is hard: what withdraws, who sees what, and bad input that holds nobody else back.

use http::Method;
use sekisho::ids::TextId as _;
use sekisho_adapters::certs::{ALPN_H1, Validity, client_config};
use sekisho_adapters::consultation::stand_in::Knobs;
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_policy::PersonId;
use serde_json::{Value, json};

use super::week::{Week, at, consultation, details, names};

impl Week {
    /// Who a user of the service is here.
    async fn person(&self, user: &str) -> PersonId {
        let store = &self.town.gateway.app().store;
        store.person_of_source("nijiiro-soudan", user).await.unwrap().expect("nobody is linked to it")
    }

    /// Pulls, opens and confirms: head and rows.
    async fn taken(&self, city: &sekisho::demo::week::City, package: &str) -> (Value, Vec<Value>) {
        let answer = self.pull(city, package).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        self.confirm(city, package, &answer).await;
        self.open_file(city, &answer.body)
    }

    /// Alerts that are open.
    async fn alerts(&self) -> Vec<Value> {
        let (_, open) = self.service(Method::GET, "/v1/alerts", None).await;
        open["items"].as_array().unwrap().clone()
    }

    /// What the service was told goes back, once it is so many.
    async fn returned(&self, many: usize) -> Vec<(String, String, String)> {
        self.town.pass_seconds(3_601);
        loop {
            let told = self.care.service.told().returned;
            if told.len() >= many {
                return told;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn reload(&self, bend: impl FnOnce(String) -> String) {
        self.town.reload_with(bend).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_for_one_consultation_leaves_the_others() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.flagged("k-2", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    week.care.service.choose("u-1", Some("k-1"), "nothing", "132063", "2026-11-23T05:00:00+09:00");
    let (_, rows) = week.taken(week.fuchu(), &package).await;
    let words: Vec<&str> = rows.iter().map(|row| row["content"]["consultation"].as_str().unwrap()).collect();
    assert_eq!(words, ["相談の言葉 k-2"], "the consent stands, and covers the other one");
    // After it arrived, the same of the other: recalled, though the consent stands still.
    week.care.service.choose("u-1", Some("k-2"), "nothing", "132063", "2026-11-24T05:00:00+09:00");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    let (head, rows) = week.taken(week.fuchu(), &next).await;
    assert_eq!((rows.len(), head["withdrawn"].as_array().map(Vec::len)), (0, Some(1)), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_is_recalled_and_waits_nowhere() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.flagged("k-2", "u-2", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let (_, rows) = week.taken(week.fuchu(), &package).await;
    let number = rows.iter().find(|row| row["asker"]["name"] == "合成 u-1").unwrap()["case"].clone();
    let person = week.person("u-1").await;
    week.town.act(&format!("/people/{}/erase", person.text()), json!({})).await;
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    let (head, rows) = week.taken(week.fuchu(), &next).await;
    assert_eq!((rows.len(), &head["withdrawn"][0]["case"]), (0, &number), "{head}");
    assert_eq!(head["withdrawn"].as_array().map(Vec::len), Some(1), "the other one's stays");
}

/// On a legal basis it went out; then it is disclosed.
#[tokio::test(flavor = "multi_thread")]
async fn a_disclosed_basis_shows_to_its_subject_alone() {
    let week = Week::open().await;
    let mut urgent = consultation("k-9", "u-9");
    urgent["emergency"] = json!(true);
    urgent["sharing"]["choice"] = json!("nothing");
    week.push(&urgent).await;
    let alert = week.alerts().await[0]["id"].as_str().unwrap().to_owned();
    week.care.service.put_details("k-9", details("k-9", "u-9", "合成 u-9"));
    week.service(Method::POST, &format!("/v1/alerts/{alert}/acknowledgement"), Some(&json!({"by": "A"}))).await;
    let decision = json!({"by": "医師 A", "decision": "basis", "reason": "切迫している", "basis": {
        "article": "児童福祉法25条", "requester": "", "until": "2026-12-20T00:00:00+09:00", "content": true}});
    let (status, said) = week.service(Method::POST, &format!("/v1/alerts/{alert}/decision"), Some(&decision)).await;
    assert_eq!(status, 201, "{said}");
    let basis = said["basis"].as_str().unwrap();
    let package = week.package(week.fuchu(), "urgent").await;
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 1);
    // The user signs in here, as somebody whom the registrar knows.
    let person = week.person("u-9").await.text();
    let login = "syn-u-9";
    let link = json!({"to": {"issuer": week.town.world.issuer.base_url(), "sub": login}, "evidence": "窓口", "verified_by": "職員"});
    week.town.act(&format!("/people/{person}/links"), link).await;
    let log = format!("/v1/access-log?subject={person}");
    let (status, seen) = week.town.person(Method::GET, &log, login, None).await;
    assert_eq!((status, &seen["items"], &seen["next"]), (200, &json!([]), &Value::Null), "no line, no gap: {seen}");
    let disclose = format!("/people/{person}/bases/{basis}/disclose");
    assert!(week.town.world.act(&disclose, &json!({"by": " "})).await.is_err(), "somebody must be named");
    week.town.act(&disclose, json!({"by": "課長 B"})).await;
    let (_, seen) = week.town.person(Method::GET, &log, login, None).await;
    let lines = seen["items"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.to_string().contains("fuchu-city")), "{seen}");
    // To nobody else: who asks about them gets what anybody gets.
    let (status, _) = week.town.person(Method::GET, &log, week.town.mother(), None).await;
    assert_ne!(status, 200);
}

/// A child's guardian sees nothing of a basis about the child, disclosed or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_disclosed_basis_shows_to_no_guardian() {
    let week = Week::open().await;
    let (town, child) = (&week.town, week.town.child());
    let basis = json!({
        "recipient": "fuchu-city", "purpose": "parenting-support",
        "categories": ["consultation-flag@1", "contact@1", "identity@1"],
        "from": town.in_seconds(0), "until": town.in_seconds(86_400), "article": "児童虐待防止法6条", "requester": "府中市",
        "decided_by": "保健師 A", "reason": "安全確認",
    });
    let recorded = town.act(&format!("/people/{child}/bases"), basis).await;
    let id = recorded["basis"].as_str().unwrap();
    town.act(&format!("/people/{child}/bases/{id}/disclose"), json!({"by": "課長 B"})).await;
    let log = format!("/v1/access-log?subject={child}");
    let (status, seen) = town.person(Method::GET, &log, town.mother(), None).await;
    assert_eq!((status, &seen["items"]), (200, &json!([])), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_municipality_without_a_key_waits_and_the_others_go_on() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    let mut other = consultation("k-2", "u-2");
    other["judgement"] = json!({"reason": "判断"});
    other["sharing"]["municipality"] = json!("132250");
    week.put("k-2", "u-2", &other);
    week.made_up().await;
    let key = format!("key = \"{}\"\n", week.fuchu().key.public());
    week.reload(|text| text.replace(&key, "")).await;
    let (at_fuchu, at_inagi) =
        (week.package(week.fuchu(), "2026-W48").await, week.package(week.inagi(), "2026-W48").await);
    let refused = async || {
        let answer = week.pull(week.fuchu(), &at_fuchu).await;
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status.as_u16(), said["code"].as_str()), (409, Some("no-package-key")), "{said}");
    };
    refused().await;
    assert!(week.care.service.take_asked().is_empty(), "nobody was asked about");
    assert_eq!(names(&week.taken(week.inagi(), &at_inagi).await.1), ["合成 u-2"]);
    // One whose last day is over is none; its last day is still one.
    let default = "default_district";
    week.reload(|text| text.replacen(default, &format!("{key}key_until = \"2026-11-22\"\n{default}"), 1)).await;
    refused().await;
    week.reload(|text| text.replace("2026-11-22", "2026-11-23")).await;
    assert_eq!(names(&week.taken(week.fuchu(), &at_fuchu).await.1), ["合成 u-1"], "nothing was lost meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_of_a_municipality_holds_only_itself() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let (world, now) = (&week.town.world, (week.town.world.now)());
    // The gateway's TLS goes by the machine's clock.
    let machine = sekisho::clock::Clock::system().now().unwrap().millis();
    let identity = world.ca.client("fuchu-machine", Validity::expired(machine.min(now))).unwrap();
    let known = week.fuchu().identity.thumbprint();
    let both = format!("\"{known}\", \"{}\"", identity.thumbprint());
    week.reload(|text| text.replace(&format!("\"{known}\""), &both)).await;
    let tls = client_config(world.ca.roots().unwrap(), Some(&identity), ALPN_H1).unwrap();
    let late = HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 10_000, body_bytes_max: 1 << 20 });
    let token = week.fuchu().token(world).unwrap();
    let path = format!("/v1/packages/{package}/copies");
    assert!(world.call(&late, Method::POST, &path, &token, Some(&json!({}))).await.is_err(), "no connection at all");
    assert_eq!(names(&week.taken(week.fuchu(), &package).await.1), ["合成 u-1"], "with its new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_during_the_week_is_the_new_municipalitys_alone() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    // It lies ready for Fuchu; the person has moved, and says so.
    week.care.service.choose("u-1", None, "content", "132250", "2026-11-23T05:00:00+09:00");
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 0, "the newest choice names another");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let there = week.package(week.inagi(), "2026-W49").await;
    assert_eq!(names(&week.taken(week.inagi(), &there).await.1), ["合成 u-1"]);
    // After it arrived, on to a town that takes no cases: recalled, and nobody else's.
    week.care.service.choose("u-1", None, "content", "131121", "2026-12-01T05:00:00+09:00");
    week.town.clock.set(at("2026-12-07T06:00:00+09:00"));
    week.run(json!({"week": "2026-W50", "collect": true})).await;
    for (city, recalled) in [(week.fuchu(), 0), (week.inagi(), 1)] {
        let package = week.package(city, "2026-W50").await;
        let (head, rows) = week.taken(city, &package).await;
        assert_eq!((rows.len(), head["withdrawn"].as_array().map(Vec::len)), (0, Some(recalled)), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_my_number_is_taken_from_no_service() {
    let week = Week::open().await;
    let mut numbered = consultation("k-1", "u-1");
    numbered["epds"] = json!([3, 3, 3, 0, 0, 0, 0, 0, 0, 1]);
    numbered["safe_contact"]["hours"] = json!("111111111118");
    let sound = consultation("k-2", "u-2");
    let (status, said) =
        week.service(Method::POST, "/v1/consultations", Some(&json!({"items": [numbered, sound]}))).await;
    assert_eq!((status, &said["records"], &said["flagged"]), (200, &json!(2), &json!(0)), "{said}");
    assert_eq!(said["rejected"][0]["problems"][0]["why"], "my-number");
    assert!(!said.to_string().contains("1111"), "and it is not repeated: {said}");
    // It can't wait all the same.
    assert_eq!(week.alerts().await.len(), 1);
    let store = &week.town.gateway.app().store;
    assert!(store.person_of_source("nijiiro-soudan", "u-1").await.unwrap().is_none(), "nobody was enrolled by it");
}

/// Some digests hold twelve digits that could be one: their copies can be confirmed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_never_taken_for_a_my_number() {
    let week = Week::open().await;
    let package = week.package(week.fuchu(), "2026-W47").await;
    let token = week.fuchu().token(&week.town.world).unwrap();
    let digest = format!("{}a111111111118a{}", "0a".repeat(24), "00");
    let path = format!("/v1/packages/{package}/receipts");
    let said = json!({"digest": digest});
    let (status, problem) = week.town.call(&week.fuchu().http, Method::POST, &path, &token, Some(&said)).await;
    assert_eq!(
        (status, problem["field"].as_str()),
        (422, Some("digest")),
        "none of the copies', and no more: {problem}"
    );
}

/// A page, a push and a record of which nothing can be read: a human gets to know each time, and what is sound goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_urgent_reaches_a_human_though_nothing_of_it_can_be_read() {
    let week = Week::open().await;
    let wreck = r#"{"id": "k-1", "emergency": true, "#;
    let token = week.care.token(&week.town.world).unwrap();
    let request =
        week.town.request(Method::POST, "/v1/consultations", &token).header("content-type", "application/json");
    assert_eq!(week.town.send(&week.care.http, request, wreck).await.status, 400);
    assert_eq!(week.alerts().await.len(), 1, "of a push");
    let nameless = json!({"id": 5, "emergency": true});
    let (status, said) = week.service(Method::POST, "/v1/consultations", Some(&nameless)).await;
    assert_eq!((status, &said["urgent"]), (200, &json!(1)), "{said}");
    assert_eq!(week.alerts().await.len(), 2, "of a record without an id");
    week.care.service.add(wreck);
    let lines = week.run(json!({"collect": true})).await;
    let why = lines[0]["error"].as_str().unwrap();
    assert!(why.contains("nijiiro-soudan") && !why.contains("emergency"), "{why}");
    assert_eq!(week.alerts().await.len(), 3, "of a page");
    week.care.on_call.has_taken(3).await;
    // Nothing is sent meanwhile of what is not known; what was pushed is a case all the same.
    let mut sound = consultation("k-2", "u-2");
    sound["judgement"] = json!({"reason": "判断"});
    assert_eq!(week.push(&sound).await["flagged"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_of_one_name_and_birthday_are_two_cases() {
    let week = Week::open().await;
    for (id, user) in [("k-1", "u-1"), ("k-2", "u-2")] {
        week.flagged(id, user, "content");
        week.care.service.put_details(id, details(id, user, "合成 同名"));
    }
    week.made_up().await;
    assert_ne!(week.person("u-1").await, week.person("u-2").await);
    let package = week.package(week.fuchu(), "2026-W48").await;
    week.care.service.choose("u-2", None, "identity-only", "132063", "2026-11-23T05:00:00+09:00");
    let (_, rows) = week.taken(week.fuchu(), &package).await;
    assert_eq!(names(&rows), ["合成 同名", "合成 同名"]);
    assert_ne!(rows[0]["case"], rows[1]["case"]);
    let full: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "full").collect();
    assert_eq!((full.len(), &full[0]["content"]["consultation"]), (1, &json!("相談の言葉 k-1")));
}

/// Ten megabytes of words, where a record has them and where details do: named, and the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_of_words_hold_nobody_else_back() {
    let week = Week::open().await;
    let long = "長".repeat(10_000_000 / 3);
    let mut wordy = consultation("k-1", "u-1");
    wordy["judgement"] = json!({"reason": long});
    week.put("k-1", "u-1", &wordy);
    for id in ["k-2", "k-3"] {
        week.flagged(id, id, "content");
    }
    let mut much = details("k-2", "k-2", "合成 k-2");
    much["content"]["consultation"] = json!(long);
    week.care.service.put_details("k-2", much);
    let lines = week.made_up().await;
    assert_eq!((&lines[0]["flagged"], &lines[0]["rejected"]), (&json!(2), &json!(1)), "{lines:?}");
    let package = week.package(week.fuchu(), "2026-W48").await;
    assert_eq!(names(&week.taken(week.fuchu(), &package).await.1), ["合成 k-3"]);
    let told = week.returned(2).await;
    let has = |id: &str, why: &str| told.iter().any(|(about, _, code)| about == id && code == why);
    assert!(has("k-1", "too-large") && has("k-2", "too-large"), "{told:?}");
    // It waits, and arrives once the service has mended it.
    week.care.service.put_details("k-2", details("k-2", "k-2", "合成 k-2"));
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49"})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    assert_eq!(names(&week.taken(week.fuchu(), &next).await.1), ["合成 k-2"]);
}

/// A clock that jumps back a day: nothing is decided by it; once it is right again, nothing came twice and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_a_day_doubles_and_loses_nothing() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let before = week.packages(week.fuchu()).await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let (token, path) = (week.fuchu().token(&week.town.world).unwrap(), format!("/v1/packages/{package}/copies"));
    week.flagged("k-2", "u-2", "content");
    week.town.clock.set(at("2026-11-22T06:00:00+09:00"));
    let (status, _) = week.town.call(&week.fuchu().http, Method::POST, &path, &token, Some(&json!({}))).await;
    assert!(status == 503 || status == 401, "nothing is decided by a clock that is wrong: {status}");
    let by_hand = json!({"collect": true});
    assert!(sekisho::admin::client::lines(&week.town.world.socket(), "/batch/run", &by_hand).await.is_err());
    assert!(week.care.service.take_asked().is_empty());
    week.town.clock.set(at("2026-11-23T06:00:30+09:00"));
    week.run(json!({"week": "2026-W48", "collect": true})).await;
    let after = week.packages(week.fuchu()).await;
    let weeks = |packages: &[Value]| packages.iter().map(|p| p["week"].clone()).collect::<Vec<_>>();
    assert_eq!(weeks(&before), weeks(&after), "no week comes twice");
    let (_, rows) = week.taken(week.fuchu(), &package).await;
    let mut shown = names(&rows);
    shown.sort_unstable();
    assert_eq!(shown, ["合成 u-1", "合成 u-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_services_details_fail_nothing_is_lost() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    // The service answers with somebody else's as well: all of it is refused.
    week.care.service.set_knobs(Knobs { somebody_elses: true, ..Knobs::default() });
    assert_eq!(week.pull(week.fuchu(), &package).await.status, 503);
    week.care.service.set_knobs(Knobs { sends_words: true, ..Knobs::default() });
    week.care.service.choose("u-1", None, "identity-only", "132063", "2026-11-23T05:00:00+09:00");
    let (_, rows) = week.taken(week.fuchu(), &package).await;
    assert!(rows.len() == 1 && !rows[0].to_string().contains("の言葉"), "words that nobody asked for go nowhere");
}

/// A municipality that fetched a copy has it, whether it says so or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_and_never_confirmed_is_recalled_too() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let (_, rows) = week.opened(week.fuchu(), &package).await;
    week.care.service.choose("u-1", None, "nothing", "132063", "2026-11-24T05:00:00+09:00");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    let (head, none) = week.taken(week.fuchu(), &next).await;
    assert_eq!((none.len(), &head["withdrawn"][0]["case"]), (0, &rows[0]["case"]), "{head}");
    // Chosen anew, it comes again, with the package that it is in still.
    week.care.service.choose("u-1", None, "identity-only", "132063", "2026-12-01T05:00:00+09:00");
    week.town.clock.set(at("2026-12-01T06:00:00+09:00"));
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_arrived_is_fetched_again_with_nothing_new_in_it() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "identity-only");
    week.flagged("k-2", "u-2", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    week.care.service.choose("u-2", None, "nothing", "132063", "2026-11-23T05:00:00+09:00");
    assert_eq!(names(&week.taken(week.fuchu(), &package).await.1), ["合成 u-1"]);
    for user in ["u-1", "u-2"] {
        week.care.service.choose(user, None, "content", "132063", "2026-11-24T05:00:00+09:00");
    }
    week.town.clock.set(at("2026-11-24T06:00:00+09:00"));
    let (_, again) = week.opened(week.fuchu(), &package).await;
    assert_eq!((names(&again), &again[0]["content"]), (vec!["合成 u-1"], &Value::Null), "the same, or less");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    assert_eq!(names(&week.taken(week.fuchu(), &next).await.1), ["合成 u-2"]);
}

/// Changed choices are read at each pull, consultations by the hour: what somebody took back must not wait for what it is about.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_comes_before_its_consultation_counts() {
    let week = Week::open().await;
    week.flagged("k-0", "u-0", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let service = &week.care.service;
    let later = "2026-11-23T05:00:00+09:00";
    service.choose("u-1", None, "nothing", "132063", later);
    service.choose("u-2", Some("k-2"), "nothing", "132063", later);
    service.choose("u-3", None, "identity-only", "132063", later);
    service.choose("u-4", None, "content", "132250", later);
    service.change_choice(json!({"user": "u-5", "sharing": 5}).to_string());
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 1);
    for number in 1..=5 {
        week.flagged(&format!("k-{number}"), &format!("u-{number}"), "content");
    }
    week.flagged("k-6", "u-2", "content");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    let (_, rows) = week.taken(week.fuchu(), &next).await;
    let mut shown: Vec<(&str, &str)> =
        names(&rows).into_iter().zip(rows.iter().map(|row| row["kind"].as_str().unwrap())).collect();
    shown.sort_unstable();
    assert_eq!(shown, [("合成 u-2", "full"), ("合成 u-3", "identity-only")]);
    assert!(rows.iter().any(|row| row["content"]["consultation"] == "相談の言葉 k-6"), "the other of the same person");
    let there = week.package(week.inagi(), "2026-W49").await;
    assert_eq!(names(&week.taken(week.inagi(), &there).await.1), ["合成 u-4"]);
}

/// The newest word counts, though an older one is told after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_withdrawn_here_is_not_given_again_by_an_older_choice() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.run(json!({"collect": true})).await;
    let (town, login) = (&week.town, "syn-u-1");
    let link = json!({"to": {"issuer": town.world.issuer.base_url(), "sub": login}, "evidence": "窓口", "verified_by": "職員"});
    town.act(&format!("/people/{}/links", week.person("u-1").await.text()), link).await;
    town.clock.set(at("2026-11-20T13:00:00+09:00"));
    let (_, list) = town.person(Method::GET, "/v1/consents", login, None).await;
    town.world.revoke(login, list["items"][0]["id"].as_str().unwrap()).await.unwrap();
    // Asked half an hour before, collected after.
    let mut older = consultation("k-2", "u-1");
    older["judgement"] = json!({"reason": "判断"});
    (older["at"], older["sharing"]["at"]) = (json!("2026-11-20T12:30:00+09:00"), json!("2026-11-20T12:30:00+09:00"));
    week.put("k-2", "u-1", &older);
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 0);
    let told = week.returned(1).await;
    assert!(told.iter().any(|(about, _, why)| about == "k-2" && why == "refused-elsewhere"), "{told:?}");
    week.care.service.choose("u-1", None, "content", "132063", "2026-11-23T06:30:00+09:00");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    assert_eq!(week.taken(week.fuchu(), &next).await.1.len(), 2, "a newer one is");
}

/// Two papers of one choice: what is stopped on a page that is older than the wider one is the sharing, not a paper.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_what_was_chosen_stops_all_of_it() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "identity-only");
    week.run(json!({"collect": true})).await;
    let (town, login) = (&week.town, "syn-u-1");
    let link = json!({"to": {"issuer": town.world.issuer.base_url(), "sub": login}, "evidence": "窓口", "verified_by": "職員"});
    town.act(&format!("/people/{}/links", week.person("u-1").await.text()), link).await;
    let listed =
        async || town.person(Method::GET, "/v1/consents", login, None).await.1["items"].as_array().unwrap().clone();
    let active = async || listed().await.iter().filter(|consent| consent["status"] == "active").count();
    let first = listed().await[0]["id"].as_str().unwrap().to_owned();
    town.clock.set(at("2026-11-20T13:00:00+09:00"));
    week.care.service.choose("u-1", None, "content", "132063", "2026-11-20T12:59:00+09:00");
    week.run(json!({"collect": true})).await;
    assert_eq!(active().await, 2, "the wider one came beside it");
    town.pass_seconds(1);
    town.world.revoke(login, &first).await.unwrap();
    assert_eq!(active().await, 0);
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    assert_eq!(week.taken(week.fuchu(), &package).await.1.len(), 0);
    // A stop that is only acknowledged again takes nothing from what was chosen since.
    week.care.service.choose("u-1", None, "content", "132063", "2026-11-23T05:30:00+09:00");
    week.run(json!({"collect": true})).await;
    assert_eq!(active().await, 1);
    town.world.revoke(login, &first).await.unwrap();
    assert_eq!(active().await, 1);
    // What ended by a newer choice is stopped all the same, and so is what was chosen before that and is told later.
    town.clock.set(at("2026-11-24T13:00:00+09:00"));
    let full =
        listed().await.iter().find(|consent| consent["status"] == "active").unwrap()["id"].as_str().unwrap().to_owned();
    week.care.service.choose("u-1", None, "nothing", "132063", "2026-11-24T12:00:00+09:00");
    week.run(json!({"collect": true})).await;
    assert_eq!(active().await, 0);
    town.world.revoke(login, &full).await.unwrap();
    week.care.service.choose("u-1", None, "identity-only", "132063", "2026-11-24T12:30:00+09:00");
    week.run(json!({"collect": true})).await;
    assert_eq!(active().await, 0, "it was chosen before");
}
