//! Citizens' pages in a real browser: from sign-in to the proof of a stop, with scripts off, by hand and by keyboard, on a
//! phone and on a desk, in both languages. Each page is judged by axe-core, and kept as a picture.

use std::sync::Arc;

use sekisho_adapters::certs::client_config;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::reader::{Pace, Reader};
use sekisho_tests::town::{Town, history};
use thirtyfour::prelude::ElementQueryable;
use thirtyfour::{By, Key};

use crate::browser::{Browser, Colours, Look};

/// Presses what this selects.
pub async fn press(browser: &Browser, selector: &str) {
    let found = browser.query(By::Css(selector)).first().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    found.click().await.unwrap();
}

async fn text(browser: &Browser) -> String {
    browser.find(By::Css("main")).await.unwrap().text().await.unwrap()
}

/// What every page must be: accessible, as wide as its window, its targets large enough.
pub async fn is_good(browser: &Browser, name: &str) {
    browser.assert_accessible().await;
    let small = "return [...document.querySelectorAll('a, button, select')].filter(e => {
        const r = e.getBoundingClientRect(); return !e.closest('.skip') && !e.matches('.skip') && (r.height < 44 || r.width < 44) })
        .map(e => e.outerHTML.slice(0, 120))";
    let small = browser.execute(small, vec![]).await.unwrap();
    assert_eq!(small.json().as_array().unwrap().len(), 0, "{name}: too small: {}", small.json());
    let state = "return {over: document.documentElement.scrollWidth - innerWidth,
        size: Math.min(...[...document.querySelectorAll('main *')].map(e => parseFloat(getComputedStyle(e).fontSize))),
        smallest: [...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 16).map(e => e.outerHTML.slice(0, 80))}";
    let state = browser.execute(state, vec![]).await.unwrap();
    assert!(state.json()["over"].as_f64().unwrap() <= 0.0, "{name} is wider than its window: {}", state.json());
    assert!(state.json()["size"].as_f64().unwrap_or(16.0) >= 16.0, "{name}: too small a type: {}", state.json());
    browser.screenshot(name).await;
}

async fn sign_in(browser: &Browser, town: &Town, sub: &str) {
    let hint: String = form_urlencoded::byte_serialize(sub.as_bytes()).collect();
    press(browser, &format!("a[href*='login_hint={hint}']")).await;
    browser.arrives_at(&format!("{}/my", town.world.url)).await;
}

async fn whole_story(look: Look, tag: &str) {
    let town = Town::open().await;
    let proposal = town.world.propose(town.mother(), &town.in_seconds(20 * 86_400)).await.unwrap();
    let id = proposal["id"].as_str().unwrap();
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(look, &[&server]).await;
    let home = format!("{}/my", town.world.url);
    let english = look.language == "en";
    browser.goto(&home).await.unwrap();
    is_good(&browser, &format!("{tag}-welcome")).await;
    press(&browser, "a[href='/my/sign-in/dev']").await;
    browser.arrives_at(town.world.issuer.base_url()).await;
    sign_in(&browser, &town, town.mother()).await;
    is_good(&browser, &format!("{tag}-home-waiting")).await;

    press(&browser, &format!("a[href='/my/proposals/{id}']")).await;
    browser.arrives_at(&format!("{home}/proposals/")).await;
    is_good(&browser, &format!("{tag}-proposal-before-step-up")).await;
    press(&browser, "a[href*='again=1']").await;
    browser.arrives_at(town.world.issuer.base_url()).await;
    sign_in(&browser, &town, town.mother()).await;
    is_good(&browser, &format!("{tag}-proposal")).await;
    press(&browser, &format!("input[value='{}']", town.child())).await;
    press(&browser, "form[action$='/agree'] button.quiet").await;
    browser.arrives_at(&format!("{home}/proposals/{id}/agree")).await;
    assert!(text(&browser).await.contains(if english { "You have agreed" } else { "同意しました" }));
    is_good(&browser, &format!("{tag}-agreed")).await;

    let token = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{id}");
    let seen = town.world.json(&town.world.app_http, http::Method::GET, &path, &token, None).await.unwrap();
    let patient = seen["patient"].as_str().unwrap();
    assert!(town.items(patient).await > 0);
    assert_eq!(town.newest_outcome().await, "complete");
    browser.goto(&home).await.unwrap();
    is_good(&browser, &format!("{tag}-home")).await;
    for (path, name) in [
        ("/consents", "consents"),
        ("/log", "log"),
        (&format!("/consents/{id}"), "consent"),
        ("/refusals", "refusals"),
        ("/nothing", "trouble"),
    ] {
        browser.goto(format!("{home}{path}")).await.unwrap();
        is_good(&browser, &format!("{tag}-{name}")).await;
    }
    browser.goto(format!("{home}/log?about={}", town.child())).await.unwrap();
    is_good(&browser, &format!("{tag}-log-of-child")).await;
    press(&browser, "a[href*='&at=']").await;
    browser.arrives_at(&format!("{home}/log/ent-")).await;
    is_good(&browser, &format!("{tag}-line")).await;

    assert!(browser.find(By::Css("a[href*='/proof?']")).await.is_ok(), "the proof can be kept");

    // Two taps from the first page, while the app is reading.
    town.world.city.set_knobs(Knobs { entries: Some(3_000), ..Knobs::default() });
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), &[b"h2"]).unwrap();
    let reader = Reader::connect(town.gateway.address, Arc::new(tls), Some(1 << 24), Some(4_096)).await;
    let reading = tokio::spawn(Arc::clone(&reader).read(Pace::Stalled));
    let host = town.world.url.trim_start_matches("https://").to_owned();
    let stream = reader.ask(&host, &history(patient), &token).await;
    reader.until(stream, |got| got.bytes > 0 || got.is_over()).await;
    browser.goto(&home).await.unwrap();
    press(&browser, "a.stop").await;
    browser.arrives_at(&format!("{home}/consents/{id}/stop")).await;
    is_good(&browser, &format!("{tag}-stop")).await;
    press(&browser, "button.stop").await;
    let stopped = if english { "Stopped on" } else { "に止めました" };
    browser.query(By::Css(".big")).first().await.unwrap();
    let shown = text(&browser).await;
    assert!(shown.contains(stopped), "{shown}");
    assert!(shown.contains(if english { "Transfers cut\n1" } else { "途中で止めた提供\n1件" }), "{shown}");
    reading.abort();
    is_good(&browser, &format!("{tag}-stopped")).await;
    assert_eq!(town.items(patient).await, 0);
    press(&browser, "nav form button").await;
    browser.query(By::Css(format!("a[href^='{}']", town.world.issuer.base_url()))).first().await.unwrap();
    is_good(&browser, &format!("{tag}-signed-out")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_mother_on_a_phone_without_scripts() {
    whole_story(Look { scripts: false, ..Look::PHONE }, "phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_mother_at_a_desk_in_english_in_the_dark() {
    whole_story(Look { language: "en", colours: Colours::Dark, ..Look::DESK }, "desk-en-dark").await;
}

/// The father sees what the mother agreed to for the child, and refuses; of what is her own he finds nothing, before or after.
async fn the_father(look: Look, tag: &str) {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(look, &[&server]).await;
    let home = format!("{}/my", town.world.url);
    browser.goto(format!("{home}/sign-in/dev")).await.unwrap();
    sign_in(&browser, &town, town.father()).await;
    let pages = ["", "/consents", "/log", "/refusals"];
    let mut before = Vec::new();
    for page in pages {
        browser.goto(format!("{home}{page}")).await.unwrap();
        before.push(text(&browser).await);
    }
    let own = town.world.consent(town.mother(), &town.people.parents[0], &town.in_seconds(86_400)).await.unwrap();
    town.items(&own.1).await;
    for (page, before) in pages.iter().zip(before) {
        browser.goto(format!("{home}{page}")).await.unwrap();
        assert_eq!(text(&browser).await, before, "{page}");
    }
    for hers in [format!("/consents/{}", own.0), format!("/log?about={}", town.people.parents[0])] {
        browser.goto(format!("{home}{hers}")).await.unwrap();
        assert!(text(&browser).await.contains("ページが見つかりません"), "{hers}");
    }
    browser.goto(format!("{home}/consents/{consent}")).await.unwrap();
    is_good(&browser, &format!("{tag}-consent")).await;
    press(&browser, "form[action$='/refuse'] button").await;
    browser.arrives_at(&format!("{home}/refusals")).await;
    browser.query(By::Css("article")).first().await.unwrap();
    is_good(&browser, &format!("{tag}-refusals")).await;
    assert_eq!(town.items(&patient).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_father_refuses_and_finds_nothing_of_the_mothers_own_on_a_phone() {
    the_father(Look { scripts: false, ..Look::PHONE }, "father-phone").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_father_refuses_and_finds_nothing_of_the_mothers_own_at_a_desk() {
    the_father(Look::DESK, "father-desk").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_stop_by_keyboard_alone() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(Look { colours: Colours::Forced, ..Look::PHONE }, &[&server]).await;
    let home = format!("{}/my", town.world.url);
    browser.goto(format!("{home}/sign-in/dev")).await.unwrap();
    sign_in(&browser, &town, town.mother()).await;
    // Tab until the button that stops has the focus; Enter; the same again.
    for wanted in ["A", "BUTTON"] {
        let mut tabs = 0;
        loop {
            browser.action_chain().send_keys(Key::Tab + "").perform().await.unwrap();
            let active = browser.active_element().await.unwrap();
            let classes = active.class_name().await.unwrap().unwrap_or_default();
            if classes.contains("stop") && active.tag_name().await.unwrap().to_uppercase() == wanted {
                break;
            }
            tabs += 1;
            assert!(tabs < 60, "the keyboard does not get there");
        }
        browser.screenshot(&format!("keyboard-{}", wanted.to_lowercase())).await;
        browser.action_chain().send_keys(Key::Enter + "").perform().await.unwrap();
        browser.arrives_at(&format!("{home}/consents/")).await;
        let next = if wanted == "A" { "button.stop" } else { ".big" };
        browser.query(By::Css(next)).first().await.unwrap();
    }
    assert!(text(&browser).await.contains("に止めました"));
    assert_eq!(town.items(&patient).await, 0);
}
