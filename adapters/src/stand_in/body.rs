//! The body of a stand-in's answer: whole, paced, cut off, or never ending.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How a body ends once its bytes are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    /// The connection (HTTP/1.1) or the stream (HTTP/2) is torn down.
    Abort,
    /// Nothing more comes, and no end either.
    Never,
}

/// The body of a stand-in's answer.
pub struct StandInBody {
    left: Bytes,
    end: End,
    /// Whether the length is announced from the bytes themselves.
    sized: bool,
    /// Bytes per millisecond.
    pace: Option<u64>,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// At a pace, a piece goes out every so many milliseconds.
const PACE_TICK_MS: u64 = 5;

impl StandInBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { left: bytes, end: End::Clean, sized: true, pace: None, waiting: None }
    }

    pub(super) fn ending(mut self, end: End, sized: bool) -> Self {
        self.end = end;
        self.sized = sized;
        self
    }

    pub(super) fn paced(mut self, bytes_per_ms: Option<u64>) -> Self {
        self.pace = bytes_per_ms.map(|n| n.max(1));
        self
    }

    pub(super) fn len(&self) -> usize {
        self.left.len()
    }

    pub(super) fn cut(mut self, len: usize) -> Self {
        self.left.truncate(len);
        self
    }
}

impl Body for StandInBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = self.waiting.as_mut() {
            std::task::ready!(sleep.as_mut().poll(cx));
            self.waiting = None;
        }
        if self.left.is_empty() {
            return match self.end {
                End::Clean => Poll::Ready(None),
                End::Abort => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted)))),
                End::Never => Poll::Pending,
            };
        }
        let all = self.left.len();
        let piece = match self.pace {
            None => all,
            Some(pace) => usize::try_from(pace.saturating_mul(PACE_TICK_MS)).unwrap_or(all).clamp(1, all),
        };
        if piece < all || self.end == End::Abort {
            // Before an abort too: the bytes so far shall reach the other side first.
            self.waiting = Some(Box::pin(tokio::time::sleep(Duration::from_millis(PACE_TICK_MS))));
        }
        let data = self.left.split_to(piece);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.end == End::Clean
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized && self.end == End::Clean {
            SizeHint::with_exact(self.left.len() as u64)
        } else {
            SizeHint::new()
        }
    }
}
