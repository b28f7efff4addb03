//! The one response body: counted on its connection, and checked for a cut before every frame.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::Connection;
use super::releases::Handle;

/// Bytes of one frame, at most: what a cut can find handed over but unsent.
const FRAME_BYTES: usize = 16 << 10;

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
    connection: Arc<Connection>,
}

impl ReplyBody {
    /// A body that releases nothing about a person under a permit.
    #[must_use]
    pub fn plain(bytes: Bytes, connection: &Arc<Connection>) -> Self {
        Self { bytes, release: None, connection: Arc::clone(connection) }
    }

    /// The body of a release.
    #[must_use]
    pub fn release(bytes: Bytes, handle: Arc<Handle>) -> Self {
        let connection = Arc::clone(handle.connection());
        Self { bytes, release: Some(handle), connection }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(handle) = &this.release
            && handle.is_cut()
        {
            return Poll::Ready(Some(Err(Cut)));
        }
        if this.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let frame = this.bytes.split_to(this.bytes.len().min(FRAME_BYTES));
        this.connection.hand_over(frame.len());
        if let Some(handle) = &this.release {
            handle.sending(frame.len());
            if this.bytes.is_empty()
                && let Some(handle) = this.release.take()
            {
                this.connection.drain(handle);
            }
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
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
        // Given up before its end: what was handed over may still be under way, so it stays known until the
        // connection has sent it or is closed.
        if let Some(handle) = self.release.take() {
            handle.give_up();
            self.connection.drain(handle);
        }
    }
}
