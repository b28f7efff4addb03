//! The access matrix: every route, every kind of caller, about their own, a child's, somebody else's, what a protective
//! measure hides, another municipality's. Each cell of `table` is asked of a running gateway over TLS.
//!
//! "As if it were not there" is held byte by byte: the same request about ids that nobody ever had must get the same
//! status, header fields and body.

mod asks;
mod cast;
mod commands;
mod desks;
mod document;
mod table;
mod whose;

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN};
use http::{HeaderMap, Method, Request, StatusCode};
use sekisho::api::{ROUTES as API_ROUTES, WHICH as API};
use sekisho::web::{ROUTES as PAGE_ROUTES, WHICH as PAGES, Which as Page};
use sekisho_adapters::http::HttpClient;
use serde_json::Value;

use asks::{Ask, Body, Texts};
use cast::Cast;
use table::{Cell, SEATS, Seat, cells};
use whose::{Target, Whose};

/// What is asked.
#[derive(Clone, Copy)]
enum Route<'a> {
    Page(Page, (&'a str, &'a str)),
    Api(sekisho::api::Which, (&'a str, &'a str)),
    Data(&'a str),
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    /// All that a caller could compare, without the ids that they sent themselves.
    fn without(&self, of: &Target, attested: &Target) -> (StatusCode, Vec<(String, String)>, String) {
        let replaced = |text: &str| {
            let all = of.ids().into_iter().chain(attested.ids());
            all.fold(text.to_owned(), |text, id| text.replace(id, "ID"))
        };
        let mut fields: Vec<(String, String)> = self
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"))
            .map(|(name, value)| (name.to_string(), replaced(value.to_str().unwrap())))
            .collect();
        fields.sort();
        (self.status, fields, replaced(&self.text))
    }
}

/// A walk over the matrix; what is not as it should be is collected, and told at the end.
struct Walk {
    cast: Cast,
    texts: Texts,
    /// The status that everybody gets of a route that answers everybody alike.
    same: HashMap<String, StatusCode>,
    wrong: Vec<String>,
    walked: usize,
}

impl Walk {
    async fn begin() -> Self {
        let cast = Cast::assemble().await;
        let world = &cast.town.world;
        let token = world.person_token("own").unwrap();
        let text = world.json(&world.browser, Method::GET, "/v1/texts/phr-view", &token, None).await.unwrap();
        let last_day = cast.town.in_seconds(40 * 86_400)[..10].to_owned();
        let texts = Texts { phr_view: text["text_hash"].as_str().unwrap().to_owned(), last_day };
        Self { cast, texts, same: HashMap::new(), wrong: Vec::new(), walked: 0 }
    }

    fn ask(&self, route: Route<'_>, of: &Target, attested: &Target) -> Ask {
        match route {
            Route::Page(page, at) => asks::page(page, at, of, &self.texts),
            Route::Api(which, at) => asks::api(which, at, of, &self.texts, &self.cast.town),
            Route::Data(name) => asks::data(name, of, attested),
        }
    }

    async fn send(&mut self, seat: Seat, route: Route<'_>, ask: &Ask) -> Answer {
        let url = format!("{}{}", self.cast.town.world.url, ask.path);
        let mut request = Request::builder().method(ask.method.clone()).uri(url);
        let mut http = self.cast.town.world.browser.clone();
        if matches!(route, Route::Page(..)) {
            request = request.header(ACCEPT, "text/html").header(ORIGIN, self.cast.town.world.url.as_str());
        }
        let mut csrf = String::new();
        match (route, self.cast.sessions.get_mut(&seat)) {
            (Route::Page(..), Some(browser)) => {
                csrf = browser.open(if cast::is_staff(seat) { "/counter" } else { "/my" }).await.hidden("csrf");
                request =
                    request.header(COOKIE, format!("__Host-sekisho={}", browser.cookie("__Host-sekisho").unwrap()));
            }
            _ => {
                if let Some(desk) = self.cast.desk(seat) {
                    http = desk.http;
                    request = request.header(AUTHORIZATION, format!("Bearer {}", desk.token));
                } else if seat == Seat::Portal {
                    http = self.cast.portal();
                }
            }
        }
        let body = match &ask.body {
            Body::None => Bytes::new(),
            Body::Json(value) => Bytes::from(value.to_string()),
            Body::Form(fields) => {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("csrf", &csrf);
                form.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
                Bytes::from(form.finish())
            }
        };
        let answer = sent(&http, request.body(body).unwrap()).await;
        // What was answered in another window is shown where it stands now.
        let elsewhere =
            answer.headers.get(LOCATION).and_then(|l| l.to_str().ok()).filter(|l| l.starts_with("/my/consents/"));
        match (elsewhere, self.cast.sessions.get_mut(&seat)) {
            (Some(location), Some(browser)) => {
                let page = browser.peek(location).await;
                Answer { status: page.status, headers: page.headers, text: page.text }
            }
            _ => answer,
        }
    }

    /// One cell: what is answered about the target, and about what never was.
    async fn cell(&mut self, name: &str, route: Route<'_>, seat: Seat, expected: Cell, of: &Target) {
        self.walked += 1;
        let (attested, never) = (self.cast.targets[&Whose::Attested].clone(), of.never());
        let mut of = of.clone();
        if let (Route::Page(Page::Line | Page::LineProof, _), Cell::Served) = (route, expected) {
            // Cursors are sealed for who got them.
            let log = self.cast.sessions.get_mut(&seat).unwrap().open(&format!("/my/log?about={}", of.subject)).await;
            of.at = log.link("&at=").split("&at=").nth(1).unwrap().to_owned();
        }
        let of = &of;
        let ask = self.ask(route, of, &attested);
        let answer = self.send(seat, route, &ask).await;
        if matches!(route, Route::Page(Page::Exit | Page::SignOut, _)) {
            self.cast.sign_in(seat).await;
        }
        let found = found(route, &ask, &answer);
        let mut say = |what: String| self.wrong.push(format!("{name}, {seat:?}: {what}"));
        if expected != Cell::Same && found != Some(expected) {
            let main = answer.text.split("<main").last().unwrap_or_default();
            let text: String = main.chars().filter(|c| *c != '\n').take(300).collect();
            return say(format!("{expected:?} expected, {found:?} found: {} {text}", answer.status));
        }
        if expected == Cell::Same && *self.same.entry(name.to_owned()).or_insert(answer.status) != answer.status {
            return say(format!("{} to this one", answer.status));
        }
        if matches!(expected, Cell::Own | Cell::Same)
            && let Some(id) = of.ids().into_iter().find(|id| !ask.path.contains(*id) && answer.text.contains(*id))
        {
            return say(format!("{id} is in the answer"));
        }
        if matches!(expected, Cell::Served | Cell::Own | Cell::Same) {
            return;
        }
        let nothing = self.ask(route, &never, &attested.never());
        let other = self.send(seat, route, &nothing).await;
        let (one, other) = (answer.without(of, &attested), other.without(&never, &never));
        let patient = if matches!(route, Route::Data(_)) { patient_in(&nothing.path) } else { String::new() };
        let text = if patient.is_empty() { other.2 } else { other.2.replace(&patient, "ID") };
        if one != (other.0, other.1, text) {
            self.wrong.push(format!("{name}, {seat:?}: told from what never was"));
        }
    }

    /// A row: what may not be seen or done first, on things that all share; what may be done, on a thing of its own.
    async fn row(&mut self, name: &str, route: Route<'_>, row: &str, changes: bool, allowed: bool) {
        for ((seat, _), expected) in SEATS.iter().zip(cells(row)) {
            let acts = changes && expected == Cell::Served;
            if acts != allowed {
                continue;
            }
            let whose = Whose::of(*seat);
            let mut of = self.cast.targets[&whose].clone();
            if acts {
                of = self.cast.fresh(whose).await;
                // Nobody has more than a few sessions: making it ended the one from before.
                self.cast.sign_in(*seat).await;
            }
            self.cell(name, route, *seat, expected, &of).await;
        }
    }

    async fn rows(&mut self, allowed: bool) {
        for ((method, path, _), which) in PAGE_ROUTES.iter().zip(PAGES) {
            let name = format!("{method} {path}");
            let changes = *method == "POST";
            self.row(&name, Route::Page(*which, (method, path)), table::page(*which), changes, allowed).await;
        }
        for ((method, path), which) in API_ROUTES.iter().zip(API) {
            let name = format!("{method} {path}");
            let changes = *method == "POST";
            self.row(&name, Route::Api(*which, (method, path)), table::api(*which), changes, allowed).await;
        }
        let mut routes = self.cast.town.gateway.app().config.routes.clone();
        // The sources of a summary are asked under one path.
        routes.dedup_by(|one, before| one.name == before.name);
        for route in routes.iter().filter(|_| !allowed) {
            let row = table::data(&route.name).unwrap_or_else(|| panic!("{} has no row", route.name));
            self.row(&route.name, Route::Data(&route.name), row, false, false).await;
        }
    }
}

/// What stands for the subject in the path of a request for data.
fn patient_in(path: &str) -> String {
    let id = |part: &&str| sekisho::ids::PairwiseId::parse(part).is_ok();
    path.rsplit(['=', '/']).find(id).unwrap_or_default().to_owned()
}

async fn sent(http: &HttpClient, request: Request<Bytes>) -> Answer {
    let answer = http.send(request).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    Answer { status: answer.status, headers: answer.headers, text }
}

/// Whether a form is about whoever sends it and nobody else.
const fn is_own_form(route: Route<'_>) -> bool {
    matches!(route, Route::Page(Page::Enrol | Page::AddLink | Page::ProposeChannel | Page::ConfirmChannel, _))
}

/// Which kind of answer it is; none where it is none of them.
fn found(route: Route<'_>, ask: &Ask, answer: &Answer) -> Option<Cell> {
    let json: Value = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
    let code = json["code"].as_str().unwrap_or_default();
    let says = |text: &str| answer.text.contains(text);
    let data = matches!(route, Route::Data(_));
    Some(match answer.status {
        StatusCode::UNAUTHORIZED => Cell::SignIn,
        StatusCode::FORBIDDEN if says("サインインしていません") => Cell::SignIn,
        StatusCode::FORBIDDEN if says("登録がまだ結び付いていません") => Cell::NotLinked,
        StatusCode::FORBIDDEN
            if data
                || [
                    "窓口の職員のためのページです",
                    "診療所の医師・看護師のためのページです",
                    "市区町村の保健師のためのページです",
                    "職員のサインインでは開けない",
                    "役割がありません",
                ]
                .iter()
                .any(|text| says(text)) =>
        {
            Cell::Kind
        }
        StatusCode::FORBIDDEN
            if ["person-needed", "party-needed", "counter-needed", "machine-needed", "insufficient-scope"]
                .contains(&code) =>
        {
            Cell::Kind
        }
        // A form of one's own that says too little.
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if is_own_form(route) => {
            if says(&ask.mark) {
                Cell::Served
            } else {
                Cell::Own
            }
        }
        StatusCode::NOT_FOUND => Cell::NotThere,
        StatusCode::FORBIDDEN if code == "no-authority" => Cell::NotThere,
        StatusCode::OK if data && json["total"] == 0 => Cell::NotThere,
        // Only whoever may have the record is asked to sign in at the portal for it.
        StatusCode::CONFLICT if data => Cell::Served,
        status if status.is_success() || status == StatusCode::SEE_OTHER => {
            if ask.mark.is_empty() || says(&ask.mark) {
                Cell::Served
            } else {
                Cell::Own
            }
        }
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_matrix_is_as_it_says() {
    let mut walk = Walk::begin().await;
    walk.rows(false).await;
    walk.wrong.extend(walk.cast.touched().await);
    walk.rows(true).await;
    assert!(walk.wrong.is_empty(), "{} of {} cells:\n{}", walk.wrong.len(), walk.walked, walk.wrong.join("\n"));
    println!("{} cells are as the matrix says", walk.walked);
}
