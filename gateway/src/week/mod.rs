//! The week of a public health nurse: collect → triage → plan → package → pull → confirm, by ISO week in JST, per municipality.
//!
//! What it never does: release anything by a score alone, hold what is urgent for the week, or send anything when the
//! service's withdrawals can't be read.

pub mod calendar;
pub mod row;
pub mod shelf;
pub mod triage;
