//! A reload: refused whole when anything is wrong; else what it takes away stops at once, and nothing else does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sekisho_adapters::certs::{ALPN_H1, Validity, client_config, thumbprint};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::town::{Town, body, history};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// The app's connection, kept.
struct Kept {
    sender: SendRequest<Empty<Bytes>>,
    /// The server's certificate.
    server: String,
}

impl Kept {
    async fn open(town: &Town) -> std::io::Result<Self> {
        let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), ALPN_H1).unwrap();
        let socket = TcpSocket::new_v4()?;
        // So that what is not read stays at the gateway.
        socket.set_recv_buffer_size(4_096)?;
        let tcp = socket.connect(town.gateway.address).await?;
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
        let server = thumbprint(&stream.get_ref().1.peer_certificates().unwrap()[0]);
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, server })
    }

    async fn ask(&mut self, town: &Town, patient: &str) -> hyper::Result<hyper::Response<Incoming>> {
        self.sender.ready().await?;
        let token = town.world.app_token(town.mother()).unwrap();
        let request = Request::get(history(patient))
            .header("host", town.world.url.trim_start_matches("https://"))
            .header("authorization", format!("Bearer {token}"));
        self.sender.send_request(request.body(Empty::new()).unwrap()).await
    }

    async fn status(&mut self, town: &Town, patient: &str) -> StatusCode {
        let answer = self.ask(town, patient).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    }
}

/// The town, the child's id at the app, and a release under way of which only the head was read.
pub(crate) async fn with_a_release_under_way() -> (Town, String, hyper::Response<Incoming>) {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    town.world.city.set_knobs(Knobs { entries: Some(3_000), ..Knobs::default() });
    let held = Kept::open(&town).await.unwrap().ask(&town, &patient).await.unwrap();
    assert_eq!(held.status(), StatusCode::OK);
    assert_eq!(town.gateway.app().releases.all().len(), 1);
    (town, patient, held)
}

/// The wrong configuration is refused with this in the message, and everything is as it was.
async fn is_refused(town: &Town, patient: &str, bend: impl FnOnce(String) -> String, says: &[&str]) {
    let (right, before) = (std::fs::read_to_string(&town.world.config).unwrap(), town.gateway.app().generation);
    let error = town.reload_with(bend).await.unwrap_err().to_string();
    assert!(says.iter().all(|part| error.contains(part)), "{error}");
    assert_eq!(town.gateway.app().generation, before);
    assert!(town.items(patient).await > 0, "it goes on");
    std::fs::write(&town.world.config, right).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_whole() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let wrong =
        |text: String| text.replace("kind = \"clinic\"", "kind = \"hospital?\"").replace("read = true", "read = 3");
    is_refused(&town, &patient, wrong, &["nothing was changed", "sekisho.toml:", "kind", "`read`"]).await;
    let moved = |text: String| text.replace("data = \"data\"", "data = \"elsewhere\"");
    is_refused(&town, &patient, moved, &["nothing was changed", "`data`", "Restart"]).await;
    std::fs::write(town.directory.path().join("not.pem"), "no certificate").unwrap();
    let no_certificate = |text: String| text.replace("certificate = \"server.pem\"", "certificate = \"not.pem\"");
    is_refused(&town, &patient, no_certificate, &["nothing was changed", "not.pem"]).await;
    let no_key = |text: String| text.replace("key = \"server.key\"", "key = \"master.key\"");
    is_refused(&town, &patient, no_key, &["nothing was changed", "master.key"]).await;
    let another = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    std::fs::write(town.directory.path().join("other.key"), another.key_pem()).unwrap();
    let not_its_key = |text: String| text.replace("key = \"server.key\"", "key = \"other.key\"");
    is_refused(&town, &patient, not_its_key, &["nothing was changed", "server.pem: does not go with its key"]).await;
    let unreadable = |text: String| text.replace("[server]\n", "[server]\nclient_crl = \"not.pem\"\n");
    is_refused(&town, &patient, unreadable, &["nothing was changed", "revocation lists", "not.pem"]).await;
    let gone = |_| "[server".to_owned();
    is_refused(&town, &patient, gone, &["nothing was changed", "problem"]).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_and_no_connection_is_dropped() {
    let (town, patient, held) = with_a_release_under_way().await;
    let mut kept = Kept::open(&town).await.unwrap();
    assert_eq!(kept.status(&town, &patient).await, StatusCode::OK);
    let next = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    assert_ne!(kept.server, next.thumbprint());
    std::fs::write(town.directory.path().join("server.pem"), next.cert_pem()).unwrap();
    std::fs::write(town.directory.path().join("server.key"), next.key_pem()).unwrap();
    let done = town.reload_with(|text| text).await.unwrap();
    assert_eq!(done, json!({"registry_changed": false, "transfers_cut": 0}));
    assert_eq!(kept.status(&town, &patient).await, StatusCode::OK, "the old connection goes on");
    assert_eq!(Kept::open(&town).await.unwrap().server, next.thumbprint());
    let whole = held.into_body().collect().await.unwrap().to_bytes();
    assert!(serde_json::from_slice::<Value>(&whole).is_ok(), "the transfer that was under way is whole");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_stops_at_once() {
    let (town, patient, held) = with_a_release_under_way().await;
    let validity = Validity::around((town.world.now)());
    let list = |revoked: &[&_]| {
        let list = town.world.ca.revocation_list(revoked, validity).unwrap();
        std::fs::write(town.directory.path().join("revoked.pem"), list).unwrap();
    };
    // A list that names somebody else takes nothing away.
    list(&[&town.world.clinic]);
    let listed = |text: String| text.replace("[server]\n", "[server]\nclient_crl = \"revoked.pem\"\n");
    assert_eq!(town.reload_with(listed).await.unwrap()["transfers_cut"], 0);
    let mut kept = Kept::open(&town).await.unwrap();
    assert_eq!(kept.status(&town, &patient).await, StatusCode::OK);
    list(&[&town.world.app]);
    assert_eq!(town.reload_with(|text| text).await.unwrap()["transfers_cut"], 1);
    assert!(held.into_body().collect().await.is_err(), "the transfer was cut");
    assert_eq!(kept.status(&town, &patient).await, StatusCode::UNAUTHORIZED, "on a connection from before");
    assert!(refused_at_the_door(&town, &patient).await, "and no new one");
    list(&[]);
    town.reload_with(|text| text).await.unwrap();
    assert_eq!(kept.status(&town, &patient).await, StatusCode::OK, "given back");
    // Who can't be told not to be revoked is not let in.
    let past = Validity::expired((town.world.now)());
    let stale = town.world.ca.revocation_list(&[], past).unwrap();
    std::fs::write(town.directory.path().join("revoked.pem"), stale).unwrap();
    town.reload_with(|text| text).await.unwrap();
    assert_eq!(kept.status(&town, &patient).await, StatusCode::UNAUTHORIZED, "the list is out of date");
    town.gateway.stop().await;
}

/// With TLS 1.3 a client learns only when it reads that its certificate was not accepted.
async fn refused_at_the_door(town: &Town, patient: &str) -> bool {
    match Kept::open(town).await {
        Ok(mut kept) => kept.ask(town, patient).await.is_err(),
        Err(_) => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_takes_away_is_cut() {
    let without_route = |text: String| text.replace("name = \"vaccination-history\"", "name = \"renamed\"");
    let other_source = |text: String| text.replace("timeout_ms = ", "timeout_ms = 1");
    let other_certificate =
        |town: &Town, text: String| text.replace(&town.world.app.thumbprint(), &thumbprint(b"another certificate"));
    for way in ["route", "source", "certificate", "purpose"] {
        let (town, patient, held) = with_a_release_under_way().await;
        let bend = |text: String| match way {
            "route" => without_route(text),
            "source" => other_source(text),
            "certificate" => other_certificate(&town, text),
            // Only clinics may receive for it: the records' own rules, by way of the ledger.
            _ => text.replacen("receivers = [\"phr-app\"]", "receivers = [\"clinic\"]", 1),
        };
        let done = town.reload_with(bend).await.unwrap();
        assert_eq!(done["transfers_cut"], 1, "{way}");
        assert_eq!(done["registry_changed"], way == "purpose", "{way}");
        assert!(held.into_body().collect().await.is_err(), "{way}: cut");
        assert_eq!(town.newest_outcome().await, "cut", "{way}");
        let answer = town.ask(&patient).await;
        let nothing = |answer| body(&answer)["total"] == 0;
        match way {
            "certificate" => assert_eq!(answer.status, StatusCode::UNAUTHORIZED),
            "purpose" => assert!(nothing(answer)),
            _ => assert_eq!(answer.status, StatusCode::OK, "{way}: asked anew, it is admitted"),
        }
        town.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_while_the_source_is_asked_is_not_released() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let before = town.world.city.requests();
    let slow = Faults { latency_ms: 1_500, ..Faults::default() };
    town.world.city.set_knobs(Knobs { faults: slow, ..Knobs::default() });
    let asking = town.ask(&patient);
    let reloading = async {
        while town.world.city.requests() == before {
            tokio::task::yield_now().await;
        }
        town.reload_with(|text| text.replace("name = \"vaccination-history\"", "name = \"renamed\"")).await.unwrap()
    };
    let (answer, done) = tokio::join!(asking, reloading);
    assert_eq!(done["transfers_cut"], 0, "nothing was under way yet");
    assert_eq!((answer.status, &body(&answer)["total"]), (StatusCode::OK, &json!(0)));
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_what_one_may_do_and_a_reload_takes_it_away() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    town.items(&patient).await;
    let decision = town.newest_decision().await["decision"].as_str().unwrap().to_owned();
    let look = format!("/decisions/{decision}");
    let why = json!({"reason": "試し"});
    let suspend = || town.world.act("/parties/yotsuba-phr/suspend", &why);
    let ask = |path: &str| {
        let (socket, path) = (town.world.socket(), path.to_owned());
        async move { sekisho::admin::client::ask(&socket, http::Method::GET, &path, &Value::Null).await }
    };
    let only = |role: &str| {
        let role = format!("roles = [\"{role}\"]\n");
        move |text: String| {
            let (before, after) = text.split_once("roles = ").unwrap();
            format!("{before}{role}{}", after.split_once('\n').unwrap().1)
        }
    };
    town.reload_with(only("official")).await.unwrap();
    assert!(ask("/status").await.is_ok());
    assert!(ask(&look).await.unwrap_err().to_string().contains("the role `auditor`"));
    assert!(town.world.act("/checkpoint", &Value::Null).await.unwrap_err().to_string().contains("`operator`"));
    assert!(suspend().await.is_ok());
    // Now nobody may reload over the socket; the supervisor's signal still does (gateway/tests/it/process.rs).
    assert!(town.reload_with(only("auditor")).await.unwrap_err().to_string().contains("`operator`"));
    town.gateway.current.reload(sekisho::ledger::entry::Cause::Gateway).await.unwrap();
    assert!(ask(&look).await.is_ok());
    assert!(suspend().await.unwrap_err().to_string().contains("the role `official`"));
    town.gateway.stop().await;
}
