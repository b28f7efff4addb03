//! Purposes (利用目的): what data may be received for.

use alloc::vec::Vec;

use crate::code::Code;
use crate::party::PartyKind;

/// The registered code of a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurposeCode(pub Code);

/// A registered purpose, as far as the decision needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Its code.
    pub code: PurposeCode,
    /// Kinds of receiver that may ask for it.
    pub receivers: Vec<PartyKind>,
    /// Longest time that one consent for it counts, in milliseconds.
    pub longest_ms: i64,
    /// One parent may decide this alone (民法824条の2): the other guardian's refusal does not stand against the grant.
    pub one_guardian_alone: bool,
}
