//! Signing in and out, choosing a language, leaving at once.
//!
//! What an attempt needs between leaving for the provider and coming back is sealed into a cookie of the browser that began
//! it, for ten minutes: an answer in another browser, or a second one, opens nothing.

use askama::Template;
use http::header::HeaderName;

use super::page::{Answer, CLINIC, COUNTER, Frame, Lang, NURSES, Trouble, is_for_staff};
use super::provider::{self, ATTEMPT_S, Attempt, SignInError, Strength};
use super::visit::{ATTEMPT, LANGUAGE, SESSION, Visit};
use crate::ledger::seal::SealKey;
use crate::request::token::TokenError;
use crate::store::StoreError;

/// How long a chosen language is remembered, in seconds.
const LANGUAGE_S: i64 = 365 * 86_400;
const CLEAR: HeaderName = HeaderName::from_static("clear-site-data");

#[derive(Template)]
#[template(path = "left.html")]
struct Left {
    f: Frame,
    /// Where to sign out at the provider.
    there: Option<String>,
}

impl From<SignInError> for Trouble {
    fn from(error: SignInError) -> Self {
        tracing::info!(%error, "nobody is signed in");
        match error {
            SignInError::Unavailable(_) => Self::sign_in_unavailable(),
            SignInError::Foreign(_) | SignInError::Token(_) => Self::sign_in_foreign(),
            SignInError::Refused => Self::sign_in_refused(),
            SignInError::Weak => Self::sign_in_weak(),
        }
    }
}

fn seal_key(visit: &Visit) -> Result<SealKey, Trouble> {
    let secret = visit.app.store.vault().secret("sign-in").map_err(StoreError::from)?;
    Ok(SealKey::new(secret))
}

/// One of our own pages, else the first: whoever made the address can't send anybody elsewhere.
fn own_path(path: Option<&str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.');
    let ours = |path: &str| path.starts_with("/my/") || is_for_staff(path);
    let own = |path: &&str| ours(path) && path.chars().all(plain) && !path.contains("//") && !path.contains("..");
    path.filter(own).unwrap_or("/my").to_owned()
}

/// The same, of the side that this provider signs people in to.
fn own_side(provider: &provider::Provider, path: Option<&str>) -> String {
    let own = own_path(path);
    match provider.settings.staff {
        Some(_) if is_for_staff(&own) => own,
        Some(_) => first_page(provider).to_owned(),
        None if is_for_staff(&own) => "/my".to_owned(),
        None => own,
    }
}

/// The first page of those who sign in here.
fn first_page(provider: &provider::Provider) -> &'static str {
    match &provider.settings.staff {
        None => "/my",
        // Where nobody records anything, there is no counter to go to.
        Some(staff) if !staff.counter_roles.is_empty() => COUNTER,
        Some(staff) if staff.viewer_roles.is_empty() => NURSES,
        Some(_) => CLINIC,
    }
}

/// Leaves for the provider.
pub async fn begin(visit: &Visit, code: &str) -> Result<Answer, Trouble> {
    let provider = visit.app.web.provider(code).ok_or(Trouble::not_found())?;
    let strength = if visit.query("again").is_some() { Strength::StepUp } else { Strength::Ordinary };
    let (url, attempt) = provider.begin(strength, own_side(provider, visit.query("then")), visit.now).await?;
    let plain = serde_json::to_vec(&attempt).map_err(|_| Trouble::not_now())?;
    let sealed = data_encoding::BASE64URL_NOPAD.encode(&seal_key(visit)?.seal(ATTEMPT.as_bytes(), &plain));
    Ok(Answer::see(&url).cookie(ATTEMPT, &sealed, ATTEMPT_S))
}

/// Comes back from the provider: a new session, under a new cookie.
pub async fn finish(visit: &Visit, code: &str) -> Result<Answer, Trouble> {
    let provider = visit.app.web.provider(code).ok_or(Trouble::not_found())?;
    let attempt = attempt(visit)?;
    let came_back = provider::Answer {
        state: visit.query("state"),
        code: visit.query("code"),
        error: visit.query("error"),
        iss: visit.query("iss"),
    };
    let signed_in = provider.finish(&attempt, came_back, visit.now).await?;
    let web = &visit.app.web;
    let most_s = web.lasting(&signed_in).most_ms / 1_000;
    let cookie = web.sessions.begin(signed_in, visit.cookie(SESSION), |of| web.lasting(of), visit.now);
    let answer = Answer::see(&attempt.then).cookie(SESSION, &cookie, most_s);
    Ok(answer.cookie(ATTEMPT, "", 0))
}

fn attempt(visit: &Visit) -> Result<Attempt, Trouble> {
    let foreign = || Trouble::from(SignInError::Foreign("this browser began none"));
    let sealed = visit.cookie(ATTEMPT).ok_or_else(foreign)?;
    let sealed = data_encoding::BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| foreign())?;
    let plain = seal_key(visit)?.open(ATTEMPT.as_bytes(), &sealed).map_err(|_| foreign())?;
    serde_json::from_slice(&plain).map_err(|_| foreign())
}

/// Signs out here, and at the provider where that is offered.
pub async fn sign_out(visit: &Visit) -> Result<Answer, Trouble> {
    let Some(session) = visit.session() else { return Ok(forgotten(Answer::see("/my"))) };
    if !session.sent(visit.field("csrf").unwrap_or_default()) {
        return Err(Trouble::stale_form());
    }
    let session = visit.cookie(SESSION).and_then(|cookie| visit.app.web.sessions.end(cookie));
    let provider = session.and_then(|s| visit.app.web.provider_of(&s.signed_in.issuer));
    let home = provider.map_or("/my", first_page);
    let back = format!("{}{home}", visit.app.config.server.url);
    let there = match provider {
        Some(provider) => provider.sign_out_url(&back).await,
        None => None,
    };
    // A link, not a redirect: browsers let a form lead to its own site only, by our policy of content security.
    let frame = Frame { csrf: None, here: home.to_owned(), ..visit.frame() };
    Ok(forgotten(Answer::page(http::StatusCode::OK, &Left { f: frame, there })))
}

/// Leaves at once for somewhere harmless: the session ends, and nothing stays to be gone back to.
pub fn exit(visit: &Visit) -> Answer {
    if let Some(cookie) = visit.cookie(SESSION) {
        let _ = visit.app.web.sessions.end(cookie);
    }
    forgotten(Answer::see(&visit.app.web.exit))
}

fn forgotten(answer: Answer) -> Answer {
    answer.cookie(SESSION, "", 0).cookie(ATTEMPT, "", 0).with(CLEAR, "\"cache\", \"storage\"")
}

/// The provider says that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0).
pub async fn ended_there(visit: &Visit, code: &str) -> Result<Answer, Trouble> {
    let provider = visit.app.web.provider(code).ok_or(Trouble::not_found())?;
    let token = visit.field("logout_token").ok_or(Trouble::bad_form())?;
    let issuer = &provider.issuer;
    let ended = visit.app.tokens.signed_out(token, &issuer.url, &issuer.own_client, visit.now).await;
    let ended = ended.map_err(|error| {
        tracing::info!(%error, "a logout token was not accepted");
        if error == TokenError::KeysUnavailable { Trouble::not_now() } else { Trouble::bad_form() }
    })?;
    let count = visit.app.web.sessions.end_at(&issuer.url, ended.sub.as_deref(), ended.sid.as_deref());
    tracing::info!(count, "sessions ended at the provider's word");
    Ok(Answer::of(http::StatusCode::OK, "text/plain; charset=utf-8", bytes::Bytes::new()))
}

/// Remembers the language, and goes back.
pub fn language(visit: &Visit) -> Answer {
    let lang = visit.field("language").and_then(Lang::of).unwrap_or_default();
    Answer::see(&own_path(visit.field("then"))).cookie(LANGUAGE, lang.code(), LANGUAGE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for path in ["/my/consents", "/my/consents/cns-abc/stop", "/counter", "/counter/ask-anew", "/clinic"] {
            assert_eq!(own_path(Some(path)), path);
        }
        for path in [
            "https://evil.invalid/",
            "//evil.invalid",
            "/my//evil.invalid",
            "/counterfeit",
            "/clinical",
            "/counter//evil.invalid",
            "/my/../v1/me",
            "/my/\r\nx: y",
            "/v1/me",
            "/my/a?b",
            "",
        ] {
            assert_eq!(own_path(Some(path)), "/my");
        }
    }
}
