//! The provider's authorization endpoint.

use http::{HeaderValue, Response, StatusCode, header};

use super::{Registration, State, lock, page, random_id};
use crate::stand_in::{Asked, StandInBody, answer};

const CODE_TTL_S: i64 = 60;
const CODES_MAX: usize = 10_000;

/// What a code stands for until it is used, once.
#[derive(Clone)]
pub(crate) struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub sub: String,
    pub scope: String,
    pub nonce: Option<String>,
    pub acr: String,
    pub audience: String,
    /// The sign-in that it stands for, as ID tokens and logout tokens name it.
    pub sid: String,
    pub auth_time: i64,
    pub expires: i64,
}

pub(super) fn authorize(state: &State, asked: &Asked) -> Response<StandInBody> {
    let client = asked.param("client_id").and_then(|id| state.client(&id));
    let redirect = asked.param("redirect_uri");
    // Nothing is ever sent to an address that isn't registered.
    let (Some(client), Some(redirect)) = (client, redirect) else {
        return page::refused();
    };
    if !client.redirect_uris.contains(&redirect) {
        return page::refused();
    }
    match granted(state, asked, &client, &redirect) {
        Ok(Some(code)) => match keep(state, code) {
            Some(id) => back(state, &redirect, asked, ("code", &id)),
            None => back(state, &redirect, asked, ("error", "temporarily_unavailable")),
        },
        Ok(None) => page::choose(&state.personas, asked.query.as_deref().unwrap_or_default()),
        Err(error) => back(state, &redirect, asked, ("error", error)),
    }
}

/// The code to give, or none if somebody has to be picked first.
fn granted(state: &State, asked: &Asked, client: &Registration, redirect: &str) -> Result<Option<Code>, &'static str> {
    if asked.param("response_type").as_deref() != Some("code") {
        return Err("unsupported_response_type");
    }
    let challenge = asked.param("code_challenge").filter(|c| c.len() == 43).ok_or("invalid_request")?;
    if asked.param("code_challenge_method").as_deref() != Some("S256") {
        return Err("invalid_request");
    }
    if asked.param("state").is_none_or(|state| state.is_empty()) {
        return Err("invalid_request");
    }
    let scope = scope_of(client, asked.param("scope").as_deref())?;
    let audience = audience_of(client, asked.param("resource").as_deref())?;
    let acr = match asked.param("acr_values") {
        None => state.acr_default.clone(),
        Some(wanted) => wanted
            .split(' ')
            .find(|acr| state.acr_supported.iter().any(|s| s == acr))
            .ok_or("unmet_authentication_requirements")?
            .to_owned(),
    };
    let silent = silent(asked)?;
    let Some(sub) = asked.param("login_hint") else {
        return if silent { Err("login_required") } else { Ok(None) };
    };
    if !state.personas.iter().any(|persona| persona.sub == sub) {
        return Err("access_denied");
    }
    let now = state.now_s();
    Ok(Some(Code {
        client_id: client.client_id.clone(),
        redirect_uri: redirect.to_owned(),
        challenge,
        sub,
        scope,
        nonce: asked.param("nonce"),
        acr,
        audience,
        sid: random_id().map_err(|_| "server_error")?,
        auth_time: now,
        expires: now + CODE_TTL_S,
    }))
}

/// Whether nobody may be shown anything (`prompt=none`). Each sign-in is a fresh one, so that `prompt=login` and any
/// `max_age` are honoured whatever they say; what is no prompt and no age is refused.
fn silent(asked: &Asked) -> Result<bool, &'static str> {
    if asked.param("max_age").is_some_and(|age| age.parse::<u32>().is_err()) {
        return Err("invalid_request");
    }
    let prompt = asked.param("prompt").unwrap_or_default();
    let known = |word: &str| ["login", "consent", "select_account"].contains(&word);
    match prompt.as_str() {
        "none" => Ok(true),
        "" => Ok(false),
        words if words.split(' ').all(known) => Ok(false),
        _ => Err("invalid_request"),
    }
}

/// The scope to grant: what was asked, if all of it is registered; all that is registered, if nothing was asked.
pub(super) fn scope_of(client: &Registration, asked: Option<&str>) -> Result<String, &'static str> {
    let Some(asked) = asked else {
        return Ok(client.scopes.join(" "));
    };
    let known = asked.split(' ').all(|scope| client.scopes.iter().any(|s| s == scope));
    if known { Ok(asked.to_owned()) } else { Err("invalid_scope") }
}

/// The audience: the resource asked for, if registered; else the first registered.
pub(super) fn audience_of(client: &Registration, asked: Option<&str>) -> Result<String, &'static str> {
    match asked {
        None => client.audiences.first().cloned(),
        Some(asked) => client.audiences.iter().find(|audience| *audience == asked).cloned(),
    }
    .ok_or("invalid_target")
}

fn keep(state: &State, code: Code) -> Option<String> {
    let id = random_id().ok()?;
    let now = state.now_s();
    let mut codes = lock(&state.codes);
    if codes.len() >= CODES_MAX {
        codes.retain(|_, code| code.expires > now);
    }
    (codes.len() < CODES_MAX).then(|| {
        codes.insert(id.clone(), code);
        id
    })
}

fn back(state: &State, redirect: &str, asked: &Asked, outcome: (&str, &str)) -> Response<StandInBody> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(outcome.0, outcome.1).append_pair("iss", &state.issuer_in_response());
    if let Some(state) = asked.param("state") {
        query.append_pair("state", &state);
    }
    let joint = if redirect.contains('?') { '&' } else { '?' };
    let Ok(location) = HeaderValue::try_from(format!("{redirect}{joint}{}", query.finish())) else {
        return page::refused();
    };
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}
