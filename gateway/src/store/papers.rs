//! A person's papers: what was proposed and agreed to, word by word, for the people who look at it and decide about it.
//!
//! Decisions and releases never look at them; [`Subject`] is all that they need, and many more of those fit into memory.
//! Both come out of the same entries, by [`Subject::apply`] and in no other way.
//!
//! [`Subject`]: super::state::Subject
//! [`Subject::apply`]: super::state::Subject::apply

use sekisho_policy::{AuthorityId, BasisId, ConsentId, PersonId, SubjectRecords, Timestamp};

use crate::ids::{EntryId, ForwardId, LinkId, TextId};
use crate::ledger::entry::Header;
use crate::ledger::event::{Attestation, ErasureAnswer, Event, ForwardEnd, Terms};
use crate::ledger::merkle::Hash;

/// Deliveries that ended and are still known, at most.
const FORWARDS_ENDED_MAX: usize = 100;

/// The papers of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Papers {
    /// What was proposed to this person, and not yet decided by way of this person.
    pub proposals: Vec<Proposal>,
    /// What was agreed to, with the text's hash.
    pub agreements: Vec<Agreement>,
    /// What guardians' authority rests on; ended ones included.
    pub authorities: Vec<AuthorityPaper>,
    /// What links rest on, of those that hold.
    pub links: Vec<LinkPaper>,
    /// Deliveries that apps asked for: those that wait, and the newest of those that ended.
    pub forwards: Vec<Forward>,
    /// What legal bases say beyond what the policy needs; ended ones included.
    pub bases: Vec<BasisPaper>,
    /// The newest enrolment code, by its keyed hash: it takes the place of those before.
    pub code: Option<Hash>,
}

/// What a link says beyond what it links to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPaper {
    /// Which link.
    pub id: LinkId,
    /// Since when.
    pub at: Timestamp,
    /// Who verified it, as recorded.
    pub verified_by: String,
}

/// A proposal that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The consent that it may become.
    pub consent: ConsentId,
    /// What it says.
    pub terms: Terms,
    /// The proposing party's code.
    pub proposed_by: String,
    /// When.
    pub at: Timestamp,
    /// Whether it was declined.
    pub declined: bool,
    /// Counts the changes, for the entity tag.
    pub revision: u64,
}

/// What a consent says beyond what the policy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Which consent.
    pub consent: ConsentId,
    /// Who gave it.
    pub grantor: PersonId,
    /// What it says.
    pub terms: Terms,
    /// How the person was signed in, or how it was attested.
    pub how: String,
    /// What a party attests of it, where it was not given here.
    pub attestation: Option<Attestation>,
    /// The consent that took its place.
    pub superseded_by: Option<ConsentId>,
    /// The entry that ended it.
    pub ended: Option<Ending>,
    /// When it was last withdrawn here, and not by what a party attests: also after it had ended by that.
    pub withdrawn_here: Option<Timestamp>,
    /// The recipient was asked to erase what it holds.
    pub erasure: Option<ErasureRequest>,
    /// The party that proposed it, where that is not the one that receives.
    pub proposed_by: Option<String>,
    /// Where its visit was moved to, if it was.
    pub moved: Option<Moved>,
    /// Counts the changes, for the entity tag.
    pub revision: u64,
}

/// How the visit stands that a consent is for, once it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When the visit is now.
    pub visit: Timestamp,
    /// When the consent ends at the latest.
    pub until: Timestamp,
    /// How often it was moved.
    pub times: u32,
}

/// A request to erase (消去のお願い), and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRequest {
    /// When it was made.
    pub asked: Timestamp,
    /// What the recipient says last, and when it said so.
    pub answer: Option<(ErasureAnswer, Timestamp)>,
    /// How often it has answered.
    pub answers: u32,
}

/// A delivery that an app asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Which.
    pub id: ForwardId,
    /// Under which consent.
    pub consent: ConsentId,
    /// Which summary.
    pub summary: String,
    /// The app's code.
    pub asked_by: String,
    /// When.
    pub at: Timestamp,
    /// Until when it is of use, where the app said so.
    pub by: Option<Timestamp>,
    /// What became of it.
    pub ended: Option<ForwardEnded>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardEnded {
    /// How it ended.
    pub end: ForwardEnd,
    /// How often it was tried.
    pub attempts: u32,
    /// SHA-256 of what was delivered.
    pub digest: Option<Hash>,
    /// The entry that says so.
    pub entry: Ending,
}

/// What a legal basis says beyond what the policy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasisPaper {
    /// Which basis.
    pub id: BasisId,
    /// The article.
    pub article: String,
    /// Who asked.
    pub requester: String,
    /// The professional or official who decided.
    pub decided_by: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Whether a second person upheld it, once one has looked.
    pub upheld: Option<bool>,
    /// Since when the person concerned may see it.
    pub disclosed: Option<Timestamp>,
}

/// What a record of authority says beyond what the policy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityPaper {
    /// Which record.
    pub id: AuthorityId,
    /// Who holds it.
    pub guardian: PersonId,
    /// On what it rests, as recorded.
    pub kind: String,
    /// When it is to be checked again.
    pub recheck: Option<Timestamp>,
}

impl Agreement {
    /// How it stands: `active`, `revoked`, `superseded`, `expired`, or `unreadable` when its record is not there.
    #[must_use]
    pub fn status(&self, records: &SubjectRecords, now: Timestamp) -> &'static str {
        match records.consents.iter().find(|c| c.id == self.consent) {
            Some(c) if c.ended_at.is_some_and(|at| at <= now) && self.superseded_by.is_some() => "superseded",
            Some(c) if c.ended_at.is_some_and(|at| at <= now) => "revoked",
            Some(c) if c.period.until() <= now => "expired",
            Some(_) => "active",
            None => "unreadable",
        }
    }

    /// When the visit is that it is for, as far as is known now.
    #[must_use]
    pub fn visit(&self) -> Option<Timestamp> {
        let agreed = self.terms.booking.as_ref().map(|booking| Timestamp::from_millis(booking.visit_ms));
        self.moved.map(|moved| moved.visit).or(agreed)
    }

    /// When it ends, if nothing ends it before: as agreed, or earlier where its visit was moved.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        let agreed = Timestamp::from_millis(self.terms.until_ms);
        self.moved.map_or(agreed, |moved| agreed.min(moved.until))
    }
}

/// The entry that ended a consent: what its receipt refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The entry.
    pub entry: EntryId,
    /// Its leaf hash.
    pub leaf: Hash,
    /// When.
    pub at: Timestamp,
}

impl Papers {
    /// Takes in what an entry says that the subject's records have taken in; `revision` counts those.
    pub(super) fn take(&mut self, header: &Header, leaf: &Hash, event: &Event, revision: u64) {
        match event {
            Event::ConsentProposed(e) => self.proposals.push(Proposal {
                consent: ConsentId::of(e.consent.0),
                terms: e.terms.clone(),
                proposed_by: e.proposed_by.clone(),
                at: header.at(),
                declined: false,
                revision,
            }),
            Event::ProposalClosed(e) if e.approved => {
                self.proposals.retain(|p| p.consent != ConsentId::of(e.consent.0))
            }
            Event::ProposalClosed(e) => {
                for p in self.proposals.iter_mut().filter(|p| p.consent == ConsentId::of(e.consent.0)) {
                    (p.declined, p.revision) = (true, revision);
                }
            }
            Event::ConsentApproved(e) => {
                let id = ConsentId::of(e.consent.0);
                self.proposals.retain(|p| p.consent != id);
                self.agreements.push(Agreement {
                    consent: id,
                    grantor: PersonId::of(e.grantor.0),
                    terms: e.terms.clone(),
                    how: e.how.clone(),
                    attestation: e.attestation.clone(),
                    superseded_by: None,
                    ended: None,
                    withdrawn_here: None,
                    erasure: None,
                    proposed_by: e.proposed_by.clone(),
                    moved: None,
                    revision,
                });
            }
            Event::VisitMoved(e) => {
                for a in self.of(ConsentId::of(e.consent.0)) {
                    let until = Timestamp::from_millis(e.until_ms).min(a.until());
                    let times = a.moved.map_or(0, |moved| moved.times).saturating_add(1);
                    a.moved = Some(Moved { visit: Timestamp::from_millis(e.visit_ms), until, times });
                    a.revision = revision;
                }
            }
            Event::ConsentEnded(e) => {
                let id = ConsentId::of(e.consent.0);
                for a in self.agreements.iter_mut().filter(|a| a.consent == id) {
                    a.revision = revision;
                    if e.attestation.is_none() && e.superseded_by.is_none() {
                        a.withdrawn_here = Some(header.at());
                    }
                    if a.ended.is_none() {
                        a.superseded_by = e.superseded_by.map(|s| ConsentId::of(s.0));
                        a.ended = Some(Ending { entry: header.id(), leaf: *leaf, at: header.at() });
                    }
                }
            }
            Event::ErasureAsked(e) => {
                let request = ErasureRequest { asked: Timestamp::from_millis(e.at_ms), answer: None, answers: 0 };
                for a in self.of(ConsentId::of(e.consent.0)) {
                    a.erasure = Some(request.clone());
                }
            }
            Event::ErasureAnswered(e) => {
                for request in self.of(ConsentId::of(e.consent.0)).filter_map(|a| a.erasure.as_mut()) {
                    request.answer = Some((e.answer.clone(), Timestamp::from_millis(e.at_ms)));
                    request.answers = request.answers.saturating_add(1);
                }
            }
            Event::ForwardAsked(e) => {
                self.forwards.push(Forward {
                    id: ForwardId::of(e.forward.0),
                    consent: ConsentId::of(e.consent.0),
                    summary: e.summary.clone(),
                    asked_by: e.asked_by.clone(),
                    at: header.at(),
                    by: e.by_ms.map(Timestamp::from_millis),
                    ended: None,
                });
                self.forget_forwards();
            }
            Event::ForwardEnded(e) => {
                let entry = Ending { entry: header.id(), leaf: *leaf, at: header.at() };
                let (end, attempts, digest) = (e.end, e.attempts, e.digest.map(|digest| digest.0));
                for one in self.forwards.iter_mut().filter(|f| f.id == ForwardId::of(e.forward.0)) {
                    one.ended = Some(ForwardEnded { end, attempts, digest, entry });
                }
            }
            Event::BasisRecorded(e) => self.bases.push(BasisPaper {
                id: BasisId::of(e.basis.0),
                article: e.article.clone(),
                requester: e.requester.clone(),
                decided_by: e.decided_by.clone(),
                at: header.at(),
                upheld: None,
                disclosed: None,
            }),
            Event::BasisConfirmed(e) => {
                for one in self.bases.iter_mut().filter(|b| b.id == BasisId::of(e.basis.0)) {
                    one.upheld = Some(e.upheld);
                }
            }
            Event::BasisDisclosed(e) => {
                for one in self.bases.iter_mut().filter(|b| b.id == BasisId::of(e.basis.0)) {
                    one.disclosed = Some(Timestamp::from_millis(e.at_ms));
                }
            }
            Event::AuthorityRecorded(e) => self.authorities.push(AuthorityPaper {
                id: AuthorityId::of(e.authority.0),
                guardian: PersonId::of(e.guardian.0),
                kind: e.kind.clone(),
                recheck: e.recheck_ms.map(Timestamp::from_millis),
            }),
            Event::Linked(e) => self.links.push(LinkPaper {
                id: LinkId::of(e.link.0),
                at: header.at(),
                verified_by: e.verified_by.clone(),
            }),
            Event::EnrolmentCodeIssued(e) => self.code = Some(e.code.0),
            Event::LinkEnded(e) => self.links.retain(|l| l.id != LinkId::of(e.link.0)),
            Event::SpeciallyAdopted(e) => {
                self.links.clear();
                self.code = None;
                self.proposals.clear();
                self.forwards.clear();
                self.agreements.retain(|a| a.grantor == PersonId::of(e.subject.0));
                for a in self.agreements.iter_mut().filter(|a| a.ended.is_none()) {
                    a.revision = revision;
                    a.ended = Some(Ending { entry: header.id(), leaf: *leaf, at: header.at() });
                }
            }
            _ => {}
        }
    }

    /// Of those that ended only the newest are known.
    fn forget_forwards(&mut self) {
        let ended = self.forwards.iter().filter(|forward| forward.ended.is_some()).count();
        if ended > FORWARDS_ENDED_MAX
            && let Some(oldest) = self.forwards.iter().position(|forward| forward.ended.is_some())
        {
            self.forwards.remove(oldest);
        }
    }

    fn of(&mut self, consent: ConsentId) -> impl Iterator<Item = &mut Agreement> {
        self.agreements.iter_mut().filter(move |a| a.consent == consent)
    }
}
