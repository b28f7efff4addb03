//! The token parser: all that is read of a token's text. Input: a token; or header and payload, a newline between, to be
//! signed here with the issuer's key, so that what stands behind the signature is reached.
//!
//! What is accepted must say, to a reader of its own, just what the claims say; a text that was not signed never is.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use sekisho::request::token::{Claims, signed_claims, unverified};
use serde_json::Value;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://gate.example";
const HEADER: &str = r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k"}"#;
const PAYLOAD: &str = r#"{"iss":"https://issuer.example","aud":"https://gate.example","sub":"s","client_id":"c","exp":1,"scope":"fhir/read","cnf":{"x5t#S256":"dA"}}"#;
/// Members of a header that name a key, a place to fetch one, or ask for something that isn't done here.
const NEVER: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "crit", "zip"];

struct Issuer {
    pair: Ed25519KeyPair,
    key: (Algorithm, DecodingKey),
}

/// A key for this purpose: everybody knows it.
static SIGNER: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes");
    let public = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let key = DecodingKey::from_ed_components(&public).expect("a public key");
    Issuer { pair, key: (Algorithm::EdDSA, key) }
});

static GOOD: LazyLock<String> = LazyLock::new(|| signed(HEADER.as_bytes(), PAYLOAD.as_bytes()));

fn signed(header: &[u8], payload: &[u8]) -> String {
    let text = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    let signature = BASE64URL_NOPAD.encode(SIGNER.pair.sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

/// Panics on a finding.
pub fn check(data: &[u8]) {
    if let Some(at) = data.iter().position(|byte| *byte == b'\n') {
        let (header, payload) = data.split_at(at);
        well_signed(header, payload.get(1..).unwrap_or_default());
    } else if let Ok(token) = std::str::from_utf8(data) {
        let accepted = unverified(token).is_ok() && accepted(token).is_some();
        assert!(!accepted || token == *GOOD, "accepted, though nobody signed it");
    }
}

fn accepted(token: &str) -> Option<Claims> {
    signed_claims(token, &SIGNER.key, ISSUER, AUDIENCE).ok()
}

/// As `Tokens::verify` has it: first what is not believed, and only then the signature.
fn well_signed(header: &[u8], payload: &[u8]) {
    let token = format!("{}.{}.", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(payload));
    // The signature costs most, and nothing that fails here gets as far.
    let Ok(read) = unverified(&token) else { return };
    if read.issuer != ISSUER || read.alg != Algorithm::EdDSA {
        return;
    }
    let Some(claims) = accepted(&signed(header, payload)) else { return };
    let header: Value = serde_json::from_slice(header).expect("JSON");
    for (member, expected) in [("alg", "EdDSA"), ("kid", read.kid.as_str())] {
        assert_eq!(header.get(member).and_then(Value::as_str), Some(expected), "{member}");
    }
    let kind = header.get("typ").and_then(Value::as_str);
    assert!(matches!(kind, Some("at+jwt" | "application/at+jwt")), "an access token");
    assert!(NEVER.iter().all(|member| header.get(member).is_none()), "nothing in a header is followed");
    says_the_same(&claims, &serde_json::from_slice(payload).expect("JSON"));
}

fn says_the_same(claims: &Claims, payload: &Value) {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    assert_eq!((text("iss"), claims.iss.as_str()), (Some(ISSUER), ISSUER));
    let to_us = match payload.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|one| one == AUDIENCE),
        Some(one) => one == AUDIENCE,
        None => false,
    };
    assert!(to_us, "for this audience");
    assert_eq!(text("sub"), Some(claims.sub.as_str()));
    assert_eq!(text("client_id"), Some(claims.client_id.as_str()));
    assert_eq!(text("scope").unwrap_or_default(), claims.scope);
    assert_eq!(text("acr"), claims.acr.as_deref());
    assert_eq!(text("purpose"), claims.purpose.as_deref());
    let number = |name: &str| payload.get(name).and_then(Value::as_i64);
    assert_eq!(number("exp"), Some(claims.exp));
    assert_eq!((number("nbf"), number("auth_time")), (claims.nbf, claims.auth_time));
    let bound = payload.get("cnf").filter(|cnf| !cnf.is_null());
    assert_eq!(bound.is_some(), claims.cnf.is_some(), "a binding that is asked for is seen");
    let thumbprint = bound.and_then(|cnf| cnf.get("x5t#S256")).and_then(Value::as_str);
    assert_eq!(thumbprint, claims.cnf.as_ref().and_then(|cnf| cnf.x5t_s256.as_deref()));
}
