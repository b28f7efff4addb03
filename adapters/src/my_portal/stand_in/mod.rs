//! A stand-in of the portal: sign-in page, token endpoint, asynchronous answers, over mutual TLS.
//!
//! What it does: behaves as far as the portal's behaviour is public (see [`super::wire`] for what is assumed), with
//! accounts instead of cards, and misbehaves as told: see [`Knobs`].
//! What it never does: stand for a real sign-in. All accounts are synthetic.

mod pages;
mod service;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codes::PortalCodes;
use crate::NowMs;
use crate::http::HttpClient;
use crate::municipality::MunicipalityCode;
use crate::people::Child;
use crate::stand_in::{Faults, Running, StartError, url_of};

/// How the portal misbehaves. The default answers at the first question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Knobs {
    /// Slowness, hanging, damage to the bytes; of every endpoint but the sign-in page.
    pub faults: Faults,
    /// So many questions for a result are answered with "pending" first.
    pub pending_polls: u32,
    /// Answers "too many", asking to wait for so many seconds.
    pub rate_limited_s: Option<u64>,
    /// Answers "capacity exceeded".
    pub capacity_exceeded: bool,
    /// Answers "no data".
    pub without_data: bool,
    /// Answers that this municipality doesn't offer the record.
    pub not_supported: Option<MunicipalityCode>,
    /// Answers with this error code.
    pub error_code: Option<String>,
    /// Answers with this status code, whatever it means.
    pub status: Option<String>,
    /// Puts so many doses into the answer, repeating those there are.
    pub doses: Option<usize>,
}

/// A client registered at the portal.
#[derive(Debug, Clone)]
pub struct PortalRegistration {
    /// Client identifier.
    pub client_id: String,
    /// Redirect URIs, compared exactly.
    pub redirect_uris: Vec<String>,
    /// `x5t#S256` of its certificate.
    pub thumbprint: String,
    /// Where to post that a result is ready. Questions for it are answered with "pending" until then.
    pub notify_url: Option<String>,
}

/// An account of the portal: a synthetic person with a history.
#[derive(Debug, Clone)]
pub struct Account {
    /// The portal's identifier of the account.
    pub id: String,
    /// What the sign-in page shows.
    pub label: String,
    /// Whose history it is.
    pub child: Child,
}

/// What the stand-in is started with.
pub struct PortalOptions {
    /// Where to listen; port 0 for any free one.
    pub bind: SocketAddr,
    /// TLS settings; client certificates must be asked for. (Browsers have none: insist on them only where the
    /// sign-in page isn't used by one. The machine endpoints insist in any case.)
    pub tls: rustls::ServerConfig,
    /// The clock.
    pub now: NowMs,
    /// The codes in use.
    pub codes: PortalCodes,
    /// Who may ask.
    pub clients: Vec<PortalRegistration>,
    /// Who can sign in.
    pub accounts: Vec<Account>,
    /// For posting notices.
    pub notices: Option<HttpClient>,
}

/// A running stand-in; stops when dropped.
pub struct PortalStandIn {
    running: Running,
    state: Arc<State>,
}

impl fmt::Debug for PortalStandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalStandIn").field("addr", &self.running.addr()).finish_non_exhaustive()
    }
}

pub(super) struct State {
    now: NowMs,
    codes: PortalCodes,
    clients: Vec<PortalRegistration>,
    accounts: Vec<Account>,
    notices: Option<HttpClient>,
    requests: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Default)]
pub(super) struct Held {
    knobs: Knobs,
    grants: HashMap<String, pages::Grant>,
    sessions: HashMap<String, service::Session>,
    processes: HashMap<String, service::Process>,
}

impl PortalStandIn {
    /// Starts the stand-in.
    ///
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(options: PortalOptions) -> Result<Self, StartError> {
        let listener = tokio::net::TcpListener::bind(options.bind).await.map_err(StartError::Bind)?;
        let state = Arc::new(State {
            now: options.now,
            codes: options.codes,
            clients: options.clients,
            accounts: options.accounts,
            notices: options.notices,
            requests: AtomicU64::new(0),
            held: Mutex::new(Held::default()),
        });
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, options.tls, move |asked| service::respond(Arc::clone(&shared), asked))?;
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

    /// Changes how it misbehaves, from the next request on.
    pub fn set_knobs(&self, knobs: Knobs) {
        self.state.held().knobs = knobs;
    }

    /// How it misbehaves now.
    #[must_use]
    pub fn knobs(&self) -> Knobs {
        self.state.held().knobs.clone()
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Makes every token invalid.
    pub fn end_sessions(&self) {
        self.state.held().sessions.clear();
    }
}

impl State {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        (self.now)()
    }
}
