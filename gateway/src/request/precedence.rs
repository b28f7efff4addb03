//! What narrows goes before what is being released: while a withdrawal is recorded and its cuts are waited for, no release
//! hands a frame over. Else its few steps would queue, each anew, behind everybody's transfers on the same cores.
//!
//! A release waits so for milliseconds, and never long: it goes on by single frames however many withdrawals there are.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a release holds one frame back, at most.
const HELD_BACK_MAX: Duration = Duration::from_millis(20);

/// How many things that narrow are under way.
pub struct Precedence {
    narrowing: watch::Sender<usize>,
}

/// One thing that narrows is under way, until this is dropped.
pub struct First<'a>(&'a Precedence);

impl Precedence {
    /// Nothing is under way.
    pub(super) fn new() -> Self {
        Self { narrowing: watch::Sender::new(0) }
    }

    /// Something that narrows begins.
    pub fn first(&self) -> First<'_> {
        self.narrowing.send_modify(|count| *count += 1);
        First(self)
    }

    /// Whether a release must wait.
    pub(super) fn is_taken(&self) -> bool {
        *self.narrowing.borrow() > 0
    }

    /// Returns once nothing narrows, or after [`HELD_BACK_MAX`].
    pub(super) async fn given(&self) {
        if self.is_taken() {
            let _ = timeout(HELD_BACK_MAX, self.narrowing.subscribe().wait_for(|count| *count == 0)).await;
        }
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.0.narrowing.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_release_waits_for_all_that_narrows_and_never_long() {
        let precedence = Precedence::new();
        precedence.given().await;
        let (one, two) = (precedence.first(), precedence.first());
        drop(one);
        let began = tokio::time::Instant::now();
        precedence.given().await;
        assert!(began.elapsed() >= HELD_BACK_MAX, "one is under way still");
        let waiting = precedence.given();
        tokio::pin!(waiting);
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        drop(two);
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await, "at once");
    }
}
