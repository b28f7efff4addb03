//! The gateway as its operator runs it: `sekisho serve` as a process of its own, in a little world on loopback that lives on
//! when it is killed.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho::clock::Clock;
use sekisho::demo::world::{World, WorldOptions};
use sekisho_adapters::people::{Family, People};
use sekisho_tests::town::today;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// The very `main.rs` of the `sekisho` command, built with the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sekisho_under_test");
/// Longer than anything takes here; what takes longer has failed.
const WITHIN: Duration = Duration::from_secs(60);
/// Families whose children the load is about.
const FAMILIES: usize = 4;

/// Everything around the gateway, and where its files lie.
pub struct Place {
    pub world: World,
    pub families: Vec<Family>,
    /// The gateway's data directory.
    pub data: PathBuf,
    pub directory: tempfile::TempDir,
}

impl Place {
    /// A world whose gateway keeps its data in `data`, or beside its configuration.
    pub async fn make(data: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let families: Vec<Family> = People::new(11, today()).families().take(FAMILIES).collect();
        let options = WorldOptions {
            directory: directory.path().to_owned(),
            now: Arc::new(move || clock.now().unwrap().millis()),
            families: families.clone(),
            listen: Some(([127, 0, 0, 1], free_port()).into()),
        };
        let mut world = World::make(options).await.unwrap();
        // The gateway's own process opens the port that the world has kept for it.
        world.listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let data = data.map_or_else(|| directory.path().join("data"), Path::to_owned);
        let text = std::fs::read_to_string(&world.config).unwrap();
        let bent = text.replace("data = \"data\"", &format!("data = \"{}\"", data.display()));
        // The load asks again and again about what was just revoked; how often one may is not what is tried here.
        let bent = bent.replace("[server]\n", "[server]\ndenials_per_second_max = 1000000\n");
        assert_ne!(text, bent);
        std::fs::write(&world.config, bent).unwrap();
        Self { world, families, data, directory }
    }

    /// Starts the gateway, under another program where `under` names one.
    pub fn start(&self, under: &[String]) -> Running {
        let serve = [PROGRAM, "serve", "--config"].map(str::to_owned);
        let mut words = under.iter().cloned().chain(serve);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg(&self.world.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{under:?}: {error}"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (tell, state) = watch::channel(State::Starting);
        let to = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let serving = line.contains("\"message\":\"serving\"");
                to.lock().unwrap().push_str(&format!("{line}\n"));
                if serving {
                    tell.send_replace(State::Serving);
                }
            }
            tell.send_replace(State::Ended);
        });
        Running { child, log, state }
    }

    /// Starts it and waits until it serves; what it says instead is shown.
    pub async fn serving(&self) -> Running {
        let mut running = self.start(&[]);
        assert!(running.serves().await, "the gateway does not start:\n{}", running.log());
        running
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    Ended,
}

/// A gateway's process.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    state: watch::Receiver<State>,
}

impl Running {
    /// Waits until it says that it serves; `false` when it ends instead.
    pub async fn serves(&mut self) -> bool {
        let told = timeout(WITHIN, self.state.wait_for(|state| *state != State::Starting)).await;
        let serves = told.map(|state| *state.unwrap() == State::Serving);
        serves.unwrap_or_else(|_| panic!("neither up nor down:\n{}", self.log()))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, as an operator would, and waits.
    pub async fn stop(self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}:\n{log}");
    }

    /// Waits until it has ended by itself: how, and what it had logged.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let Ok(status) = timeout(WITHIN, self.child.wait()).await else { panic!("it goes on:\n{}", self.log()) };
        let _ = timeout(WITHIN, self.state.wait_for(|state| *state == State::Ended)).await;
        (status.unwrap(), self.log())
    }
}

/// A port that is free and stays so while the gateway is down: the system gives none of these to anybody who does not ask
/// for it by number.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768u16);
    let first = 10_000u16.min(end - 1);
    let places = u32::from(end - first);
    for _ in 0..places {
        let number = std::process::id().wrapping_mul(97) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = first + (number % places) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port below {end} is free");
}
