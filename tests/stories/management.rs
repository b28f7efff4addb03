//! The management port: health that tells what is wrong and what to do, metrics that count, and nothing about anybody.

use std::collections::BTreeSet;

use http::Method;
use sekisho::config::Config;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::stand_in::Faults;
use sekisho_policy::Timestamp;
use sekisho_tests::town::{Town, history, manage, standing_clock, start};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whether the gateway says yes, and the conditions that do not hold.
async fn health(port: &std::net::TcpListener, question: &str) -> (bool, Vec<String>) {
    let (status, body) = manage(port, "GET", &format!("/health/{question}")).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    let conditions = told["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|c| c["say"].as_str().is_some_and(|s| s.ends_with('.'))), "{told}");
    let wrong = conditions.iter().filter(|c| c["ok"] == false).map(|c| c["name"].as_str().unwrap().to_owned());
    let ok = told["ok"].as_bool().unwrap();
    assert_eq!(status, if ok { 200 } else { 503 }, "{told}");
    (ok, wrong.collect())
}

async fn ready(town: &Town) -> Vec<String> {
    let (ok, wrong) = health(&town.management, "ready").await;
    assert_eq!(ok, wrong.is_empty());
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_in_order_is_ready_and_each_disorder_is_named() {
    let clock = standing_clock();
    let town = Town::open_with(clock.clone(), |text| text).await;
    // A request needs the issuer's keys; afterwards they are there for certain.
    town.consent().await;
    assert!(ready(&town).await.is_empty());
    let right = clock.now().unwrap();
    clock.set(Timestamp::from_millis(right.millis() - 3_600_000));
    assert_eq!(ready(&town).await, ["clock"]);
    assert_eq!(health(&town.management, "live").await, (true, vec![]), "a restart would not mend the clock");
    assert_eq!(health(&town.management, "started").await, (true, vec![]));
    clock.set(right);
    let text = std::fs::read_to_string(&town.world.config).unwrap();
    // More than any disk has, and an issuer that nobody is.
    let issuer = town.world.issuer.base_url().to_owned();
    let bent = text
        .replace("[server]\n", "[server]\ndisk_free_min_mib = 1000000000000\n")
        .replace(&format!("url = \"{issuer}\""), "url = \"https://localhost:1\"");
    std::fs::write(&town.world.config, bent).unwrap();
    let town = town.restart().await;
    assert_eq!(ready(&town).await, ["issuers", "disk"]);
    let (_, body) = town.manage("/health/ready").await;
    // The staff's issuer may not have been asked yet.
    assert!(body.contains("No keys yet from ") && body.contains("https://localhost:1"), "{body}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_start_can_be_watched() {
    let Town { world, gateway, clock, management, directory, .. } = Town::open().await;
    gateway.stop().await;
    let data = directory.path().join("data");
    // What a rebuild waits for: the file is read between the ledger and the index.
    let key = data.join("checkpoint.vkey");
    let content = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &key, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let starting = async { start(&world, &management, clock.clone()).await.unwrap() };
    let watching = async {
        // Opens once the start has come to read it.
        let path = key.clone();
        let mut fifo = tokio::task::spawn_blocking(move || std::fs::File::create(path).unwrap()).await.unwrap();
        assert_eq!(health(&management, "started").await, (false, vec!["store".to_owned(), "index".to_owned()]));
        assert_eq!(health(&management, "live").await, (true, vec![]));
        assert!(!health(&management, "ready").await.0);
        let (_, body) = manage(&management, "GET", "/health/started").await;
        assert!(body.contains(" ledger entries read so far") && !body.contains(": 0 ledger entries"), "{body}");
        std::io::Write::write_all(&mut fifo, &content).unwrap();
    };
    let (gateway, ()) = tokio::join!(starting, watching);
    assert_eq!(health(&management, "started").await, (true, vec![]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_stop_requests_under_way_finish_and_no_more_are_asked_for() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let Town { world, gateway, management, directory: _directory, .. } = town;
    let slow = Knobs { faults: Faults { latency_ms: 1_000, ..Faults::default() }, ..Knobs::default() };
    world.city.set_knobs(slow);
    let path = history(&patient);
    let asking = world.call(&world.app_http, Method::GET, &path, &token, None);
    let stopping = async {
        let decided = "sekisho_decision_seconds_count";
        while value(&manage(&management, "GET", "/metrics").await.1, decided) < 1.0 {}
        let watching = async {
            while health(&management, "ready").await.0 {}
            assert_eq!(health(&management, "ready").await.1, ["serving"]);
            assert!(health(&management, "live").await.0, "it is not to be killed while it drains");
        };
        tokio::join!(gateway.stop(), watching);
    };
    let (answer, ()) = tokio::join!(asking, stopping);
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_nothing_else() {
    let town = Town::open().await;
    for (method, path, status) in [
        ("POST", "/health/ready", 405),
        ("GET", "/", 404),
        ("GET", "/health", 404),
        ("GET", "/status", 404),
        ("GET", "/v1/openapi.json", 404),
        ("GET", "/health/ready/", 404),
    ] {
        assert_eq!(manage(&town.management, method, path).await.0, status, "{method} {path}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_never_where_everybody_can_reach_it() {
    let town = Town::open().await;
    let good = std::fs::read_to_string(&town.world.config).unwrap();
    let with = |address: &str| good.replace("[server]\n", &format!("[server]\nmanagement = \"{address}\"\n"));
    for wrong in
        ["0.0.0.0:9090", "[::]:9090", "203.0.113.7:9090", "[2001:db8::1]:9090", "[::ffff:203.0.113.7]:1", "9090"]
    {
        let problems = Config::parse(&with(wrong), &town.world.config).unwrap_err();
        let line = 1 + good.lines().position(|l| l == "[server]").unwrap() + 1;
        assert!(problems.iter().any(|p| p.line == line && p.message.contains("loopback or private")), "{problems:#?}");
    }
    for right in ["127.0.0.1:9090", "[::1]:9090", "10.1.2.3:9090", "192.168.0.1:9090", "[fd00::1]:9090"] {
        assert!(Config::parse(&with(right), &town.world.config).is_ok(), "{right}");
    }
    town.gateway.stop().await;
}

/// A route that asks for two categories, of which the town's consents cover one.
const WIDER: &str = r#"
[[route]]
name = "wider"
path = "/fhir/Wider"
subject = "patient"
purpose = "phr-view"
categories = ["vaccination@1", "identity@1"]
source = "fuchu-city"
source_path = "/Immunization"
scope = "patient/Immunization.rs"
"#;

/// The value of a series, written as in the text format.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(series));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
}

fn series(metrics: &str) -> BTreeSet<&str> {
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|l| l.0)
        .collect()
}

/// One request of every kind; gives every word that was said in them and is about somebody.
async fn traffic(town: &Town) -> Vec<String> {
    let (consent, patient) = town.consent().await;
    let (token, app) = (town.world.app_token(town.mother()).unwrap(), &town.world.app_http);
    assert!(town.items(&patient).await > 0);
    assert_eq!(town.get(&format!("/fhir/Wider?patient={patient}"), &token).await.status, 200);
    assert_eq!(town.get(&history("nobody-knows-this-id"), &token).await.status, 200);
    assert_eq!(town.get(&format!("/nowhere/{patient}"), &token).await.status, 404);
    assert_eq!(town.get(&history(&patient), "not-a-token").await.status, 401);
    town.world.city.set_knobs(Knobs { faults: Faults { status: Some(500), ..Faults::default() }, ..Knobs::default() });
    let failed = town.world.call(app, Method::GET, &history(&patient), &token, None).await.unwrap();
    assert_eq!(failed.status, 502);
    // Not TLS: read to the end, the handshake has failed.
    let mut tcp = tokio::net::TcpStream::connect(town.gateway.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = tcp.read_to_end(&mut Vec::new()).await;
    town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(town.items(&patient).await, 0);
    let mut said = vec![consent, patient, token, "nobody-knows-this-id".to_owned(), "not-a-token".to_owned()];
    said.extend(town.people.parents.iter().chain(&town.people.children).cloned());
    let members = town.family.parents.iter().chain(town.family.children.iter().map(|c| &c.person));
    said.extend(
        members.flat_map(|p| [p.id.clone(), p.family.to_owned(), p.given.to_owned(), p.family_kana.to_owned()]),
    );
    said.extend([town.newest_decision().await["decision"].as_str().unwrap_or("ent-").to_owned()]);
    said.extend(["psn-", "ent-", "cns-", "patient=", "eyJ"].map(str::to_owned));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_and_nobody_is_in_it() {
    let town = Town::open_with(standing_clock(), |text| text + WIDER).await;
    let (_, before) = town.manage("/metrics").await;
    let said = traffic(&town).await;
    let (status, after) = town.manage("/metrics").await;
    assert_eq!(status, 200);
    for (ended, route, times) in [
        ("permitted", "vaccination-history", 1.0),
        ("partly", "wider", 1.0),
        ("denied", "vaccination-history", 2.0),
        ("not-a-question", "none", 1.0),
        ("unauthenticated", "none", 1.0),
        ("failed-source", "vaccination-history", 1.0),
        ("busy", "none", 0.0),
    ] {
        let series = format!("sekisho_requests_total{{ended=\"{ended}\",route=\"{route}\"}}");
        assert_eq!(value(&after, &series), times, "{series}");
    }
    assert_eq!(value(&after, "sekisho_request_seconds_count"), 7.0);
    assert_eq!(value(&after, "sekisho_decision_seconds_count"), 5.0);
    assert_eq!(value(&after, "sekisho_source_seconds_count"), 3.0);
    assert_eq!(value(&after, "sekisho_callers_refused_total{reason=\"malformed\"}"), 1.0);
    assert_eq!(value(&after, "sekisho_tls_handshakes_failed_total"), 1.0);
    assert!(value(&after, "sekisho_barrier_seconds_count") >= 1.0);
    assert!(value(&after, "sekisho_ledger_entries") > value(&before, "sekisho_ledger_entries"));
    assert!(value(&after, "sekisho_ledger_sync_seconds_count") > value(&before, "sekisho_ledger_sync_seconds_count"));
    assert!(value(&after, "sekisho_ledger_group_entries_sum") > value(&before, "sekisho_ledger_group_entries_sum"));
    assert!(value(&after, "sekisho_connections") >= 1.0);
    assert!(value(&after, "sekisho_disk_free_bytes") > 0.0);
    for certificate in ["server", "source:fuchu-city", "source:my-portal"] {
        let series = format!("sekisho_certificate_ends_in_seconds{{certificate=\"{certificate}\"}}");
        assert!(value(&after, &series) > 3_600.0, "{series}");
    }
    // Whatever is asked by whom, nothing new is ever told about: not one label comes from a request.
    assert_eq!(series(&before), series(&after));
    let (_, started) = town.manage("/health/started").await;
    let (_, ready) = town.manage("/health/ready").await;
    for told in [&after, &started, &ready] {
        for word in &said {
            assert!(!told.contains(word.as_str()), "{word} is in\n{told}");
        }
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_not_there_is_counted() {
    let town = Town::open().await;
    let text = std::fs::read_to_string(&town.world.config).unwrap();
    let issuer = format!("url = \"{}\"", town.world.issuer.base_url());
    std::fs::write(&town.world.config, text.replace(&issuer, "url = \"https://localhost:1\"")).unwrap();
    let town = town.restart().await;
    let patience = std::time::Instant::now();
    let failed = "sekisho_issuer_key_fetches_failed_total{issuer=\"https://localhost:1\"}";
    while value(&town.manage("/metrics").await.1, failed) < 1.0 {
        assert!(patience.elapsed().as_secs() < 20, "no fetch is tried at the start");
    }
    town.gateway.stop().await;
}
