//! Every case of a small world, one after the other, against the model: no sampling, nothing left out.
//!
//! The request stands still (the clinic asks for care, two versions of one category); everything that is recorded
//! ranges over all combinations: two consents, a refusal, a block, a legal basis, who acts, and the instants around a
//! coming of age at which authority also begins or ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod model;
mod support;

use model::{answer, shape};
use sekisho_policy::*;
use support::*;

fn eighteen() -> i64 {
    Timestamp::start_of_day_jst(day(2026, 5, 7)).millis()
}

/// Who granted × to whom × for what × which version × when.
fn consents(n: u8) -> Vec<Option<Consent>> {
    let t = eighteen();
    let mut out = vec![None];
    for grantor in [CHILD, MOTHER, FATHER] {
        for recipient in [CLINIC, CLINIC_B] {
            for purpose_code in ["care", "checkup"] {
                for version in [1, 2] {
                    for (from, until) in [(t - 2 * DAY, t + DAY), (t, t + 2 * DAY)] {
                        let mut c = consent(n, grantor, from, until);
                        c.recipient = party(recipient);
                        c.purpose = purpose(purpose_code);
                        c.categories = Box::new([cat("vaccination", version)]);
                        c.ended_at = (version == 1 && from == t).then_some(at(t + DAY));
                        out.push(Some(c));
                    }
                }
            }
        }
    }
    out
}

fn refusals() -> Vec<Option<Refusal>> {
    let t = eighteen();
    let mut out = vec![None];
    for grantor in [CHILD, MOTHER, FATHER] {
        for (recipient, category) in [(None, None), (Some(CLINIC), None), (Some(CLINIC_B), None), (None, Some("x"))] {
            for lifted in [false, true] {
                let mut r = refusal(1, grantor, t - DAY);
                r.scope.recipient = recipient.map_or(Scope::Any, |n| Scope::Only(party(n)));
                r.scope.categories = category.map_or(Scope::Any, |c| Scope::Only(Box::new([CategoryCode(code(c))])));
                r.lift = lifted.then_some(Lift { by: person(grantor), at: at(t) });
                out.push(Some(r));
            }
        }
    }
    out
}

fn blocks() -> Vec<Option<Block>> {
    let from_today = period(eighteen(), eighteen() + DAY);
    vec![
        None,
        Some(block(1, BlockTarget::Person(person(FATHER)), from_today)),
        Some(block(1, BlockTarget::Party(party(CLINIC)), from_today)),
    ]
}

/// Compares all requests, instants and bases on one set of consents, refusal and block; returns how many there were.
fn compare(w: &mut World, actors: &[Actor]) -> u32 {
    let t = eighteen();
    let mut compared = 0;
    for with_basis in [false, true] {
        w.records.bases = if with_basis { vec![basis(1, period(t, t + DAY))] } else { Vec::new() };
        for &actor in actors {
            w.request.receiver = Receiver::Party { party: party(CLINIC), actor };
            for now in [t - 1, t, t + DAY] {
                w.now = at(now);
                let (ours, models) = (shape(&w.decide()), answer(w));
                assert!(ours == models, "{w:#?}\ncrate: {ours:#?}\nmodel: {models:#?}");
                compared += 1;
            }
        }
    }
    compared
}

/// Goes through the pairs of consents; the second one's id is the larger, and their order in the list alternates.
fn every_pair(w: &mut World, actors: &[Actor], second: &[Option<Consent>]) -> u32 {
    let mut compared = 0;
    for (i, first) in consents(1).iter().enumerate() {
        for (j, other) in second.iter().enumerate().filter(|(j, _)| i == 0 || *j >= i || second.len() == 1) {
            w.records.consents = [first, other].into_iter().flatten().cloned().collect();
            if (i + j) % 2 == 1 {
                w.records.consents.reverse();
            }
            compared += compare(w, actors);
        }
    }
    compared
}

fn small_world(birth: jiff::civil::Date) -> World {
    let t = eighteen();
    let mut w = World {
        records: SubjectRecords::new(person(CHILD), birth),
        registry: registry(Rules::default()),
        request: request(&[cat("vaccination", 1), cat("vaccination", 2)]),
        now: at(t),
    };
    w.records.authorities = vec![
        authority(1, MOTHER, Period::open(at(t - 1000 * DAY))),
        authority(2, FATHER, period(t - 1000 * DAY, t + DAY)),
    ];
    w
}

#[test]
fn one_consent_with_every_refusal_block_basis_actor_and_instant() {
    let actors = [Actor::System, Actor::Subject(person(CHILD)), Actor::Guardian(person(FATHER))];
    let mut compared = 0;
    for birth in [day(2008, 5, 7), day(2019, 1, 1)] {
        for guardian_refusal_stands in [true, false] {
            let mut w = small_world(birth);
            w.registry = registry(Rules { guardian_refusal_stands });
            for refusal in refusals() {
                w.records.refusals = refusal.into_iter().collect();
                for block in blocks() {
                    w.records.blocks = block.into_iter().collect();
                    compared += every_pair(&mut w, &actors, &[None]);
                }
            }
        }
    }
    assert_eq!(compared, 2 * 2 * 25 * 3 * 49 * 2 * 3 * 3);
}

#[test]
fn every_two_consents_with_every_refusal_and_block() {
    let second = consents(2);
    let mut compared = 0;
    let mut w = small_world(day(2008, 5, 7));
    for refusal in refusals() {
        w.records.refusals = refusal.into_iter().collect();
        for block in blocks() {
            w.records.blocks = block.into_iter().collect();
            compared += every_pair(&mut w, &[Actor::System], &second);
        }
    }
    assert_eq!(compared, 25 * 3 * (49 * 50 / 2) * 2 * 3);
}
