//! Browser apps of registered parties (CORS, the Fetch standard): which origins may ask from a page, and see the answer.
//!
//! An origin opens nothing by itself: it is only a browser that looks at it, and who asks proves who they are as everybody
//! does. Credentials that a browser adds by itself (cookies, certificates) are never allowed, so no origin is ever `*`.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response};

use super::body::ReplyBody;
use super::respond::Reply;
use crate::app::App;
use crate::sabotage::{self, Check};

/// What may be asked for: the methods of our routes, and the header fields that they read.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const FIELDS: HeaderValue =
    HeaderValue::from_static("accept, authorization, content-type, dpop, idempotency-key, if-match, if-none-match");
/// What a page may see of an answer beside what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, Location, Retry-After, WWW-Authenticate");
/// How long a browser remembers that, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origin that asks, if a party has registered it and the path is one for apps: never our own pages.
#[must_use]
pub fn known_origin(app: &App, headers: &HeaderMap, path: &str) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, another) = (origins.next()?, origins.next());
    let under = |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let for_apps = !["/my", "/counter", "/clinic", "/nurse", "/relay"].into_iter().any(under);
    let known = origin.to_str().is_ok_and(|origin| app.parties.has_origin(origin)) || sabotage::off(Check::KnownOrigin);
    (known && for_apps && another.is_none()).then(|| origin.clone())
}

/// Whether a browser asks whether it may ask.
#[must_use]
pub fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that: about nobody, and the same to everybody at a known origin.
#[must_use]
pub fn preflight() -> Response<ReplyBody> {
    let mut response = Reply::nothing_to_say().plain();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, FIELDS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

/// Lets pages of this origin see an answer.
pub fn let_see(origin: HeaderValue, response: &mut Response<ReplyBody>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
