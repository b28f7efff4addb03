//! Finds what could be an individual number (個人番号) in text, so that it can be refused.
//!
//! What it does: looks for twelve digits, ASCII or full-width, also split by spaces or hyphens, with a valid check
//! digit. What it never does: keep, return or log them.
//! Facts: the check digit's weights are 2–7 and then 2–6, from the right.

/// Whether the text contains twelve digits that could be an individual number.
#[must_use]
pub fn contained_in(text: &str) -> bool {
    // Most texts have no twelve digits. A full-width digit begins with the byte EF, as do some other letters.
    let could_be_a_digit = |b: &u8| b.is_ascii_digit() || *b == 0xef;
    text.len() >= DIGITS && text.bytes().filter(could_be_a_digit).count() >= DIGITS && look(text)
}

const DIGITS: usize = 12;

fn look(text: &str) -> bool {
    let mut run = Run::default();
    let mut joined = Run::default();
    for c in text.chars() {
        if let Some(digit) = digit(c) {
            run.push(digit);
            joined.push(digit);
            continue;
        }
        // Most letters stand behind another letter: there is nothing to look at, and nothing to clear.
        if joined.count == 0 {
            continue;
        }
        if run.ends_valid() {
            return true;
        }
        run.count = 0;
        if !matches!(c, ' ' | '\u{3000}' | '-' | '‐' | '－' | 'ー' | '−') {
            if joined.ends_valid() {
                return true;
            }
            joined.count = 0;
        }
    }
    run.ends_valid() || joined.ends_valid()
}

fn digit(c: char) -> Option<u32> {
    match c {
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => c.to_digit(10),
    }
}

/// The first twelve digits of a run, and how many there were.
#[derive(Default)]
struct Run {
    digits: [u32; DIGITS],
    count: usize,
}

impl Run {
    fn push(&mut self, digit: u32) {
        if let Some(place) = self.digits.get_mut(self.count) {
            *place = digit;
        }
        self.count = self.count.saturating_add(1);
    }

    fn ends_valid(&self) -> bool {
        if self.count != DIGITS {
            return false;
        }
        let [eleven @ .., check] = self.digits;
        let sum: u32 =
            eleven.iter().rev().zip([2_u32, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6]).map(|(d, weight)| d * weight).sum();
        let expected = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
        check == expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes eleven plainly artificial digits.
    fn complete(eleven: &str) -> String {
        (0..10).map(|d| format!("{eleven}{d}")).find(|n| contained_in(n)).unwrap()
    }

    #[test]
    fn found_however_it_is_written() {
        let number = complete("11111111111");
        let split = format!("{}-{} {}", &number[..4], &number[4..8], &number[8..]);
        let wide: String =
            number.chars().map(|c| char::from_u32(c as u32 - '0' as u32 + '０' as u32).unwrap()).collect();
        for text in [number.clone(), format!("番号:{number}。"), split, wide, format!("20240405 {number}")] {
            assert!(contained_in(&text));
        }
        let wrong = (0..10).map(|d| format!("11111111111{d}")).filter(|n| contained_in(n)).count();
        assert_eq!(wrong, 1);
        for text in ["", "20240405", "SYN-A123B", "第1期 2回"] {
            assert!(!contained_in(text));
        }
        // Longer runs are something else, whatever their last twelve digits are.
        assert!(!contained_in(&format!("{number}0")) && !contained_in(&format!("5{number}")));
    }
}
