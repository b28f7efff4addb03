//! The only outbound client: HTTP/1.1 over TLS, with kept-alive connections.
//!
//! What it does: sends one request, reads one whole answer, within a time and a size.
//! What it never does: follow a redirect, fall back to clear text, add a credential or a trace header, or say in an
//! error anything of the URL or of a body.

mod connection;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use connection::{Failed, Open};

/// Idle connections to one server, at most.
const IDLE_MAX_PER_HOST: usize = 512;
/// An idle connection is closed after this time.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// Kept connections that are tried, when each turns out to have been closed by the server, before a new one is made.
const STALE_MAX: usize = 8;

/// What one exchange may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time for reaching the server: TCP and TLS together.
    pub connect_ms: u64,
    /// Longest time for the whole exchange, connecting included.
    pub total_ms: u64,
    /// Most bytes of body that are read.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect_ms: 2_000, total_ms: 10_000, body_bytes_max: 4 << 20 }
    }
}

/// Why there is no answer. The messages are fixed: nothing of the exchange is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The server couldn't be reached (name, TCP, TLS, or not within the time for it): nothing was sent.
    #[error("the server could not be reached")]
    Connect,
    /// The whole answer didn't come within the time allowed.
    #[error("the server took too long")]
    TimedOut,
    /// The answer is larger than allowed.
    #[error("the server's answer is too large")]
    TooLarge,
    /// The answer is not valid HTTP, has another length than announced, or ended half-way.
    #[error("the server's answer is broken")]
    Broken,
}

/// A whole answer. `Debug` shows the status and the size only.
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status.as_u16())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The outbound client; cloning it shares the kept connections.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
    limits: Limits,
}

struct Shared {
    tls: Arc<rustls::ClientConfig>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// By server; the one that was used last stands last.
    open: HashMap<Authority, Vec<Open>>,
    swept: bool,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client over the given TLS settings (with or without a client certificate). Protocols that they offer are not
    /// looked at: it speaks HTTP/1.1.
    #[must_use]
    pub fn new(mut tls: rustls::ClientConfig, limits: Limits) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let shared = Shared { tls: Arc::new(tls), idle: Mutex::default() };
        Self { shared: Arc::new(shared), limits }
    }

    /// The limits it works under.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// See [`HttpError`]. An answer with an error status is an answer, not an error.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response, HttpError> {
        self.send_within(request, self.limits).await
    }

    /// As [`HttpClient::send`], within other limits (the time for connecting stays the client's).
    ///
    /// # Errors
    ///
    /// See [`HttpError`].
    pub async fn send_within(&self, request: Request<Bytes>, limits: Limits) -> Result<Response, HttpError> {
        timeout(Duration::from_millis(limits.total_ms), self.exchange(request, limits.body_bytes_max))
            .await
            .unwrap_or(Err(HttpError::TimedOut))
    }

    async fn exchange(&self, request: Request<Bytes>, max: usize) -> Result<Response, HttpError> {
        let (server, mut request) = addressed(request.map(Full::new))?;
        for _ in 0..STALE_MAX {
            let Some(mut open) = self.shared.take(&server) else { break };
            if !open.is_open().await {
                continue;
            }
            match open.exchange(request, max).await {
                Ok((response, open)) => return Ok(self.done(server, response, open)),
                Err(Failed::NothingSent(unharmed)) => request = *unharmed,
                Err(Failed::Answer(error)) => return Err(error),
            }
        }
        let limit = Duration::from_millis(self.limits.connect_ms);
        let port = server.port_u16().unwrap_or(443);
        let open = Box::pin(Open::connect(&self.shared.tls, server.host(), port, limit)).await?;
        match open.exchange(request, max).await {
            Ok((response, open)) => Ok(self.done(server, response, open)),
            Err(Failed::NothingSent(_)) => Err(HttpError::Broken),
            Err(Failed::Answer(error)) => Err(error),
        }
    }

    fn done(&self, server: Authority, response: Response, open: Option<Open>) -> Response {
        if let Some(open) = open {
            self.shared.keep(server, open);
        }
        response
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, server: &Authority) -> Option<Open> {
        self.idle().open.get_mut(server)?.pop()
    }

    fn keep(self: &Arc<Self>, server: Authority, open: Open) {
        let mut idle = self.idle();
        let kept = idle.open.entry(server).or_default();
        if kept.len() < IDLE_MAX_PER_HOST {
            kept.push(open);
        }
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes what has been idle for long, as long as there is something.
async fn sweep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(IDLE_FOR / 2).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut idle = shared.idle();
        let oldest = Instant::now().checked_sub(IDLE_FOR);
        idle.open.retain(|_, kept| {
            kept.retain(|open| oldest.is_none_or(|oldest| open.idle_since > oldest));
            !kept.is_empty()
        });
        if idle.open.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

/// The server of a request, and the request as it goes to it: path only, with `Host` (RFC 9112 §3.2).
fn addressed(mut request: Request<Full<Bytes>>) -> Result<(Authority, Request<Full<Bytes>>), HttpError> {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let plain = |server: &Authority| uri.scheme == Some(Scheme::HTTPS) && !server.as_str().contains('@');
    let Some(server) = uri.authority.filter(plain) else { return Err(HttpError::Connect) };
    *request.uri_mut() = uri.path_and_query.map_or_else(Uri::default, Uri::from);
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(server.as_str()).map_err(|_| HttpError::Connect)?;
        request.headers_mut().insert(HOST, host);
    }
    Ok((server, request))
}

/// Reads a body up to `max` bytes. One that arrives in one piece is handed on without a copy.
async fn read(mut body: Incoming, headers: &HeaderMap, max: usize) -> Result<Bytes, HttpError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > max as u64) {
        return Err(HttpError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| HttpError::Broken)?.into_data() else {
            continue;
        };
        if first.len().saturating_add(rest.len()).saturating_add(data.len()) > max {
            return Err(HttpError::TooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let hint = body.size_hint().exact().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                rest.reserve(first.len().saturating_add(data.len()).saturating_add(hint));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
