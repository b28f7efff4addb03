//! The course of EPDS sums as a small picture, written here as SVG; a table says the same. Numbers only: the items' wording is protected.

use jiff::civil::Date;

/// Sums that are drawn, the newest of them.
const POINTS_MAX: usize = 24;
/// The highest sum there is: ten items of 0 to 3.
const SUM_MAX: u8 = 30;
/// Edges of the plot in the picture's own units.
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 130.0;

/// A place in the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// From the left.
    pub x: String,
    /// From above.
    pub y: String,
    /// What stands there.
    pub label: String,
}

/// The picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Sums, the oldest first.
    pub points: Vec<Point>,
    /// All of them as one line.
    pub line: String,
    /// 0, 10, 20, 30.
    pub scale: Vec<Point>,
    /// From which sum on a case is flagged, where that is known.
    pub threshold: Option<Point>,
    /// First and last day.
    pub from: String,
    /// Last day.
    pub until: String,
    /// The newest sum.
    pub newest: u8,
    /// The same in words, the newest first: day, sum.
    pub rows: Vec<(String, u8)>,
}

impl Course {
    /// Of sums; `None` where there is none.
    #[must_use]
    pub fn of(sums: &[(Date, u8)], threshold: Option<u8>) -> Option<Self> {
        let mut sums: Vec<(Date, u8)> = sums.iter().copied().filter(|(_, sum)| *sum <= SUM_MAX).collect();
        sums.sort_by_key(|(day, _)| *day);
        let sums = sums.split_off(sums.len().saturating_sub(POINTS_MAX));
        let ((first, _), (last, newest)) = (sums.first()?, sums.last()?);
        let days = |until: Date| f64::from(first.until(until).map_or(0, |span| span.get_days()));
        let span = days(*last).max(1.0);
        let y = |sum: u8| TOP + HEIGHT * f64::from(SUM_MAX - sum.min(SUM_MAX)) / f64::from(SUM_MAX);
        let point = |(day, sum): &(Date, u8)| Point {
            x: tenth(LEFT + WIDTH * days(*day) / span),
            y: tenth(y(*sum)),
            label: sum.to_string(),
        };
        let points: Vec<Point> = sums.iter().map(point).collect();
        let grid = |sum: u8| Point { x: tenth(LEFT), y: tenth(y(sum)), label: sum.to_string() };
        Some(Self {
            line: points.iter().map(|p| format!("{},{}", p.x, p.y)).collect::<Vec<_>>().join(" "),
            points,
            scale: [0, 10, 20, 30].map(grid).to_vec(),
            threshold: threshold.map(grid),
            from: first.to_string(),
            until: last.to_string(),
            newest: *newest,
            rows: sums.iter().rev().map(|(day, sum)| (day.to_string(), *sum)).collect(),
        })
    }
}

fn tenth(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_drawn_in_order_of_their_days() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let sums = [(day("2026-11-16"), 12), (day("2026-08-01"), 4), (day("2026-10-01"), 31), (day("2026-09-30"), 0)];
        let course = Course::of(&sums, Some(9)).unwrap();
        assert_eq!(
            course.rows,
            [("2026-11-16".to_owned(), 12), ("2026-09-30".to_owned(), 0), ("2026-08-01".to_owned(), 4)]
        );
        let at: Vec<(&str, &str)> = course.points.iter().map(|p| (p.x.as_str(), p.y.as_str())).collect();
        assert_eq!(at, [("44.0", "124.7"), ("358.0", "142.0"), ("604.0", "90.0")]);
        assert_eq!((course.threshold.unwrap().y.as_str(), course.newest), ("103.0", 12));
        assert_eq!(Course::of(&[(day("2026-11-16"), 31)], Some(9)), None);
        assert_eq!(Course::of(&[(day("2026-11-16"), 9)], None).unwrap().points[0].x, "44.0");
    }
}
