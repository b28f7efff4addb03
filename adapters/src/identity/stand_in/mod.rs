//! A development OpenID provider, behind TLS, with personas instead of passwords.
//!
//! What it does: discovery, JWKS, authorization code with PKCE S256, client credentials; clients known by certificate or
//! by `private_key_jwt`; access tokens after RFC 9068 (ES256) bound to the client certificate after RFC 8705, or to a
//! key after RFC 9449; ID tokens (ES256 or RS256); signing out from either side; key rotation; direct minting for tests, wrong tokens included; and lies
//! when told to: see [`Knobs`]. A `login_hint` counts as having picked that person from the page.
//! What it never does: prove who somebody is. It must not be reachable from anywhere but a developer's machine.
//! Facts: RFC 6749, 7523, 7636, 8414, 8705, 9068, 9207, 9449; OpenID Connect Core, RP-Initiated Logout and Back-Channel
//! Logout 1.0; JWK thumbprints after RFC 7638.

mod assertion;
mod authorize;
mod dpop;
mod id_token;
mod keys;
mod lies;
mod logout;
mod options;
mod page;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use http::{Method, Response, StatusCode};
use serde_json::json;

use crate::NowMs;
use crate::http::HttpClient;
use crate::stand_in::{Asked, Running, StandInBody, StartError, json as json_answer, url_of};

pub use id_token::SignIn;
pub use keys::{Signature, SigningAlgorithm, SigningKey};
pub use lies::{Knobs, Lie};
pub use logout::LogoutRequest;
pub use options::{ClientAuth, IssuerOptions, Persona, Registration};
pub(crate) use page::escape;
pub use token::{AccessToken, MintRequest};

/// Why the provider couldn't do what its owner asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// No key could be made.
    #[error("a signing key could not be made")]
    Key,
    /// The token couldn't be signed.
    #[error("the token could not be signed")]
    Sign,
}

/// A running provider; stops when dropped.
pub struct DevIssuer {
    running: Running,
    state: Arc<State>,
}

impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer").field("addr", &self.running.addr()).finish_non_exhaustive()
    }
}

struct State {
    /// The issuer's name and the base of its endpoints.
    pub issuer: String,
    pub now: NowMs,
    pub personas: Vec<Persona>,
    pub clients: Mutex<Vec<Registration>>,
    pub keys: Mutex<keys::Keys>,
    pub codes: Mutex<HashMap<String, authorize::Code>>,
    pub assertions: Mutex<assertion::Seen>,
    pub sign_ins: Mutex<id_token::SignIns>,
    pub knobs: Mutex<Knobs>,
    pub notices: Option<HttpClient>,
    pub token_ttl_s: i64,
    pub acr_default: String,
    pub acr_supported: Vec<String>,
}

impl DevIssuer {
    /// Starts the provider with one new signing key.
    ///
    /// # Errors
    ///
    /// When the address can't be bound, or no key can be made.
    pub async fn start(options: IssuerOptions) -> Result<Self, StartError> {
        let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(StartError::Bind)?;
        let addr = listener.local_addr().map_err(StartError::Bind)?;
        let keys = keys::Keys::generate().map_err(|_| StartError::Keys)?;
        let state = Arc::new(State {
            issuer: options.issuer.unwrap_or_else(|| url_of(addr)),
            now: options.now,
            personas: options.personas,
            clients: Mutex::new(options.clients),
            keys: Mutex::new(keys),
            codes: Mutex::default(),
            assertions: Mutex::default(),
            sign_ins: Mutex::default(),
            knobs: Mutex::default(),
            notices: options.notices,
            token_ttl_s: options.token_ttl_s,
            acr_default: options.acr_default,
            acr_supported: options.acr_supported,
        });
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, options.tls, move |asked| {
            let state = Arc::clone(&shared);
            async move { respond(&state, &asked).await }
        })?;
        Ok(Self { running, state })
    }

    /// The issuer's name and base address.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.state.issuer
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// The people who can sign in.
    #[must_use]
    pub fn personas(&self) -> &[Persona] {
        &self.state.personas
    }

    /// Registers a further client.
    pub fn register(&self, client: Registration) {
        lock(&self.state.clients).push(client);
    }

    /// Signs with new keys from now on. The old ones stay published.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn rotate_keys(&self) -> Result<(), IssuerError> {
        lock(&self.state.keys).rotate()
    }

    /// Takes every key but the current ones out of the JWKS.
    pub fn retire_old_keys(&self) {
        lock(&self.state.keys).retire_old();
    }

    /// Signs ID tokens and logout tokens by this algorithm from now on. The keys of the other stay published.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn sign_id_tokens_by(&self, algorithm: SigningAlgorithm) -> Result<(), IssuerError> {
        lock(&self.state.keys).sign_id_tokens_by(algorithm)
    }

    /// The key that signs access tokens now, for tests that make tokens of their own.
    ///
    /// # Errors
    ///
    /// Never in practice: there is always a key.
    pub fn signing_key(&self) -> Result<SigningKey, IssuerError> {
        self.state.current_key()
    }

    /// Misbehaves like this from now on.
    pub fn set_knobs(&self, knobs: Knobs) {
        *lock(&self.state.knobs) = knobs;
    }

    /// Tells this lie from now on, or none, and does nothing else wrong.
    pub fn lie(&self, lie: Option<Lie>) {
        self.set_knobs(Knobs { lie, ..Knobs::default() });
    }

    /// Who is signed in where, in the order in which they signed in.
    #[must_use]
    pub fn sign_ins(&self) -> Vec<SignIn> {
        lock(&self.state.sign_ins).all()
    }

    /// Makes a logout token, a wrong one if so asked, to be posted to the client's `backchannel_logout_uri`.
    ///
    /// # Errors
    ///
    /// When it can't be signed.
    pub fn logout_token(&self, request: &LogoutRequest) -> Result<String, IssuerError> {
        logout::token(&self.state, request)
    }

    /// Makes an access token directly, a wrong one if so asked.
    ///
    /// # Errors
    ///
    /// When it can't be signed.
    pub fn mint(&self, request: &MintRequest) -> Result<AccessToken, IssuerError> {
        token::mint(&self.state, request)
    }
}

impl State {
    pub fn now_s(&self) -> i64 {
        (self.now)().div_euclid(1000)
    }

    pub fn client(&self, id: &str) -> Option<Registration> {
        lock(&self.clients).iter().find(|client| client.client_id == id).cloned()
    }

    pub fn current_key(&self) -> Result<SigningKey, IssuerError> {
        lock(&self.keys).for_access_tokens().cloned().ok_or(IssuerError::Key)
    }

    pub fn id_token_key(&self) -> Result<SigningKey, IssuerError> {
        lock(&self.keys).for_id_tokens().cloned().ok_or(IssuerError::Key)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 128 random bits for codes and token ids.
pub(crate) fn random_id() -> Result<String, IssuerError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IssuerError::Key)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

async fn respond(state: &State, asked: &Asked) -> Response<StandInBody> {
    if asked.path == "/logout" && (asked.method == Method::GET || asked.method == Method::POST) {
        let ended = logout::end_session(state, asked);
        logout::tell(state, ended.notices).await;
        return ended.response;
    }
    let knobs = lock(&state.knobs).clone();
    let (faults, response) = match (&asked.method, asked.path.as_str()) {
        (&Method::GET, "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server") => {
            (knobs.discovery, discovery(state))
        }
        (&Method::GET, "/jwks") => {
            let keys: Vec<_> = lock(&state.keys).published().map(SigningKey::jwk).collect();
            (knobs.jwks, json_answer(StatusCode::OK, &json!({"keys": keys})))
        }
        (&Method::GET, "/authorize") => return authorize::authorize(state, asked),
        (&Method::POST, "/token") => (knobs.token, token::token(state, asked)),
        _ => return json_answer(StatusCode::NOT_FOUND, &json!({"error": "not_found"})),
    };
    faults.wait().await;
    faults.apply(response)
}

fn discovery(state: &State) -> Response<StandInBody> {
    let base = &state.issuer;
    json_answer(
        StatusCode::OK,
        &json!({
            "issuer": state.issuer_in_discovery(),
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/jwks"),
            "end_session_endpoint": format!("{base}/logout"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "tls_client_certificate_bound_access_tokens": true,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
            "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "acr_values_supported": state.acr_supported,
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "sid", "at_hash"],
            "scopes_supported": ["openid"]
        }),
    )
}
