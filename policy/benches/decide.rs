//! How long one decision takes. Bars: 20 consents ≤ 1 µs, 1,000 consents ≤ 25 µs (median).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark, and the world that it shares with the tests"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sekisho_policy::*;
use support::*;

fn now() -> i64 {
    Timestamp::start_of_day_jst(day(2026, 6, 1)).millis()
}

/// A child's records over the years: consents for many clinics, purposes and categories, some of them ended, and in
/// their midst the one that is asked for.
fn years(count: u16) -> World {
    let t = now();
    let mut records = SubjectRecords::new(person(CHILD), day(2019, 4, 2));
    records.authorities.push(authority(1, MOTHER, Period::open(at(t - 2000 * DAY))));
    records.authorities.push(authority(2, FATHER, Period::open(at(t - 2000 * DAY))));
    for n in 1..=count {
        let mut c = consent(1, MOTHER, t - DAY, t + DAY);
        let [high, low] = n.to_be_bytes();
        let mut id = [0; 16];
        (id[0], id[1]) = (high, low);
        c.id = ConsentId::from_bytes(id);
        if n != count / 2 {
            match n % 5 {
                0 | 1 => c.recipient = PartyId::from_bytes(id),
                2 => c.purpose = purpose("checkup"),
                3 => c.categories = Box::new([cat("medication", 1), cat("consultation", 1)]),
                _ => c.ended_at = Some(at(t - DAY / 2)),
            }
        }
        records.consents.push(c);
    }
    for n in 1..=2 {
        let mut r = refusal(n, FATHER, t - DAY);
        r.scope.recipient = Scope::Only(party(CITY));
        records.refusals.push(r);
    }
    records.blocks.push(block(1, BlockTarget::Person(person(STRANGER + 1)), Period::open(at(t - DAY))));
    World { records, registry: registry(Rules::default()), request: request(&[cat("vaccination", 1)]), now: at(t) }
}

/// Every consent covers what is asked.
fn all_cover(count: u16) -> World {
    let mut w = years(count);
    let covering = consent(1, MOTHER, now() - DAY, now() + DAY);
    w.records.consents.iter_mut().for_each(|c| *c = Consent { id: c.id, ..covering.clone() });
    w
}

/// No consent covers, and the nearest miss is looked for.
fn denied(count: u16) -> World {
    let mut w = all_cover(count);
    w.records.consents.iter_mut().for_each(|c| c.ended_at = Some(at(now())));
    w
}

fn decisions(c: &mut Criterion) {
    let cases = [
        ("20 consents", years(20)),
        ("1,000 consents", years(1_000)),
        ("1,000 consents that all cover", all_cover(1_000)),
        ("1,000 consents that all have ended", denied(1_000)),
    ];
    for (name, w) in &cases {
        c.bench_function(name, |b| b.iter(|| std::hint::black_box(w).decide()));
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
