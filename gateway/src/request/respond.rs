//! The one place that turns outcomes into status, headers and bodies.
//!
//! Fixed sentences only. A denial is one of two shapes, by route, whatever the reason (invariant 5): an empty searchset
//! or a 404. Every answer carries `no-store`.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::body::ReplyBody;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What a caller is told who was not accepted, in the way in which it came (RFC 6750 §3, RFC 9449 §7.1).
#[must_use]
pub const fn challenge(by_key: bool) -> &'static str {
    if by_key { r#"DPoP error="invalid_token", algs="ES256 EdDSA""# } else { r#"Bearer error="invalid_token""# }
}

/// An answer whose body is not sent yet.
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
    /// `WWW-Authenticate`, on 401 and 403.
    pub challenge: Option<&'static str>,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// `ETag`, of what was released.
    pub etag: Option<String>,
}

impl Reply {
    fn outcome(status: StatusCode, code: &str, ja: &str, en: &str) -> Self {
        let issue = json!({
            "severity": "error",
            "code": code,
            "details": {"text": format!("{ja} / {en}")},
        });
        let body = json!({"resourceType": "OperationOutcome", "issue": [issue]});
        Self { status, body: Bytes::from(body.to_string()), challenge: None, retry_after_s: None, etag: None }
    }

    /// A searchset of so many entries in all, of which JSON is given, a comma between two, and a link to more.
    #[must_use]
    pub fn searchset(entries: &[u8], total: u32, self_link: &str, next: Option<&str>) -> Self {
        let link = |relation, url: &str| format!(r#"{{"relation":"{relation}","url":{}}}"#, json!(url));
        let next = next.map(|url| format!(",{}", link("next", url))).unwrap_or_default();
        let link = format!("[{}{next}]", link("self", self_link));
        let head = format!(r#"{{"resourceType":"Bundle","type":"searchset","total":{total},"link":{link}"#);
        // FHIR forbids an empty array.
        let (before, after) = if entries.is_empty() { ("", "}") } else { (r#","entry":["#, "]}") };
        let parts = [head.as_bytes(), before.as_bytes(), entries, after.as_bytes()];
        Self::ok(Bytes::from(parts.concat()))
    }

    /// One resource, as JSON.
    #[must_use]
    pub fn ok(body: Bytes) -> Self {
        Self { status: StatusCode::OK, body, challenge: None, retry_after_s: None, etag: None }
    }

    /// It is what the caller has already.
    #[must_use]
    pub fn not_modified(etag: Option<String>) -> Self {
        Self { status: StatusCode::NOT_MODIFIED, body: Bytes::new(), challenge: None, retry_after_s: None, etag }
    }

    /// The whole that a page was to be of is not what it was.
    #[must_use]
    pub fn changed() -> Self {
        Self::outcome(
            StatusCode::GONE,
            "conflict",
            "ページをめくる間に内容が変わりました。最初のページからやり直してください。",
            "It has changed since the first page. Begin with the first page again.",
        )
    }

    /// Nothing there, or nothing for this caller.
    #[must_use]
    pub fn not_found() -> Self {
        Self::outcome(
            StatusCode::NOT_FOUND,
            "not-found",
            "見つかりません。URL と、お持ちの患者 ID を確かめてください。",
            "Not found. Check the URL and the patient id that you were given.",
        )
    }

    /// The caller did not prove who it is.
    #[must_use]
    pub fn unauthenticated(by_key: bool) -> Self {
        let mut reply = Self::outcome(
            StatusCode::UNAUTHORIZED,
            "login",
            "認証できません。クライアント証明書（または DPoP の鍵）と、それに結び付いた有効なアクセストークンで、もう一度お試しください。",
            "Not authenticated. Try again with your client certificate, or your DPoP key, and a valid access token bound to it.",
        );
        reply.challenge = Some(challenge(by_key));
        reply
    }

    /// To a question about nobody: whether a browser may ask.
    #[must_use]
    pub fn nothing_to_say() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Bytes::new(), challenge: None, retry_after_s: None, etag: None }
    }

    /// The token lacks a scope.
    #[must_use]
    pub fn scope() -> Self {
        let mut reply = Self::outcome(
            StatusCode::FORBIDDEN,
            "forbidden",
            "アクセストークンの scope が足りません。必要な scope を付けたトークンを取り直してください。",
            "The access token lacks a scope. Get a token with the scope that this route needs.",
        );
        reply.challenge = Some(r#"Bearer error="insufficient_scope""#);
        reply
    }

    /// The request was addressed to somebody else.
    #[must_use]
    pub fn misdirected() -> Self {
        Self::outcome(
            StatusCode::MISDIRECTED_REQUEST,
            "invalid",
            "宛先のホスト名が違います。",
            "The request names another host.",
        )
    }

    /// Not now: busy, or something that must be recorded could not be.
    #[must_use]
    pub fn not_now(retry_after_s: u32) -> Self {
        let mut reply = Self::outcome(
            StatusCode::SERVICE_UNAVAILABLE,
            "transient",
            "ただいま処理できません。何も提供されていません。しばらくしてからお試しください。",
            "Not possible right now. Nothing was released. Try again later.",
        );
        reply.retry_after_s = Some(retry_after_s);
        reply
    }

    /// The party has had its share of denials for now.
    #[must_use]
    pub fn too_many() -> Self {
        let mut reply = Self::outcome(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            "許可されない要求が多すぎます。何も判定していません。しばらくしてから、同意のある方についてだけお試しください。",
            "Too many requests that are not permitted. Nothing was decided. Try again later, and only about people who consented.",
        );
        reply.retry_after_s = Some(1);
        reply
    }

    /// The source answers too late, or not yet.
    #[must_use]
    pub fn source_slow(retry_after_s: u32) -> Self {
        let mut reply = Self::outcome(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "提供元の準備ができていません。しばらくしてからお試しください。",
            "The source is not ready. Try again later.",
        );
        reply.retry_after_s = Some(retry_after_s);
        reply
    }

    /// The source's answer can't be used.
    #[must_use]
    pub fn source_failed() -> Self {
        Self::outcome(
            StatusCode::BAD_GATEWAY,
            "exception",
            "提供元から正しい応答がありません。データがないという意味ではありません。",
            "The source gave no usable answer. This does not mean that there is no data.",
        )
    }

    /// No source that was asked gave name and birth date: whose summary it would be could not be told from it.
    #[must_use]
    pub fn no_identity() -> Self {
        Self::outcome(
            StatusCode::BAD_GATEWAY,
            "exception",
            "氏名と生年月日を提供元から受け取れないため、要約を作れません。記録がないという意味ではありません。",
            "No source gave name and birth date, without which there is no summary. This does not mean that there is no data.",
        )
    }

    /// The source does not offer this for the person's municipality.
    #[must_use]
    pub fn not_supported() -> Self {
        Self::outcome(
            StatusCode::NOT_IMPLEMENTED,
            "not-supported",
            "お住まいの自治体はこの項目に対応していません。",
            "The person's municipality does not offer this item.",
        )
    }

    /// The person must sign in at the source first.
    #[must_use]
    pub fn must_sign_in(url: &str) -> Self {
        let issue = json!({
            "severity": "error",
            "code": "login",
            "details": {"text": "本人が提供元にサインインする必要があります。次の URL を本人に開いてもらってください。 / \
                The person must sign in at the source. Have the person open this URL."},
            "diagnostics": url,
        });
        let body = json!({"resourceType": "OperationOutcome", "issue": [issue]});
        Self {
            status: StatusCode::CONFLICT,
            body: Bytes::from(body.to_string()),
            challenge: None,
            retry_after_s: None,
            etag: None,
        }
    }

    /// As a response whose body is `body`, which carries this reply's bytes.
    #[must_use]
    pub fn into_response(self, body: ReplyBody) -> Response<ReplyBody> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, FHIR_JSON);
        }
        headers.insert(CACHE_CONTROL, NO_STORE);
        // Letters of base64url, between quotes.
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert(ETAG, etag);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// As a response that releases nothing.
    #[must_use]
    pub fn plain(self) -> Response<ReplyBody> {
        let body = ReplyBody::plain(self.body.clone());
        self.into_response(body)
    }
}
