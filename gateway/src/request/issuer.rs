//! What a token issuer publishes: the keys that check its tokens, and where apps turn to it. Both by discovery; an unknown
//! key id fetches them again, bounded in rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use sekisho_adapters::http::HttpClient;
use serde_json::{Map, Value};

use super::token::TokenError;
use crate::config::Issuer;
use crate::metrics::Metrics;
use crate::sabotage::{self, Check};

/// Shortest time between two fetches of one issuer's keys.
const FETCH_APART: Duration = Duration::from_secs(1);
/// Keys taken from one set, at most.
const KEYS_MAX: usize = 32;
/// What is passed on of what an issuer says of itself: URLs, and below, lists of words.
const ENDPOINTS: [&str; 6] = [
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
];
const LISTS: [&str; 6] = [
    "grant_types_supported",
    "response_types_supported",
    "scopes_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
];

type Keys = HashMap<String, Arc<(Algorithm, DecodingKey)>>;

/// What an issuer says of itself (RFC 8414), as far as apps are told of it here.
#[derive(Debug, Default)]
pub struct Published(Map<String, Value>);

impl Published {
    /// Of its discovery document, only what is of the shape that it should be of.
    fn of(discovery: &Map<String, Value>) -> Self {
        let is_url = |value: &&Value| value.as_str().is_some_and(|url| url.starts_with("https://"));
        let is_list = |value: &&Value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
        let urls = ENDPOINTS.iter().filter_map(|name| Some((name, discovery.get(*name).filter(is_url)?)));
        let lists = LISTS.iter().filter_map(|name| Some((name, discovery.get(*name).filter(is_list)?)));
        Self(urls.chain(lists).map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    /// Where to turn for this; none if it says nothing of it.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Whether a list of what it supports holds this.
    #[must_use]
    pub fn supports(&self, list: &str, word: &str) -> bool {
        self.0.get(list).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == word))
    }

    /// All of it.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// An issuer, and what was fetched from it.
pub(super) struct KnownIssuer {
    pub(super) config: Issuer,
    http: HttpClient,
    keys: ArcSwap<(Instant, Keys)>,
    published: ArcSwapOption<Published>,
    last_try: Mutex<Option<Instant>>,
    fetching: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
}

impl KnownIssuer {
    pub(super) fn new(config: Issuer, http: HttpClient, metrics: Arc<Metrics>) -> Self {
        let keys = ArcSwap::from_pointee((Instant::now(), Keys::new()));
        let (last_try, fetching) = (Mutex::new(None), tokio::sync::Mutex::default());
        Self { config, http, keys, published: ArcSwapOption::empty(), last_try, fetching, metrics }
    }

    pub(super) fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// Whether this very key is still published under this id, and that was looked at not too long ago.
    pub(super) fn still_publishes(&self, kid: &str, key: &Arc<(Algorithm, DecodingKey)>) -> bool {
        let keys = self.keys.load();
        let max_age = Duration::from_secs(self.config.keys_max_age_s);
        let fresh = keys.0.elapsed() < max_age || sabotage::off(Check::KeysAge);
        fresh && keys.1.get(kid).is_some_and(|known| Arc::ptr_eq(known, key))
    }

    /// The key with this id: from what was fetched, unless that is old or lacks it.
    pub(super) async fn key(&self, kid: &str) -> Result<Arc<(Algorithm, DecodingKey)>, TokenError> {
        let max_age = Duration::from_secs(self.config.keys_max_age_s);
        let have = |fresh_only: bool| {
            let keys = self.keys.load();
            let fresh = keys.0.elapsed() < max_age || sabotage::off(Check::KeysAge);
            (fresh || !fresh_only).then(|| keys.1.get(kid).cloned()).flatten()
        };
        if let Some(key) = have(true) {
            return Ok(key);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(key) = have(true) {
            return Ok(key);
        }
        if self.may_try() {
            let keys = self.fetch().await.ok_or(TokenError::KeysUnavailable)?;
            self.keys.store(Arc::new((Instant::now(), keys)));
        }
        // Past its age a key set is not used: a retired key must stop working even while the issuer is down.
        have(true).ok_or(TokenError::UnknownKey)
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.keys.load().1.is_empty()
    }

    /// Beside the bounded rate of [`Self::may_try`]: a token with a key of a moment ago must not wait for the next try.
    pub(super) async fn first_keys(&self) {
        let _one_at_a_time = self.fetching.lock().await;
        if !self.has_keys()
            && let Some(keys) = self.fetch().await
        {
            self.keys.store(Arc::new((Instant::now(), keys)));
        }
    }

    fn may_try(&self) -> bool {
        let mut last = self.last_try.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= FETCH_APART);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    async fn fetch(&self) -> Option<Keys> {
        let keys = self.fetch_set().await;
        if keys.is_none() {
            self.metrics.key_fetch_failed(&self.config.url);
        }
        keys
    }

    async fn fetch_set(&self) -> Option<Keys> {
        let discovery: Map<String, Value> =
            self.get(&format!("{}/.well-known/openid-configuration", self.config.url)).await?;
        let text = |name: &str| discovery.get(name).and_then(Value::as_str);
        if text("issuer")? != self.config.url {
            tracing::warn!("an issuer's discovery document names another issuer");
            return None;
        }
        let set: JwkSet = self.get(text("jwks_uri")?).await?;
        self.published.store(Some(Arc::new(Published::of(&discovery))));
        Some(set.keys.iter().take(KEYS_MAX).filter_map(usable).collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Option<T> {
        let request = http::Request::get(url).body(bytes::Bytes::new()).ok()?;
        match self.http.send(request).await {
            Ok(answer) if answer.status == http::StatusCode::OK => serde_json::from_slice(&answer.body).ok(),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "an issuer's keys could not be fetched");
                None
            }
        }
    }
}

/// A published key that may check signatures of an allowed algorithm.
fn usable(jwk: &jsonwebtoken::jwk::Jwk) -> Option<(String, Arc<(Algorithm, DecodingKey)>)> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    if jwk.common.public_key_use.as_ref().is_some_and(|u| *u != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return None,
    };
    let kid = jwk.common.key_id.clone()?;
    Some((kid, Arc::new((algorithm, DecodingKey::from_jwk(jwk).ok()?))))
}
