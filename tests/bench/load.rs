//! The load generator: HTTP/1.1 over TLS 1.3 with a client certificate, closed loop over keep-alive connections.
//!
//! Every answer is compared, byte by byte, with the first one on its connection, and that first one is looked at closely:
//! a wrong answer ends the run. The client is written for this one purpose so that it takes little of the core that it
//! shares with the upstream.

use std::io::{self, BufRead as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Failure, world};

/// Keep-alive connections.
pub const CONNECTIONS: usize = 32;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What one connection asks, over and over.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ask {
    /// Path and query.
    pub target: String,
    /// The child's id at the upstream.
    pub child: String,
    /// What the proxy must call the child instead; none when it passes the upstream's answer on as it is.
    pub pairwise: Option<String>,
    /// Bearer token.
    pub token: String,
}

/// One measurement.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    /// The proxy's port.
    pub port: u16,
    /// What the connections ask, in turn.
    pub asks: Vec<Ask>,
    /// Milliseconds of load before measuring.
    pub warm_up_ms: u64,
    /// Milliseconds measured.
    pub measured_ms: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Answers that came whole within the measured time.
    pub requests: u64,
    /// How long that was, in seconds.
    pub seconds: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Bytes of body of one answer, averaged over the connections.
    pub body_bytes: f64,
    /// TLS version and cipher suite.
    pub tls: String,
}

/// What the load generator says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Measuring begins.
    Measuring,
    /// Measuring is over.
    Done(Measured),
    /// Something was wrong; nothing of this measurement counts.
    Wrong(String),
}

/// Carries out orders from standard input, one a line, until it ends.
pub async fn run(work: &Path) -> Result<(), Failure> {
    let tls = TlsConnector::from(Arc::new(world::load_tls(work)?));
    let bodies = Arc::new(world::bodies(work)?);
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await??;
        if line.is_empty() {
            return Ok(());
        }
        let order: Order = serde_json::from_str(&line)?;
        let said = match measure(&tls, &order, &bodies).await {
            Ok(measured) => Said::Done(measured),
            Err(error) => Said::Wrong(error.to_string()),
        };
        say(&said)?;
    }
}

fn say(said: &Said) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(said)?);
    Ok(())
}

type Bodies = Arc<std::collections::BTreeMap<String, String>>;

async fn measure(tls: &TlsConnector, order: &Order, bodies: &Bodies) -> Result<Measured, Failure> {
    let ready = Arc::new(Barrier::new(CONNECTIONS + 1));
    let (at, begin) = tokio::sync::watch::channel(None::<(Instant, Instant)>);
    let mut connections = tokio::task::JoinSet::new();
    for ask in order.asks.iter().cycle().take(CONNECTIONS) {
        let (tls, ask, bodies, ready) = (tls.clone(), ask.clone(), Arc::clone(bodies), Arc::clone(&ready));
        let (port, mut begin) = (order.port, begin.clone());
        connections.spawn(async move {
            let mut connection = timeout(CONNECT_WITHIN, Connection::open(&tls, port, &ask)).await??;
            let first = timeout(ANSWER_WITHIN, connection.exchange()).await??.to_vec();
            let upstream = bodies.get(&ask.child).ok_or("an unknown child")?;
            is_right(&first, upstream, &ask)?;
            ready.wait().await;
            let (from, until) = (*begin.wait_for(Option::is_some).await?).ok_or("no beginning")?;
            let mut latencies = Vec::with_capacity(1 << 14);
            loop {
                let asked = Instant::now();
                if asked >= until {
                    break;
                }
                let same = timeout(ANSWER_WITHIN, connection.exchange()).await?? == first;
                if !same {
                    return Err(format!("an answer differs from the first one ({} bytes)", first.len()).into());
                }
                let now = Instant::now();
                if now >= from && now < until {
                    latencies.push(now - asked);
                }
            }
            Ok::<_, Failure>((latencies, first.len(), connection.tls()))
        });
    }
    tokio::select! {
        _ = ready.wait() => {}
        Some(early) = connections.join_next() => {
            early??;
            return Err("a connection ended before the others were open".into());
        }
    }
    let from = Instant::now() + Duration::from_millis(order.warm_up_ms);
    let until = from + Duration::from_millis(order.measured_ms);
    at.send_replace(Some((from, until)));
    sleep_until(from.into()).await;
    say(&Said::Measuring)?;
    let (mut latencies, mut bytes, mut suites) = (Vec::new(), 0, Vec::new());
    while let Some(done) = connections.join_next().await {
        let (some, body, tls) = done??;
        latencies.extend(some);
        bytes += body;
        suites.push(tls);
    }
    suites.dedup();
    latencies.sort_unstable();
    let percentile = |p: usize| latencies.get(latencies.len() * p / 100).map_or(0.0, |l| l.as_secs_f64() * 1e6);
    Ok(Measured {
        requests: latencies.len() as u64,
        seconds: order.measured_ms as f64 / 1e3,
        p50_us: percentile(50),
        p99_us: percentile(99),
        body_bytes: bytes as f64 / CONNECTIONS as f64,
        tls: suites.join(", "),
    })
}

/// Looks closely at a first answer. An answer that withholds is a valid searchset too: it must have all entries.
fn is_right(body: &[u8], upstream: &str, ask: &Ask) -> Result<(), Failure> {
    let Some(pairwise) = &ask.pairwise else {
        return if body == upstream.as_bytes() { Ok(()) } else { Err("not what the upstream answers".into()) };
    };
    let text = std::str::from_utf8(body)?;
    let (bundle, whole): (Value, Value) = (serde_json::from_str(text)?, serde_json::from_str(upstream)?);
    let doses = |bundle: &Value| bundle.get("entry").and_then(Value::as_array).map_or(0, Vec::len);
    if doses(&bundle) != doses(&whole) || doses(&bundle) == 0 {
        return Err(format!("{} of {} entries came through: {text}", doses(&bundle), doses(&whole)).into());
    }
    if text.contains(&ask.child) || !text.contains(&format!("Patient/{pairwise}")) {
        return Err("the ids were not rewritten".into());
    }
    Ok(())
}

struct Connection {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    async fn open(tls: &TlsConnector, port: u16, ask: &Ask) -> Result<Self, Failure> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let stream = tls.connect(ServerName::try_from("localhost")?, tcp).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: application/fhir+json\r\nAuthorization: Bearer {}\r\n\r\n",
            ask.target, ask.token
        );
        Ok(Self { stream, request: request.into_bytes(), buffer: vec![0; 64 << 10], filled: 0 })
    }

    fn tls(&self) -> String {
        let tls = self.stream.get_ref().1;
        format!("{:?} {:?}", tls.protocol_version(), tls.negotiated_cipher_suite().map(|s| s.suite()))
            .replace(['(', ')'], "")
            .replace("Some", "")
    }

    /// Asks once and returns the body. Anything but a 200 with a `Content-Length` is wrong.
    async fn exchange(&mut self) -> Result<&[u8], Failure> {
        self.stream.write_all(&self.request).await?;
        self.filled = 0;
        loop {
            let room = self.buffer.get_mut(self.filled..).filter(|room| !room.is_empty()).ok_or("a longer answer")?;
            let read = self.stream.read(room).await?;
            if read == 0 {
                return Err("the proxy closed a connection".into());
            }
            self.filled += read;
            let have = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some((start, end)) = body_range(have)?
                && self.filled >= end
            {
                if self.filled > end {
                    return Err("more than one answer".into());
                }
                return Ok(self.buffer.get(start..end).unwrap_or_default());
            }
        }
    }
}

/// Where the body begins and ends, once the head is there.
fn body_range(have: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let Some(head_end) = have.windows(4).take(HEAD_BYTES_MAX).position(|w| w == b"\r\n\r\n") else {
        return if have.len() > HEAD_BYTES_MAX { Err("an endless head".into()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(have.get(..head_end).unwrap_or_default())?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("not a 200: {}", String::from_utf8_lossy(have)).into());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let start = head_end + 4;
    Ok(Some((start, start + length.ok_or("an answer without Content-Length")?)))
}
