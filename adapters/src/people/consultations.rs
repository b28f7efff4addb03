//! Consultations of the synthetic families, as an online consultation service holds them (`docs/consultation-source.md`).
//!
//! What it does: makes consultation number *i* independently of all others, always the same: about every tenth needs a nurse, very
//! few can't wait, every eighth is a second one of the same person, some people are away from home.
//! What it never does: use a real person's words, or an item's wording.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use serde_json::{Value, json};

use super::rules::plus_days;
use super::{Household, People, Person};
use crate::municipality::{MUNICIPALITIES, MunicipalityCode};

/// One in so many can't wait.
const URGENT_ONE_IN: u32 = 5_000;
/// Version of the text that the service shows, in the consultations made here.
pub const TEXT_VERSION: &str = "2026-04";

/// The source of consultations.
#[derive(Debug, Clone, Copy)]
pub struct Consultations {
    people: People,
    seed: u64,
    /// When number 0 came.
    from: Timestamp,
    /// How far apart they come.
    every_ms: i64,
}

/// What was drawn for one consultation.
struct Drawn {
    household: Household,
    at: Timestamp,
    epds: Option<[Option<u8>; 10]>,
    judged: bool,
    emergency: bool,
    choice: &'static str,
    present: Option<MunicipalityCode>,
    hidden: bool,
    voicemail: bool,
    with_child: bool,
}

impl Consultations {
    /// The consultations of a seed's families: number 0 at `from`, the others `every_ms` apart.
    #[must_use]
    pub const fn new(seed: u64, today: Date, from: Timestamp, every_ms: i64) -> Self {
        Self { people: People { seed, today }, seed, from, every_ms }
    }

    /// Its id.
    #[must_use]
    pub fn id(index: u64) -> String {
        format!("k-{index:07}")
    }

    /// Which number an id has.
    #[must_use]
    pub fn index(id: &str) -> Option<u64> {
        let digits = id.strip_prefix("k-")?;
        digits.parse().ok().filter(|index| Self::id(*index) == id)
    }

    /// Whose consultation number `index` is: every eighth is one more of somebody who has asked before.
    #[must_use]
    pub const fn family_of(index: u64) -> u64 {
        if index % 8 == 7 { index.saturating_sub(5) } else { index }
    }

    fn draw(&self, index: u64) -> Drawn {
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let flagged = rng.random_bool(0.10);
        let urgent = rng.random_ratio(1, URGENT_ONE_IN);
        let by_judgement = flagged && rng.random_bool(0.25);
        let answered = rng.random_bool(0.8) || (flagged && !by_judgement);
        let mut epds = answered.then(|| scores(&mut rng, flagged && !by_judgement));
        let emergency = urgent && rng.random_bool(0.4);
        if urgent && !emergency {
            let [items @ .., _] = epds.unwrap_or([Some(0); 10]);
            let [a, b, c, d, e, f, g, h, i] = items;
            epds = Some([a, b, c, d, e, f, g, h, i, Some(rng.random_range(1..=3))]);
        }
        let household = self.people.household(Self::family_of(index));
        let away = rng.random_bool(0.04).then(|| super::pick(&mut rng, &MUNICIPALITIES).code);
        let elapsed = SignedDuration::from_millis(self.every_ms.saturating_mul(i64::try_from(index).unwrap_or(0)));
        Drawn {
            at: self.from.checked_add(elapsed).unwrap_or(self.from),
            present: away.filter(|code| *code != household.home.code),
            household,
            epds,
            judged: by_judgement || (flagged && rng.random_bool(0.2)),
            emergency,
            choice: match rng.random_range(0..100_u32) {
                0..75 => "content",
                75..90 => "identity-only",
                _ => "nothing",
            },
            hidden: rng.random_bool(0.1),
            voicemail: rng.random_bool(0.6),
            with_child: rng.random_bool(0.85),
        }
    }

    /// Consultation number `index` in the plain shape, as JSON text.
    #[must_use]
    pub fn json(&self, index: u64) -> String {
        let mut text = String::with_capacity(800);
        // Writing into a text can't fail.
        let _ = self.write(index, &mut text);
        text
    }

    fn write(&self, index: u64, to: &mut String) -> std::fmt::Result {
        let drawn = self.draw(index);
        let Some(asker) = drawn.household.parents.first() else { return Ok(()) };
        write!(
            to,
            r#"{{"id":"k-{index:07}","at":"{}","asker":{{"id":"{}","birth":"{}"}}"#,
            drawn.at, asker.id, asker.birth
        )?;
        if let Some((number, birth)) = drawn.child() {
            let family = drawn.household.index;
            write!(to, r#","child":{{"id":"syn-{family:06}-c{number}","birth":"{birth}"}}"#)?;
        }
        if let Some(scores) = drawn.epds {
            to.push_str(",\"epds\":[");
            for (score, item) in scores.iter().zip(0..) {
                to.push_str(if item == 0 { "" } else { "," });
                match score {
                    Some(score) => write!(to, "{score}")?,
                    None => to.push_str("null"),
                }
            }
            to.push(']');
        }
        if drawn.judged {
            to.push_str(r#","judgement":{"reason":"（架空）睡眠がとれず、育児の負担が大きいと判断した。"}"#);
        }
        let home = drawn.household.home.code;
        write!(
            to,
            r#","emergency":{},"sharing":{{"choice":"{}","municipality":"{home}","text_version":"{TEXT_VERSION}","at":"{}","evidence":"ev-{index:07}"}}"#,
            drawn.emergency, drawn.choice, drawn.at
        )?;
        write!(to, r#","residence":{{"municipality":"{home}","postal":"{}"}}"#, postal(home, drawn.household.index))?;
        if let Some(present) = drawn.present {
            write!(to, r#","present":{{"municipality":"{present}","postal":"{}"}}"#, postal(present, index))?;
        }
        let means = if drawn.hidden { r#""app-message""# } else { r#""telephone","app-message""# };
        write!(
            to,
            r#","safe_contact":{{"means":[{means}],"hours":"平日 10:00-15:00","voicemail":{},"hidden_from_family":{}}}}}"#,
            drawn.voicemail && !drawn.hidden,
            drawn.hidden
        )
    }

    /// Who consultation number `index` is about and what was said, in the shape of details; words only `with_content`.
    #[must_use]
    pub fn detail(&self, index: u64, with_content: bool) -> Option<Value> {
        let drawn = self.draw(index);
        let asker = drawn.household.parents.first()?;
        let number = drawn.household.index % 10_000;
        let child = drawn.child().and_then(|(number, _)| {
            let family = self.people.family(drawn.household.index);
            family.children.get(usize::from(number).saturating_sub(1)).map(|child| identity(&child.person))
        });
        let mut detail = json!({
            "id": Self::id(index),
            "asker": identity(asker),
            "child": child,
            "address": format!("{}見本町{}-{}（架空）", drawn.household.home.name, number % 9 + 1, number % 30 + 1),
            "reach": if drawn.hidden { json!([]) } else { json!([{"means": "telephone", "at": format!("03-0000-{number:04}")}]) },
        });
        if with_content && let Some(members) = detail.as_object_mut() {
            let judgement = drawn.judged.then_some("（架空）睡眠がとれず、育児の負担が大きいと判断した。");
            let day = crate::consultation::local_day(drawn.at);
            let sum: u8 = drawn.epds.iter().flatten().flatten().sum();
            let course = json!([{"date": plus_days(day, -28).to_string(), "sum": sum / 2}]);
            members.insert(
                "content".to_owned(),
                json!({
                    "judgement": judgement,
                    "consultation": "（架空）夜中に何度も起きるため眠れません。相談できる人が近くにいません。",
                    "advice": "（架空）まず休める時間を一緒に探しました。地区の保健師に相談できることを案内しました。",
                    "course": course,
                }),
            );
        }
        Some(detail)
    }
}

impl Drawn {
    /// The youngest child that was born by then, and which it is.
    fn child(&self) -> Option<(u8, Date)> {
        let day = crate::consultation::local_day(self.at);
        let born = (1_u8..).zip(&self.household.births).filter(|(_, birth)| **birth <= day).last();
        born.filter(|_| self.with_child).map(|(number, birth)| (number, *birth))
    }
}

fn identity(person: &Person) -> Value {
    json!({
        "id": person.id,
        "name": format!("{} {}", person.family, person.given),
        "kana": format!("{} {}", person.family_kana, person.given_kana),
        "birth": person.birth.to_string(),
    })
}

/// A postal code of the municipality: its real first digits, the last ones by chance.
fn postal(municipality: MunicipalityCode, number: u64) -> String {
    let first = match municipality.as_str() {
        "131016" => "100-00",
        "131121" => "154-00",
        "131202" => "176-00",
        "132012" => "192-00",
        "132047" => "181-00",
        "132063" => "183-00",
        "132144" => "185-00",
        _ => "206-08",
    };
    format!("{first}{:02}", number % 40)
}

/// Ten scores, item 10 never above 0. Most add up to less than 9; `high` ones to more; one in ten leaves items out.
fn scores(rng: &mut ChaCha12Rng, high: bool) -> [Option<u8>; 10] {
    let mut scores = [Some(0_u8); 10];
    let leaves_out = rng.random_ratio(1, 10);
    let wanted: u8 = if high { rng.random_range(9..20) } else { rng.random_range(0..9) };
    let mut left = wanted;
    while left > 0 {
        let [nine @ .., _] = &mut scores;
        let at = usize::from(rng.random_range(0..9_u8));
        if let Some(Some(score)) = nine.get_mut(at).filter(|score| score.is_some_and(|score| score < 3)) {
            *score = score.saturating_add(1);
            left = left.saturating_sub(1);
        }
    }
    if leaves_out {
        for score in scores.iter_mut().filter(|score| **score == Some(0)).take(2) {
            *score = None;
        }
    }
    scores
}
