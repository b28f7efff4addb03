//! The one response body: checked for a cut before every frame.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::releases::Handle;

/// Bytes of one frame, at most: what a cut can find handed over but unsent.
pub(super) const FRAME_BYTES: usize = 16 << 10;

/// The barrier cut this body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cut")]
pub struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A whole response body.
pub struct ReplyBody {
    bytes: Bytes,
    release: Option<Arc<Handle>>,
    /// A frame was handed over.
    begun: bool,
    /// Until what narrows is done, and before each further frame until the worker has looked what else there is. HTTP/2 waits
    /// by itself.
    giving_way: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl ReplyBody {
    /// A body that releases nothing about a person under a permit.
    #[must_use]
    pub const fn plain(bytes: Bytes) -> Self {
        Self { bytes, release: None, begun: false, giving_way: None }
    }

    /// The body of a release.
    #[must_use]
    pub const fn release(bytes: Bytes, handle: Arc<Handle>) -> Self {
        Self { bytes, release: Some(handle), begun: false, giving_way: None }
    }

    /// The release that it is of, until the last frame was taken.
    pub(super) const fn handle(&self) -> Option<&Arc<Handle>> {
        self.release.as_ref()
    }

    /// Bytes that were not taken yet.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The next frame, of at most so many bytes; none after the last.
    pub(super) fn take(&mut self, most: usize) -> Result<Option<Bytes>, Cut> {
        if self.release.as_ref().is_some_and(|handle| handle.is_cut()) {
            return Err(Cut);
        }
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let frame = self.bytes.split_to(self.bytes.len().min(most));
        if let Some(handle) = &self.release {
            handle.sending(frame.len());
            if self.bytes.is_empty()
                && let Some(handle) = self.release.take()
            {
                handle.drain();
            }
        }
        Ok(Some(frame))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = self.get_mut();
        if body.giving_way.is_none()
            && let Some(handle) = body.release.as_ref().filter(|handle| body.begun || handle.precedence().is_taken())
        {
            let (handle, begun) = (Arc::clone(handle), body.begun);
            body.giving_way = Some(Box::pin(async move {
                if begun {
                    // Large releases to quick readers would keep this worker for milliseconds otherwise, and a withdrawal
                    // that has arrived would not even be read meanwhile.
                    tokio::task::yield_now().await;
                }
                handle.precedence().given().await;
            }));
        }
        if let Some(waiting) = &mut body.giving_way {
            ready!(waiting.as_mut().poll(cx));
            body.giving_way = None;
        }
        body.begun = true;
        Poll::Ready(body.take(FRAME_BYTES).transpose().map(|frame| frame.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        // Of an answer without a body nothing is to be taken: it is over once its head has left.
        if self.bytes.is_empty()
            && let Some(handle) = self.release.take()
        {
            return handle.drain();
        }
        // Given up before its end: what was handed over may still be under way, so it stays known until the
        // connection has sent it or is closed.
        if let Some(handle) = self.release.take() {
            handle.give_up();
        }
    }
}
