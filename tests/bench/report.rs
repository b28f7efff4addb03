//! What is printed and written.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::Failure;
use crate::gateway::{ONE, TWO};
use crate::rounds::{PROXIES, Rounds, Run, is_quiet};

/// Sekisho's requests per second must be at least this share of nginx's.
const NGINX_MIN: f64 = 0.7;
/// Its 99th percentile of latency must be at most so many times nginx's.
const NGINX_P99_MAX: f64 = 1.5;
/// Its requests per second must be at least so many times Envoy's.
const ENVOY_MIN: f64 = 2.0;
/// Its processor time per request must be at most so many times the bare relay's.
const RELAY_CPU_MAX: f64 = 1.8;
/// With two workers, so many times that with one.
const TWO_CPU_MAX: f64 = 1.15;
/// If nginx's core was idle for longer, load or upstream were the limit: its figure would be too low.
const IDLE_MAX: f64 = 0.1;
/// Undisturbed rounds, at least.
const QUIET_MIN: usize = 5;

/// One figure against its bar.
#[derive(Serialize)]
pub struct Bar {
    /// What was measured.
    pub name: String,
    /// What was found.
    pub value: f64,
    /// In which unit.
    pub unit: &'static str,
    /// What it is held against.
    pub bar: f64,
    /// Whether the bar is the least (`min`) or the most (`max`) allowed; `stated` where there is none.
    pub direction: &'static str,
    /// Whether it holds.
    pub holds: bool,
}

impl Bar {
    /// A figure that must not be above its bar.
    pub fn at_most(name: &str, value: f64, unit: &'static str, bar: f64) -> Self {
        Self { name: name.to_owned(), value, unit, bar, direction: "max", holds: value <= bar }
    }

    /// A figure without a bar, stated for those who plan by it.
    pub fn stated(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit, bar: 0.0, direction: "stated", holds: true }
    }

    /// A figure that must not be below its bar.
    pub fn at_least(name: &str, value: f64, unit: &'static str, bar: f64) -> Self {
        Self { name: name.to_owned(), value, unit, bar, direction: "min", holds: value >= bar }
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, at) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((below + at) / 2.0)
}

/// A proxy's runs in the rounds that count.
fn of<'a>(measured: &'a Rounds, proxy: &str) -> Vec<&'a Run> {
    let quiet = measured.rounds.iter().filter(|runs| is_quiet(runs));
    quiet.flatten().filter(|run| run.proxy == proxy).collect()
}

/// A figure of one proxy by another's, round by round.
fn ratios(measured: &Rounds, ours: &str, theirs: &str, figure: Figure) -> Vec<f64> {
    let (ours, theirs) = (of(measured, ours), of(measured, theirs));
    ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)).collect()
}

/// Prints every run, then the medians.
pub fn rounds(measured: &Rounds) {
    println!("\nproxy     round  requests/s  p50 µs  p99 µs  CPU µs/request  core used    idle  body bytes");
    for (number, runs) in measured.rounds.iter().enumerate() {
        for run in runs {
            line(run.proxy, &(number + 1).to_string(), |figure| Some(figure(run)));
        }
    }
    for proxy in PROXIES {
        let runs = of(measured, proxy);
        if !runs.is_empty() {
            line(proxy, "median", |figure| median(runs.iter().map(|run| figure(run)).collect()));
        }
    }
    let disturbed = measured.rounds.iter().filter(|runs| !is_quiet(runs)).count();
    if disturbed > 0 {
        println!("{disturbed} rounds don't count, in medians and ratios: other programs used the proxies' core.");
    }
    for (name, all) in compared(measured).iter().map(|c| (c.name, &c.ratios)).filter(|(_, all)| !all.is_empty()) {
        let all: Vec<String> = all.iter().map(|ratio| format!("{ratio:.3}")).collect();
        println!("{name}, round by round: {}", all.join(" "));
    }
    for run in measured.rounds.last().into_iter().flatten() {
        println!("{}: {}", run.proxy, run.load.tls);
    }
    println!("records on {}; {}", measured.file_system, measured.others.join(", "));
}

type Figure = fn(&Run) -> f64;

fn line(proxy: &str, round: &str, take: impl Fn(Figure) -> Option<f64>) {
    let figures: [Figure; 7] = [
        |r| r.per_second,
        |r| r.load.p50_us,
        |r| r.load.p99_us,
        |r| r.cpu_us,
        |r| r.core_share * 100.0,
        |r| r.idle_share * 100.0,
        |r| r.load.body_bytes,
    ];
    let [rate, p50, p99, cpu, core, idle, bytes] = figures.map(|figure| take(figure).unwrap_or(f64::NAN));
    println!(
        "{proxy:<9} {round:>5}  {rate:>10.0}  {p50:>6.0}  {p99:>6.0}  {cpu:>14.1}  {core:>7.0} %  {idle:>4.0} %  {bytes:>10.0}"
    );
}

/// One comparison, with its bar.
struct Compared {
    name: &'static str,
    ratios: Vec<f64>,
    bar: fn(&str, f64) -> Bar,
}

fn compared(measured: &Rounds) -> Vec<Compared> {
    let ratios = |ours: &str, theirs: &str, figure: Figure| ratios(measured, ours, theirs, figure);
    vec![
        Compared {
            name: "requests/s, Sekisho by nginx",
            ratios: ratios(ONE.name, "nginx", |r| r.per_second),
            bar: |name, found| Bar::at_least(name, found, "ratio", NGINX_MIN),
        },
        Compared {
            name: "p99 of latency, Sekisho by nginx",
            ratios: ratios(ONE.name, "nginx", |r| r.load.p99_us),
            bar: |name, found| Bar::at_most(name, found, "ratio", NGINX_P99_MAX),
        },
        Compared {
            name: "requests/s, Sekisho by Envoy",
            ratios: ratios(ONE.name, "envoy", |r| r.per_second),
            bar: |name, found| Bar::at_least(name, found, "ratio", ENVOY_MIN),
        },
        Compared {
            name: "CPU per request, Sekisho by bare relay",
            ratios: ratios(ONE.name, "relay", |r| r.cpu_us),
            bar: |name, found| Bar::at_most(name, found, "ratio", RELAY_CPU_MAX),
        },
        Compared {
            name: "CPU per request, two workers by one",
            ratios: ratios(TWO.name, ONE.name, |r| r.cpu_us),
            bar: |name, found| Bar::at_most(name, found, "ratio", TWO_CPU_MAX),
        },
    ]
}

/// The bars of those proxies that were measured.
pub fn bars(measured: &Rounds) -> Result<Vec<Bar>, Failure> {
    let quiet = measured.rounds.iter().filter(|runs| is_quiet(runs)).count();
    if quiet < QUIET_MIN {
        let rounds = measured.rounds.len();
        return Err(format!(
            "the proxies had their core to themselves in {quiet} of {rounds} rounds, and {QUIET_MIN} are needed: the figures \
             would say nothing. Run it again when nothing else runs"
        )
        .into());
    }
    let mut all = Vec::new();
    for Compared { name, ratios, bar } in compared(measured) {
        if let Some(ratio) = median(ratios) {
            all.push(bar(name, ratio));
        }
    }
    if let Some(idle) = median(of(measured, "nginx").iter().map(|run| run.idle_share).collect()) {
        all.push(Bar::at_most("idle share of nginx's core", idle, "ratio", IDLE_MAX));
    }
    Ok(all)
}

/// Prints the bars.
pub fn table(bars: &[Bar]) {
    println!("\n{:<52} {:>10} {:<6} {:>9}  holds", "figure (median)", "value", "unit", "bar");
    for bar in bars {
        if bar.direction == "stated" {
            println!("{:<52} {:>10.3} {:<6}    stated", bar.name, bar.value, bar.unit);
            continue;
        }
        let sign = if bar.direction == "min" { "≥" } else { "≤" };
        let holds = if bar.holds { "yes" } else { "NO" };
        println!("{:<52} {:>10.3} {:<6} {sign} {:>7.3}  {holds}", bar.name, bar.value, bar.unit, bar.bar);
    }
    let failed: Vec<&str> = bars.iter().filter(|bar| !bar.holds).map(|bar| bar.name.as_str()).collect();
    if !failed.is_empty() {
        println!("\nbars that do not hold: {}", failed.join("; "));
    }
}

/// Writes `summary.json` (what has a bar) and `rounds.json` (every run).
pub fn write(target: &Path, bars: &[Bar], measured: &Rounds) -> Result<(), Failure> {
    let folder = target.join("bench");
    std::fs::write(folder.join("summary.json"), serde_json::to_string_pretty(bars)?)?;
    std::fs::write(folder.join("rounds.json"), serde_json::to_string_pretty(&json!(measured))?)?;
    println!("\nwritten: {}", folder.join("summary.json").display());
    Ok(())
}
