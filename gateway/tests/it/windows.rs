//! Proofs that a running store makes from the roots of windows, against those that are made from the whole ledger with the
//! library's tree: byte for byte the same, in every window, at its edges, and after a start.

use std::path::Path;

use sekisho::clock::Clock;
use sekisho::ids::TextId;
use sekisho::ledger::entry::Cause;
use sekisho::ledger::merkle::WINDOW;
use sekisho::ledger::proof::{check, prove};
use sekisho::store::conformance::world;
use sekisho::store::{Options, Provable, Store};
use sekisho_policy::PersonId;
use serde_json::Value;

async fn open(directory: &Path) -> Store {
    let options = Options {
        directory: directory.join("data"),
        origin: "sekisho.example/windows".to_owned(),
        master_key: [7; 32],
        clock: Clock::manual(world::START),
    };
    Store::open(options).await.unwrap()
}

/// Compares the proofs of some lines, the first and last of each window among them; gives how many there were.
async fn compare(store: &Store, directory: &Path, person: PersonId) -> usize {
    let mut lines = Vec::new();
    let mut before = u64::MAX;
    loop {
        let read = store.access_log(person, before, 1_000).unwrap();
        let Some(last) = read.last() else { break };
        before = last.position();
        lines.extend(read);
    }
    let key = store.ledger_key().verifier_key();
    let edge = |position: u64| [0, 1, WINDOW - 1].contains(&(position % WINDOW));
    let some = lines.iter().enumerate().filter(|(number, line)| number % 997 == 0 || edge(line.position()));
    let mut compared = 0;
    for (_, line) in some {
        let Provable::Proof(proof) = store.prove(person, line.position()).await.unwrap() else { panic!("not covered") };
        let json: Value = serde_json::from_str(&proof).unwrap();
        let checkpoint = json["checkpoint"].as_str().unwrap();
        let expected = prove(&directory.join("data/ledger"), line.entry(), checkpoint.as_bytes()).unwrap();
        assert_eq!(proof, expected, "of entry {}", line.position());
        assert_eq!(check(&proof, &key).unwrap().index, line.position());
        compared += 1;
    }
    compared
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_by_windows_are_those_of_the_whole_ledger() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    world::activate(&store, &world::registry()).await.unwrap();
    let person = PersonId::mint();
    store.make_keys(vec![person]).await.unwrap();
    world::record(&store, person, world::enrolled(person)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    // Denials: one entry each, two whole windows and a part of the third.
    for _ in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..(5 * WINDOW / 2) / 64 {
                store.decide_and_record(&world::question(person), "r", Cause::Gateway).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let compared = compare(&store, root.path(), person).await;
    assert!(compared >= 14, "{compared}");
    assert_eq!(store.prove(person, u64::MAX).await.unwrap(), Provable::Unknown);
    assert_eq!(store.prove(PersonId::mint(), 5).await.unwrap(), Provable::Unknown, "somebody else's line");
    store.stop().await.unwrap();
    // Its lock goes with it.
    drop(store);
    let store = open(root.path()).await;
    assert_eq!(compare(&store, root.path(), person).await, compared, "after a start");
    store.stop().await.unwrap();
}
