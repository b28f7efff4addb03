//! A relay that enforces nothing: the stack that Sekisho is built on (hyper, tokio-rustls, the same client for the upstream,
//! the same allocator, one worker), with TLS and client certificates on both sides, and nothing between them. What Sekisho's
//! processor time is held against.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sekisho_adapters::http::{HttpClient, Limits};
use tokio_rustls::TlsAcceptor;

use crate::Failure;
use crate::child::{PROXY_CORE, Process};
use crate::nginx::{as_it_is, order};
use crate::rounds::{Plan, Proxy};
use crate::serve::{listen, standard_input_ends};
use crate::world::{self, World};

/// Starts it.
pub async fn start(world: &World, upstream: u16, plan: &Plan) -> Result<Proxy, Failure> {
    let folder = world.work.to_str().ok_or("the target directory's name is not UTF-8")?;
    let mut process = Process::role("relay", PROXY_CORE, &world.work, &["relay", folder, &upstream.to_string()])?;
    let port = process.port().await?;
    let order = order(port, as_it_is(world), plan);
    Ok(Proxy { name: "relay", process, asks: None, order })
}

/// The relay's process: passes everything on to the upstream; prints its port; ends with its standard input.
pub async fn run(work: &Path, upstream: u16) -> Result<(), Failure> {
    let tls = TlsAcceptor::from(Arc::new(world::relay_tls(work)?));
    let limits = Limits { connect_ms: 2_000, total_ms: 10_000, body_bytes_max: 1 << 20 };
    let http = HttpClient::new(world::plain_tls(work)?, limits);
    let listener = listen().await?;
    let serve = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let (tls, http) = (tls.clone(), http.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(tcp).await else { return };
                let service = service_fn(|request| pass_on(&http, upstream, request));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let serve = async { serve.await? };
    tokio::select! { done = serve => done, () = standard_input_ends() => Ok(()) }
}

async fn pass_on(
    http: &HttpClient,
    upstream: u16,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let asked = Request::get(format!("https://localhost:{upstream}{target}")).body(Bytes::new());
    let mut response = Response::new(Full::default());
    match asked.map(|asked| http.send(asked)) {
        Ok(answer) => match answer.await {
            Ok(answer) => {
                *response.status_mut() = answer.status;
                if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
                    response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                }
                *response.body_mut() = Full::new(answer.body);
            }
            Err(_) => *response.status_mut() = StatusCode::BAD_GATEWAY,
        },
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

/// A runtime as the gateway builds it, with one worker.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
