//! What people and officials have recorded about a subject: consents, refusals, blocks and legal bases.
//!
//! A record that has ended stays here with its end: the nearest miss (P-16) names it.

use alloc::boxed::Box;

use crate::category::{CategoryCode, CategoryVersion};
use crate::ids::{BasisId, BlockId, ConsentId, PartyId, PersonId, RefusalId};
use crate::purpose::PurposeCode;
use crate::time::{DataPeriod, Period, Timestamp};

/// How a consent came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given by the grantor on our page, or with step-up sign-in.
    Own,
    /// Collected by a named party, with evidence. It counts only in favour of a party of another kind (P-11).
    Attested {
        /// Who collected it.
        by: PartyId,
    },
}

/// A consent (同意) that was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Which consent.
    pub id: ConsentId,
    /// Who gave it: the subject or a guardian.
    pub grantor: PersonId,
    /// Who may receive.
    pub recipient: PartyId,
    /// What for.
    pub purpose: PurposeCode,
    /// What: these very versions and no others.
    pub categories: Box<[CategoryVersion]>,
    /// From whom; `None` is any source.
    pub source: Option<PartyId>,
    /// From when until when.
    pub period: Period,
    /// Dates of the data itself that it covers; `None` is all.
    pub data_period: Option<DataPeriod>,
    /// How it came to us.
    pub origin: Origin,
    /// When it was given.
    pub approved_at: Timestamp,
    /// When it was revoked or superseded, if it was.
    pub ended_at: Option<Timestamp>,
}

/// One dimension of a refusal's scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope<T> {
    /// Whatever it is.
    Any,
    /// This one.
    Only(T),
}

/// What a refusal reaches. Categories are named without version: refusing vaccination refuses every version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalScope {
    /// Towards whom.
    pub recipient: Scope<PartyId>,
    /// What for.
    pub purpose: Scope<PurposeCode>,
    /// What.
    pub categories: Scope<Box<[CategoryCode]>>,
}

/// The lifting of a refusal. It counts when made by the refusal's own grantor (P-13); a guardian's refusal
/// ends with the guardian's authority, so the subject who comes of age has nothing to lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lift {
    /// Who lifted it.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
}

/// A refusal (同意しない).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which refusal.
    pub id: RefusalId,
    /// Who refused: the subject or a guardian.
    pub grantor: PersonId,
    /// What it reaches.
    pub scope: RefusalScope,
    /// From when.
    pub from: Timestamp,
    /// Its lifting, if it was lifted.
    pub lift: Option<Lift>,
}

/// From whom a block hides the subject's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockTarget {
    /// A person, in every capacity, and whatever that person's consents would allow.
    Person(PersonId),
    /// A party, whoever acts for it.
    Party(PartyId),
}

/// A protective block (提供停止措置): hides all of a subject's records, their existence included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which block.
    pub id: BlockId,
    /// From whom it hides.
    pub target: BlockTarget,
    /// From when until when.
    pub period: Period,
}

/// A recorded legal ground other than consent (法令に基づく提供).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalBasis {
    /// Which record.
    pub id: BasisId,
    /// Who may receive.
    pub recipient: PartyId,
    /// What for.
    pub purpose: PurposeCode,
    /// What: these very versions and no others.
    pub categories: Box<[CategoryVersion]>,
    /// From when until when.
    pub period: Period,
    /// When it was ended early, if it was.
    pub ended_at: Option<Timestamp>,
}
