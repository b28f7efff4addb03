//! `sekisho serve` as a process between the little world of the demo, for what is measured apart from the proxies.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use sekisho::clock::Clock;
use sekisho::demo::world::{World, WorldOptions};
use sekisho::ids::TextId;
use sekisho::ledger::entry::Bytes16;
use sekisho::ledger::event::{Event, LinkTarget, Linked};
use sekisho::store::conformance::world;
use sekisho::store::{Options, Store, StoreError};
use sekisho_adapters::certs::{ALPN_H1, client_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::people::Family;
use sekisho_policy::PersonId;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::world::now_ms;

/// A start or stop that takes longer has failed.
const WITHIN: Duration = Duration::from_secs(600);
/// What is written at a time, sharing one sync.
const AT_ONCE: usize = 256;

/// The world, and what it takes to start a gateway in it.
pub struct Bench {
    /// What is around the gateway.
    pub around: World,
    /// The gateway's records.
    pub data: PathBuf,
    program: PathBuf,
    http: HttpClient,
    master_key: [u8; 32],
}

/// The directory of a bench; removed at the end.
pub struct Work(pub PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The gateway's program, built for release.
pub fn program(target: &Path) -> Result<PathBuf, Failure> {
    let program = target.join("release/sekisho");
    if program.is_file() {
        Ok(program)
    } else {
        Err("target/release/sekisho is missing: cargo build --release -p sekisho".into())
    }
}

impl Bench {
    /// A world in `work`, its configuration bent.
    pub async fn make(
        target: &Path,
        work: &Work,
        families: Vec<Family>,
        bend: impl FnOnce(String) -> String,
    ) -> Result<Self, Failure> {
        let options = WorldOptions { directory: work.0.clone(), now: Arc::new(now_ms), families, listen: None };
        let mut around = World::make(options).await?;
        // The gateway, a process of its own, opens the port that was kept for it.
        around.listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let text = bend(std::fs::read_to_string(&around.config)?);
        std::fs::write(&around.config, text)?;
        let limits = Limits { connect_ms: 60_000, total_ms: 60_000, body_bytes_max: 1 << 20 };
        Ok(Self {
            data: work.0.join("data"),
            program: program(target)?,
            http: HttpClient::new(client_config(around.ca.roots()?, None, ALPN_H1)?, limits),
            master_key: sekisho::app::master_key(&work.0.join("master.key"))?,
            around,
        })
    }

    /// The gateway's store, while it does not run.
    pub async fn open(&self) -> Result<Store, Failure> {
        let options = Options {
            directory: self.data.clone(),
            origin: "demo.invalid/sekisho".to_owned(),
            master_key: self.master_key,
            clock: Clock::system(),
        };
        Ok(Store::open(options).await?)
    }

    /// The key that the gateway's store is under.
    pub const fn master_key(&self) -> [u8; 32] {
        self.master_key
    }

    /// Starts the gateway and waits for its first answer.
    pub async fn start(&self) -> Result<Child, Failure> {
        let log = self.data.with_extension("log");
        let mut child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(&self.around.config)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let answered = timeout(WITHIN, first_answer(&mut child, &self.http, &self.around.url, &log));
        match answered.await.map_err(|_| "it did not get ready")?? {
            StatusCode::OK => Ok(child),
            other => Err(format!("the first answer is {other}").into()),
        }
    }
}

/// Waits for the first answer of a gateway that was just started.
pub async fn first_answer(child: &mut Child, http: &HttpClient, url: &str, log: &Path) -> Result<StatusCode, Failure> {
    loop {
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("the gateway ended: {status}\n{log}").into());
        }
        let request = Request::builder().method(Method::GET).uri(format!("{url}/.well-known/jwks.json"));
        // Refused until the port is open; from then on it waits for the answer.
        match http.send(request.body(Bytes::new())?).await {
            Ok(answer) => return Ok(answer.status),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// Stops a gateway cleanly.
pub async fn stop(mut child: Child) -> Result<(), Failure> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.ok_or("the gateway has ended")?, rustix::process::Signal::TERM)?;
    let status = timeout(WITHIN, child.wait()).await.map_err(|_| "it did not stop")??;
    if status.success() { Ok(()) } else { Err(format!("it did not stop cleanly: {status}").into()) }
}

/// Memory of a process in bytes, by a line of /proc/PID/status such as `VmRSS`.
pub fn memory(pid: u32, line: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    Ok(found.ok_or("no such line in /proc/PID/status")?.trim().parse::<u64>()? << 10)
}

/// Writes events about each person, in order; people side by side, so that they share syncs.
pub async fn write(store: &Store, people: Vec<(PersonId, Vec<Event>)>) -> Result<(), Failure> {
    store.make_keys(people.iter().map(|(person, _)| *person).collect()).await?;
    let total = people.len();
    let mut tasks = tokio::task::JoinSet::new();
    for (done, (person, events)) in people.into_iter().enumerate() {
        let store = store.clone();
        tasks.spawn(async move {
            for event in events {
                world::record(&store, person, event).await?;
            }
            Ok::<_, StoreError>(())
        });
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.ok_or("no task")???;
        }
        if total >= 10_000 && done % (total / 5) == 0 {
            println!("  writing the records of {total} people: {} %", done * 100 / total);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// A person's link to a login or to an id at a source.
pub fn linked(person: PersonId, to: LinkTarget) -> Event {
    let link = Bytes16(sekisho::ids::random());
    let person = Bytes16(*person.bytes());
    Event::Linked(Linked { link, person, to, evidence: "bench".to_owned(), verified_by: "bench".to_owned() })
}

/// What they say of themselves at the issuer.
pub fn login(person: PersonId) -> String {
    format!("login-{}", person.text())
}
