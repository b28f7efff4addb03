//! Requests to erase (消去のお願い): made with each withdrawal, answered by the recipient, shown to the person.

use http::Method;
use sekisho::demo::world::APP_CLIENT;
use sekisho_tests::town::Town;
use serde_json::{Value, json};

use super::pages::signed_in;

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
