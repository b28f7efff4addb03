//! The interleaved rounds: all proxies run all the time, and take turns under load.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use sekisho_adapters::identity::stand_in::DevIssuer;

use crate::child::{OTHER_CORE, PROXY_CORE, Process, find, idle};
use crate::load::{Measured, Order, Said};
use crate::world::World;
use crate::{Failure, envoy, gateway, nginx, relay};

/// How long, how often, and what.
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Measured of each proxy in a round.
    pub measured: Duration,
    /// Load before measuring.
    pub warm_up: Duration,
    /// Which proxies, of [`PROXIES`].
    pub proxies: Vec<String>,
}

/// What can be measured, in the order of the report.
pub const PROXIES: [&str; 5] = ["nginx", "envoy", "relay", gateway::ONE.name, gateway::TWO.name];

impl Plan {
    /// Milliseconds of load before measuring.
    pub fn warm_up_ms(&self) -> u64 {
        u64::try_from(self.warm_up.as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds measured.
    pub fn measured_ms(&self) -> u64 {
        u64::try_from(self.measured.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A proxy that runs.
pub struct Proxy {
    /// Its name in the report.
    pub name: &'static str,
    /// The process that is pinned and measured, with its descendants.
    pub process: Process,
    /// What it asks for a decision, if that is another process: on the other core.
    pub asks: Option<Process>,
    /// What the load generator does to it.
    pub order: Order,
}

/// One proxy's part of one round.
#[derive(Clone, Serialize)]
pub struct Run {
    /// Which proxy.
    pub proxy: &'static str,
    /// What the load generator saw.
    #[serde(flatten)]
    pub load: Measured,
    /// Requests per second.
    pub per_second: f64,
    /// Processor time of the proxy per request, in microseconds.
    pub cpu_us: f64,
    /// How much of its core the proxy used.
    pub core_share: f64,
    /// How much of its core nobody used.
    pub idle_share: f64,
}

/// Everything that was measured.
#[derive(Serialize)]
pub struct Rounds {
    /// Which nginx, and which Envoy.
    pub others: Vec<String>,
    /// File system of Sekisho's records.
    pub file_system: String,
    /// By round; in each, a run of each proxy.
    pub rounds: Vec<Vec<Run>>,
}

/// If other programs used more of the proxies' core in a round, it doesn't count. The scheduler shares a core out by
/// thread: nginx, with one, would get less of it than Sekisho, with several, and the ratio would flatter us.
const OTHERS_MAX: f64 = 0.1;
/// Disturbed rounds are repeated, up to this many times as many rounds in all.
const ATTEMPTS: usize = 3;

/// Whether the proxies had their core to themselves in this round. The one that runs on both cores shares them with the load.
pub fn is_quiet(runs: &[Run]) -> bool {
    let alone = runs.iter().filter(|run| run.proxy != gateway::TWO.name);
    alone.map(|run| 1.0 - run.core_share - run.idle_share).all(|others| others <= OTHERS_MAX)
}

/// Refuses machines on which the bench would say nothing.
pub fn check_machine(target: &Path, proxies: &[String]) -> Result<Vec<String>, Failure> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("the bench needs two cores: one for the proxy, one for everything else".into());
    }
    for tool in ["taskset", "setpriv"] {
        find(tool).ok_or_else(|| format!("{tool} (util-linux) is not installed"))?;
    }
    let mut versions = Vec::new();
    for proxy in proxies {
        match proxy.as_str() {
            "nginx" => versions.push(nginx::version()?),
            "envoy" => versions.push(envoy::version(target)?),
            _ => {}
        }
    }
    Ok(versions)
}

/// The file system that a directory lies on, by /proc/self/mounts.
fn file_system(directory: &Path) -> Result<String, Failure> {
    let directory = directory.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let of = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let longest = of.filter(|(point, _)| directory.starts_with(point)).max_by_key(|(point, _)| point.len());
    Ok(longest.map(|(_, kind)| kind.to_owned()).unwrap_or_default())
}

/// Starts everything, measures, and stops everything.
pub async fn measure(target: &Path, plan: &Plan) -> Result<Rounds, Failure> {
    let work = target.join("bench").join(format!("work-{}", std::process::id()));
    let world = World::make(&work).await?;
    let file_system = file_system(&work)?;
    if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
        return Err("the target directory lies in memory: durable records would cost nothing there".into());
    }
    let folder = work.to_str().ok_or("the target directory's name is not UTF-8")?;
    let mut upstream = Process::role("upstream", OTHER_CORE, &work, &["upstream", folder])?;
    let upstream_port = upstream.port().await?;
    let mut load = Process::role("load", OTHER_CORE, &work, &["load", folder])?;
    let (proxies, issuers) = start(&world, target, upstream_port, plan).await?;
    let mut rounds = Vec::new();
    let mut quiet = 0;
    for number in 0..plan.rounds * ATTEMPTS {
        if quiet == plan.rounds {
            break;
        }
        let mut runs = Vec::new();
        // Who goes first alternates too.
        let turn = number % 2;
        for at in 0..proxies.len() {
            let at = (at + turn) % proxies.len();
            if let Some(proxy) = proxies.get(at) {
                let run = one(proxy, &mut load).await.map_err(|e| format!("{}: {e}", proxy.name))?;
                eprintln!("  round {}: {:<8} {:>8.0} requests/s", number + 1, run.proxy, run.per_second);
                runs.push(run);
            }
        }
        if is_quiet(&runs) {
            quiet += 1;
        } else {
            eprintln!("  round {}: other programs used the proxies' core; it does not count", number + 1);
        }
        rounds.push(runs);
    }
    load.stop().await;
    let answered = |of: Option<&str>| -> u64 {
        let runs = rounds.iter().flatten().filter(|run: &&Run| of.is_none_or(|name| run.proxy == name));
        runs.map(|run| run.load.requests).sum()
    };
    for proxy in proxies {
        proxy.process.stop().await;
        if let Some(no_op) = proxy.asks {
            was_asked(&format!("the no-op of {}", proxy.name), no_op.count().await?, answered(Some(proxy.name)))?;
        }
    }
    was_asked("the upstream", upstream.count().await?, answered(None))?;
    drop(issuers);
    std::fs::remove_dir_all(&work)?;
    let others = check_machine(target, &plan.proxies)?;
    Ok(Rounds { others, file_system, rounds })
}

/// Starts the proxies that the plan names, and gives the issuers that must live as long.
async fn start(
    world: &World,
    target: &Path,
    upstream: u16,
    plan: &Plan,
) -> Result<(Vec<Proxy>, Vec<DevIssuer>), Failure> {
    let (mut proxies, mut issuers) = (Vec::new(), Vec::new());
    for name in PROXIES.iter().filter(|name| plan.proxies.iter().any(|wanted| wanted == *name)) {
        let mode = match *name {
            "nginx" => {
                proxies.push(nginx::start(world, upstream, plan).await?);
                continue;
            }
            "envoy" => {
                proxies.push(envoy::start(world, target, upstream, plan).await?);
                continue;
            }
            "relay" => {
                proxies.push(relay::start(world, upstream, plan).await?);
                continue;
            }
            name if name == gateway::TWO.name => gateway::TWO,
            _ => gateway::ONE,
        };
        let (proxy, issuer) = gateway::start(mode, world, target, upstream, plan).await?;
        proxies.push(proxy);
        issuers.push(issuer);
    }
    Ok((proxies, issuers))
}

/// Every answer that counts must have cost what it is said to cost: no proxy may have answered out of a cache.
fn was_asked(who: &str, asked: u64, answers: u64) -> Result<(), Failure> {
    if asked >= answers { Ok(()) } else { Err(format!("{who} was asked {asked} times for {answers} answers").into()) }
}

async fn one(proxy: &Proxy, load: &mut Process) -> Result<Run, Failure> {
    load.send(&serde_json::to_string(&proxy.order)?).await?;
    let slack = Duration::from_secs(30);
    let begins = said(&load.line(slack + Duration::from_millis(proxy.order.warm_up_ms)).await?)?;
    if begins.is_some() {
        return Err("the load generator was done before it began".into());
    }
    let (before, idle_before) = (proxy.process.cpu()?, idle(PROXY_CORE)?);
    tokio::time::sleep(Duration::from_millis(proxy.order.measured_ms)).await;
    let used = proxy.process.cpu()?.saturating_sub(before).as_secs_f64();
    let idle = idle(PROXY_CORE)?.saturating_sub(idle_before).as_secs_f64();
    let measured = said(&load.line(slack).await?)?.ok_or("the load generator began twice")?;
    if measured.requests == 0 {
        return Err("no answer came within the measured time".into());
    }
    Ok(Run {
        proxy: proxy.name,
        per_second: measured.requests as f64 / measured.seconds,
        cpu_us: used * 1e6 / measured.requests as f64,
        core_share: used / measured.seconds,
        idle_share: idle / measured.seconds,
        load: measured,
    })
}

fn said(line: &str) -> Result<Option<Measured>, Failure> {
    match serde_json::from_str(line)? {
        Said::Measuring => Ok(None),
        Said::Done(measured) => Ok(Some(measured)),
        Said::Wrong(why) => Err(why.into()),
    }
}
