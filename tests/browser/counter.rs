//! The counter's pages and the pages of linking in a real browser: each judged by axe-core, and kept as a picture.

use sekisho::demo::world::REGISTRAR;
use sekisho_adapters::identity::stand_in::Lie;
use sekisho_tests::town::Town;
use serde_json::json;
use thirtyfour::By;
use thirtyfour::prelude::ElementQueryable;

use crate::browser::{Browser, Colours, Look};
use crate::citizens::{is_good, press};

/// Types into what this selects.
pub async fn write(browser: &Browser, selector: &str, text: &str) {
    let found = browser.query(By::Css(selector)).first().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    found.send_keys(text).await.unwrap();
}

/// Picks an option by its value, as a press of keys would.
async fn pick(browser: &Browser, select: &str, value: &str) {
    press(browser, &format!("{select} option[value='{value}']")).await;
}

async fn shown(browser: &Browser, heading: &str) {
    for _ in 0..200 {
        let found = browser.query(By::Css("h1")).first().await;
        if let Ok(found) = found
            && found.text().await.is_ok_and(|text| text.contains(heading))
        {
            return;
        }
    }
    panic!("{heading} is not shown: {}", browser.source().await.unwrap());
}

/// Signs in as this person, and comes back.
pub async fn persona(browser: &Browser, town: &Town, issuer: &str, sub: &str, back: &str) {
    browser.arrives_at(issuer).await;
    let hint: String = form_urlencoded::byte_serialize(sub.as_bytes()).collect();
    press(browser, &format!("a[href*='login_hint={hint}']")).await;
    browser.arrives_at(&format!("{}{back}", town.world.url)).await;
}

async fn town() -> (Town, String) {
    let town = Town::open().await;
    for (parent, id) in town.people.parents.iter().zip(["resident-m", "resident-f"]) {
        let link = json!({"to": {"party": "fuchu-city", "id": id}, "evidence": "e", "verified_by": "fuchu-city"});
        town.act(&format!("/people/{parent}/links"), link).await;
    }
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    (town, server)
}

/// Names the child, and the mother as the one who said it.
async fn name_the_child(browser: &Browser, town: &Town) {
    browser.goto(format!("{}/counter", town.world.url)).await.unwrap();
    write(browser, "#id", town.child_at_city()).await;
    write(browser, "#by", "resident-m").await;
    press(browser, "main form button").await;
    browser.arrives_at(&format!("{}/counter/person", town.world.url)).await;
}

/// How it was given, and who checked.
async fn word(browser: &Browser) {
    press(browser, "input[value='paper']").await;
    write(browser, "#evidence", "R8-0123").await;
    write(browser, "#checked_by", "Yamada").await;
}

async fn at_the_counter(look: Look, tag: &str) {
    let (town, server) = town().await;
    let browser = Browser::open(look, &[&server]).await;
    let counter = format!("{}/counter", town.world.url);
    let t = |ja, en| if look.language == "en" { en } else { ja };
    browser.goto(&counter).await.unwrap();
    is_good(&browser, &format!("{tag}-counter-welcome")).await;
    press(&browser, "a[href^='/my/sign-in/fuchu-staff']").await;
    persona(&browser, &town, town.world.staff.base_url(), REGISTRAR, "/counter").await;
    is_good(&browser, &format!("{tag}-counter-home")).await;
    write(&browser, "#id", "resident-x").await;
    press(&browser, "main form button").await;
    browser.query(By::Css(".notice")).first().await.unwrap();
    is_good(&browser, &format!("{tag}-counter-nobody")).await;

    name_the_child(&browser, &town).await;
    is_good(&browser, &format!("{tag}-counter-person")).await;
    pick(&browser, "#use", "phr-view yotsuba-phr").await;
    press(&browser, "form[action='/counter/consent/new'] button").await;
    browser.arrives_at(&format!("{counter}/consent/new")).await;
    is_good(&browser, &format!("{tag}-counter-consent")).await;
    // Nothing chosen: the page says what is wrong, and keeps what was typed.
    press(&browser, "input[value='vaccination@1']").await;
    let until = format!("document.querySelector('#until').value = '{}'", &town.in_seconds(40 * 86_400)[..10]);
    browser.execute(&until, vec![]).await.unwrap();
    word(&browser).await;
    press(&browser, "form[action='/counter/consent'] button").await;
    shown(&browser, t("同意を記録しました", "The consent is recorded")).await;
    is_good(&browser, &format!("{tag}-counter-recorded")).await;
    browser.is_printable(&format!("{tag}-counter-recorded-printed")).await;

    name_the_child(&browser, &town).await;
    is_good(&browser, &format!("{tag}-counter-person-known")).await;
    press(&browser, "form[action='/counter/withdrawal/new'] button").await;
    browser.arrives_at(&format!("{counter}/withdrawal/new")).await;
    is_good(&browser, &format!("{tag}-counter-withdrawal")).await;
    pick(&browser, "#recipient", "yotsuba-phr").await;
    word(&browser).await;
    press(&browser, "form[action='/counter/withdrawal'] button").await;
    shown(&browser, t("提供を止めました", "Stopped")).await;
    is_good(&browser, &format!("{tag}-counter-withdrawn")).await;
    assert!(browser.find(By::Css("details.receipt")).await.is_ok(), "a receipt, folded away");
    browser.is_printable(&format!("{tag}-counter-withdrawn-printed")).await;

    name_the_child(&browser, &town).await;
    press(&browser, "form[action='/counter/refusal/new'] button").await;
    browser.arrives_at(&format!("{counter}/refusal/new")).await;
    is_good(&browser, &format!("{tag}-counter-refusal")).await;
    word(&browser).await;
    press(&browser, "form[action='/counter/refusal'] button").await;
    shown(&browser, t("「同意しない」を記録しました", "The refusal is recorded")).await;
    is_good(&browser, &format!("{tag}-counter-refused")).await;

    browser.goto(&counter).await.unwrap();
    write(&browser, "#id", "resident-m").await;
    press(&browser, "main form button").await;
    press(&browser, "form[action='/counter/code/new'] button").await;
    browser.arrives_at(&format!("{counter}/code/new")).await;
    is_good(&browser, &format!("{tag}-counter-code")).await;
    write(&browser, "#evidence", "R8-0123").await;
    write(&browser, "#checked_by", "Yamada").await;
    press(&browser, "form[action='/counter/code'] button").await;
    browser.query(By::Css(".code code")).first().await.unwrap();
    is_good(&browser, &format!("{tag}-counter-issued")).await;

    browser.goto(format!("{counter}/ask-anew?purpose=phr-view&recipient=midori-clinic")).await.unwrap();
    is_good(&browser, &format!("{tag}-counter-anew")).await;
    browser.goto(format!("{}/my", town.world.url)).await.unwrap();
    is_good(&browser, &format!("{tag}-staff-elsewhere")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_clerk_in_the_dark() {
    at_the_counter(Look { colours: Colours::Dark, ..Look::DESK }, "desk-ja-dark").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_clerk_with_colours_of_their_own() {
    at_the_counter(Look { colours: Colours::Forced, language: "en", ..Look::DESK }, "desk-en-forced").await;
}

/// A new sign-in, its code, the links, and an app's code.
async fn linking(look: Look, tag: &str) {
    let (town, server) = town().await;
    let browser = Browser::open(look, &[&server]).await;
    let home = format!("{}/my", town.world.url);
    town.world.issuer.lie(Some(Lie::Sub("her-second-login".to_owned())));
    browser.goto(format!("{home}/sign-in/dev")).await.unwrap();
    persona(&browser, &town, town.world.issuer.base_url(), town.mother(), "/my").await;
    is_good(&browser, &format!("{tag}-not-linked")).await;
    press(&browser, "main a[href='/my/enrol']").await;
    browser.arrives_at(&format!("{home}/enrol")).await;
    is_good(&browser, &format!("{tag}-enrol-before-step-up")).await;
    press(&browser, "a[href*='again=1']").await;
    persona(&browser, &town, town.world.issuer.base_url(), town.mother(), "/my/enrol").await;
    write(&browser, "#code", "ABCD").await;
    press(&browser, "form[action='/my/enrol'] button").await;
    browser.query(By::Css(".notice")).first().await.unwrap();
    is_good(&browser, &format!("{tag}-enrol-slip")).await;
    let app = town.gateway.app();
    let attestation = sekisho::ledger::event::Attestation {
        party: "fuchu-city".to_owned(),
        way: sekisho::ledger::event::Way::InPerson,
        evidence: "e".to_owned(),
        checked_by: "c".to_owned(),
        recorded_by: REGISTRAR.to_owned(),
        given_ms: 0,
    };
    let mother = sekisho::ids::TextId::parse(&town.people.parents[0]).unwrap();
    let issued = sekisho::consent::codes::issue_enrolment(&app, mother, attestation).await.unwrap();
    write(&browser, "#code", &issued.code.shown()).await;
    press(&browser, "form[action='/my/enrol'] button").await;
    browser.query(By::Css("#consents")).first().await.unwrap();
    let issued = sekisho::consent::codes::issue_link(&app, "yotsuba-phr", "user-1").await.unwrap();
    browser.goto(format!("{home}/links")).await.unwrap();
    is_good(&browser, &format!("{tag}-links")).await;
    press(&browser, &format!("input[type='radio'][value='{}']", town.child())).await;
    write(&browser, "#code", &issued.code.shown()).await;
    press(&browser, "form[action='/my/links'] button").await;
    browser.query(By::XPath("//h2[contains(., 'よつば') or contains(., 'Yotsuba')]")).first().await.unwrap();
    press(&browser, "details summary").await;
    is_good(&browser, &format!("{tag}-links-open")).await;
    press(&browser, "details[open] button").await;
    browser.query(By::Css("[role='status']")).first().await.ok();
    browser.screenshot(&format!("{tag}-link-ended")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_clerk_at_a_desk() {
    at_the_counter(Look::DESK, "desk-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_clerk_with_a_phone_in_english() {
    at_the_counter(Look { language: "en", ..Look::PHONE }, "phone-en").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_new_sign_in_is_linked_on_a_phone() {
    linking(Look::PHONE, "phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_new_sign_in_is_linked_at_a_desk_in_english() {
    linking(Look { language: "en", ..Look::DESK }, "desk-en").await;
}
