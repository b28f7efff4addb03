//! Special adoption (特別養子縁組, 民法817条の2 and after): the child's ties to the former family end, here as in law.
//!
//! One durable step ends the former guardians' authority, what they granted and refused, and every link, and retires every
//! pairwise id: no party and no former parent finds the child again by anything known from before. Then all that is under
//! way about the child is cut. The new parents are recorded by the ordinary act, with authority from the day it took
//! effect; what they link and grant mints new ids.

use sekisho_policy::{PersonId, Timestamp};
use serde::Deserialize;

use super::people::{ActError, mint_pairwise, parse_instant};
use crate::app::App;
use crate::ids::EntryId;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Event, PairwiseRetired, RetiredId, SpeciallyAdopted};
use crate::sabotage::{self, Check};
use crate::store::state::{Global, Subject};
use crate::store::{Draft, StoreError};

/// A special adoption to record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAdoption {
    /// When it took effect (審判の確定), RFC 3339.
    pub from: String,
    /// Evidence that was seen.
    pub evidence: String,
    /// Who checked it.
    pub verified_by: String,
}

/// What came of it.
pub struct Severed {
    /// The entry; `None` when it was recorded before.
    pub entry: Option<EntryId>,
    /// Transfers cut.
    pub transfers_cut: u32,
}

/// Records a special adoption, and cuts everything about the child. Doing it again with the same `from` records nothing
/// more and goes on where it broke off.
///
/// # Errors
/// When a field isn't understood, there is no such person, or it could not be done; doing it again goes on.
pub async fn special_adoption(
    app: &App,
    child: PersonId,
    new: &NewAdoption,
    cause: Cause,
) -> Result<Severed, ActError> {
    let wrong = |field, why| ActError::Field { field, why };
    let from = parse_instant(&new.from).ok_or(wrong("from", "must be an instant such as 2026-04-01T00:00:00+09:00"))?;
    for (name, text) in [("evidence", &new.evidence), ("verified_by", &new.verified_by)] {
        if text.trim().is_empty() {
            return Err(wrong(name, "must not be empty"));
        }
    }
    let _first = app.releases.precedence.first();
    let recorded = app.store.update(child, |dossier, _, now| {
        if !dossier.subject.enrolled {
            return Err(ActError::Unknown("person"));
        }
        if from > now {
            return Err(wrong("from", "must not be in the future: record it when it has taken effect"));
        }
        let done = dossier.subject.adopted_from == Some(from);
        let events = if done { Vec::new() } else { severing(&dossier.subject, child, from, now, new) };
        Ok(((), Draft { events: events.into_iter().collect(), cause: Some(cause), ..Draft::default() }))
    });
    let ((), appended) = recorded.await?;
    // Nobody's sign-in at a portal may serve the child any more.
    app.store.in_vault(move |vault| vault.drop_tokens_of(child)).await?;
    let transfers_cut = app.barrier.everything_about(child).await?;
    ids_for_legal_bases(app, child).await?;
    Ok(Severed { entry: appended.map(|a| a.entry), transfers_cut })
}

/// The events of it, of one request: both count or neither.
fn severing(subject: &Subject, child: PersonId, from: Timestamp, now: Timestamp, new: &NewAdoption) -> Vec<Event> {
    let child = Bytes16(*child.bytes());
    let ids = subject.pairwise.iter().map(|p| RetiredId { party: p.party.clone(), id: Bytes16(*p.id.bytes()) });
    let retired = PairwiseRetired { subject: child, ids: ids.collect() };
    let adopted = SpeciallyAdopted {
        subject: child,
        from_ms: from.millis(),
        at_ms: now.millis(),
        evidence: new.evidence.clone(),
        verified_by: new.verified_by.clone(),
    };
    let severs = (!sabotage::off(Check::AdoptionSevers)).then_some(Event::SpeciallyAdopted(adopted));
    [Event::PairwiseRetired(retired)].into_iter().chain(severs).collect()
}

/// Whoever may still ask under a legal basis, for which the family does not matter, needs an id to ask by.
async fn ids_for_legal_bases(app: &App, child: PersonId) -> Result<(), StoreError> {
    let now = app.store.clock().now()?;
    let global = app.store.registry().await?;
    let snapshot = app.store.snapshot(child).await?;
    for party in based(&snapshot.subject, &global, now) {
        mint_pairwise(&app.store, child, party).await?;
    }
    Ok(())
}

fn based<'a>(subject: &Subject, global: &'a Global, now: Timestamp) -> Vec<&'a str> {
    let live = subject.records.bases.iter().filter(|b| b.ended_at.is_none() && now < b.period.until());
    let mut codes: Vec<&str> = live.filter_map(|b| global.text.party_code(b.recipient)).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
