//! Decisions with a million consents of 100,000 people against those of 1,000 people, ten consents each: two processes with a
//! store each, on one core, in turn; and what the larger one takes in memory and on the disk.
//!
//! A decision is the whole of the store's `decide_and_record`: the person's records, the pure decision, the sealed entry, its
//! sync. First everybody is decided about once, in an order drawn at random: nobody is in memory then, and that time is stated
//! by itself. From then on whom a decision is about is drawn at random each time.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sekisho::clock::Clock;
use sekisho::ids::TextId;
use sekisho::ledger::entry::Cause;
use sekisho::ledger::event::Event;
use sekisho::store::conformance::world;
use sekisho::store::{Options, Ruling, Store};
use sekisho_policy::{ConsentId, PersonId};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::child::{PROXY_CORE, Process};
use crate::report::{Bar, median};
use crate::served::{Work, memory, write};
use crate::world::now_ms;

const FEW: usize = 1_000;
/// The bars are about so many people.
pub const MANY: usize = 100_000;
const CONSENTS_EACH: usize = 10;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 7;
const DECISIONS: usize = 20_000;
const RATIO_MAX: f64 = 1.3;
/// The line that orders [`Order::Everybody`].
const EVERYBODY: &str = "everybody";
const WITHIN: Duration = Duration::from_secs(600);

/// What the process with the store says after each order.
#[derive(Serialize, Deserialize)]
struct Said {
    /// Microseconds for each decision.
    us: f64,
    /// Resident memory in bytes.
    resident: u64,
}

/// Measures; gives the bars.
pub async fn measure(target: &Path, many: usize) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("subjects-{}", std::process::id())));
    let (mut few, _) = made(&work, "few", FEW).await?;
    let (mut lots, bytes) = made(&work, "many", many).await?;
    let (mut few_us, mut lots_us, mut ratios, mut resident) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let opened = order(&mut lots, Order::Drawn(0)).await?.resident;
    // Fills the caches.
    let few_first_us = order(&mut few, Order::Everybody).await?.us;
    let first = order(&mut lots, Order::Everybody).await?;
    for round in 0..ROUNDS {
        let (one, other) = if round % 2 == 0 {
            let one = order(&mut few, Order::Drawn(DECISIONS)).await?;
            (one, order(&mut lots, Order::Drawn(DECISIONS)).await?)
        } else {
            let other = order(&mut lots, Order::Drawn(DECISIONS)).await?;
            (order(&mut few, Order::Drawn(DECISIONS)).await?, other)
        };
        resident = other.resident;
        few_us.push(one.us);
        lots_us.push(other.us);
        ratios.push(other.us / one.us);
    }
    few.stop().await;
    lots.stop().await;
    let shown: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("decisions, {many} people by {FEW}, round by round: {}", shown.join(" "));
    let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    let consents = (many * CONSENTS_EACH) as f64;
    Ok(vec![
        Bar::at_most("decision, 1,000,000 consents by 10,000", middle(ratios), "ratio", RATIO_MAX),
        Bar::stated("decision of 1,000 people, recorded, 32 at once", middle(few_us), "µs"),
        Bar::stated("decision of 100,000 people, recorded, 32 at once", middle(lots_us), "µs"),
        Bar::stated("the first decision about each of 1,000 people after a start", few_first_us, "µs"),
        Bar::stated("the first decision about each of 100,000 people", first.us, "µs"),
        Bar::stated("1,000,000 consents: resident after opening", opened as f64 / 1e6, "MB"),
        Bar::stated("1,000,000 consents: resident after decisions", resident as f64 / 1e6, "MB"),
        Bar::stated("resident bytes per consent after decisions", resident as f64 / consents, "B"),
        Bar::stated("bytes on disk per consent (ledger, vault, index)", bytes as f64 / consents, "B"),
    ])
}

/// A store with so many people, and a process that has it open; and its bytes on the disk.
async fn made(work: &Work, name: &str, count: usize) -> Result<(Process, u64), Failure> {
    let directory = work.0.join(name);
    std::fs::create_dir_all(&directory)?;
    let store = open(&directory).await?;
    world::activate(&store, &world::registry()).await?;
    let people: Vec<PersonId> = (0..count).map(|_| PersonId::mint()).collect();
    let now = now_ms();
    let consent = |person: PersonId| {
        let mut event = world::approved(person, ConsentId::mint());
        if let Event::ConsentApproved(consent) = &mut event {
            (consent.terms.from_ms, consent.approved_ms) = (now, now);
            consent.terms.until_ms = now + 30 * world::DAY_MS;
        }
        event
    };
    let began = Instant::now();
    let records = people.iter().map(|person| {
        let consents = (0..CONSENTS_EACH).map(|_| consent(*person));
        (*person, [world::enrolled(*person)].into_iter().chain(consents).collect())
    });
    write(&store, records.collect()).await?;
    store.stop().await?;
    // Its lock goes with it: the directory is another process's from here on.
    drop(store);
    println!("{} consents of {count} people written in {:.0} s", count * CONSENTS_EACH, began.elapsed().as_secs_f64());
    let ids: Vec<String> = people.iter().map(TextId::text).collect();
    std::fs::write(directory.join("people"), ids.join("\n"))?;
    let bytes = size(&directory.join("data"))?;
    let folder = directory.to_str().ok_or("the target directory's name is not UTF-8")?;
    let mut process = Process::role("store", PROXY_CORE, &directory, &["store", folder])?;
    let _ready: Said = serde_json::from_str(&process.line(WITHIN).await?)?;
    Ok((process, bytes))
}

fn size(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        // What is allocated: the ledger's file is longer than what is written.
        use std::os::unix::fs::MetadataExt as _;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}

/// What a process with a store is told to do.
#[derive(Clone, Copy)]
enum Order {
    /// To decide so many times, each time about somebody drawn at random.
    Drawn(usize),
    /// To decide about everybody once.
    Everybody,
}

async fn order(process: &mut Process, order: Order) -> Result<Said, Failure> {
    let line = match order {
        Order::Drawn(decisions) => decisions.to_string(),
        Order::Everybody => EVERYBODY.to_owned(),
    };
    process.send(&line).await?;
    Ok(serde_json::from_str(&process.line(WITHIN).await?)?)
}

async fn open(directory: &Path) -> Result<Store, Failure> {
    let options = Options {
        directory: directory.join("data"),
        origin: "bench.example/sekisho".to_owned(),
        // For a store that lives as long as this bench.
        master_key: [7; 32],
        clock: Clock::system(),
    };
    Ok(Store::open(options).await?)
}

/// The process with the store: decides as often as it is told, one order a line.
pub async fn run(directory: &Path) -> Result<(), Failure> {
    let store = open(directory).await?;
    let text = std::fs::read_to_string(PathBuf::from(directory).join("people"))?;
    let people: Vec<PersonId> = text.lines().map(PersonId::parse).collect::<Result<_, _>>()?;
    let mut dice = StdRng::seed_from_u64(1);
    say(0.0)?;
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await??;
        let whom: Vec<PersonId> = match line.trim() {
            EVERYBODY => {
                let mut everybody = people.clone();
                everybody.shuffle(&mut dice);
                everybody
            }
            number => {
                let Ok(decisions) = number.parse::<usize>() else { break };
                let one = |_| people.get(dice.random_range(0..people.len())).copied();
                (0..decisions).map(one).collect::<Option<_>>().ok_or("nobody")?
            }
        };
        say(decided(&store, &whom).await?)?;
    }
    Ok(store.stop().await?)
}

/// Decides about each of these people, 32 at once; gives microseconds for each.
async fn decided(store: &Store, whom: &[PersonId]) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (at, person) in whom.iter().copied().enumerate() {
        let store = store.clone();
        tasks.spawn(async move {
            let asked = world::question(person);
            store.decide_and_record(&asked, "vaccination-history", Cause::Gateway).await
        });
        if at + 1 >= AT_ONCE {
            permitted(tasks.join_next().await)?;
        }
    }
    while let Some(done) = tasks.join_next().await {
        permitted(Some(done))?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / whom.len().max(1) as f64)
}

type Decided = Result<Result<Ruling, sekisho::store::StoreError>, tokio::task::JoinError>;

fn permitted(done: Option<Decided>) -> Result<(), Failure> {
    match done.ok_or("no task")??? {
        Ruling::Permitted(_) => Ok(()),
        Ruling::Denied(_) => Err("a decision denies".into()),
    }
}

fn say(us: f64) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(&Said { us, resident: memory(std::process::id(), "VmRSS")? })?);
    Ok(())
}
