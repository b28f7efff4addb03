//! Destroying keys: a person's content at an erasure, the rest when the law no longer asks for it.
//!
//! What a key sealed can't be read any more by anybody, in the ledger and in every copy of it. Statutory records are under
//! a key of their own, which outlives an erasure and ends by [`Store::destroy_old_records`]. Never by itself: a clock
//! that jumps must erase nobody.

use sekisho_policy::{PersonId, Timestamp};

use super::embedded::vault::{Vault, VaultError};
use super::embedded::writer::{Message, Slot};
use super::{Store, StoreError, prepare};
use crate::ids::KeyId;
use crate::ledger::destroyed;
use crate::ledger::entry::{Bytes16, Cause, KeyClass};
use crate::ledger::event::{Event, KeyDestroyed};

impl Store {
    /// Held while a backup is made: no key is destroyed meanwhile.
    pub async fn keeping(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.keeping.lock().await
    }

    /// Where the ledger lies.
    #[must_use]
    pub fn ledger_directory(&self) -> &std::path::Path {
        self.inner.reader.directory()
    }

    /// Whether there is anything of this person: a key that was not destroyed.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn has_records_of(&self, person: PersonId) -> Result<bool, StoreError> {
        match self.inner.vault.key_of(person, KeyClass::Record) {
            Ok(_) => Ok(true),
            Err(VaultError::Destroyed) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Erases a person's content: the key, tokens for portals, and the KEK that copies of the vault were made under.
    /// Statutory records stay. Doing it again goes on where a crash broke it off.
    ///
    /// # Errors
    /// When it could not be recorded or done; doing it again goes on.
    pub async fn erase(&self, person: PersonId, cause: Cause) -> Result<(), StoreError> {
        let _no_backup_meanwhile = self.inner.keeping.lock().await;
        match self.inner.vault.key_of(person, KeyClass::Content) {
            Ok(key) => self.destroy(key.id, Slot::of(person.bytes()), cause).await?,
            Err(VaultError::Destroyed) => {}
            Err(error) => return Err(error.into()),
        }
        self.in_vault(move |vault| vault.drop_tokens_of(person).and_then(|()| vault.change_kek())).await
    }

    /// Destroys keys whose ids are known from elsewhere, a list kept beside backups, as far as they are there; how many.
    ///
    /// # Errors
    /// When it could not be recorded or done.
    pub async fn destroy_again(&self, keys: &[KeyId], cause: Cause) -> Result<usize, StoreError> {
        let _no_backup_meanwhile = self.inner.keeping.lock().await;
        let mut count = 0;
        for key in keys {
            if !self.inner.vault.holds(*key)? {
                continue;
            }
            let owner = self.inner.vault.owner_of(*key)?;
            self.destroy(*key, owner.map_or(Slot::GLOBAL, |person| Slot::of(person.bytes())), cause).await?;
            if let Some(person) = owner {
                self.in_vault(move |vault| vault.drop_tokens_of(person)).await?;
            }
            count += 1;
        }
        if count > 0 {
            self.in_vault(Vault::change_kek).await?;
        }
        Ok(count)
    }

    /// Destroys the record keys of erased people about whom nothing has been recorded since `before`; how many.
    ///
    /// # Errors
    /// When it could not be recorded or done; doing it again goes on.
    pub async fn destroy_old_records(&self, before: Timestamp, cause: Cause) -> Result<u32, StoreError> {
        let _no_backup_meanwhile = self.inner.keeping.lock().await;
        let mut count = 0;
        for person in self.inner.vault.erased()? {
            if self.newest(person)?.is_some_and(|at| at >= before) {
                continue;
            }
            let key = self.inner.vault.key_of(person, KeyClass::Record)?;
            self.destroy(key.id, Slot::of(person.bytes()), cause).await?;
            count += 1;
        }
        if count > 0 {
            self.in_vault(Vault::change_kek).await?;
        }
        Ok(count)
    }

    /// When something was last recorded about a person.
    fn newest(&self, person: PersonId) -> Result<Option<Timestamp>, StoreError> {
        let shaping = self.inner.index.last_state_of(person)?;
        let decided =
            self.inner.index.log_of(person, u64::MAX, 1)?.first().map(|line| line.closed.unwrap_or(line.decided));
        let at = |location| self.read(location).map(|opened| opened.header.at());
        let times: Result<Vec<Timestamp>, StoreError> = shaping.into_iter().chain(decided).map(at).collect();
        Ok(times?.into_iter().max())
    }

    /// First in the ledger, so that a start does it again; then in the vault. Afterwards the records read as erased,
    /// which denies.
    async fn destroy(&self, key: KeyId, slot: Slot, cause: Cause) -> Result<(), StoreError> {
        let now = self.inner.clock.now()?;
        let event = Event::KeyDestroyed(KeyDestroyed { key: Bytes16(*key.bytes()) });
        self.inner.writer.append(vec![prepare::in_clear(event, now, cause)?], [], [slot]).await?;
        self.in_vault(move |vault| vault.destroy(key)).await?;
        // Whoever read in between may have read what is gone now.
        self.ask(|reply| Message::Touch(slot, reply)).await
    }

    /// Changes the vault, on a thread for what blocks. One change at a time: the vault has one writer, and whoever waits
    /// for it here holds no thread meanwhile.
    pub(crate) async fn in_vault(
        &self,
        work: impl FnOnce(&Vault) -> Result<(), VaultError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.inner.changing_vault.lock().await;
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store.inner.vault)).await;
        done.map_err(|_| StoreError::Stopped)?.map_err(StoreError::from)
    }

    /// The signed list of every key that was destroyed: to be kept where backups are not.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn destroyed_keys(&self) -> Result<Vec<u8>, StoreError> {
        let ids = self.inner.vault.destroyed()?;
        destroyed::sign(&self.inner.key, &ids).map_err(|_| StoreError::Entry("the list could not be signed"))
    }
}
