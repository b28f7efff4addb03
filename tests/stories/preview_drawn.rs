//! Whatever is held and whatever is agreed to: the items on the pages of the preview are the items that the clinic gets afterwards.
//! Records of several sources, the choice and the dates are drawn; the seed is printed, and `SEKISHO_PREVIEW_SEED` sets it.
//!
//! A mark of its own stands in every text and every number, so that what goes is known again on the page.

use std::collections::BTreeSet;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, body};
use serde_json::{Map, Value, json};

use super::pages::signed_in;
use super::summary::{self, ALL, PURPOSE};

const CASES: usize = 60;
const SEED: u64 = 20_261_123;
const STATUS: [&str; 5] = ["active", "recurrence", "inactive", "remission", "resolved"];

/// What is drawn.
struct Drawn {
    rng: StdRng,
    marks: u32,
}

impl Drawn {
    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// True once in so many times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    /// A text that stands nowhere else.
    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mk{:06}", self.marks)
    }

    /// A number that stands nowhere else, with so many before its point.
    fn figure(&mut self, whole: u32) -> Value {
        self.marks += 1;
        serde_json::from_str(&format!("{whole}.{:06}", self.marks)).unwrap()
    }

    /// As precise as it happens to be known.
    fn date(&mut self) -> String {
        let day = self.day();
        match self.below(6) {
            0 => day[..4].to_owned(),
            1 => day[..7].to_owned(),
            2 => format!("{day}T07:{:02}:00+09:00", self.below(60)),
            _ => day,
        }
    }

    fn day(&mut self) -> String {
        format!("{}-{:02}-{:02}", 2018 + self.below(8), 1 + self.below(12), 1 + self.below(28))
    }

    /// With some of these members.
    fn some(&mut self, mut object: Value, members: &[(&str, Value)]) -> Value {
        for (name, value) in members {
            if !self.once_in(3) {
                object[*name] = value.clone();
            }
        }
        object
    }

    /// Up to three of them.
    fn list(&mut self, part: &str, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        let entered = ["self", "device", "clinic", "app"];
        let items = (0..self.below(4)).map(|at| {
            let mut item = one(self);
            item["id"] = json!(format!("{part}{at}"));
            item["entered"] = json!(self.pick(&entered));
            if self.once_in(6) {
                item["unknown"] = json!(self.mark());
            }
            item
        });
        Value::Array(items.collect())
    }

    /// What the app holds.
    fn records(&mut self, birth: &str) -> Map<String, Value> {
        let name = json!({"name": self.mark(), "birth_date": birth, "sex": "female", "entered": "self"});
        let (family, kana) = (json!(self.mark()), json!(self.mark()));
        let mut records = Map::new();
        records.insert("profile".to_owned(), self.some(name, &[("family", family), ("kana", kana)]));
        let condition = |d: &mut Self| {
            let more = [
                ("status", json!(d.pick(&STATUS))),
                ("since", json!(d.date())),
                ("recorded", json!(d.date())),
                ("note", json!(d.mark())),
            ];
            let name = json!({"name": d.mark()});
            d.some(name, &more)
        };
        let medicine = |d: &mut Self| {
            let more = [
                ("status", json!(d.pick(&["active", "stopped", "unknown"]))),
                ("on", json!(d.date())),
                ("dosage", json!(d.mark())),
                ("recorded", json!(d.date())),
                ("note", json!(d.mark())),
            ];
            let name = json!({"name": d.mark()});
            d.some(name, &more)
        };
        let allergy = |d: &mut Self| {
            let more = [
                ("criticality", json!(d.pick(&["low", "high"]))),
                ("reaction", json!(d.mark())),
                ("since", json!(d.date())),
                ("recorded", json!(d.date())),
            ];
            let name = if d.once_in(5) { json!({"none_known": true}) } else { json!({"name": d.mark()}) };
            d.some(name, &more)
        };
        let dose = |d: &mut Self| {
            let more = [
                ("dose_number", json!("2")),
                ("disease", json!(d.mark())),
                ("lot", json!(d.mark())),
                ("maker", json!(d.mark())),
                ("clinic", json!(d.mark())),
            ];
            let when = if d.once_in(5) { ("on_text", d.mark()) } else { ("on", d.date()) };
            let mut dose = json!({"vaccine": d.mark()});
            dose[when.0] = json!(when.1);
            d.some(dose, &more)
        };
        records.insert("conditions".to_owned(), self.list("c", condition));
        records.insert("medications".to_owned(), self.list("m", medicine));
        records.insert("allergies".to_owned(), self.list("a", allergy));
        records.insert("vaccinations".to_owned(), self.list("v", dose));
        for (part, unit, whole) in [("weights", "kg", 12), ("heights", "cm", 98), ("temperatures", "Cel", 36)] {
            let measured = |d: &mut Self| {
                let unit = if d.once_in(8) { "lb" } else { unit };
                json!({"value": d.figure(whole), "unit": unit, "at": d.day(), "note": d.mark()})
            };
            let drawn = self.list(part, measured);
            records.insert(part.to_owned(), drawn);
        }
        records
    }

    fn concept(&mut self) -> Value {
        json!({"text": self.mark(), "coding": [{"system": "urn:x", "code": self.mark(), "display": self.mark()}]})
    }

    /// A resource as a FHIR server holds it, with what may pass and what may not.
    fn resource(&mut self, kind: &str, of: &str, at: usize) -> Value {
        let subject = if self.once_in(9) { "somebody-else" } else { of };
        let mut one = json!({"resourceType": kind, "id": format!("{kind}-{at}"), "note": [{"text": self.mark()}]});
        let whose = if matches!(kind, "Immunization" | "AllergyIntolerance") { "patient" } else { "subject" };
        one[whose] = json!({"reference": format!("Patient/{subject}"), "display": self.mark()});
        if self.once_in(9) {
            one["meta"] = json!({"tag": [{"code": "UNINFORMED"}]});
        }
        if self.once_in(9) {
            one["identifier"] = json!([{"value": "123456789018"}]);
        }
        let (date, concept, text) = (self.date(), self.concept(), self.mark());
        let wrong = self.once_in(9);
        let status = |usual: &'static str| json!(if wrong { "entered-in-error" } else { usual });
        let more: Vec<(&str, Value)> = match kind {
            "Immunization" => {
                one["status"] = status("completed");
                one["vaccineCode"] = concept;
                vec![("occurrenceDateTime", json!(date)), ("lotNumber", json!(text)), ("site", self.concept())]
            }
            "Condition" => {
                let code = if wrong { "entered-in-error" } else { "confirmed" };
                one["verificationStatus"] = json!({"coding": [{"code": code}]});
                one["code"] = concept;
                vec![("onsetDateTime", json!(date)), ("bodySite", json!([self.concept()])), ("stage", json!([text]))]
            }
            "MedicationStatement" => {
                one["status"] = status("active");
                one["medicationCodeableConcept"] = concept;
                vec![("effectiveDateTime", json!(date)), ("dosage", json!([{"text": text}])), ("reasonCode", json!(1))]
            }
            "AllergyIntolerance" => {
                one["code"] = concept;
                let reaction = json!([{"manifestation": [self.concept()], "description": text}]);
                vec![("recordedDate", json!(date)), ("reaction", reaction), ("asserter", json!({"display": "x"}))]
            }
            "Procedure" => vec![("code", concept)],
            _ => {
                let code = self.pick(&["29463-7", "8302-2", "8310-5", "718-7"]);
                one["status"] = status("final");
                one["code"] = json!({"coding": [{"system": "http://loinc.org", "code": code}], "text": text});
                let value = json!({"value": self.figure(36), "unit": "u", "system": "http://unitsofmeasure.org"});
                vec![("effectiveDateTime", json!(date)), ("valueQuantity", value), ("method", concept)]
            }
        };
        self.some(one, &more)
    }

    /// What the city's server holds.
    fn resources(&mut self, of: &str, birth: &str) -> Vec<Value> {
        let person = json!({"resourceType": "Patient", "id": of, "name": [{"text": self.mark()}], "birthDate": birth,
            "address": [{"text": self.mark()}]});
        let mut all = vec![person];
        for kind in
            ["Immunization", "Condition", "MedicationStatement", "AllergyIntolerance", "Observation", "Procedure"]
        {
            for at in 0..self.below(5) {
                all.push(self.resource(kind, of, at));
            }
        }
        all
    }

    /// Some of them.
    fn subset<'t>(&mut self, of: &[&'t str]) -> Vec<&'t str> {
        of.iter().filter(|_| !self.once_in(3)).copied().collect()
    }
}

/// An item, by what can be known again: its marks, and its days as the page writes them.
type Known = (BTreeSet<String>, BTreeSet<String>);

fn marks(text: &str) -> BTreeSet<String> {
    let digits = |part: &str| part.len() == 6 && part.bytes().all(|b| b.is_ascii_digit());
    let after = |begin: &str| -> Vec<String> {
        text.match_indices(begin)
            .filter_map(|(at, _)| text.get(at + begin.len()..at + begin.len() + 6))
            .filter(|p| digits(p))
            .map(|p| format!("{begin}{p}"))
            .collect()
    };
    ["mk", "12.", "98.", "36."].into_iter().flat_map(after).collect()
}

/// An article of the preview.
fn on_the_page(article: &str) -> Known {
    let (mut days, mut rest) = (BTreeSet::new(), article);
    while let Some((before, after)) = rest.split_once('年') {
        let year: String = before.chars().rev().take_while(char::is_ascii_digit).collect();
        if let Some((day, _)) = after.split_once('日').filter(|(day, _)| year.len() == 4 && day.len() < 8) {
            days.insert(format!("{}年{day}日", year.chars().rev().collect::<String>()));
        }
        rest = after;
    }
    (marks(article), days)
}

/// An item of the document.
fn in_the_document(resource: &Value) -> Known {
    fn days(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                let day: Option<jiff::civil::Date> = text.get(..10).and_then(|day| day.parse().ok());
                found.extend(day.map(|day| day.strftime("%Y年%-m月%-d日").to_string()));
            }
            Value::Array(all) => all.iter().for_each(|one| days(one, found)),
            Value::Object(object) => object.values().for_each(|one| days(one, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    days(resource, &mut found);
    // An id made here can look like a mark.
    let mut resource = resource.clone();
    ["id", "subject", "patient"].iter().for_each(|name| drop(resource.as_object_mut().unwrap().remove(*name)));
    (marks(&resource.to_string()), found)
}

/// All pages of the preview of this choice.
async fn previewed(mother: &mut Browser, id: &str, form: &[(&str, &str)]) -> Vec<Known> {
    let mut items = Vec::new();
    for at in 0_usize.. {
        let place = at.to_string();
        let page = mother.send(&format!("/my/proposals/{id}/preview"), &[form, &[("at", &place)]].concat()).await;
        assert!(page.says("渡る内容") && !page.says("受け取れなかった"), "{}", page.text);
        items.extend(
            page.text.split("<article").skip(1).map(|one| on_the_page(one.split("</article>").next().unwrap())),
        );
        if !page.says("次の提供元を見る") {
            break;
        }
    }
    items
}

/// Puts a proposal before the mother: its id.
async fn proposed(town: &Town, drawn: &mut Drawn) -> (String, Value) {
    let categories: Vec<&str> = ["identity@1"].into_iter().chain(drawn.subset(&ALL[1..])).collect();
    let mut proposal = json!({
        "purpose": PURPOSE, "categories": categories, "until": town.in_seconds(86_400),
        "text_hash": summary::text(town).await, "booking": {"reference": "B-1", "visit_at": town.in_seconds(3_600)},
    });
    if drawn.once_in(3) {
        let (one, other) = (drawn.day(), drawn.day());
        proposal["data_from"] = json!(one.clone().min(other.clone()));
        if drawn.once_in(2) && one != other {
            proposal["data_until"] = json!(one.max(other));
        }
    }
    let token = town.world.clinic_token_of(town.mother()).unwrap();
    let (status, made) =
        town.call(&town.world.clinic_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{made}");
    (made["id"].as_str().unwrap().to_owned(), proposal)
}

async fn asked(town: &Town, mother: &mut Browser, id: &str) -> Page {
    let page = mother.open(&format!("/my/proposals/{id}")).await;
    if page.says("/agree") { page } else { mother.sign_in(&page.link("again=1"), town.mother()).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_held_and_agreed_to_what_was_shown_is_what_goes() {
    let of_both = format!("{ALL:?}");
    let town = summary::opened(|text| {
        text.replace("categories = [\"identity@1\", \"vaccination@1\"]", &format!("categories = {of_both}"))
    })
    .await;
    let (child, birth) = (town.child_at_city().to_owned(), town.family.children[0].person.birth.to_string());
    let mut mother = signed_in(&town, town.mother()).await;
    let seed = std::env::var("SEKISHO_PREVIEW_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("{CASES} cases from seed {seed}");
    let (mut drawn, mut seen) = (Drawn { rng: StdRng::seed_from_u64(seed), marks: 0 }, 0);
    for case in 0..CASES {
        town.world.phr.put(&child, drawn.records(&birth));
        town.world.city.put(&child, drawn.resources(&child, &birth));
        let (id, proposal) = proposed(&town, &mut drawn).await;
        let page = asked(&town, &mut mother, &id).await;
        let (csrf, text, revision) = (page.hidden("csrf"), page.hidden("text"), page.hidden("revision"));
        let mut form =
            vec![("csrf", csrf.as_str()), ("text", &text), ("revision", &revision), ("subject", town.child())];
        let offered: Vec<&str> =
            ALL[1..].iter().filter(|c| proposal["categories"].to_string().contains(**c)).copied().collect();
        form.extend(offered.into_iter().filter(|_| drawn.once_in(4)).map(|category| ("without", category)));
        let what = format!("seed {seed}, case {case}: {proposal}, {:?}", &form[4..]);
        let mut shown = previewed(&mut mother, &id, &form).await;
        let agreed = mother.send(&format!("/my/proposals/{id}/agree"), &form).await;
        assert!(agreed.says("同意しました"), "{what}: {}", agreed.text);
        let answer = summary::ask(&town, &summary::patient(&town, &id).await).await;
        assert_eq!(answer.status.as_u16(), 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
        let document = body(&answer);
        let went = document["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]).skip(1);
        let (people, items): (Vec<&Value>, Vec<&Value>) =
            went.filter(|r| r["resourceType"] != "Device").partition(|r| r["resourceType"] == "Patient");
        let mut went: Vec<Known> = items.into_iter().map(in_the_document).collect();
        // Both sources say who it is, and a document says it once.
        let [patient] = people[..] else { panic!("{what}: {people:?}") };
        let is_a_person = |one: &Known| one.1.contains(&shown_day(&birth)) && !went.contains(one);
        let persons: Vec<Known> = shown.iter().filter(|one| is_a_person(one)).cloned().collect();
        assert!(persons.len() == 2 && persons.contains(&in_the_document(patient)), "{what}: {patient} {persons:?}");
        shown.retain(|one| !persons.contains(one));
        shown.sort();
        went.sort();
        assert_eq!(shown, went, "{what}");
        seen += went.len();
        town.world.revoke(town.mother(), &id).await.unwrap();
    }
    println!("{seen} items were shown, and went");
    assert!(seen > 5 * CASES, "{seen} items: nothing much was drawn");
    town.gateway.stop().await;
}

fn shown_day(day: &str) -> String {
    day.parse::<jiff::civil::Date>().unwrap().strftime("%Y年%-m月%-d日").to_string()
}
