//! Slow and hostile clients. As long as each attack goes on somebody else is served, a consent is revoked, and every attacker
//! is shown the door: within ten seconds, or answered as anybody would be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sekisho_adapters::certs::{ALPN_H1, client_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::town::history;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::apart::Apart;
use crate::attackers::{Attack, Came, Target};
use crate::dice::{Campaign, long};
use crate::http1::{self, Http1};

/// The bar: an attacker's connection is over by then.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// The bar: how many times slower others may be served (p99).
const SLOWER_MAX: f64 = 3.0;
/// Connections that attackers open at once: fewer than the kernel keeps for a listener, else it forgets some without a word.
const CONNECTING_MAX: usize = 256;

/// The gateway, those who attack it, and somebody else.
struct Field {
    town: Apart,
    target: Target,
    /// Attackers have threads of their own, as they have elsewhere.
    attackers: Runtime,
    /// What somebody else asks.
    head: String,
    /// How often, at least.
    requests: usize,
}

/// What was seen of an attack.
struct Seen {
    attackers: u64,
    /// Connections that the gateway had at once when all were open.
    at_once: u64,
    closed: u64,
    /// How long the longest was open.
    longest: Duration,
    held: u64,
    /// MiB that the gateway grew by.
    grown: u64,
    revoked: Duration,
    entries_a_second: f64,
}

impl Field {
    async fn open() -> Self {
        let town = Apart::open("connections_per_address_max = 20000\n").await;
        town.world.city.set_knobs(Knobs::default());
        let (patient, token) = town.other().await;
        let host = http1::authority(&town.world);
        let path = history(&patient);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        // The attackers are another party: what they use up is theirs.
        let clinic = |alpn: &'static [&'static [u8]]| {
            let roots = town.world.ca.roots().unwrap();
            Arc::new(client_config(roots, Some(&town.world.clinic), alpn).unwrap())
        };
        let target = Target {
            address: http1::address(&town.world),
            host,
            token: town.world.clinic_token().unwrap(),
            tls1: clinic(ALPN_H1),
            tls2: clinic(&[b"h2"]),
            begun: watch::Sender::new(0),
            connecting: Arc::new(Semaphore::new(CONNECTING_MAX)),
        };
        let requests = if long().is_some() { 3_000 } else { 100 };
        Self { target, attackers: Runtime::new().unwrap(), head, requests, town }
    }

    /// Somebody else, who is served over one connection until `ended`, and so many times at least: how long the slowest in a
    /// hundred answers took.
    async fn served(&self, ended: &Arc<AtomicBool>) -> Duration {
        let (mut http, head) = (Http1::open(&self.town.world).await, self.head.clone());
        let (least, ended) = (self.requests, Arc::clone(ended));
        let serving = tokio::spawn(async move {
            let mut times = Vec::with_capacity(least);
            while times.len() < least || !ended.load(Ordering::Acquire) {
                let began = Instant::now();
                http.send(head.as_bytes()).await;
                let answer = http.answer().await.expect("others are served");
                assert_eq!(answer.status, 200, "others are served");
                assert!(!answer.body.contains(r#""total":0"#), "others are served");
                times.push(began.elapsed());
            }
            times
        });
        let mut times = serving.await.unwrap();
        times.sort();
        times[(times.len() * 99).div_ceil(100) - 1]
    }

    async fn undisturbed(&self) -> Duration {
        self.served(&Arc::new(AtomicBool::new(true))).await
    }

    /// An attack from its first connection to the end of its last one.
    async fn attacked(&self, attack: Attack, attackers: usize) -> Seen {
        let (memory, entries) = (self.town.gateway.resident(), self.entries().await);
        let before = self.connections().await;
        // Floods that are answered go on as long as we like.
        let began = Instant::now();
        let until = began + if attack == Attack::Denials { Duration::from_secs(3) } else { Duration::from_secs(30) };
        self.target.begun.send_replace(0);
        let mut attacking = JoinSet::new();
        for _ in 0..attackers {
            attacking.spawn_on(self.target.clone().attack(attack, until), self.attackers.handle());
        }
        let _ = self.target.begun.subscribe().wait_for(|begun| *begun >= attackers).await;
        let at_once = self.at_once(attack, attackers as u64, before).await;
        let (consent, _) = self.town.consent().await;
        let revoking = Instant::now();
        self.town.world.revoke(self.town.mother(), &consent).await.unwrap();
        let revoked = revoking.elapsed();
        let early = self.town.gateway.resident();
        let (mut longest, mut closed, mut open) = (Duration::ZERO, 0, 0);
        while let Some(ended) = attacking.join_next().await {
            match ended.unwrap() {
                Came::Closed(after) => (longest, closed) = (longest.max(after), closed + 1),
                Came::Open => open += 1,
                Came::TurnedAway => {}
            }
        }
        let grown = early.max(self.town.gateway.resident()).saturating_sub(memory);
        // A connection that the kernel dropped for want of room in the queue of the listener looks open from outside.
        let held = open.min(self.connections().await.saturating_sub(before));
        let entries_a_second = (self.entries().await - entries) as f64 / began.elapsed().as_secs_f64();
        Seen { attackers: attackers as u64, at_once, closed, longest, held, grown, revoked, entries_a_second }
    }

    /// How many of an attack's connections the gateway has open. Silent ones are more than the kernel's queue takes: they are
    /// counted until all have been accepted, or the first are closed again, which their time limit sees to.
    async fn at_once(&self, attack: Attack, attackers: u64, before: u64) -> u64 {
        let mut most = self.connections().await.saturating_sub(before);
        while attack == Attack::SilentTcp && most < attackers {
            let now = self.connections().await.saturating_sub(before);
            if now < most {
                break;
            }
            most = now;
        }
        most
    }

    async fn entries(&self) -> u64 {
        self.town.number("sekisho_ledger_entries").await
    }

    async fn connections(&self) -> u64 {
        self.town.number("sekisho_connections").await
    }
}

/// Raises the limit of open files as far as it may be, here and for the gateway, which inherits it; how many connections that
/// leaves room for.
fn room() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: Some(30_000), maximum: Some(now.maximum.unwrap_or(30_000).max(30_000)) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(30_000) as usize - 1_000
}

impl Seen {
    fn judged(&self, attack: Attack, [undisturbed, disturbed]: [Duration; 2], campaign: &mut Campaign) {
        let Self { attackers, at_once, closed, longest, held, grown, revoked, entries_a_second } = self;
        println!(
            "clients: {attack:?}: {attackers} connections, {at_once} at once, {closed} closed after at most {:.1} s; others p99 \
             {:.1} ms, before {:.1} ms; revoked in {:.1} ms; {grown} MiB more; {entries_a_second:.0} entries/s",
            longest.as_secs_f64(),
            disturbed.as_secs_f64() * 1e3,
            undisturbed.as_secs_f64() * 1e3,
            revoked.as_secs_f64() * 1e3,
        );
        if *longest > CLOSED_WITHIN || (attack != Attack::Denials && *held > 0) {
            campaign.finding(format!("{attack:?}: {held} of {attackers} still held, others closed after {longest:?}"));
        }
        if attack == Attack::SilentTcp && at_once < attackers {
            campaign.finding(format!("{attack:?}: only {at_once} of {attackers} were open at once"));
        }
        if long().is_some() && disturbed.as_secs_f64() > SLOWER_MAX * undisturbed.as_secs_f64() {
            campaign
                .finding(format!("{attack:?}: others were served in {disturbed:?} (p99), before in {undisturbed:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_keep_nobody_else_from_being_served() {
    let room = room();
    let field = Field::open().await;
    let mut campaign = Campaign::new("clients", Attack::ALL.len());
    // Those that do nothing but wait are in the long form.
    let attacks =
        Attack::ALL.into_iter().filter(|a| long().is_some() || a.connections() < 10 || *a == Attack::SlowBody);
    // Everything is warm then.
    field.undisturbed().await;
    for attack in attacks {
        let planned = if long().is_some() { attack.connections() } else { attack.connections().div_ceil(50) };
        if planned > room {
            println!("clients: {attack:?}: {room} of {planned} connections, for want of descriptors");
        }
        let undisturbed = field.undisturbed().await;
        let ended = Arc::new(AtomicBool::new(false));
        let attacked = async {
            let seen = field.attacked(attack, planned.min(room)).await;
            ended.store(true, Ordering::Release);
            seen
        };
        let (seen, disturbed) = tokio::join!(attacked, field.served(&ended));
        seen.judged(attack, [undisturbed, disturbed], &mut campaign);
        campaign.step();
    }
    let Field { attackers, town, .. } = field;
    attackers.shutdown_background();
    town.stop().await;
    campaign.end("others were served, consents were revoked, attackers were closed");
}
