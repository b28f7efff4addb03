//! What runs by itself: services are collected and told, weeks are made up when they are due, missed ones first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sekisho_adapters::consultation::{ConsultationId, Outcome, OutcomeCode, Returned};
use sekisho_policy::{PartyId, Timestamp};

use super::basis;
use super::collect::{self, CollectError, Collected};
use super::plan::{self, Planned};
use super::shelf::{Changes, Shelf, Tell};
use crate::app::App;
use crate::config::week::{Municipality, Service, Week};
use crate::reload::Current;
use crate::store::StoreError;

/// Longest time between two looks.
const LOOK_EVERY_MS: i64 = 60_000;
/// After something failed it is tried again so soon.
const AGAIN_MS: i64 = 5_000;
/// What a service is told in one request.
const TELLS_AT_ONCE: usize = 100;

/// Runs the week, for as long as the gateway does.
pub async fn run(current: Arc<Current>) {
    let mut next: HashMap<PartyId, Timestamp> = HashMap::new();
    loop {
        let app = current.app();
        let clock = app.store.clock().clone();
        let Ok(now) = clock.now() else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let at = match &app.config.week {
            Some(week) => round(&app, week, &mut next, now).await,
            None => now.plus_millis(LOOK_EVERY_MS),
        };
        tokio::select! {
            () = clock.reached(at) => {}
            () = app.desk.look.notified() => {}
        }
    }
}

/// One look; gives when the next is due.
async fn round(app: &Arc<App>, week: &Week, next: &mut HashMap<PartyId, Timestamp>, now: Timestamp) -> Timestamp {
    let mut at = now.plus_millis(LOOK_EVERY_MS);
    let mut new = false;
    for service in &week.services {
        let due = next.get(&service.party).copied().unwrap_or(now);
        if due <= now {
            let (came, wait) = look_at(app, service).await;
            new |= came;
            next.insert(service.party, now.plus_millis(wait));
        }
        at = at.min(next.get(&service.party).copied().unwrap_or(at));
    }
    for to in &week.municipalities {
        match make_up_due(app, to, new, now).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, municipality = to.code, "a week could not be made up; it is tried again");
                at = at.min(now.plus_millis(AGAIN_MS));
            }
        }
        let coming = to.at.due(to.at.last_due(now).next());
        at = at.min(coming);
    }
    match basis::late(app, now) {
        Ok(0) => {}
        Ok(late) => tracing::error!(late, "legal bases wait for their second look longer than they should"),
        Err(error) => tracing::error!(%error, "legal bases could not be looked at"),
    }
    at.max(now.plus_millis(100))
}

/// Collects a service and tells it what goes back; whether cases came, and how long to wait.
async fn look_at(app: &Arc<App>, service: &Arc<Service>) -> (bool, i64) {
    let came = match collect::collect(app, service, &|_| {}).await {
        Ok(done) => {
            if done != Collected::default() {
                tracing::info!(
                    service = service.code,
                    records = done.records,
                    flagged = done.flagged,
                    urgent = done.urgent,
                    rejected = done.rejected,
                    returned = done.returned,
                    choices = done.choices,
                    "collected"
                );
            }
            Some(done.flagged > 0)
        }
        Err(error) => {
            tracing::error!(%error, service = service.code, "not collected");
            None
        }
    };
    if let Err(error) = tell(app, service).await {
        tracing::warn!(%error, service = service.code, "a service was not told what goes back; it is tried again");
    }
    let every = i64::try_from(service.collect_every.as_millis()).unwrap_or(LOOK_EVERY_MS);
    (came.unwrap_or(false), if came.is_some() { every } else { every.min(AGAIN_MS) })
}

/// Makes up every week that is due and was not; and the last one again where cases came that belong into it.
async fn make_up_due(app: &Arc<App>, to: &Municipality, new: bool, now: Timestamp) -> Result<(), StoreError> {
    let last = Shelf(&app.store).last_planned(to.party)?;
    let mut weeks = to.at.missed(last, now);
    if weeks.is_empty() && new {
        weeks.extend(last);
    }
    for week in weeks {
        let planned = plan::make_up(app, to, week, &|_| {}).await?;
        if planned != Planned::default() {
            tracing::info!(municipality = to.code, %week, cases = planned.cases, packages = planned.packages, "made up");
        }
    }
    Ok(())
}

/// Collects every service.
///
/// # Errors
/// The first that can't be collected; the others are all the same.
pub async fn collect_all(
    app: &Arc<App>,
    week: &Week,
    progress: &(dyn Fn(Collected) + Send + Sync),
) -> Result<Collected, CollectError> {
    let (mut all, mut failed) = (Collected::default(), None);
    for service in &week.services {
        let before = all;
        let so_far = |done: Collected| {
            let mut sum = before;
            sum += done;
            progress(sum);
        };
        match collect::collect(app, service, &so_far).await {
            Ok(done) => all += done,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(all), Err)
}

/// Tells a service what goes back to it, and which outcomes it may know.
async fn tell(app: &Arc<App>, service: &Arc<Service>) -> Result<(), CollectError> {
    let client = app.desk.client(app, service).ok_or_else(|| CollectError::NoService(service.code.clone()))?;
    loop {
        let tells = Shelf(&app.store).tells(service.party, TELLS_AT_ONCE)?;
        if tells.is_empty() {
            return Ok(());
        }
        let returned: Vec<Returned> = tells.iter().flat_map(|(_, tell)| returned(tell)).collect();
        let outcomes: Vec<Outcome> = tells.iter().flat_map(|(_, tell)| outcome(tell)).collect();
        let failed = |error: &dyn std::fmt::Display| CollectError::Feed {
            service: service.code.clone(),
            why: error.to_string(),
        };
        if !returned.is_empty() {
            client.returned(&returned).await.map_err(|error| failed(&error))?;
        }
        if !outcomes.is_empty() {
            client.outcomes(&outcomes).await.map_err(|error| failed(&error))?;
        }
        let mut changes = Changes::default();
        tells.iter().for_each(|(id, _)| changes.told(service.party, *id));
        changes.make(&app.store).await?;
    }
}

fn returned(tell: &Tell) -> Vec<Returned> {
    let Some(id) = ConsultationId::parse(&tell.about).filter(|_| !tell.outcome) else { return Vec::new() };
    let problem = |(why, field): &(String, String)| Returned { id: id.clone(), field: field.clone(), why: why.clone() };
    tell.codes.iter().map(problem).collect()
}

fn outcome(tell: &Tell) -> Option<Outcome> {
    let id = ConsultationId::parse(&tell.about).filter(|_| tell.outcome)?;
    let (code, _) = tell.codes.first()?;
    let code =
        [OutcomeCode::Contacted, OutcomeCode::Invited, OutcomeCode::Closed].into_iter().find(|c| c.code() == code)?;
    Some(Outcome { id, code })
}
