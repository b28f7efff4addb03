//! Guardians' authority: recorded with evidence, who checked it and when to look again; ended, or suspended, by an end.

use sekisho_policy::{Authority, AuthorityId, PersonId, Timestamp};
use serde::Deserialize;

use super::people::{ActError, draft, field, instant};
use crate::app::App;
use crate::ids::TextId;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{AuthorityEnded, AuthorityRecorded, Event};
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// A guardian's authority to record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAuthority {
    /// Who holds it.
    pub guardian: String,
    /// From, RFC 3339.
    pub from: String,
    /// Until, RFC 3339, if known.
    pub until: Option<String>,
    /// Which.
    pub kind: AuthorityKind,
    /// Evidence that was seen (戸籍 etc.).
    pub evidence: String,
    /// Who checked it.
    pub verified_by: String,
    /// When it should be checked again, RFC 3339; a year from now when left out.
    pub recheck: Option<String>,
}

/// On what a guardian's authority rests. Decisions don't look at it: one guardian is as good as the other (P-9, P-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AuthorityKind {
    /// One parent alone holds it (民法819条).
    #[serde(rename = "単独親権", alias = "sole")]
    Sole,
    /// Both parents hold it (民法824条の2). What says no more than 親権者 is taken for it.
    #[serde(rename = "共同親権", alias = "joint", alias = "親権者")]
    Joint,
    /// A guardian of a minor (民法838条).
    #[serde(rename = "未成年後見人", alias = "minor-guardian")]
    MinorGuardian,
}

impl AuthorityKind {
    /// As it stands in the ledger.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Sole => "単独親権",
            Self::Joint => "共同親権",
            Self::MinorGuardian => "未成年後見人",
        }
    }
}

/// Until an authority is to be checked again, where nothing else is said.
const RECHECK_MS: i64 = 365 * 86_400_000;

/// Records a guardian's authority over a subject.
///
/// # Errors
/// When a field isn't understood, the guardian is the subject, or the store fails.
pub async fn record_authority(
    app: &App,
    subject: PersonId,
    new: &NewAuthority,
    cause: Cause,
) -> Result<AuthorityId, ActError> {
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let (id, event) = recorded(subject, new, now)?;
    let (guardian, from) = (PersonId::of(event.guardian.0), Timestamp::from_millis(event.from_ms));
    let recorded = app.store.update(subject, |dossier, _, now| {
        if !dossier.subject.enrolled {
            return Err(ActError::Unknown("person"));
        }
        // One that reaches back before an end would revive what was granted before it (P-9).
        let ended = |a: &Authority| a.guardian == guardian && a.period.until() <= now && from < a.period.until();
        let revives = dossier.subject.records.authorities.iter().any(ended);
        if revives && !sabotage::off(Check::AuthorityReturns) {
            return Err(ActError::Conflict(
                "this guardian's earlier authority ended after `from`: begin the new one when it came back",
            ));
        }
        Ok(((), draft([Event::AuthorityRecorded(event.clone())], cause)))
    });
    recorded.await?;
    Ok(id)
}

/// What is to be recorded, if it holds together.
fn recorded(
    subject: PersonId,
    new: &NewAuthority,
    now: Timestamp,
) -> Result<(AuthorityId, AuthorityRecorded), ActError> {
    let id = AuthorityId::mint();
    let guardian = PersonId::parse(&new.guardian).map_err(|_| field("guardian", "must be a person's id"))?;
    if guardian == subject {
        return Err(field("guardian", "can't be the subject"));
    }
    for (name, text) in [("evidence", &new.evidence), ("verified_by", &new.verified_by)] {
        if text.trim().is_empty() && !sabotage::off(Check::AuthorityEvidence) {
            return Err(field(name, "must not be empty"));
        }
    }
    let until_ms = new.until.as_deref().map(|t| instant(t, "until")).transpose()?;
    let recheck_ms = match new.recheck.as_deref() {
        Some(text) => instant(text, "recheck")?,
        None => now.millis().saturating_add(RECHECK_MS),
    };
    if recheck_ms <= now.millis() {
        return Err(field("recheck", "must be in the future"));
    }
    let event = AuthorityRecorded {
        authority: Bytes16(*id.bytes()),
        subject: Bytes16(*subject.bytes()),
        guardian: Bytes16(*guardian.bytes()),
        from_ms: instant(&new.from, "from")?,
        until_ms,
        kind: new.kind.text().to_owned(),
        evidence: new.evidence.clone(),
        verified_by: new.verified_by.clone(),
        recheck_ms: Some(recheck_ms),
    };
    if until_ms.is_some_and(|until| until <= event.from_ms) {
        return Err(field("until", "must be after `from`"));
    }
    Ok((id, event))
}

/// Ends a guardian's authority now.
///
/// # Errors
/// When there is no such record, or the store fails.
pub async fn end_authority(
    app: &App,
    subject: PersonId,
    authority: AuthorityId,
    reason: &str,
    cause: Cause,
) -> Result<u32, ActError> {
    app.store
        .update(subject, |dossier, _, now| {
            if !dossier.subject.records.authorities.iter().any(|a| a.id == authority) {
                return Err(ActError::Unknown("authority"));
            }
            let ended = AuthorityEnded {
                authority: Bytes16(*authority.bytes()),
                at_ms: now.millis(),
                reason: reason.to_owned(),
            };
            Ok(((), draft([Event::AuthorityEnded(ended)], cause)))
        })
        .await?;
    Ok(app.barrier.after_person(subject).await?)
}
