//! A store that people consent, revoke and ask in for as long as somebody reads, for tests that kill or trace it.
//!
//! `store_under_load DIRECTORY`: every acknowledged entry is told on standard output, after its acknowledgement and never
//! before: its id, a space, and its number in the ledger (`-` for decisions, which are told by id alone).
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;

use sekisho::clock::Clock;
use sekisho::ids::TextId;
use sekisho::ledger::entry::Cause;
use sekisho::store::conformance::world;
use sekisho::store::{Appended, Options, Ruling, Store, StoreError};
use sekisho_policy::{ConsentId, PersonId};

/// People, each with one task that changes and one that asks.
const PEOPLE: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: store_under_load DIRECTORY")?);
    let origin = "sekisho.example/load".to_owned();
    let store = Store::open(Options { directory, origin, master_key: [1; 32], clock: Clock::system() }).await?;
    told(world::activate(&store, &world::registry()).await?)?;
    let people = world::enrol(&store, PEOPLE).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for person in people {
        tasks.spawn(change(store.clone(), person));
        tasks.spawn(ask(store.clone(), person));
    }
    // Without end as long as somebody reads: one that can't tell any more ends all.
    if let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn told(appended: Appended) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{} {}", appended.entry.text(), appended.position)
}

async fn change(store: Store, person: PersonId) -> Result<(), StoreError> {
    let mut consent = None;
    loop {
        let now = store.clock().now()?;
        // Given, then replaced in one step (two entries that belong together), then ended.
        let (events, next) = match consent {
            None => {
                let fresh = ConsentId::mint();
                (vec![world::approved(person, fresh)], Some((fresh, false)))
            }
            Some((old, false)) => {
                let fresh = ConsentId::mint();
                (vec![world::ended(person, old, now), world::approved(person, fresh)], Some((fresh, true)))
            }
            Some((old, true)) => (vec![world::ended(person, old, now)], None),
        };
        let drafted = store.update(person, |_, _, _| Ok::<_, StoreError>(((), world::draft(events.clone()))));
        if let (_, Some(appended)) = drafted.await?
            && told(appended).is_err()
        {
            return Ok(());
        }
        consent = next;
    }
}

async fn ask(store: Store, person: PersonId) -> Result<(), StoreError> {
    loop {
        let ruling = store.decide_and_record(&world::question(person), "load", Cause::Gateway).await?;
        if let Ruling::Permitted(recorded) = ruling
            && writeln!(std::io::stdout(), "{} -", recorded.decision().text()).is_err()
        {
            return Ok(());
        }
    }
}
