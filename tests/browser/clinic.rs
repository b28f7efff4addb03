//! The clinic's pages in a real browser, without scripts: who it is, the one page, on paper too, and what is said when it is not
//! the right person.

use sekisho::demo::world::{DOCTOR, NURSE};
use sekisho_tests::town::Town;
use serde_json::json;
use thirtyfour::By;
use thirtyfour::prelude::ElementQueryable;

use crate::browser::{Browser, Colours, Look};
use crate::citizens::{is_good, press};
use crate::counter::{persona, write};

const ALL: [&str; 8] = [
    "identity@1",
    "condition@1",
    "medication@1",
    "allergy@1",
    "body-weight@1",
    "body-height@1",
    "body-temperature@1",
    "vaccination@1",
];

/// A visit that was booked by way of the app: its proposal, and the text's hash.
async fn proposed(town: &Town) -> (String, serde_json::Value) {
    town.world.link_app(town.child(), &town.family.children[0].person.id).await.unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    let text =
        town.call(&town.world.app_http, http::Method::GET, "/v1/texts/online-consultation", &token, None).await.1;
    let booking = json!({"reference": "Y-17", "visit_at": town.in_seconds(3_600)});
    let proposal = json!({
        "recipient": "midori-clinic", "purpose": "online-consultation", "categories": ALL,
        "text_hash": text["text_hash"], "booking": booking,
    });
    let (status, made) =
        town.call(&town.world.app_http, http::Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{made}");
    (made["id"].as_str().unwrap().to_owned(), text["text_hash"].clone())
}

/// The same, agreed to for the child.
async fn booked(town: &Town) {
    let (id, text) = proposed(town).await;
    let path = format!("/v1/consents/{id}/approve");
    let approval = json!({"subject": town.child(), "text_hash": text});
    assert_eq!(town.person(http::Method::POST, &path, town.mother(), Some(&approval)).await.0, 200);
}

async fn says(browser: &Browser, selector: &str) -> String {
    browser.query(By::Css(selector)).first().await.unwrap().text().await.unwrap()
}

/// How many pages a printer gets of it.
async fn pages_on_paper(browser: &Browser) -> usize {
    let printed = browser.tell("Page.printToPDF", json!({"preferCSSPageSize": true, "printBackground": false})).await;
    let pdf = data_encoding::BASE64.decode(printed["data"].as_str().unwrap().as_bytes()).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    text.matches("/Type /Page").count() - text.matches("/Type /Pages").count()
}

async fn at_the_clinic(look: Look, tag: &str, sub: &str) {
    let town = Town::open().await;
    booked(&town).await;
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(look, &[&server]).await;
    let clinic = format!("{}/clinic", town.world.url);
    browser.goto(&clinic).await.unwrap();
    is_good(&browser, &format!("{tag}-clinic-welcome")).await;
    press(&browser, "a[href^='/my/sign-in/midori-staff']").await;
    persona(&browser, &town, town.world.clinic_staff.base_url(), sub, "/clinic").await;
    is_good(&browser, &format!("{tag}-clinic-home")).await;
    write(&browser, "#reference", "Y-99").await;
    press(&browser, "main form button").await;
    browser.arrives_at(&format!("{clinic}/check")).await;
    assert!(says(&browser, ".notice").await.len() > 20);
    is_good(&browser, &format!("{tag}-clinic-nothing")).await;
    write(&browser, "#reference", "Y-17").await;
    press(&browser, "main form button").await;
    let child = &town.family.children[0].person;
    assert!(says(&browser, ".whose").await.contains(child.family));
    is_good(&browser, &format!("{tag}-clinic-check")).await;
    press(&browser, "form[action='/clinic/summary'] button").await;
    browser.arrives_at(&format!("{clinic}/summary")).await;
    assert!(says(&browser, ".sheet .whose").await.contains(child.family));
    is_good(&browser, &format!("{tag}-clinic-summary")).await;
    browser.is_printable(&format!("{tag}-clinic-summary-printed")).await;
    assert_eq!(pages_on_paper(&browser).await, 1, "{tag}: one page of A4");
    press(&browser, ".sheet form[action='/clinic/not-my-patient'] button").await;
    browser.arrives_at(&format!("{clinic}/not-my-patient")).await;
    assert!(!says(&browser, "main").await.contains(child.family));
    is_good(&browser, &format!("{tag}-clinic-closed")).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_doctor_at_a_desk_without_scripts() {
    at_the_clinic(Look { scripts: false, ..Look::DESK }, "desk-ja", DOCTOR).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_nurse_with_a_phone_in_english_in_the_dark() {
    at_the_clinic(Look { language: "en", colours: Colours::Dark, ..Look::PHONE }, "phone-en-dark", NURSE).await;
}

/// Less than was proposed, chosen without scripts: what is always part of it stays, the rest can be taken out.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_mother_passes_on_less_on_a_phone_without_scripts() {
    let town = Town::open().await;
    let (id, _) = proposed(&town).await;
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(Look { scripts: false, ..Look::PHONE }, &[&server]).await;
    let page = format!("/my/proposals/{id}");
    browser.goto(format!("{}/my/sign-in/dev?again=1&then={page}", town.world.url)).await.unwrap();
    persona(&browser, &town, town.world.issuer.base_url(), town.mother(), &page).await;
    press(&browser, &format!("input[name='subject'][value='{}']", town.child())).await;
    press(&browser, "details.narrow summary").await;
    is_good(&browser, "phone-ja-narrow-open").await;
    press(&browser, "input[name='without'][value='condition@1']").await;
    press(&browser, "button[formaction$='/preview']").await;
    browser.arrives_at(&format!("{}{page}/preview", town.world.url)).await;
    press(&browser, "form[action$='/agree'] button").await;
    browser.arrives_at(&format!("{}{page}/agree", town.world.url)).await;
    let (_, kept) = town.person(http::Method::GET, &format!("/v1/consents/{id}"), town.mother(), None).await;
    assert_eq!(kept["categories"].as_array().unwrap().len(), ALL.len() - 1, "{kept}");
    is_good(&browser, "phone-ja-narrow-agreed").await;
    town.gateway.stop().await;
}
