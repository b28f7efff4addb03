//! The benchmark: Sekisho against other proxies on the same upstream, load and core; and what is measured apart from them.
//!
//! One program in several roles, each a process of its own: the driver, the upstream, the no-op, the relay, the load
//! generator, a store. What is measured and how it is kept honest: `docs/performance.md`.

mod bundle;
mod child;
mod decision;
mod envoy;
mod forwards;
mod gateway;
mod import;
mod load;
mod nginx;
mod pages;
mod portal;
mod relay;
mod report;
mod restart;
mod rounds;
mod serve;
mod served;
mod subjects;
mod summary;
mod week;
mod world;
mod writes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use report::Bar;
use rounds::Rounds;

/// Anything that ends the run: the bench never goes on with half a result.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The gateway runs with this allocator, and so does what it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures everything and holds it against its bars; with a command, only that.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    rounds: RoundsOptions,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Args)]
struct RoundsOptions {
    /// Rounds; each measures all proxies.
    #[arg(long, global = true, default_value_t = 7)]
    rounds: usize,
    /// Seconds measured of each proxy in a round.
    #[arg(long, global = true, default_value_t = 4)]
    seconds: u64,
    /// Seconds of load before measuring starts.
    #[arg(long, global = true, default_value_t = 1)]
    warm_up: u64,
    /// Only these proxies, by comma; one alone is not judged: for profiling.
    #[arg(long, global = true, value_delimiter = ',', value_parser = rounds::PROXIES, default_values = rounds::PROXIES)]
    only: Vec<String>,
}

#[derive(Subcommand)]
enum Role {
    /// Only the decision by itself.
    Decision,
    /// Only the proxies in interleaved rounds.
    Proxies,
    /// Only the restart: how long until the first answer with so many entries in the ledger.
    Restart {
        /// Entries; the bars are about the default.
        #[arg(long, default_value_t = restart::ENTRIES)]
        entries: u64,
    },
    /// Only narrowing a Bundle of 1 MB.
    Bundle,
    /// Only decisions among many people's consents.
    Subjects {
        /// People; the bars are about the default.
        #[arg(long, default_value_t = subjects::MANY)]
        people: usize,
    },
    /// Only consent writes.
    Writes,
    /// Only the My Portal relay.
    Portal,
    /// Only deliveries to a clinic, with kills.
    Forwards {
        /// How many.
        #[arg(long, default_value_t = forwards::DELIVERIES)]
        deliveries: usize,
    },
    /// Only a clinic's summary from three sources.
    Summary,
    /// Only a table of consents that comes in.
    Import {
        /// Rows; the bars are about the default.
        #[arg(long, default_value_t = import::ROWS)]
        rows: usize,
    },
    /// Only citizens' pages, while the log of others grows.
    Pages {
        /// Entries of others; the bars are about the default.
        #[arg(long, default_value_t = pages::OTHERS)]
        others: u64,
    },
    /// Only the nurses' week: collected, made up, pulled, confirmed.
    Week {
        /// Records; the bars are about the default.
        #[arg(long, default_value_t = week::RECORDS)]
        records: u64,
    },
    /// The upstream of all proxies.
    #[command(hide = true)]
    Upstream { work: PathBuf },
    /// What nginx's auth_request and Envoy's ext_authz ask.
    #[command(hide = true)]
    NoOp,
    /// A relay that enforces nothing.
    #[command(hide = true)]
    Relay { work: PathBuf, upstream: u16 },
    /// A store that decides.
    #[command(hide = true)]
    Store { directory: PathBuf },
    /// The load generator.
    #[command(hide = true)]
    Load { work: PathBuf },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match &options.role {
        Some(Role::Relay { .. }) => relay::runtime(),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match &options.role {
            Some(Role::Upstream { work }) => serve::upstream(work).await.map(|()| true),
            Some(Role::NoOp) => serve::no_op().await.map(|()| true),
            Some(Role::Relay { work, upstream }) => relay::run(work, *upstream).await.map(|()| true),
            Some(Role::Store { directory }) => subjects::run(directory).await.map(|()| true),
            Some(Role::Load { work }) => load::run(work).await.map(|()| true),
            Some(one) => only(one, &options.rounds).await,
            None => all(&options.rounds).await,
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

/// Measures one thing and reports; `false` when a bar doesn't hold.
async fn only(what: &Role, options: &RoundsOptions) -> Result<bool, Failure> {
    let target = world::target_directory()?;
    let bars = match what {
        Role::Decision => decision::measure(&target).await?,
        Role::Restart { entries } => restart::measure(&target, *entries).await?,
        Role::Bundle => bundle::measure()?,
        Role::Subjects { people } => subjects::measure(&target, *people).await?,
        Role::Writes => writes::measure(&target).await?,
        Role::Portal => portal::measure(&target).await?,
        Role::Forwards { deliveries } => forwards::measure(&target, *deliveries).await?,
        Role::Summary => summary::measure(&target).await?,
        Role::Import { rows } => import::measure(&target, *rows).await?,
        Role::Week { records } => week::measure(&target, *records).await?,
        Role::Pages { others } => pages::measure(&target, *others).await?,
        _ => proxies(&target, options).await?.0,
    };
    report::table(&bars);
    Ok(bars.iter().all(|bar| bar.holds))
}

/// Measures everything and reports; `false` when a bar doesn't hold.
async fn all(options: &RoundsOptions) -> Result<bool, Failure> {
    let target = world::target_directory()?;
    // What an earlier run found must not be taken for this one's.
    let _ = std::fs::remove_file(target.join("bench/summary.json"));
    rounds::check_machine(&target, &options.only)?;
    let mut bars = decision::measure(&target).await?;
    bars.extend(bundle::measure()?);
    let (compared, measured) = proxies(&target, options).await?;
    bars.extend(compared);
    bars.extend(writes::measure(&target).await?);
    bars.extend(portal::measure(&target).await?);
    bars.extend(summary::measure(&target).await?);
    bars.extend(forwards::measure(&target, forwards::DELIVERIES).await?);
    bars.extend(subjects::measure(&target, subjects::MANY).await?);
    bars.extend(restart::measure(&target, restart::ENTRIES).await?);
    bars.extend(pages::measure(&target, pages::OTHERS).await?);
    bars.extend(import::measure(&target, import::ROWS).await?);
    bars.extend(week::measure(&target, week::RECORDS).await?);
    report::table(&bars);
    report::write(&target, &bars, &measured)?;
    Ok(bars.iter().all(|bar| bar.holds))
}

/// The proxies in interleaved rounds.
async fn proxies(target: &Path, options: &RoundsOptions) -> Result<(Vec<Bar>, Rounds), Failure> {
    rounds::check_machine(target, &options.only)?;
    let plan = rounds::Plan {
        rounds: options.rounds.max(1),
        measured: Duration::from_secs(options.seconds.max(1)),
        warm_up: Duration::from_secs(options.warm_up.max(1)),
        proxies: options.only.clone(),
    };
    let measured = rounds::measure(target, &plan).await?;
    report::rounds(&measured);
    // One by itself is compared with nothing.
    let bars = if plan.proxies.len() > 1 { report::bars(&measured)? } else { Vec::new() };
    Ok((bars, measured))
}
