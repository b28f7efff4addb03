//! Boundaries of time over the wire: until, mid-stream and between requests; a clock that was set back.

use http::Method;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_policy::Timestamp;
use sekisho_tests::tap::Tap;
use sekisho_tests::town::{Town, history, standing_clock};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_millisecond_permits_and_the_next_does_not() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let until = town.clock.now().unwrap().plus_millis(30_000);
    let text = sekisho::consent::people::rfc3339(until);
    let (_, patient) = town.world.consent(town.mother(), town.child(), &text).await.unwrap();
    town.clock.set(Timestamp::from_millis(until.millis() - 1));
    assert!(town.items(&patient).await > 0);
    town.clock.set(until);
    assert_eq!(town.items(&patient).await, 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn until_passing_in_the_middle_of_a_transfer_cuts_it() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    town.world.city.set_knobs(Knobs { entries: Some(8_000), ..Knobs::default() });
    let until = town.clock.now().unwrap().plus_millis(30_000);
    let text = sekisho::consent::people::rfc3339(until);
    let (_, patient) = town.world.consent(town.mother(), town.child(), &text).await.unwrap();
    let tap = Arc::new(Tap::new(town.gateway.address, 20_000));
    let tls = sekisho_adapters::certs::client_config(
        town.world.ca.roots().unwrap(),
        Some(&town.world.app),
        sekisho_adapters::certs::ALPN_H1,
    );
    let tcp = tokio::net::TcpStream::connect(tap.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(tls.unwrap())).connect(name, tcp).await.unwrap();
    let authority = town.world.url.trim_start_matches("https://");
    let token = town.world.app_token(town.mother()).unwrap();
    let head =
        format!("GET {} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n", history(&patient));
    stream.write_all(head.as_bytes()).await.unwrap();
    let waiting = Arc::clone(&tap);
    tokio::task::spawn_blocking(move || waiting.wait_for(20_000)).await.unwrap();
    town.clock.set(until);
    // The event to wait for: the outcome of the release in the record.
    assert_eq!(town.newest_outcome().await, "cut");
    let (_, metrics) = town.manage("/metrics").await;
    assert!(metrics.contains("sekisho_releases_total{outcome=\"cut\"} 1\n"), "{metrics}");
    assert!(metrics.contains("sekisho_releases_under_way 0\n"), "{metrics}");
    let arrived = tap.arrived();
    let draining = Arc::clone(&tap);
    let all = tokio::task::spawn_blocking(move || draining.drain()).await.unwrap();
    assert!(all <= arrived, "{} bytes after the end of the period", all - arrived);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_back_denies_until_it_is_set_right() {
    let clock = standing_clock();
    let town = Town::open_with(clock.clone(), |text| text).await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let right = clock.now().unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    let before = town.world.city.requests();
    clock.set(right.plus_millis(-3_600_000));
    let answer = town.get(&history(&patient), &token).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(town.world.city.requests(), before, "no source is asked");
    clock.set(right.plus_millis(-30_000));
    assert_eq!(
        town.get(&history(&patient), &token).await.status.as_u16(),
        200,
        "within the tolerance time stands still"
    );
    clock.set(right.plus_millis(1));
    assert!(town.items(&patient).await > 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_not_believed_across_a_restart_either() {
    let clock = standing_clock();
    let town = Town::open_with(clock.clone(), |text| text).await;
    let (_, patient) = town.consent().await;
    let right = clock.now().unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    let town = town.restart().await;
    clock.set(right.plus_millis(-3_600_000));
    let answer = town.world.call(&town.world.app_http, Method::GET, &history(&patient), &token, None).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503);
    clock.set(right);
    town.gateway.stop().await;
}
