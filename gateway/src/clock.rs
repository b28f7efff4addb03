//! The one place that reads a clock. Everything else is handed a [`Clock`].
//!
//! Now is the later of the wall clock and the last time in the ledger, so that time never runs backwards across a
//! restart. When the wall clock lies behind the ledger by more than the tolerance, [`Clock::now`] gives no time at all
//! and every decision denies (design §6, Time).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sekisho_policy::Timestamp;
use tokio::sync::watch;

/// How far the wall clock may lie behind the ledger before decisions deny, in milliseconds.
pub const BACKWARD_TOLERANCE_MS: i64 = 60_000;

/// The wall clock lies too far behind the last time in the ledger to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock is {behind_ms} ms behind the last ledger entry; no decision is made until it is set right (see NTP)"
)]
pub struct ClockError {
    /// How far behind, in milliseconds.
    pub behind_ms: i64,
}

/// So many years before an instant, by the calendar; `None` where there is no such date.
#[must_use]
pub fn years_before(at: Timestamp, years: u16) -> Option<Timestamp> {
    let at = jiff::Timestamp::from_millisecond(at.millis()).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let before = at.checked_sub(jiff::Span::new().years(i64::from(years))).ok()?;
    Some(Timestamp::from_millis(before.timestamp().as_millisecond()))
}

#[derive(Clone)]
enum Source {
    System,
    Manual(watch::Sender<i64>),
}

/// Tells the time; clones share it.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    floor_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { source: Source::System, floor_ms: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// A clock that stands until it is set: for tests.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self {
            source: Source::Manual(watch::Sender::new(start.millis())),
            floor_ms: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Sets a manual clock; a system clock is left alone.
    pub fn set(&self, at: Timestamp) {
        if let Source::Manual(now) = &self.source {
            now.send_replace(at.millis());
        }
    }

    /// Never gives a time before this again.
    pub fn raise_floor(&self, at: Timestamp) {
        self.floor_ms.fetch_max(at.millis(), Ordering::AcqRel);
    }

    /// Now.
    ///
    /// # Errors
    /// When the wall clock lies more than [`BACKWARD_TOLERANCE_MS`] behind the ledger.
    pub fn now(&self) -> Result<Timestamp, ClockError> {
        let wall = self.wall_ms();
        let floor = self.floor_ms.load(Ordering::Acquire);
        if wall >= floor {
            return Ok(Timestamp::from_millis(wall));
        }
        let behind_ms = floor.saturating_sub(wall);
        if behind_ms > BACKWARD_TOLERANCE_MS && !crate::sabotage::off(crate::sabotage::Check::ClockBehind) {
            return Err(ClockError { behind_ms });
        }
        Ok(Timestamp::from_millis(floor))
    }

    fn wall_ms(&self) -> i64 {
        match &self.source {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// Returns once `at` has been reached; never for [`Timestamp::MAX`].
    pub async fn reached(&self, at: Timestamp) {
        if at == Timestamp::MAX {
            return std::future::pending().await;
        }
        match &self.source {
            Source::System => loop {
                let left = at.millis().saturating_sub(self.wall_ms());
                let Ok(left) = u64::try_from(left) else { return };
                if left == 0 {
                    return;
                }
                // At most a minute at a time, so that a clock that was set forward is noticed.
                tokio::time::sleep(Duration::from_millis(left.min(60_000))).await;
            },
            Source::Manual(now) => {
                let mut changes = now.subscribe();
                // The sender lives in `self`, so waiting can't fail while we are borrowed.
                let _ = changes.wait_for(|ms| *ms >= at.millis()).await;
            }
        }
    }
}
