//! A stand-in of a receiver of webhooks: keeps what comes, answers as told. It checks no signature: tests do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use crate::stand_in::{Running, StartError, answer, url_of};

/// A webhook as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    status: Mutex<Option<u16>>,
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
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let running = Running::serve(listener, tls, move |asked| {
            let state = Arc::clone(&shared);
            async move {
                let told = *state.status.lock().unwrap_or_else(PoisonError::into_inner);
                let status =
                    told.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::NO_CONTENT);
                if status.is_success() {
                    let received = Received { headers: asked.headers, body: asked.body };
                    state.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
                }
                answer(status, "text/plain", "")
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
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers with this status from now on, taking nothing; or takes what comes again.
    pub fn answer_with(&self, status: Option<u16>) {
        *self.state.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}
