//! Nurses' pages: the list, a case from taking it to its outcome, districts, what each login may see, and what becomes of it when
//! consent is withdrawn. Each view is recorded, and a release.

use std::time::Instant;

use http::{Method, StatusCode};
use sekisho::demo::world::{CLERK, HAYASHI, MORI, OMORI, OTHER_STAFF};
use sekisho_adapters::consultation::stand_in::{Knobs, Told};
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::browser::{Browser, Page};
use serde_json::{Value, json};

use super::week::{Week, consultation, details, sharing};

async fn staff(week: &Week, sub: &str) -> Browser {
    let mut browser = Browser::new(week.town.world.browser.clone(), &week.town.world.url);
    let page = browser.sign_in("/my/sign-in/fuchu-staff?then=/nurse", sub).await;
    assert!(page.url.ends_with("/nurse"), "{}", page.url);
    browser
}

/// The manager lets a nurse see these districts; none is all of them.
async fn assign(week: &Week, nurse: &str, districts: &[&str]) {
    drop(staff(week, nurse).await);
    let mut manager = staff(week, OMORI).await;
    let csrf = manager.open("/nurse/manage").await.hidden("csrf");
    let mut fields = vec![("csrf", csrf.as_str()), ("nurse", nurse)];
    fields.extend(districts.iter().map(|code| ("district", *code)));
    if districts.is_empty() {
        fields.push(("all", "1"));
    }
    let page = manager.send("/nurse/assign", &fields).await;
    assert!(page.url.ends_with("saved=1"), "{}", page.text);
}

/// A town in whose week so many cases are, and a nurse who sees them all.
async fn open(cases: &[(&str, &str, &str)]) -> (Week, Browser) {
    let week = Week::open().await;
    for (id, user, choice) in cases {
        week.flagged(id, user, choice);
    }
    week.made_up().await;
    assign(&week, HAYASHI, &[]).await;
    let nurse = staff(&week, HAYASHI).await;
    (week, nurse)
}

/// The mother is this user of the service.
async fn is_mother(week: &Week, user: &str) {
    let to = json!({"party": "nijiiro-soudan", "id": user});
    let link = json!({"to": to, "evidence": "連携コード", "verified_by": "fuchu-city"});
    week.town.act(&format!("/people/{}/links", week.town.people.parents[0]), link).await;
}

/// The number of the case whose line says this.
fn number(list: &Page, name: &str) -> String {
    let line =
        list.text.split("<li class=\"card case\"").find(|line| line.contains(name)).expect("a line with the name");
    let at = line.split("/nurse/cases/").nth(1).unwrap();
    at.split('"').next().unwrap().to_owned()
}

async fn act(nurse: &mut Browser, case: &str, fields: &[(&str, &str)]) -> Page {
    let page = nurse.open(&format!("/nurse/cases/{case}")).await;
    act_on(nurse, &page, case, fields).await
}

/// On what this page showed, however old it is.
async fn act_on(nurse: &mut Browser, page: &Page, case: &str, fields: &[(&str, &str)]) -> Page {
    let (csrf, version) = (page.hidden("csrf"), page.hidden("version"));
    let mut all = vec![("csrf", csrf.as_str()), ("case", case), ("version", version.as_str())];
    all.extend_from_slice(fields);
    nurse.send("/nurse/act", &all).await
}

async fn told_until(week: &Week, enough: impl Fn(&Told) -> bool) -> Told {
    loop {
        let told = week.care.service.told();
        if enough(&told) {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

/// What is kept of somebody, of one kind.
async fn kept(week: &Week, user: &str, kind: &str) -> Vec<Value> {
    let person = week.town.gateway.app().store.person_of_source("nijiiro-soudan", user).await.unwrap().unwrap();
    let path = format!("/people/{}/records", sekisho::ids::TextId::text(&person));
    let socket = week.town.world.socket();
    let kept = sekisho::admin::client::ask(&socket, Method::GET, &path, &Value::Null).await.unwrap();
    let all = kept["records"].as_array().unwrap().iter().filter(|record| record["kind"] == kind);
    all.map(|record| record["record"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_who_how_to_reach_them_safely_and_why() {
    let week = Week::open().await;
    is_mother(&week, "u-1").await;
    week.flagged("c-1", "u-1", "content");
    week.flagged("c-2", "u-2", "identity-only");
    week.flagged("c-3", "u-3", "nothing");
    week.made_up().await;
    assign(&week, HAYASHI, &[]).await;
    let mut nurse = staff(&week, HAYASHI).await;
    let list = nurse.open("/nurse").await;
    assert_eq!(list.status, StatusCode::OK);
    assert!(list.says("合成 u-1") && list.says("合成 u-2") && !list.says("合成 u-3"), "{}", list.text);
    assert!(list.says("EPDS合計9点") && list.says("家族に知られたくない") && list.says("留守電不可"));
    assert!(list.says("相談内容の共有には同意がありません。相談があったことには触れないでください"));
    assert!(!list.says("相談の言葉") && !list.says("000-0000-0001"), "a list has no words and no numbers");
    let case = number(&list, "合成 u-2");
    let shown = nurse.open(&format!("/nurse/cases/{case}")).await;
    assert!(shown.says("000-0000-0001") && shown.says("合成 u-2") && !shown.says("相談の言葉") && !shown.says("EPDS"));
    let case = number(&list, "合成 u-1");
    let shown = nurse.open(&format!("/nurse/cases/{case}")).await;
    assert!(shown.says("相談の言葉 c-1") && shown.says("助言の言葉 c-1") && shown.says("<svg"));
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    // The name is in no address, and each look is an entry and a release.
    assert!(!shown.url.contains("u-1"));
    let mother = &week.town.people.parents[0];
    let path = format!("/v1/access-log?subject={mother}");
    let log = loop {
        let (_, log) = week.town.person(Method::GET, &path, week.town.mother(), None).await;
        if !log.to_string().contains("under-way") {
            break log;
        }
    };
    let lines: Vec<&Value> = log["items"].as_array().unwrap().iter().filter(|l| l["kind"] == "decision").collect();
    assert!(lines.iter().all(|l| l["recipient"] == "fuchu-city" && l["capacity"] == "staff"), "{log}");
    // Signing in leads to the list too; the manager had been there.
    assert!(lines.len() == 4 && lines.iter().all(|l| l["outcome"] == "complete"), "{log}");
    let views = kept(&week, "u-1", "CaseViewed").await;
    assert!(views.iter().all(|v| v["party"] == "fuchu-city"));
    let seen = views.iter().map(|v| (v["by"].as_str().unwrap(), v["whole"].as_bool().unwrap()));
    assert_eq!(seen.collect::<Vec<_>>(), [(OMORI, false), (HAYASHI, false), (HAYASHI, false), (HAYASHI, true)]);
    assert!(kept(&week, "u-3", "CaseViewed").await.is_empty());
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_goes_from_taking_it_to_an_outcome_and_the_service_learns_codes() {
    let (week, mut nurse) = open(&[("c-1", "u-1", "content")]).await;
    let list = nurse.open("/nurse").await;
    let case = number(&list, "合成 u-1");
    // Nobody contacts anybody before it is clear who it is.
    assert!(act(&mut nurse, &case, &[("action", "take"), ("note", "")]).await.says("保健師 林"));
    let early = act(&mut nurse, &case, &[("action", "contacted"), ("note", "まだ")]).await;
    assert!(
        early.status == StatusCode::UNPROCESSABLE_ENTITY
            && early.says("照合してください")
            && early.says("まだ</textarea>")
    );
    for fields in [
        [("action", "match"), ("matched", "confirmed")],
        [("action", "ask"), ("question", "hours")],
        [("action", "contacted"), ("note", "本人と話した。来週うかがう")],
        [("action", "visit"), ("day", "2026-12-01")],
        [("action", "close"), ("outcome", "ongoing")],
    ] {
        let page = act(&mut nurse, &case, &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{fields:?}: {}", page.text);
    }
    let closed = nurse.open(&format!("/nurse/cases/{case}")).await;
    assert!(
        closed.says("終結") && closed.says("本人と話した。来週うかがう") && !closed.says("相談の言葉"),
        "{}",
        closed.text
    );
    assert!(!nurse.open("/nurse").await.says(&case), "it is off the list");
    // The service is told at the next look.
    week.town.pass_seconds(3_601);
    let told = told_until(&week, |told| told.outcomes.len() == 3 && !told.returned.is_empty()).await;
    let mut outcomes: Vec<&str> = told.outcomes.iter().map(|(_, code)| code.as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["closed", "contacted", "invited"]);
    assert_eq!(told.returned, [("c-1".to_owned(), "municipality".to_owned(), "question-hours".to_owned())]);
    let worked = kept(&week, "u-1", "CaseWorked").await;
    assert_eq!(worked.len(), 6);
    assert!(worked.iter().all(|w| w["by"] == HAYASHI) && !json!(worked).to_string().contains("うかがう"));
    let mut manager = staff(&week, OMORI).await;
    let counts = manager.open("/nurse/manage").await;
    assert!(counts.says("連絡がついた") && counts.says("地区で継続支援"));
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_nurses_is_told_and_keeps_what_she_wrote() {
    let (week, mut hayashi) = open(&[("c-1", "u-1", "content")]).await;
    assign(&week, MORI, &[]).await;
    let mut mori = staff(&week, MORI).await;
    let list = hayashi.open("/nurse").await;
    let case = number(&list, "合成 u-1");
    let seen_by_mori = mori.open(&format!("/nurse/cases/{case}")).await;
    act(&mut hayashi, &case, &[("action", "take"), ("note", "")]).await;
    let second = act_on(&mut mori, &seen_by_mori, &case, &[("action", "take"), ("note", "わたしの下書き")]).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert!(
        second.says("ほかの保健師がこの事例を更新した")
            && second.says("わたしの下書き</textarea>")
            && second.says("保健師 林")
    );
    let again = act_on(&mut mori, &second, &case, &[("action", "note"), ("note", "わたしの下書き")]).await;
    assert!(again.status == StatusCode::OK && again.says("わたしの下書き"));
    // Handed over, it is hers.
    let page = hayashi.open(&format!("/nurse/cases/{case}")).await;
    let handed = act_on(&mut hayashi, &page, &case, &[("action", "hand-over"), ("to", MORI), ("note", "")]).await;
    assert!(handed.says("引き継いだ"));
    let taken = act(&mut mori, &case, &[("action", "match"), ("matched", "confirmed")]).await;
    assert_eq!(taken.status, StatusCode::OK);
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nurse_sees_her_districts_and_her_municipality() {
    let week = Week::open().await;
    let at = |id: &str, user: &str, postal: &str, municipality: &str| {
        let mut record = consultation(id, user);
        record["epds"] = json!([3, 3, 3, 0, 0, 0, 0, 0, 0, 0]);
        record["residence"] = json!({"municipality": municipality, "postal": postal});
        record["sharing"] = sharing("content", municipality, "2026-11-16T10:00:00+09:00");
        week.put(id, user, &record);
    };
    at("c-1", "u-1", "183-0000", "132063");
    at("c-2", "u-2", "183-0001", "132063");
    at("c-3", "u-3", "206-0801", "132250");
    week.made_up().await;
    let nobodys = staff(&week, MORI).await.open("/nurse").await;
    assert!(nobodys.says("担当地区がまだ割り当てられていません") && !nobodys.says("合成 u-"));
    assign(&week, HAYASHI, &["chuo"]).await;
    let mut hayashi = staff(&week, HAYASHI).await;
    let list = hayashi.open("/nurse").await;
    assert!(list.says("合成 u-1") && !list.says("合成 u-2") && !list.says("合成 u-3"), "{}", list.text);
    let manager = staff(&week, OMORI).await.open("/nurse").await;
    assert!(manager.says("合成 u-1") && manager.says("合成 u-2") && !manager.says("合成 u-3"));
    // Another district's case, another municipality's, and one that nobody has are one page.
    let other = number(&manager, "合成 u-2");
    let [theirs, nobodys] = [other.as_str(), "AAAA-AAAA-AAAA"].map(|number| format!("/nurse/cases/{number}"));
    let (theirs, nobodys) = (hayashi.open(&theirs).await, hayashi.open(&nobodys).await);
    assert_eq!((theirs.status, nobodys.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    let rest = |page: &Page| page.text.split("<main").nth(1).unwrap().to_owned();
    assert_eq!(rest(&theirs), rest(&nobodys));
    assert!(kept(&week, "u-2", "CaseViewed").await.iter().all(|v| v["by"] == OMORI));
    // The manager widens it.
    assign(&week, HAYASHI, &["chuo", "kita"]).await;
    assert!(hayashi.open("/nurse").await.says("合成 u-2"));
    let csrf = hayashi.open("/nurse").await.hidden("csrf");
    let own = hayashi.send("/nurse/assign", &[("csrf", &csrf), ("nurse", HAYASHI), ("all", "1")]).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "nobody widens what they see themself");
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_nurse_of_a_municipality_opens_nothing() {
    let (week, mut nurse) = open(&[("c-1", "u-1", "content")]).await;
    let case = number(&nurse.open("/nurse").await, "合成 u-1");
    for (way, sub) in [("fuchu-staff", CLERK), ("fuchu-staff", OTHER_STAFF), ("dev", week.town.mother())] {
        let mut browser = Browser::new(week.town.world.browser.clone(), &week.town.world.url);
        browser.sign_in(&format!("/my/sign-in/{way}"), sub).await;
        for path in ["/nurse", &format!("/nurse/cases/{case}"), "/nurse/print", "/nurse/manage", "/nurse/watch/AAAA"] {
            let page = browser.open(path).await;
            assert!(page.status == StatusCode::FORBIDDEN && !page.says("合成 u-1"), "{sub} {path}: {}", page.text);
        }
    }
    let nobody = Browser::new(week.town.world.browser.clone(), &week.town.world.url).open("/nurse").await;
    assert!(nobody.says("府中市職員の認証") && !nobody.says("合成 u-1"));
    // A role that is taken away is gone with the next request.
    week.town
        .reload_with(|text| text.replace("nurse_roles = [\"public-health-nurse\"]", "nurse_roles = [\"nobody\"]"))
        .await
        .unwrap();
    assert_eq!(nurse.open("/nurse").await.status, StatusCode::FORBIDDEN);
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_is_gone_from_open_lists_and_the_nurses_own_record_stays() {
    let (week, mut nurse) = open(&[("c-1", "u-1", "content"), ("c-2", "u-2", "content")]).await;
    let list = nurse.open("/nurse").await;
    let case = number(&list, "合成 u-1");
    act(&mut nurse, &case, &[("action", "take"), ("note", "訪問の準備をする")]).await;
    let open = nurse.open("/nurse").await;
    let watch = open.link("/nurse/watch/").split('?').next().unwrap().to_owned();
    let detail = nurse.open(&format!("/nurse/cases/{case}")).await;
    let asked: Value = serde_json::from_str(&nurse.open(&watch).await.text).unwrap();
    assert_eq!(asked, json!({"all": false, "gone": []}));
    // The style sheet for those without scripts is held until something is gone.
    let held = format!("{watch}?held=1");
    let mut without_scripts = nurse.twin();
    let holding = tokio::spawn(async move { without_scripts.open(&held).await });
    week.care.service.choose("u-1", None, "nothing", "132063", "2026-11-23T07:00:00+09:00");
    let begun = Instant::now();
    loop {
        let asked: Value = serde_json::from_str(&nurse.open(&watch).await.text).unwrap();
        if asked == json!({"all": false, "gone": [case]}) {
            break;
        }
        assert!(begun.elapsed().as_millis() < 1_000, "it is still shown: {asked}");
    }
    assert!(holding.await.unwrap().says("[data-case]{display:none!important}"));
    // What she was writing when it happened is hers.
    let saved = act_on(&mut nurse, &detail, &case, &[("action", "note"), ("note", "電話はまだ")]).await;
    assert!(saved.status == StatusCode::OK && saved.says("共有停止"), "{}", saved.text);
    assert!(
        saved.says("訪問の準備をする")
            && saved.says("電話はまだ")
            && !saved.says("合成 u-1")
            && !saved.says("相談の言葉")
    );
    let list = nurse.open("/nurse").await;
    assert!(list.says(&case) && list.says("共有停止") && !list.says("合成 u-1") && list.says("合成 u-2"));
    week.town.pass_seconds(3_601);
    let told = told_until(&week, |told| !told.returned.is_empty()).await;
    assert_eq!(told.returned, [("c-1".to_owned(), "sharing".to_owned(), "stopped-while-worked-on".to_owned())]);
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_withdrawals_cant_be_read_nothing_is_shown_and_work_goes_on() {
    let (week, mut nurse) = open(&[("c-1", "u-1", "content")]).await;
    let case = number(&nurse.open("/nurse").await, "合成 u-1");
    act(&mut nurse, &case, &[("action", "take"), ("note", "")]).await;
    week.care
        .service
        .set_knobs(Knobs { faults: Faults { status: Some(503), ..Faults::default() }, ..Knobs::default() });
    let list = nurse.open("/nurse").await;
    assert!(
        list.status == StatusCode::OK && list.says(&case) && list.says("応答しない") && !list.says("合成 u-1"),
        "{}",
        list.text
    );
    let detail = act(&mut nurse, &case, &[("action", "note"), ("note", "つながらない")]).await;
    assert!(detail.says("つながらない") && !detail.says("合成 u-1") && !detail.says("共有停止: 同意の撤回"));
    week.care.service.set_knobs(Knobs::default());
    assert!(nurse.open("/nurse").await.says("合成 u-1"));
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_searched_in_a_form_and_lists_are_narrowed_and_printed() {
    let (week, mut nurse) = open(&[("c-1", "u-1", "content"), ("c-2", "u-2", "identity-only")]).await;
    let mut other = details("c-2", "u-2", "別野 名無");
    other["asker"]["kana"] = json!("ベツノ ナナシ");
    week.care.service.put_details("c-2", other);
    let list = nurse.open("/nurse").await;
    let csrf = list.hidden("csrf");
    let found = nurse.send("/nurse/search", &[("csrf", &csrf), ("name", "べつの")]).await;
    assert!(found.says("別野 名無") && !found.says("合成 u-1") && !found.url.contains('?'), "{}", found.text);
    let views = kept(&week, "u-1", "CaseViewed").await.len();
    nurse.send("/nurse/search", &[("csrf", &csrf), ("name", "ﾍﾞﾂﾉ")]).await;
    assert_eq!(kept(&week, "u-1", "CaseViewed").await.len(), views, "who is not shown was not looked at");
    let case = number(&list, "合成 u-1");
    act(&mut nurse, &case, &[("action", "take"), ("note", "")]).await;
    let taken = nurse.open("/nurse?status=taken").await;
    assert!(taken.says("合成 u-1") && !taken.says("別野 名無"));
    assert!(!nurse.open("/nurse?urgency=urgent").await.says("合成 u-1"));
    let print = nurse.open("/nurse/print").await;
    assert!(
        print.says(&case) && print.says("合成 u-1") && print.says("000-0000-0001") && !print.says("EPDS"),
        "{}",
        print.text
    );
    assert!(
        print.says("印刷した人")
            && print.says("保健師 林")
            && print.says("写し番号: 1")
            && print.says("有効期限: 2026-")
    );
    let with = nurse.open("/nurse/print?reasons=1").await;
    assert!(with.says("EPDS合計9点") && with.says("写し番号: 2") && !with.says("相談の言葉"));
    week.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_sees_the_windows_and_asks_to_be_contacted() {
    let week = Week::open().await;
    is_mother(&week, "u-2").await;
    week.flagged("c-1", "u-1", "content");
    week.flagged("c-2", "u-2", "identity-only");
    week.made_up().await;
    assign(&week, HAYASHI, &[]).await;
    let mut nurse = staff(&week, HAYASHI).await;
    let mut parent = Browser::new(week.town.world.browser.clone(), &week.town.world.url);
    parent.sign_in("/my/sign-in/dev", week.town.mother()).await;
    let before = parent.open("/my/windows").await;
    // A legal basis comes before a consent, and nobody can tell from the page that there is one.
    let basis = json!({"recipient": "fuchu-city", "purpose": "parenting-support",
        "categories": ["identity@1", "contact@1", "consultation-flag@1", "consultation-content@1"],
        "from": "2026-11-01T00:00:00Z", "until": "2026-12-20T00:00:00Z", "article": "児童福祉法25条",
        "requester": "府中市", "decided_by": "課長 大川（架空）", "reason": "要保護児童の通告（架空）"});
    week.town.act(&format!("/people/{}/bases", week.town.people.parents[0]), basis).await;
    let windows = parent.open("/my/windows").await;
    assert_eq!(windows.text, before.text);
    assert!(
        windows.says("000-0000-1111") && windows.says("連絡してほしいと伝える") && windows.says("稲城市"),
        "{}",
        windows.text
    );
    let csrf = windows.hidden("csrf");
    let refused = parent.send("/my/windows/ask", &[("csrf", &csrf), ("municipality", "inagi-city")]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "nothing is shared with that one");
    let asked = parent.send("/my/windows/ask", &[("csrf", &csrf), ("municipality", "fuchu-city")]).await;
    assert!(asked.says("連絡の希望を伝えました") && asked.says("連絡の希望を伝えてあります"));
    let list = nurse.open("/nurse").await;
    let at = |text: &str| list.text.find(text).unwrap();
    assert!(list.says("本人が連絡を希望") && at("合成 u-2") < at("合成 u-1"));
    week.town.gateway.stop().await;
}
