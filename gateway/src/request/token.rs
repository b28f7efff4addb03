//! Access tokens (RFC 9068) and the keys that sign them.
//!
//! Checked with jsonwebtoken: issuer, audience, algorithm allow-list, type, signature, expiry, not-before; then here:
//! binding to the client certificate (RFC 8705) or to a key (RFC 9449, `dpop`), and that nothing of the header is followed (`jwk`, `jku`, `x5u`, `x5c`).
//! Keys come from what the issuer publishes (`issuer`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use quick_cache::sync::Cache;
use sekisho_adapters::http::HttpClient;
use sekisho_policy::Timestamp;
use serde::Deserialize;

use super::issuer::{KnownIssuer, Published};
use super::scope;
use crate::config::Issuer;
use crate::ledger::merkle::sha256;
use crate::metrics::Metrics;
use crate::sabotage::{self, Check};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Shortest and longest time between two tries to have an issuer's first keys.
const FIRST_APART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Verified tokens remembered, at most.
const REMEMBERED: usize = 100_000;
/// Clock skew between issuer and gateway that is tolerated for `nbf`, in seconds.
const SKEW_S: i64 = 5;

/// Why a token is not accepted. The caller learns only that it is not (RFC 6750 §3.1); the operator learns which.
/// Counted in this order: `metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TokenError {
    #[error("no bearer token")]
    Missing,
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a JWT access token (`at+jwt`) with a key id")]
    Malformed,
    #[error("the header carries a key or a place to fetch one")]
    KeyInHeader,
    #[error("the algorithm is not allowed")]
    Algorithm,
    #[error("the issuer is not configured")]
    Issuer,
    #[error("the issuer publishes no such key")]
    UnknownKey,
    #[error("the issuer's keys can't be fetched")]
    KeysUnavailable,
    #[error("the signature is wrong")]
    Signature,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYet,
    #[error("for another audience")]
    Audience,
    #[error("not bound to this client certificate or key")]
    Binding,
}

/// What a token says, once it is checked.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject at the issuer.
    pub sub: String,
    /// OAuth client.
    pub client_id: String,
    /// Expiry, seconds since the epoch.
    pub exp: i64,
    /// Not before.
    pub nbf: Option<i64>,
    /// Scopes, space-separated.
    #[serde(default)]
    pub scope: String,
    /// Authentication context.
    pub acr: Option<String>,
    /// When the person signed in.
    pub auth_time: Option<i64>,
    /// Of whom the launch was, by the party's own id (SMART App Launch): it narrows, and never widens.
    pub patient: Option<String>,
    /// Purpose, where a route takes it from the token.
    pub purpose: Option<String>,
    /// Binding.
    pub cnf: Option<Confirmation>,
}

/// RFC 8705 §3.1, RFC 9449 §6.1.
#[derive(Clone, Debug, Deserialize)]
pub struct Confirmation {
    /// SHA-256 of the client certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: Option<String>,
    /// RFC 7638 thumbprint of a key, base64url.
    pub jkt: Option<String>,
    /// Ways to confirm that are not known here. Asking for them also makes an object the only shape: without it a list
    /// of one text would be read as well.
    #[serde(flatten)]
    _others: HashMap<String, serde::de::IgnoredAny>,
}

impl Claims {
    /// Whether it can be used only by who proves to hold a key.
    #[must_use]
    pub fn is_bound_to_key(&self) -> bool {
        self.cnf.as_ref().is_some_and(|cnf| cnf.jkt.is_some())
    }

    /// Whether the token carries this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        scope::covers(&self.scope, scope) || sabotage::off(Check::TokenScope)
    }
}

/// What a request shows a token to be bound to.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// The client certificate of its connection, if there is one: SHA-256.
    Certificate(Option<[u8; 32]>),
    /// A key that it proves to hold: RFC 7638 thumbprint.
    Key([u8; 32]),
}

struct Verified {
    claims: Arc<Claims>,
    key: Arc<(Algorithm, DecodingKey)>,
    kid: String,
}

/// Checks tokens.
pub struct Tokens {
    audience: String,
    issuers: HashMap<String, KnownIssuer>,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

impl Tokens {
    /// For this audience and these issuers, each with a client to reach it.
    #[must_use]
    pub fn new(
        audience: String,
        issuers: impl IntoIterator<Item = (Issuer, HttpClient)>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let known = |(config, http): (Issuer, HttpClient)| {
            (config.url.clone(), KnownIssuer::new(config, http, Arc::clone(metrics)))
        };
        let issuers = issuers.into_iter().map(known).collect();
        Self { audience, issuers, verified: Cache::new(REMEMBERED) }
    }

    /// The configuration of a token's issuer.
    #[must_use]
    pub fn issuer(&self, url: &str) -> Option<&Issuer> {
        self.issuers.get(url).map(|known| &known.config)
    }

    /// What an issuer publishes of itself, once it was fetched.
    #[must_use]
    pub fn published(&self, issuer: &str) -> Option<Arc<Published>> {
        self.issuers.get(issuer)?.published()
    }

    /// A published key of an issuer.
    pub(super) async fn key_of(&self, issuer: &str, kid: &str) -> Result<Arc<(Algorithm, DecodingKey)>, TokenError> {
        self.issuers.get(issuer).ok_or(TokenError::Issuer)?.key(kid).await
    }

    /// The issuers whose keys could not be fetched even once.
    pub fn without_keys(&self) -> impl Iterator<Item = &str> {
        self.issuers.values().filter(|known| !known.has_keys()).map(|known| known.config.url.as_str())
    }

    /// Fetches every issuer's keys once, before anybody needs them; ends when all are there.
    pub async fn fetch_first_keys(&self) {
        let (mut wait, longest) = FIRST_APART;
        loop {
            for known in self.issuers.values() {
                known.first_keys().await;
            }
            if self.without_keys().next().is_none() {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(longest);
        }
    }

    /// Checks a token that came with this certificate or key.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn check(&self, token: &str, shown: Shown, now: Timestamp) -> Result<Arc<Claims>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let digest = sha256(token.as_bytes());
        let claims = match self.remembered(&digest) {
            Some(claims) => claims,
            // Boxed: most tokens are remembered, and their requests need no room for this.
            None => Box::pin(self.verify(token, digest)).await?,
        };
        in_time(&claims, now)?;
        bound(&claims, shown, self.issuers.get(&claims.iss))?;
        Ok(claims)
    }

    /// A token whose signature was checked before, while the key that signed it is still published.
    fn remembered(&self, digest: &[u8; 32]) -> Option<Arc<Claims>> {
        let verified = self.verified.get(digest)?;
        let issuer = self.issuers.get(&verified.claims.iss)?;
        issuer.still_publishes(&verified.kid, &verified.key).then(|| Arc::clone(&verified.claims))
    }

    async fn verify(&self, token: &str, digest: [u8; 32]) -> Result<Arc<Claims>, TokenError> {
        let Unverified { kid, alg, issuer: issuer_url } = unverified(token)?;
        let issuer = self.issuers.get(&issuer_url).ok_or(TokenError::Issuer)?;
        let key = issuer.key(&kid).await?;
        if key.0 != alg {
            return Err(TokenError::Algorithm);
        }
        let claims = Arc::new(signed_claims(token, &key, &issuer_url, &self.audience)?);
        let verified = Verified { claims: Arc::clone(&claims), key, kid };
        self.verified.insert(digest, Arc::new(verified));
        Ok(claims)
    }
}

/// What has to be taken from a token to find the key to check it with. Nothing else is believed before that.
#[derive(Debug)]
pub struct Unverified {
    /// Key id.
    pub kid: String,
    /// Algorithm, of those that are allowed.
    pub alg: Algorithm,
    /// The issuer that the token claims.
    pub issuer: String,
}

/// Reads it.
///
/// # Errors
/// Why the token can't be accepted, whoever signed it.
pub fn unverified(token: &str) -> Result<Unverified, TokenError> {
    let (kid, alg) = header(token)?;
    Ok(Unverified { kid, alg, issuer: unverified_issuer(token)? })
}

/// Reads the header strictly. Whoever signs may not tell us with what to check.
fn header(token: &str) -> Result<(String, Algorithm), TokenError> {
    let (first, _) = token.split_once('.').ok_or(TokenError::Malformed)?;
    let bytes = BASE64URL_NOPAD.decode(first.as_bytes()).map_err(|_| TokenError::Malformed)?;
    let raw: HashMap<String, serde_json::Value> = serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
    if ["jwk", "jku", "x5u", "x5c", "crit", "zip"].iter().any(|name| raw.contains_key(*name)) {
        return Err(TokenError::KeyInHeader);
    }
    let text = |name: &str| raw.get(name).and_then(serde_json::Value::as_str).ok_or(TokenError::Malformed);
    if !matches!(text("typ")?, "at+jwt" | "application/at+jwt") && !sabotage::off(Check::TokenType) {
        return Err(TokenError::Malformed);
    }
    let alg = match text("alg")? {
        "ES256" => Algorithm::ES256,
        "RS256" => Algorithm::RS256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return Err(TokenError::Algorithm),
    };
    Ok((text("kid")?.to_owned(), alg))
}

fn unverified_issuer(token: &str) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Only {
        iss: String,
    }
    let payload = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| TokenError::Malformed)?;
    // All of it: in a claim that is passed over, serde_json lets any bytes stand (RFC 7519 §7.2 asks for UTF-8).
    let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::Malformed)?;
    serde_json::from_str::<Only>(text).map(|only| only.iss).map_err(|_| TokenError::Malformed)
}

/// The claims of a token that this key signed, by this issuer for this audience. Times and binding are left to
/// [`Tokens::check`].
///
/// # Errors
/// Why it is not accepted.
pub fn signed_claims(
    token: &str,
    key: &(Algorithm, DecodingKey),
    issuer: &str,
    audience: &str,
) -> Result<Claims, TokenError> {
    let mut validation = Validation::new(key.0);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    // Times are compared in `in_time`, at every use and with the injected clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = !sabotage::off(Check::TokenAudience);
    if sabotage::off(Check::TokenSignature) {
        let decoded = jsonwebtoken::dangerous::insecure_decode::<Claims>(token);
        return decoded.map(|d| d.claims).map_err(|_| TokenError::Malformed);
    }
    use jsonwebtoken::errors::ErrorKind;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key.1, &validation);
    decoded.map(|d| d.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::InvalidSignature => TokenError::Signature,
        _ => TokenError::Malformed,
    })
}

fn in_time(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    let now_s = now.millis().div_euclid(1_000);
    if claims.exp <= now_s && !sabotage::off(Check::TokenExpiry) {
        return Err(TokenError::Expired);
    }
    if claims.nbf.is_some_and(|nbf| nbf > now_s.saturating_add(SKEW_S)) && !sabotage::off(Check::TokenNotBefore) {
        return Err(TokenError::NotYet);
    }
    Ok(())
}

/// A party's token must be bound to the certificate or the key that it came with, and to one of them only. A person's own
/// token, issued to our own client, comes from a browser without certificate and need not be; if it is bound, that holds too,
/// and if it is bound in a way that is not known here, nobody can tell whether it does.
fn bound(claims: &Claims, shown: Shown, issuer: Option<&KnownIssuer>) -> Result<(), TokenError> {
    if sabotage::off(Check::TokenBinding) {
        return Ok(());
    }
    let confirmation = claims.cnf.as_ref();
    let to_certificate = confirmation.and_then(|cnf| cnf.x5t_s256.as_deref());
    let to_key = confirmation.and_then(|cnf| cnf.jkt.as_deref());
    let is = |text: &str, shown: &[u8; 32]| BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes == shown);
    let holds = match (to_certificate, to_key, shown) {
        (Some(thumbprint), None, Shown::Certificate(Some(shown))) => is(thumbprint, &shown),
        (None, Some(thumbprint), Shown::Key(shown)) => is(thumbprint, &shown),
        (None, None, Shown::Certificate(_)) => {
            confirmation.is_none() && issuer.is_some_and(|known| known.config.own_client == claims.client_id)
        }
        _ => false,
    };
    if holds { Ok(()) } else { Err(TokenError::Binding) }
}
