//! Answers that are made while they are sent: a backup.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use super::{Acting, AdminError};
use crate::app::{App, master_key};
use crate::backup;

/// Pieces that wait to be sent, at most; the writer waits beyond it.
const PIECES_MAX: usize = 16;
const PIECE_BYTES: usize = 64 << 10;

/// What is written at the other end, as a body. It breaks off when the writer failed.
pub(super) struct Piped(mpsc::Receiver<io::Result<Bytes>>);

impl Piped {
    /// What comes out of this channel.
    pub(super) const fn of(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self(receiver)
    }
}

impl Body for Piped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.0.poll_recv(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The writing end.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES);
        let piece = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or(bytes));
        // Called on a thread that may wait; a reader who is gone ends the writing.
        self.0.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `POST /backup`: a sealed backup of the store, recorded before its first byte.
pub(super) async fn backup(app: &Arc<App>, acting: &Acting) -> Result<Piped, AdminError> {
    let master = master_key(&app.config.server.master_key)?;
    acting.records_look(app, "backup", None).await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let (store, failing) = (app.store.clone(), sender.clone());
    tokio::spawn(async move {
        if let Err(error) = backup::write(&store, master, Pipe(sender)).await {
            tracing::error!(%error, "a backup was not finished");
            let _ = failing.send(Err(io::Error::other("not finished"))).await;
        }
    });
    Ok(Piped(receiver))
}
