//! One connection, and the two things the barrier needs of it: to be aborted at once, and to know when nothing of a
//! release that was handed to it is still unsent.
//!
//! Abort means: the socket is disconnected, so that nothing more of it leaves (`socket.rs`). Drained means, in this order:
//! the protocol holds nothing of the release (HTTP/1.1: its buffers were flushed; HTTP/2: every DATA byte of its stream
//! was seen going into TLS, or the stream was reset and its queue thrown away); then everything was flushed into the
//! kernel; then the kernel's queue was empty.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::frames::Frames;
use super::http2::Stream;
use super::releases::Handle;
use super::socket::{disconnect, kernel_queue_empty};
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
    abort: Notify,
    nudge: Notify,
    closed: watch::Sender<bool>,
    /// HTTP/2 streams that releases go over.
    streams: Mutex<HashMap<u32, Arc<Stream>>>,
    streams_len: AtomicUsize,
    owed: Mutex<Owed>,
    draining_len: AtomicUsize,
    in_kernel_len: AtomicUsize,
    unfinished: AtomicUsize,
}

/// Releases of which nothing more will be handed over, and which may not have left.
#[derive(Default)]
struct Owed {
    /// By the protocol or TLS.
    draining: Vec<Arc<Handle>>,
    /// By the kernel.
    in_kernel: Vec<Arc<Handle>>,
    /// A task waits for the kernel.
    awaited: bool,
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
        let chain = chain.into_iter().map(CertificateDer::into_owned).collect();
        Self::made(peer, chain, generation, session.alpn_protocol() == Some(b"h2"), tcp)
    }

    /// One that we opened: HTTP/1.1, and nobody showed a client certificate.
    pub(crate) fn outgoing(peer: SocketAddr, tcp: Weak<TcpStream>) -> Arc<Self> {
        Self::made(peer, Vec::new(), 0, false, tcp)
    }

    fn made(
        peer: SocketAddr,
        chain: Vec<CertificateDer<'static>>,
        generation: u64,
        http2: bool,
        tcp: Weak<TcpStream>,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            certificate: chain.first().map(|own| sha256(own)),
            chain,
            trusted: AtomicU64::new(generation),
            http2,
            tcp,
            abort: Notify::new(),
            nudge: Notify::new(),
            closed: watch::Sender::new(false),
            streams: Mutex::default(),
            streams_len: AtomicUsize::new(0),
            owed: Mutex::default(),
            draining_len: AtomicUsize::new(0),
            in_kernel_len: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
        })
    }

    /// Whether it speaks HTTP/2, so that a release can be cut without the others.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
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
        let silent = self.tcp.upgrade().is_none_or(|tcp| disconnect(&tcp));
        self.abort.notify_one();
        silent
    }

    pub(crate) async fn abort_asked(&self) {
        self.abort.notified().await;
    }

    /// Has the connection's task flush, though it may have nothing to write.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Returns once the socket is closed.
    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in `self`: waiting can't fail.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The connection's task is over: what the protocol still held will never leave. What the kernel held was discarded when
    /// the socket was dropped, unless every release on it was finished.
    pub(crate) fn is_closed(&self) {
        self.closed.send_replace(true);
        let mut owed = self.owed();
        owed.closed = true;
        let handles = std::mem::take(&mut owed.draining);
        drop(owed);
        handles.iter().for_each(|handle| handle.connection_lost());
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A release goes over this stream.
    pub(super) fn attach(&self, stream: &Arc<Stream>) {
        let mut streams = self.streams();
        streams.insert(stream.id(), Arc::clone(stream));
        self.streams_len.store(streams.len(), Ordering::Release);
    }

    /// So many DATA bytes of a stream were written into TLS.
    fn wrote(&self, stream: u32, bytes: usize) {
        if let Some(stream) = self.streams().get(&stream) {
            stream.wrote(bytes);
        }
    }

    /// A release begins on this connection.
    pub(super) fn begin(&self) {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
    }

    /// So many of them owe nothing any more that the protocol could hold.
    pub(super) fn finish(&self, releases: usize) {
        self.unfinished.fetch_sub(releases, Ordering::AcqRel);
    }

    /// Whether a release has bytes that are not in the kernel yet.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) > 0
    }

    /// Nothing more of a release will be handed over; it is over once everything has left. Called once for each.
    pub(super) fn drain(&self, handle: Arc<Handle>) {
        let mut owed = self.owed();
        if owed.closed {
            drop(owed);
            return handle.connection_lost();
        }
        owed.draining.push(handle);
        let waiting = owed.draining.len();
        self.draining_len.store(waiting, Ordering::Release);
        drop(owed);
        if waiting > DRAINING_MAX {
            self.abort();
        }
    }

    /// Everything that the protocol had let go of is in the kernel now. Called by the task that writes, so that nothing was
    /// written since.
    fn flushed(self: &Arc<Self>) {
        if self.draining_len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut owed = self.owed();
        let all = std::mem::take(&mut owed.draining);
        let (waiting, written): (Vec<_>, Vec<_>) = all.into_iter().partition(|handle| handle.is_queued());
        self.draining_len.store(waiting.len(), Ordering::Release);
        owed.draining = waiting;
        if written.is_empty() {
            return;
        }
        if self.http2 {
            let mut streams = self.streams();
            written.iter().filter_map(|handle| handle.stream_id()).for_each(|id| drop(streams.remove(&id)));
            self.streams_len.store(streams.len(), Ordering::Release);
        }
        self.finish(written.len());
        owed.in_kernel.extend(written);
        self.in_kernel_len.store(owed.in_kernel.len(), Ordering::Release);
        let awaited = owed.awaited;
        drop(owed);
        let Some(tcp) = self.tcp.upgrade() else { return self.kernel_lost() };
        if self.ask_kernel(&tcp).is_err() && !awaited {
            self.owed().awaited = true;
            tokio::spawn(Arc::clone(self).await_kernel(tcp));
        }
    }

    /// Waits until the kernel's queue is empty. Holding the socket keeps it open until then, should the connection end
    /// meanwhile; an abort reaches it all the same.
    async fn await_kernel(self: Arc<Self>, tcp: Arc<TcpStream>) {
        loop {
            if tcp.async_io(Interest::WRITABLE, || self.ask_kernel(&tcp)).await.is_err() {
                self.kernel_lost();
            }
            let mut owed = self.owed();
            if owed.in_kernel.is_empty() {
                owed.awaited = false;
                return;
            }
        }
    }

    /// Whether the client has taken everything that the kernel was given.
    pub(super) fn is_taken(&self) -> bool {
        self.tcp.upgrade().is_some_and(|tcp| kernel_queue_empty(&tcp).is_ok())
    }

    /// Whether releases that were not cut go over it.
    pub(super) fn has_others(&self) -> bool {
        self.streams().values().any(|stream| !stream.is_gone())
    }

    /// Whether the kernel may hold a release's last bytes.
    pub(super) fn kernel_owes(&self) -> bool {
        self.in_kernel_len.load(Ordering::Acquire) > 0
    }

    /// Ends what the kernel owed if its queue is empty. Looked at under the lock: what came into the list later may have
    /// come into the queue later as well.
    pub(super) fn ask_kernel(&self, tcp: &TcpStream) -> io::Result<()> {
        let mut owed = self.owed();
        if owed.in_kernel.is_empty() {
            return Ok(());
        }
        kernel_queue_empty(tcp)?;
        let left = self.out_of_kernel(&mut owed);
        drop(owed);
        left.iter().for_each(|handle| handle.left());
        Ok(())
    }

    fn kernel_lost(&self) {
        let lost = self.out_of_kernel(&mut self.owed());
        lost.iter().for_each(|handle| handle.connection_lost());
    }

    fn out_of_kernel(&self, owed: &mut Owed) -> Vec<Arc<Handle>> {
        self.in_kernel_len.store(0, Ordering::Release);
        std::mem::take(&mut owed.in_kernel)
    }
}

/// What the protocol writes to: counts the DATA bytes of HTTP/2 streams and notices flushes, above TLS.
pub(crate) struct Watched<T> {
    inner: T,
    connection: Arc<Connection>,
    frames: Frames,
}

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, connection: Arc<Connection>) -> Self {
        Self { inner, connection, frames: Frames::default() }
    }

    fn count(&mut self, written: &[u8]) {
        let connection = &self.connection;
        if connection.http2 {
            self.frames.feed(written, |stream, bytes| {
                if connection.streams_len.load(Ordering::Acquire) > 0 {
                    connection.wrote(stream, bytes);
                }
            });
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
