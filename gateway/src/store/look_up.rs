//! Whom a login, an id or a consent leads to, now; and going through all of them, a part at a time.

use sekisho_policy::{ConsentId, PartyId, PersonId};

use super::{Store, StoreError};
use crate::ids::{EntryId, PairwiseId};
use crate::ledger::event::Event;

impl Store {
    /// The person who stands for everyone unknown: asked about an id that nobody has, the same work is done on records
    /// that permit nothing (invariant 5).
    #[must_use]
    pub fn nobody(&self) -> PersonId {
        self.inner.nobody
    }

    /// Whom a login is linked to, now.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn person_of_login(&self, issuer: &str, sub: &str) -> Result<Option<PersonId>, StoreError> {
        let Some(person) = self.inner.index.login(issuer, sub)? else { return Ok(None) };
        let holds = self.snapshot(person).await?.subject.has_login(issuer, sub);
        Ok(holds.then_some(person))
    }

    /// Whom a source knows by this id of its own, now.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn person_of_source(&self, party: &str, id: &str) -> Result<Option<PersonId>, StoreError> {
        let Some(person) = self.inner.index.login(party, id)? else { return Ok(None) };
        let holds = self.snapshot(person).await?.subject.is_at(party, id);
        Ok(holds.then_some(person))
    }

    /// Who was linked last to a login, or to an id at a source, whether or not it still holds. To be asked while drafting a
    /// link, beside a look at whether it holds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn linked_last(&self, at: &str, id: &str) -> Result<Option<PersonId>, StoreError> {
        Ok(self.inner.index.login(at, id)?)
    }

    /// The entry that issued a one-time code, by the code's keyed hash; `None` when there is none, it is used, or it can't be
    /// read any more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn code(&self, code: [u8; 32]) -> Result<Option<(EntryId, Event)>, StoreError> {
        let Some(location) = self.inner.index.code(code)? else { return Ok(None) };
        let opened = self.read(location)?;
        Ok(opened.event.map(|event| (opened.header.id(), event)))
    }

    /// Whom a party knows by this id.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn person_of_pairwise(&self, party: PartyId, id: PairwiseId) -> Result<Option<PersonId>, StoreError> {
        match self.inner.index.pairwise(party, id)? {
            // Of whom nothing is left at all, nothing can be recorded either: unknown, like anybody who never was.
            Some(person) if !self.has_records_of(person)? => Ok(None),
            known => Ok(known),
        }
    }

    /// Whose a consent, proposal or refusal is.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn person_of_consent(&self, consent: ConsentId) -> Result<Option<PersonId>, StoreError> {
        Ok(self.inner.index.consent(consent)?)
    }

    /// The consents for a visit that were ever given, by the recipient's reference, at most so many; and whose each is. Whether
    /// one still holds, the person's records say.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn bookings(
        &self,
        recipient: PartyId,
        reference: &str,
        limit: usize,
    ) -> Result<Vec<(ConsentId, PersonId)>, StoreError> {
        Ok(self.inner.index.bookings(recipient, reference, limit)?)
    }

    /// Requests to erase that a party has not answered, after a consent, at most so many: the consent, and whose it is.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn erasures(
        &self,
        party: PartyId,
        after: Option<ConsentId>,
        limit: usize,
    ) -> Result<Vec<(ConsentId, PersonId)>, StoreError> {
        Ok(self.inner.index.erasures(party, after, limit)?)
    }

    /// Over whom a person holds or held authority.
    pub fn wards(&self, guardian: PersonId) -> Vec<PersonId> {
        self.inner.index.wards(guardian).collect()
    }

    /// Guardians and those over whom they hold or held authority, in a fixed order, after this pair.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn guardians(
        &self,
        after: Option<(PersonId, PersonId)>,
        limit: usize,
    ) -> Result<Vec<(PersonId, PersonId)>, StoreError> {
        let after = after.map(|(guardian, ward)| {
            let mut key = [0; 32];
            let (first, second) = key.split_at_mut(16);
            first.copy_from_slice(guardian.bytes());
            second.copy_from_slice(ward.bytes());
            key
        });
        Ok(self.inner.index.guardians(after, limit)?)
    }

    /// Consents, proposals and refusals and whose they are, in a fixed order, after this one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn consents_after(
        &self,
        after: Option<ConsentId>,
        limit: usize,
    ) -> Result<Vec<(ConsentId, PersonId)>, StoreError> {
        Ok(self.inner.index.consents(after, limit)?)
    }
}
