//! Linking by verified enrolment: a code from the counter for a login, a code from an app for its user's id. Never by name or e-mail.

use http::{Method, StatusCode};
use sekisho::consent::codes::{self, Code};
use sekisho::consent::links::{Ground, link};
use sekisho::demo::world::{APP_CLIENT, CLERK, REGISTRAR};
use sekisho::ids::TextId;
use sekisho::ledger::entry::Cause;
use sekisho::ledger::event::{Attestation, LinkTarget, Way};
use sekisho_adapters::identity::stand_in::Lie;
use sekisho_policy::PersonId;
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, standing_clock};
use serde_json::json;

const DAY: i64 = 86_400;

fn browser(town: &Town) -> Browser {
    Browser::new(town.world.browser.clone(), &town.world.url)
}

async fn known(town: Town) -> Town {
    for (parent, id) in town.people.parents.iter().zip(["resident-m", "resident-f"]) {
        let link = json!({"to": {"party": "fuchu-city", "id": id}, "evidence": "e", "verified_by": "fuchu-city"});
        town.act(&format!("/people/{parent}/links"), link).await;
    }
    town
}

/// A code that the counter hands out for whoever the city knows by this id.
async fn code(town: &Town, id: &str) -> String {
    let mut registrar = browser(town);
    let home = registrar.sign_in("/my/sign-in/fuchu-staff", REGISTRAR).await;
    let csrf = home.hidden("csrf");
    let ask = registrar.send("/counter/code/new", &[("csrf", &csrf), ("id", id)]).await;
    assert_eq!(ask.status, StatusCode::OK, "{}", ask.text);
    let fields =
        [("csrf", csrf.as_str()), ("id", id), ("evidence", "マイナンバーカードの券面"), ("checked_by", "窓口 佐藤")];
    let issued = registrar.send("/counter/code", &fields).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    issued.text.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

/// Somebody signs in with a login that nobody is linked to yet: the issuer says this `sub`.
async fn newcomer(town: &Town, sub: &str) -> Browser {
    town.world.issuer.lie(Some(Lie::Sub(sub.to_owned())));
    let mut browser = browser(town);
    let page = browser.sign_in("/my/sign-in/dev", town.mother()).await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("/my/enrol"), "{}", page.text);
    let ask = browser.open("/my/enrol").await;
    assert!(ask.status == StatusCode::OK && ask.says("窓口で本人確認"), "{}", ask.text);
    browser
}

/// Signs in strongly and enters a code.
async fn enters(town: &Town, browser: &mut Browser, path: &str, more: &[(&str, &str)], code: &str) -> Page {
    let mut form = browser.open(path).await;
    if form.says("again=1") {
        form = browser.sign_in(&form.link("again=1"), town.mother()).await;
    }
    let csrf = form.hidden("csrf");
    browser.send(path, &[&[("csrf", csrf.as_str()), ("code", code)], more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_from_the_counter_links_a_login_once() {
    let town = known(Town::open().await).await;
    let lost = code(&town, "resident-m").await;
    let code = code(&town, "resident-m").await;
    let mut second = newcomer(&town, "her-second-login").await;
    // The form alone, without the stronger sign-in, does nothing.
    let csrf = second.open("/my/enrol").await.hidden("csrf");
    assert!(!csrf.is_empty());
    let weak = second.send("/my/enrol", &[("csrf", &csrf), ("code", &code)]).await;
    assert!(weak.status == StatusCode::FORBIDDEN, "{}", weak.text);
    let replaced = enters(&town, &mut second, "/my/enrol", &[], &lost).await;
    assert_eq!(replaced.status, StatusCode::UNPROCESSABLE_ENTITY, "the newest alone: {}", replaced.text);
    let home = enters(&town, &mut second, "/my/enrol", &[], &code.to_lowercase().replace('-', " ")).await;
    assert!(home.status == StatusCode::OK && home.url.ends_with("/my"), "{}", home.text);
    let links = second.open("/my/links").await;
    assert_eq!(links.text.matches("<h2><bdi>開発用の認証").count(), 2, "both sign-ins: {}", links.text);
    assert!(links.says("府中市"), "who verified it: {}", links.text);
    assert_eq!(links.text.matches("いま使っているサインイン").count(), 1);

    let mut thief = newcomer(&town, "somebody-else").await;
    let used = enters(&town, &mut thief, "/my/enrol", &[], &code).await;
    assert!(used.status == StatusCode::UNPROCESSABLE_ENTITY && used.says("使えません"), "{}", used.text);
    let never = Code::mint().shown();
    let wrong = enters(&town, &mut thief, "/my/enrol", &[], &never).await;
    let same = |one: &Page, other: &Page| one.status == other.status && one.text == other.text;
    assert!(same(&used, &wrong), "used and wrong answer alike");
    assert_eq!(thief.open("/my/consents").await.status, StatusCode::FORBIDDEN);

    // The ledger knows the code's entry and who checked, and survives a restart.
    let records = format!("/people/{}/records", town.people.parents[0]);
    let ask = |town: &Town| {
        let socket = town.world.socket();
        let records = records.clone();
        async move { sekisho::admin::client::ask(&socket, Method::GET, &records, &serde_json::Value::Null).await.unwrap() }
    };
    let kept = ask(&town).await.to_string();
    for part in ["code ent-", "窓口 佐藤", REGISTRAR, "EnrolmentCodeIssued", "CodeUsed"] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
    assert!(!kept.contains(&code) && !kept.contains(&code.replace('-', "")), "the code itself is kept nowhere");
    // Also from the ledger alone: the index is made again.
    let stopped = town.stopped().await;
    std::fs::remove_dir_all(stopped.directory.path().join("data/index")).unwrap();
    let town = stopped.started().await;
    let mut thief = newcomer(&town, "somebody-else").await;
    let used = enters(&town, &mut thief, "/my/enrol", &[], &code).await;
    assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY, "used stays used");
    let fresh = self::code(&town, "resident-f").await;
    let town = town.restart().await;
    let mut father = newcomer(&town, "his-second-login").await;
    let home = enters(&town, &mut father, "/my/enrol", &[], &fresh).await;
    assert!(home.url.ends_with("/my") && home.status == StatusCode::OK, "{}", home.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_expires_and_is_not_tried_endlessly() {
    let town = known(Town::open_with(standing_clock(), |text| text).await).await;
    let code = code(&town, "resident-m").await;
    town.pass_seconds(14 * DAY + 1);
    let mut late = newcomer(&town, "late").await;
    let over = enters(&town, &mut late, "/my/enrol", &[], &code).await;
    assert!(over.status == StatusCode::UNPROCESSABLE_ENTITY && over.says("使えません"), "{}", over.text);
    for _ in 0..10 {
        let slip = enters(&town, &mut late, "/my/enrol", &[], "ABCD").await;
        assert!(slip.says("打ち間違い"), "a slip of the pen is no try: {}", slip.text);
    }
    let statuses = |wanted: u16| move |page: &Page| page.status.as_u16() == wanted;
    for _ in 0..4 {
        let wrong = enters(&town, &mut late, "/my/enrol", &[], &Code::mint().shown()).await;
        assert!(statuses(422)(&wrong), "{}", wrong.text);
    }
    let fresh = self::code(&town, "resident-m").await;
    town.world.issuer.lie(Some(Lie::Sub("late".to_owned())));
    let mut again = browser(&town);
    again.sign_in("/my/sign-in/dev", town.mother()).await;
    let enough = enters(&town, &mut again, "/my/enrol", &[], &fresh).await;
    assert!(statuses(429)(&enough), "another session gives no further tries: {}", enough.text);
    town.pass_seconds(3_600);
    let mut later = newcomer(&town, "late").await;
    let home = enters(&town, &mut later, "/my/enrol", &[], &fresh).await;
    assert!(home.status == StatusCode::OK && home.url.ends_with("/my"), "{}", home.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_registrar_issues_codes_and_none_for_a_child() {
    let town = known(Town::open().await).await;
    let mut clerk = browser(&town);
    let csrf = clerk.sign_in("/my/sign-in/fuchu-staff", CLERK).await.hidden("csrf");
    let fields = [("csrf", csrf.as_str()), ("id", "resident-m"), ("evidence", "e"), ("checked_by", "c")];
    for path in ["/counter/code/new", "/counter/code"] {
        assert_eq!(clerk.send(path, &fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let mut registrar = browser(&town);
    let csrf = registrar.sign_in("/my/sign-in/fuchu-staff", REGISTRAR).await.hidden("csrf");
    let child = [("csrf", csrf.as_str()), ("id", town.child_at_city()), ("evidence", "e"), ("checked_by", "c")];
    let page = registrar.send("/counter/code", &child).await;
    assert!(page.status == StatusCode::UNPROCESSABLE_ENTITY && page.says("15歳未満"), "{}", page.text);
    let unknown = [("csrf", csrf.as_str()), ("id", "resident-x"), ("evidence", "e"), ("checked_by", "c")];
    assert_eq!(registrar.send("/counter/code", &unknown).await.status, StatusCode::NOT_FOUND);
}

/// A code that the app has for its user, with this scope.
async fn apps_code(town: &Town, id: &str, scope: &str) -> (u16, serde_json::Value) {
    let mut request = town.world.app_request(APP_CLIENT);
    request.scope = scope.to_owned();
    let token = town.world.token(request).unwrap();
    town.call(&town.world.app_http, Method::POST, "/v1/link-codes", &token, Some(&json!({"id": id}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_user_is_linked_by_code_to_a_child_and_a_wrong_link_is_ended() {
    let town = known(Town::open().await).await;
    assert_eq!(apps_code(&town, "user-1", "consent/propose").await.0, 403);
    for bad in ["", " ", "a\nb", "123456789018"] {
        assert_eq!(apps_code(&town, bad, "link/code").await.0, 422, "{bad:?}");
    }
    let person = town.world.person_token(town.mother()).unwrap();
    let body = json!({"id": "user-1"});
    let (status, _) = town.call(&town.world.browser, Method::POST, "/v1/link-codes", &person, Some(&body)).await;
    assert_eq!(status, 403, "a person has no users");
    let (status, issued) = apps_code(&town, "user-1", "link/code").await;
    assert_eq!(status, 201, "{issued}");
    let code = issued["code"].as_str().unwrap().to_owned();

    let mut mother = browser(&town);
    mother.sign_in("/my/sign-in/dev", town.mother()).await;
    let before = mother.open("/my/links").await;
    assert!(before.says("府中市") && before.says("again=1") && !before.says("よつば"), "{}", before.text);
    let enrolment = self::code(&town, "resident-f").await;
    let about = [("about", town.child())];
    let foreign = enters(&town, &mut mother, "/my/links", &about, &enrolment).await;
    assert_eq!(foreign.status, StatusCode::UNPROCESSABLE_ENTITY, "a code for something else: {}", foreign.text);
    let father = [("about", town.people.parents[1].as_str())];
    let not_hers = enters(&town, &mut mother, "/my/links", &father, &code).await;
    assert_eq!(not_hers.status, StatusCode::NOT_FOUND, "the father is not hers to decide about");
    let linked = enters(&town, &mut mother, "/my/links", &about, &code).await;
    assert!(linked.status == StatusCode::OK && linked.says("よつば母子手帳アプリ"), "{}", linked.text);
    let store = &town.gateway.app().store;
    let child: PersonId = TextId::parse(town.child()).unwrap();
    assert_eq!(store.person_of_source("yotsuba-phr", "user-1").await.unwrap(), Some(child));
    let again = enters(&town, &mut mother, "/my/links", &about, &code).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "once");
    // Another code for the same id does not take it from whoever has it.
    let (_, second) = apps_code(&town, "user-1", "link/code").await;
    let own = [("about", town.people.parents[0].as_str())];
    let taken = enters(&town, &mut mother, "/my/links", &own, second["code"].as_str().unwrap()).await;
    assert_eq!(
        (taken.status, store.person_of_source("yotsuba-phr", "user-1").await.unwrap()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some(child))
    );

    // The father sees it as well, ends it as wrong, and nothing leads there any more.
    let mut father = browser(&town);
    father.sign_in("/my/sign-in/dev", town.father()).await;
    let list = father.open("/my/links").await;
    assert!(
        list.says("よつば母子手帳アプリ") && list.text.matches("<h2><bdi>開発用の認証").count() == 1,
        "not her sign-in: {}",
        list.text
    );
    let end = list.text.split("<article").find(|card| card.contains("よつば")).unwrap();
    let end = end.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let csrf = list.hidden("csrf");
    let not_theirs = father.send(&end, &[("csrf", &csrf), ("about", &town.people.parents[0])]).await;
    assert_eq!(not_theirs.status, StatusCode::NOT_FOUND);
    let ended = father.send(&end, &[("csrf", &csrf), ("about", town.child())]).await;
    assert!(
        ended.status == StatusCode::OK && ended.says("つながりを終わらせました") && !ended.says("<h2><bdi>よつば"),
        "{}",
        ended.text
    );
    assert_eq!(store.person_of_source("yotsuba-phr", "user-1").await.unwrap(), None);
}

/// What the other parent, and who decides for a child, must not see: own sign-ins, and where advice was sought.
#[tokio::test(flavor = "multi_thread")]
async fn links_show_nobody_where_another_sought_advice() {
    let service = "[[party]]\ncode = \"hotline\"\nkind = \"consultation-service\"\nname_ja = \"相談室\"\nname_en = \"Hotline\"\n\n";
    let town =
        Town::open_with(standing_clock(), |text| text.replacen("[[purpose]]", &format!("{service}[[purpose]]"), 1))
            .await;
    let links = [
        json!({"party": "hotline", "id": "case-1"}),
        json!({"issuer": town.world.issuer.base_url(), "sub": "the-childs-own"}),
    ];
    for to in links {
        let link = json!({"to": to, "evidence": "e", "verified_by": "hotline"});
        town.act(&format!("/people/{}/links", town.child()), link).await;
    }
    let mother = json!({"to": {"party": "hotline", "id": "case-2"}, "evidence": "e", "verified_by": "hotline"});
    town.act(&format!("/people/{}/links", town.people.parents[0]), mother).await;
    let mut father = browser(&town);
    father.sign_in("/my/sign-in/dev", town.father()).await;
    let list = father.open("/my/links").await;
    assert!(list.says("府中市") && !list.says("相談室"), "{}", list.text);
    assert_eq!(list.text.matches("<h2><bdi>開発用の認証").count(), 1, "his own alone: {}", list.text);
    let mut herself = browser(&town);
    herself.sign_in("/my/sign-in/dev", town.mother()).await;
    assert_eq!(herself.open("/my/links").await.text.matches("<h2><bdi>相談室").count(), 1, "her own");
}

/// Two links of one login at the same moment: one is taken, and what it links to is found.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_links_at_once_one_is_taken() {
    let town = Town::open().await;
    let app = town.gateway.app();
    let people: Vec<PersonId> =
        town.people.parents.iter().chain(&town.people.children).map(|id| TextId::parse(id).unwrap()).collect();
    for round in 0..20 {
        let targets = [
            LinkTarget::Login { issuer: town.world.issuer.base_url().to_owned(), sub: format!("race-{round}") },
            LinkTarget::Source { party: "my-portal".to_owned(), id: format!("race-{round}") },
        ];
        for to in targets {
            let mut racing = tokio::task::JoinSet::new();
            for person in people.clone() {
                let (app, to) = (std::sync::Arc::clone(&app), to.clone());
                racing.spawn(async move {
                    let ground = Ground { evidence: "e", verified_by: "v", code: None };
                    link(&app, person, &to, &ground, Cause::Gateway).await.is_ok()
                });
            }
            let taken = racing.join_all().await.into_iter().filter(|taken| *taken).count();
            assert_eq!(taken, 1, "round {round}: {to:?}");
        }
    }
}

/// A code that several enter at the same moment is used by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_entered_by_several_at_once_is_used_once() {
    let town = Town::open().await;
    let app = town.gateway.app();
    let people: Vec<PersonId> =
        town.people.parents.iter().chain(&town.people.children).map(|id| TextId::parse(id).unwrap()).collect();
    for round in 0..10 {
        let attestation = Attestation {
            party: "fuchu-city".to_owned(),
            way: Way::InPerson,
            evidence: "e".to_owned(),
            checked_by: "c".to_owned(),
            recorded_by: REGISTRAR.to_owned(),
            given_ms: 0,
        };
        let enrolment = codes::issue_enrolment(&app, people[0], attestation).await.unwrap().code;
        let of_app = codes::issue_link(&app, "yotsuba-phr", &format!("user-{round}")).await.unwrap().code;
        let (mut logins, mut linked) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
        for (at, person) in people.clone().into_iter().enumerate() {
            let (one, other) = (std::sync::Arc::clone(&app), std::sync::Arc::clone(&app));
            let (enrolment, of_app) = (enrolment.clone(), of_app.clone());
            let issuer = town.world.issuer.base_url().to_owned();
            let sub = format!("login-{round}-{at}");
            logins.spawn(async move { codes::enrol(&one, &issuer, &sub, &enrolment).await.is_ok() });
            linked.spawn(async move { codes::link_source(&other, person, &of_app).await.is_ok() });
        }
        for racing in [logins, linked] {
            let used = racing.join_all().await.into_iter().filter(|used| *used).count();
            assert_eq!(used, 1, "round {round}");
        }
    }
}
