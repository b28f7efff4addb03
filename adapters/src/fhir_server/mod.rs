//! FHIR R4 servers, the kind that operators have: a stand-in.

mod bundle;
pub mod stand_in;
