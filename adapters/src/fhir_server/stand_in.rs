//! A small FHIR R4 server that stands for what operators have.
//!
//! What it does: holds resources of any type per patient, answers reads and searches by patient, code and date like a
//! plain FHIR server (searchset Bundle, self link, `fullUrl`, `meta`), counts requests and keeps the last request's header fields so
//! that tests can show what was not passed on. It misbehaves as told: see [`Knobs`].
//! What it never does: check who is asking. That is the gateway's job, and the tests'.
//! Facts: HL7 FHIR 4.0.1 (search, Bundle); indication tags after the JP-CLINS implementation guide.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::bundle;
use crate::NowMs;
use crate::stand_in::{Asked, Faults, Running, StandInBody, StartError, answer};

const RENDERED_MAX: usize = 20_000;
const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// How the server misbehaves, or what it adds. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Slowness, hanging, damage to the bytes.
    pub faults: Faults,
    /// Elements of the wrong type stand in the first resource (a number for a code, a string for a list).
    pub wrong_types: bool,
    /// Resources of another patient stand among the answers.
    pub others_mixed_in: bool,
    /// An identifier of the first resource is twelve digits with a valid check digit.
    pub my_number_in_identifier: bool,
    /// A note of the first resource contains twelve digits with a valid check digit.
    pub my_number_in_text: bool,
    /// The first resource carries the tag for what the patient hasn't been told.
    pub uninformed: bool,
    /// Pads the Bundle to this many bytes, where it is smaller by at least the room for a note.
    pub pad_to_bytes: Option<usize>,
    /// Repeats (with new ids) or leaves out resources so that there are this many.
    pub entries: Option<usize>,
    /// A next page is said to be at this port of this machine; at the server's own, each page has a next one.
    pub next_at_port: Option<u16>,
}

/// What a stand-in server is started with.
pub struct FhirOptions {
    /// Where to listen; port 0 for any free one.
    pub bind: SocketAddr,
    /// TLS settings, client authentication included.
    pub tls: rustls::ServerConfig,
    /// The clock for `meta.lastUpdated`.
    pub now: NowMs,
}

/// A running stand-in; stops when dropped.
pub struct FhirServer {
    running: Running,
    state: Arc<State>,
}

impl std::fmt::Debug for FhirServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FhirServer").field("addr", &self.running.addr()).finish_non_exhaustive()
    }
}

struct State {
    base: String,
    now: NowMs,
    held: Mutex<Held>,
    requests: AtomicU64,
}

#[derive(Default)]
struct Held {
    knobs: Knobs,
    patients: HashMap<String, Value>,
    /// All but the `Patient`, by patient.
    resources: HashMap<String, Vec<Value>>,
    /// Rendered searches by type and query; emptied by every change, and when full.
    rendered: HashMap<String, Bytes>,
    last_headers: Option<HeaderMap>,
    last_target: Option<String>,
    /// What every search answers instead.
    instead: Option<Bytes>,
    /// Paths and queries since somebody asked for them to be kept.
    targets: Option<Vec<String>>,
}

impl FhirServer {
    /// Starts an empty server.
    ///
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(options: FhirOptions) -> Result<Self, StartError> {
        let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(StartError::Bind)?;
        let addr = listener.local_addr().map_err(StartError::Bind)?;
        let state = Arc::new(State {
            base: format!("{}/fhir", crate::stand_in::url_of(addr)),
            now: options.now,
            held: Mutex::new(Held::default()),
            requests: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, options.tls, move |asked| respond(Arc::clone(&shared), asked))?;
        Ok(Self { running, state })
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// Its FHIR base, `https://localhost:{port}/fhir`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.base
    }

    /// Sets what is held about a patient: the `Patient`, and resources of any type. What is no resource is left out.
    pub fn put(&self, patient: &str, resources: Vec<Value>) {
        let mut held = self.state.held();
        held.rendered.clear();
        let mut others = Vec::new();
        for resource in resources {
            match resource.get("resourceType").and_then(Value::as_str) {
                Some("Patient") => {
                    held.patients.insert(patient.to_owned(), resource);
                }
                Some(_) => others.push(resource),
                None => {}
            }
        }
        held.resources.insert(patient.to_owned(), others);
    }

    /// Changes how it misbehaves, from the next request on.
    pub fn set_knobs(&self, knobs: Knobs) {
        let mut held = self.state.held();
        held.rendered.clear();
        held.knobs = knobs;
    }

    /// Has every search answer these bytes, whatever they are; `None` ends that.
    pub fn answer_with(&self, instead: Option<Vec<u8>>) {
        self.state.held().instead = instead.map(Bytes::from);
    }

    /// How it misbehaves now.
    #[must_use]
    pub fn knobs(&self) -> Knobs {
        self.state.held().knobs
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// The header fields of the last request.
    #[must_use]
    pub fn last_headers(&self) -> Option<HeaderMap> {
        self.state.held().last_headers.clone()
    }

    /// Path and query of the last request.
    #[must_use]
    pub fn last_target(&self) -> Option<String> {
        self.state.held().last_target.clone()
    }

    /// Path and query of every request since the last call; the first call begins to keep them.
    #[must_use]
    pub fn take_targets(&self) -> Vec<String> {
        self.state.held().targets.replace(Vec::new()).unwrap_or_default()
    }
}

impl State {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn respond(state: Arc<State>, asked: Asked) -> Response<StandInBody> {
    state.requests.fetch_add(1, Ordering::Relaxed);
    let (knobs, response) = {
        let mut held = state.held();
        let response = route(&state, &mut held, &asked);
        let target = match &asked.query {
            Some(query) => format!("{}?{query}", asked.path),
            None => asked.path,
        };
        if let Some(targets) = &mut held.targets {
            targets.push(target.clone());
        }
        held.last_target = Some(target);
        held.last_headers = Some(asked.headers);
        (held.knobs, response)
    };
    knobs.faults.wait().await;
    knobs.faults.apply(response)
}

fn route(state: &State, held: &mut Held, asked: &Asked) -> Response<StandInBody> {
    if asked.method != Method::GET {
        return outcome(StatusCode::METHOD_NOT_ALLOWED, "not-supported");
    }
    let rest = asked.path.strip_prefix("/fhir/").unwrap_or_default();
    match rest.split_once('/') {
        None if rest == "metadata" => fhir(StatusCode::OK, bundle::capability(state.today_ms()).to_string()),
        None if bundle::SEARCHED.contains(&rest) => search(state, held, rest, asked),
        Some(("Patient", id)) => read(held.patients.get(id)),
        Some((kind, id)) => {
            let is = |resource: &&Value| {
                bundle::kind(resource) == kind && resource.get("id").and_then(Value::as_str) == Some(id)
            };
            read(held.resources.values().flatten().find(is))
        }
        _ => outcome(StatusCode::NOT_FOUND, "not-found"),
    }
}

impl State {
    fn today_ms(&self) -> i64 {
        (self.now)()
    }
}

fn read(resource: Option<&Value>) -> Response<StandInBody> {
    match resource {
        Some(resource) => fhir(StatusCode::OK, resource.to_string()),
        None => outcome(StatusCode::NOT_FOUND, "not-found"),
    }
}

fn search(state: &State, held: &mut Held, kind: &str, asked: &Asked) -> Response<StandInBody> {
    let query = asked.query.as_deref().unwrap_or_default();
    let mut patient = None;
    let (mut dates, mut codes) = (Vec::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "patient" => patient = Some(value.strip_prefix("Patient/").unwrap_or(&value).to_owned()),
            "date" if bundle::has_date(kind) => dates.push(value.into_owned()),
            "code" if bundle::has_code(kind) => codes.push(value.into_owned()),
            "_format" | "_count" => {}
            _ => return outcome(StatusCode::BAD_REQUEST, "not-supported"),
        }
    }
    let Some(patient) = patient else {
        return outcome(StatusCode::BAD_REQUEST, "required");
    };
    if let Some(instead) = &held.instead {
        return fhir(StatusCode::OK, instead.clone());
    }
    let target = format!("{kind}?{query}");
    if let Some(body) = held.rendered.get(&target) {
        return fhir(StatusCode::OK, body.clone());
    }
    let own = held.resources.get(&patient).map(Vec::as_slice).unwrap_or_default();
    let wanted = |r: &&Value| bundle::kind(r) == kind && bundle::within(r, &dates) && bundle::coded(r, &codes);
    let found: Vec<Value> = own.iter().filter(wanted).cloned().collect();
    let link = format!("{}/{target}", state.base);
    let body = bundle::searchset(&state.base, &link, state.today_ms(), found, (kind, &patient), &held.knobs);
    let body = Bytes::from(body);
    if held.rendered.len() >= RENDERED_MAX {
        held.rendered.clear();
    }
    held.rendered.insert(target, body.clone());
    fhir(StatusCode::OK, body)
}

fn fhir(status: StatusCode, body: impl Into<Bytes>) -> Response<StandInBody> {
    answer(status, FHIR_JSON, body)
}

fn outcome(status: StatusCode, code: &str) -> Response<StandInBody> {
    let value = json!({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]});
    fhir(status, value.to_string())
}
