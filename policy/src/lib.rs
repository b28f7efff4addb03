//! The decision of Sekisho: may this receiver have these categories of this subject's data, for this purpose, now?
//!
//! [`decide()`] is a pure function of the records about one subject, the registry and the instant. It never reads a
//! clock, does I/O, logs, or knows a wire format; `no_std` makes the first two a compile error. The rules carry numbers
//! (`P-1` …) from `docs/policy-spec.md`; code and tests cite them.
//!
//! Read next: [`decide`](mod@decide) for the rules in order, [`records`] for what they look at, [`decision`] for what
//! comes out.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod authority;
pub mod category;
pub mod code;
pub mod consent;
pub mod decide;
pub mod decision;
pub mod ids;
mod miss;
pub mod party;
pub mod purpose;
pub mod records;
pub mod registry;
pub mod time;
mod total;

pub use access::{AccessRequest, Actor, Capacity, Receiver};
pub use authority::Authority;
pub use category::{Categories, Category, CategoryCode, CategoryVersion, MAX_CATEGORIES};
pub use code::{Code, CodeError};
pub use consent::{Block, BlockTarget, Consent, LegalBasis, Lift, Origin, Refusal, RefusalScope, Scope};
pub use decide::{ADULT_AGE, decide};
pub use decision::{
    DataScope, Decision, Denial, Field, Forbidding, Kept, Miss, NearestMiss, Permit, PermittedBy, Reason, Withheld,
};
pub use ids::{AuthorityId, BasisId, BlockId, ConsentId, PartyId, PersonId, RefusalId};
pub use party::{Party, PartyKind, Standing};
pub use purpose::{Purpose, PurposeCode};
pub use records::SubjectRecords;
pub use registry::{Registry, RegistryError, Rules};
pub use time::{DataPeriod, Period, PeriodError, Timestamp, age_reached_at};
