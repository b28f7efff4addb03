//! The outside world of the gateway: clients, wire formats, pure mappings, and stand-ins.
//!
//! What it does: speaks to what the gateway does not own (identity providers, FHIR servers, the national
//! portal), and offers a faithful server of each kind for the demo and the tests, spoken to over real TLS.
//!
//! What it never does: decide whether anything may be released, read the wall clock (a clock is handed in),
//! or put personal data, tokens or keys into logs, errors and `Debug` output.

pub mod certs;
pub mod consultation;
pub mod fhir_server;
pub mod fhir_terms;
pub mod http;
pub mod identity;
pub mod mail;
pub mod municipality;
pub mod my_number;
pub mod my_portal;
pub mod people;
pub mod phr_app;
pub mod stand_in;
pub mod webhook;

use std::sync::Arc;

/// The clock that clients and stand-ins are given: milliseconds since the Unix epoch.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;
