//! Citizens' pages for somebody with 200 consents and 50,000 lines in their log, while the log of everybody else grows: the
//! first page, and a search by month. Measured at the client, over TLS, on the cores that the gateway uses: what is found
//! is more than the server's own time.
//!
//! For each size somebody new, whose lines lie among the entries that were written since the size before: the longer the
//! ledger, the further apart they are.

use std::path::Path;
use std::time::Instant;

use http::StatusCode;
use sekisho::clock::Clock;
use sekisho::config::Config;
use sekisho::ids::{TextId, party_id};
use sekisho::ledger::entry::{Bytes16, Bytes32, Cause};
use sekisho::ledger::event::{Closed, Event, LinkTarget, Outcome};
use sekisho::store::conformance::world;
use sekisho::store::{Options, Ruling, Store, StoreError};
use sekisho_adapters::identity::stand_in::Lie;
use sekisho_adapters::people::People;
use sekisho_policy::{AccessRequest, ConsentId, PersonId, Timestamp};
use sekisho_tests::browser::Browser;

use crate::Failure;
use crate::report::{Bar, median};
use crate::served::{Bench, Work, linked, login, stop, write};
use crate::world::now_ms;

/// Entries of others; the bars are about the default.
pub const OTHERS: u64 = 10_000_000;
/// The sizes below it that are measured too, as parts of it.
const PARTS: [u64; 3] = [100, 10, 1];
const CONSENTS: usize = 200;
const LINES: u64 = 50_000;
/// People whose decisions fill the ledger.
const PEOPLE: usize = 5_000;
/// Decisions under way at a time while the ledger is written.
const BATCH: u64 = 1_024;
/// Over so many days each size's entries are spread.
const DAYS: i64 = 240;
const WARM_UP: usize = 20;
const PAGES: usize = 400;
const HOME_MS_MAX: f64 = 50.0;
const MONTH_MS_MAX: f64 = 20.0;
/// As flat as other programs on the machine let it be seen.
const FLAT_MAX: f64 = 1.5;

/// Milliseconds at the client.
struct Found {
    others: u64,
    home: Vec<f64>,
    month: Vec<f64>,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path, others: u64) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("pages-{}", std::process::id())));
    let families = People::new(1, jiff::civil::date(2026, 11, 22)).families().take(1).collect();
    let bench = Bench::make(target, &work, families, |text| text).await?;
    let (mut all, mut written) = (Vec::new(), 0);
    for (stage, part) in (0..).zip(PARTS) {
        let until = others / part;
        let person = grow(&bench, stage, until - written).await?;
        written = until;
        all.push(looked(&bench, person, stage, until).await?);
    }
    bars(&all)
}

fn bars(all: &[Found]) -> Result<Vec<Bar>, Failure> {
    let p99 = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * 99 / 100).copied().ok_or("nothing was measured")
    };
    let middle = |values: &[f64]| median(values.to_vec()).ok_or("nothing was measured");
    for found in all {
        println!(
            "{} entries of others: home {:.1} ms (p99 {:.1}), month {:.1} ms (p99 {:.1})",
            found.others,
            middle(&found.home)?,
            p99(&found.home)?,
            middle(&found.month)?,
            p99(&found.month)?
        );
    }
    let (first, last) = all.first().zip(all.last()).ok_or("nothing was measured")?;
    Ok(vec![
        Bar::at_most("home, 200 consents, 50,000 lines: p99", p99(&last.home)?, "ms", HOME_MS_MAX),
        Bar::at_most("log of a month: p99", p99(&last.month)?, "ms", MONTH_MS_MAX),
        Bar::at_most(
            "log of a month, others' entries times 100",
            middle(&last.month)? / middle(&first.month)?,
            "ratio",
            FLAT_MAX,
        ),
        Bar::stated("home, median", middle(&last.home)?, "ms"),
        Bar::stated("log of a month, median", middle(&last.month)?, "ms"),
    ])
}

/// When the entries of a stage begin, ms since the epoch.
fn begins(stage: i64) -> i64 {
    let stages = i64::try_from(PARTS.len()).unwrap_or(i64::MAX);
    now_ms() - (stages - stage) * DAYS * world::DAY_MS - world::DAY_MS
}

/// Writes somebody new with their consents and lines, among so many decisions about others.
async fn grow(bench: &Bench, stage: i64, others: u64) -> Result<PersonId, Failure> {
    let began = Instant::now();
    let clock = Clock::manual(Timestamp::from_millis(begins(stage)));
    let options = Options {
        directory: bench.data.clone(),
        origin: "demo.invalid/sekisho".to_owned(),
        master_key: bench.master_key(),
        clock: clock.clone(),
    };
    let store = Store::open(options).await?;
    if stage == 0 {
        // Before the gateway does it: its entry would be of today, and nothing is decided behind it.
        let config = Config::read(&bench.around.config).map_err(|error| format!("{error}"))?;
        sekisho::app::activate(&store, &config, Cause::Gateway).await?;
    }
    let person = PersonId::mint();
    let link = LinkTarget::Login { issuer: bench.around.issuer.base_url().to_owned(), sub: login(person) };
    let mut events = vec![world::enrolled(person), linked(person, link)];
    events.extend((0..CONSENTS).map(|_| consent(person, begins(stage))));
    let crowd: Vec<PersonId> = (0..PEOPLE).map(|_| PersonId::mint()).collect();
    let mut records: Vec<(PersonId, Vec<Event>)> = crowd.iter().map(|p| (*p, vec![world::enrolled(*p)])).collect();
    records.push((person, events));
    write(&store, records).await?;
    let total = others + LINES;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..total {
        if number % BATCH == 0 {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            let share = i64::try_from(number * 1_000 / total).unwrap_or(1_000);
            clock.set(Timestamp::from_millis(begins(stage) + share * DAYS * world::DAY_MS / 1_000));
        }
        if number % (total / 10).max(1) == 0 {
            println!("  {others} entries of others: {} %", number * 100 / total);
        }
        // Evenly among the others.
        let own = (number + 1) * LINES / total > number * LINES / total;
        let about = if own { person } else { *crowd.get(number as usize % PEOPLE).ok_or("nobody")? };
        tasks.spawn(decided(store.clone(), about));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    store.stop().await?;
    println!("{others} entries of others and {LINES} own lines written in {:.0} s", began.elapsed().as_secs_f64());
    Ok(person)
}

fn consent(person: PersonId, from: i64) -> Event {
    let mut event = world::approved(person, ConsentId::mint());
    if let Event::ConsentApproved(consent) = &mut event {
        consent.terms.purpose = "phr-view".to_owned();
        (consent.terms.from_ms, consent.approved_ms) = (from, from);
        consent.terms.until_ms = from + 1_096 * world::DAY_MS;
    }
    event
}

fn question(about: PersonId) -> AccessRequest {
    let mut request = world::question(about);
    request.source = party_id("fuchu-city");
    if let Ok(purpose) = sekisho_policy::Code::parse("phr-view") {
        request.purpose = sekisho_policy::PurposeCode(purpose);
    }
    if let Some(category) = sekisho::store::state::category_version(world::VACCINATION)
        && let Some(categories) = sekisho_policy::Categories::new(vec![category])
    {
        request.categories = categories;
    }
    request
}

async fn decided(store: Store, about: PersonId) -> Result<(), StoreError> {
    let ruling = store.decide_and_record(&question(about), "vaccination-history", Cause::Gateway).await?;
    if let Ruling::Permitted(recorded) = ruling {
        let decision = Bytes16(*recorded.decision().bytes());
        let (outcome, digest) = (Outcome::Complete, Some(Bytes32([7; 32])));
        store.close(about, Closed { decision, outcome, items: 12, withheld: 3, bytes: 2_600, digest });
    }
    Ok(())
}

/// Signs in as this person and looks at both pages, in turn.
async fn looked(bench: &Bench, person: PersonId, stage: i64, others: u64) -> Result<Found, Failure> {
    let running = bench.start().await?;
    let around = &bench.around;
    around.issuer.lie(Some(Lie::Sub(login(person))));
    let mut browser = Browser::new(around.browser.clone(), &around.url);
    let family = around.families.first().ok_or("no family")?;
    let persona = &family.parents.first().ok_or("no parent")?.id;
    browser.sign_in("/my/sign-in/dev", persona).await;
    // A month in the middle of the stage's time, as an address names it.
    let middle = jiff::Timestamp::from_millisecond(begins(stage) + DAYS / 2 * world::DAY_MS)?;
    let month = middle.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).strftime("%Y-%m").to_string();
    let month = format!("/my/log?month={month}");
    let mut found = Found { others, home: Vec::new(), month: Vec::new() };
    for number in 0..WARM_UP + PAGES {
        for (path, wanted, times) in [("/my", CONSENTS, &mut found.home), (month.as_str(), 50, &mut found.month)] {
            let began = Instant::now();
            let page = browser.open(path).await;
            let ms = began.elapsed().as_secs_f64() * 1e3;
            let cards = page.text.matches("<article").count();
            if page.status != StatusCode::OK || cards < wanted {
                return Err(format!("{path}: {} with {cards} of {wanted}", page.status).into());
            }
            if number >= WARM_UP {
                times.push(ms);
            }
        }
    }
    stop(running).await?;
    Ok(found)
}
