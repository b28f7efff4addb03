//! Pages for a clinic's doctors and nurses, under `/clinic`: the summary of a patient who booked, by the clinic's own reference.
//!
//! Nobody is looked for by name. The reference travels in forms, never in an address. First name and date of birth alone are
//! shown, large, to make sure who it is; then the summary, on one page that can be printed. Each view is decided, recorded and
//! released like any other (`request::gather`), and cut by whatever ends what it rests on. Who looked is recorded before
//! anything is shown. Unknown, withdrawn, expired, blocked and another clinic's are one page, on which nothing is there.

mod chart;
mod home;
mod opened;
mod sheet;
mod viewer;

pub use home::{home, not_theirs};
pub use opened::{check, summary};
pub use viewer::Viewer;
