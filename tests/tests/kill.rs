//! `kill -9` under load: whatever was acknowledged is there afterwards, at its place, and the ledger verifies.

#[cfg(test)]
mod kill {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Read};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use sekisho::clock::Clock;
    use sekisho::ids::{EntryId, TextId};
    use sekisho::ledger::entry::Entry;
    use sekisho::ledger::verify::verify;
    use sekisho::ledger::walk::walk;
    use sekisho::store::{Options, Store};

    /// Processes started and killed, on one directory.
    const CYCLES: u64 = 25;

    async fn open(directory: &Path) -> Store {
        let origin = "sekisho.example/load".to_owned();
        let options = Options { directory: directory.to_owned(), origin, master_key: [1; 32], clock: Clock::system() };
        Store::open(options).await.unwrap()
    }

    /// Starts the load, kills it after so many acknowledgements, and gives all that it had told.
    fn killed_after(directory: &Path, acknowledgements: usize) -> Vec<(EntryId, Option<u64>)> {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_store_under_load")).arg(directory).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        for _ in 0..acknowledgements {
            assert_ne!(output.read_line(&mut told).unwrap(), 0, "the load ended by itself");
        }
        child.kill().unwrap();
        output.read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        let whole = told.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let line = |line: &str| {
            let (id, position) = line.split_once(' ').unwrap();
            (EntryId::parse(id).unwrap(), position.parse().ok())
        };
        whole.lines().map(line).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_that_was_acknowledged_is_lost() {
        let root = tempfile::tempdir().unwrap();
        let ledger = root.path().join("ledger");
        let (mut acknowledged, mut checkpoints) = (Vec::new(), Vec::new());
        for cycle in 0..CYCLES {
            // From a few to some hundred, each time another number.
            let told = killed_after(root.path(), 1 + (cycle as usize * 67) % 400);
            let decisions: Vec<EntryId> = told.iter().filter(|(_, p)| p.is_none()).map(|(id, _)| *id).collect();
            acknowledged.extend(told);
            let store = open(root.path()).await;
            let mut places = HashMap::new();
            walk(&ledger, &mut |_| {}, |place, stored| {
                let bytes = stored.whole().unwrap();
                places.insert(Entry::decode(bytes).unwrap().header.id(), place.position);
                Ok(())
            })
            .unwrap();
            for (id, position) in &acknowledged {
                let found = places.get(id).unwrap_or_else(|| panic!("cycle {cycle}: an acknowledged entry is lost"));
                assert!(position.is_none_or(|position| position == *found), "cycle {cycle}: at another place");
            }
            for decision in decisions.iter().rev().take(50) {
                assert!(store.explain(*decision).unwrap().agrees, "cycle {cycle}");
            }
            checkpoints.push(store.checkpoint().await.unwrap());
            let key = store.ledger_key().verifier_key();
            let digest = store.index_digest().unwrap();
            store.stop().await.unwrap();
            drop(store);
            let kept: Vec<&[u8]> = checkpoints.iter().map(Vec::as_slice).collect();
            verify(&ledger, &key, &kept, &mut |_| {}).unwrap();
            if cycle % 6 == 5 {
                // What was left of the index and brought up to date is what a rebuilt one is.
                std::fs::remove_dir_all(root.path().join("index")).unwrap();
                let store = open(root.path()).await;
                assert_eq!(store.index_digest().unwrap(), digest, "cycle {cycle}");
                store.stop().await.unwrap();
            }
        }
        assert!(acknowledged.len() > 2_000, "{} acknowledgements", acknowledged.len());
    }
}
