//! The verifier and inclusion proofs on a ledger that the store wrote: whatever is changed in its files, it shows.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use sekisho::ids::{EntryId, TextId};
use sekisho::ledger::checkpoint::LedgerKey;
use sekisho::ledger::entry::{Cause, ENTRY_BYTES_MAX, Entry, EntryType, Header};
use sekisho::ledger::event::{Event, OperatorRead};
use sekisho::ledger::frame::{self, SEGMENT_MAGIC};
use sekisho::ledger::merkle::{Frontier, leaf_hash};
use sekisho::ledger::proof::{ProofError, check, prove};
use sekisho::ledger::verify::{Fault, Report, VerifyError, verify};
use sekisho::store::conformance::world;
use sekisho::store::{Options, Store};
use sekisho_policy::{ConsentId, PersonId};
use tempfile::TempDir;
use tlog_tiles::{Hash, HashReader, check_tree, prove_tree, stored_hashes, tree_hash};

struct Written {
    root: TempDir,
    key: String,
    checkpoint: Vec<u8>,
    entries: u64,
}

impl Written {
    fn ledger(&self) -> PathBuf {
        self.root.path().join("data").join("ledger")
    }

    fn segment(&self) -> PathBuf {
        self.ledger().join("00000000.seg")
    }

    /// Puts other bytes into the segment, in place: making the file anew for each of thousands would wait for the disk.
    fn put(&self, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(self.segment()).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }

    fn verify(&self) -> Result<Report, VerifyError> {
        self.verify_with(&[&self.checkpoint])
    }

    fn verify_with(&self, checkpoints: &[&[u8]]) -> Result<Report, VerifyError> {
        verify(&self.ledger(), &self.key, checkpoints, &mut |_| {})
    }
}

pub(crate) async fn open(root: &Path) -> Store {
    let options = Options {
        directory: root.join("data"),
        origin: "sekisho.example/test".to_owned(),
        master_key: [1; 32],
        clock: world::clock(),
    };
    Store::open(options).await.unwrap()
}

pub(crate) async fn some(store: &Store, people: usize) -> Vec<PersonId> {
    let people = world::enrol(store, people).await.unwrap();
    for person in &people {
        let consent = ConsentId::mint();
        world::record(store, *person, world::approved(*person, consent)).await.unwrap();
        store.decide_and_record(&world::question(*person), "test", Cause::Gateway).await.unwrap();
        let instead = [world::ended(*person, consent, world::START), world::approved(*person, ConsentId::mint())];
        store
            .update(*person, |_, _, _| Ok::<_, sekisho::store::StoreError>(((), world::draft(instead.clone()))))
            .await
            .unwrap();
    }
    people
}

/// About sixty entries, some of them written together, and a checkpoint of all of them.
async fn written() -> Written {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    world::activate(&store, &world::registry()).await.unwrap();
    some(&store, 12).await;
    let checkpoint = store.checkpoint().await.unwrap();
    let key = store.ledger_key().verifier_key();
    store.stop().await.unwrap();
    let mut written = Written { root, key, checkpoint, entries: 0 };
    written.entries = written.verify().unwrap().entries;
    written
}

#[tokio::test]
async fn an_untouched_ledger_verifies_also_beside_a_running_server() {
    let mut written = written().await;
    assert_eq!(written.entries, 62);
    let mut seen = Vec::new();
    let report = verify(&written.ledger(), &written.key, &[&written.checkpoint], &mut |p| seen.push(p)).unwrap();
    assert_eq!((report.entries, report.acknowledged, report.signed), (62, 62, Some(62)));
    assert_eq!((report.sealed, report.segments, report.unfinished_bytes), (61, 1, 0));
    assert_eq!(report.latest, Some(world::START));
    let last = seen.last().unwrap();
    assert_eq!((last.bytes, last.entries), (last.of_bytes, 62));

    let store = open(written.root.path()).await;
    let old = written.checkpoint.clone();
    for _ in 0..3 {
        let writing = {
            let store = store.clone();
            tokio::spawn(async move { some(&store, 20).await })
        };
        let report = written.verify_with(&[&old]).unwrap();
        assert!(report.entries >= 62);
        writing.await.unwrap();
        written.checkpoint = store.checkpoint().await.unwrap();
        let both = [old.as_slice(), &written.checkpoint];
        assert_eq!(written.verify_with(&both).unwrap().signed, Some(written.verify().unwrap().entries));
    }
    store.stop().await.unwrap();
}

#[tokio::test]
async fn every_changed_byte_shows() {
    let written = written().await;
    let whole = std::fs::read(written.segment()).unwrap();
    for at in 0..whole.len() {
        let mut bent = whole.clone();
        bent[at] ^= 1 << (at % 8);
        written.put(&bent);
        // Without the checkpoint already: checksums and the high water alone show it.
        let found = written.verify_with(&[]);
        assert!(found.is_err(), "byte {at} of {}", whole.len());
    }
}

#[tokio::test]
async fn zeros_ahead_of_the_writer_are_no_fault_where_it_writes() {
    let written = written().await;
    let whole = std::fs::read(written.segment()).unwrap();
    written.put(&[whole.as_slice(), &[0; 5_000]].concat());
    let report = written.verify().unwrap();
    assert_eq!((report.entries, report.unfinished_bytes), (written.entries, 0));
    written.put(&[whole.as_slice(), &[0; 100], &[1], &[0; 100]].concat());
    assert_eq!(written.verify().unwrap().unfinished_bytes, 101);
    // In a segment that another one follows they stand where entries could have been.
    written.put(&[whole.as_slice(), &[0; 5_000]].concat());
    std::fs::write(written.ledger().join("00000001.seg"), SEGMENT_MAGIC).unwrap();
    assert!(matches!(written.verify(), Err(VerifyError::Entry { fault: Fault::Frame, .. })));
    written.put(&whole);
    assert!(written.verify().is_ok());
}

#[tokio::test]
async fn every_truncation_shows() {
    let written = written().await;
    let whole = std::fs::read(written.segment()).unwrap();
    for length in 0..whole.len() {
        written.put(&whole[..length]);
        let cut = written.verify_with(&[]);
        assert!(matches!(cut, Err(VerifyError::Missing { .. } | VerifyError::Entry { .. })), "{length} bytes: {cut:?}");
    }
    // Also when the high-water file goes with it: the checkpoint remembers.
    std::fs::remove_file(written.ledger().join("high-water")).unwrap();
    for length in 0..whole.len() {
        written.put(&whole[..length]);
        let cut = written.verify();
        assert!(matches!(cut, Err(VerifyError::RolledBack { .. } | VerifyError::Entry { .. })), "{length}: {cut:?}");
    }
}

#[tokio::test]
async fn a_changed_checkpoint_shows() {
    let written = written().await;
    for at in 0..written.checkpoint.len() {
        let mut bent = written.checkpoint.clone();
        bent[at] ^= 1;
        assert!(matches!(written.verify_with(&[&bent]), Err(VerifyError::Checkpoint(_))), "byte {at}");
    }
    let other = LedgerKey::new("sekisho.example/test", [5; 32]).unwrap();
    let forged = other.checkpoint(62, [0; 32]).unwrap();
    assert!(matches!(written.verify_with(&[&forged]), Err(VerifyError::Checkpoint(_))));
    let result = verify(&written.ledger(), &other.verifier_key(), &[&forged], &mut |_| {});
    assert!(matches!(result, Err(VerifyError::Root { size: 62 })));
}

/// The entries, each with whether the next belongs to the same request and with the acknowledged count.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(u64, bool, Vec<u8>)> {
    let mut at = SEGMENT_MAGIC.len();
    let mut all = Vec::new();
    while at < bytes.len() {
        let found = frame::get(&bytes[at..]).unwrap();
        all.push((found.acknowledged, found.more, found.stored.whole().unwrap().to_vec()));
        at += found.length;
    }
    all
}

/// A segment of these, its checksums right and its counts plausible: what a careful forger would write.
pub(crate) fn segment(entries: &[(u64, bool, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = SEGMENT_MAGIC.to_vec();
    for (position, (acknowledged, more, entry)) in entries.iter().enumerate() {
        frame::put(&mut bytes, (*acknowledged).min(position as u64), *more, entry);
    }
    bytes
}

#[tokio::test]
async fn every_swapped_copied_or_removed_entry_shows() {
    let written = written().await;
    let entries = frames(&std::fs::read(written.segment()).unwrap());
    assert_eq!(entries.len(), 62);
    assert!(entries.iter().any(|(_, more, _)| *more), "some were written together");
    let forged = |entries: &[(u64, bool, Vec<u8>)]| {
        written.put(&segment(entries));
        written.verify()
    };
    assert!(forged(&entries).is_ok(), "the forger's hand is good");
    for one in 0..entries.len() {
        for other in one + 1..entries.len() {
            let mut swapped = entries.clone();
            let bytes = swapped[one].2.clone();
            swapped[one].2 = std::mem::replace(&mut swapped[other].2, bytes);
            assert!(matches!(forged(&swapped), Err(VerifyError::Root { .. })), "{one} and {other}");
        }
        let mut copied = entries.clone();
        copied.insert(one, entries[one].clone());
        let found = forged(&copied);
        assert!(matches!(found, Err(VerifyError::Entry { fault: Fault::Copied, .. })), "{one}: {found:?}");
        let mut removed = entries.clone();
        removed.remove(one);
        let found = forged(&removed);
        assert!(found.is_err(), "{one}: {found:?}");
        // … and with a high water made to match.
        let mut water = 61u64.to_le_bytes().to_vec();
        water.extend(crc32c::crc32c(&water.clone()).to_le_bytes());
        water.resize(16, 0);
        let kept = std::fs::read(written.ledger().join("high-water")).unwrap();
        std::fs::write(written.ledger().join("high-water"), water).unwrap();
        let found = forged(&removed);
        // Of two that were written together, the one alone does not count.
        assert!(matches!(found, Err(VerifyError::RolledBack { .. } | VerifyError::Missing { .. })), "{one}: {found:?}");
        std::fs::write(written.ledger().join("high-water"), kept).unwrap();
    }
}

#[tokio::test]
async fn entries_that_are_none_show() {
    let written = written().await;
    let entries = frames(&std::fs::read(written.segment()).unwrap());
    let with = |entry: Vec<u8>| {
        let mut more = entries.clone();
        more.push((0, false, entry));
        for (position, frame) in more.iter_mut().enumerate() {
            frame.0 = frame.0.min(position as u64);
        }
        more.last_mut().unwrap().0 = entries.last().unwrap().0;
        written.put(&segment(&more));
        match written.verify() {
            Err(VerifyError::Entry { place, fault }) => {
                assert_eq!(place.position, 62);
                fault
            }
            other => panic!("{other:?}"),
        }
    };
    let at = world::START;
    let header = |kind, key| Header::new(kind, EntryId::mint(), at, key, Cause::Gateway);
    let read = Event::OperatorRead(OperatorRead { operator: "a".into(), what: "b".into(), entry: None });
    let plain = Entry { header: header(EntryType::OperatorRead, None), body: read.encode() };
    let mut newer = plain.encode();
    newer[2] = 2;
    assert!(matches!(with(newer), Fault::Entry(_)));
    let mut unknown = plain.encode();
    unknown[4] = 99;
    assert!(matches!(with(unknown), Fault::Entry(_)));
    let mut wrong_body = plain.clone();
    wrong_body.body.push(0);
    assert_eq!(with(wrong_body.encode()), Fault::Body);
    let clear = Entry { header: header(EntryType::Enrolled, None), body: vec![0; 40] };
    assert_eq!(with(clear.encode()), Fault::Sealing);
    let key = Some(TextId::mint());
    let sealed = Entry { header: header(EntryType::OperatorRead, key), body: vec![0; 40] };
    assert_eq!(with(sealed.encode()), Fault::Sealing);
    let early = Header::new(EntryType::OperatorRead, EntryId::mint(), at.plus_millis(-60_001), None, Cause::Gateway);
    let early = Entry { header: early, body: read.encode() };
    assert_eq!(with(early.encode()), Fault::Backward(60_001));
    assert_eq!(with(vec![0; ENTRY_BYTES_MAX]), Fault::Entry(sekisho::ledger::entry::EntryError::Malformed));
}

#[tokio::test]
async fn a_directory_put_back_to_an_older_state_shows() {
    let written = written().await;
    let old = tempfile::tempdir().unwrap();
    copy(&written.root.path().join("data"), &old.path().join("data"));
    let store = open(written.root.path()).await;
    some(&store, 1).await;
    let kept = store.checkpoint().await.unwrap();
    store.stop().await.unwrap();
    drop(store);
    // A start closes the twelve decisions that were left open; then five entries for one more person.
    let kept_size = 62 + 12 + 5;
    // In the older copy everything fits together, its own checkpoint included.
    let back = Written { root: old, ..written };
    assert!(back.verify().is_ok());
    assert!(
        matches!(back.verify_with(&[&kept]), Err(VerifyError::RolledBack { found: 62, size }) if size == kept_size)
    );
    // Even when it has grown past that since.
    let store = open(back.root.path()).await;
    some(&store, 3).await;
    store.stop().await.unwrap();
    assert!(matches!(back.verify_with(&[&kept]), Err(VerifyError::Root { size }) if size == kept_size));
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn every_entry_can_be_proven_under_an_old_checkpoint_too() {
    let written = written().await;
    let store = open(written.root.path()).await;
    some(&store, 2).await;
    let newer = store.checkpoint().await.unwrap();
    store.stop().await.unwrap();
    let entries = frames(&std::fs::read(written.segment()).unwrap());
    for (index, (_, _, bytes)) in entries.iter().enumerate() {
        let entry = Entry::decode(bytes).unwrap();
        for (checkpoint, size) in [(&written.checkpoint, 62), (&newer, 62 + 12 + 10)] {
            let proof = prove(&written.ledger(), entry.header.id(), checkpoint);
            if index >= size {
                assert!(matches!(proof, Err(ProofError::NotCovered)));
                continue;
            }
            let proven = check(&proof.unwrap(), &written.key).unwrap();
            assert_eq!((&proven.entry, proven.index, proven.size), (&entry, index as u64, size as u64));
        }
    }
    let other = LedgerKey::new("sekisho.example/test", [5; 32]).unwrap();
    let foreign = other.checkpoint(62, [0; 32]).unwrap();
    let first = Entry::decode(&entries[0].2).unwrap().header.id();
    assert!(matches!(prove(&written.ledger(), first, &foreign), Err(ProofError::OtherLedger)));
    assert!(matches!(prove(&written.ledger(), EntryId::mint(), &newer), Err(ProofError::NotCovered)));
}

#[tokio::test]
async fn a_changed_proof_does_not_hold() {
    let written = written().await;
    let entries = frames(&std::fs::read(written.segment()).unwrap());
    let id = Entry::decode(&entries[20].2).unwrap().header.id();
    let proof = prove(&written.ledger(), id, &written.checkpoint).unwrap();
    check(&proof, &written.key).unwrap();
    for at in 0..proof.len() {
        let mut bent = proof.clone().into_bytes();
        bent[at] ^= 1;
        // White space between the fields is all that may differ.
        let Ok(bent) = String::from_utf8(bent) else { continue };
        let same = serde_json::from_str::<serde_json::Value>(&bent).ok() == serde_json::from_str(&proof).ok();
        assert_eq!(check(&bent, &written.key).is_ok(), same, "byte {at}");
    }
    let mut json: serde_json::Value = serde_json::from_str(&proof).unwrap();
    json["entry"] = BASE64.encode(&entries[21].2).into();
    assert!(matches!(check(&json.to_string(), &written.key), Err(ProofError::Unproven)));
    json["entry"] = BASE64.encode(&entries[20].2).into();
    json["more"] = 1.into();
    assert!(matches!(check(&json.to_string(), &written.key), Err(ProofError::Malformed)));
    let other = LedgerKey::new("sekisho.example/test", [5; 32]).unwrap();
    assert!(matches!(check(&proof, &other.verifier_key()), Err(ProofError::Checkpoint(_))));
}

struct Nodes(Vec<Hash>);

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

#[test]
fn the_writers_roots_are_the_librarys_and_each_grows_out_of_the_ones_before() {
    let (mut ours, mut nodes, mut roots) = (Frontier::default(), Nodes(Vec::new()), Vec::new());
    for size in 0..=300u64 {
        let root = tree_hash(size, &nodes).unwrap();
        assert_eq!(ours.root(), root.0, "size {size}");
        assert_eq!(ours.size(), size);
        for (old, old_root) in roots.iter().enumerate().skip(1) {
            let proof = prove_tree(size, old as u64, &nodes).unwrap();
            check_tree(&proof, size, root, old as u64, *old_root).unwrap();
        }
        roots.push(root);
        let entry = size.to_be_bytes();
        ours.push(leaf_hash(&entry));
        let new = stored_hashes(size, &entry, &nodes).unwrap();
        nodes.0.extend(new);
    }
}
