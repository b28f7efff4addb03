//! The conformance suite on the embedded engine: real files, a real disk. Its parts are tests of their own, so that a
//! check that is switched off shows where.

use sekisho::clock::Clock;
use sekisho::store::conformance;
use sekisho::store::{Options, Store};
use tempfile::TempDir;

async fn open(root: &TempDir, place: &str, clock: Clock) -> Store {
    let directory = root.path().join(place);
    let origin = "sekisho.example/test".to_owned();
    Store::open(Options { directory, origin, master_key: [1; 32], clock }).await.unwrap()
}

macro_rules! conforms {
    ($($name:ident: $part:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let root = tempfile::tempdir().unwrap();
            conformance::$part(&async |place: &str, clock: Clock| open(&root, place, clock).await).await;
        }
    )*};
}

conforms! {
    decisions_are_recorded_and_explained: decide;
    look_ups_find_what_holds: look_up;
    updates_are_guarded: update;
    no_decision_outlives_what_it_was_made_on: race;
}
