//! Reads the fields of one record, collecting everything that is wrong with it.
//!
//! What it never does: stop at the first mistake, put content into a problem, or take a value for another.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::members::{self, Members};
use super::{ConsultationId, Problem, UserId};
use crate::municipality::MunicipalityCode;
use crate::my_number;
use crate::phr_app::text::{clean, deceives};
use crate::phr_app::when::instant;

/// How far ahead of ours the service's clock may be.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);
/// Nobody who lives now was born before this year.
const YEAR_MIN: i16 = 1900;
/// Longest name of an unknown field that a problem repeats.
const NAME_SHOWN_MAX: usize = 40;
/// Japan has one offset.
const JST: Offset = Offset::constant(9);

/// An object of a record, and where it stands in it.
pub(super) struct Part<'a> {
    path: &'static str,
    members: Members<'a>,
}

impl<'a> Part<'a> {
    pub fn of_record(members: Members<'a>) -> Self {
        Self { path: "", members }
    }

    /// An object of a list that stands under this path.
    pub fn under(path: &'static str, members: Members<'a>) -> Self {
        Self { path, members }
    }

    /// A member as it was written.
    pub fn raw(&mut self, name: &str) -> Option<&'a str> {
        self.members.take(name)
    }

    fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// What a reading of one record has found wrong so far.
pub(super) struct Reader {
    pub now: Timestamp,
    pub problems: Vec<Problem>,
}

impl Reader {
    pub const fn new(now: Timestamp) -> Self {
        Self { now, problems: Vec::new() }
    }

    pub fn wrong(&mut self, field: impl Into<String>, why: &'static str) {
        self.problems.push(Problem { field: field.into(), why });
    }

    /// Something of this part is wrong.
    pub fn wrong_in(&mut self, part: &Part<'_>, name: &str, why: &'static str) {
        self.wrong(part.field(name), why);
    }

    /// A part that has to be there.
    pub fn part<'a>(&mut self, of: &mut Part<'a>, name: &'static str) -> Option<Part<'a>> {
        let part = self.optional_part(of, name);
        if part.is_none() && !self.problems.iter().any(|problem| problem.field == name) {
            self.wrong_in(of, name, "missing");
        }
        part
    }

    /// A part that may be there.
    pub fn optional_part<'a>(&mut self, of: &mut Part<'a>, name: &'static str) -> Option<Part<'a>> {
        let members = Members::read(of.raw(name)?);
        if members.is_none() {
            self.wrong_in(of, name, "not-an-object");
        }
        members.map(|members| Part { path: name, members })
    }

    /// Says of every member that nobody asked for that it isn't known. A name is repeated only where it looks like one.
    pub fn end(&mut self, part: &Part<'_>) {
        for name in part.members.left() {
            let plain = name.len() <= NAME_SHOWN_MAX && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            self.wrong_in(part, if plain { name } else { "?" }, "unknown-field");
        }
    }

    /// A text that has to be there and isn't empty.
    pub fn text<'a>(&mut self, part: &mut Part<'a>, name: &str) -> Option<Cow<'a, str>> {
        let text = self.optional_text(part, name)?;
        if text.is_empty() {
            self.wrong_in(part, name, "missing");
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// A text as it stands; empty where nothing does.
    pub fn optional_text<'a>(&mut self, part: &mut Part<'a>, name: &str) -> Option<Cow<'a, str>> {
        let Some(raw) = part.raw(name) else { return Some(Cow::Borrowed("")) };
        let text = members::text(raw);
        if text.is_none() {
            self.wrong_in(part, name, "not-text");
        }
        text
    }

    /// A text for people, at most so many letters: without what doesn't show and could deceive.
    pub fn words(&mut self, part: &mut Part<'_>, name: &str, chars_max: usize) -> Option<String> {
        let text = self.optional_text(part, name)?;
        if text.len() > chars_max.saturating_mul(4) || text.chars().count() > chars_max {
            self.wrong_in(part, name, "too-long");
            return None;
        }
        Some(clean(&text, true).text)
    }

    /// The same, and there has to be something.
    pub fn needed_words(&mut self, part: &mut Part<'_>, name: &str, chars_max: usize) -> Option<String> {
        let words = self.words(part, name, chars_max)?;
        if words.is_empty() {
            self.wrong_in(part, name, "missing");
        }
        Some(words).filter(|words| !words.is_empty())
    }

    /// A code or reference: visible ASCII, at most so many letters.
    pub fn code(&mut self, part: &mut Part<'_>, name: &str, max: usize) -> Option<String> {
        let text = self.text(part, name)?;
        let why = match text.as_bytes() {
            bytes if bytes.len() > max => "too-long",
            bytes if !bytes.iter().all(u8::is_ascii_graphic) => "not-a-code",
            _ => return Some(text.into_owned()),
        };
        self.wrong_in(part, name, why);
        None
    }

    pub fn yes_or_no(&mut self, part: &mut Part<'_>, name: &str) -> Option<bool> {
        let why = match part.raw(name) {
            Some("true") => return Some(true),
            Some("false") => return Some(false),
            Some(_) => "not-true-or-false",
            None => "missing",
        };
        self.wrong_in(part, name, why);
        None
    }

    pub fn consultation_id(&mut self, part: &mut Part<'_>, name: &str) -> Option<ConsultationId> {
        let text = self.text(part, name)?;
        let id = ConsultationId::parse(&text);
        if id.is_none() {
            self.wrong_in(part, name, "not-an-id");
        }
        id
    }

    pub fn user_id(&mut self, part: &mut Part<'_>, name: &str) -> Option<UserId> {
        let text = self.text(part, name)?;
        let id = UserId::parse(&text);
        if id.is_none() {
            self.wrong_in(part, name, "not-an-id");
        }
        id
    }

    pub fn municipality(&mut self, part: &mut Part<'_>, name: &str) -> Option<MunicipalityCode> {
        let text = self.text(part, name)?;
        let code = MunicipalityCode::parse(&text);
        if code.is_err() {
            let six = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
            self.wrong_in(part, name, if six { "check-digit" } else { "not-a-municipality" });
        }
        code.ok()
    }

    /// An instant with seconds and offset that doesn't lie ahead.
    pub fn instant(&mut self, part: &mut Part<'_>, name: &str) -> Option<Timestamp> {
        let text = self.text(part, name)?;
        let Some(at) = instant(&text) else {
            self.wrong_in(part, name, "not-an-instant");
            return None;
        };
        if at > self.now.checked_add(CLOCKS_APART).unwrap_or(self.now) {
            self.wrong_in(part, name, "in-the-future");
            return None;
        }
        Some(at)
    }

    /// A day by the calendar, from 1900 on.
    pub fn date(&mut self, part: &mut Part<'_>, name: &str) -> Option<Date> {
        let text = self.text(part, name)?;
        let date = date(&text);
        let why = match date {
            None => "not-a-date",
            Some(date) if date.year() < YEAR_MIN => "out-of-range",
            Some(date) if date > local_day(self.now) => "in-the-future",
            Some(_) => return date,
        };
        self.wrong_in(part, name, why);
        None
    }
}

/// Which day it is in Japan.
pub(crate) fn local_day(at: Timestamp) -> Date {
    JST.to_datetime(at).date()
}

fn date(text: &str) -> Option<Date> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else { return None };
    let digit = |b: &u8| b.is_ascii_digit().then(|| i16::from(b - b'0'));
    let two = |a, b| i8::try_from(digit(a)? * 10 + digit(b)?).ok();
    let year = digit(y0)? * 1000 + digit(y1)? * 100 + digit(y2)? * 10 + digit(y3)?;
    Date::new(year, two(m0, m1)?, two(d0, d1)?).ok()
}

/// Whether anything in a record, names and unknown fields included, could hold a My Number: also written with escapes, and
/// also split by what doesn't show.
pub(super) fn holds_my_number(raw: &str) -> bool {
    let found = |text: &str| {
        my_number::contained_in(text)
            || (!text.is_ascii()
                && text.chars().any(deceives)
                && my_number::contained_in(&text.chars().filter(|c| !deceives(*c)).collect::<String>()))
    };
    if raw.contains('\\') {
        // Written anew, letters stand as themselves; what still is escaped doesn't show, and is taken out.
        let plain = serde_json::from_str::<serde_json::Value>(raw).map(|value| value.to_string()).unwrap_or_default();
        let shown = ["\\n", "\\r", "\\t", "\\b", "\\f"].iter().fold(plain, |text, mark| text.replace(mark, "\u{200b}"));
        return found(raw) || found(&shown);
    }
    found(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_my_number_is_found_however_it_is_written() {
        let number = (0..10).map(|d| format!("11111111111{d}")).find(|n| my_number::contained_in(n)).unwrap();
        let (a, b) = number.split_at(5);
        let escaped: String = number.bytes().map(|b| format!("\\u{:04x}", b)).collect();
        for raw in [
            format!(r#"{{"id":"{number}"}}"#),
            format!(r#"{{"{number}":1}}"#),
            format!(r#"{{"x":{number}}}"#),
            format!(r#"{{"x":"{escaped}"}}"#),
            format!("{{\"x\":\"{a}\u{200b}{b}\"}}"),
            format!(r#"{{"x":"{a}\u200b{b}"}}"#),
            format!(r#"{{"x":"{a}\n{b}"}}"#),
        ] {
            assert!(holds_my_number(&raw), "{raw}");
        }
        assert!(!holds_my_number(
            r#"{"at":"2026-11-17T10:05:00+09:00","birth":"1994-03-02","hours":"平日 10:00-15:00"}"#
        ));
    }

    #[test]
    fn days_and_instants_have_one_form() {
        assert!(instant("2026-11-17T10:05:00+09:00").is_some() && instant("2026-11-17T01:05:00.250Z").is_some());
        for wrong in [
            "2026-11-17T10:05+09:00",
            "2026-11-17T10:05:00",
            "2026-11-17 10:05:00+09:00",
            "20261117T100500+0900",
            "2026-02-30T10:05:00Z",
            "2026-11-17T10:05:00+09:00[Asia/Tokyo]",
            "",
        ] {
            assert!(instant(wrong).is_none(), "{wrong}");
        }
        assert!(date("2024-02-29").is_some() && date("2023-02-29").is_none() && date("２０２４-02-29").is_none());
    }
}
