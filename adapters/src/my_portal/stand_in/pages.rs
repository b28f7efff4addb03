//! The stand-in's sign-in page.

use http::{HeaderValue, Response, StatusCode, header};

use super::State;
use crate::identity::stand_in::{escape, random_id};
use crate::stand_in::{Asked, StandInBody, answer};

const GRANT_TTL_MS: i64 = 60_000;
const GRANTS_MAX: usize = 10_000;
const HTML: &str = "text/html; charset=utf-8";

/// What a code stands for until it is used, once.
pub(super) struct Grant {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub account: String,
    pub expires_ms: i64,
}

pub(super) fn authorize(state: &State, asked: &Asked) -> Response<StandInBody> {
    let client = asked.param("client_id").and_then(|id| state.clients.iter().find(|c| c.client_id == id));
    let (Some(client), Some(redirect)) = (client, asked.param("redirect_uri")) else {
        return refuse();
    };
    if !client.redirect_uris.contains(&redirect) {
        return refuse();
    }
    let kept = asked.param("state").filter(|s| !s.is_empty());
    let challenge = asked.param("code_challenge").filter(|c| c.len() == 43);
    let sound = asked.param("response_type").as_deref() == Some("code")
        && asked.param("code_challenge_method").as_deref() == Some("S256");
    let (Some(kept), Some(challenge), true) = (kept, challenge, sound) else {
        return back(&redirect, &[("error", "invalid_request")]);
    };
    if asked.param("scope").as_deref() != Some(&state.codes.scope) {
        return back(&redirect, &[("error", "invalid_scope"), ("state", &kept)]);
    }
    let Some(hint) = asked.param("login_hint") else {
        return choose(state, asked);
    };
    let known = state.accounts.iter().any(|account| account.id == hint);
    let (Ok(code), true) = (random_id(), known) else {
        return back(&redirect, &[("error", "access_denied"), ("state", &kept)]);
    };
    let now = state.now_ms();
    let grant = Grant {
        client_id: client.client_id.clone(),
        redirect_uri: redirect.clone(),
        challenge,
        account: hint,
        expires_ms: now + GRANT_TTL_MS,
    };
    let mut held = state.held();
    held.grants.retain(|_, grant| grant.expires_ms > now);
    if held.grants.len() >= GRANTS_MAX {
        return back(&redirect, &[("error", "temporarily_unavailable"), ("state", &kept)]);
    }
    held.grants.insert(code.clone(), grant);
    drop(held);
    back(&redirect, &[("code", &code), ("state", &kept)])
}

fn back(redirect: &str, pairs: &[(&str, &str)]) -> Response<StandInBody> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let joint = if redirect.contains('?') { '&' } else { '?' };
    let Ok(location) = HeaderValue::try_from(format!("{redirect}{joint}{query}")) else {
        return refuse();
    };
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn refuse() -> Response<StandInBody> {
    answer(StatusCode::BAD_REQUEST, HTML, "<!doctype html><title>Error</title><p>Unknown client or redirect URI.</p>")
}

fn choose(state: &State, asked: &Asked) -> Response<StandInBody> {
    let query = asked.query.as_deref().unwrap_or_default();
    let mut page = String::from(
        "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><title>ポータル（開発用）</title>\
         <h1>ポータル（開発用）</h1><p>合成データの利用者を選んで、提供に同意してください。</p><ul>",
    );
    for account in &state.accounts {
        let hint: String = form_urlencoded::byte_serialize(account.id.as_bytes()).collect();
        let href = escape(&format!("/oauth/authorize?{query}&login_hint={hint}"));
        page.push_str(&format!("<li><a href=\"{href}\">{}</a></li>", escape(&account.label)));
    }
    page.push_str("</ul></html>");
    answer(StatusCode::OK, HTML, page)
}
