//! A measured number with the digits that it came with: FHIR R4 gives them meaning, the last zero included.

use serde_json::Number;

/// Letters of a number, at most: a measured value has six or so.
const LETTERS_MAX: usize = 16;

/// A plain decimal, not negative: digits, and perhaps a point and more digits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    whole: String,
    /// Behind the point.
    fraction: String,
}

impl Decimal {
    /// Reads what stood in the JSON. Exponents and signs are not taken: no scale or thermometer writes them.
    pub fn parse(number: &Number) -> Option<Self> {
        let text = number.as_str();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let sound = text.len() <= LETTERS_MAX && !whole.is_empty() && digits(whole) && digits(fraction);
        sound.then(|| Self { whole: whole.to_owned(), fraction: fraction.to_owned() })
    }

    /// Times ten to the power of `places`, exactly: 2950 g by -3 is 2.950 kg, 1.65 m by 2 is 165 cm.
    pub fn shifted(&self, places: i8) -> Self {
        let (mut whole, mut fraction) = (self.whole.clone(), self.fraction.clone());
        for _ in 0..places.unsigned_abs() {
            if places < 0 {
                fraction.insert(0, whole.pop().unwrap_or('0'));
            } else {
                whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
            }
        }
        let whole = whole.trim_start_matches('0');
        Self { whole: if whole.is_empty() { "0".to_owned() } else { whole.to_owned() }, fraction }
    }

    /// Whether it lies within bounds, both included. At most 16 letters: what a float rounds away is less than a billionth.
    pub fn is_within(&self, low: f64, high: f64) -> bool {
        self.text().parse::<f64>().is_ok_and(|value| value >= low && value <= high)
    }

    fn text(&self) -> String {
        if self.fraction.is_empty() { self.whole.clone() } else { format!("{}.{}", self.whole, self.fraction) }
    }

    /// As JSON writes it.
    pub fn number(&self) -> Option<Number> {
        self.text().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Option<Decimal> {
        Decimal::parse(&text.parse().unwrap())
    }

    #[test]
    fn digits_stay_as_they_were_written() {
        for same in ["36.50", "36.5", "36", "0", "0.10", "123456789.123456"] {
            assert_eq!(decimal(same).unwrap().number().unwrap().to_string(), same);
        }
        for (text, places, shifted) in [
            ("2950", -3, "2.950"),
            ("2950.5", -3, "2.9505"),
            ("95", -3, "0.095"),
            ("0", -3, "0.000"),
            ("61500.00", -3, "61.50000"),
            ("1.65", 2, "165"),
            ("1.6", 2, "160"),
            ("1.655", 2, "165.5"),
            ("0.5", 2, "50"),
            ("0.005", 2, "0.5"),
            ("2", 2, "200"),
            ("36.50", 0, "36.50"),
        ] {
            assert_eq!(decimal(text).unwrap().shifted(places).number().unwrap().to_string(), shifted);
        }
    }

    #[test]
    fn what_nobody_measures_is_no_decimal() {
        for wrong in ["-1", "-0", "1e2", "1E2", "1e400", "3.65e1", "12345678901234567", "0.123456789012345"] {
            assert!(decimal(wrong).is_none(), "{wrong}");
        }
        assert!(decimal("36.5").unwrap().is_within(36.5, 36.5));
        assert!(!decimal("36.51").unwrap().is_within(36.0, 36.5));
    }
}
