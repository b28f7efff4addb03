//! Decisions: recorded, durable, on the current records, explained later.

use sekisho_policy::{ConsentId, Decision, Field, Miss, PersonId, Reason, Timestamp};

use super::world::{self, DAY_MS, START};
use super::{ask, consented, denied, logged, permitted};
use crate::clock::{BACKWARD_TOLERANCE_MS, Clock};
use crate::ids::{EntryId, TextId};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Closed, Event, Outcome, RegistryActivated, StandingChanged};
use crate::store::embedded::vault::VaultError;
use crate::store::registry::RegistryText;
use crate::store::{Store, StoreError};

pub(super) async fn nobody_and_the_unknown(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("nobody", world::clock()).await;
    world::activate(&store, &world::registry()).await.unwrap();
    let denial = denied(&store, store.nobody()).await;
    assert_eq!(miss(denial.withheld().first().unwrap().why), Some(Miss::NoConsent));
    assert_eq!(store.access_log(store.nobody(), u64::MAX, 10).unwrap().len(), 1, "a denial is recorded");
    let unknown = store.decide_and_record(&world::question(PersonId::mint()), "test", Cause::Gateway).await;
    assert!(matches!(unknown, Err(StoreError::Vault(VaultError::Destroyed))), "what can't be recorded is no permit");
    store.stop().await.unwrap();
}

pub(super) async fn a_permit_and_a_denial(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "permit").await;
    let recorded = permitted(&store, person).await;
    assert_eq!(recorded.request(), &world::question(person));
    assert_eq!(recorded.permit().kept().len(), 1);
    assert_eq!(recorded.at(), START);
    assert!(!recorded.expired());
    let stranger = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    assert_eq!(miss(denied(&store, stranger).await.withheld().first().unwrap().why), Some(Miss::NoConsent));
    // Half-open: the first instant after the period is no longer in it.
    clock.set(START.plus_millis(100 * DAY_MS - 1));
    permitted(&store, person).await;
    clock.set(START.plus_millis(100 * DAY_MS));
    assert_eq!(miss(denied(&store, person).await.withheld().first().unwrap().why), Some(Miss::Expired));
    let log = logged(&store, person);
    assert_eq!(log.iter().map(|line| line.decided.kept).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(log.last().unwrap().entry, recorded.decision());
    store.stop().await.unwrap();
}

fn miss(why: Reason) -> Option<Miss> {
    match why {
        Reason::NothingApplies(nearest) => Some(nearest.miss),
        _ => None,
    }
}

pub(super) async fn durable_before_it_is_told(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "durable").await;
    let decision = permitted(&store, person).await.decision();
    store.stop().await.unwrap();
    let stopped = store.decide_and_record(&world::question(person), "test", Cause::Gateway).await;
    assert!(matches!(stopped, Err(StoreError::Stopped)));
    drop(store);
    let store = open("durable", clock).await;
    assert!(store.explain(decision).unwrap().agrees);
    permitted(&store, person).await;
    store.stop().await.unwrap();
}

pub(super) async fn what_a_crash_left_open_is_unknown(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "open").await;
    let closed = permitted(&store, person).await.decision();
    let left = permitted(&store, person).await.decision();
    let outcome = Closed {
        decision: Bytes16(*closed.bytes()),
        outcome: Outcome::Complete,
        items: 3,
        withheld: 1,
        bytes: 99,
        digest: None,
    };
    store.close(person, outcome.clone());
    store.stop().await.unwrap();
    drop(store);
    let store = open("open", clock.clone()).await;
    store.mark().await.unwrap();
    let outcomes = |store: &Store| {
        let log = logged(store, person);
        log.into_iter().map(|line| (line.entry, line.closed)).collect::<Vec<_>>()
    };
    let unknown = Closed {
        decision: Bytes16(*left.bytes()),
        outcome: Outcome::Unknown,
        items: 0,
        withheld: 0,
        bytes: 0,
        digest: None,
    };
    let expected = [(left, Some(unknown)), (closed, Some(outcome))];
    assert_eq!(outcomes(&store), expected);
    store.stop().await.unwrap();
    drop(store);
    let store = open("open", clock).await;
    store.mark().await.unwrap();
    assert_eq!(outcomes(&store), expected, "it is said once");
    store.stop().await.unwrap();
}

pub(super) async fn a_revocation_ends_a_permit(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, _, person, consent) = consented(open, "revoke").await;
    let recorded = permitted(&store, person).await;
    assert!(store.still_permitted(recorded.request(), recorded.permit()).await.unwrap());
    world::record(&store, person, world::ended(person, consent, START)).await.unwrap();
    assert!(!store.still_permitted(recorded.request(), recorded.permit()).await.unwrap());
    assert_eq!(miss(denied(&store, person).await.withheld().first().unwrap().why), Some(Miss::Ended));
    store.stop().await.unwrap();
}

pub(super) async fn the_registry_counts_at_once(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "registry").await;
    let before = permitted(&store, person).await;
    let standing = |suspended: bool| {
        Event::StandingChanged(StandingChanged { party: world::APP.to_owned(), suspended, reason: "test".to_owned() })
    };
    store.record_global(standing(true), Cause::Gateway).await.unwrap();
    assert!(matches!(denied(&store, person).await.withheld().first().unwrap().why, Reason::ForbiddenBy(_)));
    assert!(!store.still_permitted(before.request(), before.permit()).await.unwrap());
    store.stop().await.unwrap();
    drop(store);
    let store = open("registry", clock).await;
    assert!(matches!(denied(&store, person).await.withheld().first().unwrap().why, Reason::ForbiddenBy(_)));
    store.record_global(standing(false), Cause::Gateway).await.unwrap();
    permitted(&store, person).await;
    let smaller = RegistryText { categories: Vec::new(), ..world::registry() };
    world::activate(&store, &smaller).await.unwrap();
    let why = denied(&store, person).await.withheld().first().unwrap().why;
    assert_eq!(why, Reason::NotUnderstood(Field::Category));
    // A registry that can't be read registers nothing, which denies.
    let unreadable = RegistryActivated { text: "{}".to_owned() };
    store.record_global(Event::RegistryActivated(unreadable), Cause::Gateway).await.unwrap();
    let why = denied(&store, person).await.withheld().first().unwrap().why;
    assert_eq!(why, Reason::NotUnderstood(Field::Purpose));
    assert!(store.explain(before.decision()).unwrap().agrees, "explained on the registry of its day");
    store.stop().await.unwrap();
}

pub(super) async fn a_clock_too_far_behind_denies(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, consent) = consented(open, "clock").await;
    permitted(&store, person).await;
    clock.set(START.plus_millis(-3_600_000));
    let result = store.decide_and_record(&world::question(person), "test", Cause::Gateway).await;
    assert!(matches!(result, Err(StoreError::Clock(error)) if error.behind_ms == 3_600_000));
    let update = world::record(&store, person, world::ended(person, consent, START)).await;
    assert!(matches!(update, Err(StoreError::Clock(_))));
    clock.set(START.plus_millis(-BACKWARD_TOLERANCE_MS));
    assert_eq!(permitted(&store, person).await.at(), START, "time stands still, it does not run back");
    store.stop().await.unwrap();
    drop(store);
    // A restart does not forget what time it was.
    let behind = Clock::manual(START.plus_millis(-BACKWARD_TOLERANCE_MS - 1));
    let store = open("clock", behind.clone()).await;
    let result = store.decide_and_record(&world::question(person), "test", Cause::Gateway).await;
    assert!(matches!(result, Err(StoreError::Clock(_))));
    behind.set(START);
    permitted(&store, person).await;
    store.stop().await.unwrap();
}

pub(super) async fn old_decisions_can_be_explained(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, first) = consented(open, "explain").await;
    let mut decisions = Vec::new();
    let mut consent = first;
    for day in 1..=20 {
        let now = START.plus_millis(day * DAY_MS);
        clock.set(now);
        decisions.push((now, permitted(&store, person).await.decision(), true));
        world::record(&store, person, world::ended(person, consent, now)).await.unwrap();
        denied(&store, person).await;
        let entry = store.access_log(person, u64::MAX, 1).unwrap().first().unwrap().entry();
        decisions.push((now, entry, false));
        consent = ConsentId::mint();
        world::record(&store, person, world::approved(person, consent)).await.unwrap();
        world::activate(&store, &world::registry()).await.unwrap();
    }
    explained(&store, person, &decisions);
    store.stop().await.unwrap();
    drop(store);
    let store = open("explain", clock).await;
    explained(&store, person, &decisions);
    assert!(matches!(store.explain(EntryId::mint()), Err(StoreError::Entry(_))));
    store.stop().await.unwrap();
}

fn explained(store: &Store, person: PersonId, decisions: &[(Timestamp, EntryId, bool)]) {
    for (at, entry, permit) in decisions {
        let explained = store.explain(*entry).unwrap();
        assert!(explained.agrees, "the same input gives the same decision");
        assert_eq!((explained.at, explained.route.as_str()), (*at, "test"));
        assert_eq!(explained.request, world::question(person));
        assert_eq!(matches!(explained.decision, Decision::Permit(_)), *permit);
    }
}

pub(super) async fn what_is_about_people_is_never_in_clear(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("clear", world::clock()).await;
    let refused = store.record_global(world::enrolled(PersonId::mint()), Cause::Gateway).await;
    assert!(matches!(refused, Err(StoreError::Entry(_))));
    let huge = RegistryActivated { text: "x".repeat(2 << 20) };
    let refused = store.record_global(Event::RegistryActivated(huge), Cause::Gateway).await;
    assert!(matches!(refused, Err(StoreError::Entry(_))), "what could not be read back is never written");
    store.stop().await.unwrap();
}

pub(super) async fn an_erased_person_is_denied(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "erased").await;
    let other = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    world::record(&store, other, world::approved(other, ConsentId::mint())).await.unwrap();
    let before = permitted(&store, person).await;
    store.erase(person, Cause::Gateway).await.unwrap();
    assert!(!store.still_permitted(before.request(), before.permit()).await.unwrap());
    let erased = Reason::NotUnderstood(Field::Record("erased"));
    assert_eq!(denied(&store, person).await.withheld().first().unwrap().why, erased);
    // What is recorded later does not bring back what was held before.
    world::record(&store, person, world::approved(person, ConsentId::mint())).await.unwrap();
    assert_eq!(denied(&store, person).await.withheld().first().unwrap().why, erased);
    assert!(!store.dossier(person).await.unwrap().subject.enrolled, "that was under the key that is gone");
    assert_eq!(store.access_log(person, u64::MAX, 10).unwrap().len(), 3, "what the law keeps is still there");
    let long_ago = Timestamp::from_millis(0);
    assert_eq!(store.destroy_old_records(long_ago, Cause::Gateway).await.unwrap(), 0, "its time is not over");
    assert_eq!(store.destroy_old_records(Timestamp::MAX, Cause::Gateway).await.unwrap(), 1);
    let result = store.decide_and_record(&world::question(person), "test", Cause::Gateway).await;
    assert!(matches!(result, Err(StoreError::Vault(VaultError::Destroyed))));
    assert!(store.access_log(person, u64::MAX, 10).unwrap().is_empty());
    permitted(&store, other).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("erased", clock).await;
    assert!(store.snapshot(person).await.unwrap().subject.records.unreadable.is_some());
    ask(&store, other).await;
    store.stop().await.unwrap();
}
