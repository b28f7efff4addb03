//! A look at the counter, as the person sees it three days later: on the first page, in the list, on its page with the proof.

use sekisho::demo::world::CLERK;
use sekisho_tests::browser::Browser as Http;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::json;
use thirtyfour::By;

use crate::browser::{Browser, Colours, Look};
use crate::citizens::{is_good, press};
use crate::counter::persona;

async fn seen(look: Look, tag: &str) {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let link = json!({"to": {"party": "fuchu-city", "id": "resident-m"}, "evidence": "e", "verified_by": "fuchu-city"});
    town.act(&format!("/people/{}/links", town.people.parents[0]), link).await;
    let mut clerk = Http::new(town.world.browser.clone(), &town.world.url);
    let csrf = clerk.sign_in("/my/sign-in/fuchu-staff", CLERK).await.hidden("csrf");
    clerk.send("/counter/person", &[("csrf", &csrf), ("id", "resident-m"), ("by", "")]).await;
    town.pass_seconds(73 * 3_600);

    let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(look, &[&server]).await;
    let home = format!("{}/my", town.world.url);
    browser.goto(format!("{home}/sign-in/dev")).await.unwrap();
    persona(&browser, &town, town.world.issuer.base_url(), town.mother(), "/my").await;
    let text = async || browser.find(By::Css("main")).await.unwrap().text().await.unwrap();
    let staff = if look.language == "en" { "Staff at the counter" } else { "窓口の職員" };
    for (path, page) in [("", "home-seen"), ("/log", "log-seen")] {
        browser.goto(format!("{home}{path}")).await.unwrap();
        let shown = text().await;
        assert!(shown.contains(staff) && !shown.contains(CLERK), "{shown}");
        is_good(&browser, &format!("{tag}-{page}")).await;
    }
    press(&browser, "a[href*='&at=']").await;
    browser.arrives_at(&format!("{home}/log/ent-")).await;
    assert!(text().await.contains(staff) && browser.find(By::Css("a[href*='/proof?']")).await.is_ok());
    is_good(&browser, &format!("{tag}-line-seen")).await;
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_look_at_the_counter_is_seen_on_a_phone_without_scripts() {
    seen(Look { scripts: false, ..Look::PHONE }, "phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_look_at_the_counter_is_seen_at_a_desk_in_english_in_the_dark() {
    seen(Look { language: "en", colours: Colours::Dark, ..Look::DESK }, "desk-en-dark").await;
}
