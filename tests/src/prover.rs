//! A key that a browser app holds, and proofs that it makes (RFC 9449): right ones, and wrong in one way each.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// An app's key.
pub struct Prover {
    key: Key,
    random: SystemRandom,
}

/// A proof before it is signed.
#[derive(Clone)]
pub struct Draft {
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

fn sha256(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

impl Prover {
    /// With a new P-256 key.
    pub fn p256() -> Self {
        let key = Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        Self { key, random: SystemRandom::new() }
    }

    /// With a new Ed25519 key.
    pub fn ed25519() -> Self {
        Self { key: Key::Ed25519(Ed25519KeyPair::generate().unwrap()), random: SystemRandom::new() }
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match &self.key {
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"crv": "P-256", "kty": "EC", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Key::Ed25519(pair) => json!({"crv": "Ed25519", "kty": "OKP", "x": text(pair.public_key().as_ref())}),
        }
    }

    /// Its RFC 7638 thumbprint, which stands in tokens: the members above are in the order that it wants.
    pub fn thumbprint(&self) -> String {
        sha256(self.jwk().to_string().as_bytes())
    }

    /// A right proof for this method, address, token and moment, not yet signed.
    pub fn draft(&self, method: &str, url: &str, token: &str, now_s: i64) -> Draft {
        let algorithm = if matches!(self.key, Key::P256(_)) { "ES256" } else { "EdDSA" };
        let id: [u8; 16] = sekisho::ids::random();
        Draft {
            header: json!({"typ": "dpop+jwt", "alg": algorithm, "jwk": self.jwk()}),
            claims: json!({
                "jti": BASE64URL_NOPAD.encode(&id), "htm": method, "htu": url, "iat": now_s, "ath": sha256(token.as_bytes()),
            }),
        }
    }

    /// Signs it, whatever it says.
    pub fn sign(&self, draft: &Draft) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&draft.header), part(&draft.claims));
        let signature = match &self.key {
            Key::P256(pair) => pair.sign(&self.random, text.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}
