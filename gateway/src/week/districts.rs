//! Districts in charge (地区担当): which one a postal code belongs to, by a table of the municipality's own.
//!
//! The table is CSV in UTF-8 or Shift_JIS, with the columns `postal`, `district`, `name`, `nurses` (or 郵便番号, 地区, 地区名, 担当), in any
//! order. Every problem is told at once, with its line.
//! What it never does: guess. A code that stands in no district goes to the municipality's named default, and that is said.

use std::collections::BTreeMap;
use std::fmt;

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use encoding_rs::SHIFT_JIS;
use sekisho_adapters::consultation::PostalCode;
use sekisho_policy::PartyId;

use crate::app::App;
use crate::config::Config;
use crate::config::week::Municipality;

/// Bytes of a table, at most: a prefecture's codes many times over.
pub const BYTES_MAX: usize = 4 << 20;
/// Problems that are told, at most.
const PROBLEMS_MAX: usize = 200;
const CODE_CHARS_MAX: usize = 32;
const NAME_CHARS_MAX: usize = 100;
/// The columns, by their two names.
const COLUMNS: [(&str, &str); 4] =
    [("postal", "郵便番号"), ("district", "地区"), ("name", "地区名"), ("nurses", "担当")];

/// A district.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct District {
    /// Its code, as it stands in rows and in the names of printed lists.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The nurses in charge: a group's name. May be empty.
    pub nurses: String,
}

/// A municipality's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Districts {
    districts: Vec<District>,
    by_postal: BTreeMap<PostalCode, usize>,
}

/// The tables of all municipalities that have one.
#[derive(Clone, Debug, Default)]
pub struct Tables(BTreeMap<PartyId, Districts>);

impl Tables {
    /// Reads those that the configuration names.
    ///
    /// # Errors
    /// Which file, and everything that is wrong with it.
    pub fn read(config: &Config) -> Result<Self, (PathBuf, String)> {
        let mut tables = BTreeMap::new();
        for to in config.week.iter().flat_map(|week| &week.municipalities) {
            let Some(path) = &to.districts else { continue };
            let mut bytes = Vec::new();
            let most = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
            let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
            read.map_err(|error| (path.clone(), error.to_string()))?;
            let told =
                |problems: Vec<TableProblem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            tables.insert(to.party, Districts::read(&bytes).map_err(|problems| (path.clone(), told(problems)))?);
        }
        Ok(Self(tables))
    }
}

impl App {
    /// The district in charge of a postal code, at a municipality; its default where the code is unknown or stands in none, and
    /// then that is said.
    #[must_use]
    pub fn week_districts(&self, to: &Municipality, postal: Option<&str>) -> String {
        if self.districts.0.contains_key(&to.party) && self.stands_in(to, postal).is_none() {
            // Not the code: few may live there.
            tracing::warn!(municipality = %to.code, "a case's postal code stands in no district: it goes to the default one");
        }
        self.district_of(to, postal)
    }

    /// The same, once more: nothing is said.
    #[must_use]
    pub fn district_of(&self, to: &Municipality, postal: Option<&str>) -> String {
        self.stands_in(to, postal).map_or_else(|| to.default_district.clone(), |district| district.code.clone())
    }

    /// All districts of a municipality: codes and names, its default last.
    #[must_use]
    pub fn districts_at(&self, to: &Municipality) -> Vec<(String, String)> {
        let table = self.districts.0.get(&to.party).map(Districts::all).unwrap_or_default();
        let named = |district: &District| {
            let name = if district.name.is_empty() { &district.code } else { &district.name };
            (district.code.clone(), name.clone())
        };
        let default = (to.default_district.clone(), to.default_district.clone());
        table.iter().map(named).filter(|(code, _)| *code != default.0).chain([default.clone()]).collect()
    }

    fn stands_in(&self, to: &Municipality, postal: Option<&str>) -> Option<&District> {
        let table = self.districts.0.get(&to.party)?;
        postal.and_then(PostalCode::parse).and_then(|postal| table.find(postal))
    }
}

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProblem {
    /// Line of the file, from 1; 0 for the file as a whole.
    pub line: u64,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

impl TableProblem {
    fn new(line: u64, ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self { line, ja: ja.into(), en: en.into() }
    }
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} / {}", self.line, self.en, self.ja)
    }
}

impl Districts {
    /// Reads a table.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<TableProblem>> {
        let text = text(bytes).map_err(|problem| vec![problem])?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut records = reader.records();
        let header = records.next().and_then(Result::ok).unwrap_or_default();
        let places = places(&header)?;
        let mut table =
            Reading { table: Self::default(), codes: BTreeMap::new(), lines: BTreeMap::new(), problems: Vec::new() };
        for record in records {
            if table.problems.len() >= PROBLEMS_MAX {
                break;
            }
            match record {
                Ok(record) if record.iter().all(|cell| cell.trim().is_empty()) => {}
                Ok(record) => table.row(&record, line(&record, &text), places, header.len()),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    table.problems.push(TableProblem::new(line, "CSVとして読めません", "not CSV"));
                    break;
                }
            }
        }
        if table.problems.is_empty() && table.table.by_postal.is_empty() {
            table.problems.push(TableProblem::new(0, "行がありません", "there is no row"));
        }
        if table.problems.is_empty() { Ok(table.table) } else { Err(table.problems) }
    }

    /// The district of a postal code; `None` when it stands in none.
    #[must_use]
    pub fn find(&self, postal: PostalCode) -> Option<&District> {
        self.by_postal.get(&postal).and_then(|at| self.districts.get(*at))
    }

    /// All districts, in the table's order.
    #[must_use]
    pub fn all(&self) -> &[District] {
        &self.districts
    }

    /// How many postal codes there are.
    #[must_use]
    pub fn postal_codes(&self) -> usize {
        self.by_postal.len()
    }
}

struct Reading {
    table: Districts,
    /// Which district has a code, and on which line it was first named.
    codes: BTreeMap<String, (usize, u64)>,
    /// On which line a postal code stands.
    lines: BTreeMap<PostalCode, u64>,
    problems: Vec<TableProblem>,
}

impl Reading {
    fn wrong(&mut self, line: u64, ja: impl Into<String>, en: impl Into<String>) {
        self.problems.push(TableProblem::new(line, ja, en));
    }

    fn row(&mut self, record: &csv::StringRecord, line: u64, places: [usize; 4], width: usize) {
        if record.len() != width {
            self.wrong(line, "列の数が1行目と違います", "another number of columns than the header");
            return;
        }
        let [postal, code, name, nurses] = places.map(|at| record.get(at).unwrap_or_default().trim());
        let parsed = PostalCode::parse(postal);
        if parsed.is_none() {
            self.wrong(line, "郵便番号ではありません（7桁）", "not a postal code: seven digits");
        }
        if code.is_empty() || code.chars().count() > CODE_CHARS_MAX || code.chars().any(char::is_control) {
            self.wrong(
                line,
                format!("地区が空か、{CODE_CHARS_MAX}字を超えています"),
                format!("district: empty, or over {CODE_CHARS_MAX} letters"),
            );
            return;
        }
        for (cell, ja, en) in [(name, "地区名", "name"), (nurses, "担当", "nurses")] {
            if cell.chars().count() > NAME_CHARS_MAX || cell.chars().any(char::is_control) {
                self.wrong(
                    line,
                    format!("{ja}が{NAME_CHARS_MAX}字を超えています"),
                    format!("{en}: over {NAME_CHARS_MAX} letters"),
                );
            }
        }
        let at = self.district(line, code, name, nurses);
        let Some(postal) = parsed else { return };
        if let Some(first) = self.lines.insert(postal, line) {
            self.wrong(
                line,
                format!("この郵便番号は{first}行目にもあります"),
                format!("this postal code stands on line {first} too"),
            );
            return;
        }
        self.table.by_postal.insert(postal, at);
    }

    fn district(&mut self, line: u64, code: &str, name: &str, nurses: &str) -> usize {
        if let Some((at, first)) = self.codes.get(code).copied() {
            let same = self.table.districts.get(at).is_some_and(|known| known.name == name && known.nurses == nurses);
            if !same {
                self.wrong(
                    line,
                    format!("この地区の名前か担当が{first}行目と違います"),
                    format!("name or nurses of this district differ from line {first}"),
                );
            }
            return at;
        }
        let at = self.table.districts.len();
        let new = District { code: code.to_owned(), name: name.to_owned(), nurses: nurses.to_owned() };
        self.table.districts.push(new);
        self.codes.insert(code.to_owned(), (at, line));
        at
    }
}

/// The line on which a record begins. The reader's own is that of the empty lines before it.
fn line(record: &csv::StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.get(at..)).unwrap_or_default();
    let empty = rest.bytes().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| *b == b'\n').count();
    position.line().saturating_add(u64::try_from(empty).unwrap_or(0))
}

/// The text of a table: UTF-8, with or without a byte order mark, or Shift_JIS.
fn text(bytes: &[u8]) -> Result<String, TableProblem> {
    if bytes.len() > BYTES_MAX {
        return Err(TableProblem::new(0, "ファイルが4 MiBを超えています", "the file is over 4 MiB"));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.to_owned());
    }
    let decoded = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes);
    decoded
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| TableProblem::new(0, "UTF-8でもShift_JISでもありません", "neither UTF-8 nor Shift_JIS"))
}

/// Where each column stands.
fn places(header: &csv::StringRecord) -> Result<[usize; 4], Vec<TableProblem>> {
    let mut problems = Vec::new();
    let places = COLUMNS.map(|(en, ja)| {
        let mut at = header.iter().enumerate().filter(|(_, name)| name.trim() == en || name.trim() == ja);
        let found = at.next().map(|(at, _)| at);
        if found.is_none() {
            problems.push(TableProblem::new(
                1,
                format!("列「{ja}」がありません"),
                format!("there is no column `{en}`"),
            ));
        } else if at.next().is_some() {
            problems.push(TableProblem::new(
                1,
                format!("列「{ja}」が2つあります"),
                format!("column `{en}` is there twice"),
            ));
        }
        found.unwrap_or_default()
    });
    if problems.is_empty() { Ok(places) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "郵便番号,地区,地区名,担当\n183-0055,1,東部,第一係\n1830056,1,東部,第一係\n183-0011,2,西部,\n";

    fn find(table: &Districts, postal: &str) -> Option<String> {
        table.find(PostalCode::parse(postal).unwrap()).map(|district| district.code.clone())
    }

    #[test]
    fn a_postal_code_is_in_one_district_or_none() {
        let marked = format!("\u{feff}{TABLE}");
        let (in_shift_jis, _, _) = SHIFT_JIS.encode(TABLE);
        for bytes in [TABLE.as_bytes(), marked.as_bytes(), &in_shift_jis, TABLE.replace('\n', "\r\n").as_bytes()] {
            let table = Districts::read(bytes).unwrap();
            assert_eq!((table.all().len(), table.postal_codes()), (2, 3));
            assert_eq!(
                table.all()[0],
                District { code: "1".to_owned(), name: "東部".to_owned(), nurses: "第一係".to_owned() }
            );
            assert_eq!(find(&table, "1830056").as_deref(), Some("1"));
            assert_eq!(find(&table, "183-0011").as_deref(), Some("2"));
            assert_eq!(find(&table, "1830012"), None);
        }
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let said = |text: &str| -> Vec<(u64, String)> {
            Districts::read(text.as_bytes())
                .unwrap_err()
                .into_iter()
                .map(|problem| (problem.line, problem.en))
                .collect()
        };
        let table = "postal,district,name,nurses\n\
            1830055,1,東部,A\n183005,1,東部,A\n1830055,2,西部,B\n1830057,1,中部,A\n\n1830058,,x,y\n1830059,1,東部\n";
        let expected = [
            (3, "not a postal code: seven digits"),
            (4, "this postal code stands on line 2 too"),
            (5, "name or nurses of this district differ from line 2"),
            (7, "district: empty, or over 32 letters"),
            (8, "another number of columns than the header"),
        ];
        assert_eq!(said(table), expected.map(|(line, why)| (line, why.to_owned())));
        assert_eq!(said("postal,district,district,name\n").len(), 2);
        assert_eq!(said("postal,district,name,nurses\n"), [(0, "there is no row".to_owned())]);
        assert_eq!(said("").len(), 4);
        assert_eq!(Districts::read(&[0x81, 0xff, 0xff]).unwrap_err()[0].en, "neither UTF-8 nor Shift_JIS");
        assert_eq!(Districts::read(&vec![b'a'; BYTES_MAX + 1]).unwrap_err()[0].line, 0);
        let many = format!("postal,district,name,nurses\n{}", "x,1,n,g\n".repeat(10_000));
        assert_eq!(said(&many).len(), PROBLEMS_MAX);
    }
}
