//! Sekisho 関所: a consent gateway for health data.
#![forbid(unsafe_code)]

pub mod clock;
pub mod ids;
pub mod ledger;
pub mod sabotage;
pub mod store;
