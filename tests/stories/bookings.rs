//! Visits that were booked: proposed by an app for a clinic, found by the clinic's own reference, cancelled, moved.

use http::Method;
use sekisho::demo::world::{APP_CLIENT, APP_SCOPE};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

use super::summary::{self, ALL, PURPOSE, UnderWay, opened, opened_on, text};

pub const CLINIC: &str = "midori-clinic";

/// What the app proposes for the clinic, for a visit in so many seconds.
async fn proposal(town: &Town, reference: &str, seconds: i64) -> Value {
    json!({
        "recipient": CLINIC, "purpose": PURPOSE, "categories": ALL, "text_hash": text(town).await,
        "booking": {"reference": reference, "visit_at": town.in_seconds(seconds)},
    })
}

async fn proposed(town: &Town, proposal: &Value) -> (u16, Value) {
    let token = town.world.app_token(town.mother()).unwrap();
    town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(proposal)).await
}

/// A consent for a visit in an hour, by way of the app.
pub async fn booked(town: &Town, reference: &str, subject: &str) -> String {
    booked_in(town, reference, subject, 3_600).await
}

/// The same, for a visit in so many seconds.
pub async fn booked_in(town: &Town, reference: &str, subject: &str, seconds: i64) -> String {
    let (status, made) = proposed(town, &proposal(town, reference, seconds).await).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    agree(town, &id, subject).await;
    id
}

/// The mother agrees.
async fn agree(town: &Town, id: &str, subject: &str) {
    let approval = json!({"subject": subject, "text_hash": text(town).await});
    let path = format!("/v1/consents/{id}/approve");
    let (status, approved) = town.person(Method::POST, &path, town.mother(), Some(&approval)).await;
    assert_eq!(status, 200, "{approved}");
}

/// The clinic's machine.
pub async fn clinic(town: &Town, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let token = town.world.clinic_token().unwrap();
    town.call(&town.world.clinic_http, method, path, &token, body).await
}

pub async fn find(town: &Town, reference: &str) -> (u16, Value) {
    clinic(town, Method::GET, &format!("/v1/bookings/{reference}"), None).await
}

/// The app's own token, or its user's.
fn app_token(town: &Town, sub: &str) -> String {
    let mut request = MintRequest::new(sub, APP_CLIENT, &town.world.url);
    (request.cert_thumbprint, request.scope) = (Some(town.world.app.thumbprint()), APP_SCOPE.to_owned());
    town.world.token(request).unwrap()
}

async fn app(town: &Town, sub: &str, path: &str, body: &Value) -> (u16, Value) {
    let token = app_token(town, sub);
    town.call(&town.world.app_http, Method::POST, path, &token, Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_proposes_for_a_visit_and_receives_nothing_itself() {
    let town = opened(|text| text).await;
    let (status, made) = proposed(&town, &proposal(&town, "Y-17", 3_600).await).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["until"], json!(until_of(&made)), "24 hours after the visit");
    let of_consent = format!("/v1/consents/{id}");
    assert_eq!(clinic(&town, Method::GET, &of_consent, None).await.0, 404, "nobody has agreed to it yet");
    assert_eq!(find(&town, "Y-17").await.0, 404);
    agree(&town, id, town.child()).await;
    let (status, found) = find(&town, "Y-17").await;
    assert_eq!((status, &found["consent"], &found["visit_at"]), (200, &json!(id), &made["booking"]["visit_at"]));
    let patient = found["patient"].as_str().unwrap();
    assert!(summary::summary(&town, patient).await.to_string().contains("yotsuba-phr"));
    let token = town.world.app_token(town.mother()).unwrap();
    let (status, seen) = town.call(&town.world.app_http, Method::GET, &of_consent, &token, None).await;
    let expected = json!({
        "id": id, "status": "active", "recipient": CLINIC, "purpose": PURPOSE, "booking": made["booking"],
    });
    assert_eq!((status, seen), (200, expected), "how it stands, and nothing else");
    let path = summary::path(patient);
    assert_eq!(town.call(&town.world.app_http, Method::GET, &path, &token, None).await.0, 404);
    let (_, mine) = town.person(Method::GET, &of_consent, town.mother(), None).await;
    assert_eq!((&mine["recipient"], &mine["booking"]["reference"]), (&json!(CLINIC), &json!("Y-17")));
    town.gateway.stop().await;
}

/// A day after the visit that a proposal is for.
fn until_of(made: &Value) -> String {
    let visit: jiff::Timestamp = made["booking"]["visit_at"].as_str().unwrap().parse().unwrap();
    let end = sekisho_policy::Timestamp::from_millis(visit.as_millisecond() + 86_400_000);
    sekisho::consent::people::rfc3339(end)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terms_of_a_visit_are_the_templates_or_narrower() {
    let town = opened(|text| text).await;
    let good = proposal(&town, "B-1", 3_600).await;
    let bent = |name: &str, value: Value| {
        let mut bent = good.clone();
        bent[name] = value;
        bent
    };
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("booking");
    let later = bent("until", json!(town.in_seconds(3_600 + 86_401)));
    let visit = |reference: &str| json!({"reference": reference, "visit_at": town.in_seconds(60)});
    for (what, field, body) in [
        ("no booking", "until", without.clone()),
        ("no booking, an end", "booking", {
            without["until"] = json!(town.in_seconds(60));
            without
        }),
        ("an end after the template's", "until", later),
        ("another kind of recipient", "purpose", bent("recipient", json!("fuchu-city"))),
        ("no party", "purpose", bent("recipient", json!("nobody"))),
        ("a space", "booking", bent("booking", visit("B 1"))),
        ("a slash", "booking", bent("booking", visit("B/1"))),
        ("nothing", "booking", bent("booking", visit(""))),
        ("too long", "booking", bent("booking", visit(&"B".repeat(65)))),
        ("not ASCII", "booking", bent("booking", visit("予約"))),
        ("no time", "booking", bent("booking", json!({"reference": "B-1", "visit_at": "soon"}))),
        ("long past", "until", bent("booking", json!({"reference": "B-1", "visit_at": town.in_seconds(-90_000)}))),
    ] {
        let (status, problem) = proposed(&town, &body).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{what}: {problem}");
    }
    let (_, problem) = proposed(&town, &bent("booking", visit("123456789018"))).await;
    assert_eq!(problem["code"], "my-number");
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    let view = json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(60), "text_hash": text["text_hash"],
    });
    for (field, value) in [("recipient", json!(CLINIC)), ("booking", visit("B-1"))] {
        let mut body = view.clone();
        body[field] = value;
        let (status, problem) = proposed(&town, &body).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "only for visits: {problem}");
    }
    let (status, made) = proposed(&town, &bent("until", json!(town.in_seconds(600)))).await;
    assert_eq!((status, &made["until"].is_string()), (201, &true), "an earlier end");
    town.gateway.stop().await;
}

/// Unknown, withdrawn, expired, refused, blocked, another's: the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_leads_to_nobody_once_its_consent_does_not_count() {
    let town = opened_on(standing_clock(), |text| text).await;
    let nothing = find(&town, "never").await;
    assert_eq!((nothing.0, &nothing.1["code"]), (404, &json!("not-found")));
    let withdrawn = booked(&town, "withdrawn", town.child()).await;
    town.world.revoke(town.mother(), &withdrawn).await.unwrap();
    assert_eq!(find(&town, "withdrawn").await, nothing);
    booked(&town, "B-1", town.child()).await;
    let here = async |what: &str| assert_eq!(find(&town, "B-1").await.0, 200, "{what}");
    here("given").await;
    // To nobody else.
    let token = app_token(&town, APP_CLIENT);
    let other = town.call(&town.world.app_http, Method::GET, "/v1/bookings/B-1", &token, None).await;
    assert_eq!(other, nothing, "another party's reference");
    let (status, problem) =
        town.call(&town.world.app_http, Method::GET, "/v1/bookings/B-1", &app_token(&town, town.mother()), None).await;
    assert_eq!((status, &problem["code"]), (403, &json!("machine-needed")));
    assert_eq!(find(&town, "b-1").await, nothing);
    assert_eq!(find(&town, "B%2D1").await, nothing, "there is one spelling");
    let (_, refused) = town.refuse(town.mother(), json!({"recipient": CLINIC})).await;
    assert_eq!(find(&town, "B-1").await, nothing, "refused");
    let lift = format!("/v1/refusals/{}/lift", refused["summary"]["about"].as_str().unwrap());
    town.person(Method::POST, &lift, town.mother(), None).await;
    here("lifted").await;
    let path = format!("/people/{}/blocks", town.child());
    let block = town.act(&path, json!({"party": CLINIC, "evidence": "支援措置"})).await;
    assert_eq!(find(&town, "B-1").await, nothing, "blocked");
    town.act(&format!("{path}/{}/end", block["block"].as_str().unwrap()), json!({})).await;
    town.pass_seconds(1);
    here("not blocked any more").await;
    let town = town.restart().await;
    assert_eq!(find(&town, "B-1").await.0, 200, "after a restart");
    town.pass_seconds(3_600 + 86_400);
    assert_eq!(find(&town, "B-1").await, nothing, "expired");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_under_one_booking_are_not_told_apart() {
    let town = opened(|text| text).await;
    booked(&town, "B-1", town.child()).await;
    let mother = booked(&town, "B-1", &town.people.parents[0]).await;
    let (status, problem) = find(&town, "B-1").await;
    assert_eq!((status, &problem["code"]), (409, &json!("booking-ambiguous")));
    let moved = json!({"visit_at": town.in_seconds(60)});
    assert_eq!(clinic(&town, Method::POST, "/v1/bookings/B-1/moved", Some(&moved)).await.0, 409);
    town.world.revoke(town.mother(), &mother).await.unwrap();
    assert_eq!(find(&town, "B-1").await.0, 200, "one is left");
    // The same person again: the newer takes the place of the older.
    let again = booked(&town, "B-1", town.child()).await;
    assert_eq!(find(&town, "B-1").await.1["consent"], json!(again));
    // Another visit is another consent: neither ends the other.
    booked(&town, "B-2", town.child()).await;
    assert_eq!((find(&town, "B-1").await.0, find(&town, "B-2").await.0), (200, 200));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_visit_ends_the_consents_for_it() {
    let town = opened(|text| text).await;
    let id = booked(&town, "B-1", town.child()).await;
    let (_, other) = (booked(&town, "B-2", town.child()).await, booked(&town, "B-3", town.child()).await);
    let patient = find(&town, "B-1").await.1["patient"].as_str().unwrap().to_owned();
    let (status, ended) = clinic(&town, Method::POST, "/v1/bookings/B-1/cancelled", None).await;
    assert_eq!((status, ended["ended"].as_array().unwrap().len()), (200, 1), "{ended}");
    let summary = &ended["ended"][0]["summary"];
    assert_eq!(
        (&summary["event"], &summary["about"], &summary["asked_to_erase"]),
        (&json!("revoked"), &json!(id), &json!([CLINIC]))
    );
    let again = clinic(&town, Method::POST, "/v1/bookings/B-1/cancelled", None).await.1;
    assert_eq!(again["ended"][0]["summary"]["entry"], summary["entry"], "acknowledged again, not ended again");
    assert_eq!(find(&town, "B-1").await.0, 404);
    summary::summary(&town, &patient).await;
    // The app that proposed: its own machine, or with the user who agreed.
    let here = json!({"recipient": CLINIC});
    let cancelled = "/v1/bookings/B-2/cancelled";
    assert_eq!(app(&town, APP_CLIENT, cancelled, &json!({})).await.0, 404, "nothing was booked with the app");
    assert_eq!(app(&town, town.father(), cancelled, &here).await.0, 404, "another user of the app");
    assert_eq!(app(&town, town.mother(), cancelled, &here).await.0, 200);
    assert_eq!(app(&town, APP_CLIENT, "/v1/bookings/B-3/cancelled", &here).await.0, 200);
    assert_eq!(app(&town, APP_CLIENT, "/v1/bookings/never/cancelled", &here).await.0, 404);
    assert_eq!(summary::ask(&town, &patient).await.status.as_u16(), 404);
    let (_, mine) = town.person(Method::GET, &format!("/v1/consents/{other}"), town.mother(), None).await;
    assert_eq!(mine["status"], "revoked");
    // What the clinic proposed itself is nothing to the app.
    let (status, own) = summary::propose(&town, &ALL, None).await;
    assert_eq!(status, 201, "{own}");
    agree(&town, own["id"].as_str().unwrap(), town.child()).await;
    assert_eq!(app(&town, APP_CLIENT, "/v1/bookings/B-1/cancelled", &here).await.0, 200, "its own, again");
    assert_eq!(find(&town, "B-1").await.0, 200, "the clinic's stands");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_that_moves_never_lets_a_consent_last_longer() {
    let town = opened_on(standing_clock(), |text| text).await;
    let id = booked(&town, "B-1", town.child()).await;
    let moved = async |seconds: i64| {
        let body = json!({"visit_at": town.in_seconds(seconds)});
        let (status, moved) = clinic(&town, Method::POST, "/v1/bookings/B-1/moved", Some(&body)).await;
        assert_eq!(status, 200, "{moved}");
        let mine = town.person(Method::GET, &format!("/v1/consents/{id}"), town.mother(), None).await.1;
        assert_eq!(find(&town, "B-1").await.1["visit_at"], body["visit_at"], "what the clinic is told");
        assert_eq!((&mine["booking"]["visit_at"], &mine["until"]), (&body["visit_at"], &moved["moved"][0]["until"]));
        (mine["until"].as_str().unwrap().to_owned(), moved["moved"][0]["new_consent_needed"].as_bool().unwrap())
    };
    assert_eq!(moved(7_200).await, (town.in_seconds(3_600 + 86_400), true), "later: as it was agreed");
    assert_eq!(moved(1_800).await, (town.in_seconds(1_800 + 86_400), false), "earlier: it ends earlier");
    assert_eq!(moved(1_800).await, (town.in_seconds(1_800 + 86_400), false), "again");
    assert_eq!(moved(3_000).await, (town.in_seconds(1_800 + 86_400), false), "and never later again");
    let bad = |body: Value| clinic_post(&town, body);
    assert_eq!(bad(json!({"visit_at": town.in_seconds(-1)})).await, 422);
    assert_eq!(bad(json!({"visit_at": "soon"})).await, 422);
    assert_eq!(bad(json!({})).await, 400);
    let here = json!({"recipient": CLINIC, "visit_at": town.in_seconds(60)});
    assert_eq!(app(&town, town.father(), "/v1/bookings/B-1/moved", &here).await.0, 404);
    assert_eq!(app(&town, APP_CLIENT, "/v1/bookings/B-1/moved", &here).await.0, 200, "who proposed");
    let town = town.restart().await;
    assert_eq!(find(&town, "B-1").await.1["visit_at"], here["visit_at"]);
    town.pass_seconds(60 + 86_400);
    assert_eq!(find(&town, "B-1").await.0, 404, "the day after the visit, as it was moved");
    town.gateway.stop().await;
}

async fn clinic_post(town: &Town, body: Value) -> u16 {
    clinic(town, Method::POST, "/v1/bookings/B-1/moved", Some(&body)).await.0
}

/// A document under way ends when the visit's new time ends it, not the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_visit_that_moves_while_a_document_is_under_way_cuts_it_at_its_new_end() {
    let clock = standing_clock();
    let bend = |text: String| text.replace("visit_hours_after = 24", "visit_hours_after = 0");
    let town = opened_on(clock.clone(), bend).await;
    town.world.city.set_knobs(Knobs { entries: Some(480), ..Knobs::default() });
    booked(&town, "B-1", town.child()).await;
    let patient = find(&town, "B-1").await.1["patient"].as_str().unwrap().to_owned();
    let under_way = UnderWay::begun(&town, &patient).await;
    assert_eq!(clinic_post(&town, json!({"visit_at": town.in_seconds(30)})).await, 200);
    assert_eq!(town.newest_decision().await["outcome"], "under-way", "it is still covered");
    town.pass_seconds(30);
    assert_eq!(town.newest_outcome().await, "cut");
    under_way.ends_cut("moved").await;
    town.gateway.stop().await;
}
