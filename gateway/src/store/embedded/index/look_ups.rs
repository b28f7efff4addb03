//! Whom an id leads to: logins, ids at sources and parties, consents, guardians, one-time codes, requests to
//! erase, bookings.
//!
//! A look-up says where to look, never that it still holds: the person's own records do.

use aws_lc_rs::hmac;
use sekisho_policy::{ConsentId, PartyId, PersonId};
use sled::Tree;

use super::{Index, IndexError, number};
use crate::ids::{PairwiseId, party_id};
use crate::ledger::event::{Event, LinkTarget};
use crate::ledger::merkle::{Hash, sha256};
use crate::sabotage::{self, Check};
use crate::store::embedded::log::Location;

impl Index {
    pub(super) fn look_ups(&self, person: PersonId, event: Option<&Event>) -> Result<(), IndexError> {
        match event {
            Some(Event::Linked(linked)) => {
                // An issuer is a URL and a party's code is none: the two can't be taken for each other.
                let (LinkTarget::Login { issuer: at, sub: id } | LinkTarget::Source { party: at, id }) = &linked.to;
                let key = login_key(at, id);
                self.logins.insert(key, person.bytes())?;
                self.people.insert(key, Some(person));
            }
            Some(Event::PairwiseMinted(minted)) => {
                let party = party_id(&minted.party);
                let key = pair_key(party, minted.id.0);
                self.pairwise.insert(key, person.bytes())?;
                self.people.insert(key, Some(person));
            }
            Some(Event::PairwiseRetired(retired)) => {
                for one in &retired.ids {
                    let key = pair_key(party_id(&one.party), one.id.0);
                    if !sabotage::off(Check::PairwiseRetired) {
                        self.pairwise.remove(key)?;
                        self.people.insert(key, None);
                    }
                }
            }
            Some(Event::ConsentProposed(proposed)) => {
                // An approval that was taken in earlier (a second pass) stays.
                let _ = self.consents.compare_and_swap(
                    proposed.consent.0,
                    None as Option<&[u8]>,
                    Some(person.bytes().as_slice()),
                )?;
            }
            Some(Event::ConsentApproved(approved)) => {
                self.consents.insert(approved.consent.0, person.bytes())?;
                if let Some(booking) = &approved.terms.booking {
                    let under = self.booking_key(party_id(&approved.terms.recipient), &booking.reference);
                    self.bookings.insert([under.as_slice(), &approved.consent.0].concat(), person.bytes())?;
                }
            }
            Some(Event::Refused(refused)) => {
                self.consents.insert(refused.refusal.0, person.bytes())?;
            }
            Some(Event::CodeUsed(used)) => self.use_code(used.code.0)?,
            Some(Event::AuthorityRecorded(authority)) => {
                self.wards.insert([authority.guardian.0, *person.bytes()].concat(), &[])?;
            }
            Some(Event::ErasureAsked(asked)) => {
                self.erasures.insert(erasure_key(party_id(&asked.recipient), asked.consent.0), person.bytes())?;
            }
            Some(Event::ErasureAnswered(answered)) => {
                self.erasures.remove(erasure_key(party_id(&answered.recipient), answered.consent.0))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A recipient's reference as it stands here: under a key, so that the index tells nobody which there are.
    fn booking_key(&self, recipient: PartyId, reference: &str) -> Vec<u8> {
        let recipient = if sabotage::off(Check::BookingOwn) { &[] } else { recipient.bytes().as_slice() };
        let named = [recipient, reference.as_bytes()].concat();
        hmac::sign(&self.bookings_key, &named).as_ref().to_vec()
    }

    /// The consents for a visit that were ever given, by the recipient's reference, at most so many; and whose each is.
    ///
    /// # Errors
    /// When sled fails.
    pub fn bookings(
        &self,
        recipient: PartyId,
        reference: &str,
        limit: usize,
    ) -> Result<Vec<(ConsentId, PersonId)>, IndexError> {
        let items = self.bookings.scan_prefix(self.booking_key(recipient, reference)).take(limit);
        let pair = |(key, value): (sled::IVec, sled::IVec)| {
            key.last_chunk::<16>().map(|id| ConsentId::from_bytes(*id)).zip(person(&value))
        };
        items.map(|item| Ok(pair(item?))).filter_map(Result::transpose).collect()
    }

    pub(super) fn note_code(&self, code: [u8; 32], location: Location) -> Result<(), IndexError> {
        // One that was used stays used: a second pass over the same entries changes nothing.
        let issued = [location.number().to_be_bytes().as_slice(), &[0]].concat();
        let _ = self.codes.compare_and_swap(code, None as Option<&[u8]>, Some(issued))?;
        Ok(())
    }

    fn use_code(&self, code: [u8; 32]) -> Result<(), IndexError> {
        let Some(issued) = self.codes.get(code)? else { return Ok(()) };
        let used = [issued.get(..8).unwrap_or_default(), &[1]].concat();
        self.codes.insert(code, used)?;
        Ok(())
    }

    /// Where a one-time code was issued, by its keyed hash; `None` when there is none, or it is used.
    ///
    /// # Errors
    /// When sled fails.
    pub fn code(&self, code: [u8; 32]) -> Result<Option<Location>, IndexError> {
        let Some(issued) = self.codes.get(code)? else { return Ok(None) };
        let unused = issued.get(8) == Some(&0) || sabotage::off(Check::CodeOnce);
        Ok(unused.then(|| number(&issued)))
    }

    /// Whom a login is linked to, or once was: the person's own links say whether it still holds.
    ///
    /// # Errors
    /// When sled fails.
    pub fn login(&self, issuer: &str, sub: &str) -> Result<Option<PersonId>, IndexError> {
        self.person(&self.logins, login_key(issuer, sub))
    }

    /// Whom a party knows by this id.
    ///
    /// # Errors
    /// When sled fails.
    pub fn pairwise(&self, party: PartyId, id: PairwiseId) -> Result<Option<PersonId>, IndexError> {
        self.person(&self.pairwise, pair_key(party, *id.bytes()))
    }

    /// A look-up by way of the cache. A change that comes while sled is asked takes the place in the cache, and stays.
    fn person(&self, tree: &Tree, key: [u8; 32]) -> Result<Option<PersonId>, IndexError> {
        self.people.get_or_insert_with(&key, || Ok(tree.get(key)?.and_then(|p| person(&p))))
    }

    /// Requests to erase that a party has not answered, after a consent, at most so many: the consent, and whose it is.
    ///
    /// # Errors
    /// When sled fails.
    pub fn erasures(
        &self,
        party: PartyId,
        after: Option<ConsentId>,
        limit: usize,
    ) -> Result<Vec<(ConsentId, PersonId)>, IndexError> {
        let from = erasure_key(party, after.map_or([0; 16], |id| *id.bytes()));
        let range = self.erasures.range(from.clone()..=erasure_key(party, [0xff; 16]));
        let asked = range
            .filter(|item| !item.as_ref().is_ok_and(|(key, _)| after.is_some() && key.as_ref() == from.as_slice()));
        let read = |item: Result<(sled::IVec, sled::IVec), sled::Error>| {
            let (key, value) = item?;
            let consent = key.last_chunk::<16>().map(|id| ConsentId::from_bytes(*id));
            Ok(consent.zip(person(&value)))
        };
        asked.take(limit).filter_map(|item| read(item).transpose()).collect()
    }

    /// Whose a consent, proposal or refusal is.
    ///
    /// # Errors
    /// When sled fails.
    pub fn consent(&self, id: ConsentId) -> Result<Option<PersonId>, IndexError> {
        Ok(self.consents.get(id.bytes())?.and_then(|p| person(&p)))
    }

    /// Over whom a person holds or held authority.
    pub fn wards(&self, guardian: PersonId) -> impl Iterator<Item = PersonId> {
        self.wards
            .scan_prefix(guardian.bytes())
            .keys()
            .filter_map(|key| key.ok()?.last_chunk::<16>().map(|p| PersonId::from_bytes(*p)))
    }

    /// Guardians and those over whom they hold or held authority, in the order of their ids, after this pair.
    ///
    /// # Errors
    /// When sled fails.
    pub fn guardians(&self, after: Option<[u8; 32]>, limit: usize) -> Result<Vec<(PersonId, PersonId)>, IndexError> {
        let keys = self.wards.range(after_key(after.as_ref().map(<[u8; 32]>::as_slice))..).keys().take(limit);
        let pair = |key: sled::IVec| person(&key).zip(key.get(16..).and_then(person));
        keys.map(|key| Ok(pair(key?))).filter_map(Result::transpose).collect()
    }

    /// Consents, proposals and refusals and whose they are, in the order of their ids, after this one.
    ///
    /// # Errors
    /// When sled fails.
    pub fn consents(&self, after: Option<ConsentId>, limit: usize) -> Result<Vec<(ConsentId, PersonId)>, IndexError> {
        let items = self.consents.range(after_key(after.as_ref().map(|id| id.bytes().as_slice()))..).take(limit);
        let pair = |(key, value): (sled::IVec, sled::IVec)| {
            key.first_chunk::<16>().map(|id| ConsentId::from_bytes(*id)).zip(person(&value))
        };
        items.map(|item| Ok(pair(item?))).filter_map(Result::transpose).collect()
    }
}

/// The first key that may stand after this one.
fn after_key(key: Option<&[u8]>) -> Vec<u8> {
    key.map_or_else(Vec::new, |key| [key, &[0]].concat())
}

/// Led by the party, so that one party's stand together.
fn erasure_key(party: PartyId, consent: [u8; 16]) -> Vec<u8> {
    [*party.bytes(), consent].concat()
}

fn pair_key(party: PartyId, id: [u8; 16]) -> [u8; 32] {
    // A hash, like a login's key: the two share a cache.
    sha256(&[*party.bytes(), id].concat())
}

/// A login's key: a hash, so that the index holds no name that a provider gave.
#[must_use]
pub fn login_key(issuer: &str, sub: &str) -> Hash {
    let length = (issuer.len() as u64).to_le_bytes();
    sha256(&[length.as_slice(), issuer.as_bytes(), sub.as_bytes()].concat())
}

fn person(bytes: &[u8]) -> Option<PersonId> {
    bytes.first_chunk::<16>().map(|p| PersonId::from_bytes(*p))
}
