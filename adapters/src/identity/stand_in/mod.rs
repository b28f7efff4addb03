//! A development OpenID provider, behind TLS, with personas instead of passwords.
//!
//! What it does: discovery, JWKS, authorization code with PKCE S256, client credentials; access tokens after RFC 9068
//! (ES256) bound to the client certificate after RFC 8705; ID tokens; key rotation; direct minting for tests,
//! wrong tokens included.
//! What it never does: prove who somebody is. It must not be reachable from anywhere but a developer's machine.
//! Facts: RFC 6749, 7636, 8414, 8705, 9068, 9207; OpenID Connect Core 1.0; JWK thumbprints after RFC 7638.

mod authorize;
mod keys;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use http::{Method, Response, StatusCode};
use serde_json::json;

use crate::NowMs;
use crate::stand_in::{Asked, Running, StandInBody, StartError, json as json_answer, url_of};

pub(crate) use authorize::escape;
pub use keys::SigningKey;
pub use token::{AccessToken, MintRequest};

/// Somebody to sign in as.
#[derive(Debug, Clone)]
pub struct Persona {
    /// Subject identifier in tokens.
    pub sub: String,
    /// What the sign-in page shows. Synthetic people only.
    pub label: String,
}

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// By its TLS client certificate, known by its `x5t#S256`.
    Certificate {
        /// The thumbprint.
        thumbprint: String,
    },
    /// Not at all: PKCE only.
    Public,
}

/// A registered client.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Client identifier.
    pub client_id: String,
    /// Redirect URIs, compared exactly.
    pub redirect_uris: Vec<String>,
    /// How it proves itself.
    pub auth: ClientAuth,
    /// Scopes that it may ask for.
    pub scopes: Vec<String>,
    /// Resources that it may ask tokens for (RFC 8707); the first is the default audience.
    pub audiences: Vec<String>,
}

/// What the provider is started with.
pub struct IssuerOptions {
    /// Where to listen; port 0 for any free one.
    pub bind: SocketAddr,
    /// TLS settings; client certificates should be asked for, but not insisted on.
    pub tls: rustls::ServerConfig,
    /// The clock.
    pub now: NowMs,
    /// The issuer's name, when it differs from `https://localhost:{port}`.
    pub issuer: Option<String>,
    /// Who can sign in.
    pub personas: Vec<Persona>,
    /// Who may ask.
    pub clients: Vec<Registration>,
    /// Lifetime of access and ID tokens, in seconds.
    pub token_ttl_s: i64,
    /// The context class of a sign-in without `acr_values`.
    pub acr_default: String,
    /// The context classes on offer, for step-up.
    pub acr_supported: Vec<String>,
}

impl IssuerOptions {
    /// Sensible settings for loopback: any free port, five-minute tokens, classes `aal1` to `aal3`, `aal1` by default.
    #[must_use]
    pub fn new(tls: rustls::ServerConfig, now: NowMs) -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls,
            now,
            issuer: None,
            personas: Vec::new(),
            clients: Vec::new(),
            token_ttl_s: 300,
            acr_default: "aal1".to_owned(),
            acr_supported: ["aal1", "aal2", "aal3"].map(str::to_owned).to_vec(),
        }
    }
}

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

pub(crate) struct State {
    /// The issuer's name and the base of its endpoints.
    pub issuer: String,
    pub now: NowMs,
    pub personas: Vec<Persona>,
    pub clients: Mutex<Vec<Registration>>,
    pub keys: Mutex<Vec<SigningKey>>,
    pub codes: Mutex<HashMap<String, authorize::Code>>,
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
        let key = SigningKey::generate().map_err(|_| StartError::Keys)?;
        let state = Arc::new(State {
            issuer: options.issuer.unwrap_or_else(|| url_of(addr)),
            now: options.now,
            personas: options.personas,
            clients: Mutex::new(options.clients),
            keys: Mutex::new(vec![key]),
            codes: Mutex::new(HashMap::new()),
            token_ttl_s: options.token_ttl_s,
            acr_default: options.acr_default,
            acr_supported: options.acr_supported,
        });
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, options.tls, move |asked| {
            let response = route(&shared, &asked);
            async move { response }
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

    /// Signs with a new key from now on. The old ones stay published.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn rotate_keys(&self) -> Result<(), IssuerError> {
        let key = SigningKey::generate()?;
        lock(&self.state.keys).push(key);
        Ok(())
    }

    /// Takes every key but the current one out of the JWKS.
    pub fn retire_old_keys(&self) {
        let mut keys = lock(&self.state.keys);
        let old = keys.len().saturating_sub(1);
        keys.drain(..old);
    }

    /// The key that signs now, for tests that make tokens of their own.
    ///
    /// # Errors
    ///
    /// Never in practice: there is always a key.
    pub fn signing_key(&self) -> Result<SigningKey, IssuerError> {
        self.state.current_key()
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
        lock(&self.keys).last().cloned().ok_or(IssuerError::Key)
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

fn route(state: &State, asked: &Asked) -> Response<StandInBody> {
    match (&asked.method, asked.path.as_str()) {
        (&Method::GET, "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server") => {
            discovery(state)
        }
        (&Method::GET, "/jwks") => {
            let keys: Vec<_> = lock(&state.keys).iter().map(SigningKey::jwk).collect();
            json_answer(StatusCode::OK, &json!({"keys": keys}))
        }
        (&Method::GET, "/authorize") => authorize::authorize(state, asked),
        (&Method::POST, "/token") => token::token(state, asked),
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"error": "not_found"})),
    }
}

fn discovery(state: &State) -> Response<StandInBody> {
    let base = &state.issuer;
    json_answer(
        StatusCode::OK,
        &json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "jwks_uri": format!("{base}/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["tls_client_auth", "none"],
            "tls_client_certificate_bound_access_tokens": true,
            "authorization_response_iss_parameter_supported": true,
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": state.acr_supported,
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr"],
            "scopes_supported": ["openid"]
        }),
    )
}
