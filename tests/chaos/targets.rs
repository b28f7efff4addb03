//! Hostile spellings of the paths that the gateway knows: seeds × places × encodings. The lists are our own.

use crate::dice::Dice;

/// Ways to write a dot segment.
const DOTS: &[&str] = &[
    "..",
    ".",
    "...",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "%2e",
    "%252e%252e",
    "%25252e%25252e",
    "%c0%ae%c0%ae",
    "%c0%2e%c0%2e",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae%f0%80%80%ae",
    "%uff0e%uff0e",
    "%u002e%u002e",
    "%ef%bc%8e%ef%bc%8e",
    "\u{ff0e}\u{ff0e}",
    "\u{2025}",
    "..;",
    "..;x=1",
    "..%00",
    "..%0d",
    "..%20",
    "..%09",
    "%00..",
    "..%23",
    "..%3f",
    "&#46;&#46;",
    "\\.\\.",
    "~",
    "%7e",
];

/// Ways to write what stands between two segments.
const SLASHES: &[&str] = &[
    "//",
    "///",
    "\\",
    "/\\",
    "\\/",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "%252f",
    "%255c",
    "%25252f",
    "%c0%af",
    "%c1%9c",
    "%e0%80%af",
    "%f0%80%80%af",
    "%u2215",
    "%u2216",
    "%uff0f",
    "%ef%bc%8f",
    "\u{2215}",
    "\u{ff0f}",
    "/;/",
    ";/",
    "/;",
    "/%00/",
    "%00/",
    "/%20/",
    "/%09/",
    "/./",
    "/.//",
    "/%2e/",
    "/;a=b/",
    "/$/../",
    "|",
    ":",
    "/:/",
    "/*/",
    "/@/",
];

/// What is put behind a path.
const AFTER: &[&str] = &[
    "/",
    "//",
    "/.",
    "/..",
    "/%2e",
    "/..;/",
    ";",
    ";x",
    ";a=b",
    "%00",
    "%20",
    "%09",
    "%0a",
    "%0d%0a",
    ".json",
    ".",
    "..",
    "%23",
    "#",
    "#x",
    "%3f",
    "%3fpatient=x",
    "/*",
    "*",
    "~",
    "%",
    "%2",
    "%zz",
    "/$everything",
    "/_search",
    "/.json",
    "\\",
    "%5c",
    "%0d%0aHost:%20forger.example",
    "\u{200b}",
    "%e2%80%8b",
    "\u{0301}",
    "+",
    "&",
    "=",
    "!",
    "'",
    ",",
];

/// What is put before one.
const BEFORE: &[&str] = &[
    "/",
    "//",
    "/.",
    "/..",
    "/../..",
    "/x/..",
    "/%2e",
    "/%2e%2e",
    "/v1/..",
    "/v1/../",
    "/.well-known/..",
    "/relay/..",
    "/relay/my-portal/../..",
    "/fhir/..",
    "/v1",
    "/x",
    "/;",
    "/%2f",
    "/%00",
    "/~",
    "//localhost",
    "//forger.example",
    "/\\forger.example",
    "/%5c",
    "/.%00",
    "/..%2f",
    "/..%252f",
    "/%c0%ae%c0%ae",
    "/..;",
    "/v1/%2e%2e",
    "/v1\\..",
    "/admin/..",
    "/fhir/../v1/..",
];

/// Query strings that name the patient in a way that is not ours; `{p}` is the patient.
const QUERIES: &[&str] = &[
    "patient={p}&patient={p}",
    "patient=x&patient={p}",
    "patient[]={p}",
    "patient[0]={p}",
    "Patient={p}",
    "PATIENT={p}",
    "patient%3d{p}",
    "%70atient={p}",
    "patient=%20{p}",
    "patient={p}%00",
    "patient={p}&",
    "&patient={p}",
    "patient={p}&&date=ge2020-01-01",
    "patient={p};date=ge2020-01-01",
    "patient={p}&_include=*",
    "patient={p}&_format=json",
    "patient={p}?",
    "?patient={p}",
    "patient={p}&x",
    "patient=={p}",
    "patient={p}&date=",
    "patient={p}+",
    "patient=+{p}",
    "patient={p}&date=%0d%0aX:%20y",
    "patient={p}&date=ge2020-01-01&date=le2021-01-01",
    "patient.name={p}",
    "patient:Patient={p}",
    "subject={p}",
    "patient={p}|",
    "patient={p}&%26",
    "patient={p}&a=b=c",
];

/// Bends one path in one way.
fn bent(path: &str, dice: &mut Dice) -> String {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    let slash = slashes.get(dice.below(slashes.len().max(1))).copied().unwrap_or(0);
    let (before, after) = path.split_at(slash);
    let after = after.strip_prefix('/').unwrap_or(after);
    match dice.below(9) {
        0 => format!("{before}/{}/{after}", dice.pick(DOTS)),
        1 => format!("{before}/x/{}/{after}", dice.pick(DOTS)),
        2 => format!("{before}{}{after}", dice.pick(SLASHES)),
        3 => format!("{path}{}", dice.pick(AFTER)),
        4 => format!("{}{path}", dice.pick(BEFORE)),
        5 => format!("{path}/x/{}", dice.pick(DOTS)),
        6 | 7 => letter(path, dice),
        _ => path.chars().map(|c| if dice.below(4) == 0 { c.to_ascii_uppercase() } else { c }).collect(),
    }
}

/// Writes one letter of the path in another way.
fn letter(path: &str, dice: &mut Dice) -> String {
    let at = dice.below(path.len().max(1));
    if !path.is_char_boundary(at) || !path.is_char_boundary(at + 1) {
        return format!("{path}%");
    }
    let byte = path.as_bytes()[at];
    let other = match dice.below(9) {
        0 => format!("%{byte:02x}"),
        1 => format!("%{byte:02X}"),
        2 => format!("%25{byte:02x}"),
        3 => format!("%2525{byte:02x}"),
        4 => format!("%{:02x}%{:02x}", 0xc0 | byte >> 6, 0x80 | byte & 0x3f),
        5 => format!("%e0%{:02x}%{:02x}", 0x80 | byte >> 6, 0x80 | byte & 0x3f),
        6 => format!("%u00{byte:02x}"),
        7 => format!("&#{byte};"),
        _ => char::from_u32(u32::from(byte) + 0xfee0).map(String::from).unwrap_or_default(),
    };
    format!("{}{other}{}", &path[..at], &path[at + 1..])
}

/// The systematic part: every spelling at every place of every path, one at a time.
fn systematic(paths: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for path in paths {
        for (at, _) in path.match_indices('/') {
            let (before, after) = (&path[..at], &path[at + 1..]);
            out.extend(DOTS.iter().map(|dots| format!("{before}/{dots}/{after}")));
            out.extend(DOTS.iter().map(|dots| format!("{before}/x/{dots}/{after}")));
            out.extend(SLASHES.iter().map(|slash| format!("{before}{slash}{after}")));
        }
        out.extend(AFTER.iter().map(|after| format!("{path}{after}")));
        out.extend(BEFORE.iter().map(|before| format!("{before}{path}")));
    }
    // From one known path to another by way of the first.
    for from in paths {
        for to in paths {
            out.extend(DOTS.iter().map(|dots| format!("{from}/{dots}/{dots}/{dots}{to}")));
            out.extend(DOTS.iter().map(|dots| format!("{from}/{dots}/{dots}{to}")));
        }
    }
    out
}

/// Targets to try: the systematic ones, shuffled, and from then on chains of two or three at random.
pub struct Targets {
    paths: Vec<String>,
    patient: String,
    listed: Vec<String>,
}

impl Targets {
    pub fn new(paths: &[&str], patient: &str, dice: &mut Dice) -> Self {
        let mut listed = systematic(paths);
        let first = paths.first().copied().unwrap_or_default();
        let queries: Vec<String> = QUERIES.iter().map(|q| format!("{first}?{}", q.replace("{p}", patient))).collect();
        for at in (1..listed.len()).rev() {
            listed.swap(at, dice.below(at + 1));
        }
        // Queries are few: they come first, that is at the end of the list.
        listed.extend(queries);
        Self { paths: paths.iter().map(|p| (*p).to_owned()).collect(), patient: patient.to_owned(), listed }
    }

    /// How many are systematic.
    pub fn systematic(&self) -> usize {
        self.listed.len()
    }

    pub fn next(&mut self, dice: &mut Dice) -> String {
        let target = self.listed.pop().unwrap_or_else(|| {
            let mut path = self.paths[dice.below(self.paths.len())].clone();
            for _ in 0..2 + dice.below(2) {
                path = bent(&path, dice);
            }
            path
        });
        if target.contains('?') { target } else { format!("{target}?patient={}", self.patient) }
    }
}
