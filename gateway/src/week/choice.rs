//! Choices about sharing, as a service tells them: with a consultation, or changed later.

use std::sync::Arc;

use sekisho_adapters::consultation::{Choice, ChoiceChanged, Chosen, UserId};
use sekisho_adapters::municipality::MunicipalityCode;
use sekisho_policy::{PersonId, RefusalId};

use super::collect::CollectError;
use super::shelf::{Ahead, Case, Changes, Shelf, Stage};
use crate::app::App;
use crate::config::week::{Service, Week};
use crate::consent::chosen::{self, Beside};
use crate::consent::give::GiveError;
use crate::ids::{CaseId, TextId, party_id};
use crate::ledger::entry::{Cause, Idempotency};
use crate::ledger::event::{Attestation, Event, Way};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Cases of one person, at most.
pub(super) const CASES_MAX: usize = 1_000;

/// A choice to be taken over.
pub(super) struct Asked<'a> {
    pub app: &'a Arc<App>,
    pub week: &'a Week,
    pub service: &'a Service,
    pub person: PersonId,
    /// The service's id of whoever chose.
    pub user: &'a str,
    /// To whom: a party's code.
    pub to: &'a str,
    pub chosen: &'a Chosen,
    /// The refusal that an earlier choice made.
    pub refusal: Option<[u8; 16]>,
}

/// Takes it over; gives the refusal that it made.
pub(super) async fn take_over(asked: &Asked<'_>, beside: Beside) -> Result<Option<[u8; 16]>, GiveError> {
    let Asked { app, week, service, chosen, .. } = asked;
    let attestation = Attestation {
        party: service.code.clone(),
        way: Way::Online,
        evidence: chosen.evidence.clone(),
        checked_by: service.code.clone(),
        recorded_by: chosen::FEED.to_owned(),
        given_ms: chosen.at.as_millisecond(),
    };
    let wanted = wanted(week, chosen.choice);
    let choice = chosen::Choice {
        person: asked.person,
        recipient: asked.to,
        purpose: week.purpose.0.as_str(),
        wanted: &wanted,
        text_version: &chosen.text_version,
        attestation: &attestation,
        key: chosen::key_of(&service.code, asked.user, chosen.at.as_millisecond()),
        refusal: asked.refusal.map(RefusalId::of),
    };
    Ok(chosen::choose(app, &choice, beside).await?.map(|refusal| *refusal.bytes()))
}

/// The category versions that a choice lets go, sorted.
fn wanted(week: &Week, choice: Choice) -> Vec<String> {
    let text = |version: &sekisho_policy::CategoryVersion| version.to_string();
    let mut wanted: Vec<String> = match choice {
        Choice::Nothing => Vec::new(),
        Choice::IdentityOnly => week.identity.iter().map(text).collect(),
        Choice::Content => week.identity.iter().chain([&week.content]).map(text).collect(),
    };
    wanted.sort();
    wanted
}

/// Records that a case is flagged, where its choice is not taken over with it.
pub(super) async fn record_alone(
    app: &App,
    service: &Service,
    person: PersonId,
    flagged: (Event, Option<Idempotency>),
) -> Result<(), StoreError> {
    chosen::record(app, person, vec![flagged], Cause::party(service.party)).await
}

/// As rows of the shelf have it.
pub(super) const fn number(choice: Choice) -> u8 {
    match choice {
        Choice::Nothing => 0,
        Choice::IdentityOnly => 1,
        Choice::Content => 2,
    }
}

fn ahead(chosen: &Chosen) -> Ahead {
    Ahead {
        choice: number(chosen.choice),
        municipality: Some(chosen.municipality.as_str().to_owned()),
        text_version: chosen.text_version.clone(),
        at_ms: chosen.at.as_millisecond(),
        evidence: chosen.evidence.clone(),
    }
}

/// The choice that a consultation's gives way to, if that was made later and told earlier; of one that can't be read nothing is left.
pub(super) fn newer(ahead: Option<&Ahead>, own: &Chosen) -> Option<Chosen> {
    let ahead = ahead.filter(|ahead| ahead.at_ms > own.at.as_millisecond() && !sabotage::off(Check::ChoiceAhead))?;
    let nothing = Chosen { choice: Choice::Nothing, ..own.clone() };
    let municipality = ahead.municipality.as_deref().and_then(|code| MunicipalityCode::parse(code).ok());
    let at = jiff::Timestamp::from_millisecond(ahead.at_ms).ok();
    let (Some(municipality), Some(at)) = (municipality, at) else { return Some(nothing) };
    let choice = match ahead.choice {
        2 => Choice::Content,
        1 => Choice::IdentityOnly,
        _ => Choice::Nothing,
    };
    let (text_version, evidence) = (ahead.text_version.clone(), ahead.evidence.clone());
    Some(Chosen { choice, municipality, text_version, at, evidence })
}

/// Why a choice does not count, as the service is told. It says nothing of what the person did elsewhere but that it stands.
pub(super) const fn code_of(error: &GiveError) -> &'static str {
    match error {
        GiveError::Field { .. } | GiveError::OutdatedText(_) => "text-not-in-force",
        GiveError::NeverCounts => "attester",
        GiveError::RefusalStands(_) | GiveError::Changed => "refused-elsewhere",
        GiveError::NoAuthority => "may-not-decide",
        _ => "not-recorded",
    }
}

/// A changed choice: for one consultation, or for all of somebody's. What it takes away is gone when this returns.
pub(super) async fn changed(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    changed: &ChoiceChanged,
) -> Result<(), CollectError> {
    let user = changed.user.as_str();
    let _rows = app.desk.rows.lock().await;
    let shelf = Shelf(&app.store);
    let mut history = shelf.history(service.party, user)?.unwrap_or_default();
    let at = changed.chosen.at.as_millisecond();
    let to = week.numbered(changed.chosen.municipality).map(|to| to.code.clone());
    let mut changes = Changes::default();
    let mut moved = false;
    let only = changed.consultation.as_ref().map(|id| super::shelf::case_of(service.party, id.as_str()));
    let comes = match only {
        Some(only) => shelf.case(only)?.is_none(),
        None => true,
    };
    if comes {
        // What it is about may be collected only later.
        let about = changed.consultation.as_ref().map(|id| super::shelf::short(id.as_str()));
        history.keep_ahead(about, ahead(&changed.chosen));
        changes.put_history(service.party, user, &history);
    }
    let Some(person) = app.store.person_of_source(&service.code, user).await? else {
        return Ok(changes.make(&app.store).await?);
    };
    for id in shelf.cases_of(person, CASES_MAX)? {
        let Some(mut case) = shelf.case(id)? else { continue };
        // What was chosen later stays, in whichever order the two were told.
        if case.service != service.code || only.is_some_and(|only| only != id) || case.choice_ms >= at {
            continue;
        }
        case.choice_ms = at;
        moved |= choose_anew(&mut changes, id, &mut case, changed.chosen.choice, to.as_deref());
        changes.put_case(id, &case);
    }
    if let (None, Some(to)) = (only, to.as_ref().filter(|to| history.is_newer(to, at))) {
        let (refusal, chosen) = (history.refusal(to), &changed.chosen);
        let asked = Asked { app, week, service, person, user, to, chosen, refusal };
        let made = match take_over(&asked, Vec::new()).await {
            Ok(made) => made,
            Err(GiveError::Store(error)) => return Err(error.into()),
            Err(GiveError::Barrier(error)) => return Err(not_final(service, &error)),
            Err(error) => {
                tracing::info!(why = code_of(&error), "a changed choice does not count");
                refusal
            }
        };
        history.set_taken(to, Some(at), made);
        changes.put_history(service.party, user, &history);
    }
    changes.make(&app.store).await?;
    // A case's own choice is no consent: what is under way with it in it is cut by hand.
    if only.is_some() || moved {
        app.barrier.everything_about(person).await.map_err(|error| not_final(service, &error))?;
    }
    Ok(())
}

/// A change that can't be read, of somebody who can: taken for a withdrawal of everything, until a choice comes that can be read.
/// That one needs not be newer than this moment, only than the last that was read.
pub(super) async fn unread(
    app: &Arc<App>,
    week: &Week,
    service: &Arc<Service>,
    user: &UserId,
    at: &str,
) -> Result<(), CollectError> {
    let _rows = app.desk.rows.lock().await;
    let shelf = Shelf(&app.store);
    let mut history = shelf.history(service.party, user.as_str())?.unwrap_or_default();
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let unreadable = Ahead {
        choice: number(Choice::Nothing),
        municipality: None,
        text_version: String::new(),
        at_ms: now.millis(),
        evidence: String::new(),
    };
    history.keep_ahead(None, unreadable);
    let mut changes = Changes::default();
    let Some(person) = app.store.person_of_source(&service.code, user.as_str()).await? else {
        changes.put_history(service.party, user.as_str(), &history);
        return Ok(changes.make(&app.store).await?);
    };
    let mut recipients = Vec::new();
    for id in shelf.cases_of(person, CASES_MAX)? {
        let Some(mut case) = shelf.case(id)?.filter(|case| case.service == service.code) else { continue };
        recipients.extend(case.recipient.clone());
        choose_anew(&mut changes, id, &mut case, Choice::Nothing, None);
        changes.put_case(id, &case);
    }
    recipients.sort();
    recipients.dedup();
    for to in recipients {
        let attestation = Attestation {
            party: service.code.clone(),
            way: Way::Online,
            evidence: "a choice that could not be read".to_owned(),
            checked_by: service.code.clone(),
            recorded_by: chosen::FEED.to_owned(),
            given_ms: now.millis(),
        };
        let choice = chosen::Choice {
            person,
            recipient: &to,
            purpose: week.purpose.0.as_str(),
            wanted: &[],
            text_version: "",
            attestation: &attestation,
            key: sha256(format!("sekisho unread choice 1\n{}\n{}\n{at}\n{to}", service.code, user.as_str()).as_bytes()),
            refusal: history.refusal(&to).map(RefusalId::of),
        };
        match chosen::choose(app, &choice, Vec::new()).await {
            Ok(refusal) => history.set_taken(&to, None, refusal.map(|id| *id.bytes())),
            Err(GiveError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(not_final(service, &error)),
        }
    }
    changes.put_history(service.party, user.as_str(), &history);
    changes.make(&app.store).await?;
    Ok(())
}

fn not_final(service: &Service, why: &dyn std::fmt::Display) -> CollectError {
    CollectError::Feed { service: service.code.clone(), why: why.to_string() }
}

/// What a changed choice makes of a case: less is at once less; more lets wait again what rested; another municipality gets it instead.
/// Whether it was taken from a municipality that may be about to get it.
fn choose_anew(changes: &mut Changes, id: CaseId, case: &mut Case, choice: Choice, to: Option<&str>) -> bool {
    case.choice = number(choice);
    let before = case.recipient.clone();
    if choice != Choice::Nothing || to.is_some() {
        case.recipient = to.map(str::to_owned);
    }
    // It is where it is; what goes, and what is recalled, is decided when the next package is built.
    if case.recipient == before && matches!(case.stage, Stage::Packed(_) | Stage::Delivered(_)) {
        return false;
    }
    if let Some(before) = before.as_deref() {
        changes.waiting(party_id(before), id, false);
    }
    let waits = case.recipient.as_deref().map(party_id).filter(|_| choice != Choice::Nothing);
    case.stage = if waits.is_some() { Stage::Waiting } else { Stage::Resting };
    if let Some(to) = waits {
        changes.waiting(to, id, true);
    }
    case.recipient != before
}
