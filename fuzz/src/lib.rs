//! Fuzz targets: what strangers write and the gateway reads. Each takes any bytes and holds what comes out against an
//! account of its own of what must hold, so that a wrong answer is a finding, not only a panic.
//!
//! Run by `fuzz/run` (coverage-guided, with libFuzzer) and, on everything that is kept of earlier runs, by
//! `tests/corpus.rs`. Read `docs/fuzzing.md`.
#![forbid(unsafe_code)]

pub mod consultation;
pub mod ledger;
pub mod narrow;
pub mod path;
pub mod phr_app;
pub mod portal;
pub mod route;
pub mod token;

/// A target: panics on a finding.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 8] = [
    ("path", path::check),
    ("route", route::check),
    ("token", token::check),
    ("ledger", ledger::check),
    ("narrow", narrow::check),
    ("portal", portal::check),
    ("phr_app", phr_app::check),
    ("consultation", consultation::check),
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
