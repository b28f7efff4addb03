//! How often somebody tried a one-time code lately. Codes can't be guessed; this keeps guessing from being an amusement.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sekisho_policy::Timestamp;

use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};

const HOUR_MS: i64 = 3_600_000;
/// Logins and parties that are counted at once, at most; beyond it nobody new may try.
const COUNTED_MAX: usize = 100_000;

/// Tries by whoever made them, in hours that begin with the first.
#[derive(Default)]
pub struct Tries {
    by: Mutex<HashMap<[u8; 32], (Timestamp, u32)>>,
}

impl Tries {
    /// Counts a try; whether it may be made. It goes by the login, so that another session gives no further tries.
    pub fn may(&self, who: [&str; 2], most: u32, now: Timestamp) -> bool {
        let key =
            sha256(&[(who[0].len() as u64).to_le_bytes().as_slice(), who[0].as_bytes(), who[1].as_bytes()].concat());
        let over = |begun: Timestamp| now.millis().saturating_sub(begun.millis()) >= HOUR_MS;
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if by.len() >= COUNTED_MAX {
            by.retain(|_, (begun, _)| !over(*begun));
        }
        if by.len() >= COUNTED_MAX && !by.contains_key(&key) {
            return false;
        }
        let (begun, count) = by.entry(key).or_insert((now, 0));
        if over(*begun) {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= most || sabotage::off(Check::CodeTries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_an_hour_each() {
        let tries = Tries::default();
        let at = |ms| Timestamp::from_millis(ms);
        let all: Vec<bool> = (0..4).map(|n| tries.may(["i", "a"], 3, at(n))).collect();
        assert_eq!(all, [true, true, true, false]);
        assert!(tries.may(["i", "b"], 3, at(5)), "somebody else's");
        assert!(!tries.may(["i", "a"], 3, at(HOUR_MS - 1)));
        assert!(tries.may(["i", "a"], 3, at(HOUR_MS)));
    }
}
