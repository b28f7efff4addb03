//! The week of public health nurses at its largest: consultations collected, triaged, made up, pulled, sealed and confirmed; how long it
//! takes, and what the gateway holds in memory for it.
//!
//! The gateway is a process of its own on the machine's clock. The consultation service, those on call and the municipalities' systems
//! are this one, on the same cores.

use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use http::Method;
use sekisho::clock::Clock;
use sekisho::demo::week::{Care, City};
use sekisho::ledger::merkle::sha256;
use sekisho::package::{KeyPair, open};
use sekisho::week::calendar::Schedule;
use sekisho_adapters::certs::{ALPN_H1, Validity, client_config};
use sekisho_adapters::consultation::stand_in::Knobs;
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::people::consultations::Consultations;
use sekisho_adapters::stand_in::Faults;
use serde_json::{Value, json};

use crate::Failure;
use crate::report::Bar;
use crate::served::{Bench, Work, memory, stop};
use crate::world::now_ms;

/// Records of the whole measurement.
pub const RECORDS: u64 = 1_000_000;
/// What memory is compared with.
const FEWER: u64 = 10;
const WEEK_MS: i64 = 7 * 86_400_000;
const SECONDS_MAX: f64 = 60.0;
const MEGABYTES_MAX: f64 = 300.0;
const FLAT_MAX: f64 = 1.25;
/// Beside the two of the little world.
const CITIES: [(&str, &str, &str); 6] = [
    ("chiyoda", "chiyoda-machine", "131016"),
    ("setagaya", "setagaya-machine", "131121"),
    ("nerima", "nerima-machine", "131202"),
    ("hachioji", "hachioji-machine", "132012"),
    ("mitaka", "mitaka-machine", "132047"),
    ("kokubunji", "kokubunji-machine", "132144"),
];

/// What one run took.
struct Run {
    collected: Duration,
    made_up: Duration,
    pulled: Duration,
    rows: u64,
    peak: u64,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path, records: u64) -> Result<Vec<Bar>, Failure> {
    let few = run(target, records.div_ceil(FEWER)).await?;
    let all = run(target, records).await?;
    let whole = all.collected + all.made_up + all.pulled;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        Bar::at_most(&format!("week: {records} records, the whole run"), whole.as_secs_f64(), "s", SECONDS_MAX),
        Bar::stated(
            "the same: records a second, collected and triaged",
            records as f64 / all.collected.as_secs_f64(),
            "/s",
        ),
        Bar::stated(
            "the same: rows a second, decided, sealed, confirmed",
            all.rows as f64 / all.pulled.as_secs_f64(),
            "/s",
        ),
        Bar::at_most("the same: resident, at most at any time", mb(all.peak), "MB", MEGABYTES_MAX),
        Bar::at_most("the same, by that of a tenth of the records", all.peak as f64 / few.peak as f64, "", FLAT_MAX),
    ])
}

async fn run(target: &Path, records: u64) -> Result<Run, Failure> {
    let work = Work(target.join("bench").join(format!("week-{}-{records}", std::process::id())));
    let bench = Bench::make(target, &work, Vec::new(), |text| text).await?;
    let now = Clock::system().now()?;
    let schedule = Schedule::parse("mon 06:00").ok_or("no schedule")?;
    let week = schedule.last_due(now);
    let from = jiff::Timestamp::from_millisecond(schedule.due(week).millis() - WEEK_MS)?;
    let every = WEEK_MS / i64::try_from(records)?.max(1);
    let today = from.to_zoned(jiff::tz::TimeZone::UTC).date();
    let generated = Consultations::new(11, today, from, every.max(1));
    let mut care = Care::open(&bench.around, Some((generated, records))).await?;
    care.collect_every_s = 3_600;
    let cities = cities(&bench)?;
    let text = std::fs::read_to_string(&bench.around.config)?;
    let text = cities.iter().zip(CITIES).fold(care.configured(&text), |text, (city, of)| text + &section(city, of.2));
    std::fs::write(&bench.around.config, text)?;
    let store = bench.open().await?;
    let signer = store.ledger_key().verifier_key();
    store.stop().await?;
    drop(store);
    // What runs by itself finds the service down, and tries again later: each step is measured by itself.
    care.service.set_knobs(Knobs { faults: Faults { status: Some(503), ..Faults::default() }, ..Knobs::default() });
    let running = bench.start().await?;
    let pid = running.id().ok_or("the gateway has ended")?;
    while care.service.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    care.service.set_knobs(Knobs::default());
    let began = Instant::now();
    let lines =
        batch(&bench, &json!({"collect": true, "week": week.to_string(), "municipality": "fuchu-city"})).await?;
    let flagged = number(&lines, "flagged");
    let collected = began.elapsed();
    let began = Instant::now();
    batch(&bench, &json!({"week": week.to_string()})).await?;
    let made_up = began.elapsed();
    let after = memory(pid, "VmHWM")?;
    let began = Instant::now();
    let (mut rows, mut packages) = (0, 0);
    for city in care.cities.iter().chain(&cities) {
        let (some, of) = pulled(&bench, city, &signer).await?;
        (rows, packages) = (rows + some, packages + of);
    }
    let pulled = began.elapsed();
    let peak = memory(pid, "VmHWM")?;
    println!(
        "week: {records} records, {flagged} flagged: collected {:.1} s, made up {:.1} s, {packages} packages with {rows} rows pulled \
         and confirmed {:.1} s; {} MB after making up, {} MB at most",
        collected.as_secs_f64(),
        made_up.as_secs_f64(),
        pulled.as_secs_f64(),
        after / 1_000_000,
        peak / 1_000_000
    );
    stop(running).await?;
    Ok(Run { collected, made_up, pulled, rows, peak })
}

/// Further municipalities.
fn cities(bench: &Bench) -> Result<Vec<City>, Failure> {
    let validity = Validity::around(now_ms());
    let one = |(code, client, _): (&'static str, &'static str, &str)| {
        let identity = bench.around.ca.client(client, validity)?;
        let tls = client_config(bench.around.ca.roots()?, Some(&identity), ALPN_H1)?;
        let http = HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 120_000, body_bytes_max: 64 << 20 });
        Ok(City { code, client, identity, http, key: KeyPair::generate() })
    };
    CITIES.into_iter().map(one).collect()
}

fn section(city: &City, number: &str) -> String {
    let (code, client) = (city.code, city.client);
    format!(
        "\n[[party]]\ncode = \"{code}\"\nkind = \"municipality\"\nname_ja = \"{code}\"\nname_en = \"{code}\"\n\
         certificates = [\"{}\"]\nclients = [\"{client}\"]\n\n\
         [[week.municipality]]\nparty = \"{code}\"\ncode = \"{number}\"\nat = \"mon 06:00\"\nkey = \"{}\"\ndefault_district = \"-\"\n",
        city.identity.thumbprint(),
        city.key.public()
    )
}

async fn batch(bench: &Bench, of: &Value) -> Result<Vec<Value>, Failure> {
    let lines = sekisho::admin::client::lines(&bench.around.socket(), "/batch/run", of).await?;
    match lines.iter().find(|line| line.get("error").is_some()) {
        Some(error) => Err(error.to_string().into()),
        None => Ok(lines),
    }
}

fn number(lines: &[Value], name: &str) -> u64 {
    lines.iter().filter_map(|line| line.get(name)?.as_u64()).max().unwrap_or(0)
}

/// Pulls, opens and confirms every package of a municipality: rows, and packages.
async fn pulled(bench: &Bench, city: &City, signer: &str) -> Result<(u64, usize), Failure> {
    let (around, token) = (&bench.around, city.token(&bench.around)?);
    let listed = around.call(&city.http, Method::GET, "/v1/packages", &token, None).await?;
    let listed: Value = serde_json::from_slice(&listed.body)?;
    let items = listed.get("items").and_then(Value::as_array).ok_or("no items")?;
    let ids: Vec<&str> = items.iter().filter_map(|item| item.get("id")?.as_str()).collect();
    let mut rows = 0;
    for id in &ids {
        let path = format!("/v1/packages/{id}/copies");
        let answer = around.call(&city.http, Method::POST, &path, &token, Some(&json!({}))).await?;
        if answer.status.as_u16() != 200 {
            return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        rows += u64::from(checked(&answer.body, city, signer)?);
        let digest = HEXLOWER.encode(&sha256(&answer.body));
        let path = format!("/v1/packages/{id}/receipts");
        let said = around.call(&city.http, Method::POST, &path, &token, Some(&json!({"digest": digest}))).await?;
        if said.status.as_u16() != 200 {
            return Err(format!("{}: {}", said.status, String::from_utf8_lossy(&said.body)).into());
        }
    }
    Ok((rows, ids.len()))
}

/// How many rows a package has; all of it is checked.
fn checked(bytes: &[u8], city: &City, signer: &str) -> Result<u32, Failure> {
    let now = jiff::Timestamp::from_millisecond(now_ms())?;
    Ok(open::check(&mut std::io::Cursor::new(bytes), &city.key, signer, now)?.head.rows)
}
