//! Summaries: nothing outside of what was agreed to is anywhere in the bytes that leave, and nothing inside is missing.
//!
//! A mark stands in every element of every item of a rich record. For every subset of the categories, each mark is looked for.

use std::collections::BTreeMap;

use jiff::civil::date;
use sekisho::ids::{PairwiseId, party_id};
use sekisho::request::narrow::{Narrowed, Narrowing};
use sekisho::store::conformance::world;
use sekisho::store::registry::{CategoryText, PartyText, RegistryText};
use sekisho::store::state::{Pairwise, category_version};
use sekisho::summary::{About, Came, Contribution, Document, NoIdentity, compose};
use sekisho_policy::{
    AccessRequest, Actor, Categories, Code, Consent, ConsentId, Decision, Origin, Period, Permit, PersonId,
    PurposeCode, Receiver, SubjectRecords, Timestamp, decide,
};
use serde_json::{Map, Value, json};

const ID: &str = "syn-0123-4567";
const BASE: &str = "https://localhost";
/// Kinds that no category covers.
const UNCOVERED: [&str; 9] = [
    "Procedure",
    "DiagnosticReport",
    "Encounter",
    "Practitioner",
    "DocumentReference",
    "CarePlan",
    "FamilyMemberHistory",
    "MedicationRequest",
    "QuestionnaireResponse",
];

/// The demo's categories, as an operator would write them.
fn categories() -> Vec<CategoryText> {
    let text = include_str!("../../src/demo/sekisho.toml");
    let begins = text.find("[[category]]").unwrap();
    let ends = text.find("[rules]").unwrap();
    let table: toml::Table = text[begins..ends].parse().unwrap();
    let Value::Array(all) = serde_json::to_value(&table["category"]).unwrap() else { panic!("a list") };
    let complete = |mut category: Value| {
        category["own_consent_age"] = json!(18);
        for covers in category["covers"].as_array_mut().unwrap() {
            for list in ["elements", "extensions", "codes", "date_elements"] {
                covers.as_object_mut().unwrap().entry(list).or_insert_with(|| json!([]));
            }
            covers.as_object_mut().unwrap().entry("code_element").or_insert(Value::Null);
        }
        serde_json::from_value(category).unwrap()
    };
    all.into_iter().map(complete).collect()
}

fn registry() -> RegistryText {
    let mut registry = world::registry();
    registry.categories = categories();
    registry
}

fn permit(registry: &RegistryText, versions: &[&str]) -> Option<Permit> {
    let person = PersonId::from_bytes([1; 16]);
    let purpose = PurposeCode(Code::parse(world::PURPOSE).unwrap());
    let asked = registry.categories.iter().map(|c| category_version(&c.version).unwrap());
    let mut records = SubjectRecords::new(person, date(1980, 1, 1));
    if !versions.is_empty() {
        records.consents.push(Consent {
            id: ConsentId::from_bytes([1; 16]),
            grantor: person,
            recipient: party_id(world::APP),
            purpose,
            categories: versions.iter().map(|v| category_version(v).unwrap()).collect(),
            source: None,
            period: Period::new(world::START, Timestamp::from_millis(world::START.millis() + world::DAY_MS)).unwrap(),
            data_period: None,
            origin: Origin::Own,
            approved_at: world::START,
            ended_at: None,
        });
    }
    let request = AccessRequest {
        subject: person,
        receiver: Receiver::Party { party: party_id(world::APP), actor: Actor::Subject(person) },
        source: party_id(world::CITY),
        purpose,
        categories: Categories::new(asked).unwrap(),
    };
    match decide(&records, &registry.to_policy(&[]).unwrap(), &request, world::START) {
        Decision::Permit(permit) => Some(permit),
        Decision::Deny(_) => None,
    }
}

/// Marks, and under which category each may leave; none for those that never may.
#[derive(Default)]
struct Marks {
    of: BTreeMap<String, Option<String>>,
}

impl Marks {
    fn mark(&mut self, category: Option<&str>) -> String {
        let mark = format!("mk{:05}mk", self.of.len());
        self.of.insert(mark.clone(), category.map(str::to_owned));
        mark
    }

    /// A value of an element, with a mark in every corner that can hold a text.
    fn value(&mut self, element: &str, category: Option<&str>) -> Value {
        let never = |marks: &mut Self| json!([{"url": "urn:x", "valueString": marks.mark(None)}]);
        match element {
            "subject" | "patient" => json!({
                "reference": format!("Patient/{ID}"), "display": self.mark(None), "identifier": {"value": self.mark(None)},
            }),
            "birthDate" => json!("1980-01-01"),
            _ if element.contains("Date") => json!("2026-10-01"),
            "name" => {
                json!([{"text": self.mark(category), "family": self.mark(category), "_given": [{"id": self.mark(None)}]}])
            }
            "status" | "gender" | "criticality" | "type" | "occurrenceString" | "onsetString" | "lotNumber" => {
                json!(self.mark(category))
            }
            "valueQuantity" => json!({"value": 36.50, "unit": self.mark(category), "extension": never(self)}),
            _ => json!([{
                "text": self.mark(category),
                "coding": [{"system": "urn:x", "code": self.mark(category), "display": self.mark(category)}],
                "extension": never(self),
                "id": self.mark(None),
                "modifierExtension": never(self),
                "contained": [{"resourceType": "Patient", "id": self.mark(None)}],
                "identifier": [{"value": self.mark(None)}],
                "author": {"reference": "Practitioner/p1", "display": self.mark(None)},
            }]),
        }
    }

    /// A resource with every registered element, and everything else that can stand in one.
    fn resource(
        &mut self,
        kind: &str,
        covers: Option<(&str, &sekisho::store::registry::Coverage)>,
        number: usize,
    ) -> Value {
        let mut resource = Map::new();
        resource.insert("resourceType".to_owned(), json!(kind));
        let id = if kind == "Patient" { ID.to_owned() } else { format!("source-{number}-{}", self.mark(None)) };
        resource.insert("id".to_owned(), json!(id));
        let category = covers.map(|(category, _)| category);
        let coded = |element: &str| covers.is_some_and(|(_, c)| c.code_element.as_deref() == Some(element));
        for element in covers.iter().flat_map(|(_, covers)| &covers.elements).filter(|element| !coded(element)) {
            resource.insert(element.clone(), self.value(element, category));
        }
        if kind != "Patient" && !resource.contains_key("patient") {
            resource.insert("subject".to_owned(), json!({"reference": format!("Patient/{ID}")}));
        }
        if let Some((system, code)) = covers.and_then(|(_, c)| c.codes.first()).and_then(|c| c.split_once('|')) {
            let mark = self.mark(category);
            resource.insert("code".to_owned(), json!({"coding": [{"system": system, "code": code}], "text": mark}));
        }
        let mut extensions = vec![json!({"url": "urn:x:attachment", "valueAttachment": {"data": self.mark(None)}})];
        if covers.is_some_and(|(_, covers)| !covers.extensions.is_empty()) {
            let nested = json!([{"url": "urn:x", "valueString": self.mark(None)}]);
            let registered = "urn:sekisho:extension:origin";
            extensions.push(json!({"url": registered, "valueCode": self.mark(category), "extension": nested}));
        }
        let outside = [
            ("extension", Value::Array(extensions)),
            ("text", json!({"status": "generated", "div": format!("<div>{}</div>", self.mark(None))})),
            ("meta", json!({"tag": [{"system": "urn:x", "code": self.mark(None)}], "source": self.mark(None)})),
            ("identifier", json!([{"system": "urn:x", "value": self.mark(None)}])),
            ("contained", json!([{"resourceType": "Medication", "id": "m", "code": {"text": self.mark(None)}}])),
            ("modifierExtension", json!([{"url": "urn:x", "valueString": self.mark(None)}])),
            ("implicitRules", json!(self.mark(None))),
            ("language", json!(self.mark(None))),
            ("note", json!([{"text": self.mark(None)}])),
            ("photo", json!([{"contentType": "image/png", "data": self.mark(None), "title": self.mark(None)}])),
            ("content", json!([{"attachment": {"url": self.mark(None)}}])),
            (
                "performer",
                json!([{"display": self.mark(None), "reference": format!("Practitioner/{}", self.mark(None))}]),
            ),
            ("_status", json!({"extension": [{"url": "urn:x", "valueString": self.mark(None)}]})),
            ("newElement", json!({"deep": [{"deeper": self.mark(None)}]})),
        ];
        for (name, value) in outside {
            resource.entry(name.to_owned()).or_insert(value);
        }
        Value::Object(resource)
    }
}

fn record(registry: &RegistryText) -> (Vec<Value>, Marks) {
    let (mut marks, mut all) = (Marks::default(), Vec::new());
    for category in &registry.categories {
        for covers in &category.covers {
            all.push(marks.resource(&covers.resource, Some((&category.version, covers)), all.len()));
        }
    }
    for kind in UNCOVERED {
        all.push(marks.resource(kind, None, all.len()));
    }
    let kinds: std::collections::BTreeSet<_> = all.iter().map(|r| r["resourceType"].to_string()).collect();
    assert!(kinds.len() >= 12, "{kinds:?}");
    (all, marks)
}

fn pairwise(seed: u8) -> Pairwise {
    Pairwise { party: world::APP.to_owned(), id: PairwiseId::from_bytes([seed; 16]), secret: [seed + 1; 32] }
}

fn party(code: &str) -> PartyText {
    PartyText {
        code: code.to_owned(),
        kind: "phr-app".to_owned(),
        name_ja: "よつば".to_owned(),
        name_en: "Yotsuba".to_owned(),
    }
}

fn narrowed(registry: &RegistryText, permit: &Permit, pairwise: &Pairwise, record: &[Value]) -> Narrowed {
    let entries: Vec<Value> = record.iter().map(|r| json!({"resource": r, "fullUrl": "https://source/x"})).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string();
    let mut narrowed = Narrowed::default();
    let narrowing = Narrowing::new(permit, registry, pairwise, ("city", ID), BASE);
    narrowing.page(bundle.as_bytes(), &mut narrowed).unwrap();
    narrowed
}

fn about<'a>(patient: &'a str) -> About<'a> {
    About { patient, birth: date(1980, 1, 1), base: BASE }
}

fn composed(patient: &str, came: &[(&PartyText, Came)]) -> Result<Document, NoIdentity> {
    let all: Vec<Contribution<'_>> = came.iter().map(|(party, came)| Contribution { party, came }).collect();
    compose(&about(patient), &all, world::START)
}

fn whole(narrowed: Narrowed) -> Came {
    Came::Items { json: narrowed.json, incomplete: false }
}

#[test]
fn of_every_subset_of_categories_exactly_what_was_agreed_to_leaves() {
    let registry = registry();
    let (record, marks) = record(&registry);
    let versions: Vec<&str> = registry.categories.iter().map(|c| c.version.as_str()).collect();
    let (mut looked_for, mut documents, app) = (0_u64, 0, party("yotsuba-phr"));
    for subset in 0_u32..1 << versions.len() {
        let chosen: Vec<&str> =
            versions.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, v)| *v).collect();
        let Some(permit) = permit(&registry, &chosen) else {
            assert!(chosen.is_empty(), "{chosen:?}");
            continue;
        };
        let pairwise = pairwise(5);
        let narrowed = narrowed(&registry, &permit, &pairwise, &record);
        let mut bytes = narrowed.json.clone();
        match composed(&pairwise.id.text(), &[(&app, whole(narrowed))]) {
            Ok(document) => {
                documents += 1;
                bytes = document.json;
            }
            Err(_) => assert!(!chosen.contains(&"identity@1"), "{chosen:?}"),
        }
        let text = String::from_utf8(bytes).unwrap();
        for (mark, category) in &marks.of {
            let agreed = category.as_deref().is_some_and(|category| chosen.contains(&category));
            assert_eq!(text.contains(mark), agreed, "{mark} of {category:?} under {chosen:?}");
            looked_for += 1;
        }
        assert!(!text.contains(ID), "the source's id of the person");
    }
    assert_eq!((versions.len(), documents), (8, 128));
    assert!(looked_for > 50_000, "{looked_for}");
}

#[test]
fn two_clinics_share_no_id_or_link_of_one_person() {
    let registry = registry();
    let (record, _) = record(&registry);
    let all: Vec<&str> = registry.categories.iter().map(|c| c.version.as_str()).collect();
    let permit = permit(&registry, &all).unwrap();
    let app = party("yotsuba-phr");
    let of = |seed: u8| -> Value {
        let pairwise = pairwise(seed);
        let narrowed = narrowed(&registry, &permit, &pairwise, &record);
        let document = composed(&pairwise.id.text(), &[(&app, whole(narrowed))]).unwrap();
        serde_json::from_slice(&document.json).unwrap()
    };
    let ids = |document: &Value| {
        let mut found = std::collections::BTreeSet::new();
        collect(document, &mut found);
        found
    };
    let (one, other) = (ids(&of(5)), ids(&of(9)));
    assert!(one.len() > 20, "{}", one.len());
    assert_eq!(one.intersection(&other).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Everything that names something: ids, references, links.
fn collect(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if let (true, Some(text)) = (["id", "reference", "fullUrl"].contains(&name.as_str()), value.as_str()) {
                    found.insert(text.to_owned());
                }
                if name == "identifier" {
                    found.insert(value["value"].to_string());
                }
                collect(value, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, found)),
        _ => {}
    }
}
