//! Nurses' pages in a real browser: from signing in to an outcome with the keyboard alone, a withdrawal while the list is open, with
//! scripts and without, on a phone and on a desk. Each page is judged by axe-core, and kept as a picture.

use std::time::Instant;

use sekisho::clock::Clock;
use sekisho::demo::week::Care;
use sekisho::demo::world::{HAYASHI, OMORI};
use sekisho_tests::town::Town;
use serde_json::{Value, json};
use thirtyfour::prelude::ElementQueryable;
use thirtyfour::{By, Key, TypingData};

use crate::browser::{Browser, Colours, Look};
use crate::citizens::{is_good, press};
use crate::counter::persona;

/// A city with cases of a week: names, choices, scores.
const CASES: [(&str, &str, &str, u8); 5] = [
    ("c-1", "合成 花子", "content", 3),
    ("c-2", "架空 月子", "identity-only", 3),
    ("c-3", "見本 星子", "content", 3),
    ("c-4", "例示 雪子", "content", 3),
    ("c-5", "仮名 春子", "content", 3),
];

struct City {
    town: Town,
    care: Care,
}

fn record(id: &str, choice: &str, score: u8, at: usize) -> Value {
    json!({
        "id": id, "at": "2026-11-16T10:05:00+09:00", "asker": {"id": format!("user-{id}"), "birth": format!("199{at}-03-02")},
        "child": null, "epds": [score, score, score, 1, null, 0, 0, 0, 0, 0],
        "judgement": if at == 2 { json!({"reason": "眠れない日が続き、支える人がいないため（架空）"}) } else { Value::Null },
        "emergency": false, "marks": [],
        "sharing": {"choice": choice, "municipality": "132063", "text_version": "2026-04",
                    "at": "2026-11-16T10:00:00+09:00", "evidence": "ev-1"},
        "residence": {"municipality": "132063", "postal": format!("183-00{:02}", at)},
        "present": if at == 3 { json!({"municipality": "132250", "postal": null}) } else { Value::Null },
        "safe_contact": {"means": ["telephone", "letter"], "hours": "平日 10:00-15:00", "voicemail": at == 1,
                         "hidden_from_family": at.is_multiple_of(2)},
    })
}

fn details(id: &str, name: &str, at: usize) -> Value {
    let judgement = (at == 2).then_some("眠れない日が続き、支える人がいないため（架空）");
    json!({
        "id": id,
        "asker": {"id": format!("user-{id}"), "name": name, "kana": "ゴウセイ ハナコ", "birth": format!("199{at}-03-02")},
        "child": null, "address": "東京都府中市合成町1-2-3",
        "reach": [{"means": "telephone", "at": "000-0000-0001"}],
        "content": {"judgement": judgement, "consultation": "夜に何度も起きてしまい、日中もつらいです。（架空の相談）",
                    "advice": "休める時間をつくる方法を一緒に考えました。（架空の助言）",
                    "course": [{"date": "2026-08-16", "sum": 4}, {"date": "2026-10-16", "sum": 7}]},
    })
}

impl City {
    async fn open() -> Self {
        let at = |text: &str| sekisho::consent::people::parse_instant(text).unwrap();
        let clock = Clock::manual(at("2026-11-20T12:00:00+09:00"));
        let town = Town::open_with(clock, |text| text).await;
        let care = Care::open(&town.world, None).await.unwrap();
        let city = Self { town, care };
        city.town.reload_with(|text| city.care.configured(&text)).await.unwrap();
        // The mother is one of those who asked.
        let to = json!({"party": "nijiiro-soudan", "id": "user-c-5"});
        let link = json!({"to": to, "evidence": "連携コード", "verified_by": "fuchu-city"});
        city.town.act(&format!("/people/{}/links", city.town.people.parents[0]), link).await;
        for (place, (id, name, choice, score)) in CASES.iter().enumerate() {
            city.care.service.add(record(id, choice, *score, place).to_string());
            city.care.service.put_details(id, details(id, name, place));
        }
        city.run(json!({"collect": true})).await;
        city.town.clock.set(at("2026-11-23T06:00:00+09:00"));
        city.run(json!({"week": "2026-W48"})).await;
        city
    }

    async fn run(&self, of: Value) {
        sekisho::admin::client::lines(&self.town.world.socket(), "/batch/run", &of).await.unwrap();
    }

    async fn browser(&self, look: Look) -> Browser {
        let server = std::fs::read_to_string(self.town.directory.path().join("server.pem")).unwrap();
        Browser::open(look, &[&server]).await
    }

    fn home(&self) -> String {
        format!("{}/nurse", self.town.world.url)
    }

    /// By the keyboard alone: the sign-in, and whom to be.
    async fn signs_in(&self, browser: &Browser, sub: &str) {
        browser.goto(&self.home()).await.unwrap();
        press(browser, "a[href^='/my/sign-in/fuchu-staff']").await;
        persona(browser, &self.town, self.town.world.staff.base_url(), sub, "/nurse").await;
    }

    async fn signs_out(&self, browser: &Browser) {
        press(browser, "nav form button").await;
        let issuer = self.town.world.staff.base_url();
        browser.query(By::Css(format!("a[href^='{issuer}']"))).first().await.unwrap();
    }

    /// The manager lets a nurse see all districts, on the page for it.
    async fn assigned(&self, browser: &Browser, tag: &str) {
        self.signs_in(browser, HAYASHI).await;
        is_good(browser, &format!("{tag}-nurse-without-districts")).await;
        self.signs_out(browser).await;
        self.signs_in(browser, OMORI).await;
        press(browser, "a[href='/nurse/manage']").await;
        browser.arrives_at(&format!("{}/manage", self.home())).await;
        is_good(browser, &format!("{tag}-nurse-manage")).await;
        press(browser, "input[name='all']").await;
        press(browser, "form.card button").await;
        browser.arrives_at(&format!("{}/manage?saved=1", self.home())).await;
        self.signs_out(browser).await;
        self.signs_in(browser, HAYASHI).await;
    }
}

async fn text(browser: &Browser) -> String {
    browser.find(By::Css("main")).await.unwrap().text().await.unwrap()
}

/// Goes with the tab key until the focus is on this, and presses it.
async fn by_keys(browser: &Browser, selector: &str) {
    on(browser, selector).await;
    keys(browser, Key::Enter + "").await;
}

async fn on(browser: &Browser, selector: &str) {
    let is_on = format!("return document.activeElement?.matches({selector:?}) ?? false");
    for _ in 0..80 {
        if browser.execute(is_on.as_str(), vec![]).await.unwrap().json() == &json!(true) {
            return;
        }
        keys(browser, Key::Tab + "").await;
    }
    panic!("the tab key does not lead to {selector}");
}

/// As a keyboard sends them, to whatever has the focus.
async fn keys(browser: &Browser, keys: impl Into<TypingData>) {
    browser.action_chain().send_keys(keys).perform().await.unwrap();
}

/// Chooses the next in a list.
async fn choose_next(browser: &Browser, selector: &str) {
    on(browser, selector).await;
    keys(browser, Key::Down + "").await;
}

async fn to_an_outcome(look: Look, tag: &str) {
    let city = City::open().await;
    let browser = city.browser(look).await;
    browser.goto(&city.home()).await.unwrap();
    is_good(&browser, &format!("{tag}-nurse-welcome")).await;
    city.assigned(&browser, tag).await;
    let list = text(&browser).await;
    for (_, name, ..) in CASES {
        assert!(list.contains(name), "{list}");
    }
    is_good(&browser, &format!("{tag}-nurse-list")).await;
    // From here on nothing but keys.
    by_keys(&browser, "li.case h2 a").await;
    browser.arrives_at(&format!("{}/cases/", city.home())).await;
    is_good(&browser, &format!("{tag}-nurse-case")).await;
    assert!(text(&browser).await.contains("夜に何度も起きて"));
    by_keys(&browser, "button[value='take']").await;
    browser.query(By::Css("button[value='match']")).first().await.unwrap();
    // Found at the first look, as most are.
    by_keys(&browser, "button[value='match']").await;
    browser.query(By::Css("button[value='contacted']")).first().await.unwrap();
    on(&browser, "#note").await;
    keys(&browser, "本人と電話で話した（架空）").await;
    is_good(&browser, &format!("{tag}-nurse-case-taken")).await;
    by_keys(&browser, "button[value='contacted']").await;
    browser.query(By::Css(".steps .text")).first().await.unwrap();
    choose_next(&browser, "#outcome").await;
    by_keys(&browser, "button[value='close']").await;
    browser.query(By::Css("button[value='reopen']")).first().await.unwrap();
    let closed = text(&browser).await;
    assert!(closed.contains("本人と電話で話した") && !closed.contains("夜に何度も起きて"), "{closed}");
    let ongoing = if look.language == "en" { "The district goes on supporting" } else { "地区で継続支援" };
    assert!(closed.contains(ongoing), "{closed}");
    is_good(&browser, &format!("{tag}-nurse-closed")).await;
    browser.goto(format!("{}/print?reasons=1", city.home())).await.unwrap();
    is_good(&browser, &format!("{tag}-nurse-print")).await;
    browser.is_printable(&format!("{tag}-nurse-on-paper")).await;
    // The one who asked sees the windows, and asks to be contacted.
    city.signs_out(&browser).await;
    let (home, issuer) = (format!("{}/my", city.town.world.url), city.town.world.issuer.base_url());
    browser.goto(&home).await.unwrap();
    press(&browser, "a[href='/my/sign-in/dev']").await;
    persona(&browser, &city.town, issuer, city.town.mother(), "/my").await;
    press(&browser, "a[href='/my/windows']").await;
    browser.arrives_at(&format!("{home}/windows")).await;
    is_good(&browser, &format!("{tag}-windows")).await;
    press(&browser, "main form button").await;
    browser.query(By::Css("p[role='status']")).first().await.unwrap();
    is_good(&browser, &format!("{tag}-windows-asked")).await;
}

/// Waits until the page shows a name.
async fn until_shown(browser: &Browser, name: &str) {
    let begun = Instant::now();
    loop {
        let main = browser.query(By::Css("main")).first().await.unwrap().text().await;
        // Between two pages what was found is there no more.
        if main.is_ok_and(|text| text.contains(name)) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 10, "{name} is not shown");
    }
}

/// How long it took until the page shows a name no longer.
async fn until_gone(browser: &Browser, name: &str) -> std::time::Duration {
    let begun = Instant::now();
    while text(browser).await.contains(name) {
        assert!(begun.elapsed().as_secs() < 10, "{name} is still shown");
    }
    begun.elapsed()
}

async fn withdrawn_while_open(scripts: bool, tag: &str) {
    let city = City::open().await;
    let setting_up = city.browser(Look::DESK).await;
    city.assigned(&setting_up, tag).await;
    let browser = city.browser(Look { scripts, loads_to_the_end: scripts, ..Look::DESK }).await;
    city.signs_in(&browser, HAYASHI).await;
    until_shown(&browser, "合成 花子").await;
    city.care.service.choose("user-c-1", None, "nothing", "132063", "2026-11-23T05:00:00+09:00");
    let took = until_gone(&browser, "合成 花子").await;
    println!("{tag}: gone from the open list after {} ms", took.as_millis());
    assert!(took.as_millis() <= 1_000, "{took:?}");
    assert!(text(&browser).await.contains("共有停止"), "{}", text(&browser).await);
    // With scripts the others stay; without, the page is to be loaded again.
    assert_eq!(text(&browser).await.contains("見本 星子"), scripts);
    browser.goto(&city.home()).await.unwrap();
    until_shown(&browser, "見本 星子").await;
    assert!(!text(&browser).await.contains("合成 花子"));

    // A draft on an open case is still there, and is kept.
    press(&browser, "li.case h2 a").await;
    browser.arrives_at(&format!("{}/cases/", city.home())).await;
    press(&browser, "button[value='take']").await;
    browser.query(By::Css("button[value='match']")).first().await.unwrap();
    let name = browser.find(By::Css(".whose bdi")).await.unwrap().text().await.unwrap();
    let user = CASES.iter().find(|(_, of, ..)| *of == name).map(|(id, ..)| format!("user-{id}")).unwrap();
    browser.find(By::Css("#note")).await.unwrap().send_keys("書きかけの記録").await.unwrap();
    city.care.service.choose(&user, None, "nothing", "132063", "2026-11-23T05:00:00+09:00");
    let took = until_gone(&browser, "夜に何度も起きて").await;
    println!("{tag}: gone from the open case after {} ms", took.as_millis());
    assert!(took.as_millis() <= 1_000, "{took:?}");
    browser.screenshot(&format!("{tag}-nurse-stopped-while-writing")).await;
    press(&browser, "button[value='note']").await;
    browser.query(By::Css(".steps .text")).first().await.unwrap();
    let kept = text(&browser).await;
    assert!(kept.contains("書きかけの記録") && kept.contains("共有停止") && !kept.contains(&name), "{kept}");
    is_good(&browser, &format!("{tag}-nurse-stopped")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_nurse_at_a_desk_by_keyboard_alone() {
    to_an_outcome(Look::DESK, "desk-ja").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_nurse_on_a_phone_in_english_in_the_dark() {
    to_an_outcome(Look { language: "en", colours: Colours::Dark, ..Look::PHONE }, "phone-en-dark").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn what_is_withdrawn_leaves_an_open_screen_within_a_second() {
    withdrawn_while_open(true, "desk").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn and_without_scripts_too() {
    withdrawn_while_open(false, "desk-without-scripts").await;
}
