//! Less than what was proposed: fewer categories, an earlier end. Never more, and never without what must be part of it.

use http::{Method, StatusCode};
use sekisho_tests::town::Town;
use serde_json::{Value, json};

use super::pages::signed_in;
use super::summary::{self, opened};

const PROPOSED: [&str; 4] = ["identity@1", "allergy@1", "body-weight@1", "vaccination@1"];

async fn proposed(town: &Town) -> Value {
    let (status, proposed) = summary::propose(town, &PROPOSED, None).await;
    assert_eq!(status, 201, "{proposed}");
    proposed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_agreed_to_is_never_wider_than_what_was_proposed() {
    let town = opened(|text| text).await;
    let made = proposed(&town).await;
    let path = format!("/v1/consents/{}/approve", made["id"].as_str().unwrap());
    let approve = async |taken: Value| {
        let mut body = json!({"subject": town.child(), "text_hash": made["text_hash"]});
        body.as_object_mut().unwrap().extend(taken.as_object().unwrap().clone());
        town.person(Method::POST, &path, town.mother(), Some(&body)).await
    };
    for (what, field, taken) in [
        ("another category", "categories", json!({"categories": ["identity@1", "condition@1"]})),
        ("another version", "categories", json!({"categories": ["identity@1", "allergy@2"]})),
        ("not what is compulsory", "categories", json!({"categories": ["allergy@1"]})),
        ("nothing", "categories", json!({"categories": []})),
        ("a later end", "until", json!({"until": town.in_seconds(86_500)})),
        ("a past end", "until", json!({"until": town.in_seconds(-1)})),
        ("no time", "until", json!({"until": "soon"})),
    ] {
        let (status, problem) = approve(taken).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{what}: {problem}");
    }
    let until = town.in_seconds(3_600);
    let (status, agreed) = approve(json!({"categories": ["vaccination@1", "identity@1"], "until": until})).await;
    assert_eq!((status, &agreed["categories"]), (200, &json!(["identity@1", "vaccination@1"])), "{agreed}");
    assert_eq!(agreed["until"], json!(until));
    let patient = summary::patient(&town, made["id"].as_str().unwrap()).await;
    let bundle = summary::summary(&town, &patient).await.to_string();
    assert!(bundle.contains("Immunization") && !bundle.contains("AllergyIntolerance") && !bundle.contains("29463-7"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_page_somebody_takes_out_what_they_like_and_sees_what_is_left() {
    let town = opened(|text| text).await;
    let made = proposed(&town).await;
    let id = made["id"].as_str().unwrap();
    let mut mother = signed_in(&town, town.mother()).await;
    let shown = mother.open(&format!("/my/proposals/{id}")).await;
    let page = mother.sign_in(&shown.link("again=1"), town.mother()).await;
    assert!(page.says("必ず含みます") && !page.says("value=\"identity@1\""), "it can't be taken out: {}", page.text);
    assert_eq!(page.text.matches("name=\"without\"").count(), 3);
    assert!(!page.says(" checked"), "nothing is chosen beforehand");
    let (csrf, text, revision) = (page.hidden("csrf"), page.hidden("text"), page.hidden("revision"));
    let subject = town.child().to_owned();
    let base = [("csrf", csrf.as_str()), ("text", &text), ("revision", &revision), ("subject", &subject)];
    let form = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    let at = |step: &str| format!("/my/proposals/{id}/{step}");
    for wrong in [("until", "2099-01-01T00:00"), ("until", "2001-01-01T00:00"), ("until", "x")] {
        for step in ["preview", "agree"] {
            let again = mother.send(&at(step), &form(&[wrong])).await;
            assert!(
                again.status == StatusCode::CONFLICT && again.says("終わりの日時を確かめて"),
                "{wrong:?} {}",
                again.text
            );
        }
    }
    let bare = [("without", "identity@1"), ("without", "allergy@1")];
    assert!(mother.send(&at("agree"), &form(&bare)).await.says("渡す情報が足りません"));
    // What comes back is as it was chosen, and what is shown is what would go.
    let less = [("without", "allergy@1"), ("without", "body-weight@1")];
    let shown = mother.send(&at("preview"), &form(&less)).await;
    assert!(
        shown.says("name=\"without\" value=\"allergy@1\"") && !shown.says("value=\"vaccination@1\""),
        "{}",
        shown.text
    );
    let main = shown.text.split("<main").nth(1).unwrap().split("id=\"decide\"").next().unwrap();
    assert!(main.contains("予防接種") && !main.contains("アレルギー") && !main.contains("体重"), "{main}");
    let agreed = mother.send(&at("agree"), &form(&less)).await;
    assert!(agreed.says("同意しました") && !agreed.says("アレルギー"), "{}", agreed.text);
    let (_, kept) = town.person(Method::GET, &format!("/v1/consents/{id}"), town.mother(), None).await;
    assert_eq!(kept["categories"], json!(["identity@1", "vaccination@1"]));
    let patient = summary::patient(&town, id).await;
    let bundle = summary::summary(&town, &patient).await.to_string();
    assert!(bundle.contains("Immunization") && !bundle.contains("AllergyIntolerance") && !bundle.contains("29463-7"));
    town.gateway.stop().await;
}
