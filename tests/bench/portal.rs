//! The My Portal relay through the stand-in, which answers at once: relays per second and their processor time; and what ten
//! thousand jobs that wait for the portal take in memory.
//!
//! A relay is a whole request of an app: decision, record, the portal's request and result, mapping, narrowing, release. A job
//! waits when the portal has taken the request and has no answer yet; the app is told to come back. Gateway, stand-in and
//! load share the machine's cores.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use jiff::civil::date;
use sekisho::demo::world::{World, portal_account};
use sekisho::ids::{PairwiseId, TextId as _};
use sekisho::ledger::entry::{Bytes16, Bytes32};
use sekisho::ledger::event::{Event, LinkTarget, PairwiseMinted};
use sekisho::store::conformance::world;
use sekisho_adapters::my_portal::stand_in::Knobs;
use sekisho_adapters::people::{Family, People};
use sekisho_policy::{ConsentId, PersonId};

use crate::Failure;
use crate::child::ticks;
use crate::report::Bar;
use crate::served::{Bench, Work, linked, login, memory, stop, write};
use crate::world::now_ms;

/// Jobs that wait; the gateway keeps so many.
const WAITING: usize = 10_000;
const CLIENTS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
const PER_SECOND_MIN: f64 = 300.0;
const WAITING_MB_MAX: f64 = 200.0;

/// Somebody whose records are at the portal.
struct Person {
    account: String,
    token: String,
    patient: String,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("portal-{}", std::process::id())));
    let families: Vec<Family> = families();
    let accounts: Vec<String> = families
        .iter()
        .flat_map(|f| &f.children)
        .filter(|c| !c.doses.is_empty())
        .take(WAITING)
        .map(|c| portal_account(&c.person.id))
        .collect();
    // Whoever waits is told to come back after a third of a second.
    let bend = |text: String| text.replace("timeout_ms = 5000", "timeout_ms = 300");
    let bench = Bench::make(target, &work, families, bend).await?;
    let people = enrolled(&bench, accounts).await?;
    let running = bench.start().await?;
    let pid = running.id().ok_or("the gateway has ended")?;
    let around = Arc::new(bench.around);
    signed_in(&around, &people).await?;
    let (per_second, cpu_us) = relayed(&around, &people, pid).await?;
    let resting = memory(pid, "VmRSS")?;
    around.portal.set_knobs(Knobs { pending_polls: u32::MAX, ..Knobs::default() });
    wait(&around, &people).await?;
    let waiting = memory(pid, "VmRSS")?;
    let peak = memory(pid, "VmHWM")?;
    println!(
        "portal: {per_second:.0} relays/s, {cpu_us:.0} µs each; {} jobs wait in {} MB",
        people.len(),
        waiting >> 20
    );
    stop(running).await?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        Bar::at_least("portal relays, stand-in on the same cores", per_second, "1/s", PER_SECOND_MIN),
        Bar::stated("portal relay: CPU of the gateway", cpu_us, "µs"),
        Bar::at_most("10,000 waiting portal jobs: resident", mb(waiting), "MB", WAITING_MB_MAX),
        Bar::stated("the same, of it there before any waited", mb(resting), "MB"),
        Bar::stated("the same, at most at any time", mb(peak), "MB"),
    ])
}

fn families() -> Vec<Family> {
    let mut children = 0;
    let enough = |family: &Family| {
        let before = children;
        children += family.children.iter().filter(|child| !child.doses.is_empty()).count();
        before < WAITING
    };
    People::new(11, date(2026, 6, 1)).families().take_while(enough).collect()
}

/// Adults with a login, an account at the portal and a consent to the app, written by the store itself.
async fn enrolled(bench: &Bench, accounts: Vec<String>) -> Result<Vec<Person>, Failure> {
    let store = bench.open().await?;
    let issuer = bench.around.issuer.base_url();
    let (mut people, mut records) = (Vec::new(), Vec::new());
    for account in accounts {
        let person = PersonId::mint();
        let (sub, id) = (login(person), PairwiseId::from_bytes(sekisho::ids::random()));
        let minted = PairwiseMinted {
            subject: Bytes16(*person.bytes()),
            party: "yotsuba-phr".to_owned(),
            id: Bytes16(*id.bytes()),
            secret: Bytes32(sekisho::ids::random()),
        };
        let events = vec![
            world::enrolled(person),
            linked(person, LinkTarget::Login { issuer: issuer.to_owned(), sub: sub.clone() }),
            linked(person, LinkTarget::Source { party: "my-portal".to_owned(), id: account.clone() }),
            consent(person),
            Event::PairwiseMinted(minted),
        ];
        records.push((person, events));
        people.push(Person { account, token: bench.around.app_token(&sub)?, patient: id.text() });
    }
    write(&store, records).await?;
    store.stop().await?;
    Ok(people)
}

fn consent(person: PersonId) -> Event {
    let mut event = world::approved(person, ConsentId::mint());
    if let Event::ConsentApproved(consent) = &mut event {
        let now = now_ms();
        consent.terms.purpose = "phr-view".to_owned();
        (consent.terms.from_ms, consent.approved_ms) = (now, now);
        consent.terms.until_ms = now + 30 * world::DAY_MS;
    }
    event
}

async fn ask(around: &World, person: &Person) -> Result<(u16, Bytes), Failure> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{}/portal/Immunization?patient={}", around.url, person.patient))
        .header(http::header::AUTHORIZATION, format!("Bearer {}", person.token))
        .body(Bytes::new())?;
    let answer = around.app_http.send(request).await?;
    Ok((answer.status.as_u16(), answer.body))
}

/// Everybody signs in at the portal, as the gateway asks them to.
async fn signed_in(around: &Arc<World>, people: &[Person]) -> Result<(), Failure> {
    let began = Instant::now();
    each(around, people, 16, |around, person| async move {
        let (status, body) = ask(&around, &person).await?;
        let outcome: serde_json::Value = serde_json::from_slice(&body)?;
        let url = outcome.pointer("/issue/0/diagnostics").and_then(serde_json::Value::as_str);
        let url =
            url.filter(|_| status == 409).ok_or_else(|| format!("no sign-in is asked for: {status} {outcome}"))?;
        match around.sign_in_at_portal(url, &person.account).await? {
            200 => Ok(()),
            other => Err(format!("signing in at the portal: {other}").into()),
        }
    })
    .await?;
    println!("{} people signed in at the portal in {:.0} s", people.len(), began.elapsed().as_secs_f64());
    Ok(())
}

/// Everybody asks once, and is told to come back.
async fn wait(around: &Arc<World>, people: &[Person]) -> Result<(), Failure> {
    each(around, people, 256, |around, person| async move {
        match ask(&around, &person).await? {
            (503, _) => Ok(()),
            (other, body) => Err(format!("a job does not wait: {other} {}", String::from_utf8_lossy(&body)).into()),
        }
    })
    .await
}

async fn each<F, R>(around: &Arc<World>, people: &[Person], at_once: usize, what: F) -> Result<(), Failure>
where
    F: Fn(Arc<World>, Person) -> R,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for person in people {
        tasks.spawn(what(Arc::clone(around), person.again()));
        if tasks.len() >= at_once {
            tasks.join_next().await.ok_or("no task")???;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

impl Person {
    fn again(&self) -> Self {
        Self { account: self.account.clone(), token: self.token.clone(), patient: self.patient.clone() }
    }
}

/// Relays per second, and microseconds of processor time of each.
async fn relayed(around: &Arc<World>, people: &[Person], pid: u32) -> Result<(f64, f64), Failure> {
    let from = Instant::now() + WARM_UP;
    let until = from + MEASURED;
    let mut clients = tokio::task::JoinSet::new();
    for turn in 0..CLIENTS {
        let around = Arc::clone(around);
        let mine: Vec<Person> = people.iter().skip(turn).step_by(CLIENTS).take(50).map(Person::again).collect();
        clients.spawn(async move {
            let mut relayed = 0_u64;
            for person in mine.iter().cycle() {
                if Instant::now() >= until {
                    break;
                }
                match ask(&around, person).await? {
                    (200, body) if body.windows(13).any(|w| w == b"\"Immunization") => {}
                    (other, body) => return Err(format!("no relay: {other} {}", String::from_utf8_lossy(&body)).into()),
                }
                let now = Instant::now();
                relayed += u64::from(now >= from && now < until);
            }
            Ok::<_, Failure>(relayed)
        });
    }
    tokio::time::sleep_until(from.into()).await;
    let before = ticks(pid);
    tokio::time::sleep_until(until.into()).await;
    let used = (ticks(pid) - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    let mut relayed = 0;
    while let Some(done) = clients.join_next().await {
        relayed += done??;
    }
    Ok((relayed as f64 / MEASURED.as_secs_f64(), used * 1e6 / relayed.max(1) as f64))
}
