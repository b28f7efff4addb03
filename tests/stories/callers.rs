//! Who may ask at all: tokens and certificates, good and bad (design §3.2).

use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sekisho_adapters::certs::{ALPN_H1, Identity, Validity, client_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_tests::town::{Town, body, history, standing_clock};
use serde_json::json;

/// Status of a search with a token of this request.
async fn status(town: &Town, patient: &str, request: MintRequest) -> u16 {
    let token = town.world.token(request).unwrap();
    town.get(&history(patient), &token).await.status.as_u16()
}

/// A bent token is refused with 401, and no source is asked.
async fn refused(bend: impl FnOnce(&Town, &mut MintRequest)) {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let mut request = town.world.app_request(town.mother());
    assert_eq!(status(&town, &patient, request.clone()).await, 200, "the unbent token is good");
    let before = town.world.city.requests();
    bend(&town, &mut request);
    assert_eq!(status(&town, &patient, request).await, 401);
    assert_eq!(town.world.city.requests(), before, "no source is asked");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused() {
    refused(|_, request| request.ttl_s = -1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_future_is_refused() {
    refused(|_, request| request.not_before_s = 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_refused() {
    refused(|_, request| request.aud = "https://elsewhere.example".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unbound_token_of_a_party_is_refused() {
    refused(|_, request| request.cert_thumbprint = None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_another_certificate_is_refused() {
    refused(|town, request| request.cert_thumbprint = Some(town.world.clinic.thumbprint())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_in_a_way_that_is_not_known_here_is_refused() {
    let town = Town::open().await;
    for (cnf, wanted) in [
        (json!(null), 200),
        (json!({"jkt": town.world.app.thumbprint()}), 401),
        (json!({}), 401),
        (json!([town.world.app.thumbprint()]), 401),
    ] {
        let mut request = MintRequest::new(town.mother(), sekisho::demo::world::OWN_CLIENT, &town.world.url);
        request.claims.insert("cnf".to_owned(), cnf.clone());
        let token = town.world.token(request).unwrap();
        for http in [&town.world.browser, &town.world.app_http] {
            assert_eq!(town.call(http, Method::GET, "/v1/me", &token, None).await.0, wanted, "{cnf}");
        }
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_unknown_issuer_is_refused() {
    refused(|_, request| request.issuer = Some("https://other.example".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_type_or_key_is_refused() {
    refused(|_, request| request.typ = Some("JWT".to_owned())).await;
    refused(|_, request| request.kid = Some("../../etc/passwd".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_signatures_are_refused() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let good = town.world.app_token(town.mother()).unwrap();
    let key = town.world.issuer.signing_key().unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let claims: serde_json::Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap()).unwrap();
    let encode = |header: serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    let none = format!("{}.{}.", encode(json!({"alg": "none", "typ": "at+jwt", "kid": key.kid()})), parts[1]);
    let mut hmac_header = Header::new(Algorithm::HS256);
    (hmac_header.typ, hmac_header.kid) = (Some("at+jwt".to_owned()), Some(key.kid().to_owned()));
    let public = key.jwk().to_string();
    let hmac = jsonwebtoken::encode(&hmac_header, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let with_key =
        json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid(), "jwk": key.jwk(), "jku": "https://evil.example"});
    let embedded = format!("{}.{}.{}", encode(with_key), parts[1], parts[2]);
    let mut other = claims.clone();
    other["sub"] = json!(town.father());
    let moved = format!("{}.{}.{}", parts[0], encode(other), parts[2]);
    let mut bent = parts[2].to_owned();
    bent.replace_range(10..11, if &bent[10..11] == "A" { "B" } else { "A" });
    let bent = format!("{}.{}.{bent}", parts[0], parts[1]);
    let unsigned = format!("{}.{}", parts[0], parts[1]);
    for (what, token) in [
        ("alg none", none),
        ("HMAC with the public key", hmac),
        ("key in the header", embedded),
        ("other claims", moved),
        ("bent signature", bent),
        ("no signature", unsigned),
        ("nonsense", "x.y.z".to_owned()),
        ("huge", "a".repeat(20_000)),
    ] {
        assert_eq!(town.get(&history(&patient), &token).await.status.as_u16(), 401, "{what}");
    }
    assert_eq!(town.get(&history(&patient), &good).await.status.as_u16(), 200);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_no_authorization() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let twice = town.request(Method::GET, &history(&patient), &token).header("authorization", "Bearer x");
    assert_eq!(town.send(&town.world.app_http, twice, "").await.status, StatusCode::UNAUTHORIZED);
    town.gateway.stop().await;
}

fn client(town: &Town, identity: Option<&Identity>) -> HttpClient {
    let tls = client_config(town.world.ca.roots().unwrap(), identity, ALPN_H1).unwrap();
    HttpClient::new(tls, Limits::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_missing_unknown_or_anothers_are_refused() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let stranger = town.world.ca.client("stranger", Validity::around(town.clock.now().unwrap().millis())).unwrap();
    let mut for_stranger = town.world.app_request(town.mother());
    for_stranger.cert_thumbprint = Some(stranger.thumbprint());
    let mut for_clinic = town.world.app_request(town.mother());
    for_clinic.cert_thumbprint = Some(town.world.clinic.thumbprint());
    for (what, http, request) in [
        ("none", client(&town, None), town.world.app_request(town.mother())),
        ("unknown", client(&town, Some(&stranger)), for_stranger),
        ("another party's", client(&town, Some(&town.world.clinic)), for_clinic),
    ] {
        let token = town.world.token(request).unwrap();
        let answer = town.call(&http, Method::GET, &history(&patient), &token, None).await;
        assert_eq!(answer.0, 401, "{what}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_client_certificate_does_not_get_a_connection() {
    let town = Town::open().await;
    let expired = town.world.ca.client("yotsuba-app", Validity::expired(town.clock.now().unwrap().millis())).unwrap();
    let http = client(&town, Some(&expired));
    let token = town.world.app_token(town.mother()).unwrap();
    let answer = town.world.call(&http, Method::GET, &history("x"), &token, None).await;
    assert!(answer.is_err());
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_scope_is_told_so_whoever_is_asked_about() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let mut request = town.world.app_request(town.mother());
    request.scope = "consent/propose".to_owned();
    for named in [patient.as_str(), "aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(status(&town, named, request.clone()).await, 403);
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_restart_and_retired_ones_stop_working() {
    let clock = standing_clock();
    let town = Town::open_with(clock, |text| text.replace("own_client =", "keys_max_age_s = 1\nown_client =")).await;
    let (_, patient) = town.consent().await;
    let old = town.world.app_token(town.mother()).unwrap();
    assert_eq!(town.get(&history(&patient), &old).await.status.as_u16(), 200);
    town.world.issuer.rotate_keys().unwrap();
    let new = town.world.app_token(town.mother()).unwrap();
    // An unknown key is fetched, at most once a second: poll until that second is over.
    until_status(&town, &patient, &new, 200).await;
    town.world.issuer.retire_old_keys();
    until_status(&town, &patient, &old, 401).await;
    assert_eq!(town.get(&history(&patient), &new).await.status.as_u16(), 200);
    town.gateway.stop().await;
}

async fn until_status(town: &Town, patient: &str, token: &str, wanted: u16) {
    let patience = std::time::Instant::now();
    loop {
        let found = town.get(&history(patient), token).await.status.as_u16();
        if found == wanted {
            return;
        }
        assert!(patience.elapsed().as_secs() < 20, "still {found}, not {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_sees_neither_token_nor_trace() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    let request = town
        .request(Method::GET, &history(&patient), &token)
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "10.0.0.1");
    let answer = town.send(&town.world.app_http, request, "").await;
    assert!(body(&answer)["total"].as_u64().unwrap() > 0);
    let seen = town.world.city.last_headers().unwrap();
    let names: Vec<&str> = seen.keys().map(http::HeaderName::as_str).collect();
    assert!(names.iter().all(|name| ["accept", "host", "content-length"].contains(name)), "{names:?}");
    assert!(!town.world.city.last_target().unwrap().contains(&patient), "the pairwise id stays here");
    town.gateway.stop().await;
}
