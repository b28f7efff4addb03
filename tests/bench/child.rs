//! Processes of the bench: pinned, ended with the bench, and their processor time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Failure;

/// The core of the proxy under test.
pub const PROXY_CORE: &str = "0";
/// The core of everything else: load, upstream, nginx's no-op, driver.
pub const OTHER_CORE: &str = "1";
/// Both.
pub const BOTH_CORES: &str = "0,1";

const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A process that the bench started.
pub struct Process {
    what: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program with every thread on one core; it is told to end when the bench dies.
    pub fn start(
        what: &'static str,
        core: &str,
        log: &Path,
        program: &Path,
        arguments: &[&str],
    ) -> Result<Self, Failure> {
        let errors = std::fs::File::create(log)?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", core])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{what} could not be started: {e}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Self { what, child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Starts this program in another role.
    pub fn role(what: &'static str, core: &str, work: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let myself = std::env::current_exe()?;
        Self::start(what, core, &work.join(format!("{what}.log")), &myself, arguments)
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32, Failure> {
        self.child.id().ok_or_else(|| format!("{} has ended", self.what).into())
    }

    /// Sends one line.
    pub async fn send(&mut self, line: &str) -> Result<(), Failure> {
        let stdin = self.stdin.as_mut().ok_or("no standard input")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(stdin.flush().await?)
    }

    /// Its next line.
    pub async fn line(&mut self, within: Duration) -> Result<String, Failure> {
        match timeout(within, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(format!("{} ended; its log says why", self.what).into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(format!("{} said nothing within {} s", self.what, within.as_secs()).into()),
        }
    }

    /// The port that a role prints first.
    pub async fn port(&mut self) -> Result<u16, Failure> {
        Ok(self.line(Duration::from_secs(10)).await?.trim().parse()?)
    }

    /// Waits until it accepts connections.
    pub async fn accepts(&mut self, port: u16, within: Duration) -> Result<(), Failure> {
        let tries = within.as_millis() / 50;
        for _ in 0..tries {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended: {status}", self.what).into());
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{} accepted no connection within {} s", self.what, within.as_secs()).into())
    }

    /// Ends a role by closing its standard input, and returns the number that it says at its end.
    pub async fn count(mut self) -> Result<u64, Failure> {
        drop(self.stdin.take());
        let count = self.line(STOP_WITHIN).await?.trim().parse()?;
        self.stop().await;
        Ok(count)
    }

    /// Asks it to end and waits; kills it if it doesn't.
    pub async fn stop(mut self) {
        self.ask_to_end();
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// By a signal rather than by killing it: nginx's master then ends its worker. Once it has been waited for, there is no
    /// id any more, and nothing is sent.
    fn ask_to_end(&mut self) {
        drop(self.stdin.take());
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            // Failing means that it has ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    /// Processor time of the process and its descendants so far, user and system.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let ticks: u64 = tree(self.pid()?)?.into_iter().map(ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
    }
}

/// Time that a core was idle or waited for a disk, since the machine started.
pub fn idle(core: &str) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name)).ok_or("no such core in /proc/stat")?;
    // user, nice, system, idle, iowait.
    let ticks: u64 = line.split_whitespace().skip(4).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

fn tree(pid: u32) -> Result<Vec<u32>, Failure> {
    let (mut all, mut next) = (vec![pid], 0);
    while let Some(parent) = all.get(next).copied() {
        next += 1;
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks {
            let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    Ok(all)
}

/// Processor time of one process: `utime` and `stime` of /proc/PID/stat, fields 14 and 15; the name before them may hold anything.
pub fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum()
}

/// A port that was free just now, for programs that can't be given port 0.
pub fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Looks a program up; Debian keeps some where only root looks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fallback = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(fallback).map(|folder| folder.join(program)).find(|file| file.is_file())
}
