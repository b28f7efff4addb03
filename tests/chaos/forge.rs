//! A forger's workshop: the issuer's key (for tokens that are signed well and wrong in another way), keys of the forger's
//! own, and good tokens to bend.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64, BASE64_MIME, BASE64URL_NOPAD};
use sekisho_tests::town::Town;
use serde_json::{Value, json};

use crate::dice::Dice;

/// Before the point in a P-256 public key as DER (RFC 5480 SubjectPublicKeyInfo).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The order of P-256.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Members of a JSON object, in order and as often as they stand; values are JSON text.
pub type Members = Vec<(String, String)>;

/// A good token in its parts.
#[derive(Clone)]
pub struct Good {
    pub token: String,
    pub parts: [String; 3],
    pub signature: Vec<u8>,
}

pub struct Forge {
    pub kid: String,
    pub jwk: Value,
    pub point: Vec<u8>,
    signer: EcdsaKeyPair,
    der_signer: EcdsaKeyPair,
    own: EcdsaKeyPair,
    own_ed: Ed25519KeyPair,
    own_rsa: RsaKeyPair,
    random: SystemRandom,
    issuer: String,
    pub audience: String,
    login: String,
    pub thumbprint: String,
    pub other_thumbprint: String,
    pub now_s: i64,
    pub goods: Vec<Good>,
}

pub fn segment(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub fn object(members: &Members) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// Puts a value in the place of another, or at the end.
pub fn set(members: &mut Members, name: &str, value: impl Into<String>) {
    let value = value.into();
    match members.iter_mut().find(|(n, _)| n == name) {
        Some(member) => member.1 = value,
        None => members.push((name.to_owned(), value)),
    }
}

impl Forge {
    /// What is good is good for an hour from the town's present.
    pub fn open(town: &Town) -> Self {
        let issuer_key = town.world.issuer.signing_key().unwrap();
        let pem = issuer_key.pem().lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let pkcs8 = BASE64.decode(pem.as_bytes()).unwrap();
        let pair = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap();
        let signer = pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let mut forge = Self {
            kid: issuer_key.kid().to_owned(),
            jwk: issuer_key.jwk(),
            point: signer.public_key().as_ref().to_vec(),
            signer,
            der_signer: pair(&ECDSA_P256_SHA256_ASN1_SIGNING),
            own: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            own_ed: Ed25519KeyPair::generate().unwrap(),
            own_rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            random: SystemRandom::new(),
            issuer: town.world.issuer.base_url().to_owned(),
            audience: town.world.url.clone(),
            login: town.mother().to_owned(),
            thumbprint: town.world.app.thumbprint(),
            other_thumbprint: town.world.clinic.thumbprint(),
            now_s: town.clock.now().unwrap().millis() / 1_000,
            goods: Vec::new(),
        };
        forge.goods = vec![
            good(&town.world.app_token(town.mother()).unwrap()),
            good(&town.world.app_token(town.father()).unwrap()),
        ];
        let mut dice = Dice::new(1);
        for _ in 0..6 {
            let token = forge.signed(&forge.header(), &forge.claims(&mut dice));
            forge.goods.push(good(&token));
        }
        forge
    }

    /// The header of a good token.
    pub fn header(&self) -> Members {
        members([("typ", quoted("at+jwt")), ("alg", quoted("ES256")), ("kid", quoted(&self.kid))])
    }

    /// The claims of a good token, fresh.
    pub fn claims(&self, dice: &mut Dice) -> Members {
        members([
            ("iss", quoted(&self.issuer)),
            ("aud", quoted(&self.audience)),
            ("sub", quoted(&self.login)),
            ("client_id", quoted(sekisho::demo::world::APP_CLIENT)),
            ("iat", self.now_s.to_string()),
            ("nbf", self.now_s.to_string()),
            ("exp", (self.now_s + 3_600).to_string()),
            ("jti", quoted(&dice.word(12))),
            ("scope", quoted(sekisho::demo::world::APP_SCOPE)),
            ("cnf", json!({"x5t#S256": self.thumbprint}).to_string()),
        ])
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signed by the issuer.
    pub fn signed(&self, header: &Members, claims: &Members) -> String {
        self.signed_text(object(header), object(claims))
    }

    /// Signed by the issuer, whatever it is.
    pub fn signed_text(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let message = message(header, payload);
        let signature = self.signer.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", segment(signature))
    }

    /// The issuer's signature as DER, as X.509 has it and JWS does not.
    pub fn der_signature(&self, message: &str) -> Vec<u8> {
        self.der_signer.sign(&self.random, message.as_bytes()).unwrap().as_ref().to_vec()
    }

    /// Signed by the forger, with an algorithm and a key that are real.
    pub fn own(&self, algorithm: &str, header: &Members, claims: &Members) -> String {
        let message = message(object(header), object(claims));
        let signature = match algorithm {
            "EdDSA" => self.own_ed.sign(message.as_bytes()).as_ref().to_vec(),
            "RS256" => {
                let mut signature = vec![0; self.own_rsa.public_modulus_len()];
                self.own_rsa.sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            _ => self.own.sign(&self.random, message.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", segment(signature))
    }

    /// The forger's public key as JWK, under the issuer's key id.
    pub fn own_jwk(&self) -> Value {
        let point = self.own.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": segment(&point[1..33]), "y": segment(&point[33..65]),
        })
    }

    /// The issuer's public key in every form that somebody might use as an HMAC secret.
    pub fn public_forms(&self) -> Vec<Vec<u8>> {
        let der: Vec<u8> = SPKI.iter().chain(&self.point).copied().collect();
        let lines = BASE64_MIME.encode(&der).replace("\r\n", "\n");
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.trim_end());
        let (x, y) = (segment(&self.point[1..33]), segment(&self.point[33..65]));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let pretty = serde_json::to_string_pretty(&self.jwk).unwrap();
        let set = json!({"keys": [self.jwk]}).to_string();
        let mut forms = vec![format!("{pem}\n"), pem.replace('\n', "\r\n"), pem, canonical, pretty, set];
        forms.extend([self.jwk.to_string(), self.kid.clone(), x, y, BASE64.encode(&der), segment(&der)]);
        let mut forms: Vec<Vec<u8>> = forms.into_iter().map(String::into_bytes).collect();
        forms.extend([der, self.point.clone(), self.point[1..].to_vec(), self.point[1..33].to_vec(), Vec::new()]);
        forms
    }
}

/// An HMAC over a token's text.
pub fn hmac(algorithm: &str, secret: &[u8], message: &str) -> Vec<u8> {
    let algorithm = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes()).as_ref().to_vec()
}

pub fn message(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    format!("{}.{}", segment(header), segment(payload))
}

fn members<const K: usize>(all: [(&str, String); K]) -> Members {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn good(token: &str) -> Good {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let signature = BASE64URL_NOPAD.decode(parts[2].as_bytes()).unwrap();
    Good { token: token.to_owned(), parts: parts.try_into().unwrap(), signature }
}

/// `n - value`, for a value of 32 bytes below the order of P-256.
pub fn negated(value: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 32];
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let digit = i16::from(N[at]) - i16::from(value[at]) - borrow;
        borrow = i16::from(digit < 0);
        out[at] = digit.rem_euclid(256) as u8;
    }
    out
}

/// The order of P-256, which is no valid half of a signature.
pub fn order() -> Vec<u8> {
    N.to_vec()
}
