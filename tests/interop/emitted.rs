//! Every kind of FHIR resource that leaves the gateway, in the eyes of a strict parser.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::town::{Town, history};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::tools::{installed, said, script};
use crate::town::with_consents;

/// Answers, each in a file.
struct Collected {
    directory: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Collected {
    fn keep(&mut self, name: &str, status: u16, answer: &Response) {
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", String::from_utf8_lossy(&answer.body));
        let file = self.directory.path().join(format!("{name}.json"));
        std::fs::write(&file, &answer.body).unwrap();
        self.files.push(file);
    }
}

async fn open(town: &Town, path: &str) -> Response {
    let request = Request::get(format!("{}{path}", town.world.url)).body(Bytes::new()).unwrap();
    town.world.browser.send(request).await.unwrap()
}

async fn by_clinic(town: &Town, path: &str) -> Response {
    let token = town.world.clinic_token().unwrap();
    town.world.call(&town.world.clinic_http, Method::GET, path, &token, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs other people's parser; make test runs it"]
async fn every_resource_is_one_to_a_strict_parser() {
    let (town, at_app, at_clinic) = with_consents().await;
    let mut all = Collected { directory: tempfile::tempdir().unwrap(), files: Vec::new() };
    let summary = format!("/fhir/Patient/{at_clinic}/$summary");
    let first = format!("{}&_count=3", history(&at_app));
    let app = town.world.app_token(town.mother()).unwrap();
    all.keep("capabilities", 200, &open(&town, "/fhir/metadata").await);
    all.keep("capabilities-of-another-base", 200, &open(&town, "/first-visit/metadata").await);
    all.keep("searchset", 200, &town.get(&history(&at_app), &app).await);
    all.keep("page", 200, &town.get(&first, &app).await);
    all.keep("denied", 200, &town.get(&history(&"a".repeat(26)), &app).await);
    all.keep("not-found", 404, &town.get("/fhir/Nothing", &app).await);
    all.keep("not-authenticated", 401, &open(&town, "/fhir/Immunization").await);
    all.keep("sign-in-at-the-portal", 409, &town.get(&format!("/portal/Immunization?patient={at_app}"), &app).await);
    let nothing = town.world.token(sekisho_adapters::identity::stand_in::MintRequest {
        scope: String::new(),
        ..town.world.app_request(town.mother())
    });
    all.keep("scope", 403, &town.get(&history(&at_app), &nothing.unwrap()).await);
    let next = |answer: &Response| {
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        page["link"][1]["url"].as_str().unwrap().strip_prefix(&town.world.url).unwrap().to_owned()
    };
    let next = next(&town.get(&first, &app).await);
    town.world.city.set_knobs(Knobs { entries: Some(9), ..Knobs::default() });
    all.keep("changed", 410, &town.get(&next, &app).await);
    town.world.city.set_knobs(Knobs { faults: Faults { status: Some(500), ..Faults::default() }, ..Knobs::default() });
    all.keep("source-failed", 502, &town.get(&history(&at_app), &app).await);
    all.keep("summary-with-an-outage", 200, &by_clinic(&town, &summary).await);
    town.world.city.set_knobs(Knobs::default());
    all.keep("summary", 200, &by_clinic(&town, &summary).await);
    for (name, records) in [
        (
            "summary-nothing-known",
            json!({"allergies": [], "conditions": [], "medications": [], "weights": [], "temperatures": []}),
        ),
        (
            "summary-none-known",
            json!({"allergies": [{"id": "a1", "none_known": true, "recorded": "2026-01-10", "entered": "self"}]}),
        ),
    ] {
        let child = &town.family.children[0].person.id;
        let mut held = town.world.phr.held(child).unwrap();
        for (part, value) in records.as_object().unwrap() {
            held.insert(part.clone(), value.clone());
        }
        town.world.phr.put(child, held);
        all.keep(name, 200, &by_clinic(&town, &summary).await);
    }
    let mut python = Command::new(installed("bin/python"));
    let report = said(python.arg(script("strict.py")).args(&all.files)).await;
    println!("{report}");
    assert_eq!(report.lines().count(), all.files.len());
    let whole = report.lines().find(|line| line.starts_with("summary.json")).unwrap();
    for kind in ["AllergyIntolerance", "Condition", "Immunization", "MedicationStatement", "Observation", "Patient"] {
        assert!(whole.contains(kind), "{whole}");
    }
    town.gateway.stop().await;
}
