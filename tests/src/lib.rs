//! The harness: a town with a running gateway, real TLS and real sockets, and a tap that sees every byte.

pub mod reader;
pub mod tap;
pub mod town;
