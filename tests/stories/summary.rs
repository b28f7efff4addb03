//! A clinic reads a summary: one document of what several sources hold, of exactly what was agreed to, cut by whatever ends
//! one of the consents that it rests on.

use std::sync::Arc;

use http::Method;
use sekisho::clock::Clock;
use sekisho::demo::world::CLINIC_CLIENT;
use sekisho_adapters::certs::{Identity, client_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_adapters::phr_app::stand_in as phr;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::reader::{Got, Pace, Reader};
use sekisho_tests::town::{Town, body, standing_clock};
use serde_json::{Value, json};

use super::family::end_link;

pub const PURPOSE: &str = "online-consultation";
pub const ALL: [&str; 8] = [
    "identity@1",
    "condition@1",
    "medication@1",
    "allergy@1",
    "body-weight@1",
    "body-height@1",
    "body-temperature@1",
    "vaccination@1",
];
const REQUIRED: [&str; 3] = ["48765-2", "10160-0", "11450-4"];

/// A town in which the child's records in the app are known to be the child's.
pub async fn opened(bend: impl FnOnce(String) -> String) -> Town {
    opened_on(Clock::system(), bend).await
}

pub async fn opened_on(clock: Clock, bend: impl FnOnce(String) -> String) -> Town {
    let town = Town::open_with(clock, bend).await;
    town.world.link_app(town.child(), &town.family.children[0].person.id).await.unwrap();
    town
}

/// The text to agree to, by its hash.
pub async fn text(town: &Town) -> Value {
    let token = town.world.clinic_token().unwrap();
    let path = format!("/v1/texts/{PURPOSE}");
    town.call(&town.world.clinic_http, Method::GET, &path, &token, None).await.1["text_hash"].clone()
}

pub async fn propose(town: &Town, categories: &[&str], source: Option<&str>) -> (u16, Value) {
    propose_for(town, categories, source, 86_400).await
}

async fn propose_for(town: &Town, categories: &[&str], source: Option<&str>, seconds: i64) -> (u16, Value) {
    let token = town.world.clinic_token_of(town.mother()).unwrap();
    let proposal = json!({
        "purpose": PURPOSE, "categories": categories, "until": town.in_seconds(seconds), "source": source,
        "text_hash": text(town).await, "booking": {"reference": "B-1", "visit_at": town.in_seconds(3_600)},
    });
    town.call(&town.world.clinic_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await
}

/// A consent in the clinic's favour: its id, and the child's id at the clinic.
pub async fn grant(town: &Town, categories: &[&str], source: Option<&str>) -> (String, String) {
    grant_for(town, categories, source, 86_400).await
}

/// The same, for so many seconds.
pub async fn grant_for(town: &Town, categories: &[&str], source: Option<&str>, seconds: i64) -> (String, String) {
    let (status, proposal) = propose_for(town, categories, source, seconds).await;
    assert_eq!(status, 201, "{proposal}");
    let id = proposal["id"].as_str().unwrap().to_owned();
    let approval = json!({"subject": town.child(), "text_hash": text(town).await});
    let path = format!("/v1/consents/{id}/approve");
    let (status, approved) = town.person(Method::POST, &path, town.mother(), Some(&approval)).await;
    assert_eq!(status, 200, "{approved}");
    let patient = patient(town, &id).await;
    (id, patient)
}

/// The child's id at the clinic, in whose favour this consent is.
pub async fn patient(town: &Town, consent: &str) -> String {
    let token = town.world.clinic_token().unwrap();
    let path = format!("/v1/consents/{consent}");
    let seen = town.call(&town.world.clinic_http, Method::GET, &path, &token, None).await.1;
    seen["patient"].as_str().unwrap().to_owned()
}

pub async fn ask(town: &Town, patient: &str) -> Response {
    let token = town.world.clinic_token().unwrap();
    town.world.call(&town.world.clinic_http, Method::GET, &path(patient), &token, None).await.unwrap()
}

pub fn path(patient: &str) -> String {
    format!("/fhir/Patient/{patient}/$summary")
}

pub async fn summary(town: &Town, patient: &str) -> Value {
    let answer = ask(town, patient).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", String::from_utf8_lossy(&answer.body));
    body(&answer)
}

pub fn resources<'v>(bundle: &'v Value, kind: &str) -> Vec<&'v Value> {
    let entries = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    entries.filter(|resource| resource["resourceType"] == kind).collect()
}

pub fn composition(bundle: &Value) -> &Value {
    assert_eq!(bundle["entry"][0]["resource"]["resourceType"], "Composition", "it comes first");
    &bundle["entry"][0]["resource"]
}

pub fn section<'v>(bundle: &'v Value, code: &str) -> Option<&'v Value> {
    let all = composition(bundle)["section"].as_array().unwrap();
    all.iter().find(|section| section["code"]["coding"][0]["code"] == code)
}

pub fn head(bundle: &Value) -> &str {
    composition(bundle)["text"]["div"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_reads_one_document_of_what_several_sources_hold() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let bundle = summary(&town, &patient).await;
    assert_eq!((&bundle["type"], &bundle["resourceType"]), (&json!("document"), &json!("Bundle")));
    assert!(
        bundle["identifier"]["value"].as_str().unwrap().starts_with("urn:uuid:") && bundle["timestamp"].is_string()
    );
    let composition = composition(&bundle);
    assert_eq!(composition["type"]["coding"][0]["code"], "60591-5");
    assert_eq!(composition["subject"]["reference"], format!("Patient/{patient}"));
    let child = &town.family.children[0].person;
    let people = resources(&bundle, "Patient");
    assert_eq!((people.len(), &people[0]["birthDate"]), (1, &json!(child.birth.to_string())), "one, of two sources");
    assert!(people[0]["name"].to_string().contains(child.family));
    for code in REQUIRED {
        let section = section(&bundle, code).unwrap();
        assert!(section["entry"].is_array() != section["emptyReason"].is_object(), "{section}");
        assert!(section["text"]["div"].as_str().unwrap().starts_with("<div xmlns=\"http://www.w3.org/1999/xhtml\""));
    }
    let vitals = resources(&bundle, "Observation");
    assert!(vitals.len() > 5);
    for one in vitals {
        let codes: Vec<&Value> = one["code"]["coding"].as_array().unwrap().iter().map(|c| &c["system"]).collect();
        assert!(codes.contains(&&json!("http://loinc.org")) && codes.len() >= 2, "{one}");
        assert!(one["category"].to_string().contains("vital-signs"), "{one}");
        assert_eq!(one["valueQuantity"]["system"], "http://unitsofmeasure.org");
    }
    // From both: the app's copy, and the city's own record; each says which it is.
    let origins: std::collections::BTreeSet<&str> = resources(&bundle, "Immunization")
        .iter()
        .map(|dose| dose["meta"]["tag"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(origins.into_iter().collect::<Vec<_>>(), ["municipality", "portal-copy"]);
    // Every reference of a section leads to an entry.
    let urls: Vec<String> = bundle["entry"].as_array().unwrap().iter().map(|e| e["fullUrl"].to_string()).collect();
    let mut distinct = urls.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), urls.len(), "no two entries have one name");
    for section in composition["section"].as_array().unwrap() {
        for entry in section["entry"].as_array().into_iter().flatten() {
            let reference = entry["reference"].as_str().unwrap();
            assert!(urls.iter().any(|url| url.trim_matches('"').ends_with(reference)), "{reference}");
        }
    }
    assert!(head(&bundle).contains("記載がないことは「なし」を意味しません。"));
    // One look of the clinic's, and a line for each source that was asked.
    let path = format!("/v1/access-log?limit=10&subject={}", town.child());
    let (_, log) = town.person(Method::GET, &path, town.mother(), None).await;
    let lines = log["items"].as_array().unwrap();
    let mut sources: Vec<&str> = lines.iter().map(|line| line["source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["fuchu-city", "yotsuba-phr"], "{log}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_agreed_to_is_asked_for() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &["identity@1", "body-temperature@1"], None).await;
    let (before, _) = (town.world.city.requests(), town.world.phr.take_asked());
    let bundle = summary(&town, &patient).await;
    assert_eq!(town.world.phr.take_asked(), [["profile", "temperatures"]]);
    assert_eq!(town.world.city.requests() - before, 1, "the person, and no vaccination");
    let kinds: std::collections::BTreeSet<&str> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["Composition", "Device", "Observation", "Patient"]);
    assert!(resources(&bundle, "Observation").iter().all(|o| o["code"].to_string().contains("8310-5")));
    town.gateway.stop().await;
}

/// The records of the child in the app, with some parts set to something else.
pub fn set(town: &Town, parts: &[(&str, Value)]) {
    let id = &town.family.children[0].person.id;
    let mut records = town.world.phr.held(id).unwrap();
    for (name, value) in parts {
        records.insert((*name).to_owned(), value.clone());
    }
    town.world.phr.put(id, records);
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_and_empty_look_alike_and_none_known_is_neither() {
    let town = opened(|text| text).await;
    let egg = json!([{"id": "a1", "name": "鶏卵", "recorded": "2026-01-10", "entered": "self"}]);
    set(&town, &[("allergies", egg)]);
    let (consent, patient) = grant(&town, &["identity@1"], None).await;
    let withheld = section(&summary(&town, &patient).await, "48765-2").unwrap().clone();
    town.world.revoke(town.mother(), &consent).await.unwrap();
    grant(&town, &ALL, None).await;
    let told = section(&summary(&town, &patient).await, "48765-2").unwrap().clone();
    assert!(told["entry"].is_array() && told.to_string().contains("鶏卵"));
    set(&town, &[("allergies", json!([]))]);
    let empty = section(&summary(&town, &patient).await, "48765-2").unwrap().clone();
    assert_eq!(withheld, empty);
    assert!(empty["emptyReason"].is_object() && empty["entry"].is_null());
    let none = json!([{"id": "a1", "none_known": true, "recorded": "2026-01-10", "entered": "self"}]);
    set(&town, &[("allergies", none)]);
    let bundle = summary(&town, &patient).await;
    let known = section(&bundle, "48765-2").unwrap();
    assert!(known["entry"].is_array() && known["emptyReason"].is_null(), "asserted by somebody, on a day: {known}");
    assert_eq!(resources(&bundle, "AllergyIntolerance").len(), 1);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_said_and_the_rest_comes() {
    let town = opened(|text| text.replace("name = \"summary\"\n", "name = \"summary\"\nwithin_ms = 700\n")).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let faulty = |faults: Faults| phr::Knobs { faults, ..phr::Knobs::default() };
    for (what, faults) in [
        ("hangs", Faults { hang: true, ..Faults::default() }),
        ("answers 500", Faults { status: Some(500), ..Faults::default() }),
    ] {
        town.world.phr.set_knobs(faulty(faults));
        let bundle = summary(&town, &patient).await;
        assert!(head(&bundle).contains("よつば母子手帳アプリから受け取れなかった情報があります。"), "{what}");
        let said = composition(&bundle)["extension"].to_string();
        assert!(said.contains("source-missing"), "{what}: {said}");
        assert!(!resources(&bundle, "Immunization").is_empty(), "{what}: the city's");
    }
    town.world.city.set_knobs(Knobs { faults: Faults { status: Some(500), ..Faults::default() }, ..Knobs::default() });
    assert_eq!(ask(&town, &patient).await.status.as_u16(), 503, "nobody can say whose it would be");
    town.world.phr.set_knobs(phr::Knobs::default());
    assert!(head(&summary(&town, &patient).await).contains("府中市から受け取れなかった"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_somebody_born_on_another_day_is_left_out() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let id = &town.family.children[0].person.id;
    let mut profile = town.world.phr.held(id).unwrap()["profile"].clone();
    profile["birth_date"] = json!("1999-01-02");
    set(&town, &[("profile", profile)]);
    let bundle = summary(&town, &patient).await;
    assert!(resources(&bundle, "Observation").is_empty(), "whoever's they are");
    assert!(head(&bundle).contains("生年月日が本人確認の記録と違うため"));
    assert!(!bundle.to_string().contains("1999-01-02"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_name_and_birth_date_nothing_goes() {
    let town = opened(|text| text).await;
    let (status, problem) = propose(&town, &["allergy@1", "vaccination@1"], None).await;
    assert_eq!((status, &problem["code"]), (422, &json!("bad-field")), "{problem}");
    town.reload_with(|text| text.replace("compulsory = [\"identity\"]\n", "")).await.unwrap();
    let (_, patient) = grant(&town, &["allergy@1", "vaccination@1"], None).await;
    let unknown = ask(&town, &"a".repeat(26)).await;
    town.reload_with(|text| {
        text.replace("text_version = \"2026-11\"", "compulsory = [\"identity\"]\ntext_version = \"2026-11\"")
    })
    .await
    .unwrap();
    let asked = town.world.phr.requests() + town.world.city.requests();
    let answer = ask(&town, &patient).await;
    assert_eq!(
        (answer.status, &answer.body),
        (unknown.status, &unknown.body),
        "a consent from before is no way around"
    );
    assert_eq!(town.world.phr.requests() + town.world.city.requests(), asked, "and nobody is asked");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_narrow_a_summary() {
    let town = opened(|text| text).await;
    let (_, patient) = grant(&town, &ALL, None).await;
    let with = |scope: &str| {
        let mut request = MintRequest::new(CLINIC_CLIENT, CLINIC_CLIENT, &town.world.url);
        request.cert_thumbprint = Some(town.world.clinic.thumbprint());
        request.scope = scope.to_owned();
        town.world.token(request).unwrap()
    };
    let http = &town.world.clinic_http;
    let token = with("system/Patient.r system/Observation.rs patient/Condition.s");
    let (status, bundle) = town.call(http, Method::GET, &path(&patient), &token, None).await;
    assert_eq!(status, 200, "{bundle}");
    assert!(!resources(&bundle, "Observation").is_empty());
    assert!(resources(&bundle, "Immunization").is_empty() && resources(&bundle, "Condition").is_empty());
    let (status, _) = town.call(http, Method::GET, &path(&patient), &with("system/Observation.rs"), None).await;
    assert_eq!(status, 403, "name and birth date are part of it");
    for (method, path) in [(Method::POST, path(&patient)), (Method::GET, format!("{}?_format=json", path(&patient)))] {
        let token = town.world.clinic_token().unwrap();
        assert_eq!(town.call(http, method, &path, &token, None).await.0, 404);
    }
    town.gateway.stop().await;
}

/// A document under way to a clinic that takes its beginning and reads no further.
pub struct UnderWay {
    reader: Arc<Reader>,
    reading: tokio::task::JoinHandle<()>,
    stream: u32,
}

impl UnderWay {
    pub async fn begun(town: &Town, patient: &str) -> Self {
        Self::begun_by(town, &town.world.clinic, &town.world.clinic_token().unwrap(), &path(patient)).await
    }

    /// What this party asks for.
    pub async fn begun_by(town: &Town, party: &Identity, token: &str, path: &str) -> Self {
        let host = town.world.url.trim_start_matches("https://").to_owned();
        let tls = client_config(town.world.ca.roots().unwrap(), Some(party), &[b"h2"]).unwrap();
        let reader = Reader::connect(town.gateway.address, Arc::new(tls), Some(1 << 24), Some(4_096)).await;
        let reading = tokio::spawn(Arc::clone(&reader).read(Pace::Stalled));
        let stream = reader.ask(&host, path, token).await;
        reader.until(stream, |got| got.bytes > 0 || got.is_over()).await;
        Self { reader, reading, stream }
    }

    /// From now on nothing of it arrives any more.
    pub async fn ends_cut(self, what: &str) {
        let arrived = self.reader.arrived();
        self.reader.hurry();
        let got = self.reader.until(self.stream, Got::is_over).await;
        assert!(got.last <= arrived && got.digest.is_none(), "{what}: {got:?}, {arrived} at the acknowledgement");
        self.reading.abort();
    }

    /// It arrives whole.
    pub async fn ends_whole(self, what: &str) {
        self.reader.hurry();
        let got = self.reader.until(self.stream, Got::is_over).await;
        assert!(got.status == 200 && got.digest.is_some(), "{what}: {got:?}");
        self.reading.abort();
    }
}

/// A town in which a document is long enough to be under way for a while.
pub async fn with_much(clock: Clock) -> Town {
    let town = opened_on(clock, |text| text).await;
    town.world.city.set_knobs(Knobs { entries: Some(480), ..Knobs::default() });
    town
}

/// Two consents, each for one source: the end of either cuts the one document.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_of_several_consents_cuts_it_all() {
    let town = with_much(Clock::system()).await;
    for ended in ["yotsuba-phr", "fuchu-city"] {
        let (one, patient) = grant(&town, &ALL, Some("yotsuba-phr")).await;
        let (other, _) = grant(&town, &ALL, Some("fuchu-city")).await;
        let under_way = UnderWay::begun(&town, &patient).await;
        let receipt =
            town.world.revoke(town.mother(), if ended == "fuchu-city" { &other } else { &one }).await.unwrap();
        assert_eq!(receipt["summary"]["transfers_cut"], 1, "{ended}");
        under_way.ends_cut(ended).await;
        let left = summary(&town, &patient).await;
        assert_eq!(left.to_string().contains("fuchu-city"), ended != "fuchu-city", "what the other covers goes on");
        for consent in [one, other] {
            town.world.revoke(town.mother(), &consent).await.unwrap();
        }
        assert_eq!(ask(&town, &patient).await.status.as_u16(), 404);
    }
    town.gateway.stop().await;
}

/// What the second of the sources rests on counts as much as what the first does.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_for_the_second_source_cuts_it_all() {
    for way in ["its categories", "how it is asked", "its period"] {
        let clock = standing_clock();
        let town = with_much(clock.clone()).await;
        let (_, patient) = grant(&town, &ALL, Some("yotsuba-phr")).await;
        grant_for(&town, &ALL, Some("fuchu-city"), 30).await;
        let under_way = UnderWay::begun(&town, &patient).await;
        let reload = |text: String| match way {
            "its categories" => text.replace("[\"identity@1\", \"vaccination@1\"]", "[\"vaccination@1\"]"),
            _ => text.replace("timeout_ms = 5000\nbody_bytes_max", "timeout_ms = 5001\nbody_bytes_max"),
        };
        if way == "its period" {
            clock.set(clock.now().unwrap().plus_millis(30_000));
        } else {
            assert_eq!(town.reload_with(reload).await.unwrap()["transfers_cut"], 1, "{way}");
        }
        assert_eq!(town.newest_outcome().await, "cut", "{way}");
        under_way.ends_cut(way).await;
        town.gateway.stop().await;
    }
}

/// The link to the source that answers at once ends while the other is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_while_another_source_is_asked_releases_nothing() {
    for (slow, unlinked) in [("yotsuba-phr", "fuchu-city"), ("fuchu-city", "yotsuba-phr")] {
        let town = opened(|text| text).await;
        let (_, patient) = grant(&town, &ALL, None).await;
        let faults = Faults { latency_ms: 1_500, ..Faults::default() };
        match slow {
            "fuchu-city" => town.world.city.set_knobs(Knobs { faults, ..Knobs::default() }),
            _ => town.world.phr.set_knobs(phr::Knobs { faults, ..phr::Knobs::default() }),
        }
        let asked = || town.world.city.requests() > 1 && town.world.phr.requests() > 0;
        let ending = async {
            while !asked() {
                tokio::task::yield_now().await;
            }
            end_link(&town, unlinked).await;
        };
        let (answer, ()) = tokio::join!(ask(&town, &patient), ending);
        assert!(!answer.status.is_success(), "{unlinked}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(town.newest_outcome().await, "nothing-sent", "{unlinked}");
        town.gateway.stop().await;
    }
}

/// A server that does not know a type is not one without anything of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_a_source_does_not_know_is_no_empty_answer() {
    let bend = |text: String| {
        text.replace("[\"identity@1\", \"vaccination@1\"]", "[\"identity@1\", \"appointment@1\"]").replace(
            "\n[rules]\n",
            "\n[[category]]\nversion = \"appointment@1\"\nlabel_ja = \"予約\"\nlabel_en = \"Appointments\"\n\n\
             [[category.covers]]\nresource = \"Appointment\"\nelements = [\"status\"]\n\n[rules]\n",
        )
    };
    let town = opened(bend).await;
    let (_, patient) = grant(&town, &[&ALL[..], &["appointment@1"]].concat(), None).await;
    let bundle = summary(&town, &patient).await;
    assert!(head(&bundle).contains("府中市から受け取れなかった情報があります。"), "{}", head(&bundle));
    town.gateway.stop().await;
}
