//! The answer: a permit with what is kept and what is withheld, or a denial; each category with its reason.

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use crate::category::{CategoryVersion, MAX_CATEGORIES};
use crate::ids::{AuthorityId, BasisId, BlockId, ConsentId, PartyId, RefusalId};
use crate::time::{DataPeriod, Timestamp};

/// What was not understood, by name (P-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The subject asked about is not the subject of the records.
    Subject,
    /// The receiving party is not registered.
    Recipient,
    /// The source is not registered.
    Source,
    /// The purpose is not registered.
    Purpose,
    /// This version of the category is not registered.
    Category,
    /// A field of a stored record, as `record.field`.
    Record(&'static str),
}

/// What permits a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermittedBy {
    /// A recorded legal basis.
    Basis(BasisId),
    /// A consent.
    Consent(ConsentId),
    /// It is the subject's own.
    OwnAccess,
    /// The guardian's authority, for a look at our own pages.
    Authority(AuthorityId),
}

/// What forbids a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forbidding {
    /// A protective block.
    Block(BlockId),
    /// A refusal.
    Refusal(RefusalId),
    /// A suspended recipient or source.
    Suspension(PartyId),
}

/// Why nothing applied: how far the closest record came. Later variants are closer (P-16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Miss {
    /// The purpose is not for receivers of this kind.
    ReceiverKind,
    /// The actor is neither the subject nor a guardian with authority over the category.
    Actor,
    /// There is no consent at all.
    NoConsent,
    /// A consent names another recipient.
    OtherRecipient,
    /// … the recipient, but another purpose.
    OtherPurpose,
    /// … and the purpose, but other categories.
    OtherCategory,
    /// … the category, but in another version.
    OtherVersion,
    /// … this version, but another source.
    OtherSource,
    /// … all of it, but an attesting party that may not attest it.
    Attester,
    /// … but its grantor is not, or no longer, entitled to decide.
    Grantor,
    /// … but a block names its grantor.
    GrantorBlocked,
    /// … but it was revoked or superseded.
    Ended,
    /// … but it has expired.
    Expired,
    /// … but it has not begun, or is not approved yet.
    NotYet,
}

/// The nearest miss and, where it is one, the consent that came so close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NearestMiss {
    /// What was missing.
    pub miss: Miss,
    /// The consent that came closest.
    pub consent: Option<ConsentId>,
}

/// Why a category is withheld: forbidden, nothing applies, or not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Something forbids it.
    ForbiddenBy(Forbidding),
    /// Nothing permits it.
    NothingApplies(NearestMiss),
    /// Something was not understood.
    NotUnderstood(Field),
}

/// Which dates of the data a kept category covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataScope {
    /// All.
    All,
    /// Only these: sorted, not empty, neither overlapping nor touching.
    Within(Vec<DataPeriod>),
}

/// A category that may go, with what permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What.
    pub category: CategoryVersion,
    /// Permitted by. Where several consents do, the one that lasts longest (then the smaller id) is named.
    pub by: PermittedBy,
    /// Obligation: only data of these dates.
    pub data: DataScope,
}

/// A category that may not go, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// What.
    pub category: CategoryVersion,
    /// Why not.
    pub why: Reason,
}

/// Leave to release, and its obligations. Only [`decide`](crate::decide()) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    // INVARIANT: not empty, sorted by category.
    kept: ArrayVec<Kept, MAX_CATEGORIES>,
    withheld: ArrayVec<Withheld, MAX_CATEGORIES>,
    until: Timestamp,
}

impl Permit {
    pub(crate) const fn new(
        kept: ArrayVec<Kept, MAX_CATEGORIES>,
        withheld: ArrayVec<Withheld, MAX_CATEGORIES>,
        until: Timestamp,
    ) -> Self {
        Self { kept, withheld, until }
    }

    /// What may go: at least one category.
    #[must_use]
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// What was asked for and may not go.
    #[must_use]
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }

    /// The permit holds up to, not including, this instant on unchanged records (P-17).
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether this permit allows at least all that `other` allows: every kept category, with at least its dates.
    /// A release under way goes on only while the decision on the current records covers it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.kept.iter().all(|o| self.kept.iter().any(|k| k.category == o.category && k.data.covers(&o.data)))
    }
}

impl DataScope {
    /// Whether every date in `other` is in `self`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Within(_), Self::All) => false,
            (Self::Within(mine), Self::Within(theirs)) => {
                theirs.iter().all(|t| mine.iter().any(|m| m.from() <= t.from() && t.until() <= m.until()))
            }
        }
    }
}

/// No category may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    withheld: ArrayVec<Withheld, MAX_CATEGORIES>,
}

impl Denial {
    pub(crate) const fn new(withheld: ArrayVec<Withheld, MAX_CATEGORIES>) -> Self {
        Self { withheld }
    }

    /// Every category asked for, with its reason.
    #[must_use]
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }
}

/// The answer to one [`AccessRequest`](crate::AccessRequest).
// A permit is by far the common case and lives for one request: boxing it would allocate on the hot path.
#[expect(clippy::large_enum_variant, reason = "a plain permit must not allocate")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// At least one category may go.
    Permit(Permit),
    /// None may.
    Deny(Denial),
}
