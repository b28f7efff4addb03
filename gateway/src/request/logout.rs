//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4): a provider's word that somebody has signed out there.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, Validation};
use sekisho_policy::Timestamp;
use serde::Deserialize;

use super::token::{TokenError, Tokens};
use crate::sabotage::{self, Check};

/// What stands in `events`.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a token may be, and how far ahead of us its issuer's clock, in seconds.
const AGE_S: i64 = 150;
const SKEW_S: i64 = 60;
/// Longest token that is looked at, in bytes.
const BYTES_MAX: usize = 8 << 10;

/// Who has signed out.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// Everybody of this subject, if no session is named.
    pub sub: Option<String>,
    /// The provider's session.
    pub sid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    exp: Option<i64>,
    sub: Option<String>,
    sid: Option<String>,
    events: HashMap<String, serde_json::Value>,
    nonce: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Head {
    alg: Algorithm,
    kid: String,
    typ: Option<String>,
}

impl Tokens {
    /// Checks a logout token of this issuer for this client. That it comes a second time does no harm: nobody is signed in by it.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn signed_out(
        &self,
        token: &str,
        issuer: &str,
        client: &str,
        now: Timestamp,
    ) -> Result<SignedOut, TokenError> {
        if token.len() > BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let head = token.split_once('.').and_then(|(head, _)| BASE64URL_NOPAD.decode(head.as_bytes()).ok());
        let head: Head = head.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or(TokenError::Malformed)?;
        // An ID token or an access token must never do for it (§4).
        if !matches!(head.typ.as_deref(), Some("logout+jwt" | "application/logout+jwt"))
            && !sabotage::off(Check::TokenType)
        {
            return Err(TokenError::Malformed);
        }
        let key = self.key_of(issuer, &head.kid).await?;
        if key.0 != head.alg {
            return Err(TokenError::Algorithm);
        }
        let mut validation = Validation::new(key.0);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[client]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.1, &validation).map_err(|_| TokenError::Signature)?.claims;
        let now_s = now.millis().div_euclid(1_000);
        let in_time = claims.iat <= now_s + SKEW_S
            && now_s - claims.iat <= AGE_S
            && claims.exp.is_none_or(|exp| exp > now_s - SKEW_S);
        if !in_time {
            return Err(TokenError::Expired);
        }
        let names = claims.sub.is_some() || claims.sid.is_some();
        if !claims.events.contains_key(EVENT) || claims.nonce.is_some() || !names {
            return Err(TokenError::Malformed);
        }
        Ok(SignedOut { sub: claims.sub, sid: claims.sid })
    }
}
