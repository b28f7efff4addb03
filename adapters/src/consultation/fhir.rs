//! A service that speaks FHIR R4: `QuestionnaireResponse` becomes the plain shape and is judged by the same rules, so problems
//! name the plain shape's fields. Pure.
//!
//! What it does: takes answers by configured `linkId`, scores by their numbers. What it never does: read an item's wording
//! (`item.text` is copyright), choose between two answers, or look at items that have no name here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::reader::holds_my_number;
use super::wire::{self, Broken, is_watermark};
use super::{ChoiceChanged, Consultation, ConsultationId, EPDS_ITEMS, Page, Rejected, Wanted};
use crate::phr_app::strict;

/// FHIR R4's extension for the number that a coded answer stands for.
const ORDINAL: &str = "http://hl7.org/fhir/StructureDefinition/ordinalValue";
/// What tells a name in kana from one as written.
const REPRESENTATION: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";
const BEGINNING: &str = "1970-01-01T00:00:00Z";

/// The service's `linkId`s. All of them have to be named, but for those that a service doesn't have: empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FhirNames {
    /// Canonical of the questionnaire whose responses are consultations.
    pub questionnaire: String,
    /// Canonical of the one whose responses are changed choices.
    pub choice_questionnaire: String,
    /// The ten items of the EPDS, in order.
    pub epds: [String; EPDS_ITEMS],
    /// Every other item, by the path of the plain shape: `asker.birth`, `child.id`, `sharing.choice`, `safe_contact.means` …
    /// and, of details, `child.name`, `child.kana`, `content.consultation`, `content.advice`.
    pub items: BTreeMap<String, String>,
}

/// Paths that [`FhirNames::items`] may name.
pub const PATHS: [&str; 25] = [
    "asker.birth",
    "child.id",
    "child.birth",
    "child.name",
    "child.kana",
    "judgement",
    "judgement.reason",
    "emergency",
    "marks",
    "consultation",
    "sharing.choice",
    "sharing.municipality",
    "sharing.text_version",
    "sharing.at",
    "sharing.evidence",
    "residence.municipality",
    "residence.postal",
    "present.municipality",
    "present.postal",
    "safe_contact.means",
    "safe_contact.hours",
    "safe_contact.voicemail",
    "safe_contact.hidden_from_family",
    "content.consultation",
    "content.advice",
];

/// Where a page is asked for: by instant at first, then as the server's own link says.
pub(super) fn target(questionnaire: &str, since: Option<&str>, limit: usize) -> String {
    if let Some(link) = since.filter(|since| since.starts_with('/')) {
        return link.to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("questionnaire", questionnaire).append_pair("_sort", "_lastUpdated");
    query.append_pair("_count", &limit.to_string());
    query.append_pair("_lastUpdated", &format!("ge{}", since.unwrap_or(BEGINNING)));
    format!("/QuestionnaireResponse?{}", query.finish())
}

/// Where responses and their patients are asked for by id. An id is letters, digits, `-` and `.`: nothing to encode.
pub(super) fn by_ids(ids: &[ConsultationId]) -> String {
    let mut target = "/QuestionnaireResponse?_include=QuestionnaireResponse:subject&_count=200&_id=".to_owned();
    for (id, at) in ids.iter().zip(0..) {
        let _ = write!(target, "{}{}", if at == 0 { "" } else { "," }, id.as_str());
    }
    target
}

/// Reads a searchset of consultations.
pub(super) fn consultations(
    body: &[u8],
    names: &FhirNames,
    base_url: &str,
    since: Option<&str>,
    now: Timestamp,
) -> Result<Page<Result<Consultation, Rejected>>, Broken> {
    let bundle = Bundle::read(body, names)?;
    let items = bundle.responses().enumerate();
    let items = items.map(|(index, response)| consultation(response, index, names, now)).collect();
    bundle.page(items, base_url, since)
}

/// Reads a searchset of changed choices.
pub(super) fn choices(
    body: &[u8],
    names: &FhirNames,
    base_url: &str,
    since: Option<&str>,
    now: Timestamp,
) -> Result<Page<Result<ChoiceChanged, Rejected>>, Broken> {
    let bundle = Bundle::read(body, names)?;
    let one = |(index, response): (usize, &Value)| {
        let answers = Answers::of(response, names);
        let mut plain = json!({"user": subject(response), "sharing": answers.part("sharing")});
        answers.put(&mut plain, "consultation", "consultation");
        wire::choice_changed(&plain_text(response, plain), index, now)
    };
    let items = bundle.responses().enumerate().map(one).collect();
    bundle.page(items, base_url, since)
}

/// Reads what was pushed: a bundle of responses, or one.
pub(super) fn pushed(
    body: &[u8],
    names: &FhirNames,
    now: Timestamp,
) -> Result<Vec<Result<Consultation, Rejected>>, Broken> {
    let bundle = Bundle::read(body, names)?;
    Ok(bundle.responses().enumerate().map(|(index, one)| consultation(one, index, names, now)).collect())
}

fn consultation(response: &Value, index: usize, names: &FhirNames, now: Timestamp) -> Result<Consultation, Rejected> {
    let answers = Answers::of(response, names);
    let mut asker = answers.part("asker");
    if let (Some(asker), Some(id)) = (asker.as_object_mut(), subject(response)) {
        asker.insert("id".to_owned(), id);
    }
    let mut plain = json!({
        "id": response.get("id"), "at": response.get("authored"), "asker": asker, "epds": answers.epds(),
        "sharing": answers.part("sharing"), "residence": answers.part("residence"), "safe_contact": answers.part("safe_contact"),
    });
    for (part, needed) in [("child", "child.id"), ("present", "present.municipality")] {
        if answers.has(needed) {
            let mut known = answers.part(part);
            // Names are asked for later.
            if let Some(members) = known.as_object_mut() {
                members.retain(|name, _| !matches!(name.as_str(), "name" | "kana"));
            }
            put(&mut plain, part, known);
        }
    }
    let judged = answers.one("judgement") == Some(Value::Bool(true)) || answers.has("judgement.reason");
    if judged {
        put(&mut plain, "judgement", answers.part("judgement"));
    }
    answers.put(&mut plain, "emergency", "emergency");
    answers.put_list(&mut plain, "marks", "marks");
    if let Some(contact) = plain.get_mut("safe_contact") {
        answers.put_list(contact, "means", "safe_contact.means");
    }
    // What isn't finished, or was a mistake, is none. The name of the field says it.
    if !matches!(response.get("status").and_then(Value::as_str), Some("completed" | "amended")) {
        put(&mut plain, "status", Value::Bool(false));
    }
    wire::consultation(&plain_text(response, plain), index, now)
}

/// What may be a My Number anywhere in the resource is one in the record.
fn plain_text(response: &Value, mut plain: Value) -> String {
    if holds_my_number(&response.to_string()) {
        put(&mut plain, "resource", response.clone());
    }
    plain.to_string()
}

fn put(to: &mut Value, name: &str, value: Value) {
    if let Some(members) = to.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The id of the patient that a response is about: of a relative reference only.
fn subject(response: &Value) -> Option<Value> {
    let reference = response.pointer("/subject/reference").and_then(Value::as_str)?;
    reference.strip_prefix("Patient/").map(|id| json!(id))
}

struct Bundle(Value);

impl Bundle {
    /// A searchset, or one response alone.
    fn read(body: &[u8], names: &FhirNames) -> Result<Self, Broken> {
        let sound = strict::read(body).filter(|value| {
            let kind = value.get("resourceType").and_then(Value::as_str);
            kind == Some("QuestionnaireResponse")
                || (kind == Some("Bundle") && value.get("entry").is_none_or(Value::is_array))
        });
        let Some(value) = sound else {
            // Whether something can't wait stands under two names: seeing one of them is enough for somebody to look.
            let text = String::from_utf8_lossy(body);
            let item_10 = names.epds.last().into_iter().chain(names.items.get("emergency"));
            let urgent = item_10.filter(|name| !name.is_empty()).any(|name| text.contains(&format!("\"{name}\"")));
            return Err(Broken { what: "bundle", urgent });
        };
        Ok(Self(value))
    }

    fn resources(&self) -> impl Iterator<Item = &Value> {
        let entries = self.0.get("entry").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(|entry| entry.get("resource")).chain(std::iter::once(&self.0))
    }

    fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.resources().filter(move |resource| resource.get("resourceType").and_then(Value::as_str) == Some(kind))
    }

    fn responses(&self) -> impl Iterator<Item = &Value> {
        self.of_type("QuestionnaireResponse")
    }

    /// Where it goes on: the server's own link, if it leads to the same server; else from the last instant that was told.
    fn page<T>(&self, items: Vec<T>, base_url: &str, since: Option<&str>) -> Result<Page<T>, Broken> {
        let links = self.0.get("link").and_then(Value::as_array).into_iter().flatten();
        let next = links.filter(|link| link.get("relation").and_then(Value::as_str) == Some("next"));
        let next = next.filter_map(|link| link.get("url").and_then(Value::as_str)).next();
        if let Some(url) = next {
            let target = url.strip_prefix(base_url).unwrap_or(url);
            let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
            if !target.starts_with('/') || target.starts_with("//") || !is_watermark(&target) {
                return Err(Broken { what: "link", urgent: false });
            }
            return Ok(Page { items, next: target, more: true });
        }
        let updated = |response: &Value| response.pointer("/meta/lastUpdated")?.as_str()?.parse::<Timestamp>().ok();
        let last = self.responses().filter_map(updated).max().map(|at| at.to_string());
        let next = last.unwrap_or_else(|| since.unwrap_or(BEGINNING).to_owned());
        Ok(Page { items, next, more: false })
    }
}

/// Answers by `linkId`, and the names to find them by.
struct Answers<'a> {
    names: &'a FhirNames,
    given: BTreeMap<&'a str, Vec<Value>>,
}

impl<'a> Answers<'a> {
    fn of(response: &'a Value, names: &'a FhirNames) -> Self {
        let mut given: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let mut open = vec![response];
        // Depth and size are bounded by the body's.
        while let Some(holder) = open.pop() {
            let items = holder.get("item").and_then(Value::as_array).into_iter().flatten();
            for item in items {
                open.push(item);
                let answers = item.get("answer").and_then(Value::as_array).into_iter().flatten();
                for answer in answers {
                    open.push(answer);
                    if let (Some(id), Some(value)) = (item.get("linkId").and_then(Value::as_str), plain(answer)) {
                        given.entry(id).or_default().push(value);
                    }
                }
            }
        }
        Self { names, given }
    }

    fn all(&self, path: &str) -> Option<&Vec<Value>> {
        self.given.get(self.names.items.get(path)?.as_str())
    }

    fn has(&self, path: &str) -> bool {
        self.all(path).is_some()
    }

    /// One answer as itself; several as a list, which is no text, no number and no truth.
    fn one(&self, path: &str) -> Option<Value> {
        single(self.all(path)?)
    }

    fn put(&self, to: &mut Value, name: &str, path: &str) {
        if let Some(value) = self.one(path) {
            put(to, name, value);
        }
    }

    fn put_list(&self, to: &mut Value, name: &str, path: &str) {
        if let Some(values) = self.all(path) {
            put(to, name, Value::Array(values.clone()));
        }
    }

    /// All answers whose path begins so.
    fn part(&self, of: &str) -> Value {
        let mut part = Map::new();
        for path in self.names.items.keys() {
            let name = path.strip_prefix(of).and_then(|rest| rest.strip_prefix('.'));
            if let Some((name, value)) = name.zip(self.one(path)) {
                part.insert(name.to_owned(), value);
            }
        }
        Value::Object(part)
    }

    /// Ten scores; nothing where no item was answered.
    fn epds(&self) -> Value {
        let score = |id: &String| self.given.get(id.as_str()).and_then(single).unwrap_or(Value::Null);
        let scores: Vec<Value> = self.names.epds.iter().map(score).collect();
        if scores.iter().all(Value::is_null) { Value::Null } else { Value::Array(scores) }
    }
}

fn single(values: &Vec<Value>) -> Option<Value> {
    match values.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(Value::Array(several.to_vec())),
    }
}

/// What an answer says: a value, the number that a code stands for, or the code.
fn plain(answer: &Value) -> Option<Value> {
    let (name, value) = answer.as_object()?.iter().find(|(name, _)| name.starts_with("value"))?;
    if name != "valueCoding" {
        return Some(value.clone());
    }
    let ordinal = value.get("extension").and_then(Value::as_array).into_iter().flatten();
    let ordinal =
        ordinal.filter(|e| e.get("url").and_then(Value::as_str) == Some(ORDINAL)).find_map(|e| e.get("valueDecimal"));
    ordinal.or_else(|| value.get("code")).cloned()
}

/// Responses and their patients as the plain shape's details.
pub(super) fn details(body: &[u8], names: &FhirNames, wanted: Wanted) -> Option<Vec<u8>> {
    let bundle = Bundle::read(body, names).ok()?;
    let patients: Vec<&Value> = bundle.of_type("Patient").collect();
    let mut details = Vec::new();
    for response in bundle.responses() {
        let answers = Answers::of(response, names);
        let id = subject(response);
        let patient = patients.iter().find(|patient| patient.get("id") == id.as_ref()).copied();
        let mut detail =
            json!({"id": response.get("id"), "address": patient.and_then(|p| p.pointer("/address/0/text"))});
        put(&mut detail, "asker", patient.map_or(Value::Null, person));
        put(&mut detail, "reach", patient.map_or(Value::Null, reach));
        if answers.has("child.id") {
            put(&mut detail, "child", answers.part("child"));
        }
        if wanted == Wanted::Content {
            let mut content = answers.part("content");
            if let Some(reason) = answers.one("judgement.reason") {
                put(&mut content, "judgement", reason);
            }
            put(&mut detail, "content", content);
        }
        details.push(detail);
    }
    Some(json!({"details": details}).to_string().into_bytes())
}

fn person(patient: &Value) -> Value {
    let names = patient.get("name").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_kana = |name: &Value| {
        let extensions = name.get("extension").and_then(Value::as_array).into_iter().flatten();
        extensions
            .filter(|e| e.get("url").and_then(Value::as_str) == Some(REPRESENTATION))
            .any(|e| e.get("valueCode").and_then(Value::as_str) == Some("SYL"))
    };
    let name = names.iter().find(|name| !is_kana(name)).map(in_words);
    let kana = names.iter().find(|name| is_kana(name)).map(in_words);
    json!({"id": patient.get("id"), "name": name, "kana": kana, "birth": patient.get("birthDate")})
}

fn in_words(name: &Value) -> String {
    if let Some(text) = name.get("text").and_then(Value::as_str) {
        return text.to_owned();
    }
    let given = name.get("given").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let parts: Vec<&str> = name.get("family").and_then(Value::as_str).into_iter().chain(given).collect();
    parts.join(" ")
}

fn reach(patient: &Value) -> Value {
    let telecom = patient.get("telecom").and_then(Value::as_array).into_iter().flatten();
    let ways = telecom.filter_map(|way| {
        let means = match way.get("system").and_then(Value::as_str) {
            Some("phone") => "telephone",
            Some("email") => "mail",
            _ => return None,
        };
        Some(json!({"means": means, "at": way.get("value")}))
    });
    ways.collect()
}

#[cfg(test)]
#[path = "fhir_tests.rs"]
mod tests;
