//! The command as a supervisor runs it: started, asked how it is, told to stop once and twice.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use sekisho::clock::Clock;
use sekisho::demo::world::{World, WorldOptions};
use serde_json::Value;
use tempfile::TempDir;

fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `sekisho serve`, serving; killed at the end of the test, whatever comes.
struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    public: String,
    ready: String,
    /// An issuer must be there for it to be ready.
    world: World,
    _directory: TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    async fn start(server: &str) -> Self {
        Self::start_on(server, async |_: &World| {}).await
    }

    /// Like [`Serving::start`], on what is prepared first.
    async fn start_on(server: &str, prepare: impl AsyncFnOnce(&World)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now: sekisho_adapters::NowMs = Arc::new(|| Clock::system().now().unwrap().millis());
        let options = WorldOptions { directory: directory.path().to_owned(), now, families: vec![], listen: None };
        let world = World::make(options).await.unwrap();
        let config = std::fs::read_to_string(&world.config).unwrap();
        let port = format!("listen = \"{}\"", world.listener.local_addr().unwrap());
        // The port of the world is the world's; this one is found in the log.
        let ours = format!("listen = \"127.0.0.1:0\"\nmanagement = \"127.0.0.1:0\"\n{server}");
        assert!(config.contains(&port));
        std::fs::write(&world.config, config.replace(&port, &ours)).unwrap();
        prepare(&world).await;
        let mut serve = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        serve.arg("serve").arg("--config").arg(&world.config).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (public, ready) = (String::new(), String::new());
        let mut serving = Self { child, log, public, ready, world, _directory: directory };
        let management = serving.said("management port open");
        serving.ready = format!("http://{management}/health/ready");
        serving.public = serving.said("serving");
        serving
    }

    /// Reads the log up to this message; gives the address that came with it.
    fn said(&mut self, message: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            let fields = serde_json::from_str::<Value>(&line).unwrap()["fields"].take();
            if fields["message"] == message {
                return fields["address"].as_str().unwrap_or_default().to_owned();
            }
            line.clear();
        }
        panic!("the log ended without `{message}`");
    }

    /// Asks until it says yes or no; gives what was printed.
    fn until(&self, ok: bool) -> String {
        let patience = Instant::now();
        loop {
            let asked = sekisho(&["healthcheck", "--url", &self.ready]);
            if asked.status.success() == ok {
                return text(&asked.stdout) + &text(&asked.stderr);
            }
            assert!(patience.elapsed().as_secs() < 20, "{asked:?}");
        }
    }

    /// A connection that never says anything, and is known to the server.
    fn silent_connection(&self) -> TcpStream {
        let tcp = TcpStream::connect(&self.public).unwrap();
        let management = self.ready.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let patience = Instant::now();
        loop {
            let mut asking = TcpStream::connect(&management).unwrap();
            std::io::Write::write_all(&mut asking, b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n").unwrap();
            if std::io::read_to_string(asking).unwrap().contains("\nsekisho_connections 1\n") {
                return tcp;
            }
            assert!(patience.elapsed().as_secs() < 20, "the connection is not taken");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_is_under_way_and_a_second_signal_does_not() {
    let mut serving = Serving::start("drain_s = 3600\n").await;
    let said = serving.until(true);
    assert!(said.contains("says yes:") && said.contains("\n  disk: "), "{said}");
    // It has not said who it is yet: it counts as under way.
    let _held = serving.silent_connection();
    serving.signal(Signal::TERM);
    let said = serving.until(false);
    assert!(said.contains("says no:\n  serving: It is stopping"), "{said}");
    serving.signal(Signal::INT);
    assert_eq!(serving.child.wait().unwrap().code(), Some(3));
    let asked = sekisho(&["healthcheck", "--url", &serving.ready]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("is the gateway running"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_restored_and_reported_from_by_commands() {
    let mut serving = Serving::start("").await;
    serving.until(true);
    let directory = serving.world.directory.clone();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (socket, config, backup) = (path("operators.sock"), path("sekisho.toml"), path("backup"));
    let made = sekisho(&["backup", "--to", &backup, "--socket", &socket]);
    assert!(made.status.success() && text(&made.stdout).contains("Keep it apart from the master key"), "{made:?}");
    let report = sekisho(&["report", "--since", "2026-01-01T00:00:00Z", "--socket", &socket]);
    assert!(report.status.success() && text(&report.stdout).starts_with("decision,at,route,subject,recipient,"));
    let report = sekisho(&["report", "--since", "yesterday", "--socket", &socket]);
    assert!(!report.status.success() && text(&report.stderr).contains("`since` must be an instant"), "{report:?}");
    let restore = || sekisho(&["restore", "--from", &backup, "--config", &config]);
    assert!(text(&restore().stderr).contains("is there already"));
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    std::fs::rename(directory.join("data"), directory.join("away")).unwrap();
    let restored = restore();
    let told = text(&restored.stdout);
    assert!(restored.status.success() && told.contains("verified") && told.contains("reinstate"), "{restored:?}");
    let verified = sekisho(&["ledger", "verify", "--data", &path("data")]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_pruned_by_command_and_the_rest_serves_is_backed_up_and_restored() {
    let mut kept = Vec::new();
    let mut serving = Serving::start_on("", async |world: &World| {
        let config = sekisho::config::Config::read(&world.config).unwrap();
        kept = crate::aged::aged(&config).await;
        let file = world.config.to_str().unwrap();
        let would = sekisho(&["prune", "--config", file, "--dry-run"]);
        assert!(would.status.success() && text(&would.stdout).contains("would be pruned"), "{would:?}");
        let done = sekisho(&["prune", "--config", file]);
        let said = text(&done.stdout);
        assert!(
            done.status.success() && said.contains("segment 0 pruned …") && said.contains("were pruned"),
            "{done:?}"
        );
        let again = sekisho(&["prune", "--config", file]);
        assert!(text(&again.stdout).starts_with("nothing to prune"), "{again:?}");
    })
    .await;
    serving.until(true);
    let directory = serving.world.directory.clone();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (socket, config, backup) = (path("operators.sock"), path("sekisho.toml"), path("backup"));
    std::fs::write(path("kept"), kept).unwrap();
    let in_use = sekisho(&["prune", "--config", &config]);
    assert!(!in_use.status.success() && text(&in_use.stderr).contains("in use by another process"), "{in_use:?}");
    let report = sekisho(&["report", "--since", "2000-01-01T00:00:00Z", "--socket", &socket]);
    let lines = text(&report.stdout).lines().count();
    assert!(report.status.success() && lines == 2, "the decision of today: {report:?}");
    assert!(text(&report.stderr).contains("were pruned when their time was over"), "{report:?}");
    assert!(sekisho(&["backup", "--to", &backup, "--socket", &socket]).status.success());
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    std::fs::rename(directory.join("data"), directory.join("away")).unwrap();
    let restored = sekisho(&["restore", "--from", &backup, "--config", &config, "--checkpoint", &path("kept")]);
    assert!(restored.status.success(), "{restored:?}");
    // Under a checkpoint from before the pruning.
    let verified = sekisho(&["ledger", "verify", "--data", &path("data"), "--checkpoint", &path("kept")]);
    let said = text(&verified.stdout);
    assert!(verified.status.success() && said.contains("4 entries were pruned"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reloads_and_a_wrong_file_changes_nothing() {
    let mut serving = Serving::start("").await;
    let config = serving.world.config.clone();
    let right = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, "[server\n").unwrap();
    serving.signal(Signal::HUP);
    serving.said("the configuration was not reloaded");
    assert!(serving.until(true).contains("says yes:"));
    std::fs::write(&config, right).unwrap();
    serving.signal(Signal::HUP);
    serving.said("configuration reloaded");
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_no_longer_than_it_may() {
    let mut serving = Serving::start("drain_s = 0\n").await;
    let _held = serving.silent_connection();
    serving.signal(Signal::INT);
    serving.said("connections that did not finish in time were closed");
    serving.said("stopped");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_check_of_something_else_fails() {
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/health/ready", other.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut tcp, _) = other.accept().unwrap();
        let mut head = [0; 1024];
        assert!(std::io::Read::read(&mut tcp, &mut head).unwrap() > 0);
        std::io::Write::write_all(&mut tcp, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    });
    let asked = sekisho(&["healthcheck", "--url", &url]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("no answer about health"), "{asked:?}");
    answering.join().unwrap();
    for url in ["https://127.0.0.1:1/health/ready", "127.0.0.1:1", ""] {
        assert_eq!(sekisho(&["healthcheck", "--url", url]).status.code(), Some(1), "{url}");
    }
}

#[test]
fn completions_and_the_manual_page_name_every_command() {
    let commands = [
        "serve",
        "demo",
        "check",
        "explain",
        "ledger",
        "rebuild",
        "act",
        "healthcheck",
        "completions",
        "man",
        "backup",
        "restore",
        "report",
        "prune",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let made = sekisho(&["completions", shell]);
        let made = text(&made.stdout);
        assert!(commands.iter().all(|command| made.contains(command)), "{shell}");
    }
    let page = sekisho(&["man"]);
    let page = text(&page.stdout);
    assert!(page.contains(".TH sekisho 1"), "{page}");
    for command in commands.into_iter().chain(["ledger check-proof"]) {
        assert!(page.contains(&format!(".SH \"SEKISHO {}\"", command.to_uppercase())), "{command} in\n{page}");
    }
    assert!(page.contains("\\-\\-url"), "{page}");
}
