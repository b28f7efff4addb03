//! The provider's ES256 keys.

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::IssuerError;

/// A P-256 signing key with its identifier. `Debug` shows the identifier only.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    pem: String,
    encoding: EncodingKey,
    x: String,
    y: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, IssuerError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| IssuerError::Key)?;
        let pem = pair.serialize_pem();
        // Uncompressed point: 0x04, then 32 bytes each of x and y.
        let point = pair.public_key_raw();
        let x = BASE64URL_NOPAD.encode(point.get(1..33).ok_or(IssuerError::Key)?);
        let y = BASE64URL_NOPAD.encode(point.get(33..65).ok_or(IssuerError::Key)?);
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let encoding = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| IssuerError::Key)?;
        Ok(Self { kid, pem, encoding, x, y })
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

    /// The private key for signing.
    #[must_use]
    pub fn encoding_key(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The public key as published.
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "kid": self.kid, "x": self.x, "y": self.y
        })
    }
}
