//! Invariant 2: after the acknowledgement of a revocation not one byte more arrives at an always-reading tap directly
//! before the client. HTTP/1.1 and HTTP/2, clients that read fast and clients that stall.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sekisho_adapters::certs::{ALPN_H1, ALPN_H2_AND_H1, client_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
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
    Http2Fast,
    Http2Stalled,
}

impl Way {
    /// Transfers that must be cut in this way; together more than the 1,000 that the bar asks for.
    fn cut_min(self) -> u32 {
        if self.stalls() { 400 } else { 110 }
    }

    /// Entries of the answer: enough to be under way for longer than a revocation takes.
    fn entries(self) -> usize {
        if self.stalls() { 1_500 } else { 5_000 }
    }

    fn stalls(self) -> bool {
        matches!(self, Self::Http1Stalled | Self::Http2Stalled)
    }

    fn http2(self) -> bool {
        matches!(self, Self::Http2Fast | Self::Http2Stalled)
    }
}

async fn connect(town: &Town, tap: &Tap, http2: bool) -> TlsStream<TcpStream> {
    let alpn = if http2 { ALPN_H2_AND_H1 } else { ALPN_H1 };
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), alpn).unwrap();
    let tcp = TcpStream::connect(tap.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap()
}

fn request(town: &Town, patient: &str, http2: bool) -> Request<Empty<Bytes>> {
    let authority = town.world.url.trim_start_matches("https://");
    let token = town.world.app_token(town.mother()).unwrap();
    let uri = if http2 { format!("{}{}", town.world.url, history(patient)) } else { history(patient) };
    let mut request = Request::get(uri).header("authorization", format!("Bearer {token}"));
    if !http2 {
        request = request.header("host", authority);
    }
    request.body(Empty::new()).unwrap()
}

/// Starts a transfer; a fast client reads it to its end, a stalled one only its head.
async fn transfer(town: &Town, tap: &Tap, patient: &str, way: Way) -> tokio::task::JoinHandle<()> {
    let stream = TokioIo::new(connect(town, tap, way.http2()).await);
    let request = request(town, patient, way.http2());
    if way.http2() {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        if way.stalls() {
            builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        }
        let (mut sender, connection) = builder.handshake(stream).await.unwrap();
        let driving = tokio::spawn(connection);
        tokio::spawn(async move {
            if let Ok(response) = sender.send_request(request).await {
                if way == Way::Http2Stalled {
                    // The head is here; the body is not read, so the window stays shut until the connection ends.
                    let _ = driving.await;
                } else {
                    let _ = response.into_body().collect().await;
                }
            }
        })
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        tokio::spawn(async move {
            if let Ok(response) = sender.send_request(request).await {
                let _ = response.into_body().collect().await;
            }
        })
    }
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
        let reading = transfer(&town, &tap, &patient, way).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn http2_fast_reader_gets_no_byte_after_the_acknowledgement() {
    trials(Way::Http2Fast).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_stalled_reader_gets_no_byte_after_the_acknowledgement() {
    trials(Way::Http2Stalled).await;
}
