//! What goes with a person, sealed under the KEK: what a source gave their sign-in, and where notices go.

use redb::{ReadableDatabase, ReadableTable};
use sekisho_policy::PersonId;

use super::{TOKENS, Vault, VaultError, database};

impl Vault {
    /// Keeps an upstream token of a person at a source.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub fn put_token(&self, person: PersonId, source: [u8; 16], token: &[u8]) -> Result<(), VaultError> {
        let at = token_key(person, source);
        let write = self.db.begin_write().map_err(database)?;
        let sealed = self.kek_while(&write)?.seal(&at, token);
        write.open_table(TOKENS).map_err(database)?.insert(&at, sealed.as_slice()).map_err(database)?;
        write.commit().map_err(database)
    }

    /// The upstream token of a person at a source.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn token(&self, person: PersonId, source: [u8; 16]) -> Result<Option<Vec<u8>>, VaultError> {
        let at = token_key(person, source);
        let read = self.db.begin_read().map_err(database)?;
        let tokens = read.open_table(TOKENS).map_err(database)?;
        let Some(sealed) = tokens.get(&at).map_err(database)? else { return Ok(None) };
        self.kek(&read)?.open(&at, sealed.value()).map(Some).map_err(|_| VaultError::Damaged)
    }

    /// Of whom something is kept under this source.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn with_token(&self, source: [u8; 16]) -> Result<Vec<PersonId>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let tokens = read.open_table(TOKENS).map_err(database)?;
        let mut people = Vec::new();
        for item in tokens.iter().map_err(database)? {
            let (key, _) = item.map_err(database)?;
            if let (Some(person), Some(of)) = (key.value().first_chunk::<16>(), key.value().last_chunk::<16>())
                && *of == source
            {
                people.push(PersonId::from_bytes(*person));
            }
        }
        Ok(people)
    }

    /// Forgets an upstream token.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub fn drop_token(&self, person: PersonId, source: [u8; 16]) -> Result<(), VaultError> {
        let write = self.db.begin_write().map_err(database)?;
        write.open_table(TOKENS).map_err(database)?.remove(&token_key(person, source)).map_err(database)?;
        write.commit().map_err(database)
    }
}

fn token_key(person: PersonId, source: [u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    let (a, b) = key.split_at_mut(16);
    a.copy_from_slice(person.bytes());
    b.copy_from_slice(&source);
    key
}
