//! The gateway's pages against a provider that is certified and not ours: sign in, again and strongly, and out.

use sekisho_adapters::certs::Validity;
use sekisho_adapters::identity::stand_in::{SigningAlgorithm, SigningKey};
use sekisho_tests::town::Town;
use serde_json::json;
use thirtyfour::By;
use thirtyfour::prelude::ElementQueryable;

use crate::browser::{Browser, Look};
use crate::provider::{Provider, ProviderClient};

async fn press(browser: &Browser, selector: &str) {
    browser.query(By::Css(selector)).first().await.unwrap().click().await.unwrap();
}

async fn signs_in(browser: &Browser, provider: &Provider) {
    browser.arrives_at(&provider.issuer).await;
    browser.query(By::Name("login")).first().await.unwrap().send_keys("hanako").await.unwrap();
    press(browser, "button").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, Node.js and oidc-provider; make test runs it"]
async fn people_sign_in_at_a_certified_provider() {
    let town = Town::open().await;
    let url = &town.world.url;
    let server = town.world.ca.server(Validity::around((town.world.now)())).unwrap();
    let client = ProviderClient {
        client_id: "sekisho".to_owned(),
        key: SigningKey::generate(SigningAlgorithm::Es256).unwrap(),
        redirect_uri: format!("{url}/my/sign-in/certified/callback"),
        post_logout_redirect_uri: format!("{url}/my"),
        backchannel_logout_uri: Some(format!("{url}/my/sign-in/certified/signed-out")),
    };
    let provider = Provider::start(&town.world.ca, &server, &client).await;
    std::fs::write(town.directory.path().join("certified.key"), client.key.pem()).unwrap();
    let issuer = format!(
        "\n[[issuer]]\nurl = \"{}\"\nca = \"ca.pem\"\nown_client = \"sekisho\"\nstep_up_acr = [\"aal3\"]\n\n[issuer.sign_in]\n\
         code = \"certified\"\nname_ja = \"認定済みの認証\"\nname_en = \"the certified provider\"\nkey = \"certified.key\"\nacr = [\"aal2\"]\n",
        provider.issuer
    );
    town.reload_with(|text| text + issuer.as_str()).await.unwrap();
    let link = json!({
        "to": {"issuer": provider.issuer, "sub": "hanako"}, "evidence": "対面での確認", "verified_by": "fuchu-city"
    });
    town.act(&format!("/people/{}/links", town.people.parents[0]), link).await;
    let proposal = town.world.propose(town.mother(), &town.in_seconds(86_400)).await.unwrap();
    let id = proposal["id"].as_str().unwrap();

    let ours = std::fs::read_to_string(town.directory.path().join("server.pem")).unwrap();
    let browser = Browser::open(Look::PHONE, &[&ours, server.cert_pem()]).await;
    browser.goto(format!("{url}/my")).await.unwrap();
    press(&browser, "a[href='/my/sign-in/certified']").await;
    signs_in(&browser, &provider).await;
    browser.arrives_at(&format!("{url}/my")).await;
    press(&browser, &format!("a[href='/my/proposals/{id}']")).await;
    // Again, although there is a session at the provider: strongly, and now.
    press(&browser, "a[href*='again=1']").await;
    signs_in(&browser, &provider).await;
    browser.arrives_at(&format!("{url}/my/proposals/{id}")).await;
    assert!(browser.query(By::Css("form[action$='/agree']")).first().await.is_ok());

    press(&browser, "nav form button").await;
    press(&browser, &format!("a[href^='{}']", provider.issuer)).await;
    browser.arrives_at(&provider.issuer).await;
    press(&browser, "button[name=logout]").await;
    browser.arrives_at(&format!("{url}/my")).await;
    assert!(browser.query(By::Css("a[href='/my/sign-in/certified']")).first().await.is_ok(), "signed out here");
}
