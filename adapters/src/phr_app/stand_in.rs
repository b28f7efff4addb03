//! A stand-in of an app: one HTTPS server of the shape in `docs/phr-app-source.md`.
//!
//! What it does: answers for the users whose records it was given, with the parts that were asked for; counts requests and
//! keeps which parts they asked for, so that tests can show that no other part was. It misbehaves as told: see [`Knobs`].
//! What it never does: hold anything of a real person.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::stand_in::{Asked, Faults, Running, StandInBody, StartError, answer, json as json_answer, url_of};

/// 体 in Shift_JIS: bytes that are no UTF-8.
const SHIFT_JIS: [u8; 2] = [0x91, 0xcc];
/// Requests of which the parts are kept.
const KEPT_MAX: usize = 10_000;

/// What the bytes of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As agreed.
    #[default]
    Utf8,
    /// Whatever isn't ASCII is written as Shift_JIS.
    ShiftJis,
    /// The last byte of whatever isn't ASCII is missing.
    BrokenUtf8,
}

/// How the app misbehaves. The default is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Slowness, hanging, damage to the bytes.
    pub faults: Faults,
    /// Answers with another user's records, and says so.
    pub somebody_elses: bool,
    /// One item of the first list says that it is another user's.
    pub one_item_of_another: bool,
    /// Measures in pounds, inches and degrees Fahrenheit.
    pub wrong_units: bool,
    /// Every temperature has lost its point: 365.
    pub lost_point: bool,
    /// Answers with all parts, whatever was asked for.
    pub sends_everything: bool,
    /// Repeats (with new ids) the items of every list so that there are this many in each.
    pub items: Option<usize>,
    /// Pads the answer to this many bytes, where it is smaller.
    pub pad_to_bytes: Option<usize>,
    /// A name stands twice in the answer.
    pub name_twice: bool,
    /// What the bytes are.
    pub encoding: Encoding,
    /// What the answer says that it is.
    pub content_type: Option<&'static str>,
    /// Sends the caller to this port of this machine.
    pub redirect_to_port: Option<u16>,
}

/// What the stand-in is started with.
pub struct PhrAppOptions {
    /// Where to listen; port 0 for any free one.
    pub bind: SocketAddr,
    /// TLS settings, client authentication included.
    pub tls: rustls::ServerConfig,
}

/// A running stand-in; stops when dropped.
pub struct PhrAppStandIn {
    running: Running,
    state: Arc<State>,
}

impl fmt::Debug for PhrAppStandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhrAppStandIn").field("addr", &self.running.addr()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    requests: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    knobs: Knobs,
    users: HashMap<String, Map<String, Value>>,
    asked: Vec<Vec<String>>,
    last_headers: Option<HeaderMap>,
}

impl State {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PhrAppStandIn {
    /// Starts an app that knows nobody.
    ///
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(options: PhrAppOptions) -> Result<Self, StartError> {
        let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(StartError::Bind)?;
        let state = Arc::new(State::default());
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

    /// Sets what is held about a user: an object of parts.
    pub fn put(&self, user: &str, records: Map<String, Value>) {
        self.state.held().users.insert(user.to_owned(), records);
    }

    /// What is held about a user.
    #[must_use]
    pub fn held(&self, user: &str) -> Option<Map<String, Value>> {
        self.state.held().users.get(user).cloned()
    }

    /// Forgets a user.
    pub fn forget(&self, user: &str) {
        self.state.held().users.remove(user);
    }

    /// Changes how it misbehaves, from the next request on.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.state.held().knobs = knobs;
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

    /// Which parts each request asked for, since the last call.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.state.held().asked)
    }

    /// The header fields of the last request.
    #[must_use]
    pub fn last_headers(&self) -> Option<HeaderMap> {
        self.state.held().last_headers.clone()
    }
}

async fn respond(state: Arc<State>, asked: Asked) -> Response<StandInBody> {
    state.requests.fetch_add(1, Ordering::Relaxed);
    let (knobs, response) = {
        let mut held = state.held();
        let parts: Vec<String> =
            asked.param("parts").unwrap_or_default().split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let response = route(&held, &asked, &parts);
        if held.asked.len() < KEPT_MAX {
            held.asked.push(parts);
        }
        held.last_headers = Some(asked.headers);
        (held.knobs, response)
    };
    knobs.faults.wait().await;
    knobs.faults.apply(response)
}

fn route(held: &Held, asked: &Asked, parts: &[String]) -> Response<StandInBody> {
    let error = |status, code: &str| json_answer(status, &json!({"error": code}));
    if asked.thumbprint.is_none() {
        return error(StatusCode::UNAUTHORIZED, "client_certificate_required");
    }
    if asked.method != Method::GET {
        return error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    }
    if let Some(port) = held.knobs.redirect_to_port {
        return redirect(port, &asked.path);
    }
    let path = asked.path.strip_prefix("/v1/users/").and_then(|rest| rest.strip_suffix("/records"));
    let Some(user) = path.filter(|user| !user.contains('/')) else {
        return error(StatusCode::NOT_FOUND, "no_such_path");
    };
    if parts.is_empty() {
        return error(StatusCode::BAD_REQUEST, "parts_required");
    }
    match held.users.get(user) {
        None => error(StatusCode::NOT_FOUND, "unknown_user"),
        Some(records) => {
            let kind = held.knobs.content_type.unwrap_or("application/json");
            answer(StatusCode::OK, kind, body(user, records, parts, &held.knobs))
        }
    }
}

fn redirect(port: u16, path: &str) -> Response<StandInBody> {
    let mut response = answer(StatusCode::TEMPORARY_REDIRECT, "text/plain", "");
    if let Ok(location) = http::HeaderValue::try_from(format!("https://localhost:{port}{path}")) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    response
}

fn body(user: &str, records: &Map<String, Value>, parts: &[String], knobs: &Knobs) -> Vec<u8> {
    let wanted = |name: &String| knobs.sends_everything || parts.contains(name);
    let mut records: Map<String, Value> =
        records.iter().filter(|(name, _)| wanted(name)).map(|(name, part)| (name.clone(), part.clone())).collect();
    for (name, part) in &mut records {
        if let (Value::Array(items), Some(wanted)) = (&mut *part, knobs.items) {
            *items = repeated(items, wanted);
        }
        spoil(name, part, knobs);
    }
    if knobs.one_item_of_another
        && let Some(Value::Object(item)) = records.values_mut().find_map(|part| part.as_array_mut()?.last_mut())
    {
        item.insert("user".to_owned(), json!(format!("{user}-other")));
    }
    let user = if knobs.somebody_elses { format!("{user}-other") } else { user.to_owned() };
    let mut text = json!({"user": user, "records": records}).to_string();
    if knobs.name_twice {
        text.insert_str(1, "\"records\":{},");
    }
    let missing = knobs.pad_to_bytes.unwrap_or(0).saturating_sub(text.len());
    text.insert_str(text.len().saturating_sub(1), &" ".repeat(missing));
    encoded(&text, knobs.encoding)
}

fn repeated(items: &[Value], wanted: usize) -> Vec<Value> {
    let of_all = items.iter().cycle().take(if items.is_empty() { 0 } else { wanted }).enumerate();
    of_all
        .map(|(at, item)| {
            let mut item = item.clone();
            if let Some(object) = item.as_object_mut() {
                object.insert("id".to_owned(), json!(format!("r{at}")));
            }
            item
        })
        .collect()
}

fn spoil(name: &str, part: &mut Value, knobs: &Knobs) {
    let wrong = match name {
        "weights" => "lb",
        "heights" => "[in_i]",
        "temperatures" => "[degF]",
        _ => return,
    };
    for item in part.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if knobs.wrong_units {
            item.insert("unit".to_owned(), json!(wrong));
        }
        if knobs.lost_point && name == "temperatures" {
            item.insert("value".to_owned(), json!(365));
        }
    }
}

fn encoded(text: &str, encoding: Encoding) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        let mut room = [0; 4];
        let utf8 = c.encode_utf8(&mut room).as_bytes();
        match encoding {
            Encoding::ShiftJis if !c.is_ascii() => bytes.extend(SHIFT_JIS),
            Encoding::BrokenUtf8 if !c.is_ascii() => bytes.extend(utf8.split_last().map_or(utf8, |(_, rest)| rest)),
            _ => bytes.extend(utf8),
        }
    }
    bytes
}
