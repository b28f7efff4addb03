//! Collecting: a service's feed, read page by page; of each record the triage minimum, of what is flagged a case.
//!
//! A page is taken whole or not at all: what the ledger says first, then the rows of the shelf with the place to go on from, in one
//! step. After a crash the page comes again, and nothing of it counts twice: a case's id is made of the consultation's.
//! One bad record holds no other back; what may be urgent reaches a human though the record is bad.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use sekisho_adapters::consultation::{Choice, ChoiceChanged, Chosen, Consultation, Page, Rejected, ServiceError};
use sekisho_policy::{PersonId, Timestamp};

use super::alert;
use super::choice::{self, Asked};
use super::people;
use super::shelf::{Case, Changes, History, Minimum, Scores, Shelf, Spot, Stage, Tell, case_of, short};
use super::triage::{Earlier, Flag, Urgency, triage};
use crate::app::App;
use crate::config::week::{Service, Week};
use crate::consent::give::GiveError;
use crate::ids::CaseId;
use crate::ledger::entry::{Bytes16, Bytes32, Idempotency};
use crate::ledger::event::{CaseFlagged, Event};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Records of a page, at most.
pub const PAGE_RECORDS: usize = 2_000;
/// Pages that are read in one go, at most: what is left is read the next time.
const PAGES_MAX: usize = 100_000;
/// People about whom something is recorded at once: they share a sync.
const AT_ONCE: usize = 128;
/// Consultations of one person that are remembered, at most.
const REMEMBERED_MAX: usize = 8;
/// In a row of the history: no sum.
const NO_SUM: u8 = u8::MAX;

/// What feed a place to go on from belongs to.
pub(super) const CONSULTATIONS: u8 = 0;
/// Choices.
pub(super) const CHOICES: u8 = 1;

/// Why nothing more was collected. What was taken by then stays.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service's feed can't be read.
    #[error(
        "the feed of `{service}` can't be read: {why}. Nothing is sent while it can't; it is tried again by itself"
    )]
    Feed {
        /// Which service.
        service: String,
        /// Why.
        why: String,
    },
    /// There is no such service in `[week]`.
    #[error("`{0}` is no configured consultation service")]
    NoService(String),
}

/// What came of collecting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Records that were read.
    pub records: u64,
    /// Cases that are new.
    pub flagged: u64,
    /// Of those, cases that can't wait.
    pub urgent: u64,
    /// Records that could not be taken, each told to the service.
    pub rejected: u64,
    /// Records of which something went back to the service: a judgement without its reason, a choice that does not count.
    pub returned: u64,
    /// Choices that were taken over.
    pub choices: u64,
}

impl std::ops::AddAssign for Collected {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.flagged += other.flagged;
        self.urgent += other.urgent;
        self.rejected += other.rejected;
        self.returned += other.returned;
        self.choices += other.choices;
    }
}

/// Reads both feeds of a service to their end. One collects at a time.
///
/// # Errors
/// When a feed can't be read, or the store fails. What was taken stays.
pub async fn collect(
    app: &Arc<App>,
    service: &Arc<Service>,
    progress: &(dyn Fn(Collected) + Send + Sync),
) -> Result<Collected, CollectError> {
    let _one = app.desk.collecting.lock().await;
    let week = app.config.week.as_ref().ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    let client = app.desk.client(app, service).ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    let mut all = Collected::default();
    let mut since = Shelf(&app.store).cursor(service.party, CONSULTATIONS)?;
    let mut page = client.consultations(since.as_deref(), PAGE_RECORDS, local(app)?).await;
    for _ in 0..PAGES_MAX {
        let this = match page {
            Ok(page) => page,
            Err(error) => return Err(broken(app, service, since.as_deref(), error).await?),
        };
        if !this.more {
            all += take(app, week, service, this).await?;
            progress(all);
            break;
        }
        since = Some(this.next.clone());
        // The next one comes while this one is taken.
        let next = client.consultations(since.as_deref(), PAGE_RECORDS, local(app)?);
        let (taken, next) = tokio::join!(take(app, week, service, this), next);
        all += taken?;
        page = next;
        progress(all);
    }
    all += read_choices(app, service).await?;
    progress(all);
    Ok(all)
}

/// Reads the feed of choices to its end: nothing is sent without.
///
/// # Errors
/// When it can't be read, or the store fails.
pub async fn read_choices(app: &Arc<App>, service: &Arc<Service>) -> Result<Collected, CollectError> {
    let _one = app.desk.choosing.lock().await;
    let week = app.config.week.as_ref().ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    let client = app.desk.client(app, service).ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    let mut all = Collected::default();
    for _ in 0..PAGES_MAX {
        let since = Shelf(&app.store).cursor(service.party, CHOICES)?;
        let page = client.choices(since.as_deref(), PAGE_RECORDS, local(app)?).await;
        let page = page.map_err(|error| unreadable(service, &error))?;
        let more = page.more;
        all += take_choices(app, week, service, page).await?;
        if !more {
            return Ok(all);
        }
    }
    Err(unreadable(service, &"it does not end"))
}

/// Now, for readers: what lies in the future is refused.
pub(super) fn local(app: &App) -> Result<jiff::Timestamp, StoreError> {
    let now = app.store.clock().now()?;
    Ok(jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default())
}

/// A page that can't be read at all. If anything in it looks as if it couldn't wait, a human gets to know, once for this page.
async fn broken(
    app: &Arc<App>,
    service: &Arc<Service>,
    since: Option<&str>,
    error: ServiceError,
) -> Result<CollectError, StoreError> {
    if matches!(error, ServiceError::Malformed { urgent: true, .. }) {
        wreck(app, service, format!("page after {}", since.unwrap_or_default())).await?;
    }
    Ok(unreadable(service, &error))
}

/// Nothing of it can be read, and something in it looks as if it couldn't wait: a human gets to know.
async fn wreck(app: &App, service: &Service, which: String) -> Result<(), StoreError> {
    let mut raising = alert::Raising::default();
    raising.add(which, alert::About::default());
    alert::raise(app, service, raising, Changes::default()).await
}

/// What was pushed can't be read at all, and may be urgent.
///
/// # Errors
/// When the store fails; then the service sends it again.
pub async fn pushed_wreck(app: &App, service: &Service, body: &[u8]) -> Result<(), StoreError> {
    wreck(app, service, format!("pushed {}", data_encoding::HEXLOWER.encode(&sha256(body)))).await
}

fn unreadable(service: &Service, why: &dyn std::fmt::Display) -> CollectError {
    CollectError::Feed { service: service.code.clone(), why: why.to_string() }
}

/// Takes records that a service pushes: as those of a page, without a place to go on from.
///
/// # Errors
/// When the store fails; then the service sends them again.
pub async fn take_pushed(
    app: &Arc<App>,
    service: &Arc<Service>,
    items: Vec<Result<Consultation, Rejected>>,
) -> Result<Collected, CollectError> {
    let _one = app.desk.collecting.lock().await;
    let week = app.config.week.as_ref().ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    take(app, week, service, Page { items, next: String::new(), more: false }).await
}

/// A flagged consultation on its way to becoming a case.
struct Candidate {
    id: CaseId,
    consultation: Consultation,
    /// The choice that this case goes by.
    own: Chosen,
    flag: Flag,
}

async fn take(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    page: Page<Result<Consultation, Rejected>>,
) -> Result<Collected, CollectError> {
    let now = app.store.clock().now().map_err(StoreError::from)?;
    // What users chose must not change meanwhile.
    let _rows = app.desk.rows.lock().await;
    // Where no id can be read, the place is the name: of a page by where it begins, of what is pushed by when.
    let since = match page.next.is_empty() {
        true => format!("a push at {}", now.millis()),
        false => Shelf(&app.store).cursor(service.party, CONSULTATIONS)?.unwrap_or_default(),
    };
    let (changes, done, raising) = (Changes::default(), Collected::default(), alert::Raising::default());
    let mut sorting = Sorting { app, week, service, since, changes, raising, done };
    let mut histories = HashMap::new();
    let mut candidates = Vec::new();
    for item in page.items {
        sorting.done.records += 1;
        match item {
            Ok(consultation) => candidates.extend(sorting.look(consultation, &mut histories)?),
            Err(rejected) => sorting.reject(&rejected),
        }
    }
    let Sorting { mut changes, mut raising, mut done, .. } = sorting;
    let kept = keep(app, week, service, candidates, &histories).await?;
    for (case, problems) in kept {
        app.store.let_go(case.person);
        done.flagged += 1;
        put(app, service, &case, &problems, &mut histories, &mut changes, &mut done, now)?;
        let KeptCase { candidate: Candidate { id, consultation, flag, .. }, .. } = &case;
        // What can't wait is not held for the week either: a human decides about it.
        if flag.urgency == Urgency::Urgent {
            done.urgent += 1;
            let which = consultation.id.as_str().to_owned();
            raising.add(which.clone(), alert::About { consultation: Some(which), case: Some(*id) });
        }
    }
    for (user, history) in &histories {
        changes.put_history(service.party, user, history);
    }
    if !page.next.is_empty() {
        changes.put_cursor(service.party, CONSULTATIONS, &page.next);
    }
    alert::raise(app, service, raising, changes).await?;
    Ok(done)
}

/// What is needed to sort a page's records.
struct Sorting<'a> {
    app: &'a Arc<App>,
    week: &'a Week,
    service: &'a Arc<Service>,
    /// Where the page begins.
    since: String,
    changes: Changes,
    raising: alert::Raising,
    done: Collected,
}

impl Sorting<'_> {
    /// Triage; `None` where it needs no nurse, or was seen before.
    fn look(
        &mut self,
        consultation: Consultation,
        histories: &mut HashMap<String, History>,
    ) -> Result<Option<Candidate>, StoreError> {
        let user = consultation.asker.id.as_str();
        if !histories.contains_key(user) {
            let history = Shelf(&self.app.store).history(self.service.party, user)?.unwrap_or_default();
            histories.insert(user.to_owned(), history);
        }
        let Some(history) = histories.get_mut(user) else { return Ok(None) };
        let seen = short(consultation.id.as_str());
        if history.seen.iter().any(|(id, ..)| *id == seen) {
            return Ok(None);
        }
        let verdict = triage(&consultation, &earlier(history), &self.week.criteria);
        let sum = consultation.epds.map_or(NO_SUM, |epds| epds.sum());
        history.seen.push((seen, consultation.at.as_millisecond(), sum));
        history.seen.sort_by_key(|(_, at, _)| *at);
        let many = history.seen.len().saturating_sub(REMEMBERED_MAX);
        history.seen.drain(..many);
        if verdict.judgement_without_reason {
            self.returned(consultation.id.as_str(), "judgement-without-reason", "judgement.reason");
        }
        let id = case_of(self.service.party, consultation.id.as_str());
        if Shelf(&self.app.store).case(id)?.is_some() {
            return Ok(None);
        }
        let Some(flag) = verdict.flag else { return Ok(None) };
        let mut consultation = consultation;
        if let Some(later) = choice::newer(history.ahead_of(None), &consultation.chosen) {
            consultation.chosen = later;
        }
        let only = choice::newer(history.ahead_of(Some(seen)), &consultation.chosen);
        let own = only.unwrap_or_else(|| consultation.chosen.clone());
        history.drop_ahead(seen);
        Ok(Some(Candidate { id, consultation, own, flag }))
    }

    /// A record that can't be taken goes back, whole; a human gets to know if it may be urgent.
    fn reject(&mut self, rejected: &Rejected) {
        self.done.rejected += 1;
        let about = match &rejected.id {
            Ok(id) => id.as_str().to_owned(),
            Err(place) => format!("#{place}"),
        };
        let codes = rejected.problems.iter().map(|p| (p.why.to_owned(), p.field.clone())).collect();
        let tell = Tell { about: about.clone(), codes, outcome: false };
        self.changes.put_tell(self.service.party, tell_id(&tell), &tell);
        if rejected.urgent {
            self.done.urgent += 1;
            let consultation = rejected.id.as_ref().ok().map(|id| id.as_str().to_owned());
            let which = consultation.clone().unwrap_or_else(|| format!("{about} after {}", self.since));
            let known = alert::About { consultation, case: None };
            self.raising.add(which, known);
        }
    }

    fn returned(&mut self, about: &str, code: &str, field: &str) {
        self.done.returned += 1;
        let tell = Tell { about: about.to_owned(), codes: vec![(code.to_owned(), field.to_owned())], outcome: false };
        self.changes.put_tell(self.service.party, tell_id(&tell), &tell);
    }
}

/// Details that can't be taken: the service is told, the case waits.
pub(super) async fn return_rejected(app: &App, service: &Service, rejected: &Rejected) -> Result<(), StoreError> {
    let Ok(id) = &rejected.id else { return Ok(()) };
    let codes = rejected.problems.iter().map(|p| (p.why.to_owned(), p.field.clone())).collect();
    let tell = Tell { about: id.as_str().to_owned(), codes, outcome: false };
    let mut changes = Changes::default();
    changes.put_tell(service.party, tell_id(&tell), &tell);
    changes.make(&app.store).await
}

/// The same thing is told once.
pub(super) fn tell_id(tell: &Tell) -> [u8; 16] {
    let codes: Vec<String> = tell.codes.iter().map(|(code, field)| format!("{code}\n{field}")).collect();
    let text = format!("sekisho tell 1\n{}\n{}\n{}", tell.about, tell.outcome, codes.join("\n"));
    sha256(text.as_bytes()).first_chunk().copied().unwrap_or_default()
}

fn earlier(history: &History) -> Vec<Earlier> {
    let one = |(_, at, sum): &(u64, i64, u8)| {
        let at = jiff::Timestamp::from_millisecond(*at).ok()?;
        Some(Earlier { at, sum: (*sum != NO_SUM).then_some(*sum) })
    };
    history.seen.iter().filter_map(one).collect()
}

/// A case that the ledger knows, and what is to go back about it.
struct KeptCase {
    candidate: Candidate,
    person: PersonId,
    /// Towards whom its choice was taken over, and the refusal that it made.
    taken: Option<(String, Option<[u8; 16]>)>,
    recipient: Option<String>,
}

/// Records what is flagged, person by person, many people at once: who they are, what they chose, that they are flagged.
async fn keep(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    candidates: Vec<Candidate>,
    histories: &HashMap<String, History>,
) -> Result<Vec<(KeptCase, Vec<&'static str>)>, CollectError> {
    let askers = candidates.iter().map(|c| &c.consultation.asker);
    let known = people::known(app, service, askers).await?;
    // What one person asked several times is taken in order.
    let mut by_person: HashMap<PersonId, Vec<Candidate>> = HashMap::new();
    for candidate in candidates {
        if let Some(person) = known.get(candidate.consultation.asker.id.as_str()) {
            by_person.entry(*person).or_default().push(candidate);
        }
    }
    let one = |(person, mut candidates): (PersonId, Vec<Candidate>)| async move {
        candidates.sort_by_key(|c| c.consultation.chosen.at);
        let mut kept = Vec::with_capacity(candidates.len());
        let mut last = candidates.first().and_then(|c| histories.get(c.consultation.asker.id.as_str())).cloned();
        for candidate in candidates {
            let done = keep_one(app, week, service, person, candidate, &mut last).await?;
            kept.push(done);
        }
        Ok::<_, CollectError>(kept)
    };
    let mut all = Vec::new();
    let mut running = stream::iter(by_person.into_iter().map(one)).buffer_unordered(AT_ONCE);
    while let Some(done) = running.next().await {
        all.extend(done?);
    }
    Ok(all)
}

async fn keep_one(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    person: PersonId,
    candidate: Candidate,
    history: &mut Option<History>,
) -> Result<(KeptCase, Vec<&'static str>), CollectError> {
    let Candidate { id, consultation, own, flag } = &candidate;
    let mut problems = Vec::new();
    let recipient = week.numbered(consultation.chosen.municipality).map(|to| to.code.clone());
    let flagged = (
        Event::CaseFlagged(CaseFlagged {
            case: Bytes16(*id.bytes()),
            subject: Bytes16(*person.bytes()),
            service: service.code.clone(),
            reasons: flag.triggers.iter().map(super::triage::Trigger::code).collect(),
            urgency: flag.urgency.code().to_owned(),
            consulted_ms: consultation.at.as_millisecond(),
        }),
        Some(key_of_case(*id)),
    );
    let choice_ms = consultation.chosen.at.as_millisecond();
    let newer = recipient.as_ref().is_some_and(|to| history.as_ref().is_none_or(|h| h.is_newer(to, choice_ms)));
    let mut taken = None;
    if recipient.is_none() {
        problems.push("municipality-not-served");
    }
    match (&recipient, newer) {
        (Some(to), true) => {
            let asked = Asked {
                app,
                week,
                service,
                person,
                user: consultation.asker.id.as_str(),
                to,
                chosen: &consultation.chosen,
                refusal: history.as_ref().and_then(|h| h.refusal(to)),
            };
            match choice::take_over(&asked, vec![flagged.clone()]).await {
                Ok(made) => {
                    taken = Some((to.clone(), made));
                    if let Some(history) = history {
                        history.set_taken(to, Some(choice_ms), made);
                    }
                }
                Err(GiveError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    problems.push(choice::code_of(&error));
                    choice::record_alone(app, service, person, flagged).await?;
                }
            }
        }
        _ => choice::record_alone(app, service, person, flagged).await?,
    }
    let recipient = week.numbered(own.municipality).map(|to| to.code.clone());
    Ok((KeptCase { candidate, person, taken, recipient }, problems))
}

fn key_of_case(case: CaseId) -> Idempotency {
    let key = Bytes32(sha256(&[b"sekisho case flagged 1".as_slice(), case.bytes()].concat()));
    Idempotency { key, body: key }
}

/// The rows of a case.
#[expect(clippy::too_many_arguments, reason = "one step of `take`, apart for its length")]
fn put(
    app: &Arc<App>,
    service: &Arc<Service>,
    kept: &KeptCase,
    problems: &[&'static str],
    histories: &mut HashMap<String, History>,
    changes: &mut Changes,
    done: &mut Collected,
    now: Timestamp,
) -> Result<(), StoreError> {
    let KeptCase { candidate: Candidate { id, consultation, own, flag }, person, recipient, taken } = kept;
    if !problems.is_empty() {
        done.returned += 1;
        let codes = problems.iter().map(|code| ((*code).to_owned(), "sharing".to_owned())).collect();
        let tell = Tell { about: consultation.id.as_str().to_owned(), codes, outcome: false };
        changes.put_tell(service.party, tell_id(&tell), &tell);
    }
    if let (Some(history), Some((to, refusal))) = (histories.get_mut(consultation.asker.id.as_str()), taken) {
        history.set_taken(to, Some(consultation.chosen.at.as_millisecond()), *refusal);
    }
    let municipality = recipient.as_deref().map(crate::ids::party_id);
    let choice = own.choice;
    let stage = match municipality {
        Some(_) if choice != Choice::Nothing => Stage::Waiting,
        _ => Stage::Resting,
    };
    if let (Stage::Waiting, Some(municipality)) = (stage, municipality) {
        changes.waiting(municipality, *id, true);
    }
    let case = Case {
        person: *person.bytes(),
        service: service.code.clone(),
        recipient: recipient.clone(),
        choice: choice::number(choice),
        urgency: match flag.urgency {
            Urgency::Weekly => 0,
            Urgency::Raised => 1,
            Urgency::Urgent => 2,
        },
        consulted_ms: consultation.at.as_millisecond(),
        collected_ms: now.millis(),
        stage,
        choice_ms: own.at.as_millisecond(),
    };
    changes.put_case(*id, &case);
    changes.of_person(*person, *id);
    changes.put_minimum(&app.store, *person, *id, &minimum(consultation, flag))?;
    Ok(())
}

fn minimum(consultation: &Consultation, flag: &Flag) -> Minimum {
    let spot = |place: &sekisho_adapters::consultation::Place| Spot {
        municipality: place.municipality.as_str().to_owned(),
        postal: place.postal.map(|postal| postal.as_str().to_owned()),
    };
    Minimum {
        consultation: consultation.id.as_str().to_owned(),
        asker: consultation.asker.id.as_str().to_owned(),
        child: consultation.child.as_ref().map(|child| child.id.as_str().to_owned()),
        epds: consultation.epds.map(|epds| Scores(epds.scores().map(|score| score.unwrap_or(u8::MAX)))),
        flag: serde_json::to_string(flag).unwrap_or_default(),
        residence: spot(&consultation.residence),
        present: consultation.present.as_ref().map(spot),
        means: consultation.contact.means.iter().map(|means| super::row::Reach::name(*means).to_owned()).collect(),
        hours: consultation.contact.hours.clone(),
        voicemail: consultation.contact.voicemail,
        hidden_from_family: consultation.contact.hidden_from_family,
    }
}

/// Takes a page of changed choices over.
async fn take_choices(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    page: Page<Result<ChoiceChanged, Rejected>>,
) -> Result<Collected, CollectError> {
    let (mut changes, mut done, mut lost) = (Changes::default(), Collected::default(), None);
    for item in page.items {
        match item {
            Ok(changed) => {
                done.choices += 1;
                choice::changed(app, week, service, &changed).await?;
            }
            Err(rejected) => {
                done.rejected += 1;
                let about = rejected.id.map_or_else(|place| format!("choice #{place}"), |id| id.as_str().to_owned());
                let why = rejected.problems.first().map_or("", |problem| problem.why);
                match &rejected.user {
                    // It may be a withdrawal, so it is taken for one.
                    Some(user) => choice::unread(app, week, service, user, &page.next).await?,
                    None => lost = lost.or_else(|| Some(format!("{about}: {why}"))),
                }
                let codes = rejected.problems.iter().map(|p| (p.why.to_owned(), p.field.clone())).collect();
                let tell = Tell { about, codes, outcome: false };
                changes.put_tell(service.party, tell_id(&tell), &tell);
            }
        }
    }
    // Whose it is nobody can tell. Until the service has mended it, nothing of this service is sent.
    if lost.is_none() || sabotage::off(Check::ChoiceUnread) {
        changes.put_cursor(service.party, CHOICES, &page.next);
    }
    changes.make(&app.store).await?;
    lost.map_or(Ok(done), |which| Err(unreadable(service, &format!("a choice in it can't be read ({which})"))))
}
