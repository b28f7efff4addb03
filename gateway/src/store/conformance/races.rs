//! Races: between updates, and between decisions and what they are based on.

use sekisho_policy::{ConsentId, Decision, PersonId};

use super::world::{self, START};
use super::{ask, consented};
use crate::clock::Clock;
use crate::ids::TextId;
use crate::store::{LogLine, Ruling, Store, StoreError};

pub(super) async fn of_two_updates_on_one_view_one_is_computed_again(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("conflict", world::clock()).await;
    let person = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let (_, appended) = store
                    .update(person, |dossier, _, _| {
                        let none = dossier.subject.records.consents.is_empty();
                        let event = none.then(|| world::approved(person, ConsentId::mint()));
                        Ok::<_, StoreError>(((), world::draft(event)))
                    })
                    .await
                    .unwrap();
                appended.is_some()
            })
        })
        .collect();
    let mut gave = 0;
    for task in tasks {
        gave += usize::from(task.await.unwrap());
    }
    assert_eq!(gave, 1, "all looked for a consent and only one found none");
    assert_eq!(store.snapshot(person).await.unwrap().subject.records.consents.len(), 1);
    store.stop().await.unwrap();
}

pub(super) async fn updates_that_share_another_are_guarded(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("shared", world::clock()).await;
    // Of each two people only one may consent: a rule over the records of both.
    let people = world::enrol(&store, 60).await.unwrap();
    let give = |person: PersonId, other: PersonId| {
        let store = store.clone();
        tokio::spawn(async move {
            let others = [other];
            let drafted = store.update_with(person, &others, |dossier, others, _, _| {
                let mut both = others.iter().chain([dossier]);
                let none = both.all(|one| one.subject.records.consents.is_empty());
                let event = none.then(|| world::approved(person, ConsentId::mint()));
                Ok::<_, StoreError>(((), world::draft(event)))
            });
            usize::from(drafted.await.unwrap().1.is_some())
        })
    };
    for pair in people.as_chunks::<2>().0 {
        let [one, other] = *pair;
        let (first, second) = (give(one, other), give(other, one));
        assert_eq!(first.await.unwrap() + second.await.unwrap(), 1);
    }
    store.stop().await.unwrap();
}

/// People among whom the races are spread.
const PEOPLE: usize = 25;

/// Decisions race with changes of the very records. Afterwards every recorded decision is made again on the records
/// that stood before it in the ledger, and must agree.
pub(super) async fn no_decision_outlives_what_it_was_made_on(open: &impl AsyncFn(&str, Clock) -> Store, races: usize) {
    let (store, ..) = consented(open, "races").await;
    let people = world::enrol(&store, PEOPLE).await.unwrap();
    let tasks: Vec<_> = people
        .iter()
        .map(|person| {
            let (store, person) = (store.clone(), *person);
            tokio::spawn(async move { race(&store, person, races.div_ceil(PEOPLE)).await })
        })
        .collect();
    let (mut permits, mut denials) = (0, 0);
    for (person, task) in people.iter().zip(tasks) {
        let changes = task.await.unwrap();
        for line in store.access_log(*person, u64::MAX, usize::MAX).unwrap().into_iter().filter_map(LogLine::decision) {
            let explained = store.explain(line.entry).unwrap();
            assert!(explained.agrees, "made again on the records that it names, the decision is the same");
            // The last change before it in the ledger says whether there was a consent.
            let last = changes.iter().rev().find(|(position, _)| *position < line.position);
            let consented = last.is_some_and(|(_, given)| *given);
            let permit = matches!(explained.decision, Decision::Permit(_));
            assert_eq!(permit, consented, "at {}: a permit stands exactly after a consent", line.position);
            assert_eq!(line.decided.kept != 0, permit);
            if permit { permits += 1 } else { denials += 1 }
        }
    }
    assert!(permits + denials >= races);
    assert!(
        permits > races / 10 && denials > races / 10,
        "{permits} permits, {denials} denials: too one-sided to tell"
    );
    store.stop().await.unwrap();
}

/// Changes a person's consent again and again, while others decide on it. Gives position and kind of each change.
async fn race(store: &Store, person: PersonId, rounds: usize) -> Vec<(u64, bool)> {
    let mut changes = Vec::new();
    let mut consent = None;
    for _ in 0..rounds {
        let decider = store.clone();
        let decided = tokio::spawn(async move { matches!(ask(&decider, person).await, Ruling::Permitted(_)) });
        let (event, next) = match consent {
            Some(given) => (world::ended(person, given, START), None),
            None => {
                let fresh = ConsentId::mint();
                (world::approved(person, fresh), Some(fresh))
            }
        };
        let appended = world::record(store, person, event).await.unwrap().unwrap();
        changes.push((appended.position, next.is_some()));
        consent = next;
        decided.await.unwrap();
    }
    changes
}
