//! The file: CSV in UTF-8, with or without a byte order mark, or in Shift_JIS as Excel writes it (CP932). A row in another
//! encoding than the file's is named, never guessed at. Read row by row; bounded in bytes, rows and letters.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use csv::ByteRecord;
use encoding_rs::SHIFT_JIS;
use sekisho_adapters::my_number;

use super::ROWS_MAX;
use super::row::{Column, Problem, Row};

/// Bytes of a file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Letters of a cell that is used, at most.
const CELL_MAX: usize = 500;
const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Why the file is not a table that can be imported.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("the file can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// It isn't CSV.
    #[error("the file is not CSV: {0}")]
    Csv(#[from] csv::Error),
    /// Too long.
    #[error("{0}; split the file / ファイルを分けてください")]
    TooLarge(&'static str),
    /// UTF-16.
    #[error("the file is UTF-16; save it as \"CSV UTF-8\" / 「CSV UTF-8」で保存し直してください")]
    Utf16,
    /// No header.
    #[error("the first row can't be read as column names / 1行目の列名を読めません")]
    Header,
    /// Columns are missing.
    #[error("these columns are missing / 次の列がありません: {0}")]
    Missing(String),
    /// A column stands there twice.
    #[error("this column is there twice / 同じ列が2つあります: {0}")]
    Twice(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    ShiftJis,
}

/// The table, open.
pub struct Table {
    reader: csv::Reader<BufReader<File>>,
    encoding: Encoding,
    width: usize,
    /// Where each column stands.
    places: [Option<usize>; Column::ALL.len()],
    rows: u32,
    record: ByteRecord,
}

impl Table {
    /// Opens a file, finds its encoding by all of it, and reads the header.
    ///
    /// # Errors
    /// When it is not such a table.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(FileError::TooLarge("the file is over 64 MiB"));
        }
        let mut mark = [0; 3];
        let got = file.by_ref().take(3).read(&mut mark)?;
        if mark.starts_with(&[0xff, 0xfe]) || mark.starts_with(&[0xfe, 0xff]) {
            return Err(FileError::Utf16);
        }
        let marked = got == 3 && mark == UTF8_MARK;
        let begin = if marked { 3 } else { 0 };
        file.seek(SeekFrom::Start(begin))?;
        let encoding = if marked { Encoding::Utf8 } else { encoding_of(&mut reader(file.try_clone()?))? };
        file.seek(SeekFrom::Start(begin))?;
        let mut reader = reader(file);
        let mut header = ByteRecord::new();
        reader.read_byte_record(&mut header)?;
        let names = decoded(&header, encoding).ok_or(FileError::Header)?;
        let places = places(&names)?;
        Ok(Self { reader, encoding, width: header.len(), places, rows: 0, record: ByteRecord::new() })
    }

    /// Rows read so far, without the header.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The next row, or what is wrong with it; `None` at the end. Rows without anything in them are passed over.
    ///
    /// # Errors
    /// When the file can't be read on, or has too many rows.
    pub fn next_row(&mut self) -> Result<Option<Result<Row, Problem>>, FileError> {
        loop {
            if !self.reader.read_byte_record(&mut self.record)? {
                return Ok(None);
            }
            self.rows += 1;
            if self.rows > ROWS_MAX {
                return Err(FileError::TooLarge("the file has more than 100,000 rows"));
            }
            if self.record.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some(self.one()));
            }
        }
    }

    fn one(&self) -> Result<Row, Problem> {
        let row = self.rows + 1;
        let cells = decoded(&self.record, self.encoding).ok_or_else(|| Problem::whole(row, self.wrong_encoding()))?;
        if cells.len() != self.width {
            return Err(Problem::whole(
                row,
                (
                    "列の数が1行目と違います。カンマを含むセルは \" で囲んでください。",
                    "Another number of columns than the header. Put cells that hold a comma in quotes.",
                ),
            ));
        }
        let at = |place: &Option<usize>| place.and_then(|at| cells.get(at)).map(|cell| cell.trim().to_owned());
        let cells: Vec<String> = self.places.iter().map(|place| at(place).unwrap_or_default()).collect();
        for (column, cell) in Column::ALL.into_iter().zip(&cells) {
            let wrong = |why| Err(Problem::of(row, column, why));
            if cell.chars().count() > CELL_MAX {
                return wrong((
                    "長すぎます（500字まで）。短くしてください。",
                    "Too long; 500 letters at most. Shorten it.",
                ));
            }
            if cell.chars().any(char::is_control) {
                return wrong((
                    "改行などの制御文字があります。取り除いてください。",
                    "It holds a line break or another control character. Remove it.",
                ));
            }
            if my_number::contained_in(cell) {
                return wrong((
                    "マイナンバーと思われる番号があります。取り除いてください。",
                    "It seems to hold a My Number. Remove it.",
                ));
            }
            if cell.is_empty() && column.is_needed() {
                return wrong(("空です。記入してください。", "It is empty. Fill it in."));
            }
        }
        Ok(Row { row, cells })
    }

    const fn wrong_encoding(&self) -> (&'static str, &'static str) {
        match self.encoding {
            Encoding::Utf8 => (
                "文字コードがほかの行（UTF-8）と違うか、壊れています。この行を入力し直し、全体を1つの文字コードで保存してください。",
                "Not in the encoding of the other rows (UTF-8), or broken. Type it again and save the whole in one encoding.",
            ),
            Encoding::ShiftJis => (
                "文字コードがほかの行（Shift_JIS）と違うか、壊れています。この行を入力し直し、全体を1つの文字コードで保存してください。",
                "Not in the encoding of the other rows (Shift_JIS), or broken. Type it again and save the whole in one encoding.",
            ),
        }
    }
}

/// By bytes: no letter of Shift_JIS has a comma, a quote or a line end as its second byte.
fn reader(file: File) -> csv::Reader<BufReader<File>> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(BufReader::new(file))
}

/// UTF-8, unless more rows are Shift_JIS and can't be UTF-8.
fn encoding_of(reader: &mut csv::Reader<BufReader<File>>) -> Result<Encoding, FileError> {
    let (mut utf8, mut other) = (0_u32, 0_u32);
    let mut record = ByteRecord::new();
    let mut rows = 0_u32;
    while reader.read_byte_record(&mut record)? && rows <= ROWS_MAX {
        rows += 1;
        if record.as_slice().is_ascii() {
            continue;
        }
        if record.iter().all(|cell| std::str::from_utf8(cell).is_ok()) {
            utf8 += 1;
        } else if record.iter().all(|cell| from_shift_jis(cell).is_some()) {
            other += 1;
        }
    }
    Ok(if other > utf8 { Encoding::ShiftJis } else { Encoding::Utf8 })
}

fn from_shift_jis(cell: &[u8]) -> Option<String> {
    SHIFT_JIS.decode_without_bom_handling_and_without_replacement(cell).map(std::borrow::Cow::into_owned)
}

/// The cells as text; `None` where the row is in another encoding, or in none.
fn decoded(record: &ByteRecord, encoding: Encoding) -> Option<Vec<String>> {
    let utf8 = |cell: &[u8]| std::str::from_utf8(cell).ok().map(str::to_owned);
    match encoding {
        Encoding::Utf8 => record.iter().map(utf8).collect(),
        Encoding::ShiftJis => {
            // Japanese in UTF-8 can be read as Shift_JIS, as nonsense.
            let japanese = |text: String| text.chars().any(|c| ('\u{3000}'..='\u{9fff}').contains(&c));
            let foreign = record.iter().any(|cell| utf8(cell).is_some_and(japanese));
            let cells = || record.iter().map(from_shift_jis).collect();
            if foreign { None } else { cells() }
        }
    }
}

fn places(names: &[String]) -> Result<[Option<usize>; Column::ALL.len()], FileError> {
    let plain = |name: &str| name.trim().trim_start_matches('\u{feff}').to_lowercase().replace(['\u{3000}', ' '], "");
    let mut places = [None; Column::ALL.len()];
    let mut missing = Vec::new();
    for (column, place) in Column::ALL.into_iter().zip(&mut places) {
        let [ja, en] = column.names();
        let mut found = names.iter().enumerate().filter(|(_, name)| [ja, en].contains(&plain(name).as_str()));
        *place = found.next().map(|(at, _)| at);
        if found.next().is_some() {
            return Err(FileError::Twice(column.text()));
        }
        if place.is_none() && column.is_needed() {
            missing.push(column.text());
        }
    }
    if missing.is_empty() { Ok(places) } else { Err(FileError::Missing(missing.join(", "))) }
}
