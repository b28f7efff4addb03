//! `sekisho demo`: everything on loopback over TLS, a story told in a readable transcript, then a gateway to play with.

mod story;
pub mod world;

pub use story::run;
