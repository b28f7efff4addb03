//! `sekisho demo`: everything on loopback over TLS, a story told in a readable transcript, then a gateway to play with.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value gives null where there is nothing; it does not panic"
)]

mod clinic;
mod nurses;
mod story;
mod surroundings;
pub mod visitor;
pub mod week;
pub mod world;

pub use story::run;
