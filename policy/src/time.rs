//! Instants, half-open periods, and the day in Japan on which an age is reached.
//!
//! Nothing here reads a clock; every instant is handed in.

use jiff::Span;
use jiff::civil::Date;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Japan has had one offset, UTC+9, without daylight saving, since 1952.
const JST_OFFSET_MS: i64 = 9 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// Later than every instant that can be recorded: the end of an open period.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than every instant that can be recorded.
    pub const MIN: Self = Self(i64::MIN);

    /// The instant so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `ms` milliseconds, held at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// 00:00 JST of a civil date.
    #[must_use]
    pub fn start_of_day_jst(date: Date) -> Self {
        let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
        Self(days * DAY_MS - JST_OFFSET_MS)
    }
}

/// A period, half-open: `from` belongs to it, `until` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    from: Timestamp,
    until: Timestamp,
}

/// A period whose end is not after its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodError;

impl core::fmt::Display for PeriodError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the period's end is not after its beginning")
    }
}

impl core::error::Error for PeriodError {}

impl Period {
    /// `from` up to, not including, `until`.
    ///
    /// # Errors
    /// When `until` is not after `from`.
    pub fn new(from: Timestamp, until: Timestamp) -> Result<Self, PeriodError> {
        if from < until { Ok(Self { from, until }) } else { Err(PeriodError) }
    }

    /// From an instant on, without a known end. `from` must lie before [`Timestamp::MAX`]; one at the very end of
    /// time yields a period that contains nothing.
    #[must_use]
    pub const fn open(from: Timestamp) -> Self {
        Self { from, until: Timestamp::MAX }
    }

    /// First instant of the period.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// First instant after the period; [`Timestamp::MAX`] when it is open.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether the instant lies in the period.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// Which dates of the data itself a consent covers: `from` up to, not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataPeriod {
    from: Date,
    until: Date,
}

impl DataPeriod {
    /// `from` up to, not including, `until`; either may be left open.
    ///
    /// # Errors
    /// When `until` is not after `from`.
    pub fn new(from: Option<Date>, until: Option<Date>) -> Result<Self, PeriodError> {
        let (from, until) = (from.unwrap_or(Date::MIN), until.unwrap_or(Date::MAX));
        if from < until { Ok(Self { from, until }) } else { Err(PeriodError) }
    }

    /// First date covered.
    #[must_use]
    pub const fn from(&self) -> Date {
        self.from
    }

    /// First date no longer covered.
    #[must_use]
    pub const fn until(&self) -> Date {
        self.until
    }

    /// The smallest period that holds both; the caller knows that they overlap or touch.
    pub(crate) fn joined(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }

    /// Whether a whole span of dates (`first` to `last`, both included) lies in the period. A date known only to the
    /// month passes only when the whole month does: what can't be told is withheld.
    #[must_use]
    pub fn covers(&self, first: Date, last: Date) -> bool {
        self.from <= first && first <= last && last < self.until
    }
}

/// The instant at which a person born on `birth` reaches an age: 00:00 JST of that birthday, which is the end of the
/// day before (年齢計算ニ関スル法律; 民法143条). Born on 29 February, the age is reached at the end of 28 February where the
/// year has no 29th (民法143条2項: the period ends with the month's last day), so 1 March 00:00.
///
/// Past the calendar's end the answer is [`Timestamp::MAX`]: never.
#[must_use]
pub fn age_reached_at(birth: Date, years: u8) -> Timestamp {
    let Ok(birthday) = birth.checked_add(Span::new().years(i64::from(years))) else {
        return Timestamp::MAX;
    };
    if birthday.day() == birth.day() {
        return Timestamp::start_of_day_jst(birthday);
    }
    birthday.tomorrow().map_or(Timestamp::MAX, Timestamp::start_of_day_jst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn jst_midnight_is_fifteen_hours_utc_of_the_day_before() {
        assert_eq!(Timestamp::start_of_day_jst(date(1970, 1, 1)).millis(), -9 * 3_600_000);
        // 2026-11-22T15:00:00Z
        assert_eq!(Timestamp::start_of_day_jst(date(2026, 11, 23)).millis(), 1_795_359_600_000);
    }

    #[test]
    fn eighteen_is_reached_as_the_birthday_begins() {
        assert_eq!(age_reached_at(date(2008, 5, 7), 18), Timestamp::start_of_day_jst(date(2026, 5, 7)));
    }

    #[test]
    fn born_on_a_leap_day_the_age_is_reached_on_the_first_of_march() {
        assert_eq!(age_reached_at(date(2008, 2, 29), 18), Timestamp::start_of_day_jst(date(2026, 3, 1)));
        assert_eq!(age_reached_at(date(2008, 2, 29), 20), Timestamp::start_of_day_jst(date(2028, 2, 29)));
    }

    #[test]
    fn a_period_holds_its_beginning_and_not_its_end() {
        let p = Period::new(Timestamp::from_millis(10), Timestamp::from_millis(20)).unwrap();
        assert!(!p.contains(Timestamp::from_millis(9)));
        assert!(p.contains(Timestamp::from_millis(10)));
        assert!(p.contains(Timestamp::from_millis(19)));
        assert!(!p.contains(Timestamp::from_millis(20)));
        assert!(Period::new(Timestamp::from_millis(10), Timestamp::from_millis(10)).is_err());
    }
}
