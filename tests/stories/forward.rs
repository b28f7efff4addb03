//! A person's app has the summary sent to the clinic ahead of the visit: decided and fetched when it is sent, delivered as one
//! whatever breaks, stopped by what withdraws, and nothing is left behind.

use std::sync::Arc;

use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sekisho::clock::Clock;
use sekisho::store::embedded::vault::Waiting;
use sekisho_adapters::certs::{DevCa, Validity, server_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::webhook::stand_in::{Knobs as Answers, Received, WebhookStandIn};
use sekisho_tests::town::{Town, body, standing_clock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::bookings::{booked, booked_in};
use super::summary::{ALL, grant, opened_on, summary};

const DAY: i64 = 86_400;

/// A server's TLS with a certificate of this authority for this machine.
fn tls(town: &Town, ca: &DevCa) -> rustls::ServerConfig {
    let identity = ca.server(Validity::around((town.world.now)())).unwrap();
    server_config(identity.chain(), identity.key(), None, false, &[]).unwrap()
}

/// A town in which the child's records in the app are known to be the child's.
pub async fn opened(clock: Clock) -> Town {
    opened_on(clock, |text| text).await
}

/// What the clinic's section of the configuration becomes.
async fn configure(town: &Town, bend: impl Fn(&str) -> String) -> Value {
    let whole = |text: String| {
        let (before, section) = text.split_once("[[forward]]").unwrap();
        let (section, after) = section.split_once("\n\n").unwrap();
        format!("{before}{}\n\n{after}", bend(&format!("[[forward]]{section}")))
    };
    town.reload_with(whole).await.unwrap()
}

/// The section with another address to send to, and other addresses that it may stand for.
fn leading_to(section: &str, url: &str, addresses: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some(("url", _)) => format!("url = \"{url}/inbox\""),
        Some(("addresses", _)) => format!("addresses = {addresses}"),
        _ => line.to_owned(),
    };
    section.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The app's token, of somebody who is signed in with it.
fn token(town: &Town, sub: &str) -> String {
    let mut request = town.world.app_request(sub);
    request.scope = "summary/forward".to_owned();
    town.world.token(request).unwrap()
}

fn path(consent: &str) -> String {
    format!("/v1/consents/{consent}/deliveries")
}

async fn ask(town: &Town, consent: &str, wanted: &Value) -> (u16, Value) {
    let token = token(town, town.mother());
    town.call(&town.world.app_http, Method::POST, &path(consent), &token, Some(wanted)).await
}

/// Asked for: its id.
pub async fn asked(town: &Town, consent: &str) -> String {
    let (status, forward) = ask(town, consent, &json!({})).await;
    assert_eq!((status, &forward["state"]), (202, &json!("queued")), "{forward}");
    forward["id"].as_str().unwrap().to_owned()
}

/// The newest delivery under a consent.
async fn newest(town: &Town, consent: &str) -> Value {
    let token = token(town, town.mother());
    let (status, list) = town.call(&town.world.app_http, Method::GET, &path(consent), &token, None).await;
    assert_eq!(status, 200, "{list}");
    list["items"][0].clone()
}

/// What waits; read from the vault.
pub fn kept(town: &Town) -> Vec<Waiting> {
    town.gateway.app().store.vault().forwards().unwrap()
}

/// Waits until nothing waits any more, here and in the vault.
pub async fn nothing_waits(town: &Town) {
    while !(town.gateway.app().outbox.is_empty() && kept(town).is_empty()) {
        tokio::task::yield_now().await;
    }
}

/// Waits until one was tried so often, and rests.
pub async fn tried(town: &Town, times: u32) -> Waiting {
    loop {
        match kept(town).first() {
            Some(one) if one.attempts >= times => return *one,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// What was delivered, its signature checked by a library that is not ours.
pub fn delivered(town: &Town, received: &Received) -> Value {
    let of = |name: &str| received.headers.get(name).unwrap().to_str().unwrap().to_owned();
    let secret = std::fs::read_to_string(town.world.directory.join("clinic.secret")).unwrap();
    let theirs = standardwebhooks::Webhook::new(&secret).unwrap();
    let at: i64 = of("webhook-timestamp").parse().unwrap();
    assert_eq!(theirs.sign(&of("webhook-id"), at, &received.body).unwrap(), of("webhook-signature"));
    serde_json::from_slice(&received.body).unwrap()
}

/// What a document holds, without what is made anew each time.
fn held(bundle: &Value) -> Vec<String> {
    let made = |resource: &&Value| ["Composition", "Device"].iter().all(|kind| resource["resourceType"] != *kind);
    let entries = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    entries.filter(made).map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_delivered_signed_and_with_a_receipt() {
    let town = opened(Clock::system()).await;
    let clinic = &town.world.inbox;
    let (consent, patient) = grant(&town, &ALL, None).await;
    let forward = asked(&town, &consent).await;
    clinic.has_taken(1).await;
    nothing_waits(&town).await;
    let taken = &clinic.received()[0];
    let envelope = delivered(&town, taken);
    assert_eq!((&envelope["type"], taken.id()), (&json!("patient.summary"), forward.as_str()));
    assert_eq!((&envelope["data"]["forward"], &envelope["data"]["consent"]), (&json!(forward), &json!(consent)));
    let pulled = summary(&town, &patient).await;
    assert_eq!(held(&envelope["data"]["document"]), held(&pulled), "what the clinic could have read itself");
    assert!(!taken.headers.contains_key("authorization") && !taken.headers.contains_key("traceparent"));
    // The app sees that it arrived, and holds our word for it.
    let seen = newest(&town, &consent).await;
    let digest = data_encoding::HEXLOWER.encode(&sekisho::ledger::merkle::sha256(&taken.body));
    assert_eq!((&seen["state"], &seen["digest"], &seen["attempts"]), (&json!("delivered"), &json!(digest), &json!(1)));
    let keys = town.world.call(&town.world.browser, Method::GET, "/.well-known/jwks.json", "", None).await.unwrap();
    let keys: JwkSet = serde_json::from_value(body(&keys)).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let receipt = jsonwebtoken::decode::<Value>(seen["receipt"].as_str().unwrap(), &key, &rules).unwrap();
    assert_eq!((&receipt.claims["event"], &receipt.claims["about"]), (&json!("delivered"), &json!(forward)));
    // And the person a line for each source, like of any other release.
    assert_eq!(town.newest_outcome().await, "complete");
    let log = format!("/v1/access-log?limit=4&subject={}", town.child());
    let (_, log) = town.person(Method::GET, &log, town.mother(), None).await;
    let lines: Vec<&Value> = log["items"].as_array().unwrap().iter().collect();
    assert_eq!(lines.len(), 4, "two sources, pushed and pulled");
    assert!(lines.iter().all(|line| line["recipient"] == "midori-clinic"), "{log}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_stops_in_the_queue() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.answer_with(Some(503));
    asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(newest(&town, &consent).await["state"], "stopped", "at once");
    clinic.answer_with(None);
    let sources = || (town.world.city.requests(), town.world.phr.requests());
    let before = sources();
    town.clock.set(resting.next);
    nothing_waits(&town).await;
    assert_eq!((clinic.received().len(), sources()), (0, before), "not even asked for");
    assert_eq!(newest(&town, &consent).await["state"], "stopped");
    let (status, again) = ask(&town, &consent, &json!({})).await;
    assert_eq!((status, &again["field"]), (422, &json!("consent")), "{again}");
    town.gateway.stop().await;
}

/// Whatever else ends it: a refusal, a guardian's authority, the link to a source that was all there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stops_what_waits() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.answer_with(Some(503));
    asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    assert_eq!(town.refuse(town.mother(), json!({"recipient": "midori-clinic"})).await.0, 201);
    clinic.answer_with(None);
    town.clock.set(resting.next);
    nothing_waits(&town).await;
    assert_eq!((clinic.received().len(), &newest(&town, &consent).await["state"]), (0, &json!("stopped")));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_that_fails_for_a_day_has_it_once_it_is_back() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let consent = booked_in(&town, "Y-17", town.child(), 2 * DAY).await;
    clinic.answer_with(Some(500));
    let forward = asked(&town, &consent).await;
    let begun = town.clock.now().unwrap();
    let mut times = 0;
    loop {
        times += 1;
        let resting = tried(&town, times).await;
        let waits = resting.next.millis() - town.clock.now().unwrap().millis();
        assert!((7_500..=30 * 60_000).contains(&waits), "{waits} ms after {times}");
        if town.clock.now().unwrap().millis() - begun.millis() > DAY * 1_000 {
            break;
        }
        town.clock.set(resting.next);
    }
    assert!((48..=90).contains(&times), "{times} times in a day: neither given up nor hammered");
    clinic.answer_with(None);
    town.clock.set(kept(&town)[0].next);
    clinic.has_taken(1).await;
    nothing_waits(&town).await;
    let taken = clinic.received();
    assert_eq!((taken.len(), taken[0].id()), (1, forward.as_str()));
    assert_eq!(newest(&town, &consent).await["state"], "delivered");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_visit_nothing_is_sent_any_more() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let consent = booked_in(&town, "Y-17", town.child(), 2 * DAY).await;
    clinic.answer_with(Some(500));
    let (status, _) = ask(&town, &consent, &json!({"by": town.in_seconds(60)})).await;
    assert_eq!(status, 202);
    tried(&town, 1).await;
    clinic.answer_with(None);
    town.pass_seconds(60);
    assert_eq!(newest(&town, &consent).await["state"], "late");
    nothing_waits(&town).await;
    assert_eq!((clinic.received().len(), &newest(&town, &consent).await["state"]), (0, &json!("late")));
    town.gateway.stop().await;
}

/// The clinic took it, and its answer was lost: it comes again, as the same one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_without_an_answer_comes_again_as_the_same() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    configure(&town, |section| format!("{section}\ntimeout_ms = 300")).await;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.set_knobs(Answers { silent: true, ..Answers::default() });
    let forward = asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    clinic.set_knobs(Answers::default());
    town.clock.set(resting.next);
    clinic.has_taken(2).await;
    nothing_waits(&town).await;
    assert!(clinic.received().iter().all(|one| one.id() == forward), "two, and one id");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_takes_it_in_the_clinics_place() {
    let town = opened_on(standing_clock(), |text| text).await;
    let (consent, _) = grant(&town, &ALL, None).await;
    let elsewhere = WebhookStandIn::start(tls(&town, &town.world.ca)).await.unwrap();
    let registered = "[\"127.0.0.1\", \"::1\"]";
    // Another's certificate; an address that it was not registered with; and, where none is registered, our own network.
    let other = DevCa::new((town.world.now)()).unwrap();
    let stranger = WebhookStandIn::start(tls(&town, &other)).await.unwrap();
    let cases = [(&stranger, registered), (&elsewhere, "[\"192.0.2.1\"]"), (&elsewhere, "[]")];
    let sources = || (town.world.city.requests(), town.world.phr.requests());
    let before = sources();
    for (clinic, addresses) in cases {
        configure(&town, |section| leading_to(section, &clinic.url(), addresses)).await;
        let failures = || town.gateway.app().outbox.failures("midori-clinic");
        let failed = failures();
        asked(&town, &consent).await;
        // What has failed already rests for a while.
        town.pass_seconds(300);
        while failures() == failed {
            tokio::task::yield_now().await;
        }
        assert_eq!((clinic.asked(), sources()), (0, before), "{addresses}: nobody is asked for what can't be sent");
        assert!(kept(&town).iter().all(|one| one.attempts == 0), "none was tried");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_a_refusal_for_good_is_final() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let elsewhere = WebhookStandIn::start(tls(&town, &town.world.ca)).await.unwrap();
    let (consent, _) = grant(&town, &ALL, None).await;
    for status in [301, 302, 307, 308] {
        let header = Some(("location", format!("{}/inbox", elsewhere.url())));
        clinic.set_knobs(Answers { status: Some(status), header, ..Answers::default() });
        let asked = clinic.asked();
        self::asked(&town, &consent).await;
        clinic.was_asked(asked + 1).await;
    }
    assert_eq!(elsewhere.asked(), 0);
    clinic.answer_with(Some(422));
    asked(&town, &consent).await;
    while newest(&town, &consent).await["state"] != "refused" {
        tokio::task::yield_now().await;
    }
    assert!(newest(&town, &consent).await["receipt"].is_null());
    town.gateway.stop().await;
}

/// How long the clinic wants us to wait is heeded; that it wants none at all is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_says_when_to_come_back() {
    for (said, waits) in [("1800", 1_800_000..=1_800_000), ("0", 7_500..=10_000)] {
        let town = opened(standing_clock()).await;
        let clinic = &town.world.inbox;
        let (consent, _) = grant(&town, &ALL, None).await;
        let header = Some(("retry-after", said.to_owned()));
        clinic.set_knobs(Answers { status: Some(429), header, ..Answers::default() });
        asked(&town, &consent).await;
        let resting = tried(&town, 1).await;
        let found = resting.next.millis() - town.clock.now().unwrap().millis();
        assert!(waits.contains(&found), "{said}: {found} ms");
        town.gateway.stop().await;
    }
}

/// What stands against it for a while only, such as a suspension, stops nothing for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_clinic_has_it_once_it_is_reinstated() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    town.act("/parties/midori-clinic/suspend", json!({"reason": "調査のため"})).await;
    let forward = asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    assert_eq!((clinic.asked(), &newest(&town, &consent).await["state"]), (0, &json!("queued")));
    town.act("/parties/midori-clinic/reinstate", json!({"reason": "調査を終えた"})).await;
    town.clock.set(resting.next);
    clinic.has_taken(1).await;
    nothing_waits(&town).await;
    assert_eq!(clinic.received()[0].id(), forward);
    town.gateway.stop().await;
}

/// The clinic says that it has it, and goes on talking: it has it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_an_answer() {
    let town = opened(Clock::system()).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(tls(&town, &town.world.ca)));
    let talking = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut came = Vec::new();
        while !came.ends_with(b"}}") {
            assert!(stream.read_buf(&mut came).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n").await.unwrap();
        stream.flush().await.unwrap();
        let _ = stream.read_buf(&mut came).await;
    });
    configure(&town, |section| leading_to(section, &url, "[\"127.0.0.1\", \"::1\"]")).await;
    let (consent, _) = grant(&town, &ALL, None).await;
    asked(&town, &consent).await;
    nothing_waits(&town).await;
    assert_eq!(newest(&town, &consent).await["state"], "delivered");
    talking.await.unwrap();
    town.gateway.stop().await;
}

/// Many wait for a clinic that is down: they fail together once, one tries whether it is back, and then all of it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_that_was_down_has_all_of_it_soon() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.answer_with(Some(503));
    for _ in 0..12 {
        asked(&town, &consent).await;
    }
    while !(kept(&town).len() == 12 && kept(&town).iter().all(|one| one.attempts == 1)) {
        tokio::task::yield_now().await;
    }
    clinic.answer_with(None);
    configure(&town, |section| leading_to(section, "https://localhost:1", "[\"127.0.0.1\", \"::1\"]")).await;
    town.pass_seconds(10);
    while town.gateway.app().outbox.failures("midori-clinic") == 0 {
        tokio::task::yield_now().await;
    }
    let url = clinic.url();
    configure(&town, |section| leading_to(section, &url, "[\"127.0.0.1\", \"::1\"]")).await;
    town.pass_seconds(10);
    let all = tokio::time::timeout(std::time::Duration::from_secs(20), clinic.has_taken(12)).await;
    assert!(all.is_ok(), "{} of 12 came", clinic.received().len());
    nothing_waits(&town).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_outlives_a_stop() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.answer_with(Some(503));
    let forward = asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    let town = town.restart().await;
    let clinic = &town.world.inbox;
    assert_eq!(kept(&town), [resting]);
    clinic.answer_with(None);
    town.clock.set(resting.next);
    clinic.has_taken(1).await;
    nothing_waits(&town).await;
    assert_eq!(clinic.received()[0].id(), forward);
    let seen = newest(&town, &consent).await;
    assert_eq!((&seen["state"], &seen["attempts"]), (&json!("delivered"), &json!(2)));
    town.gateway.stop().await;
}

/// A clinic that reads only the beginning, until told to go on: how much of it came, once it is over.
async fn slow_clinic(town: &Town) -> (String, Arc<Notify>, Arc<Notify>, tokio::task::JoinHandle<usize>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(tls(town, &town.world.ca)));
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let reading = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut all = vec![0; 1_024];
        let mut came = stream.read(&mut all).await.unwrap();
        begins.notify_one();
        goes_on.notified().await;
        while let Ok(more @ 1..) = stream.read(&mut all).await {
            came += more;
        }
        came
    });
    (url, begun, go_on, reading)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_under_way_is_cut() {
    for way in ["withdrawn", "not configured any more"] {
        let town = opened_on(Clock::system(), |text| text).await;
        town.world.city.set_knobs(Knobs { entries: Some(480), ..Knobs::default() });
        let (url, begun, go_on, reading) = slow_clinic(&town).await;
        configure(&town, |section| leading_to(section, &url, "[\"127.0.0.1\", \"::1\"]")).await;
        let (consent, patient) = grant(&town, &ALL, None).await;
        let whole = summary(&town, &patient).await.to_string().len();
        asked(&town, &consent).await;
        begun.notified().await;
        if way == "withdrawn" {
            let receipt = town.world.revoke(town.mother(), &consent).await.unwrap();
            assert_eq!(receipt["summary"]["transfers_cut"], 1);
        } else {
            assert_eq!(configure(&town, |_| String::new()).await["transfers_cut"], 1);
        }
        assert_eq!(town.newest_outcome().await, "cut", "{way}");
        go_on.notify_one();
        let came = reading.await.unwrap();
        assert!(came < whole, "{came} of {whole} came");
        town.gateway.stop().await;
    }
}

/// The same configuration, and another file where it points to: what is under way ends, and what waits goes by the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_of_the_clinics_authority_counts_from_the_reload_on() {
    let town = opened_on(standing_clock(), |text| text).await;
    town.world.city.set_knobs(Knobs { entries: Some(480), ..Knobs::default() });
    let (right, file) = (town.world.directory.join("ca.pem"), town.world.directory.join("clinic-ca.pem"));
    std::fs::copy(&right, &file).unwrap();
    let (url, begun, go_on, reading) = slow_clinic(&town).await;
    let section = |section: &str, url: &str| {
        leading_to(section, url, "[\"127.0.0.1\", \"::1\"]").replace("ca = \"ca.pem\"", "ca = \"clinic-ca.pem\"")
    };
    configure(&town, |text| section(text, &url)).await;
    let (consent, patient) = grant(&town, &ALL, None).await;
    let whole = summary(&town, &patient).await.to_string().len();
    let forward = asked(&town, &consent).await;
    begun.notified().await;
    assert_eq!(configure(&town, str::to_owned).await["transfers_cut"], 0, "the same file");
    let other = DevCa::new((town.world.now)()).unwrap();
    std::fs::write(&file, other.pem()).unwrap();
    assert_eq!(configure(&town, str::to_owned).await["transfers_cut"], 1, "another");
    assert_eq!(town.newest_outcome().await, "cut");
    go_on.notify_one();
    let came = reading.await.unwrap();
    assert!(came < whole, "{came} of {whole} came");
    // The clinic itself, whose certificate the new authority did not give.
    let clinic = &town.world.inbox;
    configure(&town, |text| section(text, &clinic.url())).await;
    town.pass_seconds(20);
    while town.gateway.app().outbox.failures("midori-clinic") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clinic.asked(), 0);
    std::fs::copy(&right, &file).unwrap();
    configure(&town, str::to_owned).await;
    town.pass_seconds(300);
    clinic.has_taken(1).await;
    nothing_waits(&town).await;
    assert_eq!(clinic.received()[0].id(), forward);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_persons_app_asks_and_once_each_time() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let (consent, _) = grant(&town, &ALL, None).await;
    clinic.answer_with(Some(503));
    let http = &town.world.app_http;
    let status = async |token: &str, consent: &str, wanted: Value| {
        town.call(http, Method::POST, &path(consent), token, Some(&wanted)).await.0
    };
    let mother = token(&town, town.mother());
    let mut without = town.world.app_request(town.mother());
    without.scope = "consent/propose".to_owned();
    let without = town.world.token(without).unwrap();
    let stranger = token(&town, &town.world.families[1].parents[0].id);
    assert_eq!(status(&without, &consent, json!({})).await, 403, "no such scope");
    assert_eq!(status(&stranger, &consent, json!({})).await, 404, "nobody who decides about the child");
    assert_eq!(status(&mother, "cns-aaaqeayeaudaocajbifqydiob4", json!({})).await, 404);
    let (app, _) = town.consent().await;
    assert_eq!(status(&mother, &app, json!({})).await, 422, "takes no deliveries");
    assert_eq!(status(&mother, &consent, json!({"by": town.in_seconds(2 * DAY)})).await, 422, "after its end");
    assert_eq!(status(&mother, &consent, json!({"by": town.in_seconds(-1)})).await, 422);
    assert!(kept(&town).is_empty(), "{:?}", kept(&town).len());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = town.request(Method::POST, &path(&consent), &mother).header("idempotency-key", "one");
        let answer = town.send(http, request, "{}").await;
        assert_eq!(answer.status.as_u16(), 202);
        ids.push(body(&answer)["id"].clone());
    }
    assert_eq!(ids[0], ids[1], "asked for once");
    assert_eq!(kept(&town).len(), 1);
    town.gateway.stop().await;
}

/// What is sent says for which visit it is, and is sent until then, also when the visit moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_for_the_visit_wherever_it_moves() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let consent = booked(&town, "Y-17", town.child()).await;
    clinic.answer_with(Some(500));
    asked(&town, &consent).await;
    tried(&town, 1).await;
    let by = newest(&town, &consent).await["by"].clone();
    assert_eq!(by, json!(town.in_seconds(3_600)), "the visit");
    let machine = town.world.clinic_token().unwrap();
    let later = json!({"visit_at": town.in_seconds(7_200)});
    let (status, moved) =
        town.call(&town.world.clinic_http, Method::POST, "/v1/bookings/Y-17/moved", &machine, Some(&later)).await;
    assert_eq!(status, 200, "{moved}");
    assert_eq!(newest(&town, &consent).await["by"], json!(town.in_seconds(7_200)));
    let visit = town.in_seconds(7_200);
    town.pass_seconds(3_600);
    clinic.answer_with(None);
    clinic.has_taken(1).await;
    let envelope = delivered(&town, &clinic.received()[0]);
    let data = &envelope["data"];
    assert_eq!((&data["booking"], &data["visit_at"], &data["by"]), (&json!("Y-17"), &json!(visit), &json!(visit)));
    nothing_waits(&town).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_booking_stops_what_waits() {
    let town = opened(standing_clock()).await;
    let clinic = &town.world.inbox;
    let consent = booked(&town, "Y-17", town.child()).await;
    clinic.answer_with(Some(500));
    asked(&town, &consent).await;
    let resting = tried(&town, 1).await;
    let machine = town.world.clinic_token().unwrap();
    let path = "/v1/bookings/Y-17/cancelled";
    let (status, ended) = town.call(&town.world.clinic_http, Method::POST, path, &machine, Some(&json!({}))).await;
    assert_eq!(status, 200, "{ended}");
    assert_eq!(newest(&town, &consent).await["state"], "stopped");
    clinic.answer_with(None);
    town.clock.set(resting.next);
    nothing_waits(&town).await;
    assert_eq!(clinic.received().len(), 0);
    town.gateway.stop().await;
}
