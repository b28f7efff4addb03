//! A public list of path traversals: those of wfuzz (Debian's package of that name), where it is installed. Each line in
//! each encoding at each place of the paths that the gateway knows.

use std::collections::BTreeSet;
use std::path::Path;

/// Where Debian puts them.
const FILES: [&str; 4] = [
    "/usr/share/wfuzz/wordlist/Injections/Traversal.txt",
    "/usr/share/wfuzz/wordlist/vulns/dirTraversal.txt",
    "/usr/share/wfuzz/wordlist/vulns/dirTraversal-nix.txt",
    "/usr/share/wfuzz/wordlist/vulns/dirTraversal-win.txt",
];

/// Every different line of the lists; none when they are not installed.
pub fn lines() -> Option<Vec<String>> {
    let mut all = BTreeSet::new();
    for file in FILES {
        let bytes = std::fs::read(Path::new(file)).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        all.extend(text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()));
    }
    Some(all.into_iter().collect())
}

/// Writes what is no letter or digit in another way.
fn escaped(line: &str, escape: impl Fn(u8) -> String) -> String {
    line.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { escape(b) }).collect()
}

/// A line in each of its encodings.
pub fn encodings(line: &str) -> [String; 8] {
    [
        line.to_owned(),
        escaped(line, |b| format!("%{b:02x}")),
        escaped(line, |b| format!("%{b:02X}")),
        escaped(line, |b| format!("%25{b:02x}")),
        escaped(line, |b| format!("%25{b:02X}")),
        // Overlong UTF-8, of two and of three bytes.
        escaped(line, |b| format!("%{:02x}%{:02x}", 0xc0 | b >> 6, 0x80 | b & 0x3f)),
        escaped(line, |b| format!("%e0%{:02x}%{:02x}", 0x80 | b >> 6, 0x80 | b & 0x3f)),
        escaped(line, |b| format!("%u00{b:02x}")),
    ]
}

/// A spelling before, behind and in the middle of a path.
pub fn placed(spelling: &str, path: &str) -> [String; 4] {
    let (parent, last) = path.rsplit_once('/').unwrap_or_default();
    [
        format!("{path}/{spelling}"),
        format!("/{spelling}{path}"),
        format!("{spelling}{path}"),
        format!("{parent}/{spelling}/{last}"),
    ]
}
