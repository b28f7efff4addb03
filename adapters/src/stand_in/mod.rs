//! What every stand-in shares: a small TLS server, and the ways in which it can be made to misbehave.
//!
//! What it does: serves HTTP/1.1 and HTTP/2 over the TLS settings it is given, bounded in connections, header time
//! and body size; stops when dropped.
//! What it never does: log what it serves. Nothing here is part of the request path of the gateway.

mod body;
mod faults;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use body::StandInBody;
pub use faults::{Damage, Faults};

const CONNECTIONS_MAX: usize = 4096;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(1);
const REQUEST_BODY_MAX: usize = 16 << 20;

/// Why a stand-in didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address couldn't be bound.
    #[error("the stand-in's address could not be bound")]
    Bind(#[source] io::Error),
    /// Its keys couldn't be made.
    #[error("the stand-in's keys could not be made")]
    Keys,
    /// Its seed data couldn't be used.
    #[error("the stand-in's data could not be used")]
    Data,
}

/// One request as a stand-in sees it, body read whole.
pub(crate) struct Asked {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `x5t#S256` of the client certificate, if one was given.
    pub thumbprint: Option<Arc<str>>,
}

impl Asked {
    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        pick(self.query.as_deref().unwrap_or_default().as_bytes(), name)
    }

    /// The first value of a form field.
    pub fn form(&self, name: &str) -> Option<String> {
        pick(&self.body, name)
    }
}

fn pick(encoded: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(encoded).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A whole answer.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<StandInBody> {
    let mut response = Response::new(StandInBody::whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A whole JSON answer.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response<StandInBody> {
    answer(status, "application/json", value.to_string())
}

/// A running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Serves on a listener that is already bound: its address is needed for building the handler.
    pub fn serve<F, A>(listener: TcpListener, tls: rustls::ServerConfig, handler: F) -> Result<Self, StartError>
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<StandInBody>> + Send + 'static,
    {
        let addr = listener.local_addr().map_err(StartError::Bind)?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), handler, stopped));
        Ok(Self { addr, stop })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// `https://localhost:{port}` of an address.
pub(crate) fn url_of(addr: SocketAddr) -> String {
    format!("https://localhost:{}", addr.port())
}

async fn accept<F, A>(listener: TcpListener, tls: TlsAcceptor, handler: F, mut stopped: watch::Receiver<bool>)
where
    F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<StandInBody>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (Ok((tcp, _)), Ok(slot)) = (accepted, Arc::clone(&slots).try_acquire_owned()) else {
            continue;
        };
        let (tls, handler, stopped) = (tls.clone(), handler.clone(), stopped.clone());
        open.spawn(async move {
            connection(tcp, tls, handler, stopped).await;
            drop(slot);
        });
    }
    drop(listener);
    let all = async { while open.join_next().await.is_some() {} };
    // Whatever still hangs then is aborted as the set is dropped.
    let _ = timeout(STOP_WITHIN, all).await;
}

async fn connection<F, A>(tcp: TcpStream, tls: TlsAcceptor, handler: F, mut stopped: watch::Receiver<bool>)
where
    F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<StandInBody>> + Send + 'static,
{
    let _ = tcp.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(tcp)).await else {
        return;
    };
    let thumbprint: Option<Arc<str>> = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|der| Arc::from(crate::certs::thumbprint(der)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, thumbprint) = (handler.clone(), thumbprint.clone());
        async move { Ok::<_, Infallible>(respond(request, &handler, thumbprint).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => serving.as_mut().graceful_shutdown(),
    }
    let _ = timeout(STOP_WITHIN, serving).await;
}

async fn respond<F, A>(request: Request<Incoming>, handler: &F, thumbprint: Option<Arc<str>>) -> Response<StandInBody>
where
    F: Fn(Asked) -> A,
    A: Future<Output = Response<StandInBody>>,
{
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_BODY_MAX).collect().await else {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large");
    };
    handler(Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body: body.to_bytes(),
        thumbprint,
    })
    .await
}
