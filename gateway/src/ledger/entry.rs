//! One entry of the ledger: a header in clear and a body, sealed when it is about a person (`docs/formats.md` §2).
//!
//! The encoding is CBOR (RFC 8949) as an array of fixed length in its deterministic form; [`Entry::decode`] takes exactly
//! what [`Entry::encode`] gives and refuses newer versions.

use minicbor::{Decode, Encode};
use sekisho_policy::{PartyId, Timestamp};

use crate::ids::{EntryId, KeyId, TextId};

/// The version that this build writes. Newer ones are refused.
pub const VERSION: u8 = 1;

/// Largest encoded entry, in bytes. Everything that becomes an entry is bounded well below.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// What kind of event an entry holds. The numbers are the format: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is documented at the event of the same name")]
pub enum EntryType {
    RegistryActivated = 1,
    Enrolled = 2,
    Linked = 3,
    LinkEnded = 4,
    AuthorityRecorded = 5,
    AuthorityEnded = 6,
    ConsentProposed = 7,
    ConsentApproved = 8,
    ConsentEnded = 9,
    ProposalClosed = 10,
    Refused = 11,
    RefusalLifted = 12,
    BlockSet = 13,
    BlockEnded = 14,
    BasisRecorded = 15,
    BasisEnded = 16,
    PairwiseMinted = 17,
    Decided = 18,
    Closed = 19,
    StandingChanged = 20,
    KeyDestroyed = 21,
    OperatorRead = 22,
    Pruned = 23,
    PairwiseRetired = 24,
    SpeciallyAdopted = 25,
    TextPublished = 26,
    ErasureAsked = 27,
    ErasureAnswered = 28,
    ChannelChanged = 29,
    EnrolmentCodeIssued = 30,
    LinkCodeIssued = 31,
    CodeUsed = 32,
    CounterLooked = 33,
    ForwardAsked = 34,
    ForwardEnded = 35,
    VisitMoved = 36,
    SummaryOpened = 37,
    NotTheirPatient = 38,
    CaseFlagged = 41,
    PackagePlanned = 42,
    PackageCopied = 43,
    PackageReceived = 44,
    AlertRaised = 45,
    AlertAcknowledged = 46,
    AlertDecided = 47,
    BasisConfirmed = 48,
    BasisDisclosed = 49,
    CaseViewed = 50,
    CaseWorked = 51,
    DistrictsAssigned = 52,
}

impl EntryType {
    const ALL: [Self; 50] = [
        Self::RegistryActivated,
        Self::Enrolled,
        Self::Linked,
        Self::LinkEnded,
        Self::AuthorityRecorded,
        Self::AuthorityEnded,
        Self::ConsentProposed,
        Self::ConsentApproved,
        Self::ConsentEnded,
        Self::ProposalClosed,
        Self::Refused,
        Self::RefusalLifted,
        Self::BlockSet,
        Self::BlockEnded,
        Self::BasisRecorded,
        Self::BasisEnded,
        Self::PairwiseMinted,
        Self::Decided,
        Self::Closed,
        Self::StandingChanged,
        Self::KeyDestroyed,
        Self::OperatorRead,
        Self::Pruned,
        Self::PairwiseRetired,
        Self::SpeciallyAdopted,
        Self::TextPublished,
        Self::ErasureAsked,
        Self::ErasureAnswered,
        Self::ChannelChanged,
        Self::EnrolmentCodeIssued,
        Self::LinkCodeIssued,
        Self::CodeUsed,
        Self::CounterLooked,
        Self::ForwardAsked,
        Self::ForwardEnded,
        Self::VisitMoved,
        Self::SummaryOpened,
        Self::NotTheirPatient,
        Self::CaseFlagged,
        Self::PackagePlanned,
        Self::PackageCopied,
        Self::PackageReceived,
        Self::AlertRaised,
        Self::AlertAcknowledged,
        Self::AlertDecided,
        Self::BasisConfirmed,
        Self::BasisDisclosed,
        Self::CaseViewed,
        Self::CaseWorked,
        Self::DistrictsAssigned,
    ];

    /// The type with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u8 == number)
    }

    /// Which of the subject's keys seals the body; `None` where the body is about no person.
    #[must_use]
    pub const fn key_class(self) -> Option<KeyClass> {
        match self {
            Self::RegistryActivated
            | Self::StandingChanged
            | Self::KeyDestroyed
            | Self::OperatorRead
            | Self::Pruned
            | Self::TextPublished
            | Self::LinkCodeIssued
            | Self::PackagePlanned
            | Self::PackageCopied
            | Self::PackageReceived
            | Self::AlertRaised
            | Self::AlertAcknowledged
            | Self::DistrictsAssigned => None,
            Self::Enrolled
            | Self::Linked
            | Self::LinkEnded
            | Self::PairwiseMinted
            | Self::PairwiseRetired
            | Self::EnrolmentCodeIssued
            | Self::CaseFlagged => Some(KeyClass::Content),
            _ => Some(KeyClass::Record),
        }
    }

    /// Whether it changes the registry in force, or the texts beside it.
    #[must_use]
    pub const fn changes_registry(self) -> bool {
        matches!(self, Self::RegistryActivated | Self::StandingChanged | Self::TextPublished)
    }

    /// Whether it changes what is known about a subject; decisions and outcomes do not.
    #[must_use]
    pub const fn changes_subject(self) -> bool {
        self.key_class().is_some() && !matches!(self, Self::Decided | Self::Closed)
    }

    /// Whether something is covered no longer: until this is durable, nobody's withdrawal is acknowledged.
    #[must_use]
    pub const fn narrows(self) -> bool {
        matches!(
            self,
            Self::LinkEnded
                | Self::AuthorityEnded
                | Self::ConsentEnded
                | Self::Refused
                | Self::BlockSet
                | Self::BasisEnded
                | Self::StandingChanged
                | Self::KeyDestroyed
                | Self::VisitMoved
        )
    }
}

/// What a key may open: content goes at erasure, what the law makes us keep stays for its time (design §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum KeyClass {
    /// Deletable at once: names, birth dates, links.
    #[n(0)]
    Content,
    /// Statutory records (個人情報保護法 29・30条): consents, decisions, outcomes.
    #[n(1)]
    Record,
}

/// Who caused an entry. A person's id stands in the sealed body only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Cause {
    /// Sekisho itself.
    #[n(0)]
    Gateway,
    /// A person, named in the body.
    #[n(1)]
    Person,
    /// A party's machine or staff.
    #[n(2)]
    Party(#[n(0)] Bytes16),
    /// An operator, by the first 128 bits of SHA-256 over the configured name.
    #[n(3)]
    Operator(#[n(0)] Bytes16),
}

impl Cause {
    /// This party.
    #[must_use]
    pub fn party(id: PartyId) -> Self {
        Self::Party(Bytes16(*id.bytes()))
    }
}

/// Sixteen bytes as a CBOR byte string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Bytes16(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// Thirty-two bytes as a CBOR byte string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Bytes32(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// An idempotency key's hash with its scope, and the hash of the body that came with it (design §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Idempotency {
    /// SHA-256 over party, person, route and key, each preceded by its length.
    #[n(0)]
    pub key: Bytes32,
    /// SHA-256 over the request's body.
    #[n(1)]
    pub body: Bytes32,
}

/// The header, in clear. The whole of it is authenticated with the sealed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    #[n(0)]
    version: u8,
    #[n(1)]
    entry_type: u8,
    #[n(2)]
    id: Bytes16,
    #[n(3)]
    at_ms: i64,
    #[n(4)]
    key: Option<Bytes16>,
    #[n(5)]
    idempotency: Option<Idempotency>,
    #[n(6)]
    cause: Cause,
}

impl Header {
    /// A header of this build's version.
    #[must_use]
    pub fn new(entry_type: EntryType, id: EntryId, at: Timestamp, key: Option<KeyId>, cause: Cause) -> Self {
        Self {
            version: VERSION,
            entry_type: entry_type as u8,
            id: Bytes16(*id.bytes()),
            at_ms: at.millis(),
            key: key.map(|k| Bytes16(*k.bytes())),
            idempotency: None,
            cause,
        }
    }

    /// The same header with an idempotency key's hash.
    #[must_use]
    pub const fn with_idempotency(mut self, idempotency: Option<Idempotency>) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// The entry's type.
    ///
    /// # Errors
    /// When the number is not one of this version's.
    pub fn entry_type(&self) -> Result<EntryType, EntryError> {
        EntryType::from_number(self.entry_type).ok_or(EntryError::UnknownType(self.entry_type))
    }

    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> EntryId {
        EntryId::of(self.id.0)
    }

    /// When.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_ms)
    }

    /// Under which key the body is sealed; `None` when it is in clear.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.map(|k| KeyId::of(k.0))
    }

    /// The idempotency key's hash, where the entry came with one.
    #[must_use]
    pub const fn idempotency(&self) -> Option<Idempotency> {
        self.idempotency
    }

    /// Who caused it.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// What sealing authenticates beside the body: the header's own encoding. No position, so that entries can be
    /// sealed before the writer knows where they go.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        encode(self)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// In clear.
    #[n(0)]
    pub header: Header,
    /// CBOR of the event, sealed when the header names a key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: Vec<u8>,
}

/// Bytes that are not an entry of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the encoding of an entry.
    #[error("not a ledger entry")]
    Malformed,
    /// Written by a newer build.
    #[error("entry version {0} is newer than this build's {VERSION}: use the build that wrote it, or a later one")]
    Newer(u8),
    /// A type number that this version does not know.
    #[error("entry type {0} is unknown to this build")]
    UnknownType(u8),
}

impl Entry {
    /// The stored bytes, which are the Merkle leaf.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Takes exactly what [`Entry::encode`] gives.
    ///
    /// # Errors
    /// When it isn't that, or is of a newer version or unknown type.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::Malformed);
        }
        let version = peek_version(bytes).ok_or(EntryError::Malformed)?;
        // Versions count from 1; a 0 was never written.
        if version == 0 {
            return Err(EntryError::Malformed);
        }
        if version > VERSION {
            return Err(EntryError::Newer(version));
        }
        let entry: Self = minicbor::decode(bytes).map_err(|_| EntryError::Malformed)?;
        entry.header.entry_type()?;
        // One encoding per entry: indefinite lengths, long integers and trailing bytes are someone else's.
        if entry.encode() == bytes { Ok(entry) } else { Err(EntryError::Malformed) }
    }
}

fn peek_version(bytes: &[u8]) -> Option<u8> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.array().ok()?;
    decoder.array().ok()?;
    decoder.u8().ok()
}

/// Encodes into memory, which can't fail for our own types.
pub(crate) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "writing to a Vec is infallible and our types have no failing encoders")]
    minicbor::to_vec(value).expect("encoding into memory")
}
