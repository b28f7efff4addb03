//! Sekisho 関所: a consent gateway for health data. Nothing personal passes unless a person's consent, or a named legal
//! basis, covers who receives what, for which purpose, until when; and it stops passing the moment that is withdrawn.
//!
//! Read `ARCHITECTURE.md` first; then [`request`] for the life of a request, [`store`] for what makes it durable,
//! [`consent`] for what people decide, and the `sekisho-policy` crate for the decision itself.
#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod app;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod demo;
pub mod forward;
pub mod ids;
pub mod import;
pub mod ledger;
pub mod manage;
pub mod metrics;
pub mod notify;
pub mod package;
pub mod reload;
pub mod request;
mod routes;
pub mod sabotage;
pub mod serve;
pub mod store;
pub mod summary;
pub mod tls;
pub mod web;
pub mod week;
