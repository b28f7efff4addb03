//! Staff's looks at a counter in 閲覧・提供の記録: seen by whom they are about, three days later; never where they could betray.

use http::{Method, StatusCode};
use sekisho::demo::world::CLERK;
use sekisho::ids::TextId;
use sekisho::ledger::proof::{check, prove};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

const WAIT: i64 = 72 * 3_600;

/// A town in whose city's records the mother is too.
async fn town(bend: impl FnOnce(String) -> String) -> Town {
    let town = Town::open_with(standing_clock(), bend).await;
    let link = json!({"to": {"party": "fuchu-city", "id": "resident-m"}, "evidence": "e", "verified_by": "fuchu-city"});
    town.act(&format!("/people/{}/links", town.people.parents[0]), link).await;
    town
}

async fn citizen(town: &Town, sub: &str) -> Browser {
    let mut browser = Browser::new(town.world.browser.clone(), &town.world.url);
    assert_eq!(browser.sign_in("/my/sign-in/dev", sub).await.status, StatusCode::OK);
    browser
}

/// A clerk of the city opens somebody.
async fn look(town: &Town, id: &str) {
    let mut clerk = Browser::new(town.world.browser.clone(), &town.world.url);
    let csrf = clerk.sign_in("/my/sign-in/fuchu-staff", CLERK).await.hidden("csrf");
    let person = clerk.send("/counter/person", &[("csrf", &csrf), ("id", id), ("by", "")]).await;
    assert_eq!(person.status, StatusCode::OK, "{}", person.text);
}

/// Everything that shows lines about somebody: the first page's newest, the list, exports, the API's.
async fn everywhere(town: &Town, sub: &str, about: &str) -> Vec<String> {
    let mut browser = citizen(town, sub).await;
    let mut all = Vec::new();
    for path in ["/my", &format!("/my/log?about={about}"), &format!("/my/log?about={about}&party=fuchu-city")] {
        let page = browser.open(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        // Without the filter, which names every party; proofs' addresses are sealed anew each time.
        let shown = page.text.split("id=\"looked\"").last().unwrap().split("</form>").last().unwrap();
        all.push(shown.split("at=").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect());
    }
    for path in ["/my/log.csv", "/my/log.json"] {
        all.push(browser.open(&format!("{path}?about={about}")).await.text);
    }
    let path = format!("/v1/access-log?subject={about}");
    all.push(town.person(Method::GET, &path, sub, None).await.1.to_string());
    all
}

fn shows(everywhere: &[String]) -> bool {
    let shown = everywhere.iter().filter(|text| text.contains("窓口の職員") || text.contains("counter-look")).count();
    assert!(shown == 0 || shown == everywhere.len(), "in one place and not in another: {everywhere:#?}");
    shown > 0
}

fn basis(recipient: &str) -> Value {
    json!({
        "recipient": recipient, "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": "2020-01-01T00:00:00+09:00", "until": "2099-01-01T00:00:00+09:00",
        "article": "児童福祉法25条", "requester": "児童相談所", "decided_by": "保健師 山田", "reason": "要保護児童の通告",
    })
}

/// A configuration in which a city, too, may receive on a legal basis.
fn cities_receive(text: String) -> String {
    text.replace("receivers = [\"clinic\"]", "receivers = [\"clinic\", \"municipality\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_shows_three_days_later_with_its_proof_and_without_the_clerks_name() {
    let town = town(|text| text).await;
    let mother = town.people.parents[0].clone();
    let before = everywhere(&town, town.mother(), &mother).await;
    look(&town, "resident-m").await;
    town.pass_seconds(WAIT - 1);
    assert_eq!(everywhere(&town, town.mother(), &mother).await, before, "not a second early");
    town.pass_seconds(1);
    let after = everywhere(&town, town.mother(), &mother).await;
    assert!(shows(&after), "{after:#?}");
    for text in &after {
        assert!(!text.contains(CLERK), "the login of the member of staff: {text}");
        assert!(text.contains("府中市"), "{text}");
    }
    let records: Value = serde_json::from_str(&after[4]).unwrap();
    assert_eq!(records["records"].as_array().unwrap().len(), 1, "{records}");
    let line = serde_json::from_str::<Value>(&after[5]).unwrap()["items"][0].clone();
    assert_eq!((&line["kind"], &line["recipient"]), (&json!("counter-look"), &json!("fuchu-city")));
    assert_eq!((&line["decision"], &line["outcome"]), (&Value::Null, &json!("seen-at-counter")));

    // Filters, and the page of the one line.
    let mut browser = citizen(&town, town.mother()).await;
    let none = |text: &str| !text.contains("<article");
    for other in ["party=yotsuba-phr", "refused=1", "month=2026-01"] {
        assert!(none(&browser.open(&format!("/my/log?{other}")).await.text), "{other}");
    }
    let log = browser.open("/my/log").await;
    assert!(log.says("同意の状況") && log.says("窓口の画面で見ました") && log.says("3日後"), "{}", log.text);
    let one = log.link("&at=");
    let page = browser.open(&one).await;
    let entry = line["entry"].as_str().unwrap();
    assert!(page.says("窓口の職員") && page.says(&format!("sekisho ledger prove {entry}")), "{}", page.text);
    let (path, query) = one.split_once('?').unwrap();
    let kept = browser.open(&format!("{path}/proof?{query}")).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
    assert!(!kept.says(CLERK) && !kept.says("fuchu"), "its content stays sealed");
    let key = town.gateway.app().store.ledger_key().verifier_key();
    assert_eq!(check(&kept.text, &key).unwrap().entry.header.id().text(), entry);

    // The auditor's, from the ledger itself; and the same lines from a rebuilt index.
    let signed = town.gateway.app().store.checkpoint().await.unwrap();
    let stopped = town.stopped().await;
    let data = stopped.world.directory.join("data");
    let proof = prove(&data.join("ledger"), TextId::parse(entry).unwrap(), &signed).unwrap();
    assert_eq!(check(&proof, &key).unwrap().entry.header.id().text(), entry);
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let town = stopped.started().await;
    assert_eq!(everywhere(&town, town.mother(), &mother).await, after);
    town.gateway.stop().await;
}

/// The office looks, finds no consent, and has its legal basis recorded: nobody learns of either, then or later.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_led_to_a_legal_basis_is_never_seen() {
    let town = town(cities_receive).await;
    let (child, at_city) = (town.child().to_owned(), town.child_at_city().to_owned());
    let before = everywhere(&town, town.mother(), &child).await;
    look(&town, &at_city).await;
    town.pass_seconds(WAIT - 1);
    town.act(&format!("/people/{child}/bases"), basis("fuchu-city")).await;
    look(&town, &at_city).await;
    for _ in 0..2 {
        town.pass_seconds(WAIT + 1);
        for sub in [town.mother(), town.father()] {
            let after = everywhere(&town, sub, &child).await;
            assert!(!shows(&after), "{after:#?}");
        }
        assert_eq!(everywhere(&town, town.mother(), &child).await, before, "not a letter else");
    }
    // Nor by its own address, made for another of the child's lines: positions are sealed, and what is hidden is not there.
    let mut mother = citizen(&town, town.mother()).await;
    let store = &town.gateway.app().store;
    let lines = store.access_log(TextId::parse(&child).unwrap(), u64::MAX, 10).unwrap();
    assert_eq!(lines.len(), 2, "both are in the ledger");
    let page = mother.open(&format!("/my/log/{}?about={child}&at=AAAA", lines[0].entry().text())).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    town.gateway.stop().await;
}

/// What was shown once stays: a line that went away would tell of the basis that was recorded since. And a basis of another
/// party says nothing of this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_legal_basis_that_came_later_takes_no_line_away() {
    let town = town(cities_receive).await;
    let (child, at_city) = (town.child().to_owned(), town.child_at_city().to_owned());
    look(&town, &at_city).await;
    town.act(&format!("/people/{child}/bases"), basis("midori-clinic")).await;
    town.pass_seconds(WAIT);
    let before = everywhere(&town, town.mother(), &child).await;
    assert!(shows(&before), "another party's");
    town.act(&format!("/people/{child}/bases"), basis("fuchu-city")).await;
    assert_eq!(everywhere(&town, town.mother(), &child).await, before);
    look(&town, &at_city).await;
    town.pass_seconds(WAIT);
    assert_eq!(everywhere(&town, town.mother(), &child).await, before, "and the next one is not shown");
    town.gateway.stop().await;
}

/// What a young person decides about alone may be why somebody opened them at a counter.
#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_sees_no_look_once_the_child_decides_something_alone() {
    let own = |text: String| {
        text.replace("label_en = \"Vaccination history\"", "label_en = \"Vaccination history\"\nown_consent_age = 0")
    };
    let town = town(own).await;
    let child = town.child().to_owned();
    let login = town.world.families[1].parents[0].id.clone();
    let link = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": login}, "evidence": "e", "verified_by": "v",
    });
    town.act(&format!("/people/{child}/links"), link).await;
    let before = everywhere(&town, town.mother(), &child).await;
    look(&town, town.child_at_city()).await;
    town.pass_seconds(WAIT);
    for sub in [town.mother(), town.father()] {
        assert!(!shows(&everywhere(&town, sub, &child).await), "{sub}");
    }
    assert_eq!(everywhere(&town, town.mother(), &child).await, before);
    assert!(shows(&everywhere(&town, &login, &child).await), "themself");
    town.gateway.stop().await;
}

/// The city that looked would lead back to the former family.
#[tokio::test(flavor = "multi_thread")]
async fn looks_from_before_a_special_adoption_are_gone() {
    let town = town(|text| text).await;
    let child = town.child().to_owned();
    look(&town, town.child_at_city()).await;
    town.pass_seconds(WAIT);
    assert!(shows(&everywhere(&town, town.mother(), &child).await));
    let from = town.in_seconds(0);
    let adoption = json!({"from": from, "evidence": "審判書謄本", "verified_by": "府中市 戸籍係"});
    town.act(&format!("/people/{child}/special-adoption"), adoption).await;
    let family = &town.world.families[1];
    let parents = town.world.enrol(family).await.unwrap();
    let authority =
        json!({"guardian": parents.parents[0], "from": from, "kind": "親権者", "evidence": "e", "verified_by": "v"});
    town.act(&format!("/people/{child}/authorities"), authority).await;
    assert!(!shows(&everywhere(&town, &family.parents[0].id, &child).await));
    assert_eq!(town.gateway.app().store.access_log(TextId::parse(&child).unwrap(), u64::MAX, 10).unwrap().len(), 1);
    town.gateway.stop().await;
}

/// However many lines may not be shown, the first page shows the newest of the others: an empty one would tell.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_looks_past_what_it_may_not_show() {
    let town = town(cities_receive).await;
    let (child, at_city) = (town.child().to_owned(), town.child_at_city().to_owned());
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    assert_eq!(town.newest_outcome().await, "complete");
    town.act(&format!("/people/{child}/bases"), basis("fuchu-city")).await;
    let mut clerk = Browser::new(town.world.browser.clone(), &town.world.url);
    let csrf = clerk.sign_in("/my/sign-in/fuchu-staff", CLERK).await.hidden("csrf");
    for _ in 0..60 {
        let person = clerk.send("/counter/person", &[("csrf", &csrf), ("id", &at_city), ("by", "")]).await;
        assert_eq!(person.status, StatusCode::OK);
    }
    let home = citizen(&town, town.mother()).await.open("/my").await;
    let looked = home.text.split("id=\"looked\"").last().unwrap();
    assert!(looked.contains("よつば母子手帳アプリ") && !looked.contains("窓口の職員"), "{looked}");
    town.gateway.stop().await;
}
