//! File systems of their own, in a file: to cut their power, fill them up, or make them read-only. Needs root and loop
//! devices; where these are not there, a campaign says that it did not run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in a file, mounted.
pub struct Disk {
    kind: &'static str,
    image: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    /// Whether such disks can be had here; says so where not.
    pub fn can_be_had(campaign: &str) -> bool {
        let missing = ["mkfs.ext4", "mkfs.xfs", "xfs_io", "mount"].into_iter().find(|tool| !there(tool));
        let why = if !rustix::process::getuid().is_root() {
            Some("not root".to_owned())
        } else if let Some(tool) = missing {
            Some(format!("no {tool} (scripts/install-test-tools installs it on Debian)"))
        } else {
            Self::tried("ext4").err()
        };
        if let Some(why) = &why {
            println!("NOT RUN: {campaign} needs root, xfsprogs, e2fsprogs and loop devices that can be mounted: {why}");
        }
        why.is_none()
    }

    /// A new one: `ext4` or `xfs`.
    pub fn new(kind: &'static str) -> Self {
        Self::tried(kind).unwrap_or_else(|why| panic!("{kind}: {why}"))
    }

    fn tried(kind: &'static str) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, at) = (directory.path().join("image"), directory.path().join("disk"));
        // The least that mkfs.xfs takes; a file with holes.
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(320 << 20));
        file.and_then(|()| std::fs::create_dir(&at)).map_err(|error| error.to_string())?;
        // No blocks kept for root, as whom this runs: full is full.
        let quiet: &[&str] = if kind == "ext4" { &["-q", "-F", "-m", "0"] } else { &["-q", "-f"] };
        run(Command::new(format!("mkfs.{kind}")).args(quiet).arg(&image))?;
        let disk = Self { kind, image, at, _directory: directory };
        disk.mounted(&[])?;
        Ok(disk)
    }

    fn mounted(&self, options: &[&str]) -> Result<(), String> {
        run(Command::new("mount").args(["-t", self.kind, "-o", "loop"]).args(options).arg(&self.image).arg(&self.at))
    }

    /// Everything that was not flushed is gone; all that is asked of it from now on fails.
    pub fn cut_power(&self) {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.at)).unwrap();
    }

    /// Turns read-only under whoever writes to it, as ext4 does after an error.
    pub fn turn_read_only(&self) {
        assert_eq!(self.kind, "ext4");
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.at)).unwrap();
    }

    /// Taken out and put in again. Nobody may use it meanwhile.
    pub fn plug_in_again(&self) {
        self.plug_in_with(&[]);
    }

    /// The same, for reading only. What a journal holds is played back first, which is writing.
    pub fn plug_in_read_only(&self) {
        self.plug_in_with(&[]);
        self.plug_in_with(&["-o", "ro"]);
    }

    fn plug_in_with(&self, options: &[&str]) {
        run(Command::new("umount").arg(&self.at)).unwrap();
        self.mounted(options).unwrap();
    }

    /// Leaves so many bytes free; [`Disk::make_room`] ends it.
    pub fn fill_but(&self, bytes: u64) {
        let filler = std::fs::File::create(self.filler()).unwrap();
        let free = rustix::fs::statvfs(&self.at).unwrap();
        let mut take = (free.f_bavail * free.f_frsize).saturating_sub(bytes).max(1);
        // Whoever serves from it meanwhile takes of it too.
        while rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, take).is_err() {
            take = take.checked_sub(64 << 10).expect("the disk was full before");
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process of a test that has failed may still be on it.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.env("PATH", search()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}

/// Debian keeps these where only root looks.
fn search() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Whether a program is installed.
pub fn there(tool: &str) -> bool {
    search().split(':').any(|folder| Path::new(folder).join(tool).is_file())
}
