//! The counter's pages: staff sign in at their own issuer, record what a person said, and see nothing that is another party's.

use http::StatusCode;
use sekisho::demo::world::{CLERK, OTHER_STAFF, REGISTRAR};
use sekisho::web::{For, ROUTES};
use sekisho_adapters::identity::stand_in::Lie;
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, standing_clock};
use serde_json::json;

const STAFF: &str = "/my/sign-in/fuchu-staff";

fn browser(town: &Town) -> Browser {
    Browser::new(town.world.browser.clone(), &town.world.url)
}

/// A town in whose city's records the parents are too.
async fn town() -> Town {
    known(Town::open().await).await
}

async fn known(town: Town) -> Town {
    for (parent, id) in town.people.parents.iter().zip(["resident-m", "resident-f"]) {
        let link = json!({"to": {"party": "fuchu-city", "id": id}, "evidence": "e", "verified_by": "fuchu-city"});
        town.act(&format!("/people/{parent}/links"), link).await;
    }
    town
}

async fn staff(town: &Town, sub: &str) -> Browser {
    let mut browser = browser(town);
    let page = browser.sign_in(STAFF, sub).await;
    assert_eq!((page.status, page.url.ends_with("/counter")), (StatusCode::OK, true), "{}", page.text);
    browser
}

/// The form of a consent for the child, by the mother, filled in; some fields bent.
async fn consent(town: &Town, clerk: &mut Browser, bent: &[(&str, &str)]) -> Page {
    let csrf = clerk.open("/counter").await.hidden("csrf");
    let whose = [("csrf", csrf.as_str()), ("id", town.child_at_city()), ("by", "resident-m")];
    let form = [&whose[..], &[("use", "phr-view yotsuba-phr")]].concat();
    let form = clerk.send("/counter/consent/new", &form).await;
    assert!(
        form.says("お子さまの予防接種の記録を") && !form.says(" checked"),
        "nothing is chosen beforehand: {}",
        form.text
    );
    let (text, once) = (form.hidden("text"), form.hidden("once"));
    let until = town.in_seconds(40 * 86_400)[..10].to_owned();
    let mut fields: Vec<(&str, &str)> = whose.to_vec();
    fields.extend([
        ("purpose", "phr-view"),
        ("recipient", "yotsuba-phr"),
        ("text", &text),
        ("category", "vaccination@1"),
        ("source", ""),
        ("until", &until),
        ("way", "paper"),
        ("evidence", "同意書 R8-0123"),
        ("checked_by", "窓口 山田"),
        ("given", ""),
        ("once", &once),
    ]);
    for (name, value) in bent {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    clerk.send("/counter/consent", &fields).await
}

/// The form of a withdrawal or a refusal, filled in.
async fn narrow(clerk: &mut Browser, path: &str, more: &[(&str, &str)]) -> Page {
    let csrf = clerk.open("/counter").await.hidden("csrf");
    let word = [
        ("csrf", csrf.as_str()),
        ("way", "telephone"),
        ("evidence", "電話 11/22"),
        ("checked_by", "窓口 山田"),
        ("once", "one"),
    ];
    clerk.send(path, &[&word[..], more].concat()).await
}

async fn patient(town: &Town) -> String {
    let snapshot = town.gateway.app().store.snapshot(sekisho::ids::TextId::parse(town.child()).unwrap()).await.unwrap();
    snapshot.subject.pairwise_at("yotsuba-phr").unwrap().id.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_on_paper_is_recorded_once_shown_exactly_and_withdrawn_by_telephone() {
    let town = town().await;
    let mut clerk = staff(&town, CLERK).await;
    let home = clerk.open("/counter").await;
    assert!(home.says("府中市") && home.says("sekisho import-consents") && !home.says("/my/exit"), "{}", home.text);
    let done = consent(&town, &mut clerk, &[("once", "paper-1")]).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
    for shown in [
        "同意を記録しました",
        "同意書 R8-0123",
        "窓口 山田",
        "書面",
        "よつば母子手帳アプリ",
        "cns-",
        "ent-",
        "resident-m",
    ] {
        assert!(done.says(shown), "{shown}: {}", done.text);
    }
    let patient = patient(&town).await;
    assert!(town.items(&patient).await > 0);
    let again = consent(&town, &mut clerk, &[("once", "paper-1")]).await;
    let id = |page: &Page| page.text.split("<code>").find(|part| part.starts_with("cns-")).unwrap()[..30].to_owned();
    assert_eq!((again.status, id(&again)), (StatusCode::CREATED, id(&done)), "sent twice, recorded once");
    let other = consent(&town, &mut clerk, &[("once", "paper-1"), ("evidence", "another")]).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "another form is not that one");

    let whose = [("id", town.child_at_city()), ("by", "resident-f"), ("recipient", "yotsuba-phr"), ("purpose", "")];
    let stopped = narrow(&mut clerk, "/counter/withdrawal", &whose).await;
    assert!(
        stopped.status == StatusCode::OK && stopped.says("提供を止めました") && stopped.says("署名付きの受領書"),
        "{}",
        stopped.text
    );
    assert!(stopped.says("消去のお願い"), "who must be told");
    assert_eq!(town.items(&patient).await, 0);
    let again = narrow(&mut clerk, "/counter/withdrawal", &whose).await;
    assert!(again.says("ent-") && again.says("提供を止めました"), "acknowledged again: {}", again.text);
    let none = narrow(&mut clerk, "/counter/withdrawal", &[&whose[..], &[("given", "2026-01-01")]].concat()).await;
    assert_eq!(none.status, StatusCode::FORBIDDEN, "another form under the same key: {}", none.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_the_counter_stands_and_what_is_wrong_is_said() {
    let town = town().await;
    let mut clerk = staff(&town, CLERK).await;
    for (field, value, says) in [
        ("evidence", " ", "根拠の書類"),
        ("checked_by", "", "本人確認をした職員の名前"),
        ("way", "telepathy", "書面・対面・電話"),
        ("until", "2020-01-01", "最後の日を確かめて"),
        ("until", "soon", "2026-04-01 の形"),
        ("given", "2200-01-01", "未来"),
        ("by", "", "決められません"),
        ("category", "unheard-of@1", "提供する情報を選んで"),
        ("text", "00", "文面が新しく"),
        ("recipient", "fuchu-city", "自らや同じ種類"),
    ] {
        let page = consent(&town, &mut clerk, &[(field, value)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", page.text);
        assert!(page.says(says) && page.says("まだ記録していません"), "{field}: {}", page.text);
    }
    let twelve = consent(&town, &mut clerk, &[("evidence", "123456789018")]).await;
    assert!(twelve.status == StatusCode::BAD_REQUEST && twelve.says("個人番号"), "{}", twelve.text);
    assert_eq!(consent(&town, &mut clerk, &[]).await.status, StatusCode::CREATED);
    let patient = patient(&town).await;
    let whose = [("id", town.child_at_city()), ("by", "resident-f"), ("recipient", ""), ("purpose", "phr-view")];
    let refused = narrow(&mut clerk, "/counter/refusal", &whose).await;
    assert!(
        refused.says("「同意しない」を記録しました") && refused.says("rfs-") && refused.says("署名付きの受領書"),
        "{}",
        refused.text
    );
    assert_eq!(town.items(&patient).await, 0);
    let page = consent(&town, &mut clerk, &[]).await;
    assert!(
        page.status == StatusCode::UNPROCESSABLE_ENTITY && page.says("「同意しない」が登録されています"),
        "{}",
        page.text
    );
}

/// What is unknown and what is another party's answer alike; what is shown is this party's, and the look is in the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn staff_see_and_record_only_what_is_their_partys() {
    let town = town().await;
    let (_, patient) = town.consent().await;
    let mut clerk = staff(&town, CLERK).await;
    let csrf = clerk.open("/counter").await.hidden("csrf");
    let portal = sekisho::demo::world::portal_account(town.child_at_city());
    let mut answers = Vec::new();
    for id in [patient.as_str(), portal.as_str(), "resident-x", town.child(), town.mother(), ""] {
        for path in ["/counter/person", "/counter/consent/new", "/counter/withdrawal/new", "/counter/refusal/new"] {
            let page = clerk.send(path, &[("csrf", &csrf), ("id", id), ("use", "phr-view yotsuba-phr")]).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{path} {id}");
            let typed = format!("aria-describedby=\"id-help\" value=\"{id}\"");
            answers.push(page.text.replace(&typed, ""));
        }
        let whose = [("id", id), ("recipient", "yotsuba-phr"), ("purpose", "")];
        for path in ["/counter/withdrawal", "/counter/refusal"] {
            assert_eq!(narrow(&mut clerk, path, &whose).await.status, StatusCode::NOT_FOUND, "{path} {id}");
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(town.items(&patient).await > 0, "nothing was stopped");

    let person = clerk.send("/counter/person", &[("csrf", &csrf), ("id", town.child_at_city()), ("by", "")]).await;
    assert!(
        person.status == StatusCode::OK && !person.says("<article"),
        "the app's consent is not the city's: {}",
        person.text
    );
    assert!(!person.says(town.child()) && !person.says(&patient), "no id but the one that the party knows");
    assert_eq!(consent(&town, &mut clerk, &[]).await.status, StatusCode::CREATED);
    let person = clerk.send("/counter/person", &[("csrf", &csrf), ("id", town.child_at_city()), ("by", "")]).await;
    assert_eq!(person.text.matches("<article").count(), 1, "{}", person.text);

    let kept = sekisho::admin::client::ask(
        &town.world.socket(),
        http::Method::GET,
        &format!("/people/{}/records", town.child()),
        &serde_json::Value::Null,
    )
    .await;
    let kept = kept.unwrap().to_string();
    assert_eq!(kept.matches("CounterLooked").count(), 2, "{kept}");
    assert!(kept.contains(CLERK));
}

/// Who gets into which pages: nobody, a citizen, staff without the role, staff with too weak a sign-in, a clerk.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_staff_and_of_citizens_open_nothing_of_each_other() {
    let town = town().await;
    let (mut nobody, mut mother, mut other) = (browser(&town), browser(&town), browser(&town));
    mother.sign_in("/my/sign-in/dev", town.mother()).await;
    let page = other.sign_in(STAFF, OTHER_STAFF).await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("役割がありません"), "{}", page.text);
    let mut clerk = staff(&town, CLERK).await;
    let own = clerk.open("/counter").await.hidden("csrf");
    for (method, path, whom) in ROUTES.iter().filter(|(.., whom)| *whom != For::Anybody) {
        let path = path.replace("{id}", "cns-aaaaaaaaaaaaaaaaaaaaaaaaaa");
        let of_staff = *whom == For::Staff;
        let mut cells = vec![("nobody", &mut nobody), ("staff without the role", &mut other)];
        cells.push(if of_staff { ("a citizen", &mut mother) } else { ("a clerk", &mut clerk) });
        for (name, browser) in cells {
            let answer = match *method {
                "GET" => browser.peek(&path).await,
                _ => browser.send(&path, &[("csrf", &own), ("id", "resident-m")]).await,
            };
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} ({whom:?}) to {name}: {}", answer.text);
        }
    }
    let forged = clerk.send("/counter/person", &[("csrf", "x"), ("id", "resident-m")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let home = clerk.open("/my").await;
    assert!(home.status == StatusCode::FORBIDDEN && home.says("職員のサインインでは開けない"), "{}", home.text);
    let at_counter = mother.open("/counter").await;
    assert!(at_counter.status == StatusCode::FORBIDDEN && at_counter.says("窓口の職員のため"), "{}", at_counter.text);
    // A sign-in that says of itself that it is weaker lets nobody in.
    town.world.staff.lie(Some(Lie::Acr(Some("aal1".to_owned()))));
    let mut weak = browser(&town);
    assert_eq!(weak.sign_in(STAFF, CLERK).await.status, StatusCode::FORBIDDEN);
}

/// The staff's issuer vouches for nobody as a citizen: no link, no token of people at the API.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_staff_is_nobodys_as_a_citizen() {
    let town = town().await;
    let to = json!({"issuer": town.world.staff.base_url(), "sub": CLERK});
    let link = json!({"to": to, "evidence": "e", "verified_by": "v"});
    let why =
        town.world.act(&format!("/people/{}/links", town.people.parents[0]), &link).await.unwrap_err().to_string();
    assert!(why.contains("staff"), "{why}");
    let mut request = sekisho_adapters::identity::stand_in::MintRequest::new(
        CLERK,
        sekisho::demo::world::STAFF_CLIENT,
        &town.world.url,
    );
    request.acr = Some("aal3".to_owned());
    let token = town.world.staff.mint(&request).unwrap().secret().to_owned();
    let (status, _) = town.call(&town.world.browser, http::Method::GET, "/v1/consents", &token, None).await;
    assert_eq!(status, 401);
    // Her own login at the citizens' issuer is another thing, with the same name or not.
    town.world.issuer.lie(Some(Lie::Sub(CLERK.to_owned())));
    let mut clerk = browser(&town);
    let page = clerk.sign_in("/my/sign-in/dev", town.mother()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(clerk.open("/counter").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_staff_is_shorter_and_a_role_taken_away_is_gone_at_once() {
    let town = known(Town::open_with(standing_clock(), |text| text).await).await;
    let mut clerk = staff(&town, CLERK).await;
    town.pass_seconds(299);
    assert_eq!(clerk.open("/counter/ask-anew").await.status, StatusCode::OK);
    town.pass_seconds(300);
    let page = clerk.open("/counter/ask-anew").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("記録されていません"), "{}", page.text);
    let mut clerk = staff(&town, CLERK).await;
    town.reload_with(|text| {
        text.replace("counter_roles = [\"counter\", \"registrar\"]", "counter_roles = [\"registrar\"]")
    })
    .await
    .unwrap();
    assert_eq!(clerk.open("/counter/ask-anew").await.status, StatusCode::FORBIDDEN);
    let csrf = clerk.open("/counter").await.hidden("csrf");
    let out = clerk.send("/my/sign-out", &[("csrf", &csrf)]).await;
    assert!(out.link("post_logout").contains("counter") && clerk.cookie("__Host-sekisho").is_none(), "{}", out.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_to_ask_anew_is_listed_of_ones_own_consents_alone() {
    let town = town().await;
    // The mother's own consent at the pages is not the city's to see.
    town.consent().await;
    let mut registrar = staff(&town, REGISTRAR).await;
    let list = "/counter/ask-anew?purpose=phr-view&recipient=midori-clinic";
    let none = registrar.open(list).await;
    assert!(none.status == StatusCode::OK && !none.says("<article"), "{}", none.text);
    assert_eq!(consent(&town, &mut registrar, &[]).await.status, StatusCode::CREATED);
    let one = registrar.open(list).await;
    assert_eq!(one.text.matches("<article").count(), 1, "{}", one.text);
    assert!(one.says(town.child_at_city()) && one.says("新しい提供先への同意がありません"), "{}", one.text);
    assert!(!registrar.open("/counter/ask-anew?purpose=phr-view").await.says("<article"), "nothing has changed");
}

/// 提供停止措置 against the city: somebody who works there must not find out that the person is known here.
#[tokio::test(flavor = "multi_thread")]
async fn a_protective_measure_hides_somebody_from_a_counter() {
    let town = town().await;
    let mut clerk = staff(&town, CLERK).await;
    assert!(consent(&town, &mut clerk, &[]).await.status.is_success());
    let csrf = clerk.open("/counter").await.hidden("csrf");
    let id = town.child_at_city();
    let open = [("csrf", csrf.as_str()), ("id", id)];
    assert_eq!(clerk.send("/counter/person", &open).await.status, StatusCode::OK);
    town.act(&format!("/people/{}/blocks", town.child()), json!({"party": "fuchu-city", "evidence": "支援措置"})).await;
    let hidden = clerk.send("/counter/person", &open).await;
    let never = "resident-nobody";
    let unknown = clerk.send("/counter/person", &[("csrf", csrf.as_str()), ("id", never)]).await;
    assert_eq!((hidden.status, hidden.text.replace(id, never)), (StatusCode::NOT_FOUND, unknown.text));
    let by = [("csrf", csrf.as_str()), ("id", id), ("by", "resident-m")];
    for path in ["/counter/withdrawal/new", "/counter/refusal/new"] {
        let answer = clerk.send(path, &by).await;
        assert!(answer.status == StatusCode::NOT_FOUND && !answer.says("よつば"), "{path}: {}", answer.text);
    }
    let list = clerk.open("/counter/ask-anew?purpose=phr-view&recipient=midori-clinic").await;
    assert!(!list.says(id), "{}", list.text);
    town.gateway.stop().await;
}
