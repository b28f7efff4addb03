//! The portal's records as FHIR R4 `Immunization`, after JP Core. Pure.
//!
//! What it does: maps what is there, keeps a date's precision, and reports everything that it couldn't map.
//! What it never does: guess a date, a code or a number; drop something without saying so; let through what could be
//! an individual number.
//! Facts: JP_Immunization requires status, vaccineCode, patient and `occurrence[x]`; `occurrenceString` is allowed;
//! R4 requires `doseNumber[x]` within `protocolApplied`.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::codes::{PortalCodes, VaccineSystem};
use super::wire::{PortalRecord, PortalRecords};
use crate::fhir_terms::{DOSE_MUNICIPALITY, HOT9, HOT13, MUNICIPALITY_CODE, PROFILE_IMMUNIZATION, YJ};
use crate::municipality::MunicipalityCode;
use crate::my_number;

const TEXT_MAX_CHARS: usize = 100;
const LOT_MAX_CHARS: usize = 20;
const DATE_TEXT_MAX_CHARS: usize = 30;

/// Why something couldn't be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is required and isn't there.
    Missing,
    /// Digits that are no date.
    NotADate,
    /// No number of a dose.
    NotANumber,
    /// No municipality code with a right check digit.
    NotAMunicipality,
    /// Longer than it can be.
    TooLong,
    /// There twice, with different contents.
    Contradictory,
    /// An item code that isn't configured.
    UnknownItem,
    /// FHIR can't say it without the number of the dose.
    NeedsDoseNumber,
    /// It could contain an individual number: the whole record is left out.
    IndividualNumber,
}

/// Something that couldn't be mapped. Contains no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// Which record, from 0.
    pub index: usize,
    /// Which field: ours by name, an unknown one by its ten-digit code.
    pub field: String,
    /// Why.
    pub why: Why,
    /// Whether the record as a whole had to be left out for it.
    pub record_left_out: bool,
}

/// What came of the mapping. `Debug` shows counts and what is unmapped, no record.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// FHIR `Immunization` resources with ids `dose-1`, `dose-2` … by position in the portal's answer.
    pub immunizations: Vec<Value>,
    /// What couldn't be mapped.
    pub unmapped: Vec<Unmapped>,
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped")
            .field("immunizations", &self.immunizations.len())
            .field("unmapped", &self.unmapped)
            .finish()
    }
}

/// Maps records. `patient` is the reference that the resources carry, such as `Patient/x`.
#[must_use]
pub fn map(records: &PortalRecords, codes: &PortalCodes, patient: &str) -> Mapped {
    let mut mapped = Mapped::default();
    for (index, record) in records.records.iter().enumerate() {
        let mut reader = Reader { index, codes, fields: Fields::default(), unmapped: &mut mapped.unmapped };
        if let Some(resource) = reader.resource(record, patient) {
            mapped.immunizations.push(resource);
        }
    }
    mapped
}

/// The contents of one record by field. Twice with different contents is `Err`.
#[derive(Default)]
struct Fields<'a> {
    vaccine: Field<'a>,
    date: Field<'a>,
    lot: Field<'a>,
    maker: Field<'a>,
    dose_number: Field<'a>,
    disease: Field<'a>,
    municipality: Field<'a>,
    clinic: Field<'a>,
}

#[derive(Default, Clone, Copy)]
enum Field<'a> {
    #[default]
    Absent,
    Is(&'a str),
    Contradictory,
}

struct Reader<'a, 'u> {
    index: usize,
    codes: &'a PortalCodes,
    fields: Fields<'a>,
    unmapped: &'u mut Vec<Unmapped>,
}

impl<'a> Reader<'a, '_> {
    fn resource(&mut self, record: &'a PortalRecord, patient: &str) -> Option<Value> {
        if record.items.iter().any(|item| my_number::contained_in(&item.content)) {
            self.report("record", Why::IndividualNumber, true);
            return None;
        }
        self.sort(record);
        let vaccine = self.required(self.fields.vaccine, "vaccine", TEXT_MAX_CHARS);
        let date = self.required(self.fields.date, "date", DATE_TEXT_MAX_CHARS);
        let occurrence = date.and_then(|text| match occurrence(text) {
            Some(occurrence) => Some(occurrence),
            None => {
                self.report("date", Why::NotADate, true);
                None
            }
        });
        let (vaccine, (occurrence, when)) = (vaccine?, occurrence?);
        let mut resource = json!({
            "resourceType": "Immunization",
            "id": format!("dose-{}", self.index.saturating_add(1)),
            "meta": {"profile": [PROFILE_IMMUNIZATION]},
            "status": "completed",
            "vaccineCode": vaccine_code(vaccine, self.codes),
            "patient": {"reference": patient}
        });
        let object = resource.as_object_mut()?;
        object.insert(occurrence.to_owned(), Value::String(when));
        self.optional(object);
        Some(resource)
    }

    fn sort(&mut self, record: &'a PortalRecord) {
        let codes = &self.codes.items;
        for item in &record.items {
            let content = item.content.trim();
            let fields = &mut self.fields;
            let field = match item.code.as_str() {
                code if code == codes.vaccine => &mut fields.vaccine,
                code if code == codes.date => &mut fields.date,
                code if code == codes.lot => &mut fields.lot,
                code if code == codes.maker => &mut fields.maker,
                code if code == codes.dose_number => &mut fields.dose_number,
                code if code == codes.disease => &mut fields.disease,
                code if code == codes.municipality => &mut fields.municipality,
                code if code == codes.clinic => &mut fields.clinic,
                unknown => {
                    self.report(unknown, Why::UnknownItem, false);
                    continue;
                }
            };
            if content.is_empty() {
                continue;
            }
            *field = match *field {
                Field::Absent => Field::Is(content),
                Field::Is(earlier) if earlier == content => Field::Is(content),
                _ => Field::Contradictory,
            };
        }
    }

    fn optional(&mut self, object: &mut Map<String, Value>) {
        if let Some(code) = self.given(self.fields.municipality, "municipality", TEXT_MAX_CHARS) {
            match MunicipalityCode::parse(code) {
                Ok(code) => {
                    let coding = json!({"system": MUNICIPALITY_CODE, "code": code.as_str()});
                    let extension = json!([{"url": DOSE_MUNICIPALITY, "valueCoding": coding}]);
                    object.insert("extension".to_owned(), extension);
                }
                Err(_) => self.report("municipality", Why::NotAMunicipality, false),
            }
        }
        if let Some(maker) = self.given(self.fields.maker, "maker", TEXT_MAX_CHARS) {
            object.insert("manufacturer".to_owned(), json!({"display": maker}));
        }
        if let Some(lot) = self.given(self.fields.lot, "lot", LOT_MAX_CHARS) {
            object.insert("lotNumber".to_owned(), json!(lot));
        }
        if let Some(clinic) = self.given(self.fields.clinic, "clinic", TEXT_MAX_CHARS) {
            object.insert("performer".to_owned(), json!([{"actor": {"display": clinic}}]));
        }
        let number = self.given(self.fields.dose_number, "dose_number", TEXT_MAX_CHARS);
        let disease = self.given(self.fields.disease, "disease", TEXT_MAX_CHARS);
        let mut protocol = Map::new();
        if let Some(disease) = disease {
            protocol.insert("targetDisease".to_owned(), json!([{"text": disease}]));
        }
        match number.map(dose_number) {
            Some(Some((name, value))) => {
                protocol.insert(name.to_owned(), value);
                object.insert("protocolApplied".to_owned(), json!([protocol]));
                return;
            }
            Some(None) => self.report("dose_number", Why::NotANumber, false),
            None => {}
        }
        if disease.is_some() {
            self.report("disease", Why::NeedsDoseNumber, false);
        }
    }

    fn required(&mut self, field: Field<'a>, name: &str, max_chars: usize) -> Option<&'a str> {
        self.one(field, name, max_chars, true)
    }

    fn given(&mut self, field: Field<'a>, name: &str, max_chars: usize) -> Option<&'a str> {
        self.one(field, name, max_chars, false)
    }

    fn one(&mut self, field: Field<'a>, name: &str, max_chars: usize, required: bool) -> Option<&'a str> {
        let why = match field {
            Field::Is(text) if text.chars().count() <= max_chars => return Some(text),
            Field::Is(_) => Why::TooLong,
            Field::Contradictory => Why::Contradictory,
            Field::Absent if required => Why::Missing,
            Field::Absent => return None,
        };
        self.report(name, why, required);
        None
    }

    fn report(&mut self, field: &str, why: Why, record_left_out: bool) {
        self.unmapped.push(Unmapped { index: self.index, field: field.to_owned(), why, record_left_out });
    }
}

fn vaccine_code(name: &str, codes: &PortalCodes) -> Value {
    match codes.vaccines.iter().find(|vaccine| vaccine.name == name) {
        None => json!({"text": name}),
        Some(vaccine) => {
            let system = match vaccine.system {
                VaccineSystem::Hot9 => HOT9,
                VaccineSystem::Hot13 => HOT13,
                VaccineSystem::Yj => YJ,
            };
            json!({"coding": [{"system": system, "code": vaccine.code}], "text": name})
        }
    }
}

/// The date with the precision that it has: `YYYYMMDD`, `YYYYMM` and `YYYY` as a date; other digits not at all; any
/// other text as it stands. Years outside 1900–2099 are none: six digits may be a short date (`240405`).
fn occurrence(text: &str) -> Option<(&'static str, String)> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(("occurrenceString", text.to_owned()));
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
    let (year, month, day) = match text.len() {
        4 => (number(0, 4)?, None, None),
        6 => (number(0, 4)?, Some(number(4, 6)?), None),
        8 => (number(0, 4)?, Some(number(4, 6)?), Some(number(6, 8)?)),
        _ => return None,
    };
    let small = |n: Option<i16>| i8::try_from(n.unwrap_or(1)).ok();
    let date = Date::new(year, small(month)?, small(day)?).ok().filter(|_| (1900..2100).contains(&year))?;
    let written = date.to_string();
    let precise = match (month, day) {
        (None, _) => written.get(..4)?,
        (_, None) => written.get(..7)?,
        _ => &written,
    };
    Some(("occurrenceDateTime", precise.to_owned()))
}

/// `1`…`20` as a number; a word (追加) as it stands; other digits not at all.
pub(crate) fn dose_number(text: &str) -> Option<(&'static str, Value)> {
    if !text.chars().all(char::is_numeric) {
        return Some(("doseNumberString", json!(text)));
    }
    let number = text.parse::<u8>().ok().filter(|n| (1..=20).contains(n))?;
    Some(("doseNumberPositiveInt", json!(number)))
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
