//! What the provider is started with: people, clients, settings.

use std::net::SocketAddr;

use crate::NowMs;
use crate::http::HttpClient;

/// Somebody to sign in as.
#[derive(Debug, Clone)]
pub struct Persona {
    /// Subject identifier in tokens.
    pub sub: String,
    /// What the sign-in page shows. Synthetic people only.
    pub label: String,
    /// What its ID tokens say as `roles`; without any they say nothing.
    pub roles: Vec<String>,
}

impl Persona {
    /// Somebody without roles.
    #[must_use]
    pub fn new(sub: impl Into<String>, label: impl Into<String>) -> Self {
        Self { sub: sub.into(), label: label.into(), roles: Vec::new() }
    }
}

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// By its TLS client certificate, known by its `x5t#S256`.
    Certificate {
        /// The thumbprint.
        thumbprint: String,
    },
    /// By an assertion signed by its key: `private_key_jwt` with ES256.
    PrivateKeyJwt {
        /// The public key as PEM (`SubjectPublicKeyInfo`).
        public_key_pem: String,
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
    /// Where people may be sent after signing out, compared exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where to tell it that somebody has signed out.
    pub backchannel_logout_uri: Option<String>,
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
    /// How clients are told that somebody has signed out; none for never.
    pub notices: Option<HttpClient>,
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
            notices: None,
        }
    }
}
