//! What an office gets out of a package: a directory with the list as CSV and JSON, a list to print for each district, the nurses'
//! pages, and what was recalled.
//!
//! Everything is written beside the directory's name first, and gets that name when all of it is there: a package that turns out
//! not to be sound leaves nothing behind.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::csv::{COLUMNS, Encoding, Missing, RECALLED, Table};
use super::open::{self, Checked, OpenError};
use super::pages::Pages;
use super::print::{List, Printed};
use super::{KeyPair, csv};
use crate::week::row::Row;

/// Districts of one package, at most: each has a file open.
const DISTRICTS_MAX: usize = 300;

/// How it is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// CSV in which bytes.
    pub encoding: Encoding,
    /// Reasons on the printed lists.
    pub reasons: bool,
    /// Who prints.
    pub printed: Printed,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Cases.
    pub rows: u32,
    /// Lists to print, by district.
    pub districts: usize,
    /// Letters that Shift_JIS doesn't have, the first ones of them, and how many.
    pub missing: (Vec<Missing>, u64),
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The package.
    #[error(transparent)]
    Package(#[from] OpenError),
    /// The directory is there already.
    #[error("{0} がすでにあります。別の名前を指定してください。/ {0} is there already; name another directory.")]
    There(PathBuf),
    /// Writing failed.
    #[error("書き込めません: {0} / It could not be written: {0}")]
    Io(io::Error),
}

/// Writes what a checked package holds into a new directory.
///
/// # Errors
/// [`WriteError`]; then the directory isn't there.
pub fn write<R: Read + Seek>(
    file: &mut R,
    key: &KeyPair,
    checked: &Checked,
    out: &Path,
    options: &Options,
) -> Result<Written, WriteError> {
    if out.exists() {
        return Err(WriteError::There(out.to_owned()));
    }
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = out.with_file_name(name);
    fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(WriteError::Io)?;
    let written = into(file, key, checked, &unfinished, options);
    let written = written.and_then(|written| match fs::rename(&unfinished, out) {
        Ok(()) => Ok(written),
        Err(error) => Err(WriteError::Io(error)),
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    written
}

fn into<R: Read + Seek>(
    file: &mut R,
    key: &KeyPair,
    checked: &Checked,
    directory: &Path,
    options: &Options,
) -> Result<Written, WriteError> {
    let mut outputs = Outputs::new(checked, directory, options).map_err(WriteError::Io)?;
    open::rows(file, key, checked, |row| outputs.row(&row))?;
    outputs.finish().map_err(WriteError::Io)
}

struct Outputs<'a> {
    checked: &'a Checked,
    directory: &'a Path,
    options: &'a Options,
    table: Table<BufWriter<File>>,
    json: BufWriter<File>,
    lists: BTreeMap<String, List<BufWriter<File>>>,
    pages: Pages,
    rows: u32,
}

impl<'a> Outputs<'a> {
    fn new(checked: &'a Checked, directory: &'a Path, options: &'a Options) -> io::Result<Self> {
        let table = Table::new(create(&directory.join("list.csv"))?, options.encoding, &COLUMNS)?;
        let mut json = create(&directory.join("list.json"))?;
        json.write_all(b"{\"head\":")?;
        serde_json::to_writer(&mut json, &checked.head)?;
        json.write_all(b",\n\"rows\":[")?;
        fs::DirBuilder::new().mode(0o700).create(directory.join("print"))?;
        let pages = Pages::new(directory, &options.printed)?;
        Ok(Self { checked, directory, options, table, json, lists: BTreeMap::new(), pages, rows: 0 })
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.table.case(row, &self.checked.head)?;
        self.json.write_all(if self.rows == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut self.json, row)?;
        self.rows = self.rows.saturating_add(1);
        self.pages.case(row, &self.checked.head)?;
        if !self.lists.contains_key(&row.district) {
            let number = self.lists.len().saturating_add(1);
            if number > DISTRICTS_MAX {
                return Err(io::Error::other("too many districts / 地区が多すぎます"));
            }
            let name = format!("{number:03}-{}.html", file_part(&row.district));
            let title = format!("要ケア一覧　地区 {} / Cases of district {}", row.district, row.district);
            self.lists.insert(row.district.clone(), self.list(&name, &title)?);
        }
        self.lists.get_mut(&row.district).map_or(Ok(()), |list| list.case(row))
    }

    fn list(&self, name: &str, title: &str) -> io::Result<List<BufWriter<File>>> {
        let to = create(&self.directory.join("print").join(name))?;
        List::new(to, title, &self.checked.head, &self.options.printed, self.options.reasons)
    }

    fn finish(mut self) -> io::Result<Written> {
        let head = &self.checked.head;
        let mut recalled = Table::new(create(&self.directory.join("recalled.csv"))?, self.options.encoding, &RECALLED)?;
        let mut list =
            self.list("recalled.html", "回収（使ってはならない事例） / Recalled: not to be used any more")?;
        for one in &head.withdrawn {
            recalled.recalled(one, head)?;
            list.recalled(one)?;
        }
        recalled.finish()?;
        list.finish()?;
        self.pages.finish(head, &self.options.printed)?;
        self.json.write_all(b"\n]}\n")?;
        self.json.flush()?;
        let districts = self.lists.len();
        for (_, list) in self.lists {
            list.finish()?;
        }
        Ok(Written { rows: self.rows, districts, missing: self.table.finish()? })
    }
}

/// Readable for the one who opens the package, and nobody else.
pub(super) fn create(path: &Path) -> io::Result<BufWriter<File>> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(BufWriter::new)
}

/// A district's code as a part of a file's name.
fn file_part(code: &str) -> String {
    code.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(32).collect()
}

/// Said of letters that were replaced.
#[must_use]
pub fn said(missing: &csv::Missing) -> String {
    format!(
        "{} 行目「{}」: {} (U+{:04X}) は Shift_JIS にありません。{} に置き換えました。/ row {}, {}: not in Shift_JIS, replaced",
        missing.row,
        missing.column,
        missing.letter,
        u32::from(missing.letter),
        csv::MISSING,
        missing.row,
        missing.column,
    )
}
