//! A list to print, one for each district: A4, case number, name and safe contact; reasons only where they were asked for.
//!
//! Whoever carries it sees first how somebody wants to be reached, and what must not be said.

use std::io::{self, Write};

use askama::Template;

use super::{BANNER, csv};
use crate::week::row::{Ground, Head, Row, RowKind, Withdrawn};

/// Who prints, and when.
#[derive(Clone, Debug)]
pub struct Printed {
    /// The user of this computer's system.
    pub by: String,
    /// When, local time, in words.
    pub at: String,
}

#[derive(Template)]
#[template(path = "package/head.html")]
struct Begin<'a> {
    title: &'a str,
    head: &'a Head,
    printed: &'a Printed,
}

#[derive(Template)]
#[template(path = "package/row.html")]
struct Case<'a> {
    row: &'a Row,
    urgency: &'static str,
    means: String,
    banner: Option<&'static str>,
    reasons: bool,
    ground: String,
}

#[derive(Template)]
#[template(path = "package/recalled.html")]
struct Recalled<'a> {
    one: &'a Withdrawn,
}

/// A list that is being written.
pub struct List<W: Write> {
    to: W,
    reasons: bool,
}

impl<W: Write> List<W> {
    /// Begins a list.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut to: W, title: &str, head: &Head, printed: &Printed, reasons: bool) -> io::Result<Self> {
        put(&mut to, &Begin { title, head, printed })?;
        Ok(Self { to, reasons })
    }

    /// A case.
    ///
    /// # Errors
    /// The same.
    pub fn case(&mut self, row: &Row) -> io::Result<()> {
        let case = Case {
            row,
            urgency: csv::urgency(row),
            means: csv::means(&row.contact),
            banner: (row.kind == RowKind::IdentityOnly).then_some(BANNER),
            reasons: self.reasons,
            ground: ground(row),
        };
        put(&mut self.to, &case)
    }

    /// A recalled case.
    ///
    /// # Errors
    /// The same.
    pub fn recalled(&mut self, one: &Withdrawn) -> io::Result<()> {
        put(&mut self.to, &Recalled { one })
    }

    /// Ends it.
    ///
    /// # Errors
    /// The same.
    pub fn finish(mut self) -> io::Result<()> {
        self.to.write_all(b"</main>\n</body>\n</html>\n")?;
        self.to.flush()
    }
}

/// On which ground a row is here, in words.
#[must_use]
pub fn ground(row: &Row) -> String {
    match &row.ground {
        Ground::Consent => "本人の同意".to_owned(),
        Ground::Basis { article } => article.clone(),
    }
}

fn put<W: Write>(to: &mut W, part: &impl Template) -> io::Result<()> {
    Template::write_into(part, to).map_err(io::Error::other)
}
