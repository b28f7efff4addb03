//! Deliveries: a person's app asks to have a summary sent to the recipient of a consent, ahead of a visit.
//!
//! Asking is recorded and kept as a reference (`outbox`); what is sent is decided, recorded and fetched when it is sent (`deliver`). A
//! withdrawal stops what waits, and the barrier what is under way. After the recipient has said that it has it, nothing is left
//! here but the ledger's entries.

mod deliver;
pub mod erase;
mod line;
pub mod outbox;

use sekisho_policy::{ConsentId, PersonId, Timestamp};

use crate::app::App;
use crate::config::PurposeFrom;
use crate::consent::give::{self, GiveError};
use crate::ids::{ForwardId, TextId, party_id};
use crate::ledger::entry::{Bytes16, Cause, Idempotency};
use crate::ledger::event::{Event, ForwardAsked, ForwardEnd};
use crate::sabotage::{self, Check};
use crate::store::embedded::vault::Waiting;
use crate::store::state::{Agreement, Forward, Global};
use crate::store::{Dossier, Draft, StoreError};
pub use line::Recipient;

/// Deliveries that wait about one person, at most.
const WAITING_MAX: usize = 100;

/// What an app asks for.
pub struct Asking<'a> {
    /// The app's code.
    pub app: &'a str,
    /// The person who is signed in with it.
    pub person: PersonId,
    /// Under which consent.
    pub consent: ConsentId,
    /// Until when it is of use; until the visit, or the end of the consent, where nothing is said.
    pub by: Option<Timestamp>,
    /// The idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Queued,
    /// It is over.
    Ended(ForwardEnd),
}

impl State {
    /// Of this delivery: what was withdrawn, or whose time is over, waits no more, though nobody has come by to record it.
    #[must_use]
    pub fn of(dossier: &Dossier, forward: &Forward, now: Timestamp) -> Self {
        match &forward.ended {
            Some(ended) => Self::Ended(ended.end),
            None => match deliver::standing(dossier, forward, now) {
                None => Self::Ended(ForwardEnd::Stopped),
                Some(agreement) if now >= last_time(forward, agreement) => Self::Ended(ForwardEnd::Late),
                Some(_) => Self::Queued,
            },
        }
    }

    /// As the API names it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ended(end) => end.code(),
        }
    }
}

/// When it is too late to deliver: at the visit, as it stands now; at the time that the app named, if that is sooner; and in any
/// case when what was agreed to ends.
#[must_use]
pub fn last_time(forward: &Forward, agreement: &Agreement) -> Timestamp {
    let visit = agreement.visit().unwrap_or(Timestamp::MAX);
    forward.by.unwrap_or(Timestamp::MAX).min(visit).min(agreement.until())
}

/// Has a delivery wait, durably.
///
/// # Errors
/// When there is no such consent for this person, it does not stand, or its recipient takes no deliveries.
pub async fn ask(app: &App, asking: &Asking<'_>) -> Result<ForwardId, GiveError> {
    let store = &app.store;
    let subject = store.person_of_consent(asking.consent)?.ok_or(GiveError::Unknown("consent"))?;
    let (dossier, global) = (store.dossier(subject).await?, store.registry().await?);
    let now = store.clock().now().map_err(StoreError::from)?;
    let (agreement, _) = checked(app, asking, &dossier, &global, now)?;
    if app.outbox.len() >= outbox::WAITING_MAX {
        return Err(GiveError::TooMany("deliveries that wait"));
    }
    let id = ForwardId::mint();
    let recipient = party_id(&agreement.terms.recipient);
    let waiting = Waiting { id, person: subject, recipient, next: now, attempts: 0 };
    // The reference first: of what the ledger says was asked for, nothing is ever lost. One that the ledger does not know is
    // dropped when it is tried.
    app.outbox.keep(waiting).await?;
    match record(app, asking, subject, id).await {
        Ok(()) => {
            app.outbox.line_up(waiting);
            Ok(id)
        }
        Err(error) => {
            app.outbox.forget(id).await;
            Err(error)
        }
    }
}

/// The consent, and the summary that its recipient takes.
fn checked<'d>(
    app: &App,
    asking: &Asking<'_>,
    dossier: &'d Dossier,
    global: &Global,
    now: Timestamp,
) -> Result<(&'d Agreement, String), GiveError> {
    let (subject, papers) = (&dossier.subject, &dossier.papers);
    let decides = |a: &&Agreement| {
        give::may_decide_on(subject, global, asking.person, &a.terms.categories, now)
            || sabotage::off(Check::ForwardAsks)
    };
    let hidden = give::is_hidden_from_party(subject, party_id(asking.app), now);
    let agreement = papers.agreements.iter().find(|a| a.consent == asking.consent);
    let agreement = agreement.filter(decides).filter(|_| !hidden).ok_or(GiveError::Unknown("consent"))?;
    let field = |field, why| GiveError::Field { field, why };
    if agreement.status(&subject.records, now) != "active" {
        return Err(field("consent", "does not stand any more"));
    }
    let summary = summary_for(app, agreement);
    let summary = summary.ok_or(field("consent", "is for a recipient that takes no deliveries"))?;
    let until = agreement.until();
    if asking.by.is_some_and(|by| by <= now || by > until) {
        return Err(field("by", "must be in the future, and before the consent ends"));
    }
    if papers.forwards.iter().filter(|f| f.ended.is_none()).count() >= WAITING_MAX {
        return Err(GiveError::TooMany("deliveries that wait"));
    }
    Ok((agreement, summary))
}

async fn record(app: &App, asking: &Asking<'_>, subject: PersonId, id: ForwardId) -> Result<(), GiveError> {
    let recorded = app.store.update(subject, |dossier, global, now| {
        let (_, summary) = checked(app, asking, dossier, global, now)?;
        let asked = ForwardAsked {
            forward: Bytes16(*id.bytes()),
            subject: Bytes16(*subject.bytes()),
            consent: Bytes16(*asking.consent.bytes()),
            summary,
            asked_by: asking.app.to_owned(),
            person: Bytes16(*asking.person.bytes()),
            by_ms: asking.by.map(Timestamp::millis),
        };
        let events = [Event::ForwardAsked(asked)].into_iter().collect();
        let cause = Some(Cause::party(party_id(asking.app)));
        Ok(((), Draft { events, cause, idempotency: asking.idempotency, ..Draft::default() }))
    });
    recorded.await.map(|_| ())
}

/// The summary that this consent's recipient takes for its purpose.
fn summary_for(app: &App, agreement: &Agreement) -> Option<String> {
    let (recipient, purpose) = (party_id(&agreement.terms.recipient), agreement.terms.purpose.as_str());
    let is_for = |from: &PurposeFrom| match from {
        PurposeFrom::Route(one) => one.0.as_str() == purpose,
        PurposeFrom::Token(several) => several.iter().any(|one| one.0.as_str() == purpose),
    };
    let mut all = app.config.forwards.iter().filter(|f| f.party == recipient && is_for(&f.summary.purpose));
    all.next().map(|forward| forward.summary.name.clone())
}
