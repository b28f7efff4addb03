//! Making packages up: which cases are in a municipality's week. What of them goes is decided when a package is built (`package`).
//!
//! A case is in one package at a time, and leaves it only when the package is confirmed. Making the same week up again adds what
//! came since, to a package that is not confirmed, and else to a further part; it never takes anything out.

use std::sync::Arc;

use sekisho_policy::Timestamp;

use super::calendar::Week as IsoWeek;
use super::share;
use super::shelf::{Case, Changes, Id16, Package, Shelf, Stage, package_of};
use crate::app::App;
use crate::config::week::{Municipality, Week};
use crate::ids::{CaseId, PackageId, TextId};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Event, PackagePlanned};
use crate::store::StoreError;

/// Cases in one part of a package, at most: each row's decision is held in memory while the package is on its way.
pub const CASES_MAX: u32 = 2_000;
/// Cases that are moved in one durable step.
const STEP: usize = 500;
/// The week's number of packages that can't wait for one.
pub const URGENT: u32 = 0;

/// What came of making a week up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Packages, parts counted.
    pub packages: u32,
    /// Cases that are new in them.
    pub cases: u64,
}

/// Makes a week of a municipality up: every case that waits and was asked before it is due.
///
/// # Errors
/// When the store fails; doing it again goes on.
pub async fn make_up(
    app: &Arc<App>,
    to: &Municipality,
    of: IsoWeek,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Planned, StoreError> {
    let _one = app.desk.packing.lock().await;
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now()?;
    let due = to.at.due(of);
    let mut filling = Filling::open(app, to, of.number(), now)?;
    let (mut planned, mut after) = (Planned::default(), None);
    loop {
        let ids = shelf.waiting(to.party, after, STEP)?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        let _rows = app.desk.rows.lock().await;
        let mut changes = Changes::default();
        for id in ids {
            let Some(case) = shelf.case(id)? else { continue };
            // What was asked later waits for the next week; what is not waiting any more is where its row says.
            let waits = case.stage == Stage::Waiting;
            if waits && case.consulted_ms < due.millis() {
                filling.take(id, case, &mut changes);
                planned.cases += 1;
            } else if !waits {
                changes.waiting(to.party, id, false);
            }
        }
        filling.keep(&mut changes);
        changes.make(&app.store).await?;
        progress(planned.cases);
    }
    let mut changes = Changes::default();
    filling.keep(&mut changes);
    if shelf.last_planned(to.party)?.is_none_or(|last| last < of) {
        changes.put_planned(to.party, &of.number());
    }
    changes.make(&app.store).await?;
    planned.packages = u32::try_from(filling.filled.len()).unwrap_or(u32::MAX);
    for (id, package) in filling.filled {
        record(app, id, &package, &of.to_string()).await?;
    }
    Ok(planned)
}

/// The packages of a week that are being filled.
struct Filling<'a> {
    to: &'a Municipality,
    week: u32,
    now: Timestamp,
    id: PackageId,
    package: Package,
    /// Those that are new, or have more in them than before.
    filled: Vec<(PackageId, Package)>,
    changed: bool,
}

impl<'a> Filling<'a> {
    /// The first part that takes more; a new one where there is none.
    fn open(app: &App, to: &'a Municipality, week: u32, now: Timestamp) -> Result<Self, StoreError> {
        let shelf = Shelf(&app.store);
        let mut part = 1;
        loop {
            let id = package_of(to.party, week, part);
            match shelf.package(id)? {
                Some(package) if package.confirmed_ms.is_some() || package.cases >= CASES_MAX => part += 1,
                Some(package) => return Ok(Self { to, week, now, id, package, filled: Vec::new(), changed: false }),
                None => {
                    let package = new(to, week, part, now);
                    return Ok(Self { to, week, now, id, package, filled: Vec::new(), changed: true });
                }
            }
        }
    }

    fn take(&mut self, id: CaseId, mut case: Case, changes: &mut Changes) {
        if self.package.cases >= CASES_MAX {
            self.keep(changes);
            let part = self.package.part + 1;
            self.id = package_of(self.to.party, self.week, part);
            self.package = new(self.to, self.week, part, self.now);
        }
        case.stage = Stage::Packed(Id16(*self.id.bytes()));
        changes.put_case(id, &case);
        changes.waiting(self.to.party, id, false);
        changes.member(self.id, id);
        changes.listed(self.to.party, id, true);
        self.package.cases += 1;
        self.changed = true;
    }

    fn keep(&mut self, changes: &mut Changes) {
        if !self.changed {
            return;
        }
        self.changed = false;
        put(changes, self.to, self.id, &self.package);
        self.filled.retain(|(id, _)| *id != self.id);
        self.filled.push((self.id, self.package.clone()));
    }
}

fn put(changes: &mut Changes, to: &Municipality, id: PackageId, package: &Package) {
    changes.put_package(id, package);
    changes.put_package_of(to.party, package.week, package.part, &Id16(*id.bytes()));
}

fn new(to: &Municipality, week: u32, part: u32, now: Timestamp) -> Package {
    Package {
        municipality: to.code.clone(),
        week,
        part,
        cases: 0,
        planned_ms: now.millis(),
        copies: 0,
        built: Vec::new(),
        confirmed_ms: None,
    }
}

async fn record(app: &App, id: PackageId, package: &Package, week: &str) -> Result<(), StoreError> {
    let event = PackagePlanned {
        package: Bytes16(*id.bytes()),
        municipality: package.municipality.clone(),
        week: week.to_owned(),
        part: package.part,
        cases: package.cases,
    };
    app.store.record_global(Event::PackagePlanned(event), Cause::Gateway).await.map(|_| ())
}

/// Puts one case into a package of its own, at once: a professional decided about it. A case that waits for its week waits no more; one
/// that the municipality has already is left where it is.
///
/// # Errors
/// When the store fails; doing it again goes on.
pub async fn make_up_urgent(app: &Arc<App>, to: &Municipality, id: CaseId) -> Result<Option<PackageId>, StoreError> {
    let (_one, _rows) = (app.desk.packing.lock().await, app.desk.rows.lock().await);
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now()?;
    let Some(mut case) = shelf.case(id)? else { return Ok(None) };
    let mut part = 1;
    while shelf.package(package_of(to.party, URGENT, part))?.is_some() {
        part += 1;
    }
    let package_id = package_of(to.party, URGENT, part);
    let package = Package { cases: 1, ..new(to, URGENT, part, now) };
    let mut changes = Changes::default();
    if case.recipient.as_deref() == Some(&to.code) {
        if matches!(case.stage, Stage::Delivered(_)) {
            return Ok(None);
        }
        changes.waiting(to.party, id, false);
        case.stage = Stage::Packed(Id16(*package_id.bytes()));
        changes.put_case(id, &case);
    }
    changes.member(package_id, id);
    changes.listed(to.party, id, true);
    put(&mut changes, to, package_id, &package);
    changes.make(&app.store).await?;
    record(app, package_id, &package, "urgent").await?;
    Ok(Some(package_id))
}

/// One line of what a week would be: nothing is recorded about anybody, and nothing is sent.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// The case's number at the municipality.
    pub case: String,
    /// How soon.
    pub urgency: &'static str,
    /// Codes of the reasons.
    pub reasons: Vec<String>,
    /// `full`, `identity-only`, or `nothing`.
    pub goes: &'static str,
    /// Why: the decision's own reasons, in words.
    pub why: String,
    /// Whether it is packed already.
    pub packed: bool,
}

/// What would go to a municipality if its packages were built now: those that wait, and those that are packed.
///
/// # Errors
/// When the store fails.
pub async fn look(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    of: IsoWeek,
    limit: usize,
) -> Result<Vec<Line>, StoreError> {
    let shelf = Shelf(&app.store);
    let due = to.at.due(of);
    let mut ids: Vec<(CaseId, bool)> =
        shelf.waiting(to.party, None, limit)?.into_iter().map(|id| (id, false)).collect();
    for (id, package) in shelf.packages(to.party, limit)? {
        if package.confirmed_ms.is_none() && (package.week == of.number() || package.week == URGENT) {
            ids.extend(shelf.members(id, CASES_MAX as usize)?.into_iter().map(|case| (case, true)));
        }
    }
    let secret = app.store.vault().secret("case numbers")?;
    let global = app.store.registry().await?;
    let mut lines = Vec::new();
    for (id, packed) in ids.into_iter().take(limit) {
        let Some(case) = shelf.case(id)?.filter(|case| packed || case.consulted_ms < due.millis()) else { continue };
        let minimum = shelf.minimum(TextId::of(case.person), id)?;
        let flag = minimum.and_then(|m| serde_json::from_str::<super::triage::Flag>(&m.flag).ok());
        let (share, decision) = share::might(app, week, to, &case).await?;
        lines.push(Line {
            case: share::number(&secret, to, id),
            urgency: ["weekly", "raised", "urgent"].get(usize::from(case.urgency)).copied().unwrap_or("urgent"),
            reasons: flag
                .map(|flag| flag.triggers.iter().map(super::triage::Trigger::code).collect())
                .unwrap_or_default(),
            goes: match share.map(|share| share.kind) {
                Some(super::row::RowKind::Full) => "full",
                Some(super::row::RowKind::IdentityOnly) => "identity-only",
                None => "nothing",
            },
            why: crate::admin::explain::in_short(&decision, &global.text),
            packed,
        });
    }
    lines.sort_by(|a, b| a.case.cmp(&b.case));
    Ok(lines)
}
