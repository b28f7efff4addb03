//! Summaries (`[[summary]]`): one question answered from several sources, each of which is decided about by itself.

use std::sync::Arc;
use std::time::Duration;

use sekisho_policy::Code;

use super::Source;
use super::read::{At, Section};
use super::routes::{self, Form, PurposeFrom, Route, RouteSource, SubjectIn};
use crate::ids::party_id;
use crate::store::registry::RegistryText;

/// Sources of one summary, at most.
pub const PARTS_MAX: usize = 16;

/// A summary of what several sources hold about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name, which goes into the ledger with the decision about each source.
    pub name: String,
    /// Path segments; `None` is `{patient}`.
    pub segments: Vec<Option<String>>,
    /// What it is for.
    pub purpose: PurposeFrom,
    /// How long sources may take; what comes later is missing, and said to be.
    pub within: Duration,
    /// A route for each source, in the order in which they are believed about name and birth date. At least one.
    pub parts: Vec<Arc<Route>>,
}

pub(super) fn read(s: &mut Section<'_, '_, '_>, registry: &RegistryText, sources: &[Source]) -> Option<Summary> {
    let name = s.parsed("name", "a code such as summary", |t| Code::parse(t).ok().map(|_| t.to_owned()));
    let path = s.parsed("path", "a path with {patient} such as /fhir/Patient/{patient}/$summary", |t| {
        routes::segments(t).filter(|segments| segments.iter().any(Option::is_none))
    });
    let purpose = routes::purpose(s, registry);
    let within = Duration::from_millis(s.number("within_ms", 5_000, 100..=30_000));
    let mut asked = Vec::new();
    s.each("part", |part| asked.extend(self::part(part, registry, sources)));
    if let Some(path) = &path {
        routes::reachable(s, path);
    }
    let offset = s.offset();
    let twice = asked.iter().enumerate().any(|(at, (one, _))| asked.iter().skip(at + 1).any(|(other, _)| one == other));
    if twice || !(1..=PARTS_MAX).contains(&asked.len()) {
        s.wrong(offset, "part", "must be there 1 to 16 times, each with another source");
        return None;
    }
    let (name, path, purpose) = (name?.value, path?.value, purpose?);
    let parts = asked.into_iter().map(|(source, categories)| {
        Arc::new(Route {
            name: name.clone(),
            segments: path.clone(),
            subject: SubjectIn::Path,
            query: Vec::new(),
            purpose: purpose.clone(),
            categories,
            source: RouteSource { party: party_id(&source), code: source, path: String::new() },
            scope: String::new(),
            form: Form::Part,
        })
    });
    Some(Summary { parts: parts.collect(), name, segments: path, purpose, within })
}

/// A source, and what it is asked for.
fn part(
    s: &mut Section<'_, '_, '_>,
    registry: &RegistryText,
    sources: &[Source],
) -> Option<(String, sekisho_policy::Categories)> {
    let source = s.parsed("source", "the code of a configured [[source]]", |t| {
        sources.iter().any(|known| known.code == t).then(|| t.to_owned())
    });
    let categories = routes::categories(s, registry)?;
    let At { value, .. } = source?;
    Some((value, categories))
}
