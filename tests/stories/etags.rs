//! `ETag`, `If-None-Match` and pages: each answer is decided about, recorded, fetched and narrowed, whatever its receiver
//! holds already.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sekisho::demo::world::CLINIC_CLIENT;
use sekisho_adapters::certs::client_config;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_tests::town::{Town, body, history};
use serde_json::{Value, json};

fn tag(answer: &Response) -> Option<String> {
    answer.headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned())
}

/// The app asks, holding this.
async fn ask(town: &Town, path: &str, held: Option<&str>) -> Response {
    let token = town.world.app_token(town.mother()).unwrap();
    let mut request = town.request(Method::GET, path, &token);
    if let Some(held) = held {
        request = request.header("if-none-match", held);
    }
    town.send(&town.world.app_http, request, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_already_is_decided_about_and_not_sent_again() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let path = history(&patient);
    let first = ask(&town, &path, None).await;
    let held = tag(&first).unwrap();
    assert_eq!(tag(&ask(&town, &path, None).await).as_deref(), Some(held.as_str()), "the same of the same");
    let items = body(&first)["total"].clone();
    let before = town.world.city.requests();
    for holds in [held.clone(), format!("W/{held}"), format!("\"other\", {held}"), "*".to_owned()] {
        let same = ask(&town, &path, Some(&holds)).await;
        assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0), "{holds}");
        assert_eq!(tag(&same).as_deref(), Some(held.as_str()));
        assert_eq!(same.headers["cache-control"], "no-store");
        let line = town.newest_decision().await;
        assert_eq!(town.newest_outcome().await, "complete", "it is a release, of nothing new: {line}");
        assert_eq!(town.newest_decision().await["items"], items);
    }
    assert_eq!(town.world.city.requests(), before + 4, "the source is asked each time");
    assert_eq!(ask(&town, &path, Some("\"other\"")).await.status, StatusCode::OK);
    // Another record at the source, another tag.
    town.world.city.set_knobs(Knobs { entries: Some(3), ..Knobs::default() });
    let changed = ask(&town, &path, Some(&held)).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(tag(&changed), Some(held.clone()));
    town.world.city.set_knobs(Knobs::default());
    // Withdrawn: what is held opens nothing, and says nothing.
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let asked = town.world.city.requests();
    for holds in [held.as_str(), "*"] {
        let (denied, unknown) =
            (ask(&town, &path, Some(holds)).await, ask(&town, &history(&"a".repeat(26)), Some(holds)).await);
        assert_eq!((denied.status, tag(&denied), tag(&unknown)), (StatusCode::OK, None, None));
        assert_eq!(body(&denied)["total"], 0);
        assert_eq!(denied.headers.len(), unknown.headers.len());
    }
    assert_eq!(town.world.city.requests(), asked, "no source is asked");
    town.gateway.stop().await;
}

/// Nothing there looks like a denial, tag and all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_empty_has_no_tag() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    town.world.city.set_knobs(Knobs { entries: Some(0), ..Knobs::default() });
    for held in [None, Some("*")] {
        let empty = ask(&town, &history(&patient), held).await;
        assert_eq!((empty.status, tag(&empty)), (StatusCode::OK, None));
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_it_is_the_same() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let held = tag(&ask(&town, &history(&patient), None).await).unwrap();
    let tls = client_config(town.world.ca.roots().unwrap(), Some(&town.world.app), &[b"h2"]).unwrap();
    let tcp = tokio::net::TcpStream::connect(town.gateway.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let io = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    let going = tokio::spawn(connection);
    for (holds, status, empty) in [(held.as_str(), 304, true), ("\"other\"", 200, false), (held.as_str(), 304, true)] {
        let request = Request::get(format!("{}{}", town.world.url, history(&patient)))
            .header("authorization", format!("Bearer {}", town.world.app_token(town.mother()).unwrap()))
            .header("if-none-match", holds);
        let answer = http2.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()), (status, held.as_str()));
        assert_eq!(answer.headers().contains_key("content-length"), !empty);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), empty);
        assert_eq!(town.newest_outcome().await, "complete");
    }
    drop(http2);
    going.await.unwrap().unwrap();
    town.gateway.stop().await;
}

/// A document is another one each time (its identifier, its moment): it has no tag to hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_summary_has_no_tag() {
    let town = super::summary::opened(|text| text).await;
    let (_, proposal) = super::summary::propose(&town, &super::summary::ALL, None).await;
    let id = proposal["id"].as_str().unwrap();
    let token = town.world.person_token(town.mother()).unwrap();
    let shown =
        town.world.json(&town.world.browser, Method::GET, "/v1/texts/online-consultation", &token, None).await.unwrap();
    let approval = json!({"subject": town.child(), "text_hash": shown["text_hash"]});
    town.person(Method::POST, &format!("/v1/consents/{id}/approve"), town.mother(), Some(&approval)).await;
    let patient = super::summary::patient(&town, id).await;
    let token = town.world.clinic_token_of(CLINIC_CLIENT).unwrap();
    let request = town.request(Method::GET, &format!("/fhir/Patient/{patient}/$summary"), &token);
    let answer = town.send(&town.world.clinic_http, request.header("if-none-match", "*"), "").await;
    assert_eq!((answer.status, tag(&answer)), (StatusCode::OK, None));
    town.gateway.stop().await;
}

fn next(page: &Value) -> Option<String> {
    let links = page["link"].as_array().unwrap();
    links.iter().find(|link| link["relation"] == "next").map(|link| link["url"].as_str().unwrap().to_owned())
}

fn entries(page: &Value) -> Vec<Value> {
    page["entry"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_together_are_the_whole_and_each_is_decided_about() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let whole = body(&ask(&town, &history(&patient), None).await);
    let lines = || async {
        let path = format!("/v1/access-log?limit=100&subject={}", town.child());
        town.person(Method::GET, &path, town.mother(), None).await.1["items"].as_array().unwrap().len()
    };
    for count in [1, 5, 24, 1_000] {
        let (before, asked) = (lines().await, town.world.city.requests());
        let (mut all, mut pages) = (Vec::new(), 0);
        let mut path = Some(format!("{}&_count={count}", history(&patient)));
        while let Some(here) = path {
            let answer = ask(&town, &here, None).await;
            let page = body(&answer);
            assert_eq!(page["total"], whole["total"]);
            assert_eq!(
                page["link"][0]["url"],
                format!("{}{here}", town.world.url),
                "the link to itself is what was asked"
            );
            let same = ask(&town, &here, tag(&answer).as_deref()).await;
            assert_eq!(same.status, StatusCode::NOT_MODIFIED);
            all.extend(entries(&page));
            pages += 1;
            path = next(&page).map(|url| url.strip_prefix(&town.world.url).unwrap().to_owned());
        }
        assert_eq!(all, entries(&whole), "{count}");
        let total = usize::try_from(whole["total"].as_u64().unwrap()).unwrap();
        assert_eq!(pages, total.div_ceil(count), "{count}");
        assert_eq!(town.world.city.requests() - asked, 2 * pages as u64, "{count}");
        assert_eq!(lines().await, (before + 2 * pages).min(100), "{count}");
    }
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_page_is_good_for_one_party_one_question_and_one_whole() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let first = format!("{}&_count=5", history(&patient));
    let url = next(&body(&ask(&town, &first, None).await)).unwrap();
    let path = url.strip_prefix(&town.world.url).unwrap();
    let place = path.split("_page=").nth(1).unwrap();
    for wrong in [
        format!("{}&_count=5&_page={}", history(&"a".repeat(26)), place),
        format!("{}&date=2024-01-01&_count=5&_page={place}", history(&patient)),
        format!("{}&_page={place}", history(&patient)),
        format!("{}&_count=5&_page=AAAA", history(&patient)),
        format!("{}&_count=0", history(&patient)),
        format!("{}&_count=1001", history(&patient)),
        format!("{}&_count=05", history(&patient)),
        format!("{}&_count=-1", history(&patient)),
        format!("/fhir/Patient/{patient}?_count=5"),
    ] {
        assert_eq!(ask(&town, &wrong, None).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    let others = town.world.clinic_token().unwrap();
    let request = town.request(Method::GET, path, &others);
    let answer = town.send(&town.world.clinic_http, request, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "another party's");
    assert_eq!(entries(&body(&ask(&town, path, None).await)).len(), 5);
    // The whole is another one: a page of it would leave out what nobody has seen.
    town.world.city.set_knobs(Knobs { entries: Some(12), ..Knobs::default() });
    let gone = ask(&town, path, None).await;
    assert_eq!((gone.status, &body(&gone)["issue"][0]["code"]), (StatusCode::GONE, &json!("conflict")));
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.world.city.set_knobs(Knobs::default());
    assert_eq!(ask(&town, path, None).await.status, StatusCode::OK);
    // Withdrawn between two pages.
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let asked = town.world.city.requests();
    let denied = body(&ask(&town, path, None).await);
    assert_eq!((&denied["total"], next(&denied)), (&json!(0), None));
    assert_eq!(town.world.city.requests(), asked, "no source is asked");
    town.gateway.stop().await;
}
