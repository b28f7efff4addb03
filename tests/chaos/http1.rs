//! HTTP/1.1 as bytes over real TLS: sends exactly what it is given, reads whole answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sekisho::demo::world::World;
use sekisho_adapters::certs::client_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long an answer may take before the test gives up: far longer than any does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Host and port by which the gateway is addressed.
pub fn authority(world: &World) -> String {
    world.url.trim_start_matches("https://").to_owned()
}

/// Where it listens, on this machine.
pub fn address(world: &World) -> SocketAddr {
    let port = authority(world).rsplit(':').next().and_then(|port| port.parse().ok());
    SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
}

/// The app's TLS settings, for this protocol.
pub fn tls(world: &World, protocol: &'static [&'static [u8]]) -> Arc<ClientConfig> {
    Arc::new(client_config(world.ca.roots().unwrap(), Some(&world.app), protocol).unwrap())
}

/// A TLS connection to somebody on this machine.
pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.unwrap()
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

pub struct Http1 {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    /// The last request was a HEAD: what its answer says of a length is not about a body that comes.
    bodiless: bool,
}

impl Http1 {
    pub async fn open(world: &World) -> Self {
        let tls = tls(world, sekisho_adapters::certs::ALPN_H1);
        Self::over(connect(address(world), tls).await)
    }

    pub fn over(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, read: Vec::new(), bodiless: false }
    }

    /// A connection that is closed meanwhile shows when the answer is read.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.bodiless = bytes.starts_with(b"HEAD ");
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next answer; none when the connection is closed before it is whole.
    pub async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("an answer, or the end of the connection")
    }

    async fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.read[..at]).to_ascii_lowercase();
                let status = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status line");
                if status == 100 {
                    self.read.drain(..at + 4);
                    continue;
                }
                assert!(!head.contains("transfer-encoding"), "answers state their length: {head}");
                let field = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                let length: usize = field.filter(|_| !self.bodiless).map_or(0, |value| value.trim().parse().unwrap());
                if self.read.len() >= at + 4 + length {
                    let body = String::from_utf8_lossy(&self.read[at + 4..at + 4 + length]).into_owned();
                    self.read.drain(..at + 4 + length);
                    return Some(Answer { status, body });
                }
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece).await {
                Ok(n) if n > 0 => self.read.extend_from_slice(&piece[..n]),
                _ => return None,
            }
        }
    }
}
