//! The JSON API under `/v1` for apps and for people at our own client, what portals call under `/relay`, `/.well-known`, and
//! what FHIR clients read before they ask (`discovery`). Described by `openapi.json`, which a test holds against [`ROUTES`].
//!
//! Errors are problem+json (RFC 9457) in Japanese and English, from one catalogue. Nothing here decides: it parses, calls
//! `consent`, and shows what came of it.

mod alerts;
mod attested;
mod bookings;
mod consents;
mod discovery;
mod erasures;
mod forwards;
mod link_codes;
mod packages;
mod preview;
mod problem;
mod relay;
mod views;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use sekisho_adapters::my_number;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::App;
use crate::ledger::entry::{Bytes32, Idempotency};
use crate::ledger::event::Event;
use crate::ledger::merkle::sha256;
use crate::request::authenticate::{AuthError, Caller, KnownParty, Showing, authenticate};
use crate::request::body::ReplyBody;
use crate::request::connection::Connection;
use crate::request::incoming::RequestBody;
use crate::request::releases::Handle;
use crate::request::token::TokenError;
use crate::routes::matched;
use crate::sabotage::{self, Check};
use crate::store::state::Ending;
pub use discovery::is_for_base;
use problem::Problem;

/// Largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The same of what a consultation service pushes.
const PUSHED_BYTES_MAX: usize = 1 << 20;
/// Longest time for a request body.
const BODY_TAKES_MAX: Duration = Duration::from_secs(8);
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

macro_rules! routes {
    ($($name:ident $method:literal $path:literal;)*) => {
        /// A route of the API: there is none that does not stand in [`ROUTES`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Which { $(#[doc = concat!("`", $method, " ", $path, "`")] $name,)* }

        /// Every route of the API; `{id}` stands for one segment.
        pub const ROUTES: &[(&str, &str)] = &[$(($method, $path),)*];

        /// The same, in the same order.
        pub const WHICH: &[Which] = &[$(Which::$name,)*];
    };
}

routes! {
    Consents "GET" "/v1/consents";
    Propose "POST" "/v1/consents";
    Consent "GET" "/v1/consents/{id}";
    Record "GET" "/v1/consents/{id}/receipt";
    Preview "GET" "/v1/consents/{id}/preview";
    Approve "POST" "/v1/consents/{id}/approve";
    Decline "POST" "/v1/consents/{id}/refuse";
    Revoke "POST" "/v1/consents/{id}/revoke";
    Deliveries "GET" "/v1/consents/{id}/deliveries";
    Deliver "POST" "/v1/consents/{id}/deliveries";
    AttestConsent "POST" "/v1/attested/consents";
    AttestRefusal "POST" "/v1/attested/refusals";
    AttestWithdrawal "POST" "/v1/attested/withdrawals";
    LinkCode "POST" "/v1/link-codes";
    Booking "GET" "/v1/bookings/{id}";
    BookingCancelled "POST" "/v1/bookings/{id}/cancelled";
    BookingMoved "POST" "/v1/bookings/{id}/moved";
    Refusals "GET" "/v1/refusals";
    Refuse "POST" "/v1/refusals";
    Lift "POST" "/v1/refusals/{id}/lift";
    AccessLog "GET" "/v1/access-log";
    Erasures "GET" "/v1/erasure-requests";
    AnswerErasure "POST" "/v1/erasure-requests/{id}/answer";
    Packages "GET" "/v1/packages";
    PackageCopy "POST" "/v1/packages/{id}/copies";
    PackageReceived "POST" "/v1/packages/{id}/receipts";
    PushConsultations "POST" "/v1/consultations";
    Alerts "GET" "/v1/alerts";
    AcknowledgeAlert "POST" "/v1/alerts/{id}/acknowledgement";
    DecideAlert "POST" "/v1/alerts/{id}/decision";
    Bases "GET" "/v1/bases";
    ConfirmBasis "POST" "/v1/bases/{id}/confirmation";
    Me "GET" "/v1/me";
    Text "GET" "/v1/texts/{id}";
    OpenApi "GET" "/v1/openapi.json";
    PortalCameBack "GET" "/relay/my-portal/callback";
    PortalNotice "POST" "/relay/my-portal/notify";
    Keys "GET" "/.well-known/jwks.json";
    Resource "GET" "/.well-known/oauth-protected-resource";
    Smart "GET" "/.well-known/smart-configuration";
    SmartOfBase "GET" "/{id}/.well-known/smart-configuration";
    Metadata "GET" "/{id}/metadata";
}

/// Which route a request is for, and the `{id}` in its path.
fn which<'a>(method: &Method, path: &'a str) -> Option<(Which, &'a str)> {
    ROUTES.iter().zip(WHICH).find_map(|((of, pattern), which)| {
        let id = if *of == method.as_str() { matched(pattern, path) } else { None };
        id.map(|id| (*which, id))
    })
}

/// Whether a request narrows: it has slots of its own, which are always free.
#[must_use]
pub fn narrows(method: &Method, path: &str) -> bool {
    const WHOLE: [&str; 3] = ["/v1/refusals", "/v1/attested/refusals", "/v1/attested/withdrawals"];
    const ENDS: [&str; 4] = ["/revoke", "/refuse", "/cancelled", "/moved"];
    method == Method::POST && (WHOLE.contains(&path) || ENDS.iter().any(|end| path.ends_with(end)))
}

/// An answer of the API.
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The release that the body is, where it is one.
    handle: Option<Arc<Handle>>,
}

impl Answer {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self {
            status,
            content_type: "application/json; charset=utf-8",
            body: Bytes::from(value.to_string()),
            headers: Vec::new(),
            handle: None,
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
        let mut response = Response::new(match self.handle {
            Some(handle) => ReplyBody::release(self.body, handle),
            None => ReplyBody::plain(self.body),
        });
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
    let caller = if open { None } else { Some(known(app, connection, &parts).await?) };
    // A service's records are read one by one: one that must not be taken holds no urgent one back.
    let body = match path.as_str() {
        "/v1/consultations" => whole(body, PUSHED_BYTES_MAX).await?,
        // A digest and nothing else. One in some hundreds looks as if it held a My Number, and its copy could never be confirmed.
        path if path.starts_with("/v1/packages/") && path.ends_with("/receipts") => whole(body, BODY_BYTES_MAX).await?,
        _ => read(body).await?,
    };
    let call = Call { app, connection, headers: parts.headers, query, body, caller };
    let (which, id) = which(&parts.method, &path).ok_or_else(Problem::not_found)?;
    match which {
        Which::Consents => consents::list(&call).await,
        Which::Propose => consents::propose(&call).await,
        Which::Consent => consents::one(&call, id).await,
        Which::Record => consents::record(&call, id).await,
        Which::Preview => preview::show(&call, id).await,
        Which::Approve => consents::approve(&call, id).await,
        Which::Decline => consents::decline(&call, id).await,
        Which::Revoke => consents::revoke(&call, id).await,
        Which::Deliveries => forwards::list(&call, id).await,
        Which::Deliver => forwards::ask(&call, id).await,
        Which::AttestConsent => attested::consent(&call).await,
        Which::AttestRefusal => attested::refusal(&call).await,
        Which::AttestWithdrawal => attested::withdrawal(&call).await,
        Which::LinkCode => link_codes::issue(&call).await,
        Which::Booking => bookings::one(&call, id).await,
        Which::BookingCancelled => bookings::cancelled(&call, id).await,
        Which::BookingMoved => bookings::moved(&call, id).await,
        Which::Refusals => consents::refusals(&call).await,
        Which::Refuse => consents::refuse(&call).await,
        Which::Lift => consents::lift(&call, id).await,
        Which::AccessLog => views::access_log(&call).await,
        Which::Erasures => erasures::list(&call).await,
        Which::AnswerErasure => erasures::answer(&call, id).await,
        Which::Packages => packages::list(&call),
        Which::PackageCopy => packages::copy(&call, id).await,
        Which::PackageReceived => packages::receive(&call, id).await,
        Which::PushConsultations => alerts::push(&call).await,
        Which::Alerts => alerts::list(&call),
        Which::AcknowledgeAlert => alerts::acknowledge(&call, id).await,
        Which::DecideAlert => alerts::decide(&call, id).await,
        Which::Bases => alerts::bases(&call),
        Which::ConfirmBasis => alerts::confirm_basis(&call, id).await,
        Which::Me => views::me(&call).await,
        Which::Text => views::text(&call, id),
        Which::OpenApi => Ok(openapi()),
        Which::PortalCameBack => Ok(relay::callback(&call).await),
        Which::PortalNotice => relay::notify(&call),
        Which::Keys => Ok(Answer::ok(&crate::consent::receipt::key_set(app.store.ledger_key()))),
        Which::Resource => Ok(discovery::protected_resource(app)),
        Which::Smart => discovery::smart(&call, None),
        Which::SmartOfBase => discovery::smart(&call, Some(id)),
        Which::Metadata => discovery::metadata(&call, id),
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
    let whole = whole(body, BODY_BYTES_MAX).await?;
    if std::str::from_utf8(&whole).is_ok_and(my_number::contained_in) && !sabotage::off(Check::MyNumber) {
        return Err(ReadError::MyNumber);
    }
    Ok(whole)
}

async fn whole(body: RequestBody, bytes_max: usize) -> Result<Bytes, ReadError> {
    let whole = tokio::time::timeout(BODY_TAKES_MAX, Limited::new(body, bytes_max).collect()).await;
    Ok(whole.map_err(|_| ReadError::TooSlow)?.map_err(|_| ReadError::TooLarge)?.to_bytes())
}

fn openapi() -> Answer {
    let mut answer = Answer::ok(&Value::Null);
    answer.body = Bytes::from_static(include_bytes!("openapi.json"));
    answer
}

async fn known(app: &App, connection: &Connection, parts: &Parts) -> Result<Caller, Problem> {
    let showing = Showing { method: &parts.method, path: parts.uri.path(), headers: &parts.headers };
    authenticate(app, connection, showing).await.map_err(|error| {
        tracing::info!(%error, "not authenticated");
        match error {
            AuthError::Store(_) | AuthError::TooManyProofs | AuthError::Token(TokenError::KeysUnavailable) => {
                Problem::not_now()
            }
            AuthError::Token(_) | AuthError::Certificate(_) | AuthError::Proof(_) => {
                Problem::unauthenticated().by_key_or_not(showing.is_by_key())
            }
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

    /// A machine of a party.
    fn machine(&self) -> Result<KnownParty, Problem> {
        let caller = self.caller.as_ref().ok_or_else(Problem::unauthenticated)?;
        let machine = caller.person.is_none() || sabotage::off(Check::ErasureByMachine);
        caller.party.clone().filter(|_| machine).ok_or_else(Problem::machine_needed)
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
