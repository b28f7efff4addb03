//! Which lines of 閲覧・提供の記録 a person may see, on pages and over the API alike (invariant 11).
//!
//! A decision shows to whoever may decide now about all that was asked for, unless a legal basis stands behind it. A look by
//! staff at a counter says less, and may betray more: that an office takes an interest, that a young person went somewhere by
//! themself. Where it might, it is hidden from the beginning: no basis that is recorded later takes away a line that was shown.
//! What is hidden has no line, no gap, no count and no proof. Read next: `web/view.rs`, `api/views.rs`.

use sekisho_policy::{PartyId, PersonId, Timestamp};

use super::give::may_decide_on;
use crate::ids::{TextId, party_id};
use crate::sabotage::{self, Check};
use crate::store::registry::COUNTER_KINDS;
use crate::store::state::{Global, Subject};
use crate::store::{LogLine, Logged, Look};

/// How long a look waits until it shows. An office often looks first and has its legal basis recorded then: within this time the
/// basis hides the look too. It reaches from a Friday to the Monday after.
pub const LOOKS_WAIT_MS: i64 = 72 * 3_600_000;

/// Whether a person who decides about the subject may see this line now.
#[must_use]
pub fn may_see(subject: &Subject, global: &Global, person: PersonId, line: &LogLine, now: Timestamp) -> bool {
    match line {
        LogLine::Decision(line) => may_see_decision(subject, global, person, line, now),
        LogLine::Look(look) => may_see_look(subject, global, person, look, now),
    }
}

/// What rests on a legal basis is nobody's to see until a named official has disclosed every basis of that party, and then the
/// subject's alone, never a guardian's; what only the subject decides about, the subject's.
fn may_see_decision(subject: &Subject, global: &Global, person: PersonId, line: &Logged, now: Timestamp) -> bool {
    let party = line.decided.question.party.map(|party| PartyId::of(party.0));
    let known = subject.officials.iter().any(|(known, _)| Some(*known) == party);
    let undisclosed = subject.undisclosed.iter().any(|(_, known)| Some(*known) == party);
    let disclosed = known && !undisclosed && person == subject.records.subject;
    let hidden = line.decided.by_basis && !disclosed && !sabotage::off(Check::LegalBasisHidden);
    !hidden && may_decide_on(subject, global, person, &line.decided.question.categories, now)
}

/// Nobody sees a look
/// - by a party for which a legal basis was recorded about the subject before the look, or while it waited;
/// - by a party of a kind that may not be named so: a consultation service has clients, not visitors;
/// - from before a special adoption, which would lead back to the former family.
///
/// And a guardian sees one only while there is nothing that the subject decides about alone: for what of it somebody came to a
/// counter, a look does not say.
fn may_see_look(subject: &Subject, global: &Global, person: PersonId, look: &Look, now: Timestamp) -> bool {
    let shows_from = look.at.plus_millis(LOOKS_WAIT_MS);
    let waits = now < shows_from && !sabotage::off(Check::LookWaits);
    let party = party_id(&look.looked.party);
    let official = subject.officials.iter().any(|(known, since)| *known == party && *since < shows_from);
    let kind = global.text.party(&look.looked.party).map(|party| party.kind.as_str());
    let may_be_named = kind.is_some_and(|kind| COUNTER_KINDS.contains(&kind));
    let former = subject.adopted_from.is_some_and(|from| look.at < from);
    let everything: Vec<String> = global.text.categories.iter().map(|c| c.version.clone()).collect();
    let own = may_decide_on(subject, global, person, &everything, now)
        || (sabotage::off(Check::LookOwn) && super::give::may_decide(subject, person, now).is_ok());
    !waits
        && (!official || sabotage::off(Check::LookOfficial))
        && may_be_named
        && (!former || sabotage::off(Check::LookFormer))
        && own
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;
    use sekisho_policy::{Authority, AuthorityId, Period};

    use super::*;
    use crate::ids::EntryId;
    use crate::ledger::entry::Bytes16;
    use crate::ledger::event::CounterLooked;
    use crate::store::conformance::world::{self, CITY, DAY_MS, START};

    fn at(days: i64) -> Timestamp {
        START.plus_millis(days * DAY_MS)
    }

    /// A child, the one guardian, and the registry with the city of this kind and an own age for one category.
    fn family(kind: &str, own_age: u8) -> (Subject, PersonId, Global) {
        let (child, guardian) = (PersonId::mint(), PersonId::mint());
        let mut subject = Subject::unknown(child);
        subject.records.birth = date(2016, 11, 23);
        subject.enrolled = true;
        let period = Period::new(at(-1_000), Timestamp::MAX).unwrap();
        subject.records.authorities.push(Authority { id: AuthorityId::mint(), guardian, period });
        let mut text = world::registry();
        text.parties.iter_mut().filter(|p| p.code == CITY).for_each(|p| p.kind = kind.to_owned());
        text.categories.iter_mut().take(1).for_each(|c| c.own_consent_age = own_age);
        (subject, guardian, Global { text: Arc::new(text), ..Global::empty() })
    }

    fn look(at: Timestamp) -> LogLine {
        let looked = CounterLooked { subject: Bytes16([0; 16]), party: CITY.to_owned(), by: "clerk".to_owned() };
        LogLine::Look(Look { position: 0, entry: EntryId::mint(), leaf: [0; 32], at, looked })
    }

    #[test]
    fn a_look_waits_and_what_is_recorded_meanwhile_hides_it() {
        let (mut subject, _, global) = family("municipality", 18);
        let sees = |subject: &Subject, now| may_see(subject, &global, subject.records.subject, &look(at(0)), now);
        let shows_from = at(3);
        assert!(!sees(&subject, shows_from.plus_millis(-1)) && sees(&subject, shows_from));
        subject.officials = vec![(world::app(), at(-1)), (party_id(CITY), shows_from)];
        assert!(sees(&subject, at(400)), "another party's, and one that came too late");
        subject.officials = vec![(party_id(CITY), shows_from.plus_millis(-1))];
        assert!(!sees(&subject, at(400)));
    }

    #[test]
    fn only_parties_with_a_counter_are_named() {
        for (kind, named) in [("municipality", true), ("clinic", true), ("consultation-service", false)] {
            let (subject, guardian, global) = family(kind, 18);
            for person in [subject.records.subject, guardian] {
                assert_eq!(may_see(&subject, &global, person, &look(at(0)), at(9)), named, "{kind}");
            }
        }
        let (subject, _, mut global) = family("municipality", 18);
        global.text = Arc::default();
        assert!(!may_see(&subject, &global, subject.records.subject, &look(at(0)), at(9)), "nor one that is unknown");
    }

    #[test]
    fn a_guardian_sees_looks_until_the_child_decides_something_alone() {
        for (own_age, sees) in [(18, true), (11, true), (10, false), (0, false)] {
            let (subject, guardian, global) = family("municipality", own_age);
            assert_eq!(may_see(&subject, &global, guardian, &look(at(0)), at(9)), sees, "own from {own_age}, aged 10");
            assert!(may_see(&subject, &global, subject.records.subject, &look(at(0)), at(9)));
            assert!(!may_see(&subject, &global, PersonId::mint(), &look(at(0)), at(9)), "a stranger");
        }
        let (mut subject, guardian, global) = family("municipality", 18);
        subject.adopted_from = Some(at(1));
        for person in [subject.records.subject, guardian] {
            assert!(!may_see(&subject, &global, person, &look(at(0)), at(9)), "the former family's");
            assert!(may_see(&subject, &global, person, &look(at(1)), at(9)));
        }
    }
}
