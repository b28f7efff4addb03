//! Pages for citizens, under `/my`: sign in, see, grant, stop, see who looked.
//!
//! Nothing here decides or keeps records: it reads what was asked, calls `consent` and `store` as the JSON API does, and
//! shows what came of it. Everything works without scripts. Who may open what stands in [`ROUTES`], which a test walks
//! cell by cell; a path that is not there answers as if nobody had ever thought of it.

mod consents;
mod grant;
mod home;
mod log;
mod oidc;
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

macro_rules! pages {
    ($($name:ident $method:literal $path:literal $whom:ident;)*) => {
        /// A page: there is none that does not stand in [`ROUTES`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Which { $($name,)* }

        /// Every page: method, path (`{id}` stands for one segment), and whom it is for.
        pub const ROUTES: &[(&str, &str, For)] = &[$(($method, $path, For::$whom),)*];

        const WHICH: &[Which] = &[$(Which::$name,)*];
    };
}

pages! {
    Root "GET" "/" Anybody;
    Home "GET" "/my" Anybody;
    Style "GET" "/my/style.css" Anybody;
    Icon "GET" "/my/icon.svg" Anybody;
    Language "POST" "/my/language" Anybody;
    Exit "GET" "/my/exit" Anybody;
    SignIn "GET" "/my/sign-in/{id}" Anybody;
    CameBack "GET" "/my/sign-in/{id}/callback" Anybody;
    EndedThere "POST" "/my/sign-in/{id}/signed-out" Anybody;
    SignOut "POST" "/my/sign-out" Anybody;
    Consents "GET" "/my/consents" Person;
    Consent "GET" "/my/consents/{id}" Person;
    Record "GET" "/my/consents/{id}/record" Person;
    AskToStop "GET" "/my/consents/{id}/stop" Person;
    Stop "POST" "/my/consents/{id}/stop" Person;
    Refuse "POST" "/my/consents/{id}/refuse" Person;
    Proposal "GET" "/my/proposals/{id}" Person;
    Agree "POST" "/my/proposals/{id}/agree" Person;
    Decline "POST" "/my/proposals/{id}/decline" Person;
    Refusals "GET" "/my/refusals" Person;
    Lift "POST" "/my/refusals/{id}/lift" Person;
    AskToStopAll "GET" "/my/stop-all" Person;
    StopAll "POST" "/my/stop-all" Person;
    Log "GET" "/my/log" Person;
    LogCsv "GET" "/my/log.csv" Person;
    LogJson "GET" "/my/log.json" Person;
    Line "GET" "/my/log/{id}" Person;
}

/// Which page a request is for, whom that is for, and the `{id}` in its path.
fn which<'a>(method: &Method, path: &'a str) -> Option<(Which, For, &'a str)> {
    ROUTES.iter().zip(WHICH).find_map(|((of, pattern, whom), which)| {
        let id = if *of == method.as_str() { matched(pattern, path) } else { None };
        id.map(|id| (*which, *whom, id))
    })
}

/// The segment that stands for `{id}`, empty where there is none; `None` when the path is another.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (mut wanted, mut segments, mut id) = (pattern.split('/'), path.split('/'), "");
    loop {
        match (wanted.next(), segments.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(segment)) if !segment.is_empty() => id = segment,
            (Some(one), Some(other)) if one == other => {}
            _ => return None,
        }
    }
}

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
    let (which, whom, id) = which(&visit.method, path).ok_or(Trouble::not_found())?;
    if whom == For::Person {
        // Each page asks this again, and what of whom it may show; none can forget to.
        visit.person().await?;
    }
    match which {
        Which::Root => Ok(Answer::see("/my")),
        Which::Home => home::home(visit).await,
        Which::Style => Ok(asset("text/css; charset=utf-8", include_bytes!("../../assets/style.css"))),
        Which::Icon => Ok(asset("image/svg+xml", include_bytes!("../../assets/icon.svg"))),
        Which::Language => Ok(sign_in::language(visit)),
        Which::Exit => Ok(sign_in::exit(visit)),
        Which::SignIn => sign_in::begin(visit, id).await,
        Which::CameBack => sign_in::finish(visit, id).await,
        Which::EndedThere => sign_in::ended_there(visit, id).await,
        Which::SignOut => sign_in::sign_out(visit).await,
        Which::Consents => consents::list(visit).await,
        Which::Consent => consents::one(visit, id).await,
        Which::Record => consents::record(visit, id).await,
        Which::AskToStop => stop::ask(visit, id).await,
        Which::Stop => stop::one(visit, id).await,
        Which::Refuse => refusals::refuse(visit, id).await,
        Which::Proposal => grant::show(visit, id).await,
        Which::Agree => grant::agree(visit, id).await,
        Which::Decline => grant::decline(visit, id).await,
        Which::Refusals => refusals::list(visit).await,
        Which::Lift => refusals::lift(visit, id).await,
        Which::AskToStopAll => stop::ask_all(visit).await,
        Which::StopAll => stop::all(visit).await,
        Which::Log => log::page(visit).await,
        Which::LogCsv => log::csv(visit).await,
        Which::LogJson => log::json(visit).await,
        Which::Line => log::one(visit, id).await,
    }
}

fn asset(content_type: &'static str, bytes: &'static [u8]) -> Answer {
    Answer::of(StatusCode::OK, content_type, Bytes::from_static(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_its_whole_path() {
        let at = |path| which(&Method::GET, path).map(|(which, _, id)| (which, id));
        assert_eq!(at("/my/consents/cns-a/stop"), Some((Which::AskToStop, "cns-a")));
        assert_eq!(which(&Method::POST, "/my/consents/cns-a/stop").map(|w| w.0), Some(Which::Stop));
        assert_eq!(at("/my/log.csv"), Some((Which::LogCsv, "")));
        for path in
            ["/my/", "/my/consents/", "/my/consents//stop", "/my/consents/a/b/stop", "/my/consents/a/stop/", "/My", ""]
        {
            assert_eq!(at(path), None, "{path}");
        }
        assert_eq!(which(&Method::HEAD, "/my"), None);
    }
}
