//! The disk fails under load: a sync that returns an error, no room, no more writing. Nothing is acknowledged from then on,
//! the process stops and says what to do, and once the disk is mended everything acknowledged is there.

use std::sync::Arc;

use crate::books::Books;
use crate::disk::{Disk, there};
use crate::gateway::{Place, Running};
use crate::load;
use crate::plan::{Plan, comes_back};

/// How the process says that it stopped because of its disk (docs/operations.md).
const STOPPED: Option<i32> = Some(74);

/// The gateway under strace, which lets one kind of call on the ledger's segment fail, from the `nth` of a thread on.
fn failing(place: &Place, call: &str, error: &str, nth: u64) -> Running {
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-P"].map(str::to_owned);
    let segment = place.data.join("ledger").join("00000000.seg");
    let rest = [
        segment.display().to_string(),
        "-e".to_owned(),
        format!("trace={call}"),
        "-e".to_owned(),
        format!("inject={call}:error={error}:when={nth}+"),
        // Ends with strace, also where a test fails and kills that.
        "setpriv".to_owned(),
        "--pdeathsig".to_owned(),
        "KILL".to_owned(),
    ];
    place.start(&[words.as_slice(), &rest].concat())
}

/// The gateway was harmed, or will be in a moment, while the load goes on: it must end by itself, saying this, with nothing
/// acknowledged that its ledger does not hold for certain.
async fn stops(
    place: &Arc<Place>,
    books: &Arc<Books>,
    running: Running,
    load: tokio::task::JoinHandle<()>,
    says: &str,
) {
    let (status, log) = running.ended().await;
    assert_eq!(status.code(), STOPPED, "{log}");
    load.await.unwrap();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("\"ERROR\"") && last.contains(says), "the last word is: {last}");
    for why in books.denials() {
        assert!(why.contains("503"), "{why}");
    }
    books.compare(&place.data, Books::durable(&place.data));
}

/// So many cycles on places of one kind: `harm` has the gateway stop under load, and mends the disk again.
async fn cycles(
    mut plan: Plan,
    disk: impl Fn() -> Option<Disk>,
    harm: impl AsyncFn(&mut Plan, &Arc<Place>, &Arc<Books>, Option<&Disk>),
) {
    while plan.next_directory() > 0 {
        let disk = disk();
        let data = disk.as_ref().map(|disk| disk.at.join("data"));
        let place = Arc::new(Place::make(data.as_deref()).await);
        let books = Books::open(&place).await;
        for _ in 0..plan.next_directory() {
            harm(&mut plan, &place, &books, disk.as_ref()).await;
            // Mended: all that was acknowledged holds, and it serves again.
            let running = comes_back(&place, &books).await;
            let load = load::until_acknowledged(&place, &books, 20).await;
            running.kill().await;
            load.await.unwrap();
            books.compare(&place.data, u64::MAX);
            plan.step();
        }
        comes_back(&place, &books).await.stop().await;
        plan.count(&books);
    }
    plan.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace; `make test` runs it"]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_process_stops() {
    assert!(there("strace"), "Install strace (scripts/install-test-tools does it on Debian)");
    let plan = Plan::new("failed fdatasync", 3, 100);
    cycles(
        plan,
        || None,
        async |plan, place, books, _| {
            // The first of the writer's thread, or a later one.
            let mut running = failing(place, "fdatasync", "EIO", 2 + plan.below(40));
            assert!(running.serves().await, "{}", running.log());
            stops(place, books, running, load::begun(place, books), "kernel's log").await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace; `make test` runs it"]
async fn a_sync_that_fails_at_the_start_is_no_start() {
    assert!(there("strace"), "Install strace (scripts/install-test-tools does it on Debian)");
    let place = Place::make(None).await;
    let books = Books::open(&place).await;
    let (status, log) = failing(&place, "fdatasync", "EIO", 1).ended().await;
    assert!(!status.success() && log.contains("fdatasync") && log.contains("kernel's log"), "{status}: {log}");
    books.compare(&place.data, u64::MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and loop devices; `make test` runs it"]
async fn on_a_full_disk_nothing_is_acknowledged_and_the_process_stops() {
    if !Disk::can_be_had("full disk") {
        return;
    }
    let plan = Plan::new("full disk", 2, 100);
    cycles(
        plan,
        || Some(Disk::new("ext4")),
        async |plan, place, books, disk| {
            let disk = disk.unwrap();
            // Now and then it runs into it while serving, which takes long: the ledger has room ahead. Mostly at the first write.
            let serving = comes_back(place, books).await;
            let serving = if plan.below(10) == 0 {
                Some(serving)
            } else {
                serving.stop().await;
                None
            };
            disk.fill_but(plan.below(1 << 20));
            let mut running = serving.unwrap_or_else(|| place.start(&[]));
            if running.serves().await {
                stops(place, books, running, load::begun(place, books), "make room").await;
            } else {
                let (_, log) = running.ended().await;
                assert!(log.contains("make room"), "{log}");
                books.compare(&place.data, Books::durable(&place.data));
            }
            disk.make_room();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and loop devices; `make test` runs it"]
async fn on_a_disk_that_turned_read_only_nothing_is_acknowledged_and_the_process_stops() {
    if !Disk::can_be_had("read-only disk") {
        return;
    }
    let plan = Plan::new("read-only disk", 2, 100);
    cycles(
        plan,
        || Some(Disk::new("ext4")),
        async |plan, place, books, disk| {
            let disk = disk.unwrap();
            let running = comes_back(place, books).await;
            let more = plan.below(100);
            let load = load::until_acknowledged(place, books, more).await;
            disk.turn_read_only();
            stops(place, books, running, load, "read-only").await;
            disk.plug_in_read_only();
            let (status, log) = place.start(&[]).ended().await;
            assert!(!status.success() && log.contains("read-only"), "{status}: {log}");
            disk.plug_in_again();
        },
    )
    .await;
}
