//! The decision's own benchmark: runs `cargo bench -p sekisho-policy` and reads what criterion found.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;
use crate::report::Bar;

/// Benchmark, and its bar in microseconds.
const CASES: [(&str, f64); 4] = [
    ("20 consents", 1.0),
    ("1,000 consents", 25.0),
    ("1,000 consents that all cover", 25.0),
    ("1,000 consents that all have ended", 25.0),
];
const WITHIN: Duration = Duration::from_secs(900);

/// Runs it and holds the medians against the bars.
pub async fn measure(target: &Path) -> Result<Vec<Bar>, Failure> {
    let found = target.join("criterion");
    for (name, _) in CASES {
        // An estimate of an earlier run must not be taken for this one's.
        let _ = std::fs::remove_dir_all(found.join(name).join("new"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = Command::new(cargo)
        .args(["bench", "-p", "sekisho-policy", "--bench", "decide"])
        .env("CARGO_TARGET_DIR", target)
        .kill_on_drop(true)
        .spawn()?;
    let status = timeout(WITHIN, bench.wait()).await.map_err(|_| "cargo bench took too long")??;
    if !status.success() {
        return Err(format!("cargo bench failed: {status}").into());
    }
    CASES
        .iter()
        .map(|(name, bar)| Ok(Bar::at_most(&format!("decision, {name}"), median_us(&found, name)?, "µs", *bar)))
        .collect()
}

fn median_us(found: &Path, name: &str) -> Result<f64, Failure> {
    let file = found.join(name).join("new/estimates.json");
    let text = std::fs::read(&file).map_err(|e| format!("criterion left no {}: {e}", file.display()))?;
    let estimates: Value = serde_json::from_slice(&text)?;
    let nanoseconds = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
    Ok(nanoseconds.ok_or("criterion's estimates have no median")? / 1e3)
}
