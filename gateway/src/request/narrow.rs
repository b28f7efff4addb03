//! Narrowing (design §3.6): from what a source answered to what the permit covers, entry by entry. Pure.
//!
//! Only registered elements of registered types pass, with every id and reference rewritten to the receiving party's
//! pairwise ids. Other people's resources, unknown types, records that must not reach anyone (不開示, `UNINFORMED`,
//! `UNDELIVERED`) and anything that could hold a My Number are dropped and counted. Narrative, metadata, extensions and
//! identifiers never pass. What can't be told is withheld.

use aws_lc_rs::hmac;
use jiff::ToSpan;
use jiff::civil::Date;
use sekisho_adapters::my_number;
use sekisho_policy::{DataScope, Kept, Permit};
use serde_json::{Map, Value, json};

use crate::ids::PairwiseId;
use crate::sabotage::{self, Check};
use crate::store::registry::{Coverage, RegistryText};
use crate::store::state::Pairwise;

/// What narrowing needs to know.
pub struct Narrowing<'a> {
    /// What may pass.
    pub permit: &'a Permit,
    /// What the categories cover.
    pub registry: &'a RegistryText,
    /// What the receiving party knows the subject by.
    pub pairwise: &'a Pairwise,
    /// What the source knows the subject by.
    pub id_at_source: &'a str,
    /// Our base URL, for links.
    pub base: &'a str,
}

/// Why a resource was dropped; counts of these go into the record, never content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says which")]
pub struct Dropped {
    pub not_covered: u32,
    pub other_person: u32,
    pub hidden: u32,
    pub my_number: u32,
    pub outside_dates: u32,
    pub malformed: u32,
    pub leaking: u32,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.not_covered
            + self.other_person
            + self.hidden
            + self.my_number
            + self.outside_dates
            + self.malformed
            + self.leaking
    }
}

/// What may pass.
#[derive(Debug, PartialEq)]
pub struct Narrowed {
    /// Bundle entries, rewritten.
    pub entries: Vec<Value>,
    /// What was dropped.
    pub dropped: Dropped,
}

/// The source's answer is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// Not JSON.
    #[error("the answer is not JSON")]
    NotJson,
    /// JSON, but not a searchset Bundle.
    #[error("the answer is not a FHIR searchset Bundle")]
    NotABundle,
}

/// The `next` link of a page, if there is one.
#[must_use]
pub fn next_page(bundle: &Value) -> Option<&str> {
    let links = bundle.get("link")?.as_array()?;
    let next = links.iter().find(|l| l.get("relation").and_then(Value::as_str) == Some("next"))?;
    next.get("url")?.as_str()
}

/// Parses one page of a search.
///
/// # Errors
/// When it isn't one.
pub fn page(body: &[u8]) -> Result<Value, NarrowError> {
    let bundle: Value = serde_json::from_slice(body).map_err(|_| NarrowError::NotJson)?;
    let text = |name: &str| bundle.get(name).and_then(Value::as_str);
    let searchset = text("resourceType") == Some("Bundle") && text("type") == Some("searchset");
    let entries_ok = bundle.get("entry").is_none_or(Value::is_array);
    if searchset && entries_ok { Ok(bundle) } else { Err(NarrowError::NotABundle) }
}

/// The resources of a page.
#[must_use]
pub fn resources(bundle: Value) -> Vec<Value> {
    let Value::Object(mut bundle) = bundle else { return Vec::new() };
    let Some(Value::Array(entries)) = bundle.remove("entry") else { return Vec::new() };
    entries
        .into_iter()
        .map(|entry| match entry {
            Value::Object(mut entry) => entry.remove("resource").unwrap_or(Value::Null),
            _ => Value::Null,
        })
        .collect()
}

/// Which count a dropped resource goes to.
type Why = fn(&mut Dropped) -> &mut u32;

impl Narrowing<'_> {
    /// Narrows the resources of a source's answer.
    #[must_use]
    pub fn narrow(&self, resources: Vec<Value>) -> Narrowed {
        let mut narrowed = Narrowed { entries: Vec::with_capacity(resources.len()), dropped: Dropped::default() };
        for resource in resources {
            match self.one(resource) {
                Ok((kind, id, resource)) => {
                    let full_url = format!("{}/fhir/{kind}/{id}", self.base);
                    narrowed
                        .entries
                        .push(json!({"fullUrl": full_url, "resource": resource, "search": {"mode": "match"}}));
                }
                Err(count) => *count(&mut narrowed.dropped) += 1,
            }
        }
        narrowed
    }

    fn one(&self, resource: Value) -> Result<(String, String, Value), Why> {
        let Value::Object(mut resource) = resource else { return Err(|d| &mut d.malformed) };
        let Some(kind) = resource.get("resourceType").and_then(Value::as_str).map(str::to_owned) else {
            return Err(|d| &mut d.malformed);
        };
        let Some(id) = resource.get("id").and_then(Value::as_str).map(str::to_owned) else {
            return Err(|d| &mut d.malformed);
        };
        if !self.is_the_subjects(&kind, &id, &resource) && !sabotage::off(Check::OtherPeople) {
            return Err(|d| &mut d.other_person);
        }
        if is_hidden(&resource) && !sabotage::off(Check::HiddenTags) {
            return Err(|d| &mut d.hidden);
        }
        if any_text(&resource, &my_number::contained_in) && !sabotage::off(Check::MyNumber) {
            return Err(|d| &mut d.my_number);
        }
        let mut outside_dates = false;
        let (mut allowed, mut extensions): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for kept in self.permit.kept() {
            for coverage in self.coverage(kept).filter(|c| c.resource == kind && covers_code(c, &resource)) {
                if in_scope(&kept.data, coverage, &resource) {
                    allowed.extend(coverage.elements.iter().map(String::as_str));
                    extensions.extend(coverage.extensions.iter().map(String::as_str));
                } else {
                    outside_dates = true;
                }
            }
        }
        if allowed.is_empty() {
            return if outside_dates { Err(|d| &mut d.outside_dates) } else { Err(|d| &mut d.not_covered) };
        }
        let passing = self.passing_extensions(resource.remove("extension"), &extensions);
        resource.retain(|name, _| allowed.contains(&name.as_str()));
        let id = self.rewritten(&kind, &id);
        self.clean_members(&mut resource);
        resource.extend(passing.map(|extensions| ("extension".to_owned(), extensions)));
        if any_text(&resource, &|text| text.contains(self.id_at_source)) && !sabotage::off(Check::Rewrite) {
            return Err(|d| &mut d.leaking);
        }
        let mut out = Map::with_capacity(resource.len() + 2);
        out.insert("resourceType".to_owned(), Value::String(kind.clone()));
        out.insert("id".to_owned(), Value::String(id.clone()));
        out.extend(resource);
        Ok((kind, id, Value::Object(out)))
    }

    fn coverage(&self, kept: &Kept) -> impl Iterator<Item = &Coverage> {
        self.registry.category(kept.category).into_iter().flat_map(|c| &c.covers)
    }

    /// Whether the resource is about the subject: it is the subject's Patient, or refers to it, and to no other.
    fn is_the_subjects(&self, kind: &str, id: &str, resource: &Map<String, Value>) -> bool {
        if kind == "Patient" {
            return id == self.id_at_source;
        }
        let mut about = ["patient", "subject"].into_iter().filter_map(|name| resource.get(name)).peekable();
        about.peek().is_some() && about.all(|reference| self.is_the_patient(reference))
    }

    fn is_the_patient(&self, reference: &Value) -> bool {
        let text = reference.get("reference").and_then(Value::as_str);
        text.and_then(|t| t.strip_prefix("Patient/")) == Some(self.id_at_source)
    }

    /// What the receiving party knows a resource by: the pairwise id for the patient, else an id derived from it under
    /// this pair's own secret.
    fn rewritten(&self, kind: &str, id: &str) -> String {
        if kind == "Patient" && id == self.id_at_source {
            return self.pairwise.id.text();
        }
        if sabotage::off(Check::Rewrite) {
            return id.to_owned();
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.pairwise.secret);
        let mut context = hmac::Context::with_key(&key);
        context.update(kind.as_bytes());
        context.update(b"/");
        context.update(id.as_bytes());
        let tag = context.sign();
        let bytes = tag.as_ref().first_chunk::<16>().copied().unwrap_or([0; 16]);
        PairwiseId::from_bytes(bytes).text()
    }

    /// The extensions that are registered by URL, without what may be nested in them.
    fn passing_extensions(&self, extensions: Option<Value>, registered: &[&str]) -> Option<Value> {
        let Some(Value::Array(mut items)) = extensions else { return None };
        items.retain_mut(|item| {
            let known = item.get("url").and_then(Value::as_str).is_some_and(|url| registered.contains(&url));
            known && self.clean(item)
        });
        (!items.is_empty()).then_some(Value::Array(items))
    }

    fn clean_members(&self, object: &mut Map<String, Value>) {
        object.retain(|name, value| {
            let passes =
                !matches!(name.as_str(), "extension" | "modifierExtension" | "id" | "identifier" | "contained")
                    && !name.starts_with('_');
            passes && self.clean(value)
        });
    }

    /// Rewrites references and drops what never passes; `false` drops the value itself.
    fn clean(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(object) => {
                let reference = object.get("reference").map(|r| r.as_str().map(str::to_owned));
                match reference {
                    Some(Some(text)) => self.rewrite_reference(&text, object),
                    Some(None) => false,
                    None => {
                        self.clean_members(object);
                        !object.is_empty()
                    }
                }
            }
            Value::Array(items) => {
                items.retain_mut(|item| self.clean(item));
                !items.is_empty()
            }
            _ => true,
        }
    }

    /// A reference keeps its target, rewritten, and nothing else: displays are other people's names.
    fn rewrite_reference(&self, text: &str, object: &mut Map<String, Value>) -> bool {
        let Some((kind, id)) = text.split_once('/').filter(|(k, i)| is_letters(k) && is_fhir_id(i)) else {
            return false;
        };
        let target = format!("{kind}/{}", self.rewritten(kind, id));
        object.clear();
        object.insert("reference".to_owned(), Value::String(target));
        true
    }
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_fhir_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// 不開示: tagged so that it must not reach the patient. Published files misspell the system and the case, so the
/// system is not looked at and the case does not matter.
fn is_hidden(resource: &Map<String, Value>) -> bool {
    let Some(meta) = resource.get("meta") else { return false };
    ["tag", "security"].into_iter().filter_map(|name| meta.get(name)?.as_array()).flatten().any(|coding| {
        let code = coding.get("code").and_then(Value::as_str).unwrap_or_default().trim();
        code.eq_ignore_ascii_case("UNINFORMED") || code.eq_ignore_ascii_case("UNDELIVERED")
    })
}

/// Whether any text or number in the resource, names included, is found.
fn any_text(object: &Map<String, Value>, found: &impl Fn(&str) -> bool) -> bool {
    fn look(value: &Value, found: &impl Fn(&str) -> bool) -> bool {
        match value {
            Value::String(text) => found(text),
            Value::Number(number) => found(&number.to_string()),
            Value::Array(items) => items.iter().any(|item| look(item, found)),
            Value::Object(object) => any_text(object, found),
            Value::Null | Value::Bool(_) => false,
        }
    }
    object.iter().any(|(name, value)| found(name) || look(value, found))
}

fn covers_code(coverage: &Coverage, resource: &Map<String, Value>) -> bool {
    if coverage.codes.is_empty() {
        return true;
    }
    let Some(element) = coverage.code_element.as_deref().and_then(|name| resource.get(name)) else { return false };
    let codings = element.get("coding").and_then(Value::as_array);
    codings.into_iter().flatten().any(|coding| {
        let text = |name: &str| coding.get(name).and_then(Value::as_str).unwrap_or_default();
        let (system, code) = (text("system"), text("code"));
        coverage.codes.iter().any(|wanted| wanted.split_once('|') == Some((system, code)))
    })
}

fn in_scope(scope: &DataScope, coverage: &Coverage, resource: &Map<String, Value>) -> bool {
    let DataScope::Within(periods) = scope else { return true };
    let date = coverage.date_elements.iter().find_map(|name| resource.get(name)?.as_str());
    let Some((first, last)) = date.and_then(span_of_date) else { return false };
    periods.iter().any(|period| period.covers(first, last))
}

/// The first and last day that a FHIR date or dateTime can mean.
fn span_of_date(text: &str) -> Option<(Date, Date)> {
    match text.len() {
        4 => {
            let first: Date = format!("{text}-01-01").parse().ok()?;
            Some((first, first.checked_add(1.year()).ok()?.yesterday().ok()?))
        }
        7 => {
            let first: Date = format!("{text}-01").parse().ok()?;
            Some((first, first.last_of_month()))
        }
        _ => {
            let day: Date = text.get(..10)?.parse().ok()?;
            Some((day, day))
        }
    }
}
