use jiff::civil::date;
use sekisho_adapters::certs::Validity;
use sekisho_adapters::fhir_server::stand_in::{FhirOptions, FhirServer};
use sekisho_adapters::http::{HttpClient, HttpError, Limits};
use sekisho_adapters::municipality::MUNICIPALITIES;
use sekisho_adapters::my_portal::map::map;
use sekisho_adapters::my_portal::stand_in::{Account, Knobs, PortalOptions, PortalRegistration, PortalStandIn};
use sekisho_adapters::my_portal::{
    Polling, PortalAnswer, PortalClient, PortalCodes, PortalConfig, PortalError, PortalSession, PortalToken, ProcessId,
    Verifier,
};
use sekisho_adapters::people::{Child, People};
use sekisho_adapters::stand_in::{Damage, Faults};
use serde_json::json;
use url::Url;

use crate::support::{LIMITS, World, clock, get, now_ms};

const REDIRECT: &str = "https://gateway.example/portal/callback";
const QUICK: Polling = Polling { every_ms: 1, times_max: 5 };

struct Scene {
    world: World,
    portal: PortalStandIn,
    child: Child,
}

impl Scene {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(notices: Option<(HttpClient, String)>) -> Self {
        Self::of(World::new(), notices).await
    }

    async fn of(world: World, notices: Option<(HttpClient, String)>) -> Self {
        let people = People::new(3, date(2026, 11, 22));
        let child = people.families().flat_map(|f| f.children).find(|c| c.doses.len() > 15).unwrap();
        let (notices, notify_url) = notices.unzip();
        let portal = PortalStandIn::start(PortalOptions {
            bind: ([127, 0, 0, 1], 0).into(),
            tls: world.tls(Some(true)),
            now: clock(),
            codes: PortalCodes::synthetic(),
            clients: vec![PortalRegistration {
                client_id: "SP00000000_SY0001".to_owned(),
                redirect_uris: vec![REDIRECT.to_owned()],
                thumbprint: world.client.thumbprint(),
                notify_url,
            }],
            accounts: vec![
                Account { id: "account-1".to_owned(), label: "合成 児童 1".to_owned(), child: child.clone() },
                Account { id: "account-2".to_owned(), label: "合成 児童 2".to_owned(), child: child.clone() },
            ],
            notices,
        })
        .await
        .unwrap();
        Self { world, portal, child }
    }

    fn client(&self, limits: Limits) -> PortalClient {
        self.client_over(self.world.http(Some(&self.world.client), limits))
    }

    fn client_over(&self, http: HttpClient) -> PortalClient {
        let config = PortalConfig {
            base_url: self.portal.url(),
            client_id: "SP00000000_SY0001".to_owned(),
            redirect_uri: REDIRECT.to_owned(),
            codes: PortalCodes::synthetic(),
        };
        PortalClient::new(http, config)
    }

    /// Plays the browser: picks an account and returns the code.
    async fn consent(&self, url: &str, account: &str) -> String {
        let response = get(&self.world.client(), &format!("{url}&login_hint={account}")).await.unwrap();
        let back = Url::parse(response.headers["location"].to_str().unwrap()).unwrap();
        assert!(back.as_str().starts_with(REDIRECT));
        back.query_pairs().find(|(k, _)| k == "code").unwrap().1.into_owned()
    }

    async fn session(&self, client: &PortalClient, account: &str) -> PortalSession {
        let sign_in = client.begin().unwrap();
        let code = self.consent(&sign_in.url, account).await;
        client.redeem(&code, &sign_in.verifier).await.unwrap()
    }
}

#[tokio::test]
async fn a_history_comes_over_and_is_mapped_whole() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let session = scene.session(&client, "account-1").await;
    assert_eq!(session.account.as_str(), "account-1");
    scene.portal.set_knobs(Knobs { pending_polls: 3, ..Knobs::default() });
    let PortalAnswer::WithData(records) = client.fetch(&session.token, QUICK).await.unwrap() else { panic!() };
    assert_eq!(records.records.len(), scene.child.doses.len());
    let mapped = map(&records, client.codes(), "Patient/p");
    assert_eq!(mapped.unmapped, []);
    for (resource, dose) in mapped.immunizations.iter().zip(&scene.child.doses) {
        assert_eq!(resource["occurrenceDateTime"], dose.date.to_string());
        assert_eq!(resource["lotNumber"], dose.lot);
        assert_eq!(resource["protocolApplied"][0]["doseNumberPositiveInt"], dose.number);
        assert_eq!(resource["extension"][0]["valueCoding"]["code"], dose.home.code.as_str());
        assert_eq!(resource["vaccineCode"], json!({"text": dose.vaccine.name()}));
    }
}

#[tokio::test]
async fn every_answer_is_its_own() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let token = scene.session(&client, "account-1").await.token;
    let off = Knobs::default();
    let town = MUNICIPALITIES[3].code;
    for (knobs, expected) in [
        (Knobs { pending_polls: 9, ..off.clone() }, PortalAnswer::Pending),
        (Knobs { without_data: true, ..off.clone() }, PortalAnswer::WithoutData),
        (Knobs { capacity_exceeded: true, ..off.clone() }, PortalAnswer::CapacityExceeded),
        (Knobs { not_supported: Some(town), ..off.clone() }, PortalAnswer::NotSupported { municipality: town }),
    ] {
        scene.portal.set_knobs(knobs.clone());
        assert_eq!(client.fetch(&token, QUICK).await.unwrap(), expected, "{knobs:?}");
    }
    // Polling is bounded: one request and five questions for the first of them.
    scene.portal.set_knobs(Knobs { pending_polls: 1000, ..off });
    let before = scene.portal.requests();
    assert_eq!(client.fetch(&token, QUICK).await.unwrap(), PortalAnswer::Pending);
    assert_eq!(scene.portal.requests() - before, 6);
}

#[tokio::test]
async fn every_error_is_its_own() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let token = scene.session(&client, "account-1").await.token;
    let off = Knobs::default();
    let faults = |faults| Knobs { faults, ..Knobs::default() };
    let damage = |damage| Knobs { faults: Faults { damage, ..Faults::default() }, ..Knobs::default() };
    for (knobs, expected) in [
        (Knobs { rate_limited_s: Some(17), ..off.clone() }, PortalError::RateLimited { retry_after_s: 17 }),
        (Knobs { error_code: Some("ED1107".to_owned()), ..off.clone() }, PortalError::Unauthenticated),
        (Knobs { error_code: Some("ED9999".to_owned()), ..off.clone() }, PortalError::Refused("ED9999".to_owned())),
        (Knobs { error_code: Some("合成 花子".to_owned()), ..off.clone() }, PortalError::Malformed("errors.errorCode")),
        (Knobs { status: Some("77".to_owned()), ..off.clone() }, PortalError::Malformed("resBody.selfiTranStatusCd")),
        (Knobs { status: Some("04".to_owned()), ..off.clone() }, PortalError::Malformed("resBody.resultList")),
        (Knobs { doses: Some(501), ..off.clone() }, PortalError::Malformed("resultList")),
        (faults(Faults { status: Some(500), ..Faults::default() }), PortalError::Refused("HTTP500".to_owned())),
        (faults(Faults { status: Some(302), ..Faults::default() }), PortalError::Refused("HTTP302".to_owned())),
        (faults(Faults { status: Some(401), ..Faults::default() }), PortalError::Unauthenticated),
        (faults(Faults { status: Some(429), ..Faults::default() }), PortalError::RateLimited { retry_after_s: 60 }),
        (faults(Faults { status: Some(200), ..Faults::default() }), PortalError::Malformed("resultCode")),
        (damage(Damage::Garbage), PortalError::Malformed("body")),
        (damage(Damage::WrongLength), PortalError::Upstream(HttpError::Broken)),
        (damage(Damage::DieHalfWay), PortalError::Upstream(HttpError::Broken)),
    ] {
        scene.portal.set_knobs(knobs.clone());
        assert_eq!(client.fetch(&token, QUICK).await.unwrap_err(), expected, "{knobs:?}");
    }
    let hasty = scene.client(Limits { total_ms: 300, ..LIMITS });
    scene.portal.set_knobs(faults(Faults { hang: true, ..Faults::default() }));
    assert_eq!(hasty.fetch(&token, QUICK).await.unwrap_err(), PortalError::Upstream(HttpError::TimedOut));
    let small = scene.client(Limits { body_bytes_max: 1_000, ..LIMITS });
    scene.portal.set_knobs(off);
    assert_eq!(small.fetch(&token, QUICK).await.unwrap_err(), PortalError::Upstream(HttpError::TooLarge));
}

#[tokio::test]
async fn a_sign_in_is_good_for_its_own_person_client_and_certificate() {
    let scene = Scene::new().await;
    let client = scene.client(LIMITS);
    let sign_in = client.begin().unwrap();
    let again = client.begin().unwrap();
    assert!(sign_in.state != again.state && sign_in.verifier != again.verifier);
    let refused = PortalError::Unauthenticated;

    // Another sign-in's verifier; and then the code is used up.
    let code = scene.consent(&sign_in.url, "account-1").await;
    assert_eq!(client.redeem(&code, &again.verifier).await.unwrap_err(), refused);
    assert_eq!(client.redeem(&code, &sign_in.verifier).await.unwrap_err(), refused);
    assert_eq!(client.redeem("made-up", &Verifier::from_kept("x".repeat(43))).await.unwrap_err(), refused);

    // Another certificate of the same authority.
    let session = scene.session(&client, "account-1").await;
    let other = scene.world.ca.client("other", Validity::around(now_ms())).unwrap();
    let stranger = scene.client_over(scene.world.http(Some(&other), LIMITS));
    assert_eq!(stranger.request(&session.token).await.unwrap_err(), refused);
    // No certificate at all: not even a handshake.
    let bare = scene.client_over(scene.world.http(None, LIMITS));
    assert!(matches!(bare.request(&session.token).await.unwrap_err(), PortalError::Upstream(_)));

    // One person's token doesn't fetch another's answer, and ends with its session.
    let process = client.request(&session.token).await.unwrap().unwrap();
    let second = scene.session(&client, "account-2").await;
    let foreign = client.result(&second.token, &process).await.unwrap_err();
    assert_eq!(foreign, PortalError::Refused("SY0404".to_owned()));
    assert!(matches!(client.result(&session.token, &process).await.unwrap(), PortalAnswer::WithData(_)));
    scene.portal.end_sessions();
    assert_eq!(client.request(&session.token).await.unwrap_err(), refused);

    for wrong in ["wrong", "line\nbreak"] {
        let token = PortalToken::from_kept(wrong.to_owned());
        assert_eq!(client.request(&token).await.unwrap_err(), refused);
    }
    let shown = format!("{session:?} {sign_in:?} {process:?} {:?}", ProcessId::from_kept("secret".to_owned()));
    for secret in [session.token.secret(), "account-1", &sign_in.state, sign_in.verifier.secret(), "secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn the_portal_gives_notice_when_it_is_done() {
    // A FHIR stand-in serves as the letter box: it counts what arrives.
    let world = World::new();
    let inbox = FhirOptions { bind: ([127, 0, 0, 1], 0).into(), tls: world.tls(None), now: clock() };
    let inbox = FhirServer::start(inbox).await.unwrap();
    let notify_url = inbox.url().replace("/fhir", "/portal/notice");
    let http = world.http(None, LIMITS);
    let scene = Scene::of(world, Some((http, notify_url))).await;
    let client = scene.client(LIMITS);
    let token = scene.session(&client, "account-1").await.token;
    let process = client.request(&token).await.unwrap().unwrap();
    while inbox.requests() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(inbox.last_target().unwrap(), "/portal/notice");
    assert!(matches!(client.result(&token, &process).await.unwrap(), PortalAnswer::WithData(_)));
}

#[tokio::test]
async fn the_sign_in_page_lists_accounts_and_sends_nobody_elsewhere() {
    let scene = Scene::new().await;
    let url = scene.client(LIMITS).begin().unwrap().url;
    let http = scene.world.client();
    let page = get(&http, &url).await.unwrap();
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.contains("合成 児童 1") && page.contains("login_hint=account-2"));
    let evil = url.replace("gateway.example", "evil.example");
    assert_eq!(get(&http, &evil).await.unwrap().status, 400);
    let plain = url.replace("S256", "plain");
    let response = get(&http, &plain).await.unwrap();
    assert!(response.headers["location"].to_str().unwrap().contains("error=invalid_request"));
}
