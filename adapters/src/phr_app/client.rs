//! The client: one question for the parts that may be asked for.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use jiff::Timestamp;

use super::map::{Mapped, map};
use super::{Part, wire};
use crate::http::{HttpClient, HttpError, Response};
use crate::my_number;

/// Why there is no answer from an app. Nothing personal is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhrAppError {
    /// The app couldn't be talked to.
    #[error(transparent)]
    Upstream(#[from] HttpError),
    /// The app answered with this status.
    #[error("the app answered with status {0}")]
    Refused(u16),
    /// The answer isn't in the agreed shape; says where.
    #[error("the app's answer can't be read: {0}")]
    Malformed(&'static str),
    /// The answer is, or says something, about another user than was asked for. All of it is refused.
    #[error("the app's answer is about another user")]
    WrongUser,
    /// What we know the user by at the app isn't an id that can be asked for.
    #[error("the user's id at the app isn't one: up to 64 letters, digits, - and .")]
    NotAUserId,
    /// Our own configuration can't be used.
    #[error("the app's configuration can't be used: {0}")]
    Config(&'static str),
}

/// An app. Its [`HttpClient`] carries our client certificate and bounds sizes and times.
#[derive(Debug, Clone)]
pub struct PhrApp {
    http: HttpClient,
    base_url: String,
}

impl PhrApp {
    /// An app under `https://…`, without a slash at the end.
    #[must_use]
    pub fn new(http: HttpClient, base_url: String) -> Self {
        Self { http, base_url }
    }

    /// Asks for parts of a user's records, and maps them as known at `now`. `None`: the app knows nobody by that id, or
    /// nothing was asked for, in which case nothing is sent.
    ///
    /// # Errors
    ///
    /// See [`PhrAppError`].
    pub async fn records(&self, user: &str, parts: &[Part], now: Timestamp) -> Result<Option<Mapped>, PhrAppError> {
        if !wire::is_user_id(user) || my_number::contained_in(user) {
            return Err(PhrAppError::NotAUserId);
        }
        // In one order, each once: the same question always looks the same.
        let asked: Vec<Part> = Part::ALL.into_iter().filter(|part| parts.contains(part)).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = asked.iter().map(|part| part.name()).collect();
        let request = Request::get(format!("{}/v1/users/{user}/records?parts={}", self.base_url, names.join(",")))
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| PhrAppError::Config("base_url"))?;
        let response = self.http.send(request).await?;
        match response.status {
            StatusCode::OK if is_json(&response) => {
                let records = wire::read(&response.body, user, &asked)?;
                Ok(Some(map(&records, user, now)))
            }
            StatusCode::OK => Err(PhrAppError::Malformed("content-type")),
            StatusCode::NOT_FOUND if wire::says_unknown_user(&response.body) => Ok(None),
            other => Err(PhrAppError::Refused(other.as_u16())),
        }
    }
}

/// JSON is UTF-8 (RFC 8259 §8.1): another character set is none.
fn is_json(response: &Response) -> bool {
    let given = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim();
    let utf8 = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
    kind.trim().eq_ignore_ascii_case("application/json") && utf8
}
