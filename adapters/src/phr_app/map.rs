//! An app's records as FHIR R4, after JP Core and what the International Patient Summary needs. Pure.
//!
//! What it does: maps what is there, keeps a number's digits and a date's precision, says of every resource where it comes
//! from, and reports everything that it couldn't map. What it never does: see [`super`].
//!
//! Facts (`docs/phr-app-source.md` says where each was found): FHIR R4's vital signs; JP Core's profiles, categories and code
//! systems; JP-CLINS' code for a medicine without a standard code; IPS 2.0's code for "no known allergy", and that
//! `MedicationStatement.effective[x]` must stand, with a reason where it isn't known.

use jiff::Timestamp;
use serde_json::Value;

use super::reader::Reader;
use super::wire::{Item, Records};
use super::{Part, measures, resources, wire};
use crate::my_number;

/// Why something couldn't be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is required and isn't there, or is empty.
    Missing,
    /// No day or instant as the shape has it.
    NotADate,
    /// A year or month where at least the day is needed.
    NotPrecise,
    /// Before 1900.
    TooLongAgo,
    /// It lies ahead.
    InTheFuture,
    /// No plain decimal: a sign, an exponent, too many digits.
    NotANumber,
    /// A unit that isn't taken: nothing is converted by guess.
    Unit,
    /// No body has this.
    Impossible,
    /// A code that doesn't have its system's shape.
    NotACode,
    /// A word that isn't in the list for this field.
    UnknownWord,
    /// No municipality code with a right check digit.
    NotAMunicipality,
    /// Longer than it can be.
    TooLong,
    /// It held characters that deceive or don't show. They were taken out; the rest stands.
    Deceiving,
    /// It contradicts something else in the answer.
    Contradictory,
    /// FHIR can't say it without the number of the dose.
    NeedsDoseNumber,
    /// It could contain an individual number: the whole record is left out.
    IndividualNumber,
    /// A part or field that isn't known.
    Unknown,
    /// A part that wasn't asked for.
    NotAskedFor,
}

/// Something that couldn't be mapped. Contains no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmapped {
    /// Of which part, if it is a known one.
    pub part: Option<Part>,
    /// Which of the part's items, from 0.
    pub index: usize,
    /// Which field, by its name in the shape; `unknown` for any other, whose name could be anything.
    pub field: &'static str,
    /// Why.
    pub why: Why,
    /// Whether the item as a whole had to be left out for it.
    pub record_left_out: bool,
}

/// What came of the mapping. `Debug` shows counts and what is unmapped, no record.
#[derive(Clone, PartialEq, Default)]
pub struct Mapped {
    /// FHIR resources, in the order of the answer. An item's resource has the item's id after the name of its part.
    pub resources: Vec<Value>,
    /// What couldn't be mapped.
    pub unmapped: Vec<Unmapped>,
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped").field("resources", &self.resources.len()).field("unmapped", &self.unmapped).finish()
    }
}

/// Maps records about `user`, as known at `now`. The resources refer to `Patient/{user}`.
#[must_use]
pub fn map(records: &Records, user: &str, now: Timestamp) -> Mapped {
    let mut mapped = Mapped::default();
    let whole = |part, why| Unmapped { part, index: 0, field: "records", why, record_left_out: true };
    mapped.unmapped.extend(records.not_asked_for.iter().map(|part| whole(Some(*part), Why::NotAskedFor)));
    if records.has_unknown_part {
        mapped.unmapped.push(whole(None, Why::Unknown));
    }
    let some_allergy =
        records.items.iter().any(|item| item.part == Part::Allergies && !resources::says_none_known(item));
    for item in &records.items {
        let mut reader = Reader { item, user, now, unmapped: &mut mapped.unmapped };
        if let Some(resource) = one(&mut reader, some_allergy) {
            mapped.resources.push(resource);
        }
    }
    mapped
}

fn one(reader: &mut Reader<'_, '_>, some_allergy: bool) -> Option<Value> {
    if could_hold_a_my_number(reader.item) {
        reader.report("records", Why::IndividualNumber, true);
        return None;
    }
    if reader.item.has_unknown_field {
        reader.report("unknown", Why::Unknown, false);
    }
    match reader.item.part {
        Part::Profile => resources::patient(reader),
        Part::Conditions => resources::condition(reader),
        Part::Medications => resources::medication(reader),
        Part::Allergies if resources::says_none_known(reader.item) => resources::no_known_allergy(reader, some_allergy),
        Part::Allergies => resources::allergy(reader),
        Part::Heights | Part::Weights | Part::Temperatures => measures::measurement(reader),
        Part::Vaccinations => resources::vaccination(reader),
    }
}

/// Looks through names and values of all fields, unknown ones too; and through texts as they read without what doesn't
/// show, which could stand between digits.
fn could_hold_a_my_number(item: &Item) -> bool {
    item.fields.iter().any(|(name, value)| my_number_in(name) || wire::any_text(value, &my_number_in))
}

fn my_number_in(text: &str) -> bool {
    my_number::contained_in(text) || my_number::contained_in(&super::text::clean(text, false).text)
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "map_bad_tests.rs"]
mod bad_tests;
