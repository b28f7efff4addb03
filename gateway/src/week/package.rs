//! A package's copies: built when it is pulled, or written as a file; each row decided and recorded for that very copy.
//!
//! Before a row is decided the services' withdrawals are read to their end: if they can't be, nothing is built. A copy says which
//! cases of earlier ones may not be used any more. The municipality confirms a copy by its digest; then, and only then, its cases
//! have arrived.

use std::collections::BTreeSet;
use std::sync::Arc;

use sekisho_policy::{Actor, PersonId, Timestamp};

use super::calendar::Week as IsoWeek;
use super::collect::{CollectError, read_choices};
use super::plan::{CASES_MAX, URGENT};
use super::row::{Head, Row, RowKind, Withdrawn};
use super::share::{self, Shared};
use super::shelf::{Case, Changes, Copied, Id16, Package, Shelf, Stage};
use crate::app::App;
use crate::config::week::{Municipality, Week};
use crate::consent::people::rfc3339;
use crate::ids::{CaseId, PackageId, TextId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{Event, PackageCopied, PackageReceived};
use crate::ledger::merkle::{Hash, sha256};
use crate::package;
use crate::request::releases::{Contents, Part};
use crate::sabotage::{self, Check};
use crate::store::StoreError;
use crate::store::state::Ending;

/// Copies of a package that can be confirmed, at most: the newest.
const COPIES_MAX: usize = 4;
/// Cases that a municipality holds which are looked at in one go.
const HELD_STEP: usize = 500;
/// Recalls in one copy, at most; the rest come with the next.
const RECALLS_MAX: usize = 10_000;
/// A case that could not be shared so long after it was asked waits no more.
const WAITS_MS: i64 = 92 * 86_400_000;

/// Why a copy can't be built or confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A service can't be read, or asked.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// There is no such package of this municipality.
    #[error("there is no such package")]
    Unknown,
    /// Nothing can be sealed for this municipality.
    #[error(
        "`{municipality}` has no key that packages can be sealed to: {why}. Set `key` in its [[week.municipality]]"
    )]
    NoKey {
        /// The municipality's code as a party.
        municipality: String,
        /// What is wrong.
        why: &'static str,
    },
    /// It could not be sealed.
    #[error("the package could not be sealed: {0}")]
    Seal(String),
    /// What was confirmed is none of the last copies.
    #[error("the digest is none of the last copies of this package")]
    NotACopy,
    /// Something of it is covered no longer. Building it again leaves that out.
    #[error("something in it may not be shared any more; building it again leaves it out")]
    Changed,
}

/// A copy that is sealed; nothing of it has gone anywhere.
pub struct Built {
    /// Which copy.
    pub copy: u32,
    /// The sealed file.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub digest: Hash,
    /// The decisions that it rests on; none where no row is in it.
    pub parts: Vec<Part>,
    /// Rows in it.
    pub rows: u32,
    /// The package.
    pub package: PackageId,
    /// The cases whose rows are in it, and whether with their words.
    pub cases: Vec<(CaseId, bool)>,
}

/// The package, if it is this municipality's.
///
/// # Errors
/// When there is none.
pub fn of_municipality(app: &App, to: &Municipality, id: PackageId) -> Result<Package, PackageError> {
    let package = Shelf(&app.store).package(id)?.ok_or(PackageError::Unknown)?;
    if package.municipality != to.code && !sabotage::off(Check::PackageOf) {
        return Err(PackageError::Unknown);
    }
    Ok(package)
}

/// Builds a copy: reads withdrawals, decides each row, asks the services, seals.
///
/// # Errors
/// When it can't be built. Nothing has gone anywhere, and what was permitted is closed.
pub async fn build(
    app: &Arc<App>,
    to: &Arc<Municipality>,
    id: PackageId,
    as_file: bool,
    cause: Cause,
) -> Result<Built, PackageError> {
    let week = app.config.week.as_ref().ok_or(PackageError::Unknown)?;
    let _one = app.desk.packing.lock().await;
    let package = of_municipality(app, to, id)?;
    let key = key(app, to)?;
    let shelf = Shelf(&app.store);
    let all = shelf.members(id, CASES_MAX as usize)?;
    withdrawals(app, week, &shelf, &all).await?;
    find_recalls(app, week, to).await?;
    let members = still_in_it(&shelf, to, id, &package, all)?;
    let mut permitted = share::decide(app, week, to, members.clone(), Actor::System, cause).await?;
    for one in &mut permitted {
        if package.confirmed_ms.is_some() && shelf.held_as(to.party, one.id)? == Some(false) {
            one.share.kind = RowKind::IdentityOnly;
        }
    }
    let shared = share::rows(app, week, to, permitted, true).await?;
    let sealed = seal(app, to, id, &package, &key, &shared);
    let (bytes, recalled) = match sealed {
        Ok(sealed) => sealed,
        Err(error) => {
            share::close_all(app, &shared.iter().map(|s| &s.permitted).collect::<Vec<_>>());
            return Err(error);
        }
    };
    keep(app, to, id, package, shared, members.len(), bytes, recalled, as_file).await
}

/// To which key, if it may be used.
fn key(app: &App, to: &Municipality) -> Result<String, PackageError> {
    let failed = |why| PackageError::NoKey { municipality: to.code.clone(), why };
    let key = to.key.clone().ok_or(failed("there is none"))?;
    let today = super::calendar::date(app.store.clock().now().map_err(StoreError::from)?);
    match to.key_until {
        Some(until) if today > until => Err(failed("its last day is over")),
        _ => Ok(key),
    }
}

/// Reads the withdrawals of every service to their end: those that have a case in it, without which nothing is built, and the others for what
/// the municipality holds already. Of one of these that can't be read what is known by now is recalled, the rest with a later copy.
async fn withdrawals(app: &Arc<App>, week: &Week, shelf: &Shelf<'_>, members: &[CaseId]) -> Result<(), PackageError> {
    let mut in_it = BTreeSet::new();
    for id in members {
        in_it.extend(shelf.case(*id)?.map(|case| case.service));
    }
    if let Some(gone) = in_it.iter().find(|code| week.service(party_id(code)).is_none()) {
        return Err(CollectError::NoService(gone.clone()).into());
    }
    for service in &week.services {
        match read_choices(app, service).await {
            Ok(_) => {}
            Err(_) if sabotage::off(Check::WithdrawalsRead) => {}
            Err(CollectError::Store(error)) => return Err(error.into()),
            Err(error) if in_it.contains(&service.code) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "what was withdrawn there since is recalled with a later package"),
        }
    }
    Ok(())
}

/// Those of a package's cases that are in it still: a case that moved, or could not be shared, comes with another one. What has arrived may
/// be fetched again, and nothing besides.
fn still_in_it(
    shelf: &Shelf<'_>,
    to: &Municipality,
    id: PackageId,
    package: &Package,
    members: Vec<CaseId>,
) -> Result<Vec<CaseId>, StoreError> {
    let (waits, arrived) = (Stage::Packed(Id16(*id.bytes())), Stage::Delivered(Id16(*id.bytes())));
    let mut still = Vec::with_capacity(members.len());
    for case_id in members {
        let Some(case) = shelf.case(case_id)? else { continue };
        let in_it = match package.confirmed_ms {
            // On a legal basis it is in a package of another municipality than the one that its choice names.
            None => case.recipient.as_ref() != Some(&to.code) || case.stage == waits,
            Some(_) => case.stage == arrived,
        };
        still.extend(in_it.then_some(case_id));
    }
    Ok(still)
}

/// Notes which cases that the municipality holds may not be used any more: whatever ended it, and nobody had to remember.
async fn find_recalls(app: &Arc<App>, week: &Week, to: &Municipality) -> Result<(), StoreError> {
    let shelf = Shelf(&app.store);
    let mut after = None;
    loop {
        let held = shelf.held(to.party, after, HELD_STEP)?;
        let Some(last) = held.last() else { return Ok(()) };
        after = Some(*last);
        let _rows = app.desk.rows.lock().await;
        let mut changes = Changes::default();
        for id in held {
            recall(app, week, to, id, &mut changes).await?;
        }
        changes.make(&app.store).await?;
    }
}

async fn recall(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    id: CaseId,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now()?;
    let case = shelf.case(id)?;
    let held = shelf.held_as(to.party, id)?;
    let share = match &case {
        Some(case) => share::might(app, week, to, case).await?.0,
        None => None,
    };
    case.iter().for_each(|case| app.store.let_go(PersonId::of(case.person)));
    let still = share.is_some_and(|share| share.kind == RowKind::Full || held != Some(true));
    if still || sabotage::off(Check::Recall) {
        return Ok(());
    }
    changes.held(to.party, id, None);
    changes.put_recalled(to.party, id, &now.millis());
    // What may still be shared of it comes anew, with the next package. One that has not arrived is where it is.
    let arrived = |case: &Case| matches!(case.stage, Stage::Delivered(_)) && case.recipient.as_ref() == Some(&to.code);
    if let Some(mut case) = case.filter(arrived) {
        case.stage = match share {
            Some(_) => Stage::Waiting,
            None => Stage::Resting,
        };
        changes.waiting(to.party, id, share.is_some());
        changes.put_case(id, &case);
    }
    Ok(())
}

fn seal(
    app: &App,
    to: &Municipality,
    id: PackageId,
    package: &Package,
    key: &str,
    shared: &[Shared],
) -> Result<(Vec<u8>, Vec<CaseId>), PackageError> {
    let week = app.config.week.as_ref().ok_or(PackageError::Unknown)?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let numbers = app.store.vault().secret("case numbers").map_err(StoreError::from)?;
    let recalls = Shelf(&app.store).recalls(to.party, RECALLS_MAX)?;
    let names = app.config.registry.party(&to.code);
    let valid = i64::try_from(week.valid.as_millis()).unwrap_or(i64::MAX);
    let head = Head {
        package: id.text(),
        week: week_name(package.week),
        municipality: to.number.to_string(),
        municipality_ja: names.map(|p| p.name_ja.clone()).unwrap_or_default(),
        municipality_en: names.map(|p| p.name_en.clone()).unwrap_or_default(),
        from: app.config.server.url.clone(),
        built: rfc3339(now),
        valid_until: rfc3339(now.plus_millis(valid)),
        copy: package.copies.saturating_add(1),
        rows: u32::try_from(shared.len()).unwrap_or(u32::MAX),
        withdrawn: recalls
            .iter()
            .map(|(case, since)| Withdrawn { case: share::number(&numbers, to, *case), since: rfc3339(*since) })
            .collect(),
    };
    let rows: Vec<&Row> = shared.iter().map(|shared| &shared.row).collect();
    let bytes = package::seal(&head, &rows, key, app.store.ledger_key());
    let bytes = bytes.map_err(|error| PackageError::Seal(error.to_string()))?;
    Ok((bytes, recalls.into_iter().map(|(case, _)| case).collect()))
}

/// As it stands at the head of a package.
#[must_use]
pub fn week_name(week: u32) -> String {
    if week == URGENT {
        return "urgent".to_owned();
    }
    IsoWeek::of_number(week).map_or_else(String::new, |week| week.to_string())
}

/// Keeps what a copy is, so that it can be confirmed, and records that it was built.
#[expect(clippy::too_many_arguments, reason = "the last step of `build`, apart for its length")]
async fn keep(
    app: &Arc<App>,
    to: &Municipality,
    id: PackageId,
    mut package: Package,
    shared: Vec<Shared>,
    members: usize,
    bytes: Vec<u8>,
    recalled: Vec<CaseId>,
    as_file: bool,
) -> Result<Built, PackageError> {
    let digest = sha256(&bytes);
    let rows = u32::try_from(shared.len()).unwrap_or(u32::MAX);
    package.copies = package.copies.saturating_add(1);
    let copy = package.copies;
    package.built.push(Copied {
        copy,
        digest,
        cases: shared.iter().map(|s| (Id16(*s.permitted.id.bytes()), s.row.kind == RowKind::Full)).collect(),
        recalled: recalled.iter().map(|case| Id16(*case.bytes())).collect(),
    });
    let many = package.built.len().saturating_sub(COPIES_MAX);
    package.built.drain(..many);
    let event = PackageCopied {
        package: Bytes16(*id.bytes()),
        copy,
        rows,
        withheld: u32::try_from(members).unwrap_or(u32::MAX).saturating_sub(rows),
        digest: Bytes32(digest),
        as_file,
    };
    let kept = async {
        app.store.record_global(Event::PackageCopied(event), Cause::party(to.party)).await?;
        let mut changes = Changes::default();
        changes.put_package(id, &package);
        for one in &shared {
            changes.put_number(to.party, &one.row.case, &Id16(*one.permitted.id.bytes()));
            // From here on the municipality may have it, whether it confirms or not: it is recalled if it may not be shared any more.
            if !sabotage::off(Check::HeldFromPull) {
                changes.held(to.party, one.permitted.id, Some(one.row.kind == RowKind::Full));
            }
        }
        changes.make(&app.store).await
    };
    let linked = async { share::still_linked(app, &shared.iter().map(|s| &s.permitted).collect::<Vec<_>>()).await };
    let kept: Result<(), PackageError> = async {
        if !linked.await? {
            return Err(PackageError::Changed);
        }
        kept.await.map_err(PackageError::from)
    }
    .await;
    if let Err(error) = kept {
        share::close_all(app, &shared.iter().map(|s| &s.permitted).collect::<Vec<_>>());
        return Err(error);
    }
    let cases = shared.iter().map(|s| (s.permitted.id, s.row.kind == RowKind::Full)).collect();
    let part =
        |one: Shared| Part { recorded: one.permitted.recorded, contents: Contents { items: 1, withheld: 0, digest } };
    Ok(Built { copy, bytes, digest, parts: shared.into_iter().map(part).collect(), rows, package: id, cases })
}

/// Whether all of a copy may still be shared, by the records and by each case's own choice: asked once its release is registered.
///
/// # Errors
/// When it can't be told. That is a reason not to.
pub async fn still(app: &Arc<App>, to: &Municipality, cases: &[(CaseId, bool)]) -> Result<bool, StoreError> {
    let Some(week) = &app.config.week else { return Ok(false) };
    let shelf = Shelf(&app.store);
    for (id, full) in cases {
        let Some(case) = shelf.case(*id)? else { return Ok(false) };
        let share = share::might(app, week, to, &case).await?.0;
        app.store.let_go(PersonId::of(case.person));
        if !share.is_some_and(|share| share.kind == RowKind::Full || !full) && !sabotage::off(Check::DecideAgain) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a confirmation made of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Which copy.
    pub copy: u32,
    /// When.
    pub at: Timestamp,
    /// The entry that says so; `None` when it had been confirmed before: then nothing changed.
    pub ending: Option<Ending>,
}

/// The municipality has a copy: its cases have arrived, and what it says is recalled was told. What could not be shared waits for the
/// next week.
///
/// # Errors
/// When the digest is no copy's, or the store fails; doing it again goes on.
pub async fn confirm(
    app: &Arc<App>,
    to: &Municipality,
    id: PackageId,
    digest: Hash,
) -> Result<Confirmed, PackageError> {
    let _one = app.desk.packing.lock().await;
    let mut package = of_municipality(app, to, id)?;
    let copy = package.built.iter().find(|copy| copy.digest == digest).cloned().ok_or(PackageError::NotACopy)?;
    if let Some(at) = package.confirmed_ms {
        return Ok(Confirmed { copy: copy.copy, at: Timestamp::from_millis(at), ending: None });
    }
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let event = PackageReceived { package: Bytes16(*id.bytes()), copy: copy.copy, at_ms: now.millis() };
    let entry = app.store.record_global(Event::PackageReceived(event), Cause::party(to.party)).await?;
    let _rows = app.desk.rows.lock().await;
    let mut changes = Changes::default();
    for case_id in shelf.members(id, CASES_MAX as usize)? {
        let Some(case) = shelf.case(case_id)? else { continue };
        let in_it = copy.cases.iter().find(|(in_it, _)| in_it.0 == *case_id.bytes());
        arrived(&mut changes, to, id, case_id, case, in_it.is_some(), now);
    }
    for recalled in &copy.recalled {
        changes.recall_told(to.party, CaseId::of(recalled.0));
    }
    package.confirmed_ms = Some(now.millis());
    changes.put_package(id, &package);
    changes.make(&app.store).await?;
    let ending = Ending { entry: entry.entry, leaf: entry.leaf, at: entry.at };
    Ok(Confirmed { copy: copy.copy, at: now, ending: Some(ending) })
}

fn arrived(
    changes: &mut Changes,
    to: &Municipality,
    package: PackageId,
    id: CaseId,
    mut case: Case,
    in_it: bool,
    now: Timestamp,
) {
    // A case on a legal basis may be in a package of another municipality than its consent's.
    if case.stage != Stage::Packed(Id16(*package.bytes())) {
        return;
    }
    case.stage = match in_it {
        true => Stage::Delivered(Id16(*package.bytes())),
        false if now.millis().saturating_sub(case.consulted_ms) < WAITS_MS => Stage::Waiting,
        false => Stage::Withheld(Id16(*package.bytes())),
    };
    changes.waiting(to.party, id, case.stage == Stage::Waiting);
    changes.put_case(id, &case);
}

/// Forgets a person's cases. Municipalities that hold something are told so with their next package.
///
/// # Errors
/// When the store fails; doing it again goes on.
pub async fn forget(app: &App, person: PersonId) -> Result<(), StoreError> {
    let Some(week) = &app.config.week else { return Ok(()) };
    let (_one, _rows) = (app.desk.packing.lock().await, app.desk.rows.lock().await);
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now()?;
    let mut changes = Changes::default();
    for id in shelf.cases_of(person, super::choice::CASES_MAX)? {
        let Some(case) = shelf.case(id)? else { continue };
        if let Some(minimum) = shelf.minimum(person, id)? {
            changes.forget_user(party_id(&case.service), &minimum.asker);
        }
        for to in &week.municipalities {
            if shelf.held_as(to.party, id)?.is_some() {
                changes.put_recalled(to.party, id, &now.millis());
            }
            changes.forget_at(to.party, id);
        }
        changes.forget(person, id, &case);
    }
    changes.make(&app.store).await
}
