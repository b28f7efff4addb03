//! Before agreeing: the very items that would go, to the person alone. And the words of each agreement, kept.

use http::{Method, StatusCode};
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, body, history};
use serde_json::{Value, json};

use super::pages::{proposed, ready_to_agree, signed_in};
use super::summary;

/// The fields of a form, about this person.
fn fields<'a>(page: &'a (String, String, String), subject: &'a str) -> [(&'a str, &'a str); 4] {
    [("csrf", &page.0), ("text", &page.1), ("revision", &page.2), ("subject", subject)]
}

fn form(page: &Page) -> (String, String, String) {
    (page.hidden("csrf"), page.hidden("text"), page.hidden("revision"))
}

async fn preview(browser: &mut Browser, id: &str, form: &(String, String, String), subject: &str) -> Page {
    browser.send(&format!("/my/proposals/{id}/preview"), &fields(form, subject)).await
}

/// What the app gets for the child.
async fn released(town: &Town, id: &str) -> Vec<Value> {
    let token = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{id}");
    let (_, consent) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
    let answer = town.get(&history(consent["patient"].as_str().unwrap()), &token).await;
    body(&answer)["entry"].as_array().cloned().unwrap_or_default()
}

/// Every text in a resource but its ids and references, and the names of things, which are shown in words.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
        Value::Object(object) => {
            let shown = object.iter().filter(|(name, _)| {
                !["id", "reference", "resourceType", "fullUrl", "system", "status", "url"].contains(&name.as_str())
            });
            shown.for_each(|(_, one)| texts(one, found));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_before_agreeing_is_what_goes_afterwards() {
    let town = Town::open().await;
    // Half of the dates, so that what is narrowed shows.
    let token = town.world.app_token(town.mother()).unwrap();
    let (_, text) = town.call(&town.world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await;
    let from = (jiff::Timestamp::from_millisecond(town.clock.now().unwrap().millis()).unwrap())
        .to_zoned(jiff::tz::TimeZone::UTC)
        .checked_sub(jiff::Span::new().years(3))
        .unwrap();
    let proposal = json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(3_600),
        "text_hash": text["text_hash"], "data_from": from.date().to_string(),
    });
    let (status, proposed) =
        town.call(&town.world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
    assert_eq!(status, 201, "{proposed}");
    let id = proposed["id"].as_str().unwrap().to_owned();
    let mut mother = signed_in(&town, town.mother()).await;
    let page = ready_to_agree(&town, &mut mother, &id).await;
    assert!(
        page.says("お子さまの予防接種の記録を")
            && page.says("アプリで確かめられます")
            && page.says("ほかの機能は使えます")
    );
    let form = form(&page);
    let shown = preview(&mut mother, &id, &form, town.child()).await;
    assert!(shown.status == StatusCode::OK && shown.says("まだ、だれにも渡していません"), "{}", shown.text);
    // Looking is the person's own access: in the log, and the app has nothing.
    let log = mother.open(&format!("/my/log?about={}", town.child())).await;
    assert!(log.says("この窓口のページ") && !log.says("<bdi>よつば母子手帳アプリ"), "{}", log.text);
    assert_eq!(town.newest_outcome().await, "complete");

    let agreed = mother.send(&format!("/my/proposals/{id}/agree"), &fields(&form, town.child())).await;
    assert!(agreed.says("同意しました"), "{}", agreed.text);
    let went = released(&town, &id).await;
    assert!(!went.is_empty());
    assert!(shown.says(&format!("次の {} 件", went.len())), "{} went: {}", went.len(), shown.text);
    assert_eq!(shown.text.matches("<article").count(), went.len());
    for entry in &went {
        let mut all = Vec::new();
        texts(&entry["resource"], &mut all);
        for text in all {
            let date: Option<jiff::civil::Date> = text.parse().ok();
            let text = date.map_or(text, |d| d.strftime("%Y年%-m月%-d日").to_string());
            assert!(shown.says(&text), "{text} went, and was not shown: {}", shown.text);
        }
    }
    town.gateway.stop().await;
}

/// Of many choices of categories: what the pages of the preview show is what the summary has, no more and no less.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_go_into_a_summary_is_what_goes() {
    let town = summary::opened(|text| text).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let others = &summary::ALL[1..];
    for choice in [0b000_0000_u32, 0b000_0001, 0b010_1010, 0b101_0101, 0b111_0000, 0b111_1111] {
        let chosen = others.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1).map(|(_, category)| *category);
        let categories: Vec<&str> = ["identity@1"].into_iter().chain(chosen).collect();
        let (status, proposed) = summary::propose(&town, &categories, None).await;
        assert_eq!(status, 201, "{proposed}");
        let id = proposed["id"].as_str().unwrap();
        let asked = mother.open(&format!("/my/proposals/{id}")).await;
        let strong = asked.says("/agree");
        let asked = if strong { asked } else { mother.sign_in(&asked.link("again=1"), town.mother()).await };
        let form = form(&asked);
        let mut shown = Vec::new();
        for at in ["0", "1"] {
            let [csrf, text, revision, subject] = fields(&form, town.child());
            let with_place = [csrf, text, revision, subject, ("at", at)];
            shown.push(mother.send(&format!("/my/proposals/{id}/preview"), &with_place).await);
        }
        assert!(shown.iter().all(|page| page.says("渡る内容") && !page.says("受け取れなかった")), "{}", shown[0].text);
        let agreed = mother.send(&format!("/my/proposals/{id}/agree"), &fields(&form, town.child())).await;
        assert!(agreed.says("同意しました"), "{}", agreed.text);
        let document = summary::summary(&town, &summary::patient(&town, id).await).await;
        let went = document["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
        let went: Vec<&Value> =
            went.filter(|r| !["Composition", "Device"].contains(&r["resourceType"].as_str().unwrap())).collect();
        // Both sources say who it is, and a document says it once.
        let articles: usize = shown.iter().map(|page| page.text.matches("<article").count()).sum();
        assert_eq!(articles, went.len() + 1, "{categories:?}");
        let all_shown: String = shown.iter().map(|page| page.text.as_str()).collect();
        for resource in went {
            let mut resource = resource.clone();
            resource.as_object_mut().unwrap().remove("meta");
            let mut all = Vec::new();
            texts(&resource, &mut all);
            for text in all.iter().filter(|text| !is_code_in_words(text)) {
                let date: Option<jiff::civil::Date> = text.get(..10).and_then(|day| day.parse().ok());
                let text = date.map_or(text.clone(), |d| d.strftime("%Y年%-m月%-d日").to_string());
                assert!(all_shown.contains(&text), "{text} of {categories:?} went, and was not shown");
            }
        }
        town.world.revoke(town.mother(), id).await.unwrap();
    }
    town.gateway.stop().await;
}

/// Codes of FHIR's own and of units, which pages say in words.
fn is_code_in_words(text: &str) -> bool {
    text == "Cel" || text.len() < 16 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_to_whom_it_is_not_for() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let weak = mother.open(&format!("/my/proposals/{id}")).await;
    let before = town.world.city.requests();
    // Signed in, but not strongly enough to grant.
    let refused = preview(&mut mother, &id, &(weak.hidden("csrf"), String::new(), String::new()), town.child()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let form = form(&ready_to_agree(&town, &mut mother, &id).await);
    // A father of another family, another child, somebody who is not there: all the same.
    let others = town.world.enrol(&town.world.families[1].clone()).await.unwrap();
    for subject in [others.children[0].as_str(), &town.people.parents[1], "psn-aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let answer = preview(&mut mother, &id, &form, subject).await;
        assert!(answer.status != StatusCode::OK && !answer.says("<article"), "{subject}: {}", answer.text);
    }
    // Another person with the mother's proposal.
    let mut father = signed_in(&town, town.father()).await;
    let csrf = father.open("/my").await.hidden("csrf");
    let theirs = preview(&mut father, &id, &(csrf, form.1.clone(), form.2.clone()), town.child()).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    // Blocked since the page was opened.
    let blocked = json!({"person": town.people.parents[0], "evidence": "支援措置"});
    town.act(&format!("/people/{}/blocks", town.child()), blocked).await;
    let answer = preview(&mut mother, &id, &form, town.child()).await;
    assert!(answer.status == StatusCode::NOT_FOUND && !answer.says("予防接種"), "{}", answer.text);
    assert_eq!(town.world.city.requests(), before, "no source was asked");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_keeps_nobody_from_deciding() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let form = form(&ready_to_agree(&town, &mut mother, &id).await);
    let broken = Faults { status: Some(500), ..Faults::default() };
    town.world.city.set_knobs(Knobs { faults: broken, ..Knobs::default() });
    let shown = preview(&mut mother, &id, &form, town.child()).await;
    assert!(shown.status == StatusCode::OK && shown.says("確かめることができません"), "{}", shown.text);
    let agreed = mother.send(&format!("/my/proposals/{id}/agree"), &fields(&form, town.child())).await;
    assert!(agreed.says("同意しました"), "{}", agreed.text);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_is_shown_after_the_text_has_changed() {
    let town = Town::open().await;
    let (id, _) = town.consent().await;
    let path = format!("/my/consents/{id}");
    let mut mother = signed_in(&town, town.mother()).await;
    let page = mother.open(&path).await;
    assert!(page.says("撤回しても不利益はありません") && !page.says("文面が新しくなりました"), "{}", page.text);
    let newer = |text: String| {
        text.replace("撤回しても不利益はありません。", "撤回できます。").replacen("\"2026-04\"", "\"2026-12\"", 1)
    };
    town.reload_with(newer).await.unwrap();
    let page = mother.open(&path).await;
    assert!(page.says("撤回しても不利益はありません") && page.says("2026-04"), "{}", page.text);
    assert!(page.says("文面が新しくなりました"), "{}", page.text);
    assert!(mother.open("/my").await.says("文面が新しくなった同意"), "told on the first page");
    // It outlives a restart: the ledger has it.
    let town = town.restart().await;
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(mother.open(&path).await.says("撤回しても不利益はありません"));
    town.gateway.stop().await;
}
