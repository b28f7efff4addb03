//! From events to what the policy looks at: one subject's records, and the registry in force.
//!
//! Applying is the only way in which either comes about, live and at a rebuild alike. What an event says that this build
//! does not understand makes the whole subject unreadable, which denies (P-2); it is never skipped. What decisions never
//! look at, the words of consents and proposals, the same entries shape beside it: `papers`.

use jiff::civil::Date;
use sekisho_policy::{
    Authority, AuthorityId, BasisId, Block, BlockId, BlockTarget, Consent, ConsentId, DataPeriod, Field, LegalBasis,
    Lift, Origin, PartyId, Period, PersonId, Refusal, RefusalId, RefusalScope, Scope, SubjectRecords, Timestamp,
};

use crate::ids::{LinkId, PairwiseId, TextId, party_id};
use crate::ledger::entry::Header;
use crate::ledger::event::{BlockedFrom, Event, LinkTarget, SpeciallyAdopted, Terms};
use crate::ledger::merkle::{Hash, sha256};
pub use crate::store::codes::category_version;
use crate::store::codes::{categories, category_code, purpose};

/// Why records are unreadable when a key that sealed one of them was destroyed.
pub(crate) const ERASED: Field = Field::Record("erased");
pub use crate::store::global::Global;
pub use crate::store::papers::{
    Agreement, AuthorityPaper, Ending, ErasureRequest, Forward, ForwardEnded, LinkPaper, Moved, Papers, Proposal,
};

/// What is recorded about one person, as subject, as guardian and as user: all that decisions and releases look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What the policy looks at.
    pub records: SubjectRecords,
    /// How many entries shaped it.
    pub entries: u64,
    /// Their digest: each step SHA-256(digest before ‖ leaf hash).
    pub digest: Hash,
    /// Logins, and ids at sources.
    pub links: Vec<Link>,
    /// What parties know this person by.
    pub pairwise: Vec<Pairwise>,
    /// Whether the identity check is recorded.
    pub enrolled: bool,
    /// From when the latest recorded special adoption is in effect.
    pub adopted_from: Option<Timestamp>,
    /// Who may receive on a legal basis, and since when one is recorded: each party once, ended or not.
    pub officials: Vec<(PartyId, Timestamp)>,
    /// Legal bases that nobody has disclosed, and who may receive on them.
    pub undisclosed: Vec<(BasisId, PartyId)>,
}

/// A verified link that holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Which link.
    pub id: LinkId,
    /// To what.
    pub to: LinkTarget,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link(..)")
    }
}

/// What one party knows a person by.
#[derive(Clone, PartialEq, Eq)]
pub struct Pairwise {
    /// The party's code.
    pub party: String,
    /// The id.
    pub id: PairwiseId,
    /// HMAC key for the ids of the person's records at this party.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Pairwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pairwise(..)")
    }
}

impl Subject {
    /// A person of whom nothing is known. Until the enrolment is read, everything is denied.
    #[must_use]
    pub fn unknown(person: PersonId) -> Self {
        let mut records = SubjectRecords::new(person, Date::constant(1, 1, 1));
        records.unreadable = Some(Field::Record("enrolled.birth"));
        Self {
            records,
            entries: 0,
            digest: [0; 32],
            links: Vec::new(),
            pairwise: Vec::new(),
            enrolled: false,
            adopted_from: None,
            officials: Vec::new(),
            undisclosed: Vec::new(),
        }
    }

    /// What this party knows the person by.
    #[must_use]
    pub fn pairwise_at(&self, party: &str) -> Option<&Pairwise> {
        self.pairwise.iter().find(|p| p.party == party)
    }

    /// The person's id at a source.
    #[must_use]
    pub fn id_at(&self, source: &str) -> Option<&str> {
        self.links.iter().find_map(|l| match &l.to {
            LinkTarget::Source { party, id } if party == source => Some(id.as_str()),
            _ => None,
        })
    }

    /// Whether this is an id of the person at a source, now.
    #[must_use]
    pub fn is_at(&self, source: &str, at: &str) -> bool {
        self.links.iter().any(|l| matches!(&l.to, LinkTarget::Source { party, id } if party == source && id == at))
    }

    /// Whether this login is one of the person's, now.
    #[must_use]
    pub fn has_login(&self, issuer: &str, sub: &str) -> bool {
        self.links.iter().any(|l| matches!(&l.to, LinkTarget::Login { issuer: i, sub: s } if i == issuer && s == sub))
    }

    /// Takes in one entry, in ledger order, and gives the papers what is theirs of it. `None` is a body whose key was
    /// destroyed.
    pub fn apply(&mut self, papers: &mut Papers, header: &Header, leaf: &Hash, event: Option<&Event>) {
        self.entries += 1;
        self.digest = step(&self.digest, leaf);
        let Some(event) = event else {
            // What can't be read any more might forbid.
            self.records.unreadable = Some(ERASED);
            return;
        };
        let taken = if about(event).is_none_or(|person| person == self.records.subject) {
            self.take(event)
        } else {
            Err("entry.person")
        };
        match taken {
            Ok(()) => {
                self.note_official(header, event);
                papers.take(header, leaf, event, self.entries);
            }
            Err(field) => self.records.unreadable = Some(Field::Record(field)),
        }
    }

    fn note_official(&mut self, header: &Header, event: &Event) {
        let basis = match event {
            Event::BasisRecorded(basis) => basis,
            Event::BasisDisclosed(e) => return self.undisclosed.retain(|(id, _)| *id != BasisId::of(e.basis.0)),
            _ => return,
        };
        let party = party_id(&basis.recipient);
        self.undisclosed.push((BasisId::of(basis.basis.0), party));
        if !self.officials.iter().any(|(known, _)| *known == party) {
            self.officials.push((party, header.at()));
        }
    }

    fn take(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Enrolled(e) => {
                self.records.birth = e.birth.parse().map_err(|_| "enrolled.birth")?;
                if self.records.unreadable == Some(Field::Record("enrolled.birth")) {
                    self.records.unreadable = None;
                }
                self.enrolled = true;
            }
            Event::Linked(e) => self.links.push(Link { id: LinkId::of(e.link.0), to: e.to.clone() }),
            Event::LinkEnded(e) => self.links.retain(|l| l.id != LinkId::of(e.link.0)),
            Event::PairwiseMinted(e) => self.pairwise.push(Pairwise {
                party: e.party.clone(),
                id: PairwiseId::from_bytes(e.id.0),
                secret: e.secret.0,
            }),
            Event::PairwiseRetired(e) => {
                self.pairwise.retain(|p| !e.ids.iter().any(|r| r.id.0 == *p.id.bytes() && r.party == p.party));
            }
            Event::SpeciallyAdopted(e) => self.sever(e),
            // Papers only.
            Event::ConsentProposed(_)
            | Event::ProposalClosed(_)
            | Event::ErasureAsked(_)
            | Event::ErasureAnswered(_)
            | Event::ChannelChanged(_)
            | Event::ForwardAsked(_)
            | Event::ForwardEnded(_) => {}
            Event::EnrolmentCodeIssued(_) | Event::CodeUsed(_) | Event::CounterLooked(_) => {}
            Event::SummaryOpened(_) | Event::NotTheirPatient(_) | Event::CaseViewed(_) | Event::CaseWorked(_) => {}
            Event::CaseFlagged(_) | Event::AlertDecided(_) | Event::BasisConfirmed(_) | Event::BasisDisclosed(_) => {}
            _ => self.take_record(event)?,
        }
        Ok(())
    }

    /// A special adoption: nothing that rests on the former family is left (`docs/formats.md` §5).
    fn sever(&mut self, e: &SpeciallyAdopted) {
        let (from, at) = (Timestamp::from_millis(e.from_ms), Timestamp::from_millis(e.at_ms));
        let records = &mut self.records;
        let subject = records.subject;
        self.links.clear();
        records.authorities.retain(|a| a.period.from() >= from);
        let stays = |who: PersonId| who == subject || records.authorities.iter().any(|a| a.guardian == who);
        records.refusals.retain(|r| stays(r.grantor));
        records.consents.retain(|c| c.grantor == subject);
        for consent in &mut records.consents {
            consent.ended_at = Some(consent.ended_at.map_or(at, |earlier| earlier.min(at)));
        }
        self.adopted_from = Some(from);
    }

    fn take_record(&mut self, event: &Event) -> Result<(), &'static str> {
        let records = &mut self.records;
        match event {
            Event::AuthorityRecorded(e) => records.authorities.push(Authority {
                id: AuthorityId::of(e.authority.0),
                guardian: PersonId::of(e.guardian.0),
                period: period(e.from_ms, e.until_ms).ok_or("authority.period")?,
            }),
            Event::AuthorityEnded(e) => {
                let id = AuthorityId::of(e.authority.0);
                for a in records.authorities.iter_mut().filter(|a| a.id == id) {
                    a.period = shortened(a.period, e.at_ms);
                }
            }
            Event::ConsentApproved(e) => records.consents.push(consent(e)?),
            Event::ConsentEnded(e) => {
                let id = ConsentId::of(e.consent.0);
                let at = Timestamp::from_millis(e.at_ms);
                for c in records.consents.iter_mut().filter(|c| c.id == id) {
                    c.ended_at = Some(c.ended_at.map_or(at, |earlier| earlier.min(at)));
                }
            }
            Event::VisitMoved(e) => {
                let id = ConsentId::of(e.consent.0);
                for c in records.consents.iter_mut().filter(|c| c.id == id) {
                    c.period = shortened(c.period, e.until_ms);
                }
            }
            Event::Refused(_) | Event::RefusalLifted(_) => self.take_refusal(event)?,
            _ => self.take_protection(event)?,
        }
        Ok(())
    }

    fn take_refusal(&mut self, event: &Event) -> Result<(), &'static str> {
        let records = &mut self.records;
        match event {
            Event::Refused(e) => records.refusals.push(Refusal {
                id: RefusalId::of(e.refusal.0),
                grantor: PersonId::of(e.grantor.0),
                scope: RefusalScope {
                    recipient: e.recipient.as_deref().map_or(Scope::Any, |p| Scope::Only(party_id(p))),
                    purpose: scope(e.purpose.as_deref(), |p| purpose(p, "refusal.purpose"))?,
                    categories: scope(e.categories.as_deref(), |list| {
                        list.iter().map(|c| category_code(c, "refusal.categories")).collect()
                    })?,
                },
                from: Timestamp::from_millis(e.from_ms),
                lift: None,
            }),
            Event::RefusalLifted(e) => {
                let id = RefusalId::of(e.refusal.0);
                for r in records.refusals.iter_mut().filter(|r| r.id == id) {
                    r.lift = Some(Lift { by: PersonId::of(e.by.0), at: Timestamp::from_millis(e.at_ms) });
                }
            }
            _ => return Err("entry.type"),
        }
        Ok(())
    }

    fn take_protection(&mut self, event: &Event) -> Result<(), &'static str> {
        let records = &mut self.records;
        match event {
            Event::BlockSet(e) => records.blocks.push(Block {
                id: BlockId::of(e.block.0),
                target: match &e.target {
                    BlockedFrom::Person(p) => BlockTarget::Person(PersonId::of(p.0)),
                    BlockedFrom::Party(code) => BlockTarget::Party(party_id(code)),
                },
                period: period(e.from_ms, e.until_ms).ok_or("block.period")?,
            }),
            Event::BlockEnded(e) => {
                let id = BlockId::of(e.block.0);
                for b in records.blocks.iter_mut().filter(|b| b.id == id) {
                    b.period = shortened(b.period, e.at_ms);
                }
            }
            Event::BasisRecorded(e) => records.bases.push(LegalBasis {
                id: BasisId::of(e.basis.0),
                recipient: party_id(&e.recipient),
                purpose: purpose(&e.purpose, "basis.purpose")?,
                categories: categories(&e.categories, "basis.categories")?,
                period: period(e.from_ms, Some(e.until_ms)).ok_or("basis.period")?,
                ended_at: None,
            }),
            Event::BasisEnded(e) => {
                let id = BasisId::of(e.basis.0);
                for b in records.bases.iter_mut().filter(|b| b.id == id) {
                    b.ended_at = Some(Timestamp::from_millis(e.at_ms));
                }
            }
            // Decisions, outcomes and entries about no person don't shape a subject; one that turns up here was filed
            // wrongly, and what is filed wrongly can't be trusted.
            _ => return Err("entry.type"),
        }
        Ok(())
    }
}

/// Whom an event names as the one it is about, where it does.
fn about(event: &Event) -> Option<PersonId> {
    let person = match event {
        Event::Enrolled(e) => e.person,
        Event::Linked(e) => e.person,
        Event::ConsentProposed(e) => e.person,
        Event::AuthorityRecorded(e) => e.subject,
        Event::ConsentApproved(e) => e.subject,
        Event::Refused(e) => e.subject,
        Event::BlockSet(e) => e.subject,
        Event::BasisRecorded(e) => e.subject,
        Event::PairwiseMinted(e) => e.subject,
        Event::PairwiseRetired(e) => e.subject,
        Event::SpeciallyAdopted(e) => e.subject,
        Event::EnrolmentCodeIssued(e) => e.person,
        Event::CodeUsed(e) => e.person,
        Event::CounterLooked(e) => e.subject,
        Event::ForwardAsked(e) => e.subject,
        Event::SummaryOpened(e) => e.subject,
        Event::NotTheirPatient(e) => e.subject,
        Event::CaseFlagged(e) => e.subject,
        Event::AlertDecided(e) => e.subject,
        Event::BasisConfirmed(e) => e.subject,
        Event::BasisDisclosed(e) => e.subject,
        Event::CaseViewed(e) => e.subject,
        Event::CaseWorked(e) => e.subject,
        _ => return None,
    };
    Some(PersonId::of(person.0))
}

pub(super) fn step(digest: &Hash, leaf: &Hash) -> Hash {
    sha256(&[digest.as_slice(), leaf].concat())
}

/// A consent as the policy looks at it.
///
/// # Errors
/// Names the field that is not understood.
pub(crate) fn consent(e: &crate::ledger::event::ConsentApproved) -> Result<Consent, &'static str> {
    let terms = &e.terms;
    Ok(Consent {
        id: ConsentId::of(e.consent.0),
        grantor: PersonId::of(e.grantor.0),
        recipient: party_id(&terms.recipient),
        purpose: purpose(&terms.purpose, "consent.purpose")?,
        categories: categories(&terms.categories, "consent.categories")?,
        source: terms.source.as_deref().map(party_id),
        period: period(terms.from_ms, Some(terms.until_ms)).ok_or("consent.period")?,
        data_period: data_period(terms)?,
        origin: e.attested_by.as_deref().map_or(Origin::Own, |by| Origin::Attested { by: party_id(by) }),
        approved_at: Timestamp::from_millis(e.approved_ms),
        ended_at: None,
    })
}

/// The data period of some terms; `None` is all dates.
///
/// # Errors
/// Names the field when a date isn't one, or the end isn't after the beginning.
pub fn data_period(terms: &Terms) -> Result<Option<DataPeriod>, &'static str> {
    let date = |text: &Option<String>| text.as_deref().map(str::parse::<Date>).transpose();
    let (Ok(from), Ok(until)) = (date(&terms.data_from), date(&terms.data_until)) else {
        return Err("consent.data_period");
    };
    if from.is_none() && until.is_none() {
        return Ok(None);
    }
    DataPeriod::new(from, until).map(Some).map_err(|_| "consent.data_period")
}

fn period(from_ms: i64, until_ms: Option<i64>) -> Option<Period> {
    let from = Timestamp::from_millis(from_ms);
    Period::new(from, until_ms.map_or(Timestamp::MAX, Timestamp::from_millis)).ok()
}

/// The period, ended at `at`. One that ends before it began is left with its shortest form, which is over at once.
fn shortened(period: Period, at_ms: i64) -> Period {
    let at = Timestamp::from_millis(at_ms).min(period.until());
    let least = period.from().plus_millis(1);
    Period::new(period.from(), at.max(least)).unwrap_or(period)
}

fn scope<T: ?Sized, U>(
    value: Option<&T>,
    parse: impl FnOnce(&T) -> Result<U, &'static str>,
) -> Result<Scope<U>, &'static str> {
    value.map_or(Ok(Scope::Any), |v| parse(v).map(Scope::Only))
}
