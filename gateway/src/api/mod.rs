//! The JSON API under `/v1` for apps and for people at our own client, what portals call under `/relay`, and
//! `/.well-known`. Described by `openapi.json`, which a test holds against [`ROUTES`].
//!
//! Errors are problem+json (RFC 9457) in Japanese and English, from one catalogue. Nothing here decides: it parses, calls
//! `consent`, and shows what came of it.

mod attested;
mod consents;
mod problem;
mod relay;
mod views;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use sekisho_adapters::my_number;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::App;
use crate::ledger::entry::{Bytes32, Idempotency};
use crate::ledger::event::Event;
use crate::ledger::merkle::sha256;
use crate::request::authenticate::{AuthError, Caller, authenticate};
use crate::request::body::ReplyBody;
use crate::request::connection::Connection;
use crate::request::incoming::RequestBody;
use crate::request::token::TokenError;
use crate::sabotage::{self, Check};
use crate::store::state::Ending;
use problem::Problem;

/// Largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest time for a request body.
const BODY_TAKES_MAX: Duration = Duration::from_secs(8);
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// Every route of the API; `{id}` stands for one segment.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/consents"),
    ("POST", "/v1/consents"),
    ("GET", "/v1/consents/{id}"),
    ("GET", "/v1/consents/{id}/receipt"),
    ("POST", "/v1/consents/{id}/approve"),
    ("POST", "/v1/consents/{id}/refuse"),
    ("POST", "/v1/consents/{id}/revoke"),
    ("POST", "/v1/attested/consents"),
    ("POST", "/v1/attested/refusals"),
    ("POST", "/v1/attested/withdrawals"),
    ("GET", "/v1/refusals"),
    ("POST", "/v1/refusals"),
    ("POST", "/v1/refusals/{id}/lift"),
    ("GET", "/v1/access-log"),
    ("GET", "/v1/me"),
    ("GET", "/v1/texts/{id}"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/relay/my-portal/callback"),
    ("POST", "/relay/my-portal/notify"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/oauth-protected-resource"),
];

/// Whether a request narrows: it has slots of its own, which are always free.
#[must_use]
pub fn narrows(method: &Method, path: &str) -> bool {
    const WHOLE: [&str; 3] = ["/v1/refusals", "/v1/attested/refusals", "/v1/attested/withdrawals"];
    method == Method::POST && (WHOLE.contains(&path) || path.ends_with("/revoke") || path.ends_with("/refuse"))
}

/// An answer of the API.
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self {
            status,
            content_type: "application/json; charset=utf-8",
            body: Bytes::from(value.to_string()),
            headers: Vec::new(),
        }
    }

    fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        // Every value here is made of ids, numbers and our own URL, which are header-safe.
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::plain(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

/// One request to the API, its body read.
pub struct Call<'a> {
    app: &'a Arc<App>,
    connection: &'a Arc<Connection>,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Bytes,
    caller: Option<Caller>,
}

/// Answers one request to the API.
pub async fn handle(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    request: Request<RequestBody>,
) -> Response<ReplyBody> {
    let answer = answer(app, connection, request).await;
    answer.unwrap_or_else(Problem::into_answer).into_response()
}

async fn answer(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    request: Request<RequestBody>,
) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    // Before the body: nobody unknown may hold a place while a body trickles in.
    let open = path == "/v1/openapi.json" || !path.starts_with("/v1/");
    let caller = if open { None } else { Some(known(app, connection, &parts.headers).await?) };
    let body = read(body).await?;
    let call = Call { app, connection, headers: parts.headers, query, body, caller };
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (parts.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "consents"]) => consents::list(&call).await,
        ("POST", ["v1", "consents"]) => consents::propose(&call).await,
        ("GET", ["v1", "consents", id]) => consents::one(&call, id).await,
        ("GET", ["v1", "consents", id, "receipt"]) => consents::record(&call, id).await,
        ("POST", ["v1", "consents", id, "approve"]) => consents::approve(&call, id).await,
        ("POST", ["v1", "consents", id, "refuse"]) => consents::decline(&call, id).await,
        ("POST", ["v1", "consents", id, "revoke"]) => consents::revoke(&call, id).await,
        ("POST", ["v1", "attested", "consents"]) => attested::consent(&call).await,
        ("POST", ["v1", "attested", "refusals"]) => attested::refusal(&call).await,
        ("POST", ["v1", "attested", "withdrawals"]) => attested::withdrawal(&call).await,
        ("GET", ["v1", "refusals"]) => consents::refusals(&call).await,
        ("POST", ["v1", "refusals"]) => consents::refuse(&call).await,
        ("POST", ["v1", "refusals", id, "lift"]) => consents::lift(&call, id).await,
        ("GET", ["v1", "access-log"]) => views::access_log(&call).await,
        ("GET", ["v1", "me"]) => views::me(&call).await,
        ("GET", ["v1", "texts", purpose]) => views::text(&call, purpose),
        ("GET", ["v1", "openapi.json"]) => Ok(openapi()),
        ("GET", ["relay", "my-portal", "callback"]) => Ok(relay::callback(&call).await),
        ("POST", ["relay", "my-portal", "notify"]) => relay::notify(&call),
        ("GET", [".well-known", "jwks.json"]) => {
            Ok(Answer::ok(&crate::consent::receipt::key_set(app.store.ledger_key())))
        }
        ("GET", [".well-known", "oauth-protected-resource"]) => Ok(protected_resource(app)),
        _ => Err(Problem::not_found()),
    }
}

/// Why a request's body was not taken.
pub(crate) enum ReadError {
    TooSlow,
    TooLarge,
    MyNumber,
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooSlow => Self::too_slow(),
            ReadError::TooLarge => Self::too_large(),
            ReadError::MyNumber => Self::my_number(),
        }
    }
}

/// A whole body, bounded in bytes and time; nothing that could be a My Number.
pub(crate) async fn read(body: RequestBody) -> Result<Bytes, ReadError> {
    let whole = tokio::time::timeout(BODY_TAKES_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let whole = whole.map_err(|_| ReadError::TooSlow)?.map_err(|_| ReadError::TooLarge)?.to_bytes();
    if std::str::from_utf8(&whole).is_ok_and(my_number::contained_in) && !sabotage::off(Check::MyNumber) {
        return Err(ReadError::MyNumber);
    }
    Ok(whole)
}

fn openapi() -> Answer {
    let mut answer = Answer::ok(&Value::Null);
    answer.body = Bytes::from_static(include_bytes!("openapi.json"));
    answer
}

/// RFC 9728.
fn protected_resource(app: &App) -> Answer {
    let issuers: Vec<&str> = app.config.issuers.iter().map(|i| i.url.as_str()).collect();
    Answer::ok(&json!({
        "resource": app.config.server.url,
        "authorization_servers": issuers,
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": true,
    }))
}

async fn known(app: &App, connection: &Connection, headers: &HeaderMap) -> Result<Caller, Problem> {
    authenticate(app, connection, headers).await.map_err(|error| {
        tracing::info!(%error, "not authenticated");
        match error {
            AuthError::Store(_) | AuthError::Token(TokenError::KeysUnavailable) => Problem::not_now(),
            AuthError::Token(_) | AuthError::Certificate(_) => Problem::unauthenticated(),
        }
    })
}

impl Call<'_> {
    async fn caller(&self) -> Result<Caller, Problem> {
        self.caller.clone().ok_or_else(Problem::unauthenticated)
    }

    /// A person at our own client, linked by enrolment.
    async fn person(&self) -> Result<(sekisho_policy::PersonId, Caller), Problem> {
        let caller = self.caller().await?;
        let person = match (&caller.party, caller.person) {
            (None, Some(person)) if person != self.app.store.nobody() => person,
            _ => return Err(Problem::not_a_person()),
        };
        Ok((person, caller))
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|e| Problem::body(e.line(), e.column()))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The revision in `If-Match`, if one is stated.
    fn if_match(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.headers.get(http::header::IF_MATCH) else { return Ok(None) };
        let tag = value.to_str().ok().and_then(|t| t.strip_prefix("\"r")?.strip_suffix('"')?.parse().ok());
        tag.map(Some).ok_or_else(|| Problem::field("If-Match", "must be the ETag that was given"))
    }

    /// What this very request recorded when it came before. The same key with another body is a mistake.
    fn earlier(&self, idempotency: Option<Idempotency>) -> Result<Option<(Event, Ending)>, Problem> {
        let Some(again) = idempotency.filter(|_| !sabotage::off(Check::IdempotencyKey)) else { return Ok(None) };
        match self.app.store.by_idempotency(again.key.0)? {
            Some((event, body, ending)) if body == again.body.0 || sabotage::off(Check::IdempotencyBody) => {
                Ok(Some((event, ending)))
            }
            Some(_) => Err(Problem::key_reused()),
            None => Ok(None),
        }
    }

    /// The idempotency key, scoped to party, person and route, with the hash of this body (design §6).
    fn idempotency(&self, caller: &Caller, route: &str) -> Result<Option<Idempotency>, Problem> {
        let Some(key) = self.headers.get("idempotency-key") else { return Ok(None) };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Problem::field("Idempotency-Key", "must be 1 to 255 letters"));
        }
        let party = caller.party.as_ref().map_or([0; 16], |p| *p.id.bytes());
        let person = caller.person.map_or([0; 16], |p| *p.bytes());
        let mut scope = Vec::new();
        for part in [party.as_slice(), &person, route.as_bytes(), key.as_bytes()] {
            scope.extend_from_slice(&(part.len() as u64).to_le_bytes());
            scope.extend_from_slice(part);
        }
        Ok(Some(Idempotency { key: Bytes32(sha256(&scope)), body: Bytes32(sha256(&self.body)) }))
    }
}
