//! The socket under TLS: small unsent buffers, and what only the kernel can do or knows.
//!
//! [`disconnect`] makes the kernel throw its queue away (`connect` to no address) and send a reset before the call
//! returns, whoever else holds the socket. [`kernel_queue_empty`] tells whether it holds an unsent byte: with
//! `TCP_NOTSENT_LOWAT` of one, "writable" means exactly that it does not.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Connection;
use crate::sabotage::{self, Check};

/// Resets the connection and discards what the kernel holds of it, at once.
pub(super) fn disconnect(tcp: &TcpStream) -> bool {
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
pub(super) fn kernel_queue_empty(tcp: &TcpStream) -> io::Result<()> {
    let mut fds = [PollFd::new(tcp, PollFlags::OUT)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [fd] = &fds;
    if fd.revents().contains(PollFlags::ERR) || fd.revents().contains(PollFlags::HUP) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if fd.revents().contains(PollFlags::OUT) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// The socket under TLS. It belongs to the connection's task alone; the [`Connection`] only looks at it.
pub(crate) struct Socket {
    tcp: Arc<TcpStream>,
    connection: std::sync::OnceLock<Arc<Connection>>,
}

impl Socket {
    /// Takes a fresh socket: small unsent buffers, no Nagle.
    pub(crate) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_tcp_notsent_lowat(1)?;
        Ok(Self { tcp: Arc::new(tcp), connection: std::sync::OnceLock::new() })
    }

    pub(crate) fn weak(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.tcp)
    }

    pub(crate) fn belongs_to(&self, connection: &Arc<Connection>) {
        let _ = self.connection.set(Arc::clone(connection));
    }

    /// Ready when more may be written. While the kernel holds the last bytes of a release nothing is put behind them: only
    /// an empty queue tells that they have left.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            let Some(connection) = self.connection.get().filter(|c| c.kernel_owes()) else {
                return Poll::Ready(Ok(()));
            };
            match self.tcp.try_io(Interest::WRITABLE, || connection.ask_kernel(&self.tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An unfinished release must not go on leaving from the kernel's queue when nobody can cut it any more.
        let owes = |c: &Arc<Connection>| c.is_unfinished();
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
            ready!(self.poll_room(cx))?;
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
            ready!(self.poll_room(cx))?;
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
