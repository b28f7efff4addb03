//! The gateway as its operator runs it: `sekisho serve` as a process of its own, with cores, memory and descriptors of its
//! own, in a little world on loopback that lives on when it is killed.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho::clock::Clock;
use sekisho::demo::world::{World, WorldOptions};
use sekisho_adapters::people::Family;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything takes here; what takes longer has failed.
const WITHIN: Duration = Duration::from_secs(60);

/// A world in this directory, on the system's clock, for a gateway that opens its port itself.
pub async fn world(directory: &Path, families: Vec<Family>) -> World {
    let clock = Clock::system();
    let options = WorldOptions {
        directory: directory.to_owned(),
        now: Arc::new(move || clock.now().unwrap().millis()),
        families,
        listen: Some(([127, 0, 0, 1], free_port()).into()),
    };
    let mut world = World::make(options).await.unwrap();
    // The gateway's own process opens the port that the world has kept for it.
    world.listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world
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
    /// Starts this build of the command, under another program where `under` names one.
    pub fn start(program: &str, config: &Path, under: &[String]) -> Self {
        let serve = [program, "serve", "--config"].map(str::to_owned);
        let mut words = under.iter().cloned().chain(serve);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg(config)
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
        Self { child, log, state }
    }

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

    /// Its resident memory, in MiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_024
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, as an operator would, and waits: what it had logged.
    pub async fn stop(self) -> String {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}:\n{log}");
        log
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
pub fn free_port() -> u16 {
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
