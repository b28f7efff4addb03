//! The conformance suite on the embedded engine: real files, a real disk.

use sekisho::clock::Clock;
use sekisho::store::{Options, Store, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_engine_conforms() {
    let root = tempfile::tempdir().unwrap();
    let open = async |place: &str, clock: Clock| {
        let directory = root.path().join(place);
        let origin = "sekisho.example/test".to_owned();
        Store::open(Options { directory, origin, master_key: [1; 32], clock }).await.unwrap()
    };
    conformance::all(open).await;
}
