//! What every engine of the store must do, as a suite that runs on any: hand it a way to open a store at a named place,
//! the same place giving the same store again. It panics at the first promise that isn't kept; for tests only.
//!
//! Not here: what belongs to one engine's files (`gateway/tests/recovery.rs`). Read next: `decisions` and `races` for
//! the heart of it, `world` for what they play with.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite for tests: it panics where a promise is broken")]

mod decisions;
mod held;
mod look_ups;
mod races;
pub mod world;

use sekisho_policy::PersonId;

use super::{LogLine, Logged, Recorded, Ruling, Store};
use crate::clock::Clock;
use crate::ids::TextId;
use crate::ledger::entry::Cause;
use sekisho_policy::{ConsentId, Denial};

/// Races that [`race()`] runs between a decision and a change of what it is based on.
pub const RACES: usize = 2_000;

/// Runs the whole suite.
///
/// # Panics
/// When a promise isn't kept.
pub async fn all(open: impl AsyncFn(&str, Clock) -> Store) {
    decide(&open).await;
    look_up(&open).await;
    update(&open).await;
    race(&open).await;
}

/// Decisions: recorded, durable, on the current records, explained later.
///
/// # Panics
/// When a promise isn't kept.
pub async fn decide(open: &impl AsyncFn(&str, Clock) -> Store) {
    decisions::nobody_and_the_unknown(open).await;
    decisions::a_permit_and_a_denial(open).await;
    decisions::durable_before_it_is_told(open).await;
    decisions::what_a_crash_left_open_is_unknown(open).await;
    decisions::a_revocation_ends_a_permit(open).await;
    decisions::the_registry_counts_at_once(open).await;
    decisions::a_clock_too_far_behind_denies(open).await;
    decisions::old_decisions_can_be_explained(open).await;
    decisions::what_is_about_people_is_never_in_clear(open).await;
    decisions::an_erased_person_is_denied(open).await;
}

/// Look-ups and the access log.
///
/// # Panics
/// When a promise isn't kept.
pub async fn look_up(open: &impl AsyncFn(&str, Clock) -> Store) {
    look_ups::the_access_log_goes_back_in_pages(open).await;
    look_ups::logins_and_their_ends(open).await;
    look_ups::pairwise_ids(open).await;
    look_ups::consents_and_wards(open).await;
    look_ups::bookings(open).await;
    look_ups::everything_about_somebody_with_many_entries(open).await;
    held::what_is_held_is_what_the_ledger_says(open).await;
}

/// Updates against each other.
///
/// # Panics
/// When a promise isn't kept.
pub async fn update(open: &impl AsyncFn(&str, Clock) -> Store) {
    look_ups::an_idempotency_key_counts_once(open).await;
    races::of_two_updates_on_one_view_one_is_computed_again(open).await;
    races::updates_that_share_another_are_guarded(open).await;
}

/// Decisions against changes of what they are based on: [`RACES`] times.
///
/// # Panics
/// When a promise isn't kept.
pub async fn race(open: &impl AsyncFn(&str, Clock) -> Store) {
    races::no_decision_outlives_what_it_was_made_on(open, RACES).await;
}

/// A store with a registry and one person who has consented.
async fn consented(open: &impl AsyncFn(&str, Clock) -> Store, place: &str) -> (Store, Clock, PersonId, ConsentId) {
    let clock = world::clock();
    let store = open(place, clock.clone()).await;
    world::activate(&store, &world::registry()).await.unwrap();
    let person = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    let consent = ConsentId::mint();
    world::record(&store, person, world::approved(person, consent)).await.unwrap();
    (store, clock, person, consent)
}

/// The newest decisions about a person.
fn logged(store: &Store, person: PersonId) -> Vec<Logged> {
    store.access_log(person, u64::MAX, 10).unwrap().into_iter().filter_map(LogLine::decision).collect()
}

async fn ask(store: &Store, person: PersonId) -> Ruling {
    store.decide_and_record(&world::question(person), "test", Cause::party(world::app())).await.unwrap()
}

async fn permitted(store: &Store, person: PersonId) -> Recorded {
    match ask(store, person).await {
        Ruling::Permitted(recorded) => *recorded,
        Ruling::Denied(denial) => unexpected(&denial),
    }
}

#[expect(clippy::panic, reason = "a suite for tests")]
fn unexpected(denial: &Denial) -> ! {
    panic!("denied: {denial:?}")
}

async fn denied(store: &Store, person: PersonId) -> Denial {
    match ask(store, person).await {
        Ruling::Denied(denial) => Some(*denial),
        Ruling::Permitted(_) => None,
    }
    .expect("a denial")
}
