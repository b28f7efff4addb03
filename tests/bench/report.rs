//! What is printed and written.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::Failure;
use crate::rounds::{Rounds, Run, is_quiet};

/// Sekisho's requests per second must be at least this share of nginx's.
const RATIO_MIN: f64 = 0.4;
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
    /// Whether the bar is the least (`min`) or the most (`max`) allowed.
    pub direction: &'static str,
    /// Whether it holds.
    pub holds: bool,
}

impl Bar {
    /// A figure that must not be above its bar.
    pub fn at_most(name: &str, value: f64, unit: &'static str, bar: f64) -> Self {
        Self { name: name.to_owned(), value, unit, bar, direction: "max", holds: value <= bar }
    }

    /// A figure that must not be below its bar.
    pub fn at_least(name: &str, value: f64, unit: &'static str, bar: f64) -> Self {
        Self { name: name.to_owned(), value, unit, bar, direction: "min", holds: value >= bar }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, at) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((below + at) / 2.0)
}

/// A proxy's runs in the rounds that count.
fn of<'a>(measured: &'a Rounds, proxy: &str) -> Vec<&'a Run> {
    let quiet = measured.rounds.iter().filter(|runs| is_quiet(runs));
    quiet.flatten().filter(|run| run.proxy == proxy).collect()
}

/// Sekisho's requests per second by nginx's, round by round.
fn ratios(measured: &Rounds) -> Vec<f64> {
    let (ours, theirs) = (of(measured, "sekisho"), of(measured, "nginx"));
    ours.iter().zip(theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second).collect()
}

/// Prints every run, then the medians.
pub fn rounds(measured: &Rounds) {
    println!("\nproxy     round  requests/s  p50 µs  p99 µs  CPU µs/request  core used    idle  body bytes");
    for (number, runs) in measured.rounds.iter().enumerate() {
        for run in runs {
            line(run.proxy, &(number + 1).to_string(), |figure| Some(figure(run)));
        }
    }
    for proxy in ["nginx", "sekisho"] {
        let runs = of(measured, proxy);
        if !runs.is_empty() {
            line(proxy, "median", |figure| median(runs.iter().map(|run| figure(run)).collect()));
        }
    }
    let disturbed = measured.rounds.iter().filter(|runs| !is_quiet(runs)).count();
    if disturbed > 0 {
        println!("{disturbed} rounds don't count, in medians and ratios: other programs used the proxies' core.");
    }
    let ratios: Vec<String> = ratios(measured).iter().map(|ratio| format!("{ratio:.3}")).collect();
    if !ratios.is_empty() {
        println!("Sekisho's requests/s by nginx's, round by round: {}", ratios.join(" "));
    }
    for run in measured.rounds.last().into_iter().flatten() {
        println!("{}: {}", run.proxy, run.load.tls);
    }
    println!("records on {}; {}", measured.file_system, measured.nginx_version.as_deref().unwrap_or("no nginx"));
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

/// Everything that has a bar.
pub fn bars(apart: &[Bar], measured: &Rounds) -> Result<Vec<Bar>, Failure> {
    let all_ratios = ratios(measured);
    if all_ratios.len() < QUIET_MIN {
        let rounds = measured.rounds.len();
        return Err(format!(
            "the proxies had their core to themselves in {} of {rounds} rounds, and {QUIET_MIN} are needed: the figures \
             would say nothing. Run it again when nothing else runs",
            all_ratios.len()
        )
        .into());
    }
    let ratio = median(all_ratios).ok_or("no round measured both proxies")?;
    let idle =
        median(of(measured, "nginx").iter().map(|run| run.idle_share).collect()).ok_or("nginx was not measured")?;
    let mut all: Vec<Bar> = apart.iter().map(|bar| Bar { name: bar.name.clone(), ..*bar }).collect();
    all.push(Bar::at_least("enforced proxy, Sekisho's requests/s by nginx's", ratio, "ratio", RATIO_MIN));
    all.push(Bar::at_most("enforced proxy, idle share of nginx's core", idle, "ratio", IDLE_MAX));
    Ok(all)
}

/// Prints the bars.
pub fn table(bars: &[Bar]) {
    println!("\n{:<52} {:>10} {:<6} {:>9}  holds", "figure (median)", "value", "unit", "bar");
    for bar in bars {
        let sign = if bar.direction == "min" { "≥" } else { "≤" };
        let holds = if bar.holds { "yes" } else { "NO" };
        println!("{:<52} {:>10.3} {:<6} {sign} {:>7.3}  {holds}", bar.name, bar.value, bar.unit, bar.bar);
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
