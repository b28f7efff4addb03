//! The week of a public health nurse: collect → triage → plan → package → pull → confirm, by ISO week in JST, per municipality.
//!
//! What it never does: release anything by a score alone, hold what is urgent for the week, or send anything when the
//! service's withdrawals can't be read.

pub mod alert;
pub mod basis;
pub mod calendar;
mod choice;
pub mod collect;
pub mod desk;
pub mod districts;
pub mod nurses;
pub mod package;
mod people;
pub mod plan;
pub mod row;
pub mod run;
mod share;
pub mod shelf;
pub mod triage;
pub mod work;
