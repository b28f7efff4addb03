//! Sealing an event into an entry, and opening it again.

use sekisho_policy::{PersonId, Timestamp};

use super::embedded::log::Location;
use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::Prepared;
use super::{Store, StoreError};
use crate::ids::{EntryId, TextId};
use crate::ledger::entry::{Cause, ENTRY_BYTES_MAX, Entry, Header, Idempotency};
use crate::ledger::event::Event;
use crate::ledger::merkle::{Hash, leaf_hash};

/// An entry, read and opened.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) leaf: Hash,
    pub(super) person: Option<PersonId>,
    /// `None` when the key was destroyed.
    pub(super) event: Option<Event>,
}

/// An entry about no person.
pub(super) fn in_clear(event: Event, at: Timestamp, cause: Cause) -> Result<Prepared, StoreError> {
    if event.entry_type().key_class().is_some() {
        return Err(StoreError::Entry("an event about a person is never in clear"));
    }
    let header = Header::new(event.entry_type(), EntryId::mint(), at, None, cause);
    let body = event.encode();
    bounded(Prepared::new(header, None, event, body))
}

/// A larger entry could not be read back.
fn bounded(prepared: Prepared) -> Result<Prepared, StoreError> {
    if prepared.bytes.len() > ENTRY_BYTES_MAX {
        return Err(StoreError::Entry("an entry has at most 1 MiB"));
    }
    Ok(prepared)
}

/// An entry about a person, sealed under the key of its class.
pub(super) fn sealed(
    vault: &Vault,
    person: PersonId,
    event: Event,
    at: Timestamp,
    cause: Cause,
    idempotency: Option<Idempotency>,
) -> Result<Prepared, StoreError> {
    let entry_type = event.entry_type();
    let class = entry_type.key_class().ok_or(StoreError::Entry("an event about no person"))?;
    let key = vault.key_of(person, class)?;
    let header = Header::new(entry_type, EntryId::mint(), at, Some(key.id), cause).with_idempotency(idempotency);
    let body = key.key.seal(&header.aad(), &event.encode());
    bounded(Prepared::new(header, Some(person), event, body))
}

/// Reads an entry's bytes.
pub(super) fn open(vault: &Vault, bytes: &[u8]) -> Result<Opened, StoreError> {
    let Entry { header, body } = Entry::decode(bytes).map_err(|_| StoreError::Entry("not an entry"))?;
    let leaf = leaf_hash(bytes);
    let entry_type = header.entry_type().map_err(|_| StoreError::Entry("unknown type"))?;
    let class = entry_type.key_class();
    if header.key().is_some() != class.is_some() {
        return Err(StoreError::Entry("sealed and should not be, or the other way round"));
    }
    let Some(key_id) = header.key() else {
        let event = Event::decode(entry_type, &body).map_err(|_| StoreError::Entry("body"))?;
        return Ok(Opened { header, leaf, person: None, event: Some(event) });
    };
    let key = match vault.key(key_id) {
        Ok(key) => key,
        Err(VaultError::Destroyed) => {
            return Ok(Opened { header, leaf, person: vault.owner_of(key_id)?, event: None });
        }
        Err(error) => return Err(error.into()),
    };
    if Some(key.class) != class {
        return Err(StoreError::Entry("sealed under a key of the other class"));
    }
    let plain = key.key.open(&header.aad(), &body).map_err(|_| StoreError::Entry("sealed body"))?;
    let event = Event::decode(entry_type, &plain).map_err(|_| StoreError::Entry("body"))?;
    Ok(Opened { header, leaf, person: Some(key.person), event: Some(event) })
}

impl Store {
    pub(super) fn prepare(
        &self,
        person: PersonId,
        event: Event,
        at: Timestamp,
        cause: Cause,
        idempotency: Option<Idempotency>,
    ) -> Result<Prepared, StoreError> {
        sealed(&self.inner.vault, person, event, at, cause, idempotency)
    }

    pub(super) fn read(&self, location: Location) -> Result<Opened, StoreError> {
        open(&self.inner.vault, &self.inner.reader.read(location)?)
    }
}
