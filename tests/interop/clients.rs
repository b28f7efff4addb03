//! What each client does is in its script; what it must have got, here.

use sekisho_adapters::identity::stand_in::{ClientAuth, Registration};
use sekisho_tests::town::Town;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::tools::{installed, said, script};
use crate::town::{WEB, with_consents};

/// Every kind of item that a summary has.
const KINDS: [&str; 7] =
    ["AllergyIntolerance", "Composition", "Condition", "Immunization", "MedicationStatement", "Observation", "Patient"];

/// What a script is told, by way of its environment.
fn told(town: &Town, at_app: &str, at_clinic: &str) -> Value {
    let file = |name: &str| town.directory.path().join(name);
    let party = |name: &str, client: &str, patient: &str| {
        json!({
            "client_id": client, "cert": file(&format!("{name}.pem")), "key": file(&format!("{name}.key")), "patient": patient,
        })
    };
    json!({
        "base": format!("{}/fhir", town.world.url),
        "ca": file("ca.pem"),
        "redirect": format!("{}/signed-in", town.world.url),
        "login": town.mother(),
        "app": party("app", "yotsuba-app", at_app),
        "clinic": party("clinic", "midori-emr", at_clinic),
        "web": {"client_id": WEB},
    })
}

/// How many records the app may have.
async fn held(town: &Town, at_app: &str) -> u64 {
    town.items(at_app).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs other people's clients; make test runs it"]
async fn fhirclient_for_python_signs_in_and_reads() {
    let (town, at_app, at_clinic) = with_consents().await;
    let mut python = Command::new(installed("bin/python"));
    python.arg(script("reads.py")).env("SEKISHO_INTEROP", told(&town, &at_app, &at_clinic).to_string());
    // What its library for HTTP goes by before anything that a script sets.
    python.env("REQUESTS_CA_BUNDLE", town.directory.path().join("ca.pem")).env_remove("CURL_CA_BUNDLE");
    let got: Value = serde_json::from_str(&said(&mut python).await).unwrap();
    let app = json!({
        "immunizations": held(&town, &at_app).await, "paged": true, "unknown": 0, "types": ["Immunization", "Patient"],
    });
    assert_eq!(got["app"], app);
    assert_eq!(got["clinic"]["document"], "document");
    for code in ["48765-2", "10160-0", "11450-4"] {
        assert!(got["clinic"]["sections"].as_array().unwrap().contains(&json!(code)), "{got}");
    }
    for kind in KINDS {
        assert!(got["clinic"]["kinds"].as_array().unwrap().contains(&json!(kind)), "{kind}: {got}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs other people's clients; make test runs it"]
async fn fhirclient_and_fhir_kit_client_for_javascript_sign_in_and_read() {
    let (town, at_app, at_clinic) = with_consents().await;
    town.world.issuer.register(Registration {
        client_id: WEB.to_owned(),
        redirect_uris: vec![format!("{}/signed-in", town.world.url)],
        auth: ClientAuth::Public,
        scopes: vec!["patient/Immunization.rs".to_owned()],
        audiences: vec![town.world.url.clone()],
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
    });
    let mut told = told(&town, &at_app, &at_clinic);
    told["modules"] = json!(installed("interop/node_modules"));
    let mut node = Command::new("node");
    node.arg(script("reads.mjs")).env("SEKISHO_INTEROP", told.to_string());
    let got: Value =
        serde_json::from_str(&said(node.env("NODE_EXTRA_CA_CERTS", town.directory.path().join("ca.pem"))).await)
            .unwrap();
    let held = held(&town, &at_app).await;
    assert_eq!(got["smart"], json!({"immunizations": held, "paged": true, "scope": 403}));
    assert_eq!((&got["kit"]["statement"], &got["kit"]["document"]), (&json!("4.0.1"), &json!("document")));
    for kind in KINDS {
        assert!(got["kit"]["kinds"].as_array().unwrap().contains(&json!(kind)), "{kind}: {got}");
    }
    assert_eq!(got["kit"]["unknown"], 404);
    // The key instead of the certificate; and its token is nothing without a proof.
    assert_eq!(got["bound"], json!({"total": held, "first": 7, "next": 7, "asBearer": 401}));
    town.gateway.stop().await;
}
