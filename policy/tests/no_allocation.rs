//! A plain permit (one without data periods) is decided without a single allocation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use allocation_counter::measure;
use sekisho_policy::*;
use support::*;

/// `count` consents for other clinics and purposes, of which the last two cover what is asked.
fn crowd(count: u8, times: usize, grantor: u8) -> World {
    let t = Timestamp::start_of_day_jst(day(2026, 6, 1)).millis();
    let birth = if grantor == CHILD { day(1990, 2, 3) } else { day(2019, 4, 2) };
    let mut records = SubjectRecords::new(person(CHILD), birth);
    records.authorities.push(authority(1, MOTHER, Period::open(at(t - 2000 * DAY))));
    for n in 1..=count {
        let mut c = consent(n, grantor, t - DAY, t + DAY);
        match n % 3 {
            0 => c.recipient = party(CLINIC_B),
            1 => c.purpose = purpose("checkup"),
            _ => c.ended_at = Some(at(t - 1)),
        }
        records.consents.extend(vec![c; times]);
    }
    records.consents.push(consent(count + 1, grantor, t - DAY, t + DAY));
    records.consents.push(consent(count + 2, grantor, t - DAY, t + 2 * DAY));
    records.refusals.push(refusal(1, FATHER, t - DAY));
    World { records, registry: registry(Rules::default()), request: request(&[cat("vaccination", 1)]), now: at(t) }
}

#[test]
fn a_plain_permit_allocates_nothing() {
    let two = [cat("vaccination", 1), cat("medication", 1)];
    for (count, times) in [(18, 1), (200, 5)] {
        for grantor in [CHILD, MOTHER] {
            for categories in [&two[..1], &two[..]] {
                let mut w = crowd(count, times, grantor);
                w.request = request(categories);
                let mut decision = None;
                let info = measure(|| decision = Some(w.decide()));
                let Some(Decision::Permit(permit)) = decision else { panic!("{decision:#?}") };
                assert_eq!((permit.kept().len(), permit.withheld().len()), (1, categories.len() - 1));
                assert_eq!(info.count_total, 0, "{} consents", w.records.consents.len());
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
