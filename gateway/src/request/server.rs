//! The public port: accept, TLS, HTTP/1.1 or HTTP/2, and the generic limits around the request path.
//!
//! Every wait before a request is whole is bounded: handshake, headers, idle connections, streams. tower bounds how many
//! requests are worked on at once and for how long; revocation has slots of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::{ServiceBuilder, ServiceExt};

use super::body::ReplyBody;
use super::bounds::ByAddress;
use super::connection::{Connection, Watched};
use super::incoming::RequestBody;
use super::respond::Reply;
use super::socket::Socket;
use super::to_the_end::ToTheEnd;
use crate::app::App;
use crate::metrics::Ended;
use crate::reload::Current;
use crate::sabotage::{self, Check};

const HANDSHAKE_TAKES_MAX: Duration = Duration::from_secs(8);
/// How long a connection may be without a request: before the first one, while its headers come in, and between two.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(8);
pub(super) const HEADER_BYTES_MAX: usize = 32 << 10;
/// Largest write buffer of hyper, in bytes: what is behind it is still ours to hold back.
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// What TLS may hold of a connection when the kernel takes nothing, in bytes: one record.
pub(crate) const TLS_BUFFER_BYTES: usize = 16 << 10;
/// Requests worked on at once; more are told to come back.
const REQUESTS_MAX: usize = 4096;
/// Revocations worked on at once, beside those.
const REVOCATIONS_MAX: usize = 256;
/// How long whoever asks too often waits to be told so: answered at once, a flood would ask all the faster, and take the cores
/// from others. It holds nothing meanwhile but its own connection.
const TOO_MANY_HELD: Duration = Duration::from_millis(100);
/// Longest time for one request up to its response's head.
const REQUEST_TAKES_MAX: Duration = Duration::from_secs(120);

/// One connection, and what its requests need.
#[derive(Clone)]
pub(super) struct At {
    pub current: Arc<Current>,
    pub connection: Arc<Connection>,
    slots: Arc<Slots>,
    pub stop: watch::Receiver<bool>,
}

/// Slots for requests, shared by all connections.
struct Slots {
    requests: Arc<Semaphore>,
    revocations: Arc<Semaphore>,
}

/// Serves until told to stop, then lets what is under way finish within the configured time.
pub async fn serve(current: Arc<Current>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(current.app().config.server.connections_max));
    let by_address = ByAddress::new(current.app().config.server.connections_per_address_max);
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
        let Some(of_address) = by_address.take(peer.ip()) else {
            current.app().metrics.turned_away.inc();
            tracing::warn!("too many connections from one address; one was turned away");
            continue;
        };
        let (current, slots, stop) = (Arc::clone(&current), Arc::clone(&slots), stop.clone());
        tasks.spawn(async move {
            let metrics = Arc::clone(&current.app().metrics);
            metrics.connections.inc();
            connection(current, tcp, peer, slots, stop).await;
            metrics.connections.dec();
            drop((place, of_address));
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
    let mut tls = match tokio::time::timeout(HANDSHAKE_TAKES_MAX, acceptor.accept(socket)).await {
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
    // A smaller buffer than rustls's own: what is in it can't be taken back from one stream.
    tls.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
    let (socket, session) = tls.get_ref();
    let connection = Connection::new(peer, session, app.generation, socket.weak());
    // A connection may outlive many configurations, and keeps none of them.
    drop(app);
    socket.belongs_to(&connection);
    let io = Watched::new(tls, Arc::clone(&connection));
    let at = At { current, connection: Arc::clone(&connection), slots, stop };
    if at.connection.is_http2() {
        Box::pin(super::http2::serve(at, io)).await;
    } else {
        http1(at, io).await;
    }
    // The socket is dropped with the connection's future, so what was owed can't leave any more.
    connection.is_closed();
}

/// HTTP/1.1 on one connection, to its end.
async fn http1(at: At, tls: Watched<TlsStream<Socket>>) {
    let (serving_at, mut stop) = (at.clone(), at.stop.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let at = serving_at.clone();
        async move { Ok::<_, std::convert::Infallible>(one(&at, request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(tls), service);
    let mut serving = Box::pin(serving);
    tokio::select! {
        biased;
        () = at.connection.abort_asked() => return,
        done = serving.as_mut() => return log_end(done),
        _ = stop.wait_for(|stop| *stop) => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        () = at.connection.abort_asked() => {}
        done = serving.as_mut() => log_end(done),
    }
}

fn log_end(done: Result<(), hyper::Error>) {
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// One request by HTTP/1.1, and its answer.
async fn one(at: &At, request: Request<Incoming>) -> Response<ReplyBody> {
    // Where chunks end is what two readers most easily disagree on: nothing is read behind them (RFC 9112 §11.2).
    let chunked = request.headers().contains_key(TRANSFER_ENCODING) && !sabotage::off(Check::ChunkedCloses);
    let mut response = answer(at, request.map(RequestBody::Http1)).await;
    if chunked {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The generic limits around every request: a place to work in, at once or never, and a time limit.
pub(super) async fn answer(at: &At, request: Request<RequestBody>) -> Response<ReplyBody> {
    let At { current, connection, slots, .. } = at;
    let app = current.app();
    let (method, path) = (request.method(), request.uri().path());
    let narrows = crate::api::narrows(method, path) || crate::web::narrows(method, path);
    let slots = if narrows { &slots.revocations } else { &slots.requests };
    let Ok(place) = slots.try_acquire() else {
        app.metrics.ended(None, Ended::Busy, Duration::ZERO);
        return Reply::not_now(1).plain();
    };
    let _under_way = app.store.request_begins();
    let answering = Arc::clone(connection);
    let work = tower::service_fn(move |request| {
        let (app, connection) = (Arc::clone(&app), Arc::clone(&answering));
        ToTheEnd::new(async move { route(&app, &connection, request).await })
    });
    let response = ServiceBuilder::new().timeout(REQUEST_TAKES_MAX).service(work).oneshot(request).await;
    drop(place);
    if response.as_ref().is_ok_and(|response| response.status() == StatusCode::TOO_MANY_REQUESTS) {
        tokio::time::sleep(TOO_MANY_HELD).await;
    }
    if !narrows {
        // Answers that are ready at the same time are sent one right after the other, once nothing else is to be done: their
        // receivers wake once. Whatever withdraws is answered at once.
        tokio::task::yield_now().await;
    }
    response.unwrap_or_else(|_| Reply::not_now(5).plain())
}

/// API, pages for people who come back from a portal, or the request path.
async fn route(app: &Arc<App>, connection: &Arc<Connection>, request: Request<RequestBody>) -> Response<ReplyBody> {
    if !addressed_to_us(app, &request) && !sabotage::off(Check::HostCheck) {
        return Reply::misdirected().plain();
    }
    let path = request.uri().path();
    let origin = super::cors::known_origin(app, request.headers(), path);
    let mut response = if origin.is_some() && super::cors::is_preflight(&request) {
        super::cors::preflight()
    } else {
        ask(app, connection, request).await
    };
    if let Some(origin) = origin {
        super::cors::let_see(origin, &mut response);
    }
    response
}

async fn ask(app: &Arc<App>, connection: &Arc<Connection>, request: Request<RequestBody>) -> Response<ReplyBody> {
    let path = request.uri().path();
    let for_api = ["/v1/", "/relay/", "/.well-known/"].iter().any(|prefix| path.starts_with(prefix));
    if for_api || crate::api::is_for_base(app, path) {
        // Boxed: else every request's task would have room for the largest of these.
        return Box::pin(crate::api::handle(app, connection, request)).await;
    }
    if crate::web::is_for_pages(&request) {
        return Box::pin(crate::web::handle(app, connection, request)).await;
    }
    super::handle(app, connection, &request).await
}

/// The authority, wherever the request states it, must be ours: no other host is served, and two that differ never. Nor
/// is another scheme than the one that the connection is of (RFC 9110 §7.4).
fn addressed_to_us(app: &App, request: &Request<RequestBody>) -> bool {
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
