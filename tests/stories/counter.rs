//! At the counter (窓口): staff of the city or of a clinic record what a person said, after an identity check.

use http::Method;
use sekisho_adapters::certs::{ALPN_H1, Identity, Validity, client_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_tests::town::{Town, body};
use serde_json::{Value, json};

/// The OAuth client of the city's counter.
const CITY_CLIENT: &str = "fuchu-desk";

/// The counter of a party.
struct Desk {
    client: &'static str,
    thumbprint: String,
    http: HttpClient,
}

impl Desk {
    fn new(town: &Town, client: &'static str, identity: &Identity) -> Self {
        let tls = client_config(town.world.ca.roots().unwrap(), Some(identity), ALPN_H1).unwrap();
        let limits = Limits { connect_ms: 5_000, total_ms: 60_000, body_bytes_max: 1 << 20 };
        Self { client, thumbprint: identity.thumbprint(), http: HttpClient::new(tls, limits) }
    }

    /// A member of staff's token; or, by the client's own name, the machine's.
    fn token(&self, town: &Town, sub: &str, scope: &str) -> String {
        let mut request = MintRequest::new(sub, self.client, &town.world.url);
        request.cert_thumbprint = Some(self.thumbprint.clone());
        request.scope = scope.to_owned();
        town.world.token(request).unwrap()
    }

    async fn send(&self, town: &Town, path: &str, key: Option<&str>, json: &Value) -> (u16, Value) {
        let token = self.token(town, "clerk-yamada", "consent/attest");
        let mut request = town.request(Method::POST, path, &token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = town.send(&self.http, request, &json.to_string()).await;
        (answer.status.as_u16(), body(&answer))
    }
}

/// A town whose city has a counter, with the mother in its records too.
async fn town() -> (Town, Desk) {
    let town = Town::open().await;
    let identity = town.world.ca.client(CITY_CLIENT, Validity::around((town.world.now)())).unwrap();
    let credentials = format!(
        "name_en = \"Fuchu City\"\ncertificates = [\"{}\"]\nclients = [\"{CITY_CLIENT}\"]",
        identity.thumbprint()
    );
    town.reload_with(|text| text.replace("name_en = \"Fuchu City\"", &credentials)).await.unwrap();
    for (parent, id) in town.people.parents.iter().zip(["resident-m", "resident-f"]) {
        let link = json!({"to": {"party": "fuchu-city", "id": id}, "evidence": "e", "verified_by": "v"});
        town.act(&format!("/people/{parent}/links"), link).await;
    }
    let desk = Desk::new(&town, CITY_CLIENT, &identity);
    (town, desk)
}

fn attestation() -> Value {
    json!({"way": "paper", "evidence": "同意書 R8-0123", "checked_by": "窓口 山田"})
}

async fn consent(town: &Town, recipient: &str, purpose: &str) -> Value {
    let token = town.world.person_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.browser, Method::GET, &format!("/v1/texts/{purpose}"), &token, None).await;
    json!({
        "subject": {"id": town.child_at_city()}, "grantor": {"id": "resident-m"}, "recipient": recipient,
        "terms": {
            "purpose": purpose, "categories": ["vaccination@1"], "until": town.in_seconds(86_400),
            "text_hash": text["text_hash"],
        },
        "attestation": attestation(),
    })
}

const CONSENTS: &str = "/v1/attested/consents";
const WITHDRAWALS: &str = "/v1/attested/withdrawals";

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_on_paper_counts_for_the_app_and_a_withdrawal_by_telephone_stops_it() {
    let (town, desk) = town().await;
    let new = consent(&town, "yotsuba-phr", "phr-view").await;
    let (status, made) = desk.send(&town, CONSENTS, Some("paper-1"), &new).await;
    assert_eq!((status, made["status"].as_str()), (201, Some("active")), "{made}");
    let (status, again) = desk.send(&town, CONSENTS, Some("paper-1"), &new).await;
    assert_eq!((status, &again["id"]), (201, &made["id"]), "the same key gives the same consent");
    let mut other = new.clone();
    other["attestation"]["evidence"] = json!("another");
    let (status, problem) = desk.send(&town, CONSENTS, Some("paper-1"), &other).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency-key-reused")));

    let id = made["id"].as_str().unwrap();
    let app = town.world.app_token(town.mother()).unwrap();
    let (_, seen) = town.call(&town.world.app_http, Method::GET, &format!("/v1/consents/{id}"), &app, None).await;
    let patient = seen["patient"].as_str().unwrap();
    assert_eq!(made["patient"], Value::Null, "the app's id for the child is not the city's to know");
    assert!(town.items(patient).await > 0);
    let (_, list) = town.person(Method::GET, "/v1/consents", town.mother(), None).await;
    assert_eq!((&list["items"][0]["attested_by"], &list["items"][0]["how"]), (&json!("fuchu-city"), &json!("paper")));

    let mut withdrawal = json!({
        "subject": {"id": town.child_at_city()}, "grantor": {"id": "resident-f"}, "recipient": "yotsuba-phr",
        "attestation": {"way": "telephone", "evidence": "電話 11/22", "checked_by": "窓口 山田"},
    });
    let (status, first) = desk.send(&town, WITHDRAWALS, Some("tel-1"), &withdrawal).await;
    assert_eq!((status, first["ended"].as_array().unwrap().len()), (200, 1), "the father may stop it too: {first}");
    assert_eq!(first["ended"][0]["summary"]["about"], made["id"]);
    assert!(first["ended"][0]["receipt"].is_string());
    assert_eq!(town.items(patient).await, 0);
    let (_, again) = desk.send(&town, WITHDRAWALS, Some("tel-1"), &withdrawal).await;
    assert_eq!(again["ended"][0]["summary"]["entry"], first["ended"][0]["summary"]["entry"], "acknowledged again");
    withdrawal["purpose"] = json!("phr-view");
    let (status, _) = desk.send(&town, WITHDRAWALS, Some("tel-1"), &withdrawal).await;
    assert_eq!(status, 422);
    let (_, none) = desk.send(&town, WITHDRAWALS, None, &withdrawal).await;
    assert_eq!(none["ended"], json!([]), "nothing was left to end");
    let (_, list) = town.person(Method::GET, "/v1/consents", town.mother(), None).await;
    assert_eq!(list["items"][0]["status"], "revoked");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_consents_are_withdrawn_in_one_and_each_has_its_receipt() {
    let (town, desk) = town().await;
    let mut new = consent(&town, "yotsuba-phr", "phr-view").await;
    for source in ["fuchu-city", "my-portal"] {
        new["terms"]["source"] = json!(source);
        assert_eq!(desk.send(&town, CONSENTS, None, &new).await.0, 201);
    }
    let withdrawal = json!({
        "subject": {"id": town.child_at_city()}, "grantor": {"id": "resident-m"}, "recipient": "yotsuba-phr",
        "attestation": attestation(),
    });
    let (_, first) = desk.send(&town, WITHDRAWALS, Some("both"), &withdrawal).await;
    let entries = |answer: &Value| -> Vec<String> {
        answer["ended"].as_array().unwrap().iter().map(|e| e["summary"]["entry"].to_string()).collect()
    };
    assert_eq!(entries(&first).len(), 2, "{first}");
    let (_, again) = desk.send(&town, WITHDRAWALS, Some("both"), &withdrawal).await;
    assert_eq!(entries(&again), entries(&first));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_attests_in_their_own_favour_or_for_their_own_kind() {
    let (town, desk) = town().await;
    let clinic = Desk::new(&town, sekisho::demo::world::CLINIC_CLIENT, &town.world.clinic);
    town.reload_with(|text| {
        let second =
            "[[party]]\ncode = \"aoba-clinic\"\nkind = \"clinic\"\nname_ja = \"あおば診療所\"\nname_en = \"Aoba\"\n\n";
        text.replacen("[[purpose]]", &format!("{second}[[purpose]]"), 1)
    })
    .await
    .unwrap();
    // The clinic knows the child by the id that a consent of the mother's at the city's counter gave it.
    let new = consent(&town, "midori-clinic", "first-visit").await;
    let (status, made) = desk.send(&town, CONSENTS, None, &new).await;
    assert_eq!(status, 201, "{made}");
    let token = town.world.clinic_token().unwrap();
    let path = format!("/v1/consents/{}", made["id"].as_str().unwrap());
    let (_, seen) = town.call(&town.world.clinic_http, Method::GET, &path, &token, None).await;
    let mut own = new.clone();
    own["subject"] = json!({"patient": seen["patient"]});
    own["grantor"] = Value::Null;
    for recipient in ["midori-clinic", "aoba-clinic"] {
        own["recipient"] = json!(recipient);
        let (status, problem) = clinic.send(&town, CONSENTS, None, &own).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some("attestation-not-counted")), "{recipient}");
    }
    // While it is suspended what it attests counts for nobody, and is not taken.
    town.act("/parties/fuchu-city/suspend", json!({"reason": "r"})).await;
    let (status, problem) = desk.send(&town, CONSENTS, None, &new).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("attestation-not-counted")), "{problem}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_staff_with_the_scope_attest_and_only_what_could_be_given_here() {
    let (town, desk) = town().await;
    let new = consent(&town, "yotsuba-phr", "phr-view").await;
    for (sub, scope, code) in [
        ("clerk-yamada", "patient/Immunization.rs", "insufficient-scope"),
        (CITY_CLIENT, "consent/attest", "counter-needed"),
    ] {
        let token = desk.token(&town, sub, scope);
        let (status, problem) = town.call(&desk.http, Method::POST, CONSENTS, &token, Some(&new)).await;
        assert_eq!((status, problem["code"].as_str()), (403, Some(code)));
    }
    let app = town.world.app_token(town.mother()).unwrap();
    let (status, problem) = town.call(&town.world.app_http, Method::POST, CONSENTS, &app, Some(&new)).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("counter-needed")), "an app has no counter");

    let bend = |pointer: &str, value: Value| {
        let mut bent = new.clone();
        *bent.pointer_mut(pointer).unwrap() = value;
        bent
    };
    for (what, json, status, code) in [
        ("an id nobody has", bend("/subject", json!({"id": "resident-x"})), 404, "not-found"),
        ("two ids", bend("/subject", json!({"id": "x", "patient": "y"})), 422, "bad-field"),
        ("a child of three as the grantor", bend("/grantor", Value::Null), 403, "no-authority"),
        ("another's text", bend("/terms/text_hash", json!("00".repeat(32))), 409, "outdated-text"),
        ("no evidence", bend("/attestation/evidence", json!(" ")), 422, "bad-field"),
        ("nobody who checked", bend("/attestation/checked_by", json!("")), 422, "bad-field"),
        ("an unknown way", bend("/attestation/way", json!("telepathy")), 422, "bad-field"),
        ("another kind's purpose", bend("/terms/purpose", json!("first-visit")), 422, "bad-field"),
    ] {
        let (got, problem) = desk.send(&town, CONSENTS, None, &json).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{what}: {problem}");
    }
    let mut future = new.clone();
    future["attestation"]["given_at"] = json!(town.in_seconds(3_600));
    let (status, problem) = desk.send(&town, CONSENTS, None, &future).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("given_at")));
    // Whose authority ended at the family court gives nothing at the counter either.
    town.act(&format!("/people/{}/blocks", town.child()), json!({"person": town.people.parents[0], "evidence": "e"}))
        .await;
    let (status, problem) = desk.send(&town, CONSENTS, None, &new).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("no-authority")));
    let withdrawal = json!({
        "subject": {"id": town.child_at_city()}, "grantor": {"id": "resident-m"}, "recipient": "yotsuba-phr",
        "attestation": attestation(),
    });
    let (status, problem) = desk.send(&town, WITHDRAWALS, None, &withdrawal).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("no-authority")), "no word that it was stopped");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_the_counter_stands_and_is_the_refusers_to_lift() {
    let (town, desk) = town().await;
    let (_, patient) = town.consent().await;
    let refusal = json!({
        "subject": {"id": town.child_at_city()}, "grantor": {"id": "resident-f"}, "purpose": "phr-view",
        "attestation": {"way": "in-person", "evidence": "窓口記録", "checked_by": "窓口 山田"},
    });
    let (status, made) = desk.send(&town, "/v1/attested/refusals", Some("no-1"), &refusal).await;
    assert_eq!((status, made["summary"]["event"].as_str()), (201, Some("refused")), "{made}");
    let (_, again) = desk.send(&town, "/v1/attested/refusals", Some("no-1"), &refusal).await;
    assert_eq!(again["summary"]["entry"], made["summary"]["entry"]);
    assert_eq!(town.items(&patient).await, 0);
    // What is refused is not granted at the counter either.
    let new = consent(&town, "yotsuba-phr", "phr-view").await;
    let (status, problem) = desk.send(&town, CONSENTS, None, &new).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("refusal-stands")));
    let lift = format!("/v1/refusals/{}/lift", made["summary"]["about"].as_str().unwrap());
    assert_eq!(town.person(Method::POST, &lift, town.mother(), None).await.0, 404);
    assert_eq!(town.person(Method::POST, &lift, town.father(), None).await.0, 200);
    assert!(town.items(&patient).await > 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_at_a_source_is_one_persons() {
    let (town, _) = town().await;
    let path = format!("/people/{}/links", town.people.parents[0]);
    let taken = json!({"to": {"party": "fuchu-city", "id": "resident-f"}, "evidence": "e", "verified_by": "v"});
    let why = town.world.act(&path, &taken).await.unwrap_err().to_string();
    assert!(why.contains("another person"), "{why}");
    town.gateway.stop().await;
}
