//! `[pages]`, and `[issuer.sign_in]`: how people sign in at our pages, and for how long.

use std::path::Path;

use super::file;
use super::read::Section;

/// Where people go who must leave at once, when nothing else is configured: the weather.
const EXIT: &str = "https://www.jma.go.jp/";

/// The citizens' pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// How long a session lasts without anything being done, in milliseconds.
    pub idle_ms: i64,
    /// How long it lasts in all, in milliseconds.
    pub most_ms: i64,
    /// Where people go who must leave at once: a harmless page.
    pub exit: String,
}

impl Default for Pages {
    fn default() -> Self {
        Self { idle_ms: 600_000, most_ms: 3_600_000, exit: EXIT.to_owned() }
    }
}

/// How people sign in at an issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its name in our addresses.
    pub code: String,
    /// Its name in Japanese.
    pub name_ja: String,
    /// Its name in English.
    pub name_en: String,
    /// Our key there (`private_key_jwt`, ES256), PKCS#8 PEM.
    pub key: Vec<u8>,
    /// The id under which the issuer knows the key, if it wants one.
    pub key_id: Option<String>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// `acr` values that let in; the first is preferred.
    pub acr: Vec<String>,
    /// Whether the issuer identifies the person anew each time, so that a token without `auth_time` was signed in when it was
    /// issued. To be had from the issuer in writing; else such a token never grants.
    pub fresh_each_time: bool,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("code", &self.code).finish_non_exhaustive()
    }
}

pub(super) fn pages(s: &mut Section<'_, '_, '_>) -> Pages {
    let millis = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    let exit = "a harmless https address, without `;`, `,` or spaces";
    let https = |text: &str| {
        let good = url::Url::parse(text).is_ok_and(|url| url.scheme() == "https") && !text.contains([';', ',', ' ']);
        good.then(|| text.to_owned())
    };
    let idle = s.number("idle_s", 600, 60..=3_600);
    let most = s.number("session_s", 3_600, 300..=86_400);
    let named = s.optional_text("exit", exit);
    let exit = match named {
        None => EXIT.to_owned(),
        Some(text) => https(&text.value).unwrap_or_else(|| {
            s.wrong(text.offset, "exit", &format!("is `{}`, but must be {exit}", text.value));
            String::new()
        }),
    };
    Pages { idle_ms: millis(idle), most_ms: millis(most), exit }
}

pub(super) fn sign_in(s: &mut Section<'_, '_, '_>, base: &Path) -> SignIn {
    let letters = |text: &str| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (text.len() <= 32 && text.chars().all(good)).then(|| text.to_owned())
    };
    let code = s.parsed("code", "up to 32 small letters, digits and hyphens", letters);
    let name_ja = s.text("name_ja", "its name in Japanese").value;
    let name_en = s.text("name_en", "its name in English").value;
    let path = file(s, "key", base, "PEM file with our key there (PKCS#8, P-256)");
    let key = std::fs::read(&path).unwrap_or_default();
    if !key.is_empty() && jsonwebtoken::EncodingKey::from_ec_pem(&key).is_err() {
        let offset = s.offset();
        s.wrong(
            offset,
            "key",
            "is not a P-256 key in PKCS#8 PEM (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)",
        );
    }
    let key_id = s.optional_text("key_id", "the id under which the issuer knows the key").map(|id| id.value);
    let values = |all: Vec<super::read::At<String>>| all.into_iter().map(|text| text.value).collect::<Vec<_>>();
    let scopes = values(s.texts("scopes", "what is asked for beside `openid`"));
    let acr = values(s.texts("acr", "acr values that let in"));
    if acr.is_empty() {
        let offset = s.offset();
        s.wrong(offset, "acr", "is missing or empty (acr values that let in)");
    }
    let fresh_each_time = s.flag("fresh_each_time", false);
    let code = code.map(|code| code.value).unwrap_or_default();
    SignIn { code, name_ja, name_en, key, key_id, scopes, acr, fresh_each_time }
}
