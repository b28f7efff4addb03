//! Invariant 2: after the acknowledgement of a revocation not one byte more arrives at an always-reading tap directly
//! before the client. HTTP/1.1, clients that read fast and clients that stall; HTTP/2, where others share the connection:
//! chaos `revocation`.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use sekisho_adapters::certs::{ALPN_H1, client_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::reader::{Got, Pace, Reader};
use sekisho_tests::tap::Tap;
use sekisho_tests::town::{Town, history};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Trials after which each way gives up.
const TRIALS_MAX: u32 = 1_500;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Http1Fast,
    Http1Stalled,
}

impl Way {
    /// Transfers that must be cut in this way; the rest of what the bar asks for is in chaos `revocation`.
    fn cut_min(self) -> u32 {
        if self.stalls() { 400 } else { 110 }
    }

    /// Entries of the answer: enough to be under way for longer than a revocation takes.
    fn entries(self) -> usize {
        if self.stalls() { 1_500 } else { 5_000 }
    }

    fn stalls(self) -> bool {
        self == Self::Http1Stalled
    }
}

async fn connect(town: &Town, tap: &Tap) -> TlsStream<TcpStream> {
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), ALPN_H1).unwrap();
    let tcp = TcpStream::connect(tap.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap()
}

/// Starts a transfer, and reads it to its end, as far as the tap lets it.
async fn transfer(town: &Town, tap: &Tap, patient: &str) -> tokio::task::JoinHandle<()> {
    let authority = town.world.url.trim_start_matches("https://");
    let token = town.world.app_token(town.mother()).unwrap();
    let request = Request::get(history(patient)).header("authorization", format!("Bearer {token}"));
    let request = request.header("host", authority).body(Empty::<Bytes>::new()).unwrap();
    let stream = TokioIo::new(connect(town, tap).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    tokio::spawn(async move {
        if let Ok(response) = sender.send_request(request).await {
            let _ = response.into_body().collect().await;
        }
    })
}

async fn trials(way: Way) {
    let town = Town::open().await;
    town.world.city.set_knobs(Knobs { entries: Some(way.entries()), ..Knobs::default() });
    let (mut cut, mut trials, mut after_total) = (0, 0, 0);
    while cut < way.cut_min() {
        trials += 1;
        assert!(trials <= TRIALS_MAX, "{way:?}: only {cut} of {trials} transfers were under way when it was revoked");
        let (consent, patient) = town.consent().await;
        // Sooner or later in the transfer, by trial.
        let trigger = 8_000 + u64::from(trials % 37) * 1_500;
        let stall_after = if way == Way::Http1Stalled { trigger } else { u64::MAX };
        let tap = Arc::new(Tap::new(town.gateway.address, stall_after));
        let reading = transfer(&town, &tap, &patient).await;
        let waiting = Arc::clone(&tap);
        tokio::task::spawn_blocking(move || waiting.wait_for(trigger)).await.unwrap();
        let receipt = town.world.revoke(town.mother(), &consent).await.unwrap();
        let arrived = tap.arrived();
        if receipt["summary"]["transfers_cut"] == 1 {
            cut += 1;
            let draining = Arc::clone(&tap);
            let all = tokio::task::spawn_blocking(move || draining.drain()).await.unwrap();
            after_total += all - arrived.min(all);
            assert_eq!(all.saturating_sub(arrived), 0, "{way:?}, trial {trials}: bytes after the acknowledgement");
        }
        reading.abort();
    }
    eprintln!("{way:?}: {trials} trials, {cut} cut, {after_total} bytes after the acknowledgement");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_fast_reader_gets_no_byte_after_the_acknowledgement() {
    trials(Way::Http1Fast).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_stalled_reader_gets_no_byte_after_the_acknowledgement() {
    trials(Way::Http1Stalled).await;
}

/// The client's window is wide open, but it reads nothing: what was sent to it lies in the kernel's queue.
#[tokio::test(flavor = "multi_thread")]
async fn http2_reader_of_nothing_gets_no_byte_after_the_acknowledgement() {
    let town = Town::open().await;
    town.world.city.set_knobs(Knobs { entries: Some(3_000), ..Knobs::default() });
    let host = town.world.url.trim_start_matches("https://").to_owned();
    let token = town.world.app_token(town.mother()).unwrap();
    for trial in 0..20 {
        let (consent, patient) = town.consent().await;
        let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), &[b"h2"]).unwrap();
        let (window, buffer) = (Some(1 << 24), Some(4_096));
        let reader = Reader::connect(town.gateway.address, Arc::new(tls), window, buffer).await;
        let reading = tokio::spawn(Arc::clone(&reader).read(Pace::Stalled));
        let stream = reader.ask(&host, &history(&patient), &token).await;
        reader.until(stream, |got| got.bytes > 0 || got.is_over()).await;
        let receipt = town.world.revoke(town.mother(), &consent).await.unwrap();
        let arrived = reader.arrived();
        assert_eq!(receipt["summary"]["transfers_cut"], 1, "trial {trial}");
        reader.hurry();
        let got = reader.until(stream, Got::is_over).await;
        assert!(
            got.last <= arrived && got.digest.is_none(),
            "trial {trial}: {got:?}, {arrived} at the acknowledgement"
        );
        reading.abort();
    }
    town.gateway.stop().await;
}
