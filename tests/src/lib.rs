//! The harness: a town with a running gateway, here or in a process of its own, real TLS and real sockets, and a tap that sees
//! every byte.

pub mod browser;
pub mod process;
pub mod prover;
pub mod reader;
pub mod tap;
pub mod town;
