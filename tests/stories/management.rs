//! The management port: health that tells what is wrong and what to do, and tells nothing about anybody.

use sekisho::config::Config;
use sekisho_policy::Timestamp;
use sekisho_tests::town::{Town, manage, standing_clock, start};
use serde_json::Value;

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
    assert!(body.contains("No keys yet from https://localhost:1."), "{body}");
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
        let problems = Config::parse(&with(wrong), town.directory.path()).unwrap_err();
        let line = 1 + good.lines().position(|l| l == "[server]").unwrap() + 1;
        assert!(problems.iter().any(|p| p.line == line && p.message.contains("loopback or private")), "{problems:#?}");
    }
    for right in ["127.0.0.1:9090", "[::1]:9090", "10.1.2.3:9090", "192.168.0.1:9090", "[fd00::1]:9090"] {
        assert!(Config::parse(&with(right), town.directory.path()).is_ok(), "{right}");
    }
    town.gateway.stop().await;
}
