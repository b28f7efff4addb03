//! A connection to a recipient: HTTP/1.1 over TLS, over the same watched socket as the public port's, so that the barrier can cut a
//! delivery and knows when its last byte has left.
//!
//! What it never does: follow a redirect, reach an address that the recipient was not registered with, speak without TLS.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, StatusCode};
use hyper::client::conn::http1::{Connection as Driver, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sekisho_adapters::webhook::Secret;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Forward;
use crate::request::body::ReplyBody;
use crate::request::connection::{Connection, Watched};
use crate::request::socket::Socket;
use crate::sabotage::{self, Check};

/// Largest answer that is read to keep the connection, in bytes; what is longer ends it.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// And for so long.
const ANSWER_TAKES_MAX: Duration = Duration::from_secs(2);
/// A recipient's wish to wait is heeded up to this, in seconds.
const RETRY_AFTER_MAX_S: i64 = 3_600;

/// A recipient, and how to reach it.
pub struct Recipient {
    /// As configured.
    pub config: Arc<Forward>,
    /// What is trusted there, and our identity.
    pub tls: Arc<ClientConfig>,
    /// What deliveries are signed under.
    pub secret: Secret,
}

/// Why a recipient can't be reached. Fixed messages: nothing of the exchange is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("its name leads to no address that it is registered with")]
    Address,
    #[error("it could not be reached, or showed another certificate")]
    Connect,
    #[error("it took too long")]
    TooLong,
}

/// What a recipient answered.
pub(super) struct Answered {
    pub status: StatusCode,
    /// How long it wants us to wait, in seconds.
    pub retry_after_s: Option<i64>,
}

/// Drives a connection's protocol.
type Driving = Driver<TokioIo<Watched<TlsStream<Socket>>>, ReplyBody>;

/// An open connection.
pub(super) struct Line {
    sender: SendRequest<ReplyBody>,
    driver: Pin<Box<Driving>>,
    connection: Arc<Connection>,
    /// What it was made under.
    of: Arc<Forward>,
}

impl Line {
    /// Reaches a recipient.
    pub async fn open(recipient: &Recipient) -> Result<Self, LineError> {
        let reached = timeout(recipient.config.timeout, Self::reach(recipient)).await;
        reached.map_err(|_| LineError::TooLong)?
    }

    async fn reach(recipient: &Recipient) -> Result<Self, LineError> {
        let url = &recipient.config.url;
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(443);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| LineError::Connect)?;
        let found = lookup_host((bare, port)).await.map_err(|_| LineError::Connect)?;
        let allowed: Vec<SocketAddr> = found.filter(|at| may_be(at.ip(), &recipient.config.addresses)).collect();
        if allowed.is_empty() {
            return Err(LineError::Address);
        }
        let tcp = TcpStream::connect(allowed.as_slice()).await.map_err(|_| LineError::Connect)?;
        let peer = tcp.peer_addr().map_err(|_| LineError::Connect)?;
        let socket = Socket::new(tcp).map_err(|_| LineError::Connect)?;
        let connector = TlsConnector::from(Arc::clone(&recipient.tls));
        let mut tls = connector.connect(name, socket).await.map_err(|_| LineError::Connect)?;
        tls.get_mut().1.set_buffer_limit(Some(crate::request::server::TLS_BUFFER_BYTES));
        let connection = Connection::outgoing(peer, tls.get_ref().0.weak());
        tls.get_ref().0.belongs_to(&connection);
        let io = TokioIo::new(Watched::new(tls, Arc::clone(&connection)));
        let (sender, driver) = handshake(io).await.map_err(|_| LineError::Connect)?;
        Ok(Self { sender, driver: Box::pin(driver), connection, of: Arc::clone(&recipient.config) })
    }

    /// What the barrier needs of it.
    pub const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether it can be used, as far as can be told now, for this recipient as it is configured now.
    pub async fn serves(&mut self, recipient: &Recipient) -> bool {
        let open = poll_fn(|cx| Poll::Ready(self.driver.as_mut().poll(cx).is_pending())).await;
        open && self.sender.is_ready() && self.of == recipient.config
    }

    /// Sends a delivery and reads the answer. Gives the connection back where it can be used again; `None` when there was no
    /// answer.
    pub async fn send(mut self, request: Request<ReplyBody>) -> (Option<Answered>, Option<Self>) {
        let connection = Arc::clone(&self.connection);
        tokio::select! {
            biased;
            () = connection.abort_asked() => (None, None),
            answered = self.exchange(request) => match answered {
                Some((answered, whole)) => (Some(answered), whole.then_some(self)),
                None => (None, None),
            },
        }
    }

    /// The answer, and whether it came whole.
    async fn exchange(&mut self, request: Request<ReplyBody>) -> Option<(Answered, bool)> {
        let sent = timeout(self.of.timeout, self.sender.send_request(request));
        let mut work = pin!(async {
            let answer = sent.await.ok()?.ok()?;
            let status = answer.status();
            let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
            let retry_after_s = wait.filter(|seconds| *seconds >= 0).map(|seconds| seconds.min(RETRY_AFTER_MAX_S));
            // What it says further is not looked at, and a recipient that goes on saying it has the delivery all the same.
            let body = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let read = timeout(ANSWER_TAKES_MAX, http_body_util::BodyExt::collect(body)).await;
            Some((Answered { status, retry_after_s }, read.is_ok_and(|read| read.is_ok())))
        });
        let driver = &mut self.driver;
        let mut ended = false;
        poll_fn(|cx| {
            // Its end, or its error, reaches `work` by way of the sender.
            ended = ended || driver.as_mut().poll(cx).is_ready();
            work.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What the protocol still holds will never leave: nobody drives it any more.
        self.connection.is_closed();
    }
}

/// Whether a recipient's name may stand for this address: one that it is registered with; where none is registered, any that
/// is public. A name that leads to our own network would have us send there what nobody agreed to.
fn may_be(address: IpAddr, registered: &[IpAddr]) -> bool {
    let address = address.to_canonical();
    let allowed = if registered.is_empty() { is_public(address) } else { registered.contains(&address) };
    allowed || sabotage::off(Check::ForwardAddress)
}

/// Whether an address is one of the public internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_documentation()
        || v4.is_multicast();
    let shared = (a, b & 0xc0) == (100, 64);
    let benchmarking = (a, b & 0xfe) == (198, 18);
    !(special || shared || benchmarking || a == 0 || a >= 240 || (a, b, c) == (192, 0, 0))
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // 2000::/3 is what is given out; of it, what is for documentation, or tunnels that hold an IPv4 address (Teredo, 6to4).
    (a & 0xe000) == 0x2000 && !((a, b) == (0x2001, 0xdb8) || (a == 0x2001 && b < 0x200) || a == 0x2002 || a == 0x3fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_or_public_addresses_are_reached() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for public in ["8.8.8.8", "203.0.114.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(may_be(at(public), &[]), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.1.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!may_be(at(inside), &[]), "{inside}");
        }
        assert!(may_be(at("10.0.0.1"), &[at("10.0.0.1")]));
        assert!(may_be(at("::ffff:10.0.0.1"), &[at("10.0.0.1")]));
        assert!(!may_be(at("8.8.8.8"), &[at("10.0.0.1")]), "registered with another");
    }
}
