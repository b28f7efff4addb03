//! The API's description against the API: the same routes, every problem in it and in the error catalogue.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: it panics where a promise is broken")]

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value};

const PROBLEMS: &str = include_str!("../src/api/problem.rs");
const FHIR_ANSWERS: &str = include_str!("../src/request/respond.rs");
const CATALOGUE: &str = include_str!("../../docs/errors.md");
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn document() -> Value {
    serde_json::from_str(include_str!("../src/api/openapi.json")).unwrap()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// Method, path and operation of everything under `paths`.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for (method, operation) in object(item).iter().filter(|(name, _)| METHODS.contains(&name.as_str())) {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

/// What a `$ref` in the document stands for.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference}"))
        }
        None => value,
    }
}

fn every_reference(document: &Value, value: &Value) {
    followed(document, value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| every_reference(document, item)),
        Value::Object(members) => members.values().for_each(|member| every_reference(document, member)),
        _ => {}
    }
}

/// The status that a constant of [`StatusCode`] stands for.
fn status(name: &str) -> u16 {
    let status = match name {
        "BAD_REQUEST" => StatusCode::BAD_REQUEST,
        "UNAUTHORIZED" => StatusCode::UNAUTHORIZED,
        "FORBIDDEN" => StatusCode::FORBIDDEN,
        "NOT_FOUND" => StatusCode::NOT_FOUND,
        "REQUEST_TIMEOUT" => StatusCode::REQUEST_TIMEOUT,
        "CONFLICT" => StatusCode::CONFLICT,
        "GONE" => StatusCode::GONE,
        "PRECONDITION_FAILED" => StatusCode::PRECONDITION_FAILED,
        "PAYLOAD_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "MISDIRECTED_REQUEST" => StatusCode::MISDIRECTED_REQUEST,
        "UNPROCESSABLE_ENTITY" => StatusCode::UNPROCESSABLE_ENTITY,
        "TOO_MANY_REQUESTS" => StatusCode::TOO_MANY_REQUESTS,
        "NOT_IMPLEMENTED" => StatusCode::NOT_IMPLEMENTED,
        "BAD_GATEWAY" => StatusCode::BAD_GATEWAY,
        "SERVICE_UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
        other => panic!("{other}: add it to this list"),
    };
    status.as_u16()
}

/// Status and code of every `call(StatusCode::…, "code", …)` in a source text.
fn in_source(source: &str, call: &str) -> BTreeSet<(u16, String)> {
    let calls = source.split(call).skip(1);
    calls
        .map(|arguments| {
            let name = arguments.trim_start().strip_prefix("StatusCode::").unwrap();
            let name = name.split(',').next().unwrap();
            (status(name), arguments.split('"').nth(1).unwrap().to_owned())
        })
        .collect()
}

/// Status and code of the rows `| `code` | status | …` below a heading of the catalogue.
fn in_catalogue(heading: &str) -> BTreeSet<(u16, String)> {
    let section = CATALOGUE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (code, rest) = row.split_once('`').unwrap();
        let status = rest.split('|').nth(1).unwrap().trim();
        (status.parse().unwrap(), code.to_owned())
    })
    .collect()
}

#[test]
fn the_description_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    every_reference(&document, &document);
}

#[test]
fn it_describes_the_routes_that_there_are_and_no_others() {
    let document = document();
    let described: BTreeSet<(String, String)> = operations(&document).into_iter().map(|(m, p, _)| (m, p)).collect();
    let served: BTreeSet<(String, String)> =
        sekisho::api::ROUTES.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(described, served);
}

#[test]
fn every_operation_says_what_it_does_what_it_gives_and_how_it_fails() {
    let document = document();
    let mut names = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{place}: summary");
        assert!(operation["security"].is_array(), "{place}: security");
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert_eq!(names.insert(id, place.clone()), None, "{place}: the operation's id is taken");
        let responses = object(&operation["responses"]);
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}: a success");
        let problem = responses.values().any(|response| {
            followed(&document, response).pointer("/content/application~1problem+json/schema").is_some()
        });
        assert!(problem, "{place}: a problem");
        let named: BTreeSet<&str> = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let parameters: Vec<&Value> = parameters.iter().map(|p| followed(&document, p)).collect::<Vec<_>>();
        let described: BTreeSet<&str> =
            parameters.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(described, named, "{place}: parameters of the path");
    }
}

#[test]
fn every_problem_is_in_the_catalogue_and_in_the_description() {
    let problems = in_source(PROBLEMS, "Self::new(");
    assert!(problems.len() > 15, "{problems:?}");
    assert_eq!(in_catalogue("Problems of the API"), problems);
    let document = document();
    let described = document.pointer("/components/schemas/Problem/properties/code/enum").unwrap().as_array().unwrap();
    let described: BTreeSet<&str> = described.iter().map(|code| code.as_str().unwrap()).collect();
    let codes: BTreeSet<&str> = problems.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(described, codes);
}

#[test]
fn every_answer_of_the_fhir_routes_is_in_the_catalogue() {
    let mut answers = in_source(FHIR_ANSWERS, "Self::outcome(");
    // Built apart, since it carries a URL.
    answers.insert((409, "login".to_owned()));
    assert_eq!(in_catalogue("Answers of the FHIR routes"), answers);
}
