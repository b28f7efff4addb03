//! Consent writes: 64 clients who propose and approve over TLS, each answer durable before it is given.
//!
//! A write is one request that is answered with what it recorded: a proposal (by the app, with its certificate and token), or
//! its approval (by the person). The gateway, the clients and the issuer share the machine's cores.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use sekisho::ids::TextId;
use sekisho::ledger::event::LinkTarget;
use sekisho::store::conformance::world;
use sekisho::store::embedded::log::high_water;
use sekisho_adapters::http::HttpClient;
use sekisho_policy::PersonId;
use serde_json::{Value, json};

use crate::Failure;
use crate::report::Bar;
use crate::served::{Bench, Work, linked, login, stop, write};
use crate::world::now_ms;

const CLIENTS: usize = 64;
/// Each client's people, in turn: nobody's records grow long.
const PEOPLE_EACH: usize = 40;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
const PER_SECOND_MIN: f64 = 5_000.0;
const P99_MS_MAX: f64 = 20.0;

struct Person {
    id: String,
    app_token: String,
    own_token: String,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("writes-{}", std::process::id())));
    let bench = Bench::make(target, &work, Vec::new(), |text| text).await?;
    let people = enrolled(&bench).await?;
    let running = bench.start().await?;
    let segments = bench.data.join("ledger");
    let from = Instant::now() + WARM_UP;
    let until = from + MEASURED;
    let terms = terms(&bench, people.first().and_then(|p| p.first()).ok_or("nobody")?).await?;
    let mut clients = tokio::task::JoinSet::new();
    for people in people {
        let client = Client {
            app: bench.around.app_http.clone(),
            person: bench.around.browser.clone(),
            url: bench.around.url.clone(),
            terms: terms.clone(),
        };
        clients.spawn(async move { client.write(people, from, until).await });
    }
    let (mut latencies, mut acknowledged) = (Vec::new(), 0);
    while let Some(done) = clients.join_next().await {
        let (some, all) = done??;
        latencies.extend(some);
        acknowledged += all;
    }
    stop(running).await?;
    let entries = high_water(&segments).unwrap_or_default();
    if entries < acknowledged {
        return Err(format!("{acknowledged} writes were acknowledged, and the ledger has {entries} entries").into());
    }
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).map_or(f64::NAN, |l| l.as_secs_f64() * 1e3);
    let per_second = latencies.len() as f64 / MEASURED.as_secs_f64();
    println!("consent writes: {per_second:.0}/s, p50 {:.1} ms, p99 {:.1} ms, {entries} entries", at(50), at(99));
    Ok(vec![
        Bar::at_least("consent writes, 64 clients", per_second, "1/s", PER_SECOND_MIN),
        Bar::at_most("consent writes, p99", at(99), "ms", P99_MS_MAX),
    ])
}

/// Adults with a login, written by the store itself, and their tokens.
async fn enrolled(bench: &Bench) -> Result<Vec<Vec<Person>>, Failure> {
    let store = bench.open().await?;
    let people: Vec<PersonId> = (0..CLIENTS * PEOPLE_EACH).map(|_| PersonId::mint()).collect();
    let issuer = bench.around.issuer.base_url();
    let records = people.iter().map(|person| {
        let to = LinkTarget::Login { issuer: issuer.to_owned(), sub: login(*person) };
        (*person, vec![world::enrolled(*person), linked(*person, to)])
    });
    write(&store, records.collect()).await?;
    store.stop().await?;
    let person = |person: &PersonId| {
        let sub = login(*person);
        Ok(Person {
            id: person.text(),
            app_token: bench.around.app_token(&sub)?,
            own_token: bench.around.person_token(&sub)?,
        })
    };
    let all: Result<Vec<Person>, Failure> = people.iter().map(person).collect();
    let mut all = all?.into_iter();
    Ok((0..CLIENTS).map(|_| all.by_ref().take(PEOPLE_EACH).collect()).collect())
}

/// What is proposed.
async fn terms(bench: &Bench, person: &Person) -> Result<Value, Failure> {
    let around = &bench.around;
    let shown = around.json(&around.app_http, Method::GET, "/v1/texts/phr-view", &person.app_token, None).await?;
    let until = jiff::Timestamp::from_millisecond(now_ms() + 30 * world::DAY_MS)?;
    Ok(json!({
        "purpose": "phr-view", "categories": ["vaccination@1"], "until": until.to_string(),
        "text_hash": shown["text_hash"],
    }))
}

struct Client {
    app: HttpClient,
    person: HttpClient,
    url: String,
    terms: Value,
}

impl Client {
    /// Proposes and approves, one after the other, until the time is over: latencies within it, and how many in all.
    async fn write(&self, people: Vec<Person>, from: Instant, until: Instant) -> Result<(Vec<Duration>, u64), Failure> {
        let (mut latencies, mut all) = (Vec::new(), 0);
        let proposal = Bytes::from(self.terms.to_string());
        let mut took = |asked: Instant| {
            let now = Instant::now();
            all += 1;
            if asked >= from && now < until {
                latencies.push(now - asked);
            }
        };
        for person in people.iter().cycle() {
            let asked = Instant::now();
            if asked >= until {
                break;
            }
            let made = self.post(&self.app, "/v1/consents", &person.app_token, proposal.clone()).await?;
            took(asked);
            let id = made["id"].as_str().ok_or("a proposal without id")?;
            let approval = json!({"subject": person.id, "text_hash": self.terms["text_hash"]}).to_string();
            let asked = Instant::now();
            let path = format!("/v1/consents/{id}/approve");
            self.post(&self.person, &path, &person.own_token, Bytes::from(approval)).await?;
            took(asked);
        }
        Ok((latencies, all))
    }

    async fn post(&self, http: &HttpClient, path: &str, token: &str, body: Bytes) -> Result<Value, Failure> {
        let request = Request::post(format!("{}{path}", self.url))
            .header(http::header::AUTHORIZATION, format!("Bearer {token}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let answer = http.send(request).await?;
        if !matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
            return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}
