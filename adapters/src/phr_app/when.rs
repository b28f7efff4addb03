//! Days and instants as an app writes them, with the precision that they have: `2024`, `2024-04`, `2024-04-05`, or an
//! instant with seconds and offset, as FHIR R4 writes a `dateTime`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::Why;

/// Years before this one are mistakes: nobody who lives now was born then.
const YEAR_MIN: i16 = 1900;
/// How far ahead of ours a phone's clock may be: an instant within it is "just now", not the future.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);
/// A day begins first at this offset and ends last at the other. Without an offset a day is somewhere's.
const FIRST_OFFSET: Offset = Offset::constant(14);
const LAST_OFFSET: Offset = Offset::constant(-12);

/// How precise something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precision {
    Year,
    Month,
    Day,
    Instant,
}

/// A day or an instant, as it was written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct When {
    pub text: String,
    pub precision: Precision,
    /// The first and the last instant that it can mean.
    instants: (Timestamp, Timestamp),
    /// Its first day and the day after its last, if it is no instant.
    days: Option<(Date, Date)>,
}

impl When {
    /// Reads what stands there. What lies ahead of `now` is refused, unless it `may_lie_ahead`.
    pub fn parse(text: &str, now: Timestamp, may_lie_ahead: bool) -> Result<Self, Why> {
        let year: i16 = digits(text, 0, 4).ok_or(Why::NotADate)?;
        let when = Self::of(text).ok_or(Why::NotADate)?;
        if year < YEAR_MIN {
            return Err(Why::TooLongAgo);
        }
        let ahead = if when.precision == Precision::Instant { CLOCKS_APART } else { SignedDuration::ZERO };
        if !may_lie_ahead && when.instants.0 > now.checked_add(ahead).unwrap_or(now) {
            return Err(Why::InTheFuture);
        }
        Ok(when)
    }

    /// Whether it is before `other`: by the calendar, which both were written by; else in all that they can mean.
    pub fn is_before(&self, other: &Self) -> bool {
        match (self.days, other.days) {
            (Some((_, after)), Some((first, _))) => after <= first,
            _ => self.instants.1 < other.instants.0,
        }
    }

    fn of(text: &str) -> Option<Self> {
        let shaped = |pattern: &str| has_shape(text, pattern);
        let (precision, first, after) = if shaped("9999") {
            let first = Date::new(digits(text, 0, 4)?, 1, 1).ok()?;
            (Precision::Year, first, first.checked_add(1.year()).ok()?)
        } else if shaped("9999-99") {
            let first = Date::new(digits(text, 0, 4)?, digits(text, 5, 7)?, 1).ok()?;
            (Precision::Month, first, first.checked_add(1.month()).ok()?)
        } else if shaped("9999-99-99") {
            let day = Date::new(digits(text, 0, 4)?, digits(text, 5, 7)?, digits(text, 8, 10)?).ok()?;
            (Precision::Day, day, day.tomorrow().ok()?)
        } else {
            let at = instant(text)?;
            return Some(Self { text: text.to_owned(), precision: Precision::Instant, instants: (at, at), days: None });
        };
        let instants = (midnight(first, FIRST_OFFSET)?, midnight(after, LAST_OFFSET)?);
        Some(Self { text: text.to_owned(), precision, instants, days: Some((first, after)) })
    }
}

fn midnight(day: Date, offset: Offset) -> Option<Timestamp> {
    offset.to_timestamp(DateTime::from_parts(day, Time::midnight())).ok()
}

/// `2024-04-05T07:30:00+09:00`, perhaps with up to nine digits behind the seconds. Shorter and looser forms, which the
/// library would take, are not FHIR's.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() || text.len() > 35 {
        return None;
    }
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, "+00:00"),
        None => text.split_at_checked(text.len().checked_sub(6)?)?,
    };
    if !has_shape(offset, "+99:99") && !has_shape(offset, "-99:99") {
        return None;
    }
    let (whole, fraction) = local.split_at_checked(19)?;
    let fraction_sound = match fraction.strip_prefix('.') {
        None => fraction.is_empty(),
        Some(digits) => (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
    };
    let (hours, minutes): (u8, u8) = (digits(offset, 1, 3)?, digits(offset, 4, 6)?);
    let sound = has_shape(whole, "9999-99-99T99:99:99")
        && fraction_sound
        && digits::<u8>(whole, 11, 13)? < 24
        && digits::<u8>(whole, 17, 19)? < 60
        && (hours < 14 && minutes < 60 || hours == 14 && minutes == 0);
    if sound { text.parse().ok() } else { None }
}

/// Whether a text has the shape of a pattern, in which a 9 stands for any digit.
fn has_shape(text: &str, pattern: &str) -> bool {
    let fits = |(own, wanted): (u8, u8)| if wanted == b'9' { own.is_ascii_digit() } else { own == wanted };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

fn digits<N: std::str::FromStr>(text: &str, from: usize, to: usize) -> Option<N> {
    let digits = text.get(from..to)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Precision, Why> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let when = When::parse(text, now, false)?;
        assert_eq!(when.text, text);
        Ok(when.precision)
    }

    #[test]
    fn precision_is_kept() {
        for (text, precision) in [
            ("2024", Precision::Year),
            ("2024-04", Precision::Month),
            ("2024-02-29", Precision::Day),
            ("1900-01-01", Precision::Day),
            ("2026-11-23T07:30:00+09:00", Precision::Instant),
            ("2026-11-22T22:30:00.123Z", Precision::Instant),
            ("2026-11-22T21:30:00-14:00", Precision::Instant),
        ] {
            assert_eq!(read(text), Ok(precision), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_guessed() {
        for text in [
            "",
            "0",
            "24",
            "20240405",
            "2024/04/05",
            "2024-4-5",
            "2024-13",
            "2024-00",
            "2023-02-29",
            "2024-04-31",
            "2024-04-05T",
            "2024-04-05T07:30",
            "2024-04-05T07:30+09:00",
            "2024-04-05T07:30:00",
            "2024-04-05 07:30:00Z",
            "2024-04-05t07:30:00Z",
            "2024-04-05T07:30:00z",
            "2024-04-05T24:00:00Z",
            "2024-04-05T07:60:00Z",
            "2024-04-05T07:30:60Z",
            "2024-04-05T07:30:00.Z",
            "2024-04-05T07:30:00.1234567890Z",
            "2024-04-05T07:30:00+0900",
            "2024-04-05T07:30:00+14:30",
            "2024-04-05T07:30:00+09:60",
            "2024-04-05T07:30:00Z[Asia/Tokyo]",
            "-002024-04-05",
            "+2024-04",
            "２０２４",
            "令和6年4月5日",
            " 2024",
            "2024-04-05\u{200b}",
            "2024-02-30T07:30:00Z",
            "2024-+4",
        ] {
            assert_eq!(read(text), Err(Why::NotADate), "{text}");
        }
    }

    #[test]
    fn neither_the_future_nor_long_ago() {
        for (text, why) in [
            ("1899-12-31", Why::TooLongAgo),
            ("0001", Why::TooLongAgo),
            ("1899-12-31T23:59:59Z", Why::TooLongAgo),
            ("2027", Why::InTheFuture),
            ("2026-12", Why::InTheFuture),
            ("2026-11-25", Why::InTheFuture),
            ("2026-11-23T12:05:01Z", Why::InTheFuture),
            ("2026-11-23T21:05:01+09:00", Why::InTheFuture),
            ("9999-12-31", Why::NotADate),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        // Today, wherever somebody is; and a phone's clock that is a little ahead.
        for text in ["2026-11-24", "2026-11-23", "2026-11", "2026", "2026-11-23T12:05:00Z"] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn order_holds_for_all_that_they_can_mean() {
        let when = |text: &str| When::parse(text, Timestamp::UNIX_EPOCH, true).unwrap_or_else(|_| panic!("{text}"));
        assert!(when("2024-04-01").is_before(&when("2024-04-05")));
        assert!(when("2023").is_before(&when("2024-04")) && when("2024-04-04").is_before(&when("2024-04-05")));
        assert!(when("2024-04-03").is_before(&when("2024-04-05T00:00:00+09:00")));
        assert!(when("2024-04-05T00:00:00+09:00").is_before(&when("2024-04-05T00:00:00+08:00")));
        for (one, other) in
            [("2024-04-05", "2024-04-05"), ("2024", "2024-04"), ("2024-04-05", "2024-04-05T00:00:00+09:00")]
        {
            assert!(!when(one).is_before(&when(other)) && !when(other).is_before(&when(one)), "{one} {other}");
        }
    }
}
