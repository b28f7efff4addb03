//! The two servers beside the proxies: the upstream over TLS, and the no-op that nginx and Envoy ask. Both do as little as a
//! server can: one thread, answers made before the first request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Failure, world};

/// How often this process was asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Answers `?patient=ID` with that child's Bundle; prints its port; ends with its standard input, and says how often it
/// was asked.
pub async fn upstream(work: &Path) -> Result<(), Failure> {
    let bodies: HashMap<String, Bytes> = world::bodies(work)?.into_iter().map(|(k, v)| (k, Bytes::from(v))).collect();
    let bodies = Arc::new(bodies);
    let tls = TlsAcceptor::from(Arc::new(world::upstream_tls(work)?));
    let listener = listen().await?;
    let serve = async {
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let (tls, bodies) = (tls.clone(), Arc::clone(&bodies));
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(tcp).await else { return };
                let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(found(&bodies, &request))));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! { done = serve => done, () = standard_input_ends() => { say_how_often(); Ok(()) } }
}

fn found(bodies: &HashMap<String, Bytes>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let query = request.uri().query().unwrap_or_default();
    let patient = query.split('&').find_map(|pair| pair.strip_prefix("patient=")).unwrap_or_default();
    let path_is_right = request.uri().path() == "/fhir/Immunization";
    let Some(body) = bodies.get(patient).filter(|_| path_is_right) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(body.clone()));
    let fhir = header::HeaderValue::from_static("application/fhir+json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, fhir);
    response
}

/// Answers everything with 200 and no body, which nginx and Envoy both take for yes; else like [`upstream`].
pub async fn no_op() -> Result<(), Failure> {
    let listener = listen().await?;
    let serve = async {
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            tokio::spawn(async move {
                let service = service_fn(|_: Request<Incoming>| async {
                    ASKED.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    };
    tokio::select! { done = serve => done, () = standard_input_ends() => { say_how_often(); Ok(()) } }
}

/// A port of its own, printed.
pub async fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    Ok(listener)
}

fn say_how_often() {
    println!("{}", ASKED.load(Ordering::Relaxed));
}

/// When whoever started this process lets go of it.
pub async fn standard_input_ends() {
    let read = || std::io::stdin().lock().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(read).await;
}
