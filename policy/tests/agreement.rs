//! The crate and the model in `model/` agree on generated cases: kept, withheld, reasons, dates and `until`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod model;
mod support;

use std::collections::BTreeMap;

use model::{answer, calendar::birthday, shape};
use sekisho_policy::*;
use support::{World, generate::world, shrink::shrink};

const CASES: u64 = 200_000;

/// How often each outcome must occur, so that the comparison is not empty talk.
const LEAST: u32 = 150;

fn differs(w: &World) -> bool {
    shape(&w.decide()) != answer(w)
}

fn tally(counts: &mut BTreeMap<String, u32>, decision: &Decision) {
    let (kept, withheld): (&[Kept], &[Withheld]) = match decision {
        Decision::Permit(p) => (p.kept(), p.withheld()),
        Decision::Deny(d) => (&[], d.withheld()),
    };
    let whole = match (kept.is_empty(), withheld.is_empty()) {
        (true, _) => "denied",
        (false, false) => "partial permit",
        (false, true) => "permit",
    };
    let mut names = vec![format!("= {whole}")];
    for k in kept {
        let by = format!("{:?}", k.by);
        names.push(format!("by {}", by.split('(').next().unwrap()));
        match &k.data {
            DataScope::All => {}
            DataScope::Within(p) => names.push(format!("within {} data periods", p.len())),
        }
    }
    for w in withheld {
        names.push(match w.why {
            Reason::ForbiddenBy(what) => format!("forbidden by {}", format!("{what:?}").split('(').next().unwrap()),
            Reason::NothingApplies(near) => format!("miss {:?}", near.miss),
            Reason::NotUnderstood(field) => format!("not understood {:?}", field),
        });
    }
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
}

#[test]
fn the_crate_and_the_model_agree() {
    let mut counts = BTreeMap::new();
    for seed in 0..CASES {
        let w = world(seed);
        if differs(&w) {
            let w = shrink(w, differs);
            panic!("seed {seed}\n{w:#?}\ncrate: {:#?}\nmodel: {:#?}", shape(&w.decide()), answer(&w));
        }
        tally(&mut counts, &w.decide());
    }
    for (name, count) in &counts {
        println!("{count:>8} {name}");
    }
    for name in EXPECTED {
        let count = counts.get(name).copied().unwrap_or(0);
        assert!(count >= LEAST, "only {count} cases of: {name}");
    }
}

/// Every way in which a category can be kept or withheld.
const EXPECTED: [&str; 32] = [
    "= denied",
    "= partial permit",
    "= permit",
    "by Basis",
    "by Consent",
    "by OwnAccess",
    "by Authority",
    "within 1 data periods",
    "within 2 data periods",
    "forbidden by Block",
    "forbidden by Refusal",
    "forbidden by Suspension",
    "miss ReceiverKind",
    "miss Actor",
    "miss NoConsent",
    "miss OtherRecipient",
    "miss OtherPurpose",
    "miss OtherCategory",
    "miss OtherVersion",
    "miss OtherSource",
    "miss Attester",
    "miss Grantor",
    "miss GrantorBlocked",
    "miss Ended",
    "miss Expired",
    "miss NotYet",
    "not understood Subject",
    "not understood Recipient",
    "not understood Source",
    "not understood Purpose",
    "not understood Category",
    "not understood Record(\"consent.origin\")",
];

#[test]
fn ages_are_reached_when_the_model_says_so() {
    let mut birth = support::day(1924, 1, 1);
    while birth < support::day(2032, 1, 1) {
        for age in [0, 1, 15, 18, 20, 100] {
            let by_hand = birthday((birth.year(), birth.month(), birth.day()), age);
            assert_eq!(age_reached_at(birth, age).millis(), by_hand, "{birth} {age}");
        }
        birth = birth.tomorrow().unwrap();
    }
}
