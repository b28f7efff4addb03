//! What citizens do at the pages: see, grant, stop, see who looked. And what nobody gets to see or do there.

use http::{Method, StatusCode};
use sekisho::ids::TextId;
use sekisho::web::{For, ROUTES};
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, body, standing_clock};
use serde_json::{Value, json};

fn browser(town: &Town) -> Browser {
    Browser::new(town.world.browser.clone(), &town.world.url)
}

pub(super) async fn signed_in(town: &Town, sub: &str) -> Browser {
    let mut browser = browser(town);
    let home = browser.sign_in("/my/sign-in/dev", sub).await;
    assert_eq!(
        (home.status, home.url.as_str()),
        (StatusCode::OK, format!("{}/my", town.world.url).as_str()),
        "{}",
        home.text
    );
    browser
}

pub(super) async fn proposed(town: &Town) -> String {
    let proposal = town.world.propose(town.mother(), &town.in_seconds(86_400)).await.unwrap();
    proposal["id"].as_str().unwrap().to_owned()
}

/// Signs in anew, strongly, and comes back to the proposal.
pub(super) async fn ready_to_agree(town: &Town, mother: &mut Browser, id: &str) -> Page {
    let shown = mother.open(&format!("/my/proposals/{id}")).await;
    assert!(
        shown.says("よつば母子手帳アプリ") && shown.says("予防接種の記録") && !shown.says("checked"),
        "{}",
        shown.text
    );
    assert!(!shown.says("/agree"), "not before a strong sign-in");
    let again = shown.link("again=1");
    let page = mother.sign_in(&again, town.mother()).await;
    assert!(page.says("/agree") && !page.says(" checked"), "nothing is chosen beforehand: {}", page.text);
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mother_agrees_sees_who_looked_and_stops_it_with_a_proof() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let page = ready_to_agree(&town, &mut mother, &id).await;
    let (csrf, text, revision) = (page.hidden("csrf"), page.hidden("text"), page.hidden("revision"));
    let agree = format!("/my/proposals/{id}/agree");
    let nobody = mother.send(&agree, &[("csrf", &csrf), ("text", &text), ("revision", &revision)]).await;
    assert_eq!(nobody.status, StatusCode::BAD_REQUEST, "whom it is about must be said");
    let fields = [("csrf", csrf.as_str()), ("text", &text), ("revision", &revision), ("subject", town.child())];
    let agreed = mother.send(&agree, &fields).await;
    assert!(agreed.status == StatusCode::OK && agreed.says("同意しました"), "{}", agreed.text);
    // A second window with the same form: what stands is shown, nothing is given twice.
    let again = mother.send(&agree, &fields).await;
    assert_eq!((again.status, again.url.ends_with(&format!("/my/consents/{id}"))), (StatusCode::OK, true));

    let token = town.world.app_token(town.mother()).unwrap();
    let seen =
        town.world.json(&town.world.app_http, Method::GET, &format!("/v1/consents/{id}"), &token, None).await.unwrap();
    let patient = seen["patient"].as_str().unwrap();
    assert!(town.items(patient).await > 0);
    assert_eq!(town.newest_outcome().await, "complete");
    let home = mother.open("/my").await;
    assert!(home.says("最後の提供") && home.says("提供しました"), "{}", home.text);

    // Who looked, and the proof of it.
    let log = mother.open(&format!("/my/log?about={}", town.child())).await;
    assert!(log.says("よつば母子手帳アプリ") && log.says("アプリで予防接種の記録を見る"));
    let proof = mother.open(&log.link("&at=")).await;
    assert!(proof.status == StatusCode::OK && proof.says("sekisho ledger prove ent-"), "{}", proof.text);
    let export = mother.open(&format!("/my/log.json?about={}", town.child())).await;
    let export: Value = serde_json::from_str(&export.text).unwrap();
    assert_eq!(export["records"][0]["consents"], json!([id]));
    let table = mother.open(&format!("/my/log.csv?about={}", town.child())).await;
    assert!(
        table.text.starts_with('\u{feff}')
            && table.text.lines().count() == export["records"].as_array().unwrap().len() + 1
    );

    let this = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
    let month = |at: &jiff::Zoned| format!("/my/log?about={}&month={}", town.child(), at.strftime("%Y-%m"));
    assert!(mother.open(&month(&this)).await.says("<article"));
    let earlier = this.checked_sub(jiff::Span::new().months(2)).unwrap();
    assert!(mother.open(&month(&earlier)).await.says("記録はありません"));
    assert_eq!(mother.open("/my/log?month=2026-13").await.status, StatusCode::BAD_REQUEST);

    // Two taps from the first page.
    let ask = mother.open(&home.link("/stop")).await;
    let stopped = mother.send(&format!("/my/consents/{id}/stop"), &[("csrf", &ask.hidden("csrf"))]).await;
    assert!(
        stopped.status == StatusCode::OK && stopped.says("に止めました") && stopped.says("ent-"),
        "{}",
        stopped.text
    );
    assert_eq!(town.items(patient).await, 0);
    let home = mother.open("/my").await;
    assert!(home.says("いま、どこにも提供していません"), "{}", home.text);
    let refused = mother.open(&format!("/my/log?about={}&refused=1", town.child())).await;
    assert!(refused.says("お断りしました") && !refused.says("<dd>提供しました"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_stopped_at_once_while_the_sources_are_down() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let mut mother = signed_in(&town, town.mother()).await;
    town.world.city.set_knobs(sekisho_adapters::fhir_server::stand_in::Knobs::default());
    let ask = mother.open("/my/stop-all").await;
    assert!(ask.says("提供を止めますか"));
    let stopped = mother.send("/my/stop-all", &[("csrf", &ask.hidden("csrf"))]).await;
    assert!(stopped.says("に止めました"), "{}", stopped.text);
    assert_eq!(town.items(&patient).await, 0);
    let again = mother.send("/my/stop-all", &[("csrf", &ask.hidden("csrf"))]).await;
    assert!(again.status == StatusCode::OK && again.says("止めるものはありませんでした"), "{}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_declined() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let home = mother.open("/my").await;
    assert!(home.says("お返事を待っている申し込み"));
    let csrf = home.hidden("csrf");
    let declined = mother.send(&format!("/my/proposals/{id}/decline"), &[("csrf", &csrf)]).await;
    assert!(declined.says("同意しませんでした"), "{}", declined.text);
    let home = mother.open("/my").await;
    assert!(!home.says("お返事を待っている申し込み"));
    let gone = mother.open(&format!("/my/proposals/{id}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_text_is_not_agreed_to() {
    let town = Town::open().await;
    let id = proposed(&town).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let page = ready_to_agree(&town, &mut mother, &id).await;
    let (csrf, revision) = (page.hidden("csrf"), page.hidden("revision"));
    let old = "00".repeat(32);
    let fields = [("csrf", csrf.as_str()), ("text", &old), ("revision", &revision), ("subject", town.child())];
    let again = mother.send(&format!("/my/proposals/{id}/agree"), &fields).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.says("まだ同意していません") && again.hidden("text") == page.hidden("text"), "{}", again.text);
    let home = mother.open("/my").await;
    assert!(home.says("いま、どこにも提供していません"));
}

/// The matrix: what each page answers to nobody, to somebody unlinked, and to somebody else than the one it is about.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_what_is_not_theirs() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    town.items(&patient).await;
    let proposal = proposed(&town).await;
    let stranger = town.world.families[1].parents[0].id.clone();
    let mut mother = signed_in(&town, town.mother()).await;
    let log = mother.open(&format!("/my/log?about={}", town.child())).await;
    let line = log.link("&at=");
    let (mut nobody, mut unlinked) = (browser(&town), browser(&town));
    let page = unlinked.sign_in("/my/sign-in/dev", &stranger).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // The other family, enrolled as well.
    let others = town.world.enrol(&town.world.families[1].clone()).await.unwrap();
    assert!(!others.parents.is_empty());
    let mut other = signed_in(&town, &stranger).await;
    let csrf = other.open("/my").await.hidden("csrf");
    for (method, path, whom) in ROUTES.iter().filter(|(.., whom)| *whom == For::Person) {
        let id = if path.contains("proposals") { &proposal } else { &consent };
        let path = match *path {
            "/my/log/{id}" => line.clone(),
            "/my/log" | "/my/log.csv" | "/my/log.json" => format!("{path}?about={}", town.child()),
            _ => path.replace("{id}", id),
        };
        for (name, browser) in [("nobody", &mut nobody), ("somebody else", &mut other)] {
            let answer = if *method == "GET" {
                browser.peek(&path).await
            } else {
                browser.send(&path, &[("csrf", &csrf)]).await
            };
            if path.starts_with("/my/channel") && name == "somebody else" {
                // Their own channel: nothing there is anybody else's.
                assert!(!answer.says("よつば"), "{method} {path}: {}", answer.text);
                continue;
            }
            if name == "somebody else" && path == "/my/links" && *method == "POST" {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "of whom is not said");
                assert!(!answer.says("よつば") && !answer.says(town.child()), "{}", answer.text);
                continue;
            }
            let own = ["/my/consents", "/my/refusals", "/my/stop-all", "/my/links"].contains(&path.as_str())
                && name == "somebody else";
            if own {
                assert_eq!(answer.status, StatusCode::OK, "{method} {path}: their own, which is nothing");
                assert!(!answer.says("よつば"), "{method} {path}: {}", answer.text);
                continue;
            }
            let wanted = match name {
                // What was answered elsewhere is looked at where it stands, which is not theirs either.
                // Asked to sign in strongly first, whatever it is.
                "somebody else" if path.ends_with("/lift") => StatusCode::FORBIDDEN,
                "somebody else" => StatusCode::NOT_FOUND,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(answer.status, wanted, "{method} {path} ({whom:?}) to {name}");
            assert!(!answer.says("よつば") && !answer.says(town.child()), "{method} {path} to {name}");
        }
    }
    assert!(town.items(&patient).await > 0, "nothing was stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_do_nothing() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let mut mother = signed_in(&town, town.mother()).await;
    let csrf = mother.open("/my").await.hidden("csrf");
    let stop = format!("/my/consents/{consent}/stop");
    for wrong in ["", "x", &csrf[1..]] {
        let answer = mother.send(&stop, &[("csrf", wrong)]).await;
        assert!(answer.status == StatusCode::FORBIDDEN && answer.says("何も変わっていません"), "{}", answer.text);
    }
    let answer = mother.send_from("https://evil.invalid", &stop, &[("csrf", &csrf)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let mut father = signed_in(&town, town.father()).await;
    let answer = father.send(&stop, &[("csrf", &csrf)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "another session's");
    assert!(town.items(&patient).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_keeps_to_itself() {
    let town = Town::open().await;
    let mut mother = signed_in(&town, town.mother()).await;
    for path in ["/my", "/my/consents", "/my/log", "/my/stop-all", "/my/nothing", "/my/style.css"] {
        let page = mother.open(path).await;
        let of = |name: &str| page.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        assert!(of("content-security-policy").starts_with("default-src 'none'; style-src 'self'"), "{path}");
        assert!(
            !of("content-security-policy").contains("unsafe")
                && of("content-security-policy").contains("frame-ancestors 'none'")
        );
        assert_eq!((of("referrer-policy"), of("x-content-type-options")), ("no-referrer", "nosniff"), "{path}");
        let kept = if path.ends_with(".css") { "public, max-age=3600" } else { "no-store" };
        assert_eq!(of("cache-control"), kept, "{path}");
        assert!(!page.says("http://") || path.ends_with(".css"), "{path}: nothing comes from elsewhere");
        assert!(!page.says("<script") && !page.says("style=\""), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn english_is_one_press_away() {
    let town = Town::open().await;
    let mut visitor = browser(&town);
    assert!(visitor.open("/my").await.says("サインイン"));
    let page = visitor.send("/my/language", &[("language", "en"), ("then", "/my")]).await;
    assert!(page.says("lang=\"en\"") && page.says("Sign in with"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_nothing_is_done() {
    let clock = standing_clock();
    let town = Town::open_with(clock, |text| text).await;
    let mut mother = signed_in(&town, town.mother()).await;
    town.pass_seconds(599);
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::OK);
    town.pass_seconds(600);
    let page = mother.open("/my/consents").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("もう一度サインイン"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_must_leave_at_once_leaves_nothing_behind() {
    let town = Town::open().await;
    let mut mother = signed_in(&town, town.mother()).await;
    let left = mother.peek("/my/exit").await;
    assert_eq!(
        (left.status, left.headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "https://www.jma.go.jp/")
    );
    assert!(mother.cookie("__Host-sekisho").is_none());
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::FORBIDDEN);
}

/// What is the mother's own is nobody else's: not on a page, in a count, an export or an address, and not by time either, since
/// nothing of hers is read for him.
#[tokio::test(flavor = "multi_thread")]
async fn the_father_finds_no_trace_of_what_is_the_mothers_own() {
    let town = Town::open().await;
    let mut father = signed_in(&town, town.father()).await;
    let (home, log) = (father.open("/my").await, father.open("/my/log").await);
    let (mother, unknown) = (&town.people.parents[0], sekisho_policy::PersonId::mint().text());
    // She agrees about herself, and the app asks.
    let proposal = proposed(&town).await;
    town.world.approve(town.mother(), &proposal, mother).await.unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{proposal}");
    let seen = town.world.json(&town.world.app_http, Method::GET, &path, &token, None).await.unwrap();
    town.items(seen["patient"].as_str().unwrap()).await;
    let mut herself = signed_in(&town, town.mother()).await;
    assert!(
        herself.open("/my").await.says("よつば") && herself.open("/my/log").await.says("よつば母子手帳アプリ</bdi>")
    );

    let same = |one: &Page, other: &Page| {
        let csrf = |page: &Page| page.text.replace(&page.hidden("csrf"), "");
        csrf(one) == csrf(other)
    };
    assert!(same(&home, &father.open("/my").await) && same(&log, &father.open("/my/log").await));
    for path in ["/my/log?about=", "/my/log.csv?about=", "/my/log.json?about="] {
        let (hers, nobodys) =
            (father.open(&format!("{path}{mother}")).await, father.open(&format!("{path}{unknown}")).await);
        assert!(
            hers.status == StatusCode::NOT_FOUND && hers.status == nobodys.status && same(&hers, &nobodys),
            "{path}"
        );
    }
    let never = sekisho_policy::ConsentId::mint().text();
    for end in ["", "/stop", "/record"] {
        let (hers, nobodys) = (
            father.open(&format!("/my/consents/{proposal}{end}")).await,
            father.open(&format!("/my/consents/{never}{end}")).await,
        );
        let without_id =
            |page: &Page| page.text.replace(&proposal, "").replace(&never, "").replace(&page.hidden("csrf"), "");
        assert_eq!((hers.status, without_id(&hers)), (nobodys.status, without_id(&nobodys)), "{end}");
    }
}

/// The eighteenth birthday in Japan: what guardians agreed to ends, they see nothing more, and the young adult is asked anew.
#[tokio::test(flavor = "multi_thread")]
async fn on_the_eighteenth_birthday_the_young_adult_decides() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let birth = town.family.children[0].person.birth;
    let birthday = birth
        .checked_add(jiff::Span::new().years(18))
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
    let birthday = birthday.unwrap().timestamp().as_millisecond();
    let left = (birthday - town.clock.now().unwrap().millis()) / 1_000;
    let day = 86_400;
    town.pass_seconds(left - 10 * day);
    let until = town.in_seconds(30 * day);
    let (_, patient) = town.world.consent(town.mother(), town.child(), &until).await.unwrap();
    assert_eq!(town.refuse(town.mother(), json!({"recipient": "midori-clinic"})).await.0, 201);
    town.pass_seconds(9 * day);
    assert!(town.items(&patient).await > 0, "the day before");
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(mother.open("/my").await.says("提供中"));
    let standing = mother.open("/my/refusals").await;
    assert!(standing.says("みどり") && !standing.says("終わった「同意しない」"), "{}", standing.text);
    let child = town.world.families[0].children[0].person.id.clone();
    let link = json!({
        "to": {"issuer": town.world.issuer.base_url(), "sub": child}, "evidence": "対面での確認", "verified_by": "fuchu-city"
    });
    town.act(&format!("/people/{}/links", town.child()), link).await;

    town.pass_seconds(day + 1);
    assert_eq!(town.items(&patient).await, 0);
    let mut mother = signed_in(&town, town.mother()).await;
    let home = mother.open("/my").await;
    assert!(
        home.says("いま、どこにも提供していません") && !mother.open("/my/consents").await.says("よつば"),
        "{}",
        home.text
    );
    assert_eq!(mother.open(&format!("/my/log?about={}", town.child())).await.status, StatusCode::NOT_FOUND);
    // The development issuer has no such persona: it is told to say that it is the child.
    town.world.issuer.lie(Some(sekisho_adapters::identity::stand_in::Lie::Sub(child.clone())));
    let mut grown = signed_in(&town, town.mother()).await;
    let all = grown.open("/my/consents").await;
    assert!(all.says("いまは提供されていません") && !all.says("/stop\""), "{}", all.text);
    let home = grown.open("/my").await;
    assert!(home.says("18歳になったので") && !home.says("期限が切れる同意"), "{}", home.text);
    // Nobody must believe that something is refused still.
    let refusals = grown.open("/my/refusals").await;
    let over = refusals.text.split("終わった「同意しない」").nth(1).expect("it is over");
    assert!(over.contains("みどり") && refusals.says("もう提供を止めていません"), "{}", refusals.text);
    let (_, list) = town.person(Method::GET, "/v1/refusals", &child, None).await;
    assert_eq!(list["items"][0]["status"], "ended", "{list}");
    let proposal = town.world.propose(&child, &town.in_seconds(day)).await.unwrap();
    let page = grown.open(&format!("/my/proposals/{}", proposal["id"].as_str().unwrap())).await;
    let page = grown.sign_in(&page.link("again=1"), town.mother()).await;
    assert!(page.says("/agree") && page.says(town.child()), "asked anew, about themself: {}", page.text);
}

/// Born on a leap day, somebody is eighteen when the 28th of February ends in Japan, in a year that has no 29th.
#[tokio::test(flavor = "multi_thread")]
async fn born_on_a_leap_day_one_decides_from_the_first_of_march() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let person = json!({"birth": "2012-02-29", "evidence": "戸籍", "verified_by": "fuchu-city"});
    let child = town.act("/people", json!({"people": [person]})).await["people"][0].as_str().unwrap().to_owned();
    let authority = json!({
        "guardian": town.people.parents[0], "from": "2012-02-29T00:00:00+09:00", "kind": "親権者", "evidence": "戸籍",
        "verified_by": "fuchu-city",
    });
    town.act(&format!("/people/{child}/authorities"), authority).await;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let left = |text: &str| (at(text) - town.clock.now().unwrap().millis()) / 1_000;
    town.pass_seconds(left("2030-02-20T00:00:00+09:00"));
    let until = town.in_seconds(30 * 86_400);
    town.world.consent(town.mother(), &child, &until).await.unwrap();
    town.pass_seconds(left("2030-02-28T23:59:58+09:00"));
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(mother.open("/my").await.says("提供中"), "on the last day");
    town.pass_seconds(left("2030-03-01T00:00:01+09:00"));
    let mut mother = signed_in(&town, town.mother()).await;
    let home = mother.open("/my").await;
    assert!(home.says("いま、どこにも提供していません"), "{}", home.text);
    assert_eq!(mother.open(&format!("/my/log?about={child}")).await.status, StatusCode::NOT_FOUND);
}

/// Two parents: either may refuse, it stands against the other's grant, and only who refused can lift it.
#[tokio::test(flavor = "multi_thread")]
async fn a_father_refuses_what_the_mother_agreed_to_and_alone_lifts_it() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let (mut mother, mut father) = (signed_in(&town, town.mother()).await, signed_in(&town, town.father()).await);
    let shown = father.open(&format!("/my/consents/{consent}")).await;
    assert!(shown.says("ほかの保護者"), "{}", shown.text);
    let csrf = shown.hidden("csrf");
    let list = father.send(&format!("/my/consents/{consent}/refuse"), &[("csrf", &csrf)]).await;
    assert!(
        list.url.ends_with("/my/refusals") && list.says("よつば母子手帳アプリ") && list.says("again=1"),
        "{}",
        list.text
    );
    assert_eq!(town.items(&patient).await, 0);
    let seen = mother.open("/my/refusals").await;
    assert!(seen.says("ほかの方") && !seen.says("/lift"), "{}", seen.text);
    let list = father.sign_in(&list.link("again=1"), town.father()).await;
    assert!(list.url.ends_with("/my/refusals"), "{}", list.url);
    let lift =
        list.text.split("action=\"").find(|rest| rest.contains("/lift")).unwrap().split('"').next().unwrap().to_owned();
    let csrf = mother.open("/my").await.hidden("csrf");
    let not_hers = mother.send(&lift, &[("csrf", &csrf)]).await;
    assert!(not_hers.status.is_client_error() && town.items(&patient).await == 0, "{}", not_hers.status);
    let lifted = father.send(&lift, &[("csrf", &list.hidden("csrf"))]).await;
    assert!(lifted.says("記録はありません"), "{}", lifted.text);
    assert!(town.items(&patient).await > 0);
}

/// Invariant 11: not on a page, in a count, an export or a proof.
#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_legal_basis_is_on_no_page() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let mut mother = signed_in(&town, town.mother()).await;
    let log = format!("/my/log?about={}", town.child());
    let export = format!("/my/log.csv?about={}", town.child());
    assert_eq!(town.newest_outcome().await, "complete");
    let (before, table) = (mother.open(&log).await, mother.open(&export).await);
    let lines = |page: &Page| page.text.matches("<article").count();
    let basis = json!({
        "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": "2020-01-01T00:00:00+09:00", "until": "2099-01-01T00:00:00+09:00",
        "article": "児童福祉法25条", "requester": "児童相談所", "decided_by": "保健師 山田", "reason": "要保護児童の通告",
    });
    town.act(&format!("/people/{}/bases", town.child()), basis).await;
    let clinic = town.world.clinic_token().unwrap();
    let snapshot = town.gateway.app().store.snapshot(TextId::parse(town.child()).unwrap()).await.unwrap();
    let at_clinic = snapshot.subject.pairwise_at("midori-clinic").unwrap().id.text();
    let path = format!("/first-visit/Immunization?patient={at_clinic}");
    let released = town.world.call(&town.world.clinic_http, Method::GET, &path, &clinic, None).await.unwrap();
    assert!(released.status == StatusCode::OK && body(&released)["total"].as_u64().unwrap() > 0);
    let (after, exported) = (mother.open(&log).await, mother.open(&export).await);
    assert_eq!(lines(&before), lines(&after));
    assert_eq!(table.text, exported.text);
    let home = mother.open("/my").await;
    assert!(!home.says("みどり") && !after.text.split("</form>").last().unwrap().contains("みどり"), "{}", home.text);
    assert_eq!(mother.open(&format!("/my/consents/{consent}")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_as_they_are_and_do_nothing() {
    let town = Town::open().await;
    // What would run, turn the line round, or break it; and what a spreadsheet would run.
    let name = format!("=1+1<script>alert(1)</script>\u{202e}逆\"'&👩‍👧‍👦{}", "あ".repeat(300));
    let quoted = json!(name).to_string();
    town.reload_with(|text| text.replace("\"よつば母子手帳アプリ\"", &quoted)).await.unwrap();
    let proposal = proposed(&town).await;
    let (consent, patient) = town.consent().await;
    town.items(&patient).await;
    let mut mother = signed_in(&town, town.mother()).await;
    let log = format!("/my/log?about={}", town.child());
    for path in ["/my", "/my/consents", &format!("/my/consents/{consent}"), &format!("/my/proposals/{proposal}"), &log]
    {
        let page = mother.open(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.says("<script") && page.says("&#60;script&#62;alert(1)"), "{path}: {}", page.text);
        // Isolated, so that what surrounds it is not turned round with it.
        assert!(page.says("<bdi>=1+1&#60;script"), "{path}: {}", page.text);
    }
    let table = mother.open(&log.replace("/my/log", "/my/log.csv")).await;
    assert!(table.says("'=1+1<script>") && !table.says(",=1+1"), "{}", table.text);
    let data = mother.open(&log.replace("/my/log", "/my/log.json")).await;
    let data: Value = serde_json::from_str(&data.text).unwrap();
    let named = data["records"].as_array().unwrap().iter().any(|line| line["organisation"] == json!(name));
    assert!(named, "{data}");
    town.gateway.stop().await;
}
