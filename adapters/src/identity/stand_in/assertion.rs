//! Clients that prove themselves by a signed assertion: `private_key_jwt` (RFC 7521, RFC 7523, OpenID Connect Core §9).
//!
//! What it does: checks signature (ES256 only), issuer and subject, audience, times, and that no assertion is used twice.
//! What it never does: take an assertion that lives for longer than it remembers having seen it.

use std::collections::HashMap;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::{State, lock};
use crate::stand_in::Asked;

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const LIFETIME_S_MAX: i64 = 300;
const AHEAD_S_MAX: i64 = 60;
const JTI_MAX: usize = 256;
const SEEN_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    jti: String,
    iat: Option<i64>,
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, wanted: &[&str]) -> bool {
        match self {
            Self::One(one) => wanted.contains(&one.as_str()),
            Self::Many(many) => many.iter().any(|one| wanted.contains(&one.as_str())),
        }
    }
}

/// Assertions that were used, by client and `jti`, until they are over.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<(String, String), i64>);

impl Seen {
    /// Whether this is the first time. When there is no more room, nothing is: better to refuse than to forget.
    fn first(&mut self, client: &str, jti: String, exp: i64, now: i64) -> bool {
        if self.0.len() >= SEEN_MAX {
            self.0.retain(|_, exp| *exp > now);
        }
        let key = (client.to_owned(), jti);
        if self.0.len() >= SEEN_MAX || self.0.contains_key(&key) {
            return false;
        }
        self.0.insert(key, exp);
        true
    }
}

/// Who the assertion says it is, before anything is checked. `client_id` may be left out beside an assertion.
pub(super) fn claimed(asked: &Asked) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        sub: String,
    }
    insecure_decode_claims::<Named>(asked.form("client_assertion")?).ok().map(|claims| claims.sub)
}

/// Whether the request proves that it comes from this client, whose public key this is.
pub(super) fn proves(state: &State, asked: &Asked, client: &str, public_key_pem: &str) -> bool {
    let (Some(KIND), Some(assertion)) =
        (asked.form("client_assertion_type").as_deref(), asked.form("client_assertion"))
    else {
        return false;
    };
    let Ok(key) = DecodingKey::from_ec_pem(public_key_pem.as_bytes()) else {
        return false;
    };
    // The library would take times from the system's clock; ours is handed in.
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let Ok(claims) = decode::<Claims>(&assertion, &key, &validation).map(|data| data.claims) else {
        return false;
    };
    let now = state.now_s();
    let endpoint = format!("{}/token", state.issuer);
    let sound = claims.iss == client
        && claims.sub == client
        && claims.aud.names(&[&state.issuer, &endpoint])
        && claims.exp > now
        && claims.exp <= now + LIFETIME_S_MAX + AHEAD_S_MAX
        && claims.iat.is_none_or(|iat| iat <= now + AHEAD_S_MAX)
        && claims.nbf.is_none_or(|nbf| nbf <= now + AHEAD_S_MAX)
        && (1..=JTI_MAX).contains(&claims.jti.len());
    sound && lock(&state.assertions).first(client, claims.jti, claims.exp, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_bounded_and_full_means_no() {
        let mut seen = Seen::default();
        for n in 0..SEEN_MAX {
            assert!(seen.first("app", n.to_string(), 100, 0));
        }
        assert!(!seen.first("app", "7".to_owned(), 100, 0), "used already");
        assert!(!seen.first("app", "one more".to_owned(), 100, 0), "no room");
        assert!(seen.first("app", "one more".to_owned(), 200, 100), "there is room once others are over");
        assert!(seen.first("another", "one more".to_owned(), 200, 100), "each client has its own");
        assert!(seen.0.len() <= SEEN_MAX);
    }
}
