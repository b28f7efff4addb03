use sekisho_adapters::fhir_server::stand_in::{FhirOptions, FhirServer, Knobs};
use serde_json::{Value, json};

use crate::support::{World, clock, get, json as parse};

async fn server(world: &World) -> FhirServer {
    let options = FhirOptions { bind: ([127, 0, 0, 1], 0).into(), tls: world.tls(Some(true)), now: clock() };
    let server = FhirServer::start(options).await.unwrap();
    let dose = |id: &str, day: &str| {
        json!({"resourceType": "Immunization", "id": id, "status": "completed", "occurrenceDateTime": day,
               "patient": {"reference": "Patient/p1"}})
    };
    server.put(
        "p1",
        vec![json!({"resourceType": "Patient", "id": "p1"}), dose("a", "2024-03-05"), dose("b", "2025-03-05")],
    );
    server
}

fn ids(bundle: &Value) -> Vec<&str> {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|e| e["resource"]["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn searches_and_reads_like_a_fhir_server() {
    let world = World::new();
    let (server, client) = (server(&world).await, world.client());
    let base = server.url();
    for (query, expected) in [
        ("patient=p1", vec!["a", "b"]),
        ("patient=Patient/p1", vec!["a", "b"]),
        ("patient=p1&date=ge2025-01-01", vec!["b"]),
        ("patient=p1&date=ge2024-01-01&date=lt2024-12-31", vec!["a"]),
        ("patient=nobody", vec![]),
    ] {
        let response = get(&client, &format!("{base}/Immunization?{query}")).await.unwrap();
        assert_eq!(response.headers["content-type"], "application/fhir+json; charset=utf-8");
        let bundle = parse(&response);
        assert_eq!(ids(&bundle), expected, "{query}");
        assert_eq!(bundle["total"], expected.len());
        assert_eq!(bundle["link"][0]["url"], format!("{base}/Immunization?{query}"));
        if !expected.is_empty() {
            assert!(bundle["entry"][0]["fullUrl"].as_str().unwrap().starts_with(base));
            assert!(bundle["entry"][0]["resource"]["meta"]["lastUpdated"].is_string());
        }
    }
    for (path, status) in [
        ("Patient/p1", 200),
        ("Patient/p2", 404),
        ("Immunization/a", 200),
        ("metadata", 200),
        ("Immunization", 400),
        ("Immunization?patient=p1&_include=x", 400),
        ("Observation?patient=p1", 200),
        ("Practitioner?patient=p1", 404),
    ] {
        assert_eq!(get(&client, &format!("{base}/{path}")).await.unwrap().status, status, "{path}");
    }
    assert_eq!(server.requests(), 13);
    assert_eq!(server.last_target().unwrap(), "/fhir/Practitioner?patient=p1");
    assert!(server.last_headers().unwrap().get("authorization").is_none());
}

#[tokio::test]
async fn knobs_turn_while_it_runs() {
    let world = World::new();
    let (server, client) = (server(&world).await, world.client());
    let url = format!("{}/Immunization?patient=p1", server.url());
    let off = Knobs::default();

    server.set_knobs(Knobs { entries: Some(500), ..off });
    let many = parse(&get(&client, &url).await.unwrap());
    let mut unique = ids(&many);
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 500);

    server.set_knobs(Knobs { pad_to_bytes: Some(2600), ..off });
    assert_eq!(get(&client, &url).await.unwrap().body.len(), 2600);

    server.set_knobs(Knobs { others_mixed_in: true, ..off });
    let mixed = parse(&get(&client, &url).await.unwrap());
    assert_eq!(mixed["entry"][2]["resource"]["patient"]["reference"], "Patient/p1-other");

    server.set_knobs(Knobs { uninformed: true, wrong_types: true, ..off });
    let tagged = parse(&get(&client, &url).await.unwrap());
    assert_eq!(tagged["entry"][0]["resource"]["meta"]["tag"][0]["code"], "UNINFORMED");
    assert_eq!(tagged["entry"][0]["resource"]["status"], 7);

    server.set_knobs(Knobs { my_number_in_identifier: true, ..off });
    let numbered = parse(&get(&client, &url).await.unwrap());
    let number = numbered["entry"][0]["resource"]["identifier"][0]["value"].as_str().unwrap();
    assert!(number.len() == 12 && number.bytes().all(|b| b.is_ascii_digit()));

    server.set_knobs(Knobs { my_number_in_text: true, ..off });
    let noted = parse(&get(&client, &url).await.unwrap());
    assert!(noted["entry"][0]["resource"]["note"][0]["text"].as_str().unwrap().contains(number));
}

#[tokio::test]
async fn resources_of_any_type_are_held_and_found_by_patient_code_and_date() {
    let world = World::new();
    let (server, client) = (server(&world).await, world.client());
    let subject = json!({"reference": "Patient/p2"});
    let observation = |id: &str, system: &str, code: &str, day: &str| {
        json!({"resourceType": "Observation", "id": id, "subject": subject, "effectiveDateTime": day,
               "code": {"coding": [{"system": system, "code": code}, {"system": "urn:other", "code": "x"}]}})
    };
    let medicine = json!({"coding": [{"system": "urn:m", "code": "NOCODED"}]});
    server.put(
        "p2",
        vec![
            json!({"resourceType": "Patient", "id": "p2"}),
            json!({"resourceType": "Condition", "id": "c", "subject": subject, "code": {"text": "x"}}),
            json!({"resourceType": "AllergyIntolerance", "id": "a", "patient": subject, "recordedDate": "2024-05-01"}),
            json!({"resourceType": "MedicationStatement", "id": "m", "subject": subject, "medicationCodeableConcept": medicine}),
            observation("o1", "http://loinc.org", "29463-7", "2024-03-05"),
            observation("o2", "http://loinc.org", "8310-5", "2025-03-05T07:30:00+09:00"),
            observation("o3", "urn:else", "8310-5", "2025-03-06"),
            json!({"resourceType": "Immunization", "id": "i", "patient": subject, "occurrenceDateTime": "2024-04-05"}),
            json!({"resourceType": "Basic", "id": "b", "subject": subject}),
            json!({"no": "resource"}),
        ],
    );
    let base = server.url();
    let search = async |target: &str| {
        let response = get(&client, &format!("{base}/{target}")).await.unwrap();
        (response.status.as_u16(), parse(&response))
    };
    for (target, expected) in [
        ("Condition?patient=p2", vec!["c"]),
        ("Condition?patient=Patient/p2&code=urn:x", vec![]),
        ("AllergyIntolerance?patient=p2&date=ge2024-05-01", vec!["a"]),
        ("AllergyIntolerance?patient=p2&date=gt2024-05-01", vec![]),
        ("MedicationStatement?patient=p2", vec!["m"]),
        ("MedicationStatement?patient=p2&code=NOCODED", vec!["m"]),
        ("MedicationRequest?patient=p2", vec![]),
        ("Immunization?patient=p2", vec!["i"]),
        ("Observation?patient=p2", vec!["o1", "o2", "o3"]),
        ("Observation?patient=p1", vec![]),
        ("Observation?patient=p2&code=http://loinc.org%7C29463-7", vec!["o1"]),
        ("Observation?patient=p2&code=http://loinc.org|29463-7,http://loinc.org|8310-5", vec!["o1", "o2"]),
        ("Observation?patient=p2&code=8310-5", vec!["o2", "o3"]),
        ("Observation?patient=p2&code=8310-5&code=urn:else|8310-5", vec!["o3"]),
        ("Observation?patient=p2&code=8310-5&date=le2025-03-05", vec!["o2"]),
    ] {
        let (status, found) = search(target).await;
        assert_eq!((status, ids(&found)), (200, expected), "{target}");
    }
    for (target, status) in [
        ("Patient/p2", 200),
        ("Basic/b", 200),
        ("Observation/o2", 200),
        ("Condition/o2", 404),
        ("Condition?code=x", 400),
        ("Condition?patient=p2&date=2024", 400),
        ("Immunization?patient=p2&code=x", 400),
    ] {
        assert_eq!(search(target).await.0, status, "{target}");
    }
    // Every search that the server says it has, it has.
    let stated = search("metadata").await.1;
    let resources = stated["rest"][0]["resource"].as_array().unwrap();
    for resource in resources.iter().filter(|r| r["type"] != "Patient") {
        let kind = resource["type"].as_str().unwrap();
        for name in resource["searchParam"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()) {
            let more = if name == "patient" { String::new() } else { format!("&{name}=2024-01-01") };
            assert_eq!(search(&format!("{kind}?patient=p2{more}")).await.0, 200, "{kind} {name}");
        }
    }
    server.set_knobs(Knobs { others_mixed_in: true, ..Knobs::default() });
    let (_, mixed) = search("Condition?patient=p2").await;
    assert_eq!(mixed["entry"][1]["resource"]["subject"]["reference"], "Patient/p2-other");
}
