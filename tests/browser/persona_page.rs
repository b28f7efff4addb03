//! The development issuer's pages.

use sekisho::clock::Clock;
use sekisho_adapters::certs::{ALPN_H2_AND_H1, DevCa, Identity, Validity, server_config};
use sekisho_adapters::identity::stand_in::{ClientAuth, DevIssuer, IssuerOptions, Persona, Registration};
use std::sync::Arc;
use thirtyfour::By;

use crate::browser::{Browser, Colours, Look};

/// A running issuer, and the certificate that it shows.
async fn issuer() -> (DevIssuer, Identity) {
    let clock = Clock::system();
    let now = clock.now().unwrap().millis();
    let ca = DevCa::new(now).unwrap();
    let server = ca.server(Validity::around(now)).unwrap();
    let tls = server_config(server.chain(), server.key(), None, false, ALPN_H2_AND_H1).unwrap();
    let mut options = IssuerOptions::new(tls, Arc::new(move || clock.now().unwrap().millis()));
    let people = [
        ("mother", "合成 花子（母）"),
        ("father", "合成 太郎（父）"),
        (
            "long",
            "寿限無寿限無五劫の擦り切れ海砂利水魚の水行末雲来末風来末食う寝る処に住む処藪ら柑子の藪柑子 Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
        ),
        ("script", "<script>document.title='owned'</script> & \u{202e}RTL 👶"),
    ];
    options.personas = people.map(|(sub, label)| Persona::new(sub, label)).to_vec();
    (DevIssuer::start(options).await.unwrap(), server)
}

/// Where a client sends people, and where they come back to: the issuer itself, since somebody must answer there.
fn sign_in(issuer: &DevIssuer) -> String {
    let back = format!("{}/back", issuer.base_url());
    issuer.register(Registration {
        client_id: "app".to_owned(),
        redirect_uris: vec![back.clone()],
        auth: ClientAuth::Public,
        scopes: vec!["openid".to_owned()],
        audiences: vec!["https://gateway.example".to_owned()],
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
    });
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", &back),
            ("state", "s"),
            ("code_challenge", &"c".repeat(43)),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    format!("{}/authorize?{query}", issuer.base_url())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn anybody_can_read_the_page_and_pick_somebody() {
    let (issuer, server) = issuer().await;
    let url = sign_in(&issuer);
    for (name, look) in [
        ("issuer-phone-light", Look { scripts: false, ..Look::PHONE }),
        ("issuer-phone-dark", Look { colours: Colours::Dark, ..Look::PHONE }),
        ("issuer-desk-forced", Look { colours: Colours::Forced, ..Look::DESK }),
    ] {
        let browser = Browser::open(look, &[server.cert_pem()]).await;
        browser.goto(&url).await.unwrap();
        assert_eq!(browser.title().await.unwrap(), "開発用サインイン | Development sign-in");
        browser.assert_accessible().await;
        browser.screenshot(name).await;
        let wide = browser.execute("return document.documentElement.scrollWidth <= innerWidth", vec![]).await.unwrap();
        assert_eq!(*wide.json(), true, "{name}: nothing has to be scrolled sideways");
        let links = browser.find_all(By::Css("li a")).await.unwrap();
        assert_eq!(links.len(), 4);
        for link in &links {
            assert!(link.rect().await.unwrap().height >= 44.0, "{name}: too small to press");
        }
        links[0].click().await.unwrap();
        let back = browser.arrives_at(&format!("{}/back", issuer.base_url())).await;
        assert!(back.query_pairs().any(|(name, _)| name == "code"), "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn the_other_pages_are_readable_too() {
    let (issuer, server) = issuer().await;
    let browser = Browser::open(Look::PHONE, &[server.cert_pem()]).await;
    for (path, title) in [
        ("/logout", "サインアウトしました | Signed out"),
        ("/authorize?client_id=nobody", "リクエストを受け付けられません | Request refused"),
    ] {
        browser.goto(format!("{}{path}", issuer.base_url())).await.unwrap();
        assert_eq!(browser.title().await.unwrap(), title);
        browser.assert_accessible().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; make test runs it"]
async fn a_server_whose_certificate_is_not_trusted_is_not_shown() {
    let (issuer, _) = issuer().await;
    let (_, another) = self::issuer().await;
    let browser = Browser::open(Look::PHONE, &[another.cert_pem()]).await;
    let shown = match browser.goto(sign_in(&issuer)).await {
        Ok(()) => browser.source().await.unwrap(),
        Err(refused) => refused.to_string(),
    };
    assert!(shown.contains("ERR_CERT_AUTHORITY_INVALID") && !shown.contains("開発用"), "{shown:.1000}");
}
