//! ISO weeks (ISO 8601) in Japan's time, and when each is due. Pure.
//!
//! Japan has had one offset since 1951, so local time is UTC plus nine hours, whatever time zone data a machine has.

use std::fmt;

use jiff::civil::{Date, ISOWeekDate, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use sekisho_policy::Timestamp;

/// Weeks that are caught up after a long stop, at most.
pub const MISSED_MAX: usize = 53;

/// An ISO week, `2026-W47`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week {
    year: i16,
    week: i8,
}

/// When in a week packages are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// On which day.
    pub day: Weekday,
    /// When, local time.
    pub time: Time,
}

/// Japan's time.
#[must_use]
pub fn jst() -> TimeZone {
    TimeZone::fixed(Offset::constant(9))
}

/// The local date at an instant.
#[must_use]
pub fn date(at: Timestamp) -> Date {
    local(at).map_or(Date::constant(1970, 1, 1), |at| at.date())
}

fn local(at: Timestamp) -> Option<jiff::Zoned> {
    jiff::Timestamp::from_millisecond(at.millis()).ok().map(|at| at.to_zoned(jst()))
}

impl Week {
    /// Reads `2026-W47`. `None` for anything else, such as week 53 of a year that has 52.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, week) = text.split_once("-W")?;
        let digits = year.len() == 4 && week.len() == 2 && text.bytes().filter(u8::is_ascii_digit).count() == 6;
        if !digits {
            return None;
        }
        Self::new(year.parse().ok()?, week.parse().ok()?)
    }

    fn new(year: i16, week: i8) -> Option<Self> {
        ISOWeekDate::new(year, week, Weekday::Monday).ok().map(|_| Self { year, week })
    }

    /// The week of a local date.
    #[must_use]
    pub fn of(date: Date) -> Self {
        let at = date.iso_week_date();
        Self { year: at.year(), week: at.week() }
    }

    /// The week after.
    #[must_use]
    pub fn next(self) -> Self {
        let monday = self.day(Weekday::Monday);
        monday.checked_add(jiff::Span::new().days(7)).map_or(self, Self::of)
    }

    fn day(self, day: Weekday) -> Date {
        ISOWeekDate::new(self.year, self.week, day).map_or(Date::MAX, ISOWeekDate::date)
    }

    /// As a key that sorts like the week.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from(self.year.unsigned_abs()) * 100 + u32::from(self.week.unsigned_abs())
    }

    /// The week with this [`Week::number`].
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        Self::new(i16::try_from(number / 100).ok()?, i8::try_from(number % 100).ok()?)
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-W{:02}", self.year, self.week)
    }
}

impl fmt::Debug for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Schedule {
    /// Reads `mon 06:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once(' ')?;
        let day = match day {
            "mon" => Weekday::Monday,
            "tue" => Weekday::Tuesday,
            "wed" => Weekday::Wednesday,
            "thu" => Weekday::Thursday,
            "fri" => Weekday::Friday,
            "sat" => Weekday::Saturday,
            "sun" => Weekday::Sunday,
            _ => return None,
        };
        let (hour, minute) = time.split_once(':')?;
        let two = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
        let time = Time::new(two(hour)??, two(minute)??, 0, 0).ok()?;
        Some(Self { day, time })
    }

    /// When this week is due: what was asked before goes into it.
    #[must_use]
    pub fn due(self, week: Week) -> Timestamp {
        let at = week.day(self.day).to_datetime(self.time).to_zoned(jst());
        at.map_or(Timestamp::MAX, |at| Timestamp::from_millis(at.timestamp().as_millisecond()))
    }

    /// The last week that is due at this instant.
    #[must_use]
    pub fn last_due(self, now: Timestamp) -> Week {
        let this = Week::of(date(now));
        if self.due(this) <= now {
            return this;
        }
        let week_before = date(now).checked_sub(jiff::Span::new().days(7));
        week_before.map_or(this, Week::of)
    }

    /// The weeks that are due at this instant and come after `last`, the oldest first; of a long stop the newest
    /// [`MISSED_MAX`]. Without a last one: the one that is due.
    #[must_use]
    pub fn missed(self, last: Option<Week>, now: Timestamp) -> Vec<Week> {
        let due = self.last_due(now);
        let Some(last) = last else { return vec![due] };
        let mut weeks = Vec::new();
        let mut week = last.next();
        while week <= due {
            weeks.push(week);
            let next = week.next();
            if next <= week {
                break;
            }
            week = next;
        }
        weeks.split_off(weeks.len().saturating_sub(MISSED_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn week(text: &str) -> Week {
        Week::parse(text).unwrap()
    }

    #[test]
    fn weeks_are_read_and_written_in_one_spelling() {
        for text in ["2026-W47", "2026-W53", "2020-W53", "2026-W01"] {
            assert_eq!(week(text).to_string(), text);
            assert_eq!(Week::of_number(week(text).number()), Some(week(text)));
        }
        for wrong in
            ["2025-W53", "2026-W00", "2026-W54", "2026-W7", "26-W07", "2026W47", "2026-w47", "２０２６-W47", ""]
        {
            assert_eq!(Week::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_year_ends_with_its_53rd_week_where_it_has_one() {
        assert_eq!(week("2026-W52").next(), week("2026-W53"));
        assert_eq!(week("2026-W53").next(), week("2027-W01"));
        assert_eq!(week("2025-W52").next(), week("2026-W01"));
        // 1 January 2027 is a Friday: still the last week of 2026.
        assert_eq!(Week::of(Date::constant(2027, 1, 1)), week("2026-W53"));
        assert!(week("2026-W53") < week("2027-W01"));
    }

    #[test]
    fn a_week_is_due_at_its_hour_in_japan() {
        let schedule = Schedule::parse("mon 06:00").unwrap();
        assert_eq!(schedule.due(week("2026-W47")), at("2026-11-15T21:00:00Z"));
        assert_eq!(schedule.last_due(at("2026-11-15T20:59:59Z")), week("2026-W46"));
        assert_eq!(schedule.last_due(at("2026-11-15T21:00:00Z")), week("2026-W47"));
        for wrong in ["monday 06:00", "mon 6:00", "mon 24:00", "mon", "mon 06:60", "mon +6:00"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn missed_weeks_are_caught_up_in_order_and_none_comes_again() {
        let schedule = Schedule::parse("mon 06:00").unwrap();
        let now = at("2027-01-06T00:00:00Z");
        let missed = schedule.missed(Some(week("2026-W51")), now);
        assert_eq!(missed, [week("2026-W52"), week("2026-W53"), week("2027-W01")]);
        assert_eq!(schedule.missed(Some(week("2027-W01")), now), []);
        // A clock that jumped back a day, or a year: what was done is not done again.
        assert_eq!(schedule.missed(Some(week("2027-W01")), at("2027-01-03T00:00:00Z")), []);
        assert_eq!(schedule.missed(Some(week("2027-W01")), at("2026-01-03T00:00:00Z")), []);
        assert_eq!(schedule.missed(None, now), [week("2027-W01")]);
        assert_eq!(schedule.missed(Some(week("2020-W01")), now).len(), MISSED_MAX);
    }
}
