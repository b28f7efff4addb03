//! What programs read before they ask: it is what the configuration says, to everybody, and changes with it.

use std::collections::BTreeSet;

use http::{Method, Request};
use sekisho_adapters::identity::stand_in::Knobs;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::town::{Town, body};
use serde_json::{Value, json};

/// What anybody is told there: status, kind of content, body.
async fn read(town: &Town, path: &str) -> (u16, String, Value) {
    let request = Request::builder().method(Method::GET).uri(format!("{}{path}", town.world.url));
    let answer = town.send(&town.world.browser, request, "").await;
    let kind = answer.headers["content-type"].to_str().unwrap().to_owned();
    (answer.status.as_u16(), kind, body(&answer))
}

fn types(statement: &Value) -> BTreeSet<&str> {
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    resources.iter().map(|resource| resource["type"].as_str().unwrap()).collect()
}

fn resource<'a>(statement: &'a Value, kind: &str) -> &'a Value {
    statement["rest"][0]["resource"].as_array().unwrap().iter().find(|resource| resource["type"] == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_statement_says_what_can_be_asked() {
    let town = Town::open().await;
    let (status, kind, statement) = read(&town, "/fhir/metadata").await;
    assert_eq!((status, kind.as_str()), (200, "application/fhir+json; charset=utf-8"));
    assert_eq!(statement["resourceType"], "CapabilityStatement");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    assert_eq!(statement["implementation"]["url"], format!("{}/fhir", town.world.url));
    assert_eq!(types(&statement), BTreeSet::from(["Immunization", "Patient"]));
    let search = resource(&statement, "Immunization");
    assert_eq!(search["interaction"], json!([{"code": "search-type"}]));
    let parameters = json!([{"name": "date", "type": "date"}, {"name": "patient", "type": "reference"}]);
    assert_eq!(search["searchParam"], parameters);
    let patient = resource(&statement, "Patient");
    assert_eq!(patient["interaction"], json!([{"code": "read"}]));
    assert_eq!(patient["operation"][0]["name"], "summary");
    let security = &statement["rest"][0]["security"];
    assert_eq!(security["service"][0]["coding"][0]["code"], "SMART-on-FHIR");
    let token = format!("{}/token", town.world.issuer.base_url());
    assert!(security["extension"].to_string().contains(&token), "{security}");
    // Another base, another statement; and what nobody configured has none.
    assert_eq!(types(&read(&town, "/first-visit/metadata").await.2), BTreeSet::from(["Immunization"]));
    assert_eq!(read(&town, "/nothing/metadata").await.0, 401);
    // Where data comes from is nobody's business.
    assert!(!statement.to_string().contains("fuchu-city"), "{statement}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_sent_to_the_issuers_endpoints() {
    let town = Town::open().await;
    let issuer = town.world.issuer.base_url();
    for path in ["/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration"] {
        let (status, kind, smart) = read(&town, path).await;
        assert_eq!((status, kind.as_str()), (200, "application/json; charset=utf-8"), "{path}");
        assert_eq!(smart["issuer"], issuer);
        assert_eq!(smart["authorization_endpoint"], format!("{issuer}/authorize"));
        assert_eq!(smart["token_endpoint"], format!("{issuer}/token"));
        assert_eq!(smart["jwks_uri"], format!("{issuer}/jwks"));
        assert_eq!(smart["code_challenge_methods_supported"], json!(["S256"]));
        let scopes = smart["scopes_supported"].to_string();
        for scope in ["patient/Immunization.rs", "system/Observation.r", "consent/propose"] {
            assert!(scopes.contains(scope), "{scopes}");
        }
        assert!(smart["capabilities"].to_string().contains("permission-v2"));
    }
    let (_, _, resource) = read(&town, "/.well-known/oauth-protected-resource").await;
    assert_eq!(resource["resource"], town.world.url);
    assert_eq!(resource["authorization_servers"][0], issuer);
    assert!(resource["scopes_supported"].to_string().contains("patient/Immunization.rs"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_is_said() {
    let town = Town::open().await;
    let before = read(&town, "/fhir/metadata").await.2;
    let bend = |text: String| {
        text.replace("query = [\"date\"]", "query = [\"date\", \"status\"]")
            .replace("scope = \"patient/Patient.r\"", "scope = \"patient/Patient.rs\"")
    };
    town.reload_with(bend).await.unwrap();
    let after = read(&town, "/fhir/metadata").await.2;
    assert_eq!(resource(&before, "Immunization")["searchParam"].as_array().unwrap().len(), 2);
    assert_eq!(resource(&after, "Immunization")["searchParam"].as_array().unwrap().len(), 3);
    assert_ne!(before["date"], after["date"]);
    for path in ["/.well-known/smart-configuration", "/.well-known/oauth-protected-resource"] {
        let scopes = read(&town, path).await.2["scopes_supported"].clone();
        assert!(scopes.as_array().unwrap().contains(&json!("patient/Patient.rs")), "{path}: {scopes}");
    }
    // An issuer that can't be asked: nobody knows where to send an app, and nothing is made up.
    let faults = Faults { status: Some(500), ..Faults::default() };
    town.world.issuer.set_knobs(Knobs { discovery: faults, ..Knobs::default() });
    town.reload_with(|text| text).await.unwrap();
    assert_eq!(read(&town, "/.well-known/smart-configuration").await.0, 503);
    assert_eq!(read(&town, "/fhir/metadata").await.0, 200);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_would_hide_it_is_refused() {
    let town = Town::open().await;
    let refused =
        town.reload_with(|text| text.replace("\"/first-visit/Immunization\"", "\"/first-visit/metadata\"")).await;
    assert!(refused.unwrap_err().to_string().contains("ends like what the gateway says of itself"));
    town.gateway.stop().await;
}
