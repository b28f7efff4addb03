//! The route table (`docs/formats.md` §9): what may be asked, by whom, about whom, for which purpose.
//!
//! A path is literal segments and at most one `{patient}`; a query is an allow-list. What isn't in the table is denied.

use std::sync::Arc;

use sekisho_policy::{Categories, Code, PartyId, PurposeCode};

use super::read::{At, Section};
use super::{Source, Summary};
use crate::ids::party_id;
use crate::store::registry::RegistryText;
use crate::store::state::category_version;

/// Where the subject's pairwise id stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectIn {
    /// In the path, as `{patient}`.
    Path,
    /// In this query parameter.
    Query(String),
}

/// Who asserts the purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurposeFrom {
    /// The route has one purpose.
    Route(PurposeCode),
    /// The token's `purpose` claim, which must be one of these.
    Token(Vec<PurposeCode>),
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A searchset of what one search at the source gives.
    Searchset,
    /// One resource.
    Read,
    /// All that one source holds of the categories, for a summary: never answered by itself.
    Part,
}

/// Which source a route asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSource {
    /// Which party.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// The path asked there; `{patient}` stands for the subject's id at the source. Empty where the source's kind says what
    /// is asked.
    pub path: String,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name, which goes into the ledger.
    pub name: String,
    /// Path segments; `None` is `{patient}`.
    pub segments: Vec<Option<String>>,
    /// Where the subject stands.
    pub subject: SubjectIn,
    /// Query parameters that may be passed on to the source.
    pub query: Vec<String>,
    /// What it is for.
    pub purpose: PurposeFrom,
    /// What it asks for.
    pub categories: Categories,
    /// Whom it asks.
    pub source: RouteSource,
    /// Scope that the token must carry. Of a part none: each category needs the scopes of its types.
    pub scope: String,
    /// What the answer is.
    pub form: Form,
}

pub(super) fn read(s: &mut Section<'_, '_, '_>, registry: &RegistryText, sources: &[Source]) -> Option<Route> {
    let name = s.parsed("name", "a code such as vaccination-history", |t| Code::parse(t).ok().map(|_| t.to_owned()));
    let path = s.parsed("path", "a path such as /fhir/Immunization or /fhir/Patient/{patient}", segments);
    let query_subject = s.optional_text("subject", "the query parameter that names the subject");
    let query = s.texts("query", "query parameters that may pass");
    let purpose = purpose(s, registry);
    let categories = categories(s, registry);
    let source = s.parsed("source", "the code of a configured [[source]]", |t| {
        sources.iter().any(|known| known.code == t).then(|| t.to_owned())
    });
    let source_path = s.optional_text("source_path", "path at the source, with {patient}");
    let scope = s.text("scope", "the scope that tokens must carry").value;
    let form = if s.flag("read", false) { Form::Read } else { Form::Searchset };
    let path = path?;
    reachable(s, &path);
    let in_path = path.value.iter().any(Option::is_none);
    let subject = match (in_path, query_subject) {
        (true, None) => SubjectIn::Path,
        (false, Some(name)) => SubjectIn::Query(name.value),
        _ => {
            s.wrong(
                path.offset,
                "path",
                "must hold {patient}, or `subject` must name a query parameter; one of the two",
            );
            return None;
        }
    };
    let source = source?.value;
    Some(Route {
        name: name?.value,
        segments: path.value,
        subject,
        query: query.into_iter().map(|q| q.value).collect(),
        purpose: purpose?,
        categories: categories?,
        source: RouteSource {
            party: party_id(&source),
            code: source,
            path: source_path.map(|p| p.value).unwrap_or_default(),
        },
        scope,
        form,
    })
}

/// A path that begins like one of ours would never be looked for.
pub(super) fn reachable(s: &mut Section<'_, '_, '_>, path: &At<Vec<Option<String>>>) {
    let ours = ["v1", "relay", ".well-known", "my", "counter", "clinic"];
    if path.value.last().and_then(Option::as_deref) == Some("metadata") {
        s.wrong(path.offset, "path", "ends like what the gateway says of itself: it would never be reached");
    }
    if path.value.first().and_then(Option::as_deref).is_some_and(|first| ours.contains(&first)) {
        s.wrong(path.offset, "path", "begins like the gateway's own API and pages: it would never be reached");
    }
}

/// The segments of a configured path; `None` stands for `{patient}`.
#[must_use]
pub fn segments(path: &str) -> Option<Vec<Option<String>>> {
    let mut out = Vec::new();
    for segment in path.strip_prefix('/')?.split('/') {
        let plain = segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'));
        match segment {
            "{patient}" => out.push(None),
            _ if plain && !segment.is_empty() => out.push(Some(segment.to_owned())),
            _ => return None,
        }
    }
    (out.iter().filter(|s| s.is_none()).count() <= 1).then_some(out)
}

pub(super) fn purpose(s: &mut Section<'_, '_, '_>, registry: &RegistryText) -> Option<PurposeFrom> {
    let known = |t: &str| registry.purpose(t).and_then(|p| Code::parse(&p.code).ok()).map(PurposeCode);
    let from_token = s.texts("purposes_by_token", "purposes that the token may name");
    if from_token.is_empty() {
        return s.parsed("purpose", "a registered purpose", known).map(|p| PurposeFrom::Route(p.value));
    }
    let mut purposes = Vec::new();
    for At { value, offset } in from_token {
        match known(&value) {
            Some(purpose) => purposes.push(purpose),
            None => s.wrong(offset, "purposes_by_token", &format!("holds `{value}`, which is not registered")),
        }
    }
    Some(PurposeFrom::Token(purposes))
}

pub(super) fn categories(s: &mut Section<'_, '_, '_>, registry: &RegistryText) -> Option<Categories> {
    let mut versions = Vec::new();
    for At { value, offset } in s.texts("categories", "category versions such as vaccination@1") {
        match category_version(&value).filter(|v| registry.category(*v).is_some()) {
            Some(version) => versions.push(version),
            None => s.wrong(offset, "categories", &format!("holds `{value}`, which is not a registered version")),
        }
    }
    let offset = s.offset();
    let categories = Categories::new(versions);
    if categories.is_none() {
        s.wrong(offset, "categories", "must hold 1 to 16 category versions");
    }
    categories
}

/// Two routes that one request could match are a mistake: which of them decides must never depend on their order.
pub(super) fn compare(top: &mut Section<'_, '_, '_>, routes: &[Arc<Route>], summaries: &[Arc<Summary>]) {
    for (at, one) in routes.iter().enumerate() {
        for other in routes.iter().skip(at + 1) {
            let alike = |(a, b): (&Option<String>, &Option<String>)| a.is_none() || b.is_none() || a == b;
            let overlap =
                one.segments.len() == other.segments.len() && one.segments.iter().zip(&other.segments).all(alike);
            // One summary asks several sources under one path and name.
            let of = |summary: &Summary, route| summary.parts.iter().any(|part| Arc::ptr_eq(part, route));
            let together = summaries.iter().any(|summary| of(summary, one) && of(summary, other));
            if (overlap || one.name == other.name) && !together {
                let message =
                    format!("routes `{}` and `{}` overlap: one request could match both", one.name, other.name);
                top.problems.at(0, message);
            }
        }
    }
}
