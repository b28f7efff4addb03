//! The nurses' week by hand: what would go (`plan`), making a week up (`run`), a package as a file for one-way transfer (`write`),
//! and the second look at a legal basis, or its disclosure.
//!
//! Progress comes line by line, each a JSON object; the last says `done` or `error`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::PersonId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stream::Piped;
use super::{Acting, AdminError};
use crate::app::App;
use crate::config::week::{Municipality, Week};
use crate::ids::{PackageId, TextId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32};
use crate::ledger::event::{Closed, Outcome};
use crate::week::calendar::Week as IsoWeek;
use crate::week::{package, plan, run};

/// Lines of progress that wait to be sent, at most.
const LINES_MAX: usize = 64;
/// Cases in a plan, at most.
const PLAN_MAX: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// `2026-W47`; the one that is due, where nothing is said.
    week: Option<String>,
    /// A municipality's code as a party; all, where nothing is said.
    municipality: Option<String>,
    /// Whether services are collected first.
    #[serde(default)]
    collect: bool,
}

fn week(app: &App) -> Result<&Arc<Week>, AdminError> {
    app.config.week.as_ref().ok_or_else(|| AdminError::Body("the configuration has no [week]".to_owned()))
}

fn municipalities(week: &Week, of: &Of) -> Result<Vec<Arc<Municipality>>, AdminError> {
    let named: Vec<_> =
        week.municipalities.iter().filter(|m| of.municipality.as_ref().is_none_or(|n| *n == m.code)).cloned().collect();
    if named.is_empty() {
        return Err(AdminError::Body("`municipality` is none of those in [week]".to_owned()));
    }
    Ok(named)
}

fn iso_week(app: &App, of: &Of, to: &Municipality) -> Result<IsoWeek, AdminError> {
    let due = to.at.last_due(app.store.clock().now().map_err(crate::store::StoreError::from)?);
    match &of.week {
        None => Ok(due),
        Some(text) => {
            let wrong = || AdminError::Body("`week` must be an ISO week such as 2026-W47".to_owned());
            let week = IsoWeek::parse(text).ok_or_else(wrong)?;
            if week > due.next() {
                return Err(AdminError::Body(format!("`week` lies in the future: {due} is due")));
            }
            Ok(week)
        }
    }
}

/// What would go to whom, and why. It is about people, so the look is recorded; names are not in it.
pub(super) async fn plan(app: &Arc<App>, acting: &Acting, of: Of) -> Result<Value, AdminError> {
    let week = week(app)?;
    let named = municipalities(week, &of)?;
    acting.records_look(app, "week", None).await?;
    let mut all = Vec::with_capacity(named.len());
    for to in named {
        let iso = iso_week(app, &of, &to)?;
        let lines = plan::look(app, week, &to, iso, PLAN_MAX).await?;
        all.push(json!({"municipality": to.code, "week": iso.to_string(), "cases": lines}));
    }
    Ok(json!({"municipalities": all}))
}

/// Makes a week up, and tells how far it is.
pub(super) fn make_up(app: &Arc<App>, of: Of) -> Result<Piped, AdminError> {
    let week = Arc::clone(week(app)?);
    let named = municipalities(&week, &of)?;
    let mut weeks = Vec::with_capacity(named.len());
    for to in named {
        weeks.push((iso_week(app, &of, &to)?, to));
    }
    let (lines, piped) = lines();
    let app = Arc::clone(app);
    // It goes on though nobody listens any more: a week that is half made up is made up when it is done again.
    tokio::spawn(async move {
        if of.collect {
            let so_far = |done: crate::week::collect::Collected| {
                lines.progress(json!({"collected": done.records, "flagged": done.flagged, "urgent": done.urgent}));
            };
            match run::collect_all(&app, &week, &so_far).await {
                Ok(done) => {
                    lines
                        .say(json!({
                            "collected": done.records, "flagged": done.flagged, "urgent": done.urgent,
                            "rejected": done.rejected, "returned": done.returned, "choices": done.choices,
                        }))
                        .await
                }
                Err(error) => return lines.say(json!({"error": error.to_string()})).await,
            }
        }
        for (iso, to) in weeks {
            let so_far = |cases: u64| lines.progress(json!({"municipality": to.code, "cases": cases}));
            match plan::make_up(&app, &to, iso, &so_far).await {
                Ok(planned) => {
                    lines
                        .say(json!({
                            "municipality": to.code, "week": iso.to_string(), "new_cases": planned.cases,
                            "packages": planned.packages,
                        }))
                        .await
                }
                Err(error) => return lines.say(json!({"error": error.to_string()})).await,
            }
        }
        lines.say(json!({"done": true})).await;
    });
    Ok(piped)
}

/// The writing end of lines.
struct Lines(mpsc::Sender<io::Result<Bytes>>);

fn lines() -> (Lines, Piped) {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    (Lines(sender), Piped::of(receiver))
}

impl Lines {
    /// Left out when the reader is slow.
    fn progress(&self, line: Value) {
        let _ = self.0.try_send(Ok(Bytes::from(format!("{line}\n"))));
    }

    async fn say(&self, line: Value) {
        // Whoever asked may have gone.
        let _ = self.0.send(Ok(Bytes::from(format!("{line}\n")))).await;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    municipality: String,
    package: String,
}

/// A copy of a package for one-way transfer. It counts as released when it is written: nobody can call it back.
pub(super) async fn write(app: &Arc<App>, acting: &Acting, what: Written) -> Result<Vec<u8>, AdminError> {
    let week = week(app)?;
    let to = week.municipality(party_id(&what.municipality)).cloned();
    let to = to.ok_or_else(|| AdminError::Body("`municipality` is none of those in [week]".to_owned()))?;
    let id = PackageId::parse(&what.package).map_err(|_| AdminError::NotFound)?;
    acting.records_look(app, "package", Some(*id.bytes())).await?;
    let built = package::build(app, &to, id, true, acting.cause()).await?;
    let still = package::still(app, &to, &built.cases).await;
    let outcome = if matches!(still, Ok(true)) { Outcome::Complete } else { Outcome::NothingSent };
    let bytes = built.bytes.len() as u64;
    for part in &built.parts {
        let sent = outcome == Outcome::Complete;
        app.store.close(
            part.recorded.request().subject,
            Closed {
                decision: Bytes16(*part.recorded.decision().bytes()),
                outcome,
                items: 1,
                withheld: 0,
                bytes: if sent { bytes } else { 0 },
                digest: sent.then_some(Bytes32(built.digest)),
            },
        );
    }
    if outcome == Outcome::Complete { Ok(built.bytes) } else { Err(package::PackageError::Changed.into()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disclosed {
    by: String,
}

/// A named official discloses a legal basis to the person concerned.
pub(super) async fn disclose(
    app: &Arc<App>,
    acting: &Acting,
    person: PersonId,
    basis: sekisho_policy::BasisId,
    said: Disclosed,
) -> Result<Value, AdminError> {
    crate::week::basis::disclose(app, person, basis, &said.by, acting.cause()).await?;
    Ok(json!({}))
}
