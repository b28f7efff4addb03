//! The `sekisho` command.

mod batch;
mod import;
mod keep;
mod package;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use http::Method;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::client::ask;
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::entry::Cause;
use crate::ledger::{proof, verify};
use crate::serve::Gateway;
use crate::store::{Options, Store, Workers};
use crate::{app, demo};

/// Exit code after a second signal, or one during the start.
const ENDED_AT_ONCE: i32 = 3;

/// Sekisho 関所: a consent gateway for health data
#[derive(Parser)]
#[command(name = "sekisho", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve {
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// Start everything on loopback, tell the story, stay up until Ctrl-C
    Demo {
        /// End after the story; the exit code tells the outcome
        #[arg(long)]
        once: bool,
        /// Directory for certificates and data (default: a new one in the system's temporary directory)
        #[arg(long)]
        directory: Option<PathBuf>,
    },
    /// Report every problem of a configuration at once, with file and line
    Check {
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// Explain a recorded decision, through the operators' socket of the running server
    Explain {
        /// The decision (ent-…)
        decision: String,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Verify the ledger, or prove an entry, independently of the code that writes it
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Rebuild the index from ledger and vault (the server must be stopped)
    Rebuild {
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// Have the running gateway write a backup, sealed under a key derived from the master key
    Backup {
        /// File to write; must not be there yet
        #[arg(long)]
        to: PathBuf,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Restore a backup into the configuration's data directory, which must not be there (the server must be stopped)
    Restore {
        /// The backup
        #[arg(long)]
        from: PathBuf,
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
        /// Newest checkpoint kept elsewhere; without it every party is suspended, since revocations may be missing
        #[arg(long)]
        checkpoint: Option<PathBuf>,
        /// Newest list of destroyed keys kept elsewhere (default: the backup's own)
        #[arg(long)]
        destroyed: Option<PathBuf>,
    },
    /// Prune decisions, outcomes and operators' looks older than `records_kept_years` (the server must be stopped)
    Prune {
        /// Configuration file
        #[arg(long)]
        config: PathBuf,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Who received what since an instant, as CSV, through the operators' socket of the running server
    Report {
        /// From when on, such as 2026-11-01T00:00:00+09:00
        #[arg(long)]
        since: String,
        /// Before when (default: now)
        #[arg(long)]
        until: Option<String>,
        /// Only what this party received
        #[arg(long)]
        party: Option<String>,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Bring in consents that a party kept in a table (CSV), through the operators' socket of the running server
    ImportConsents {
        /// The table, CSV in UTF-8 or Shift_JIS
        file: PathBuf,
        /// The municipality or clinic that attests them: its code
        #[arg(long)]
        party: String,
        /// Only check, and name every problem
        #[arg(long)]
        dry_run: bool,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Open a municipality's package, or make the key that packages are sealed to; without any network
    #[command(subcommand)]
    Package(package::PackageCommand),
    /// Ask a running gateway's management port how it is; exit code 0 when it says yes, 1 otherwise
    Healthcheck {
        /// What to ask, such as http://127.0.0.1:9090/health/ready
        #[arg(long)]
        url: String,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: ShellName,
    },
    /// Print the manual page
    Man,
    /// The nurses' week by hand: what would go, making it up, a package as a file
    #[command(subcommand)]
    Batch(batch::BatchCommand),
    /// An official's act over the operators' socket: path and JSON body, as in docs/operations.md
    Act {
        /// Path, such as /people
        path: String,
        /// JSON body, or - for standard input
        #[arg(default_value = "{}")]
        body: String,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
}

/// Shells that completions are written for.
#[derive(Clone, Copy, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// Check every entry, the tree, and a checkpoint
    Verify {
        /// Data directory
        #[arg(long)]
        data: PathBuf,
        /// Signed checkpoint to compare with, best one kept elsewhere (default: the one beside the ledger)
        #[arg(long)]
        checkpoint: Option<PathBuf>,
        /// Verifier key, best one kept elsewhere (default: the one beside the ledger)
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Print a proof that an entry is in the ledger under a checkpoint
    Prove {
        /// The entry (ent-…)
        entry: String,
        /// Data directory
        #[arg(long)]
        data: PathBuf,
    },
    /// Check a proof; needs nothing but the proof and the key
    CheckProof {
        /// File with the proof
        proof: PathBuf,
        /// Verifier key
        #[arg(long)]
        key: PathBuf,
    },
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say_error(&message);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command's failure")]
fn say_error(text: &str) {
    eprintln!("sekisho: {text}");
}

fn log_as_json() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call (the demo inside a test) leaves the first subscriber in place.
    let _ = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Serve { config } => {
            log_as_json();
            let config = read_config(&config)?;
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let workers = Arc::new(Workers::default());
            workers.watch(&mut runtime);
            let runtime = runtime.worker_threads(config.server.workers).enable_all().build();
            runtime.map_err(|e| e.to_string())?.block_on(serve(config, workers))
        }
        Command::Demo { once, directory } => block_on(async {
            let fresh = || std::env::temp_dir().join(format!("sekisho-demo-{}", std::process::id()));
            let made = directory.is_none();
            let directory = directory.unwrap_or_else(fresh);
            let told = demo::run(directory.clone(), once).await.map_err(|e| e.to_string());
            if made && once && told.is_ok() {
                let _ = std::fs::remove_dir_all(directory);
            }
            told
        }),
        Command::Check { config } => {
            let config = read_config(&config)?;
            say(&format!(
                "configuration is good: {} parties, {} purposes, {} categories, {} sources, {} routes",
                config.registry.parties.len(),
                config.registry.purposes.len(),
                config.registry.categories.len(),
                config.sources.len(),
                config.routes.len()
            ));
            Ok(())
        }
        Command::Explain { decision, socket } => {
            let path = format!("/decisions/{decision}");
            say_json(&block_on(async {
                ask(&socket, Method::GET, &path, &Value::Null).await.map_err(|e| e.to_string())
            })?);
            Ok(())
        }
        Command::Act { path, body, socket } => act(&path, &body, &socket),
        Command::Ledger(command) => ledger(command),
        Command::Rebuild { config } => rebuild(&config),
        Command::Prune { config, dry_run } => keep::prune(&read_config(&config)?, dry_run),
        Command::Backup { to, socket } => keep::backup(&to, &socket),
        Command::Restore { from, config, checkpoint, destroyed } => {
            keep::restore(&from, &read_config(&config)?, checkpoint.as_deref(), destroyed.as_deref())
        }
        Command::Report { since, until, party, socket } => keep::report(&since, until, party, &socket),
        Command::Batch(command) => batch::batch(command),
        Command::ImportConsents { file, party, dry_run, socket } => {
            import::consents(crate::import::Options { file, party, socket, dry_run })
        }
        Command::Package(command) => package::run(command),
        Command::Healthcheck { url } => {
            say(&block_on(async { crate::manage::client::check(&url).await.map_err(|e| e.to_string()) })?);
            Ok(())
        }
        Command::Completions { shell } => completions(shell),
        Command::Man => manual(),
    }
}

fn completions(shell: ShellName) -> Result<(), String> {
    use clap_complete::Shell;
    let shell = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sekisho", &mut text);
    write_out(&text)
}

/// One page: the command, then a section for each of its own commands.
fn manual() -> Result<(), String> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let own = clap_mangen::Man::new(command.clone());
    let rendered = own.render_title(&mut page).and_then(|()| own.render_name_section(&mut page));
    rendered.and_then(|()| own.render_description_section(&mut page)).map_err(|e| e.to_string())?;
    let mut text = String::from_utf8_lossy(&page).into_owned();
    for sub in command.get_subcommands() {
        section("SEKISHO", sub, &mut text)?;
    }
    write_out(text.as_bytes())
}

fn section(above: &str, command: &clap::Command, text: &mut String) -> Result<(), String> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let name = format!("{above} {}", command.get_name().to_uppercase());
    let (man, mut part) = (clap_mangen::Man::new(command.clone()), Vec::new());
    let rendered = man.render_synopsis_section(&mut part).and_then(|()| man.render_description_section(&mut part));
    rendered.and_then(|()| man.render_options_section(&mut part)).map_err(|e| e.to_string())?;
    text.push_str(&format!(".SH \"{name}\"\n"));
    text.push_str(&String::from_utf8_lossy(&part).replace(".SH ", ".SS "));
    command.get_subcommands().try_for_each(|sub| section(&name, sub, text))
}

/// Writes what may be read by a command that stops reading early.
fn write_out(text: &[u8]) -> Result<(), String> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(work)
}

fn say_json(value: &Value) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Reads a configuration, or says everything that is wrong with it.
fn read_config(file: &Path) -> Result<Config, String> {
    Config::read(file).map_err(|error| {
        let lines = error.problems.iter().map(|p| format!("\n{}:{}: {}", error.file.display(), p.line, p.message));
        format!("{error}{}", lines.collect::<String>())
    })
}

async fn serve(config: Config, workers: Arc<Workers>) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|e| e.to_string())?;
    // In a task of its own: a long start must not keep signals from being heard.
    let starting = tokio::spawn(Gateway::start(config, Clock::system()));
    let gateway = tokio::select! {
        started = starting => started.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?,
        () = signals.next() => {
            tracing::warn!("a signal during the start: ending at once; nothing is under way yet");
            std::process::exit(ENDED_AT_ONCE)
        }
    };
    gateway.app().store.paced_by(workers);
    tracing::info!(address = %gateway.address, "serving");
    signals.stop_or_reload(&gateway).await;
    let stopping = gateway.stop();
    tokio::select! {
        () = stopping => Ok(()),
        () = signals.next() => {
            tracing::warn!("a second signal: ending at once; the next start closes what was under way");
            // Not by returning: that would wait for what is under way. Everything acknowledged is on the disk.
            std::process::exit(ENDED_AT_ONCE)
        }
    }
}

/// SIGTERM and SIGINT, which stop; SIGHUP, which reloads.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads at every SIGHUP, until told to stop.
    async fn stop_or_reload(&mut self, gateway: &Gateway) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
            if let Err(error) = gateway.current.reload(Cause::Gateway).await {
                tracing::error!(%error, "the configuration was not reloaded");
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn act(path: &str, body: &str, socket: &Path) -> Result<(), String> {
    let text = if body == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(|e| e.to_string())?
    } else {
        body.to_owned()
    };
    let body: Value = serde_json::from_str(&text).map_err(|e| format!("the body is not JSON: {e}"))?;
    say_json(&block_on(async { ask(socket, Method::POST, path, &body).await.map_err(|e| e.to_string()) })?);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map(|t| t.trim().to_owned()).map_err(|e| format!("{}: {e}", path.display()))
}

fn ledger(command: LedgerCommand) -> Result<(), String> {
    match command {
        LedgerCommand::Verify { data, checkpoint, key } => {
            let signed = read(&checkpoint.unwrap_or_else(|| data.join("checkpoint")))?;
            let key = read_text(&key.unwrap_or_else(|| data.join("checkpoint.vkey")))?;
            let mut told = 0;
            let report = verify::verify(&data.join("ledger"), &key, &[&signed], &mut |progress| {
                if progress.entries >= told + 100_000 {
                    told = progress.entries;
                    say(&format!("{told} entries …"));
                }
            });
            let report = report.map_err(|e| e.to_string())?;
            let root = data_encoding::BASE64.encode(&report.root);
            let signed = report.signed.unwrap_or_default();
            say(&format!(
                "ledger is good: {} entries, {} of them sealed, root {root}; the checkpoint of its first {signed} agrees",
                report.entries, report.sealed
            ));
            if report.pruned > 0 {
                say(&format!(
                    "{} entries were pruned, their time being over, and the ledger tells of it: their hashes are in the \
                     tree, their ids and times can't be checked",
                    report.pruned
                ));
            }
            Ok(())
        }
        LedgerCommand::Prove { entry, data } => {
            let signed = read(&data.join("checkpoint"))?;
            let entry = crate::ids::TextId::parse(&entry).map_err(|_| "an entry's id looks like ent-…".to_owned())?;
            say(&proof::prove(&data.join("ledger"), entry, &signed).map_err(|e| e.to_string())?);
            Ok(())
        }
        LedgerCommand::CheckProof { proof, key } => {
            let proven = proof::check(&read_text(&proof)?, &read_text(&key)?).map_err(|e| e.to_string())?;
            say(&format!("the proof holds: entry {} of the {} that the checkpoint covers", proven.index, proven.size));
            Ok(())
        }
    }
}

/// What a command opens the stopped store with.
fn options(config: &Config) -> Result<Options, String> {
    Ok(Options {
        directory: config.server.data.clone(),
        origin: config.server.ledger.clone(),
        master_key: app::master_key(&config.server.master_key).map_err(|e| e.to_string())?,
        clock: Clock::system(),
    })
}

fn rebuild(config: &Path) -> Result<(), String> {
    let options = options(&read_config(config)?)?;
    block_on(async {
        Store::forget_index(&options.directory).map_err(|e| e.to_string())?;
        let store = Store::open(options).await.map_err(|e| e.to_string())?;
        let digest = store.index_digest().map_err(|e| e.to_string())?;
        store.stop().await.map_err(|e| e.to_string())?;
        say(&format!("index rebuilt; digest {}", data_encoding::HEXLOWER.encode(&digest)));
        Ok(())
    })
}
