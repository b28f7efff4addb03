//! A browser without eyes: cookies, redirects, forms. Pages are taken as text; what they look like, real browsers see
//! (`tests/browser/`). The demo's, which fails a test where something fails.

use http::{HeaderMap, StatusCode};
use sekisho::demo::visitor::{self, Visitor};
use sekisho_adapters::http::HttpClient;

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
    page: visitor::Page,
}

impl From<visitor::Page> for Page {
    fn from(page: visitor::Page) -> Self {
        let (headers, text, url) = (page.headers.clone(), page.text.clone(), page.url.clone());
        Self { status: page.status, headers, text, url, page }
    }
}

impl Page {
    /// The value of the first hidden field of this name.
    pub fn hidden(&self, name: &str) -> String {
        self.page.hidden(name)
    }

    /// Whether it holds this text.
    pub fn says(&self, text: &str) -> bool {
        self.page.says(text)
    }

    /// The first link that contains this.
    pub fn link(&self, part: &str) -> String {
        self.page.link(part).unwrap_or_else(|| panic!("no link with {part}:\n{}", self.text))
    }
}

/// A browser.
pub struct Browser {
    visitor: Visitor,
    /// The gateway's address.
    pub home: String,
}

impl Browser {
    /// A fresh one, that knows this gateway.
    pub fn new(http: HttpClient, home: &str) -> Self {
        Self { visitor: Visitor::new(http, home), home: home.to_owned() }
    }

    /// Another window of the same browser.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { visitor: self.visitor.clone(), home: self.home.clone() }
    }

    /// The value of a cookie of the gateway.
    pub fn cookie(&self, name: &str) -> Option<&String> {
        self.visitor.cookie(name)
    }

    /// Sets a cookie of the gateway, as somebody could who has the browser in hand.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.visitor.set_cookie(name, value);
    }

    /// Opens a page, and goes where it leads.
    pub async fn open(&mut self, path: &str) -> Page {
        self.visitor.open(path).await.unwrap().into()
    }

    /// Opens a page, and stays there.
    pub async fn peek(&mut self, path: &str) -> Page {
        self.visitor.peek(path).await.unwrap().into()
    }

    /// Sends a form, and goes where it leads.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let home = self.home.clone();
        self.send_from(&home, path, fields).await
    }

    /// Sends a form that another site's page holds.
    pub async fn send_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        self.visitor.send_from(origin, path, fields).await.unwrap().into()
    }

    /// Signs in at the development issuer as this persona, having begun at `path`.
    pub async fn sign_in(&mut self, path: &str, sub: &str) -> Page {
        self.visitor.sign_in(path, sub).await.unwrap().into()
    }
}
