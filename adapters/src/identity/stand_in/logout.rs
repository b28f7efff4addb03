//! Signing out: RP-Initiated Logout 1.0, and logout tokens after Back-Channel Logout 1.0.
//!
//! What it does: ends all sign-ins of the person whom an ID token names, tells the clients that asked to be told, all but
//! the one that asked, and sends the person back to a registered address. What it never does: send anybody elsewhere, or
//! end anything for somebody who shows no ID token of ours.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::keys::{Signature, sign_as};
use super::{IssuerError, Registration, SignIn, State, lock, page, random_id};
use crate::stand_in::{Asked, StandInBody, answer};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const NOTICES_MAX: usize = 64;

/// What to put into a logout token. The makers ask for a valid one.
#[derive(Debug, Clone)]
pub struct LogoutRequest {
    /// Whom it is for.
    pub client_id: String,
    /// Who has signed out.
    pub sub: Option<String>,
    /// Which of their sign-ins has ended; none for all.
    pub sid: Option<String>,
    /// Lifetime from now in seconds; negative for one that is over.
    pub ttl_s: i64,
    /// The type in its header.
    pub typ: String,
    /// How it is signed.
    pub signature: Signature,
    /// Further claims, which also replace the others; null takes one out.
    pub claims: Map<String, Value>,
}

impl LogoutRequest {
    /// One sign-in has ended.
    #[must_use]
    pub fn of_sign_in(sign_in: &SignIn) -> Self {
        Self { sid: Some(sign_in.sid.clone()), ..Self::of_person(&sign_in.client_id, &sign_in.sub) }
    }

    /// All sign-ins of a person at a client have ended.
    #[must_use]
    pub fn of_person(client_id: &str, sub: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            sub: Some(sub.to_owned()),
            sid: None,
            ttl_s: 120,
            typ: "logout+jwt".to_owned(),
            signature: Signature::Ours,
            claims: Map::new(),
        }
    }
}

pub(super) fn token(state: &State, request: &LogoutRequest) -> Result<String, IssuerError> {
    let now = state.now_s();
    let mut claims = json!({
        "iss": state.issuer, "aud": request.client_id, "iat": now, "exp": now + request.ttl_s, "jti": random_id()?,
        "events": {EVENT: {}}
    });
    if let Value::Object(claims) = &mut claims {
        let named = [("sub", &request.sub), ("sid", &request.sid)];
        claims.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
        claims.extend(request.claims.clone());
        claims.retain(|_, value| !value.is_null());
    }
    sign_as(request.signature, &state.id_token_key()?, &request.typ, &claims)
}

/// What follows from a request to sign out.
pub(super) struct SignedOut {
    pub response: Response<StandInBody>,
    /// Whom to tell.
    pub notices: Vec<SignIn>,
}

#[derive(Deserialize)]
struct Hint {
    iss: String,
    sub: String,
    aud: String,
    sid: String,
}

pub(super) fn end_session(state: &State, asked: &Asked) -> SignedOut {
    let of = |name: &str| asked.param(name).or_else(|| asked.form(name));
    let nobody = |response| SignedOut { response, notices: Vec::new() };
    let hint = match of("id_token_hint").map(|token| hint(state, &token)) {
        Some(None) => return nobody(page::refused()),
        given => given.flatten(),
    };
    let id = of("client_id").or_else(|| hint.as_ref().map(|hint| hint.aud.clone()));
    if hint.as_ref().is_some_and(|hint| Some(&hint.aud) != id.as_ref()) {
        return nobody(page::refused());
    }
    let client = id.and_then(|id| state.client(&id));
    let response = match (of("post_logout_redirect_uri"), client) {
        (None, _) => page::signed_out(),
        (Some(uri), Some(client)) if client.post_logout_redirect_uris.contains(&uri) => back(&uri, of("state")),
        _ => return nobody(page::refused()),
    };
    let mut notices = hint.as_ref().map(|hint| lock(&state.sign_ins).end(&hint.sub)).unwrap_or_default();
    notices.retain(|ended| hint.as_ref().is_none_or(|hint| ended.sid != hint.sid));
    notices.truncate(NOTICES_MAX);
    SignedOut { response, notices }
}

/// An ID token of ours, be it over or not.
fn hint(state: &State, token: &str) -> Option<Hint> {
    let header = decode_header(token).ok()?;
    let (key, algorithm) =
        lock(&state.keys).published().find(|key| Some(key.kid()) == header.kid.as_deref())?.checking();
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let hint = decode::<Hint>(token, &key, &validation).ok()?.claims;
    (hint.iss == state.issuer).then_some(hint)
}

/// Tells each client that asked to be told, one after the other; the answer waits for it, so that a test can.
pub(super) async fn tell(state: &State, notices: Vec<SignIn>) {
    let Some(http) = &state.notices else {
        return;
    };
    for sign_in in notices {
        let Some(uri) = state.client(&sign_in.client_id).and_then(|client: Registration| client.backchannel_logout_uri)
        else {
            continue;
        };
        let Ok(token) = token(state, &LogoutRequest::of_sign_in(&sign_in)) else {
            continue;
        };
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
        let request = http::Request::post(uri).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Ok(request) = request.body(Bytes::from(body)) {
            // A client that can't be told now is not told later: sign-outs are not to wait for it.
            let _ = http.send(request).await;
        }
    }
}

fn back(uri: &str, state: Option<String>) -> Response<StandInBody> {
    let mut location = uri.to_owned();
    if let Some(state) = state {
        location.push(if uri.contains('?') { '&' } else { '?' });
        location.push_str(&form_urlencoded::Serializer::new(String::new()).append_pair("state", &state).finish());
    }
    let Ok(location) = HeaderValue::try_from(location) else {
        return page::refused();
    };
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}
