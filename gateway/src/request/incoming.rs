//! The body of a request, whichever protocol brings it. Whoever reads it bounds it in bytes and time (`api/`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;

/// A body that comes in. The request path reads none; the API does.
pub enum RequestBody {
    /// By HTTP/1.1.
    Http1(Incoming),
    /// By HTTP/2.
    Http2(h2::RecvStream),
}

/// It ended before it was whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// By HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// By HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Broken::from),
            // What stands behind the data (trailers) means nothing to us.
            Self::Http2(body) => Poll::Ready(ready!(body.poll_data(cx)).map(|data| {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            })),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }
}
