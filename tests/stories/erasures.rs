//! Requests to erase (消去のお願い): made with each withdrawal, answered by the recipient, shown to the person.

use http::Method;
use sekisho::demo::world::APP_CLIENT;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

use super::bookings::{booked, clinic};
use super::forward::{asked, delivered, kept, nothing_waits, opened, tried};
use super::pages::signed_in;
use super::summary::{ALL, grant};

/// A call by the app's own system, or by whoever `sub` is.
async fn by(town: &Town, sub: &str, method: Method, path: &str, json: Option<&Value>) -> (u16, Value) {
    let token = town.world.app_token(sub).unwrap();
    town.call(&town.world.app_http, method, path, &token, json).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_is_asked_to_erase_and_its_answer_is_shown() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let open = "/v1/erasure-requests";
    let (status, none) = by(&town, APP_CLIENT, Method::GET, open, None).await;
    assert_eq!((status, none["items"].as_array().unwrap().len()), (200, 0), "{none}");
    let mut mother = signed_in(&town, town.mother()).await;
    let ask = mother.open(&format!("/my/consents/{consent}/stop")).await;
    let stopped = mother.send(&format!("/my/consents/{consent}/stop"), &[("csrf", &ask.hidden("csrf"))]).await;
    assert!(stopped.says("消去のお願い") && stopped.says("返事を待っています"), "{}", stopped.text);

    let (_, asked) = by(&town, APP_CLIENT, Method::GET, open, None).await;
    let one = &asked["items"][0];
    assert_eq!((&one["consent"], &one["patient"]), (&json!(consent), &json!(patient)), "{asked}");
    let path = format!("{open}/{consent}/answer");
    let wrong = [
        json!({"answer": "burnt"}),
        json!({"answer": "kept"}),
        json!({"answer": "kept", "law": " "}),
        json!({"answer": "kept", "law": "法".repeat(201)}),
        json!({"answer": "erased", "law": "医師法24条"}),
    ];
    for answer in wrong {
        let (status, problem) = by(&town, APP_CLIENT, Method::POST, &path, Some(&answer)).await;
        assert_eq!((status, problem["type"].as_str().unwrap().ends_with("bad-field")), (422, true), "{answer}");
    }
    let kept = json!({"answer": "kept", "law": "医師法24条（5年）"});
    for _ in 0..3 {
        let (status, said) = by(&town, APP_CLIENT, Method::POST, &path, Some(&kept)).await;
        assert_eq!((status, &said["answer"]), (200, &json!("kept")), "{said}");
    }
    let (_, left) = by(&town, APP_CLIENT, Method::GET, open, None).await;
    assert_eq!(left["items"], json!([]), "it is answered");
    let page = mother.open(&format!("/my/consents/{consent}")).await;
    assert!(page.says("法令により保存するとの返事がありました：医師法24条（5年）"), "{}", page.text);
    // Erased in the end; and it stays so after a restart.
    by(&town, APP_CLIENT, Method::POST, &path, Some(&json!({"answer": "erased"}))).await;
    let town = town.restart().await;
    let mut mother = signed_in(&town, town.mother()).await;
    let page = mother.open(&format!("/my/consents/{consent}")).await;
    assert!(page.says("消去したとの返事がありました"), "{}", page.text);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_another() {
    let town = Town::open().await;
    let (consent, _) = town.consent().await;
    let path = format!("/v1/erasure-requests/{consent}/answer");
    let erased = json!({"answer": "erased"});
    let (status, _) = by(&town, APP_CLIENT, Method::POST, &path, Some(&erased)).await;
    assert_eq!(status, 404, "nothing was withdrawn");
    town.world.revoke(town.mother(), &consent).await.unwrap();
    // A user of the app is not the organisation.
    let (status, problem) = by(&town, town.mother(), Method::POST, &path, Some(&erased)).await;
    assert_eq!((status, problem["type"].as_str().unwrap().ends_with("machine-needed")), (403, true), "{problem}");
    let (status, _) = by(&town, town.mother(), Method::GET, "/v1/erasure-requests", None).await;
    assert_eq!(status, 403);
    // Nor is another party, which also sees none of it.
    let clinic = town.world.clinic_token().unwrap();
    let (status, _) = town.call(&town.world.clinic_http, Method::POST, &path, &clinic, Some(&erased)).await;
    assert_eq!(status, 404);
    let (_, theirs) = town.call(&town.world.clinic_http, Method::GET, "/v1/erasure-requests", &clinic, None).await;
    assert_eq!(theirs["items"], json!([]));
    let (_, open) = by(&town, APP_CLIENT, Method::GET, "/v1/erasure-requests", None).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 1, "it still waits");
    town.gateway.stop().await;
}

/// Whoever has had a delivery is told that it is asked to erase: which consent, and nothing else. Tried again like a delivery, also
/// over a restart, and taken once.
#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_that_has_had_a_delivery_is_told_of_the_request() {
    let town = opened(standing_clock()).await;
    let (consent, patient) = grant(&town, &ALL, None).await;
    asked(&town, &consent).await;
    town.world.inbox.has_taken(1).await;
    nothing_waits(&town).await;
    town.world.inbox.answer_with(Some(503));
    town.world.revoke(town.mother(), &consent).await.unwrap();
    assert_eq!(kept(&town).len(), 1, "it waits durably before the withdrawal is acknowledged");
    let resting = tried(&town, 1).await;
    let town = town.restart().await;
    assert_eq!(kept(&town), [resting]);
    town.world.inbox.answer_with(None);
    town.clock.set(resting.next);
    town.world.inbox.has_taken(2).await;
    nothing_waits(&town).await;
    let taken = town.world.inbox.received().pop().unwrap();
    let said = delivered(&town, &taken);
    assert_eq!((taken.id(), &said["type"]), (consent.as_str(), &json!("erasure.requested")));
    assert_eq!(said["data"], json!({"consent": consent}), "and nothing else");
    let fields: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 3, "{fields:?}");
    assert!(!said.to_string().contains(&patient) && !taken.headers.contains_key("authorization"));
    // Told, it has not answered: it does so as ever, and the person sees it.
    let (_, open) = clinic(&town, Method::GET, "/v1/erasure-requests", None).await;
    assert_eq!(open["items"][0]["consent"], json!(consent), "{open}");
    let path = format!("/v1/erasure-requests/{consent}/answer");
    assert_eq!(clinic(&town, Method::POST, &path, Some(&json!({"answer": "erased"}))).await.0, 200);
    let page = signed_in(&town, town.mother()).await.open(&format!("/my/consents/{consent}")).await;
    assert!(page.says("消去したとの返事がありました"), "{}", page.text);
    town.gateway.stop().await;
}

/// Nobody is told who has had nothing, who has answered already, or for ever.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_in_vain() {
    let town = opened(standing_clock()).await;
    let inbox = &town.world.inbox;
    let (nothing, _) = grant(&town, &ALL, None).await;
    town.world.revoke(town.mother(), &nothing).await.unwrap();
    assert!(kept(&town).is_empty() && inbox.asked() == 0, "it has had nothing");
    for way in ["answered", "too long ago"] {
        let before = inbox.asked();
        let consent = booked(&town, "Y-1", town.child()).await;
        inbox.answer_with(None);
        asked(&town, &consent).await;
        inbox.was_asked(before + 1).await;
        nothing_waits(&town).await;
        inbox.answer_with(Some(503));
        // By the clinic's own word this time.
        let cancelled = clinic(&town, Method::POST, "/v1/bookings/Y-1/cancelled", None).await;
        assert_eq!(cancelled.0, 200, "{}", cancelled.1);
        let resting = tried(&town, 1).await;
        let asked = inbox.asked();
        if way == "answered" {
            let path = format!("/v1/erasure-requests/{consent}/answer");
            assert_eq!(clinic(&town, Method::POST, &path, Some(&json!({"answer": "nothing-held"}))).await.0, 200);
            town.clock.set(resting.next);
        } else {
            town.pass_seconds(15 * 86_400);
        }
        nothing_waits(&town).await;
        assert_eq!(inbox.asked(), asked, "{way}");
    }
    town.gateway.stop().await;
}
