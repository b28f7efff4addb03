//! Slow and hostile clients. While each attack goes on, somebody else is served, a consent is revoked, and every attacker is
//! shown the door: within ten seconds, or answered as anybody would be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sekisho_adapters::certs::ALPN_H1;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::town::{Town, history};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dice::{Campaign, long};
use crate::http1::{self, Http1};
use crate::http2;

/// The bar: an attacker's connection is over by then.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// The bar: how many times slower others may be served (p99).
const SLOWER_MAX: f64 = 3.0;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// What an attacker does on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
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
    const ALL: [Self; 11] = [
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
    fn connections(self) -> usize {
        match self {
            // Both ends of each are in this process.
            Self::SilentTcp => 10_000,
            Self::SilentTls | Self::SilentHttp2 | Self::SlowHeaders | Self::SlowHeadersHttp2 | Self::SlowBody => 200,
            Self::RapidReset | Self::Continuations | Self::HeaderBomb | Self::BodyBomb | Self::Denials => 4,
        }
    }
}

/// TCP, or TLS over it.
trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Wire for T {}

/// What attackers know.
#[derive(Clone)]
struct Target {
    address: std::net::SocketAddr,
    host: String,
    token: String,
    tls1: Arc<ClientConfig>,
    tls2: Arc<ClientConfig>,
    /// Attackers whose connection is open, or could not be opened.
    begun: watch::Sender<usize>,
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
        let id = turn * 2 + 1;
        match attack {
            Attack::SilentTcp | Attack::SilentTls => Vec::new(),
            Attack::SilentHttp2 => {
                if first {
                    PREFACE.to_vec()
                } else {
                    Vec::new()
                }
            }
            Attack::SlowHeaders => {
                if first {
                    b"GET /fhir/Immunization HTTP/1.1\r\n".to_vec()
                } else {
                    b"X".to_vec()
                }
            }
            Attack::SlowHeadersHttp2 if first => [PREFACE, &frame(1, 1, 1, &http2::block(&self.fields()))].concat(),
            Attack::SlowHeadersHttp2 => frame(9, 0, 1, &http2::block(&[(b"x".to_vec(), b"y".to_vec())])),
            Attack::SlowBody => {
                if first {
                    self.post("Content-Length: 1000").into_bytes()
                } else {
                    b" ".to_vec()
                }
            }
            Attack::RapidReset => {
                let preface = if first { PREFACE } else { &[] };
                let one = frame(1, 5, id, &http2::block(&self.fields()));
                [preface, &one, &frame(3, 0, id, &8u32.to_be_bytes())].concat()
            }
            Attack::Continuations if first => [PREFACE, &frame(1, 1, 1, &http2::block(&self.fields()))].concat(),
            Attack::Continuations => frame(9, 0, 1, &http2::block(&[(b"x".to_vec(), vec![b'y'; 8_000])])),
            Attack::HeaderBomb => {
                // One field of 3,900 bytes goes into the table of HPACK, and is then named two thousand times.
                let preface = if first { PREFACE } else { &[] };
                let mut block = http2::block(&self.fields());
                block.extend([0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
                block.extend(vec![b'y'; 3_900]);
                block.extend(vec![0xbe; 2_000]);
                [preface, &frame(1, 5, id, &block)].concat()
            }
            Attack::BodyBomb if first => self.post("Content-Length: 100000000000").into_bytes(),
            Attack::BodyBomb => vec![b' '; 16 << 10],
            Attack::Denials => {
                let target = history("nobody");
                format!("GET {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n", self.host, self.token)
                    .into_bytes()
            }
        }
    }

    /// Attacks until the connection is over, or `until`: how long it was open behind the attack's beginning. Nothing when it
    /// could not be opened, which is a way to be turned away.
    async fn attack(self, attack: Attack, until: Instant) -> Option<Option<Duration>> {
        let opened = self.open(attack).await;
        self.begun.send_modify(|begun| *begun += 1);
        Some(Self::go_on(opened?, &self, attack, until).await)
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
        let mut buffer = vec![0; 16 << 10];
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

/// Somebody else, who is served all the time over one connection: how long the slowest in a hundred answers took.
async fn served(town: &Town, head: &str, requests: usize) -> Duration {
    let mut times = Vec::with_capacity(requests);
    let mut http = Http1::open(town).await;
    for _ in 0..requests {
        let began = Instant::now();
        http.send(head.as_bytes()).await;
        let answer = http.answer().await.expect("others are served");
        assert_eq!(answer.status, 200, "others are served");
        assert!(!answer.body.contains(r#""total":0"#), "others are served");
        times.push(began.elapsed());
    }
    times.sort();
    times[(requests * 99).div_ceil(100) - 1]
}

/// Resident memory of this process, in MiB: both ends.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Raises the limit of open files as far as it may be; how many connections with both ends here that leaves room for.
fn room() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: Some(30_000), maximum: Some(now.maximum.unwrap_or(30_000).max(30_000)) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    (getrlimit(Resource::Nofile).current.unwrap_or(30_000) as usize - 1_000) / 2
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_keep_nobody_else_from_being_served() {
    let (room, requests) = (room(), if long().is_some() { 1_000 } else { 100 });
    let town =
        Town::open_below(None, |text| text.replace("[server]\n", "[server]\nconnections_per_address_max = 20000\n"));
    let town = town.await;
    town.world.city.set_knobs(Knobs::default());
    let other = town.world.families[1].clone();
    let enrolled = town.world.enrol(&other).await.unwrap();
    let until = town.in_seconds(86_400);
    let parent = &other.parents[0].id;
    let (_, served_patient) = town.world.consent(parent, &enrolled.children[0], &until).await.unwrap();
    let (host, token) = (http1::authority(&town), town.world.app_token(parent).unwrap());
    let head =
        format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n", history(&served_patient));
    // The attackers are another party: what they use up is theirs.
    let clinic = |alpn: &'static [&'static [u8]]| {
        let roots = town.world.ca.roots().unwrap();
        Arc::new(sekisho_adapters::certs::client_config(roots, Some(&town.world.clinic), alpn).unwrap())
    };
    let target = Target {
        address: town.gateway.address,
        host,
        token: town.world.clinic_token().unwrap(),
        tls1: clinic(ALPN_H1),
        tls2: clinic(&[b"h2"]),
        begun: watch::Sender::new(0),
    };
    let mut campaign = Campaign::new("clients", Attack::ALL.len());
    let attackers = Runtime::new().unwrap();
    // Those that do nothing but wait are in the long form.
    let attacks =
        Attack::ALL.into_iter().filter(|a| long().is_some() || a.connections() < 10 || *a == Attack::SlowBody);
    let _ = served(&town, &head, requests).await;
    for attack in attacks {
        let undisturbed = served(&town, &head, requests).await;
        let connections = if long().is_some() { attack.connections() } else { attack.connections().div_ceil(50) };
        let (memory, entries) = (resident(), entries(&town).await);
        let before = number(&town, "sekisho_connections ").await;
        // Floods that are answered go on as long as we like.
        let began = Instant::now();
        let until = began + if attack == Attack::Denials { Duration::from_secs(3) } else { Duration::from_secs(30) };
        let mut attacking = JoinSet::new();
        for _ in 0..connections.min(room) {
            attacking.spawn_on(target.clone().attack(attack, until), attackers.handle());
        }
        let planned = connections.min(room);
        let _ = target.begun.subscribe().wait_for(|begun| *begun >= planned).await;
        target.begun.send_replace(0);
        let disturbed = served(&town, &head, requests).await;
        let (consent, _) = town.consent().await;
        let revoking = Instant::now();
        town.world.revoke(town.mother(), &consent).await.unwrap();
        let revoked = revoking.elapsed();
        let grown = resident().saturating_sub(memory);
        let (mut longest, mut closed, mut open) = (Duration::ZERO, 0, 0_u64);
        while let Some(ended) = attacking.join_next().await {
            match ended.unwrap() {
                Some(Some(after)) => (longest, closed) = (longest.max(after), closed + 1),
                Some(None) => open += 1,
                None => {}
            }
        }
        // A connection that the kernel dropped for want of room in the queue of the listener looks open from outside.
        let held = open.min(number(&town, "sekisho_connections ").await.saturating_sub(before));
        let rate = (entries_since(&town, entries).await) as f64 / began.elapsed().as_secs_f64();
        println!(
            "clients: {attack:?}: {} connections, {closed} closed after at most {:.1} s; others p99 {:.1} ms, before {:.1} ms; \
             revoked in {:.1} ms; {grown} MiB more; {rate:.0} entries/s",
            planned,
            longest.as_secs_f64(),
            disturbed.as_secs_f64() * 1e3,
            undisturbed.as_secs_f64() * 1e3,
            revoked.as_secs_f64() * 1e3,
        );
        if longest > CLOSED_WITHIN || (attack != Attack::Denials && held > 0) {
            campaign.finding(format!("{attack:?}: {held} of {planned} still held, others closed after {longest:?}"));
        }
        if long().is_some() && disturbed.as_secs_f64() > SLOWER_MAX * undisturbed.as_secs_f64() {
            campaign
                .finding(format!("{attack:?}: others were served in {disturbed:?} (p99), before in {undisturbed:?}"));
        }
        campaign.step();
    }
    attackers.shutdown_background();
    town.gateway.stop().await;
    campaign.end("others were served, consents were revoked, attackers were closed");
}

/// Entries of the ledger.
async fn entries(town: &Town) -> u64 {
    number(town, "sekisho_ledger_entries ").await
}

/// A number that the management port shows.
async fn number(town: &Town, name: &str) -> u64 {
    let (_, text) = town.manage("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).expect("a number")
}

async fn entries_since(town: &Town, before: u64) -> u64 {
    entries(town).await - before
}
