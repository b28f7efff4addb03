//! One HTTP/2 connection, by `h2` itself: the barrier needs each release's stream in hand, to reset it without harming the
//! others, and to know when its last byte has left.
//!
//! A frame is handed to a stream only when the client's window has room for it, so that next to nothing waits in queues.
//! A reset throws away what the stream still queues; what was already being written is at most one frame. Decision 0012.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::body::{FRAME_BYTES, ReplyBody};
use super::incoming::RequestBody;
use super::releases::Handle;
use super::server::{At, HEADER_BYTES_MAX, IDLE_MAX, answer};
use crate::clock::Clock;

const STREAMS_MAX: u32 = 128;
/// Bytes of requests' bodies that a client may have under way, on one stream and on all of them.
const WINDOW_BYTES: u32 = 64 << 10;
/// How long a client may take to read an answer that releases nothing: those are small.
const PLAIN_TAKES_MAX: Duration = Duration::from_secs(8);
/// How long a connection that is being closed may take to say so.
const GOODBYE_TAKES_MAX: Duration = Duration::from_secs(1);

/// The stream that a release goes over.
pub struct Stream {
    id: u32,
    send: Mutex<SendStream<Bytes>>,
    written: AtomicU64,
    gone: AtomicBool,
    /// Of an answer without a body, which leaves with its head.
    all_head: bool,
}

impl Stream {
    fn new(send: SendStream<Bytes>, all_head: bool) -> Arc<Self> {
        let id = send.stream_id().into();
        let (written, gone) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { id, send: Mutex::new(send), written, gone, all_head })
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    fn send(&self) -> MutexGuard<'_, SendStream<Bytes>> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws away what the stream queues, and tells the client that nothing more comes.
    pub(super) fn reset(&self) {
        self.send().send_reset(Reason::CANCEL);
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// Bytes of its body that were.
    pub(super) fn written(&self) -> u64 {
        if self.all_head { 0 } else { self.written.load(Ordering::Acquire) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether some of so many bytes that were handed over are still queued.
    pub(super) fn holds(&self, handed: u64) -> bool {
        let written = self.written.load(Ordering::Acquire);
        !self.is_gone() && if self.all_head { written == 0 } else { written != handed }
    }

    /// Waits for room for at most so many bytes; none when the client has reset the stream or is gone.
    async fn room(&self, most: usize) -> Option<usize> {
        self.send().reserve_capacity(most);
        loop {
            let room = poll_fn(|cx| {
                let mut send = self.send();
                if send.capacity() > 0 { Poll::Ready(Some(Ok(send.capacity()))) } else { send.poll_capacity(cx) }
            });
            match room.await?.ok()? {
                0 => {}
                room => return Some(room.min(most)),
            }
        }
    }

    /// Hands over the next frame, of at most so many bytes. A cut comes before or after, never in between.
    fn hand_over(&self, body: &mut ReplyBody, most: usize) -> bool {
        let mut send = self.send();
        let Ok(Some(frame)) = body.take(most) else { return false };
        send.send_data(frame, body.left() == 0).is_ok()
    }

    /// Returns when the client resets the stream, or is gone.
    async fn is_reset(&self) {
        // An error says that the stream is no more.
        let _ = poll_fn(|cx| self.send().poll_reset(cx)).await;
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(at: At, io: impl AsyncRead + AsyncWrite + Unpin) {
    let handshake = Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buffer_size(FRAME_BYTES)
        .handshake::<_, Bytes>(io);
    let Ok(Ok(mut http2)) = timeout(IDLE_MAX, handshake).await else {
        return tracing::debug!("a connection did not begin as HTTP/2 does");
    };
    let (mut streams, mut stop, mut stopping) = (JoinSet::new(), at.stop.clone(), false);
    let idle = tokio::time::sleep(IDLE_MAX);
    tokio::pin!(idle);
    loop {
        tokio::select! {
            biased;
            () = at.connection.abort_asked() => return,
            // Going round polls the connection, which flushes.
            () = at.connection.nudged() => {}
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                http2.graceful_shutdown();
            }
            Some(_) = streams.join_next() => idle.as_mut().reset(Instant::now() + IDLE_MAX),
            accepted = http2.accept() => match accepted {
                Some(Ok((request, respond))) => drop(streams.spawn(one(at.clone(), request, respond))),
                Some(Err(error)) => return tracing::debug!(%error, "a connection ended early"),
                None => return,
            },
            // No stream for so long: a client that does nothing, or that never ends its headers.
            () = idle.as_mut(), if streams.is_empty() => break,
        }
    }
    http2.abrupt_shutdown(Reason::NO_ERROR);
    let _ = timeout(GOODBYE_TAKES_MAX, poll_fn(|cx| http2.poll_closed(cx))).await;
}

/// One request and its answer.
async fn one(at: At, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let head_only = request.method() == Method::HEAD;
    let response = tokio::select! {
        biased;
        response = answer(&at, request.map(RequestBody::Http2)) => response,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let (mut head, body) = response.into_parts();
    // Of what is not sent the length is not told either (RFC 9110 §8.6).
    if head.status != StatusCode::NOT_MODIFIED && head.status != StatusCode::NO_CONTENT {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.left()));
    }
    if let Some(now) = date(at.current.app().store.clock()) {
        head.headers.entry(DATE).or_insert(now);
    }
    let ends = head_only || body.left() == 0;
    if let Some(handle) = body.handle().filter(|_| ends).map(Arc::clone) {
        handle.precedence().given().await;
        let send = || Some(Stream::new(respond.send_response(Response::from_parts(head, ()), ends).ok()?, ends));
        let sent = handle.send_head(send);
        // Nothing more of it will be handed over.
        drop(body);
        return match sent {
            Some(stream) => over(&handle, &stream).await,
            None => handle.give_up(),
        };
    }
    let Ok(send) = respond.send_response(Response::from_parts(head, ()), ends) else { return };
    if ends {
        return;
    }
    let stream = Stream::new(send, false);
    match body.handle().map(Arc::clone) {
        Some(handle) => release(&handle, body, &stream).await,
        None => {
            if !timeout(PLAIN_TAKES_MAX, send_all(body, &stream)).await.unwrap_or(false) {
                stream.reset();
            }
        }
    }
}

/// Sends a release, and stays with it until its last byte has left, so that a reset by the client is noticed.
async fn release(handle: &Arc<Handle>, body: ReplyBody, stream: &Arc<Stream>) {
    handle.attach(stream);
    if !send_all(body, stream).await {
        return handle.give_up();
    }
    over(handle, stream).await;
}

/// Stays with a release until its last byte has left.
async fn over(handle: &Arc<Handle>, stream: &Stream) {
    tokio::select! {
        () = handle.over() => {}
        () = stream.is_reset() => handle.give_up(),
    }
}

/// Hands a whole body over, as the client's window allows; `false` when it ended before.
async fn send_all(mut body: ReplyBody, stream: &Stream) -> bool {
    while body.left() > 0 {
        let Some(room) = stream.room(body.left().min(FRAME_BYTES)).await else { return false };
        if let Some(handle) = body.handle() {
            handle.precedence().given().await;
        }
        if !stream.hand_over(&mut body, room) {
            return false;
        }
        if body.left() > 0 {
            // As over HTTP/1.1: what has arrived meanwhile is looked at between two frames.
            tokio::task::yield_now().await;
        }
    }
    true
}

fn date(clock: &Clock) -> Option<HeaderValue> {
    let now = jiff::Timestamp::from_millisecond(clock.now().ok()?.millis()).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    HeaderValue::from_str(&text).ok()
}
