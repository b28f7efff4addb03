//! The route matcher. Input: paths of a route table, one a line (at most eight count), and last the path asked for.
//!
//! The account of its own works on text: a template fits when the path is the template with one plain segment in place
//! of `{patient}`.

use std::sync::Arc;

use sekisho::config::{Form, PurposeFrom, Route, RouteSource, SubjectIn, route_segments};
use sekisho::ids::party_id;
use sekisho::request::classify::route;
use sekisho::store::state::category_version;
use sekisho_policy::Categories;

const ROUTES_MAX: usize = 8;

/// Panics on a finding.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (table, asked) = text.rsplit_once('\n').unwrap_or(("", text));
    let templates: Vec<&str> = table.lines().filter(|line| route_segments(line).is_some()).take(ROUTES_MAX).collect();
    let routes: Vec<Arc<Route>> = templates.iter().map(|template| Arc::new(configured(template))).collect();
    for (template, route) in templates.iter().zip(&routes) {
        let written: String =
            route.segments.iter().map(|s| format!("/{}", s.as_deref().unwrap_or("{patient}"))).collect();
        assert_eq!(written, *template, "a template is read as it is written");
    }
    let expected = templates.iter().find_map(|template| fits(template, asked).map(|subject| (*template, subject)));
    let found = route(&routes, asked).map(|(route, subject)| (route.name.as_str(), subject));
    assert_eq!(found, expected.map(|(template, subject)| (template, subject.map(str::to_owned))));
}

/// A route that is known by its template.
fn configured(template: &str) -> Route {
    Route {
        name: template.to_owned(),
        segments: route_segments(template).unwrap_or_default(),
        subject: SubjectIn::Path,
        query: Vec::new(),
        purpose: PurposeFrom::Token(Vec::new()),
        categories: Categories::new(category_version("vaccination@1")).expect("one category"),
        source: RouteSource { party: party_id("city"), code: "city".to_owned(), path: String::new() },
        scope: "fhir/read".to_owned(),
        form: Form::Searchset,
    }
}

/// What stands in the path in place of `{patient}`, where the template has it.
fn fits<'a>(template: &str, asked: &'a str) -> Option<Option<&'a str>> {
    let Some((before, after)) = template.split_once("{patient}") else {
        return (template == asked && asked.len() <= 2_048).then_some(None);
    };
    let subject = asked.strip_prefix(before)?.strip_suffix(after)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_$".contains(c);
    let fits = !subject.is_empty() && subject.chars().all(plain) && asked.len() <= 2_048;
    fits.then_some(Some(subject))
}
