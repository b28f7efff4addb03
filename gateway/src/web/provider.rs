//! One OpenID provider, as its relying party (OpenID Connect Core 1.0, with the crate openidconnect).
//!
//! Authorization code with PKCE S256, `state` and `nonce`; discovery; ID tokens by ES256 or RS256; `private_key_jwt`
//! (RFC 7523) towards the provider. Nothing of an ID token is believed but issuer, subject, session, class and time, and of
//! a party's staff the roles and the name: no e-mail, and no name of a citizen. What keeps an attempt together between leaving and coming back is sealed into a cookie ([`Attempt`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openidconnect::core::{CoreAuthPrompt, CoreJwsSigningAlgorithm, CoreResponseType};
use openidconnect::{
    AuthType, AuthenticationContextClass, AuthorizationCode, Client, ClientId, CsrfToken, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};
use sekisho_adapters::http::HttpClient;
use sekisho_policy::Timestamp;
use serde::{Deserialize, Serialize};

use super::oidc::{Http, Metadata, Oidc, Tokens, one_line};
use super::session::SignedIn;
use crate::config::Issuer;
use crate::config::SignIn as Settings;
use crate::ids::random;
use crate::sabotage::{self, Check};

/// How far provider's and gateway's clocks may be apart, in seconds.
const SKEW_S: i64 = 60;
/// Longest time between leaving for the provider and coming back, in seconds.
pub const ATTEMPT_S: i64 = 600;
/// How long an assertion (`private_key_jwt`) is good for, in seconds.
const ASSERTION_S: i64 = 60;
/// Shortest time between two fetches of what the provider publishes.
const FETCH_APART: Duration = Duration::from_secs(1);

/// Why nobody is signed in. The person is told in other words; the operator gets these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The provider can't be reached, or what it publishes can't be used.
    #[error("the provider is not available: {0}")]
    Unavailable(&'static str),
    /// The answer isn't one to this attempt, or the attempt is over.
    #[error("not an answer to this attempt: {0}")]
    Foreign(&'static str),
    /// The provider, or the person there, said no.
    #[error("the provider said no")]
    Refused,
    /// The provider's tokens are not what they must be.
    #[error("the provider's tokens are not accepted: {0}")]
    Token(&'static str),
    /// Signed in, but not strongly enough or not just now.
    #[error("the sign-in is not strong or fresh enough")]
    Weak,
}

/// What is asked of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strength {
    /// As anybody signs in.
    Ordinary,
    /// Strongly, and now: before granting.
    StepUp,
}

/// An attempt to sign in, between leaving for the provider and coming back.
#[derive(Serialize, Deserialize)]
pub struct Attempt {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    strength: Strength,
    begun_s: i64,
    /// Where the person wanted to go: one of our own paths.
    pub then: String,
}

/// What came back with the browser.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// `state`.
    pub state: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `iss` (RFC 9207).
    pub iss: Option<&'a str>,
}

/// One provider.
pub struct Provider {
    /// Its configuration as an issuer.
    pub issuer: Issuer,
    /// Its configuration for signing in.
    pub settings: Settings,
    http: Http,
    redirect: String,
    key: EncodingKey,
    published: ArcSwapOption<Published>,
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

struct Published {
    at: Instant,
    metadata: Metadata,
}

impl Provider {
    /// A provider; `url` is the gateway's.
    ///
    /// # Errors
    /// When the key isn't one for ES256.
    pub fn new(
        issuer: Issuer,
        settings: Settings,
        http: HttpClient,
        url: &str,
    ) -> Result<Self, jsonwebtoken::errors::Error> {
        let key = EncodingKey::from_ec_pem(&settings.key)?;
        let redirect = format!("{url}/my/sign-in/{}/callback", settings.code);
        let (published, fetching) = (ArcSwapOption::empty(), tokio::sync::Mutex::new(None));
        Ok(Self { issuer, settings, http: Http(http), redirect, key, published, fetching })
    }

    /// Where to send the browser, and what to remember of it.
    ///
    /// # Errors
    /// When the provider is not available.
    pub async fn begin(
        &self,
        strength: Strength,
        then: String,
        now: Timestamp,
    ) -> Result<(String, Attempt), SignInError> {
        let published = self.published(false).await?;
        let client = self.client(&published.metadata)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let fresh = || data_encoding::BASE64URL_NOPAD.encode(&random::<32>());
        let (state, nonce) = (fresh(), fresh());
        let (given_state, given_nonce) = (CsrfToken::new(state.clone()), Nonce::new(nonce.clone()));
        let mut request = client
            .authorize_url(
                openidconnect::AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || given_state,
                move || given_nonce,
            )
            .set_pkce_challenge(challenge);
        for scope in self.settings.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for acr in self.wanted(strength) {
            request = request.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
        }
        if strength == Strength::StepUp {
            request = request.set_max_age(Duration::ZERO).add_prompt(CoreAuthPrompt::Login);
        }
        let (url, _, _) = request.url();
        let (issuer, verifier) = (self.issuer.url.clone(), verifier.into_secret());
        let begun_s = now.millis().div_euclid(1_000);
        Ok((url.to_string(), Attempt { issuer, state, nonce, verifier, strength, begun_s, then }))
    }

    /// Who came back.
    ///
    /// # Errors
    /// Why nobody did.
    pub async fn finish(&self, attempt: &Attempt, answer: Answer<'_>, now: Timestamp) -> Result<SignedIn, SignInError> {
        let code = self.code(attempt, answer, now)?;
        let published = self.published(false).await?;
        let said = answer.iss.is_some()
            || !published
                .metadata
                .additional_metadata()
                .additional_metadata
                .authorization_response_iss_parameter_supported;
        if !said && !sabotage::off(Check::SignInIssuer) {
            return Err(SignInError::Foreign("it does not say which provider answers"));
        }
        let tokens = self.exchange(&published.metadata, attempt, code, now).await?;
        match self.claims(&published.metadata, &tokens, attempt, now) {
            // A key that is not known may be new.
            Err(SignInError::Token(UNKNOWN_KEY)) => {
                let again = self.published(true).await.map_err(|_| SignInError::Token(UNKNOWN_KEY))?;
                self.claims(&again.metadata, &tokens, attempt, now)
            }
            other => other,
        }
    }

    /// The code, if this is an answer to that attempt.
    fn code(&self, attempt: &Attempt, answer: Answer<'_>, now: Timestamp) -> Result<AuthorizationCode, SignInError> {
        let age_s = now.millis().div_euclid(1_000).saturating_sub(attempt.begun_s);
        if !(0..ATTEMPT_S).contains(&age_s) {
            return Err(SignInError::Foreign("the attempt is too old"));
        }
        if attempt.issuer != self.issuer.url {
            return Err(SignInError::Foreign("the attempt was at another provider"));
        }
        let same = |state: &str| {
            aws_lc_rs::constant_time::verify_slices_are_equal(state.as_bytes(), attempt.state.as_bytes()).is_ok()
        };
        if !answer.state.is_some_and(same) {
            return Err(SignInError::Foreign("another state"));
        }
        if answer.iss.is_some_and(|iss| iss != self.issuer.url) && !sabotage::off(Check::SignInIssuer) {
            return Err(SignInError::Foreign("another provider answers"));
        }
        match (answer.code, answer.error) {
            (Some(code), None) => Ok(AuthorizationCode::new(code.to_owned())),
            _ => Err(SignInError::Refused),
        }
    }

    async fn exchange(
        &self,
        metadata: &Metadata,
        attempt: &Attempt,
        code: AuthorizationCode,
        now: Timestamp,
    ) -> Result<Tokens, SignInError> {
        let client = self.client(metadata)?;
        let request = client.exchange_code(code).map_err(|_| SignInError::Unavailable("it has no token endpoint"))?;
        let assertion = self.assertion(now)?;
        let request = request
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()))
            .add_extra_param("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .add_extra_param("client_assertion", assertion);
        use openidconnect::RequestTokenError;
        request.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(_) => SignInError::Token("the provider gave none"),
            RequestTokenError::Request(_) => SignInError::Unavailable("its token endpoint does not answer"),
            _ => SignInError::Token("its answer is not understood"),
        })
    }

    /// `private_key_jwt`: RFC 7523 §3, OpenID Connect Core §9.
    fn assertion(&self, now: Timestamp) -> Result<String, SignInError> {
        let now_s = now.millis().div_euclid(1_000);
        let claims = serde_json::json!({
            "iss": self.issuer.own_client,
            "sub": self.issuer.own_client,
            "aud": self.issuer.url,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
            "jti": data_encoding::BASE64URL_NOPAD.encode(&random::<16>()),
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid.clone_from(&self.settings.key_id);
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| SignInError::Token("no assertion could be made"))
    }

    fn claims(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let token = tokens.id_token().ok_or(SignInError::Token("there is no ID token"))?;
        let client = self.client(metadata)?;
        let now_s = now.millis().div_euclid(1_000);
        let time = |s: i64| chrono::DateTime::from_timestamp(s, 0).unwrap_or(chrono::DateTime::UNIX_EPOCH);
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs([CoreJwsSigningAlgorithm::EcdsaP256Sha256, CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256])
            .set_time_fn(move || time(now_s - SKEW_S))
            .set_issue_time_verifier_fn(move |issued| {
                let near = (issued.timestamp() - now_s).abs() <= ATTEMPT_S && issued.timestamp() <= now_s + SKEW_S;
                if near { Ok(()) } else { Err("issued at another time".to_owned()) }
            });
        let nonce = Nonce::new(attempt.nonce.clone());
        let claims = token.claims(&verifier, &nonce).map_err(|error| refused(&error))?;
        let acr = claims.auth_context_ref().map(|acr| acr.as_str().to_owned()).unwrap_or_default();
        let said = claims.auth_time().map(|at| at.timestamp());
        let auth_time = match said {
            Some(at) if at <= now_s + SKEW_S => at.min(now_s),
            None if self.settings.fresh_each_time => claims.issue_time().timestamp().min(now_s),
            // Some other time: it counts as long ago.
            _ => i64::MIN,
        };
        let sid = claims.additional_claims().sid.clone();
        let (issuer, sub) = (self.issuer.url.clone(), claims.subject().as_str().to_owned());
        let staff = self.settings.staff.as_ref();
        let roles = staff.map(|staff| claims.additional_claims().roles(&staff.role_claim)).unwrap_or_default();
        let name =
            staff.and_then(|_| claims.name()).and_then(|name| name.get(None)).and_then(|name| one_line(name.as_str()));
        let signed_in = SignedIn { issuer, sub, sid, acr, auth_time, roles, name };
        let enough = match attempt.strength {
            Strength::Ordinary => self.admits(&signed_in.acr),
            Strength::StepUp => self.is_step_up(&signed_in, now),
        };
        if enough || sabotage::off(Check::SignInStrength) { Ok(signed_in) } else { Err(SignInError::Weak) }
    }

    /// Whether a sign-in of this class is enough to come in.
    #[must_use]
    pub fn admits(&self, acr: &str) -> bool {
        self.settings.acr.iter().any(|known| known == acr) || self.issuer.step_up_acr.iter().any(|known| known == acr)
    }

    /// Whether a sign-in may grant, now.
    #[must_use]
    pub fn is_step_up(&self, signed_in: &SignedIn, now: Timestamp) -> bool {
        let age_s = now.millis().div_euclid(1_000).saturating_sub(signed_in.auth_time);
        let fresh = u64::try_from(age_s).is_ok_and(|age| age <= self.issuer.step_up_max_age_s);
        let strong = self.issuer.step_up_acr.contains(&signed_in.acr);
        (fresh && strong) || sabotage::off(Check::StepUp)
    }

    fn wanted(&self, strength: Strength) -> &[String] {
        match strength {
            Strength::Ordinary => &self.settings.acr,
            Strength::StepUp => &self.issuer.step_up_acr,
        }
    }

    /// Where a browser signs out at the provider (RP-Initiated Logout 1.0), if it offers that.
    pub async fn sign_out_url(&self, back: &str) -> Option<String> {
        let published = self.published(false).await.ok()?;
        let endpoint = published.metadata.additional_metadata().end_session_endpoint.as_ref()?;
        let mut url = endpoint.url().clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.issuer.own_client)
            .append_pair("post_logout_redirect_uri", back);
        Some(url.to_string())
    }

    /// Origin of the page at which people sign in, once it is known.
    fn client(&self, metadata: &Metadata) -> Result<Oidc, SignInError> {
        let redirect = RedirectUrl::new(self.redirect.clone());
        let redirect = redirect.map_err(|_| SignInError::Unavailable("our own address is not a URL"))?;
        let client =
            Client::from_provider_metadata(metadata.clone(), ClientId::new(self.issuer.own_client.clone()), None);
        Ok(client.set_redirect_uri(redirect).set_auth_type(AuthType::RequestBody))
    }

    /// What the provider publishes: fetched when it is old, and when it is to be `newer`, at most once a second.
    async fn published(&self, newer: bool) -> Result<Arc<Published>, SignInError> {
        let max_age = Duration::from_secs(self.issuer.keys_max_age_s);
        let asked = Instant::now();
        let usable = |p: &Arc<Published>| p.at.elapsed() < max_age && (!newer || p.at > asked);
        if let Some(published) = self.published.load_full().filter(usable) {
            return Ok(published);
        }
        let mut last = self.fetching.lock().await;
        if let Some(published) = self.published.load_full().filter(usable) {
            return Ok(published);
        }
        if last.is_some_and(|last| last.elapsed() < FETCH_APART) {
            return Err(SignInError::Unavailable("it was asked a moment ago"));
        }
        *last = Some(Instant::now());
        let issuer = IssuerUrl::new(self.issuer.url.clone());
        let issuer = issuer.map_err(|_| SignInError::Unavailable("its issuer is not a URL"))?;
        let fetched = Metadata::discover_async(issuer, &self.http).await;
        let metadata = fetched.map_err(|error| {
            tracing::warn!(issuer = self.issuer.url, "a provider's discovery failed");
            match error {
                openidconnect::DiscoveryError::Validation(_) => SignInError::Unavailable("it names another issuer"),
                _ => SignInError::Unavailable("its discovery document can't be had"),
            }
        })?;
        let published = Arc::new(Published { at: Instant::now(), metadata });
        self.published.store(Some(Arc::clone(&published)));
        Ok(published)
    }
}

const UNKNOWN_KEY: &str = "no published key signed it";

fn refused(error: &openidconnect::ClaimsVerificationError) -> SignInError {
    use openidconnect::{ClaimsVerificationError as E, SignatureVerificationError as S};
    SignInError::Token(match error {
        E::Expired(_) => "it is over",
        E::InvalidAudience(_) => "it is for another client",
        E::InvalidIssuer(_) => "it is another provider's",
        E::InvalidNonce(_) => "it is of another attempt",
        E::SignatureVerification(S::NoMatchingKey | S::AmbiguousKeyId(_)) => UNKNOWN_KEY,
        E::SignatureVerification(_) => "its signature does not hold",
        _ => "it is not as it must be",
    })
}
