//! The public port: accept, TLS, HTTP/1.1 or HTTP/2, and the generic limits around the request path.
//!
//! Every wait before a request is whole is bounded: handshake, headers, idle connections, streams. tower bounds how many
//! requests are worked on at once and for how long; revocation has slots of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::{ServiceBuilder, ServiceExt};

use super::body::ReplyBody;
use super::connection::{Connection, Socket, Watched};
use super::respond::Reply;
use crate::app::App;
use crate::metrics::Ended;
use crate::reload::Current;
use crate::sabotage::{self, Check};

const HANDSHAKE_TAKES_MAX: Duration = Duration::from_secs(10);
const HEADERS_TAKE_MAX: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER_MAX: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 32 << 10;
const STREAMS_MAX: u32 = 128;
/// Largest write buffer of hyper, in bytes: what is behind it is still ours to hold back.
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// Requests worked on at once; more are told to come back.
const REQUESTS_MAX: usize = 4096;
/// Revocations worked on at once, beside those.
const REVOCATIONS_MAX: usize = 256;
/// Longest time for one request up to its response's head.
const REQUEST_TAKES_MAX: Duration = Duration::from_secs(120);

/// Slots for requests, shared by all connections.
struct Slots {
    requests: Arc<Semaphore>,
    revocations: Arc<Semaphore>,
}

/// Serves until told to stop, then lets what is under way finish within the configured time.
pub async fn serve(current: Arc<Current>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(current.app().config.server.connections_max));
    let slots = Arc::new(Slots {
        requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        revocations: Arc::new(Semaphore::new(REVOCATIONS_MAX)),
    });
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = tasks.join_next() => continue,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client was gone already: neither is a reason to stop, nor to spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
            current.app().metrics.turned_away.inc();
            tracing::warn!("too many connections; one was turned away");
            continue;
        };
        let (current, slots, stop) = (Arc::clone(&current), Arc::clone(&slots), stop.clone());
        tasks.spawn(async move {
            let metrics = Arc::clone(&current.app().metrics);
            metrics.connections.inc();
            connection(current, tcp, peer, slots, stop).await;
            metrics.connections.dec();
            drop(place);
        });
    }
    let all_done = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(current.app().config.server.drain, all_done).await.is_err() {
        tracing::warn!("connections that did not finish in time were closed");
    }
}

async fn connection(
    current: Arc<Current>,
    tcp: TcpStream,
    peer: SocketAddr,
    slots: Arc<Slots>,
    stop: watch::Receiver<bool>,
) {
    let Ok(socket) = Socket::new(tcp) else { return };
    let app = current.app();
    let acceptor = TlsAcceptor::from(Arc::clone(&app.tls));
    let tls = match tokio::time::timeout(HANDSHAKE_TAKES_MAX, acceptor.accept(socket)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            app.metrics.handshakes_failed.inc();
            return tracing::info!(%error, "TLS handshake failed");
        }
        Err(_) => {
            app.metrics.handshakes_failed.inc();
            return tracing::info!("TLS handshake took too long");
        }
    };
    let (socket, session) = tls.get_ref();
    let connection = Connection::new(peer, session, app.generation, socket.weak());
    // A connection may outlive many configurations, and keeps none of them.
    drop(app);
    socket.belongs_to(&connection);
    speak(current, tls, &connection, slots, stop).await;
    // The socket is dropped with the connection's future, so what was owed can't leave any more.
    connection.is_closed();
}

async fn speak(
    current: Arc<Current>,
    tls: TlsStream<Socket>,
    connection: &Arc<Connection>,
    slots: Arc<Slots>,
    mut stop: watch::Receiver<bool>,
) {
    let io = TokioIo::new(Watched::new(tls, Arc::clone(connection)));
    let shared = Arc::clone(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        limited(current.app(), Arc::clone(&shared), Arc::clone(&slots), request)
    });
    let stopped = async { stop.wait_for(|stop| *stop).await.is_ok() };
    tokio::pin!(stopped);
    if connection.is_http2() {
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_send_buf_size(WRITE_BUFFER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER_MAX)
            .serve_connection(io, service);
        let mut serving = Box::pin(serving);
        tokio::select! {
            biased;
            () = connection.abort_asked() => return,
            done = serving.as_mut() => return log_end(done),
            _ = &mut stopped => serving.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            () = connection.abort_asked() => {}
            done = serving.as_mut() => log_end(done),
        }
    } else {
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TAKE_MAX)
            .max_buf_size(WRITE_BUFFER_BYTES)
            .serve_connection(io, service);
        let mut serving = Box::pin(serving);
        tokio::select! {
            biased;
            () = connection.abort_asked() => return,
            done = serving.as_mut() => return log_end(done),
            _ = &mut stopped => serving.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            () = connection.abort_asked() => {}
            done = serving.as_mut() => log_end(done),
        }
    }
}

fn log_end(done: Result<(), hyper::Error>) {
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The generic limits around every request: a place to work in, at once or never, and a time limit.
async fn limited(
    app: Arc<App>,
    connection: Arc<Connection>,
    slots: Arc<Slots>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, std::convert::Infallible> {
    // Where chunks end is what two readers most easily disagree on: nothing is read behind them (RFC 9112 §11.2).
    let chunked = request.headers().contains_key(TRANSFER_ENCODING) && !sabotage::off(Check::ChunkedCloses);
    let mut response = worked_on(app, connection, &slots, request).await;
    if chunked {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The answer, within the limits.
async fn worked_on(
    app: Arc<App>,
    connection: Arc<Connection>,
    slots: &Slots,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let narrows = crate::api::narrows(request.method(), request.uri().path());
    let slots = if narrows { &slots.revocations } else { &slots.requests };
    let Ok(_place) = slots.try_acquire() else {
        app.metrics.ended(None, Ended::Busy, Duration::ZERO);
        return Reply::not_now(1).plain(&connection);
    };
    // In a task of its own: a client that hangs up must not leave an act recorded but not enforced, or a decision
    // without its outcome.
    let answering = Arc::clone(&connection);
    let work = tower::service_fn(|request| {
        let (app, connection) = (Arc::clone(&app), Arc::clone(&answering));
        tokio::spawn(async move { route(&app, &connection, request).await })
    });
    let response = ServiceBuilder::new().timeout(REQUEST_TAKES_MAX).service(work).oneshot(request).await;
    response.unwrap_or_else(|_| Reply::not_now(5).plain(&connection))
}

/// API, pages for people who come back from a portal, or the request path.
async fn route(app: &Arc<App>, connection: &Arc<Connection>, request: Request<Incoming>) -> Response<ReplyBody> {
    if !addressed_to_us(app, &request) && !sabotage::off(Check::HostCheck) {
        return Reply::misdirected().plain(connection);
    }
    let path = request.uri().path();
    if ["/v1/", "/relay/", "/.well-known/"].iter().any(|prefix| path.starts_with(prefix)) {
        // Boxed: else every request's task would have room for the largest of these.
        return Box::pin(crate::api::handle(app, connection, request)).await;
    }
    super::handle(app, connection, &request).await
}

/// The authority, wherever the request states it, must be ours: no other host is served, and two that differ never. Nor
/// is another scheme than the one that the connection is of (RFC 9110 §7.4).
fn addressed_to_us(app: &App, request: &Request<Incoming>) -> bool {
    let ours = app.authority.as_str();
    let in_uri = request.uri().authority().map(http::uri::Authority::as_str);
    let scheme = request.uri().scheme();
    let mut hosts = request.headers().get_all(http::header::HOST).iter().map(|h| h.to_str().ok());
    let in_header = hosts.next();
    if hosts.next().is_some() || (in_uri.is_some() && scheme != Some(&Scheme::HTTPS)) {
        return false;
    }
    match (in_uri, in_header) {
        (None, None) => false,
        (uri, header) => uri.is_none_or(|u| u == ours) && header.is_none_or(|h| h == Some(ours)),
    }
}
