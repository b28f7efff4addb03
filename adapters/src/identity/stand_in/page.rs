//! The provider's pages: plain HTML, readable on a phone and by a screen reader, light and dark, without scripts.

use http::{Response, StatusCode};

use super::Persona;
use crate::stand_in::{StandInBody, answer};

const HTML: &str = "text/html; charset=utf-8";

/// Black on white, or white on black: at least 7 to 1 throughout. What can be pressed is at least 48 px high.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0 auto;max-width:40rem;padding:1rem;font:1.125rem/1.6 sans-serif;color:#1a1a1a;background:#fff}\
h1{font-size:1.5rem;line-height:1.3}\
.notice{border:2px solid currentColor;border-radius:.5rem;padding:.5rem 1rem}\
.en{display:block;font-size:1rem}\
ul{list-style:none;margin:0;padding:0}\
a{box-sizing:border-box;display:flex;align-items:center;min-height:48px;margin:.5rem 0;padding:.5rem 1rem;\
border:1px solid currentColor;border-radius:.5rem;color:#0017c1;overflow-wrap:anywhere}\
a:focus-visible{outline:4px solid #000;outline-offset:2px;box-shadow:0 0 0 4px #b78f00}\
@media (prefers-color-scheme:dark){body{color:#f2f2f2;background:#1a1a1a}a{color:#c5d7fb}\
a:focus-visible{outline-color:#fff}}";

/// Somebody to sign in as is picked.
pub(super) fn choose(personas: &[Persona], query: &str) -> Response<StandInBody> {
    let mut list = String::new();
    for persona in personas {
        let hint: String = form_urlencoded::byte_serialize(persona.sub.as_bytes()).collect();
        let href = escape(&format!("/authorize?{query}&login_hint={hint}"));
        list.push_str(&format!("<li><a href=\"{href}\">{}</a></li>", escape(&persona.label)));
    }
    let choice = if list.is_empty() {
        "<p>人物が登録されていません。<span class=\"en\" lang=\"en\">Nobody is registered.</span></p>".to_owned()
    } else {
        format!(
            "<p>だれとしてサインインしますか。<span class=\"en\" lang=\"en\">Who do you want to sign in as?</span></p>\
             <ul>{list}</ul>"
        )
    };
    page(StatusCode::OK, "開発用サインイン", "Development sign-in", &choice)
}

/// Somebody has signed out and is sent nowhere.
pub(super) fn signed_out() -> Response<StandInBody> {
    page(
        StatusCode::OK,
        "サインアウトしました",
        "Signed out",
        "<p>このページは閉じてかまいません。<span class=\"en\" lang=\"en\">You can close this page.</span></p>",
    )
}

/// The request isn't one that anybody can be sent back from.
pub(super) fn refused() -> Response<StandInBody> {
    page(
        StatusCode::BAD_REQUEST,
        "リクエストを受け付けられません",
        "Request refused",
        "<p>登録されていないクライアント、IDトークン、または戻り先です。元のページに戻って、やり直してください。\
         <span class=\"en\" lang=\"en\">The client, the ID token or the address to return to is not registered here. \
         Go back and try again.</span></p>",
    )
}

/// `main` is HTML.
fn page(status: StatusCode, title: &str, title_en: &str, main: &str) -> Response<StandInBody> {
    let html = format!(
        "<!doctype html><html lang=\"ja\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} | {title_en}</title><style>{STYLE}</style></head><body><main>\
         <h1>{title}<span class=\"en\" lang=\"en\">{title_en}</span></h1>\
         <p class=\"notice\"><strong>開発用（本物のサインインではありません）。</strong>人物はすべて架空です。\
         <span class=\"en\" lang=\"en\"><strong>Development only: this is no real sign-in.</strong> \
         Everybody here is invented.</span></p>{main}</main></body></html>"
    );
    answer(status, HTML, html)
}

/// Escapes text for HTML content and attribute values.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
