//! Pages: for citizens under `/my` (sign in, see, grant, stop, see who looked), for a party's staff under `/counter`, for a clinic's
//! doctors and nurses under `/clinic`, for a municipality's public health nurses under `/nurse`.
//!
//! Nothing here decides or keeps records: it reads what was asked, calls `consent` and `store` as the JSON API does, and
//! shows what came of it. Everything works without scripts (one, of the nurses' pages, takes away sooner what may be shown no longer). Who may open what stands in [`ROUTES`] and, with everything else that
//! is served, in the access matrix (`docs/access.md`), which a test walks cell by cell; a path that is not there answers as if nobody had ever thought of it.

mod channel;
mod clinic;
mod consents;
mod counter;
mod enrol;
mod grant;
mod home;
mod items;
mod links;
mod log;
mod notices;
pub mod nurse;
mod oidc;
pub mod page;
mod preview;
pub mod provider;
mod refusals;
pub mod session;
mod sign_in;
mod stop;
mod tries;
mod view;
mod visit;
mod windows;

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, Request, Response, StatusCode};

use crate::app::App;
use crate::config::Config;
use crate::notify::Notifier;
use crate::request::body::ReplyBody;
use crate::request::connection::Connection;
use crate::request::incoming::RequestBody;

use crate::routes::matched;
use page::{Answer, Trouble};
use provider::Provider;
use session::{Lasting, Sessions, SignedIn};
use visit::Visit;

/// Who may open a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Anybody.
    Anybody,
    /// Somebody who is signed in as a citizen, linked or not.
    Login,
    /// A person who is signed in and linked.
    Person,
    /// A party's staff, with a role that may record at the counter.
    Staff,
    /// A clinic's staff, with a role that may open summaries.
    Viewer,
    /// A municipality's staff, with a nurse's or a manager's role.
    Nurse,
}

macro_rules! pages {
    ($($name:ident $method:literal $path:literal $whom:ident;)*) => {
        /// A page: there is none that does not stand in [`ROUTES`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Which { $(#[doc = concat!("`", $method, " ", $path, "`")] $name,)* }

        /// Every page: method, path (`{id}` stands for one segment), and whom it is for.
        pub const ROUTES: &[(&str, &str, For)] = &[$(($method, $path, For::$whom),)*];

        /// The same, in the same order.
        pub const WHICH: &[Which] = &[$(Which::$name,)*];
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
    AskToEnrol "GET" "/my/enrol" Login;
    Enrol "POST" "/my/enrol" Login;
    Links "GET" "/my/links" Person;
    AddLink "POST" "/my/links" Person;
    EndLink "POST" "/my/links/{id}/end" Person;
    Consents "GET" "/my/consents" Person;
    Consent "GET" "/my/consents/{id}" Person;
    Record "GET" "/my/consents/{id}/record" Person;
    AskToStop "GET" "/my/consents/{id}/stop" Person;
    Stop "POST" "/my/consents/{id}/stop" Person;
    Refuse "POST" "/my/consents/{id}/refuse" Person;
    Proposal "GET" "/my/proposals/{id}" Person;
    Agree "POST" "/my/proposals/{id}/agree" Person;
    Preview "POST" "/my/proposals/{id}/preview" Person;
    Decline "POST" "/my/proposals/{id}/decline" Person;
    Refusals "GET" "/my/refusals" Person;
    Lift "POST" "/my/refusals/{id}/lift" Person;
    AskToStopAll "GET" "/my/stop-all" Person;
    StopAll "POST" "/my/stop-all" Person;
    Channel "GET" "/my/channel" Person;
    ProposeChannel "POST" "/my/channel" Person;
    ConfirmChannel "POST" "/my/channel/confirm" Person;
    ForgetChannel "POST" "/my/channel/off" Person;
    Log "GET" "/my/log" Person;
    LogCsv "GET" "/my/log.csv" Person;
    LogJson "GET" "/my/log.json" Person;
    Line "GET" "/my/log/{id}" Person;
    Counter "GET" "/counter" Anybody;
    CounterPerson "POST" "/counter/person" Staff;
    CounterAskConsent "POST" "/counter/consent/new" Staff;
    CounterConsent "POST" "/counter/consent" Staff;
    CounterAskWithdrawal "POST" "/counter/withdrawal/new" Staff;
    CounterWithdrawal "POST" "/counter/withdrawal" Staff;
    CounterAskRefusal "POST" "/counter/refusal/new" Staff;
    CounterRefusal "POST" "/counter/refusal" Staff;
    CounterAskCode "POST" "/counter/code/new" Staff;
    CounterCode "POST" "/counter/code" Staff;
    CounterAskAnew "GET" "/counter/ask-anew" Staff;
    Clinic "GET" "/clinic" Anybody;
    ClinicCheck "POST" "/clinic/check" Viewer;
    ClinicSummary "POST" "/clinic/summary" Viewer;
    ClinicNotTheirs "POST" "/clinic/not-my-patient" Viewer;
    LineProof "GET" "/my/log/{id}/proof" Person;
    Windows "GET" "/my/windows" Person;
    AskContact "POST" "/my/windows/ask" Person;
    Nurses "GET" "/nurse" Anybody;
    NurseSearch "POST" "/nurse/search" Nurse;
    NurseCase "GET" "/nurse/cases/{id}" Nurse;
    NurseAct "POST" "/nurse/act" Nurse;
    NursePrint "GET" "/nurse/print" Nurse;
    NurseManage "GET" "/nurse/manage" Nurse;
    NurseAssign "POST" "/nurse/assign" Nurse;
    NurseWatch "GET" "/nurse/watch/{id}" Nurse;
    NurseScript "GET" "/nurse/watch.js" Anybody;
}

/// Which page a request is for, whom that is for, and the `{id}` in its path.
fn which<'a>(method: &Method, path: &'a str) -> Option<(Which, For, &'a str)> {
    ROUTES.iter().zip(WHICH).find_map(|((of, pattern, whom), which)| {
        let id = if *of == method.as_str() { matched(pattern, path) } else { None };
        id.map(|id| (*which, *whom, id))
    })
}

/// What pages need beside the rest of the gateway.
pub struct Web {
    /// Who vouches for people.
    pub providers: Vec<Provider>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// How long they are.
    lasting: Lasting,
    /// Where people go who must leave at once.
    pub exit: String,
    /// How notices go out, where they do.
    pub notifier: Notifier,
}

impl Web {
    /// The pages of a configuration.
    #[must_use]
    pub fn new(config: &Config, providers: Vec<Provider>, notifier: Notifier, sessions: Arc<Sessions>) -> Self {
        let pages = &config.pages;
        let lasting = Lasting { idle_ms: pages.idle_ms, most_ms: pages.most_ms };
        Self { providers, sessions, lasting, exit: pages.exit.clone(), notifier }
    }

    fn provider(&self, code: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.settings.code == code)
    }

    /// How long a session of this sign-in lasts.
    fn lasting(&self, of: &SignedIn) -> Lasting {
        let staff = self.provider_of(&of.issuer).and_then(|provider| provider.settings.staff.as_ref());
        staff.map_or(self.lasting, |staff| Lasting { idle_ms: staff.idle_ms, ..self.lasting })
    }

    /// Whether this sign-in is of a nurse, or a manager, of this municipality.
    #[must_use]
    pub fn is_nurse_of(&self, of: &SignedIn, municipality: &str) -> bool {
        let provider = self.provider_of(&of.issuer).filter(|provider| provider.admits(&of.acr));
        let staff = provider.and_then(|provider| provider.settings.staff.as_ref());
        let may = |role: &String| {
            staff.is_some_and(|staff| staff.nurse_roles.contains(role) || staff.manager_roles.contains(role))
        };
        staff.is_some_and(|staff| staff.party == municipality) && of.roles.iter().any(may)
    }

    /// Whether this is a sign-in of a party's staff.
    fn is_staff(&self, of: &SignedIn) -> bool {
        self.provider_of(&of.issuer).is_some_and(|provider| provider.settings.staff.is_some())
    }

    pub(crate) fn provider_of(&self, issuer: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.issuer.url == issuer)
    }
}

/// Whether a request is for a page. The bare address is one to somebody who looks for pages, and nothing to anybody else.
#[must_use]
pub fn is_for_pages(request: &Request<RequestBody>) -> bool {
    let uri = request.uri();
    let html = || request.headers().get(ACCEPT).is_some_and(|all| all.as_bytes().starts_with(b"text/html"));
    let path = uri.path();
    path == "/my"
        || path.starts_with("/my/")
        || page::is_for_staff(path)
        || (path == "/" && uri.query().is_none() && html())
}

/// Whether a request narrows: it has slots of its own, which are always free.
#[must_use]
pub fn narrows(method: &Method, path: &str) -> bool {
    let ends =
        path.starts_with("/my/") && ["/stop", "/refuse", "/decline", "/end"].iter().any(|end| path.ends_with(end));
    let counter = ["/counter/refusal", "/counter/withdrawal"].contains(&path);
    method == Method::POST && (path == "/my/stop-all" || ends || counter)
}

/// Answers one request for a page.
pub async fn handle(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    request: Request<RequestBody>,
) -> Response<ReplyBody> {
    let path = request.uri().path();
    let unchanging = matches!(path, "/my/style.css" | "/my/icon.svg" | "/nurse/watch.js");
    let path = path.to_owned();
    let (frame, answer) = match Visit::of(app, connection, request).await {
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
    // Each page asks this again, and what of whom it may show; none can forget to.
    match whom {
        For::Anybody => {}
        For::Login => {
            visit.login()?;
        }
        For::Person => {
            visit.person().await?;
        }
        For::Staff => {
            counter::Member::of(visit).await?;
        }
        For::Viewer => {
            clinic::Viewer::of(visit).await?;
        }
        For::Nurse => {
            nurse::Member::of(visit).await?;
        }
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
        Which::AskToEnrol => enrol::ask(visit).await,
        Which::Enrol => enrol::enrol(visit).await,
        Which::Links => links::list(visit).await,
        Which::AddLink => links::add(visit).await,
        Which::EndLink => links::end(visit, id).await,
        Which::Consents => consents::list(visit).await,
        Which::Consent => consents::one(visit, id).await,
        Which::Record => consents::record(visit, id).await,
        Which::AskToStop => stop::ask(visit, id).await,
        Which::Stop => stop::one(visit, id).await,
        Which::Refuse => refusals::refuse(visit, id).await,
        Which::Proposal => grant::show(visit, id).await,
        Which::Agree => grant::agree(visit, id).await,
        Which::Preview => preview::show(visit, id).await,
        Which::Decline => grant::decline(visit, id).await,
        Which::Refusals => refusals::list(visit).await,
        Which::Lift => refusals::lift(visit, id).await,
        Which::AskToStopAll => stop::ask_all(visit).await,
        Which::StopAll => stop::all(visit).await,
        Which::Channel => channel::show(visit).await,
        Which::ProposeChannel => channel::propose(visit).await,
        Which::ConfirmChannel => channel::confirm(visit).await,
        Which::ForgetChannel => channel::forget(visit).await,
        Which::Log => log::page(visit).await,
        Which::LogCsv => log::csv(visit).await,
        Which::LogJson => log::json(visit).await,
        Which::Line => log::one(visit, id).await,
        Which::Counter => counter::home(visit).await,
        Which::CounterPerson => counter::person(visit).await,
        Which::CounterAskConsent => counter::ask_consent(visit).await,
        Which::CounterConsent => counter::record_consent(visit).await,
        Which::CounterAskWithdrawal => counter::ask_withdrawal(visit).await,
        Which::CounterWithdrawal => counter::withdrawal(visit).await,
        Which::CounterAskRefusal => counter::ask_refusal(visit).await,
        Which::CounterRefusal => counter::refusal(visit).await,
        Which::CounterAskCode => counter::ask_code(visit).await,
        Which::CounterCode => counter::issue_code(visit).await,
        Which::CounterAskAnew => counter::ask_anew(visit).await,
        Which::Clinic => clinic::home(visit).await,
        Which::ClinicCheck => clinic::check(visit).await,
        Which::ClinicSummary => clinic::summary(visit).await,
        Which::ClinicNotTheirs => clinic::not_theirs(visit).await,
        Which::LineProof => log::proof(visit, id).await,
        Which::Windows => windows::show(visit).await,
        Which::AskContact => windows::ask(visit).await,
        Which::Nurses => nurse::list(visit).await,
        Which::NurseSearch => nurse::search(visit).await,
        Which::NurseCase => nurse::case(visit, id).await,
        Which::NurseAct => nurse::act(visit).await,
        Which::NursePrint => nurse::print(visit).await,
        Which::NurseManage => nurse::manage(visit).await,
        Which::NurseAssign => nurse::assign(visit).await,
        Which::NurseWatch => nurse::watch(visit, id).await,
        Which::NurseScript => Ok(asset("text/javascript; charset=utf-8", include_bytes!("../../assets/watch.js"))),
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
