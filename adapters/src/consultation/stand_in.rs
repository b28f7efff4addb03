//! A stand-in of a consultation service: one HTTPS server of the shape in `docs/consultation-source.md`.
//!
//! What it does: streams generated consultations, any number of them, and those that it was given; keeps what it was told. It
//! misbehaves as told: see [`Knobs`].
//! What it never does: hold anything of a real person, or more than a page of generated records at once.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::people::consultations::Consultations;
use crate::stand_in::{Asked, Faults, Running, StandInBody, StartError, answer, json as json_answer, url_of};

/// Records of one page, at most.
const PAGE_MAX: u64 = 5_000;
/// Of each kind of message, so many are kept.
const KEPT_MAX: usize = 200_000;

/// How the service misbehaves. The default is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Slowness, hanging, damage to the bytes.
    pub faults: Faults,
    /// The same, for changed choices alone.
    pub choices: Faults,
    /// Sends words in details, whether they were asked for or not.
    pub sends_words: bool,
    /// Adds somebody else's details.
    pub somebody_elses: bool,
    /// Says for ever that there is more, at the same place.
    pub stands_still: bool,
}

/// What the stand-in is started with.
pub struct ConsultationOptions {
    /// Where to listen; port 0 for any free one.
    pub bind: SocketAddr,
    /// TLS settings, client authentication included.
    pub tls: rustls::ServerConfig,
    /// Generated consultations and how many of them there are, if any.
    pub generated: Option<(Consultations, u64)>,
}

/// What the service was told, in order; everything that came twice is here twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Consultation, field, why.
    pub returned: Vec<(String, String, String)>,
    /// Consultation, outcome.
    pub outcomes: Vec<(String, String)>,
    /// Alert, step.
    pub alerts: Vec<(String, u64)>,
}

/// A running stand-in; stops when dropped.
pub struct ConsultationStandIn {
    running: Running,
    state: Arc<State>,
}

impl fmt::Debug for ConsultationStandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsultationStandIn").field("addr", &self.running.addr()).finish_non_exhaustive()
    }
}

struct State {
    generated: Option<(Consultations, u64)>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    knobs: Knobs,
    /// Records in the order in which they were put, behind the generated ones.
    added: Vec<String>,
    choices: Vec<String>,
    details: HashMap<String, Value>,
    gone: std::collections::HashSet<String>,
    told: Told,
    /// Ids of each question for details, and whether words were wanted.
    asked: Vec<(Vec<String>, bool)>,
    requests: u64,
}

impl ConsultationStandIn {
    /// Starts a service.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(options: ConsultationOptions) -> Result<Self, StartError> {
        let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(StartError::Bind)?;
        let state = Arc::new(State { generated: options.generated, held: Mutex::default() });
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, options.tls, move |asked| respond(Arc::clone(&shared), asked))?;
        Ok(Self { running, state })
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// Its base, `https://localhost:{port}`.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(self.running.addr())
    }

    /// Adds a record to the feed, as it is: sound, broken, or one more of an id that was there before.
    pub fn add(&self, record: impl Into<String>) {
        self.state.held().added.push(record.into());
    }

    /// Sets the details of a consultation (of a generated one too), words included.
    pub fn put_details(&self, id: &str, details: Value) {
        self.state.held().details.insert(id.to_owned(), details);
    }

    /// Gives no details of a consultation any more.
    pub fn forget(&self, id: &str) {
        self.state.held().gone.insert(id.to_owned());
    }

    /// Adds a changed choice, as it is.
    pub fn change_choice(&self, change: impl Into<String>) {
        self.state.held().choices.push(change.into());
    }

    /// Somebody chooses anew, for one consultation or all of theirs.
    pub fn choose(&self, user: &str, consultation: Option<&str>, choice: &str, municipality: &str, at: &str) {
        let number = self.state.held().choices.len();
        let sharing = json!({"choice": choice, "municipality": municipality, "at": at, "evidence": format!("ev-c{number}"),
                             "text_version": crate::people::consultations::TEXT_VERSION});
        self.change_choice(json!({"user": user, "consultation": consultation, "sharing": sharing}).to_string());
    }

    /// Changes how it misbehaves, from the next request on.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.state.held().knobs = knobs;
    }

    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.state.held().told.clone()
    }

    /// Of whom details were asked, and whether words were wanted, since the last call.
    #[must_use]
    pub fn take_asked(&self) -> Vec<(Vec<String>, bool)> {
        std::mem::take(&mut self.state.held().asked)
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.held().requests
    }
}

impl State {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page of the feed: generated records first, then those that were added. `w-{n}`: the first `n` were told.
    fn consultations(&self, from: u64, limit: u64) -> String {
        let generated = self.generated.as_ref().map_or(0, |(_, count)| *count);
        let held = self.held();
        let end = generated.saturating_add(u64::try_from(held.added.len()).unwrap_or(0));
        let until = from.saturating_add(limit).min(end);
        let mut page = "{\"items\":[".to_owned();
        for number in from..until {
            page.push_str(if number == from { "" } else { "," });
            match &self.generated {
                Some((all, count)) if number < *count => page.push_str(&all.json(number)),
                _ => {
                    let at = usize::try_from(number.saturating_sub(generated)).unwrap_or(usize::MAX);
                    page.push_str(held.added.get(at).map_or("null", String::as_str));
                }
            }
        }
        finish(page, 'w', from, until, end, held.knobs.stands_still)
    }

    fn choices(&self, from: u64, limit: u64) -> String {
        let held = self.held();
        let end = u64::try_from(held.choices.len()).unwrap_or(0);
        let until = from.saturating_add(limit).min(end);
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        let wanted = usize::try_from(until.saturating_sub(from)).unwrap_or(0);
        let some: Vec<&str> = held.choices.iter().skip(first).take(wanted).map(String::as_str).collect();
        finish(format!("{{\"items\":[{}", some.join(",")), 'c', from, until, end, held.knobs.stands_still)
    }

    fn details(&self, asked: &Value) -> Option<Value> {
        let ids = asked.get("ids")?.as_array()?;
        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
        let content = asked.get("wanted")?.as_str()? == "content";
        let mut held = self.held();
        if held.asked.len() < KEPT_MAX {
            held.asked.push((ids.iter().map(|id| (*id).to_owned()).collect(), content));
        }
        let words = content || held.knobs.sends_words;
        let mut details: Vec<Value> = Vec::with_capacity(ids.len());
        for id in ids.iter().filter(|id| !held.gone.contains(**id)) {
            let own = held.details.get(*id).cloned().map(|mut own| {
                if let Some(members) = own.as_object_mut().filter(|_| !words) {
                    members.remove("content");
                }
                own
            });
            details.extend(own.or_else(|| self.generated_details(id, words)));
        }
        if held.knobs.somebody_elses {
            details.push(json!({"id": "k-somebody-else"}));
        }
        Some(json!({"details": details}))
    }

    fn generated_details(&self, id: &str, words: bool) -> Option<Value> {
        let (all, count) = self.generated.as_ref()?;
        let index = Consultations::index(id).filter(|index| index < count)?;
        all.detail(index, words)
    }
}

fn finish(mut page: String, mark: char, from: u64, until: u64, end: u64, stands_still: bool) -> String {
    let (next, more) = if stands_still { (from, true) } else { (until.max(from), until < end) };
    let _ = write!(page, "],\"next\":\"{mark}-{next}\",\"more\":{more}}}");
    page
}

async fn respond(state: Arc<State>, asked: Asked) -> Response<StandInBody> {
    let faults = {
        let mut held = state.held();
        held.requests = held.requests.saturating_add(1);
        if asked.path == "/v1/choices" && held.knobs.choices != Faults::default() {
            held.knobs.choices
        } else {
            held.knobs.faults
        }
    };
    faults.wait().await;
    faults.apply(route(&state, &asked))
}

fn route(state: &State, asked: &Asked) -> Response<StandInBody> {
    let error = |status, code: &str| json_answer(status, &json!({"error": code}));
    if asked.thumbprint.is_none() {
        return error(StatusCode::UNAUTHORIZED, "client_certificate_required");
    }
    let number = |name: &str, mark: &str| asked.param(name).map(|text| text.trim_start_matches(mark).parse::<u64>());
    let limit = number("limit", "").and_then(Result::ok).unwrap_or(100).clamp(1, PAGE_MAX);
    let sound = |page: String| answer(StatusCode::OK, "application/json", page);
    match (&asked.method, asked.path.as_str()) {
        (&Method::GET, "/v1/consultations") => match number("since", "w-").unwrap_or(Ok(0)) {
            Ok(from) => sound(state.consultations(from, limit)),
            Err(_) => error(StatusCode::BAD_REQUEST, "since"),
        },
        (&Method::GET, "/v1/choices") => match number("since", "c-").unwrap_or(Ok(0)) {
            Ok(from) => sound(state.choices(from, limit)),
            Err(_) => error(StatusCode::BAD_REQUEST, "since"),
        },
        (&Method::POST, path) => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
            let done = match path {
                "/v1/details" => state.details(&body),
                _ => told(&mut state.held().told, path, &body),
            };
            done.map_or_else(|| error(StatusCode::BAD_REQUEST, "body"), |value| json_answer(StatusCode::OK, &value))
        }
        _ => error(StatusCode::NOT_FOUND, "no_such_path"),
    }
}

fn told(told: &mut Told, path: &str, body: &Value) -> Option<Value> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let items = || Some(body.get("items")?.as_array()?.iter());
    if told.returned.len().max(told.outcomes.len()).max(told.alerts.len()) > KEPT_MAX {
        return None;
    }
    match path {
        "/v1/returned" => {
            for item in items()? {
                told.returned.push((text(item, "id")?, text(item, "field")?, text(item, "why")?));
            }
        }
        "/v1/outcomes" => {
            for item in items()? {
                told.outcomes.push((text(item, "id")?, text(item, "outcome")?));
            }
        }
        "/v1/on-call" => told.alerts.push((text(body, "alert")?, body.get("step")?.as_u64()?)),
        _ => return None,
    }
    Some(json!({}))
}
