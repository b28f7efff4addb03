//! What the vault does at an erasure and for a backup: forget a person's tokens, change the KEK, tell whose keys are left,
//! and write a copy of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};
use sekisho_policy::PersonId;

use super::{
    FORWARDS, KEK_AAD, KEYS, META, OWNER_BYTES, OWNERS, TOKENS, Vault, VaultError, database, owner_parts, slot_aad,
};
use crate::ids::{KeyId, TextId};
use crate::ledger::entry::KeyClass;
use crate::ledger::seal::SealKey;

/// Names of [`META`] that hold no secret sealed under the KEK.
const NO_SECRETS: &[&str] = &["kek"];

impl Vault {
    /// Forgets what the vault keeps of a person beside keys: tokens for portals.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub fn drop_tokens_of(&self, person: PersonId) -> Result<(), VaultError> {
        let write = self.db.begin_write().map_err(database)?;
        {
            let mut tokens = write.open_table(TOKENS).map_err(database)?;
            tokens.retain(|at, _| !at.starts_with(person.bytes())).map_err(database)?;
        }
        write.commit().map_err(database)
    }

    /// Makes a new KEK and wraps everything anew, in one durable step. A copy of slots from before is then of use only
    /// together with the KEK of its day, which is gone from this file.
    ///
    /// # Errors
    /// When the vault can't be read or written; then nothing has changed.
    pub fn change_kek(&self) -> Result<(), VaultError> {
        let write = self.db.begin_write().map_err(database)?;
        let (old, new) = (self.kek_while(&write)?, SealKey::generate());
        let wrapped = new.wrapped_under(&self.master, KEK_AAD);
        {
            let mut keys = write.open_table(KEYS).map_err(database)?;
            let mut slots = Vec::new();
            for slot in keys.iter().map_err(database)? {
                let (id, slot) = slot.map_err(database)?;
                let (owner, sealed) = slot.value().split_first_chunk::<OWNER_BYTES>().ok_or(VaultError::Damaged)?;
                if sealed.is_empty() {
                    continue;
                }
                let aad = slot_aad(KeyId::of(*id.value()), *owner);
                let key = SealKey::unwrap_under(&old, &aad, sealed).map_err(|_| VaultError::Damaged)?;
                slots.push((*id.value(), [owner.as_slice(), &key.wrapped_under(&new, &aad)].concat()));
            }
            for (id, slot) in slots {
                keys.insert(&id, slot.as_slice()).map_err(database)?;
            }
            let mut tokens = write.open_table(TOKENS).map_err(database)?;
            let mut anew = Vec::new();
            for token in tokens.iter().map_err(database)? {
                let (at, sealed) = token.map_err(database)?;
                let plain = old.open(at.value(), sealed.value()).map_err(|_| VaultError::Damaged)?;
                anew.push((*at.value(), new.seal(at.value(), &plain)));
            }
            for (at, sealed) in anew {
                tokens.insert(&at, sealed.as_slice()).map_err(database)?;
            }
            let mut forwards = write.open_table(FORWARDS).map_err(database)?;
            let mut anew = Vec::new();
            for forward in forwards.iter().map_err(database)? {
                let (at, sealed) = forward.map_err(database)?;
                let plain = old.open(at.value(), sealed.value()).map_err(|_| VaultError::Damaged)?;
                anew.push((*at.value(), new.seal(at.value(), &plain)));
            }
            for (at, sealed) in anew {
                forwards.insert(&at, sealed.as_slice()).map_err(database)?;
            }
            let mut meta = write.open_table(META).map_err(database)?;
            let mut secrets = Vec::new();
            for secret in meta.iter().map_err(database)? {
                let (name, sealed) = secret.map_err(database)?;
                if !NO_SECRETS.contains(&name.value()) {
                    let aad = format!("sekisho secret {}", name.value());
                    let plain = old.open(aad.as_bytes(), sealed.value()).map_err(|_| VaultError::Damaged)?;
                    secrets.push((name.value().to_owned(), new.seal(aad.as_bytes(), &plain)));
                }
            }
            for (name, sealed) in secrets {
                meta.insert(name.as_str(), sealed.as_slice()).map_err(database)?;
            }
            meta.insert("kek", wrapped.as_slice()).map_err(database)?;
        }
        write.commit().map_err(database)?;
        self.kek.store(Arc::new((wrapped, Arc::new(new))));
        Ok(())
    }

    /// People whose content key was destroyed, and whose record key is still there.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn erased(&self) -> Result<Vec<PersonId>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let mut classes: BTreeMap<[u8; 16], BTreeSet<u8>> = BTreeMap::new();
        for owner in read.open_table(OWNERS).map_err(database)?.iter().map_err(database)? {
            let (owner, _) = owner.map_err(database)?;
            let (person, class) = owner_parts(owner.value()).ok_or(VaultError::Damaged)?;
            classes.entry(*person.bytes()).or_default().insert(super::class_number(class));
        }
        let record = BTreeSet::from([super::class_number(KeyClass::Record)]);
        Ok(classes.into_iter().filter(|(_, has)| *has == record).map(|(person, _)| PersonId::of(person)).collect())
    }

    /// Every key that was destroyed.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn destroyed(&self) -> Result<Vec<KeyId>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let mut ids = Vec::new();
        for slot in read.open_table(KEYS).map_err(database)?.iter().map_err(database)? {
            let (id, slot) = slot.map_err(database)?;
            if slot.value().len() <= OWNER_BYTES {
                ids.push(KeyId::of(*id.value()));
            }
        }
        Ok(ids)
    }

    /// Writes the vault as it stands into a new file. Everything in it stays wrapped as it is.
    ///
    /// # Errors
    /// When the vault can't be read, or the file not written.
    pub fn copy_to(&self, path: &Path) -> Result<(), VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let copy = Database::create(path).map_err(database)?;
        let write = copy.begin_write().map_err(database)?;
        macro_rules! table {
            ($table:expr) => {{
                let mut to = write.open_table($table).map_err(database)?;
                for row in read.open_table($table).map_err(database)?.iter().map_err(database)? {
                    let (key, value) = row.map_err(database)?;
                    to.insert(key.value(), value.value()).map_err(database)?;
                }
            }};
        }
        table!(META);
        table!(KEYS);
        table!(OWNERS);
        table!(TOKENS);
        table!(FORWARDS);
        table!(super::shelf::SHELF);
        write.commit().map_err(database)
    }
}

/// So that a table added later can't be forgotten in a copy: their names as the database knows them.
#[cfg(test)]
fn tables(db: &Database) -> BTreeSet<String> {
    use redb::TableHandle;
    db.begin_read().unwrap().list_tables().unwrap().map(|table| table.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(directory: &tempfile::TempDir) -> Vault {
        Vault::open(&directory.path().join("vault.redb"), SealKey::new([1; 32])).unwrap()
    }

    #[test]
    fn another_kek_opens_everything_and_the_old_one_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, gone) = (PersonId::mint(), PersonId::mint());
        let vault = vault(&directory);
        vault.make_keys(&[kept, gone]).unwrap();
        let seed = vault.secret("seed").unwrap();
        vault.put_token(kept, [2; 16], b"token").unwrap();
        vault.put_token(gone, [2; 16], b"another").unwrap();
        let sealed = vault.key_of(kept, KeyClass::Record).unwrap().key.seal(b"a", b"body");
        let destroyed = vault.key_of(gone, KeyClass::Content).unwrap().id;
        let old = Arc::clone(&vault.kek.load().1);
        vault.destroy(destroyed).unwrap();
        vault.drop_tokens_of(gone).unwrap();
        vault.change_kek().unwrap();
        assert_eq!(vault.erased().unwrap(), [gone]);
        drop(vault);
        let vault = self::vault(&directory);
        assert_eq!(vault.secret("seed").unwrap(), seed);
        assert_eq!(vault.token(kept, [2; 16]).unwrap().unwrap(), b"token");
        assert_eq!(vault.token(gone, [2; 16]).unwrap(), None);
        assert_eq!(vault.key_of(kept, KeyClass::Record).unwrap().key.open(b"a", &sealed).unwrap(), b"body");
        assert!(!vault.holds(destroyed).unwrap());
        let id = vault.key_of(kept, KeyClass::Record).unwrap().id;
        let read = vault.db.begin_read().unwrap();
        let slot = read.open_table(KEYS).unwrap().get(id.bytes()).unwrap().unwrap().value().to_vec();
        let (owner, wrapped) = slot.split_first_chunk::<OWNER_BYTES>().unwrap();
        assert!(SealKey::unwrap_under(&old, &slot_aad(id, *owner), wrapped).is_err());
    }

    #[test]
    fn a_copy_is_the_same_vault() {
        let directory = tempfile::tempdir().unwrap();
        let person = PersonId::mint();
        let vault = vault(&directory);
        vault.make_keys(&[person]).unwrap();
        let (seed, id) = (vault.secret("seed").unwrap(), vault.key_of(person, KeyClass::Content).unwrap().id);
        let copy = directory.path().join("copy.redb");
        vault.copy_to(&copy).unwrap();
        let copy = Vault::open(&copy, SealKey::new([1; 32])).unwrap();
        assert_eq!(copy.secret("seed").unwrap(), seed);
        assert_eq!(copy.key_of(person, KeyClass::Content).unwrap().id, id);
        assert_eq!(tables(&copy.db), tables(&vault.db));
    }
}
