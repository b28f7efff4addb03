//! What would be permitted if a person agreed: the same decision, on the records as they would be then.
//!
//! It permits nothing. The preview narrows by it what the person may see anyway, so that what is shown is what would go.

use sekisho_policy::{
    AccessRequest, Actor, Categories, Code, ConsentId, Decision, PartyId, Permit, PersonId, PurposeCode, Receiver,
    SubjectRecords, Timestamp, decide,
};

use crate::config::{PurposeFrom, Route};
use crate::ids::{TextId, party_id};
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{ConsentApproved, Terms};
use crate::store::state::{self, Global, Subject};

/// What the recipient of these terms could have by this route about the subject, had this person agreed to them now.
#[must_use]
pub fn by_route(
    subject: &Subject,
    global: &Global,
    terms: &Terms,
    grantor: PersonId,
    route: &Route,
    now: Timestamp,
) -> Option<Permit> {
    let purpose = purpose(route, &terms.purpose)?;
    let person = subject.records.subject;
    let mut records = subject.records.clone();
    // Whether there is a legal basis is not to be learnt from a preview (invariant 11).
    records.bases.clear();
    records.consents.push(state::consent(&agreed(person, grantor, terms, now)).ok()?);
    let request = AccessRequest {
        subject: person,
        receiver: Receiver::Party {
            party: party_id(&terms.recipient),
            actor: if grantor == person { Actor::Subject(grantor) } else { Actor::Guardian(grantor) },
        },
        source: route.source.party,
        purpose,
        // What others agreed to beside it, a minor alone for one, is not part of this choice, nor for this person to see.
        categories: Categories::new(
            route.categories.as_slice().iter().filter(|c| terms.categories.contains(&c.to_string())).copied(),
        )?,
    };
    // A consent that begins later is looked at as it will be then.
    let at = now.max(Timestamp::from_millis(terms.from_ms));
    match decide(&records, &global.registry, &request, at) {
        Decision::Permit(permit) => Some(permit),
        Decision::Deny(_) => None,
    }
}

/// That this person agreed to these terms.
fn agreed(subject: PersonId, grantor: PersonId, terms: &Terms, now: Timestamp) -> ConsentApproved {
    ConsentApproved {
        consent: Bytes16(*ConsentId::mint().bytes()),
        subject: Bytes16(*subject.bytes()),
        grantor: Bytes16(*grantor.bytes()),
        terms: terms.clone(),
        approved_ms: now.millis(),
        attested_by: None,
        how: String::new(),
        attestation: None,
        proposed_by: None,
    }
}

/// What the recipient of these terms could have of these categories of a source about a person of whom nothing is known: by the
/// words of the terms and the registry alone. What the person's records say about the recipient does not show in it.
#[must_use]
pub fn by_terms(
    subject: PersonId,
    global: &Global,
    terms: &Terms,
    (source, categories): (PartyId, Categories),
    now: Timestamp,
) -> Option<Permit> {
    // Of age, and agreeing for themself.
    let mut records = SubjectRecords::new(subject, jiff::civil::date(1900, 1, 1));
    records.consents.push(state::consent(&agreed(subject, subject, terms, now)).ok()?);
    let purpose = PurposeCode(Code::parse(&terms.purpose).ok()?);
    let receiver = Receiver::Party { party: party_id(&terms.recipient), actor: Actor::Subject(subject) };
    let request = AccessRequest { subject, receiver, source, purpose, categories };
    match decide(&records, &global.registry, &request, now.max(Timestamp::from_millis(terms.from_ms))) {
        Decision::Permit(permit) => Some(permit),
        Decision::Deny(_) => None,
    }
}

/// The purpose, if it can be asked for by this route.
pub(crate) fn purpose(route: &Route, wanted: &str) -> Option<PurposeCode> {
    let is = |code: &&PurposeCode| code.0.as_str() == wanted;
    match &route.purpose {
        PurposeFrom::Route(purpose) => Some(purpose).filter(is).copied(),
        PurposeFrom::Token(all) => all.iter().find(is).copied(),
    }
}
