//! The power goes, under load: the file system forgets whatever was not flushed.

use std::sync::Arc;

use crate::books::Books;
use crate::disk::Disk;
use crate::gateway::Place;
use crate::load;
use crate::plan::{Plan, comes_back};

/// Acknowledgements before a cut, at most.
const BEFORE_A_CUT_MAX: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, xfsprogs and loop devices; `make test` runs it"]
async fn nothing_that_the_gateway_acknowledged_is_lost_on_ext4() {
    cuts("power cut, ext4", "ext4", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, xfsprogs and loop devices; `make test` runs it"]
async fn nothing_that_the_gateway_acknowledged_is_lost_on_xfs() {
    cuts("power cut, xfs", "xfs", 2).await;
}

async fn cuts(name: &'static str, kind: &'static str, short: usize) {
    if !Disk::can_be_had(name) {
        return;
    }
    let mut plan = Plan::new(name, short, 125);
    while plan.next_directory() > 0 {
        let disk = Disk::new(kind);
        let place = Arc::new(Place::make(Some(&disk.at.join("data"))).await);
        let books = Books::open(&place).await;
        for _ in 0..plan.next_directory() {
            let running = comes_back(&place, &books).await;
            let acknowledgements = plan.below(BEFORE_A_CUT_MAX);
            let load = load::until_acknowledged(&place, &books, acknowledgements).await;
            disk.cut_power();
            // The load goes on meanwhile: what is acknowledged now, on a dead disk, would be lost.
            if plan.below(2) == 0 {
                running.kill().await;
            } else {
                let (status, log) = running.ended().await;
                assert_eq!(status.code(), Some(74), "a gateway on a dead disk:\n{log}");
            }
            load.await.unwrap();
            disk.plug_in_again();
            books.compare(&place.data, u64::MAX);
            plan.step();
        }
        comes_back(&place, &books).await.stop().await;
        books.compare(&place.data, u64::MAX);
        plan.count(&books);
    }
    plan.end();
}
