//! What an entry's body says: one struct for each entry type (`docs/formats.md` §5).
//!
//! Parties, purposes and categories stand here by their registered text, so that an entry can be read without the
//! configuration of its day. Turning events into the records that the policy looks at is `store::state`'s work.

use minicbor::{Decode, Encode};

use super::entry::{Bytes16, Bytes32, EntryType, encode};
pub use super::parts::{
    AlertDecision, Attestation, BlockedFrom, Booking, ConsentText, ErasureAnswer, ForwardEnd, LinkTarget, Outcome,
    PrunedOf, Question, RetiredId, Terms, Way,
};

/// Bytes that are not the body of the entry's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not one of the entry's type")]
pub struct BodyError;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $n:literal $field:ident : $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
            pub struct $name {
                $($(#[$field_doc])* #[n($n)] pub $field: $type,)*
            }
        )*

        /// The body of an entry.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented at its struct")]
        pub enum Event { $($name($name),)* }

        impl Event {
            /// The type number that goes into the header.
            #[must_use]
            pub const fn entry_type(&self) -> EntryType {
                match self { $(Self::$name(_) => EntryType::$name,)* }
            }

            /// CBOR of the body, to be sealed where the type says so.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                match self { $(Self::$name(body) => encode(body),)* }
            }

            /// Takes exactly what [`Event::encode`] gives.
            ///
            /// # Errors
            /// When the bytes are not that.
            pub fn decode(entry_type: EntryType, bytes: &[u8]) -> Result<Self, BodyError> {
                let event = match entry_type {
                    $(EntryType::$name => Self::$name(minicbor::decode(bytes).map_err(|_| BodyError)?),)*
                };
                if event.encode() == bytes { Ok(event) } else { Err(BodyError) }
            }
        }
    };
}

events! {
    /// A configuration's registry came into force. Not sealed: it is about no person.
    RegistryActivated {
        /// The registry as canonical JSON.
        0 text: String,
    }

    /// A person became known, after an identity check.
    Enrolled {
        /// Who.
        0 person: Bytes16,
        /// Date of birth, `YYYY-MM-DD`.
        1 birth: String,
        /// Which evidence was seen.
        2 evidence: String,
        /// Who checked it: an operator's or party's code.
        3 verified_by: String,
    }

    /// A person is linked to a login, or to the id under which a source knows them.
    Linked {
        /// Which link.
        0 link: Bytes16,
        /// Who.
        1 person: Bytes16,
        /// To what.
        2 to: LinkTarget,
        /// Which evidence was seen.
        3 evidence: String,
        /// Who checked it.
        4 verified_by: String,
    }

    /// A link was ended, because it was wrong or no longer holds.
    LinkEnded {
        /// Which link.
        0 link: Bytes16,
        /// Why.
        1 reason: String,
    }

    /// A guardian's authority over the subject.
    AuthorityRecorded {
        /// Which record.
        0 authority: Bytes16,
        /// Over whom.
        1 subject: Bytes16,
        /// Who holds it.
        2 guardian: Bytes16,
        /// From, ms since the epoch.
        3 from_ms: i64,
        /// Until, if known.
        4 until_ms: Option<i64>,
        /// 親権者, 未成年後見人 …, as recorded.
        5 kind: String,
        /// Which evidence was seen (戸籍 etc.).
        6 evidence: String,
        /// Who checked it.
        7 verified_by: String,
        /// When it should be checked again, ms since the epoch.
        8 recheck_ms: Option<i64>,
    }

    /// A guardian's authority ended or was suspended.
    AuthorityEnded {
        /// Which record.
        0 authority: Bytes16,
        /// When.
        1 at_ms: i64,
        /// Why.
        2 reason: String,
    }

    /// A party proposes a consent to the person who is signed in with it. Recorded about that person; the subject is
    /// chosen at approval.
    ConsentProposed {
        /// The consent it may become.
        0 consent: Bytes16,
        /// To whom.
        1 person: Bytes16,
        /// What.
        2 terms: Terms,
        /// Which party proposes.
        3 proposed_by: String,
    }

    /// A consent was given.
    ConsentApproved {
        /// Which consent.
        0 consent: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Who gave it.
        2 grantor: Bytes16,
        /// What.
        3 terms: Terms,
        /// When, ms since the epoch.
        4 approved_ms: i64,
        /// The attesting party's code; `None` when the person gave it here.
        5 attested_by: Option<String>,
        /// How the person was signed in (`acr`), or how it was attested.
        6 how: String,
        /// What the attesting party says of it.
        7 attestation: Option<Attestation>,
        /// The code of the party that proposed it, where that is not the one that receives.
        8 proposed_by: Option<String>,
    }

    /// A consent was revoked, or superseded by another.
    ConsentEnded {
        /// Which consent.
        0 consent: Bytes16,
        /// When, ms since the epoch.
        1 at_ms: i64,
        /// Who ended it.
        2 by: Bytes16,
        /// The consent that takes its place; `None` when revoked.
        3 superseded_by: Option<Bytes16>,
        /// What a party attests of a withdrawal that was not made here.
        4 attestation: Option<Attestation>,
    }

    /// A proposal was answered: declined, or approved for another subject than the person it was made to.
    ProposalClosed {
        /// Which.
        0 consent: Bytes16,
        /// By whom.
        1 by: Bytes16,
        /// Approved, or declined.
        2 approved: bool,
    }

    /// A refusal.
    Refused {
        /// Which refusal.
        0 refusal: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Who refused.
        2 grantor: Bytes16,
        /// Towards which party; `None` is any.
        3 recipient: Option<String>,
        /// For which purpose; `None` is any.
        4 purpose: Option<String>,
        /// Which categories; `None` is any.
        5 categories: Option<Vec<String>>,
        /// From, ms since the epoch.
        6 from_ms: i64,
        /// What a party attests of a refusal that was not made here.
        7 attestation: Option<Attestation>,
    }

    /// A refusal was lifted.
    RefusalLifted {
        /// Which refusal.
        0 refusal: Bytes16,
        /// By whom.
        1 by: Bytes16,
        /// When, ms since the epoch.
        2 at_ms: i64,
    }

    /// A protective block was set.
    BlockSet {
        /// Which block.
        0 block: Bytes16,
        /// Whose records it hides.
        1 subject: Bytes16,
        /// From whom.
        2 target: BlockedFrom,
        /// From, ms since the epoch.
        3 from_ms: i64,
        /// Until, if known.
        4 until_ms: Option<i64>,
        /// On which ground.
        5 evidence: String,
    }

    /// A block ended.
    BlockEnded {
        /// Which block.
        0 block: Bytes16,
        /// When, ms since the epoch.
        1 at_ms: i64,
    }

    /// A legal basis was recorded.
    BasisRecorded {
        /// Which record.
        0 basis: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Who may receive.
        2 recipient: String,
        /// What for.
        3 purpose: String,
        /// What.
        4 categories: Vec<String>,
        /// From, ms since the epoch.
        5 from_ms: i64,
        /// Until, ms since the epoch.
        6 until_ms: i64,
        /// Article of the law.
        7 article: String,
        /// Who asked.
        8 requester: String,
        /// The professional or official who decided.
        9 decided_by: String,
        /// Why.
        10 reason: String,
    }

    /// A legal basis ended.
    BasisEnded {
        /// Which record.
        0 basis: Bytes16,
        /// When, ms since the epoch.
        1 at_ms: i64,
    }

    /// A party was given an id for the subject, and a secret from which the ids of the subject's records derive.
    PairwiseMinted {
        /// About whom.
        0 subject: Bytes16,
        /// For which party.
        1 party: String,
        /// The id.
        2 id: Bytes16,
        /// HMAC-SHA-256 key for resource ids at this party.
        3 secret: Bytes32,
    }

    /// A decision, with all that it was made on.
    Decided {
        /// What was asked.
        0 question: Question,
        /// Which route asked.
        1 route: String,
        /// The instant it was decided for, ms since the epoch.
        2 now_ms: i64,
        /// How many entries had shaped the subject's records.
        3 records: u64,
        /// Their digest: each step SHA-256(digest before ‖ leaf hash).
        4 records_digest: Bytes32,
        /// How many entries had shaped the registry.
        5 registry: u64,
        /// Their digest, in the same way.
        6 registry_digest: Bytes32,
        /// Bit `i` is set when category `i` of the question was kept; 0 is a denial.
        7 kept: u16,
        /// Whether a legal basis permitted any of it: such lines stay hidden from citizens (invariant 11).
        8 by_basis: bool,
        /// The consents that permitted any of it; absent where none did.
        9 consents: Option<Vec<Bytes16>>,
    }

    /// What became of a permitted release.
    Closed {
        /// The decision's entry.
        0 decision: Bytes16,
        /// How it ended.
        1 outcome: Outcome,
        /// Items released.
        2 items: u32,
        /// Items that were not: other people's, hidden, unmapped, not covered.
        3 withheld: u32,
        /// Bytes of body handed to the connection.
        4 bytes: u64,
        /// SHA-256 of the whole body when it was complete.
        5 digest: Option<Bytes32>,
    }

    /// A party was suspended or reinstated.
    StandingChanged {
        /// Which party.
        0 party: String,
        /// Suspended, or active again.
        1 suspended: bool,
        /// Why.
        2 reason: String,
    }

    /// A key was destroyed, and with it what it had sealed.
    KeyDestroyed {
        /// Which key.
        0 key: Bytes16,
    }

    /// An operator read something about people.
    OperatorRead {
        /// The operator's configured name.
        0 operator: String,
        /// What kind of thing.
        1 what: String,
        /// Which one.
        2 entry: Option<Bytes16>,
    }

    /// Entries whose time was over were pruned. It is recorded before it is done.
    Pruned {
        /// Only what is older than this, ms since the epoch.
        0 before_ms: i64,
        /// Segments in which something is, and all that is pruned there from now on.
        1 segments: Vec<PrunedOf>,
    }

    /// Parties' ids for the subject lead nowhere any more. New ones are minted when they are needed.
    PairwiseRetired {
        /// About whom.
        0 subject: Bytes16,
        /// Which.
        1 ids: Vec<RetiredId>,
    }

    /// A special adoption (特別養子縁組, 民法817条の2) took effect: the ties to the former family end, all in one. Of the
    /// subject's records there goes every link; every authority from before `from_ms`, and what its holder refused; every
    /// consent that a guardian gave; and the subject's own consents end.
    SpeciallyAdopted {
        /// Who was adopted.
        0 subject: Bytes16,
        /// When it took effect, ms since the epoch: from then on the new parents hold authority.
        1 from_ms: i64,
        /// When it was recorded, ms since the epoch.
        2 at_ms: i64,
        /// Which evidence was seen (審判書, 確定証明書).
        3 evidence: String,
        /// Who checked it.
        4 verified_by: String,
    }

    /// A text that people can be asked to agree to came into force: kept, so that each can be shown what they agreed to. Not
    /// sealed: it is about no person.
    TextPublished {
        /// Which.
        0 text: ConsentText,
    }

    /// A consent was withdrawn: its recipient is asked to erase what it holds (消去のお願い).
    ErasureAsked {
        /// Under which consent it was received.
        0 consent: Bytes16,
        /// The recipient's code.
        1 recipient: String,
        /// When, ms since the epoch.
        2 at_ms: i64,
    }

    /// What the recipient answered.
    ErasureAnswered {
        /// The consent that was withdrawn.
        0 consent: Bytes16,
        /// The recipient's code.
        1 recipient: String,
        /// What it did.
        2 answer: ErasureAnswer,
        /// When, ms since the epoch.
        3 at_ms: i64,
    }

    /// Neutral notices are sent to a channel that the person confirmed as safe, or are not any more. Which, the vault has.
    ChannelChanged {
        /// Whether they are sent.
        0 on: bool,
        /// Since when, ms since the epoch.
        1 at_ms: i64,
    }

    /// A party's staff handed out a one-time code by which a person enrols a login of their own.
    EnrolmentCodeIssued {
        /// For whom.
        0 person: Bytes16,
        /// The code's keyed hash: the code itself is kept nowhere.
        1 code: Bytes32,
        /// Until when it is good, ms since the epoch.
        2 until_ms: i64,
        /// Who checked the person's identity, and how.
        3 attestation: Attestation,
    }

    /// A party was given a one-time code by which a person links the id under which the party knows its user. Whose that is
    /// nobody knows yet, so it is about no person; the id is sealed under a key that only the code gives.
    LinkCodeIssued {
        /// The party's code.
        0 party: String,
        /// The code's keyed hash.
        1 code: Bytes32,
        /// The id at the party, sealed.
        #[cbor(with = "minicbor::bytes")]
        2 sealed: Vec<u8>,
        /// Until when it is good, ms since the epoch.
        3 until_ms: i64,
    }

    /// A one-time code was used, in the same request as the link that it made. It is good for nothing any more: not even
    /// once the person is erased, so it is kept as a record.
    CodeUsed {
        /// By whom.
        0 person: Bytes16,
        /// The code's keyed hash.
        1 code: Bytes32,
    }

    /// A member of a party's staff looked at what is kept about a person.
    CounterLooked {
        /// About whom.
        0 subject: Bytes16,
        /// The party's code.
        1 party: String,
        /// The login of the member of staff.
        2 by: String,
    }

    /// A person's app asks to have a summary delivered to the recipient of a consent.
    ForwardAsked {
        /// Which delivery.
        0 forward: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Under which consent.
        2 consent: Bytes16,
        /// Which summary: its name.
        3 summary: String,
        /// The app's code.
        4 asked_by: String,
        /// The person who asked through it.
        5 person: Bytes16,
        /// Until when it is of use, ms since the epoch, where the app said so.
        6 by_ms: Option<i64>,
    }

    /// What became of a delivery.
    ForwardEnded {
        /// Which delivery.
        0 forward: Bytes16,
        /// How it ended.
        1 end: ForwardEnd,
        /// How often it was handed to the recipient, or tried to be.
        2 attempts: u32,
        /// SHA-256 of what was delivered.
        3 digest: Option<Bytes32>,
    }

    /// The visit that a consent is for was moved. It never lets the consent last longer.
    VisitMoved {
        /// Which consent.
        0 consent: Bytes16,
        /// When the visit is now, ms since the epoch.
        1 visit_ms: i64,
        /// When the consent ends at the latest from here on, ms since the epoch.
        2 until_ms: i64,
        /// When it was moved, ms since the epoch.
        3 at_ms: i64,
        /// The code of the party that said so.
        4 party: String,
    }

    /// A member of a party's staff opens a summary at its pages. It is recorded before anything is shown; what was shown, the
    /// decisions say.
    SummaryOpened {
        /// About whom.
        0 subject: Bytes16,
        /// The party's code.
        1 party: String,
        /// The login of the member of staff.
        2 by: String,
        /// Name and date of birth alone, to make sure who it is; or the whole.
        3 identity_only: bool,
    }

    /// A member of a party's staff says that the person they were shown is not their patient.
    NotTheirPatient {
        /// Who was shown.
        0 subject: Bytes16,
        /// The party's code.
        1 party: String,
        /// The login of the member of staff.
        2 by: String,
        /// When, ms since the epoch.
        3 at_ms: i64,
    }

    /// A consultation was found to need a nurse. Classes of reason only: no score, no words.
    CaseFlagged {
        /// Which case.
        0 case: Bytes16,
        /// Who asked.
        1 subject: Bytes16,
        /// The consultation service's code.
        2 service: String,
        /// Codes of the reasons.
        3 reasons: Vec<String>,
        /// How soon: `weekly`, `raised`, `urgent`.
        4 urgency: String,
        /// When they asked, ms since the epoch.
        5 consulted_ms: i64,
    }

    /// A municipality's package was made up: which cases are in it, the vault has. Not sealed: it is about no person.
    PackagePlanned {
        /// Which package.
        0 package: Bytes16,
        /// The municipality's code as a party.
        1 municipality: String,
        /// The ISO week, `2026-W47`, or `urgent`.
        2 week: String,
        /// Which part of that week, from 1.
        3 part: u32,
        /// How many cases.
        4 cases: u32,
    }

    /// A copy of a package was built: each row was decided and recorded by itself. Not sealed.
    PackageCopied {
        /// Which package.
        0 package: Bytes16,
        /// Which copy, from 1.
        1 copy: u32,
        /// Rows in it.
        2 rows: u32,
        /// Cases of the package that may not be shared, or could not be.
        3 withheld: u32,
        /// SHA-256 of the sealed file.
        4 digest: Bytes32,
        /// Written as a file for one-way transfer, not pulled.
        5 as_file: bool,
    }

    /// The municipality says that it has a copy. Not sealed.
    PackageReceived {
        /// Which package.
        0 package: Bytes16,
        /// Which copy.
        1 copy: u32,
        /// When, ms since the epoch.
        2 at_ms: i64,
    }

    /// A human at a consultation service is called. Not sealed: it names nobody.
    AlertRaised {
        /// Which alert.
        0 alert: Bytes16,
        /// The service's code.
        1 service: String,
    }

    /// A human took an alert on. Who, the decision that follows says. Not sealed.
    AlertAcknowledged {
        /// Which alert.
        0 alert: Bytes16,
        /// When, ms since the epoch.
        1 at_ms: i64,
    }

    /// What a professional decided about an urgent case.
    AlertDecided {
        /// Which alert.
        0 alert: Bytes16,
        /// Which case.
        1 case: Bytes16,
        /// Who asked.
        2 subject: Bytes16,
        /// What was decided.
        3 decision: AlertDecision,
        /// The professional who decided.
        4 by: String,
        /// Who had acknowledged the alert.
        5 acknowledged_by: String,
        /// Why.
        6 reason: String,
        /// The legal basis that was recorded with it.
        7 basis: Option<Bytes16>,
    }

    /// A second person looked at a legal basis afterwards.
    BasisConfirmed {
        /// Which basis.
        0 basis: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Who confirms: another person than who decided.
        2 by: String,
        /// Whether it is upheld; one that is not ends with this.
        3 upheld: bool,
        /// When, ms since the epoch.
        4 at_ms: i64,
        /// Why, where it is not upheld.
        5 reason: Option<String>,
    }

    /// A named official discloses a legal basis to the person concerned: until then it shows nowhere.
    BasisDisclosed {
        /// Which basis.
        0 basis: Bytes16,
        /// About whom.
        1 subject: Bytes16,
        /// Which official.
        2 by: String,
        /// When, ms since the epoch.
        3 at_ms: i64,
    }

    /// A nurse sees a case at a municipality's pages. It is recorded before anything is shown; what was shown, the decision says.
    CaseViewed {
        /// Which case.
        0 case: Bytes16,
        /// Who asked.
        1 subject: Bytes16,
        /// The municipality's code as a party.
        2 party: String,
        /// The login of the nurse.
        3 by: String,
        /// On a list, or the whole of it.
        4 whole: bool,
    }

    /// Something was done about a case. What a nurse wrote is not in it.
    CaseWorked {
        /// Which case.
        0 case: Bytes16,
        /// Who asked.
        1 subject: Bytes16,
        /// The municipality's code as a party.
        2 party: String,
        /// The login of the nurse; `person` where the person asked to be contacted.
        3 by: String,
        /// What: a code (docs/nurses.md).
        4 what: String,
        /// When, ms since the epoch.
        5 at_ms: i64,
    }

    /// A manager says whose cases a nurse sees. Not sealed: it is about staff.
    DistrictsAssigned {
        /// The municipality's code as a party.
        0 party: String,
        /// The login of the manager.
        1 by: String,
        /// The login of the nurse.
        2 nurse: String,
        /// Codes of districts.
        3 districts: Vec<String>,
        /// All districts of the municipality.
        4 all: bool,
    }
}
