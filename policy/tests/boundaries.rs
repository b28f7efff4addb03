//! Boundaries to the millisecond: what holds one before, at, and one after each instant that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use sekisho_policy::*;
use support::*;

/// Noon in Japan on a day when nothing else happens.
fn noon() -> i64 {
    Timestamp::start_of_day_jst(day(2026, 6, 1)).millis() + DAY / 2
}

/// A small child, a mother with authority, and her consent around noon.
fn family() -> World {
    let mut records = SubjectRecords::new(person(CHILD), day(2019, 4, 2));
    records.authorities.push(authority(1, MOTHER, Period::open(at(noon() - 2000 * DAY))));
    records.consents.push(consent(1, MOTHER, noon() - DAY, noon() + DAY));
    World { records, registry: registry(Rules::default()), request: request(&[cat("vaccination", 1)]), now: at(noon()) }
}

/// Decides one millisecond before an instant, at it, and one after; `[permitted; 3]`.
fn around(w: &World, instant: i64) -> [bool; 3] {
    [-1, 0, 1].map(|ms| World { now: at(instant + ms), ..w.clone() }.permit().is_some())
}

const BEGINS: [bool; 3] = [false, true, true];
const ENDS: [bool; 3] = [true, false, false];

#[test]
fn a_consent_holds_from_its_beginning_and_not_at_its_end() {
    assert_eq!(around(&family(), noon() - DAY), BEGINS);
    assert_eq!(around(&family(), noon() + DAY), ENDS);
}

#[test]
fn a_consent_holds_from_its_approval_and_not_before() {
    let mut w = family();
    w.records.consents[0].approved_at = at(noon());
    assert_eq!(around(&w, noon()), BEGINS);
}

#[test]
fn a_consent_ends_the_instant_it_is_revoked() {
    let mut w = family();
    w.records.consents[0].ended_at = Some(at(noon()));
    assert_eq!(around(&w, noon()), ENDS);
}

#[test]
fn a_consent_ends_with_the_longest_period_of_its_purpose() {
    let mut w = family();
    w.records.consents[0].period = period(noon() - YEAR, noon() + YEAR);
    w.records.consents[0].approved_at = at(noon() - YEAR);
    assert_eq!(around(&w, noon()), ENDS);
}

#[test]
fn a_refusal_holds_from_its_beginning_until_it_is_lifted() {
    let mut w = family();
    w.records.refusals.push(refusal(1, MOTHER, noon()));
    assert_eq!(around(&w, noon()), ENDS);
    w.records.refusals[0].lift = Some(Lift { by: person(MOTHER), at: at(noon() + 10) });
    assert_eq!(around(&w, noon() + 10), BEGINS);
}

#[test]
fn only_its_grantor_lifts_a_refusal() {
    for (grantor, by, permitted) in
        [(MOTHER, FATHER, false), (MOTHER, CHILD, false), (CHILD, MOTHER, false), (CHILD, CHILD, true)]
    {
        let mut w = family();
        w.records.refusals.push(refusal(1, grantor, noon() - DAY));
        w.records.refusals[0].lift = Some(Lift { by: person(by), at: at(noon() - 1) });
        assert_eq!(w.permit().is_some(), permitted, "{grantor} {by}");
    }
}

#[test]
fn a_block_holds_from_its_beginning_and_not_at_its_end() {
    for target in [BlockTarget::Party(party(CLINIC)), BlockTarget::Person(person(MOTHER))] {
        let mut w = family();
        w.records.blocks.push(block(1, target, period(noon() - 10, noon() + 10)));
        assert_eq!(around(&w, noon() - 10), ENDS);
        assert_eq!(around(&w, noon() + 10), BEGINS);
    }
}

#[test]
fn a_legal_basis_holds_from_its_beginning_until_its_end() {
    let mut w = family();
    w.records.consents.clear();
    w.records.bases.push(basis(1, period(noon() - 10, noon() + 10)));
    assert_eq!(around(&w, noon() - 10), BEGINS);
    assert_eq!(around(&w, noon() + 10), ENDS);
    w.records.bases[0].ended_at = Some(at(noon()));
    assert_eq!(around(&w, noon()), ENDS);
}

#[test]
fn authority_that_ends_takes_its_consents_and_refusals_with_it() {
    let mut w = family();
    w.records.authorities[0].period = period(noon() - 2000 * DAY, noon());
    assert_eq!(around(&w, noon()), ENDS);
    // A new record does not revive what was given under the old one (P-9).
    w.records.authorities.push(authority(2, MOTHER, Period::open(at(noon()))));
    assert_eq!(around(&w, noon()), ENDS);

    let mut w = family();
    w.records.authorities.push(authority(2, FATHER, period(noon() - 2000 * DAY, noon())));
    w.records.refusals.push(refusal(1, FATHER, noon() - DAY));
    assert_eq!(around(&w, noon()), BEGINS);
}

#[test]
fn a_consent_given_before_the_authority_began_never_holds() {
    let mut w = family();
    for (begins, permitted) in [(noon() - DAY, true), (noon() - DAY + 1, false)] {
        w.records.authorities[0].period = Period::open(at(begins));
        assert_eq!(w.permit().is_some(), permitted);
    }
}

/// Who may decide around midnight in Japan, by date of birth.
fn coming_of_age(birth: jiff::civil::Date, midnight: jiff::civil::Date, category: &str) {
    let t = Timestamp::start_of_day_jst(midnight).millis();
    let mut w = family();
    w.request = request(&[cat(category, 1)]);
    w.records.birth = birth;
    w.records.consents[0] = consent(1, MOTHER, t - DAY, t + DAY);
    w.records.consents[0].categories = Box::new([cat(category, 1)]);
    assert_eq!(around(&w, t), ENDS, "{birth}: the mother's consent");
    assert_eq!(w_until(&w, t - 1), t);
    for (approved, permitted) in [(t - 1, false), (t, true)] {
        let mut c = consent(1, CHILD, t - DAY, t + DAY);
        c.categories = Box::new([cat(category, 1)]);
        c.approved_at = at(approved);
        w.records.consents[0] = c;
        w.now = at(t + 1);
        assert_eq!(w.permit().is_some(), permitted, "{birth}: the subject's consent");
    }
    w.request.receiver = Receiver::Person { person: person(MOTHER), capacity: Capacity::Guardian };
    assert_eq!(around(&w, t), ENDS, "{birth}: the mother's look");
}

fn w_until(w: &World, now: i64) -> i64 {
    World { now: at(now), ..w.clone() }.permit().unwrap().until().millis()
}

#[test]
fn coming_of_age_is_at_midnight_in_japan() {
    coming_of_age(day(2008, 5, 7), day(2026, 5, 7), "vaccination");
    coming_of_age(day(2011, 5, 7), day(2026, 5, 7), "medication");
    coming_of_age(day(2008, 1, 1), day(2026, 1, 1), "vaccination");
    coming_of_age(day(2008, 12, 31), day(2026, 12, 31), "vaccination");
}

#[test]
fn born_on_a_leap_day_one_comes_of_age_as_march_begins() {
    coming_of_age(day(2008, 2, 29), day(2026, 3, 1), "vaccination");
    coming_of_age(day(2012, 2, 29), day(2030, 3, 1), "vaccination");
    coming_of_age(day(2008, 2, 29), day(2023, 3, 1), "medication");
    coming_of_age(day(2008, 2, 28), day(2026, 2, 28), "vaccination");
}

#[test]
fn an_own_consent_age_of_zero_keeps_guardians_out_from_birth() {
    let mut w = family();
    w.request = request(&[cat("consultation", 1)]);
    w.records.consents[0].categories = Box::new([cat("consultation", 1)]);
    assert!(w.permit().is_none());
    w.records.consents[0].grantor = person(CHILD);
    assert!(w.permit().is_some());
}

#[test]
fn of_two_parents_one_refusal_stands_unless_one_may_decide_alone() {
    let mut w = family();
    w.records.authorities.push(authority(2, FATHER, Period::open(at(noon() - 2000 * DAY))));
    w.records.refusals.push(refusal(1, FATHER, noon() - DAY));
    assert!(w.permit().is_none());
    w.registry = registry(Rules { guardian_refusal_stands: false });
    assert!(w.permit().is_some());
    w.registry = registry(Rules::default());
    w.request.purpose = purpose("checkup");
    w.records.consents[0].purpose = purpose("checkup");
    assert!(w.permit().is_some());
    // The child's own refusal, and the grantor's own, stand all the same.
    for grantor in [CHILD, MOTHER] {
        w.records.refusals[0].grantor = person(grantor);
        assert!(w.permit().is_none());
    }
}

#[test]
fn until_is_the_first_of_what_is_to_come() {
    let mut w = family();
    assert_eq!(w_until(&w, noon()), noon() + DAY);
    w.records.refusals.push(refusal(1, CHILD, noon() + 30));
    assert_eq!(w_until(&w, noon()), noon() + 30);
    w.records.blocks.push(block(1, BlockTarget::Person(person(MOTHER)), Period::open(at(noon() + 20))));
    assert_eq!(w_until(&w, noon()), noon() + 20);
    w.records.consents[0].ended_at = Some(at(noon() + 10));
    assert_eq!(w_until(&w, noon()), noon() + 10);
}
