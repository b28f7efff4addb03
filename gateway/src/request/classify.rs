//! From a path and query in their only normal form to the question that is decided (design §3.3).
//!
//! There is no decoding: a path or query that would need any is not in normal form and matches nothing. What a route
//! does not allow by name is denied.

use std::sync::Arc;

use http::Method;
use sekisho_adapters::my_number;
use sekisho_policy::{AccessRequest, Code, PartyId, PersonId, PurposeCode, Receiver};

use super::authenticate::Caller;
use super::paging::Page;
use super::token::Claims;
use crate::app::App;
use crate::config::{Form, PurposeFrom, Route, SubjectIn};
use crate::ids::PairwiseId;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Longest path and query that is looked at.
const TARGET_BYTES_MAX: usize = 2048;

/// A question, and what of the query may be passed on to the source.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The route that matched.
    pub route: &'a Arc<Route>,
    /// What is decided.
    pub request: AccessRequest,
    /// The id by which the caller named the subject, as it stands in the request.
    pub named: String,
    /// Query parameters for the source, in the caller's order.
    pub query: Vec<(String, String)>,
    /// Which part of a searchset.
    pub page: Page,
}

/// Why a request is no question.
#[derive(Debug, thiserror::Error)]
pub enum Unclassified {
    /// No route has this path, method or query.
    #[error("no such route")]
    NoRoute,
    /// The token lacks what the route asks for.
    #[error("the token lacks a scope")]
    Scope(String),
    /// A person's own client can't receive for a party.
    #[error("this route is for parties")]
    NotAParty,
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Matches the route table and finds the subject.
///
/// # Errors
/// Why the request is no question.
pub fn classify<'a>(
    app: &'a App,
    method: &Method,
    path: &str,
    query: Option<&str>,
    caller: &Caller,
) -> Result<Asked<'a>, Unclassified> {
    if method != Method::GET {
        return Err(Unclassified::NoRoute);
    }
    let (route, in_path) = route(&app.config.routes, path).ok_or(Unclassified::NoRoute)?;
    let mut passed = parameters(query.unwrap_or_default()).ok_or(Unclassified::NoRoute)?;
    let named = match &route.subject {
        SubjectIn::Path => in_path.unwrap_or_default(),
        SubjectIn::Query(name) => take(&mut passed, name).ok_or(Unclassified::NoRoute)?,
    };
    // The source is not asked for pages of ours.
    let paged = route.form == Form::Searchset && passed.iter().any(|(name, _)| name == "_count" || name == "_page");
    let page = match &caller.party {
        Some(party) if paged => Page::read(app, party.id, route, &named, &mut passed)?,
        _ => Page::default(),
    };
    let my_number = |value: &str| my_number::contained_in(value) && !sabotage::off(Check::MyNumber);
    if passed.iter().any(|(name, value)| !route.query.contains(name) || my_number(value)) {
        return Err(Unclassified::NoRoute);
    }
    if !caller.claims.has_scope(&route.scope) {
        return Err(Unclassified::Scope(route.scope.clone()));
    }
    let party = caller.party.as_ref().ok_or(Unclassified::NotAParty)?;
    let subject = subject(app, party.id, &caller.claims, &named)?;
    let purpose = purpose(&route.purpose, caller).ok_or(Unclassified::NoRoute)?;
    let request = AccessRequest {
        subject,
        receiver: Receiver::Party { party: party.id, actor: caller.actor_for(subject) },
        source: route.source.party,
        purpose,
        categories: route.categories.clone(),
    };
    Ok(Asked { route, request, named, query: passed, page })
}

/// The person that the caller's party knows by this id; nobody, if it knows none. Same work, same answer (invariant 5).
///
/// A token that was launched for one patient is about that one: everybody else is nobody to it.
pub(super) fn subject(app: &App, party: PartyId, claims: &Claims, named: &str) -> Result<PersonId, StoreError> {
    let bare = |id: &'_ str| id.strip_prefix("Patient/").unwrap_or(id).to_owned();
    let named = bare(named);
    let known = match PairwiseId::parse(&named) {
        Ok(id) => app.store.person_of_pairwise(party, id)?,
        Err(_) => None,
    };
    let launched_for = claims.patient.as_deref().is_none_or(|patient| bare(patient) == named);
    let known = known.filter(|_| launched_for || sabotage::off(Check::LaunchPatient));
    Ok(known.unwrap_or(app.store.nobody()))
}

pub(super) fn purpose(from: &PurposeFrom, caller: &Caller) -> Option<PurposeCode> {
    match from {
        PurposeFrom::Route(purpose) => Some(*purpose),
        PurposeFrom::Token(allowed) => {
            let claimed = PurposeCode(Code::parse(caller.claims.purpose.as_deref()?).ok()?);
            allowed.contains(&claimed).then_some(claimed)
        }
    }
}

/// The one route with this path, and what stands at `{patient}`. Parts of summaries are none by themselves.
#[must_use]
pub fn route<'a>(routes: &'a [Arc<Route>], path: &str) -> Option<(&'a Arc<Route>, Option<String>)> {
    let segments = segments(path)?;
    let mut alone = routes.iter().filter(|route| route.form != Form::Part);
    alone.find_map(|route| Some((route, matched(&route.segments, &segments)?)))
}

/// What stands at `{patient}` in a path, if it is this one.
pub(super) fn matched(expected: &[Option<String>], found: &[&str]) -> Option<Option<String>> {
    if expected.len() != found.len() {
        return None;
    }
    let mut subject = None;
    for (expected, found) in expected.iter().zip(found) {
        match expected {
            Some(literal) if literal == found => {}
            Some(_) => return None,
            None => subject = Some((*found).to_owned()),
        }
    }
    Some(subject)
}

/// The segments of a path in its only normal form: one slash between them, letters that need no escape, no dot
/// segments, nothing after the last.
#[must_use]
pub fn segments(path: &str) -> Option<Vec<&str>> {
    if path.len() > TARGET_BYTES_MAX {
        return None;
    }
    if sabotage::off(Check::NormalPath) {
        return Some(path.split('/').filter(|s| !s.is_empty() && *s != ".").collect());
    }
    let plain =
        |s: &&str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'));
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    segments.iter().all(plain).then_some(segments)
}

/// The parameters of a query in its only normal form: `name=value` pairs, no escapes, no name twice.
#[must_use]
pub fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    if query.len() > TARGET_BYTES_MAX {
        return None;
    }
    let mut out: Vec<(String, String)> = Vec::new();
    if query.is_empty() {
        return Some(out);
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let plain = |s: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b',');
            !s.is_empty() && s.bytes().all(allowed)
        };
        if !plain(name) || !plain(value) || out.iter().any(|(n, _)| n == name) {
            return None;
        }
        out.push((name.to_owned(), value.to_owned()));
    }
    Some(out)
}

pub(super) fn take(parameters: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = parameters.iter().position(|(n, _)| n == name)?;
    Some(parameters.remove(at).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_normal_form_of_a_path_has_segments() {
        assert_eq!(segments("/fhir/Immunization"), Some(vec!["fhir", "Immunization"]));
        assert_eq!(segments("/fhir/Patient/x/$summary"), Some(vec!["fhir", "Patient", "x", "$summary"]));
        for wrong in [
            "",
            "/",
            "fhir/Immunization",
            "//fhir/Immunization",
            "/fhir//Immunization",
            "/fhir/Immunization/",
            "/fhir/./Immunization",
            "/fhir/../Immunization",
            "/fhir/%49mmunization",
            "/fhir/Immunization;a=b",
            "/fhir\\Immunization",
            "/fhir/Immunization%00",
            "/fhir/予防接種",
            "/fhir/Immunization .json",
            "*",
        ] {
            assert_eq!(segments(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_normal_form_of_a_query_has_parameters() {
        assert_eq!(parameters(""), Some(vec![]));
        assert_eq!(parameters("a=1&b=2").map(|p| p.len()), Some(2));
        for wrong in ["a", "a=", "=1", "a=1&a=2", "a=1&", "a=%31", "a=1+2", "a=1;b=2", "a=1&&b=2", "a==1"] {
            assert_eq!(parameters(wrong), None, "{wrong}");
        }
    }
}
