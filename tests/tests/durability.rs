//! Sync before the answer, seen from outside: `kill -9` keeps the page cache and can't show it, but the order of the
//! system calls does. The load runs under `strace`; no acknowledgement may begin before an `fdatasync` that carries its
//! entry has returned. Needs `strace`, so only `make test` runs it: `cargo test -p sekisho-tests --test durability -- --ignored`.

#[cfg(test)]
mod durability {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use sekisho::ids::{EntryId, TextId};
    use sekisho::ledger::entry::Entry;
    use sekisho::ledger::frame::FRAME_HEADER_BYTES;
    use sekisho::ledger::walk::walk;

    /// Acknowledgements to wait for; after them the load ends, because nobody listens any more.
    const ACKNOWLEDGEMENTS: usize = 500;

    const WITHOUT_STRACE: &str = "This test follows the system calls of a process. Install strace (Debian package \
        `strace`; scripts/install-test-tools does it) where the kernel lets a process trace its own child: in a container \
        that may need the capability SYS_PTRACE, on a host `kernel.yama.ptrace_scope` below 3";

    /// Where an entry lies: its segment, and the byte behind its frame.
    type Ends = HashMap<String, (String, u64)>;

    /// Runs the load under strace until so much was acknowledged; gives the trace.
    fn traced(directory: &Path, trace: &Path) -> String {
        let mut strace = Command::new("strace");
        // Following threads, with the path behind each descriptor; long enough that a whole told line is shown.
        strace.args(["-f", "-qq", "-y", "-s", "96", "-e", "trace=write,fdatasync", "-e", "signal=none", "-o"]);
        strace.arg(trace).arg(env!("CARGO_BIN_EXE_store_under_load")).arg(directory).stdout(Stdio::piped());
        let mut child =
            strace.spawn().unwrap_or_else(|error| panic!("strace does not start: {error}. {WITHOUT_STRACE}"));
        let told = BufReader::new(child.stdout.take().unwrap()).lines().take(ACKNOWLEDGEMENTS).count();
        let status = child.wait().unwrap();
        assert!(told == ACKNOWLEDGEMENTS && status.success(), "{told} acknowledgements, {status}. {WITHOUT_STRACE}");
        std::fs::read_to_string(trace).unwrap()
    }

    fn ends(ledger: &Path) -> Ends {
        let mut ends = Ends::new();
        walk(ledger, &mut |_| {}, |place, bytes| {
            let id: EntryId = Entry::decode(bytes).unwrap().header.id();
            let end = place.offset + (FRAME_HEADER_BYTES + bytes.len()) as u64;
            ends.insert(id.text(), (format!("{:08}.seg", place.segment), end));
            Ok(())
        })
        .unwrap();
        ends
    }

    /// What the trace shows, line by line: strace writes them in the order in which calls begin and return.
    #[derive(Default)]
    struct Order {
        /// Bytes written to each segment.
        written: HashMap<String, u64>,
        /// Bytes of each segment that a sync which has returned carries.
        durable: HashMap<String, u64>,
        /// Calls that have not returned, by thread.
        under_way: HashMap<String, (String, u64)>,
        told: usize,
        early: Vec<String>,
    }

    impl Order {
        fn of(trace: &str, ends: &Ends) -> Self {
            let mut order = Self::default();
            for line in trace.lines() {
                let (thread, call) = line.split_once(' ').unwrap();
                let call = call.trim_start();
                match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
                    Some((_, rest)) => order.returned(thread, rest),
                    None if call.starts_with("+++") => {}
                    None => {
                        order.begun(thread, call, ends);
                        if !call.ends_with("<unfinished ...>") {
                            order.returned(thread, call);
                        }
                    }
                }
            }
            order
        }

        fn begun(&mut self, thread: &str, call: &str, ends: &Ends) {
            if let Some((_, text)) = call.split_once("write(1<").and_then(|(_, rest)| rest.split_once(", \"")) {
                let (lines, _) = text.split_once("\\n\"").expect("whole lines are told");
                lines.split("\\n").for_each(|line| self.told(line, ends));
                return;
            }
            let path = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
            if let Some((_, segment)) = path.rsplit_once('/').filter(|(_, name)| name.ends_with(".seg")) {
                let written = self.written.get(segment).copied().unwrap_or_default();
                let syncing = if call.starts_with("fdatasync(") { written } else { u64::MAX };
                self.under_way.insert(thread.to_owned(), (segment.to_owned(), syncing));
            }
        }

        fn returned(&mut self, thread: &str, call: &str) {
            let Some((segment, syncing)) = self.under_way.remove(thread) else { return };
            // An error, or a call that never returned, changes nothing.
            let Some(result) = call.rsplit_once(" = ").and_then(|(_, result)| result.trim().parse::<u64>().ok()) else {
                return;
            };
            match syncing {
                u64::MAX => *self.written.entry(segment).or_default() += result,
                carried => drop(self.durable.insert(segment, carried)),
            }
        }

        fn told(&mut self, line: &str, ends: &Ends) {
            self.told += 1;
            let id = line.split(' ').next().unwrap();
            let (segment, end) =
                ends.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is not in the ledger"));
            if self.durable.get(segment).is_none_or(|durable| durable < end) {
                self.early.push(id.to_owned());
            }
        }
    }

    #[test]
    #[ignore = "needs strace; `make test` runs it"]
    fn nothing_is_acknowledged_before_its_fdatasync_has_returned() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("data");
        let trace = traced(&directory, &root.path().join("trace"));
        let ledger = directory.join("ledger");
        let order = Order::of(&trace, &ends(&ledger));
        // Otherwise this is a reading of the wrong calls, not of the ledger's.
        let length = ledger.join("00000000.seg").metadata().unwrap().len();
        assert_eq!(order.written["00000000.seg"], length, "the segment is written by other calls than are followed");
        assert!(order.told >= ACKNOWLEDGEMENTS, "{} acknowledgements in the trace", order.told);
        assert!(order.early.is_empty(), "{} of {} acknowledged too early", order.early.len(), order.told);
    }

    #[test]
    fn the_reading_of_a_trace_notices_every_wrong_order() {
        let ends = Ends::from([("a".to_owned(), ("0.seg".to_owned(), 40)), ("b".to_owned(), ("0.seg".to_owned(), 90))]);
        let (write, sync) = ("7 write(5</d/0.seg>, \"x\"..., 40) = 40", "7 fdatasync(5</d/0.seg>) = 0");
        let (more, tell) = ("7 write(5</d/0.seg>, \"x\"..., 50) = 50", "8 write(1<pipe:[1]>, \"a 1\\n\", 4) = 4");
        let tell_b = "8 write(1<pipe:[1]>, \"b -\\n\", 4) = 4";
        let (begun, ended) = ("7 fdatasync(5</d/0.seg> <unfinished ...>", "7 <... fdatasync resumed>) = 0");
        let failed = "7 fdatasync(5</d/0.seg>) = -1 EIO (Input/output error)";
        let other = "7 fdatasync(6</d/vault>) = 0";
        for (early, lines) in [
            (0, vec![write, sync, tell]),
            (0, vec![write, begun, ended, tell]),
            (0, vec![write, sync, tell, more, sync, tell_b]),
            (1, vec![write, tell]),
            (1, vec![write, tell, sync]),
            (1, vec![write, begun, tell, ended]),
            (1, vec![sync, write, tell]),
            (1, vec![write, failed, tell]),
            (1, vec![write, other, tell]),
            (1, vec![write, sync, more, tell, tell_b, sync]),
        ] {
            assert_eq!(Order::of(&lines.join("\n"), &ends).early.len(), early, "{lines:#?}");
        }
    }
}
