//! Pages for citizens, under `/my`: sign in, see, grant, stop, see who looked.
//!
//! Nothing here decides or keeps records: it reads what was asked, calls `consent` and `store` as the JSON API does, and
//! shows what came of it. Everything works without scripts. Who may open what stands in [`ROUTES`], which a test walks
//! cell by cell; a path that is not there answers as if nobody had ever thought of it.

mod consents;
mod grant;
mod home;
mod log;
pub mod page;
pub mod provider;
mod refusals;
pub mod session;
mod sign_in;
mod stop;
mod view;
mod visit;

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, Request, Response, StatusCode};

use crate::app::App;
use crate::config::Config;
use crate::request::body::ReplyBody;
use crate::request::incoming::RequestBody;
use page::{Answer, Trouble};
use provider::Provider;
use session::{Lasting, Sessions};
use visit::Visit;

/// Who may open a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Anybody.
    Anybody,
    /// A person who is signed in and linked.
    Person,
}

/// Every page: method, path (`{id}` stands for one segment), and whom it is for.
pub const ROUTES: &[(&str, &str, For)] = &[
    ("GET", "/my", For::Anybody),
    ("GET", "/my/style.css", For::Anybody),
    ("GET", "/my/icon.svg", For::Anybody),
    ("POST", "/my/language", For::Anybody),
    ("GET", "/my/exit", For::Anybody),
    ("GET", "/my/sign-in/{id}", For::Anybody),
    ("GET", "/my/sign-in/{id}/callback", For::Anybody),
    ("POST", "/my/sign-in/{id}/signed-out", For::Anybody),
    ("POST", "/my/sign-out", For::Anybody),
    ("GET", "/my/consents", For::Person),
    ("GET", "/my/consents/{id}", For::Person),
    ("GET", "/my/consents/{id}/record", For::Person),
    ("GET", "/my/consents/{id}/stop", For::Person),
    ("POST", "/my/consents/{id}/stop", For::Person),
    ("GET", "/my/proposals/{id}", For::Person),
    ("POST", "/my/proposals/{id}/agree", For::Person),
    ("POST", "/my/proposals/{id}/decline", For::Person),
    ("POST", "/my/consents/{id}/refuse", For::Person),
    ("GET", "/my/refusals", For::Person),
    ("POST", "/my/refusals/{id}/lift", For::Person),
    ("GET", "/my/stop-all", For::Person),
    ("POST", "/my/stop-all", For::Person),
    ("GET", "/my/log", For::Person),
    ("GET", "/my/log.csv", For::Person),
    ("GET", "/my/log.json", For::Person),
    ("GET", "/my/log/{id}", For::Person),
];

/// What pages need beside the rest of the gateway.
pub struct Web {
    /// Who vouches for people.
    pub providers: Vec<Provider>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// How long they are.
    pub lasting: Lasting,
    /// Where people go who must leave at once.
    pub exit: String,
}

impl Web {
    /// The pages of a configuration.
    #[must_use]
    pub fn new(config: &Config, providers: Vec<Provider>, sessions: Arc<Sessions>) -> Self {
        let pages = &config.pages;
        let lasting = Lasting { idle_ms: pages.idle_ms, most_ms: pages.most_ms };
        Self { providers, sessions, lasting, exit: pages.exit.clone() }
    }

    fn provider(&self, code: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.settings.code == code)
    }

    fn provider_of(&self, issuer: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.issuer.url == issuer)
    }
}

/// Whether a request is for a page. The bare address is one to somebody who looks for pages, and nothing to anybody else.
#[must_use]
pub fn is_for_pages(request: &Request<RequestBody>) -> bool {
    let uri = request.uri();
    let html = || request.headers().get(ACCEPT).is_some_and(|all| all.as_bytes().starts_with(b"text/html"));
    let path = uri.path();
    path == "/my" || path.starts_with("/my/") || (path == "/" && uri.query().is_none() && html())
}

/// Whether a request narrows: it has slots of its own, which are always free.
#[must_use]
pub fn narrows(method: &Method, path: &str) -> bool {
    let ends = path.starts_with("/my/") && ["/stop", "/refuse", "/decline"].iter().any(|end| path.ends_with(end));
    method == Method::POST && (path == "/my/stop-all" || ends)
}

/// Answers one request for a page.
pub async fn handle(app: &Arc<App>, request: Request<RequestBody>) -> Response<ReplyBody> {
    let path = request.uri().path();
    let unchanging = matches!(path, "/my/style.css" | "/my/icon.svg");
    let path = path.to_owned();
    let (frame, answer) = match Visit::of(app, request).await {
        Ok(visit) => {
            let answer = answer(&visit, &path).await;
            (visit.frame(), answer)
        }
        Err((frame, trouble)) => (frame, Err(trouble)),
    };
    let answer = answer.unwrap_or_else(|trouble| trouble.answer(frame));
    answer.into_response(unchanging)
}

async fn answer(visit: &Visit, path: &str) -> Result<Answer, Trouble> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (visit.method.as_str(), segments.as_slice()) {
        ("GET", [""]) => Ok(Answer::see("/my")),
        ("GET", ["my"]) => home::home(visit).await,
        ("GET", ["my", "style.css"]) => Ok(asset("text/css; charset=utf-8", include_bytes!("../../assets/style.css"))),
        ("GET", ["my", "icon.svg"]) => Ok(asset("image/svg+xml", include_bytes!("../../assets/icon.svg"))),
        ("POST", ["my", "language"]) => Ok(sign_in::language(visit)),
        ("GET", ["my", "exit"]) => Ok(sign_in::exit(visit)),
        ("GET", ["my", "sign-in", code]) => sign_in::begin(visit, code).await,
        ("GET", ["my", "sign-in", code, "callback"]) => sign_in::finish(visit, code).await,
        ("POST", ["my", "sign-in", code, "signed-out"]) => sign_in::ended_there(visit, code).await,
        ("POST", ["my", "sign-out"]) => sign_in::sign_out(visit).await,
        ("GET", ["my", "consents"]) => consents::list(visit).await,
        ("GET", ["my", "consents", id]) => consents::one(visit, id).await,
        ("GET", ["my", "consents", id, "record"]) => consents::record(visit, id).await,
        ("GET", ["my", "consents", id, "stop"]) => stop::ask(visit, id).await,
        ("POST", ["my", "consents", id, "stop"]) => stop::one(visit, id).await,
        ("GET", ["my", "proposals", id]) => grant::show(visit, id).await,
        ("POST", ["my", "proposals", id, "agree"]) => grant::agree(visit, id).await,
        ("POST", ["my", "proposals", id, "decline"]) => grant::decline(visit, id).await,
        ("POST", ["my", "consents", id, "refuse"]) => refusals::refuse(visit, id).await,
        ("GET", ["my", "refusals"]) => refusals::list(visit).await,
        ("POST", ["my", "refusals", id, "lift"]) => refusals::lift(visit, id).await,
        ("GET", ["my", "stop-all"]) => stop::ask_all(visit).await,
        ("POST", ["my", "stop-all"]) => stop::all(visit).await,
        ("GET", ["my", "log"]) => log::page(visit).await,
        ("GET", ["my", "log.csv"]) => log::csv(visit).await,
        ("GET", ["my", "log.json"]) => log::json(visit).await,
        ("GET", ["my", "log", id]) => log::one(visit, id).await,
        _ => Err(Trouble::not_found()),
    }
}

fn asset(content_type: &'static str, bytes: &'static [u8]) -> Answer {
    Answer::of(StatusCode::OK, content_type, Bytes::from_static(bytes))
}
