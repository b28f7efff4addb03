//! One connection: TLS, HTTP/1.1 or HTTP/2, and the two things the barrier needs of it: to be aborted at once, and to
//! know when nothing that was handed to it is still unsent.
//!
//! Abort means: the socket is disconnected (`connect` to no address), so the kernel discards its queue and sends a reset
//! before the call returns, whoever else holds the socket; nothing more leaves. Drained means: hyper's buffers were flushed, every HTTP/2 DATA byte handed over was seen going into TLS, and
//! the kernel reports no unsent byte. The socket's `TCP_NOTSENT_LOWAT` of one makes "writable" mean exactly that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::releases::Handle;
use crate::app::App;
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};

/// Releases whose last bytes a connection still owes, at most; beyond it the connection is aborted.
const DRAINING_MAX: usize = 1024;

/// What the rest of the gateway knows of a connection.
pub struct Connection {
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// SHA-256 of the client certificate, if one was shown.
    pub certificate: Option<[u8; 32]>,
    /// What was shown, the client's own first.
    chain: Vec<CertificateDer<'static>>,
    /// Generation of the configuration that accepted it last.
    trusted: AtomicU64,
    http2: bool,
    tcp: Weak<TcpStream>,
    aborted: AtomicBool,
    abort: Notify,
    closed: watch::Sender<bool>,
    handed: AtomicU64,
    written: AtomicU64,
    draining: Mutex<Draining>,
    draining_len: AtomicUsize,
    unfinished: AtomicUsize,
}

/// Releases whose last byte was handed over and may not have left.
#[derive(Default)]
struct Draining {
    handles: Vec<Arc<Handle>>,
    closed: bool,
}

impl Connection {
    /// One whose TLS was settled under the configuration of this generation.
    pub(super) fn new(
        peer: SocketAddr,
        session: &ServerConnection,
        generation: u64,
        tcp: Weak<TcpStream>,
    ) -> Arc<Self> {
        let chain: Vec<_> = session.peer_certificates().unwrap_or_default().to_vec();
        Arc::new(Self {
            peer,
            certificate: chain.first().map(|own| sha256(own)),
            chain: chain.into_iter().map(CertificateDer::into_owned).collect(),
            trusted: AtomicU64::new(generation),
            http2: session.alpn_protocol() == Some(b"h2"),
            tcp,
            aborted: AtomicBool::new(false),
            abort: Notify::new(),
            closed: watch::Sender::new(false),
            handed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            draining: Mutex::default(),
            draining_len: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
        })
    }

    /// Whether it speaks HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        self.http2
    }

    /// Whether the client certificate, if one was shown, would be accepted now: its authority may have revoked it, or may
    /// not be trusted any more, since the connection was made.
    #[must_use]
    pub fn is_trusted_by(&self, app: &App) -> bool {
        if self.chain.is_empty() || self.trusted.load(Ordering::Acquire) == app.generation {
            return true;
        }
        let trusted = app.store.clock().now().is_ok_and(|now| app.trust.accepts(&self.chain, now));
        if trusted {
            self.trusted.store(app.generation, Ordering::Release);
        }
        trusted
    }

    /// Aborts the connection. When it returns `true`, nothing more can leave; else [`Connection::closed`] tells when.
    pub fn abort(&self) -> bool {
        if sabotage::off(Check::Cut) {
            return true;
        }
        self.aborted.store(true, Ordering::Release);
        let silent = self.tcp.upgrade().is_none_or(|tcp| disconnect(&tcp));
        self.abort.notify_one();
        silent
    }

    pub(super) async fn abort_asked(&self) {
        self.abort.notified().await;
    }

    /// Returns once the socket is closed.
    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in `self`: waiting can't fail.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The connection's task is over: what hyper still held will never leave. What the kernel held was discarded when the
    /// socket was dropped, unless every release on it was finished.
    pub(super) fn is_closed(&self) {
        self.closed.send_replace(true);
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.closed = true;
        let handles = std::mem::take(&mut draining.handles);
        drop(draining);
        handles.iter().for_each(|handle| handle.connection_lost());
    }

    /// A release begins on this connection.
    pub(super) fn begin(&self) {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
    }

    /// So many of them owe nothing any more that hyper could hold.
    pub(super) fn finish(&self, releases: usize) {
        self.unfinished.fetch_sub(releases, Ordering::AcqRel);
    }

    /// Body bytes were handed to hyper.
    pub(super) fn hand_over(&self, bytes: usize) {
        self.handed.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// A release's last byte was handed to hyper; it is over once everything has left.
    pub(super) fn drain(&self, handle: Arc<Handle>) {
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        if draining.closed {
            drop(draining);
            return handle.connection_lost();
        }
        draining.handles.push(handle);
        let waiting = draining.handles.len();
        self.draining_len.store(waiting, Ordering::Release);
        drop(draining);
        if waiting > DRAINING_MAX {
            self.abort();
        }
    }

    /// hyper's buffers are empty. With HTTP/2, streams may still hold what their windows don't allow: compare the sums.
    fn flushed(&self) {
        if self.draining_len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a body adds to the sum before it comes into the list, so whatever is in the list is in the sum.
        if self.http2 && self.handed.load(Ordering::Acquire) != self.written.load(Ordering::Acquire) {
            return;
        }
        let handles = std::mem::take(&mut draining.handles);
        self.draining_len.store(0, Ordering::Release);
        drop(draining);
        self.finish(handles.len());
        let Some(tcp) = self.tcp.upgrade() else { return handles.iter().for_each(|h| h.connection_lost()) };
        if kernel_queue_empty(&tcp).is_ok() {
            return handles.iter().for_each(|h| h.left());
        }
        // Holding the socket keeps it open until its queue is empty, should the connection end meanwhile; an abort
        // reaches it all the same.
        tokio::spawn(async move {
            let empty = tcp.async_io(Interest::WRITABLE, || kernel_queue_empty(&tcp)).await;
            drop(tcp);
            handles.iter().for_each(|h| if empty.is_ok() { h.left() } else { h.connection_lost() });
        });
    }
}

/// Resets the connection and discards what the kernel holds of it, at once.
fn disconnect(tcp: &TcpStream) -> bool {
    match rustix::net::connect_unspec(tcp) {
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => true,
        Err(error) => {
            tracing::error!(%error, "a socket could not be disconnected; it is closed instead");
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
            false
        }
    }
}

/// `Ok` when the kernel holds no unsent byte of this socket.
fn kernel_queue_empty(tcp: &TcpStream) -> io::Result<()> {
    let mut fds = [PollFd::new(tcp, PollFlags::OUT)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [fd] = &fds;
    if fd.revents().contains(PollFlags::ERR) || fd.revents().contains(PollFlags::HUP) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if fd.revents().contains(PollFlags::OUT) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// The socket under TLS. It belongs to the connection's task alone; the [`Connection`] only looks at it.
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    connection: std::sync::OnceLock<Arc<Connection>>,
}

impl Socket {
    /// Takes a fresh socket: small unsent buffers, no Nagle.
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_tcp_notsent_lowat(1)?;
        Ok(Self { tcp: Arc::new(tcp), connection: std::sync::OnceLock::new() })
    }

    pub(super) fn weak(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.tcp)
    }

    pub(super) fn belongs_to(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::clone(connection));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An unfinished release must not go on leaving from the kernel's queue when nobody can cut it any more.
        let owes = |c: &Arc<Connection>| c.unfinished.load(Ordering::Acquire) > 0;
        if self.connection.get().is_some_and(owes) && !sabotage::off(Check::Cut) {
            disconnect(&self.tcp);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let mut last = None;
            let read = self.tcp.try_io(Interest::READABLE, || {
                let unfilled = buf.initialize_unfilled();
                let read = rustix::io::read(&*self.tcp, &mut *unfilled)?;
                if read == 0 || read == unfilled.len() {
                    return Ok(read);
                }
                // Less than there was room for: the queue is empty. Saying so saves the call that would find it empty.
                last = Some(read);
                Err(io::ErrorKind::WouldBlock.into())
            });
            match (last, read) {
                (Some(read), _) | (None, Ok(read)) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write))
    }
}

/// What hyper writes to: counts HTTP/2 DATA bytes and notices flushes, above TLS.
pub(super) struct Watched<T> {
    inner: T,
    connection: Arc<Connection>,
    frames: FrameCounter,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, connection: Arc<Connection>) -> Self {
        Self { inner, connection, frames: FrameCounter::default() }
    }

    fn count(&mut self, written: &[u8]) {
        if self.connection.http2 {
            let data = self.frames.feed(written);
            self.connection.written.fetch_add(data, Ordering::AcqRel);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.count(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let part = left.min(buf.len());
            self.count(buf.get(..part).unwrap_or(buf));
            left -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

const FRAME_HEADER: usize = 9;
const FRAME_DATA: u8 = 0;

/// Follows the HTTP/2 frames (RFC 9113 §4.1) that go out and counts the payload bytes of DATA.
#[derive(Default)]
struct FrameCounter {
    header: [u8; FRAME_HEADER],
    have: usize,
    payload: usize,
    data: bool,
}

impl FrameCounter {
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut counted = 0;
        while let Some(first) = bytes.first() {
            if self.payload > 0 {
                let part = self.payload.min(bytes.len());
                self.payload -= part;
                counted += if self.data { part as u64 } else { 0 };
                bytes = bytes.get(part..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            if self.have == FRAME_HEADER {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.data = kind == FRAME_DATA;
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_bytes_are_counted_however_the_frames_are_cut() {
        // SETTINGS of 6 bytes, DATA of 5 bytes, DATA of 0 bytes, HEADERS of 3 bytes, DATA of 300 bytes.
        let mut wire = Vec::new();
        for (kind, length) in [(4u8, 6usize), (0, 5), (0, 0), (1, 3), (0, 300)] {
            wire.extend_from_slice(&[0, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1]);
            wire.extend(std::iter::repeat_n(0xaa, length));
        }
        for step in [1, 2, 7, 9, 10, 1000] {
            let mut counter = FrameCounter::default();
            let counted: u64 = wire.chunks(step).map(|part| counter.feed(part)).sum();
            assert_eq!(counted, 305, "step {step}");
        }
    }
}
