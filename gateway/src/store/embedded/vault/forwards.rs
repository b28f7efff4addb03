//! Deliveries that wait: references only. What is to be sent is fetched when it is sent; what was asked for, by whom and until
//! when, the ledger says.

use redb::{ReadableDatabase, ReadableTable};
use sekisho_policy::{PartyId, PersonId, Timestamp};

use super::{FORWARDS, Vault, VaultError, database};
use crate::ids::{ForwardId, TextId};

/// Person, party, next try, tries.
const BYTES: usize = 16 + 16 + 8 + 4;

/// A delivery that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: ForwardId,
    /// About whom.
    pub person: PersonId,
    /// To whom.
    pub recipient: PartyId,
    /// When it is tried next.
    pub next: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// A change of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It waits, or waits otherwise than before.
    Put(Waiting),
    /// It waits no more.
    Drop(ForwardId),
}

impl Vault {
    /// Makes all of these changes, in one durable step.
    ///
    /// # Errors
    /// When the vault can't be written; then nothing has changed.
    pub fn change_forwards(&self, changes: &[Change]) -> Result<(), VaultError> {
        let write = self.db.begin_write().map_err(database)?;
        let kek = self.kek_while(&write)?;
        {
            let mut forwards = write.open_table(FORWARDS).map_err(database)?;
            for change in changes {
                match change {
                    Change::Put(waiting) => {
                        let sealed = kek.seal(waiting.id.bytes(), &encoded(waiting));
                        forwards.insert(waiting.id.bytes(), sealed.as_slice()).map_err(database)?;
                    }
                    Change::Drop(id) => drop(forwards.remove(id.bytes()).map_err(database)?),
                }
            }
        }
        write.commit().map_err(database)
    }

    /// Every delivery that waits.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn forwards(&self) -> Result<Vec<Waiting>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let kek = self.kek(&read)?;
        let mut all = Vec::new();
        for forward in read.open_table(FORWARDS).map_err(database)?.iter().map_err(database)? {
            let (id, sealed) = forward.map_err(database)?;
            let plain = kek.open(id.value(), sealed.value()).map_err(|_| VaultError::Damaged)?;
            all.push(decoded(ForwardId::of(*id.value()), &plain).ok_or(VaultError::Damaged)?);
        }
        Ok(all)
    }
}

fn encoded(waiting: &Waiting) -> Vec<u8> {
    let Waiting { person, recipient, next, attempts, .. } = waiting;
    let (next, attempts) = (next.millis().to_le_bytes(), attempts.to_le_bytes());
    [person.bytes().as_slice(), recipient.bytes(), &next, &attempts].concat()
}

fn decoded(id: ForwardId, plain: &[u8]) -> Option<Waiting> {
    let plain: &[u8; BYTES] = plain.try_into().ok()?;
    let (person, rest) = plain.split_first_chunk::<16>()?;
    let (recipient, rest) = rest.split_first_chunk::<16>()?;
    let (next, attempts) = rest.split_first_chunk::<8>()?;
    Some(Waiting {
        id,
        person: PersonId::from_bytes(*person),
        recipient: PartyId::from_bytes(*recipient),
        next: Timestamp::from_millis(i64::from_le_bytes(*next)),
        attempts: u32::from_le_bytes(attempts.try_into().ok()?),
    })
}
