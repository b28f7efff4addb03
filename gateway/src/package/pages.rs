//! The nurses' pages of a package: the same list and the same detail as at the gateway, to be opened in a browser without a network. They are
//! read only: work is recorded where the municipality keeps its records.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use askama::Template;
use jiff::civil::Date;

use super::print::Printed;
use super::write::create;
use crate::web::nurse::card::Card;
use crate::web::page::{Frame, Lang};
use crate::week::row::{Head, Row};

/// Cases with a page of their own, at most; a part of a week has 2,000.
const CASES_MAX: usize = 5_000;

#[derive(Template)]
#[template(path = "nurse/offline_list.html")]
struct List<'a> {
    f: Frame,
    head: &'a Head,
    printed: &'a Printed,
    cards: &'a [(String, Card)],
    more: usize,
}

#[derive(Template)]
#[template(path = "nurse/offline_case.html")]
struct Case<'a> {
    f: Frame,
    head: &'a Head,
    number: &'a str,
    c: &'a Card,
}

/// Pages that are being written.
pub struct Pages {
    directory: PathBuf,
    today: Date,
    cards: Vec<(String, Card)>,
    more: usize,
}

fn frame() -> Frame {
    Frame { lang: Lang::Ja, csrf: None, here: String::new() }
}

impl Pages {
    /// Begins them, in a directory `pages` below.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(below: &Path, printed: &Printed) -> io::Result<Self> {
        let directory = below.join("pages");
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        fs::DirBuilder::new().mode(0o700).create(directory.join("cases"))?;
        let mut style = create(&directory.join("style.css"))?;
        style.write_all(include_bytes!("../../assets/style.css"))?;
        style.flush()?;
        let today = printed.at.get(..10).and_then(|day| day.parse().ok()).unwrap_or_default();
        Ok(Self { directory, today, cards: Vec::new(), more: 0 })
    }

    /// A case: its own page, and a line of the list.
    ///
    /// # Errors
    /// The same.
    pub fn case(&mut self, row: &Row, head: &Head) -> io::Result<()> {
        let plain = row.case.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if self.cards.len() >= CASES_MAX || !plain {
            self.more = self.more.saturating_add(1);
            return Ok(());
        }
        let mut card = Card::of(row, Lang::Ja, self.today, None);
        let to = self.directory.join("cases").join(format!("{}.html", row.case));
        put(&to, &Case { f: frame(), head, number: &row.case, c: &card })?;
        // The list has no words.
        card.words = None;
        self.cards.push((row.case.clone(), card));
        Ok(())
    }

    /// Writes the list.
    ///
    /// # Errors
    /// The same.
    pub fn finish(self, head: &Head, printed: &Printed) -> io::Result<()> {
        let list = List { f: frame(), head, printed, cards: &self.cards, more: self.more };
        put(&self.directory.join("index.html"), &list)
    }
}

fn put(to: &Path, page: &impl Template) -> io::Result<()> {
    let mut file = create(to)?;
    Template::write_into(page, &mut file).map_err(io::Error::other)?;
    file.flush()
}
