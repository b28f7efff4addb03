//! What slow and hostile clients do, connection by connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sekisho_tests::town::history;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::http2;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// What an attacker does on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    SilentTcp,
    SilentTls,
    SilentHttp2,
    SlowHeaders,
    SlowHeadersHttp2,
    SlowBody,
    RapidReset,
    Continuations,
    HeaderBomb,
    BodyBomb,
    Denials,
}

impl Attack {
    pub const ALL: [Self; 11] = [
        Self::SilentTcp,
        Self::SilentTls,
        Self::SilentHttp2,
        Self::SlowHeaders,
        Self::SlowHeadersHttp2,
        Self::SlowBody,
        Self::RapidReset,
        Self::Continuations,
        Self::HeaderBomb,
        Self::BodyBomb,
        Self::Denials,
    ];

    fn http2(self) -> bool {
        matches!(
            self,
            Self::SilentHttp2 | Self::SlowHeadersHttp2 | Self::RapidReset | Self::Continuations | Self::HeaderBomb
        )
    }

    /// Connections of it, in the long form.
    pub fn connections(self) -> usize {
        match self {
            Self::SilentTcp => 10_000,
            Self::SilentTls | Self::SilentHttp2 | Self::SlowHeaders | Self::SlowHeadersHttp2 | Self::SlowBody => 200,
            Self::RapidReset | Self::Continuations | Self::HeaderBomb | Self::BodyBomb | Self::Denials => 4,
        }
    }
}

/// What an attacker's connection came to.
pub enum Came {
    /// It could not be opened.
    TurnedAway,
    /// It was closed so long behind the attack's beginning.
    Closed(Duration),
    /// It is open still.
    Open,
}

/// TCP, or TLS over it.
trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Wire for T {}

/// What attackers know.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub host: String,
    pub token: String,
    pub tls1: Arc<ClientConfig>,
    pub tls2: Arc<ClientConfig>,
    /// Attackers whose connection is open, or could not be opened.
    pub begun: watch::Sender<usize>,
    /// Who may connect: not more at once than the kernel keeps for a listener, else it forgets some without a word.
    pub connecting: Arc<Semaphore>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[size[1], size[2], size[3], kind, flags], stream.to_be_bytes().as_slice(), payload].concat()
}

impl Target {
    fn fields(&self) -> Vec<http2::Field> {
        http2::get(&history("nobody"), &self.host, &[])
    }

    /// The head of a request whose body is to come, with a token that is let in.
    fn post(&self, length: &str) -> String {
        format!(
            "POST /v1/consents HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{length}\r\n\r\n",
            self.host, self.token
        )
    }

    /// What is sent at first, and what again and again.
    fn bytes(&self, attack: Attack, turn: u32) -> Vec<u8> {
        let first = turn == 0;
        match attack {
            Attack::SilentTcp | Attack::SilentTls => Vec::new(),
            Attack::SlowHeaders if first => b"GET /fhir/Immunization HTTP/1.1\r\n".to_vec(),
            Attack::SlowHeaders => b"X".to_vec(),
            Attack::SlowBody if first => self.post("Content-Length: 1000").into_bytes(),
            Attack::SlowBody => b" ".to_vec(),
            Attack::BodyBomb if first => self.post("Content-Length: 100000000000").into_bytes(),
            Attack::BodyBomb => vec![b' '; 16 << 10],
            Attack::Denials => {
                let (target, host, token) = (history("nobody"), &self.host, &self.token);
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
            }
            _ if first => [PREFACE, &self.frames(attack, turn)].concat(),
            _ => self.frames(attack, turn),
        }
    }

    /// The same over HTTP/2, behind the preface.
    fn frames(&self, attack: Attack, turn: u32) -> Vec<u8> {
        let id = turn * 2 + 1;
        let mut block = http2::block(&self.fields());
        let more = |value: Vec<u8>| frame(9, 0, 1, &http2::block(&[(b"x".to_vec(), value)]));
        match attack {
            Attack::SlowHeadersHttp2 | Attack::Continuations if turn == 0 => frame(1, 1, 1, &block),
            Attack::SlowHeadersHttp2 => more(b"y".to_vec()),
            Attack::Continuations => more(vec![b'y'; 8_000]),
            Attack::RapidReset => [frame(1, 5, id, &block), frame(3, 0, id, &8u32.to_be_bytes())].concat(),
            Attack::HeaderBomb => {
                // One field of 3,900 bytes goes into the table of HPACK, and is then named two thousand times.
                block.extend([0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
                block.extend(vec![b'y'; 3_900]);
                block.extend(vec![0xbe; 2_000]);
                frame(1, 5, id, &block)
            }
            // Silent behind the preface, or not of HTTP/2.
            _ => Vec::new(),
        }
    }

    /// Attacks until the connection is over, or `until`.
    pub async fn attack(self, attack: Attack, until: Instant) -> Came {
        let turn = self.connecting.acquire().await.unwrap();
        let opened = self.open(attack).await;
        drop(turn);
        self.begun.send_modify(|begun| *begun += 1);
        let Some(stream) = opened else { return Came::TurnedAway };
        Self::go_on(stream, &self, attack, until).await.map_or(Came::Open, Came::Closed)
    }

    async fn open(&self, attack: Attack) -> Option<Box<dyn Wire>> {
        let tcp = TcpStream::connect(self.address).await.ok()?;
        if attack == Attack::SilentTcp {
            return Some(Box::new(tcp));
        }
        let tls = if attack.http2() { &self.tls2 } else { &self.tls1 };
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.ok()?;
        Some(Box::new(stream))
    }

    async fn go_on(stream: Box<dyn Wire>, target: &Self, attack: Attack, until: Instant) -> Option<Duration> {
        let began = Instant::now();
        let (mut read, mut write) = tokio::io::split(stream);
        let target = target.clone();
        let slow = matches!(attack, Attack::SlowHeaders | Attack::SlowHeadersHttp2 | Attack::SlowBody);
        let sending = tokio::spawn(async move {
            for turn in 0.. {
                let bytes = target.bytes(attack, turn);
                if bytes.is_empty() || write.write_all(&bytes).await.is_err() {
                    break;
                }
                let _ = write.flush().await;
                if slow {
                    // Not a wait for an event: a slow client is slow.
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            write
        });
        // Small: ten thousand of them are here.
        let mut buffer = vec![0; 2 << 10];
        let ended = tokio::time::timeout_at(until.into(), async {
            while let Ok(n) = read.read(&mut buffer).await {
                if n == 0 {
                    break;
                }
            }
        });
        let ended = ended.await.is_ok();
        sending.abort();
        ended.then(|| began.elapsed())
    }
}
