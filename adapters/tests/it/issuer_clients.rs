//! Clients that prove themselves to the development issuer by a signed assertion.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use sekisho_adapters::http::HttpClient;
use sekisho_adapters::identity::stand_in::{ClientAuth, DevIssuer, SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::issuer::{REDIRECT, VERIFIER, authorize, issuer, outcome, registration};
use crate::support::{World, get, json as answer, now_ms, post_form};

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client of the name `web` at a running issuer, and its key.
pub struct Web {
    pub issuer: DevIssuer,
    pub http: HttpClient,
    pub key: SigningKey,
}

impl Web {
    pub async fn open(world: &World) -> Self {
        let (issuer, key) = (issuer(world).await, SigningKey::generate(SigningAlgorithm::Es256).unwrap());
        let auth = ClientAuth::PrivateKeyJwt { public_key_pem: key.public_pem().to_owned() };
        issuer.register(registration("web", auth));
        Self { issuer, http: world.http(None, crate::support::LIMITS), key }
    }

    fn claims(&self, jti: &str) -> Value {
        let now = now_ms() / 1000;
        json!({"iss": "web", "sub": "web", "aud": self.issuer.base_url(), "iat": now, "exp": now + 60, "jti": jti})
    }

    fn signed(&self, claims: &Value) -> String {
        encode(&Header::new(Algorithm::ES256), claims, self.key.encoding_key()).unwrap()
    }

    /// What the token endpoint says to a fresh code and these fields.
    async fn redeem(&self, changed: &[(&str, &str)], fields: &[(&str, &str)]) -> (u16, Value) {
        let changed: Vec<_> = changed.iter().map(|(name, value)| (*name, Some(*value))).collect();
        let code = outcome(&self.http, &authorize(&self.issuer, "web", &changed), "code").await.unwrap();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        form.extend(fields);
        let response = post_form(&self.http, &format!("{}/token", self.issuer.base_url()), &form).await;
        (response.status.as_u16(), answer(&response))
    }

    /// The ID token of somebody who signs in with these parameters changed.
    pub async fn id_token(&self, changed: &[(&str, &str)]) -> String {
        let jti = format!("{:x}", rand::random::<u128>());
        let assertion = self.signed(&self.claims(&jti));
        let fields = [("client_assertion_type", KIND), ("client_assertion", &*assertion)];
        let (status, body) = self.redeem(changed, &fields).await;
        assert_eq!(status, 200, "{body}");
        body["id_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_client_proves_itself_by_a_signed_assertion_that_is_good_once() {
    let world = World::new();
    let web = Web::open(&world).await;
    let document = format!("{}/.well-known/openid-configuration", web.issuer.base_url());
    let document = answer(&get(&web.http, &document).await.unwrap());
    assert!(document["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("private_key_jwt")));
    assert_eq!(document["token_endpoint_auth_signing_alg_values_supported"], json!(["ES256"]));

    let assertion = web.signed(&web.claims("one"));
    let fields = [("client_id", "web"), ("client_assertion_type", KIND), ("client_assertion", &assertion)];
    assert_eq!(web.redeem(&[], &fields).await.0, 200);
    assert_eq!(web.redeem(&[], &fields).await, (401, json!({"error": "invalid_client"})), "used already");
    // The endpoint is an audience too, alone or among others; the client's name may be left to the assertion.
    for aud in [json!(format!("{}/token", web.issuer.base_url())), json!(["https://x.example", web.issuer.base_url()])]
    {
        let mut claims = web.claims(&aud.to_string());
        claims["aud"] = aud;
        let assertion = web.signed(&claims);
        let fields = [("client_assertion_type", KIND), ("client_assertion", &*assertion)];
        assert_eq!(web.redeem(&[], &fields).await.0, 200);
    }
}

#[tokio::test]
async fn an_assertion_that_is_not_sound_proves_nothing() {
    let world = World::new();
    let web = Web::open(&world).await;
    let now = now_ms() / 1000;
    let long = "x".repeat(257);
    let bent = [
        ("iss", json!("machine")),
        ("sub", json!("machine")),
        ("aud", json!("https://another.example")),
        ("aud", json!(["https://another.example"])),
        ("aud", Value::Null),
        ("exp", json!(now - 1)),
        ("exp", json!(now + 3600)),
        ("exp", Value::Null),
        ("iat", json!(now + 120)),
        ("nbf", json!(now + 120)),
        ("jti", json!("")),
        ("jti", json!(long)),
        ("jti", Value::Null),
    ];
    let mut assertions = Vec::new();
    for (n, (name, value)) in bent.iter().enumerate() {
        let mut claims = web.claims(&n.to_string());
        claims[*name] = value.clone();
        assertions.push((format!("{name}: {value}"), web.signed(&claims)));
    }
    let claims = web.claims("signed in another way");
    let another = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    let by_another = encode(&Header::new(Algorithm::ES256), &claims, another.encoding_key()).unwrap();
    let public = EncodingKey::from_secret(web.key.public_pem().as_bytes());
    let by_hmac = encode(&Header::new(Algorithm::HS256), &claims, &public).unwrap();
    let sound = web.signed(&claims);
    let unsigned = format!("{}.", sound.rsplit_once('.').unwrap().0);
    let crossed = format!("{}.{}", unsigned.trim_end_matches('.'), by_another.rsplit_once('.').unwrap().1);
    for (name, assertion) in [
        ("another key", by_another),
        ("HMAC", by_hmac),
        ("unsigned", unsigned),
        ("crossed", crossed),
        ("none", String::new()),
    ] {
        assertions.push((name.to_owned(), assertion));
    }
    for (name, assertion) in &assertions {
        let fields = [("client_id", "web"), ("client_assertion_type", KIND), ("client_assertion", assertion)];
        assert_eq!(web.redeem(&[], &fields).await.0, 401, "{name}");
    }
    // Nor does none at all, one of another kind, or one that speaks of another client.
    assert_eq!(web.redeem(&[], &[("client_id", "web")]).await.0, 401);
    let fields = [("client_id", "web"), ("client_assertion_type", "password"), ("client_assertion", &*sound)];
    assert_eq!(web.redeem(&[], &fields).await.0, 401);
    let fields = [("client_id", "machine"), ("client_assertion_type", KIND), ("client_assertion", &*sound)];
    assert_eq!(web.redeem(&[], &fields).await.0, 401);
    // What was refused was not used up.
    let fields = [("client_id", "web"), ("client_assertion_type", KIND), ("client_assertion", &*sound)];
    assert_eq!(web.redeem(&[], &fields).await.0, 200);
}

#[tokio::test]
async fn id_tokens_are_signed_by_either_algorithm_across_rotation() {
    let world = World::new();
    let web = Web::open(&world).await;
    let mut tokens = vec![(Algorithm::ES256, web.id_token(&[]).await)];
    web.issuer.sign_id_tokens_by(SigningAlgorithm::Rs256).unwrap();
    tokens.push((Algorithm::RS256, web.id_token(&[]).await));
    web.issuer.rotate_keys().unwrap();
    tokens.push((Algorithm::RS256, web.id_token(&[]).await));
    web.issuer.sign_id_tokens_by(SigningAlgorithm::Es256).unwrap();
    tokens.push((Algorithm::ES256, web.id_token(&[]).await));
    for (algorithm, token) in &tokens {
        assert_eq!(jsonwebtoken::decode_header(token).unwrap().alg, *algorithm);
        assert!(crate::issuer::claims(&web.http, &web.issuer, token, "web").await.is_some());
    }
    web.issuer.retire_old_keys();
    let mut good = Vec::new();
    for (_, token) in &tokens {
        good.push(crate::issuer::claims(&web.http, &web.issuer, token, "web").await.is_some());
    }
    assert_eq!(good, [false, false, true, true]);
}
