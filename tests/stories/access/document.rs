//! `docs/access.md`, written from the table.

use sekisho::admin::commands::{COMMANDS, WHICH};
use sekisho::api::{ROUTES as API_ROUTES, WHICH as API};
use sekisho::web::{ROUTES as PAGE_ROUTES, WHICH as PAGES};

use super::commands::{self, ROLES};
use super::table::{self, SEATS, cells};

const HEAD: &str = "# Who may open what

This page is written from the table that the tests walk cell by cell (`tests/stories/access/table.rs`); a test compares the two.
A route without a row in it does not compile. Write it anew with
`SEKISHO_WRITE_DOCS=1 cargo test -p sekisho-tests --test stories access::`.

| | An answer |
|---|---|
| `+` | Served, with what it is about in it |
| `o` | Served, with nothing of it in it: an own list |
| `-` | As if it were not there: byte for byte what is answered about ids that nobody ever had |
| `s` | Sign in first, or show a token and its certificate; the same whatever was asked about |
| `l` | Signed in, but not linked to a person; the same whatever was asked about |
| `k` | Not for this kind of caller; the same whatever was asked about |
| `=` | The same to everybody, and about nobody |

Whoever gave a consent can withdraw it as long as it is there, also after their authority has ended; only a protective measure
hides even that. A proposal is seen by the person whom it was made to, and by nobody else.

## Columns

";

/// The page.
pub fn written() -> String {
    let mut page = HEAD.to_owned();
    for (number, (_, text)) in (1..).zip(SEATS) {
        page += &format!("{number}. {text}\n");
    }
    let rows = PAGE_ROUTES.iter().zip(PAGES).map(|((m, p, _), which)| (format!("{m} {p}"), table::page(*which)));
    section(&mut page, "Pages", rows);
    let rows = API_ROUTES.iter().zip(API).map(|((m, p), which)| (format!("{m} {p}"), table::api(*which)));
    section(&mut page, "JSON, portals, keys", rows);
    let data = ["vaccination-history", "portal-history", "clinic-history", "patient", "summary"];
    let rows = data.into_iter().map(|name| (name.to_owned(), table::data(name).unwrap()));
    section(&mut page, "Data (the routes of the demo's configuration)", rows);
    operators(&mut page);
    page
}

fn section(page: &mut String, title: &str, rows: impl Iterator<Item = (String, &'static str)>) {
    let numbers: Vec<String> = (1..=SEATS.len()).map(|number| number.to_string()).collect();
    *page += &format!("\n## {title}\n\n| | {} |\n|---|{}\n", numbers.join(" | "), "---|".repeat(SEATS.len()));
    for (name, row) in rows {
        assert_eq!(cells(row).len(), SEATS.len());
        let symbols: Vec<String> = row.chars().filter(|c| *c != ' ').map(String::from).collect();
        *page += &format!("| `{name}` | {} |\n", symbols.join(" | "));
    }
}

fn operators(page: &mut String) {
    *page += "\n## Operators' socket\n\nThe kernel tells who comes (docs/operations.md). `+` carried out; `r` refused, with the role that it takes, and \
              nothing is recorded; `x` not even heard.\n\n";
    for (number, (_, text)) in (1..).zip(ROLES) {
        *page += &format!("{number}. {text}\n");
    }
    *page += "\n| | 1 | 2 | 3 | 4 |\n|---|---|---|---|---|\n";
    for ((method, path, _), which) in COMMANDS.iter().zip(WHICH) {
        let symbols: Vec<String> = commands::cells(commands::row(*which)).into_iter().map(String::from).collect();
        *page += &format!("| `{method} {path}` | {} |\n", symbols.join(" | "));
    }
}

#[test]
fn the_page_about_access_says_what_the_table_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/access.md");
    if std::env::var_os("SEKISHO_WRITE_DOCS").is_some() {
        std::fs::write(&path, written()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == written(), "docs/access.md is not what the table says: the page itself says how to write it anew");
}
