//! What the embedded engine does after harm to its files: it goes on where nothing that was acknowledged is at stake,
//! rebuilds what can be rebuilt, and otherwise refuses with an error that says what to do, having changed nothing.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sekisho::clock::Clock;
use sekisho::ids::{EntryId, TextId};
use sekisho::ledger::entry::Cause;
use sekisho::ledger::frame::{self, SEGMENT_MAGIC};
use sekisho::ledger::merkle::{Hash, sha256};
use sekisho::ledger::verify::verify;
use sekisho::store::conformance::world;
use sekisho::store::embedded::log::{LogError, high_water};
use sekisho::store::embedded::vault::VaultError;
use sekisho::store::{OpenError, Options, Ruling, Store};
use sekisho_policy::{ConsentId, PersonId};
use tempfile::TempDir;

fn options(directory: &Path) -> Options {
    let origin = "sekisho.example/test".to_owned();
    Options { directory: directory.to_owned(), origin, master_key: [1; 32], clock: world::clock() }
}

async fn open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(options(directory)).await
}

fn segment(directory: &Path) -> PathBuf {
    directory.join("ledger").join("00000000.seg")
}

struct Before {
    root: TempDir,
    people: Vec<PersonId>,
    decisions: Vec<EntryId>,
    digest: Hash,
}

impl Before {
    fn directory(&self) -> &Path {
        self.root.path()
    }

    /// Opens it, and looks whether all is as it was.
    async fn opens_as_it_was(&self) {
        let store = open(self.directory()).await.unwrap();
        assert_eq!(store.index_digest().unwrap(), self.digest, "a rebuilt index is the same");
        self.stop(store).await;
    }

    async fn stop(&self, store: Store) {
        for (person, decision) in self.people.iter().zip(&self.decisions) {
            assert!(store.explain(*decision).unwrap().agrees);
            let first = store.access_log(*person, u64::MAX, 9).unwrap().last().unwrap().entry();
            assert_eq!(first, *decision);
            assert!(!store.snapshot(*person).await.unwrap().subject.records.consents.is_empty());
        }
        store.stop().await.unwrap();
    }
}

/// Ten people who consent, one decision each, all closed; stopped cleanly.
async fn before() -> Before {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await.unwrap();
    world::activate(&store, &world::registry()).await.unwrap();
    let people = world::enrol(&store, 10).await.unwrap();
    for person in &people {
        world::record(&store, *person, world::approved(*person, ConsentId::mint())).await.unwrap();
    }
    let mut decisions = Vec::new();
    for person in &people {
        decisions.push(permitted(&store, *person).await);
    }
    store.stop().await.unwrap();
    drop(store);
    // The next start closes what is open; from then on nothing changes any more.
    let store = open(root.path()).await.unwrap();
    store.mark().await.unwrap();
    let digest = store.index_digest().unwrap();
    store.stop().await.unwrap();
    Before { root, people, decisions, digest }
}

async fn permitted(store: &Store, person: PersonId) -> EntryId {
    match store.decide_and_record(&world::question(person), "test", Cause::Gateway).await.unwrap() {
        Ruling::Permitted(recorded) => recorded.decision(),
        Ruling::Denied(denial) => panic!("{denial:?}"),
    }
}

/// The bytes of ledger and index files, to see that nothing was changed.
fn fingerprint(directory: &Path) -> Vec<(PathBuf, Hash)> {
    let mut all = Vec::new();
    let mut left = vec![directory.join("ledger"), directory.join("index")];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                all.push((path.clone(), sha256(&std::fs::read(path).unwrap())));
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_second_opening_of_the_directory_is_refused() {
    let before = before().await;
    let store = open(before.directory()).await.unwrap();
    assert!(matches!(open(before.directory()).await, Err(OpenError::InUse)));
    // Also from another process, whose locks are its own.
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recovery::as_another_process", "--ignored", "--nocapture"])
        .env("SEKISHO_TEST_DIRECTORY", before.directory())
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    before.stop(store).await;
    before.opens_as_it_was().await;
}

#[tokio::test]
#[ignore = "run by a_second_opening_of_the_directory_is_refused, as a process of its own"]
async fn as_another_process() {
    let directory = std::env::var_os("SEKISHO_TEST_DIRECTORY").expect("run by the other test");
    assert!(matches!(open(Path::new(&directory)).await, Err(OpenError::InUse)));
}

#[tokio::test]
async fn the_lock_lasts_as_long_as_anything_may_be_written() {
    let before = before().await;
    for _ in 0..20 {
        let store = open(before.directory()).await.unwrap();
        let other = store.clone();
        store.stop().await.unwrap();
        assert!(matches!(open(before.directory()).await, Err(OpenError::InUse)), "a handle is left that reads");
        drop((store, other));
    }
    before.opens_as_it_was().await;
}

#[tokio::test]
async fn another_master_key_is_refused_and_nothing_changed() {
    let before = before().await;
    let files = fingerprint(before.directory());
    let refused = Store::open(Options { master_key: [2; 32], ..options(before.directory()) }).await;
    let error = refused.err().expect("refused");
    assert!(matches!(error, OpenError::Vault(VaultError::WrongMasterKey)), "{error}");
    assert!(error.to_string().contains("master key does not open this vault"));
    assert_eq!(fingerprint(before.directory()), files);
    before.opens_as_it_was().await;
}

#[tokio::test]
async fn a_missing_or_older_vault_is_refused_and_nothing_changed() {
    let before = before().await;
    let vault = before.directory().join("vault.redb");
    let kept = std::fs::read(&vault).unwrap();
    let files = fingerprint(before.directory());
    for harm in [None, Some(b"".as_slice())] {
        std::fs::remove_file(&vault).unwrap();
        if let Some(bytes) = harm {
            std::fs::write(&vault, bytes).unwrap();
        }
        assert!(matches!(open(before.directory()).await, Err(OpenError::Vault(VaultError::Missing))));
        assert_eq!(fingerprint(before.directory()), files);
        std::fs::write(&vault, &kept).unwrap();
    }
    let store = open(before.directory()).await.unwrap();
    world::enrol(&store, 1).await.unwrap();
    store.stop().await.unwrap();
    drop(store);
    // The vault of before does not know the new person's keys, and nobody destroyed them.
    std::fs::write(&vault, &kept).unwrap();
    std::fs::remove_dir_all(before.directory().join("index")).unwrap();
    let refused = open(before.directory()).await.err().expect("refused");
    assert!(refused.to_string().contains("the vault is older"), "{refused}");
}

#[tokio::test]
async fn an_index_that_is_missing_or_cut_or_of_another_boot_is_rebuilt() {
    let before = before().await;
    let index = before.directory().join("index");
    let database = index.join("db");
    std::fs::remove_dir_all(&index).unwrap();
    before.opens_as_it_was().await;
    for part in [0, 1, 2, 3] {
        let file = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length * part / 4).unwrap();
        before.opens_as_it_was().await;
    }
    std::fs::write(before.directory().join("index.opening"), "").unwrap();
    let tampered = index.join("left-by-a-start-that-broke-off");
    std::fs::write(&tampered, "").unwrap();
    before.opens_as_it_was().await;
    assert!(!tampered.exists(), "what a start broke off on is not tried again");
    rewrite_mark(&index, |mark| {
        mark[48] = 0;
        mark.truncate(41);
        mark.extend(b"another boot");
    });
    std::fs::write(&tampered, "").unwrap();
    before.opens_as_it_was().await;
    assert!(!tampered.exists(), "not clean, and of another boot");
    // Clean, but of another ledger, or of more entries than there are.
    for at in [0, 8] {
        rewrite_mark(&index, |mark| mark[at] ^= 0x40);
        std::fs::write(&tampered, "").unwrap();
        before.opens_as_it_was().await;
        assert!(!tampered.exists());
    }
}

fn rewrite_mark(index: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let db = sled::open(index).unwrap();
    let mut mark = db.get("watermark-4").unwrap().unwrap().to_vec();
    change(&mut mark);
    db.insert("watermark-4", mark).unwrap();
    db.flush().unwrap();
}

#[tokio::test]
async fn no_flipped_bit_in_the_index_is_believed() {
    let before = before().await;
    let database = before.directory().join("index").join("db");
    let whole = std::fs::read(&database).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by((used.len() / 60).max(1)) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&database).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, *at as u64).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], *at as u64).unwrap();
        before.opens_as_it_was().await;
    }
}

#[tokio::test]
async fn after_a_clean_stop_the_index_is_not_rebuilt() {
    let before = before().await;
    let witness = before.directory().join("index").join("still-here");
    std::fs::write(&witness, "").unwrap();
    before.opens_as_it_was().await;
    assert!(witness.exists());
    // Neither within one boot, when the stop was not clean.
    let store = open(before.directory()).await.unwrap();
    permitted(&store, before.people[0]).await;
    store.stop().await.unwrap();
    drop(store);
    rewrite_mark(&before.directory().join("index"), |mark| mark[48] = 0);
    let store = open(before.directory()).await.unwrap();
    assert!(witness.exists());
    assert_ne!(store.index_digest().unwrap(), before.digest);
    store.stop().await.unwrap();
}

#[tokio::test]
async fn a_torn_tail_goes_and_a_damaged_acknowledged_record_refuses() {
    let before = before().await;
    let path = segment(before.directory());
    let whole = std::fs::read(&path).unwrap();
    let count = high_water(&before.directory().join("ledger")).unwrap();
    let mut torn = whole.clone();
    frame::put(&mut torn, count, false, b"never acknowledged");
    for cut in [1, 17, 33] {
        std::fs::write(&path, &torn[..torn.len() - cut]).unwrap();
        before.opens_as_it_was().await;
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    std::fs::remove_file(before.directory().join("checkpoint")).unwrap();
    let step = whole.len() / 50;
    for at in (SEGMENT_MAGIC.len()..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut bent = whole.clone();
        bent[at] ^= 0x20;
        refuses_unchanged(&before, &bent).await;
    }
    refuses_unchanged(&before, &whole[..whole.len() - 1]).await;
    std::fs::write(&path, &whole).unwrap();
    before.opens_as_it_was().await;
}

async fn refuses_unchanged(before: &Before, bytes: &[u8]) {
    std::fs::write(segment(before.directory()), bytes).unwrap();
    let files = fingerprint(before.directory());
    let error = open(before.directory()).await.err().expect("an acknowledged record is damaged");
    assert!(matches!(error, OpenError::Log(LogError::Damaged { .. } | LogError::Missing { .. })), "{error}");
    assert!(error.to_string().contains("Nothing was changed"), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
    // The index was looked at, but not changed in what it says.
    let ledger = |files: &[(PathBuf, Hash)]| -> Vec<_> {
        files.iter().filter(|(path, _)| path.starts_with(before.directory().join("ledger"))).cloned().collect()
    };
    assert_eq!(ledger(&fingerprint(before.directory())), ledger(&files));
}

#[tokio::test]
async fn the_last_acknowledged_entry_is_missed_even_when_only_the_high_water_proves_it() {
    let before = before().await;
    std::fs::remove_file(before.directory().join("checkpoint")).unwrap();
    let path = segment(before.directory());
    let whole = std::fs::read(&path).unwrap();
    refuses_unchanged(&before, &whole[..whole.len() - 40]).await;
}

#[tokio::test]
async fn a_ledger_put_back_or_replaced_is_not_that_of_the_checkpoint_beside_it() {
    let before = before().await;
    let path = segment(before.directory());
    let (old, water) = (std::fs::read(&path).unwrap(), before.directory().join("ledger").join("high-water"));
    let old_water = std::fs::read(&water).unwrap();
    let store = open(before.directory()).await.unwrap();
    world::enrol(&store, 2).await.unwrap();
    store.stop().await.unwrap();
    drop(store);
    let new = std::fs::read(&path).unwrap();
    std::fs::write(&path, &old).unwrap();
    std::fs::write(&water, &old_water).unwrap();
    assert!(matches!(open(before.directory()).await, Err(OpenError::Log(LogError::Missing { .. }))));
    // Another history of the same length, its checksums right.
    let mut entries = Vec::new();
    let mut at = SEGMENT_MAGIC.len();
    while at < new.len() {
        let found = frame::get(&new[at..]).unwrap();
        entries.push((found.acknowledged, found.stored.whole().unwrap().to_vec()));
        at += found.length;
    }
    let last = entries.len() - 1;
    entries.swap(last, last - 1);
    let mut forged = SEGMENT_MAGIC.to_vec();
    for (position, (acknowledged, entry)) in entries.iter().enumerate() {
        frame::put(&mut forged, (*acknowledged).min(position as u64), false, entry);
    }
    std::fs::write(&path, forged).unwrap();
    assert!(matches!(open(before.directory()).await, Err(OpenError::OtherLedger { .. })));
    std::fs::write(&path, new).unwrap();
    let store = open(before.directory()).await.unwrap();
    before.stop(store).await;
}

#[tokio::test]
async fn a_destroyed_key_stays_destroyed_when_an_older_vault_comes_back() {
    let before = before().await;
    let vault = before.directory().join("vault.redb");
    let kept = std::fs::read(&vault).unwrap();
    let person = before.people[0];
    let store = open(before.directory()).await.unwrap();
    store.erase(person, Cause::Gateway).await.unwrap();
    let key = store.ledger_key().verifier_key();
    store.stop().await.unwrap();
    drop(store);
    std::fs::write(&vault, kept).unwrap();
    let store = open(before.directory()).await.unwrap();
    let erased = store.snapshot(person).await.unwrap().subject;
    assert!(erased.records.unreadable.is_some());
    let asked = store.decide_and_record(&world::question(person), "test", Cause::Gateway).await.unwrap();
    assert!(matches!(asked, Ruling::Denied(_)));
    permitted(&store, before.people[1]).await;
    store.stop().await.unwrap();
    drop(store);
    // A rebuilt index files the erased entries under the same person.
    let digest = {
        let store = open(before.directory()).await.unwrap();
        store.mark().await.unwrap();
        let digest = store.index_digest().unwrap();
        store.stop().await.unwrap();
        digest
    };
    std::fs::remove_dir_all(before.directory().join("index")).unwrap();
    let store = open(before.directory()).await.unwrap();
    assert_eq!(store.index_digest().unwrap(), digest);
    assert!(store.snapshot(person).await.unwrap().subject.records.unreadable.is_some());
    store.stop().await.unwrap();
    verify(&before.directory().join("ledger"), &key, &[], &mut |_| {}).unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_meanwhile_is_noticed() {
    let before = before().await;
    let clock = Clock::manual(world::START.plus_millis(-3_600_000));
    let store = Store::open(Options { clock: clock.clone(), ..options(before.directory()) }).await.unwrap();
    let asked = store.decide_and_record(&world::question(before.people[0]), "test", Cause::Gateway).await;
    assert!(asked.is_err_and(|error| error.to_string().contains("clock")));
    clock.set(world::START);
    permitted(&store, before.people[0]).await;
    store.stop().await.unwrap();
}
