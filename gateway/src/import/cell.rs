//! What stands in a cell: days as people write them in Japan, and lists.

use jiff::civil::Date;

/// A day: `2026-04-01`, `2026/4/1`, `2026年4月1日`, `R8.4.1`, `令和8年4月1日` (Heisei too), full-width digits as well.
#[must_use]
pub fn day(text: &str) -> Option<Date> {
    let text: String = text.trim().chars().map(narrow).collect();
    let (era, rest) = match text.chars().next()? {
        'R' | 'r' | '令' => (2018, text.trim_start_matches(['R', 'r', '令', '和'])),
        'H' | 'h' | '平' => (1988, text.trim_start_matches(['H', 'h', '平', '成'])),
        _ => (0, text.as_str()),
    };
    let rest = rest.trim_end_matches('日');
    let mut parts = rest.split(['-', '/', '.', '年', '月']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    // The first year of an era is written 元.
    let year: i16 = if year == "元" && era > 0 { 1 } else { digits(year)? };
    let year = if era > 0 { year.checked_add(era).filter(|_| year >= 1)? } else { year };
    if !(1900..=2200).contains(&year) {
        return None;
    }
    Date::new(year, digits(month)?.try_into().ok()?, digits(day)?.try_into().ok()?).ok()
}

fn digits(text: &str) -> Option<i16> {
    let only = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    only.then(|| text.parse().ok()).flatten()
}

/// Full-width letters and signs as ASCII.
fn narrow(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// When a day begins in Japan, ms since the epoch.
#[must_use]
pub fn begins_ms(day: Date) -> Option<i64> {
    let midnight = day.to_datetime(jiff::civil::Time::midnight());
    jiff::tz::offset(9).to_timestamp(midnight).ok().map(jiff::Timestamp::as_millisecond)
}

/// The items of a list in one cell.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '；', '、', '，', ',', '\n']).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_as_people_write_them() {
        let first = Some(jiff::civil::date(2026, 4, 1));
        for text in [
            "2026-04-01",
            "2026/4/1",
            "2026.4.1",
            "2026年4月1日",
            "R8.4.1",
            "r8/4/1",
            "令和8年4月1日",
            "２０２６／４／１",
        ] {
            assert_eq!(day(text), first, "{text}");
        }
        assert_eq!(day("H31.4.30"), Some(jiff::civil::date(2019, 4, 30)));
        assert_eq!(day("令和元年5月1日"), Some(jiff::civil::date(2019, 5, 1)));
        for text in
            ["", "2026", "4/1/2026", "2026-02-30", "2026-04-01-01", "R0.4.1", "46113", "来年", "2026--1", "+2026-4-1"]
        {
            assert_eq!(day(text), None, "{text}");
        }
        // 00:00 JST.
        assert_eq!(begins_ms(jiff::civil::date(1970, 1, 1)), Some(-9 * 3_600_000));
    }

    #[test]
    fn lists_in_a_cell() {
        assert_eq!(list("a@1、 b@2；,c").collect::<Vec<_>>(), ["a@1", "b@2", "c"]);
    }
}
