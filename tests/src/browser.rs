//! A browser without eyes: cookies, redirects, forms. Pages are taken as text; what they look like, real browsers see
//! (`tests/browser/`).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use sekisho_adapters::http::HttpClient;

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
    /// The value of the first hidden field of this name.
    pub fn hidden(&self, name: &str) -> String {
        let marked = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&marked).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Whether it holds this text.
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The first link that contains this.
    pub fn link(&self, part: &str) -> String {
        let links = self.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links
            .map(unescaped)
            .find(|link| link.contains(part))
            .unwrap_or_else(|| panic!("no link with {part}:\n{}", self.text))
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&amp;", "&").replace("&#38;", "&").replace("&#61;", "=")
}

/// A browser.
pub struct Browser {
    http: HttpClient,
    /// The gateway's address.
    pub home: String,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    /// A fresh one, that knows this gateway.
    pub fn new(http: HttpClient, home: &str) -> Self {
        Self { http, home: home.to_owned(), cookies: BTreeMap::new() }
    }

    /// The value of a cookie of the gateway.
    pub fn cookie(&self, name: &str) -> Option<&String> {
        self.cookies.get(&(self.home.clone(), name.to_owned()))
    }

    /// Sets a cookie of the gateway, as somebody could who has the browser in hand.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert((self.home.clone(), name.to_owned()), value.to_owned());
    }

    /// Opens a page, and goes where it leads.
    pub async fn open(&mut self, path: &str) -> Page {
        let url = self.absolute(path, &self.home.clone());
        self.go(Method::GET, url, None, true).await
    }

    /// Opens a page, and stays there.
    pub async fn peek(&mut self, path: &str) -> Page {
        let url = self.absolute(path, &self.home.clone());
        self.go(Method::GET, url, None, false).await
    }

    /// Sends a form, and goes where it leads.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = self.absolute(path, &self.home.clone());
        self.go(Method::POST, url, Some((body, self.home.clone())), true).await
    }

    /// Sends a form that another site's page holds.
    pub async fn send_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = self.absolute(path, &self.home.clone());
        self.go(Method::POST, url, Some((body, origin.to_owned())), true).await
    }

    /// Signs in at the development issuer as this persona, having begun at `path`.
    pub async fn sign_in(&mut self, path: &str, sub: &str) -> Page {
        let personas = self.open(path).await;
        let hint: String = form_urlencoded::byte_serialize(sub.as_bytes()).collect();
        let link = personas.link(&format!("login_hint={hint}"));
        let url = self.absolute(&link, &origin(&personas.url));
        self.go(Method::GET, url, None, true).await
    }

    fn absolute(&self, path: &str, base: &str) -> String {
        if path.starts_with('/') { format!("{base}{path}") } else { path.to_owned() }
    }

    async fn go(&mut self, method: Method, url: String, form: Option<(String, String)>, follow: bool) -> Page {
        let (mut method, mut url, mut form) = (method, url, form);
        for _ in 0..REDIRECTS_MAX {
            let at = origin(&url);
            let cookies: Vec<String> =
                self.cookies.iter().filter(|((of, _), _)| *of == at).map(|((_, n), v)| format!("{n}={v}")).collect();
            let mut request = Request::builder().method(method.clone()).uri(&url);
            if !cookies.is_empty() {
                request = request.header(COOKIE, cookies.join("; "));
            }
            let body = form.take().map(|(body, origin)| {
                let headers = request.headers_mut().unwrap();
                headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
                headers.insert(ORIGIN, origin.parse().unwrap());
                Bytes::from(body)
            });
            let answer = self.http.send(request.body(body.unwrap_or_default()).unwrap()).await.unwrap();
            self.take_cookies(&at, &answer.headers);
            let location = answer.headers.get(LOCATION).map(|l| self.absolute(l.to_str().unwrap(), &at));
            match location.filter(|l| follow && answer.status.is_redirection() && !l.contains("jma.go.jp")) {
                Some(location) => (method, url) = (Method::GET, location),
                None => {
                    let text = String::from_utf8(answer.body.to_vec()).unwrap();
                    return Page { status: answer.status, headers: answer.headers, text, url };
                }
            }
        }
        panic!("too many redirects");
    }

    fn take_cookies(&mut self, at: &str, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let (pair, rules) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let key = (at.to_owned(), name.to_owned());
            if rules.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
    }
}

fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
