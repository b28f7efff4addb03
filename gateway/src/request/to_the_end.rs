//! Work that is done to its end, though whoever asked for it has gone: a client that hangs up must not leave an act recorded
//! but not enforced, or a decision without its outcome.
//!
//! While somebody waits it is polled in their task, which costs no hand-over between tasks; dropped before its end, it goes
//! on in a task of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// The work.
pub(super) struct ToTheEnd<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> ToTheEnd<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for ToTheEnd<F> {
    type Output = Result<F::Output, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        // A panic ends the work: it is not there then to be gone on with.
        let done = work.as_mut().poll(cx);
        if done.is_pending() {
            self.0 = Some(work);
        }
        done.map(Ok)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits() {
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, ended) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(ToTheEnd::new(async move {
            let _ = wait.await;
            let _ = done.send(());
        }));
        assert!(std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await);
        drop(work);
        go.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn once_it_is_done_nothing_is_left_of_it() {
        let mut work = Box::pin(ToTheEnd::new(async { 5 }));
        let done = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        assert_eq!(done, Poll::Ready(Ok(5)));
        assert!(work.0.is_none());
    }
}
