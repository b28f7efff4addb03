//! Narrowing a source's answer. Input: a body, narrowed as a page of a search and as a read, for two subjects: one whom the
//! source knows by a long id, and one by an id as short as a number in a text.
//!
//! The account of its own knows the registered elements by name and looks at what left, read by another reader of JSON.

use std::sync::LazyLock;

use jiff::civil::date;
use sekisho::ids::{PairwiseId, party_id};
use sekisho::request::narrow::{Narrowed, Narrowing};
use sekisho::store::conformance::world;
use sekisho::store::registry::{CategoryText, Coverage, RegistryText};
use sekisho::store::state::{Pairwise, category_version};
use sekisho_adapters::my_number;
use sekisho_policy::{
    AccessRequest, Actor, Categories, Code, Consent, ConsentId, DataPeriod, Decision, Origin, Period, Permit, PersonId,
    PurposeCode, Receiver, SubjectRecords, Timestamp, decide,
};
use serde_json::{Map, Value};

const BASE: &str = "https://gate.example";
const EXTENSION: &str = "urn:x";
const LOINC: &str = "http://loinc.org";

/// Resource type, its category, and the elements that may pass.
const COVERED: [(&str, &str, &[&str]); 3] = [
    ("Immunization", "vaccination@1", &["status", "vaccineCode", "patient", "occurrenceDateTime", "note", "performer"]),
    ("Observation", "lab@1", &["status", "code", "subject", "valueQuantity"]),
    ("Patient", "patient@1", &["birthDate", "gender", "name"]),
];
const NEVER_WITHIN: [&str; 5] = ["extension", "modifierExtension", "id", "identifier", "contained"];

struct Case {
    id: &'static str,
    permit: Permit,
    registry: RegistryText,
    pairwise: Pairwise,
}

static CASES: LazyLock<[Case; 2]> = LazyLock::new(|| ["syn-0123-4567", "42"].map(Case::of));

/// Panics on a finding.
pub fn check(data: &[u8]) {
    for case in CASES.iter() {
        let narrowing = Narrowing::new(&case.permit, &case.registry, &case.pairwise, ("source", case.id), BASE);
        let mut narrowed = Narrowed::default();
        if narrowing.page(data, &mut narrowed).is_ok() {
            page_left(case, data, &narrowed);
        }
        let mut narrowed = Narrowed::default();
        if narrowing.read(data, &mut narrowed).is_ok() {
            assert_eq!(narrowed.items + narrowed.dropped.total(), 1, "released or counted");
            let all = items(&narrowed);
            all.iter().for_each(|resource| case.left(resource));
            assert!(all.is_empty() || case.may_leave(&read(data)), "it had to stay");
        }
    }
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("JSON")
}

fn items(narrowed: &Narrowed) -> Vec<Value> {
    let Value::Array(items) = read(&[b"[", narrowed.json.as_slice(), b"]"].concat()) else { panic!("a list") };
    assert_eq!(items.len(), narrowed.items as usize, "as many as were counted");
    items
}

fn page_left(case: &Case, data: &[u8], narrowed: &Narrowed) {
    let came = read(data);
    let entries = came.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let counted = narrowed.items + narrowed.dropped.total();
    assert_eq!(entries.len(), counted as usize, "each entry is released or counted");
    let may_leave = entries.iter().filter(|entry| entry.get("resource").is_some_and(|r| case.may_leave(r))).count();
    assert!(narrowed.items as usize <= may_leave, "something left that had to stay");
    for entry in items(narrowed) {
        let entry = entry.as_object().expect("an entry");
        assert!(entry.keys().eq(["fullUrl", "resource", "search"]), "nothing of the source's entry");
        let resource = &entry["resource"];
        let (kind, id) = (text(resource, "resourceType"), text(resource, "id"));
        assert_eq!(entry["fullUrl"], format!("{BASE}/fhir/{kind}/{id}"));
        case.left(resource);
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Case {
    /// Vaccinations of 2024, one laboratory code, and the person.
    fn of(id: &'static str) -> Self {
        let mut registry = world::registry();
        registry.categories =
            COVERED.iter().map(|(kind, version, elements)| category(kind, version, elements)).collect();
        let versions = COVERED.iter().map(|(_, version, _)| category_version(version).expect("a version"));
        let person = PersonId::from_bytes([1; 16]);
        let purpose = PurposeCode(Code::parse(world::PURPOSE).expect("a code"));
        let mut records = SubjectRecords::new(person, date(1980, 1, 1));
        for (at, version) in versions.clone().enumerate() {
            let year = DataPeriod::new(Some(date(2024, 1, 1)), Some(date(2025, 1, 1))).expect("a year");
            records.consents.push(Consent {
                id: ConsentId::from_bytes([u8::try_from(at).unwrap_or(9); 16]),
                grantor: person,
                recipient: party_id(world::APP),
                purpose,
                categories: Box::new([version]),
                source: None,
                period: Period::new(world::START, Timestamp::from_millis(world::START.millis() + world::DAY_MS))
                    .expect("a day"),
                data_period: (at == 0).then_some(year),
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
            categories: Categories::new(versions).expect("categories"),
        };
        let known = registry.to_policy(&[]).expect("a registry");
        let Decision::Permit(permit) = decide(&records, &known, &request, world::START) else { panic!("a permit") };
        assert_eq!(permit.kept().len(), COVERED.len());
        let pairwise = Pairwise { party: world::APP.to_owned(), id: PairwiseId::from_bytes([5; 16]), secret: [6; 32] };
        Self { id, permit, registry, pairwise }
    }

    /// Whether a resource, as it came, is one that may leave at all: about the subject, and not marked as hidden.
    fn may_leave(&self, resource: &Value) -> bool {
        let patient = format!("Patient/{}", self.id);
        let names =
            |name: &str| resource.get(name).map(|about| about.get("reference") == Some(&Value::from(&*patient)));
        let about = match text(resource, "resourceType") {
            "Patient" => text(resource, "id") == self.id,
            _ => [names("patient"), names("subject")].iter().flatten().copied().reduce(|a, b| a && b) == Some(true),
        };
        let marks = ["tag", "security"].map(|list| resource.pointer(&format!("/meta/{list}")));
        let hidden = marks.into_iter().flatten().filter_map(Value::as_array).flatten().any(|mark| {
            let code = text(mark, "code").trim().to_ascii_uppercase();
            code == "UNINFORMED" || code == "UNDELIVERED"
        });
        about && !hidden
    }

    /// What has left holds nothing but what may.
    fn left(&self, resource: &Value) {
        let object = resource.as_object().expect("a resource");
        let kind = text(resource, "resourceType");
        let (_, _, elements) = COVERED.iter().find(|(known, _, _)| *known == kind).expect("a registered type");
        assert!(PairwiseId::parse(text(resource, "id")).is_ok(), "the id is one of ours");
        if kind == "Patient" {
            assert_eq!(text(resource, "id"), self.pairwise.id.text());
        }
        for (name, value) in object {
            match name.as_str() {
                "resourceType" | "id" => {}
                "extension" => {
                    for extension in value.as_array().expect("a list") {
                        assert_eq!(text(extension, "url"), EXTENSION, "only registered extensions");
                        self.within(extension);
                    }
                }
                _ => {
                    assert!(elements.contains(&name.as_str()), "{name} is not registered");
                    self.within(value);
                }
            }
        }
        self.restricted(kind, object);
    }

    fn restricted(&self, kind: &str, object: &Map<String, Value>) {
        match kind {
            "Immunization" => {
                let when = object["occurrenceDateTime"].as_str().expect("a date");
                assert!(when.starts_with("2024"), "outside the consented year");
            }
            "Observation" => {
                let codings = object["code"]["coding"].as_array().expect("codes");
                let covered = |c: &Value| text(c, "system") == LOINC && text(c, "code") == "1-8";
                assert!(codings.iter().any(covered), "a code that is not covered");
            }
            _ => {}
        }
    }

    /// At any depth: no id of the source, nothing that names other people, no individual number.
    fn within(&self, value: &Value) {
        match value {
            Value::Object(object) => match object.get("reference") {
                Some(reference) => {
                    assert_eq!(object.len(), 1, "a reference keeps its target and nothing else");
                    let (_, id) = reference.as_str().and_then(|text| text.split_once('/')).expect("a relative one");
                    assert!(PairwiseId::parse(id).is_ok(), "a reference to an id of ours");
                }
                None => object.iter().for_each(|(name, value)| {
                    assert!(!NEVER_WITHIN.contains(&name.as_str()) && !name.starts_with('_'), "{name} never passes");
                    self.said(name);
                    self.within(value);
                }),
            },
            Value::Array(items) => items.iter().for_each(|item| self.within(item)),
            Value::String(text) => self.said(text),
            Value::Number(number) => self.said(&number.to_string()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn said(&self, text: &str) {
        assert!(!my_number::contained_in(text), "what could be an individual number");
        let in_an_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let mut words = text.split(|c| !in_an_id(c));
        let told = if self.id.len() < 8 { words.any(|word| word == self.id) } else { text.contains(self.id) };
        assert!(!told, "the source's id of the subject");
    }
}

fn category(kind: &str, version: &str, elements: &[&str]) -> CategoryText {
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let (dates, codes) = match kind {
        "Immunization" => (owned(&["occurrenceDateTime"]), Vec::new()),
        "Observation" => (Vec::new(), vec![format!("{LOINC}|1-8")]),
        _ => (Vec::new(), Vec::new()),
    };
    CategoryText {
        version: version.to_owned(),
        label_ja: "試験".to_owned(),
        label_en: "Test".to_owned(),
        own_consent_age: 18,
        quiet: false,
        covers: vec![Coverage {
            resource: kind.to_owned(),
            elements: owned(elements),
            extensions: owned(&[EXTENSION]),
            code_element: (!codes.is_empty()).then(|| "code".to_owned()),
            codes,
            date_elements: dates,
        }],
    }
}
