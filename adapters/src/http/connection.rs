//! One HTTP/1.1 connection over TLS, driven by the request that uses it: no task of its own, so an exchange costs no
//! hand-over between tasks. While it is idle nobody looks at it; whether it is still open shows when it is taken up.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{HttpError, Response, read};

type Driver = Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>;

/// A connection to one server.
pub(super) struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    /// Since when nothing goes over it.
    pub(super) idle_since: Instant,
}

/// How an exchange failed.
pub(super) enum Failed {
    /// The server had closed the connection before anything was sent: the request is unharmed.
    NothingSent(Box<Request<Full<Bytes>>>),
    /// No usable answer.
    Answer(HttpError),
}

impl Open {
    /// Reaches a server: TCP and the TLS handshake, within a time.
    pub(super) async fn connect(
        tls: &Arc<ClientConfig>,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Self, HttpError> {
        let reach = async {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
            let tcp = TcpStream::connect((bare, port)).await?;
            tcp.set_nodelay(true)?;
            let tls = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?;
            let (sender, driver) = handshake(TokioIo::new(tls)).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(Self { sender, driver: Box::pin(driver), idle_since: Instant::now() })
        };
        timeout(limit, reach).await.map_err(|_| HttpError::Connect)?.map_err(|_| HttpError::Connect)
    }

    /// Whether the server still keeps it open, as far as can be told now.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.driver.as_mut().poll(cx).is_pending())).await && self.sender.is_ready()
    }

    /// Sends a request and reads the answer, of at most `max` bytes of body. Gives the connection back when it can be
    /// used again.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        max: usize,
    ) -> Result<(Response, Option<Self>), Failed> {
        let sent = self.sender.try_send_request(request);
        let mut work = pin!(async {
            let answer = sent.await.map_err(|mut error| match error.take_message() {
                Some(request) => Failed::NothingSent(Box::new(request)),
                None => Failed::Answer(HttpError::Broken),
            })?;
            let (parts, body) = answer.into_parts();
            let body = read(body, &parts.headers, max).await.map_err(Failed::Answer)?;
            Ok(Response { status: parts.status, headers: parts.headers, body })
        });
        let driver = &mut self.driver;
        let mut ended = false;
        let response = poll_fn(|cx| {
            // Its end, or its error, reaches `work` by way of the sender.
            ended = ended || driver.as_mut().poll(cx).is_ready();
            work.as_mut().poll(cx)
        })
        .await?;
        if ended || !self.is_open().await {
            return Ok((response, None));
        }
        self.idle_since = Instant::now();
        Ok((response, Some(self)))
    }
}
