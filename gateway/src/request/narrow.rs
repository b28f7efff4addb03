//! Narrowing (design §3.6): from what a source answered to what the permit covers, entry by entry. Pure.
//!
//! Only registered elements of registered types pass, with every id and reference rewritten to the receiving party's
//! pairwise ids. Other people's resources, unknown types, records that must not reach anyone (不開示, `UNINFORMED`,
//! `UNDELIVERED`) and anything that could hold a My Number are dropped and counted. Narrative, metadata, extensions and
//! identifiers never pass. What can't be told is withheld.

use aws_lc_rs::hmac;
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use jiff::ToSpan;
use jiff::civil::Date;
use sekisho_adapters::my_number;
use sekisho_policy::{DataScope, Kept, Permit};
use serde_json::Value;

use super::json::{self, Json, Members, member, take};
use crate::ids::PairwiseId;
use crate::sabotage::{self, Check};
use crate::store::registry::{Coverage, RegistryText};
use crate::store::state::Pairwise;

/// An id this long is looked for anywhere in a text; a shorter one only where it stands by itself: `12` is in many a date.
const TELLING_ID_LETTERS: usize = 8;

/// What an arena has room for at first: a small page takes no more.
const ARENA_BYTES: usize = 16 << 10;

/// What narrowing needs to know.
pub struct Narrowing<'a> {
    permit: &'a Permit,
    also: Option<&'a Permit>,
    registry: &'a RegistryText,
    pairwise: &'a Pairwise,
    secret: hmac::Key,
    source: &'a str,
    id_at_source: &'a str,
    base: &'a str,
}

/// What of a source's holdings a permit can cover: a resource type, and codes, where only some are covered.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Resource type.
    pub resource: &'a str,
    /// Codes as `system|code`; empty is any.
    pub codes: Vec<&'a str>,
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
#[derive(Debug, Default)]
pub struct Narrowed {
    /// JSON of the items, a comma between two: Bundle entries, or for a read the resource.
    pub json: Vec<u8>,
    /// How many items.
    pub items: u32,
    /// What was dropped.
    pub dropped: Dropped,
    /// Where in `json` each of them begins.
    begin: Vec<usize>,
}

/// The source's answer is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// Not JSON, or JSON that two readers could take differently.
    #[error("the answer is not JSON, or a name stands twice in an object")]
    NotJson,
    /// JSON, but not a searchset Bundle.
    #[error("the answer is not a FHIR searchset Bundle")]
    NotABundle,
}

/// The URL of a page's `next` link, if there is one.
fn next_page(bundle: &Members<'_>) -> Option<String> {
    let links = member(bundle, "link")?.as_array()?;
    let next = links.iter().find(|l| l.get("relation").and_then(Json::as_str) == Some("next"))?;
    next.get("url")?.as_str().map(str::to_owned)
}

/// Which count a dropped resource goes to.
type Why = fn(&mut Dropped) -> &mut u32;

impl<'a> Narrowing<'a> {
    /// For what `permit` lets pass, of what `registry` says the categories cover, about whom the source with this code knows
    /// by this id and the receiving party by `pairwise`; `base` is our own URL, for links.
    #[must_use]
    pub fn new(
        permit: &'a Permit,
        registry: &'a RegistryText,
        pairwise: &'a Pairwise,
        (source, id_at_source): (&'a str, &'a str),
        base: &'a str,
    ) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &pairwise.secret);
        Self { permit, also: None, registry, pairwise, secret, source, id_at_source, base }
    }

    /// Only what this permit lets pass as well.
    #[must_use]
    pub const fn and(mut self, also: &'a Permit) -> Self {
        self.also = Some(also);
        self
    }

    /// What is kept, and for which dates besides, where another permit says so.
    fn kept(&self) -> impl Iterator<Item = (&'a Kept, Option<&'a DataScope>)> + use<'a> {
        let also = self.also;
        self.permit.kept().iter().filter_map(move |kept| match also {
            None => Some((kept, None)),
            Some(also) => {
                let other = also.kept().iter().find(|other| other.category == kept.category)?;
                Some((kept, Some(&other.data)))
            }
        })
    }

    /// What a source has to be asked for, so that it is asked for nothing else.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted<'a>> {
        let mut wanted: Vec<Wanted<'a>> = Vec::new();
        for coverage in self.kept().flat_map(|(kept, _)| self.coverage(kept)) {
            let codes = coverage.codes.iter().map(String::as_str);
            match wanted.iter_mut().find(|known| known.resource == coverage.resource) {
                // Any code there, or here.
                Some(known) if known.codes.is_empty() || coverage.codes.is_empty() => known.codes.clear(),
                Some(known) => known.codes.extend(codes),
                None => wanted.push(Wanted { resource: &coverage.resource, codes: codes.collect() }),
            }
        }
        wanted
    }

    /// What the source knows the subject by.
    #[must_use]
    pub const fn id_at_source(&self) -> &'a str {
        self.id_at_source
    }

    /// Narrows one page of a search; gives the URL of the next page, if the source names one.
    ///
    /// # Errors
    /// When it isn't a page of a search.
    pub fn page(&self, body: &[u8], narrowed: &mut Narrowed) -> Result<Option<String>, NarrowError> {
        let arena = Bump::with_capacity(ARENA_BYTES);
        let Ok(Json::Object(mut bundle)) = json::read(body, &arena) else { return Err(NarrowError::NotJson) };
        let text = |name: &str| member(&bundle, name).and_then(Json::as_str);
        if text("resourceType") != Some("Bundle") || text("type") != Some("searchset") {
            return Err(NarrowError::NotABundle);
        }
        let entries = match take(&mut bundle, "entry") {
            None => ArenaVec::new_in(&arena),
            Some(Json::Array(entries)) => entries,
            Some(_) => return Err(NarrowError::NotABundle),
        };
        narrowed.json.reserve(body.len());
        let resources = entries.into_iter().map(|entry| match entry {
            Json::Object(mut entry) => take(&mut entry, "resource").unwrap_or(Json::Null),
            _ => Json::Null,
        });
        self.entries(resources, &arena, narrowed);
        Ok(next_page(&bundle))
    }

    /// Narrows resources that an adapter made to Bundle entries.
    pub fn resources(&self, resources: &[Value], narrowed: &mut Narrowed) {
        let arena = Bump::with_capacity(ARENA_BYTES);
        self.entries(resources.iter().map(|resource| Json::of(resource, &arena)), &arena, narrowed);
    }

    /// Narrows resources to Bundle entries.
    fn entries<'r>(&self, resources: impl IntoIterator<Item = Json<'r>>, arena: &'r Bump, narrowed: &mut Narrowed) {
        for resource in resources {
            match self.one(resource, arena) {
                Ok((kind, id, resource)) => {
                    let full_url = format!("{}/fhir/{kind}/{id}", self.base);
                    let out = narrowed.next();
                    out.extend_from_slice(br#"{"fullUrl":"#);
                    json::write_text(&full_url, out);
                    out.extend_from_slice(br#","resource":"#);
                    resource.write(out);
                    out.extend_from_slice(br#","search":{"mode":"match"}}"#);
                }
                Err(count) => *count(&mut narrowed.dropped) += 1,
            }
        }
    }

    /// Narrows the answer to a read: one resource.
    ///
    /// # Errors
    /// When it isn't JSON.
    pub fn read(&self, body: &[u8], narrowed: &mut Narrowed) -> Result<(), NarrowError> {
        let arena = Bump::with_capacity(ARENA_BYTES);
        let resource = json::read(body, &arena).map_err(|_| NarrowError::NotJson)?;
        match self.one(resource, &arena) {
            Ok((_, _, resource)) => resource.write(narrowed.next()),
            Err(count) => *count(&mut narrowed.dropped) += 1,
        }
        Ok(())
    }

    /// Narrows the answer to a read to a Bundle entry, as [`Narrowing::page`] does those of a search.
    ///
    /// # Errors
    /// When it isn't JSON.
    pub fn entry(&self, body: &[u8], narrowed: &mut Narrowed) -> Result<(), NarrowError> {
        let arena = Bump::with_capacity(ARENA_BYTES);
        let resource = json::read(body, &arena).map_err(|_| NarrowError::NotJson)?;
        self.entries([resource], &arena, narrowed);
        Ok(())
    }

    fn one<'r>(&self, resource: Json<'r>, arena: &'r Bump) -> Result<(&'r str, &'r str, Json<'r>), Why> {
        let Json::Object(mut resource) = resource else { return Err(|d| &mut d.malformed) };
        let text = |name: &str| member(&resource, name).and_then(Json::as_str);
        let (Some(kind), Some(id)) = (text("resourceType"), text("id")) else {
            return Err(|d| &mut d.malformed);
        };
        if !self.is_the_subjects(kind, id, &resource) && !sabotage::off(Check::OtherPeople) {
            return Err(|d| &mut d.other_person);
        }
        if is_hidden(&resource) && !sabotage::off(Check::HiddenTags) {
            return Err(|d| &mut d.hidden);
        }
        if any_text(&resource, &my_number::contained_in) && !sabotage::off(Check::MyNumber) {
            return Err(|d| &mut d.my_number);
        }
        let Allowed { elements, extensions } = self.allowed(kind, &resource)?;
        let passing = self.passing_extensions(take(&mut resource, "extension"), &extensions, arena);
        resource.retain(|(name, _)| elements.contains(name) || sabotage::off(Check::AllowList));
        self.clean_members(&mut resource, arena);
        resource.extend(passing.map(|extensions| ("extension", extensions)));
        if any_text(&resource, &|text| tells(text, self.id_at_source)) && !sabotage::off(Check::Rewrite) {
            return Err(|d| &mut d.leaking);
        }
        let id = arena.alloc_str(&self.rewritten(kind, id));
        let mut out: Members<'r> = ArenaVec::with_capacity_in(resource.len() + 2, arena);
        out.push(("resourceType", Json::Text(kind)));
        out.push(("id", Json::Text(id)));
        // Registered or not: a name stands once.
        out.extend(resource.into_iter().filter(|(name, _)| *name != "resourceType" && *name != "id"));
        Ok((kind, id, Json::Object(out)))
    }

    /// Which elements and extensions of a resource the permit covers.
    fn allowed(&self, kind: &str, resource: &Members<'_>) -> Result<Allowed<'a>, Why> {
        let mut outside_dates = false;
        let mut allowed = Allowed::default();
        for (kept, besides) in self.kept() {
            for coverage in self.coverage(kept).filter(|c| c.resource == kind && covers_code(c, resource)) {
                let within = |dates: &DataScope| in_scope(dates, coverage, resource);
                if within(&kept.data) && besides.is_none_or(within) || sabotage::off(Check::DataDates) {
                    allowed.elements.extend(coverage.elements.iter().map(String::as_str));
                    allowed.extensions.extend(coverage.extensions.iter().map(String::as_str));
                } else {
                    outside_dates = true;
                }
            }
        }
        match (allowed.elements.is_empty(), outside_dates) {
            (false, _) => Ok(allowed),
            (true, true) => Err(|d| &mut d.outside_dates),
            (true, false) => Err(|d| &mut d.not_covered),
        }
    }

    fn coverage(&self, kept: &Kept) -> impl Iterator<Item = &'a Coverage> + use<'a> {
        self.registry.category(kept.category).into_iter().flat_map(|c| &c.covers)
    }

    /// Whether the resource is about the subject: it is the subject's Patient, or refers to it, and to no other.
    fn is_the_subjects(&self, kind: &str, id: &str, resource: &Members<'_>) -> bool {
        if kind == "Patient" {
            return id == self.id_at_source;
        }
        let mut about = ["patient", "subject"].into_iter().filter_map(|name| member(resource, name)).peekable();
        about.peek().is_some() && about.all(|reference| self.is_the_patient(reference))
    }

    fn is_the_patient(&self, reference: &Json<'_>) -> bool {
        let text = reference.get("reference").and_then(Json::as_str);
        text.and_then(|t| t.strip_prefix("Patient/")) == Some(self.id_at_source)
    }

    /// What the receiving party knows a resource by: the pairwise id for the patient, else an id derived from the source's
    /// under this pair's own secret.
    fn rewritten(&self, kind: &str, id: &str) -> String {
        if kind == "Patient" && id == self.id_at_source {
            return self.pairwise.id.text();
        }
        if sabotage::off(Check::Rewrite) {
            return id.to_owned();
        }
        let mut context = hmac::Context::with_key(&self.secret);
        // Two sources may know different things by the same id.
        for part in [self.source.as_bytes(), b"/", kind.as_bytes(), b"/", id.as_bytes()] {
            context.update(part);
        }
        let tag = context.sign();
        let bytes = tag.as_ref().first_chunk::<16>().copied().unwrap_or([0; 16]);
        PairwiseId::from_bytes(bytes).text()
    }

    /// The extensions that are registered by URL, without what may be nested in them.
    fn passing_extensions<'r>(
        &self,
        extensions: Option<Json<'r>>,
        registered: &[&str],
        arena: &'r Bump,
    ) -> Option<Json<'r>> {
        let Some(Json::Array(mut items)) = extensions else { return None };
        items.retain_mut(|item| {
            let known = item.get("url").and_then(Json::as_str).is_some_and(|url| registered.contains(&url));
            known && self.clean(item, arena)
        });
        (!items.is_empty()).then_some(Json::Array(items))
    }

    fn clean_members<'r>(&self, object: &mut Members<'r>, arena: &'r Bump) {
        object.retain_mut(|(name, value)| {
            let never = matches!(*name, "extension" | "modifierExtension" | "id" | "identifier" | "contained");
            !never && !name.starts_with('_') && self.clean(value, arena)
        });
    }

    /// Rewrites references and drops what never passes; `false` drops the value itself.
    fn clean<'r>(&self, value: &mut Json<'r>, arena: &'r Bump) -> bool {
        match value {
            Json::Object(object) => match take(object, "reference") {
                Some(Json::Text(text)) => self.rewrite_reference(text, object, arena),
                Some(_) => false,
                None => {
                    self.clean_members(object, arena);
                    !object.is_empty()
                }
            },
            Json::Array(items) => {
                items.retain_mut(|item| self.clean(item, arena));
                !items.is_empty()
            }
            _ => true,
        }
    }

    /// A reference keeps its target, rewritten, and nothing else: displays are other people's names.
    fn rewrite_reference<'r>(&self, text: &str, object: &mut Members<'r>, arena: &'r Bump) -> bool {
        let Some((kind, id)) = text.split_once('/').filter(|(k, i)| is_letters(k) && is_fhir_id(i)) else {
            return false;
        };
        let target = format!("{kind}/{}", self.rewritten(kind, id));
        object.clear();
        object.push(("reference", Json::Text(arena.alloc_str(&target))));
        true
    }
}

#[derive(Default)]
struct Allowed<'a> {
    elements: Vec<&'a str>,
    extensions: Vec<&'a str>,
}

impl Narrowed {
    /// Takes what another answer of the same source brought.
    pub fn add(&mut self, other: Self) {
        if other.items > 0 {
            if self.items > 0 {
                self.json.push(b',');
            }
            let before = self.json.len();
            self.begin.extend(other.begin.iter().map(|at| before + at));
            self.json.extend_from_slice(&other.json);
        }
        self.items = self.items.saturating_add(other.items);
        let (all, more) = (&mut self.dropped, other.dropped);
        all.not_covered += more.not_covered;
        all.other_person += more.other_person;
        all.hidden += more.hidden;
        all.my_number += more.my_number;
        all.outside_dates += more.outside_dates;
        all.malformed += more.malformed;
        all.leaking += more.leaking;
    }

    /// One item more: where to write it.
    fn next(&mut self) -> &mut Vec<u8> {
        if self.items > 0 {
            self.json.push(b',');
        }
        self.items = self.items.saturating_add(1);
        self.begin.push(self.json.len());
        &mut self.json
    }

    /// JSON of the items from one to before another, a comma between two.
    #[must_use]
    pub fn entries(&self, from: u32, to: u32) -> &[u8] {
        let at = |item: u32| self.begin.get(item as usize).copied();
        let Some(first) = at(from).filter(|_| from < to) else { return &[] };
        // Before the next one stands a comma.
        let end = at(to).map_or(self.json.len(), |next| next.saturating_sub(1));
        self.json.get(first..end).unwrap_or_default()
    }
}

/// Whether a text says an id: a long one anywhere, a short one where it stands by itself.
fn tells(text: &str, id: &str) -> bool {
    if id.len() >= TELLING_ID_LETTERS {
        return text.contains(id);
    }
    let in_an_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    text.match_indices(id).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + id.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(in_an_id) && !after.is_some_and(in_an_id)
    })
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_fhir_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// 不開示: tagged so that it must not reach the patient. Published files misspell the system and the case, so the
/// system is not looked at and the case does not matter.
fn is_hidden(resource: &Members<'_>) -> bool {
    let Some(meta) = member(resource, "meta") else { return false };
    ["tag", "security"].into_iter().filter_map(|name| meta.get(name)?.as_array()).flatten().any(|coding| {
        let code = coding.get("code").and_then(Json::as_str).unwrap_or_default().trim();
        code.eq_ignore_ascii_case("UNINFORMED") || code.eq_ignore_ascii_case("UNDELIVERED")
    })
}

/// Whether any text or number in the resource, names included, is found.
fn any_text(resource: &Members<'_>, found: &impl Fn(&str) -> bool) -> bool {
    resource.iter().any(|(name, value)| found(name) || value.any_text(found))
}

fn covers_code(coverage: &Coverage, resource: &Members<'_>) -> bool {
    if coverage.codes.is_empty() {
        return true;
    }
    let Some(element) = coverage.code_element.as_deref().and_then(|name| member(resource, name)) else { return false };
    let codings = element.get("coding").and_then(Json::as_array);
    codings.into_iter().flatten().any(|coding| {
        let text = |name: &str| coding.get(name).and_then(Json::as_str).unwrap_or_default();
        let (system, code) = (text("system"), text("code"));
        coverage.codes.iter().any(|wanted| wanted.split_once('|') == Some((system, code)))
    })
}

fn in_scope(scope: &DataScope, coverage: &Coverage, resource: &Members<'_>) -> bool {
    let DataScope::Within(periods) = scope else { return true };
    if coverage.resource == "Patient" && coverage.date_elements.is_empty() {
        // Who somebody is has no date: a summary of some years bears a name as well.
        return true;
    }
    let date = coverage.date_elements.iter().find_map(|name| member(resource, name)?.as_str());
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

#[cfg(test)]
mod tests {
    use super::tells;

    #[test]
    fn a_short_id_is_looked_for_where_it_stands_by_itself() {
        for text in ["2024", "Patient/2024", "患者2024番", "(2024)", "a 2024 b", "2024-03-01 2024"] {
            assert!(tells(text, "2024"), "{text}");
        }
        // A date or a lot that happens to hold the digits is no reason to withhold a vaccination.
        for text in ["2024-03-01", "A2024B", "20245", "x.2024", ""] {
            assert!(!tells(text, "2024"), "{text}");
        }
        for text in ["syn-0123-4567", "MRN:syn-0123-4567x"] {
            assert!(tells(text, "syn-0123-4567"), "{text}");
        }
    }
}
