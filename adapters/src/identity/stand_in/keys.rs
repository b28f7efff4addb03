//! The provider's keys, and signing with them, wrongly too if so asked.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::IssuerError;

/// What signs ID tokens and logout tokens. Access tokens are always signed by ES256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256.
    #[default]
    Es256,
    /// RSASSA-PKCS1-v1_5 with 2,048 bits.
    Rs256,
}

/// A signing key with its identifier. `Debug` shows the identifier only.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    pem: String,
    public_pem: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwk: Value,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key: the provider's own, or a client's for its assertions.
    ///
    /// # Errors
    ///
    /// When none can be made.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, IssuerError> {
        let made = match algorithm {
            SigningAlgorithm::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            SigningAlgorithm::Rs256 => KeyPair::generate_for(&PKCS_RSA_SHA256),
        };
        let pair = made.map_err(|_| IssuerError::Key)?;
        let pem = pair.serialize_pem();
        let (algorithm, named, encoding) = match algorithm {
            SigningAlgorithm::Es256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes()))
            }
            SigningAlgorithm::Rs256 => {
                (Algorithm::RS256, KeyAlgorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()))
            }
        };
        let encoding = encoding.map_err(|_| IssuerError::Key)?;
        let mut jwk = Jwk::from_encoding_key(&encoding, algorithm).map_err(|_| IssuerError::Key)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| IssuerError::Key)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.key_algorithm = Some(named);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| IssuerError::Key)?;
        let jwk = serde_json::to_value(&jwk).map_err(|_| IssuerError::Key)?;
        Ok(Self { algorithm, kid, public_pem: pair.public_key_pem(), pem, encoding, decoding, jwk })
    }

    /// Its identifier: the RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The private key as PKCS#8 PEM: a secret.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The public key as PEM, as a client registers it.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The private key for signing.
    #[must_use]
    pub fn encoding_key(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The public key as published.
    #[must_use]
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The public key for checking, and the algorithm that it is for.
    pub(super) fn checking(&self) -> (DecodingKey, Algorithm) {
        (self.decoding.clone(), self.algorithm)
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signature {
    /// By the current key.
    #[default]
    Ours,
    /// By a key that nobody published, under its own identifier.
    Unpublished,
    /// By a key that nobody published, under the identifier of the current one.
    Forged,
    /// By HMAC, with the published key's PEM as if it were a shared secret.
    PublicKeyAsSecret,
    /// Not at all: `alg` is `none`.
    Absent,
}

/// The keys that are published, oldest first, and which kind signs ID tokens.
#[derive(Debug)]
pub(super) struct Keys {
    es256: Vec<SigningKey>,
    rs256: Vec<SigningKey>,
    id_tokens: SigningAlgorithm,
}

impl Keys {
    pub fn generate() -> Result<Self, IssuerError> {
        let es256 = vec![SigningKey::generate(SigningAlgorithm::Es256)?];
        Ok(Self { es256, rs256: Vec::new(), id_tokens: SigningAlgorithm::Es256 })
    }

    pub fn rotate(&mut self) -> Result<(), IssuerError> {
        self.es256.push(SigningKey::generate(SigningAlgorithm::Es256)?);
        if !self.rs256.is_empty() {
            self.rs256.push(SigningKey::generate(SigningAlgorithm::Rs256)?);
        }
        Ok(())
    }

    pub fn retire_old(&mut self) {
        for keys in [&mut self.es256, &mut self.rs256] {
            keys.drain(..keys.len().saturating_sub(1));
        }
    }

    pub fn sign_id_tokens_by(&mut self, algorithm: SigningAlgorithm) -> Result<(), IssuerError> {
        if algorithm == SigningAlgorithm::Rs256 && self.rs256.is_empty() {
            self.rs256.push(SigningKey::generate(algorithm)?);
        }
        self.id_tokens = algorithm;
        Ok(())
    }

    pub fn for_access_tokens(&self) -> Option<&SigningKey> {
        self.es256.last()
    }

    pub fn for_id_tokens(&self) -> Option<&SigningKey> {
        match self.id_tokens {
            SigningAlgorithm::Es256 => self.es256.last(),
            SigningAlgorithm::Rs256 => self.rs256.last(),
        }
    }

    pub fn published(&self) -> impl Iterator<Item = &SigningKey> {
        self.es256.iter().chain(&self.rs256)
    }
}

/// A signed token of this type and identifier of the key.
pub(super) fn sign(key: &SigningKey, typ: &str, kid: Option<&str>, claims: &Value) -> Result<String, IssuerError> {
    let mut header = Header::new(key.algorithm);
    header.typ = Some(typ.to_owned());
    header.kid = Some(kid.unwrap_or(&key.kid).to_owned());
    jsonwebtoken::encode(&header, claims, &key.encoding).map_err(|_| IssuerError::Sign)
}

/// A token signed rightly or wrongly.
pub(super) fn sign_as(how: Signature, key: &SigningKey, typ: &str, claims: &Value) -> Result<String, IssuerError> {
    let another = || {
        SigningKey::generate(match key.algorithm {
            Algorithm::RS256 => SigningAlgorithm::Rs256,
            _ => SigningAlgorithm::Es256,
        })
    };
    match how {
        Signature::Ours => sign(key, typ, None, claims),
        Signature::Unpublished => sign(&another()?, typ, None, claims),
        Signature::Forged => sign(&another()?, typ, Some(&key.kid), claims),
        Signature::PublicKeyAsSecret => {
            let mut header = Header::new(Algorithm::HS256);
            header.typ = Some(typ.to_owned());
            header.kid = Some(key.kid.clone());
            let secret = EncodingKey::from_secret(key.public_pem.as_bytes());
            jsonwebtoken::encode(&header, claims, &secret).map_err(|_| IssuerError::Sign)
        }
        Signature::Absent => {
            let header = json!({"alg": "none", "typ": typ}).to_string();
            let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
            Ok(format!("{}.{}.", part(&header), part(&claims.to_string())))
        }
    }
}
