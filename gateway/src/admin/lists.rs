//! Lists for an official's work: authorities that are to be checked again, and consents that are to be asked for anew.
//!
//! Each is a look, recorded before it is answered. They go through everybody, a part at a time: `more_after` of one answer
//! is `after` of the next question.

use std::collections::HashMap;

use sekisho_policy::{ConsentId, PersonId, Timestamp};
use serde_json::{Value, json};

use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::anew;
use crate::consent::people::rfc3339;
use crate::ids::TextId;
use crate::store::StoreError;
use crate::store::state::{Agreement, Papers, Subject};

/// Records looked at for one answer, at most.
const LOOKED_AT: usize = 5_000;
const DAY_MS: i64 = 86_400_000;

struct Asked(HashMap<String, String>);

impl Asked {
    fn of(query: Option<&str>, known: &[&str]) -> Result<Self, AdminError> {
        let given: HashMap<String, String> =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        match given.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                Err(AdminError::Query(format!("`{unknown}` is not known; there are {}", known.join(", "))))
            }
            None => Ok(Self(given)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn not_said() -> AdminError {
    AdminError::Query("`after` must be what `more_after` said".to_owned())
}

/// `GET /authorities?within_days=…`: authorities that hold, and whose date to be checked again is past or near.
pub(super) async fn authorities(app: &App, acting: &Acting, query: Option<&str>) -> Result<Value, AdminError> {
    let asked = Asked::of(query, &["within_days", "after"])?;
    let days = asked.get("within_days").map_or(Ok(30), str::parse::<u16>);
    let days =
        days.map_err(|_| AdminError::Query("`within_days` must be a number of days, 30 if left out".to_owned()))?;
    let pair = |text: &str| {
        let (guardian, ward) = text.split_once('.')?;
        PersonId::parse(guardian).ok().zip(PersonId::parse(ward).ok())
    };
    let after = asked.get("after").map(|text| pair(text).ok_or_else(not_said)).transpose()?;
    acting.records_look(app, "authorities", None).await?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let near = now.plus_millis(i64::from(days) * DAY_MS);
    let pairs = app.store.guardians(after, LOOKED_AT)?;
    let mut found = Vec::new();
    for (guardian, ward) in &pairs {
        let dossier = app.store.dossier(*ward).await?;
        found.extend(due(&dossier.subject, &dossier.papers, *guardian, now, near));
    }
    let last = pairs.last().filter(|_| pairs.len() == LOOKED_AT);
    let more = last.map(|(guardian, ward)| format!("{}.{}", guardian.text(), ward.text()));
    Ok(json!({"authorities": found, "more_after": more}))
}

/// A guardian's authorities that hold and are due, or were recorded without a date.
fn due(subject: &Subject, papers: &Papers, guardian: PersonId, now: Timestamp, near: Timestamp) -> Vec<Value> {
    let holds = |id| subject.records.authorities.iter().any(|a| a.id == id && a.period.contains(now));
    let all = papers.authorities.iter().filter(|a| a.guardian == guardian && holds(a.id));
    all.filter(|a| a.recheck.is_none_or(|at| at <= near))
        .map(|a| {
            json!({
                "authority": a.id.text(), "subject": subject.records.subject.text(), "guardian": guardian.text(),
                "kind": a.kind, "recheck": a.recheck.map(rfc3339), "past": a.recheck.is_none_or(|at| at <= now),
            })
        })
        .collect()
}

/// `GET /consents/ask-anew?purpose=…&recipient=…`: active consents for a purpose that do not cover what is in force: another
/// text, an older version of a category, or not yet this recipient.
pub(super) async fn ask_anew(app: &App, acting: &Acting, query: Option<&str>) -> Result<Value, AdminError> {
    let asked = Asked::of(query, &["purpose", "recipient", "after"])?;
    let global = app.store.registry().await?;
    let purpose = asked.get("purpose").filter(|p| global.text.purpose(p).is_some());
    let purpose = purpose.ok_or_else(|| AdminError::Query("`purpose` must be a registered one".to_owned()))?;
    let recipient = asked.get("recipient");
    if recipient.is_some_and(|code| global.text.party(code).is_none()) {
        return Err(AdminError::Query("`recipient` must be a registered party".to_owned()));
    }
    let after = asked.get("after").map(ConsentId::parse).transpose().map_err(|_| not_said())?;
    acting.records_look(app, "ask-anew", None).await?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let all = app.store.consents_after(after, LOOKED_AT)?;
    let mut found = Vec::new();
    for (id, person) in &all {
        let dossier = app.store.dossier(*person).await?;
        let (subject, papers) = (&dossier.subject, &dossier.papers);
        let active = |a: &&Agreement| a.terms.purpose == purpose && a.status(&subject.records, now) == "active";
        let Some(agreement) = papers.agreements.iter().find(|a| a.consent == *id).filter(active) else { continue };
        let why = anew::why(app, &global, &dossier, agreement, recipient, now);
        if !why.is_empty() {
            found.push(json!({
                "consent": id.text(), "subject": person.text(), "grantor": agreement.grantor.text(),
                "recipient": agreement.terms.recipient, "categories": agreement.terms.categories, "why": why,
            }));
        }
    }
    let more = all.last().filter(|_| all.len() == LOOKED_AT).map(|(id, _)| id.text());
    Ok(json!({"consents": found, "more_after": more}))
}
