//! Synthetic families: people, addresses and vaccination histories that follow the real schedule.
//!
//! What it does: from a seed and a "today", makes family number *i* independently of all others, always the same, so
//! that any number of them can be streamed. Makers and clinics are marked as invented.
//! What it never does: use data of real people, produce a My Number, or invent a code of a real code system.
//! Facts: the routine schedule (see [`rules`]) and the national municipality codes (see [`crate::municipality`]).

pub mod consultations;
pub mod fhir;
mod names;
pub mod phr;
pub mod rules;
mod schedule;

use std::fmt;

use jiff::civil::Date;
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::municipality::{MUNICIPALITIES, Municipality};
use names::{BOYS, CLINICS, FATHERS, GIRLS, MAKERS, MOTHERS, Name, SURNAMES};
use rules::{Vaccine, plus_days};

/// Administrative sex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// 女.
    Female,
    /// 男.
    Male,
}

/// A synthetic person. `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// `syn-000042-p1` (parents) or `syn-000042-c1` (children).
    pub id: String,
    /// Family name in kanji.
    pub family: &'static str,
    /// Family name in kana.
    pub family_kana: &'static str,
    /// Given name in kanji.
    pub given: &'static str,
    /// Given name in kana.
    pub given_kana: &'static str,
    /// Sex.
    pub sex: Sex,
    /// Birth date.
    pub birth: Date,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One vaccination that was given. `Debug` shows the vaccine only.
#[derive(Clone, PartialEq, Eq)]
pub struct Dose {
    /// Which vaccine.
    pub vaccine: Vaccine,
    /// Which dose of it, from 1.
    pub number: u8,
    /// When.
    pub date: Date,
    /// Lot number (製造番号).
    pub lot: String,
    /// Maker, invented.
    pub maker: &'static str,
    /// Clinic, invented.
    pub clinic: String,
    /// Where the clinic is: whose price applies.
    pub place: Municipality,
    /// Where the child lived: whose eligibility applied and whose record it is.
    pub home: Municipality,
}

impl fmt::Debug for Dose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dose").field("vaccine", &self.vaccine).finish_non_exhaustive()
    }
}

/// A child with its history, in order of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Who.
    pub person: Person,
    /// What it has had.
    pub doses: Vec<Dose>,
}

/// A change of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// When.
    pub on: Date,
    /// From where.
    pub from: Municipality,
}

/// A synthetic family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its number.
    pub index: u64,
    /// Where it lives now.
    pub home: Municipality,
    /// Whether it came from elsewhere.
    pub moved: Option<Move>,
    /// One or two parents.
    pub parents: Vec<Person>,
    /// One to three children, oldest first.
    pub children: Vec<Child>,
}

/// A family without its children's names and histories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Household {
    /// Its number.
    pub index: u64,
    /// Where it lives now.
    pub home: Municipality,
    /// Whether it came from elsewhere.
    pub moved: Option<Move>,
    /// One or two parents, the mother first.
    pub parents: Vec<Person>,
    /// Birth dates of its children, oldest first; child number *n* has the id `syn-…-c{n}`.
    pub births: Vec<Date>,
}

/// The source of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct People {
    seed: u64,
    today: Date,
}

const CHILD_OLDEST_DAYS: i32 = 12 * 365;

impl People {
    /// The families of a seed, as they are on `today`.
    #[must_use]
    pub fn new(seed: u64, today: Date) -> Self {
        Self { seed, today }
    }

    /// Family number `index`.
    #[must_use]
    pub fn family(&self, index: u64) -> Family {
        self.draw(index, &mut self.rng(index))
    }

    /// Families from 0 on, for ever.
    pub fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let people = *self;
        (0..u64::MAX).map(move |index| people.family(index))
    }

    /// Family number `index` without what its children have had: the same people, at a fraction of the work.
    #[must_use]
    pub fn household(&self, index: u64) -> Household {
        self.people_of(index, &mut self.rng(index)).0
    }

    fn rng(&self, index: u64) -> ChaCha12Rng {
        let mut seed = [0_u8; 32];
        for (to, from) in seed
            .iter_mut()
            .zip(self.seed.to_le_bytes().into_iter().chain(index.to_le_bytes()).chain(*b"sekisho-people-1"))
        {
            *to = from;
        }
        ChaCha12Rng::from_seed(seed)
    }

    fn people_of(&self, index: u64, rng: &mut ChaCha12Rng) -> (Household, Name) {
        let surname = pick(rng, &SURNAMES);
        let home = pick(rng, &MUNICIPALITIES);
        let moved = rng.random_bool(0.2).then(|| Move {
            on: plus_days(self.today, -rng.random_range(30..5 * 365)),
            from: pick(rng, &MUNICIPALITIES),
        });
        let moved = moved.filter(|m| m.from != home);
        let births = self.births(rng);
        let eldest = births.first().copied().unwrap_or(self.today);
        let mut parents = vec![parent(index, 1, surname, Sex::Female, eldest, rng)];
        if rng.random_bool(0.9) {
            parents.push(parent(index, 2, surname, Sex::Male, eldest, rng));
        }
        (Household { index, home, moved, parents, births }, surname)
    }

    fn draw(&self, index: u64, rng: &mut ChaCha12Rng) -> Family {
        let (Household { home, moved, parents, births, .. }, surname) = self.people_of(index, rng);
        let children = (1_u8..)
            .zip(births)
            .map(|(number, birth)| self.child(index, number, surname, birth, (home, moved), rng))
            .collect();
        Family { index, home, moved, parents, children }
    }

    /// Birth dates of one to three children, oldest first, at least a year and a half apart.
    fn births(&self, rng: &mut ChaCha12Rng) -> Vec<Date> {
        let count = match rng.random_range(0..10_u32) {
            0..5 => 1,
            5..9 => 2,
            _ => 3,
        };
        let mut births = vec![plus_days(self.today, -rng.random_range(0..6 * 365))];
        for _ in 1..count {
            let Some(last) = births.last() else { break };
            let older = plus_days(*last, -rng.random_range(550..1500));
            if rules::days_between(older, self.today) < CHILD_OLDEST_DAYS {
                births.push(older);
            }
        }
        births.reverse();
        births
    }

    fn child(
        &self,
        index: u64,
        number: u8,
        surname: Name,
        birth: Date,
        (home, moved): (Municipality, Option<Move>),
        rng: &mut ChaCha12Rng,
    ) -> Child {
        let sex = if rng.random_bool(0.487) { Sex::Female } else { Sex::Male };
        let given = if sex == Sex::Female { pick(rng, &GIRLS) } else { pick(rng, &BOYS) };
        let person = person(format!("syn-{index:06}-c{number}"), surname, given, sex, birth);
        let across = rng.random_bool(0.15);
        let doses = schedule::plan(birth, self.today, rng)
            .into_iter()
            .map(|planned| {
                let home = moved.filter(|m| planned.date < m.on).map_or(home, |m| m.from);
                // Mutual agreements let a child be vaccinated in another municipality.
                let place = if across && rng.random_bool(0.4) { pick(rng, &MUNICIPALITIES) } else { home };
                Dose {
                    vaccine: planned.vaccine,
                    number: planned.number,
                    date: planned.date,
                    lot: lot(rng),
                    maker: pick(rng, &MAKERS),
                    clinic: format!("{}{}（架空）", place.name, pick(rng, &CLINICS)),
                    place,
                    home,
                }
            })
            .collect();
        Child { person, doses }
    }
}

fn parent(index: u64, number: u8, surname: Name, sex: Sex, eldest: Date, rng: &mut ChaCha12Rng) -> Person {
    let given = if sex == Sex::Female { pick(rng, &MOTHERS) } else { pick(rng, &FATHERS) };
    let birth = plus_days(eldest, -rng.random_range(22 * 365..42 * 365));
    person(format!("syn-{index:06}-p{number}"), surname, given, sex, birth)
}

fn person(id: String, surname: Name, given: Name, sex: Sex, birth: Date) -> Person {
    Person { id, family: surname.0, family_kana: surname.1, given: given.0, given_kana: given.1, sex, birth }
}

/// A letter, three digits, a letter: the look of a lot number, after a mark that it is synthetic.
fn lot(rng: &mut ChaCha12Rng) -> String {
    let first = char::from(rng.random_range(b'A'..=b'Z'));
    let last = char::from(rng.random_range(b'A'..=b'Z'));
    format!("SYN-{first}{:03}{last}", rng.random_range(0..1000_u32))
}

fn pick<T: Copy, const N: usize>(rng: &mut ChaCha12Rng, from: &[T; N]) -> T {
    const { assert!(N > 0, "nothing to pick from") };
    let at = usize::try_from(rng.random_range(0..u32::try_from(N).unwrap_or(1))).unwrap_or(0);
    #[expect(clippy::indexing_slicing, reason = "drawn below the length, which is not zero")]
    from[at]
}
