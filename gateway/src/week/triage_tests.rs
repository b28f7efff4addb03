use super::*;
use jiff::civil::date;
use proptest::prelude::*;
use sekisho_adapters::consultation::{
    Choice, Chosen, ConsultationId, Epds, Judgement, Means, Place, SafeContact, User, UserId,
};
use sekisho_adapters::municipality::MunicipalityCode;

const HOUR: i64 = 3_600;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + hours * HOUR).unwrap()
}

fn consultation(epds: Option<[Option<u8>; 10]>) -> Consultation {
    let municipality = MunicipalityCode::parse("132063").unwrap();
    Consultation {
        id: ConsultationId::parse("k-1").unwrap(),
        asker: User { id: UserId::parse("u-1").unwrap(), birth: date(1994, 3, 2) },
        child: None,
        at: at(0),
        epds: epds.and_then(Epds::new),
        judgement: None,
        emergency: false,
        marks: Vec::new(),
        chosen: Chosen {
            choice: Choice::Content,
            municipality,
            text_version: "2026-04".to_owned(),
            at: at(0),
            evidence: "ev-1".to_owned(),
        },
        residence: Place { municipality, postal: None },
        present: None,
        contact: SafeContact {
            means: vec![Means::Telephone],
            hours: "平日".to_owned(),
            voicemail: false,
            hidden_from_family: false,
        },
    }
}

fn criteria() -> Criteria {
    let mark = |code: &str| Mark { code: code.to_owned(), label_ja: code.to_owned(), label_en: code.to_owned() };
    Criteria {
        epds_sum: 9,
        epds_item_10: 1,
        marks: vec![mark("a"), mark("b")],
        repeated: 3,
        repeated_days: 28,
        rise: 5,
    }
}

/// The scores 3, 3, … that add up to this, item 10 not answered.
fn adding_up_to(sum: u8) -> [Option<u8>; 10] {
    let mut left = sum;
    std::array::from_fn(|at| {
        let score = left.min(3);
        left -= score;
        (at < 9).then_some(score)
    })
}

fn flag(consultation: &Consultation, earlier: &[Earlier]) -> Option<Flag> {
    triage(consultation, earlier, &criteria()).flag
}

#[test]
fn each_trigger_alone_is_enough() {
    let nothing = consultation(None);
    assert_eq!(flag(&nothing, &[]), None);
    assert_eq!(flag(&consultation(Some(adding_up_to(8))), &[]), None);
    let sum = flag(&consultation(Some(adding_up_to(9))), &[]).unwrap();
    assert_eq!(sum.triggers, [Trigger::EpdsSum { sum: 9, from: 9, answered: 9 }]);
    assert_eq!(sum.urgency, Urgency::Weekly);
    let three = [Some(3), Some(3), Some(3), None, None, None, None, None, None, None];
    let partial = flag(&consultation(Some(three)), &[]).unwrap();
    assert_eq!(partial.triggers, [Trigger::EpdsSum { sum: 9, from: 9, answered: 3 }]);
    let mut item_10 = [None; 10];
    item_10[9] = Some(1);
    let urgent = flag(&consultation(Some(item_10)), &[]).unwrap();
    assert_eq!((urgent.triggers, urgent.urgency), (vec![Trigger::EpdsItem10 { score: 1 }], Urgency::Urgent));
    item_10[9] = Some(0);
    assert_eq!(flag(&consultation(Some(item_10)), &[]), None);
    let emergency = Consultation { emergency: true, ..nothing.clone() };
    let urgent = flag(&emergency, &[]).unwrap();
    assert_eq!((urgent.triggers, urgent.urgency), (vec![Trigger::Emergency], Urgency::Urgent));
    let marks = ["c", "b", "a"].map(str::to_owned).to_vec();
    let marked = flag(&Consultation { marks, ..nothing }, &[]).unwrap();
    let codes: Vec<String> = marked.triggers.iter().map(Trigger::code).collect();
    assert_eq!((codes, marked.urgency), (vec!["mark:a".to_owned(), "mark:b".to_owned()], Urgency::Weekly));
}

#[test]
fn a_judgement_without_its_reason_flags_nothing_and_goes_back_while_the_others_fire() {
    let judged = |reasoned, epds| Consultation { judgement: Some(Judgement { reasoned }), ..consultation(epds) };
    let verdict = triage(&judged(true, None), &[], &criteria());
    assert_eq!((verdict.flag.unwrap().triggers, verdict.judgement_without_reason), (vec![Trigger::Judgement], false));
    let verdict = triage(&judged(false, None), &[], &criteria());
    assert_eq!((verdict.flag, verdict.judgement_without_reason), (None, true));
    let verdict = triage(&judged(false, Some(adding_up_to(9))), &[], &criteria());
    assert_eq!((verdict.flag.unwrap().triggers.len(), verdict.judgement_without_reason), (1, true));
}

#[test]
fn repeated_and_rising_raise_and_never_flag_or_lower() {
    let one = |hours, sum| Earlier { at: at(hours), sum };
    let high = consultation(Some(adding_up_to(9)));
    let raised = |earlier: &[Earlier]| flag(&high, earlier).unwrap();
    let repeated = Raise::Repeated { count: 3, days: 28 };
    assert_eq!(raised(&[one(-24 * 28, None), one(-1, None)]).raises, [repeated]);
    assert_eq!(raised(&[one(-24 * 28, None), one(-1, None)]).urgency, Urgency::Raised);
    assert_eq!(raised(&[one(-24 * 28 - 1, None), one(-1, None)]).raises, []);
    // This one itself and what came later don't count.
    assert_eq!(raised(&[one(0, None), one(1, None), one(-1, None)]).raises, []);
    let rising = Raise::Rising { from: 4, to: 9 };
    assert_eq!(raised(&[one(-9000, Some(4))]).raises, [rising]);
    assert_eq!(raised(&[one(-9000, Some(5))]).raises, []);
    // Since the last questionnaire: what came without one says nothing.
    assert_eq!(raised(&[one(-9000, Some(4)), one(-8000, None)]).raises, [rising]);
    assert_eq!(raised(&[one(-9000, Some(4)), one(-8000, Some(9))]).raises, []);
    assert_eq!(raised(&[one(-8000, Some(9)), one(-8000, Some(4))]).raises, [rising]);
    assert_eq!(flag(&consultation(Some(adding_up_to(8))), &[one(-2, Some(0)), one(-1, Some(0))]), None);
    let urgent = Consultation { emergency: true, ..high.clone() };
    assert_eq!(flag(&urgent, &[one(-2, None), one(-1, Some(0))]).unwrap().urgency, Urgency::Urgent);
    let loose = Criteria { repeated: 1, rise: 0, ..criteria() };
    assert_eq!(triage(&high, &[one(-9000, Some(9))], &loose).flag.unwrap().urgency, Urgency::Weekly);
}

/// The model asks one question at a time, and counts on its fingers.
fn model(c: &Consultation, earlier: &[Earlier], criteria: &Criteria) -> (Vec<String>, u8, Vec<&'static str>, bool) {
    let scores: Vec<u8> = c.epds.map(|epds| epds.scores().iter().flatten().copied().collect()).unwrap_or_default();
    let mut total = 0_u32;
    for score in &scores {
        total += u32::from(*score);
    }
    let mut codes = Vec::new();
    if c.epds.is_some() && total >= u32::from(criteria.epds_sum) {
        codes.push("epds-sum".to_owned());
    }
    if let Some(Some(last)) = c.epds.map(|epds| epds.scores()[9])
        && last >= criteria.epds_item_10
    {
        codes.push("epds-item-10".to_owned());
    }
    if c.judgement == Some(Judgement { reasoned: true }) {
        codes.push("judgement".to_owned());
    }
    if c.emergency {
        codes.push("emergency".to_owned());
    }
    for mark in &criteria.marks {
        for given in &c.marks {
            if *given == mark.code {
                codes.push(format!("mark:{given}"));
            }
        }
    }
    let (mut times, mut last) = (1_u32, None);
    let mut sorted = earlier.to_vec();
    sorted.sort_by_key(|one| (one.at, one.sum.map(|sum| 30 - sum)));
    for one in sorted {
        if one.at >= c.at {
            continue;
        }
        if c.at.as_second() - one.at.as_second() <= i64::from(criteria.repeated_days) * 24 * HOUR {
            times += 1;
        }
        if one.sum.is_some() {
            last = one.sum;
        }
    }
    let mut raises = Vec::new();
    if times >= 2 && times >= u32::from(criteria.repeated) {
        raises.push("repeated");
    }
    if let (Some(last), true) = (last, c.epds.is_some())
        && total > u32::from(last)
        && total >= u32::from(last) + u32::from(criteria.rise)
    {
        raises.push("rising");
    }
    let now = codes.iter().any(|code| code == "epds-item-10" || code == "emergency");
    let level = if now { 2 } else { u8::from(!raises.is_empty()) };
    (codes, level, raises, c.judgement == Some(Judgement { reasoned: false }))
}

fn seen(verdict: &Verdict) -> Option<(Vec<String>, u8, Vec<&'static str>)> {
    let flag = verdict.flag.as_ref()?;
    let raise = |raise: &Raise| if matches!(raise, Raise::Repeated { .. }) { "repeated" } else { "rising" };
    let codes = flag.triggers.iter().map(Trigger::code).collect();
    Some((codes, flag.urgency as u8, flag.raises.iter().map(raise).collect()))
}

fn any_consultation() -> impl Strategy<Value = Consultation> {
    let epds = prop::option::of(prop::array::uniform10(prop::option::of(0..4_u8)));
    let judgement = prop::option::of(any::<bool>().prop_map(|reasoned| Judgement { reasoned }));
    let marks = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    (epds, judgement, prop::bool::weighted(0.1), marks).prop_map(|(epds, judgement, emergency, marks)| Consultation {
        judgement,
        emergency,
        marks: marks.into_iter().map(str::to_owned).collect(),
        ..consultation(epds)
    })
}

fn any_earlier() -> impl Strategy<Value = Vec<Earlier>> {
    let one = (-1500..50_i64, prop::option::of(0..31_u8)).prop_map(|(hours, sum)| Earlier { at: at(hours), sum });
    prop::collection::vec(one, 0..6)
}

fn any_criteria() -> impl Strategy<Value = Criteria> {
    (0..31_u8, 0..4_u8, 0..5_u8, 0..60_u16, 0..12_u8).prop_map(|(sum, item_10, repeated, repeated_days, rise)| {
        Criteria { epds_sum: sum, epds_item_10: item_10, repeated, repeated_days, rise, ..criteria() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn triage_agrees_with_a_slow_model(c in any_consultation(), earlier in any_earlier(), criteria in any_criteria()) {
        let verdict = triage(&c, &earlier, &criteria);
        let (codes, level, raises, back) = model(&c, &earlier, &criteria);
        prop_assert_eq!(verdict.judgement_without_reason, back);
        let expected = (!codes.is_empty()).then_some((codes, level, raises));
        prop_assert_eq!(seen(&verdict), expected);
    }

    #[test]
    fn order_does_not_matter_and_more_never_lowers(
        c in any_consultation(), earlier in any_earlier(), more in any_earlier(), criteria in any_criteria(),
    ) {
        let mut turned = earlier.clone();
        turned.reverse();
        let verdict = triage(&c, &earlier, &criteria);
        prop_assert_eq!(&triage(&c, &turned, &criteria), &verdict);
        // Further consultations without a questionnaire, an emergency, a judgement: none of them lowers anything.
        let level = |verdict: &Verdict| verdict.flag.as_ref().map(|flag| flag.urgency);
        let with_more: Vec<Earlier> = earlier.iter().copied().chain(more.into_iter().map(|one| Earlier { sum: None, ..one })).collect();
        prop_assert!(level(&triage(&c, &with_more, &criteria)) >= level(&verdict));
        let worse = Consultation { emergency: true, judgement: Some(Judgement { reasoned: true }), ..c.clone() };
        prop_assert_eq!(level(&triage(&worse, &earlier, &criteria)), Some(Urgency::Urgent));
        // No flag by judgement without its reason.
        let only = Consultation { judgement: Some(Judgement { reasoned: false }), epds: None, emergency: false, marks: Vec::new(), ..c };
        prop_assert_eq!(triage(&only, &earlier, &criteria).flag, None);
    }
}
