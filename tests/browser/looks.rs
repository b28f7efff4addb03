//! From a proposal over its preview to the request to erase, and the channel for notices: on a phone and on a desk, in both
//! languages, by keyboard alone, with scripts off, in each kind of colours, on paper, and with the source down.

use http::Method;
use sekisho::demo::world::APP_CLIENT;
use sekisho_adapters::certs::{Validity, server_config};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::mail::stand_in::MailStandIn;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::town::Town;
use serde_json::{Value, json};
use thirtyfour::prelude::ElementQueryable;
use thirtyfour::{By, Key};

use crate::browser::{Browser, Colours, Look};
use crate::citizens::{is_good, press};
use crate::counter::{persona, write};

/// More presses of Tab than any page here needs.
const TABS_MAX: usize = 80;

/// What is on the page, once the selected is.
async fn says(browser: &Browser, selector: &str) -> String {
    browser.query(By::Css(selector)).first().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    browser.find(By::Css("main")).await.unwrap().text().await.unwrap()
}

/// Good, and what is typed into or opened is large enough as well.
async fn is_comfortable(browser: &Browser, name: &str) {
    let small = "return [...document.querySelectorAll('main input:not([type=hidden]):not([type=radio]):not([type=checkbox]), \
        main summary, main label.choice')].filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML.slice(0, 120))";
    let small = browser.execute(small, vec![]).await.unwrap();
    assert_eq!(*small.json(), json!([]), "{name}: too small");
    is_good(browser, name).await;
}

/// A town, and a browser with the mother signed in strongly, at this page.
async fn at(town: &Town, look: Look, path: &str) -> Browser {
    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(look, &[&server]).await;
    browser.goto(format!("{}/my/sign-in/dev", town.world.url)).await.unwrap();
    persona(&browser, town, town.world.issuer.base_url(), town.mother(), "/my").await;
    browser.goto(format!("{}{path}", town.world.url)).await.unwrap();
    press(&browser, "a[href*='again=1']").await;
    persona(&browser, town, town.world.issuer.base_url(), town.mother(), path).await;
    browser
}

async fn proposed(town: &Town) -> String {
    let proposal = town.world.propose(town.mother(), &town.in_seconds(20 * 86_400)).await.unwrap();
    proposal["id"].as_str().unwrap().to_owned()
}

/// Names the child, and asks for the preview.
async fn preview(browser: &Browser, town: &Town, id: &str) -> String {
    press(browser, &format!("input[name='subject'][value='{}']", town.child())).await;
    press(browser, "button[formaction$='/preview']").await;
    browser.arrives_at(&format!("{}/my/proposals/{id}/preview", town.world.url)).await;
    says(browser, "#decide").await
}

/// The app's name for the child, and how many items it gets.
async fn app_reads(town: &Town, id: &str) -> (String, u64) {
    let token = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{id}");
    let (_, seen) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
    let patient = seen["patient"].as_str().unwrap().to_owned();
    let items = town.items(&patient).await;
    (patient, items)
}

/// The app answers the request to erase.
async fn app_answers(town: &Town, id: &str, answer: &Value) {
    let token = town.world.app_token(APP_CLIENT).unwrap();
    let path = format!("/v1/erasure-requests/{id}/answer");
    let (status, said) = town.call(&town.world.app_http, Method::POST, &path, &token, Some(answer)).await;
    assert_eq!(status, 200, "{said}");
}

async fn story(look: Look, tag: &str) {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let t = |ja, en| if look.language == "en" { en } else { ja };
    let name = |page: &str| format!("looks-{tag}-{page}");
    let home = format!("{}/my", town.world.url);
    let browser = at(&town, look, &format!("/my/proposals/{id}")).await;
    is_comfortable(&browser, &name("proposal")).await;
    let shown = preview(&browser, &town, &id).await;
    assert!(shown.contains(t("まだ、だれにも渡していません", "Nothing has been passed on")), "{shown}");
    let items = browser.find_all(By::Css("main article.item")).await.unwrap().len();
    assert!(items > 0, "{shown}");
    is_comfortable(&browser, &name("preview")).await;
    browser.is_printable(&name("preview-printed")).await;
    press(&browser, "form[action$='/preview'] button").await;
    says(&browser, "main a[rel='noreferrer']").await;
    is_comfortable(&browser, &name("preview-sign-in")).await;
    press(&browser, "form[action$='/agree'] button").await;
    browser.arrives_at(&format!("{home}/proposals/{id}/agree")).await;
    let (patient, went) = app_reads(&town, &id).await;
    assert_eq!(went, u64::try_from(items).unwrap(), "what was shown is what goes");

    browser.goto(format!("{home}/log?about={}", town.child())).await.unwrap();
    assert!(says(&browser, "article").await.contains(t("よつば母子手帳アプリ", "Yotsuba PHR app")));
    is_comfortable(&browser, &name("log")).await;
    let newer =
        |text: String| text.replace("撤回しても不利益はありません。", "").replacen("\"2026-04\"", "\"2026-12\"", 1);
    town.reload_with(newer).await.unwrap();
    browser.goto(&home).await.unwrap();
    assert!(says(&browser, "#notices").await.contains(t("文面が新しくなった同意", "text has changed")));
    is_comfortable(&browser, &name("home-notices")).await;
    browser.goto(format!("{home}/consents/{id}")).await.unwrap();
    says(&browser, ".notice").await;
    is_comfortable(&browser, &name("consent-newer")).await;

    press(&browser, "a.stop").await;
    press(&browser, "button.stop").await;
    let stopped = says(&browser, ".big").await;
    assert!(stopped.contains(t("消去のお願い", "Request to erase")), "{stopped}");
    is_comfortable(&browser, &name("stopped")).await;
    assert!(browser.find(By::Css("details.receipt")).await.is_ok(), "a receipt, folded away");
    browser.is_printable(&name("stopped-printed")).await;
    assert_eq!(town.items(&patient).await, 0);
    app_answers(&town, &id, &json!({"answer": "kept", "law": "医師法24条（5年）"})).await;
    browser.goto(format!("{home}/consents/{id}")).await.unwrap();
    assert!(says(&browser, "h1").await.contains("医師法24条（5年）"));
    is_comfortable(&browser, &name("consent-answered")).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_on_a_phone_without_scripts() {
    story(Look { scripts: false, ..Look::PHONE }, "phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_on_a_phone_in_english_in_the_dark() {
    story(Look { language: "en", colours: Colours::Dark, ..Look::PHONE }, "phone-en-dark").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_at_a_desk() {
    story(Look::DESK, "desk-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_at_a_desk_in_english_without_scripts() {
    story(Look { language: "en", scripts: false, ..Look::DESK }, "desk-en").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_with_the_source_down() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let browser = at(&town, Look::PHONE, &format!("/my/proposals/{id}")).await;
    let broken = Faults { status: Some(500), ..Faults::default() };
    town.world.city.set_knobs(Knobs { faults: broken, ..Knobs::default() });
    let shown = preview(&browser, &town, &id).await;
    assert!(shown.contains("いまは、提供元に確かめることができません"), "{shown}");
    is_comfortable(&browser, "looks-phone-ja-preview-down").await;
    town.world.city.set_knobs(Knobs::default());
    press(&browser, "form[action$='/agree'] button").await;
    browser.arrives_at(&format!("{}/my/proposals/{id}/agree", town.world.url)).await;
    assert!(app_reads(&town, &id).await.1 > 0, "nobody is kept from deciding");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_with_nothing_there() {
    let town = Town::open().await;
    // Nothing is as new as tomorrow.
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    let proposal = json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(20 * 86_400),
        "text_hash": text["text_hash"], "data_from": &town.in_seconds(86_400)[..10],
    });
    let (status, proposal) =
        town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{proposal}");
    let id = proposal["id"].as_str().unwrap();
    let browser = at(&town, Look::PHONE, &format!("/my/proposals/{id}")).await;
    let shown = preview(&browser, &town, id).await;
    assert!(shown.contains("渡る記録はありません"), "{shown}");
    is_comfortable(&browser, "looks-phone-ja-preview-nothing").await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_of_what_no_route_leads_to() {
    let town = Town::open().await;
    // A clinic that holds records, and that nothing here asks for them.
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    let proposal = json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(20 * 86_400),
        "text_hash": text["text_hash"], "source": "midori-clinic",
    });
    let (status, proposal) =
        town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{proposal}");
    let id = proposal["id"].as_str().unwrap();
    let browser = at(&town, Look::PHONE, &format!("/my/proposals/{id}")).await;
    let before = town.world.city.requests();
    let shown = preview(&browser, &town, id).await;
    assert!(shown.contains("この同意で渡る情報はありません"), "{shown}");
    assert_eq!(town.world.city.requests(), before, "nobody was asked");
    is_comfortable(&browser, "looks-phone-ja-preview-no-route").await;
    town.gateway.stop().await;
}

/// Tab until what this selects has the focus, and the focus shows.
async fn tab_to(browser: &Browser, selector: &str) {
    let there = format!("return document.activeElement.matches(\"{selector}\")");
    for _ in 0..TABS_MAX {
        browser.action_chain().send_keys(Key::Tab + "").perform().await.unwrap();
        if browser.execute(&there, vec![]).await.unwrap().json().as_bool() == Some(true) {
            let ring = "return parseFloat(getComputedStyle(document.activeElement).outlineWidth)";
            let ring = browser.execute(ring, vec![]).await.unwrap();
            assert!(ring.json().as_f64().unwrap() >= 4.0, "{selector}: no ring around what has the focus");
            return;
        }
    }
    panic!("the keyboard does not get to {selector}");
}

async fn key(browser: &Browser, key: Key) {
    browser.action_chain().send_keys(key + "").perform().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_preview_and_a_consent_by_keyboard_alone() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let look = Look { colours: Colours::Forced, ..Look::PHONE };
    let browser = at(&town, look, &format!("/my/proposals/{id}")).await;
    let page = format!("{}/my/proposals/{id}", town.world.url);
    tab_to(&browser, "input[name='subject']").await;
    key(&browser, Key::Space).await;
    // The arrows choose among those whom it may be about.
    let chosen = format!("return document.querySelector(\"input[value='{}']\").checked", town.child());
    for _ in 0..TABS_MAX {
        if browser.execute(&chosen, vec![]).await.unwrap().json().as_bool() == Some(true) {
            break;
        }
        key(&browser, Key::Down).await;
    }
    tab_to(&browser, "button[formaction$='/preview']").await;
    key(&browser, Key::Enter).await;
    browser.arrives_at(&format!("{page}/preview")).await;
    says(&browser, "article.item").await;
    is_comfortable(&browser, "looks-keyboard-preview").await;
    // Past all the items at once.
    tab_to(&browser, "a[href='#decide']").await;
    key(&browser, Key::Enter).await;
    tab_to(&browser, "form[action$='/agree'] button").await;
    browser.screenshot("looks-keyboard-agree").await;
    key(&browser, Key::Enter).await;
    browser.arrives_at(&format!("{page}/agree")).await;
    assert!(app_reads(&town, &id).await.1 > 0);
    town.gateway.stop().await;
}

/// The code in the newest mail.
fn code(mail: &MailStandIn) -> String {
    let taken = mail.taken();
    let data = &taken.last().unwrap().data;
    let body: String = data.rsplit("\n\n").next().unwrap_or_default().split_whitespace().collect();
    let decoded = data_encoding::BASE64.decode(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
    let text = decoded.unwrap_or_else(|_| data.clone());
    text.split_once("Code: ").unwrap_or_else(|| panic!("no code: {text}")).1[..8].to_owned()
}

async fn channel(look: Look, tag: &str) {
    let town = Town::open().await;
    let identity = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    let tls = server_config(identity.chain(), identity.key(), None, false, &[]).unwrap();
    let mail = MailStandIn::start(tls).await.unwrap();
    let port = mail.address().port();
    let section =
        format!("\n[pages.mail]\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\nfrom = \"info@example.test\"\n");
    town.reload_with(|text| text + section.as_str()).await.unwrap();
    let name = |page: &str| format!("looks-{tag}-{page}");
    let browser = at(&town, look, "/my/channel").await;
    is_comfortable(&browser, &name("channel")).await;
    write(&browser, "#address", "haha@example.test").await;
    press(&browser, "input[name='safe']").await;
    press(&browser, "form[action='/my/channel'] button").await;
    says(&browser, "#code").await;
    is_comfortable(&browser, &name("channel-code")).await;
    let digits = code(&mail);
    write(&browser, "#code", if digits == "00000000" { "00000001" } else { "00000000" }).await;
    press(&browser, "form[action='/my/channel/confirm'] button").await;
    says(&browser, ".notice[role='alert']").await;
    is_comfortable(&browser, &name("channel-wrong")).await;
    write(&browser, "#code", &digits).await;
    press(&browser, "form[action='/my/channel/confirm'] button").await;
    assert!(says(&browser, "dl bdi").await.contains("haha@example.test"));
    is_comfortable(&browser, &name("channel-confirmed")).await;
    press(&browser, "form[action='/my/channel/off'] button").await;
    assert!(browser.query(By::Css("form[action='/my/channel/off']")).not_exists().await.unwrap());
    assert!(!says(&browser, "h1").await.contains("haha@example.test"), "forgotten");
    is_comfortable(&browser, &name("channel-off")).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_channel_on_a_phone_without_scripts() {
    channel(Look { scripts: false, ..Look::PHONE }, "phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_channel_at_a_desk_in_english_with_colours_of_her_own() {
    channel(Look { language: "en", colours: Colours::Forced, ..Look::DESK }, "desk-en-forced").await;
}
