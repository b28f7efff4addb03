use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use sekisho_adapters::http::HttpClient;
use sekisho_adapters::identity::stand_in::{ClientAuth, DevIssuer, IssuerOptions, MintRequest, Persona, Registration};
use serde_json::Value;
use url::Url;

use crate::support::{World, clock, get, json, now_ms, post_form};

pub const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-accepted-0123456789";
pub const SIGNED_OUT: &str = "https://app.example/signed-out";
pub const REDIRECT: &str = "https://app.example/callback";

pub fn registration(id: &str, auth: ClientAuth) -> Registration {
    Registration {
        client_id: id.to_owned(),
        redirect_uris: vec![REDIRECT.to_owned()],
        auth,
        scopes: ["openid", "patient/Immunization.rs"].map(str::to_owned).to_vec(),
        audiences: ["https://gateway.example", "https://other.example"].map(str::to_owned).to_vec(),
        post_logout_redirect_uris: vec![SIGNED_OUT.to_owned()],
        backchannel_logout_uri: None,
    }
}

pub async fn issuer(world: &World) -> DevIssuer {
    let mut options = IssuerOptions::new(world.tls(Some(false)), clock());
    options.personas = vec![Persona::new("hanako", "合成 花子 <35>")];
    options.clients = vec![
        registration("machine", ClientAuth::Certificate { thumbprint: world.client.thumbprint() }),
        registration("pages", ClientAuth::Public),
    ];
    DevIssuer::start(options).await.unwrap()
}

fn challenge() -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()).as_ref())
}

pub fn authorize(issuer: &DevIssuer, client: &str, changed: &[(&str, Option<&str>)]) -> String {
    let challenge = challenge();
    let mut params: Vec<(&str, &str)> = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("scope", "openid patient/Immunization.rs"),
        ("state", "s t"),
        ("nonce", "n1"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("login_hint", "hanako"),
    ];
    for (name, value) in changed {
        params.retain(|(n, _)| n != name);
        params.extend(value.map(|v| (*name, v)));
    }
    Url::parse_with_params(&format!("{}/authorize", issuer.base_url()), params).unwrap().to_string()
}

pub async fn outcome(client: &HttpClient, url: &str, name: &str) -> Option<String> {
    let response = get(client, url).await.unwrap();
    assert_eq!(response.status, 303);
    let back = Url::parse(response.headers["location"].to_str().unwrap()).unwrap();
    assert!(back.as_str().starts_with(REDIRECT));
    let pick = |n: &str| back.query_pairs().find(|(key, _)| key == n).map(|(_, v)| v.into_owned());
    assert!(pick("iss").is_some());
    pick(name)
}

pub async fn redeem(client: &HttpClient, issuer: &DevIssuer, id: &str, code: &str, verifier: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
    ];
    let response = post_form(client, &format!("{}/token", issuer.base_url()), &form).await;
    (response.status.as_u16(), json(&response))
}

/// The claims of a token, if it is what a careful reader takes: signed by a published key, for this audience, now.
pub async fn claims(client: &HttpClient, issuer: &DevIssuer, token: &str, aud: &str) -> Option<Value> {
    let discovery =
        json(&get(client, &format!("{}/.well-known/openid-configuration", issuer.base_url())).await.unwrap());
    let jwks = get(client, discovery["jwks_uri"].as_str().unwrap()).await.unwrap();
    let jwks: JwkSet = serde_json::from_slice(&jwks.body).unwrap();
    let header = decode_header(token).ok()?;
    let jwk = jwks.find(&header.kid?)?;
    let key = DecodingKey::from_jwk(jwk).unwrap();
    let mut validation = Validation::new(jwk.common.key_algorithm?.to_string().parse::<Algorithm>().ok()?);
    validation.set_audience(&[aud]);
    validation.set_issuer(&[issuer.base_url()]);
    validation.validate_nbf = true;
    validation.leeway = 0;
    decode::<Value>(token, &key, &validation).ok().map(|data| data.claims)
}

#[tokio::test]
async fn a_person_signs_in_and_the_token_is_bound_to_the_certificate() {
    let world = World::new();
    let (issuer, client) = (issuer(&world).await, world.client());
    let url = authorize(&issuer, "machine", &[("acr_values", Some("aal3"))]);
    assert_eq!(outcome(&client, &url, "state").await.unwrap(), "s t");
    let code = outcome(&client, &url, "code").await.unwrap();
    let (status, body) = redeem(&client, &issuer, "machine", &code, VERIFIER).await;
    assert_eq!(status, 200);
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(decode_header(token).unwrap().typ.unwrap(), "at+jwt");
    let access = claims(&client, &issuer, token, "https://gateway.example").await.unwrap();
    assert_eq!(access["sub"], "hanako");
    assert_eq!(access["client_id"], "machine");
    assert_eq!(access["acr"], "aal3");
    assert_eq!(access["scope"], "openid patient/Immunization.rs");
    assert_eq!(access["cnf"]["x5t#S256"], world.client.thumbprint());
    assert!(access["auth_time"].as_i64().unwrap() <= now_ms() / 1000);
    let id = claims(&client, &issuer, body["id_token"].as_str().unwrap(), "machine").await.unwrap();
    assert_eq!(
        (&id["nonce"], &id["acr"], &id["auth_time"]),
        (&Value::from("n1"), &access["acr"], &access["auth_time"])
    );
    let half = digest::digest(&digest::SHA256, token.as_bytes());
    assert_eq!(id["at_hash"], BASE64URL_NOPAD.encode(&half.as_ref()[..16]));
    assert_eq!(id["sid"], issuer.sign_ins()[0].sid);

    // A code is good for one try, also when that try was wrong.
    assert_eq!(redeem(&client, &issuer, "machine", &code, VERIFIER).await.0, 400);
    let code = outcome(&client, &url, "code").await.unwrap();
    assert_eq!(
        redeem(&client, &issuer, "machine", &code, &VERIFIER.replace('a', "b")).await.1["error"],
        "invalid_grant"
    );
    assert_eq!(redeem(&client, &issuer, "machine", &code, VERIFIER).await.0, 400);

    // The code of one client is not another's; and a client is its certificate.
    let code = outcome(&client, &url, "code").await.unwrap();
    assert_eq!(redeem(&client, &issuer, "pages", &code, VERIFIER).await.1["error"], "invalid_grant");
    let bare = world.http(None, crate::support::LIMITS);
    assert_eq!(redeem(&bare, &issuer, "machine", &code, VERIFIER).await.0, 401);
    let code = outcome(&bare, &authorize(&issuer, "pages", &[]), "code").await.unwrap();
    let (_, body) = redeem(&bare, &issuer, "pages", &code, VERIFIER).await;
    let unbound = claims(&bare, &issuer, body["access_token"].as_str().unwrap(), "https://gateway.example").await;
    assert!(unbound.unwrap().get("cnf").is_none());
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let world = World::new();
    let (issuer, client) = (issuer(&world).await, world.client());
    for (changed, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge", None), "invalid_request"),
        (("state", None), "invalid_request"),
        (("scope", Some("openid all")), "invalid_scope"),
        (("resource", Some("https://evil.example")), "invalid_target"),
        (("acr_values", Some("aal9")), "unmet_authentication_requirements"),
        (("max_age", Some("-1")), "invalid_request"),
        (("prompt", Some("none login")), "invalid_request"),
        (("prompt", Some("dance")), "invalid_request"),
        (("login_hint", Some("nobody")), "access_denied"),
    ] {
        let url = authorize(&issuer, "machine", &[changed]);
        assert_eq!(outcome(&client, &url, "error").await.as_deref(), Some(error), "{changed:?}");
    }
    // Never sent anywhere that isn't registered, to the letter.
    for redirect in ["https://app.example/callback/", "https://evil.example/"] {
        let url = authorize(&issuer, "machine", &[("redirect_uri", Some(redirect))]);
        assert_eq!(get(&client, &url).await.unwrap().status, 400);
    }
    let url = authorize(&issuer, "machine", &[("login_hint", None), ("prompt", Some("none"))]);
    assert_eq!(outcome(&client, &url, "error").await.unwrap(), "login_required");
    let page = get(&client, &authorize(&issuer, "machine", &[("login_hint", None)])).await.unwrap();
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.contains("合成 花子 &lt;35&gt;") && page.contains("login_hint=hanako") && !page.contains("<35>"));
}

#[tokio::test]
async fn machines_get_tokens_of_their_own() {
    let world = World::new();
    let (issuer, client) = (issuer(&world).await, world.client());
    let url = format!("{}/token", issuer.base_url());
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("scope", "patient/Immunization.rs"),
        ("resource", "https://other.example"),
    ];
    let body = json(&post_form(&client, &url, &form).await);
    let token = body["access_token"].as_str().unwrap();
    let claims = claims(&client, &issuer, token, "https://other.example").await.unwrap();
    assert_eq!(claims["sub"], "machine");
    assert!(claims.get("acr").is_none());
    form[1].1 = "pages";
    assert_eq!(json(&post_form(&client, &url, &form).await)["error"], "unauthorized_client");
}

#[tokio::test]
async fn keys_rotate_and_wrong_tokens_can_be_minted() {
    let world = World::new();
    let (issuer, client) = (issuer(&world).await, world.client());
    let aud = "https://gateway.example";
    let good = MintRequest::new("hanako", "machine", aud);
    let first = issuer.mint(&good).unwrap();
    issuer.rotate_keys().unwrap();
    let second = issuer.mint(&good).unwrap();
    assert!(claims(&client, &issuer, first.secret(), aud).await.is_some());
    assert!(claims(&client, &issuer, second.secret(), aud).await.is_some());
    issuer.retire_old_keys();
    assert!(claims(&client, &issuer, first.secret(), aud).await.is_none());
    assert!(claims(&client, &issuer, second.secret(), aud).await.is_some());

    for wrong in [
        MintRequest { ttl_s: -1, ..good.clone() },
        MintRequest { not_before_s: 60, ..good.clone() },
        MintRequest { aud: "https://other.example".to_owned(), ..good.clone() },
        MintRequest { issuer: Some("https://evil.example".to_owned()), ..good.clone() },
        MintRequest { kid: Some("unknown".to_owned()), ..good.clone() },
    ] {
        let token = issuer.mint(&wrong).unwrap();
        assert!(claims(&client, &issuer, token.secret(), aud).await.is_none(), "{wrong:?}");
    }
    assert_eq!(format!("{first:?}"), "AccessToken(…)");
    assert!(!format!("{:?}", issuer.signing_key().unwrap()).contains("PRIVATE"));
}

#[tokio::test]
async fn the_page_says_what_it_is_in_both_languages_and_has_no_script() {
    let world = World::new();
    let (issuer, client) = (issuer(&world).await, world.client());
    for (url, status) in [
        (authorize(&issuer, "machine", &[("login_hint", None)]), 200),
        (authorize(&issuer, "nobody", &[]), 400),
        (format!("{}/logout", issuer.base_url()), 200),
    ] {
        let response = get(&client, &url).await.unwrap();
        assert_eq!(response.status, status);
        let page = String::from_utf8(response.body.to_vec()).unwrap();
        for part in ["<html lang=\"ja\">", "name=\"viewport\"", "<h1>", "開発用", "Development only"] {
            assert!(page.contains(part), "{part} is missing at {url}");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://evil"), "{url}");
    }
}
