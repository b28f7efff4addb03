//! What nurses' pages keep: which cases are on a municipality's list, the work on each, who is in charge of what, and counts.

use minicbor::{Decode, Encode};
use sekisho_policy::{PartyId, PersonId};

use super::{Changes, Shelf, decoded, first16, kind};
use crate::ids::{CaseId, TextId};
use crate::ledger::entry::{KeyClass, encode};
use crate::store::embedded::vault::{Place, ShelfChange, VaultError};
use crate::store::{Store, StoreError};
use crate::week::work::Work;

/// A nurse of a municipality, as the pages know them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Nurse {
    /// The login at the municipality's provider.
    #[n(0)]
    pub login: String,
    /// Their name, as the provider has it.
    #[n(1)]
    pub name: String,
    /// Districts whose cases they see.
    #[n(2)]
    pub districts: Vec<String>,
    /// They see all.
    #[n(3)]
    pub all: bool,
}

fn work_at(municipality: PartyId, case: CaseId) -> Place {
    Place::new(kind::WORK, &[municipality.bytes(), case.bytes()])
}

fn bound_to(municipality: PartyId, case: CaseId) -> Vec<u8> {
    [b"sekisho work 1".as_slice(), municipality.bytes(), case.bytes()].concat()
}

fn nurse_at(municipality: PartyId, login: &str) -> Place {
    Place::new(kind::NURSE, &[municipality.bytes(), &first16(&[b"sekisho nurse 1", login.as_bytes()])])
}

fn count_at(municipality: PartyId, week: u32, what: &str) -> Place {
    Place::new(kind::COUNT, &[municipality.bytes(), &week.to_be_bytes(), what.as_bytes()])
}

impl Changes {
    /// The case is on the municipality's list, or not any more.
    pub fn listed(&mut self, municipality: PartyId, case: CaseId, listed: bool) {
        let place = Place::new(kind::LISTED, &[municipality.bytes(), case.bytes()]);
        if listed { self.sign(place) } else { self.drop(place) }
    }

    /// The work on a case, under the person's content key.
    ///
    /// # Errors
    /// When the person was erased, or the vault can't be read.
    pub fn put_work(
        &mut self,
        store: &Store,
        municipality: PartyId,
        person: PersonId,
        case: CaseId,
        work: &Work,
    ) -> Result<(), StoreError> {
        let key = store.vault().key_of(person, KeyClass::Content)?;
        let sealed = key.key.seal(&bound_to(municipality, case), &encode(work));
        self.0.push(ShelfChange::Put(work_at(municipality, case), sealed));
        Ok(())
    }

    /// Of the work on a case nothing is left.
    pub fn forget_work(&mut self, municipality: PartyId, case: CaseId) {
        self.listed(municipality, case, false);
        self.drop(work_at(municipality, case));
    }

    /// A nurse, as they are now.
    pub fn put_nurse(&mut self, municipality: PartyId, nurse: &Nurse) {
        self.0.push(ShelfChange::Put(nurse_at(municipality, &nurse.login), encode(nurse)));
    }

    /// One count of a week.
    pub fn put_count(&mut self, municipality: PartyId, week: u32, what: &str, count: u32) {
        self.0.push(ShelfChange::Put(count_at(municipality, week, what), encode(&count)));
    }
}

impl Shelf<'_> {
    /// The cases on a municipality's list, in order of id.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn listed(&self, of: PartyId, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        Ok(self.ids(kind::LISTED, of.bytes(), None, limit)?.into_iter().map(CaseId::of).collect())
    }

    /// The work on a case; `None` where there is none, or the person was erased.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn work(&self, municipality: PartyId, person: PersonId, case: CaseId) -> Result<Option<Work>, StoreError> {
        let Some(sealed) = self.0.vault().on_shelf(&work_at(municipality, case))? else { return Ok(None) };
        let key = match self.0.vault().key_of(person, KeyClass::Content) {
            Ok(key) => key,
            Err(VaultError::Destroyed) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let plain = key.key.open(&bound_to(municipality, case), &sealed);
        decoded(&plain.map_err(|_| StoreError::from(VaultError::Damaged))?).map(Some)
    }

    /// A nurse.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn nurse(&self, municipality: PartyId, login: &str) -> Result<Option<Nurse>, StoreError> {
        self.get(&nurse_at(municipality, login))
    }

    /// The nurses of a municipality who have been at the pages.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn nurses(&self, municipality: PartyId, limit: usize) -> Result<Vec<Nurse>, StoreError> {
        let all = Place::new(kind::NURSE, &[municipality.bytes()]);
        let rows = self.0.vault().along_shelf(&all, None, limit)?;
        rows.iter().map(|(_, row)| decoded(row)).collect()
    }

    /// One count of a week.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn count(&self, municipality: PartyId, week: u32, what: &str) -> Result<u32, StoreError> {
        Ok(self.get(&count_at(municipality, week, what))?.unwrap_or_default())
    }

    /// All counts of a week.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn counts(&self, municipality: PartyId, week: u32, limit: usize) -> Result<Vec<(String, u32)>, StoreError> {
        let under = [municipality.bytes().as_slice(), &week.to_be_bytes()].concat();
        let rows = self.0.vault().along_shelf(&Place::new(kind::COUNT, &[&under]), None, limit)?;
        let mut counts = Vec::with_capacity(rows.len());
        for (at, row) in rows {
            let what = at.key().strip_prefix(under.as_slice()).map(String::from_utf8_lossy).unwrap_or_default();
            counts.push((what.into_owned(), decoded(&row)?));
        }
        Ok(counts)
    }
}
