//! What every campaign shares: seeded choices, a count of attempts, progress, and the panics of anybody in the process.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeded choices (SplitMix64): the same seed gives the same campaign.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    /// So many letters and digits.
    pub fn word(&mut self, n: usize) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        (0..n).map(|_| LETTERS[self.below(LETTERS.len())] as char).collect()
    }
}

/// The seed of this run: `SEKISHO_CHAOS_SEED`, else always the same one.
pub fn seed() -> u64 {
    std::env::var("SEKISHO_CHAOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7)
}

/// How many forged tokens: `SEKISHO_CHAOS`; none in the short form.
pub fn long() -> Option<usize> {
    std::env::var("SEKISHO_CHAOS").ok().and_then(|text| text.parse().ok())
}

/// After so many findings a campaign ends.
const FINDINGS_MAX: usize = 30;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// One campaign: counts attempts, shows progress in the long form, and says how to repeat it when it fails.
pub struct Campaign {
    name: &'static str,
    seed: u64,
    done: usize,
    planned: usize,
    findings: Vec<String>,
}

impl Campaign {
    pub fn new(name: &'static str, planned: usize) -> Self {
        // A panic in one of the gateway's tasks is not seen by whoever waits for an answer: it must be counted.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // Tests have names of modules, and show their own panics.
                let by_a_test = std::thread::current().name().is_some_and(|name| name.contains("::"));
                PANICS.fetch_add(usize::from(!by_a_test), Ordering::SeqCst);
                before(info);
            }));
        });
        println!("{name}: {planned} planned, seed {}", seed());
        Self { name, seed: seed(), done: 0, planned, findings: Vec::new() }
    }

    pub fn dice(&self) -> Dice {
        Dice::new(self.seed)
    }

    pub fn step(&mut self) {
        self.done += 1;
        if long().is_some() && self.done.is_multiple_of((self.planned / 10).max(1)) {
            println!("{}: {} of {}", self.name, self.done, self.planned);
        }
    }

    /// Something that must not be. The campaign goes on, so that one run shows all that it finds.
    pub fn finding(&mut self, what: String) {
        eprintln!("{}: FINDING at attempt {}: {what}", self.name, self.done + 1);
        self.findings.push(what);
        assert!(self.findings.len() < FINDINGS_MAX, "{}: too many findings", self.name);
    }

    /// The end: nothing was found, nobody panicked, and these are the figures.
    pub fn end(self, figures: &str) {
        assert!(self.findings.is_empty(), "{}: {} findings, shown above", self.name, self.findings.len());
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "{}: something panicked", self.name);
        println!("{}: {} tried, 0 panics; {figures}", self.name, self.done);
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}: failed after {} attempts; SEKISHO_CHAOS_SEED={} makes the same choices",
                self.name, self.done, self.seed
            );
        }
    }
}
