//! What the types themselves promise: limits, each key once, and dates that can't be told apart are withheld.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use sekisho_policy::*;
use support::*;

#[test]
fn categories_are_sorted_each_once_and_at_most_sixteen() {
    let many = |n: u16| (1..=n).rev().flat_map(|version| [cat("vaccination", version), cat("vaccination", version)]);
    let sixteen = Categories::new(many(16)).unwrap();
    assert_eq!(sixteen.as_slice().len(), MAX_CATEGORIES);
    assert!(sixteen.as_slice().is_sorted());
    assert!(sixteen.contains(cat("vaccination", 16)) && !sixteen.contains(cat("vaccination", 17)));
    assert_eq!(Categories::new(many(17)), None);
    assert_eq!(Categories::new([]), None);
}

#[test]
fn a_request_for_sixteen_categories_is_decided() {
    let versions: Vec<_> = (1..=16).map(|version| cat("vaccination", version)).collect();
    let known = registry(Rules::default());
    let categories = versions.iter().map(|v| Category { version: *v, own_consent_age: 18 }).collect();
    let registry =
        Registry::new(known.parties().to_vec(), known.purposes().to_vec(), categories, known.rules()).unwrap();
    let mut records = SubjectRecords::new(person(CHILD), day(1990, 2, 3));
    let mut w = World { records: records.clone(), registry, request: request(&versions), now: at(DAY * 20_000) };
    assert!(matches!(w.decide(), Decision::Deny(d) if d.withheld().len() == 16));
    let mut c = consent(1, CHILD, DAY * 20_000, DAY * 20_001);
    c.categories = versions.into_boxed_slice();
    records.consents.push(c);
    w.records = records;
    assert_eq!(w.permit().unwrap().kept().len(), 16);
}

#[test]
fn everything_is_registered_once() {
    let r = registry(Rules::default());
    let twice = |list: &[Party]| [list, &list[..1]].concat();
    let (parties, purposes, categories) = (r.parties().to_vec(), r.purposes().to_vec(), r.categories().to_vec());
    let new = |a, b, c| Registry::new(a, b, c, Rules::default()).map(|_| ());
    assert_eq!(new(twice(&parties), purposes.clone(), categories.clone()), Err(RegistryError::Party));
    let purposes_twice = [&purposes[..], &purposes[..1]].concat();
    assert_eq!(new(parties.clone(), purposes_twice, categories.clone()), Err(RegistryError::Purpose));
    let categories_twice = [&categories[..], &categories[..1]].concat();
    assert_eq!(new(parties.clone(), purposes.clone(), categories_twice), Err(RegistryError::Category));
    assert_eq!(new(parties, purposes, categories), Ok(()));
}

#[test]
fn a_span_of_dates_passes_only_as_a_whole() {
    let period = DataPeriod::new(Some(day(2025, 4, 1)), Some(day(2025, 6, 1))).unwrap();
    assert!(period.covers(day(2025, 5, 1), day(2025, 5, 31)));
    assert!(period.covers(day(2025, 4, 1), day(2025, 4, 1)));
    assert!(!period.covers(day(2025, 5, 1), day(2025, 6, 1)));
    assert!(!period.covers(day(2025, 3, 31), day(2025, 4, 1)));
    assert!(!period.covers(day(2025, 5, 2), day(2025, 5, 1)), "a span that ends before it begins");
    assert!(DataPeriod::new(Some(day(2025, 4, 1)), Some(day(2025, 4, 1))).is_err());
}

#[test]
fn instants_hold_at_the_ends_of_time() {
    assert_eq!(Timestamp::MAX.plus_millis(1), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.plus_millis(-1), Timestamp::MIN);
    assert!(Period::open(at(0)).contains(at(i64::MAX - 1)));
    assert_eq!(age_reached_at(day(9990, 1, 1), 18), Timestamp::MAX);
}

#[test]
fn an_id_is_not_printed() {
    assert_eq!(format!("{:?}", person(7)), "PersonId(..)");
}
