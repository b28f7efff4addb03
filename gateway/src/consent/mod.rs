//! What people decide: proposals, consents, refusals; and the barrier that makes what narrows final.

pub mod adoption;
pub mod anew;
pub mod attested;
pub mod authority;
pub mod barrier;
pub mod booking;
pub mod chosen;
pub mod codes;
pub mod erase_request;
pub mod erasure;
pub mod foreseen;
pub mod give;
pub mod links;
pub mod people;
pub mod receipt;
pub mod record;
pub mod refused;
pub mod seen;
mod stop;
pub mod taken;
