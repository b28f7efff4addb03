//! Turning eighteen in a real browser: on the day before, a guardian's consent and refusal hold; from midnight in Japan the young
//! adult alone sees, is told what ended, is asked anew, and agrees. The town's clock is moved on, nobody waits.

use http::Method;
use sekisho_adapters::identity::stand_in::Lie;
use sekisho_policy::{ADULT_AGE, Timestamp, age_reached_at};
use sekisho_tests::town::{Town, standing_clock};
use serde_json::json;
use thirtyfour::By;
use thirtyfour::prelude::ElementQueryable;

use crate::browser::{Browser, Look};
use crate::citizens::{is_good, press};
use crate::counter::persona;

const DAY_MS: i64 = 86_400_000;

struct Birthday {
    town: Town,
    browser: Browser,
    home: String,
    /// When the child is eighteen.
    at: Timestamp,
    tag: &'static str,
}

impl Birthday {
    async fn open(look: Look, tag: &'static str) -> Self {
        let town = Town::open_with(standing_clock(), |text| text).await;
        let server = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
        let browser = Browser::open(look, &[&server]).await;
        let home = format!("{}/my", town.world.url);
        let at = age_reached_at(town.family.children[0].person.birth, ADULT_AGE);
        Self { town, browser, home, at, tag }
    }

    /// Moves the clock to so long after the birthday began.
    fn pass_to(&self, after_ms: i64) {
        self.town.clock.set(self.at.plus_millis(after_ms));
    }

    /// Signs in as whom the issuer says it is, and comes back to this page.
    async fn sign_in(&self, path: &str, back: &str) {
        self.browser.goto(format!("{}{path}", self.home)).await.unwrap();
        persona(&self.browser, &self.town, self.town.world.issuer.base_url(), self.town.mother(), back).await;
    }

    async fn says(&self, page: &str) -> String {
        self.browser.goto(format!("{}{page}", self.home)).await.unwrap();
        self.browser.find(By::Css("main")).await.unwrap().text().await.unwrap()
    }

    async fn is_good(&self, page: &str) {
        is_good(&self.browser, &format!("{}-{page}", self.tag)).await;
    }

    fn t(&self, ja: &'static str, en: &'static str) -> &'static str {
        if self.browser.look().language == "en" { en } else { ja }
    }
}

async fn turning_eighteen(look: Look, tag: &'static str) {
    let day = Birthday::open(look, tag).await;
    let (town, browser) = (&day.town, &day.browser);
    // Ten days before: the mother agrees to the app, and refuses the clinic, for the child.
    day.pass_to(-10 * DAY_MS);
    let until = town.in_seconds(30 * 86_400);
    let (consent, patient) = town.world.consent(town.mother(), town.child(), &until).await.unwrap();
    let (status, _) = town.refuse(town.mother(), json!({"recipient": "midori-clinic"})).await;
    assert_eq!(status, 201);
    let grown = town.family.children[0].person.id.clone();
    let link = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": grown}, "evidence": "対面での確認", "verified_by": "fuchu-city"
    });
    town.act(&format!("/people/{}/links", town.child()), link).await;

    // The last second of seventeen.
    day.pass_to(-1_000);
    assert!(town.items(&patient).await > 0);
    day.sign_in("/sign-in/dev", "/my").await;
    let (yotsuba, midori) =
        (day.t("よつば母子手帳アプリ", "Yotsuba PHR app"), day.t("みどりオンライン診療所", "Midori"));
    assert!(day.says("").await.contains(yotsuba));
    day.is_good("guardian-before").await;
    assert!(day.says("/refusals").await.contains(midori));

    // Midnight in Japan: the same session of hers shows nothing of it, and nothing is released.
    day.pass_to(0);
    assert_eq!(town.items(&patient).await, 0, "not with her token");
    let home = day.says("").await;
    assert!(home.contains(day.t("いま、どこにも提供していません", "Nothing is passed on")), "{home}");
    day.is_good("guardian-after").await;
    for page in ["", "/consents", "/refusals", "/log", "/links"] {
        let shown = day.says(page).await;
        let listed = browser.find_all(By::Css("main article")).await.unwrap().len();
        assert!(listed == 0 || page == "/links", "{page}: {shown}");
        // There is a younger one still.
        let birth = town.family.children[0].person.birth;
        let named = birth.strftime(day.t("%Y年%-m月%-d日生まれ", "%-d %B %Y")).to_string();
        assert!(!shown.contains(&named), "{page}: {shown}");
    }
    let gone = day.t("ページが見つかりません", "There is no such page");
    for page in [format!("/consents/{consent}"), format!("/log?about={}", town.child())] {
        assert!(day.says(&page).await.contains(gone), "{page}");
    }
    press(browser, "nav form button").await;
    browser.query(By::Css(format!("a[href^='{}']", town.world.issuer.base_url()))).first().await.unwrap();

    // The young adult: what ended, and that they are asked now.
    town.world.issuer.lie(Some(Lie::Sub(grown.clone())));
    day.sign_in("/sign-in/dev", "/my").await;
    let home = day.says("").await;
    assert!(home.contains(day.t("18歳になったので", "You are 18")) && home.contains(yotsuba), "{home}");
    day.is_good("grown-home").await;
    let consents = day.says("/consents").await;
    assert!(consents.contains(day.t("いまは提供されていません", "Nothing is passed on under it now")), "{consents}");
    assert!(browser.find_all(By::Css("main a.stop")).await.unwrap().is_empty(), "nothing is left to stop");
    day.is_good("grown-consents").await;
    let refusals = day.says("/refusals").await;
    assert!(refusals.contains(day.t("もう提供を止めていません", "These stop nothing any more")), "{refusals}");
    assert!(refusals.contains(midori) && browser.find(By::Css("form[action$='/lift']")).await.is_err());
    day.is_good("grown-refusals").await;

    // Asked anew, for themself alone, and agreed.
    let proposal = town.world.propose(&grown, &town.in_seconds(10 * 86_400)).await.unwrap();
    let id = proposal["id"].as_str().unwrap();
    day.says("").await;
    day.is_good("grown-asked").await;
    press(browser, &format!("a[href='/my/proposals/{id}']")).await;
    press(browser, "a[href*='again=1']").await;
    let page = format!("/my/proposals/{id}");
    persona(browser, town, town.world.issuer.base_url(), town.mother(), &page).await;
    let about = browser.find_all(By::Css("input[name='subject']")).await.unwrap();
    assert_eq!(about.len(), 1, "about nobody else");
    assert_eq!(about[0].value().await.unwrap().as_deref(), Some(town.child()));
    day.is_good("grown-proposal").await;
    if about[0].attr("type").await.unwrap().as_deref() == Some("radio") {
        about[0].click().await.unwrap();
    }
    press(browser, "form[action$='/agree'] button.quiet").await;
    browser.arrives_at(&format!("{}/proposals/{id}/agree", day.home)).await;
    day.is_good("grown-agreed").await;
    let token = town.world.app_token(&grown).unwrap();
    let path = format!("/fhir/Immunization?patient={patient}");
    let (status, answer) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
    assert!(status == 200 && answer["total"].as_u64().unwrap() > 0, "by their own word: {answer}");
    assert_eq!(town.items(&patient).await, 0, "and not for the mother");
    day.says("").await;
    day.is_good("grown-own").await;
    day.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn turning_eighteen_on_a_phone_without_scripts() {
    turning_eighteen(Look { scripts: false, ..Look::PHONE }, "eighteen-phone-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn turning_eighteen_at_a_desk_in_english() {
    turning_eighteen(Look { language: "en", ..Look::DESK }, "eighteen-desk-en").await;
}
