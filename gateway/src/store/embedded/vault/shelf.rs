//! Rows of the nurses' week (`crate::week`): cases, packages, alerts, and what helps to find them. Deletable one by one.
//!
//! A row has a kind and a key, and is sealed under a key of the shelf's own, bound to its place. What it says, `crate::week` knows.
//! An empty row is a sign that something is there: nothing of it is sealed.

use redb::{ReadableDatabase, TableDefinition};

use super::{Vault, VaultError, database};
use crate::ledger::seal::SealKey;

/// Kind ‖ key → row, sealed.
pub(super) const SHELF: TableDefinition<&[u8], &[u8]> = TableDefinition::new("shelf");

/// Where a row stands: its kind, then its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<u8>);

impl Place {
    /// Of this kind, under the parts of a key in a row. Parts before the last are of fixed length.
    #[must_use]
    pub fn new(kind: u8, parts: &[&[u8]]) -> Self {
        let mut place = vec![kind];
        parts.iter().for_each(|part| place.extend_from_slice(part));
        Self(place)
    }

    /// The key without its kind.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Just behind this place: where a scan goes on after it.
    #[must_use]
    pub fn after(mut self) -> Self {
        self.0.push(0);
        self
    }
}

/// A change of the shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShelfChange {
    /// A row is there, or is another than before.
    Put(Place, Vec<u8>),
    /// It is gone.
    Drop(Place),
}

impl Vault {
    fn shelf_key(&self) -> Result<&SealKey, VaultError> {
        if let Some(key) = self.shelf.get() {
            return Ok(key);
        }
        let key = SealKey::new(self.secret("shelf")?);
        Ok(self.shelf.get_or_init(|| key))
    }

    /// Makes all of these changes, in one durable step.
    ///
    /// # Errors
    /// When the vault can't be written; then nothing has changed.
    pub fn change_shelf(&self, changes: &[ShelfChange]) -> Result<(), VaultError> {
        let key = self.shelf_key()?;
        let write = self.db.begin_write().map_err(database)?;
        {
            let mut shelf = write.open_table(SHELF).map_err(database)?;
            for change in changes {
                match change {
                    ShelfChange::Put(Place(at), row) if row.is_empty() => {
                        shelf.insert(at.as_slice(), [].as_slice()).map_err(database)?;
                    }
                    ShelfChange::Put(Place(at), row) => {
                        shelf.insert(at.as_slice(), key.seal(at, row).as_slice()).map_err(database)?;
                    }
                    ShelfChange::Drop(Place(at)) => drop(shelf.remove(at.as_slice()).map_err(database)?),
                }
            }
        }
        write.commit().map_err(database)
    }

    /// The row at a place.
    ///
    /// # Errors
    /// When the vault can't be read, or the row was changed by other means.
    pub fn on_shelf(&self, place: &Place) -> Result<Option<Vec<u8>>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let shelf = read.open_table(SHELF).map_err(database)?;
        let found = shelf.get(place.0.as_slice()).map_err(database)?;
        found.map(|row| self.opened(&place.0, row.value())).transpose()
    }

    /// Up to `limit` rows whose place begins with `under`, from `from` on, in order of place.
    ///
    /// # Errors
    /// When the vault can't be read, or a row was changed by other means.
    pub fn along_shelf(
        &self,
        under: &Place,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Vec<u8>)>, VaultError> {
        let read = self.db.begin_read().map_err(database)?;
        let shelf = read.open_table(SHELF).map_err(database)?;
        let from = from.unwrap_or(under);
        let mut rows = Vec::new();
        for row in shelf.range(from.0.as_slice()..).map_err(database)?.take(limit) {
            let (at, row) = row.map_err(database)?;
            if !at.value().starts_with(&under.0) {
                break;
            }
            rows.push((Place(at.value().to_vec()), self.opened(at.value(), row.value())?));
        }
        Ok(rows)
    }

    fn opened(&self, at: &[u8], row: &[u8]) -> Result<Vec<u8>, VaultError> {
        if row.is_empty() {
            return Ok(Vec::new());
        }
        self.shelf_key()?.open(at, row).map_err(|_| VaultError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::ReadableTable as _;

    #[test]
    fn rows_are_found_in_order_and_open_only_where_they_were_put() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vault.redb");
        let place = |kind, key: &str| Place::new(kind, &[key.as_bytes()]);
        {
            let vault = Vault::open(&path, SealKey::new([1; 32])).unwrap();
            let put = |kind, key, row: &str| ShelfChange::Put(place(kind, key), row.as_bytes().to_vec());
            vault.change_shelf(&[put(1, "b", "two"), put(1, "a", "one"), put(2, "a", ""), put(1, "c", "x")]).unwrap();
            vault.change_shelf(&[ShelfChange::Drop(place(1, "c"))]).unwrap();
            vault.change_kek().unwrap();
        }
        let vault = Vault::open(&path, SealKey::new([1; 32])).unwrap();
        assert_eq!(vault.on_shelf(&place(1, "a")).unwrap().unwrap(), b"one");
        assert_eq!(vault.on_shelf(&place(2, "a")).unwrap().unwrap(), b"");
        assert_eq!(vault.on_shelf(&place(1, "c")).unwrap(), None);
        let all = vault.along_shelf(&Place::new(1, &[]), None, 9).unwrap();
        assert_eq!(all.iter().map(|(at, _)| at.key()).collect::<Vec<_>>(), [b"a", b"b"]);
        let rest = vault.along_shelf(&Place::new(1, &[]), Some(&place(1, "a").after()), 9).unwrap();
        assert_eq!(rest.len(), 1);
        // Moved to another place, it does not open.
        let write = vault.db.begin_write().unwrap();
        {
            let mut shelf = write.open_table(SHELF).unwrap();
            let row = shelf.get(b"\x01a".as_slice()).unwrap().unwrap().value().to_vec();
            assert!(!row.windows(3).any(|part| part == b"one"));
            shelf.insert(b"\x01z".as_slice(), row.as_slice()).unwrap();
        }
        write.commit().unwrap();
        assert!(matches!(vault.on_shelf(&place(1, "z")), Err(VaultError::Damaged)));
    }
}
