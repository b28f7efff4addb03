//! Pruning: what is old goes, what is left verifies under every checkpoint and decides as before, a crash in between leaves
//! a ledger that opens, and nobody can take an entry out under the name of pruning.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sekisho::clock::years_before;
use sekisho::ids::{EntryId, KeyId};
use sekisho::ledger::entry::{Cause, Entry, EntryType};
use sekisho::ledger::frame::{self, SEGMENT_MAGIC, Stored};
use sekisho::ledger::proof::{ProofError, check, prove};
use sekisho::ledger::verify::{Fault, VerifyError};
use sekisho::store::conformance::world;
use sekisho::store::{OpenError, PruneError, Pruning, ReportAsked, Ruling, Store, StoreError};
use sekisho_policy::Timestamp;

use crate::aged::{LATER, YEARS, entries, later, old, open, options, permitted};
use crate::ledger::copy;

fn prune(directory: &Path, dry: bool) -> Result<Pruning, PruneError> {
    Store::prune(&options(directory, later()), YEARS, dry, &mut |_| {})
}

/// What should go, found in another way than the code does: by type and time, and by the keys that were destroyed.
fn expected(data: &Path) -> Vec<EntryId> {
    let all = entries(data);
    let last = all.last().unwrap().0;
    let gone: HashSet<KeyId> = all
        .iter()
        .filter_map(|(_, entry)| entry.as_ref())
        .filter(|entry| entry.header.entry_type().unwrap() == EntryType::KeyDestroyed)
        .map(|entry| KeyId::from_bytes(entry.body[2..].try_into().unwrap()))
        .collect();
    assert_eq!(gone.len(), 2, "content and record key of one person");
    let before = years_before(later(), YEARS).unwrap();
    let goes = |entry: &Entry| {
        let kind = entry.header.entry_type().unwrap();
        let of_a_kind = matches!(kind, EntryType::Decided | EntryType::Closed | EntryType::OperatorRead);
        entry.header.at() < before && (of_a_kind || entry.header.key().is_some_and(|key| gone.contains(&key)))
    };
    let old = all.into_iter().filter(|(segment, _)| *segment != last).filter_map(|(_, entry)| entry);
    old.filter(goes).map(|entry| entry.header.id()).collect()
}

fn files(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = std::fs::read_dir(data.join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        listed.chain([data.join("checkpoint")]).map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_all_else_stays() {
    let old = old().await;
    let (data, expected) = (old.data(), expected(&old.data()));
    assert!(old.old.iter().all(|decision| expected.contains(decision)), "the decisions of four years ago");
    let (before, whole) = (old.verify(&data).unwrap(), entries(&data));
    old.is_as_it_was(&data).await;
    let untouched = files(&data);
    let would = prune(&data, true).unwrap();
    assert!(files(&data) == untouched, "a dry run changes nothing");
    let done = prune(&data, false).unwrap();
    assert_eq!(
        done,
        Pruning { kept: would.kept + 1, ..would },
        "what was done is what was said, and the entry that tells"
    );
    assert_eq!((done.entries, done.earlier), (expected.len() as u64, 0));
    assert_eq!(done.before, years_before(later(), YEARS).unwrap());
    assert!(done.segments >= 2 && done.bytes > 0);

    let after = old.verify(&data).unwrap();
    assert_eq!((after.entries, after.pruned), (before.entries + 1, done.entries));
    let left: HashSet<_> = entries(&data).into_iter().filter_map(|(_, entry)| entry).map(|e| e.header.id()).collect();
    for (_, entry) in whole {
        let id = entry.unwrap().header.id();
        assert_ne!(left.contains(&id), expected.contains(&id), "just what should go is gone");
    }
    old.is_as_it_was(&data).await;
    let again = prune(&data, false).unwrap();
    assert_eq!((again.entries, again.earlier), (0, done.entries));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_is_told_to_be_gone_and_the_rest_is_shown_and_proven() {
    let old = old().await;
    let data = old.data();
    prune(&data, false).unwrap();
    let store = open(&data).await;
    let gone = store.explain(old.old[0]).unwrap_err();
    assert!(gone.to_string().contains("pruned when its time was over"), "{gone}");
    let asked = ReportAsked { since: world::START, until: Timestamp::MAX, party: None, after: None };
    let received = store.received(asked).unwrap();
    let lines: Vec<_> = received.lines.iter().map(|line| line.entry).collect();
    assert_eq!((lines, received.erased), (old.new.clone(), 0));
    assert_eq!(received.pruned_before, years_before(later(), YEARS));
    let kept = store.kept(old.people[0]).unwrap();
    assert_eq!((kept.records.len(), kept.decisions.len()), (3, 1), "enrolled, two consents; the new decision");
    assert_eq!(store.access_log(old.people[0], u64::MAX, 9).unwrap().len(), 1);
    // As before, of whom nothing is left nothing can be recorded.
    assert!(!store.has_records_of(old.erased).unwrap());
    assert!(store.kept(old.erased).unwrap().records.iter().all(|record| record.event.is_none()));
    let ruling = store.decide_and_record(&world::question(old.erased), "test", Cause::Gateway).await;
    assert!(matches!(ruling, Err(StoreError::Vault(_))));
    let ruling = store.decide_and_record(&world::question(old.revoked), "test", Cause::Gateway).await.unwrap();
    assert!(matches!(ruling, Ruling::Denied(_)));
    permitted(&store, old.people[0]).await;
    store.stop().await.unwrap();

    let newest = std::fs::read(data.join("checkpoint")).unwrap();
    let pruned = prove(&data.join("ledger"), old.old[0], &newest);
    assert!(matches!(pruned, Err(ProofError::Pruned(_))), "{pruned:?}");
    let whole = entries(&data).into_iter().enumerate().filter_map(|(at, (_, entry))| Some((at as u64, entry?)));
    let (early, _) = sekisho::ledger::checkpoint::open_checkpoint(&old.checkpoints[0], &old.key).unwrap();
    for (at, entry) in whole {
        let checkpoints = [&newest, &old.checkpoints[0]];
        for checkpoint in checkpoints.into_iter().take(if at < early { 2 } else { 1 }) {
            let proof = prove(&data.join("ledger"), entry.header.id(), checkpoint).unwrap();
            assert_eq!(check(&proof, &old.key).unwrap().entry, entry);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_that_a_crash_leaves_opens_verifies_and_is_pruned_on() {
    let old = old().await;
    let (data, before) = (old.data(), old.root.path().join("before"));
    copy(&data, &before);
    let done = prune(&data, false).unwrap();
    let name = |segment: usize| format!("ledger/{segment:08}.seg");
    let differs = |segment: &usize| {
        std::fs::read(data.join(name(*segment))).unwrap() != std::fs::read(before.join(name(*segment))).unwrap()
    };
    let changed: Vec<usize> = (0..3).filter(differs).collect();
    assert_eq!(changed.len(), done.segments);
    // The entry that tells; the checkpoint; then each segment, half of the next one lying beside.
    for step in 0..changed.len() + 2 {
        let state = old.root.path().join(format!("state-{step}"));
        copy(&before, &state);
        let mut put: Vec<String> = vec![name(3), "ledger/high-water".to_owned()];
        put.extend((step > 0).then(|| "checkpoint".to_owned()));
        put.extend(changed.iter().take(step.saturating_sub(1)).map(|segment| name(*segment)));
        for file in put {
            std::fs::copy(data.join(&file), state.join(&file)).unwrap();
        }
        if let Some(next) = changed.get(step.saturating_sub(1)) {
            let whole = std::fs::read(data.join(name(*next))).unwrap();
            std::fs::write(state.join(name(*next)).with_extension("pruned"), &whole[..whole.len() / 2]).unwrap();
        }
        // With the index of before, which a clean stop left.
        old.is_as_it_was(&state).await;
        let rest = prune(&state, false).unwrap();
        assert_eq!(rest.entries + rest.earlier, done.entries, "step {step}");
        for segment in 0..3 {
            let [one, other] = [&data, &state].map(|at| std::fs::read(at.join(name(segment))).unwrap());
            assert!(one == other, "step {step}, segment {segment}");
        }
        old.is_as_it_was(&state).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_taken_out_as_if_it_were_pruned_shows() {
    let old = old().await;
    let data = old.data();
    let mut decisions = entries(&data).into_iter().filter_map(|(_, entry)| entry);
    let gone = decisions.find(|entry| entry.header.id() == old.old[0]).unwrap().encode();
    for round in ["whole", "pruned"] {
        let path = data.join("ledger/00000001.seg");
        let good = std::fs::read(&path).unwrap();
        let (mut at, mut tried) = (SEGMENT_MAGIC.len(), 0);
        while at < good.len() {
            let found = frame::get(&good[at..]).unwrap();
            if let Stored::Whole(bytes) = found.stored {
                let mut forged = good[..at].to_vec();
                let leaf = sekisho::ledger::merkle::leaf_hash(bytes);
                frame::put_pruned(&mut forged, found.acknowledged, found.more, &leaf);
                forged.extend_from_slice(&good[at + found.length..]);
                std::fs::write(&path, forged).unwrap();
                let found = old.verify(&data);
                assert!(matches!(found, Err(VerifyError::Untold(1))), "{round}, byte {at}: {found:?}");
                tried += 1;
                if tried % 5 == 1 {
                    let opened = Store::open(options(&data, later())).await.map(|_| ());
                    assert!(matches!(opened, Err(OpenError::Untold(1))), "{round}, byte {at}: {opened:?}");
                }
            }
            at += found.length;
        }
        assert!(tried > 4);
        std::fs::write(&path, good).unwrap();
        old.is_as_it_was(&data).await;
        if round == "whole" {
            prune(&data, false).unwrap();
        }
    }
    // Nor does one that was pruned come back at another place.
    let path = data.join("ledger/00000003.seg");
    let good = std::fs::read(&path).unwrap();
    let (mut at, mut longer, mut acknowledged) = (SEGMENT_MAGIC.len(), good.clone(), 0);
    while at < good.len() {
        let found = frame::get(&good[at..]).unwrap();
        (at, acknowledged) = (at + found.length, found.acknowledged);
    }
    frame::put(&mut longer, acknowledged, false, &gone);
    std::fs::write(&path, longer).unwrap();
    let copied = old.verify(&data);
    assert!(matches!(copied, Err(VerifyError::Entry { fault: Fault::Copied, .. })), "{copied:?}");
    std::fs::write(&path, good).unwrap();
    // Nor does a bit of what is left change unseen.
    for segment in 0..3 {
        let path = data.join(format!("ledger/{segment:08}.seg"));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 1 << (at % 8);
            std::fs::write(&path, bent).unwrap();
            assert!(old.verify(&data).is_err(), "segment {segment}, byte {at}");
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(old.verify(&data).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_from_before_is_not_believed() {
    let old = old().await;
    let data = old.data();
    let kept = old.root.path().join("index");
    copy(&data.join("index"), &kept);
    prune(&data, false).unwrap();
    let store = open(&data).await;
    let digest = store.index_digest().unwrap();
    store.stop().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(data.join("index")).unwrap();
    copy(&kept, &data.join("index"));
    let store = open(&data).await;
    assert_eq!(store.index_digest().unwrap(), digest);
    store.stop().await.unwrap();
    drop(store);
    old.is_as_it_was(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_lies_prunes_nothing() {
    let old = old().await;
    let data = old.data();
    let at = |at: Timestamp, dry| Store::prune(&options(&data, at), YEARS, dry, &mut |_| {});
    let behind = at(world::START, false);
    assert!(matches!(behind, Err(PruneError::Clock(_))), "{behind:?}");
    let right = at(later(), true).unwrap();
    let ahead = later().plus_millis(LATER * world::DAY_MS);
    assert_eq!(at(ahead, true).unwrap(), right, "ahead of the newest entry it doesn't count");
    assert_eq!(at(ahead, false).unwrap().before, right.before);
    let again = at(ahead, false).unwrap();
    assert_eq!((again.entries, again.before), (0, right.before), "nor does the entry that tells count");
    old.is_as_it_was(&data).await;
    let store = open(&data).await;
    assert!(matches!(prune(&data, false), Err(PruneError::Open(OpenError::InUse))));
    store.stop().await.unwrap();
    // What doesn't verify is left alone.
    let path = data.join("ledger/00000000.seg");
    let mut bent = std::fs::read(&path).unwrap();
    *bent.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bent).unwrap();
    drop(store);
    assert!(matches!(prune(&data, false), Err(PruneError::Verify(_))));
    assert!(std::fs::read(&path).unwrap() == bent);
}
