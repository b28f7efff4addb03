//! Links between a person and a login, or the id under which an organisation knows them: made with evidence or by a one-time
//! code, each one person's, and ended where they were wrong.

use sekisho_policy::PersonId;

use super::people::{ActError, draft, field};
use crate::app::App;
use crate::ids::{LinkId, TextId};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{CodeUsed, Event, LinkEnded, LinkTarget, Linked};
use crate::sabotage::{self, Check};
use crate::store::{Dossier, Draft, StoreError};

/// What a link rests on.
pub struct Ground<'a> {
    /// Which evidence was seen.
    pub evidence: &'a str,
    /// Who checked it.
    pub verified_by: &'a str,
    /// The one-time code that is used up by it: its keyed hash.
    pub code: Option<[u8; 32]>,
}

/// Times that a link is tried again when another one of the same login came in between.
const LINK_ATTEMPTS: usize = 8;

/// Links a person to a login or to an id at a source. Either is one person's: of two that come at once, one is taken. Gives
/// `None` where just this link held already.
///
/// # Errors
/// When the login is another's, the person unknown, the code used, or the store fails.
pub async fn link(
    app: &App,
    person: PersonId,
    to: &LinkTarget,
    ground: &Ground<'_>,
    cause: Cause,
) -> Result<Option<LinkId>, ActError> {
    check_target(app, to)?;
    for _ in 0..LINK_ATTEMPTS {
        if let Some(linked) = link_once(app, person, to, ground, cause).await? {
            return Ok(linked.new);
        }
    }
    Err(StoreError::Busy.into())
}

/// What came of linking.
struct Made {
    new: Option<LinkId>,
}

fn check_target(app: &App, to: &LinkTarget) -> Result<(), ActError> {
    match to {
        LinkTarget::Login { issuer, .. } => {
            let staff = app.tokens.issuer(issuer).is_some_and(|known| known.staff().is_some());
            if staff && !sabotage::off(Check::StaffApart) {
                return Err(ActError::Conflict(
                    "this issuer signs in a party's staff: its logins are nobody's as a citizen",
                ));
            }
        }
        LinkTarget::Source { id, .. } => {
            if sekisho_adapters::my_number::contained_in(id) && !sabotage::off(Check::MyNumber) {
                return Err(field("id", "could be a My Number, which is never taken"));
            }
        }
    }
    Ok(())
}

/// One try; `None` when somebody was linked to the same meanwhile. The link counts as a change of the login itself, known by its
/// hash, and rests on who was linked to it last: of two at once, the later one looks again and finds the earlier.
async fn link_once(
    app: &App,
    person: PersonId,
    to: &LinkTarget,
    ground: &Ground<'_>,
    cause: Cause,
) -> Result<Option<Made>, ActError> {
    let (LinkTarget::Login { issuer: at, sub: name } | LinkTarget::Source { party: at, id: name }) = to;
    let key = crate::store::embedded::index::login_key(at, name);
    let mut others = vec![PersonId::of(key.first_chunk::<16>().copied().unwrap_or([0; 16]))];
    let before = app.store.linked_last(at, name)?;
    others.extend(before);
    let id = LinkId::mint();
    let recorded = app.store.update_with(person, &others, |dossier, others, _, _| {
        if !dossier.subject.enrolled {
            return Err(ActError::Unknown("person"));
        }
        if app.store.linked_last(at, name)? != before && !sabotage::off(Check::LinkGuard) {
            return Ok((None, Draft::default()));
        }
        let theirs = |d: &Dossier| d.subject.records.subject != person && d.subject.links.iter().any(|l| l.to == *to);
        if others.iter().any(theirs) {
            taken(to)?;
        }
        if ground.code.is_some_and(|code| app.store.code(code).is_ok_and(|issued| issued.is_none())) {
            return Err(ActError::Conflict("this code is used"));
        }
        let holds = dossier.subject.links.iter().any(|l| l.to == *to) && ground.code.is_some();
        let linked = Linked {
            link: Bytes16(*id.bytes()),
            person: Bytes16(*person.bytes()),
            to: to.clone(),
            evidence: ground.evidence.to_owned(),
            verified_by: ground.verified_by.to_owned(),
        };
        let used = ground.code.map(|code| CodeUsed { person: Bytes16(*person.bytes()), code: Bytes32(code) });
        let new = (!holds).then_some(id);
        let events = new.map(|_| Event::Linked(linked)).into_iter().chain(used.map(Event::CodeUsed));
        Ok((Some(Made { new }), draft(events, cause)))
    });
    recorded.await.map(|(made, _)| made)
}

fn taken(to: &LinkTarget) -> Result<(), ActError> {
    let (check, why) = match to {
        LinkTarget::Login { .. } => (Check::LoginUnique, "this login is linked to another person: end that link first"),
        LinkTarget::Source { .. } => (Check::SourceUnique, "this id is linked to another person: end that link first"),
    };
    if sabotage::off(check) { Ok(()) } else { Err(ActError::Conflict(why)) }
}

/// Ends a wrong link; with `instead`, the login or id is linked to the right person afterwards. Nothing more is released
/// on the strength of the wrong one.
///
/// # Errors
/// When there is no such link, or the store fails.
pub async fn end_link(app: &App, person: PersonId, link: LinkId, reason: &str, cause: Cause) -> Result<u32, ActError> {
    app.store
        .update(person, |dossier, _, _| {
            if !dossier.subject.links.iter().any(|l| l.id == link) {
                return Err(ActError::Unknown("link"));
            }
            let ended = LinkEnded { link: Bytes16(*link.bytes()), reason: reason.to_owned() };
            Ok(((), draft([Event::LinkEnded(ended)], cause)))
        })
        .await?;
    // What was fetched under the wrong id is about somebody else: all that is under way for this person stops.
    Ok(app.barrier.everything_about(person).await?)
}
