//! One request for a page: who is at the other end, in which language, with which form.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, COOKIE, ORIGIN};
use http::{HeaderMap, Method, Request};
use sekisho_policy::{PersonId, Timestamp};

use super::page::{Frame, Lang, Trouble};
use super::session::{Session, SignedIn};
use crate::api::{ReadError, read};
use crate::app::App;
use crate::consent::give::{self, GiveError};
use crate::request::connection::Connection;
use crate::request::incoming::RequestBody;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// The session's cookie. The prefix makes browsers take it from this host over TLS alone (RFC 6265bis §4.1.3).
pub const SESSION: &str = "__Host-sekisho";
/// The cookie of an attempt to sign in.
pub const ATTEMPT: &str = "__Host-sekisho-attempt";
/// The cookie of the language.
pub const LANGUAGE: &str = "__Host-sekisho-language";

/// Where a page asks by itself whether it may still be shown: that is nothing that somebody did.
pub const WATCH: &str = "/nurse/watch/";

/// One request.
pub struct Visit {
    /// The gateway.
    pub app: Arc<App>,
    /// The connection that it came by.
    pub connection: Arc<Connection>,
    /// GET or POST.
    pub method: Method,
    /// When it came.
    pub now: Timestamp,
    /// The language.
    pub lang: Lang,
    /// Cookies.
    cookies: Vec<(String, String)>,
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
    session: Option<Session>,
    path: String,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a page could not be answered");
        Self::not_now()
    }
}

impl From<GiveError> for Trouble {
    fn from(error: GiveError) -> Self {
        match error {
            GiveError::Store(error) => error.into(),
            GiveError::Barrier(error) => {
                tracing::error!(%error, "a stop is recorded and not acknowledged yet");
                Self::not_acknowledged()
            }
            GiveError::Unknown(_) | GiveError::NoAuthority => Self::not_found(),
            _ => Self::stale_form(),
        }
    }
}

impl Visit {
    /// Reads a request.
    ///
    /// # Errors
    /// What to say, and in which frame.
    pub async fn of(
        app: &Arc<App>,
        connection: &Arc<Connection>,
        request: Request<RequestBody>,
    ) -> Result<Self, (Frame, Trouble)> {
        let (parts, body) = request.into_parts();
        let cookies = cookies(&parts.headers);
        let lang = language(&parts.headers, &cookies);
        let path = parts.uri.path().to_owned();
        let fail = |trouble| (Frame { lang, csrf: None, here: path.clone() }, trouble);
        let now = app.store.clock().now().map_err(|_| fail(Trouble::not_now()))?;
        let lasting = |of: &SignedIn| app.web.lasting(of);
        let sessions = &app.web.sessions;
        let of = |c| match path.starts_with(WATCH) {
            true => sessions.looked_at(c, lasting, now),
            false => sessions.used(c, lasting, now),
        };
        let session = cookie(&cookies, SESSION).and_then(of);
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let mut form = Vec::new();
        if parts.method == Method::POST {
            let body: Bytes = read(body).await.map_err(|error| {
                fail(match error {
                    ReadError::TooLarge => Trouble::too_large(),
                    ReadError::TooSlow => Trouble::bad_form(),
                    ReadError::MyNumber => Trouble::my_number(),
                })
            })?;
            form = pairs(&body);
            if from_elsewhere(&parts.headers, &app.config.server.url) && !sabotage::off(Check::FormOrigin) {
                return Err(fail(Trouble::stale_form()));
            }
        }
        let (app, connection, method) = (Arc::clone(app), Arc::clone(connection), parts.method);
        Ok(Self { app, connection, method, now, lang, cookies, query, form, session, path })
    }

    /// The frame of an answer.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let mut frame = Frame { lang: self.lang, csrf: None, here: self.path.clone() };
        if self.method == Method::POST {
            // What a form leads to is nothing to come back to in another language.
            frame.here = frame.home().to_owned();
        }
        // Who is signed in on the other side has no menu here.
        let of_this_side = |session: &&Session| self.app.web.is_staff(&session.signed_in) == frame.for_staff();
        frame.csrf = self.session.as_ref().filter(of_this_side).map(Session::csrf);
        frame
    }

    /// The text in the visitor's language.
    #[must_use]
    pub const fn t<'a>(&self, ja: &'a str, en: &'a str) -> &'a str {
        self.lang.t(ja, en)
    }

    /// A parameter of the address.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// A field of the form.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        find(&self.form, name)
    }

    /// A cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookie(&self.cookies, name)
    }

    /// The session, if there is one.
    #[must_use]
    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether the session still is one, while something is waited for.
    #[must_use]
    pub fn is_still_signed_in(&self) -> bool {
        let Ok(now) = self.app.store.clock().now() else { return false };
        let lasting = |of: &SignedIn| self.app.web.lasting(of);
        self.cookie(SESSION).is_some_and(|cookie| self.app.web.sessions.looked_at(cookie, lasting, now).is_some())
    }

    /// How somebody is signed in as a citizen, whoever it is.
    ///
    /// # Errors
    /// When nobody is signed in, or a party's staff: a session of theirs opens no page of citizens.
    pub fn login(&self) -> Result<&SignedIn, Trouble> {
        let of = &self.session.as_ref().ok_or(Trouble::signed_out())?.signed_in;
        let provider = self.app.web.provider_of(&of.issuer).ok_or(Trouble::signed_out())?;
        match provider.settings.staff {
            Some(_) if !sabotage::off(Check::StaffApart) => Err(Trouble::staff_elsewhere()),
            _ => Ok(of),
        }
    }

    /// The person behind the session, by the links as they are now.
    ///
    /// # Errors
    /// When nobody is signed in as a citizen, or nobody is linked to the sign-in.
    pub async fn person(&self) -> Result<PersonId, Trouble> {
        let of = self.login()?;
        let person = self.app.store.person_of_login(&of.issuer, &of.sub).await?;
        person.filter(|person| *person != self.app.store.nobody()).ok_or(Trouble::not_linked())
    }

    /// The person who sent a form of this very session.
    ///
    /// # Errors
    /// As [`Visit::person`], and when the form is another's.
    pub async fn sent_by(&self) -> Result<PersonId, Trouble> {
        self.is_own_form()?;
        self.person().await
    }

    /// Whether the form is one of this very session.
    ///
    /// # Errors
    /// When it is another's, or nobody is signed in.
    pub fn is_own_form(&self) -> Result<(), Trouble> {
        let session = self.session.as_ref().ok_or(Trouble::signed_out())?;
        let own = session.sent(self.field("csrf").unwrap_or_default());
        if own { Ok(()) } else { Err(Trouble::stale_form()) }
    }

    /// Every value of a field that may be chosen several times.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.form.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The form as it was sent, as one key.
    #[must_use]
    pub fn form_digest(&self) -> [u8; 32] {
        let mut whole = Vec::new();
        for text in self.form.iter().flat_map(|(name, value)| [name, value]) {
            whole.extend_from_slice(&(text.len() as u64).to_le_bytes());
            whole.extend_from_slice(text.as_bytes());
        }
        crate::ledger::merkle::sha256(&whole)
    }

    /// The people about whom this person decides: themself, and those under their authority now.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn decided_by(&self, person: PersonId) -> Result<Vec<PersonId>, Trouble> {
        Ok(give::decided_by(&self.app.store, person, self.now).await?)
    }
}

/// Whether another site's page sent this form: that is nobody's wish. Browsers say so by Fetch Metadata; older ones by the origin
/// alone, which under our referrer policy is `null` for our own pages too (Fetch §3.2), so that only the form's token can tell.
fn from_elsewhere(headers: &HeaderMap, ours: &str) -> bool {
    match (headers.get("sec-fetch-site"), headers.get(ORIGIN)) {
        (Some(site), _) => site != "same-origin" && site != "none",
        (None, Some(origin)) => origin != "null" && origin.as_bytes() != ours.as_bytes(),
        (None, None) => false,
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// The first of a name counts; a second one is as good as none, since nobody can say which was meant.
fn cookie<'a>(cookies: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut named = cookies.iter().filter(|(n, _)| n == name);
    let one = named.next()?;
    named.next().is_none().then_some(one.1.as_str())
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).take(50).collect()
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().take(100).collect()
}

/// What was chosen here, else what the browser prefers of the two, else Japanese.
fn language(headers: &HeaderMap, cookies: &[(String, String)]) -> Lang {
    let chosen = cookie(cookies, LANGUAGE).and_then(Lang::of);
    let preferred = || {
        let all = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
        all.split(',').find_map(|range| Lang::of(range.split([';', '-']).next()?.trim()))
    };
    chosen.or_else(preferred).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_language_is_what_was_chosen_or_what_the_browser_prefers() {
        let with = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accept));
            headers
        };
        assert_eq!(language(&HeaderMap::new(), &[]), Lang::Ja);
        assert_eq!(language(&with("fr-FR, en-GB;q=0.8, ja;q=0.5"), &[]), Lang::En);
        assert_eq!(language(&with("ja-JP,en;q=0.5"), &[]), Lang::Ja);
        assert_eq!(language(&with("en"), &[(LANGUAGE.to_owned(), "ja".to_owned())]), Lang::Ja);
        assert_eq!(language(&with("fr"), &[(LANGUAGE.to_owned(), "xx".to_owned())]), Lang::Ja);
    }

    #[test]
    fn whose_page_sent_a_form() {
        let sent = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(n, v)| ((*n).parse().unwrap(), HeaderValue::from_static(v))).collect();
            from_elsewhere(&headers, "https://ours.invalid")
        };
        assert!(!sent(&[]) && !sent(&[("origin", "https://ours.invalid")]) && !sent(&[("origin", "null")]));
        assert!(!sent(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(sent(&[("origin", "https://evil.invalid")]));
        assert!(sent(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        assert!(sent(&[("origin", "https://ours.invalid"), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn of_two_cookies_of_a_name_none_counts() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(COOKIE, HeaderValue::from_static("b=3"));
        let all = cookies(&headers);
        assert_eq!((cookie(&all, "a"), cookie(&all, "b"), cookie(&all, "c")), (Some("1"), None, None));
    }
}
