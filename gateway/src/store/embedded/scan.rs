//! Reading the whole ledger at a start: hands out what counts, and tells a torn tail, which goes, from damage, which
//! refuses. It changes nothing; `log` does, once everything was read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::log::{Location, LogError, io, segment_path};
use crate::ledger::frame::{self, FRAME_HEADER_BYTES, Frame, SEGMENT_MAGIC, Stored};

/// What was found.
pub(super) struct Scanned {
    /// The newest segment.
    pub(super) segment: u32,
    /// Where in it the last whole request ends.
    pub(super) end: u64,
    /// Whether more than zeros follows.
    pub(super) torn: bool,
    /// Entries.
    pub(super) count: u64,
    /// What no high water proves durable: offset in the newest segment, and the bytes.
    pub(super) unproven: Option<(u64, Vec<u8>)>,
}

struct Scan<V> {
    visit: V,
    known: u64,
    acknowledged: u64,
    count: u64,
    end: usize,
    unproven_at: Option<usize>,
}

/// Hands every entry that counts to `visit`, oldest first. `known` is what the high-water file says.
pub(super) fn all(dir: &Path, known: u64, visit: impl FnMut(Location, u64, Stored<'_>)) -> Result<Scanned, LogError> {
    let segments = segments(dir)?;
    let mut scan = Scan { visit, known, acknowledged: known, count: 0, end: 0, unproven_at: None };
    let (mut unproven, mut torn) = (None, false);
    for segment in 0..segments {
        let last = segment + 1 == segments;
        let bytes = read(dir, segment, last)?;
        scan.segment(segment, &bytes, last)?;
        if last {
            torn = bytes.get(scan.end..).unwrap_or_default().iter().any(|byte| *byte != 0);
            let tail = scan.unproven_at.and_then(|at| Some((at as u64, bytes.get(at..scan.end)?.to_vec())));
            unproven = tail.filter(|(_, bytes)| !bytes.is_empty());
        }
    }
    if scan.count < scan.acknowledged {
        return Err(LogError::Missing { found: scan.count, acknowledged: scan.acknowledged });
    }
    Ok(Scanned { segment: segments.saturating_sub(1), end: scan.end as u64, torn, count: scan.count, unproven })
}

/// How many segments there are; they are numbered from 0 without a gap.
fn segments(dir: &Path) -> Result<u32, LogError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("directory"))? {
        let name = entry.map_err(io("directory"))?.file_name();
        let number = name.to_str().and_then(|n| n.strip_suffix(".seg")).and_then(|n| n.parse::<u32>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    let gap = (0..).zip(&numbers).find(|(expected, found)| expected != *found);
    gap.map_or(Ok(u32::try_from(numbers.len()).unwrap_or(u32::MAX)), |(missing, _)| Err(LogError::Gap(missing)))
}

fn read(dir: &Path, segment: u32, last: bool) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    let mut file = File::open(segment_path(dir, segment)).map_err(io("open"))?;
    file.read_to_end(&mut bytes).map_err(io("read"))?;
    // A crash can leave the newest segment with less than its magic.
    let whole = bytes.starts_with(SEGMENT_MAGIC);
    let torn = last && SEGMENT_MAGIC.starts_with(&bytes);
    if whole || torn { Ok(bytes) } else { Err(LogError::Format(segment)) }
}

impl<V: FnMut(Location, u64, Stored<'_>)> Scan<V> {
    fn segment(&mut self, segment: u32, bytes: &[u8], last: bool) -> Result<(), LogError> {
        let mut at = SEGMENT_MAGIC.len().min(bytes.len());
        (self.end, self.unproven_at) = (at, None);
        // Frames of a request that is not whole yet.
        let mut request: Vec<(Location, Stored<'_>)> = Vec::new();
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let position = self.count + request.len() as u64;
            let Ok(Frame { acknowledged, more, stored, length }) = frame::get(rest) else {
                let proven = self.acknowledged.max(acknowledged_after(rest));
                if !last || self.count < proven {
                    return Err(LogError::Damaged { segment, offset: at as u64, position });
                }
                return Ok(());
            };
            if acknowledged > position {
                return Err(LogError::Missing { found: position, acknowledged });
            }
            self.acknowledged = self.acknowledged.max(acknowledged);
            if position >= self.known && self.unproven_at.is_none() {
                self.unproven_at = Some(at);
            }
            request.push((Location::new(segment, at as u64), stored));
            at += length;
            if !more {
                for (location, stored) in request.drain(..) {
                    (self.visit)(location, self.count, stored);
                    self.count += 1;
                }
                self.end = at;
            }
        }
        if !request.is_empty() && !last {
            return Err(LogError::Damaged { segment, offset: at as u64, position: self.count });
        }
        Ok(())
    }
}

/// The largest acknowledged count in any whole frame after a damaged one: a later group proves the earlier ones.
fn acknowledged_after(rest: &[u8]) -> u64 {
    let mut proven = 0;
    let mut at = 1;
    while let Some(tail) = rest.get(at..).filter(|tail| tail.len() > FRAME_HEADER_BYTES) {
        match frame::get(tail) {
            Ok(found) => {
                proven = proven.max(found.acknowledged);
                at += found.length;
            }
            Err(_) => at += 1,
        }
    }
    proven
}
