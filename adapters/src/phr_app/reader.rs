//! Reads one item's fields, and reports what is wrong with them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::decimal::Decimal;
use super::map::{Unmapped, Why};
use super::text;
use super::when::{Precision, When};
use super::wire::Item;
use crate::fhir_terms::{COPIED_ON, ORIGIN};

/// Letters of a name, a title, a place; and of a note, a dosage, a reaction.
const NAME_MAX: usize = 200;
const LINES_MAX: usize = 1_000;

/// A code system that an item may name, and what its codes look like.
pub(super) struct CodeSystem {
    /// Its name in the shape.
    pub name: &'static str,
    /// Its FHIR address.
    pub url: &'static str,
    /// Whether a text looks like one of its codes.
    pub fits: fn(&str) -> bool,
}

/// One item, while its resource is made.
pub(super) struct Reader<'a, 'u> {
    pub item: &'a Item,
    pub user: &'a str,
    pub now: Timestamp,
    pub unmapped: &'u mut Vec<Unmapped>,
}

impl<'a> Reader<'a, '_> {
    pub fn report(&mut self, field: &'static str, why: Why, record_left_out: bool) {
        let (part, index) = (Some(self.item.part), self.item.index);
        self.unmapped.push(Unmapped { part, index, field, why, record_left_out });
    }

    fn raw(&self, field: &'static str) -> Option<&'a str> {
        self.item.fields.get(field)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Whether something stands there.
    pub fn has(&self, field: &'static str) -> bool {
        self.raw(field).is_some()
    }

    /// Whether just this stands there.
    pub fn says(&self, field: &'static str, word: &str) -> bool {
        self.raw(field) == Some(word)
    }

    /// A name or the like, in one line.
    pub fn name(&mut self, field: &'static str) -> Option<String> {
        self.text(field, NAME_MAX, false, false)
    }

    /// The same, without which there is no record.
    pub fn required_name(&mut self, field: &'static str) -> Option<String> {
        self.text(field, NAME_MAX, false, true)
    }

    /// A text of several lines.
    pub fn lines(&mut self, field: &'static str) -> Option<String> {
        self.text(field, LINES_MAX, true, false)
    }

    fn text(&mut self, field: &'static str, max: usize, lines: bool, required: bool) -> Option<String> {
        let cleaned = text::clean(self.raw(field).unwrap_or_default(), lines);
        if cleaned.changed {
            self.report(field, Why::Deceiving, false);
        }
        if cleaned.text.chars().count() > max {
            self.report(field, Why::TooLong, required);
            return None;
        }
        if cleaned.text.is_empty() {
            if required {
                self.report(field, Why::Missing, true);
            }
            return None;
        }
        Some(cleaned.text)
    }

    /// One of the words that FHIR has for a field, or none.
    pub fn word(&mut self, field: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let raw = self.raw(field)?;
        let word = words.iter().copied().find(|word| *word == raw);
        if word.is_none() {
            self.report(field, Why::UnknownWord, false);
        }
        word
    }

    /// A day or instant, at least as precise as asked.
    pub fn when(&mut self, field: &'static str, least: Precision, required: bool) -> Option<When> {
        self.dated(field, least, required, false)
    }

    /// The same, where it may lie ahead: the planned end of something.
    pub fn end(&mut self, field: &'static str) -> Option<When> {
        self.dated(field, Precision::Year, false, true)
    }

    fn dated(&mut self, field: &'static str, least: Precision, required: bool, ahead: bool) -> Option<When> {
        let why = match self.raw(field) {
            None if required => Why::Missing,
            None => return None,
            Some(raw) => match When::parse(raw, self.now, ahead) {
                Ok(when) if when.precision >= least => return Some(when),
                Ok(_) => Why::NotPrecise,
                Err(why) => why,
            },
        };
        self.report(field, why, required);
        None
    }

    /// A day, or less precise, but no instant: FHIR's `date`.
    pub fn date(&mut self, field: &'static str, least: Precision, required: bool) -> Option<String> {
        let when = self.when(field, least, required)?;
        if when.precision == Precision::Instant {
            self.report(field, Why::NotADate, required);
            return None;
        }
        Some(when.text)
    }

    /// A coding, when system and code are given and fit together.
    pub fn coding(&mut self, systems: &[CodeSystem]) -> Option<(&'static str, &'a str)> {
        let (system, code) = match (self.raw("code_system"), self.raw("code")) {
            (None, None) => return None,
            (Some(system), Some(code)) => (system, code),
            (None, Some(_)) => {
                self.report("code_system", Why::Missing, false);
                return None;
            }
            (Some(_), None) => {
                self.report("code", Why::Missing, false);
                return None;
            }
        };
        let Some(known) = systems.iter().find(|known| known.name == system) else {
            self.report("code_system", Why::UnknownWord, false);
            return None;
        };
        if !(known.fits)(code) {
            self.report("code", Why::NotACode, false);
            return None;
        }
        Some((known.url, code))
    }

    /// The measured number in one of the units, by what to shift its point; without it there is no record.
    pub fn measured(&mut self, units: &[(&str, i8)], (low, high): (f64, f64)) -> Option<Decimal> {
        let shift = match self.raw("unit") {
            None => Err(Why::Missing),
            Some(raw) => units.iter().find(|(unit, _)| *unit == raw).map(|(_, shift)| *shift).ok_or(Why::Unit),
        };
        let shift = shift.map_err(|why| self.report("unit", why, true)).ok();
        let value = match self.item.fields.get("value") {
            Some(Value::Number(number)) => Decimal::parse(number).ok_or(Why::NotANumber),
            _ => Err(Why::Missing),
        };
        let value = value.map_err(|why| self.report("value", why, true)).ok();
        let value = value?.shifted(shift?);
        if !value.is_within(low, high) {
            self.report("value", Why::Impossible, true);
            return None;
        }
        Some(value)
    }

    /// The beginning of a resource: its type and id, and where it comes from. None where that can't be said: a copy without
    /// its date could be years old.
    pub fn resource(&mut self, kind: &str, profile: Option<&str>) -> Option<Map<String, Value>> {
        const WORDS: [&str; 5] = ["self", "device", "clinic", "portal", "app"];
        let entered = self.word("entered", &WORDS).unwrap_or("app");
        let mut extensions =
            vec![json!({"url": ORIGIN, "valueCode": if entered == "portal" { "portal-copy" } else { entered }})];
        if entered == "portal" {
            let copied_on = self.date("copied_on", Precision::Day, true)?;
            extensions.push(json!({"url": COPIED_ON, "valueDate": copied_on}));
        } else if self.has("copied_on") {
            self.report("copied_on", Why::Contradictory, false);
        }
        let mut resource = Map::new();
        resource.insert("resourceType".to_owned(), json!(kind));
        resource.insert("id".to_owned(), json!(self.id()));
        if let Some(profile) = profile {
            resource.insert("meta".to_owned(), json!({"profile": [profile]}));
        }
        resource.insert("extension".to_owned(), Value::Array(extensions));
        Some(resource)
    }

    /// `weights-w1`: the same for the same item, and no two alike in an answer.
    fn id(&self) -> String {
        match self.item.fields.get("id").and_then(Value::as_str) {
            Some(id) if self.item.part != super::Part::Profile => format!("{}-{id}", self.item.part.name()),
            _ => self.user.to_owned(),
        }
    }

    /// The reference that the resource carries.
    pub fn patient(&self) -> Value {
        json!({"reference": format!("Patient/{}", self.user)})
    }
}
