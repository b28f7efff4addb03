//! The catalogue of problems (RFC 9457): what happened, what it means, what to do, in Japanese and English.
//!
//! Each has a stable `code`; `docs/errors.md` lists them. No problem holds anything about a person.

use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::Answer;
use crate::consent::give::GiveError;
use crate::consent::people::ActError;
use crate::ids::TextId;
use crate::request::respond::challenge;

/// One problem, ready to be answered.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    ja: String,
    en: String,
    more: Vec<(&'static str, Value)>,
    by_key: bool,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self { status, code, ja: ja.into(), en: en.into(), more: Vec::new(), by_key: false }
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut body = json!({
            "type": format!("urn:sekisho:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": format!("{} / {}", self.ja, self.en),
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        let mut answer = Answer::json(self.status, &body);
        answer.content_type = "application/problem+json; charset=utf-8";
        match self.status {
            StatusCode::UNAUTHORIZED => answer.with(WWW_AUTHENTICATE, challenge(self.by_key)),
            StatusCode::SERVICE_UNAVAILABLE => answer.with(RETRY_AFTER, "5"),
            StatusCode::TOO_MANY_REQUESTS => answer.with(RETRY_AFTER, "1"),
            _ => answer,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "見つかりません。URL と ID を確かめてください。",
            "Not found. Check the URL and the id.",
        )
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "認証できません。有効なアクセストークン（事業者は、それが結び付いたクライアント証明書または DPoP の鍵も）が必要です。",
            "Not authenticated. A valid access token is needed, and for a party the client certificate or DPoP key it is bound to.",
        )
    }

    /// To a caller that came with a key, or did not.
    pub(super) const fn by_key_or_not(mut self, by_key: bool) -> Self {
        self.by_key = by_key;
        self
    }

    pub(super) fn not_a_person() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "person-needed",
            "本人の操作が必要です。登録済みの方が、この関所のサインインで行ってください。アプリのトークンではできません。",
            "This is for the person. It needs an enrolled person's sign-in at this gateway's own client; an app's token can't do it.",
        )
    }

    pub(super) fn step_up() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "step-up-needed",
            "同意するには、あらためて本人確認のサインインをしてください。",
            "To grant, sign in again with the stronger method.",
        )
    }

    pub(super) fn party_needed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "party-needed",
            "この操作は、登録された事業者が、利用者のサインインを伴って行います。",
            "This is for a registered party, with its user signed in.",
        )
    }

    pub(super) fn counter_needed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "counter-needed",
            "この操作は、市区町村か診療所の職員が、自分のサインインで行います。システム専用のトークンではできません。",
            "This is for staff of a municipality or a clinic, signed in themselves; a machine's own token can't do it.",
        )
    }

    pub(super) fn machine_needed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "machine-needed",
            "この操作は、登録された事業者のシステムが、システム専用のトークンで行います。利用者のサインインでは行えません。",
            "This is for a registered party's own system, with a token of its own; a user's sign-in can't do it.",
        )
    }

    pub(super) fn scope(scope: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "insufficient-scope",
            format!("アクセストークンに scope `{scope}` が必要です。"),
            format!("The access token needs the scope `{scope}`."),
        )
    }

    pub(super) fn body(line: usize, column: usize) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-body",
            format!("本文を読めません（{line} 行 {column} 字目）。JSON と項目名を確かめてください。"),
            format!(
                "The body can't be read (line {line}, column {column}). Check the JSON and the names of the fields."
            ),
        )
    }

    pub(super) fn field(name: &str, why: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-field",
            format!("項目 `{name}` を確かめてください。"),
            format!("`{name}` {why}."),
        )
        .with("field", json!(name))
    }

    pub(super) fn my_number() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "my-number",
            "マイナンバー（個人番号）と思われる番号が含まれています。取り除いて送り直してください。保存も記録もしていません。",
            "It seems to hold a My Number. Remove it and send again. It was neither stored nor logged.",
        )
    }

    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "本文が大きすぎるか、途中で切れました（上限 64 KiB）。",
            "The body is too large or was cut off (64 KiB at most).",
        )
    }

    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "本文が時間内に届きませんでした。",
            "The body did not arrive in time.",
        )
    }

    pub(super) fn not_now() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-now",
            "ただいま処理できません。しばらくして、同じ要求をもう一度お送りください。",
            "Not possible right now. Send the same request again later.",
        )
    }

    pub(super) fn throttled() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            "許可されていない要求が続いています。Retry-After のあとで、もう一度お試しください。",
            "Too many requests for what is not permitted. Try again after Retry-After.",
        )
    }

    pub(super) fn not_acknowledged() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-acknowledged",
            "記録はされましたが、停止の確認がまだ取れていません。同じ要求をもう一度お送りください。",
            "It is recorded, but the stop is not confirmed yet. Send the same request again.",
        )
    }

    pub(super) fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "同じ Idempotency-Key で、違う内容が送られました。新しいキーを使ってください。",
            "The same Idempotency-Key came with another body. Use a new key.",
        )
    }

    pub(super) fn no_package_key() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "no-package-key",
            "この自治体の受け取り用の公開鍵が登録されていないか、期限が過ぎています。関所の運用者に、新しい公開鍵の登録を依頼してください。事例はなくならず、登録後に受け取れます。",
            "There is no key that packages can be sealed to, or its last day is over. Ask the gateway's operators to set a new one. No case is lost: they can be pulled then.",
        )
    }

    pub(super) fn alert_not_acknowledged() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "alert-not-acknowledged",
            "この呼び出しは、まだ誰も引き受けていません。先に引き受けを記録してください。",
            "Nobody has taken this alert on. Acknowledge it first.",
        )
    }

    pub(super) fn alert_decided() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "alert-decided",
            "この呼び出しについては、すでに判断が記録されています。",
            "This alert was decided already.",
        )
    }

    pub(super) fn alert_without_case() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "alert-without-case",
            "相談の記録に誤りがあり、まだ受け取れていません。直した記録を送ってから、もう一度判断を送ってください。急ぐときは、電話など別の手段で市区町村に知らせてください。",
            "The consultation's record has an error and could not be taken. Send it mended, then decide again. If it can't wait, tell the municipality by telephone.",
        )
    }

    fn outdated(hash: [u8; 32]) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "outdated-text",
            "同意の文面が新しくなっています。新しい文面を示して、もう一度同意を求めてください。",
            "The text has changed. Show the new text and ask again.",
        )
        .with("text_hash", json!(data_encoding::HEXLOWER.encode(&hash)))
    }
}

impl From<GiveError> for Problem {
    fn from(error: GiveError) -> Self {
        match error {
            GiveError::Store(error) => {
                tracing::error!(%error, "not recorded");
                Self::not_now()
            }
            GiveError::Barrier(error) => {
                tracing::error!(%error, "recorded, but not acknowledged");
                Self::not_acknowledged()
            }
            GiveError::Unknown(_) => Self::not_found(),
            GiveError::Field { field, why } => Self::field(field, why),
            GiveError::OutdatedText(hash) => Self::outdated(hash),
            GiveError::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "その間に内容が変わりました。もう一度読み込んで確かめてください。",
                "It has changed meanwhile. Read it again.",
            ),
            GiveError::NoAuthority => Self::new(
                StatusCode::FORBIDDEN,
                "no-authority",
                "この方について決める権限が確認されていません。",
                "No verified authority to decide about this person.",
            ),
            GiveError::RefusalStands(id) => Self::new(
                StatusCode::CONFLICT,
                "refusal-stands",
                "「同意しない」が登録されています。先にそれを取り消してください。",
                "A refusal stands against it. Lift that first.",
            )
            .with("refusal", json!(id.text())),
            GiveError::NeverCounts => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "attestation-not-counted",
                "自らや同じ種類の事業者が受け取るための同意は、代わりに登録できません。本人に、この関所のサインインで同意してもらってください。",
                "A party can't attest a consent in favour of itself or of its own kind, nor while it is suspended. \
                 Have the person give it at this gateway.",
            ),
            GiveError::SeveralPeople => Self::new(
                StatusCode::CONFLICT,
                "booking-ambiguous",
                "この予約番号には、別々の方の同意があります。取り違えを防ぐため、どちらもお示ししません。",
                "Consents of several people stand under this booking. So that nobody is taken for somebody else, none is shown.",
            ),
            GiveError::TooMany(what) => Self::new(
                StatusCode::CONFLICT,
                "too-many",
                "件数の上限に達しています。不要なものを整理してください。",
                format!("There are too many {what}."),
            ),
        }
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => error.into(),
            ActError::Barrier(error) => GiveError::Barrier(error).into(),
            ActError::Field { field, why } => Self::field(field, why),
            ActError::Unknown(_) => Self::not_found(),
            ActError::Conflict(why) => Self::field("basis", why),
        }
    }
}

impl From<crate::store::StoreError> for Problem {
    fn from(error: crate::store::StoreError) -> Self {
        Self::from(GiveError::Store(error))
    }
}
