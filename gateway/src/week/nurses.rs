//! A municipality's list (要ケア一覧) and the work on it: which cases are on it, what of each may be shown now, and what nurses do.
//!
//! Nothing about anybody is kept here to be shown later: each view reads the services' withdrawals, decides and records each row, and asks
//! the service anew. A nurse's own records stay when sharing stops; words that were shared don't.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use sekisho_policy::{Actor, PersonId, Timestamp};

use super::calendar::{Week as IsoWeek, date};
use super::collect::{read_choices, tell_id};
use super::row::{Row, RowKind};
use super::share::{self, Share};
use super::shelf::{Case, Changes, Minimum, Shelf, Tell};
use super::work::{Action, Question, Refused, Staff, Status, Work};
use crate::app::App;
use crate::config::week::{Municipality, Week};
use crate::ids::{CaseId, TextId, party_id};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{CaseViewed, CaseWorked, Event};
use crate::request::close_unsent;
use crate::request::releases::{Contents, Part};
use crate::sabotage::{self, Check};
use crate::store::{Draft, StoreError};

/// Cases on a list, at most. The rest is told about, and waits.
pub const LISTED_MAX: usize = 5_000;
/// Looks that are recorded at once: they share a sync.
const AT_ONCE: usize = 128;
/// What was read so short a time ago is not read again.
const FRESH_FOR: Duration = Duration::from_millis(300);

/// A case on a list: what the gateway knows of it, and the work on it. Nothing in it may be shown as it is but the number, the district
/// and the work.
pub struct Item {
    /// Which.
    pub id: CaseId,
    /// Its number at this municipality.
    pub number: String,
    /// Where it is.
    pub case: Case,
    /// The district in charge.
    pub district: String,
    /// What was done.
    pub work: Work,
    /// How much might be shared now.
    kind: Option<RowKind>,
}

impl Item {
    /// Whether something of it might be shared now.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.kind.is_some()
    }

    /// Since how many days they wait.
    #[must_use]
    pub fn days(&self, now: Timestamp) -> i64 {
        now.millis().saturating_sub(self.case.consulted_ms).max(0) / 86_400_000
    }
}

/// The list of a municipality: what may be shared, and what its nurses have begun; the most urgent first, then who waits longest.
///
/// # Errors
/// When the store fails.
pub async fn list(app: &Arc<App>, week: &Week, to: &Municipality) -> Result<Vec<Item>, StoreError> {
    let shelf = Shelf(&app.store);
    let numbers = app.store.vault().secret("case numbers")?;
    let mut items = Vec::new();
    for id in shelf.listed(to.party, LISTED_MAX)? {
        items.extend(item(app, week, to, &numbers, id).await?);
    }
    let asked = |item: &Item| item.work.asked_ms.is_some();
    items.sort_by_key(|i| (std::cmp::Reverse((i.case.urgency, asked(i))), i.case.consulted_ms, i.id));
    Ok(items)
}

/// A case on the list, or one that is closed, by its number.
///
/// # Errors
/// When the store fails.
pub async fn find(app: &Arc<App>, week: &Week, to: &Municipality, number: &str) -> Result<Option<Item>, StoreError> {
    let shelf = Shelf(&app.store);
    let numbers = app.store.vault().secret("case numbers")?;
    let known = shelf.number(to.party, number)?.map(|id| CaseId::of(id.0));
    let of = |id: &CaseId| share::number(&numbers, to, *id) == number;
    let id = match known {
        Some(id) => Some(id),
        None => shelf.listed(to.party, LISTED_MAX)?.into_iter().find(of),
    };
    match id {
        Some(id) => item(app, week, to, &numbers, id).await,
        None => Ok(None),
    }
}

async fn item(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    numbers: &[u8; 32],
    id: CaseId,
) -> Result<Option<Item>, StoreError> {
    let shelf = Shelf(&app.store);
    let Some(case) = shelf.case(id)? else { return Ok(None) };
    let person = PersonId::of(case.person);
    let Some(minimum) = shelf.minimum(person, id)? else { return Ok(None) };
    let work = shelf.work(to.party, person, id)?;
    let kind = share::might(app, week, to, &case).await?.0.map(|share| share.kind);
    if kind.is_none() && !work.as_ref().is_some_and(Work::has_begun) {
        return Ok(None);
    }
    let district = app.district_of(to, postal(&minimum, to));
    let number = share::number(numbers, to, id);
    Ok(Some(Item { id, number, case, district, work: work.unwrap_or_default(), kind }))
}

fn postal<'m>(minimum: &'m Minimum, to: &Municipality) -> Option<&'m str> {
    let spots = [Some(&minimum.residence), minimum.present.as_ref()];
    let here = spots.into_iter().flatten().find(|spot| spot.municipality == to.number.as_str());
    here.and_then(|spot| spot.postal.as_deref())
}

/// What of some cases may be shown now.
#[derive(Default)]
pub struct Shown {
    /// A row for each of which something may be shown, by its case.
    pub rows: BTreeMap<CaseId, Row>,
    /// The decisions that they rest on, and whether with words.
    pub cases: Vec<(CaseId, bool)>,
    permits: Vec<share::Shared>,
    /// Services that do not answer, or whose withdrawals can't be read: nothing of theirs is shown.
    pub silent: Vec<String>,
}

impl Shown {
    /// The decisions, as parts of a release of something with this digest.
    #[must_use]
    pub fn parts(&mut self, digest: [u8; 32]) -> Vec<Part> {
        let contents = Contents { items: 1, withheld: 0, digest };
        self.permits.drain(..).map(|one| Part { recorded: one.permitted.recorded, contents }).collect()
    }

    /// Nothing of it is shown.
    pub fn close(mut self, app: &App) {
        self.permits.drain(..).for_each(|one| close_unsent(app, &one.permitted.recorded));
    }

    /// Only these are shown.
    pub fn keep(&mut self, app: &App, keep: impl Fn(&Row) -> bool) {
        let (kept, others) =
            std::mem::take(&mut self.permits).into_iter().partition(|one: &share::Shared| keep(&one.row));
        self.permits = kept;
        others.into_iter().for_each(|one| close_unsent(app, &one.permitted.recorded));
        self.rows.retain(|_, row| keep(row));
        let rows = &self.rows;
        self.cases.retain(|(id, _)| rows.contains_key(id));
    }

    /// Whether each person is still whom the service means.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn still_linked(&self, app: &App) -> Result<bool, StoreError> {
        share::still_linked(app, &self.permits.iter().map(|one| &one.permitted).collect::<Vec<_>>()).await
    }
}

/// Reads the services' withdrawals, decides and records each of these, and asks the services; with their words, where they may go.
///
/// # Errors
/// When the store fails. A service that fails is silent.
pub async fn show(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    items: &[&Item],
    words: bool,
) -> Result<Shown, StoreError> {
    let mut by_service: BTreeMap<&str, Vec<CaseId>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.is_shared()) {
        by_service.entry(&item.case.service).or_default().push(item.id);
    }
    let mut shown = Shown::default();
    for (code, cases) in by_service {
        let service = week.service(party_id(code));
        let read = match service {
            Some(service) => read_choices(app, service).await.is_ok() || sabotage::off(Check::WithdrawalsRead),
            None => false,
        };
        if !read {
            shown.silent.push(code.to_owned());
            continue;
        }
        let cases = permitted_now(app, week, to, cases).await?;
        // Whoever looks is nobody as a citizen; who it was stands in the entry beside.
        let actor = Actor::Staff(app.store.nobody());
        let permitted = share::decide(app, week, to, cases, actor, Cause::party(to.party)).await?;
        match share::rows(app, week, to, permitted, words).await {
            Ok(rows) => shown.permits.extend(rows),
            Err(_) => shown.silent.push(code.to_owned()),
        }
    }
    for one in &shown.permits {
        shown.cases.push((one.permitted.id, one.row.kind == RowKind::Full));
        shown.rows.insert(one.permitted.id, one.row.clone());
    }
    Ok(shown)
}

/// Without those that would be denied: a refusal for each look at a list would bury what matters in somebody's record.
async fn permitted_now(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    cases: Vec<CaseId>,
) -> Result<Vec<CaseId>, StoreError> {
    let mut permitted = Vec::with_capacity(cases.len());
    for id in cases {
        if share_now(app, week, to, id).await?.is_some() {
            permitted.push(id);
        }
    }
    Ok(permitted)
}

/// What might be shared of a case now, in memory.
///
/// # Errors
/// When the store fails.
pub(super) async fn share_now(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    id: CaseId,
) -> Result<Option<Share>, StoreError> {
    let Some(case) = Shelf(&app.store).case(id)? else { return Ok(None) };
    Ok(share::might(app, week, to, &case).await?.0)
}

/// Which of these may be shown no longer as they were.
///
/// # Errors
/// When the store fails.
pub async fn gone(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    cases: &[(CaseId, bool)],
) -> Result<Vec<CaseId>, StoreError> {
    let mut gone = Vec::new();
    for (id, full) in cases {
        let share = share_now(app, week, to, *id).await?;
        if !share.is_some_and(|share| share.kind == RowKind::Full || !full) && !sabotage::off(Check::OpenList) {
            gone.push(*id);
        }
    }
    Ok(gone)
}

/// Reads the services' withdrawals, unless that was done a moment ago: while somebody looks at a list, what is withdrawn at a service is
/// seen within a second too. One that can't be read is left for the next look: nothing new is shown meanwhile.
pub async fn freshen(app: &Arc<App>, week: &Week) {
    let Ok(mut last) = app.desk.freshened.try_lock() else { return };
    if last.is_some_and(|at| at.elapsed() < FRESH_FOR) {
        return;
    }
    for service in &week.services {
        if let Err(error) = read_choices(app, service).await {
            tracing::warn!(service = service.code, %error, "withdrawals can't be read while a list is open");
        }
    }
    *last = Some(Instant::now());
}

/// Records who looks at what, before anything is shown.
///
/// # Errors
/// When it could not be recorded; then nothing may be shown.
pub async fn record_views(
    app: &Arc<App>,
    to: &Municipality,
    login: &str,
    cases: &[(CaseId, bool)],
    whole: bool,
) -> Result<(), StoreError> {
    if sabotage::off(Check::ViewRecorded) {
        return Ok(());
    }
    let one = |id: CaseId| async move {
        let Some(case) = Shelf(&app.store).case(id)? else { return Ok(()) };
        let (party, by) = (to.code.clone(), login.to_owned());
        let viewed = CaseViewed { case: Bytes16(*id.bytes()), subject: Bytes16(case.person), party, by, whole };
        record(app, to, PersonId::of(case.person), Event::CaseViewed(viewed)).await
    };
    let ids: Vec<CaseId> = cases.iter().map(|(id, _)| *id).collect();
    let mut running = stream::iter(ids.into_iter().map(one)).buffer_unordered(AT_ONCE);
    while let Some(done) = running.next().await {
        done?;
    }
    Ok(())
}

async fn record(app: &App, to: &Municipality, person: PersonId, event: Event) -> Result<(), StoreError> {
    let cause = Some(Cause::party(to.party));
    let draft = || Draft { events: [event.clone()].into_iter().collect(), cause, ..Draft::default() };
    app.store.update(person, |_, _, _| Ok::<_, StoreError>(((), draft()))).await.map(drop)
}

/// What somebody does about a case.
pub struct Doing<'a> {
    /// Which case, as it was seen.
    pub item: &'a Item,
    /// Which state of the work they saw.
    pub version: u32,
    /// Who.
    pub by: &'a Staff,
    /// What.
    pub action: &'a Action,
    /// What they wrote.
    pub note: &'a str,
}

/// Does it: recorded, kept, counted; and the service learns what it may.
///
/// # Errors
/// When the store fails. The inner error is why it can't be done: then nothing has changed.
pub async fn act(app: &Arc<App>, to: &Municipality, doing: &Doing<'_>) -> Result<Result<Work, Refused>, StoreError> {
    let Doing { item, version, by, action, note } = doing;
    let _one = app.desk.working.lock().await;
    let shelf = Shelf(&app.store);
    let now = app.store.clock().now()?;
    let person = PersonId::of(item.case.person);
    let mut work = shelf.work(to.party, person, item.id)?.unwrap_or_default();
    if let Err(refused) = work.act(*version, by, action, note, now) {
        return Ok(Err(refused));
    }
    let (case, subject) = (Bytes16(*item.id.bytes()), Bytes16(item.case.person));
    let (party, login, what) = (to.code.clone(), by.login.clone(), action.code());
    let event = CaseWorked { case, subject, party, by: login, what: what.clone(), at_ms: now.millis() };
    record(app, to, person, Event::CaseWorked(event)).await?;
    let mut changes = Changes::default();
    changes.put_work(&app.store, to.party, person, item.id, &work)?;
    changes.put_number(to.party, &item.number, &super::shelf::Id16(*item.id.bytes()));
    changes.listed(to.party, item.id, work.status != Status::Closed);
    let this = IsoWeek::of(date(now)).number();
    changes.put_count(to.party, this, &what, shelf.count(to.party, this, &what)?.saturating_add(1));
    tell(app, item, action, &mut changes)?;
    changes.make(&app.store).await?;
    app.desk.looks();
    Ok(Ok(work))
}

/// What the service learns: an outcome's code, or a question's.
fn tell(app: &App, item: &Item, action: &Action, changes: &mut Changes) -> Result<(), StoreError> {
    let asked = |question: &Question| (format!("question-{}", question.code()), "municipality".to_owned());
    let told = match action {
        Action::Ask(question) => Some((asked(question), false)),
        _ => action.outcome().map(|code| ((code.to_owned(), String::new()), true)),
    };
    let Some((code, outcome)) = told else { return Ok(()) };
    put_tell(app, item.id, &item.case, code, outcome, changes)
}

fn put_tell(
    app: &App,
    id: CaseId,
    case: &Case,
    code: (String, String),
    outcome: bool,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let Some(minimum) = Shelf(&app.store).minimum(PersonId::of(case.person), id)? else { return Ok(()) };
    let tell = Tell { about: minimum.consultation, codes: vec![code], outcome };
    changes.put_tell(party_id(&case.service), tell_id(&tell), &tell);
    Ok(())
}

/// The service is told, once, that sharing stopped of a case on which work had begun.
///
/// # Errors
/// When the store fails.
pub async fn tell_stopped(app: &Arc<App>, to: &Municipality, item: &Item) -> Result<(), StoreError> {
    if item.is_shared() || item.work.stop_told {
        return Ok(());
    }
    let _one = app.desk.working.lock().await;
    let person = PersonId::of(item.case.person);
    let Some(mut work) = Shelf(&app.store).work(to.party, person, item.id)? else { return Ok(()) };
    work.stop_told = true;
    let mut changes = Changes::default();
    changes.put_work(&app.store, to.party, person, item.id, &work)?;
    let code = ("stopped-while-worked-on".to_owned(), "sharing".to_owned());
    put_tell(app, item.id, &item.case, code, false, &mut changes)?;
    changes.make(&app.store).await?;
    app.desk.looks();
    Ok(())
}

/// The municipalities that may be given something of somebody's cases now, and whether they asked each of them already.
///
/// # Errors
/// When the store fails.
pub async fn windows_of(app: &Arc<App>, week: &Week, person: PersonId) -> Result<Vec<(String, bool)>, StoreError> {
    let mut windows: Vec<(String, bool)> = Vec::new();
    for (id, case) in cases_of(app, person)? {
        for to in &week.municipalities {
            if !share::by_consent(app, week, to, &case).await? {
                continue;
            }
            let work = Shelf(&app.store).work(to.party, person, id)?;
            let asked = work.is_some_and(|work| work.asked_ms.is_some());
            match windows.iter_mut().find(|(code, _)| *code == to.code) {
                Some((_, before)) => *before |= asked,
                None => windows.push((to.code.clone(), asked)),
            }
        }
    }
    Ok(windows)
}

/// The person asks a municipality to contact them: it stands on its list, first of all. Whether there was anything to ask about.
///
/// # Errors
/// When the store fails.
pub async fn ask_contact(app: &Arc<App>, week: &Week, person: PersonId, to: &Municipality) -> Result<bool, StoreError> {
    let _one = app.desk.working.lock().await;
    let now = app.store.clock().now()?;
    let newest = cases_of(app, person)?.into_iter().rev();
    for (id, case) in newest {
        if !share::by_consent(app, week, to, &case).await? {
            continue;
        }
        let mut work = Shelf(&app.store).work(to.party, person, id)?.unwrap_or_default();
        if work.asked_ms.is_some() {
            return Ok(true);
        }
        work.asked(now);
        let (party, by, what) = (to.code.clone(), "person".to_owned(), "contact-asked".to_owned());
        let (case_id, subject) = (Bytes16(*id.bytes()), Bytes16(*person.bytes()));
        let event = CaseWorked { case: case_id, subject, party, by, what, at_ms: now.millis() };
        record(app, to, person, Event::CaseWorked(event)).await?;
        let mut changes = Changes::default();
        changes.put_work(&app.store, to.party, person, id, &work)?;
        changes.listed(to.party, id, true);
        changes.make(&app.store).await?;
        return Ok(true);
    }
    Ok(false)
}

/// A person's cases, the oldest first.
fn cases_of(app: &App, person: PersonId) -> Result<Vec<(CaseId, Case)>, StoreError> {
    let shelf = Shelf(&app.store);
    let mut cases = Vec::new();
    for id in shelf.cases_of(person, super::choice::CASES_MAX)? {
        cases.extend(shelf.case(id)?.map(|case| (id, case)));
    }
    cases.sort_by_key(|(_, case)| case.consulted_ms);
    Ok(cases)
}
