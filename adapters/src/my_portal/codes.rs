//! The portal's codes: configuration, since the official lists are given out on application only.

use std::collections::BTreeSet;

use serde::Deserialize;

/// Codes as an operator configures them. Checked when read: see [`CodesError`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct PortalCodes {
    /// 特定個人情報名コード of the vaccination record: `TM` and 14 digits.
    pub record: String,
    /// Field code of the request.
    pub field: String,
    /// Detailed field code of the request.
    pub field_detail: String,
    /// Scope of the authorization request.
    pub scope: String,
    /// Error code with which the portal says that a municipality doesn't offer the record.
    pub not_supported_error: String,
    /// Item codes within the record.
    pub items: ItemCodes,
    /// Which vaccine names have a code.
    pub vaccines: Vec<VaccineCode>,
}

/// Item codes (`personInitemCd`), ten digits each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemCodes {
    /// Name of the vaccine.
    pub vaccine: String,
    /// Date of the dose.
    pub date: String,
    /// Lot number.
    pub lot: String,
    /// Maker.
    pub maker: String,
    /// Number of the dose.
    pub dose_number: String,
    /// Target disease.
    pub disease: String,
    /// Municipality whose record it is, as six-digit code.
    pub municipality: String,
    /// Place of the dose.
    pub clinic: String,
}

/// A code system of medicines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum VaccineSystem {
    /// HOT9: nine digits.
    #[serde(rename = "HOT9")]
    Hot9,
    /// HOT13: thirteen digits.
    #[serde(rename = "HOT13")]
    Hot13,
    /// YJ: twelve characters.
    #[serde(rename = "YJ")]
    Yj,
}

/// The code of a vaccine, by the name that the portal gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaccineCode {
    /// The name, compared exactly.
    pub name: String,
    /// The code's system.
    pub system: VaccineSystem,
    /// The code.
    pub code: String,
}

/// A configured code has the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("portal codes: {field}: {expected}")]
pub struct CodesError {
    /// Which one.
    pub field: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    record: String,
    field: String,
    field_detail: String,
    scope: String,
    not_supported_error: String,
    items: ItemCodes,
    #[serde(default)]
    vaccines: Vec<VaccineCode>,
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

fn must(right: bool, field: &'static str, expected: &'static str) -> Result<(), CodesError> {
    if right { Ok(()) } else { Err(CodesError { field, expected }) }
}

impl TryFrom<Raw> for PortalCodes {
    type Error = CodesError;

    fn try_from(raw: Raw) -> Result<Self, CodesError> {
        let record = raw.record.strip_prefix("TM").is_some_and(|rest| digits(rest, 14));
        must(record, "record", "TM and 14 digits")?;
        let items = raw.items.all();
        must(items.iter().all(|code| digits(code, 10)), "items", "ten digits each")?;
        must(items.iter().collect::<BTreeSet<_>>().len() == items.len(), "items", "no code twice")?;
        for vaccine in &raw.vaccines {
            let code = vaccine.code.as_str();
            let right = match vaccine.system {
                VaccineSystem::Hot9 => digits(code, 9),
                VaccineSystem::Hot13 => digits(code, 13),
                VaccineSystem::Yj => code.len() == 12 && code.bytes().all(|b| b.is_ascii_alphanumeric()),
            };
            must(right, "vaccines.code", "HOT9: 9 digits, HOT13: 13 digits, YJ: 12 characters")?;
        }
        let names: BTreeSet<_> = raw.vaccines.iter().map(|vaccine| &vaccine.name).collect();
        must(names.len() == raw.vaccines.len(), "vaccines.name", "no name twice")?;
        for (field, text) in [
            ("field", &raw.field),
            ("field_detail", &raw.field_detail),
            ("scope", &raw.scope),
            ("not_supported_error", &raw.not_supported_error),
        ] {
            must(!text.is_empty(), field, "not empty")?;
        }
        Ok(Self {
            record: raw.record,
            field: raw.field,
            field_detail: raw.field_detail,
            scope: raw.scope,
            not_supported_error: raw.not_supported_error,
            items: raw.items,
            vaccines: raw.vaccines,
        })
    }
}

impl ItemCodes {
    fn all(&self) -> [&str; 8] {
        [
            &self.vaccine,
            &self.date,
            &self.lot,
            &self.maker,
            &self.dose_number,
            &self.disease,
            &self.municipality,
            &self.clinic,
        ]
    }
}

impl PortalCodes {
    /// Codes for the demo and the tests: right in shape, meaningless, and all nines so that nobody takes them for real.
    #[must_use]
    pub fn synthetic() -> Self {
        let item = |number: u8| format!("99999999{number:02}");
        Self {
            record: "TM99999999999999".to_owned(),
            field: "99".to_owned(),
            field_detail: "9999".to_owned(),
            scope: "synthetic.selfinfo".to_owned(),
            not_supported_error: "SY0001".to_owned(),
            items: ItemCodes {
                vaccine: item(1),
                date: item(2),
                lot: item(3),
                maker: item(4),
                dose_number: item(5),
                disease: item(6),
                municipality: item(7),
                clinic: item(8),
            },
            vaccines: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sound() -> Value {
        json!({
            "record": "TM99999999999999", "field": "99", "field_detail": "9999", "scope": "s",
            "not_supported_error": "SY0001",
            "items": {
                "vaccine": "9999999901", "date": "9999999902", "lot": "9999999903", "maker": "9999999904",
                "dose_number": "9999999905", "disease": "9999999906", "municipality": "9999999907",
                "clinic": "9999999908"
            },
            "vaccines": [{"name": "n", "system": "HOT9", "code": "999999999"}]
        })
    }

    #[test]
    fn shapes_are_checked_when_read() {
        assert!(serde_json::from_value::<PortalCodes>(sound()).is_ok());
        for (pointer, value, said) in [
            ("/record", json!("TM1"), "record"),
            ("/items/lot", json!("1"), "ten digits"),
            ("/items/lot", json!("9999999901"), "twice"),
            ("/vaccines/0/code", json!("12"), "HOT9"),
            ("/vaccines/0/system", json!("CVX"), "CVX"),
            ("/scope", json!(""), "scope"),
        ] {
            let mut codes = sound();
            *codes.pointer_mut(pointer).unwrap() = value;
            let error = serde_json::from_value::<PortalCodes>(codes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let mut codes = sound();
        codes["more"] = json!(1);
        assert!(serde_json::from_value::<PortalCodes>(codes).is_err());
    }
}
