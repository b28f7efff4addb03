//! The management port: health and metrics, for whoever keeps the gateway running. Clear text HTTP/1.1 on a loopback or private
//! address, without any authentication, so nothing about anybody may ever be told here.
//!
//! It is opened before the store, and closed after it, so that a long start and a stop can be watched. One request a
//! connection; connections are bounded in number and time.

pub mod client;
pub mod health;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use health::{Health, Question};

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 64;
/// Longest time for one connection, from its first byte to its last.
const CONNECTION_TAKES_MAX: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 16 << 10;

/// Serves until it is dropped, and its connections with it.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((tcp, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(connection(tcp, Arc::clone(&health)));
            }
            Ok(_) => tracing::warn!("too many connections at the management port; one was turned away"),
            Err(error) => {
                tracing::warn!(%error, "a connection at the management port could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(tcp: TcpStream, health: Arc<Health>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answered = answer(&health, request.method(), request.uri().path());
        async { Ok::<_, std::convert::Infallible>(answered) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TAKES_MAX)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service);
    if !matches!(tokio::time::timeout(CONNECTION_TAKES_MAX, serving).await, Ok(Ok(()))) {
        tracing::debug!("a connection at the management port ended early");
    }
}

fn answer(health: &Health, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let question = match path {
        "/health/started" => Some(Question::Started),
        "/health/live" => Some(Question::Live),
        "/health/ready" => Some(Question::Ready),
        "/metrics" => None,
        _ => return whole(StatusCode::NOT_FOUND, TEXT, "There is no such page; see docs/operations.md.\n".to_owned()),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut refused = whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Only GET.\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Some(question) = question else {
        return match health.metrics() {
            Ok(text) => whole(StatusCode::OK, METRICS, text),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "The metrics could not be written.\n".to_owned())
            }
        };
    };
    let (ok, told) = health.answer(question);
    whole(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, JSON, format!("{told}\n"))
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

fn whole(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
