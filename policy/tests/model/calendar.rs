//! The model's own calendar: birthdays counted by hand, and sums of data periods piece by piece.

use sekisho_policy::DataPeriod;

/// P-15: cut the calendar at every end, keep the pieces that some period covers, and glue neighbours.
pub fn union(periods: &[DataPeriod]) -> Vec<DataPeriod> {
    let mut cuts: Vec<_> = periods.iter().flat_map(|p| [p.from(), p.until()]).collect();
    cuts.sort();
    cuts.dedup();
    let mut out: Vec<DataPeriod> = Vec::new();
    for piece in cuts.windows(2) {
        if !periods.iter().any(|p| p.from() <= piece[0] && piece[1] <= p.until()) {
            continue;
        }
        let from = match out.last() {
            Some(last) if last.until() == piece[0] => out.pop().map_or(piece[0], |last| last.from()),
            _ => piece[0],
        };
        out.push(DataPeriod::new(Some(from), Some(piece[1])).expect("in order"));
    }
    out
}

/// P-8: 0:00 JST of the birthday, counted by hand; 1 March where the year has no 29 February.
pub fn birthday((year, month, day): (i16, i8, i8), age: u8) -> i64 {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let year = i64::from(year) + i64::from(age);
    let (month, day) = if (month, day) == (2, 29) && !leap(year) { (3, 1) } else { (month, day) };
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leaps = |y: i64| y / 4 - y / 100 + y / 400;
    let years = 365 * (year - 1970) + leaps(year - 1) - leaps(1969);
    let months: i64 = lengths.iter().take(usize::try_from(month - 1).expect("a month")).sum();
    (years + months + i64::from(day) - 1) * 86_400_000 - 9 * 3_600_000
}
