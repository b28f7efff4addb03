//! Campaigns of hostile input at a running gateway: forged tokens, hostile paths, requests whose end is in dispute.
//!
//! Short with `cargo test`; in full with `make chaos`. What each does, and how to read it: `docs/chaos.md`.

mod apart;
mod attackers;
mod classes;
mod clients;
mod desync;
mod dice;
mod forge;
mod framing;
mod http1;
mod http2;
mod misframing;
mod page_timing;
mod paths;
mod pseudo;
mod public;
mod revocation;
mod revoker;
mod targets;
mod timing;
mod tokens;
