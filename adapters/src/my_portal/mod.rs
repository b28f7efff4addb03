//! The national portal's 自己情報取得: a person's own vaccination history, asked for by that person.
//!
//! What it does: signs a person in at the portal, asks for the record, polls for the answer within bounds, and maps
//! it to FHIR. What it never does: receive a My Number, guess what an answer means, or keep anything.
//!
//! Facts and assumptions: the flow, the paths, the status and result codes and the 16- and 10-character code shapes
//! follow what is public. The full interface specification is given out on application only, so whatever it would
//! settle is either configuration ([`PortalCodes`]) or stated in [`wire`] as an assumption.

pub mod client;
pub mod codes;
mod kept;
pub mod map;
pub mod stand_in;
pub mod wire;

pub use client::{Polling, PortalClient, PortalConfig, PortalError, PortalSession, SignIn};
pub use codes::{CodesError, ItemCodes, PortalCodes, VaccineCode, VaccineSystem};
pub use kept::{PortalAccount, PortalToken, ProcessId, Verifier};
pub use wire::{PortalAnswer, PortalItem, PortalRecord, PortalRecords};
