//! Deliveries: how many a second go out, each with a durable receipt; and whether all of very many that wait survive a gateway that
//! is killed again and again.
//!
//! Everything is asked for through the API while the clinic is down; then the clinic comes up. The sources, the clinic and the apps run
//! on the same cores.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use sekisho::demo::world::APP_SCOPE;
use sekisho::ids::TextId as _;
use sekisho::ledger::entry::{Bytes16, Bytes32};
use sekisho::ledger::event::{Event, LinkTarget, PairwiseMinted};
use sekisho::store::conformance::world;
use sekisho_adapters::certs::{Validity, server_config};
use sekisho_adapters::webhook::stand_in::{Knobs, WebhookStandIn};
use sekisho_policy::{ConsentId, PersonId};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::Failure;
use crate::report::Bar;
use crate::served::{Bench, Work, linked, login, stop, write};
use crate::world::now_ms;

/// Deliveries of the whole measurement.
pub const DELIVERIES: usize = 100_000;
/// Of one person.
const EACH: usize = 80;
/// Apps that ask at once.
const AT_ONCE: usize = 48;
/// Kills while they are asked for, and while they go out.
const KILLS: [usize; 2] = [2, 5];
/// Of all, the part that goes out undisturbed, by which the rate is measured.
const UNDISTURBED: usize = 5;
const PER_SECOND_MIN: f64 = 300.0;
const CATEGORIES: [&str; 3] = ["identity@1", "body-temperature@1", "vaccination@1"];
/// Between two tries of an app whose gateway is down.
const DOWN: Duration = Duration::from_millis(20);

/// Somebody who agreed, and whose app asks.
struct Person {
    consent: ConsentId,
    token: String,
}

/// What the apps know: which deliveries were taken, by whom asked for.
struct Apps {
    people: Vec<Person>,
    next: AtomicUsize,
    all: usize,
    acknowledged: Mutex<HashMap<usize, String>>,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path, deliveries: usize) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("forwards-{}", std::process::id())));
    // The clinic's port is taken, and nobody listens at it yet.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let port = socket.local_addr()?.port();
    let bench = Bench::make(target, &work, Vec::new(), |text| sent_to(&text, port)).await?;
    let people = enrolled(&bench, deliveries.div_ceil(EACH)).await?;
    let apps = Arc::new(Apps { people, next: AtomicUsize::new(0), all: deliveries, acknowledged: Mutex::default() });
    let mut running = bench.start().await?;
    let began = Instant::now();
    let asking = tokio::spawn(ask_all(Arc::clone(&apps), bench.around.app_http.clone(), bench.around.url.clone()));
    for kill in 1..=KILLS[0] {
        while apps.asked() < kill * deliveries / (KILLS[0] + 1) {
            tokio::time::sleep(DOWN).await;
        }
        running = killed(&bench, running).await?;
    }
    asking.await??;
    println!("forwards: {deliveries} asked for in {:.0} s, killed {} times", began.elapsed().as_secs_f64(), KILLS[0]);
    // Killed, so that what waits is what the disk has, and the clinic is tried at once.
    let mut running = killed(&bench, running).await?;
    let identity = bench.around.ca.server(Validity::around(now_ms()))?;
    let tls = server_config(identity.chain(), identity.key(), None, false, &[])?;
    let began = Instant::now();
    let clinic = WebhookStandIn::start_on(socket.listen(1_024)?, tls)?;
    clinic.set_knobs(Knobs { forgets: true, ..Knobs::default() });
    let undisturbed = deliveries / UNDISTURBED;
    clinic.has_taken(1).await;
    let first = Instant::now();
    clinic.has_taken(undisturbed).await;
    let rate = undisturbed as f64 / first.elapsed().as_secs_f64();
    println!(
        "forwards: {undisturbed} went out, {rate:.0} a second; the first after {:.1} s",
        (first - began).as_secs_f64()
    );
    for kill in 1..=KILLS[1] {
        clinic.has_taken(undisturbed + kill * (deliveries - undisturbed) / (KILLS[1] + 1)).await;
        running = killed(&bench, running).await?;
    }
    all_delivered(&bench, &apps).await?;
    stop(running).await?;
    let (lost, twice) = compared(&apps, &clinic);
    let left = bench.open().await?.vault().forwards()?.len();
    println!(
        "forwards: {lost} lost, {twice} came again under the same id, {left} left behind; killed {} times",
        KILLS[1] + 1
    );
    Ok(vec![
        Bar::at_least("deliveries with durable receipts", rate, "/s", PER_SECOND_MIN),
        Bar::at_most(&format!("of {deliveries} deliveries, killed 8 times: lost"), lost as f64, "", 0.0),
        Bar::at_most("the same: references left when all is over", left as f64, "", 0.0),
        Bar::stated("the same: sent again under the same id", twice as f64, ""),
    ])
}

/// The configuration with the clinic at this port.
fn sent_to(text: &str, port: u16) -> String {
    let (before, section) = text.split_once("[[forward]]").unwrap_or((text, ""));
    let line = |line: &str| match line.split_once(" = ") {
        Some(("url", _)) => format!("url = \"https://localhost:{port}/inbox\""),
        _ => line.to_owned(),
    };
    let section: Vec<String> = section.lines().map(line).collect();
    format!("{before}[[forward]]{}", section.join("\n"))
}

/// People who agreed to a summary for the clinic, with a few records in an app and a city.
async fn enrolled(bench: &Bench, people: usize) -> Result<Vec<Person>, Failure> {
    let store = bench.open().await?;
    let (mut all, mut records) = (Vec::with_capacity(people), Vec::with_capacity(people));
    for number in 0..people {
        let (person, consent) = (PersonId::mint(), ConsentId::mint());
        let (at_app, at_city) = (format!("app-{number}"), format!("city-{number}"));
        hold(bench, &at_app, &at_city);
        let source = |party: &str, id: &str| LinkTarget::Source { party: party.to_owned(), id: id.to_owned() };
        let own = LinkTarget::Login { issuer: bench.around.issuer.base_url().to_owned(), sub: login(person) };
        let events = vec![
            world::enrolled(person),
            linked(person, own),
            linked(person, source("yotsuba-phr", &at_app)),
            linked(person, source("fuchu-city", &at_city)),
            agreed(person, consent),
            minted(person),
        ];
        records.push((person, events));
        let mut request = bench.around.app_request(&login(person));
        request.scope = APP_SCOPE.to_owned();
        all.push(Person { consent, token: bench.around.token(request)? });
    }
    write(&store, records).await?;
    store.stop().await?;
    Ok(all)
}

fn agreed(person: PersonId, consent: ConsentId) -> Event {
    let mut consent = world::approved(person, consent);
    if let Event::ConsentApproved(consent) = &mut consent {
        let (now, terms) = (now_ms(), &mut consent.terms);
        (terms.recipient, terms.purpose) = ("midori-clinic".to_owned(), "online-consultation".to_owned());
        terms.categories = CATEGORIES.map(str::to_owned).to_vec();
        (terms.from_ms, terms.until_ms, consent.approved_ms) = (now, now + 30 * world::DAY_MS, now);
    }
    consent
}

fn minted(person: PersonId) -> Event {
    Event::PairwiseMinted(PairwiseMinted {
        subject: Bytes16(*person.bytes()),
        party: "midori-clinic".to_owned(),
        id: Bytes16(sekisho::ids::random()),
        secret: Bytes32(sekisho::ids::random()),
    })
}

/// Ten temperatures in the app, three doses at the city.
fn hold(bench: &Bench, at_app: &str, at_city: &str) {
    let temperature = |n: usize| json!({"id": format!("t{n}"), "value": 36.5, "unit": "Cel", "at": format!("2025-11-{:02}T07:00:00+09:00", n + 1), "entered": "device"});
    let profile = json!({"name": "計測 太郎", "birth_date": "1980-01-01", "sex": "male", "entered": "self"});
    let records = json!({"profile": profile, "temperatures": (0..10).map(temperature).collect::<Vec<_>>()});
    bench.around.phr.put(at_app, records.as_object().cloned().unwrap_or_default());
    let dose = |n: usize| {
        json!({"resourceType": "Immunization", "id": format!("{at_city}-{n}"), "status": "completed",
            "patient": {"reference": format!("Patient/{at_city}")}, "vaccineCode": {"text": "麻しん風しん"},
            "occurrenceDateTime": format!("2020-04-{:02}", n + 1)})
    };
    bench.around.city.put(at_city, (0..3).map(dose).collect());
}

impl Apps {
    fn asked(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn person(&self, number: usize) -> Option<&Person> {
        self.people.get(number / EACH)
    }
}

async fn ask_all(apps: Arc<Apps>, http: sekisho_adapters::http::HttpClient, url: String) -> Result<(), Failure> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (apps, http, url) = (Arc::clone(&apps), http.clone(), url.clone());
        tasks.spawn(async move {
            loop {
                let number = apps.next.fetch_add(1, Ordering::Relaxed);
                let Some(person) = apps.person(number).filter(|_| number < apps.all) else { return Ok(()) };
                let id = ask(&http, &url, person, number).await?;
                apps.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(number, id);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?.map_err(|why: String| why)?;
    }
    Ok(())
}

/// Asks until it is acknowledged, as an app would: the same request, under the same key.
async fn ask(
    http: &sekisho_adapters::http::HttpClient,
    url: &str,
    person: &Person,
    number: usize,
) -> Result<String, String> {
    let uri = format!("{url}/v1/consents/{}/deliveries", person.consent.text());
    loop {
        let request = Request::post(&uri)
            .header("authorization", format!("Bearer {}", person.token))
            .header("idempotency-key", number.to_string());
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        match http.send(request).await {
            Ok(answer) if answer.status.as_u16() == 202 => {
                let seen: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
                return seen.get("id").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| "no id".to_owned());
            }
            Ok(answer) if answer.status.as_u16() != 503 => {
                return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
            }
            // It was killed, or is not ready yet.
            _ => tokio::time::sleep(DOWN).await,
        }
    }
}

/// `kill -9`, and a new start.
async fn killed(bench: &Bench, mut running: Child) -> Result<Child, Failure> {
    running.kill().await?;
    bench.start().await
}

/// Waits until the apps see every delivery as delivered.
async fn all_delivered(bench: &Bench, apps: &Apps) -> Result<(), Failure> {
    let patience = Instant::now();
    for person in &apps.people {
        let uri = format!("/v1/consents/{}/deliveries", person.consent.text());
        loop {
            let http = &bench.around.app_http;
            let seen = bench.around.call(http, Method::GET, &uri, &person.token, None).await?;
            let seen: Value = serde_json::from_slice(&seen.body)?;
            let items = seen.get("items").and_then(Value::as_array).ok_or("no items")?;
            let state = |item: &Value| item.get("state").and_then(Value::as_str).unwrap_or_default().to_owned();
            if items.iter().all(|item| state(item) == "delivered") {
                break;
            }
            if items.iter().any(|item| !["queued", "delivered"].contains(&state(item).as_str())) {
                return Err(format!("a delivery neither waits nor was delivered: {seen}").into());
            }
            if patience.elapsed().as_secs() > 1_800 {
                return Err("deliveries still wait after half an hour".into());
            }
            tokio::time::sleep(DOWN).await;
        }
    }
    Ok(())
}

/// How many that were acknowledged never came, and how many came more than once.
fn compared(apps: &Apps, clinic: &WebhookStandIn) -> (usize, usize) {
    let received = clinic.received();
    let came: HashSet<&str> = received.iter().map(|one| one.id()).collect();
    let acknowledged = apps.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = acknowledged.values().filter(|id| !came.contains(id.as_str())).count();
    (lost, received.len() - came.len())
}
