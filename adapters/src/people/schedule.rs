//! The routine vaccination schedule (定期接種): which doses a child of a birth date has had by a day.
//!
//! Pure: the same child and the same draws give the same doses. Windows and intervals are in [`super::rules`]; what happens
//! within them (on time, late, started very late, given up) is drawn.

use jiff::civil::Date;
use rand::Rng;
use rand_chacha::ChaCha12Rng;

use super::rules::{Vaccine, after, days_between, months_after, plus_days, reached, school_year_before_entry};

/// One dose as planned: what, which of the series, when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub vaccine: Vaccine,
    pub number: u8,
    pub date: Date,
}

/// First day of the combined vaccine of five.
const PENTA_FROM: Date = Date::constant(2024, 4, 1);
/// Born from then on: rotavirus is routine.
const ROTA_BORN_FROM: Date = Date::constant(2020, 8, 1);
/// Born from then on: hepatitis B is routine.
const HEP_B_BORN_FROM: Date = Date::constant(2016, 4, 1);

/// How a household keeps appointments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Prompt,
    Late,
    /// Begins between seven and eleven months of age.
    LateStart,
    /// Begins after the first birthday.
    VeryLateStart,
}

struct Plan<'a> {
    birth: Date,
    today: Date,
    habit: Habit,
    rng: &'a mut ChaCha12Rng,
    doses: Vec<Planned>,
}

/// The doses of a child by `today`, in order of date.
pub(super) fn plan(birth: Date, today: Date, rng: &mut ChaCha12Rng) -> Vec<Planned> {
    let habit = match rng.random_range(0..100_u32) {
        0..70 => Habit::Prompt,
        70..94 => Habit::Late,
        94..98 => Habit::LateStart,
        _ => Habit::VeryLateStart,
    };
    let mut plan = Plan { birth, today, habit, rng, doses: Vec::with_capacity(32) };
    plan.infancy();
    plan.live_vaccines();
    plan.later();
    plan.doses.sort_by_key(|dose| dose.date);
    plan.doses
}

impl Plan<'_> {
    fn delay(&mut self) -> i32 {
        match self.habit {
            Habit::Prompt => self.rng.random_range(0..10),
            _ => self.rng.random_range(3..45),
        }
    }

    /// An appointment on or after a day: clinics are closed on Sundays.
    fn visit(&mut self, earliest: Date) -> Date {
        let delay = self.delay();
        open_day(plus_days(earliest, delay))
    }

    /// Records a dose if it lies within its window and isn't in the future. Says whether it did.
    fn give(&mut self, vaccine: Vaccine, number: u8, date: Date, from: Date, until: Date) -> bool {
        let given = date >= from && date <= until && date <= self.today;
        if given {
            self.doses.push(Planned { vaccine, number, date });
        }
        given
    }

    fn age(&self, months: i32) -> Date {
        reached(self.birth, months)
    }

    /// What begins with the first visit at two months.
    fn infancy(&mut self) {
        let start = match self.habit {
            Habit::Prompt | Habit::Late => months_after(self.birth, 2),
            Habit::LateStart => months_after(self.birth, self.rng.random_range(7..11)),
            Habit::VeryLateStart => months_after(self.birth, self.rng.random_range(13..30)),
        };
        let first = self.visit(start);
        let second = self.visit(after(first, 27));
        let third = self.visit(after(second, 27));
        self.rota([first, second, third]);
        self.hep_b(first, second);
        self.pneumococcal([first, second, third]);
        let penta = first >= PENTA_FROM;
        if !penta {
            self.hib([first, second, third]);
        }
        let combined = if penta { Vaccine::Penta } else { Vaccine::Quad };
        let (from, until) = (self.age(2), self.age(90));
        let mut all = true;
        for (number, date) in (1..).zip([first, second, third]) {
            all = all && self.give(combined, number, date, from, until);
        }
        if all {
            let booster = self.visit(months_after(third, if penta { 6 } else { 12 }));
            self.give(combined, 4, booster, from, until);
        }
    }

    fn rota(&mut self, visits: [Date; 3]) {
        // The first dose is recommended by 14 weeks and 6 days; later ones aren't begun.
        let [first, ..] = visits;
        if self.birth < ROTA_BORN_FROM || first > plus_days(self.birth, 104) {
            return;
        }
        let (vaccine, doses, last) =
            if self.rng.random_bool(0.6) { (Vaccine::Rota1, 2, 168) } else { (Vaccine::Rota5, 3, 224) };
        let (from, until) = (plus_days(self.birth, 42), plus_days(self.birth, last));
        for (number, date) in (1..).zip(visits).take(doses) {
            if !self.give(vaccine, number, date, from, until) {
                break;
            }
        }
    }

    fn hep_b(&mut self, first: Date, second: Date) {
        let until = self.age(12);
        if self.birth < HEP_B_BORN_FROM {
            return;
        }
        if self.give(Vaccine::HepB, 1, first, self.birth, until)
            && self.give(Vaccine::HepB, 2, second, self.birth, until)
        {
            let third = self.visit(after(first, 139).max(months_after(self.birth, 7)));
            self.give(Vaccine::HepB, 3, third, self.birth, until);
        }
    }

    fn pneumococcal(&mut self, visits: [Date; 3]) {
        let [first, second, third] = visits;
        let (from, until, one, two) = (self.age(2), self.age(60), self.age(12), self.age(24));
        if !self.give(Vaccine::Pneumococcal, 1, first, from, until) || first >= two {
            return;
        }
        if first >= one {
            let second = self.visit(after(first, 60));
            self.give(Vaccine::Pneumococcal, 2, second, from, until);
            return;
        }
        if !self.give(Vaccine::Pneumococcal, 2, second, from, two) {
            return;
        }
        let mut last = (second, 3);
        // A child that began at seven months or later, or had the second dose after the first birthday, has no third.
        if first < self.age(7) && second <= one {
            if !self.give(Vaccine::Pneumococcal, 3, third, from, two) {
                return;
            }
            last = (third, 4);
        }
        let booster = self.visit(after(last.0, 60).max(months_after(self.birth, 12)));
        self.give(Vaccine::Pneumococcal, last.1, booster, from, until);
    }

    fn hib(&mut self, visits: [Date; 3]) {
        let [first, second, third] = visits;
        let (from, until, one) = (self.age(2), self.age(60), self.age(12));
        if !self.give(Vaccine::Hib, 1, first, from, until) || first >= one {
            return;
        }
        if !self.give(Vaccine::Hib, 2, second, from, one) {
            return;
        }
        let mut last = (second, 3);
        if first < self.age(7) {
            if !self.give(Vaccine::Hib, 3, third, from, one) {
                return;
            }
            last = (third, 4);
        }
        let booster = self.visit(months_after(last.0, 7));
        self.give(Vaccine::Hib, last.1, booster, from, until);
    }

    /// BCG, measles-rubella and varicella: injected live vaccines keep 27 days between them, or share a day.
    fn live_vaccines(&mut self) {
        let month = match self.habit {
            Habit::Prompt | Habit::Late => 5,
            Habit::LateStart | Habit::VeryLateStart => self.rng.random_range(9..12),
        };
        let bcg = self.visit(months_after(self.birth, month));
        self.give_live(Vaccine::Bcg, 1, bcg, self.birth, self.age(12));
        let first = self.visit(months_after(self.birth, 12));
        let (from, until) = (self.age(12), self.age(36));
        self.give_live(Vaccine::MeaslesRubella, 1, first, from, self.age(24));
        if let Some(given) = self.give_live(Vaccine::Varicella, 1, first, from, until) {
            let second = self.visit(months_after(given, 6));
            self.give_live(Vaccine::Varicella, 2, second, from, until);
        }
        let (april, march) = school_year_before_entry(self.birth);
        let day = plus_days(april, self.rng.random_range(0..330));
        self.give_live(Vaccine::MeaslesRubella, 2, open_day(day), april, march);
    }

    fn give_live(&mut self, vaccine: Vaccine, number: u8, date: Date, from: Date, until: Date) -> Option<Date> {
        let mut date = date;
        // Each pass moves past one earlier dose at most; there are fewer than eight.
        for _ in 0..8 {
            let near = self.doses.iter().find(|dose| {
                dose.vaccine.injected_live() && dose.date != date && days_between(dose.date, date).abs() < 28
            });
            match near {
                Some(dose) => date = open_day(after(dose.date, 27)),
                None => break,
            }
        }
        self.give(vaccine, number, date, from, until).then_some(date)
    }

    fn later(&mut self) {
        let (from, until) = (self.age(6), self.age(90));
        let first = self.visit(months_after(self.birth, 36));
        let second = self.visit(after(first, 6));
        if self.give(Vaccine::JapaneseEncephalitis, 1, first, from, until)
            && self.give(Vaccine::JapaneseEncephalitis, 2, second, from, until)
        {
            let booster = self.visit(months_after(second, 12));
            self.give(Vaccine::JapaneseEncephalitis, 3, booster, from, until);
        }
        let second_term = self.visit(months_after(self.birth, 108));
        self.give(Vaccine::JapaneseEncephalitis, 4, second_term, self.age(108), self.age(156));
        let dt = self.visit(months_after(self.birth, 132));
        self.give(Vaccine::DiphtheriaTetanus, 1, dt, self.age(132), self.age(156));
    }
}

/// The day itself, or the Monday after a Sunday.
fn open_day(date: Date) -> Date {
    if date.weekday() == jiff::civil::Weekday::Sunday { plus_days(date, 1) } else { date }
}
