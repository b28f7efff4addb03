//! What can't wait, for a consultation service's own system: which alerts are open, that a human took one on, and what that human
//! decided. And the legal bases that its professionals recorded, for the second look.

use http::StatusCode;
use sekisho_policy::{BasisId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::problem::Problem;
use super::{Answer, Call};
use crate::config::week::Service;
use crate::consent::people::rfc3339;
use crate::ids::{AlertId, TextId};
use crate::ledger::entry::Cause;
use crate::ledger::event::AlertDecision;
use crate::week::alert::{self, AlertError, Deciding};
use crate::week::basis;
use crate::week::collect;
use crate::week::shelf::{Alert, Shelf};

/// Scope of a token that may work on alerts.
const SCOPE: &str = "alerts/decide";
/// Scope of a token that may push consultations.
const PUSH_SCOPE: &str = "consultations/push";
/// Alerts in a list, at most.
const LIST_MAX: usize = 1_000;

/// A configured consultation service, by its own system.
fn service(call: &Call<'_>, scope: &'static str) -> Result<Arc<Service>, Problem> {
    let party = call.machine()?;
    let caller = call.caller.as_ref().ok_or_else(Problem::unauthenticated)?;
    if !caller.claims.has_scope(scope) {
        return Err(Problem::scope(scope));
    }
    let week = call.app.config.week.as_ref();
    week.and_then(|week| week.service(party.id)).cloned().ok_or_else(Problem::not_found)
}

fn alert_id(id: &str) -> Result<AlertId, Problem> {
    AlertId::parse(id).map_err(|_| Problem::not_found())
}

pub(super) async fn push(call: &Call<'_>) -> Result<Answer, Problem> {
    let service = service(call, PUSH_SCOPE)?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let items = match call.app.desk.pushed(call.app, &service, &call.body, now) {
        Ok(items) => items,
        Err(broken) => {
            if broken.urgent {
                collect::pushed_wreck(call.app, &service, &call.body).await?;
            }
            return Err(Problem::body(1, 1));
        }
    };
    let rejected: Vec<Value> = items.iter().filter_map(|item| item.as_ref().err()).map(rejected_view).collect();
    let done = collect::take_pushed(call.app, &service, items).await.map_err(|error| {
        tracing::error!(%error, "what was pushed could not be taken");
        Problem::not_now()
    })?;
    Ok(Answer::ok(&json!({
        "records": done.records, "flagged": done.flagged, "urgent": done.urgent, "returned": done.returned,
        "rejected": rejected,
    })))
}

fn rejected_view(rejected: &sekisho_adapters::consultation::Rejected) -> Value {
    let problems: Vec<Value> =
        rejected.problems.iter().map(|problem| json!({"field": problem.field, "why": problem.why})).collect();
    json!({
        "id": rejected.id.as_ref().ok().map(|id| id.as_str()),
        "at": rejected.id.as_ref().err(),
        "urgent": rejected.urgent,
        "problems": problems,
    })
}

pub(super) fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let service = service(call, SCOPE)?;
    let shelf = Shelf(&call.app.store);
    let mut items = Vec::new();
    for id in shelf.open_alerts(None, LIST_MAX)? {
        let alert = shelf.alert(id)?.filter(|alert| alert.service == service.code);
        items.extend(alert.map(|alert| view(id, &alert)));
    }
    Ok(Answer::ok(&json!({"items": items})))
}

fn view(id: AlertId, alert: &Alert) -> Value {
    let instant = |ms| rfc3339(Timestamp::from_millis(ms));
    json!({
        "id": id.text(),
        // The service's own: it may know.
        "consultation": alert.consultation,
        "record_taken": alert.case.is_some(),
        "raised_at": instant(alert.raised_ms),
        "calls": alert.calls,
        "acknowledged_by": alert.acknowledged.as_ref().map(|(by, _)| by),
        "acknowledged_at": alert.acknowledged.as_ref().map(|(_, at)| instant(*at)),
        "decided": alert.decided.is_some(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledged {
    by: String,
}

pub(super) async fn acknowledge(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let service = service(call, SCOPE)?;
    let id = alert_id(id)?;
    let said: Acknowledged = call.json()?;
    let alert = alert::acknowledge(call.app, &service.code, id, &said.by).await?;
    Ok(Answer::ok(&view(id, &alert)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    by: String,
    decision: String,
    reason: String,
    basis: Option<Basis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basis {
    article: String,
    #[serde(default)]
    requester: String,
    /// Until when, RFC 3339.
    until: String,
    /// Whether the words go too.
    #[serde(default)]
    content: bool,
}

pub(super) async fn decide(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let service = service(call, SCOPE)?;
    let id = alert_id(id)?;
    let said: Decision = call.json()?;
    let (by, reason) = (said.by.as_str(), said.reason.as_str());
    let (decision, basis) = match (said.decision.as_str(), &said.basis) {
        ("consent", None) => (AlertDecision::Consent, None),
        ("not-shared", None) => (AlertDecision::NotShared, None),
        ("basis", Some(basis)) => (AlertDecision::Basis, Some(basis)),
        _ => return Err(Problem::field("decision", "must be `consent`, `not-shared`, or `basis` with a `basis`")),
    };
    let (app, code) = (call.app, &service.code);
    let shared = match basis {
        None => alert::share(app, code, id, &Deciding { by, decision, reason, basis: None }).await?,
        Some(basis) => {
            let asked = basis::Asked {
                by,
                reason,
                article: &basis.article,
                requester: &basis.requester,
                until: &basis.until,
                content: basis.content,
            };
            basis::on_alert(app, &service, id, &asked).await?
        }
    };
    Ok(Answer::json(
        StatusCode::CREATED,
        &json!({
            "alert": id.text(),
            "decision": decision.code(),
            // Whether it can be pulled, and by whom.
            "to": shared.to,
            "packed": shared.packed,
            "basis": shared.basis.map(|basis| basis.text()),
            "confirm_by": shared.confirm_by.map(rfc3339),
        }),
    ))
}

pub(super) fn bases(call: &Call<'_>) -> Result<Answer, Problem> {
    let service = service(call, SCOPE)?;
    let waiting = basis::waiting(call.app, &service.code)?;
    let items: Vec<Value> = waiting
        .iter()
        .map(|(id, row)| {
            json!({
                "id": id.text(),
                "decided_by": row.decided_by,
                "recorded_at": rfc3339(Timestamp::from_millis(row.recorded_ms)),
                "confirm_by": rfc3339(Timestamp::from_millis(row.due_ms)),
            })
        })
        .collect();
    Ok(Answer::ok(&json!({"items": items})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    by: String,
    upheld: bool,
    reason: Option<String>,
}

pub(super) async fn confirm_basis(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let service = service(call, SCOPE)?;
    let id = BasisId::parse(id).map_err(|_| Problem::not_found())?;
    let said: Confirmed = call.json()?;
    let word = basis::Word { by: &said.by, upheld: said.upheld, reason: said.reason.as_deref() };
    let cut = basis::confirm(call.app, &service.code, id, &word, Cause::party(service.party)).await?;
    Ok(Answer::ok(&json!({"basis": id.text(), "upheld": said.upheld, "transfers_cut": cut})))
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::Store(error) => error.into(),
            AlertError::Unknown => Self::not_found(),
            AlertError::Field { field, why } => Self::field(field, why),
            AlertError::NotAcknowledged => Self::alert_not_acknowledged(),
            AlertError::Decided => Self::alert_decided(),
            AlertError::NoCase => Self::alert_without_case(),
            AlertError::NotServed => {
                Self::field("basis", "is about somebody in a municipality that takes no cases here")
            }
            AlertError::Act(error) => error.into(),
        }
    }
}
