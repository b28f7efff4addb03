//! National codes of local governments (全国地方公共団体コード).
//!
//! Facts: five digits and a check digit; S = 6·d1+5·d2+4·d3+3·d4+2·d5, check = last digit of 11 − S mod 11.
//! A name is never a key: there is more than one 府中市.

use std::fmt;

/// A code with its check digit, known to be right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MunicipalityCode([u8; 6]);

/// Six digits with the right check digit were expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a municipality code: six digits with the right check digit were expected")]
pub struct NotAMunicipalityCode;

impl MunicipalityCode {
    /// Reads six ASCII digits.
    ///
    /// # Errors
    ///
    /// When it is anything else, or the check digit is wrong.
    pub fn parse(text: &str) -> Result<Self, NotAMunicipalityCode> {
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_| NotAMunicipalityCode)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotAMunicipalityCode);
        }
        let [five @ .., check] = digits;
        let sum: u32 = five.iter().zip([6_u32, 5, 4, 3, 2]).map(|(d, weight)| u32::from(d - b'0') * weight).sum();
        let expected = (11 - sum % 11) % 10;
        if u32::from(check - b'0') == expected { Ok(Self(digits)) } else { Err(NotAMunicipalityCode) }
    }

    /// The six digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for MunicipalityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MunicipalityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MunicipalityCode({})", self.as_str())
    }
}

/// A municipality that synthetic families live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Municipality {
    /// Its code.
    pub code: MunicipalityCode,
    /// Its name.
    pub name: &'static str,
}

const fn town(code: [u8; 6], name: &'static str) -> Municipality {
    Municipality { code: MunicipalityCode(code), name }
}

/// The municipalities in use. A test checks their digits.
pub const MUNICIPALITIES: [Municipality; 8] = [
    town(*b"131016", "千代田区"),
    town(*b"131121", "世田谷区"),
    town(*b"131202", "練馬区"),
    town(*b"132012", "八王子市"),
    town(*b"132047", "三鷹市"),
    town(*b"132063", "府中市"),
    town(*b"132144", "国分寺市"),
    town(*b"132250", "稲城市"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_checked() {
        for town in MUNICIPALITIES {
            assert_eq!(MunicipalityCode::parse(town.code.as_str()), Ok(town.code), "{}", town.name);
        }
        assert!(MunicipalityCode::parse("130001").is_ok());
        for wrong in ["131201", "131203", "13120", "1312020", "１３１２０２", "13120x", ""] {
            assert_eq!(MunicipalityCode::parse(wrong), Err(NotAMunicipalityCode), "{wrong}");
        }
        // Exactly one check digit is right for any five digits.
        for five in (1000..48000).step_by(37) {
            let right = (0..10).filter(|d| MunicipalityCode::parse(&format!("{five:05}{d}")).is_ok()).count();
            assert_eq!(right, 1, "{five}");
        }
    }
}
