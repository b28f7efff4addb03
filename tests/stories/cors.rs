//! Pages of registered apps may ask from a browser; nobody else's may, and our own pages are not for them.

use http::{HeaderMap, Method, Request};
use sekisho_adapters::http::Response;
use sekisho_tests::town::{Town, history};

use super::dpop::with_web;

const KNOWN: &str = "https://yotsuba.example";

/// What a browser asks before a page may.
async fn preflight(town: &Town, path: &str, origin: &str) -> Response {
    let request = Request::builder().method(Method::OPTIONS).uri(format!("{}{path}", town.world.url));
    let request = request.header("origin", origin).header("access-control-request-method", "GET");
    town.send(&town.world.browser, request.header("access-control-request-headers", "authorization,dpop"), "").await
}

fn cors(headers: &HeaderMap) -> Vec<String> {
    let names = headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_registered_origins_may_ask() {
    let town = Town::open_with(sekisho::clock::Clock::system(), with_web).await;
    let (_, patient) = town.consent().await;
    for path in ["/fhir/Immunization", "/fhir/metadata", "/v1/consents", "/.well-known/smart-configuration", "/nothing"]
    {
        let answer = preflight(&town, path, KNOWN).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], KNOWN);
        assert_eq!(answer.headers["access-control-allow-methods"], "GET, POST");
        let fields = answer.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(fields.contains("authorization") && fields.contains("dpop"), "{fields}");
        assert_eq!(answer.headers["vary"], "Origin");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    let ask = |origin: &'static str, token: String| {
        let request = town.request(Method::GET, &history(&patient), &token).header("origin", origin);
        town.send(&town.world.app_http, request, "")
    };
    let seen = ask(KNOWN, town.world.app_token(town.mother()).unwrap()).await;
    assert_eq!(seen.status.as_u16(), 200);
    assert_eq!(seen.headers["access-control-allow-origin"], KNOWN);
    assert!(seen.headers["access-control-expose-headers"].to_str().unwrap().contains("ETag, Location"));
    assert!(!seen.headers.contains_key("access-control-allow-credentials"));
    // That it is not signed in a page must see as well.
    let refused = ask(KNOWN, "x".to_owned()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.headers["access-control-allow-origin"].as_bytes()),
        (401, KNOWN.as_bytes())
    );
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_may_not_and_ours_are_for_nobody() {
    let town = Town::open_with(sekisho::clock::Clock::system(), with_web).await;
    let (_, patient) = town.consent().await;
    let token = town.world.app_token(town.mother()).unwrap();
    for origin in
        ["https://elsewhere.example", "null", "https://yotsuba.example.elsewhere.example", "HTTPS://YOTSUBA.EXAMPLE"]
    {
        let asked = preflight(&town, "/fhir/Immunization", origin).await;
        assert_eq!(asked.status.as_u16(), 401, "{origin}");
        assert!(cors(&asked.headers).is_empty(), "{origin}");
        let request = town.request(Method::GET, &history(&patient), &token).header("origin", origin);
        let answer = town.send(&town.world.app_http, request, "").await;
        assert!(cors(&answer.headers).is_empty(), "{origin}");
    }
    for path in ["/my", "/my/consents", "/counter", "/counter/person", "/clinic", "/relay/my-portal/callback"] {
        assert!(cors(&preflight(&town, path, KNOWN).await.headers).is_empty(), "{path}");
    }
    town.reload_with(|text| text.replace(&format!("origins = [\"{KNOWN}\"]\n"), "")).await.unwrap();
    let gone = preflight(&town, "/fhir/Immunization", KNOWN).await;
    assert_eq!((gone.status.as_u16(), cors(&gone.headers).len()), (401, 0), "a reload took it away");
    town.gateway.stop().await;
}
