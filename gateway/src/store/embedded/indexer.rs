//! The thread that writes the index behind the writer, so that no commit waits for sled's pages.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::disk::stop_the_process;
use super::index::{Index, Mark};

/// Records that wait before the thread is asked to write them.
const WRITE_FROM: usize = 4_096;
/// Records that wait before the writer waits for the thread: what may be in memory at most, about.
const WAIT_FROM: usize = 16 * WRITE_FROM;

enum Task {
    Write,
    Mark(Mark, oneshot::Sender<()>),
}

/// The writer's end of the thread.
pub(super) struct Indexer {
    tasks: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    pub(super) fn start(index: Arc<Index>, boot: String) -> std::io::Result<Self> {
        let (tasks, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || run(&index, &boot, &asked))?;
        Ok(Self { tasks: Some(tasks), thread: Some(thread) })
    }

    /// So many records wait: has them written when they are many, and waits for that when they are too many.
    pub(super) fn waiting(&self, records: usize) {
        let Some(tasks) = self.tasks.as_ref().filter(|_| records >= WRITE_FROM) else { return };
        if let Err(TrySendError::Full(task)) = tasks.try_send(Task::Write)
            && records >= WAIT_FROM
        {
            // It takes one task while another is under way: after two, what waited at the call is written.
            let _ = tasks.send(task);
        }
    }

    /// Has the index flushed and marked.
    pub(super) fn mark(&self, mark: Mark, reply: oneshot::Sender<()>) {
        if let Some(tasks) = &self.tasks {
            let _ = tasks.send(Task::Mark(mark, reply));
        }
    }

    /// Ends the thread, its tasks done.
    pub(super) fn finish(&mut self) {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(index: &Index, boot: &str, asked: &Receiver<Task>) {
    for task in asked {
        match task {
            Task::Write => {
                if let Err(error) = index.write_behind() {
                    // Durable, but a reader would not find it. The start rebuilds the index.
                    stop_the_process(&error);
                }
            }
            Task::Mark(mark, reply) => {
                if let Err(error) = index.mark(mark, boot, false) {
                    tracing::warn!(%error, "the index could not be flushed; it will be rebuilt at the next start");
                }
                let _ = reply.send(());
            }
        }
    }
}
