//! What the week keeps, in the vault: cases, packages, alerts, and what helps to find them.
//!
//! A case stands in one row that says where it is; what is about a person stands in a row of its own, sealed under that person's
//! content key as well, so that erasure takes it. Changes that belong together are made in one durable step.

use minicbor::{Decode, Encode};
use sekisho_policy::{BasisId, PartyId, PersonId, Timestamp};

use super::calendar::Week;
use crate::ids::{AlertId, CaseId, PackageId, TextId};
use crate::ledger::entry::{KeyClass, encode};
use crate::ledger::merkle::sha256;
use crate::store::embedded::vault::{Place, ShelfChange, VaultError};
use crate::store::{Store, StoreError};

pub mod nurses;

/// Kinds of rows. The numbers are the format: never reuse one.
mod kind {
    pub const CASE: u8 = 1;
    pub const MINIMUM: u8 = 2;
    pub const WAITING: u8 = 3;
    pub const OF_PERSON: u8 = 4;
    pub const PACKAGE: u8 = 5;
    pub const PACKAGE_OF: u8 = 6;
    pub const MEMBER: u8 = 7;
    pub const HELD: u8 = 8;
    pub const RECALLED: u8 = 9;
    pub const HISTORY: u8 = 10;
    pub const CURSOR: u8 = 11;
    pub const ALERT: u8 = 12;
    pub const OPEN_ALERT: u8 = 13;
    pub const TELL: u8 = 14;
    pub const PLANNED: u8 = 15;
    pub const NUMBER: u8 = 16;
    pub const BASIS: u8 = 17;
    pub const LISTED: u8 = 18;
    pub const WORK: u8 = 19;
    pub const NURSE: u8 = 20;
    pub const COUNT: u8 = 21;
}

/// A case: where it is. Nothing in it names anybody outside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Case {
    /// Who asked.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub person: [u8; 16],
    /// The service's code.
    #[n(1)]
    pub service: String,
    /// The municipality that the choice named, as a party; `None` where none of ours was named.
    #[n(2)]
    pub recipient: Option<String>,
    /// The choice: 0 nothing, 1 identity only, 2 content.
    #[n(3)]
    pub choice: u8,
    /// How soon: 0 weekly, 1 raised, 2 urgent.
    #[n(4)]
    pub urgency: u8,
    /// When they asked, ms since the epoch.
    #[n(5)]
    pub consulted_ms: i64,
    /// When it was collected, ms since the epoch.
    #[n(6)]
    pub collected_ms: i64,
    /// Where it is.
    #[n(7)]
    pub stage: Stage,
    /// When the choice that it goes by was made, ms since the epoch.
    #[n(8)]
    pub choice_ms: i64,
}

/// Where a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Nothing is to be sent of it: that was the choice, or nobody takes it.
    #[n(0)]
    Resting,
    /// It waits for its week.
    #[n(1)]
    Waiting,
    /// It is in a package that the municipality has not confirmed.
    #[n(2)]
    Packed(#[n(0)] Id16),
    /// The municipality has it.
    #[n(3)]
    Delivered(#[n(0)] Id16),
    /// It may not be shared, as it was found when its package was built and confirmed.
    #[n(4)]
    Withheld(#[n(0)] Id16),
}

/// Sixteen bytes of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Id16(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// The triage minimum of a flagged case: who, how to reach them, why. Under the person's content key.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Minimum {
    /// The service's id of the consultation.
    #[n(0)]
    pub consultation: String,
    /// The service's id of who asked.
    #[n(1)]
    pub asker: String,
    /// Of the child, where there is one.
    #[n(2)]
    pub child: Option<String>,
    /// Item scores: 255 is *not answered*.
    #[n(3)]
    pub epds: Option<Scores>,
    /// Why it was flagged: [`super::triage::Flag`] as JSON.
    #[n(4)]
    pub flag: String,
    /// Where they live: municipality code, postal code.
    #[n(5)]
    pub residence: Spot,
    /// Where they are, if elsewhere.
    #[n(6)]
    pub present: Option<Spot>,
    /// By which means they want to be reached, in order: names as in rows.
    #[n(7)]
    pub means: Vec<String>,
    /// At which hours.
    #[n(8)]
    pub hours: String,
    /// Whether a message may be left.
    #[n(9)]
    pub voicemail: bool,
    /// 家族に知られたくない.
    #[n(10)]
    pub hidden_from_family: bool,
}

/// Ten item scores.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Scores(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 10]);

/// A place: municipality code, postal code.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Spot {
    /// Six digits.
    #[n(0)]
    pub municipality: String,
    /// Seven digits.
    #[n(1)]
    pub postal: Option<String>,
}

impl std::fmt::Debug for Minimum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Minimum(..)")
    }
}

/// A package of a municipality.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Package {
    /// The municipality, as a party.
    #[n(0)]
    pub municipality: String,
    /// The week's number; 0 is *urgent*.
    #[n(1)]
    pub week: u32,
    /// Which part of it, from 1.
    #[n(2)]
    pub part: u32,
    /// How many cases are in it.
    #[n(3)]
    pub cases: u32,
    /// When it was made up, ms since the epoch.
    #[n(4)]
    pub planned_ms: i64,
    /// Copies that were built.
    #[n(5)]
    pub copies: u32,
    /// The last copies: number, digest, and which cases are in it.
    #[n(6)]
    pub built: Vec<Copied>,
    /// When the municipality said that it has it, ms since the epoch.
    #[n(7)]
    pub confirmed_ms: Option<i64>,
}

/// A copy that was built.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Copied {
    /// Which, from 1.
    #[n(0)]
    pub copy: u32,
    /// SHA-256 of the sealed file.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// The cases whose rows are in it, and whether with their words.
    #[n(2)]
    pub cases: Vec<(Id16, bool)>,
    /// The cases that it says are recalled.
    #[n(3)]
    pub recalled: Vec<Id16>,
}

/// Of somebody's consultations with a service, what triage needs: no more than a hash leads here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct History {
    /// The last consultations: first 8 bytes of the hash of its id, when (ms), sum (255: none).
    #[n(0)]
    pub seen: Vec<(u64, i64, u8)>,
    /// The last choice that was taken over, for each municipality.
    #[n(1)]
    pub taken: Option<Vec<Taken>>,
    /// Choices that came before the consultation that they are about: the first 8 bytes of the hash of its id, or none where it is all
    /// of the user's; of each the newest.
    #[n(2)]
    pub ahead: Option<Vec<(Option<u64>, Ahead)>>,
}

/// A choice that was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Taken {
    /// The municipality, as a party.
    #[n(0)]
    pub to: String,
    /// When it was made, ms since the epoch; `None` for one that could not be read.
    #[n(1)]
    pub at_ms: Option<i64>,
    /// The refusal that it made, where it was *nothing*.
    #[n(2)]
    pub refusal: Option<Id16>,
}

/// A choice that waits for a consultation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ahead {
    /// 0 nothing, 1 identity only, 2 content.
    #[n(0)]
    pub choice: u8,
    /// The municipality's code, six digits; `None` where the choice could not be read.
    #[n(1)]
    pub municipality: Option<String>,
    /// Version of the text.
    #[n(2)]
    pub text_version: String,
    /// When, ms since the epoch.
    #[n(3)]
    pub at_ms: i64,
    /// Where the service keeps the evidence.
    #[n(4)]
    pub evidence: String,
}

/// Choices that are kept for consultations to come, of one user, at most.
const AHEAD_MAX: usize = 64;

impl History {
    fn taken_for(&self, to: &str) -> Option<&Taken> {
        self.taken.iter().flatten().find(|taken| taken.to == to)
    }

    /// The refusal that a choice made towards this party.
    #[must_use]
    pub fn refusal(&self, to: &str) -> Option<[u8; 16]> {
        self.taken_for(to).and_then(|taken| taken.refusal).map(|id| id.0)
    }

    /// Whether a choice of this moment is newer than all that were taken over for this party.
    #[must_use]
    pub fn is_newer(&self, to: &str, at_ms: i64) -> bool {
        self.taken_for(to).and_then(|taken| taken.at_ms).is_none_or(|last| last < at_ms)
    }

    /// A choice was taken over; one that could not be read has no moment, and gives way to any that can that is newer than those before.
    pub fn set_taken(&mut self, to: &str, at_ms: Option<i64>, refusal: Option<[u8; 16]>) {
        let at_ms = at_ms.max(self.taken_for(to).and_then(|taken| taken.at_ms));
        let all = self.taken.get_or_insert_default();
        all.retain(|taken| taken.to != to);
        all.push(Taken { to: to.to_owned(), at_ms, refusal: refusal.map(Id16) });
    }

    /// What was told about this consultation, or about all.
    #[must_use]
    pub fn ahead_of(&self, about: Option<u64>) -> Option<&Ahead> {
        self.ahead.iter().flatten().find(|(of, _)| *of == about).map(|(_, ahead)| ahead)
    }

    /// Keeps a choice, unless a newer one is kept. One that can't be read gives way to any that can.
    pub fn keep_ahead(&mut self, about: Option<u64>, ahead: Ahead) {
        let newer = |kept: &Ahead| kept.municipality.is_some() && kept.at_ms > ahead.at_ms;
        if self.ahead_of(about).is_some_and(newer) {
            return;
        }
        let all = self.ahead.get_or_insert_default();
        all.retain(|(of, _)| *of != about);
        if all.len() >= AHEAD_MAX
            && let Some(at) = all.iter().position(|(of, _)| of.is_some())
        {
            all.remove(at);
        }
        all.push((about, ahead));
    }

    /// The consultation has come.
    pub fn drop_ahead(&mut self, about: u64) {
        self.ahead.iter_mut().for_each(|all| all.retain(|(of, _)| *of != Some(about)));
    }
}

/// A call for a human.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Alert {
    /// The service.
    #[n(0)]
    pub service: String,
    /// The service's id of the consultation, where it could be read.
    #[n(1)]
    pub consultation: Option<String>,
    /// The case, where the record could be taken.
    #[n(2)]
    pub case: Option<Id16>,
    /// When it was raised, ms since the epoch.
    #[n(3)]
    pub raised_ms: i64,
    /// How often somebody was called.
    #[n(4)]
    pub calls: u32,
    /// When somebody is called next, ms since the epoch.
    #[n(5)]
    pub next_ms: i64,
    /// Who acknowledged it, and when.
    #[n(6)]
    pub acknowledged: Option<(String, i64)>,
    /// What was decided: the ledger has by whom and why.
    #[n(7)]
    pub decided: Option<u8>,
}

/// A legal basis that a second person has not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Basis {
    /// About whom.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub person: [u8; 16],
    /// The party whose professional decided.
    #[n(1)]
    pub by_party: String,
    /// Who decided.
    #[n(2)]
    pub decided_by: String,
    /// When, ms since the epoch.
    #[n(3)]
    pub recorded_ms: i64,
    /// Until when somebody should have looked, ms since the epoch.
    #[n(4)]
    pub due_ms: i64,
}

/// Something that a service is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tell {
    /// The service's id of the consultation, or where in which page it stood.
    #[n(0)]
    pub about: String,
    /// What: a code, and the path of a field where there is one.
    #[n(1)]
    pub codes: Vec<(String, String)>,
    /// Whether it is an outcome, not something that goes back.
    #[n(2)]
    pub outcome: bool,
}

/// The case of a consultation: the same each time it is collected.
#[must_use]
pub fn case_of(service: PartyId, consultation: &str) -> CaseId {
    CaseId::of(first16(&[b"sekisho case 1", service.bytes(), consultation.as_bytes()]))
}

/// Which package it is: the same each time it is made up.
#[must_use]
pub fn package_of(municipality: PartyId, week: u32, part: u32) -> PackageId {
    let parts = [b"sekisho package 1".as_slice(), municipality.bytes(), &week.to_be_bytes(), &part.to_be_bytes()];
    PackageId::of(first16(&parts))
}

fn first16(parts: &[&[u8]]) -> [u8; 16] {
    sha256(&parts.concat()).first_chunk().copied().unwrap_or_default()
}

/// First 8 bytes of a hash, as a number.
#[must_use]
pub fn short(text: &str) -> u64 {
    sha256(text.as_bytes()).first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// Changes that are made in one durable step.
#[derive(Default)]
pub struct Changes(Vec<ShelfChange>);

macro_rules! rows {
    ($($put:ident $get:ident $place:ident($($arg:ident: $type:ty),*) $row:ty = $kind:ident [$($part:expr),*];)*) => {
        $(fn $place($($arg: $type),*) -> Place { Place::new(kind::$kind, &[$($part),*]) })*
        impl Changes {
            $(
                #[doc = concat!("Puts a row of the kind `", stringify!($kind), "`.")]
                pub fn $put(&mut self, $($arg: $type,)* row: &$row) { self.0.push(ShelfChange::Put($place($($arg),*), encode(row))); }
            )*
        }
        impl Shelf<'_> {
            $(
                #[doc = concat!("The row of the kind `", stringify!($kind), "` there.")]
                ///
                /// # Errors
                /// When the vault can't be read, or the row is none.
                pub fn $get(&self, $($arg: $type),*) -> Result<Option<$row>, StoreError> { self.get(&$place($($arg),*)) }
            )*
        }
    };
}

/// The week's rows of a store.
pub struct Shelf<'s>(pub &'s Store);

rows! {
    put_case case case_at(id: CaseId) Case = CASE [id.bytes()];
    put_package package package_at(id: PackageId) Package = PACKAGE [id.bytes()];
    put_history history history_at(service: PartyId, user: &str) History = HISTORY [&first16(&[service.bytes(), user.as_bytes()])];
    put_cursor cursor cursor_at(service: PartyId, feed: u8) String = CURSOR [service.bytes(), &[feed]];
    put_alert alert alert_at(id: AlertId) Alert = ALERT [id.bytes()];
    put_planned planned planned_at(municipality: PartyId) u32 = PLANNED [municipality.bytes()];
    put_recalled recalled recalled_at(municipality: PartyId, case: CaseId) i64 = RECALLED [municipality.bytes(), case.bytes()];
    put_number number number_at(municipality: PartyId, number: &str) Id16 = NUMBER [municipality.bytes(), number.as_bytes()];
    put_package_of package_of_week package_of_at(municipality: PartyId, week: u32, part: u32) Id16 = PACKAGE_OF [municipality.bytes(), &week.to_be_bytes(), &part.to_be_bytes()];
    put_basis basis basis_at(id: BasisId) Basis = BASIS [id.bytes()];
    put_tell tell tell_at(service: PartyId, id: [u8; 16]) Tell = TELL [service.bytes(), &id];
}

impl Changes {
    /// Whether there is nothing to change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sign(&mut self, place: Place) {
        self.0.push(ShelfChange::Put(place, Vec::new()));
    }

    fn drop(&mut self, place: Place) {
        self.0.push(ShelfChange::Drop(place));
    }

    /// The case waits for a week of this municipality, or not any more.
    pub fn waiting(&mut self, municipality: PartyId, case: CaseId, waits: bool) {
        let place = Place::new(kind::WAITING, &[municipality.bytes(), case.bytes()]);
        if waits { self.sign(place) } else { self.drop(place) }
    }

    /// The case is in this package.
    pub fn member(&mut self, package: PackageId, case: CaseId) {
        self.sign(Place::new(kind::MEMBER, &[package.bytes(), case.bytes()]));
    }

    /// The municipality holds what it got of the case, with its words or without; or not any more.
    pub fn held(&mut self, municipality: PartyId, case: CaseId, full: Option<bool>) {
        let place = Place::new(kind::HELD, &[municipality.bytes(), case.bytes()]);
        match full {
            Some(full) => self.0.push(ShelfChange::Put(place, encode(&full))),
            None => self.drop(place),
        }
    }

    /// A recall was told in a package that is confirmed.
    pub fn recall_told(&mut self, municipality: PartyId, case: CaseId) {
        self.drop(recalled_at(municipality, case));
    }

    /// The case is about this person.
    pub fn of_person(&mut self, person: PersonId, case: CaseId) {
        self.sign(Place::new(kind::OF_PERSON, &[person.bytes(), case.bytes()]));
    }

    /// The alert waits for a human, or for a decision; or not any more.
    pub fn open_alert(&mut self, alert: AlertId, open: bool) {
        let place = Place::new(kind::OPEN_ALERT, &[alert.bytes()]);
        if open { self.sign(place) } else { self.drop(place) }
    }

    /// A second person has looked at the basis.
    pub fn drop_basis(&mut self, id: BasisId) {
        self.drop(basis_at(id));
    }

    /// The service was told.
    pub fn told(&mut self, service: PartyId, id: [u8; 16]) {
        self.drop(tell_at(service, id));
    }

    /// The triage minimum of a case, under the person's content key.
    ///
    /// # Errors
    /// When the person was erased, or the vault can't be read.
    pub fn put_minimum(
        &mut self,
        store: &Store,
        person: PersonId,
        case: CaseId,
        row: &Minimum,
    ) -> Result<(), StoreError> {
        let place = Place::new(kind::MINIMUM, &[case.bytes()]);
        let key = store.vault().key_of(person, KeyClass::Content)?;
        let sealed = key.key.seal(case.bytes(), &encode(row));
        self.0.push(ShelfChange::Put(place, sealed));
        Ok(())
    }

    /// All of a case goes with the person, but what municipalities hold: [`Changes::forget_at`].
    pub fn forget(&mut self, person: PersonId, id: CaseId, case: &Case) {
        self.drop(case_at(id));
        self.drop(Place::new(kind::MINIMUM, &[id.bytes()]));
        self.drop(Place::new(kind::OF_PERSON, &[person.bytes(), id.bytes()]));
        if let Stage::Packed(package) | Stage::Delivered(package) | Stage::Withheld(package) = case.stage {
            self.drop(Place::new(kind::MEMBER, &[&package.0, id.bytes()]));
        }
    }

    /// Nothing is remembered of a service's user.
    pub fn forget_user(&mut self, service: PartyId, user: &str) {
        self.drop(history_at(service, user));
    }

    /// Of a case nothing waits for a municipality, and nothing is known that it holds.
    pub fn forget_at(&mut self, municipality: PartyId, id: CaseId) {
        self.waiting(municipality, id, false);
        self.held(municipality, id, None);
        self.forget_work(municipality, id);
    }

    /// Makes them, durably.
    ///
    /// # Errors
    /// When the vault can't be written; then nothing has changed.
    pub async fn make(self, store: &Store) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        store.in_vault(move |vault| vault.change_shelf(&self.0)).await
    }
}

impl Shelf<'_> {
    fn get<T>(&self, place: &Place) -> Result<Option<T>, StoreError>
    where
        T: for<'b> Decode<'b, ()>,
    {
        self.0.vault().on_shelf(place)?.map(|row| decoded(&row)).transpose()
    }

    /// The triage minimum of a case; `None` when the person was erased.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn minimum(&self, person: PersonId, case: CaseId) -> Result<Option<Minimum>, StoreError> {
        let place = Place::new(kind::MINIMUM, &[case.bytes()]);
        let Some(sealed) = self.0.vault().on_shelf(&place)? else { return Ok(None) };
        let key = match self.0.vault().key_of(person, KeyClass::Content) {
            Ok(key) => key,
            Err(VaultError::Destroyed) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let plain = key.key.open(case.bytes(), &sealed).map_err(|_| StoreError::from(VaultError::Damaged))?;
        decoded(&plain).map(Some)
    }

    fn ids(&self, kind: u8, under: &[u8], after: Option<[u8; 16]>, limit: usize) -> Result<Vec<[u8; 16]>, StoreError> {
        let all = Place::new(kind, &[under]);
        let from = after.map(|after| Place::new(kind, &[under, &after]).after());
        let rows = self.0.vault().along_shelf(&all, from.as_ref(), limit)?;
        Ok(rows.iter().filter_map(|(at, _)| at.key().last_chunk().copied()).collect())
    }

    /// Cases that wait for a week of this municipality, in order of id, after one of them.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn waiting(&self, of: PartyId, after: Option<CaseId>, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        let ids = self.ids(kind::WAITING, of.bytes(), after.map(|id| *id.bytes()), limit)?;
        Ok(ids.into_iter().map(CaseId::of).collect())
    }

    /// The cases of a package.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn members(&self, package: PackageId, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        let ids = self.ids(kind::MEMBER, package.bytes(), None, limit)?;
        Ok(ids.into_iter().map(CaseId::of).collect())
    }

    /// The cases that a municipality holds, in order of id, after one of them.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn held(&self, of: PartyId, after: Option<CaseId>, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        let ids = self.ids(kind::HELD, of.bytes(), after.map(|id| *id.bytes()), limit)?;
        Ok(ids.into_iter().map(CaseId::of).collect())
    }

    /// Whether a municipality holds something of a case, and if so whether with its words.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn held_as(&self, of: PartyId, case: CaseId) -> Result<Option<bool>, StoreError> {
        self.get(&Place::new(kind::HELD, &[of.bytes(), case.bytes()]))
    }

    /// Cases that are recalled and whose recall no confirmed package has told, and since when.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn recalls(&self, of: PartyId, limit: usize) -> Result<Vec<(CaseId, Timestamp)>, StoreError> {
        let rows = self.0.vault().along_shelf(&Place::new(kind::RECALLED, &[of.bytes()]), None, limit)?;
        let mut recalls = Vec::with_capacity(rows.len());
        for (at, row) in rows {
            let Some(id) = at.key().last_chunk::<16>() else { continue };
            recalls.push((CaseId::of(*id), Timestamp::from_millis(decoded(&row)?)));
        }
        Ok(recalls)
    }

    /// A person's cases.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn cases_of(&self, person: PersonId, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        Ok(self.ids(kind::OF_PERSON, person.bytes(), None, limit)?.into_iter().map(CaseId::of).collect())
    }

    /// Alerts that wait for a human or a decision, after one of them.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn open_alerts(&self, after: Option<AlertId>, limit: usize) -> Result<Vec<AlertId>, StoreError> {
        let ids = self.ids(kind::OPEN_ALERT, &[], after.map(|id| *id.bytes()), limit)?;
        Ok(ids.into_iter().map(AlertId::of).collect())
    }

    /// Legal bases that wait for a second look.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn bases(&self, limit: usize) -> Result<Vec<(BasisId, Basis)>, StoreError> {
        let rows = self.0.vault().along_shelf(&Place::new(kind::BASIS, &[]), None, limit)?;
        let mut bases = Vec::with_capacity(rows.len());
        for (at, row) in rows {
            let Some(id) = at.key().last_chunk() else { continue };
            bases.push((BasisId::of(*id), decoded(&row)?));
        }
        Ok(bases)
    }

    /// What a service is to be told.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn tells(&self, service: PartyId, limit: usize) -> Result<Vec<([u8; 16], Tell)>, StoreError> {
        let rows = self.0.vault().along_shelf(&Place::new(kind::TELL, &[service.bytes()]), None, limit)?;
        let mut tells = Vec::with_capacity(rows.len());
        for (at, row) in rows {
            let Some(id) = at.key().last_chunk() else { continue };
            tells.push((*id, decoded(&row)?));
        }
        Ok(tells)
    }

    /// A municipality's packages, the newest weeks last; urgent ones (week 0) first.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn packages(&self, of: PartyId, limit: usize) -> Result<Vec<(PackageId, Package)>, StoreError> {
        let rows = self.0.vault().along_shelf(&Place::new(kind::PACKAGE_OF, &[of.bytes()]), None, limit)?;
        let mut packages = Vec::with_capacity(rows.len());
        for (_, row) in rows {
            let id = PackageId::of(decoded::<Id16>(&row)?.0);
            packages.extend(self.package(id)?.map(|package| (id, package)));
        }
        Ok(packages)
    }

    /// The last week that was made up for a municipality.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn last_planned(&self, of: PartyId) -> Result<Option<Week>, StoreError> {
        Ok(self.planned(of)?.and_then(Week::of_number))
    }
}

fn decoded<T>(row: &[u8]) -> Result<T, StoreError>
where
    T: for<'b> Decode<'b, ()>,
{
    minicbor::decode(row).map_err(|_| StoreError::from(VaultError::Damaged))
}
