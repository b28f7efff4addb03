//! What people decide: proposals, consents, refusals; and the barrier that makes what narrows final.

pub mod adoption;
pub mod attested;
pub mod authority;
pub mod barrier;
pub mod erasure;
pub mod give;
pub mod people;
pub mod receipt;
pub mod record;
mod refused;
mod stop;
