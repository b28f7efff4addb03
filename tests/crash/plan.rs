//! How long a campaign is, its seed, and its progress.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::books::Books;
use crate::gateway::{Place, Running};

/// Cycles on one directory; then another one begins, so that reading the ledger through does not take most of the time.
const CYCLES_EACH: usize = 25;

/// One campaign.
pub struct Plan {
    name: &'static str,
    pub cycles: usize,
    pub dice: StdRng,
    seed: u64,
    done: usize,
    acknowledged: (u64, u64),
}

impl Plan {
    /// The short form, or the one that `SEKISHO_CRASHES=long` asks for.
    pub fn new(name: &'static str, short: usize, long: usize) -> Self {
        let in_full = std::env::var("SEKISHO_CRASHES").is_ok_and(|text| text == "long");
        let seed = std::env::var("SEKISHO_CHAOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
        let cycles = if in_full { long } else { short };
        println!("{name}: {cycles} cycles, seed {seed}");
        Self { name, cycles, dice: StdRng::seed_from_u64(seed), seed, done: 0, acknowledged: (0, 0) }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.dice.random_range(0..n)
    }

    /// How many cycles come on the next directory; none at the end.
    pub fn next_directory(&self) -> usize {
        (self.cycles - self.done).min(CYCLES_EACH)
    }

    pub fn step(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(20) && self.done < self.cycles {
            println!("{}: {} of {}", self.name, self.done, self.cycles);
        }
    }

    /// Adds the acknowledgements of a directory that is done with.
    pub fn count(&mut self, books: &Books) {
        let (all, released) = books.figures();
        self.acknowledged = (self.acknowledged.0 + all, self.acknowledged.1 + released);
    }

    pub fn end(&self) {
        let (all, released) = self.acknowledged;
        println!(
            "{}: {} cycles, {all} acknowledgements, {released} of them records received; 0 lost",
            self.name, self.done
        );
        assert!(released as usize > self.done, "{}: the load released almost nothing", self.name);
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}: failed in cycle {}; SEKISHO_CHAOS_SEED={} makes the same choices",
                self.name, self.done, self.seed
            );
        }
    }
}

/// Starts the gateway, and looks whether what was acknowledged before holds; leaves it running.
pub async fn comes_back(place: &Arc<Place>, books: &Arc<Books>) -> Running {
    let running = place.serving().await;
    crate::load::settle(place, books).await;
    books.keep_checkpoint(place).await;
    running
}
