//! The development issuer lies when told to, and only then.

use sekisho_adapters::http::HttpClient;
use sekisho_adapters::identity::stand_in::{Knobs, Lie, Signature, SigningAlgorithm};
use sekisho_adapters::stand_in::Faults;
use serde_json::{Value, json};

use crate::issuer::{REDIRECT, authorize, claims, outcome};
use crate::issuer_clients::Web;
use crate::support::{World, get, json as answer, now_ms};

const NOTHING: &str = "nothing was asked";

/// What is said in the payload, whoever signed it.
fn said(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token).unwrap()
}

#[tokio::test]
async fn each_lie_changes_what_it_says_and_no_more() {
    let world = World::new();
    let web = Web::open(&world).await;
    let now = now_ms() / 1000;
    let near = |value: &Value, wanted: i64| (value.as_i64().unwrap() - wanted).abs() <= 30;
    let honest = said(&web.id_token(&[]).await);
    let lies: [(Lie, &[&str]); 12] = [
        (Lie::OtherAudience, &["aud"]),
        (Lie::FurtherAudience, &["aud"]),
        (Lie::Issuer("https://evil.example".to_owned()), &["iss"]),
        (Lie::OtherNonce, &["nonce"]),
        (Lie::NoNonce, &["nonce"]),
        (Lie::Expired(3600), &["iat", "exp"]),
        (Lie::Ahead(3600), &["iat", "exp", "auth_time"]),
        (Lie::Acr(None), &["acr"]),
        (Lie::Acr(Some("aal0".to_owned())), &["acr"]),
        (Lie::SignedInAgo(7200), &["auth_time"]),
        (Lie::Sub("someone else".to_owned()), &["sub"]),
        (Lie::Email("hanako@example.org".to_owned()), &["email", "email_verified"]),
    ];
    // Of each sign-in its own.
    let fresh = ["iat", "exp", "auth_time", "sid", "at_hash"];
    for (lie, changed) in lies {
        web.issuer.lie(Some(lie.clone()));
        let told = said(&web.id_token(&[]).await);
        for name in honest.as_object().unwrap().keys().chain(told.as_object().unwrap().keys()) {
            let name = name.as_str();
            let differs = match (honest[name].as_i64(), told[name].as_i64()) {
                (Some(_), Some(_)) => !near(&told[name], honest[name].as_i64().unwrap()),
                _ => !fresh.contains(&name) && honest[name] != told[name],
            };
            assert_eq!(differs, changed.contains(&name), "{lie:?} and {name}");
        }
    }
    assert!(near(&honest["auth_time"], now) && near(&honest["exp"], now + 300));
    web.issuer.lie(Some(Lie::OtherAccessToken));
    assert_eq!(said(&web.id_token(&[]).await)["at_hash"], "AAAAAAAAAAAAAAAAAAAAAA");
    web.issuer.lie(None);
    let token = web.id_token(&[]).await;
    assert!(claims(&web.http, &web.issuer, &token, "web").await.is_some(), "honest again");
}

#[tokio::test]
async fn a_token_signed_in_a_wrong_way_is_not_what_a_careful_reader_takes() {
    let world = World::new();
    let web = Web::open(&world).await;
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        web.issuer.sign_id_tokens_by(algorithm).unwrap();
        for signature in [Signature::Unpublished, Signature::Forged, Signature::PublicKeyAsSecret, Signature::Absent] {
            web.issuer.lie(Some(Lie::Signed(signature)));
            let token = web.id_token(&[]).await;
            assert!(claims(&web.http, &web.issuer, &token, "web").await.is_none(), "{algorithm:?} {signature:?}");
        }
        web.issuer.lie(Some(Lie::Signed(Signature::Ours)));
        let token = web.id_token(&[]).await;
        assert!(claims(&web.http, &web.issuer, &token, "web").await.is_some());
    }
}

#[tokio::test]
async fn issuers_are_mixed_up_in_discovery_and_in_the_response() {
    let world = World::new();
    let web = Web::open(&world).await;
    let evil = "https://evil.example".to_owned();
    let document = format!("{}/.well-known/openid-configuration", web.issuer.base_url());
    web.issuer.lie(Some(Lie::IssuerInDiscovery(evil.clone())));
    assert_eq!(answer(&get(&web.http, &document).await.unwrap())["issuer"], json!(evil));
    web.issuer.lie(Some(Lie::IssuerInResponse(evil.clone())));
    assert_eq!(answer(&get(&web.http, &document).await.unwrap())["issuer"], web.issuer.base_url());
    let url = authorize(&web.issuer, "web", &[]);
    assert_eq!(outcome(&web.http, &url, "iss").await.unwrap(), evil);
    assert!(REDIRECT.starts_with("https://app.example"));
    web.issuer.lie(None);
    assert_eq!(outcome(&web.http, &url, "iss").await.unwrap(), web.issuer.base_url());
}

async fn status(http: &HttpClient, url: String) -> String {
    get(http, &url).await.map_or_else(|_| NOTHING.to_owned(), |response| response.status.as_str().to_owned())
}

#[tokio::test]
async fn each_endpoint_fails_apart_from_the_others() {
    let world = World::new();
    let web = Web::open(&world).await;
    let at = |path: &str| format!("{}{path}", web.issuer.base_url());
    let discovery = "/.well-known/openid-configuration";
    let down = Faults { status: Some(503), ..Faults::default() };
    web.issuer.set_knobs(Knobs { discovery: down, ..Knobs::default() });
    assert_eq!(status(&web.http, at(discovery)).await, "503");
    assert_eq!(status(&web.http, at("/jwks")).await, "200");
    let silent = Faults { hang: true, ..Faults::default() };
    web.issuer.set_knobs(Knobs { jwks: silent, token: down, ..Knobs::default() });
    let hasty = world.http(None, sekisho_adapters::http::Limits { total_ms: 200, ..crate::support::LIMITS });
    assert_eq!(status(&hasty, at("/jwks")).await, NOTHING);
    assert_eq!(status(&web.http, at(discovery)).await, "200");
    let refused = crate::support::post_form(&web.http, &at("/token"), &[("client_id", "pages")]).await;
    assert_eq!(refused.status, 503);
}
