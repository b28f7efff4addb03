//! The certified provider of [`crate::provider`] does what its users are promised.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jsonwebtoken::{Algorithm, Header};
use sekisho::clock::Clock;
use sekisho_adapters::certs::{ALPN_H1, DevCa, Identity, Validity, client_config, server_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};
use thirtyfour::By;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::browser::{Browser, Look};
use crate::provider::{Provider, ProviderClient};

const WITHIN: Duration = Duration::from_secs(20);
const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-accepted-0123456789";

/// A client's server: answers anything, and hands on what is posted to it.
async fn listening(server: &Identity) -> (String, mpsc::Receiver<Bytes>) {
    let tls = server_config(server.chain(), server.key(), None, false, ALPN_H1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (accept, (tell, told)) = (TlsAcceptor::from(Arc::new(tls)), mpsc::channel(8));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (accept, tell) = (accept.clone(), tell.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    if request.method() == Method::POST {
                        let _ = tell.send(request.into_body().collect().await.unwrap().to_bytes()).await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"back"))))
                }
            });
            tokio::spawn(async move {
                if let Ok(stream) = accept.accept(tcp).await {
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    (url, told)
}

/// An authority, a provider that it vouches for, and its client.
struct Scene {
    server: Identity,
    client: ProviderClient,
    provider: Provider,
    http: HttpClient,
    /// What the provider posts to the client.
    told: mpsc::Receiver<Bytes>,
}

impl Scene {
    async fn open() -> Self {
        let now = now_ms();
        let ca = DevCa::new(now).unwrap();
        let server = ca.server(Validity::around(now)).unwrap();
        let (url, told) = listening(&server).await;
        let client = ProviderClient {
            client_id: "sekisho".to_owned(),
            key: SigningKey::generate(SigningAlgorithm::Es256).unwrap(),
            redirect_uri: format!("{url}/signed-in"),
            post_logout_redirect_uri: format!("{url}/signed-out"),
            backchannel_logout_uri: Some(format!("{url}/told")),
        };
        let provider = Provider::start(&ca, &server, &client).await;
        let tls = client_config(ca.roots().unwrap(), None, ALPN_H1).unwrap();
        let http = HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 20_000, body_bytes_max: 1 << 20 });
        Self { server, client, provider, http, told }
    }

    async fn discovery(&self) -> Value {
        let url = format!("{}/.well-known/openid-configuration", self.provider.issuer);
        let response = self.http.send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        serde_json::from_slice(&response.body).unwrap()
    }

    fn assertion(&self, now_s: i64) -> String {
        let claims = json!({
            "iss": self.client.client_id, "sub": self.client.client_id, "aud": self.provider.issuer,
            "iat": now_s, "exp": now_s + 60, "jti": "one"
        });
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, self.client.key.encoding_key()).unwrap()
    }
}

fn now_ms() -> i64 {
    Clock::system().now().unwrap().millis()
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js and oidc-provider; make test runs it"]
async fn the_certified_provider_offers_what_the_gateway_needs() {
    let scene = Scene::open().await;
    let document = scene.discovery().await;
    assert_eq!(document["issuer"], scene.provider.issuer);
    let offers = |name: &str, value: &str| document[name].as_array().unwrap().contains(&json!(value));
    assert!(offers("token_endpoint_auth_methods_supported", "private_key_jwt"));
    assert!(offers("token_endpoint_auth_signing_alg_values_supported", "ES256"));
    assert!(offers("id_token_signing_alg_values_supported", "ES256"));
    assert!(offers("code_challenge_methods_supported", "S256"));
    assert!(crate::provider::ACR.iter().all(|acr| offers("acr_values_supported", acr)));
    assert_eq!(document["backchannel_logout_supported"], true);
    assert!(document["end_session_endpoint"].as_str().unwrap().starts_with(&scene.provider.issuer));
}

/// Somebody signs in with this browser: the ID token.
async fn sign_in(scene: &Scene, browser: &Browser, document: &Value) -> String {
    let challenge = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()).as_ref());
    let asked = query(&[
        ("response_type", "code"),
        ("client_id", "sekisho"),
        ("redirect_uri", &scene.client.redirect_uri),
        ("scope", "openid"),
        ("state", "s"),
        ("nonce", "n"),
        ("acr_values", "aal3"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    browser.goto(format!("{}?{asked}", document["authorization_endpoint"].as_str().unwrap())).await.unwrap();
    browser.find(By::Name("login")).await.unwrap().send_keys("hanako").await.unwrap();
    browser.find(By::Css("button")).await.unwrap().click().await.unwrap();
    let back = browser.arrives_at(&scene.client.redirect_uri).await;
    let code = back.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    let code = code.unwrap_or_else(|| panic!("no code: {back}"));

    let form = query(&[
        ("grant_type", "authorization_code"),
        ("client_id", "sekisho"),
        ("code", &code),
        ("redirect_uri", &scene.client.redirect_uri),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &scene.assertion(now_ms() / 1000)),
    ]);
    let request = Request::post(document["token_endpoint"].as_str().unwrap())
        .header("content-type", "application/x-www-form-urlencoded");
    let response = scene.http.send(request.body(Bytes::from(form)).unwrap()).await.unwrap();
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(response.status, StatusCode::OK, "{body}");
    body["id_token"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, Node.js and oidc-provider; make test runs it"]
async fn a_person_signs_in_with_the_class_asked_for_and_out_and_the_client_is_told() {
    let mut scene = Scene::open().await;
    let document = scene.discovery().await;
    let browser = Browser::open(Look::DESK, &[scene.server.cert_pem()]).await;
    let token = sign_in(&scene, &browser, &document).await;
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().alg, Algorithm::ES256);
    let said = claims(&token);
    assert_eq!((&said["sub"], &said["acr"], &said["nonce"]), (&json!("hanako"), &json!("aal3"), &json!("n")));
    assert!(said["sid"].is_string() && said["auth_time"].is_i64(), "{said}");

    let asked =
        query(&[("id_token_hint", &token), ("post_logout_redirect_uri", &scene.client.post_logout_redirect_uri)]);
    browser.goto(format!("{}?{asked}", document["end_session_endpoint"].as_str().unwrap())).await.unwrap();
    browser.find(By::Css("button[name=logout]")).await.unwrap().click().await.unwrap();
    browser.arrives_at(&scene.client.post_logout_redirect_uri).await;
    let body = tokio::time::timeout(WITHIN, scene.told.recv()).await.unwrap().unwrap();
    let told = form_urlencoded::parse(&body).find(|(name, _)| name == "logout_token").unwrap().1.into_owned();
    assert_eq!(claims(&told)["sid"], said["sid"]);
}
