//! The client of the portal: sign-in, token, request, result; over mutual TLS.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Request, StatusCode, header};
use serde_json::json;

use super::codes::PortalCodes;
use super::kept::{PortalAccount, PortalToken, ProcessId, Verifier};
use super::wire::{self, PortalAnswer};
use crate::http::{HttpClient, HttpError, Response};
use crate::municipality::MunicipalityCode;

/// Longest waiting time that is believed.
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// Why there is no answer from the portal. Nothing personal is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortalError {
    /// The token, the code or our certificate isn't accepted (any more): the person has to sign in again.
    #[error("the portal doesn't accept the sign-in")]
    Unauthenticated,
    /// Too many questions.
    #[error("the portal asks to wait for {retry_after_s} s")]
    RateLimited {
        /// For how long to wait.
        retry_after_s: u64,
    },
    /// The portal couldn't be talked to.
    #[error(transparent)]
    Upstream(#[from] HttpError),
    /// The answer isn't what was agreed; says which field.
    #[error("the portal's answer can't be read: {0}")]
    Malformed(&'static str),
    /// The portal refused, with this code.
    #[error("the portal refused: {0}")]
    Refused(String),
    /// Our own configuration can't be used.
    #[error("the portal's configuration can't be used: {0}")]
    Config(&'static str),
}

/// How to reach the portal, and as whom.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// `https://…`, without a slash at the end.
    pub base_url: String,
    /// Our client identifier there.
    pub client_id: String,
    /// Our registered redirect URI.
    pub redirect_uri: String,
    /// The portal's codes.
    pub codes: PortalCodes,
}

/// What a sign-in begins with: where to send the browser, and what to keep until it comes back.
#[derive(Clone)]
pub struct SignIn {
    /// Where to send the browser.
    pub url: String,
    /// Must come back unchanged.
    pub state: String,
    /// Redeems the code.
    pub verifier: Verifier,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIn(…)")
    }
}

/// A person signed in at the portal.
#[derive(Debug, Clone)]
pub struct PortalSession {
    /// The token.
    pub token: PortalToken,
    /// Whose account it is.
    pub account: PortalAccount,
    /// For how long the token is good.
    pub expires_in_s: u64,
}

/// How often and how long to ask for a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// Pause between two questions.
    pub every_ms: u64,
    /// Most questions.
    pub times_max: u32,
}

impl Default for Polling {
    fn default() -> Self {
        // The portal's own pages ask every three seconds.
        Self { every_ms: 3_000, times_max: 40 }
    }
}

/// The client. Its [`HttpClient`] carries our client certificate and bounds sizes and times.
#[derive(Debug, Clone)]
pub struct PortalClient {
    http: HttpClient,
    config: PortalConfig,
}

impl PortalClient {
    /// A client over mutual TLS.
    #[must_use]
    pub fn new(http: HttpClient, config: PortalConfig) -> Self {
        Self { http, config }
    }

    /// The codes it works with.
    #[must_use]
    pub fn codes(&self) -> &PortalCodes {
        &self.config.codes
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    ///
    /// When no random number can be had.
    pub fn begin(&self) -> Result<SignIn, PortalError> {
        let verifier = random()?;
        let state = random()?;
        let challenge = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.redirect_uri)
            .append_pair("scope", &self.config.codes.scope)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let url = format!("{}/oauth/authorize?{query}", self.config.base_url);
        Ok(SignIn { url, state, verifier: Verifier::from_kept(verifier) })
    }

    /// Redeems the code that the browser brought back. The caller compares the account with the linked one.
    ///
    /// # Errors
    ///
    /// [`PortalError::Unauthenticated`] when the code isn't accepted; see [`PortalError`].
    pub async fn redeem(&self, code: &str, verifier: &Verifier) -> Result<PortalSession, PortalError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.redirect_uri)
            .append_pair("code", code)
            .append_pair("code_verifier", verifier.secret())
            .finish();
        let response = self.post("/oauth/token", "application/x-www-form-urlencoded", None, body).await?;
        if response.status == StatusCode::BAD_REQUEST {
            return Err(PortalError::Unauthenticated);
        }
        sound(&response)?;
        let value = wire::parse(&response.body)?;
        let text = |field: &'static str, max: usize| {
            let text = value.get(field).and_then(serde_json::Value::as_str);
            let fit = text.filter(|t| (1..=max).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()));
            fit.map(str::to_owned).ok_or(PortalError::Malformed(field))
        };
        if !text("token_type", 16)?.eq_ignore_ascii_case("bearer") {
            return Err(PortalError::Malformed("token_type"));
        }
        let expires_in_s = value.get("expires_in").and_then(serde_json::Value::as_u64);
        Ok(PortalSession {
            token: PortalToken::from_kept(text("access_token", 4096)?),
            account: PortalAccount::from_kept(text("sub", 255)?),
            expires_in_s: expires_in_s.ok_or(PortalError::Malformed("expires_in"))?,
        })
    }

    /// Asks for the vaccination record. The answer comes later, under the process id; that the municipality doesn't
    /// offer it can come at once.
    ///
    /// # Errors
    ///
    /// See [`PortalError`].
    pub async fn request(&self, token: &PortalToken) -> Result<Result<ProcessId, MunicipalityCode>, PortalError> {
        let codes = &self.config.codes;
        let body = json!({"reqBody": {
            "fieldCd": codes.field, "fieldDetailCd": codes.field_detail, "personInfoNameCd": codes.record
        }});
        let response = self.post("/request", "application/json", Some(token), body.to_string()).await?;
        sound(&response)?;
        Ok(wire::requested(&response.body, codes, retry_after(&response))?.map(ProcessId::from_kept))
    }

    /// Asks once for the answer.
    ///
    /// # Errors
    ///
    /// See [`PortalError`].
    pub async fn result(&self, token: &PortalToken, process: &ProcessId) -> Result<PortalAnswer, PortalError> {
        let body = json!({"process_id": process.as_str()}).to_string();
        let response = self.post("/result", "application/json", Some(token), body).await?;
        sound(&response)?;
        wire::result(&response.body, &self.config.codes, retry_after(&response))
    }

    /// Asks for the record and then for the answer, as often as `polling` allows. [`PortalAnswer::Pending`] means
    /// that it wasn't ready by then.
    ///
    /// # Errors
    ///
    /// See [`PortalError`].
    pub async fn fetch(&self, token: &PortalToken, polling: Polling) -> Result<PortalAnswer, PortalError> {
        let process = match self.request(token).await? {
            Ok(process) => process,
            Err(municipality) => return Ok(PortalAnswer::NotSupported { municipality }),
        };
        for turn in 0..polling.times_max {
            if turn > 0 {
                tokio::time::sleep(Duration::from_millis(polling.every_ms)).await;
            }
            let answer = self.result(token, &process).await?;
            if answer != PortalAnswer::Pending {
                return Ok(answer);
            }
        }
        Ok(PortalAnswer::Pending)
    }

    async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        token: Option<&PortalToken>,
        body: String,
    ) -> Result<Response, PortalError> {
        let mut request = Request::post(format!("{}{path}", self.config.base_url))
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.secret()));
            let mut value = value.map_err(|_| PortalError::Unauthenticated)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Bytes::from(body)).map_err(|_| PortalError::Config("base_url"))?;
        Ok(self.http.send(request).await?)
    }
}

/// Sorts out what the status alone says.
fn sound(response: &Response) -> Result<(), PortalError> {
    match response.status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PortalError::Unauthenticated),
        StatusCode::TOO_MANY_REQUESTS => {
            Err(PortalError::RateLimited { retry_after_s: retry_after(response).unwrap_or(60) })
        }
        other => Err(PortalError::Refused(format!("HTTP{}", other.as_u16()))),
    }
}

fn retry_after(response: &Response) -> Option<u64> {
    let value = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(|seconds: u64| seconds.min(RETRY_AFTER_MAX_S))
}

fn random() -> Result<String, PortalError> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PortalError::Config("random"))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}
