//! A stand-in of a receiver of webhooks: keeps what comes, answers as told. It checks no signature: tests do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::stand_in::{Running, StartError, answer, url_of};

const ID: &str = "webhook-id";

/// A webhook as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Received {
    /// The id under which it came.
    #[must_use]
    pub fn id(&self) -> &str {
        self.headers.get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    fn forgotten(&self) -> Self {
        let id = self.headers.get(ID).map(|id| (HeaderName::from_static(ID), id.clone()));
        Self { headers: id.into_iter().collect(), body: Bytes::new() }
    }
}

/// How it answers.
#[derive(Clone, Debug, Default)]
pub struct Knobs {
    /// With this status, taking nothing; takes what comes where there is none.
    pub status: Option<u16>,
    /// With this header field.
    pub header: Option<(&'static str, String)>,
    /// Takes what comes, and never answers.
    pub silent: bool,
    /// Keeps of what comes the id alone.
    pub forgets: bool,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    knobs: Mutex<Knobs>,
    asked: watch::Sender<usize>,
    taken: watch::Sender<usize>,
}

/// A running receiver; ends when dropped.
pub struct WebhookStandIn {
    running: Running,
    state: Arc<State>,
}

impl WebhookStandIn {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(tls: rustls::ServerConfig) -> Result<Self, StartError> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any).await.map_err(StartError::Bind)?;
        Self::start_on(listener, tls)
    }

    /// Starts on a port that is open.
    ///
    /// # Errors
    /// When its address can't be told.
    pub fn start_on(listener: TcpListener, tls: rustls::ServerConfig) -> Result<Self, StartError> {
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, tls, move |asked| {
            let state = Arc::clone(&shared);
            async move {
                state.asked.send_modify(|asked| *asked += 1);
                let knobs = held(&state.knobs).clone();
                let refused = knobs.status.and_then(|status| StatusCode::from_u16(status).ok());
                if refused.is_none_or(|status| status.is_success()) {
                    let received = Received { headers: asked.headers, body: asked.body };
                    held(&state.received).push(if knobs.forgets { received.forgotten() } else { received });
                    state.taken.send_modify(|taken| *taken += 1);
                }
                if knobs.silent {
                    return std::future::pending().await;
                }
                let mut response = answer(refused.unwrap_or(StatusCode::NO_CONTENT), "text/plain", "");
                let field = knobs.header.and_then(|(name, value)| {
                    Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
                });
                response.headers_mut().extend(field);
                response
            }
        })?;
        Ok(Self { running, state })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(self.running.addr())
    }

    /// What was taken so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        held(&self.state.received).clone()
    }

    /// How many requests have come, taken or not.
    #[must_use]
    pub fn asked(&self) -> usize {
        *self.state.asked.borrow()
    }

    /// Returns once so many requests have come, taken or not.
    pub async fn was_asked(&self, times: usize) {
        reached(&self.state.asked, times).await;
    }

    /// Returns once so many were taken.
    pub async fn has_taken(&self, times: usize) {
        reached(&self.state.taken, times).await;
    }

    /// Answers with this status from now on, taking nothing; or takes what comes again.
    pub fn answer_with(&self, status: Option<u16>) {
        self.set_knobs(Knobs { status, ..Knobs::default() });
    }

    /// Answers so from now on.
    pub fn set_knobs(&self, knobs: Knobs) {
        *held(&self.state.knobs) = knobs;
    }
}

async fn reached(count: &watch::Sender<usize>, times: usize) {
    // The sender lives in the state: waiting can't fail.
    let _ = count.subscribe().wait_for(|count| *count >= times).await;
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
