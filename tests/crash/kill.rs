//! `kill -9` of the whole gateway under load.

use std::sync::Arc;

use crate::books::Books;
use crate::gateway::Place;
use crate::load;
use crate::plan::{Plan, comes_back};

/// Acknowledgements before a kill, at most.
const BEFORE_A_KILL_MAX: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_gateway_acknowledged_is_lost_to_a_kill() {
    let mut plan = Plan::new("kill -9", 20, 500);
    while plan.next_directory() > 0 {
        let place = Arc::new(Place::make(None).await);
        let books = Books::open(&place).await;
        for _ in 0..plan.next_directory() {
            // One start in four is killed on its way up, somewhere between its first step and its last.
            if plan.below(4) == 0 {
                let mut starting = place.start(&[]);
                let moment = std::time::Duration::from_millis(plan.below(150));
                let _ = tokio::time::timeout(moment, starting.serves()).await;
                starting.kill().await;
            }
            let running = comes_back(&place, &books).await;
            let acknowledgements = plan.below(BEFORE_A_KILL_MAX);
            let load = load::until_acknowledged(&place, &books, acknowledgements).await;
            running.kill().await;
            load.await.unwrap();
            assert_eq!(books.denials(), [""; 0], "nothing was wrong before the kill");
            books.compare(&place.data, u64::MAX);
            plan.step();
        }
        comes_back(&place, &books).await.stop().await;
        books.compare(&place.data, u64::MAX);
        plan.count(&books);
    }
    plan.end();
}
