use jiff::Timestamp;
use jiff::civil::{Date, date};
use sekisho_adapters::fhir_terms::{COPIED_ON, ORIGIN};
use sekisho_adapters::http::{HttpError, Limits};
use sekisho_adapters::people::{Child, People, phr};
use sekisho_adapters::phr_app::stand_in::{Encoding, Knobs, PhrAppOptions, PhrAppStandIn};
use sekisho_adapters::phr_app::wire::ITEMS_MAX;
use sekisho_adapters::phr_app::{Mapped, Part, PhrApp, PhrAppError, Why};
use sekisho_adapters::stand_in::{Damage, Faults};
use serde_json::{Value, json};

use crate::support::{LIMITS, World};

const TODAY: Date = date(2026, 11, 23);
const USER: &str = "user-0042";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn children() -> impl Iterator<Item = Child> {
    People::new(3, TODAY).families().take(60).flat_map(|family| family.children)
}

struct Scene {
    world: World,
    app: PhrAppStandIn,
    child: Child,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let options = PhrAppOptions { bind: ([127, 0, 0, 1], 0).into(), tls: world.tls(Some(false)) };
        let app = PhrAppStandIn::start(options).await.unwrap();
        // One with asthma and a long history.
        let child =
            children().find(|c| c.doses.len() > 15 && phr::records(c, TODAY).contains_key("medications")).unwrap();
        app.put(USER, phr::records(&child, TODAY));
        Self { world, app, child }
    }

    fn client(&self, limits: Limits) -> PhrApp {
        PhrApp::new(self.world.http(Some(&self.world.client), limits), self.app.url())
    }

    async fn ask(&self, parts: &[Part]) -> Result<Option<Mapped>, PhrAppError> {
        self.client(LIMITS).records(USER, parts, now()).await
    }

    async fn with(&self, knobs: Knobs) -> Result<Option<Mapped>, PhrAppError> {
        self.app.set_knobs(knobs);
        self.ask(&Part::ALL).await
    }
}

fn kinds(mapped: &Mapped) -> Vec<&str> {
    let mut kinds: Vec<_> = mapped.resources.iter().map(|r| r["resourceType"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_childs_records_come_over_and_are_mapped_whole() {
    let scene = Scene::new().await;
    let mapped = scene.ask(&Part::ALL).await.unwrap().unwrap();
    assert_eq!(mapped.unmapped, []);
    assert_eq!(kinds(&mapped), ["Patient", "Observation", "Immunization", "Condition", "MedicationStatement"]);
    let of = |kind: &str| mapped.resources.iter().filter(|r| r["resourceType"] == kind).collect::<Vec<_>>();
    assert_eq!(of("Patient")[0]["birthDate"], scene.child.person.birth.to_string());
    assert_eq!(of("Patient")[0]["name"][0]["family"], scene.child.person.family);
    for (resource, dose) in of("Immunization").into_iter().zip(&scene.child.doses) {
        assert_eq!(resource["occurrenceDateTime"], dose.date.to_string());
        assert_eq!(resource["lotNumber"], dose.lot);
        assert_eq!(resource["extension"][1], json!({"url": COPIED_ON, "valueDate": "2026-11-11"}));
    }
    assert_eq!(of("Immunization").len(), scene.child.doses.len());
    // Half a dozen weights, a week of temperatures and a height, digits as they were.
    assert_eq!(of("Observation").len(), 14);
    assert!(of("Observation").iter().all(|r| r["valueQuantity"]["value"].to_string().len() >= 2));
    let ids: std::collections::BTreeSet<_> =
        mapped.resources.iter().map(|r| (r["resourceType"].as_str(), r["id"].as_str())).collect();
    assert_eq!(ids.len(), mapped.resources.len());
    let about = |r: &Value| r.get("subject").or(r.get("patient")).map(|p| p["reference"].clone());
    assert!(mapped.resources[1..].iter().all(|r| about(r) == Some(json!(format!("Patient/{USER}")))));
    assert!(mapped.resources.iter().all(|r| r["extension"][0]["url"] == ORIGIN));
    // The same answer gives the same.
    assert_eq!(scene.ask(&Part::ALL).await.unwrap().unwrap(), mapped);
}

#[tokio::test]
async fn every_synthetic_child_is_mapped_whole() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let (mut none_known, mut allergies) = (0, 0);
    for child in children() {
        scene.app.put(&child.person.id, phr::records(&child, TODAY));
        let mapped = client.records(&child.person.id, &Part::ALL, now()).await.unwrap().unwrap();
        assert_eq!(mapped.unmapped, [], "{:?}", child.person);
        none_known += mapped.resources.iter().filter(|r| r["code"]["coding"][0]["code"] == "716186003").count();
        allergies += mapped.resources.iter().filter(|r| r["resourceType"] == "AllergyIntolerance").count();
    }
    assert!(none_known > 5 && allergies > none_known + 5, "{none_known} of {allergies}");
}

#[tokio::test]
async fn only_what_is_permitted_is_asked_for() {
    let scene = Scene::new().await;
    for (parts, asked, kinds_back) in [
        (vec![Part::Weights], "weights", vec!["Observation"]),
        (
            vec![Part::Temperatures, Part::Profile, Part::Temperatures],
            "profile,temperatures",
            vec!["Patient", "Observation"],
        ),
        (vec![Part::Conditions], "conditions", vec!["Condition"]),
        (vec![Part::Allergies], "allergies", vec![]),
    ] {
        let mapped = scene.ask(&parts).await.unwrap().unwrap();
        assert_eq!(scene.app.take_asked(), [asked.split(',').collect::<Vec<_>>()]);
        assert_eq!(kinds(&mapped), kinds_back);
        assert_eq!(mapped.unmapped, []);
    }
    // Nothing permitted: nothing is sent.
    let before = scene.app.requests();
    assert_eq!(scene.ask(&[]).await, Ok(None));
    assert_eq!(scene.app.requests(), before);
    // Nothing of the caller or of a trace goes along.
    let headers = scene.app.last_headers().unwrap();
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host"]);
}

#[tokio::test]
async fn what_comes_unasked_goes_nowhere() {
    let scene = Scene::new().await;
    scene.app.set_knobs(Knobs { sends_everything: true, ..Knobs::default() });
    let mapped = scene.ask(&[Part::Heights]).await.unwrap().unwrap();
    assert_eq!(mapped.resources.len(), 1);
    assert_eq!(mapped.resources[0]["id"], "heights-h1");
    assert_eq!(mapped.unmapped.len(), 6);
    assert!(mapped.unmapped.iter().all(|u| u.why == Why::NotAskedFor && u.record_left_out));
}

#[tokio::test]
async fn nobody_by_that_id_is_none_and_a_wrong_address_is_not() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    assert_eq!(client.records("nobody", &Part::ALL, now()).await, Ok(None));
    scene.app.forget(USER);
    assert_eq!(scene.ask(&Part::ALL).await, Ok(None));
    // An app that holds nothing of somebody it knows.
    scene.app.put(USER, serde_json::Map::new());
    assert_eq!(scene.ask(&Part::ALL).await, Ok(Some(Mapped::default())));
    let astray = PhrApp::new(scene.world.client(), format!("{}/old", scene.app.url()));
    assert_eq!(astray.records(USER, &Part::ALL, now()).await, Err(PhrAppError::Refused(404)));
    for base in ["", "no url", "ftp://localhost"] {
        let unusable = PhrApp::new(scene.world.client(), base.to_owned()).records(USER, &Part::ALL, now()).await;
        assert!(matches!(unusable, Err(PhrAppError::Config(_) | PhrAppError::Upstream(_))), "{base}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_never_sent() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let number =
        (0..10).map(|d| format!("11111111111{d}")).find(|n| sekisho_adapters::my_number::contained_in(n)).unwrap();
    for id in ["", "a/b", "../x", "a?parts=profile", "a b", "山田", &"x".repeat(65), &number] {
        assert_eq!(client.records(id, &Part::ALL, now()).await, Err(PhrAppError::NotAUserId));
    }
    assert_eq!(scene.app.requests(), 0);
}

#[tokio::test]
async fn another_users_data_is_refused_whole() {
    let scene = Scene::new().await;
    let off = Knobs::default();
    for knobs in [Knobs { somebody_elses: true, ..off }, Knobs { one_item_of_another: true, ..off }] {
        assert_eq!(scene.with(knobs).await, Err(PhrAppError::WrongUser));
    }
    assert!(scene.with(off).await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_read_for_sure_is_refused_whole() {
    let scene = Scene::new().await;
    let off = Knobs::default();
    for (knobs, at) in [
        (Knobs { encoding: Encoding::ShiftJis, ..off }, "body"),
        (Knobs { encoding: Encoding::BrokenUtf8, ..off }, "body"),
        (Knobs { name_twice: true, ..off }, "body"),
        (Knobs { faults: Faults { damage: Damage::Garbage, ..Faults::default() }, ..off }, "body"),
        (Knobs { faults: Faults { status: Some(200), ..Faults::default() }, ..off }, "user"),
    ] {
        assert_eq!(scene.with(knobs).await, Err(PhrAppError::Malformed(at)), "{knobs:?}");
    }
    scene.app.set_knobs(Knobs { items: Some(ITEMS_MAX + 1), ..off });
    assert_eq!(scene.ask(&[Part::Weights]).await, Err(PhrAppError::Malformed("too many items")));
    scene.app.set_knobs(Knobs { items: Some(ITEMS_MAX), ..off });
    assert_eq!(scene.ask(&[Part::Weights]).await.unwrap().unwrap().resources.len(), ITEMS_MAX);
    scene.app.set_knobs(off);
    for wrong in [json!({"weights": {"id": "w"}}), json!({"weights": [{"id": "w", "value": "61.5"}]})] {
        scene.app.put(USER, wrong.as_object().unwrap().clone());
        assert!(matches!(scene.ask(&Part::ALL).await, Err(PhrAppError::Malformed(_))), "{wrong}");
    }
}

#[tokio::test]
async fn wrong_units_and_impossible_values_are_left_out_and_the_rest_stands() {
    let scene = Scene::new().await;
    let whole = scene.with(Knobs::default()).await.unwrap().unwrap();
    for (knobs, why, gone) in [
        (Knobs { wrong_units: true, ..Knobs::default() }, Why::Unit, 14),
        (Knobs { lost_point: true, ..Knobs::default() }, Why::Impossible, 7),
    ] {
        let mapped = scene.with(knobs).await.unwrap().unwrap();
        assert_eq!(mapped.unmapped.len(), gone);
        assert!(mapped.unmapped.iter().all(|u| u.why == why && u.record_left_out));
        assert_eq!(mapped.resources.len(), whole.resources.len() - gone);
        assert!(mapped.resources.iter().all(|r| whole.resources.contains(r)));
    }
}

#[tokio::test]
async fn an_app_that_is_slow_dead_or_too_large_is_an_error_in_bounded_time() {
    let scene = Scene::new().await;
    let quick = scene.client(Limits { connect_ms: 2_000, total_ms: 300, body_bytes_max: 1 << 20 });
    let faults = |faults| Knobs { faults, ..Knobs::default() };
    let damaged = |damage| faults(Faults { damage, ..Faults::default() });
    for (knobs, error) in [
        (faults(Faults { hang: true, ..Faults::default() }), PhrAppError::Upstream(HttpError::TimedOut)),
        (damaged(Damage::StallHalfWay), PhrAppError::Upstream(HttpError::TimedOut)),
        (damaged(Damage::DieHalfWay), PhrAppError::Upstream(HttpError::Broken)),
        (damaged(Damage::WrongLength), PhrAppError::Upstream(HttpError::Broken)),
        (faults(Faults { status: Some(500), ..Faults::default() }), PhrAppError::Refused(500)),
        (faults(Faults { status: Some(404), ..Faults::default() }), PhrAppError::Refused(404)),
        (faults(Faults { status: Some(403), ..Faults::default() }), PhrAppError::Refused(403)),
        (Knobs { pad_to_bytes: Some(50 << 20), ..Knobs::default() }, PhrAppError::Upstream(HttpError::TooLarge)),
    ] {
        scene.app.set_knobs(knobs);
        let client = if error == PhrAppError::Upstream(HttpError::TimedOut) { &quick } else { &scene.client(LIMITS) };
        assert_eq!(client.records(USER, &Part::ALL, now()).await, Err(error), "{knobs:?}");
    }
    // Without a length it is read as far as the bound.
    scene.app.set_knobs(Knobs { pad_to_bytes: Some(50 << 20), ..damaged(Damage::NoLength) });
    assert_eq!(scene.ask(&Part::ALL).await, Err(PhrAppError::Upstream(HttpError::TooLarge)));
    assert!(scene.with(damaged(Damage::NoLength)).await.unwrap().is_some());
    // Padded up to the bound it is fine.
    assert!(scene.with(Knobs { pad_to_bytes: Some(1 << 20), ..Knobs::default() }).await.unwrap().is_some());
    let client = scene.client(LIMITS);
    drop(scene.app);
    // Its listener goes with its task, soon after.
    let mut dead = client.records(USER, &Part::ALL, now()).await;
    for _ in 0..100 {
        if dead == Err(PhrAppError::Upstream(HttpError::Connect)) {
            break;
        }
        tokio::task::yield_now().await;
        dead = client.records(USER, &Part::ALL, now()).await;
    }
    assert_eq!(dead, Err(PhrAppError::Upstream(HttpError::Connect)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::new().await;
    let options = PhrAppOptions { bind: ([127, 0, 0, 1], 0).into(), tls: scene.world.tls(Some(false)) };
    let elsewhere = PhrAppStandIn::start(options).await.unwrap();
    let knobs = Knobs { redirect_to_port: Some(elsewhere.addr().port()), ..Knobs::default() };
    assert_eq!(scene.with(knobs).await, Err(PhrAppError::Refused(307)));
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn only_over_mutual_tls() {
    let scene = Scene::new().await;
    let nobody = PhrApp::new(scene.world.http(None, LIMITS), scene.app.url());
    assert_eq!(nobody.records(USER, &Part::ALL, now()).await, Err(PhrAppError::Refused(401)));
    let stranger = World::new();
    let of_another_authority = PhrApp::new(stranger.http(Some(&scene.world.client), LIMITS), scene.app.url());
    let refused = of_another_authority.records(USER, &Part::ALL, now()).await;
    assert_eq!(refused, Err(PhrAppError::Upstream(HttpError::Connect)));
}

#[tokio::test]
async fn the_answer_must_say_that_it_is_json() {
    let scene = Scene::new().await;
    for (content_type, is) in [
        ("application/json", true),
        ("Application/JSON; charset=UTF-8", true),
        ("application/json;charset=utf-8", true),
        ("application/json; charset=Shift_JIS", false),
        ("application/json; charset=utf-8; x=y", false),
        ("text/html", false),
        ("text/json", false),
        ("", false),
    ] {
        let answer = scene.with(Knobs { content_type: Some(content_type), ..Knobs::default() }).await;
        assert_eq!(answer.is_ok(), is, "{content_type}");
        assert!(is || answer == Err(PhrAppError::Malformed("content-type")));
    }
}

#[test]
fn errors_carry_no_content() {
    for error in [
        PhrAppError::Upstream(HttpError::Broken),
        PhrAppError::Refused(500),
        PhrAppError::Malformed("weights"),
        PhrAppError::WrongUser,
        PhrAppError::NotAUserId,
        PhrAppError::Config("base_url"),
    ] {
        assert!(!format!("{error} {error:?}").contains(USER));
    }
}
