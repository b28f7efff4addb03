//! Temperatures of the last days as a small picture, written here as SVG: no script draws it, and a table says the same.

use jiff::civil::DateTime;

/// Days that are drawn, up to the newest value.
const DAYS: i64 = 14;
/// Values that are drawn, the newest of them.
const POINTS_MAX: usize = 60;
/// Edges of the plot in the picture's own units.
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 130.0;
/// From this temperature on it is fever (感染症法の届出基準で 37.5 ℃ 以上を発熱とする), drawn as a line.
const FEVER: f64 = 37.5;

/// A value that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When, in Japan.
    pub at: DateTime,
    /// ℃.
    pub value: f64,
    /// As the source wrote it.
    pub written: String,
    /// Where it comes from.
    pub origin: String,
}

/// A place in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// From the left.
    pub x: String,
    /// From above.
    pub y: String,
    /// What stands there.
    pub label: String,
}

/// The picture, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Values, the oldest first.
    pub points: Vec<Point>,
    /// All of them as one line.
    pub line: String,
    /// Whole degrees, from above.
    pub degrees: Vec<Point>,
    /// Days along the bottom.
    pub days: Vec<Point>,
    /// Where fever begins, if that is within the picture.
    pub fever: Option<String>,
    /// The newest, the highest, and from when to when.
    pub newest: Point,
    /// The highest.
    pub highest: String,
    /// First day.
    pub from: String,
    /// Last day.
    pub until: String,
    /// The values in words, the newest first.
    pub rows: Vec<(String, String, String)>,
    /// Values that are not drawn, since they are older or too many.
    pub older: usize,
    /// The newest is older than what is drawn is long.
    pub is_old: bool,
}

/// Whether a body can have this temperature: what none has is an error of writing, and would press everything else flat.
#[must_use]
pub fn is_possible(value: f64) -> bool {
    (30.0..=45.0).contains(&value)
}

impl Chart {
    /// Of what was measured, all of it possible and none ahead of now; `None` when there is nothing to draw.
    #[must_use]
    pub fn of(mut readings: Vec<Reading>, now: DateTime) -> Option<Self> {
        readings.sort_by_key(|reading| reading.at);
        let whole = readings.len();
        let end = readings.last()?.at;
        let begin = end.checked_sub(jiff::Span::new().days(DAYS)).ok()?;
        readings.retain(|reading| reading.at > begin);
        let readings = readings.split_off(readings.len().saturating_sub(POINTS_MAX));
        let (first, last) = (readings.first()?, readings.last()?);
        let values = readings.iter().map(|reading| reading.value);
        let (low, high) = values.clone().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (bottom, top) = ((low - 0.2).floor().min(36.0), (high + 0.2).ceil().max(38.0));
        let span = minutes(first.at, last.at).max(1.0);
        let x = |at: DateTime| LEFT + WIDTH * minutes(first.at, at) / span;
        let y = |value: f64| TOP + HEIGHT * (top - value) / (top - bottom);
        let point = |reading: &Reading| Point {
            x: tenth(x(reading.at)),
            y: tenth(y(reading.value)),
            label: reading.written.clone(),
        };
        let points: Vec<Point> = readings.iter().map(point).collect();
        let highest = readings.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
        let mut degrees = Vec::new();
        let mut degree = top;
        while degree >= bottom {
            degrees.push(Point { x: tenth(LEFT), y: tenth(y(degree)), label: format!("{degree:.0}") });
            degree -= 1.0;
        }
        Some(Self {
            line: points.iter().map(|p| format!("{},{}", p.x, p.y)).collect::<Vec<_>>().join(" "),
            degrees,
            days: vec![
                Point { x: tenth(LEFT), y: tenth(TOP + HEIGHT + 18.0), label: day(first.at) },
                Point { x: tenth(LEFT + WIDTH), y: tenth(TOP + HEIGHT + 18.0), label: day(last.at) },
            ],
            fever: (bottom <= FEVER && FEVER <= top).then(|| tenth(y(FEVER))),
            newest: point(last),
            highest: format!("{} ({})", highest.written, day(highest.at)),
            from: day(first.at),
            until: day(last.at),
            rows: readings.iter().rev().map(|r| (minute(r.at), r.written.clone(), r.origin.clone())).collect(),
            older: whole - readings.len(),
            is_old: now.checked_sub(jiff::Span::new().days(DAYS)).is_ok_and(|begin| last.at < begin),
            points,
        })
    }
}

/// Minutes between two, as far as a picture shows.
fn minutes(from: DateTime, until: DateTime) -> f64 {
    until.duration_since(from).as_secs_f64() / 60.0
}

fn tenth(value: f64) -> String {
    format!("{value:.1}")
}

fn day(at: DateTime) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn minute(at: DateTime) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: &str, value: f64) -> Reading {
        Reading { at: at.parse().unwrap(), value, written: format!("{value} ℃"), origin: "機器".to_owned() }
    }

    #[test]
    fn the_last_fortnight_is_drawn_and_the_rest_counted() {
        let all = vec![
            reading("2026-11-22T07:00", 36.5),
            reading("2026-11-08T08:00", 38.9),
            reading("2026-11-08T06:59", 36.4),
            reading("2026-11-15T07:00", 37.2),
        ];
        let now = "2026-11-22T09:00".parse().unwrap();
        let chart = Chart::of(all, now).unwrap();
        let labels: Vec<&str> = chart.points.iter().map(|p| p.label.as_str()).collect();
        assert_eq!(labels, ["38.9 ℃", "37.2 ℃", "36.5 ℃"]);
        assert_eq!(
            (chart.from.as_str(), chart.until.as_str(), chart.highest.as_str()),
            ("2026-11-08", "2026-11-22", "38.9 ℃ (2026-11-08)")
        );
        assert_eq!((chart.rows[0].0.as_str(), chart.rows.len()), ("2026-11-22 07:00", 3));
        assert!(chart.fever.is_some() && chart.points[0].x == "44.0" && chart.newest.x == "604.0");
        assert_eq!((chart.older, chart.is_old), (1, false));
        assert_eq!(Chart::of(Vec::new(), now), None);
        let alone = Chart::of(vec![reading("2024-11-22T07:00", 38.9)], now).unwrap();
        assert_eq!((alone.points.len(), alone.is_old, alone.until.as_str()), (1, true, "2024-11-22"));
    }

    #[test]
    fn a_bounded_number_of_values_is_drawn() {
        let many = (0..500).map(|n| reading(&format!("2026-11-22T{:02}:{:02}", n / 60 % 24, n % 60), 36.5)).collect();
        let chart = Chart::of(many, "2026-11-23T00:00".parse().unwrap()).unwrap();
        assert_eq!((chart.points.len(), chart.older), (POINTS_MAX, 500 - POINTS_MAX));
    }
}
