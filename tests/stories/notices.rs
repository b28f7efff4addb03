//! Neutral notices by mail: to a channel that the person confirmed, saying nothing, and never because of a consultation.

use http::StatusCode;
use sekisho::notify;
use sekisho_adapters::certs::{Validity, server_config};
use sekisho_adapters::mail::stand_in::{MailStandIn, Taken};
use sekisho_adapters::webhook::stand_in::{Received, WebhookStandIn};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

use super::pages::signed_in;

const ADDRESS: &str = "haha@example.test";

/// A town with a mail server, under a clock that stands.
async fn town() -> (Town, MailStandIn) {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let identity = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    let mail =
        MailStandIn::start(server_config(identity.chain(), identity.key(), None, false, &[]).unwrap()).await.unwrap();
    let port = mail.address().port();
    let section =
        format!("\n[pages.mail]\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\nfrom = \"info@example.test\"\n");
    town.reload_with(|text| text + &section).await.unwrap();
    (town, mail)
}

/// Signed in strongly, at the page of the channel.
async fn at_channel_of(town: &Town) -> (Browser, String) {
    let mut mother = signed_in(town, town.mother()).await;
    let page = mother.open("/my/channel").await;
    assert!(page.says("どこにも送っていません") && !page.says("name=\"safe\""), "{}", page.text);
    let page = mother.sign_in(&page.link("again=1"), town.mother()).await;
    let csrf = page.hidden("csrf");
    (mother, csrf)
}

/// Text and headers, as far as they are in base64 or not.
fn decoded(mail: &Taken) -> String {
    let mut all = mail.data.clone();
    for word in mail.data.split(|c: char| c.is_whitespace() || c == '?') {
        if let Ok(bytes) = data_encoding::BASE64.decode(word.as_bytes()) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    let joined: String = mail.data.rsplit("\n\n").next().unwrap_or_default().split_whitespace().collect();
    if let Ok(bytes) = data_encoding::BASE64.decode(joined.as_bytes()) {
        all.push_str(&String::from_utf8_lossy(&bytes));
    }
    all
}

/// The code in a mail.
fn code(mail: &Taken) -> String {
    let shown = decoded(mail);
    shown.split_once("Code: ").unwrap_or_else(|| panic!("no code: {shown}")).1.get(..8).unwrap().to_owned()
}

async fn confirmed(town: &Town, mail: &MailStandIn) -> Browser {
    let (mut mother, csrf) = at_channel_of(town).await;
    let sent = mother.send("/my/channel", &[("csrf", &csrf), ("address", ADDRESS), ("safe", "1")]).await;
    assert!(sent.status == StatusCode::OK && sent.says("8けたの番号"), "{}", sent.text);
    let digits = code(mail.taken().last().unwrap());
    let done = mother.send("/my/channel/confirm", &[("csrf", &csrf), ("code", &digits)]).await;
    assert!(done.status == StatusCode::OK && done.says(ADDRESS), "{}", done.text);
    mother
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_that_there_is_something_and_no_more() {
    let (town, mail) = town().await;
    let mut mother = confirmed(&town, &mail).await;
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "there is nothing yet");
    // A consent for a day ends within thirty.
    let (consent, patient) = town.consent().await;
    mail.refuse(Some("450 later"));
    assert!(!mother.open("/my").await.says("はじめて情報を受け取ったところ"));
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "not taken");
    mail.refuse(None);
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 1, "tried again");
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "the same is no second news");
    // A first access is one, but nobody gets two a day; and it is told for a while only.
    assert!(town.items(&patient).await > 0);
    assert!(mother.open("/my").await.says("はじめて情報を受け取ったところ"));
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "not twice a day");
    let taken = mail.taken();
    let notice = taken.last().unwrap();
    assert_eq!((notice.from.as_str(), notice.to.as_str()), ("info@example.test", ADDRESS));
    let text = decoded(notice);
    assert!(text.contains("新しいお知らせがあります"), "{text}");
    let secrets = ["よつば", "予防接種", "同意", "sekisho", "Sekisho", "localhost:", "府中", &consent, town.mother()];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // Off again: the address is gone.
    let csrf = mother.open("/my/channel").await.hidden("csrf");
    let off = mother.send("/my/channel/off", &[("csrf", &csrf)]).await;
    assert!(off.says("どこにも送っていません") && !off.says(ADDRESS), "{}", off.text);
    town.reload_with(|text| text.replacen("\"2026-04\"", "\"2026-12\"", 1)).await.unwrap();
    town.pass_seconds(86_400 - 3_600);
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_quiet_is_ever_a_reason() {
    let (town, mail) = town().await;
    town.reload_with(|text| text.replace("version = \"vaccination@1\"", "version = \"vaccination@1\"\nquiet = true"))
        .await
        .unwrap();
    let mut mother = confirmed(&town, &mail).await;
    town.consent().await;
    assert!(mother.open("/my").await.says("30日以内に期限が切れる同意"), "here it is told");
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "and nowhere else");
    assert_eq!(mail.taken().len(), 1, "only the code");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_confirmed_by_its_code_alone() {
    let (town, mail) = town().await;
    let (mut mother, csrf) = at_channel_of(&town).await;
    let send = async |mother: &mut Browser, address: &str, safe: &str| {
        mother.send("/my/channel", &[("csrf", &csrf), ("address", address), ("safe", safe)]).await.status
    };
    for wrong in ["", "x", "a@b@c", "a b@example.test", "a@example.test\r\nBcc: b@example.test", "母@example.test"] {
        assert_eq!(send(&mut mother, wrong, "1").await, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(send(&mut mother, ADDRESS, "").await, StatusCode::BAD_REQUEST, "not said to be safe");
    assert!(mail.taken().is_empty());
    assert_eq!(send(&mut mother, ADDRESS, "1").await, StatusCode::OK);
    let digits = code(mail.taken().last().unwrap());
    let wrong = if digits == "00000000" { "00000001" } else { "00000000" };
    let confirm = async |mother: &mut Browser, code: &str| {
        mother.send("/my/channel/confirm", &[("csrf", &csrf), ("code", code)]).await
    };
    for _ in 0..5 {
        assert_eq!(confirm(&mut mother, wrong).await.status, StatusCode::BAD_REQUEST);
    }
    let late = confirm(&mut mother, &digits).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.says("どこにも送っていません"), "{}", late.text);
    // A second and a third may be sent, no fourth within the hour.
    assert_eq!(send(&mut mother, ADDRESS, "1").await, StatusCode::OK);
    assert_eq!(send(&mut mother, ADDRESS, "1").await, StatusCode::OK);
    assert_eq!(send(&mut mother, ADDRESS, "1").await, StatusCode::TOO_MANY_REQUESTS);
    town.consent().await;
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0, "nothing is confirmed");
    town.gateway.stop().await;
}

/// Checks a webhook's signature with an implementation that is not ours, and gives its body.
fn opened(received: &Received, secret: &str) -> Value {
    let of = |name: &str| received.headers[name].to_str().unwrap();
    let theirs = standardwebhooks::Webhook::new(secret).unwrap();
    let at: i64 = of("webhook-timestamp").parse().unwrap();
    let signed = theirs.sign(of("webhook-id"), at, &received.body).unwrap();
    assert_eq!(signed, of("webhook-signature"));
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_told_that_there_is_something_and_no_more() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let identity = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    let app = WebhookStandIn::start(server_config(identity.chain(), identity.key(), None, false, &[]).unwrap());
    let app = app.await.unwrap();
    let secret = format!("whsec_{}", data_encoding::BASE64.encode(&[7; 32]));
    let file = town.world.config.with_file_name("app.secret");
    std::fs::write(file, &secret).unwrap();
    let section = format!(
        "\n[[pages.app]]\nparty = \"yotsuba-phr\"\nurl = \"{}/notices\"\nca = \"ca.pem\"\nsecret_file = \"app.secret\"\n",
        app.url()
    );
    town.reload_with(|text| text + &section).await.unwrap();
    // An app that doesn't know her is not offered to her.
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(!mother.open("/my/channel").await.says("アプリに番号を送る"));
    let own = &town.people.parents[0];
    let (_, patient) = town.world.consent(town.mother(), own, &town.in_seconds(86_400 * 60)).await.unwrap();
    let (mut mother, csrf) = at_channel_of(&town).await;
    let other = mother.send("/my/channel", &[("csrf", &csrf), ("app", "midori-clinic"), ("safe", "1")]).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST, "{}", other.text);
    let fields = [("csrf", csrf.as_str()), ("app", "yotsuba-phr"), ("safe", "1")];
    app.answer_with(Some(503));
    assert_eq!(mother.send("/my/channel", &fields).await.status, StatusCode::BAD_REQUEST, "not taken");
    app.answer_with(None);
    assert_eq!(mother.send("/my/channel", &fields).await.status, StatusCode::OK);
    let code = opened(app.received().last().unwrap(), &secret);
    assert_eq!((&code["type"], &code["data"]["patient"]), (&json!("notice.code"), &json!(patient)));
    let digits = code["data"]["code"].as_str().unwrap();
    let done = mother.send("/my/channel/confirm", &[("csrf", &csrf), ("code", digits)]).await;
    assert!(done.says("よつば母子手帳アプリ") && !done.says("どこにも送っていません"), "{}", done.text);
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 0);
    town.consent().await;
    assert_eq!(notify::round(&town.gateway.app()).await.unwrap(), 1);
    let notice = opened(app.received().last().unwrap(), &secret);
    let at = &notice["timestamp"];
    let whole = json!({"type": "notice", "timestamp": at, "data": {"patient": patient, "code": null}});
    assert_eq!(notice, whole, "and nothing else");
    assert_eq!(app.received().len(), 2);
    town.gateway.stop().await;
}
