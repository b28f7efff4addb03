//! The vault (redb): what must be durable and deletable. Here: keys, wrapped; the ledger's signing seed; upstream tokens.
//!
//! Three levels: the operator's master key opens the KEK, the KEK opens each person's content and record key, and those
//! open entries. Erasure destroys a slot and makes a new KEK (`erasure`).

mod erasure;
mod forwards;
mod shelf;
mod tokens;

pub use forwards::{Change, Waiting};
pub use shelf::{Place, ShelfChange};

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use sekisho_policy::PersonId;

use super::disk;
use crate::ids::{KeyId, TextId, random};
use crate::ledger::entry::KeyClass;
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};

/// Name → value of a few single things.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Key id → person ‖ class ‖ wrapped key; of a destroyed key only whose it was is left.
const KEYS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("keys");
/// Person ‖ class → key id.
const OWNERS: TableDefinition<&[u8; 17], &[u8; 16]> = TableDefinition::new("owners");
/// Person ‖ source party → token, sealed under the KEK.
const TOKENS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("tokens");

/// Delivery that waits → whom it is about and when it is tried next, sealed under the KEK.
const FORWARDS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("forwards");

/// What the KEK is bound to under the master key.
const KEK_AAD: &[u8] = b"sekisho kek 1";
/// A person's id and a key class.
const OWNER_BYTES: usize = 17;

/// Record keys held unwrapped in memory, at most: each decision is sealed under one.
const CACHED_KEYS: usize = 200_000;
/// Content keys held unwrapped in memory, at most: a person's opens a few entries when the person is read in, then rests.
const CACHED_CONTENT_KEYS: usize = 1_000;
/// Pages of the database held in memory, in bytes, at most. By itself it would take a gigabyte.
const CACHED_PAGES_BYTES: usize = 64 << 20;

/// Why the vault can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database said no.
    #[error("vault: {0}. {advice}", advice = disk::of_vault(.0))]
    Database(#[from] Box<redb::Error>),
    /// The master key does not open this vault.
    #[error(
        "the master key does not open this vault: it is another installation's, or was replaced. \
         Nothing was changed. Start with the key that the vault was made with"
    )]
    WrongMasterKey,
    /// A slot does not open.
    #[error("a key in the vault does not open: the file was changed by other means. Restore it from a backup")]
    Damaged,
    /// There is no such key: never made, or destroyed at an erasure.
    #[error("there is no such key: it was destroyed")]
    Destroyed,
    /// An entry's key is not there, though the ledger does not say that it was destroyed.
    #[error(
        "the vault does not hold this entry's key, and the ledger does not say that it was destroyed: the vault is older \
         than the ledger. Restore a newer vault.redb from a backup"
    )]
    Lost,
    /// The file is gone, though there is a ledger that it belongs to.
    #[error(
        "the vault is missing, though there is a ledger: without its keys nothing in the ledger can be read. \
         Nothing was changed. Restore vault.redb from a backup"
    )]
    Missing,
}

fn database<E: Into<redb::Error>>(error: E) -> VaultError {
    VaultError::Database(Box::new(error.into()))
}

/// A person's key, unwrapped.
#[derive(Clone)]
pub struct OwnedKey {
    /// Its id, which stands in entry headers.
    pub id: KeyId,
    /// Whose.
    pub person: PersonId,
    /// Which class.
    pub class: KeyClass,
    /// To seal and open with.
    pub key: Arc<SealKey>,
}

/// The vault, open.
pub struct Vault {
    db: Database,
    master: SealKey,
    /// The KEK as it was found last, and wrapped as it stood in the database then.
    kek: ArcSwap<(Vec<u8>, Arc<SealKey>)>,
    by_id: Cache<KeyId, OwnedKey>,
    content_by_id: Cache<KeyId, OwnedKey>,
    by_owner: Cache<(PersonId, KeyClass), OwnedKey>,
    /// What rows of the week are sealed under, once it was needed.
    shelf: OnceLock<SealKey>,
    /// Destroyed by this process: whoever was reading one meanwhile may have put it back into a cache.
    gone: ArcSwap<HashSet<KeyId>>,
}

impl Vault {
    /// Opens or creates the vault.
    ///
    /// # Errors
    /// When the file can't be used, or the master key is another's.
    pub fn open(path: &Path, master: SealKey) -> Result<Self, VaultError> {
        let db = Database::builder().set_cache_size(CACHED_PAGES_BYTES).create(path).map_err(database)?;
        let write = db.begin_write().map_err(database)?;
        let kek = {
            let mut meta = write.open_table(META).map_err(database)?;
            write.open_table(KEYS).map_err(database)?;
            write.open_table(OWNERS).map_err(database)?;
            write.open_table(TOKENS).map_err(database)?;
            write.open_table(FORWARDS).map_err(database)?;
            write.open_table(shelf::SHELF).map_err(database)?;
            let stored = meta.get("kek").map_err(database)?.map(|v| v.value().to_vec());
            match stored {
                Some(wrapped) => {
                    let kek = open_kek(&master, &wrapped)?;
                    (wrapped, Arc::new(kek))
                }
                None => {
                    let kek = SealKey::generate();
                    let wrapped = kek.wrapped_under(&master, KEK_AAD);
                    meta.insert("kek", wrapped.as_slice()).map_err(database)?;
                    (wrapped, Arc::new(kek))
                }
            }
        };
        write.commit().map_err(database)?;
        Ok(Self {
            db,
            master,
            kek: ArcSwap::from_pointee(kek),
            by_id: Cache::new(CACHED_KEYS),
            content_by_id: Cache::new(CACHED_CONTENT_KEYS),
            by_owner: Cache::new(CACHED_KEYS),
            shelf: OnceLock::new(),
            gone: ArcSwap::default(),
        })
    }

    /// The KEK that slots were wrapped under as this transaction sees them: another may come at any moment.
    fn kek(&self, seen: &ReadTransaction) -> Result<Arc<SealKey>, VaultError> {
        let meta = seen.open_table(META).map_err(database)?;
        let wrapped = meta.get("kek").map_err(database)?.ok_or(VaultError::Damaged)?;
        self.kek_of(wrapped.value())
    }

    /// The KEK as it is while this transaction writes: nobody else can change it.
    fn kek_while(&self, writing: &WriteTransaction) -> Result<Arc<SealKey>, VaultError> {
        let meta = writing.open_table(META).map_err(database)?;
        let wrapped = meta.get("kek").map_err(database)?.ok_or(VaultError::Damaged)?;
        self.kek_of(wrapped.value())
    }

    fn kek_of(&self, wrapped: &[u8]) -> Result<Arc<SealKey>, VaultError> {
        let known = self.kek.load();
        if known.0 == wrapped {
            return Ok(Arc::clone(&known.1));
        }
        let kek = Arc::new(open_kek(&self.master, wrapped)?);
        self.kek.store(Arc::new((wrapped.to_vec(), Arc::clone(&kek))));
        Ok(kek)
    }

    /// A named secret of 32 bytes, made on first use.
    ///
    /// # Errors
    /// When the vault can't be read or written.
    pub fn secret(&self, name: &str) -> Result<[u8; 32], VaultError> {
        let aad = format!("sekisho secret {name}");
        let read = self.db.begin_read().map_err(database)?;
        let meta = read.open_table(META).map_err(database)?;
        if let Some(sealed) = meta.get(name).map_err(database)? {
            let plain = self.kek(&read)?.open(aad.as_bytes(), sealed.value()).map_err(|_| VaultError::Damaged)?;
            return plain.try_into().map_err(|_| VaultError::Damaged);
        }
        let fresh: [u8; 32] = random();
        let write = self.db.begin_write().map_err(database)?;
        let sealed = self.kek_while(&write)?.seal(aad.as_bytes(), &fresh);
        write.open_table(META).map_err(database)?.insert(name, sealed.as_slice()).map_err(database)?;
        write.commit().map_err(database)?;
        Ok(fresh)
    }

    /// Makes both keys for each of these people, in one durable step. Someone who has keys keeps them.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub fn make_keys(&self, people: &[PersonId]) -> Result<(), VaultError> {
        let write = self.db.begin_write().map_err(database)?;
        let kek = self.kek_while(&write)?;
        {
            let mut keys = write.open_table(KEYS).map_err(database)?;
            let mut owners = write.open_table(OWNERS).map_err(database)?;
            for (person, class) in people.iter().flat_map(|p| [(p, KeyClass::Content), (p, KeyClass::Record)]) {
                let owner = owner_key(*person, class);
                if owners.get(&owner).map_err(database)?.is_some() {
                    continue;
                }
                let id = KeyId::mint();
                let wrapped = SealKey::generate().wrapped_under(&kek, &slot_aad(id, owner));
                keys.insert(id.bytes(), [owner.as_slice(), &wrapped].concat().as_slice()).map_err(database)?;
                owners.insert(&owner, id.bytes()).map_err(database)?;
            }
        }
        write.commit().map_err(database)
    }

    /// The key of a person and class.
    ///
    /// # Errors
    /// [`VaultError::Destroyed`] when there is none.
    pub fn key_of(&self, person: PersonId, class: KeyClass) -> Result<OwnedKey, VaultError> {
        let key = self.by_owner.get_or_insert_with(&(person, class), || {
            let read = self.db.begin_read().map_err(database)?;
            let owners = read.open_table(OWNERS).map_err(database)?;
            let found = owners.get(&owner_key(person, class)).map_err(database)?;
            let id = found.map(|v| KeyId::of(*v.value())).ok_or(VaultError::Destroyed)?;
            self.key(id)
        })?;
        if self.gone.load().contains(&key.id) {
            // Someone who has been given new keys since has others.
            self.by_owner.remove(&(person, class));
            return Err(VaultError::Destroyed);
        }
        Ok(key)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`VaultError::Destroyed`] when there is none.
    pub fn key(&self, id: KeyId) -> Result<OwnedKey, VaultError> {
        if self.gone.load().contains(&id) {
            return Err(VaultError::Destroyed);
        }
        if let Some(known) = self.by_id.get(&id).or_else(|| self.content_by_id.get(&id)) {
            return Ok(known);
        }
        let key = self.read_key(id)?;
        let held = match key.class {
            KeyClass::Record => &self.by_id,
            KeyClass::Content => &self.content_by_id,
        };
        held.insert(id, key.clone());
        Ok(key)
    }

    fn read_key(&self, id: KeyId) -> Result<OwnedKey, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let keys = read.open_table(KEYS).map_err(database)?;
        let slot = keys.get(id.bytes()).map_err(database)?.ok_or(VaultError::Destroyed)?;
        let (owner, wrapped) = slot.value().split_first_chunk::<OWNER_BYTES>().ok_or(VaultError::Damaged)?;
        if wrapped.is_empty() {
            return Err(VaultError::Destroyed);
        }
        let kek = self.kek(&read)?;
        let key = SealKey::unwrap_under(&kek, &slot_aad(id, *owner), wrapped).map_err(|_| VaultError::Damaged)?;
        let (person, class) = owner_parts(owner).ok_or(VaultError::Damaged)?;
        Ok(OwnedKey { id, person, class, key: Arc::new(key) })
    }

    /// How many keys this process has destroyed: what was read before this moved may be gone.
    pub fn destroyed_here(&self) -> usize {
        self.gone.load().len()
    }

    /// Destroys a key, durably. One that is gone, or never was, stays so.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub fn destroy(&self, id: KeyId) -> Result<(), VaultError> {
        self.gone.rcu(|gone| gone.iter().copied().chain([id]).collect::<HashSet<_>>());
        let write = self.db.begin_write().map_err(database)?;
        let mut owned = None;
        {
            let mut keys = write.open_table(KEYS).map_err(database)?;
            let owner = keys.get(id.bytes()).map_err(database)?.and_then(|v| v.value().first_chunk::<17>().copied());
            if let Some(owner) = owner {
                keys.insert(id.bytes(), owner.as_slice()).map_err(database)?;
                let mut owners = write.open_table(OWNERS).map_err(database)?;
                let current = owners.get(&owner).map_err(database)?.is_some_and(|v| v.value() == id.bytes());
                if current {
                    owners.remove(&owner).map_err(database)?;
                }
                owned = owner_parts(&owner);
            }
        }
        write.commit().map_err(database)?;
        self.by_id.remove(&id);
        self.content_by_id.remove(&id);
        if let Some(owner) = owned {
            self.by_owner.remove(&owner);
        }
        Ok(())
    }

    /// Whether there is a key with this id that was not destroyed.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn holds(&self, id: KeyId) -> Result<bool, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let slot = read.open_table(KEYS).map_err(database)?.get(id.bytes()).map_err(database)?;
        Ok(slot.is_some_and(|v| v.value().len() > OWNER_BYTES))
    }

    /// Whose a key is, or was before it was destroyed.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn owner_of(&self, id: KeyId) -> Result<Option<PersonId>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let slot = read.open_table(KEYS).map_err(database)?.get(id.bytes()).map_err(database)?;
        let owner = slot.and_then(|v| v.value().first_chunk::<OWNER_BYTES>().copied());
        Ok(owner.and_then(|owner| owner_parts(&owner)).map(|(person, _)| person))
    }
}

fn open_kek(master: &SealKey, wrapped: &[u8]) -> Result<SealKey, VaultError> {
    match SealKey::unwrap_under(master, KEK_AAD, wrapped) {
        Ok(kek) => Ok(kek),
        // The negative control: a build that went on with a key that opens nothing.
        Err(_) if sabotage::off(Check::MasterKey) => Ok(SealKey::generate()),
        Err(_) => Err(VaultError::WrongMasterKey),
    }
}

fn owner_key(person: PersonId, class: KeyClass) -> [u8; 17] {
    let mut key = [0; 17];
    let (id, last) = key.split_at_mut(16);
    id.copy_from_slice(person.bytes());
    last.fill(class_number(class));
    key
}

const fn class_number(class: KeyClass) -> u8 {
    match class {
        KeyClass::Content => 0,
        KeyClass::Record => 1,
    }
}

fn owner_parts(owner: &[u8; 17]) -> Option<(PersonId, KeyClass)> {
    let (person, class) = owner.split_first_chunk::<16>()?;
    let class = match class {
        [0] => KeyClass::Content,
        [1] => KeyClass::Record,
        _ => return None,
    };
    Some((PersonId::of(*person), class))
}

fn slot_aad(id: KeyId, owner: [u8; 17]) -> Vec<u8> {
    [b"sekisho slot 1".as_slice(), id.bytes(), &owner].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_after_a_restart_and_only_with_the_master_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.redb");
        let person = PersonId::mint();
        let sealed = {
            let vault = Vault::open(&path, SealKey::new([1; 32])).unwrap();
            vault.make_keys(&[person]).unwrap();
            vault.key_of(person, KeyClass::Record).unwrap().key.seal(b"a", b"body")
        };
        assert!(matches!(Vault::open(&path, SealKey::new([2; 32])), Err(VaultError::WrongMasterKey)));
        let vault = Vault::open(&path, SealKey::new([1; 32])).unwrap();
        let key = vault.key_of(person, KeyClass::Record).unwrap();
        assert_eq!(key.key.open(b"a", &sealed).unwrap(), b"body");
        assert_eq!(vault.key(key.id).unwrap().person, person);
        assert!(vault.key_of(person, KeyClass::Content).unwrap().key.open(b"a", &sealed).is_err());
        assert!(matches!(vault.key_of(PersonId::mint(), KeyClass::Record), Err(VaultError::Destroyed)));
    }
}
