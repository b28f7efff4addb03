//! A ledger of a thousand entries: every changed byte, every truncation, every swap of two entries, every older state put
//! back is found, each tried with the verifier itself; and outside implementations accept what it says.
//!
//! Minutes rather than seconds: `make test` runs these, `cargo test -p sekisho --test it thousand -- --ignored`.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use sekisho::ledger::entry::Entry;
use sekisho::ledger::frame::{self, FRAME_HEADER_BYTES, SEGMENT_MAGIC};
use sekisho::ledger::proof::prove;
use sekisho::ledger::verify::{Report, VerifyError, verify};
use sekisho::store::conformance::world;
use serde_json::json;
use tlog_tiles::{Hash, HashReader, prove_tree, stored_hashes};

use crate::ledger::{copy, frames, open, segment, some};

const ENTRIES: usize = 1_000;

struct Thousand {
    root: tempfile::TempDir,
    key: String,
    /// Kept elsewhere, about one for each hundred entries; the last is of all of them.
    checkpoints: Vec<Vec<u8>>,
}

async fn thousand() -> Thousand {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    world::activate(&store, &world::registry()).await.unwrap();
    let mut checkpoints = Vec::new();
    for _ in 0..10 {
        some(&store, 19).await;
        checkpoints.push(store.checkpoint().await.unwrap());
    }
    some(&store, 9).await;
    world::enrol(&store, 3).await.unwrap();
    checkpoints.push(store.checkpoint().await.unwrap());
    let key = store.ledger_key().verifier_key();
    store.stop().await.unwrap();
    let all = Thousand { root, key, checkpoints };
    assert_eq!(all.copy().verify(&all.kept()).unwrap().entries, ENTRIES as u64);
    all
}

impl Thousand {
    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.data().join("ledger").join("00000000.seg")).unwrap()
    }

    fn kept(&self) -> Vec<&[u8]> {
        self.checkpoints.iter().map(Vec::as_slice).collect()
    }

    fn copy(&self) -> Copy {
        let root = tempfile::tempdir().unwrap();
        copy(&self.data().join("ledger"), root.path());
        let file = root.path().join("00000000.seg");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
        Copy { root, file, key: self.key.clone() }
    }

    /// Has every one of so many trials made, on all cores, each core on a copy of its own.
    fn each(&self, trials: usize, trial: impl Fn(&Copy, usize) + Sync) {
        let (next, began) = (AtomicUsize::new(0), std::time::Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().unwrap().get() {
                scope.spawn(|| {
                    let copy = self.copy();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= trials {
                            return;
                        }
                        trial(&copy, number);
                    }
                });
            }
        });
        println!("{trials} trials in {:.0} s", began.elapsed().as_secs_f64());
    }
}

/// A copy of the ledger, to be changed.
struct Copy {
    root: tempfile::TempDir,
    file: std::fs::File,
    key: String,
}

impl Copy {
    fn verify(&self, checkpoints: &[&[u8]]) -> Result<Report, VerifyError> {
        verify(self.root.path(), &self.key, checkpoints, &mut |_| {})
    }

    fn put(&self, bytes: &[u8]) {
        self.file.write_all_at(bytes, 0).unwrap();
        self.file.set_len(bytes.len() as u64).unwrap();
    }

    /// What a careful forger would write beside it.
    fn put_high_water(&self, entries: u64) {
        let mut water = entries.to_le_bytes().to_vec();
        water.extend(crc32c::crc32c(&entries.to_le_bytes()).to_le_bytes());
        water.resize(16, 0);
        std::fs::write(self.root.path().join("high-water"), water).unwrap();
    }
}

#[tokio::test]
#[ignore = "takes a while; `make test` runs it"]
async fn every_changed_byte_of_a_thousand_entries_shows() {
    let all = thousand().await;
    let whole = all.bytes();
    all.each(whole.len(), |copy, at| {
        copy.file.write_all_at(&[whole[at] ^ 1 << (at % 8)], at as u64).unwrap();
        // Without a checkpoint already.
        assert!(copy.verify(&[]).is_err(), "byte {at} of {}", whole.len());
        copy.file.write_all_at(&whole[at..=at], at as u64).unwrap();
    });
}

#[tokio::test]
#[ignore = "takes a while; `make test` runs it"]
async fn every_truncation_of_a_thousand_entries_shows() {
    let all = thousand().await;
    let whole = all.bytes();
    all.each(whole.len(), |copy, length| {
        copy.file.set_len(length as u64).unwrap();
        let cut = copy.verify(&[]);
        assert!(matches!(cut, Err(VerifyError::Missing { .. } | VerifyError::Entry { .. })), "{length} bytes: {cut:?}");
        // What a trial of this core before this one had cut off comes back with it.
        copy.file.write_all_at(&whole[length..], length as u64).unwrap();
    });
}

#[tokio::test]
#[ignore = "takes a while; `make test` runs it"]
async fn every_two_of_a_thousand_entries_that_change_places_show() {
    let all = thousand().await;
    let (kept, whole) = (all.kept(), all.bytes());
    let entries = frames(&whole);
    let frame = |entry: &[u8]| FRAME_HEADER_BYTES + entry.len();
    let starts: Vec<usize> = entries
        .iter()
        .scan(SEGMENT_MAGIC.len(), |at, (_, _, entry)| Some(std::mem::replace(at, *at + frame(entry))))
        .collect();
    all.each(ENTRIES * (ENTRIES - 1) / 2, |copy, number| {
        // The pairs in a row: (0, 1), (0, 2), (1, 2), …
        let later = ((1.0 + (8.0 * number as f64 + 1.0).sqrt()) / 2.0) as usize;
        let earlier = number - later * (later - 1) / 2;
        let place = starts[earlier]..starts[later] + frame(&entries[later].2);
        let mut swapped = Vec::with_capacity(place.len());
        for at in earlier..=later {
            let from = if at == earlier {
                later
            } else if at == later {
                earlier
            } else {
                at
            };
            // A forger with a good hand: the checksums are right, and the counts are those of the place.
            frame::put(&mut swapped, entries[at].0, entries[at].1, &entries[from].2);
        }
        copy.file.write_all_at(&swapped, place.start as u64).unwrap();
        let found = copy.verify(&kept);
        assert!(matches!(found, Err(VerifyError::Root { .. })), "{earlier} and {later}: {found:?}");
        copy.file.write_all_at(&whole[place.clone()], place.start as u64).unwrap();
    });
    assert!(all.copy().verify(&kept).is_ok());
}

/// The whole directory as it was when so many entries were in it, its high water to match: nothing in it is wrong, and only
/// a checkpoint that was kept elsewhere tells.
#[tokio::test]
#[ignore = "takes a while; `make test` runs it"]
async fn every_older_state_of_the_directory_shows_against_a_checkpoint_kept_elsewhere() {
    let all = thousand().await;
    let (entries, last) = (frames(&all.bytes()), *all.kept().last().unwrap());
    let whole = |size: &usize| *size == 0 || !entries[size - 1].1;
    let states: Vec<usize> = (0..ENTRIES).filter(whole).collect();
    all.each(states.len(), |copy, number| {
        let size = states[number];
        copy.put(&segment(&entries[..size]));
        copy.put_high_water(size as u64);
        assert_eq!(copy.verify(&[]).unwrap().entries, size as u64, "in itself nothing is wrong with it");
        let found = copy.verify(&[last]);
        assert!(
            matches!(found, Err(VerifyError::RolledBack { found, .. }) if found == size as u64),
            "{size}: {found:?}"
        );
    });
    // The same as the operator sees it.
    let (root, key) = (all.root.path(), all.root.path().join("key"));
    let kept = root.join("kept");
    std::fs::write(&kept, last).unwrap();
    std::fs::write(&key, &all.key).unwrap();
    assert!(command(&all.data(), &kept, &key).contains("ledger is good: 1000 entries"));
    let copy = all.copy();
    copy.put(&segment(&entries[..states[states.len() / 2]]));
    copy.put_high_water(states[states.len() / 2] as u64);
    std::fs::rename(copy.root.path(), root.join("ledger")).unwrap();
    let said = command(root, &kept, &key);
    assert!(said.contains("put back to an older state") && said.contains("Find the copy"), "{said}");
}

/// `sekisho ledger verify`.
fn command(data: &Path, checkpoint: &Path, key: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let command = command.args(["ledger", "verify", "--data"]).arg(data).arg("--checkpoint").arg(checkpoint);
    let done = command.arg("--key").arg(key).output().unwrap();
    assert_eq!(done.status.success(), done.stderr.is_empty());
    String::from_utf8([done.stdout, done.stderr].concat()).unwrap()
}

struct Nodes(Vec<Hash>);

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

#[tokio::test]
#[ignore = "needs python3 and two packages; `make test` runs it"]
async fn outside_implementations_accept_roots_proofs_and_checkpoints() {
    let all = thousand().await;
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-tools/bin/python");
    assert!(python.exists(), "{} is missing: scripts/install-test-tools makes it", python.display());
    let entries: Vec<Vec<u8>> = frames(&all.bytes()).into_iter().map(|(_, _, entry)| entry).collect();
    let mut nodes = Nodes(Vec::new());
    for (position, entry) in entries.iter().enumerate() {
        let new = stored_hashes(position as u64, entry, &nodes).unwrap();
        nodes.0.extend(new);
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let sizes: Vec<u64> =
        all.kept().iter().map(|signed| text(signed).lines().nth(1).unwrap().parse().unwrap()).collect();
    let consistency: Vec<_> = sizes
        .windows(2)
        .map(|pair| {
            let hashes = prove_tree(pair[1], pair[0], &nodes).unwrap();
            json!([pair[0], pair[1], hashes.iter().map(|hash| BASE64.encode(&hash.0)).collect::<Vec<_>>()])
        })
        .collect();
    let last = *all.kept().last().unwrap();
    let proofs: Vec<String> = entries
        .iter()
        .step_by(37)
        .map(|entry| prove(&all.data().join("ledger"), Entry::decode(entry).unwrap().header.id(), last).unwrap())
        .collect();
    // Another history under the same key: the same ledger, put back and gone on from there.
    let other = tempfile::tempdir().unwrap();
    copy(&all.data(), &other.path().join("data"));
    let old = frames(&all.bytes());
    let back = old[..500].iter().rposition(|(_, more, _)| !more).unwrap() + 1;
    let ledger = other.path().join("data").join("ledger");
    std::fs::write(ledger.join("00000000.seg"), segment(&old[..back])).unwrap();
    std::fs::remove_file(ledger.join("high-water")).unwrap();
    std::fs::remove_file(other.path().join("data").join("checkpoint")).unwrap();
    let store = open(other.path()).await;
    some(&store, 150).await;
    let forked = store.checkpoint().await.unwrap();
    store.stop().await.unwrap();
    let given = json!({
        "key": all.key,
        "entries": entries.iter().map(|entry| BASE64.encode(entry)).collect::<Vec<_>>(),
        "checkpoints": all.kept().into_iter().map(text).collect::<Vec<_>>(),
        "proofs": proofs,
        "consistency": consistency,
        "other": text(&forked),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/outside/check.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &given).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.starts_with("accepted"), "{said}");
    println!("{said}");
}
