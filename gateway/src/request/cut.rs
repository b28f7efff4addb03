//! Cutting releases, and waiting until none of their bytes can leave any more: the barrier's second half.
//!
//! All are cut before the first is waited for, and all are waited for at once. Why so long and no longer: decision 0012.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::releases::Handle;
use crate::sabotage::{self, Check};

/// Cut over HTTP/2, a release's last bytes may take this long to leave before the whole connection is aborted: what a
/// withdrawal may have to wait for a client that doesn't read.
const LEAVES_WITHIN: Duration = Duration::from_millis(4);
/// How often it is waited for so long, where waiting spares others on the connection, or where the client has taken all that
/// there is and only this machine is late.
const LATE_MAX: u32 = 24;
/// Longest wait for aborted connections to be closed. They close within milliseconds; past this something is badly wrong,
/// and nothing is acknowledged.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// What is still to be waited for when a release was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing can leave any more.
    Silent,
    /// Its connection's queue must be empty: [`Handle::over`] tells when.
    Queue,
    /// Its connection must be closed: `Connection::closed` tells when.
    Close,
}

/// A connection did not close in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a connection did not close within {} s", CLOSES_WITHIN.as_secs())]
pub struct NotSilent;

/// Cuts releases, and returns once none of their bytes can leave any more.
///
/// With HTTP/2 only their streams are reset, and what of them lies in their connections' queues is waited for; a client
/// that doesn't take it in time loses the connection.
///
/// # Errors
/// When it can't be made sure; then nothing may be acknowledged.
pub async fn cut_all(handles: Vec<Arc<Handle>>) -> Result<(), NotSilent> {
    // All are cut before the first is waited for.
    let after: Vec<_> = handles.into_iter().map(|handle| (handle.cut(), handle)).collect();
    let (mut queued, mut closing) = (Vec::new(), Vec::new());
    for (after, handle) in after {
        match after {
            After::Silent => {}
            After::Close => closing.push(handle),
            After::Queue if sabotage::off(Check::QueueEmpty) => {}
            After::Queue => queued.push(handle),
        }
    }
    let began = Instant::now();
    for round in 1..=LATE_MAX {
        let deadline = began + LEAVES_WITHIN * round;
        let mut late = Vec::new();
        for handle in queued {
            if timeout_at(deadline, handle.over()).await.is_ok() {
                continue;
            }
            if round < LATE_MAX && handle.may_be_late() {
                late.push(handle);
            } else if !handle.connection().abort() {
                closing.push(handle);
            }
        }
        queued = late;
    }
    let closed = async {
        for handle in &closing {
            handle.connection().closed().await;
        }
    };
    timeout(CLOSES_WITHIN, closed).await.map_err(|_| NotSilent)
}
