//! Webhooks, signed after Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature` with HMAC-SHA-256.
//!
//! What it never does: follow a redirect, retry by itself, or say in an error what was sent or to whom.

pub mod stand_in;

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{Request, StatusCode};

use crate::http::HttpClient;

/// Shortest secret, in bytes: Standard Webhooks asks for 24 to 64.
const SECRET_BYTES_MIN: usize = 24;

/// Why a webhook was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The secret is none.
    #[error("a webhook's secret must be `whsec_` and base64 of at least 24 bytes")]
    Secret,
    /// It will never be taken.
    #[error("the webhook was refused for good")]
    Refused,
    /// The receiver can't be reached, or says to try again later.
    #[error("the webhook was not taken now")]
    NotNow,
}

/// What webhooks to one receiver are signed under.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Of its text: `whsec_` and base64.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(WebhookError::Secret)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| WebhookError::Secret)?;
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(WebhookError::Secret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The `webhook-signature` of a body that goes out under this id, at this time in seconds since the epoch.
    #[must_use]
    pub fn sign(&self, id: &str, at_s: i64, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(format!("{id}.{at_s}.").as_bytes());
        signing.update(body);
        format!("v1,{}", BASE64.encode(signing.sign().as_ref()))
    }
}

/// One receiver.
#[derive(Clone)]
pub struct Webhook {
    url: String,
    http: HttpClient,
    secret: Secret,
}

impl Webhook {
    /// At this address, signed under this secret (`whsec_…`).
    ///
    /// # Errors
    /// When the secret is none.
    pub fn new(url: String, http: HttpClient, secret: &str) -> Result<Self, WebhookError> {
        Ok(Self { url, http, secret: Secret::parse(secret)? })
    }

    /// Sends one. Who gets the same `id` twice has had it before.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, id: &str, at_s: i64, body: &serde_json::Value) -> Result<(), WebhookError> {
        let body = body.to_string();
        let signature = self.secret.sign(id, at_s, body.as_bytes());
        let request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s)
            .header("webhook-signature", signature)
            .body(Bytes::from(body))
            .map_err(|_| WebhookError::Refused)?;
        match self.http.send(request).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) if answer.status == StatusCode::GONE => Err(WebhookError::Refused),
            _ => Err(WebhookError::NotNow),
        }
    }
}
