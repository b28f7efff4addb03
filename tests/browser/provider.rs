//! npm `oidc-provider`, a certified OpenID provider, as a real process behind TLS, to test a relying party against.
//!
//! ```ignore
//! let client = ProviderClient {
//!     client_id: "sekisho".to_owned(),
//!     key: SigningKey::generate(SigningAlgorithm::Es256)?,          // signs the client's assertions
//!     redirect_uri: format!("{}/signed-in", town.world.url),
//!     post_logout_redirect_uri: town.world.url.clone(),
//!     backchannel_logout_uri: None,
//! };
//! let provider = Provider::start(&ca, &server, &client).await;      // ends when dropped
//! // A relying party is given `provider.issuer`, `client.client_id` and `client.key.pem()`.
//! ```
//!
//! The client must prove itself by `private_key_jwt` (ES256), use PKCE, and gets ID tokens by ES256. Whoever asks for one of
//! [`ACR`] gets it in the ID token, else the first. The sign-in page has one field, `login`: any name is somebody, whose `sub` is
//! that name; an empty one declines. Consent is given by signing in. There is a session at the provider: to have somebody sign
//! in anew, ask with `prompt=login` or `max_age`. Signing out works from both sides; the back channel trusts the test's authority,
//! and ID tokens carry a `sid` if there is one.

use std::path::Path;
use std::process::Command;

use sekisho_adapters::certs::{DevCa, Identity};
use sekisho_adapters::identity::stand_in::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::target;
use crate::process::Program;

/// The context classes on offer.
pub const ACR: [&str; 3] = ["aal1", "aal2", "aal3"];

/// What the provider knows of its client.
pub struct ProviderClient {
    /// Its name.
    pub client_id: String,
    /// Signs its assertions; the provider is given the public half.
    pub key: SigningKey,
    /// Where people come back to.
    pub redirect_uri: String,
    /// Where they come back to after signing out.
    pub post_logout_redirect_uri: String,
    /// Where the provider tells that somebody has signed out.
    pub backchannel_logout_uri: Option<String>,
}

impl ProviderClient {
    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "client_id": self.client_id,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks": {"keys": [self.key.jwk()]},
            "redirect_uris": [self.redirect_uri],
            "post_logout_redirect_uris": [self.post_logout_redirect_uri],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "id_token_signed_response_alg": "ES256",
            "require_auth_time": true,
        });
        if let Some(uri) = &self.backchannel_logout_uri {
            metadata["backchannel_logout_uri"] = json!(uri);
            metadata["backchannel_logout_session_required"] = json!(true);
        }
        metadata
    }
}

/// A running provider.
pub struct Provider {
    /// Its name, which is also where it is.
    pub issuer: String,
    // In this order: it ends before its files are removed.
    _program: Program,
    _files: TempDir,
}

impl Provider {
    /// Starts it with this certificate, for this client; `ca` is whom it trusts when it calls the client.
    pub async fn start(ca: &DevCa, server: &Identity, client: &ProviderClient) -> Self {
        let files = TempDir::with_prefix("sekisho-provider-").unwrap();
        let put = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ca = put("ca.pem", &ca.pem());
        let modules = target().join("test-tools/node_modules");
        assert!(
            modules.join("oidc-provider").exists(),
            "oidc-provider is not in {}. scripts/install-test-tools browser installs it",
            modules.display()
        );
        let told = json!({
            "modules": modules,
            "cert": put("server.pem", server.cert_pem()),
            "key": put("server.key", server.key_pem()),
            "clients": [client.metadata()],
            "acr": ACR,
        });
        let mut node = Command::new("node");
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/oidc-provider.mjs"));
        node.env("SEKISHO_OIDC_PROVIDER", told.to_string()).env("NODE_EXTRA_CA_CERTS", ca);
        let ready = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["issuer"].as_str()?.to_owned());
        let (program, issuer) = Program::start(node, "Node.js 20 or later", ready).await;
        Self { issuer, _program: program, _files: files }
    }
}
