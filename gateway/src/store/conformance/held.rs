//! What is held in memory of a person, against what is read anew.

use std::sync::Arc;

use sekisho_policy::{ConsentId, PersonId};

use super::world::{self, START};
use crate::clock::Clock;
use crate::ids::{LinkId, PairwiseId, TextId, random};
use crate::ledger::entry::{Bytes16, Bytes32};
use crate::ledger::event::{
    ConsentApproved, ConsentProposed, Event, LinkEnded, LinkTarget, Linked, PairwiseMinted, PairwiseRetired,
    ProposalClosed, SpeciallyAdopted,
};
use crate::store::Store;
use crate::store::state::{Papers, Subject};

/// People, and events about each.
const PEOPLE: usize = 5;
const EVENTS: usize = 60;

/// Records of several people grow, with looks at both parts in between or not; at every step what is held must be what the
/// ledger says, and so it must be after a restart, when nothing is held.
pub(super) async fn what_is_held_is_what_the_ledger_says(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("held", world::clock()).await;
    let people = world::enrol(&store, PEOPLE).await.unwrap();
    let mut given: Vec<(PersonId, ConsentId, LinkId)> = Vec::new();
    for step in 0..EVENTS {
        for (number, person) in people.iter().enumerate() {
            let event = event(*person, step + number, &mut given);
            world::record(&store, *person, event).await.unwrap();
            // Each person is looked at in another rhythm: nothing to go on from, a little, a lot.
            if step % (number + 1) == 0 {
                let held = store.snapshot(*person).await.unwrap().subject;
                assert_eq!(held, store.as_of(*person, u64::MAX).unwrap(), "step {step}");
            }
            if step % 7 == number {
                let dossier = store.dossier(*person).await.unwrap();
                assert_eq!(dossier.subject, store.as_of(*person, u64::MAX).unwrap(), "step {step}");
            }
        }
    }
    let before = all(&store, &people).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("held", world::clock()).await;
    assert_eq!(all(&store, &people).await, before);
    store.stop().await.unwrap();
}

async fn all(store: &Store, people: &[PersonId]) -> Vec<(Arc<Subject>, Arc<Papers>)> {
    let mut all = Vec::new();
    for person in people {
        let dossier = store.dossier(*person).await.unwrap();
        assert_eq!(dossier.subject, store.snapshot(*person).await.unwrap().subject);
        all.push((dossier.subject, dossier.papers));
    }
    all
}

/// Something of each kind that changes what another left.
fn event(person: PersonId, turn: usize, given: &mut Vec<(PersonId, ConsentId, LinkId)>) -> Event {
    let own = given.iter().rev().find(|(whose, ..)| *whose == person).copied();
    let (_, consent, link) = own.unwrap_or((person, ConsentId::mint(), LinkId::mint()));
    let (id, who) = (Bytes16(*consent.bytes()), Bytes16(*person.bytes()));
    match turn % 9 {
        0 => {
            let (fresh, link) = (ConsentId::mint(), LinkId::mint());
            given.push((person, fresh, link));
            let Event::ConsentApproved(ConsentApproved { terms, .. }) = world::approved(person, fresh) else {
                return world::approved(person, fresh);
            };
            let proposed_by = world::APP.to_owned();
            Event::ConsentProposed(ConsentProposed {
                consent: Bytes16(*fresh.bytes()),
                person: who,
                terms,
                proposed_by,
            })
        }
        1 => Event::ProposalClosed(ProposalClosed { consent: id, by: who, approved: false }),
        2 => world::approved(person, consent),
        3 => world::ended(person, consent, START),
        4 => Event::Linked(Linked {
            link: Bytes16(*link.bytes()),
            person: who,
            to: LinkTarget::Source { party: world::CITY.to_owned(), id: "p-1".to_owned() },
            evidence: "test".to_owned(),
            verified_by: "test".to_owned(),
        }),
        5 => Event::SpeciallyAdopted(SpeciallyAdopted {
            subject: who,
            from_ms: START.millis(),
            at_ms: START.millis() + 1,
            evidence: "test".to_owned(),
            verified_by: "test".to_owned(),
        }),
        6 => Event::PairwiseRetired(PairwiseRetired { subject: who, ids: Vec::new() }),
        7 => Event::PairwiseMinted(PairwiseMinted {
            subject: who,
            party: world::APP.to_owned(),
            id: Bytes16(*PairwiseId::from_bytes(random()).bytes()),
            secret: Bytes32([7; 32]),
        }),
        _ => Event::LinkEnded(LinkEnded { link: Bytes16(*link.bytes()), reason: "test".to_owned() }),
    }
}
