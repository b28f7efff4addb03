//! What the tests of the decision share: a world small enough that its records collide, and generated cases of it.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod generate;
pub mod shrink;

use jiff::civil::Date;
use sekisho_policy::*;

pub const DAY: i64 = 86_400_000;
pub const YEAR: i64 = 366 * DAY;

pub const CLINIC: u8 = 1;
pub const CLINIC_B: u8 = 2;
pub const CITY: u8 = 3;
pub const APP: u8 = 4;
pub const ODD: u8 = 5;
pub const UNKNOWN: u8 = 9;

pub const CHILD: u8 = 1;
pub const MOTHER: u8 = 2;
pub const FATHER: u8 = 3;
pub const STRANGER: u8 = 4;

/// One question and all that it is decided on.
#[derive(Clone, Debug)]
pub struct World {
    pub records: SubjectRecords,
    pub registry: Registry,
    pub request: AccessRequest,
    pub now: Timestamp,
}

impl World {
    pub fn decide(&self) -> Decision {
        decide(&self.records, &self.registry, &self.request, self.now)
    }

    pub fn permit(&self) -> Option<Permit> {
        match self.decide() {
            Decision::Permit(permit) => Some(permit),
            Decision::Deny(_) => None,
        }
    }
}

pub fn bytes(n: u8) -> [u8; 16] {
    [n; 16]
}

pub fn person(n: u8) -> PersonId {
    PersonId::from_bytes(bytes(n))
}

pub fn party(n: u8) -> PartyId {
    PartyId::from_bytes(bytes(n))
}

pub fn consent_id(n: u8) -> ConsentId {
    ConsentId::from_bytes(bytes(n))
}

pub fn code(text: &str) -> Code {
    Code::parse(text).expect("a code")
}

pub fn purpose(text: &str) -> PurposeCode {
    PurposeCode(code(text))
}

pub fn cat(text: &str, version: u16) -> CategoryVersion {
    CategoryVersion { code: CategoryCode(code(text)), version }
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub fn period(from: i64, until: i64) -> Period {
    Period::new(at(from), at(until)).expect("a period")
}

pub fn day(year: i16, month: i8, day: i8) -> Date {
    jiff::civil::date(year, month, day)
}

/// A registry in which every field means something: kinds, two versions, own-consent ages, a short and a long purpose.
pub fn registry(rules: Rules) -> Registry {
    let party = |n, kind| Party { id: party(n), kind, standing: Standing::Active };
    let parties = vec![
        party(CLINIC, PartyKind::Clinic),
        party(CLINIC_B, PartyKind::Clinic),
        party(CITY, PartyKind::Municipality),
        party(APP, PartyKind::PhrApp),
    ];
    let receivers = vec![PartyKind::Clinic, PartyKind::Municipality, PartyKind::PhrApp, PartyKind::Person];
    let purpose = |text, longest_ms, one_guardian_alone| Purpose {
        code: purpose(text),
        receivers: receivers.clone(),
        longest_ms,
        one_guardian_alone,
    };
    let purposes = vec![purpose("care", YEAR, false), purpose("checkup", 30 * DAY, true)];
    let category = |text, version, own_consent_age| Category { version: cat(text, version), own_consent_age };
    let categories = vec![
        category("vaccination", 1, 18),
        category("vaccination", 2, 18),
        category("medication", 1, 15),
        category("consultation", 1, 0),
    ];
    Registry::new(parties, purposes, categories, rules).expect("each once")
}

/// A consent of the mother for the clinic's care, over all dates; tests change what they are about.
pub fn consent(n: u8, grantor: u8, from: i64, until: i64) -> Consent {
    Consent {
        id: consent_id(n),
        grantor: person(grantor),
        recipient: party(CLINIC),
        purpose: purpose("care"),
        categories: Box::new([cat("vaccination", 1)]),
        source: None,
        period: period(from, until),
        data_period: None,
        origin: Origin::Own,
        approved_at: at(from),
        ended_at: None,
    }
}

pub fn refusal(n: u8, grantor: u8, from: i64) -> Refusal {
    Refusal {
        id: RefusalId::from_bytes(bytes(n)),
        grantor: person(grantor),
        scope: RefusalScope { recipient: Scope::Any, purpose: Scope::Any, categories: Scope::Any },
        from: at(from),
        lift: None,
    }
}

pub fn block(n: u8, target: BlockTarget, period: Period) -> Block {
    Block { id: BlockId::from_bytes(bytes(n)), target, period }
}

pub fn authority(n: u8, guardian: u8, period: Period) -> Authority {
    Authority { id: AuthorityId::from_bytes(bytes(n)), guardian: person(guardian), period }
}

pub fn basis(n: u8, period: Period) -> LegalBasis {
    LegalBasis {
        id: BasisId::from_bytes(bytes(n)),
        recipient: party(CLINIC),
        purpose: purpose("care"),
        categories: Box::new([cat("vaccination", 1)]),
        period,
        ended_at: None,
    }
}

/// A clinic's staff asks for the child's vaccinations.
pub fn request(categories: &[CategoryVersion]) -> AccessRequest {
    AccessRequest {
        subject: person(CHILD),
        receiver: Receiver::Party { party: party(CLINIC), actor: Actor::Staff(person(STRANGER)) },
        source: party(APP),
        purpose: purpose("care"),
        categories: Categories::new(categories.iter().copied()).expect("one at least"),
    }
}
