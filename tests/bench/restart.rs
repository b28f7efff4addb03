//! How long `sekisho serve` takes to its first answer with a million entries in the ledger: after a clean stop, after
//! `kill -9`, and with the index gone. The entries are written by the store itself, in the real formats.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use sekisho::clock::Clock;
use sekisho::demo::world::{World, WorldOptions};
use sekisho::ids::TextId;
use sekisho::ledger::entry::{Bytes16, Bytes32, Cause};
use sekisho::ledger::event::{Closed, Event, Outcome};
use sekisho::store::conformance::world;
use sekisho::store::embedded::log::high_water;
use sekisho::store::{Options, Ruling, Store};
use sekisho_adapters::certs::{ALPN_H1, client_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_policy::{ConsentId, PersonId};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::report::Bar;
use crate::served::{first_answer, program, stop};
use crate::world::now_ms;

/// The bars are about so many entries.
pub const ENTRIES: u64 = 1_000_000;
/// Of each person: enrolment, consent, and permits with their outcomes.
const ENTRIES_EACH: u64 = 50;
/// People that are worked on at a time: what shares one sync.
const AT_ONCE: usize = 256;
/// Starts of each kind; the median counts.
const STARTS: usize = 3;
/// A start that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(600);
const CLEAN_S_MAX: f64 = 2.0;
const REBUILD_S_MAX: f64 = 20.0;

/// Measures all kinds of restart; gives the bars.
pub async fn measure(target: &Path, entries: u64) -> Result<Vec<Bar>, Failure> {
    let program = program(target)?;
    let work = target.join("bench").join(format!("restart-{}", std::process::id()));
    let measured = Bench::new(&program, &work, entries).await;
    let measured = match measured {
        Ok(bench) => bench.run().await,
        Err(error) => Err(error),
    };
    let _ = std::fs::remove_dir_all(&work);
    measured
}

struct Bench {
    program: PathBuf,
    config: PathBuf,
    data: PathBuf,
    url: String,
    master_key: [u8; 32],
    http: HttpClient,
    entries: u64,
}

impl Bench {
    async fn new(program: &Path, work: &Path, entries: u64) -> Result<Self, Failure> {
        let options =
            WorldOptions { directory: work.to_owned(), now: Arc::new(now_ms), families: Vec::new(), listen: None };
        let around = World::make(options).await?;
        let limits = Limits { connect_ms: 600_000, total_ms: 600_000, body_bytes_max: 1 << 20 };
        let bench = Self {
            program: program.to_owned(),
            data: work.join("data"),
            master_key: sekisho::app::master_key(&work.join("master.key"))?,
            http: HttpClient::new(client_config(around.ca.roots()?, None, ALPN_H1)?, limits),
            // The gateway opens the port that the world had kept for it.
            url: around.url,
            config: around.config,
            entries,
        };
        bench.write().await?;
        Ok(bench)
    }

    async fn open(&self) -> Result<Store, Failure> {
        let options = Options {
            directory: self.data.clone(),
            origin: "demo.invalid/sekisho".to_owned(),
            master_key: self.master_key,
            clock: Clock::system(),
        };
        Ok(Store::open(options).await?)
    }

    /// Writes the entries: people who consent, and whose records are asked for and released.
    async fn write(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let store = self.open().await?;
        world::activate(&store, &world::registry()).await?;
        let people: Vec<PersonId> = (0..self.entries.div_ceil(ENTRIES_EACH)).map(|_| PersonId::mint()).collect();
        store.make_keys(people.clone()).await?;
        let mut tasks = tokio::task::JoinSet::new();
        let mut done = 0;
        for person in &people {
            tasks.spawn(live(store.clone(), *person));
            if tasks.len() >= AT_ONCE {
                tasks.join_next().await.ok_or("no task")???;
                done += 1;
                if done % (people.len() / 10).max(1) == 0 {
                    println!("writing {} entries: {} %", self.entries, done * 100 / people.len());
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        store.stop().await?;
        let found = high_water(&self.data.join("ledger")).unwrap_or_default();
        if found < self.entries {
            return Err(format!("only {found} of {} entries were written", self.entries).into());
        }
        let bytes: u64 = segments(&self.data)?.iter().map(|file| file.metadata().map_or(0, |m| m.len())).sum();
        println!("{found} entries, {} MB, written in {:.0} s", bytes >> 20, began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn run(&self) -> Result<Vec<Bar>, Failure> {
        // The first start brings the configuration's registry into force.
        let (_, running) = self.start(false).await?;
        stop(running).await?;
        let mut bars = Vec::new();
        for (name, cold) in [("clean restart", false), ("clean restart, ledger not in memory", true)] {
            bars.push(median(name, self.starts(cold, false).await?, CLEAN_S_MAX)?);
        }
        bars.push(median("restart after kill -9", self.kills().await?, REBUILD_S_MAX)?);
        let digest = self.digest().await?;
        for (name, cold) in [("index gone: full rebuild", false), ("index gone, ledger not in memory", true)] {
            bars.push(median(name, self.starts(cold, true).await?, REBUILD_S_MAX)?);
        }
        if self.digest().await? != digest {
            return Err("the rebuilt index is not the one that was there before".into());
        }
        Ok(bars)
    }

    /// Seconds of starts after clean stops.
    async fn starts(&self, cold: bool, without_index: bool) -> Result<Vec<f64>, Failure> {
        let mut found = Vec::new();
        for _ in 0..STARTS {
            if without_index {
                std::fs::remove_dir_all(self.data.join("index"))?;
            }
            let (seconds, running) = self.start(cold).await?;
            stop(running).await?;
            found.push(seconds);
        }
        Ok(found)
    }

    /// Seconds of starts after `kill -9`.
    async fn kills(&self) -> Result<Vec<f64>, Failure> {
        let mut found = Vec::new();
        let (_, mut running) = self.start(false).await?;
        for _ in 0..STARTS {
            running.kill().await?;
            let (seconds, again) = self.start(false).await?;
            running = again;
            found.push(seconds);
        }
        stop(running).await?;
        Ok(found)
    }

    async fn digest(&self) -> Result<[u8; 32], Failure> {
        let store = self.open().await?;
        let digest = store.index_digest()?;
        store.stop().await?;
        Ok(digest)
    }

    /// Starts the gateway and waits for its first answer: seconds, and the process.
    async fn start(&self, cold: bool) -> Result<(f64, Child), Failure> {
        for file in segments(&self.data)?.iter().filter(|_| cold) {
            let file = std::fs::File::open(file)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        let log = self.data.with_extension("log");
        let errors = std::fs::File::create(&log)?;
        let began = Instant::now();
        let mut child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()?;
        let answered = timeout(WITHIN, first_answer(&mut child, &self.http, &self.url, &log))
            .await
            .map_err(|_| "it did not get ready")??;
        let seconds = began.elapsed().as_secs_f64();
        if answered != StatusCode::OK {
            return Err(format!("the first answer is {answered}").into());
        }
        // This stands from before the index is opened until it holds everything.
        if self.data.join("index.opening").exists() {
            return Err("it answered before its index held everything".into());
        }
        Ok((seconds, child))
    }
}

/// What one person's records grow by.
async fn live(store: Store, person: PersonId) -> Result<(), sekisho::store::StoreError> {
    world::record(&store, person, world::enrolled(person)).await?;
    let mut approved = world::approved(person, ConsentId::mint());
    if let Event::ConsentApproved(consent) = &mut approved {
        let now = store.clock().now()?.millis();
        (consent.terms.from_ms, consent.approved_ms) = (now, now);
        consent.terms.until_ms = now + 30 * world::DAY_MS;
    }
    world::record(&store, person, approved).await?;
    for _ in 0..(ENTRIES_EACH - 2) / 2 {
        let ruling = store.decide_and_record(&world::question(person), "vaccination-history", Cause::Gateway).await?;
        if let Ruling::Permitted(recorded) = ruling {
            let decision = Bytes16(*recorded.decision().bytes());
            let (outcome, digest) = (Outcome::Complete, Some(Bytes32([7; 32])));
            store.close(person, Closed { decision, outcome, items: 12, withheld: 3, bytes: 2_600, digest });
        }
    }
    Ok(())
}

fn segments(data: &Path) -> Result<Vec<PathBuf>, Failure> {
    let files = std::fs::read_dir(data.join("ledger"))?.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "seg")).collect())
}

fn median(name: &str, mut seconds: Vec<f64>, bar: f64) -> Result<Bar, Failure> {
    seconds.sort_by(f64::total_cmp);
    let all: Vec<String> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    println!("{name}: {} s", all.join(", "));
    let middle = *seconds.get(seconds.len() / 2).ok_or("no start was measured")?;
    Ok(Bar::at_most(name, middle, "s", bar))
}
