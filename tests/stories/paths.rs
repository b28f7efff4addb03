//! A path or query that is not its own normal form matches nothing, whatever it would mean decoded.

use std::sync::Arc;

use sekisho_adapters::certs::{ALPN_H1, client_config};
use sekisho_tests::town::Town;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends a request exactly as written and gives the status line and the rest.
async fn raw(town: &Town, head: &str) -> String {
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), ALPN_H1).unwrap();
    let tcp = tokio::net::TcpStream::connect(town.gateway.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(target: &str, host: &str, token: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_normal_form_is_answered() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let authority = town.world.url.trim_start_matches("https://").to_owned();
    let head = |target: &str, host: &str| head(target, host, &token);
    let good = raw(&town, &head(&format!("/fhir/Immunization?patient={patient}"), &authority)).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{}", &good[..60]);
    assert!(good.contains("\"Immunization\""));
    for target in [
        "//fhir/Immunization?patient={p}",
        "/fhir//Immunization?patient={p}",
        "/fhir/Immunization/?patient={p}",
        "/fhir/./Immunization?patient={p}",
        "/fhir/../fhir/Immunization?patient={p}",
        "/x/../fhir/Immunization?patient={p}",
        "/fhir/%49mmunization?patient={p}",
        "/fhir%2fImmunization?patient={p}",
        "/fhir%252fImmunization?patient={p}",
        "/%2e%2e/fhir/Immunization?patient={p}",
        "/fhir/Immunization;v=1?patient={p}",
        "/fhir\\Immunization?patient={p}",
        "/FHIR/Immunization?patient={p}",
        "/fhir/immunization?patient={p}",
        "/fhir/Immunization?patient={p}&patient={p}",
        "/fhir/Immunization?patient={p}&_include=*",
        "/fhir/Immunization?patient=%61{p}",
        "/fhir/Immunization?Patient={p}",
        "/fhir/Immunization?patient={p}&",
        "/fhir/Immunization?patient={p}&date=111111111118",
        "/fhir/Immunization",
        "/fhir/Immunization/$everything?patient={p}",
    ] {
        let before = town.world.city.requests();
        let answer = raw(&town, &head(&target.replace("{p}", &patient), &authority)).await;
        let status = answer.get(..12).unwrap_or(&answer);
        assert!(status == "HTTP/1.1 404" || status == "HTTP/1.1 400", "{target}: {status}");
        assert!(!answer.contains("\"Immunization\""), "{target}");
        assert_eq!(town.world.city.requests(), before, "{target}: a source was asked");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_addressed_to_another_host_is_not_answered() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let authority = town.world.url.trim_start_matches("https://").to_owned();
    let path = format!("/fhir/Immunization?patient={patient}");
    let before = town.world.city.requests();
    assert!(raw(&town, &head(&path, "evil.example", &token)).await.starts_with("HTTP/1.1 421"));
    let absolute = format!("https://evil.example{path}");
    assert!(raw(&town, &head(&absolute, &authority, &token)).await.starts_with("HTTP/1.1 421"));
    let clear = format!("http://{authority}{path}");
    assert!(raw(&town, &head(&clear, &authority, &token)).await.starts_with("HTTP/1.1 421"), "another scheme");
    let two_hosts = head(&path, &authority, &token).replace("Connection:", "Host: evil.example\r\nConnection:");
    let answer = raw(&town, &two_hosts).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{}", &answer[..20]);
    assert_eq!(town.world.city.requests(), before, "a source was asked");
    for ours in [path.clone(), format!("https://{authority}{path}")] {
        assert!(raw(&town, &head(&ours, &authority, &token)).await.starts_with("HTTP/1.1 200"), "our own is: {ours}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_behind_a_chunked_request() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let authority = town.world.url.trim_start_matches("https://").to_owned();
    let last = head(&format!("/fhir/Immunization?patient={patient}"), &authority, &token);
    let first = last.replace("Connection: close\r\n", "");
    let chunked = last.replace("Connection: close\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let answers = |text: String| text.matches("HTTP/1.1 200").count();
    assert_eq!(answers(raw(&town, &format!("{first}{last}")).await), 2, "without a body the next request is read");
    let before = town.world.city.requests();
    assert_eq!(answers(raw(&town, &format!("{chunked}{last}")).await), 1);
    assert_eq!(town.world.city.requests(), before + 1);
    town.gateway.stop().await;
}
