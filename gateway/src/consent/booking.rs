//! Bookings: consents for one visit, found by the recipient's own reference for it; cancelled with it, and moved with it.
//!
//! A reference leads to a person only while a consent for that visit counts: unknown, withdrawn, expired, refused and blocked
//! are the same to whoever asks. A visit that moves never lets a consent last longer: an earlier one ends it earlier, for a
//! later one the person is asked anew. Where consents of two people stand under one reference, nobody here guesses whose
//! visit it is.

use sekisho_policy::{ConsentId, PersonId, Timestamp};

use super::give::{GiveError, draft, field, is_hidden_from_party};
use super::people::mint_pairwise;
use super::refused::{Grant, counts_alone};
use super::stop::{Narrowed, Revoker, end};
use crate::app::App;
use crate::forward::erase;
use crate::ids::{PairwiseId, party_id};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Event, Terms, VisitMoved};
use crate::sabotage::{self, Check};
use crate::store::registry::PurposeText;
use crate::store::state::{Agreement, Global};
use crate::store::{Dossier, Store, StoreError};

/// Consents that were ever given under one reference, at most: each look at it looks at all of them.
const UNDER_ONE_MAX: usize = 64;
/// Times that one visit is moved, at most: each is an entry of the ledger.
const MOVES_MAX: u32 = 100;
/// Letters of a reference, at most.
const LETTERS_MAX: usize = 64;
const HOUR_MS: i64 = 3_600_000;

/// A recipient's own reference for a visit.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(String);

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reference(..)")
    }
}

impl Reference {
    /// 1 to 64 visible ASCII letters, of those that stand for themselves in a path: there is one spelling of each.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&b);
        let good = (1..=LETTERS_MAX).contains(&text.len()) && text.bytes().all(letter);
        (good && !sekisho_adapters::my_number::contained_in(text)).then(|| Self(text.to_owned()))
    }

    /// As the recipient writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When consents for this purpose end at the latest, for a visit at this time; `None` where it is not one of visits.
#[must_use]
pub fn latest_end(purpose: &PurposeText, visit: Timestamp) -> Option<Timestamp> {
    let after = i64::from(purpose.visit_hours_after?).saturating_mul(HOUR_MS);
    Some(Timestamp::from_millis(visit.millis().saturating_add(after)))
}

/// Whether terms are those of a visit where their purpose is, and only there.
pub(super) fn check(purpose: &PurposeText, terms: &Terms) -> Result<(), GiveError> {
    let Some(booking) = &terms.booking else {
        let needed = purpose.visit_hours_after.is_some();
        return if needed { Err(field("booking", "must be there: this purpose is for one visit")) } else { Ok(()) };
    };
    let visit = Timestamp::from_millis(booking.visit_ms);
    let latest = latest_end(purpose, visit).ok_or(field("booking", "is not for this purpose"))?;
    if Reference::parse(&booking.reference).is_none() {
        return Err(field(
            "booking",
            "must hold a reference of 1 to 64 letters A-Z a-z 0-9 - . _ ~ : @ ! $ & ' ( ) * + , ; =",
        ));
    }
    if terms.until_ms > latest.millis() && !sabotage::off(Check::VisitEnd) {
        return Err(field("until", "is later than this purpose allows after the visit"));
    }
    Ok(())
}

/// Whether one more consent can stand under the same reference.
pub(super) fn has_room(store: &Store, terms: &Terms) -> Result<(), GiveError> {
    let Some(booking) = &terms.booking else { return Ok(()) };
    let known = store.bookings(party_id(&terms.recipient), &booking.reference, UNDER_ONE_MAX)?;
    if known.len() < UNDER_ONE_MAX { Ok(()) } else { Err(GiveError::TooMany("consents for this booking")) }
}

/// A consent for a visit.
struct Held {
    dossier: Dossier,
    agreement: Agreement,
}

impl Held {
    fn subject(&self) -> PersonId {
        self.dossier.subject.records.subject
    }

    /// Whether it counts now, by itself.
    fn counts(&self, global: &Global, now: Timestamp) -> bool {
        let (agreement, records) = (&self.agreement, &self.dossier.subject.records);
        let Some(consent) = records.consents.iter().find(|c| c.id == agreement.consent) else { return false };
        let attested_by = agreement.attestation.as_ref().map(|a| a.party.as_str());
        let grant = Grant { grantor: agreement.grantor, attested_by };
        let hidden = is_hidden_from_party(&self.dossier.subject, consent.recipient, now);
        let live = consent.period.contains(now) && consent.ended_at.is_none_or(|at| now < at);
        let counts = counts_alone(&self.dossier.subject, global, &agreement.terms, grant, now);
        (live && counts && !hidden) || sabotage::off(Check::BookingCounts)
    }
}

/// Every consent that was ever given under a recipient's reference. With none, as much is looked at, of nobody's.
async fn under(store: &Store, recipient: &str, reference: &Reference) -> Result<Vec<Held>, StoreError> {
    let mut all = Vec::new();
    let rows = store.bookings(party_id(recipient), reference.as_str(), UNDER_ONE_MAX)?;
    if rows.is_empty() {
        store.dossier(store.nobody()).await?;
    }
    for (consent, subject) in rows {
        let dossier = store.dossier(subject).await?;
        let agreement = dossier.papers.agreements.iter().find(|a| a.consent == consent).cloned();
        all.extend(agreement.map(|agreement| Held { dossier, agreement }));
    }
    Ok(all)
}

/// Of one person all, or nobody's.
fn of_one(held: &[Held]) -> Result<PersonId, GiveError> {
    let first = held.first().ok_or(GiveError::Unknown("booking"))?.subject();
    if held.iter().any(|h| h.subject() != first) {
        return Err(GiveError::SeveralPeople);
    }
    Ok(first)
}

/// Whom a booking is of, and what stands under it.
pub struct Booked {
    /// The recipient's id for the person.
    pub patient: PairwiseId,
    /// The person. For this gateway alone.
    pub subject: PersonId,
    /// The consent; of several the one that was given last.
    pub consent: ConsentId,
    /// When the visit is.
    pub visit: Timestamp,
    /// What it is for.
    pub purpose: String,
}

/// Looks up a recipient's booking.
///
/// # Errors
/// [`GiveError::Unknown`] when no consent under it counts now; [`GiveError::SeveralPeople`] when it is not one person's.
pub async fn find(app: &App, recipient: &str, reference: &Reference) -> Result<Booked, GiveError> {
    let (store, global) = (&app.store, app.store.registry().await?);
    let mut held = under(store, recipient, reference).await?;
    let now = store.clock().now().map_err(StoreError::from)?;
    held.retain(|h| h.counts(&global, now));
    let subject = of_one(&held)?;
    let approved = |h: &&Held| {
        let consents = &h.dossier.subject.records.consents;
        consents.iter().find(|c| c.id == h.agreement.consent).map(|c| (c.approved_at, c.id))
    };
    let last = held.iter().max_by_key(approved).ok_or(GiveError::Unknown("booking"))?;
    // A crash may have come between the consent and its recipient's id.
    mint_pairwise(store, subject, recipient).await?;
    let known = store.snapshot(subject).await?;
    let patient = known.subject.pairwise_at(recipient).ok_or(GiveError::Changed)?.id;
    let visit = last.agreement.visit().ok_or(GiveError::Unknown("booking"))?;
    let purpose = last.agreement.terms.purpose.clone();
    Ok(Booked { patient, subject, consent: last.agreement.consent, visit, purpose })
}

/// Who says that a visit is off, or at another time.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The party's code: the recipient, or who proposed.
    pub party: &'a str,
    /// Its user, where one is signed in: only about what that person gave, or what is about them.
    pub person: Option<PersonId>,
}

impl Caller<'_> {
    fn concerns(&self, held: &Held, now: Timestamp) -> bool {
        let agreement = &held.agreement;
        let party = agreement.terms.recipient == self.party || agreement.proposed_by.as_deref() == Some(self.party);
        let own = self.person.is_none_or(|person| agreement.grantor == person || held.subject() == person);
        let hidden = is_hidden_from_party(&held.dossier.subject, party_id(self.party), now);
        (party || sabotage::off(Check::BookingOf)) && own && !hidden
    }

    fn revoker(&self, agreement: &Agreement) -> Revoker<'_> {
        if agreement.terms.recipient == self.party {
            return Revoker::Party(self.party);
        }
        Revoker::Proposer(self.party)
    }
}

/// The visit is cancelled: every consent for it ends, through the barrier. Again, it is acknowledged again.
///
/// # Errors
/// When the caller has no consent under it; or the end is recorded but can't be acknowledged yet.
pub async fn cancel(
    app: &App,
    by: Caller<'_>,
    recipient: &str,
    reference: &Reference,
) -> Result<Vec<(ConsentId, Narrowed)>, GiveError> {
    let _first = app.releases.precedence.first();
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let mut held = under(&app.store, recipient, reference).await?;
    held.retain(|h| by.concerns(h, now));
    let status = |h: &Held| h.agreement.status(&h.dossier.subject.records, now);
    let any_active = held.iter().any(|h| status(h) == "active");
    held.retain(|h| status(h) == if any_active { "active" } else { "revoked" });
    if held.is_empty() {
        return Err(GiveError::Unknown("booking"));
    }
    let mut ended = Vec::with_capacity(held.len());
    for one in &held {
        let (id, subject) = (one.agreement.consent, one.subject());
        let ending = end(app, subject, id, by.revoker(&one.agreement), None).await?;
        let transfers_cut = app.barrier.after_person(subject).await?;
        erase::told(app, subject, id).await;
        ended.push((id, Narrowed { ending, transfers_cut }));
    }
    Ok(ended)
}

/// What became of a visit that was moved.
pub struct Rescheduled {
    /// The consent for it.
    pub consent: ConsentId,
    /// When the visit is now.
    pub visit: Timestamp,
    /// When the consent ends.
    pub until: Timestamp,
    /// The visit is later than what was agreed to: the person is to be asked anew.
    pub anew: bool,
}

/// The visit is at another time.
///
/// # Errors
/// When the caller has no consent that counts under it, it is not one person's, or was moved too often.
pub async fn reschedule(
    app: &App,
    by: Caller<'_>,
    recipient: &str,
    reference: &Reference,
    visit: Timestamp,
) -> Result<Vec<Rescheduled>, GiveError> {
    let (store, global) = (&app.store, app.store.registry().await?);
    let now = store.clock().now().map_err(StoreError::from)?;
    let mut held = under(store, recipient, reference).await?;
    held.retain(|h| by.concerns(h, now) && h.counts(&global, now));
    let subject = of_one(&held)?;
    if visit <= now {
        return Err(field("visit_at", "must be in the future"));
    }
    let mut all = Vec::with_capacity(held.len());
    for one in &held {
        all.push(moved(app, by, subject, one.agreement.consent, visit).await?);
    }
    app.barrier.after_person(subject).await?;
    Ok(all)
}

async fn moved(
    app: &App,
    by: Caller<'_>,
    subject: PersonId,
    id: ConsentId,
    visit: Timestamp,
) -> Result<Rescheduled, GiveError> {
    let recorded = app.store.update(subject, |dossier, global, now| {
        let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id);
        let agreement = agreement.ok_or(GiveError::Unknown("booking"))?;
        if agreement.status(&dossier.subject.records, now) != "active" {
            return Err(GiveError::Unknown("booking"));
        }
        let latest = global.text.purpose(&agreement.terms.purpose).and_then(|purpose| latest_end(purpose, visit));
        // Never later than it was: what was agreed to is not for a party to widen.
        let until = latest.map_or(agreement.until(), |latest| latest.min(agreement.until()));
        let agreed = agreement.terms.booking.as_ref().map_or(i64::MIN, |booking| booking.visit_ms);
        let done = Rescheduled { consent: id, visit, until, anew: visit.millis() > agreed };
        if agreement.visit() == Some(visit) {
            return Ok((done, draft([], None, Cause::party(party_id(by.party)))));
        }
        if agreement.moved.is_some_and(|moved| moved.times >= MOVES_MAX) {
            return Err(GiveError::TooMany("moves of one visit"));
        }
        let event = VisitMoved {
            consent: Bytes16(*id.bytes()),
            visit_ms: visit.millis(),
            until_ms: until.millis(),
            at_ms: now.millis(),
            party: by.party.to_owned(),
        };
        Ok((done, draft([Event::VisitMoved(event)], None, Cause::party(party_id(by.party)))))
    });
    Ok(recorded.await?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_what_stands_for_itself_in_a_path() {
        for good in ["B-1", "2026.11~22_a:b@c", &"9".repeat(10), &"x".repeat(64), "a'(b)*+,;=!$&"] {
            assert_eq!(Reference::parse(good).map(|r| r.as_str().to_owned()).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a/b", "a%2fb", "a?b", "a#b", "予約", "a\n", "a\u{7f}", "\"", &"x".repeat(65)] {
            assert_eq!(Reference::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Reference::parse("123456789018"), None, "a My Number");
        assert_eq!(format!("{:?}", Reference::parse("B-1")), "Some(Reference(..))");
    }
}
