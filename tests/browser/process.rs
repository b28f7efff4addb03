//! Programs that a test starts, and that end with it: they and all that they have started, each by its own id.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// Longer than anything takes here to start; what takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A program may start others while it is being stopped, but not for ever.
const ROUNDS_MAX: usize = 20;
/// A killed process takes a moment to be gone.
const GONE_WITHIN: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A running program, and all that it has started.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts it, and waits until `ready` finds what it looks for in a line of its output.
    pub async fn start<T>(mut command: Command, package: &str, ready: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let name = command.get_program().to_string_lossy().into_owned();
        let (theirs, ours) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        command.stdin(Stdio::null()).stderr(theirs.try_clone().unwrap()).stdout(theirs);
        let child = command.spawn().unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => {
                panic!("{name} is missing. Install it ({package}; scripts/install-test-tools browser)")
            }
            _ => panic!("{name}: {error}"),
        });
        // The write end lives in `command` too: were it kept, the output would never end.
        drop(command);
        let program = Self { child };
        let ours = pipe::Receiver::from_owned_fd(ours.into()).unwrap();
        let mut lines = BufReader::new(ours).lines();
        let mut said = String::new();
        let found = timeout(READY_WITHIN, until(&mut lines, &mut said, ready)).await;
        let Ok(Some(found)) = found else { panic!("{name} did not become ready; it said:\n{said}") };
        // What it says later is read, so that it never waits for a reader, and dropped.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (program, found)
    }

    /// The program's own id and those of all that it has started.
    pub fn ids(&self) -> Vec<i32> {
        family(i32::try_from(self.child.id()).unwrap())
    }
}

async fn until<T>(
    lines: &mut Lines<BufReader<pipe::Receiver>>,
    said: &mut String,
    ready: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(found) = ready(&line) {
            return Some(found);
        }
        said.push_str(&line);
        said.push('\n');
    }
    None
}

impl Drop for Program {
    fn drop(&mut self) {
        // Stopped first, so that nobody starts another while they are counted; killed when no more turn up.
        let mut stopped: Vec<(i32, OwnedFd)> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let mut more = self.ids();
            more.retain(|id| !stopped.iter().any(|(stopped, _)| stopped == id));
            // One that is gone by now has none.
            let more = more.into_iter().filter_map(|id| Some((id, held(id)?))).collect::<Vec<_>>();
            if more.is_empty() {
                break;
            }
            signal(&more, Signal::STOP);
            stopped.extend(more);
        }
        signal(&stopped, Signal::KILL);
        for (_, process) in &stopped {
            let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&GONE_WITHIN));
        }
        let _ = self.child.wait();
    }
}

/// A process by a handle that never comes to mean another one.
fn held(id: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
}

fn signal(processes: &[(i32, OwnedFd)], signal: Signal) {
    for (_, process) in processes {
        let _ = pidfd_send_signal(process, signal);
    }
}

/// A process and its descendants, as `/proc` has them.
fn family(root: i32) -> Vec<i32> {
    let pairs: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|id| Some((id, parent(id)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        found.extend(pairs.iter().filter(|(_, parent)| *parent == of).map(|(id, _)| *id));
        next += 1;
    }
    found
}

/// Whose child a process is; none when there is no such process, or nothing is left of it but its entry.
pub fn parent(id: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // `id (name) state parent …`, where a name may contain anything.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    (words.next()? != "Z").then_some(())?;
    words.next()?.parse().ok()
}
