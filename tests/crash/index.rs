//! The index is deleted, cut, bent, or put back to an older state while the gateway is down: it decides as before, and ends
//! with the index that a rebuild from ledger and vault gives.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho::app::master_key;
use sekisho::clock::Clock;
use sekisho::ledger::merkle::Hash;
use sekisho::store::{Options, Store};

use crate::books::Books;
use crate::gateway::Place;
use crate::load;
use crate::plan::{Plan, comes_back};

/// Acknowledgements before each harm, at most.
const BEFORE_A_HARM_MAX: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harmed_index_is_rebuilt_and_decides_nothing_wrongly() {
    let mut plan = Plan::new("harmed index", 8, 200);
    while plan.next_directory() > 0 {
        let place = Arc::new(Place::make(None).await);
        let books = Books::open(&place).await;
        let index = place.data.join("index");
        let older = place.directory.path().join("older-index");
        copy(&index, &older);
        for _ in 0..plan.next_directory() {
            let running = comes_back(&place, &books).await;
            let more = plan.below(BEFORE_A_HARM_MAX);
            let load = load::until_acknowledged(&place, &books, more).await;
            // Left as a crash leaves it, or as a clean stop does.
            if plan.below(2) == 0 {
                running.kill().await
            } else {
                running.stop().await;
            }
            load.await.unwrap();
            let what = harm(&mut plan, &index, &older);
            // Every status and every decision is held against what was acknowledged.
            comes_back(&place, &books).await.stop().await;
            books.compare(&place.data, u64::MAX);
            let found = digest(&place).await;
            std::fs::remove_dir_all(&index).unwrap();
            assert_eq!(digest(&place).await, found, "{what}: the index is not what a rebuild gives");
            plan.step();
        }
        plan.count(&books);
    }
    plan.end();
}

/// One of the harms; says which.
fn harm(plan: &mut Plan, index: &Path, older: &Path) -> String {
    let files: Vec<PathBuf> = files(index);
    let file = &files[plan.below(files.len() as u64) as usize];
    let length = file.metadata().unwrap().len();
    let open = || std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    match plan.below(6) {
        0 => std::fs::remove_dir_all(index).map(|()| "deleted".to_owned()).unwrap(),
        1 => std::fs::remove_file(file).map(|()| format!("{} deleted", file.display())).unwrap(),
        2 => {
            let to = plan.below(length.max(1));
            open().set_len(to).unwrap();
            format!("{} cut to {to} of {length}", file.display())
        }
        3 => {
            std::fs::remove_dir_all(index).unwrap();
            copy(older, index);
            "an older one put back".to_owned()
        }
        zeros => {
            // Where something is written: most of sled's file is holes.
            let bytes = std::fs::read(file).unwrap();
            let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
            let Some(at) = written.get(plan.below(written.len().max(1) as u64) as usize) else {
                return "nothing to bend".to_owned();
            };
            let bent = if zeros == 4 { 0 } else { bytes[*at] ^ 1 << plan.below(8) };
            open().write_all_at(&[bent], *at as u64).unwrap();
            format!("{} byte {at} made {bent}", file.display())
        }
    }
}

async fn digest(place: &Place) -> Hash {
    let store = Store::open(Options {
        directory: place.data.clone(),
        origin: "demo.invalid/sekisho".to_owned(),
        master_key: master_key(&place.directory.path().join("master.key")).unwrap(),
        clock: Clock::system(),
    });
    let store = store.await.unwrap();
    let digest = store.index_digest().unwrap();
    store.stop().await.unwrap();
    digest
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}
