//! The wire format: reading an app's answer strictly, naming what is wrong with it.
//!
//! An answer is refused whole when it can't be relied on: not this user's, not UTF-8, a name or an id twice, a known field
//! of the wrong type, too many items. What is merely unknown (a part, a field) is kept apart for the report.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use super::client::PhrAppError;
use super::{Part, strict};

/// Items of one answer, at most: three temperatures a day for four years, and all else.
pub const ITEMS_MAX: usize = 5_000;
/// Letters of an item's id, at most: with the part before it, it must fit a FHIR id of 64.
pub const ITEM_ID_MAX: usize = 48;
/// Letters of a user's id, at most: that of a FHIR id.
pub const USER_ID_MAX: usize = 64;

/// What a known field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
}

use Kind::{Bool, Number, Text};

/// Fields that every item can have. `user` is checked wherever it stands.
const COMMON: [(&str, Kind); 4] = [("id", Text), ("user", Text), ("entered", Text), ("copied_on", Text)];

/// Fields of a part's items beside the common ones.
const fn own_fields(part: Part) -> &'static [(&'static str, Kind)] {
    match part {
        Part::Profile => &[
            ("name", Text),
            ("family", Text),
            ("given", Text),
            ("kana", Text),
            ("family_kana", Text),
            ("given_kana", Text),
            ("birth_date", Text),
            ("sex", Text),
        ],
        Part::Conditions => &[
            ("name", Text),
            ("code_system", Text),
            ("code", Text),
            ("status", Text),
            ("since", Text),
            ("recorded", Text),
            ("note", Text),
        ],
        Part::Medications => &[
            ("name", Text),
            ("code_system", Text),
            ("code", Text),
            ("status", Text),
            ("from", Text),
            ("until", Text),
            ("on", Text),
            ("dosage", Text),
            ("recorded", Text),
            ("note", Text),
        ],
        Part::Allergies => &[
            ("name", Text),
            ("none_known", Bool),
            ("category", Text),
            ("criticality", Text),
            ("reaction", Text),
            ("status", Text),
            ("since", Text),
            ("recorded", Text),
            ("note", Text),
        ],
        Part::Heights | Part::Weights | Part::Temperatures => {
            &[("value", Number), ("unit", Text), ("at", Text), ("note", Text)]
        }
        Part::Vaccinations => &[
            ("vaccine", Text),
            ("code_system", Text),
            ("code", Text),
            ("on", Text),
            ("on_text", Text),
            ("dose_number", Text),
            ("disease", Text),
            ("lot", Text),
            ("maker", Text),
            ("clinic", Text),
            ("municipality", Text),
            ("recorded", Text),
            ("note", Text),
        ],
    }
}

/// One item, its known fields of the right types. `Debug` shows where it stood only.
#[derive(Clone, PartialEq)]
pub struct Item {
    /// Of which part.
    pub part: Part,
    /// Which of the part's items, from 0.
    pub index: usize,
    /// As it came: personal.
    pub(super) fields: Map<String, Value>,
    /// Whether it has a field that isn't known.
    pub(super) has_unknown_field: bool,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("part", &self.part).field("index", &self.index).finish_non_exhaustive()
    }
}

/// A sound answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records {
    /// Items of the parts that were asked for.
    pub items: Vec<Item>,
    /// Parts that weren't asked for and came all the same: what was in them is gone.
    pub not_asked_for: Vec<Part>,
    /// Whether something else stood there: a part, or a member of the answer, that isn't known.
    pub has_unknown_part: bool,
}

/// Whether a text can be a user's id: what FHIR takes as an id, since resources refer to `Patient/{id}`.
#[must_use]
pub fn is_user_id(text: &str) -> bool {
    is_id(text, USER_ID_MAX)
}

fn is_id(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// Reads an answer about `user`, of whom `asked` was asked for.
///
/// # Errors
/// When it isn't about this user only, or which field is not as it should be.
pub fn read(body: &[u8], user: &str, asked: &[Part]) -> Result<Records, PhrAppError> {
    let Some(Value::Object(mut answer)) = strict::read(body) else { return Err(PhrAppError::Malformed("body")) };
    if !answer.get("user").is_some_and(Value::is_string) {
        return Err(PhrAppError::Malformed("user"));
    }
    let Some(Value::Object(parts)) = answer.remove("records") else { return Err(PhrAppError::Malformed("records")) };
    // The whole answer, unknown members included, before anything in it is believed.
    if !answer.iter().chain(&parts).all(|(name, value)| only_about(user, name, value)) {
        return Err(PhrAppError::WrongUser);
    }
    let mut records = Records { has_unknown_part: answer.len() > 1, ..Records::default() };
    for (name, value) in parts {
        match Part::ALL.into_iter().find(|part| part.name() == name) {
            None => records.has_unknown_part = true,
            Some(part) if !asked.contains(&part) => records.not_asked_for.push(part),
            Some(part) => read_part(part, value, &mut records.items)?,
        }
    }
    Ok(records)
}

/// Whether a 404 says that the app knows nobody by that id. Any other 404 is a wrong address: no data looks the same as
/// nothing to say, so it has to be said.
pub(super) fn says_unknown_user(body: &[u8]) -> bool {
    strict::read(body).is_some_and(|answer| answer.get("error").and_then(Value::as_str) == Some("unknown_user"))
}

/// Whether everything called `user`, at any depth, is this user.
fn only_about(user: &str, name: &str, value: &Value) -> bool {
    if name == "user" {
        return value.as_str() == Some(user);
    }
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| only_about(user, name, value)),
        Value::Array(items) => items.iter().all(|item| only_about(user, "", item)),
        _ => true,
    }
}

fn read_part(part: Part, value: Value, items: &mut Vec<Item>) -> Result<(), PhrAppError> {
    let malformed = PhrAppError::Malformed(part.name());
    let values = match (part, value) {
        (Part::Profile, profile @ Value::Object(_)) => vec![profile],
        (Part::Profile, _) => return Err(malformed),
        (_, Value::Array(values)) => values,
        _ => return Err(malformed),
    };
    if items.len().saturating_add(values.len()) > ITEMS_MAX {
        return Err(PhrAppError::Malformed("too many items"));
    }
    let mut ids = HashSet::new();
    for (index, value) in values.into_iter().enumerate() {
        let Value::Object(fields) = value else { return Err(malformed) };
        let has_unknown_field = check_types(part, &fields)?;
        // A person has one profile: it needs no id.
        if part != Part::Profile {
            let id = fields.get("id").and_then(Value::as_str).filter(|id| is_id(id, ITEM_ID_MAX));
            if !ids.insert(id.ok_or(PhrAppError::Malformed("id"))?.to_owned()) {
                return Err(PhrAppError::Malformed("id"));
            }
        }
        items.push(Item { part, index, fields, has_unknown_field });
    }
    Ok(())
}

/// Gives whether there is an unknown field.
fn check_types(part: Part, fields: &Map<String, Value>) -> Result<bool, PhrAppError> {
    let mut has_unknown_field = false;
    for (name, value) in fields {
        let known = COMMON.iter().chain(own_fields(part)).find(|(known, _)| known == name);
        match (known, value) {
            (None, _) => has_unknown_field = true,
            (Some((_, Text)), Value::String(_))
            | (Some((_, Number)), Value::Number(_))
            | (Some((_, Bool)), Value::Bool(_)) => {}
            (Some((known, _)), _) => return Err(PhrAppError::Malformed(known)),
        }
    }
    Ok(has_unknown_field)
}

/// Whether any text, number or name in a value is found.
pub(super) fn any_text(value: &Value, found: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => found(text),
        Value::Number(number) => found(number.as_str()),
        Value::Array(items) => items.iter().any(|item| any_text(item, found)),
        Value::Object(members) => members.iter().any(|(name, value)| found(name) || any_text(value, found)),
        Value::Null | Value::Bool(_) => false,
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
