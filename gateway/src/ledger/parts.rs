//! What several events have in common, or what is a choice within one (`docs/formats.md` §5, §7).

use minicbor::{Decode, Encode};

use super::entry::{Bytes16, Bytes32};
use super::merkle::sha256;

/// What a consent says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// Who may receive: a party's code.
    #[n(0)]
    pub recipient: String,
    /// What for: a purpose's code.
    #[n(1)]
    pub purpose: String,
    /// What: category versions such as `vaccination@1`, sorted.
    #[n(2)]
    pub categories: Vec<String>,
    /// From whom: a party's code; `None` is any.
    #[n(3)]
    pub source: Option<String>,
    /// From, ms since the epoch.
    #[n(4)]
    pub from_ms: i64,
    /// Until, ms since the epoch.
    #[n(5)]
    pub until_ms: i64,
    /// First date of the data covered, `YYYY-MM-DD`; `None` is open.
    #[n(6)]
    pub data_from: Option<String>,
    /// First date of the data no longer covered; `None` is open.
    #[n(7)]
    pub data_until: Option<String>,
    /// SHA-256 of the text agreed to.
    #[n(8)]
    pub text_hash: Bytes32,
    /// The visit that it is for, where its purpose is one of visits.
    #[n(9)]
    pub booking: Option<Booking>,
}

/// A visit that somebody booked with the recipient.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Booking {
    /// The recipient's own reference for it.
    #[n(0)]
    pub reference: String,
    /// When the visit is, ms since the epoch, as it was when this was agreed to.
    #[n(1)]
    pub visit_ms: i64,
}

impl std::fmt::Debug for Booking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Booking(..)")
    }
}

/// A text that people are asked to agree to, whole: what it is for them, and what refusing means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ConsentText {
    /// Version, for people.
    #[n(0)]
    pub version: String,
    /// What would happen, in Japanese.
    #[n(1)]
    pub ja: String,
    /// In English.
    #[n(2)]
    pub en: String,
    /// What good it does, in Japanese.
    #[n(3)]
    pub benefit_ja: String,
    /// In English.
    #[n(4)]
    pub benefit_en: String,
    /// What refusing means, in Japanese.
    #[n(5)]
    pub refusing_ja: String,
    /// In English.
    #[n(6)]
    pub refusing_en: String,
}

impl ConsentText {
    /// SHA-256 over the fields in order, each preceded by its length in bytes as `u64`, little-endian (`docs/formats.md` §8).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let Self { version, ja, en, benefit_ja, benefit_en, refusing_ja, refusing_en } = self;
        let mut all = Vec::new();
        for part in [version, ja, en, benefit_ja, benefit_en, refusing_ja, refusing_en] {
            all.extend_from_slice(&(part.len() as u64).to_le_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        sha256(&all)
    }
}

/// What a recipient did with what it holds, after a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ErasureAnswer {
    /// It was erased.
    #[n(0)]
    Erased,
    /// It must be kept.
    #[n(1)]
    Kept {
        /// Under which law, for how long.
        #[n(0)]
        law: String,
    },
    /// Nothing had been received.
    #[n(2)]
    NothingHeld,
}

impl ErasureAnswer {
    /// As the API names it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Erased => "erased",
            Self::Kept { .. } => "kept",
            Self::NothingHeld => "nothing-held",
        }
    }

    /// The law under which it is kept.
    #[must_use]
    pub fn law(&self) -> Option<&str> {
        match self {
            Self::Kept { law } => Some(law),
            Self::Erased | Self::NothingHeld => None,
        }
    }
}

/// What a person is linked to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LinkTarget {
    /// A login at an OpenID provider.
    #[n(0)]
    Login {
        /// Issuer.
        #[n(0)]
        issuer: String,
        /// Subject at that issuer.
        #[n(1)]
        sub: String,
    },
    /// The id under which a source knows the person.
    #[n(1)]
    Source {
        /// The source's code.
        #[n(0)]
        party: String,
        /// The person's id there.
        #[n(1)]
        id: String,
    },
}

/// From whom a block hides.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BlockedFrom {
    /// A person.
    #[n(0)]
    Person(#[n(0)] Bytes16),
    /// A party, by code.
    #[n(1)]
    Party(#[n(0)] String),
}

/// An access request as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Question {
    /// About whom.
    #[n(0)]
    pub subject: Bytes16,
    /// The receiving party's code; `None` when a person looks at our own pages.
    #[n(1)]
    pub party: Option<Bytes16>,
    /// In which capacity: 0 system, 1 subject, 2 guardian, 3 staff.
    #[n(2)]
    pub capacity: u8,
    /// Who acts, where a person does.
    #[n(3)]
    pub person: Option<Bytes16>,
    /// The source.
    #[n(4)]
    pub source: Bytes16,
    /// The purpose's code.
    #[n(5)]
    pub purpose: String,
    /// The category versions, sorted.
    #[n(6)]
    pub categories: Vec<String>,
}

/// How a permitted release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// All of it was handed to the connection.
    #[n(0)]
    Complete,
    /// The barrier cut it.
    #[n(1)]
    Cut,
    /// It failed: the source or the connection broke.
    #[n(2)]
    Failed,
    /// A crash left it open.
    #[n(3)]
    Unknown,
    /// Permitted, and nothing was sent: no data, a sign-in was needed, or a later look said no.
    #[n(4)]
    NothingSent,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ForwardEnd {
    /// The recipient says that it has it.
    #[n(0)]
    Delivered,
    /// It was not permitted any more when it was to be sent.
    #[n(1)]
    Stopped,
    /// Its time was over before it could be delivered.
    #[n(2)]
    Late,
    /// The recipient says that it will never take it.
    #[n(3)]
    Refused,
}

impl ForwardEnd {
    /// As the API names it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Stopped => "stopped",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

/// How a person's word reached the party that attests it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Way {
    /// Signed on paper.
    #[n(0)]
    Paper,
    /// Said in person, at a counter.
    #[n(1)]
    InPerson,
    /// Said by telephone.
    #[n(2)]
    Telephone,
    /// Chosen in the party's own service, signed in there.
    #[n(3)]
    Online,
}

/// What a professional decided about an urgent case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AlertDecision {
    /// It is shared at once, as far as the person's consent reaches.
    #[n(0)]
    Consent,
    /// It is shared at once on a legal basis.
    #[n(1)]
    Basis,
    /// Nothing is shared by this decision.
    #[n(2)]
    NotShared,
}

impl AlertDecision {
    /// As the API names it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Basis => "basis",
            Self::NotShared => "not-shared",
        }
    }
}

/// What a party attests of a word that was not given here.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attestation {
    /// Which party: its code.
    #[n(0)]
    pub party: String,
    /// How the word was given.
    #[n(1)]
    pub way: Way,
    /// Where the evidence lies.
    #[n(2)]
    pub evidence: String,
    /// Who checked the identity of the person who gave it.
    #[n(3)]
    pub checked_by: String,
    /// The login of the member of staff, or the operator, who recorded it.
    #[n(4)]
    pub recorded_by: String,
    /// When it was given, ms since the epoch.
    #[n(5)]
    pub given_ms: i64,
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attestation").field("party", &self.party).field("way", &self.way).finish_non_exhaustive()
    }
}

/// An id under which a party knew a subject.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RetiredId {
    /// The party's code.
    #[n(0)]
    pub party: String,
    /// The id.
    #[n(1)]
    pub id: Bytes16,
}

/// What is pruned in one segment, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct PrunedOf {
    /// Segment number.
    #[n(0)]
    pub segment: u32,
    /// Pruned entries.
    #[n(1)]
    pub entries: u64,
    /// Which: each step SHA-256(digest before ‖ number of the entry as `u64 LE` ‖ leaf hash), from 32 zero bytes on.
    #[n(2)]
    pub digest: Bytes32,
}
