//! The only outbound client: HTTP/1.1 and HTTP/2 over TLS, with a keep-alive pool.
//!
//! What it does: sends one request, reads one whole answer, within a time and a size.
//! What it never does: follow a redirect, fall back to clear text, add a credential or a trace header, or say in an
//! error anything of the URL or of a body.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

const IDLE_MAX_PER_HOST: usize = 512;
const IDLE_FOR: Duration = Duration::from_secs(30);

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

/// The outbound client; cloning it shares the pool.
#[derive(Clone)]
pub struct HttpClient {
    inner: Client<TimedConnector, Full<Bytes>>,
    limits: Limits,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client over the given TLS settings (with or without a client certificate).
    ///
    /// HTTP/2 is offered when `tls.alpn_protocols` names `h2`, HTTP/1.1 always.
    #[must_use]
    pub fn new(mut tls: rustls::ClientConfig, limits: Limits) -> Self {
        let http2 = tls.alpn_protocols.iter().any(|name| name == b"h2");
        // The connector builder insists on setting these itself.
        tls.alpn_protocols.clear();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        let connector = if http2 { https.enable_http2().wrap_connector(tcp) } else { https.wrap_connector(tcp) };
        let connector = TimedConnector { inner: connector, limit: Duration::from_millis(limits.connect_ms) };
        let inner = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX_PER_HOST)
            .http2_adaptive_window(true)
            .build(connector);
        Self { inner, limits }
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
        let answer = self
            .inner
            .request(request.map(Full::new))
            .await
            .map_err(|e| if e.is_connect() { HttpError::Connect } else { HttpError::Broken })?;
        let (parts, body) = answer.into_parts();
        let body = read(body, announced(&parts.headers), max).await?;
        Ok(Response { status: parts.status, headers: parts.headers, body })
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body up to `max` bytes. One that arrives in one piece is handed on without a copy.
async fn read(mut body: Incoming, announced: Option<u64>, max: usize) -> Result<Bytes, HttpError> {
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

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, Box<dyn Error + Send + Sync>>> + Send>>;

/// Connects within a time: TCP and the TLS handshake together.
#[derive(Clone)]
struct TimedConnector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl tower_service::Service<Uri> for TimedConnector {
    type Response = Stream;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
