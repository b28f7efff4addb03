//! A summary of 300 items from three sources: how much longer it takes than the slowest of the sources by itself.
//!
//! One clinic asks, one request after the other; in turn the same questions go straight to the sources. All on the same cores.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use sekisho::ids::{PairwiseId, TextId as _};
use sekisho::ledger::entry::{Bytes16, Bytes32};
use sekisho::ledger::event::{Event, LinkTarget, PairwiseMinted};
use sekisho::store::conformance::world;
use sekisho_adapters::http::HttpClient;
use sekisho_policy::{ConsentId, PersonId};
use serde_json::{Value, json};

use crate::Failure;
use crate::report::Bar;
use crate::served::{Bench, Work, linked, stop, write};
use crate::world::now_ms;

const ITEMS: usize = 100;
const ROUNDS: usize = 600;
const WARM_UP: usize = 100;
const OVERHEAD_MS_MAX: f64 = 5.0;
const CATEGORIES: [&str; 4] = ["identity@1", "condition@1", "body-temperature@1", "vaccination@1"];
/// The person's ids at the app, at one city and at the other.
const IDS: [&str; 3] = ["bench-app", "bench-one", "bench-other"];

/// Measures; gives the bars.
pub async fn measure(target: &Path) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("summary-{}", std::process::id())));
    let bench = Bench::make(target, &work, Vec::new(), with_third_source).await?;
    let patient = enrolled(&bench).await?;
    let around = &bench.around;
    hold(&bench);
    let running = bench.start().await?;
    let token = around.clinic_token()?;
    let url = format!("{}/fhir/Patient/{patient}/$summary", around.url);
    let direct = [
        format!("{}/v1/users/{}/records?parts=profile,temperatures", around.phr.url(), IDS[0]),
        format!("{}/Immunization?patient={}", around.city.url(), IDS[1]),
        format!("{}/Condition?patient={}", around.city.url(), IDS[2]),
    ];
    let mut took: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        for (at, url) in direct.iter().chain([&url]).enumerate() {
            let http = if at == direct.len() { &around.clinic_http } else { &around.app_http };
            let (ms, body) = timed(http, url, &token).await?;
            if round == 0 && at == direct.len() {
                whole(&body)?;
            }
            if let (true, Some(took)) = (round >= WARM_UP, took.get_mut(at)) {
                took.push(ms);
            }
        }
    }
    stop(running).await?;
    let [app, one, other, summary] = took.map(percentiles);
    let slowest = app.0.max(one.0).max(other.0);
    println!(
        "summary: median {:.2} ms, p99 {:.2} ms; the sources by themselves {:.2}, {:.2}, {:.2} ms",
        summary.0, summary.1, app.0, one.0, other.0
    );
    Ok(vec![
        Bar::at_most(
            "summary of 300 items, over the slowest of three sources, median",
            summary.0 - slowest,
            "ms",
            OVERHEAD_MS_MAX,
        ),
        Bar::stated("the same, the whole request, p99", summary.1, "ms"),
    ])
}

/// One more party that holds data, at the same server under another id.
fn with_third_source(text: String) -> String {
    let city = text.split("[[source]]\n").find(|part| part.starts_with("party = \"fuchu-city\"")).unwrap_or_default();
    let third = format!("[[source]]\n{}", city.replace("fuchu-city", "chofu-city"));
    let party =
        "[[party]]\ncode = \"chofu-city\"\nkind = \"municipality\"\nname_ja = \"調布市\"\nname_en = \"Chofu City\"\n\n";
    let part = "[[summary.part]]\nsource = \"chofu-city\"\ncategories = [\"condition@1\"]\n\n[pages]\n";
    text.replacen("[[source]]\n", &format!("{third}[[source]]\n"), 1)
        .replacen("[[purpose]]\n", &format!("{party}[[purpose]]\n"), 1)
        .replacen("[pages]\n", part, 1)
}

/// Somebody who agreed to a summary for the clinic, whose records are at all three.
async fn enrolled(bench: &Bench) -> Result<String, Failure> {
    let store = bench.open().await?;
    let (person, id) = (PersonId::mint(), PairwiseId::from_bytes(sekisho::ids::random()));
    let source = |party: &str, id: &str| LinkTarget::Source { party: party.to_owned(), id: id.to_owned() };
    let minted = PairwiseMinted {
        subject: Bytes16(*person.bytes()),
        party: "midori-clinic".to_owned(),
        id: Bytes16(*id.bytes()),
        secret: Bytes32(sekisho::ids::random()),
    };
    let mut consent = world::approved(person, ConsentId::mint());
    if let Event::ConsentApproved(consent) = &mut consent {
        let now = now_ms();
        (consent.terms.recipient, consent.terms.purpose) =
            ("midori-clinic".to_owned(), "online-consultation".to_owned());
        consent.terms.categories = CATEGORIES.map(str::to_owned).to_vec();
        (consent.terms.from_ms, consent.approved_ms) = (now, now);
        consent.terms.until_ms = now + 30 * world::DAY_MS;
    }
    let events = vec![
        world::enrolled(person),
        linked(person, source("yotsuba-phr", IDS[0])),
        linked(person, source("fuchu-city", IDS[1])),
        linked(person, source("chofu-city", IDS[2])),
        consent,
        Event::PairwiseMinted(minted),
    ];
    write(&store, vec![(person, events)]).await?;
    store.stop().await?;
    Ok(id.text())
}

/// A hundred items at each.
fn hold(bench: &Bench) {
    let day = |number: usize| format!("2026-{:02}-{:02}", 1 + number / 28 % 12, 1 + number % 28);
    let temperature = |n: usize| json!({"id": format!("t{n}"), "value": 36.5, "unit": "Cel", "at": format!("2025-{}T07:00:00+09:00", &day(n)[5..]), "entered": "device"});
    let profile = json!({"name": "計測 太郎", "birth_date": "1980-01-01", "sex": "male", "entered": "self"});
    let records = json!({"profile": profile, "temperatures": (0..ITEMS).map(temperature).collect::<Vec<_>>()});
    bench.around.phr.put(IDS[0], records.as_object().cloned().unwrap_or_default());
    let subject = |id: &str| json!({"reference": format!("Patient/{id}")});
    let dose = |n: usize| {
        json!({"resourceType": "Immunization", "id": format!("d{n}"), "status": "completed", "patient": subject(IDS[1]),
            "vaccineCode": {"text": "麻しん風しん"}, "occurrenceDateTime": day(n), "lotNumber": format!("L{n}")})
    };
    bench.around.city.put(IDS[1], (0..ITEMS).map(dose).collect());
    let condition = |n: usize| {
        json!({"resourceType": "Condition", "id": format!("c{n}"), "subject": subject(IDS[2]), "recordedDate": day(n),
            "code": {"text": "気管支喘息"}})
    };
    bench.around.city.put(IDS[2], (0..ITEMS).map(condition).collect());
}

async fn timed(http: &HttpClient, url: &str, token: &str) -> Result<(f64, Bytes), Failure> {
    let request = Request::get(url).header("authorization", format!("Bearer {token}")).body(Bytes::new())?;
    let began = Instant::now();
    let answer = http.send(request).await?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    if answer.status.as_u16() != 200 {
        return Err(format!("{url} answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
    }
    Ok((ms, answer.body))
}

/// All three hundred, the person and what every document has.
fn whole(body: &[u8]) -> Result<(), Failure> {
    let bundle: Value = serde_json::from_slice(body)?;
    let entries = bundle.get("entry").and_then(Value::as_array).map_or(0, Vec::len);
    if entries == 3 * ITEMS + 3 { Ok(()) } else { Err(format!("a summary of {entries} entries").into()) }
}

/// Median and 99th percentile.
fn percentiles(mut took: Vec<f64>) -> (f64, f64) {
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    (at(0.5), at(0.99))
}
