//! Browser apps, which can't hold a certificate: a token bound to a key, and a proof with each request (RFC 9449). Nothing but
//! the very proof that it asks for opens anything, and it opens it once.

use bytes::Bytes;
use http::{Method, Request};
use sekisho::clock::Clock;
use sekisho::request::dpop::{About, ProofError, check};
use sekisho_adapters::http::{HttpClient, Response};
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_policy::Timestamp;
use sekisho_tests::prover::{Draft, Prover};
use sekisho_tests::town::{Town, body, history, standing_clock};
use serde_json::{Value, json};

/// The app's client that runs in a browser.
const WEB: &str = "yotsuba-web";

/// The configuration in which it may come with a key.
pub fn with_web(text: String) -> String {
    let origins = format!("dpop_clients = [\"{WEB}\"]\norigins = [\"https://yotsuba.example\"]\n");
    text.replacen("clients = [\"yotsuba-app\"]\n", &format!("clients = [\"yotsuba-app\"]\n{origins}"), 1)
}

struct Web {
    town: Town,
    key: Prover,
    patient: String,
}

impl Web {
    async fn open(key: Prover) -> Self {
        let town = Town::open_with(standing_clock(), with_web).await;
        let (_, patient) = town.consent().await;
        // Of the second in which it began the gateway can't tell what was used.
        town.pass_seconds(2);
        Self { town, key, patient }
    }

    /// A token of the browser app's, bent.
    fn token(&self, bend: impl FnOnce(&mut MintRequest)) -> String {
        let mut request = self.town.world.app_request(self.town.mother());
        request.client_id = WEB.to_owned();
        request.cert_thumbprint = None;
        request.claims = object(json!({"cnf": {"jkt": self.key.thumbprint()}}));
        bend(&mut request);
        self.town.world.token(request).unwrap()
    }

    fn now_s(&self) -> i64 {
        self.town.clock.now().unwrap().millis() / 1_000
    }

    fn url(&self) -> String {
        format!("{}/fhir/Immunization", self.town.world.url)
    }

    fn draft(&self, token: &str) -> Draft {
        self.key.draft("GET", &self.url(), token, self.now_s())
    }

    fn proof(&self, token: &str) -> String {
        self.key.sign(&self.draft(token))
    }

    /// Asks for the child's history with these header fields.
    async fn ask(&self, http: &HttpClient, authorization: &str, proofs: &[&str]) -> Response {
        let mut request = Request::get(format!("{}{}", self.town.world.url, history(&self.patient)));
        request = request.header("authorization", authorization);
        for proof in proofs {
            request = request.header("dpop", *proof);
        }
        http.send(request.body(Bytes::new()).unwrap()).await.unwrap()
    }

    async fn status(&self, authorization: &str, proofs: &[&str]) -> u16 {
        self.ask(&self.town.world.browser, authorization, proofs).await.status.as_u16()
    }

    async fn close(self) {
        self.town.gateway.stop().await;
    }
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_app_reads_with_a_key_instead_of_a_certificate() {
    for key in [Prover::p256(), Prover::ed25519()] {
        let web = Web::open(key).await;
        let token = web.token(|_| {});
        let browser = &web.town.world.browser;
        let answer = web.ask(browser, &format!("DPoP {token}"), &[&web.proof(&token)]).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(body(&answer)["total"].as_u64().unwrap() > 0);
        // The API takes it as well: the same party, by another way.
        let url = format!("{}/v1/texts/phr-view", web.town.world.url);
        let proof = web.key.sign(&web.key.draft("GET", &url, &token, web.now_s()));
        let request = Request::get(url).header("authorization", format!("dpop {token}")).header("dpop", proof);
        assert_eq!(web.town.send(browser, request, "").await.status.as_u16(), 200);
        web.close().await;
    }
}

/// A proof that is wrong in one way, and why it is refused.
type Wrong = (&'static str, fn(&Web, &mut Draft), ProofError);

fn set(value: &mut Value, name: &str, to: Value) {
    value[name] = to;
}

fn without(value: &mut Value, name: &str) {
    value.as_object_mut().unwrap().remove(name);
}

const WRONG: [Wrong; 25] = [
    (
        "another path",
        |w, d| set(&mut d.claims, "htu", json!(w.url().replace("Immunization", "Patient"))),
        ProofError::Target,
    ),
    (
        "with its query",
        |w, d| set(&mut d.claims, "htu", json!(format!("{}?patient={}", w.url(), w.patient))),
        ProofError::Target,
    ),
    (
        "another host",
        |_, d| set(&mut d.claims, "htu", json!("https://elsewhere.example/fhir/Immunization")),
        ProofError::Target,
    ),
    ("in clear", |w, d| set(&mut d.claims, "htu", json!(w.url().replace("https", "http"))), ProofError::Target),
    ("another method", |_, d| set(&mut d.claims, "htm", json!("POST")), ProofError::Target),
    ("the method in small letters", |_, d| set(&mut d.claims, "htm", json!("get")), ProofError::Target),
    ("another token", |w, d| d.claims["ath"] = w.draft("another").claims["ath"].clone(), ProofError::Token),
    ("no token", |_, d| without(&mut d.claims, "ath"), ProofError::Malformed),
    ("no id", |_, d| without(&mut d.claims, "jti"), ProofError::Malformed),
    ("an empty id", |_, d| set(&mut d.claims, "jti", json!("")), ProofError::Malformed),
    ("an endless id", |_, d| set(&mut d.claims, "jti", json!("x".repeat(257))), ProofError::Malformed),
    ("no time", |_, d| without(&mut d.claims, "iat"), ProofError::Malformed),
    ("too old", |w, d| set(&mut d.claims, "iat", json!(w.now_s() - 61)), ProofError::Time),
    ("of the future", |w, d| set(&mut d.claims, "iat", json!(w.now_s() + 6)), ProofError::Time),
    ("beyond all time", |_, d| set(&mut d.claims, "iat", json!(i64::MIN)), ProofError::Time),
    ("the key of somebody else", |_, d| set(&mut d.header, "jwk", Prover::p256().jwk()), ProofError::Signature),
    ("a private key", |_, d| d.header["jwk"]["d"] = json!("AA"), ProofError::Key),
    ("a shared secret", |_, d| set(&mut d.header, "jwk", json!({"kty": "oct", "k": "AA"})), ProofError::Key),
    ("no key", |_, d| without(&mut d.header, "jwk"), ProofError::Key),
    ("a key elsewhere", |_, d| set(&mut d.header, "jku", json!("https://elsewhere.example/jwks")), ProofError::Header),
    ("what must be understood", |_, d| set(&mut d.header, "crit", json!(["b64"])), ProofError::Header),
    ("no algorithm", |_, d| set(&mut d.header, "alg", json!("none")), ProofError::Algorithm),
    ("a secret's algorithm", |_, d| set(&mut d.header, "alg", json!("HS256")), ProofError::Algorithm),
    ("another key's algorithm", |_, d| set(&mut d.header, "alg", json!("EdDSA")), ProofError::Algorithm),
    ("another type", |_, d| set(&mut d.header, "typ", json!("JWT")), ProofError::Malformed),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_wrong_in_any_way_opens_nothing() {
    let web = Web::open(Prover::p256()).await;
    let token = web.token(|_| {});
    let before = web.town.world.city.requests();
    for (what, bend, why) in WRONG {
        let mut draft = web.draft(&token);
        bend(&web, &mut draft);
        let proof = web.key.sign(&draft);
        let url = web.url();
        let about = About { method: "GET", url: &url, token: &token, now: web.town.clock.now().unwrap() };
        assert_eq!(check(&proof, &about), Err(why), "{what}");
        let answer = web.ask(&web.town.world.browser, &format!("DPoP {token}"), &[&proof]).await;
        assert_eq!(answer.status.as_u16(), 401, "{what}");
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge, "DPoP error=\"invalid_token\", algs=\"ES256 EdDSA\"", "{what}");
    }
    let good = web.proof(&token);
    let [head, claims, _] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    for (what, proof) in [
        ("unsigned", format!("{head}.{claims}.")),
        ("no proof at all", "x".to_owned()),
        ("one without end", format!("{good}{}", "A".repeat(4_096))),
        ("of another key", {
            let other = Prover::p256();
            other.sign(&other.draft("GET", &web.url(), &token, web.now_s()))
        }),
    ] {
        assert_eq!(web.status(&format!("DPoP {token}"), &[&proof]).await, 401, "{what}");
    }
    assert_eq!(web.status(&format!("DPoP {token}"), &[]).await, 401, "none");
    assert_eq!(web.status(&format!("DPoP {token}"), &[&good, &web.proof(&token)]).await, 401, "two");
    assert_eq!(web.town.world.city.requests(), before, "no source is asked");
    assert_eq!(web.status(&format!("DPoP {token}"), &[&good]).await, 200, "and that one is good still");
    web.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once() {
    let web = Web::open(Prover::p256()).await;
    let token = web.token(|_| {});
    let authorization = format!("DPoP {token}");
    let (used, kept) = (web.proof(&token), web.proof(&token));
    assert_eq!(web.status(&authorization, &[&used]).await, 200);
    for later_s in [0, 30, 29, 1] {
        web.town.pass_seconds(later_s);
        assert_eq!(web.status(&authorization, &[&used]).await, 401, "{later_s} s later");
    }
    // The same id under another moment is the same id.
    let mut again = web.draft(&token);
    let first = again.claims["jti"].clone();
    assert_eq!(web.status(&authorization, &[&web.key.sign(&again)]).await, 200);
    again = web.draft(&token);
    again.claims["jti"] = first;
    again.claims["iat"] = json!(web.now_s() - 20);
    assert_eq!(web.status(&authorization, &[&web.key.sign(&again)]).await, 401);
    // A reload forgets nothing.
    let fresh = web.proof(&token);
    assert_eq!(web.status(&authorization, &[&fresh]).await, 200);
    web.town.reload_with(|text| text).await.unwrap();
    assert_eq!(web.status(&authorization, &[&fresh]).await, 401);
    // A restart forgets all: so what was made before counts for nothing, used or not.
    let unused = web.proof(&token);
    let Web { town, key, patient } = web;
    let web = Web { town: town.restart().await, key, patient };
    for proof in [&unused, &fresh, &kept] {
        assert_eq!(web.status(&authorization, &[proof]).await, 401);
    }
    web.town.pass_seconds(1);
    assert_eq!(web.status(&authorization, &[&web.proof(&token)]).await, 200);
    web.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_to_come_do_not_mix() {
    let web = Web::open(Prover::p256()).await;
    let world = &web.town.world;
    let (jkt, certificate) = (web.key.thumbprint(), world.app.thumbprint());
    let to_key = web.token(|_| {});
    let to_both = |client: &str| {
        let cnf = object(json!({"cnf": {"jkt": jkt, "x5t#S256": certificate}}));
        let client = client.to_owned();
        web.token(move |request| {
            request.claims = cnf;
            request.client_id = client;
        })
    };
    let by_certificate = world.app_token(web.town.mother()).unwrap();
    let of_certificates_client = web.token(|request| request.client_id = "yotsuba-app".to_owned());
    let to_certificate = web.token(|request| request.claims = object(json!({"cnf": {"x5t#S256": certificate}})));
    let of_pages = web.token(|request| request.client_id = "sekisho-pages".to_owned());
    let of_nobody = web.token(|request| request.client_id = "somebody".to_owned());
    let before = world.city.requests();
    for (what, token) in [
        ("bound to a key, as a bearer token", &to_key),
        ("bound to both", &to_both(WEB)),
        ("bound to both, for the other client", &to_both("yotsuba-app")),
        ("a certificate's, of the client that comes with a key", &to_certificate),
    ] {
        assert_eq!(web.ask(&world.app_http, &format!("Bearer {token}"), &[]).await.status.as_u16(), 401, "{what}");
    }
    for (what, token) in [
        ("bound to a certificate", &by_certificate),
        ("bound to both", &to_both(WEB)),
        ("of the client that comes with a certificate", &of_certificates_client),
        ("of our own client", &of_pages),
        ("of nobody's client", &of_nobody),
        ("bound to a certificate, of the right client", &to_certificate),
    ] {
        let answer = web.ask(&world.app_http, &format!("DPoP {token}"), &[&web.proof(token)]).await;
        assert_eq!(answer.status.as_u16(), 401, "{what}");
    }
    let with_proof =
        web.ask(&world.app_http, &format!("Bearer {by_certificate}"), &[&web.proof(&by_certificate)]).await;
    assert_eq!(with_proof.status.as_u16(), 401, "a bearer token beside a proof");
    assert_eq!(world.city.requests(), before, "no source is asked");
    let good = web.ask(&world.app_http, &format!("Bearer {by_certificate}"), &[]).await;
    assert_eq!(good.status.as_u16(), 200);
    web.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_key_clients_way_away() {
    let web = Web::open(Prover::p256()).await;
    let token = web.token(|_| {});
    assert_eq!(web.status(&format!("DPoP {token}"), &[&web.proof(&token)]).await, 200);
    let said = |what: &Value| what["dpop_signing_alg_values_supported"].clone();
    let metadata = format!("{}/.well-known/oauth-protected-resource", web.town.world.url);
    let read = || web.town.send(&web.town.world.browser, Request::get(&metadata), "");
    assert_eq!(said(&body(&read().await)), json!(["ES256", "EdDSA"]));
    web.town.reload_with(|text| text.replace(&format!("dpop_clients = [\"{WEB}\"]\n"), "")).await.unwrap();
    assert_eq!(web.status(&format!("DPoP {token}"), &[&web.proof(&token)]).await, 401);
    assert_eq!(said(&body(&read().await)), Value::Null);
    web.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_by_one_way_and_an_origin_is_one() {
    let town = Town::open_with(Clock::system(), with_web).await;
    for (from, to, said) in [
        (WEB, "yotsuba-app", "belongs to `yotsuba-phr` and to `yotsuba-phr`"),
        (WEB, "midori-emr", "it must be one party's"),
        ("https://yotsuba.example", "https://yotsuba.example/", "is not an origin"),
        ("https://yotsuba.example", "http://yotsuba.example", "is not an origin"),
        ("https://yotsuba.example", "*", "is not an origin"),
        ("https://yotsuba.example", "null", "is not an origin"),
    ] {
        let quoted = |text: &str| format!("[\"{text}\"]");
        let before = std::fs::read_to_string(&town.world.config).unwrap();
        let refused = town.reload_with(|text| text.replacen(&quoted(from), &quoted(to), 1)).await;
        assert!(refused.unwrap_err().to_string().contains(said), "{to}");
        std::fs::write(&town.world.config, before).unwrap();
    }
    town.gateway.stop().await;
}

/// What an app was launched for narrows its token to that patient, and nothing widens it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_launched_for_one_patient_is_about_nobody_else() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let launched = |patient: Value| {
        let mut request = town.world.app_request(town.mother());
        request.scope = "launch/patient openid patient/*.rs".to_owned();
        request.claims = object(json!({"patient": patient}));
        town.world.token(request).unwrap()
    };
    for named in [patient.clone(), format!("Patient/{patient}")] {
        assert!(body(&town.get(&history(&patient), &launched(json!(named))).await)["total"].as_u64().unwrap() > 0);
    }
    let before = town.world.city.requests();
    let unknown = "a".repeat(26);
    let other = town.get(&history(&patient), &launched(json!(unknown))).await;
    let nobody = town.get(&history(&unknown), &launched(json!(unknown))).await;
    let seen = |answer: &Response, named: &str| {
        (answer.status, answer.headers.len(), String::from_utf8_lossy(&answer.body).replace(named, "ID"))
    };
    assert_eq!(seen(&other, &patient), seen(&nobody, &unknown));
    assert_eq!(body(&other)["total"], 0);
    assert_eq!(town.get(&history(&patient), &launched(json!(["x"]))).await.status.as_u16(), 401, "not a claim");
    assert_eq!(town.world.city.requests(), before, "no source is asked");
    town.gateway.stop().await;
}

/// Proofs of one party can't fill the memory.
#[test]
fn so_many_proofs_are_remembered_and_no_more() {
    use sekisho::request::dpop::{NotTaken, Proofs, REMEMBERED_MAX};
    let key = Prover::ed25519();
    let start = Timestamp::from_millis(1_800_000_000_000);
    let (party, other) = (sekisho::ids::party_id("one"), sekisho::ids::party_id("other"));
    let proofs = Proofs::since(start.plus_millis(-5_000));
    let made = |now: Timestamp| {
        let proof = key.sign(&key.draft("GET", "https://x/y", "t", now.millis() / 1_000));
        check(&proof, &About { method: "GET", url: "https://x/y", token: "t", now }).unwrap()
    };
    for _ in 0..REMEMBERED_MAX {
        assert_eq!(proofs.take(party, &made(start), start), Ok(()));
    }
    assert_eq!(proofs.take(party, &made(start), start), Err(NotTaken::Full), "nobody can tell any more");
    assert_eq!(proofs.take(other, &made(start), start), Ok(()), "another's are its own");
    let later = start.plus_millis(121_000);
    assert_eq!(proofs.take(party, &made(later), later), Ok(()), "and it passes");
}

/// Whoever is refused for a wrong method gets no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_for_reading_writes_nothing() {
    let web = Web::open(Prover::p256()).await;
    let token = web.token(|_| {});
    let url = format!("{}/v1/consents", web.town.world.url);
    for (method, wanted) in [("GET", 401), ("POST", 400)] {
        let proof = web.key.sign(&web.key.draft(method, &url, &token, web.now_s()));
        let request = Request::builder().method(Method::POST).uri(&url).header("dpop", proof);
        let answer =
            web.town.send(&web.town.world.browser, request.header("authorization", format!("DPoP {token}")), "x");
        assert_eq!(answer.await.status.as_u16(), wanted, "{method}");
    }
    web.close().await;
}
