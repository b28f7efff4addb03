//! How the provider misbehaves when told to, for tests of those who rely on it.

use serde_json::{Map, Value, json};

use super::keys::Signature;
use super::{State, lock};
use crate::stand_in::Faults;

/// How the provider misbehaves. The default is not at all.
#[derive(Debug, Clone, Default)]
pub struct Knobs {
    /// Slowness, hanging, another status, damage to the bytes: of the discovery document.
    pub discovery: Faults,
    /// The same of the keys.
    pub jwks: Faults,
    /// The same of the token endpoint.
    pub token: Faults,
    /// What it says that is not so.
    pub lie: Option<Lie>,
}

/// One thing that the provider says and that is not so. Unless told otherwise it is about ID tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// For another client.
    OtherAudience,
    /// For the client and another one beside it.
    FurtherAudience,
    /// Of another issuer.
    Issuer(String),
    /// With another nonce than the one asked for.
    OtherNonce,
    /// Without a nonce.
    NoNonce,
    /// Expired for so many seconds.
    Expired(i64),
    /// Issued so many seconds from now: a provider whose clock is ahead.
    Ahead(i64),
    /// Signed in another way.
    Signed(Signature),
    /// Of this context class, or without one, whatever was asked for.
    Acr(Option<String>),
    /// About a sign-in so many seconds ago, whatever was asked for.
    SignedInAgo(i64),
    /// About this subject.
    Sub(String),
    /// With this address, as verified.
    Email(String),
    /// For another access token than the one beside it.
    OtherAccessToken,
    /// The discovery document is of this issuer.
    IssuerInDiscovery(String),
    /// The authorization response is of this issuer (RFC 9207).
    IssuerInResponse(String),
}

impl Lie {
    /// Bends an ID token's claims, and says how it is to be signed.
    pub(super) fn bend(&self, now: i64, claims: &mut Map<String, Value>) -> Signature {
        let mut set = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        match self {
            Self::OtherAudience => set("aud", json!("another-client")),
            Self::FurtherAudience => {
                let own = claims.get("aud").cloned().unwrap_or_default();
                claims.insert("aud".to_owned(), json!([own, "another-client"]));
            }
            Self::Issuer(issuer) => set("iss", json!(issuer)),
            Self::OtherNonce => set("nonce", json!("another-nonce")),
            Self::NoNonce => drop(claims.remove("nonce")),
            Self::Expired(ago) => {
                set("iat", json!(now - ago - 60));
                set("exp", json!(now - ago));
            }
            Self::Ahead(seconds) => {
                for name in ["iat", "exp", "auth_time"] {
                    if let Some(at) = claims.get(name).and_then(Value::as_i64) {
                        claims.insert(name.to_owned(), json!(at + seconds));
                    }
                }
            }
            Self::Signed(signature) => return *signature,
            Self::Acr(Some(acr)) => set("acr", json!(acr)),
            Self::Acr(None) => drop(claims.remove("acr")),
            Self::SignedInAgo(seconds) => set("auth_time", json!(now - seconds)),
            Self::Sub(sub) => set("sub", json!(sub)),
            Self::Email(email) => {
                set("email", json!(email));
                set("email_verified", json!(true));
            }
            Self::OtherAccessToken => set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
            Self::IssuerInDiscovery(_) | Self::IssuerInResponse(_) => {}
        }
        Signature::Ours
    }
}

impl State {
    pub(super) fn issuer_in_discovery(&self) -> String {
        match &lock(&self.knobs).lie {
            Some(Lie::IssuerInDiscovery(issuer)) => issuer.clone(),
            _ => self.issuer.clone(),
        }
    }

    pub(super) fn issuer_in_response(&self) -> String {
        match &lock(&self.knobs).lie {
            Some(Lie::IssuerInResponse(issuer)) => issuer.clone(),
            _ => self.issuer.clone(),
        }
    }
}
