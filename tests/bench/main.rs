//! The enforced-proxy benchmark: Sekisho against nginx with `auth_request`, on the same upstream, load and core.
//!
//! One program in four roles, each a process of its own: the driver (no argument), the upstream, nginx's no-op and the
//! load generator. What is measured and how it is kept honest: `docs/performance.md`.

mod child;
mod decision;
mod gateway;
mod load;
mod nginx;
mod report;
mod restart;
mod rounds;
mod serve;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Anything that ends the run: the bench never goes on with half a result.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sekisho against nginx with auth_request, interleaved, each on one core.
#[derive(Parser)]
struct Options {
    /// Rounds; each measures both proxies.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds measured of each proxy in a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds of load before measuring starts.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Measure only nginx, or only Sekisho: for profiling. Judges nothing and writes no summary.
    #[arg(long, value_parser = ["nginx", "sekisho"])]
    only: Option<String>,
    /// Leave out the decision's own benchmark (as with --only, no summary is written then).
    #[arg(long)]
    no_decision: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Only the restart: how long until the first answer with so many entries in the ledger.
    Restart {
        /// Entries; the bars are about the default.
        #[arg(long, default_value_t = restart::ENTRIES)]
        entries: u64,
    },
    /// The upstream of both proxies.
    #[command(hide = true)]
    Upstream { work: PathBuf },
    /// What nginx's auth_request asks.
    #[command(hide = true)]
    NoOp,
    /// The load generator.
    #[command(hide = true)]
    Load { work: PathBuf },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match &options.role {
            Some(Role::Restart { entries }) => restart_only(*entries).await,
            Some(Role::Upstream { work }) => serve::upstream(work).await.map(|()| true),
            Some(Role::NoOp) => serve::no_op().await.map(|()| true),
            Some(Role::Load { work }) => load::run(work).await.map(|()| true),
            None => drive(&options).await,
        }
    });
    // A role's blocking read of its standard input must not keep it alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn restart_only(entries: u64) -> Result<bool, Failure> {
    let bars = restart::measure(&world::target_directory()?, entries).await?;
    report::table(&bars);
    Ok(bars.iter().all(|bar| bar.holds))
}

/// Measures and reports; `false` when a bar doesn't hold.
async fn drive(options: &Options) -> Result<bool, Failure> {
    let target = world::target_directory()?;
    let whole = options.only.is_none() && !options.no_decision;
    if whole {
        // What an earlier run found must not be taken for this one's.
        let _ = std::fs::remove_file(target.join("bench/summary.json"));
    }
    let wants = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    rounds::check_machine(wants("nginx"))?;
    let mut apart = if whole { decision::measure(&target).await? } else { Vec::new() };
    if whole {
        apart.extend(restart::measure(&target, restart::ENTRIES).await?);
    }
    let plan = rounds::Plan {
        rounds: options.rounds.max(1),
        measured: Duration::from_secs(options.seconds.max(1)),
        warm_up: Duration::from_secs(options.warm_up.max(1)),
        nginx: wants("nginx"),
        sekisho: wants("sekisho"),
    };
    let measured = rounds::measure(&target, &plan).await?;
    report::rounds(&measured);
    if !whole {
        return Ok(true);
    }
    let bars = report::bars(&apart, &measured)?;
    report::table(&bars);
    report::write(&target, &bars, &measured)?;
    Ok(bars.iter().all(|bar| bar.holds))
}
