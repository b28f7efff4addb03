//! Sharing a case on a legal basis: a named professional decides, with article, reason and end; it goes to the municipality where the
//! person is now. A second person looks at it afterwards, within a set time; the duty to notify (児童福祉法25条) waits for nobody.

use std::sync::Arc;

use sekisho_policy::{BasisId, PersonId, Timestamp};

use super::alert::{self, AlertError, Deciding, Shared, check_article};
use super::plan;
use super::shelf::{Basis, Changes, Shelf};
use crate::app::App;
use crate::config::week::Service;
use crate::consent::people::{ActError, NewBasis, parse_instant, record_basis, rfc3339};
use crate::ids::{AlertId, TextId};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{AlertDecision, BasisConfirmed, BasisDisclosed, BasisEnded, Event};
use crate::sabotage::{self, Check};
use crate::store::{Draft, StoreError};

/// Bases that wait for a second look, in a list, at most.
const LIST_MAX: usize = 1_000;

/// What a professional says.
pub struct Asked<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The article.
    pub article: &'a str,
    /// Who asked for it, where the article needs that.
    pub requester: &'a str,
    /// Until when, RFC 3339.
    pub until: &'a str,
    /// Whether the words go too, or only who it is and why.
    pub content: bool,
}

/// Decides an alert on a legal basis, and has the case lie ready at once.
///
/// # Errors
/// When a field is not what it should be, the alert can't be decided, or the store fails.
pub async fn on_alert(app: &Arc<App>, service: &Service, id: AlertId, asked: &Asked<'_>) -> Result<Shared, AlertError> {
    let week = app.config.week.as_ref().ok_or(AlertError::Unknown)?;
    check_article(week, asked.article, asked.requester)?;
    let (case, person) = alert::to_decide(app, &service.code, id)?;
    let minimum = Shelf(&app.store).minimum(person, case)?.ok_or(AlertError::NoCase)?;
    // Where the person is, not where they are registered.
    let spot = minimum.present.as_ref().unwrap_or(&minimum.residence);
    let number = sekisho_adapters::municipality::MunicipalityCode::parse(&spot.municipality);
    let to = number.ok().and_then(|number| week.numbered(number)).cloned().ok_or(AlertError::NotServed)?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    if parse_instant(asked.until).is_none_or(|until| until <= now) {
        return Err(AlertError::Field { field: "until", why: "must be an instant in the future" });
    }
    let categories = week.identity.iter().chain(asked.content.then_some(&week.content)).map(ToString::to_string);
    let new = NewBasis {
        recipient: to.code.clone(),
        purpose: week.purpose.0.as_str().to_owned(),
        categories: categories.collect(),
        from: rfc3339(now),
        until: asked.until.to_owned(),
        article: asked.article.to_owned(),
        requester: asked.requester.to_owned(),
        decided_by: asked.by.to_owned(),
        reason: asked.reason.to_owned(),
    };
    let basis = record_basis(app, person, &new, Cause::party(service.party)).await.map_err(AlertError::Act)?;
    let due = now.plus_millis(i64::try_from(week.confirm_within.as_millis()).unwrap_or(i64::MAX));
    let mut changes = Changes::default();
    let row = Basis {
        person: *person.bytes(),
        by_party: service.code.clone(),
        decided_by: asked.by.to_owned(),
        recorded_ms: now.millis(),
        due_ms: due.millis(),
    };
    changes.put_basis(basis, &row);
    changes.make(&app.store).await?;
    let deciding = Deciding { by: asked.by, decision: AlertDecision::Basis, reason: asked.reason, basis: Some(basis) };
    let case = alert::decide(app, &service.code, id, &deciding).await?;
    let packed = plan::make_up_urgent(app, &to, case).await?.is_some();
    Ok(Shared { to: Some(to.code.clone()), packed, basis: Some(basis), confirm_by: Some(due) })
}

/// Bases of a party that wait for a second look.
///
/// # Errors
/// When the store fails.
pub fn waiting(app: &App, party: &str) -> Result<Vec<(BasisId, Basis)>, StoreError> {
    let all = Shelf(&app.store).bases(LIST_MAX)?;
    Ok(all.into_iter().filter(|(_, row)| row.by_party == party).collect())
}

/// What a second person says of a basis.
pub struct Word<'a> {
    /// Who: another person than who decided.
    pub by: &'a str,
    /// Whether it is upheld.
    pub upheld: bool,
    /// Why not.
    pub reason: Option<&'a str>,
}

/// Records the second look. A basis that is not upheld ends with it, through the barrier; gives how many transfers were cut.
///
/// # Errors
/// When there is no such basis of this party, the same person confirms, or the store fails.
pub async fn confirm(
    app: &Arc<App>,
    party: &str,
    id: BasisId,
    word: &Word<'_>,
    cause: Cause,
) -> Result<u32, AlertError> {
    let row = Shelf(&app.store).basis(id)?.filter(|row| row.by_party == party).ok_or(AlertError::Unknown)?;
    if word.by.trim().is_empty() || (word.by.trim() == row.decided_by.trim() && !sabotage::off(Check::SecondPerson)) {
        return Err(AlertError::Field { field: "by", why: "must name another person than the one who decided" });
    }
    if !word.upheld && word.reason.is_none_or(|reason| reason.trim().is_empty()) {
        return Err(AlertError::Field { field: "reason", why: "must say why it is not upheld" });
    }
    let subject = PersonId::of(row.person);
    let _first = app.releases.precedence.first();
    let recorded = app.store.update(subject, |_, _, now| {
        let confirmed = Event::BasisConfirmed(BasisConfirmed {
            basis: Bytes16(*id.bytes()),
            subject: Bytes16(*subject.bytes()),
            by: word.by.to_owned(),
            upheld: word.upheld,
            at_ms: now.millis(),
            reason: word.reason.map(str::to_owned),
        });
        let ended = Event::BasisEnded(BasisEnded { basis: Bytes16(*id.bytes()), at_ms: now.millis() });
        let events = [confirmed].into_iter().chain((!word.upheld).then_some(ended)).collect();
        Ok::<_, StoreError>(((), Draft { events, cause: Some(cause), ..Draft::default() }))
    });
    recorded.await?;
    let cut = if word.upheld { 0 } else { app.barrier.after_person(subject).await.map_err(AlertError::barrier)? };
    let mut changes = Changes::default();
    changes.drop_basis(id);
    changes.make(&app.store).await?;
    Ok(cut)
}

/// Bases whose second look is late: somebody has to be told.
///
/// # Errors
/// When the store fails.
pub fn late(app: &App, now: Timestamp) -> Result<usize, StoreError> {
    Ok(Shelf(&app.store).bases(LIST_MAX)?.iter().filter(|(_, row)| row.due_ms <= now.millis()).count())
}

/// A named official discloses a basis to the person concerned, who sees from then on what rested on it. Never a guardian.
///
/// # Errors
/// When there is no such basis, nobody is named, or the store fails.
pub async fn disclose(app: &Arc<App>, subject: PersonId, id: BasisId, by: &str, cause: Cause) -> Result<(), ActError> {
    if by.trim().is_empty() {
        return Err(ActError::Field { field: "by", why: "must name the official who discloses it" });
    }
    let recorded = app.store.update(subject, |dossier, _, now| {
        let paper = dossier.papers.bases.iter().find(|paper| paper.id == id).ok_or(ActError::Unknown("legal basis"))?;
        let event = Event::BasisDisclosed(BasisDisclosed {
            basis: Bytes16(*id.bytes()),
            subject: Bytes16(*subject.bytes()),
            by: by.to_owned(),
            at_ms: now.millis(),
        });
        let events = paper.disclosed.is_none().then_some(event).into_iter().collect();
        Ok::<_, ActError>(((), Draft { events, cause: Some(cause), ..Draft::default() }))
    });
    recorded.await.map(|_| ())
}
