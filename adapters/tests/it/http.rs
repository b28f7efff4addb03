use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sekisho_adapters::certs::{ALPN_H1, DevCa, Validity, server_config};
use sekisho_adapters::fhir_server::stand_in::{FhirOptions, FhirServer, Knobs};
use sekisho_adapters::http::{HttpClient, HttpError, Limits};
use sekisho_adapters::stand_in::{Damage, Faults};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{LIMITS, World, clock, get, now_ms};

async fn fhir(tls: rustls::ServerConfig) -> FhirServer {
    let server = FhirServer::start(FhirOptions { bind: ([127, 0, 0, 1], 0).into(), tls, now: clock() }).await.unwrap();
    let text = "x".repeat(20_000);
    server.put("p", vec![json!({"resourceType": "Immunization", "id": "i", "note": [{"text": text}]})]);
    server
}

fn url(server: &FhirServer) -> String {
    format!("{}/Immunization?patient=p", server.url())
}

fn damage(damage: Damage) -> Knobs {
    Knobs { faults: Faults { damage, ..Faults::default() }, ..Knobs::default() }
}

/// A server that counts connections and answers so many requests on each before it closes it.
async fn closing_after(world: &World, answers: usize) -> (String, Arc<AtomicUsize>) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(world.tls(Some(true))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            for _ in 0..answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(tls.read_u8().await.unwrap());
                }
                let text = String::from_utf8(request).unwrap();
                assert!(text.starts_with("GET /a?b=c HTTP/1.1\r\nhost: localhost:"), "{text}");
                tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
            }
            tls.shutdown().await.unwrap();
        }
    });
    (url, connections)
}

#[tokio::test]
async fn connections_are_kept_and_stale_ones_are_noticed() {
    let world = World::new();
    let (url, connections) = closing_after(&world, 5).await;
    let client = world.client();
    for _ in 0..20 {
        let response = get(&client, &format!("{url}a?b=c")).await.unwrap();
        assert_eq!((response.status.as_u16(), response.body.as_ref()), (200, b"done".as_slice()));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn many_at_once_each_get_their_own_answer() {
    let world = World::new();
    let server = fhir(world.tls(Some(true))).await;
    let client = world.client();
    let one = || async {
        for _ in 0..20 {
            let response = get(&client, &url(&server)).await.unwrap();
            assert_eq!(response.status, 200);
            assert!(response.body.len() > 20_000);
        }
    };
    tokio::join!(one(), one(), one(), one());
    assert_eq!(server.requests(), 80);
    let with_name = url(&server).replace("localhost", "somebody@localhost");
    assert_eq!(get(&client, &with_name).await.unwrap_err(), HttpError::Connect);
}

#[tokio::test]
async fn damage_is_told_apart() {
    let world = World::new();
    let server = fhir(world.tls(None)).await;
    let client = world.http(None, LIMITS);
    for kind in [Damage::WrongLength, Damage::DieHalfWay] {
        server.set_knobs(damage(kind));
        assert_eq!(get(&client, &url(&server)).await.unwrap_err(), HttpError::Broken, "{kind:?}");
    }
    // Garbage is a whole answer: reading it is the caller's job.
    server.set_knobs(damage(Damage::Garbage));
    assert!(get(&client, &url(&server)).await.is_ok());

    let small = Limits { body_bytes_max: 10_000, ..LIMITS };
    // Too large, whether that is announced or not.
    for kind in [Damage::None, Damage::NoLength] {
        server.set_knobs(damage(kind));
        assert!(get(&client, &url(&server)).await.is_ok());
        let error = get(&world.http(None, small), &url(&server)).await.unwrap_err();
        assert_eq!(error, HttpError::TooLarge, "{kind:?}");
    }

    let hasty = world.http(None, Limits { total_ms: 300, ..LIMITS });
    for faults in [
        Faults { hang: true, ..Faults::default() },
        Faults { latency_ms: 60_000, ..Faults::default() },
        Faults { damage: Damage::StallHalfWay, ..Faults::default() },
        Faults { bytes_per_ms: Some(1), ..Faults::default() },
    ] {
        server.set_knobs(Knobs { faults, ..Knobs::default() });
        assert_eq!(get(&hasty, &url(&server)).await.unwrap_err(), HttpError::TimedOut, "{faults:?}");
    }
    server.set_knobs(Knobs::default());
}

#[tokio::test]
async fn only_a_sound_peer_is_spoken_to() {
    let world = World::new();
    let server = fhir(world.tls(Some(true))).await;

    // No certificate, one that is over, one of another authority: nothing reaches the server.
    let over = world.ca.client("over", Validity::expired(now_ms())).unwrap();
    let other = DevCa::new(now_ms()).unwrap();
    let foreign = other.client("foreign", Validity::around(now_ms())).unwrap();
    for identity in [None, Some(&over), Some(&foreign)] {
        let error = get(&world.http(identity, LIMITS), &url(&server)).await.unwrap_err();
        assert!(matches!(error, HttpError::Connect | HttpError::Broken), "{error:?}");
    }
    assert_eq!(server.requests(), 0);

    // The server's certificate is of another authority, or over.
    let strange = World { ca: other, ..World::new() };
    assert_eq!(get(&strange.http(None, LIMITS), &url(&server)).await.unwrap_err(), HttpError::Connect);
    let identity = world.ca.server(Validity::expired(now_ms())).unwrap();
    let late = fhir(server_config(identity.chain(), identity.key(), None, false, ALPN_H1).unwrap()).await;
    assert_eq!(get(&world.client(), &url(&late)).await.unwrap_err(), HttpError::Connect);
}

#[tokio::test]
async fn reaching_nobody_is_its_own_error() {
    let world = World::new();
    let server = fhir(world.tls(None)).await;
    let gone = url(&server);
    let addr = server.addr();
    drop(server);
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&world.client(), &gone).await.unwrap_err(), HttpError::Connect);

    // Accepts, but never shakes hands.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", silent.local_addr().unwrap().port());
    let hasty: HttpClient = world.http(None, Limits { connect_ms: 200, ..LIMITS });
    assert_eq!(get(&hasty, &url).await.unwrap_err(), HttpError::Connect);

    // Clear text is not spoken at all.
    assert_eq!(get(&world.client(), "http://localhost:1/").await.unwrap_err(), HttpError::Connect);
}

#[test]
fn nothing_secret_is_shown() {
    let world = World::new();
    let shown = format!("{:?} {:?} {:?}", world.ca, world.client, world.client());
    assert!(!shown.contains("PRIVATE") && shown.contains("x5t_s256") && shown.len() < 600, "{shown}");
    assert_eq!(world.client.thumbprint().len(), 43);
}
