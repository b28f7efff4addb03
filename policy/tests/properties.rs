//! Properties of every decision, on generated cases: order, narrowing, widening, substitution, sums, and how long a
//! permit holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use sekisho_policy::*;
use support::generate::*;
use support::shrink::shrink;
use support::*;

const CASES: u64 = 20_000;

/// What is kept: a permit, or nothing.
fn covers(wide: &World, narrow: &World) -> bool {
    match (wide.permit(), narrow.permit()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(wide), Some(narrow)) => wide.covers(&narrow),
    }
}

/// Holds `property` on every case, and shows the smallest case on which it fails.
fn for_all(property: impl Fn(&World, &mut Rng) -> bool) {
    for seed in 0..CASES {
        let holds = |w: &World| property(w, &mut Rng(seed));
        let w = world(seed);
        if !holds(&w) {
            let w = shrink(w, |w| !holds(w));
            panic!("seed {seed}\n{w:#?}\ndecision: {:#?}", w.decide());
        }
    }
}

/// As `for_all`, but only on cases that permit something; there must be many.
fn for_permits(property: impl Fn(&World, &Permit, &mut Rng) -> bool) {
    let permits = (0..CASES).filter(|seed| world(*seed).permit().is_some()).count();
    assert!(permits > 3_000, "only {permits} permits");
    for_all(|w, rng| w.permit().is_none_or(|permit| property(w, &permit, rng)));
}

/// P-3.
#[test]
fn the_order_of_records_means_nothing() {
    for_all(|w, rng| {
        let mut other = w.clone();
        rng.shuffle(&mut other.records.consents);
        rng.shuffle(&mut other.records.refusals);
        rng.shuffle(&mut other.records.blocks);
        rng.shuffle(&mut other.records.authorities);
        rng.shuffle(&mut other.records.bases);
        for c in &mut other.records.consents {
            rng.shuffle(&mut c.categories);
        }
        for b in &mut other.records.bases {
            rng.shuffle(&mut b.categories);
        }
        let mut asked = w.request.categories.as_slice().to_vec();
        rng.shuffle(&mut asked);
        other.request.categories = Categories::new(asked).unwrap();
        other.decide() == w.decide()
    });
}

/// A record twice is a record once.
#[test]
fn repeating_a_record_changes_nothing() {
    for_all(|w, _| {
        let mut other = w.clone();
        other.records.consents.extend_from_slice(&w.records.consents);
        other.records.refusals.extend_from_slice(&w.records.refusals);
        other.records.blocks.extend_from_slice(&w.records.blocks);
        other.records.authorities.extend_from_slice(&w.records.authorities);
        other.records.bases.extend_from_slice(&w.records.bases);
        other.decide() == w.decide()
    });
}

fn earlier(p: Period, rng: &mut Rng, now: Timestamp) -> Period {
    let end = rng.pick(&[now, now.plus_millis(1), now.plus_millis(-1), p.from().plus_millis(1)]);
    Period::new(p.from(), end.min(p.until())).unwrap_or(p)
}

/// Narrows the records in one way of `kind`; `false` if there is nothing to narrow so.
fn narrow(w: &mut World, rng: &mut Rng, kind: usize) -> bool {
    let now = w.now;
    let base = now.millis();
    let suspend = |registry: &Registry, id: PartyId| {
        let mut parties = registry.parties().to_vec();
        parties.iter_mut().filter(|p| p.id == id).for_each(|p| p.standing = Standing::Suspended);
        Registry::new(parties, registry.purposes().to_vec(), registry.categories().to_vec(), registry.rules()).unwrap()
    };
    let consents = w.records.consents.len();
    let place = rng.below(consents.max(1));
    match kind {
        0 => w.records.refusals.push(gen_refusal(rng, base, 20)),
        1 => w.records.blocks.push(gen_block(rng, base, 20)),
        2 => w.registry = suspend(&w.registry, party(rng.pick(&[CLINIC, CLINIC_B, CITY, APP]))),
        3 => w.records.unreadable = Some(Field::Record("refusal.scope")),
        4 if consents > 0 => drop(w.records.consents.remove(place)),
        5 if consents > 0 => {
            let end = at(base + rng.pick(&[-DAY, -1, 0, 1, DAY]));
            let c = &mut w.records.consents[place];
            c.ended_at = Some(c.ended_at.map_or(end, |e| e.min(end)));
        }
        6 if consents > 0 => {
            let c = &mut w.records.consents[place];
            c.period = earlier(c.period, rng, now);
        }
        7 if consents > 0 && w.records.consents[place].source.is_none() => {
            w.records.consents[place].source = Some(party(rng.pick(&[CITY, UNKNOWN])))
        }
        8 => return w.records.bases.pop().is_some(),
        9 => return narrow_lists(w, rng),
        10 => {
            let r = w.records.refusals.iter_mut().find(|r| r.lift.is_some());
            return r.map(|r| r.lift = None).is_some();
        }
        _ => return false,
    }
    true
}

/// Takes dates or categories out of a consent, or ends a basis.
fn narrow_lists(w: &mut World, rng: &mut Rng) -> bool {
    if let Some(b) = w.records.bases.first_mut() {
        b.period = earlier(b.period, rng, w.now);
    }
    let Some(c) = w.records.consents.first_mut() else { return false };
    match c.data_period {
        None => c.data_period = DataPeriod::new(Some(day(2020, 1, 1)), Some(day(2021, 1, 1))).ok(),
        Some(_) => c.categories = c.categories.iter().copied().skip(1).collect(),
    }
    true
}

/// Refusals, blocks, suspensions, ends, what can't be read, and taking consents or bases away: never anything more.
#[test]
fn what_narrows_never_widens() {
    for kind in 0..=10 {
        let narrowed = (0..CASES).filter(|seed| narrow(&mut world(*seed), &mut Rng(*seed), kind)).count();
        assert!(narrowed > 1_000, "kind {kind}: {narrowed}");
        for_all(|w, rng| {
            let mut other = w.clone();
            !narrow(&mut other, rng, kind) || covers(w, &other)
        });
    }
}

/// Ending authority narrows whatever rests on it. A guardian's refusals rest on it too, so the other cases are those
/// without refusals by guardians (P-13).
#[test]
fn ending_authority_never_widens_but_for_the_refusals_that_rest_on_it() {
    for_all(|w, rng| {
        let mut w = w.clone();
        w.records.refusals.retain(|r| r.grantor == w.records.subject);
        let mut other = w.clone();
        for a in &mut other.records.authorities {
            a.period = earlier(a.period, rng, w.now);
        }
        covers(&w, &other)
    });
}

/// P-15.
#[test]
fn one_more_consent_or_basis_never_takes_anything_away() {
    for_all(|w, rng| {
        let mut other = w.clone();
        let mut c = gen_consent(rng, w.now.millis(), 20);
        if rng.one_in(2) {
            c.grantor = person(rng.pick(&[CHILD, MOTHER]));
            c.period = Period::open(at(0));
            c.approved_at = w.now;
            c.categories = w.request.categories.as_slice().into();
        }
        other.records.consents.push(c);
        let with_consent = covers(&other, w);
        other.records.bases.push(gen_basis(rng, w.now.millis(), 20));
        with_consent && covers(&other, w)
    });
}

/// P-1: a request that changes one thing to what no record names is denied.
#[test]
fn substituting_what_no_record_names_never_permits() {
    for_permits(|w, permit, _| {
        let by_record = permit.kept().iter().any(|k| matches!(k.by, PermittedBy::Consent(_) | PermittedBy::Basis(_)));
        if !by_record {
            return true;
        }
        substitutes(w).iter().all(|other| other.permit().is_none())
    });
}

fn substitutes(w: &World) -> Vec<World> {
    let r = &w.registry;
    let (mut parties, mut purposes, mut categories) =
        (r.parties().to_vec(), r.purposes().to_vec(), r.categories().to_vec());
    let kind = parties.iter().find(|p| Some(p.id) == w.request.receiver.party()).map_or(PartyKind::Clinic, |p| p.kind);
    parties.push(Party { id: party(40), kind, standing: Standing::Active });
    purposes.push(Purpose { code: purpose("new"), ..r.purpose(w.request.purpose).unwrap().clone() });
    let newer = |v: CategoryVersion| CategoryVersion { version: v.version + 7, ..v };
    categories.extend(r.categories().iter().map(|c| Category { version: newer(c.version), ..*c }));
    let registry = Registry::new(parties, purposes, categories, r.rules()).unwrap();
    let mut out = vec![World { registry, ..w.clone() }; 4];
    out[0].request.purpose = purpose("new");
    if let Receiver::Party { party: receiving, .. } = &mut out[1].request.receiver {
        *receiving = party(40);
    }
    let widened: Vec<_> = w.request.categories.as_slice().iter().map(|v| newer(*v)).collect();
    out[2].request.categories = Categories::new(widened).unwrap();
    out[3].request.source = party(40);
    out[3].records.bases.clear();
    let named = |c: &mut Consent| c.source = c.source.or(Some(w.request.source));
    out[3].records.consents.iter_mut().for_each(named);
    out
}

/// Each category is decided on its own: a request for several is the sum of requests for one.
#[test]
fn a_permit_for_several_categories_is_the_sum_of_its_parts() {
    for_all(|w, _| {
        let (mut kept, mut withheld, mut until) = (Vec::new(), Vec::new(), Vec::new());
        for &category in w.request.categories.as_slice() {
            let mut one = w.clone();
            one.request.categories = Categories::new([category]).unwrap();
            match one.decide() {
                Decision::Permit(p) => {
                    kept.extend(p.kept().to_vec());
                    until.push(p.until());
                }
                Decision::Deny(d) => withheld.extend(d.withheld().to_vec()),
            }
        }
        match w.decide() {
            Decision::Permit(p) => {
                p.kept() == kept && p.withheld() == withheld && Some(p.until()) == until.into_iter().min()
            }
            Decision::Deny(d) => kept.is_empty() && d.withheld() == withheld,
        }
    });
}

/// Every instant at which something recorded begins or ends, and its neighbours.
fn instants(w: &World) -> Vec<i64> {
    let r = &w.records;
    let mut out = Vec::new();
    let mut period = |p: Period| out.extend([p.from(), p.until()]);
    r.consents.iter().for_each(|c| period(c.period));
    r.authorities.iter().for_each(|a| period(a.period));
    r.bases.iter().for_each(|b| period(b.period));
    r.blocks.iter().for_each(|b| period(b.period));
    out.extend(r.refusals.iter().map(|x| x.from));
    out.extend(r.refusals.iter().filter_map(|x| x.lift).map(|l| l.at));
    out.extend(r.consents.iter().filter_map(|c| c.ended_at));
    out.extend(r.bases.iter().filter_map(|b| b.ended_at));
    for p in w.registry.purposes() {
        out.extend(r.consents.iter().map(|c| c.period.from().plus_millis(p.longest_ms)));
    }
    out.extend([0, 15, 18].map(|years| age_reached_at(r.birth, years)));
    out.iter().flat_map(|t| [-1, 0, 1].map(|ms| t.plus_millis(ms).millis())).collect()
}

/// P-17: on unchanged records a permit holds at every instant before its `until`.
#[test]
fn a_permit_holds_until_its_until() {
    for_permits(|w, permit, _| {
        let later = instants(w).into_iter().filter(|t| w.now.millis() <= *t && *t < permit.until().millis());
        permit.until() > w.now
            && later.chain([permit.until().millis() - 1]).all(|t| {
                let then = World { now: at(t), ..w.clone() };
                then.permit().is_some_and(|p| p.covers(permit))
            })
    });
}

/// P-17: where the permit would ever stop holding, its `until` is not later than that.
#[test]
fn until_is_finite_when_something_ends() {
    let mut ends = 0;
    for seed in 0..CASES {
        let w = world(seed);
        let Some(permit) = w.permit() else { continue };
        let stops = |t: &i64| World { now: at(*t), ..w.clone() }.permit().is_none_or(|p| !p.covers(&permit));
        let first = instants(&w).into_iter().filter(|t| *t > w.now.millis() && *t < i64::MAX - 1).filter(stops).min();
        if let Some(first) = first {
            ends += 1;
            assert!(permit.until().millis() <= first, "seed {seed}");
        }
    }
    assert!(ends > 1_000, "only {ends} permits ever end");
}

/// Covering is reflexive and transitive, and says what it says category by category and date by date.
#[test]
fn covering_is_an_order_and_means_at_least_as_much() {
    let permits: Vec<Permit> = (0..4_000).filter_map(|seed| world(seed).permit()).take(140).collect();
    let dates: Vec<_> = (2019..2026).flat_map(|y| [day(y, 1, 1), day(y, 6, 30)]).collect();
    let allows = |p: &Permit, category: CategoryVersion, date| {
        p.kept().iter().any(|k| {
            k.category == category
                && match &k.data {
                    DataScope::All => true,
                    DataScope::Within(periods) => periods.iter().any(|d| d.covers(date, date)),
                }
        })
    };
    for a in &permits {
        assert!(a.covers(a));
        for b in permits.iter().filter(|b| a.covers(b)) {
            assert!(permits.iter().all(|c| !b.covers(c) || a.covers(c)));
            for k in b.kept() {
                assert!(dates.iter().all(|d| !allows(b, k.category, *d) || allows(a, k.category, *d)));
            }
        }
    }
}
