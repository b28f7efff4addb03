//! From the written form to the crate's types, and from its decision back to words.

use sekisho_policy::*;
use std::collections::BTreeMap;

use super::*;

/// A name as an id: the name's own bytes, so that a decision can be told in names again.
fn id(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    out.get_mut(..name.len())
        .unwrap_or_else(|| panic!("longer than 16 bytes: {name}"))
        .copy_from_slice(name.as_bytes());
    out
}

fn name(id: &[u8; 16]) -> String {
    String::from_utf8_lossy(id).trim_end_matches('\0').to_owned()
}

fn person(n: &str) -> PersonId {
    PersonId::from_bytes(id(n))
}

fn party(n: &str) -> PartyId {
    PartyId::from_bytes(id(n))
}

fn code(text: &str) -> Code {
    Code::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn category(text: &str) -> CategoryVersion {
    let (name, version) = text.split_once('@').unwrap_or_else(|| panic!("no version: {text}"));
    CategoryVersion { code: CategoryCode(code(name)), version: version.parse().expect("a number") }
}

fn categories(list: &[String]) -> Box<[CategoryVersion]> {
    list.iter().map(|c| category(c)).collect()
}

fn period(from: jiff_text::Instant, until: Option<jiff_text::Instant>) -> Period {
    until.map_or(Period::open(from.0), |until| Period::new(from.0, until.0).expect("in order"))
}

fn kind(kind: Kind) -> PartyKind {
    match kind {
        Kind::PhrApp => PartyKind::PhrApp,
        Kind::Clinic => PartyKind::Clinic,
        Kind::Municipality => PartyKind::Municipality,
        Kind::ConsultationService => PartyKind::ConsultationService,
        Kind::Research => PartyKind::Research,
        Kind::Portal => PartyKind::Portal,
        Kind::Person => PartyKind::Person,
    }
}

/// The registry of a story's world.
pub fn registry(registered: &Registered, story: &Story) -> Registry {
    let known = |name: &String| registered.parties.iter().any(|p| p.id == *name);
    assert!(story.suspended.iter().all(known), "a suspended party is not registered");
    let parties = registered.parties.iter().map(|p| Party {
        id: party(&p.id),
        kind: kind(p.kind),
        standing: if story.suspended.contains(&p.id) { Standing::Suspended } else { Standing::Active },
    });
    let purposes = registered.purposes.iter().map(|p| Purpose {
        code: PurposeCode(code(&p.code)),
        receivers: p.receivers.iter().map(|k| kind(*k)).collect(),
        longest_ms: p.longest_days * 86_400_000,
        one_guardian_alone: p.one_guardian_alone,
    });
    let categories = registered
        .categories
        .iter()
        .map(|c| Category { version: category(&c.category), own_consent_age: c.own_consent_age });
    let rules = Rules { guardian_refusal_stands: story.guardian_refusal_stands };
    Registry::new(parties.collect(), purposes.collect(), categories.collect(), rules).expect("each once")
}

/// The records of a story.
pub fn records(story: &Story) -> SubjectRecords {
    let r = &story.records;
    let mut out = SubjectRecords::new(person(&story.subject.name), story.subject.born.0);
    out.consents = r.consents.iter().map(consent).collect();
    out.refusals = r.refusals.iter().map(refusal).collect();
    out.blocks = r.blocks.iter().map(block).collect();
    out.authorities = r.authorities.iter().map(authority).collect();
    out.bases = r.bases.iter().map(basis).collect();
    let leak = |text: &String| -> &'static str { Box::leak(text.clone().into_boxed_str()) };
    out.unreadable = r.unreadable.as_ref().map(|field| Field::Record(leak(field)));
    out
}

fn consent(c: &ConsentText) -> Consent {
    let dates = c.data_from.is_some() || c.data_until.is_some();
    let data_period = || DataPeriod::new(c.data_from.map(|d| d.0), c.data_until.map(|d| d.0)).expect("in order");
    Consent {
        id: ConsentId::from_bytes(id(&c.id)),
        grantor: person(&c.grantor),
        recipient: party(&c.recipient),
        purpose: PurposeCode(code(&c.purpose)),
        categories: categories(&c.categories),
        source: c.source.as_deref().map(party),
        period: period(c.from, c.until),
        data_period: dates.then(data_period),
        origin: c.attested_by.as_deref().map_or(Origin::Own, |by| Origin::Attested { by: party(by) }),
        approved_at: c.approved_at.unwrap_or(c.from).0,
        ended_at: c.ended_at.map(|t| t.0),
    }
}

fn refusal(r: &RefusalText) -> Refusal {
    let codes = |list: &Vec<String>| list.iter().map(|c| CategoryCode(code(c))).collect();
    Refusal {
        id: RefusalId::from_bytes(id(&r.id)),
        grantor: person(&r.grantor),
        scope: RefusalScope {
            recipient: r.recipient.as_deref().map_or(Scope::Any, |p| Scope::Only(party(p))),
            purpose: r.purpose.as_deref().map_or(Scope::Any, |p| Scope::Only(PurposeCode(code(p)))),
            categories: r.categories.as_ref().map_or(Scope::Any, |list| Scope::Only(codes(list))),
        },
        from: r.from.0,
        lift: r.lifted.as_ref().map(|l| Lift { by: person(&l.by), at: l.at.0 }),
    }
}

fn block(b: &BlockText) -> Block {
    let target = match &b.hidden_from {
        Hidden::Person(n) => BlockTarget::Person(person(n)),
        Hidden::Party(n) => BlockTarget::Party(party(n)),
    };
    Block { id: BlockId::from_bytes(id(&b.id)), target, period: period(b.from, b.until) }
}

fn authority(a: &AuthorityText) -> Authority {
    Authority { id: AuthorityId::from_bytes(id(&a.id)), guardian: person(&a.guardian), period: period(a.from, a.until) }
}

fn basis(b: &BasisText) -> LegalBasis {
    LegalBasis {
        id: BasisId::from_bytes(id(&b.id)),
        recipient: party(&b.recipient),
        purpose: PurposeCode(code(&b.purpose)),
        categories: categories(&b.categories),
        period: period(b.from, b.until),
        ended_at: b.ended_at.map(|t| t.0),
    }
}

/// The request of one step.
pub fn request(story: &Story, r: &Request) -> AccessRequest {
    let through = |p: &String, actor| Receiver::Party { party: party(p), actor };
    let receiver = match &r.receiver {
        ReceiverText::System { party } => through(party, Actor::System),
        ReceiverText::Staff { party, person: p } => through(party, Actor::Staff(person(p))),
        ReceiverText::Subject { party, person: p } => through(party, Actor::Subject(person(p))),
        ReceiverText::Guardian { party, person: p } => through(party, Actor::Guardian(person(p))),
        ReceiverText::OwnPagesAsSubject { person: p } => {
            Receiver::Person { person: person(p), capacity: Capacity::Subject }
        }
        ReceiverText::OwnPagesAsGuardian { person: p } => {
            Receiver::Person { person: person(p), capacity: Capacity::Guardian }
        }
    };
    AccessRequest {
        subject: person(r.about.as_ref().unwrap_or(&story.subject.name)),
        receiver,
        source: party(&r.source),
        purpose: PurposeCode(code(&r.purpose)),
        categories: Categories::new(categories(&r.categories)).expect("1 to 16 categories"),
    }
}

/// A decision in words: what is kept, what is withheld, until when.
pub type Told = (BTreeMap<String, String>, BTreeMap<String, String>, Option<Timestamp>);

/// Tells a decision.
pub fn tell(decision: &Decision) -> Told {
    let withheld = |list: &[Withheld]| list.iter().map(|w| (w.category.to_string(), why(w.why))).collect();
    match decision {
        Decision::Deny(d) => (BTreeMap::new(), withheld(d.withheld()), None),
        Decision::Permit(p) => {
            let kept = p.kept().iter().map(|k| (k.category.to_string(), by(k))).collect();
            (kept, withheld(p.withheld()), Some(p.until()))
        }
    }
}

fn by(kept: &Kept) -> String {
    let by = match kept.by {
        PermittedBy::Basis(id) => format!("basis {}", name(id.bytes())),
        PermittedBy::Consent(id) => format!("consent {}", name(id.bytes())),
        PermittedBy::OwnAccess => "own access".to_owned(),
        PermittedBy::Authority(id) => format!("authority {}", name(id.bytes())),
    };
    match &kept.data {
        DataScope::All => by,
        DataScope::Within(periods) => {
            let periods: Vec<String> = periods.iter().map(|p| format!("{} to {}", p.from(), p.until())).collect();
            format!("{by}, data of {}", periods.join(" and "))
        }
    }
}

fn why(reason: Reason) -> String {
    match reason {
        Reason::ForbiddenBy(Forbidding::Block(id)) => format!("block {}", name(id.bytes())),
        Reason::ForbiddenBy(Forbidding::Refusal(id)) => format!("refusal {}", name(id.bytes())),
        Reason::ForbiddenBy(Forbidding::Suspension(id)) => format!("suspension of {}", name(id.bytes())),
        Reason::NothingApplies(near) => {
            let consent = near.consent.map(|id| format!(" ({})", name(id.bytes())));
            format!("nothing applies: {}{}", miss(near.miss), consent.unwrap_or_default())
        }
        Reason::NotUnderstood(Field::Record(field)) => format!("not understood: {field}"),
        Reason::NotUnderstood(field) => format!("not understood: {}", format!("{field:?}").to_lowercase()),
    }
}

fn miss(miss: Miss) -> &'static str {
    match miss {
        Miss::ReceiverKind => "not for receivers of this kind",
        Miss::Actor => "the actor may not act",
        Miss::NoConsent => "no consent",
        Miss::OtherRecipient => "other recipient",
        Miss::OtherPurpose => "other purpose",
        Miss::OtherCategory => "other category",
        Miss::OtherVersion => "other version",
        Miss::OtherSource => "other source",
        Miss::Attester => "may not attest it",
        Miss::Grantor => "grantor not entitled",
        Miss::GrantorBlocked => "grantor blocked",
        Miss::Ended => "ended",
        Miss::Expired => "expired",
        Miss::NotYet => "not yet",
    }
}
