//! Who a service's users are here: a person each, by the service's own id. Two users are never taken for one person, whatever name
//! and birthday they share; one person who uses the service and our pages links the two by a code (`consent::links`).

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use sekisho_adapters::consultation::User;
use sekisho_policy::PersonId;

use crate::app::App;
use crate::config::week::Service;
use crate::ids::{LinkId, TextId};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Enrolled, Event, LinkTarget, Linked};
use crate::store::embedded::index::login_key;
use crate::store::{Draft, StoreError};

/// People that are enrolled at once: they share a sync.
const AT_ONCE: usize = 128;
/// Times that one is looked up again when somebody else linked the same id.
const ATTEMPTS: usize = 4;

/// The person of each of these users, by the service's id; enrolled where nobody is linked to it yet. Somebody who was erased and
/// asks again is somebody new.
///
/// # Errors
/// When the store fails. Who was enrolled by then stays so, and is found the next time.
pub async fn known<'u>(
    app: &Arc<App>,
    service: &Service,
    users: impl Iterator<Item = &'u User>,
) -> Result<HashMap<String, PersonId>, StoreError> {
    let (mut known, mut new) = (HashMap::new(), HashMap::new());
    for user in users {
        let id = user.id.as_str();
        if known.contains_key(id) || new.contains_key(id) {
            continue;
        }
        match app.store.person_of_source(&service.code, id).await? {
            Some(person) => drop(known.insert(id.to_owned(), person)),
            None => drop(new.insert(id.to_owned(), (PersonId::mint(), user.birth.to_string()))),
        }
    }
    app.store.make_keys(new.values().map(|(person, _)| *person).collect()).await?;
    let enrolling = new.into_iter().map(|(id, (person, birth))| async move {
        let person = enrolled(app, service, &id, person, &birth).await?;
        Ok::<_, StoreError>((id, person))
    });
    let mut running = stream::iter(enrolling).buffer_unordered(AT_ONCE);
    while let Some(done) = running.next().await {
        let (id, person) = done?;
        known.insert(id, person);
    }
    Ok(known)
}

/// Enrols and links in one step, guarded by the id itself: of two at once, the later finds the earlier's person.
async fn enrolled(
    app: &App,
    service: &Service,
    id: &str,
    person: PersonId,
    birth: &str,
) -> Result<PersonId, StoreError> {
    let guard = [PersonId::of(login_key(&service.code, id).first_chunk::<16>().copied().unwrap_or([0; 16]))];
    let link = LinkId::mint();
    for _ in 0..ATTEMPTS {
        if let Some(other) = app.store.person_of_source(&service.code, id).await? {
            return Ok(other);
        }
        let before = app.store.linked_last(&service.code, id)?;
        let recorded = app.store.update_with(person, &guard, |_, _, _, _| {
            if app.store.linked_last(&service.code, id)? != before {
                return Ok::<_, StoreError>((false, Draft::default()));
            }
            let by = format!("service {}", service.code);
            let enrolled = Event::Enrolled(Enrolled {
                person: Bytes16(*person.bytes()),
                birth: birth.to_owned(),
                evidence: "as the service knows its user".to_owned(),
                verified_by: by.clone(),
            });
            let linked = Event::Linked(Linked {
                link: Bytes16(*link.bytes()),
                person: Bytes16(*person.bytes()),
                to: LinkTarget::Source { party: service.code.clone(), id: id.to_owned() },
                evidence: "the service's own id of its user".to_owned(),
                verified_by: by,
            });
            let events = [enrolled, linked].into_iter().collect();
            Ok((true, Draft { events, cause: Some(Cause::party(service.party)), ..Draft::default() }))
        });
        if let (true, _) = recorded.await? {
            return Ok(person);
        }
    }
    Err(StoreError::Busy)
}
