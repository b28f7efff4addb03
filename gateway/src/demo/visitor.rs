//! A browser without eyes, which the story signs people in with: cookies, redirects, forms; pages are taken as text.
//!
//! It goes to the gateway and the development issuers alone, and follows nothing beyond them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use sekisho_adapters::http::HttpClient;

use super::world::{WorldError, during};

/// Redirects that are followed one after the other, at most.
const REDIRECTS_MAX: usize = 10;

/// What came back.
pub struct Page {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// Where it was found in the end.
    pub url: String,
}

impl Page {
    /// The value of the first hidden field of this name; empty where there is none.
    #[must_use]
    pub fn hidden(&self, name: &str) -> String {
        let marked = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&marked).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Whether it holds this text.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The first link that contains this.
    #[must_use]
    pub fn link(&self, part: &str) -> Option<String> {
        let mut links = self.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(unescaped);
        links.find(|link| link.contains(part))
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&").replace("&#38;", "&").replace("&#61;", "=")
}

/// Somebody at a browser.
#[derive(Clone)]
pub struct Visitor {
    http: HttpClient,
    /// The gateway's address.
    pub home: String,
    cookies: BTreeMap<(String, String), String>,
}

/// A form, and the page that it is sent from.
struct Form {
    body: String,
    origin: String,
}

impl Visitor {
    /// A fresh one, who knows this gateway.
    #[must_use]
    pub fn new(http: HttpClient, home: &str) -> Self {
        Self { http, home: home.to_owned(), cookies: BTreeMap::new() }
    }

    /// The value of a cookie of the gateway.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&String> {
        self.cookies.get(&(self.home.clone(), name.to_owned()))
    }

    /// Sets a cookie of the gateway, as somebody could who has the browser in hand.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert((self.home.clone(), name.to_owned()), value.to_owned());
    }

    /// Opens a page, and goes where it leads.
    ///
    /// # Errors
    /// When there is no answer, or it leads nowhere.
    pub async fn open(&mut self, path: &str) -> Result<Page, WorldError> {
        let url = absolute(path, &self.home);
        self.go(Method::GET, url, None, true).await
    }

    /// Opens a page, and stays there.
    ///
    /// # Errors
    /// As [`Visitor::open`].
    pub async fn peek(&mut self, path: &str) -> Result<Page, WorldError> {
        let url = absolute(path, &self.home);
        self.go(Method::GET, url, None, false).await
    }

    /// Sends a form that a page of this origin holds, and goes where it leads.
    ///
    /// # Errors
    /// As [`Visitor::open`].
    pub async fn send_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Result<Page, WorldError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = absolute(path, &self.home);
        self.go(Method::POST, url, Some(Form { body, origin: origin.to_owned() }), true).await
    }

    /// Signs in at the development issuer as this persona, having begun at `path`.
    ///
    /// # Errors
    /// As [`Visitor::open`].
    pub async fn sign_in(&mut self, path: &str, sub: &str) -> Result<Page, WorldError> {
        let personas = self.open(path).await?;
        let hint: String = form_urlencoded::byte_serialize(sub.as_bytes()).collect();
        let link = personas.link(&format!("login_hint={hint}"));
        let link = link.ok_or_else(|| WorldError("the issuer does not know this persona".to_owned()))?;
        let url = absolute(&link, &origin(&personas.url));
        self.go(Method::GET, url, None, true).await
    }

    async fn go(&mut self, method: Method, url: String, form: Option<Form>, follow: bool) -> Result<Page, WorldError> {
        let (mut method, mut url, mut form) = (method, url, form);
        for _ in 0..REDIRECTS_MAX {
            let at = origin(&url);
            let request = self.request(&method, &url, form.take())?;
            let answer = self.http.send(request).await.map_err(during("a page"))?;
            self.take_cookies(&at, &answer.headers);
            let location = answer.headers.get(LOCATION).and_then(|l| l.to_str().ok()).map(|l| absolute(l, &at));
            // The way out leads to a site of somebody else's.
            let ours = |location: &String| location.starts_with("https://localhost");
            match location.filter(|l| follow && answer.status.is_redirection() && ours(l)) {
                Some(location) => (method, url) = (Method::GET, location),
                None => {
                    let text = String::from_utf8(answer.body.to_vec()).map_err(during("a page's text"))?;
                    return Ok(Page { status: answer.status, headers: answer.headers, text, url });
                }
            }
        }
        Err(WorldError("too many redirects".to_owned()))
    }

    fn request(&self, method: &Method, url: &str, form: Option<Form>) -> Result<Request<Bytes>, WorldError> {
        let at = origin(url);
        let cookies: Vec<String> =
            self.cookies.iter().filter(|((of, _), _)| *of == at).map(|((_, n), v)| format!("{n}={v}")).collect();
        let mut request = Request::builder().method(method).uri(url);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let mut body = Bytes::new();
        if let Some(form) = form {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request = request.header(CONTENT_TYPE, kind).header(ORIGIN, form.origin);
            body = Bytes::from(form.body);
        }
        request.body(body).map_err(during("a page's request"))
    }

    fn take_cookies(&mut self, at: &str, headers: &HeaderMap) {
        let set = headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split_once(';'));
        for (pair, rules) in set {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let key = (at.to_owned(), name.to_owned());
            if rules.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
    }
}

fn absolute(path: &str, base: &str) -> String {
    if path.starts_with('/') { format!("{base}{path}") } else { path.to_owned() }
}

fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
