//! That the harness does what it says: it finds what is wrong, switches off what it should, and leaves nothing behind.

use std::panic::AssertUnwindSafe;

use serde_json::json;

use crate::browser::{Browser, Colours, Look};
use crate::process::parent;

const PAGE: &str = "data:text/html,<!doctype html><html lang=en><title>off</title><main><h1>Page</h1>\
    <p>A paragraph.</p><img alt='' src='https://example.com/x.png'></main><script>document.title='on'</script></html>";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn scripts_colours_width_and_language_are_as_asked() {
    let state = "return {width: innerWidth, language: navigator.language,
        dark: matchMedia('(prefers-color-scheme: dark)').matches, forced: matchMedia('(forced-colors: active)').matches}";
    for (look, title) in [
        (Look::PHONE, "on"),
        (Look { scripts: false, colours: Colours::Dark, language: "en", ..Look::PHONE }, "off"),
        (Look { colours: Colours::Forced, ..Look::DESK }, "on"),
    ] {
        let browser = Browser::open(look, &[]).await;
        browser.goto(PAGE.replace("<main>", "<meta name=viewport content='width=device-width'><main>")).await.unwrap();
        assert_eq!(browser.title().await.unwrap(), title);
        let seen = browser.execute(state, vec![]).await.unwrap();
        let (dark, forced) = (look.colours == Colours::Dark, look.colours == Colours::Forced);
        let asked = json!({"width": look.width, "language": look.language, "dark": dark, "forced": forced});
        assert_eq!(*seen.json(), asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn axe_finds_what_is_wrong() {
    let browser = Browser::open(Look { scripts: false, ..Look::PHONE }, &[]).await;
    browser.goto(PAGE).await.unwrap();
    browser.assert_accessible().await;
    let faint = "<p style='color:%23aaa'>faint</p><button></button></main>";
    browser.goto(PAGE.replace("<html lang=en>", "<html>").replace("</main>", faint)).await.unwrap();
    let mut found: Vec<String> = browser.violations().await.into_iter().map(|rule| rule.id).collect();
    found.sort();
    assert_eq!(found, ["button-name", "color-contrast", "html-has-lang"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn nothing_is_left_of_a_browser_when_its_test_panics() {
    let browser = Browser::open(Look::PHONE, &[]).await;
    let ids = browser.program.ids();
    assert!(ids.len() > 3, "chromedriver and a Chromium of several processes: {ids:?}");
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let _browser = browser;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(ended.is_err());
    let left: Vec<_> = ids.into_iter().filter(|id| parent(*id).is_some()).collect();
    assert!(left.is_empty(), "{left:?}");
}
