//! What can't wait: within a minute a human at the service is called, and called again, further up, until one acknowledges. The
//! call says nothing about anybody. What becomes of the case that human decides; nothing here releases anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use sekisho_policy::{BasisId, PersonId, Timestamp};
use serde_json::json;

use super::desk;
use super::shelf::{Alert, Changes, Id16, Shelf};
use crate::app::App;
use crate::config::week::{Service, Week};
use crate::consent::people::{ActError, rfc3339};
use crate::ids::{AlertId, CaseId, TextId, party_id};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{AlertAcknowledged, AlertDecided, AlertDecision, AlertRaised, Event};
use crate::ledger::merkle::sha256;
use crate::reload::Current;
use crate::store::{Draft, StoreError};

/// Alerts that are looked at in one go, at most.
const AT_ONCE: usize = 1_000;
/// Calls that are made at once.
const CALLS_AT_ONCE: usize = 64;
/// After the last step, and after a call that was not taken, somebody is called again so often.
const AGAIN: Duration = Duration::from_secs(60);
/// Letters of a name or a reason, at most.
const WORDS_MAX: usize = 1_000;

/// Why an alert can't be worked on.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such alert of this service.
    #[error("there is no such alert")]
    Unknown,
    /// It has to be acknowledged before it is decided.
    #[error("the alert must be acknowledged first")]
    NotAcknowledged,
    /// It was decided already.
    #[error("the alert was decided already")]
    Decided,
    /// The record of the consultation could not be taken: there is no case to decide about yet.
    #[error("the consultation's record could not be taken: send it again, mended, and decide then")]
    NoCase,
    /// The person is in a municipality that takes no cases here.
    #[error("the person is in a municipality that takes no cases here")]
    NotServed,
    /// A legal basis could not be recorded.
    #[error(transparent)]
    Act(#[from] ActError),
    /// A field is not what it should be.
    #[error("`{field}` {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

impl AlertError {
    /// Recorded, but not acknowledged.
    pub(super) fn barrier(error: crate::consent::barrier::BarrierError) -> Self {
        Self::Act(ActError::Barrier(error))
    }
}

/// What became of a case by a decision.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// To whom it may go: a party's code.
    pub to: Option<String>,
    /// Whether it lies ready for them now.
    pub packed: bool,
    /// The legal basis that was recorded.
    pub basis: Option<BasisId>,
    /// Until when a second person should have looked at that.
    pub confirm_by: Option<Timestamp>,
}

/// Decides an alert without a legal basis: on the person's consent, or that nothing is shared by it.
///
/// # Errors
/// When it can't be decided, or the store fails.
pub async fn share(app: &Arc<App>, service: &str, id: AlertId, deciding: &Deciding<'_>) -> Result<Shared, AlertError> {
    let case_id = decide(app, service, id, deciding).await?;
    if deciding.decision != AlertDecision::Consent {
        return Ok(Shared::default());
    }
    let case = Shelf(&app.store).case(case_id)?;
    let recipient = case.and_then(|case| case.recipient);
    let week = app.config.week.as_ref();
    let to = recipient.and_then(|code| week.and_then(|week| week.municipality(party_id(&code))).cloned());
    let Some(to) = to else { return Ok(Shared::default()) };
    let packed = super::plan::make_up_urgent(app, &to, case_id).await?.is_some();
    Ok(Shared { to: Some(to.code.clone()), packed, ..Shared::default() })
}

/// What is known of what can't wait.
#[derive(Default)]
pub(super) struct About {
    /// The service's id of the consultation.
    pub consultation: Option<String>,
    /// The case.
    pub case: Option<CaseId>,
}

/// Humans who are to be called, each matter once.
#[derive(Default)]
pub(super) struct Raising(BTreeMap<String, About>);

impl Raising {
    /// `which` calls once; of two that tell of the same, what either knows counts.
    pub(super) fn add(&mut self, which: String, about: About) {
        let known = self.0.entry(which).or_default();
        known.consultation = known.consultation.take().or(about.consultation);
        known.case = known.case.or(about.case);
    }
}

/// Makes the changes, and with them raises what can't wait. What is known of it later is added.
pub(super) async fn raise(
    app: &App,
    service: &Service,
    raising: Raising,
    mut changes: Changes,
) -> Result<(), StoreError> {
    let now = app.store.clock().now()?;
    let any = !raising.0.is_empty();
    // Whoever acknowledges or is called meanwhile is not overwritten.
    let one = app.desk.alerting.lock().await;
    for (which, about) in raising.0 {
        raise_one(app, service, &which, about, now, &mut changes)?;
    }
    changes.make(&app.store).await?;
    drop(one);
    if any {
        app.desk.stirred.notify_one();
    }
    Ok(())
}

fn raise_one(
    app: &App,
    service: &Service,
    which: &str,
    about: About,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let hash = sha256(&[b"sekisho alert 1".as_slice(), service.party.bytes(), which.as_bytes()].concat());
    let id = AlertId::of(hash.first_chunk().copied().unwrap_or_default());
    let case = about.case.map(|case| Id16(*case.bytes()));
    let alert = match Shelf(&app.store).alert(id)? {
        Some(before) if before.case.is_some() || case.is_none() => return Ok(()),
        Some(before) => Alert { case, ..before },
        None => Alert {
            service: service.code.clone(),
            consultation: about.consultation,
            case,
            raised_ms: now.millis(),
            calls: 0,
            next_ms: now.millis(),
            acknowledged: None,
            decided: None,
        },
    };
    changes.open_alert(id, alert.decided.is_none());
    changes.put_alert(id, &alert);
    Ok(())
}

/// Calls humans, for as long as the gateway runs.
pub async fn run(current: Arc<Current>) {
    let desk = Arc::clone(&current.app().desk);
    loop {
        let stirred = desk.stirred.notified();
        let app = current.app();
        let clock = app.store.clock().clone();
        let next = match clock.now() {
            Ok(now) => call_due(&app, now).await.unwrap_or_else(|error| {
                tracing::error!(%error, "alerts could not be looked at");
                now.plus_millis(1_000)
            }),
            Err(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        tokio::select! {
            () = stirred => {}
            () = clock.reached(next) => {}
        }
    }
}

/// Calls for every alert that is due; gives when the next one is.
async fn call_due(app: &Arc<App>, now: Timestamp) -> Result<Timestamp, StoreError> {
    let (shelf, mut next, mut after) = (Shelf(&app.store), Timestamp::MAX, None);
    loop {
        let open = shelf.open_alerts(after, AT_ONCE)?;
        let Some(last) = open.last() else { return Ok(next) };
        after = Some(*last);
        let mut due = Vec::new();
        for id in open {
            let Some(alert) = shelf.alert(id)?.filter(|alert| alert.acknowledged.is_none()) else { continue };
            let at = Timestamp::from_millis(alert.next_ms);
            if at <= now {
                due.push((id, alert));
            } else {
                next = next.min(at);
            }
        }
        // Side by side: whoever can't be reached must not hold up who can.
        let mut calling =
            stream::iter(due).map(|(id, alert)| call(app, id, alert, now)).buffer_unordered(CALLS_AT_ONCE);
        while let Some(again) = calling.next().await {
            next = next.min(again?);
        }
    }
}

/// Calls the steps that are due, and gives when the next call is.
async fn call(app: &Arc<App>, id: AlertId, alert: Alert, now: Timestamp) -> Result<Timestamp, StoreError> {
    let service = app.config.week.as_ref().and_then(|week| week.service(party_id(&alert.service)).cloned());
    if alert.calls == 0 {
        let raised = AlertRaised { alert: Bytes16(*id.bytes()), service: alert.service.clone() };
        app.store.record_global(Event::AlertRaised(raised), Cause::Gateway).await?;
    }
    let waited = Duration::from_millis(u64::try_from(now.millis() - alert.raised_ms).unwrap_or(0));
    let next = match &service {
        None => {
            tracing::error!(service = alert.service, "an alert's service is configured no more: nobody can be called");
            now.plus_millis(AGAIN.as_millis() as i64)
        }
        Some(service) => {
            let due = service.on_call.iter().enumerate().filter(|(_, step)| step.after <= waited);
            let mut taken = false;
            for (at, to) in due {
                let message = format!("{}-{}-{}", id.text(), at + 1, alert.calls);
                taken |= desk::call(to, &message, now, &said(app, id, &alert, at)).await;
            }
            if !taken {
                tracing::error!(service = alert.service, "an alert was not taken; it is tried again");
                app.metrics.alerts_not_taken.inc();
            }
            let further = service.on_call.iter().map(|step| step.after).find(|after| *after > waited);
            let step = further.map(|after| after.saturating_sub(waited));
            let wait = step.filter(|wait| taken && *wait < AGAIN).unwrap_or(AGAIN);
            now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(60_000))
        }
    };
    // Read anew: who acknowledged meanwhile, or which case it is, must not be overwritten.
    let _one = app.desk.alerting.lock().await;
    if let Some(mut alert) = Shelf(&app.store).alert(id)?.filter(|alert| alert.acknowledged.is_none()) {
        alert.calls = alert.calls.saturating_add(1);
        alert.next_ms = next.millis();
        let mut changes = Changes::default();
        changes.put_alert(id, &alert);
        changes.make(&app.store).await?;
    }
    Ok(next)
}

/// What an on-call professional is sent: that there is something, and how to name it. Nothing about anybody.
fn said(app: &App, id: AlertId, alert: &Alert, step: usize) -> serde_json::Value {
    json!({
        "type": "sekisho.alert",
        "timestamp": rfc3339(Timestamp::from_millis(alert.raised_ms)),
        "data": {
            "alert": id.text(),
            "raised_at": rfc3339(Timestamp::from_millis(alert.raised_ms)),
            "step": step + 1,
            "acknowledge": format!("{}/v1/alerts/{}/acknowledgement", app.config.server.url, id.text()),
        },
    })
}

/// An alert of this service.
///
/// # Errors
/// When there is none.
pub fn of_service(app: &App, service: &str, id: AlertId) -> Result<Alert, AlertError> {
    Shelf(&app.store).alert(id)?.filter(|alert| alert.service == service).ok_or(AlertError::Unknown)
}

/// A human takes it on: nobody is called any more. The first who does stays the one.
///
/// # Errors
/// When there is no such alert, or nobody is named.
pub async fn acknowledge(app: &Arc<App>, service: &str, id: AlertId, by: &str) -> Result<Alert, AlertError> {
    words("by", by)?;
    let _one = app.desk.alerting.lock().await;
    let mut alert = of_service(app, service, id)?;
    if alert.acknowledged.is_none() {
        let now = app.store.clock().now().map_err(StoreError::from)?;
        let event = AlertAcknowledged { alert: Bytes16(*id.bytes()), at_ms: now.millis() };
        app.store.record_global(Event::AlertAcknowledged(event), Cause::party(party_id(service))).await?;
        alert.acknowledged = Some((by.to_owned(), now.millis()));
        let mut changes = Changes::default();
        changes.put_alert(id, &alert);
        changes.make(&app.store).await?;
    }
    Ok(alert)
}

fn words(field: &'static str, text: &str) -> Result<(), AlertError> {
    if text.trim().is_empty() || text.chars().count() > WORDS_MAX {
        return Err(AlertError::Field { field, why: "must say something, in 1000 letters at most" });
    }
    Ok(())
}

/// What a professional decides about an urgent case.
pub struct Deciding<'a> {
    /// Who.
    pub by: &'a str,
    /// What.
    pub decision: AlertDecision,
    /// Why.
    pub reason: &'a str,
    /// The legal basis that was recorded for it.
    pub basis: Option<BasisId>,
}

/// The case of an alert that waits for a decision, and about whom it is.
///
/// # Errors
/// When there is none, or it was not acknowledged.
pub fn to_decide(app: &App, service: &str, id: AlertId) -> Result<(CaseId, PersonId), AlertError> {
    let alert = of_service(app, service, id)?;
    if alert.acknowledged.is_none() {
        return Err(AlertError::NotAcknowledged);
    }
    if alert.decided.is_some() {
        return Err(AlertError::Decided);
    }
    let case = CaseId::of(alert.case.ok_or(AlertError::NoCase)?.0);
    let row = Shelf(&app.store).case(case)?.ok_or(AlertError::NoCase)?;
    Ok((case, PersonId::of(row.person)))
}

/// Records what was decided; nobody is asked any more.
///
/// # Errors
/// When it can't be decided, or the store fails.
pub async fn decide(app: &Arc<App>, service: &str, id: AlertId, deciding: &Deciding<'_>) -> Result<CaseId, AlertError> {
    words("by", deciding.by)?;
    words("reason", deciding.reason)?;
    let _one = app.desk.alerting.lock().await;
    let (case, person) = to_decide(app, service, id)?;
    let mut alert = of_service(app, service, id)?;
    let acknowledged_by = alert.acknowledged.as_ref().map(|(by, _)| by.clone()).unwrap_or_default();
    let event = Event::AlertDecided(AlertDecided {
        alert: Bytes16(*id.bytes()),
        case: Bytes16(*case.bytes()),
        subject: Bytes16(*person.bytes()),
        decision: deciding.decision,
        by: deciding.by.to_owned(),
        acknowledged_by,
        reason: deciding.reason.to_owned(),
        basis: deciding.basis.map(|basis| Bytes16(*basis.bytes())),
    });
    let cause = Some(Cause::party(party_id(service)));
    let recorded = app.store.update(person, |_, _, _| {
        let events = [event.clone()].into_iter().collect();
        Ok::<_, StoreError>(((), Draft { events, cause, ..Draft::default() }))
    });
    recorded.await?;
    alert.decided = Some(deciding.decision as u8);
    let mut changes = Changes::default();
    changes.put_alert(id, &alert);
    changes.open_alert(id, false);
    changes.make(&app.store).await?;
    Ok(case)
}

/// The article that a basis names, checked against the configuration.
///
/// # Errors
/// When it is none of those configured, or needs a request that nobody named.
pub fn check_article(week: &Week, article: &str, requester: &str) -> Result<(), AlertError> {
    let known = week.articles.iter().find(|known| known.code == article);
    let known = known.ok_or(AlertError::Field { field: "article", why: "is none of the configured articles" })?;
    if known.needs_request && requester.trim().is_empty() {
        return Err(AlertError::Field { field: "requester", why: "must name who asked: this article needs a request" });
    }
    Ok(())
}
