//! The provider's token endpoint, and direct minting.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use data_encoding::BASE64URL_NOPAD;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::authorize::{audience_of, scope_of};
use super::keys::sign;
use super::{ClientAuth, IssuerError, Registration, State, assertion, dpop, id_token, lock, random_id};
use crate::stand_in::{Asked, StandInBody, json as json_answer};

/// An access token. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token itself: a secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// What to put into a token that is minted directly. [`MintRequest::new`] asks for a valid one.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// Subject.
    pub sub: String,
    /// Client identifier.
    pub client_id: String,
    /// `x5t#S256` to bind it to; none for an unbound token.
    pub cert_thumbprint: Option<String>,
    /// Scope.
    pub scope: String,
    /// Authentication context class; none leaves it out, and `auth_time` with it.
    pub acr: Option<String>,
    /// Audience.
    pub aud: String,
    /// Lifetime from now in seconds; negative for one that is over.
    pub ttl_s: i64,
    /// Seconds from now until it becomes valid.
    pub not_before_s: i64,
    /// How long ago the sign-in was, in seconds.
    pub signed_in_ago_s: i64,
    /// Another issuer than the real one.
    pub issuer: Option<String>,
    /// Another `typ` than `at+jwt`.
    pub typ: Option<String>,
    /// Another `kid` than the real one.
    pub kid: Option<String>,
    /// Further claims, which also replace the others.
    pub claims: Map<String, Value>,
}

impl MintRequest {
    /// A valid, unbound token for five minutes, class `aal2`, no scope.
    #[must_use]
    pub fn new(sub: &str, client_id: &str, aud: &str) -> Self {
        Self {
            sub: sub.to_owned(),
            client_id: client_id.to_owned(),
            cert_thumbprint: None,
            scope: String::new(),
            acr: Some("aal2".to_owned()),
            aud: aud.to_owned(),
            ttl_s: 300,
            not_before_s: 0,
            signed_in_ago_s: 0,
            issuer: None,
            typ: None,
            kid: None,
            claims: Map::new(),
        }
    }
}

pub(super) fn mint(state: &State, request: &MintRequest) -> Result<AccessToken, IssuerError> {
    let now = state.now_s();
    let mut claims = json!({
        "iss": request.issuer.as_deref().unwrap_or(&state.issuer),
        "aud": request.aud,
        "sub": request.sub,
        "client_id": request.client_id,
        "iat": now,
        "nbf": now + request.not_before_s,
        "exp": now + request.ttl_s,
        "jti": random_id()?,
        "scope": request.scope,
    });
    if let Some(object) = claims.as_object_mut() {
        if let Some(acr) = &request.acr {
            object.insert("acr".to_owned(), json!(acr));
            object.insert("auth_time".to_owned(), json!(now - request.signed_in_ago_s));
        }
        if let Some(thumbprint) = &request.cert_thumbprint {
            object.insert("cnf".to_owned(), json!({"x5t#S256": thumbprint}));
        }
        object.extend(request.claims.clone());
    }
    let key = state.current_key()?;
    sign(&key, request.typ.as_deref().unwrap_or("at+jwt"), request.kid.as_deref(), &claims).map(AccessToken)
}

pub(super) fn token(state: &State, asked: &Asked) -> Response<StandInBody> {
    match grant(state, asked) {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(error) => {
            let status = match error {
                "invalid_client" => StatusCode::UNAUTHORIZED,
                "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            json_answer(status, &json!({"error": error}))
        }
    }
}

fn grant(state: &State, asked: &Asked) -> Result<Value, &'static str> {
    let id = asked.form("client_id").or_else(|| assertion::claimed(asked)).ok_or("invalid_client")?;
    let client = state.client(&id).ok_or("invalid_client")?;
    let proven = match &client.auth {
        ClientAuth::Certificate { thumbprint } => asked.thumbprint.as_deref() == Some(thumbprint),
        ClientAuth::PrivateKeyJwt { public_key_pem } => assertion::proves(state, asked, &id, public_key_pem),
        ClientAuth::Public => true,
    };
    if !proven {
        return Err("invalid_client");
    }
    match asked.form("grant_type").as_deref() {
        Some("authorization_code") => by_code(state, asked, &client),
        Some("client_credentials") => by_credentials(state, asked, &client),
        _ => Err("unsupported_grant_type"),
    }
}

fn by_code(state: &State, asked: &Asked, client: &Registration) -> Result<Value, &'static str> {
    let id = asked.form("code").ok_or("invalid_request")?;
    // Taken out whatever follows: a code is good for one try.
    let code = lock(&state.codes).remove(&id).ok_or("invalid_grant")?;
    let verifier = asked.form("code_verifier").ok_or("invalid_grant")?;
    let computed = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
    let proven = constant_time::verify_slices_are_equal(computed.as_bytes(), code.challenge.as_bytes()).is_ok();
    let sound = proven
        && (43..=128).contains(&verifier.len())
        && code.client_id == client.client_id
        && asked.form("redirect_uri").as_deref() == Some(&code.redirect_uri)
        && code.expires > state.now_s();
    if !sound {
        return Err("invalid_grant");
    }
    let audience = match asked.form("resource") {
        Some(resource) => audience_of(client, Some(&resource))?,
        None => code.audience.clone(),
    };
    let mut request = MintRequest::new(&code.sub, &client.client_id, &audience);
    request.scope.clone_from(&code.scope);
    request.acr = Some(code.acr.clone());
    request.signed_in_ago_s = state.now_s() - code.auth_time;
    let (token, mut body) = answer_with(state, asked, request)?;
    if code.scope.split(' ').any(|scope| scope == "openid")
        && let Some(object) = body.as_object_mut()
    {
        object.insert("id_token".to_owned(), json!(id_token::issue(state, client, &code, &token)?));
    }
    Ok(body)
}

fn by_credentials(state: &State, asked: &Asked, client: &Registration) -> Result<Value, &'static str> {
    if client.auth == ClientAuth::Public {
        return Err("unauthorized_client");
    }
    let audience = audience_of(client, asked.form("resource").as_deref())?;
    let mut request = MintRequest::new(&client.client_id, &client.client_id, &audience);
    request.scope = scope_of(client, asked.form("scope").as_deref())?;
    request.acr = None;
    answer_with(state, asked, request).map(|(_, body)| body)
}

fn answer_with(state: &State, asked: &Asked, mut request: MintRequest) -> Result<(AccessToken, Value), &'static str> {
    let mut kind = "Bearer";
    match asked.headers.get("dpop").map(|proof| proof.to_str().ok()) {
        None => request.cert_thumbprint = asked.thumbprint.as_deref().map(str::to_owned),
        Some(proof) => {
            let endpoint = format!("{}/token", state.issuer);
            let key = proof.and_then(|proof| dpop::thumbprint(proof, &endpoint)).ok_or("invalid_dpop_proof")?;
            request.claims.insert("cnf".to_owned(), json!({"jkt": key}));
            kind = "DPoP";
        }
    }
    request.ttl_s = state.token_ttl_s;
    let token = mint(state, &request).map_err(|_| "server_error")?;
    let body = json!({
        "access_token": token.secret(), "token_type": kind, "expires_in": state.token_ttl_s,
        "scope": request.scope
    });
    Ok((token, body))
}
