//! Sync before the answer, seen from outside: `kill -9` keeps the page cache and can't show it, but the order of the
//! system calls does. The load runs under `strace`; no acknowledgement may begin before an `fdatasync` that carries its
//! entry has returned. Needs `strace`, so only `make test` runs it: `cargo test -p sekisho-tests --test durability -- --ignored`.

#[cfg(test)]
mod durability {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader};
    use std::ops::Range;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use sekisho::ids::{EntryId, TextId};
    use sekisho::ledger::entry::Entry;
    use sekisho::ledger::frame::{FRAME_HEADER_BYTES, SEGMENT_MAGIC};
    use sekisho::ledger::walk::walk;

    /// Acknowledgements to wait for; after them the load ends, because nobody listens any more.
    const ACKNOWLEDGEMENTS: usize = 500;

    const WITHOUT_STRACE: &str = "This test follows the system calls of a process. Install strace (Debian package \
        `strace`; scripts/install-test-tools does it) where the kernel lets a process trace its own child: in a container \
        that may need the capability SYS_PTRACE, on a host `kernel.yama.ptrace_scope` below 3";

    /// Where entries lie: segment and bytes of the frame, by id.
    type Places = HashMap<String, (String, Range<u64>)>;

    /// Runs the load under strace until so much was acknowledged; gives the trace.
    fn traced(directory: &Path, trace: &Path) -> String {
        let mut strace = Command::new("strace");
        // Following threads, with the path behind each descriptor; long enough that a whole told line is shown.
        strace.args(["-f", "-qq", "-y", "-s", "96", "-e", "trace=write,pwrite64,fdatasync", "-e", "signal=none", "-o"]);
        strace.arg(trace).arg(env!("CARGO_BIN_EXE_store_under_load")).arg(directory).stdout(Stdio::piped());
        let mut child =
            strace.spawn().unwrap_or_else(|error| panic!("strace does not start: {error}. {WITHOUT_STRACE}"));
        let told = BufReader::new(child.stdout.take().unwrap()).lines().take(ACKNOWLEDGEMENTS).count();
        let status = child.wait().unwrap();
        assert!(told == ACKNOWLEDGEMENTS && status.success(), "{told} acknowledgements, {status}. {WITHOUT_STRACE}");
        std::fs::read_to_string(trace).unwrap()
    }

    fn places(ledger: &Path) -> Places {
        let mut places = Places::new();
        walk(ledger, &mut |_| {}, |place, stored| {
            let bytes = stored.whole().unwrap();
            let id: EntryId = Entry::decode(bytes).unwrap().header.id();
            let end = place.offset + (FRAME_HEADER_BYTES + bytes.len()) as u64;
            places.insert(id.text(), (format!("{:08}.seg", place.segment), place.offset..end));
            Ok(())
        })
        .unwrap();
        places
    }

    /// What the trace shows, line by line: strace writes them in the order in which calls begin and return.
    #[derive(Default)]
    struct Order {
        /// Which bytes of each segment were written, write by write; zeros ahead of the entries are none.
        written: HashMap<String, Vec<Range<u64>>>,
        /// How many of those a sync which has returned carries.
        durable: HashMap<String, usize>,
        /// Calls that have not returned, by thread.
        under_way: HashMap<String, (String, Call)>,
        told: usize,
        early: Vec<String>,
    }

    enum Call {
        Write(Range<u64>),
        /// Carries so many writes.
        Sync(usize),
    }

    impl Order {
        fn of(trace: &str, places: &Places) -> Self {
            let mut order = Self::default();
            for line in trace.lines() {
                let (thread, call) = line.split_once(' ').unwrap();
                let call = call.trim_start();
                match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
                    Some((_, rest)) => order.returned(thread, rest),
                    None if call.starts_with("+++") => {}
                    None => {
                        order.begun(thread, call, places);
                        if !call.ends_with("<unfinished ...>") {
                            order.returned(thread, call);
                        }
                    }
                }
            }
            order
        }

        fn begun(&mut self, thread: &str, call: &str, places: &Places) {
            if let Some((_, text)) = call.split_once("write(1<").and_then(|(_, rest)| rest.split_once(", \"")) {
                let (lines, _) = text.split_once("\\n\"").expect("whole lines are told");
                lines.split("\\n").for_each(|line| self.told(line, places));
                return;
            }
            let path = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
            if let Some((_, segment)) = path.rsplit_once('/').filter(|(_, name)| name.ends_with(".seg")) {
                let call = match call.strip_prefix("pwrite64(") {
                    Some(write) => range(write).map(Call::Write),
                    None if call.starts_with("fdatasync(") => {
                        Some(Call::Sync(self.written.get(segment).map_or(0, Vec::len)))
                    }
                    None => None,
                };
                self.under_way.extend(call.map(|call| (thread.to_owned(), (segment.to_owned(), call))));
            }
        }

        fn returned(&mut self, thread: &str, call: &str) {
            let Some((segment, begun)) = self.under_way.remove(thread) else { return };
            // An error, or a call that never returned, changes nothing.
            let Some(result) = call.rsplit_once(" = ").and_then(|(_, result)| result.trim().parse::<u64>().ok()) else {
                return;
            };
            match begun {
                Call::Write(bytes) if result == bytes.end - bytes.start => {
                    self.written.entry(segment).or_default().push(bytes);
                }
                Call::Write(_) => {}
                Call::Sync(carried) => drop(self.durable.insert(segment, carried)),
            }
        }

        fn told(&mut self, line: &str, places: &Places) {
            self.told += 1;
            let id = line.split(' ').next().unwrap();
            let (segment, frame) =
                places.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is not in the ledger"));
            let carried = self.durable.get(segment).copied().unwrap_or_default();
            let writes = self.written.get(segment).into_iter().flatten().take(carried);
            if !writes.into_iter().any(|bytes| bytes.start <= frame.start && frame.end <= bytes.end) {
                self.early.push(id.to_owned());
            }
        }
    }

    /// The bytes that a `pwrite64` is to write: from `5</path>, "…"..., length, offset)`; none for zeros.
    fn range(arguments: &str) -> Option<Range<u64>> {
        let (_, text) = arguments.split_once(", \"")?;
        if text.starts_with("\\0\\0\\0\\0") {
            return None;
        }
        let numbers = text.rsplit_once('"')?.1.trim_start_matches("...").trim_start_matches(", ");
        let (length, offset) = numbers.split_once(')').map_or(numbers, |(numbers, _)| numbers).split_once(", ")?;
        let offset: u64 = offset.trim_end_matches(" <unfinished ...>").parse().ok()?;
        Some(offset..offset + length.parse::<u64>().ok()?)
    }

    #[test]
    #[ignore = "needs strace; `make test` runs it"]
    fn nothing_is_acknowledged_before_its_fdatasync_has_returned() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("data");
        let trace = traced(&directory, &root.path().join("trace"));
        let ledger = directory.join("ledger");
        let order = Order::of(&trace, &places(&ledger));
        // Otherwise this is a reading of the wrong calls, not of the ledger's.
        let mut followed = order.written["00000000.seg"].iter().scan(SEGMENT_MAGIC.len() as u64, |at, bytes| {
            let next = bytes.start == *at;
            *at = bytes.end;
            Some(next)
        });
        assert!(followed.all(|next| next), "the segment is written by other calls than are followed");
        let segment = std::fs::read(ledger.join("00000000.seg")).unwrap();
        let end = order.written["00000000.seg"].last().unwrap().end as usize;
        assert!(segment[end..].iter().all(|byte| *byte == 0), "nor is more in it than was seen to be written");
        assert!(order.told >= ACKNOWLEDGEMENTS, "{} acknowledgements in the trace", order.told);
        assert!(order.early.is_empty(), "{} of {} acknowledged too early", order.early.len(), order.told);
    }

    #[test]
    fn the_reading_of_a_trace_notices_every_wrong_order() {
        let at = |id: &str, frame: Range<u64>| (id.to_owned(), ("0.seg".to_owned(), frame));
        let places = Places::from([at("a", 16..40), at("b", 40..90)]);
        let (write, sync) = ("7 pwrite64(5</d/0.seg>, \"x\"..., 24, 16) = 24", "7 fdatasync(5</d/0.seg>) = 0");
        let more = "7 pwrite64(5</d/0.seg>, \"x, y\"..., 50, 40) = 50";
        let tell = "8 write(1<pipe:[1]>, \"a 1\\n\", 4) = 4";
        let zeros = "7 pwrite64(5</d/0.seg>, \"\\0\\0\\0\\0\"..., 1048576, 16) = 1048576";
        let (slow, done) =
            ("7 pwrite64(5</d/0.seg>, \"x\"..., 24, 16 <unfinished ...>", "7 <... pwrite64 resumed>) = 24");
        let short = "7 pwrite64(5</d/0.seg>, \"x\"..., 24, 16) = 20";
        let tell_b = "8 write(1<pipe:[1]>, \"b -\\n\", 4) = 4";
        let (begun, ended) = ("7 fdatasync(5</d/0.seg> <unfinished ...>", "7 <... fdatasync resumed>) = 0");
        let failed = "7 fdatasync(5</d/0.seg>) = -1 EIO (Input/output error)";
        let other = "7 fdatasync(6</d/vault>) = 0";
        for (early, lines) in [
            (0, vec![write, sync, tell]),
            (0, vec![write, begun, ended, tell]),
            (0, vec![write, sync, tell, more, sync, tell_b]),
            (0, vec![zeros, slow, done, sync, tell]),
            (1, vec![zeros, sync, tell]),
            (1, vec![zeros, write, tell]),
            (1, vec![short, sync, tell]),
            (1, vec![slow, sync, tell]),
            (1, vec![write, "7 write(5</d/0.seg>, \"x\", 1) = 1", tell]),
            (1, vec![write, tell]),
            (1, vec![write, tell, sync]),
            (1, vec![write, begun, tell, ended]),
            (1, vec![sync, write, tell]),
            (1, vec![write, failed, tell]),
            (1, vec![write, other, tell]),
            (1, vec![write, sync, more, tell, tell_b, sync]),
        ] {
            assert_eq!(Order::of(&lines.join("\n"), &places).early.len(), early, "{lines:#?}");
        }
    }
}
