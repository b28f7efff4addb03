//! Signing in at the pages against a provider that is down, lies, or says that somebody has left; and in the face of whoever
//! replays, mixes up or brings along what isn't theirs.

use http::StatusCode;
use sekisho::ids::TextId as _;
use sekisho_adapters::identity::stand_in::{Knobs, Lie, LogoutRequest, Signature, SigningAlgorithm};
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::Town;

const BEGIN: &str = "/my/sign-in/dev";
const SESSION: &str = "__Host-sekisho";

fn browser(town: &Town) -> Browser {
    Browser::new(town.world.browser.clone(), &town.world.url)
}

fn is_home(town: &Town, page: &Page) -> bool {
    page.status == StatusCode::OK && page.url == format!("{}/my", town.world.url)
}

/// Goes to the provider and picks a persona, and does not come back: where the browser would be sent to.
async fn almost(town: &Town, browser: &mut Browser, begin: &str) -> String {
    let personas = browser.open(begin).await;
    let link = personas.link("login_hint=");
    assert!(link.contains("state=") && link.contains("code_challenge=") && link.contains("nonce="), "{link}");
    let issuer = town.world.issuer.base_url();
    let hint: String = form_urlencoded::byte_serialize(town.mother().as_bytes()).collect();
    let back = browser.peek(&format!("{issuer}{}", personas.link(&format!("login_hint={hint}")))).await;
    back.headers["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_provider_says_wrongly_lets_nobody_in() {
    let town = Town::open().await;
    let lies = [
        Lie::OtherAudience,
        Lie::FurtherAudience,
        Lie::Issuer("https://another.invalid".to_owned()),
        Lie::OtherNonce,
        Lie::NoNonce,
        Lie::Expired(120),
        Lie::Ahead(300),
        Lie::Signed(Signature::Absent),
        Lie::Signed(Signature::Unpublished),
        Lie::Signed(Signature::Forged),
        Lie::Signed(Signature::PublicKeyAsSecret),
        Lie::Acr(None),
        Lie::Acr(Some("aal1".to_owned())),
        Lie::IssuerInResponse("https://another.invalid".to_owned()),
    ];
    for lie in lies {
        town.world.issuer.lie(Some(lie.clone()));
        let mut visitor = browser(&town);
        let page = visitor.sign_in(BEGIN, town.mother()).await;
        assert!(!is_home(&town, &page) && visitor.cookie(SESSION).is_none(), "{lie:?}: {}", page.text);
        assert!(page.status.is_client_error() && page.text.contains("<h1>"), "{lie:?}: {}", page.status);
    }
    // Whose address it says it is means nothing to anybody.
    for lie in [None, Some(Lie::Email("someone@else.invalid".to_owned())), Some(Lie::Ahead(20)), Some(Lie::Expired(20))]
    {
        town.world.issuer.lie(lie.clone());
        let mut visitor = browser(&town);
        let page = visitor.sign_in(BEGIN, town.mother()).await;
        assert!(is_home(&town, &page), "{lie:?}: {}", page.text);
    }
    // A stranger's `sub` is a stranger.
    town.world.issuer.lie(Some(Lie::Sub("somebody-unknown".to_owned())));
    let mut visitor = browser(&town);
    let page = visitor.sign_in(BEGIN, town.mother()).await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("窓口"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_said_to_be() {
    let town = Town::open().await;
    let down = Faults { status: Some(500), ..Faults::default() };
    town.world.issuer.set_knobs(Knobs { token: down, ..Knobs::default() });
    let mut visitor = browser(&town);
    let page = visitor.sign_in(BEGIN, town.mother()).await;
    assert!(page.status.is_client_error() || page.status.is_server_error(), "{}", page.status);
    assert!(page.says("サインインはされていません"), "{}", page.text);
    town.world.issuer.set_knobs(Knobs::default());
    let page = visitor.sign_in(BEGIN, town.mother()).await;
    assert!(is_home(&town, &page));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_change_and_be_of_rsa() {
    let town = Town::open().await;
    for change in 0..3 {
        match change {
            0 => {}
            1 => {
                town.world.issuer.rotate_keys().unwrap();
                town.world.issuer.retire_old_keys();
            }
            _ => town.world.issuer.sign_id_tokens_by(SigningAlgorithm::Rs256).unwrap(),
        }
        // Keys are fetched at most once a second, whoever asks.
        let began = std::time::Instant::now();
        loop {
            let mut visitor = browser(&town);
            if is_home(&town, &visitor.sign_in(BEGIN, town.mother()).await) {
                break;
            }
            assert!(began.elapsed().as_secs() < 30, "change {change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_once_and_in_the_browser_that_asked() {
    let town = Town::open().await;
    let mut mother = browser(&town);
    let back = almost(&town, &mut mother, BEGIN).await;
    // Somebody else is sent the link: signed in as another without knowing it.
    let mut other = browser(&town);
    let page = other.open(&back).await;
    assert!(page.status == StatusCode::BAD_REQUEST && other.cookie(SESSION).is_none(), "{}", page.text);
    // A state of another attempt of the same browser.
    let second = almost(&town, &mut mother, BEGIN).await;
    let page = mother.open(&back).await;
    assert!(page.status == StatusCode::BAD_REQUEST && mother.cookie(SESSION).is_none(), "{}", page.text);
    let page = mother.open(&second).await;
    assert!(is_home(&town, &page), "{}", page.text);
    let page = mother.open(&second).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "the back button");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_somebody_else_brought_is_no_session() {
    let town = Town::open().await;
    let mut mother = browser(&town);
    mother.set_cookie(SESSION, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::FORBIDDEN);
    mother.sign_in(BEGIN, town.mother()).await;
    let first = mother.cookie(SESSION).unwrap().clone();
    assert!(!first.starts_with("AAAA"));
    mother.sign_in(BEGIN, town.mother()).await;
    let second = mother.cookie(SESSION).unwrap().clone();
    assert_ne!(first, second, "each sign-in is a new session");
    let mut thief = browser(&town);
    thief.set_cookie(SESSION, &first);
    assert_eq!(thief.open("/my/consents").await.status, StatusCode::FORBIDDEN, "the one before has ended");
    let csrf = mother.open("/my").await.hidden("csrf");
    mother.send("/my/sign-out", &[("csrf", &csrf)]).await;
    thief.set_cookie(SESSION, &second);
    assert_eq!(thief.open("/my/consents").await.status, StatusCode::FORBIDDEN, "signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_or_old_sign_in_does_not_grant() {
    let town = Town::open().await;
    let proposal = town.world.propose(town.mother(), &town.in_seconds(86_400)).await.unwrap();
    let id = proposal["id"].as_str().unwrap();
    let mut mother = browser(&town);
    mother.sign_in(BEGIN, town.mother()).await;
    let shown = mother.open(&format!("/my/proposals/{id}")).await;
    let again = shown.link("again=1");
    for lie in [Lie::Acr(Some("aal2".to_owned())), Lie::SignedInAgo(3_600)] {
        town.world.issuer.lie(Some(lie.clone()));
        let page = mother.sign_in(&again, town.mother()).await;
        assert!(page.status == StatusCode::FORBIDDEN && page.says("より確かな本人確認"), "{lie:?}: {}", page.text);
    }
    town.world.issuer.lie(None);
    let csrf = mother.open("/my").await.hidden("csrf");
    let fields = [("csrf", csrf.as_str()), ("text", &"00".repeat(32)), ("subject", town.child())];
    let page = mother.send(&format!("/my/proposals/{id}/agree"), &fields).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "the form alone is not enough: {}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_out_there_is_signed_out_here() {
    let town = Town::open().await;
    let mut mother = browser(&town);
    mother.sign_in(BEGIN, town.mother()).await;
    let sign_in = town.world.issuer.sign_ins().pop().unwrap();
    let there = "/my/sign-in/dev/signed-out";
    let good = LogoutRequest::of_sign_in(&sign_in);
    let named = |name: &str, value: serde_json::Value| [(name.to_owned(), value)].into_iter().collect();
    let wrong = [
        LogoutRequest { typ: "JWT".to_owned(), ..good.clone() },
        LogoutRequest { signature: Signature::Unpublished, ..good.clone() },
        LogoutRequest { signature: Signature::Absent, ..good.clone() },
        LogoutRequest { ttl_s: -300, ..good.clone() },
        LogoutRequest { claims: named("nonce", "n".into()), ..good.clone() },
        LogoutRequest { claims: named("events", serde_json::json!({})), ..good.clone() },
        LogoutRequest { claims: named("aud", "another".into()), ..good.clone() },
    ];
    for wrong in wrong {
        let token = town.world.issuer.logout_token(&wrong).unwrap();
        let answer = mother.send(there, &[("logout_token", &token)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    }
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::OK);
    let token = town.world.issuer.logout_token(&good).unwrap();
    let answer = mother.send(there, &[("logout_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_ends_what_it_opened() {
    let town = Town::open().await;
    let mut mother = browser(&town);
    mother.sign_in(BEGIN, town.mother()).await;
    assert_eq!(mother.open("/my/consents").await.status, StatusCode::OK);
    let person = &town.people.parents[0];
    let snapshot = town.gateway.app().store.snapshot(sekisho_policy::PersonId::parse(person).unwrap()).await.unwrap();
    let link = snapshot.subject.links[0].id.text();
    town.act(&format!("/people/{person}/links/{link}/end"), serde_json::json!({"reason": "別人のサインインだった"}))
        .await;
    let page = mother.open("/my/consents").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("窓口"), "{}", page.text);
}
