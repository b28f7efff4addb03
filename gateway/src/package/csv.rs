//! Rows as CSV that Excel opens in Japan: UTF-8 with a byte order mark, or Shift_JIS on request.
//!
//! What it never does: let a cell begin what a spreadsheet takes for a formula, or drop a letter that Shift_JIS doesn't have
//! without saying where.

use std::io::{self, Write};

use encoding_rs::SHIFT_JIS;

use super::BANNER;
use crate::week::row::{Contact, Head, Row, RowKind, Who, Withdrawn};

/// What stands for a letter that doesn't exist in Shift_JIS: the printers' mark for a missing letter.
pub const MISSING: char = '〓';
/// Letters that are named as missing, at most; all of them are replaced and counted.
pub const NAMED_MAX: usize = 1_000;

/// Which bytes a table is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 with a byte order mark.
    Utf8,
    /// What Windows calls Shift_JIS.
    ShiftJis,
}

/// A letter that had to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Row of the table, the header being 1.
    pub row: u32,
    /// Its column's name.
    pub column: &'static str,
    /// The letter.
    pub letter: char,
}

/// Columns of the list of cases.
pub const COLUMNS: [&str; 31] = [
    "事例番号",
    "緊急度",
    "共有の範囲",
    "注意",
    "家族に知られたくない",
    "安全な連絡手段",
    "連絡先",
    "連絡できる時間",
    "留守番電話",
    "氏名",
    "氏名カナ",
    "生年月日",
    "子の氏名",
    "子の氏名カナ",
    "子の生年月日",
    "住所",
    "郵便番号",
    "地区",
    "現在地",
    "相談日",
    "理由",
    "専門職の判断",
    "EPDS項目別",
    "EPDSの経過",
    "相談内容",
    "助言",
    "根拠",
    "利用期限",
    "提供先",
    "作成日時",
    "写し番号",
];

/// Columns of the list of recalled cases.
pub const RECALLED: [&str; 5] = ["事例番号", "回収日時", "提供先", "作成日時", "写し番号"];

/// A table as it is written.
pub struct Table<W: Write> {
    to: csv::Writer<W>,
    encoding: Encoding,
    columns: &'static [&'static str],
    row: u32,
    /// Letters that were replaced, the first ones of them.
    pub missing: Vec<Missing>,
    /// How many there were.
    pub missing_count: u64,
}

impl<W: Write> Table<W> {
    /// Begins a table with its header.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut to: W, encoding: Encoding, columns: &'static [&'static str]) -> io::Result<Self> {
        if encoding == Encoding::Utf8 {
            to.write_all("\u{feff}".as_bytes())?;
        }
        let to = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
        let mut table = Self { to, encoding, columns, row: 0, missing: Vec::new(), missing_count: 0 };
        table.cells(columns.iter().copied())?;
        Ok(table)
    }

    /// One row of cells, each made harmless.
    fn cells<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> io::Result<()> {
        self.row = self.row.saturating_add(1);
        for (at, cell) in cells.enumerate() {
            let text = harmless(cell);
            match self.encoding {
                Encoding::Utf8 => self.to.write_field(text.as_bytes())?,
                Encoding::ShiftJis => {
                    let bytes = self.in_shift_jis(&text, at);
                    self.to.write_field(bytes)?;
                }
            }
        }
        self.to.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn in_shift_jis(&mut self, text: &str, at: usize) -> Vec<u8> {
        let column = self.columns.get(at).copied().unwrap_or_default();
        let mut bytes = Vec::with_capacity(text.len());
        let mut room = [0; 4];
        for letter in text.chars().map(same_look) {
            let (encoded, _, unknown) = SHIFT_JIS.encode(letter.encode_utf8(&mut room));
            if !unknown {
                bytes.extend_from_slice(&encoded);
                continue;
            }
            bytes.extend_from_slice(&SHIFT_JIS.encode(MISSING.encode_utf8(&mut [0; 4])).0);
            self.missing_count = self.missing_count.saturating_add(1);
            if self.missing.len() < NAMED_MAX {
                self.missing.push(Missing { row: self.row, column, letter });
            }
        }
        bytes
    }

    /// A case.
    ///
    /// # Errors
    /// When writing fails.
    pub fn case(&mut self, row: &Row, head: &Head) -> io::Result<()> {
        let cells = case(row, head);
        self.cells(cells.iter().map(String::as_str))
    }

    /// A recalled case.
    ///
    /// # Errors
    /// The same.
    pub fn recalled(&mut self, one: &Withdrawn, head: &Head) -> io::Result<()> {
        let copy = head.copy.to_string();
        self.cells([&one.case, &one.since, &to_whom(head), &head.built, &copy].into_iter().map(String::as_str))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<(Vec<Missing>, u64)> {
        self.to.flush()?;
        Ok((self.missing, self.missing_count))
    }
}

fn case(row: &Row, head: &Head) -> [String; 31] {
    let child = |of: fn(&Who) -> String| row.child.as_ref().map(of).unwrap_or_default();
    let words = row.content.as_ref();
    let reasons: Vec<&str> = row.reasons.iter().map(|reason| reason.ja.as_str()).collect();
    let reach: Vec<&str> = row.contact.by.iter().map(|way| way.at.as_str()).filter(|at| !at.is_empty()).collect();
    let epds = words.and_then(|words| words.epds).map(|scores| {
        let scores = scores.map(|score| score.map_or_else(|| "－".to_owned(), |score| score.to_string()));
        scores.join(" ")
    });
    let course =
        words.map(|words| words.course.iter().map(|(date, sum)| format!("{date} {sum}点")).collect::<Vec<_>>());
    [
        row.case.clone(),
        urgency(row).to_owned(),
        if row.kind == RowKind::Full { "内容まで" } else { "氏名などのみ" }.to_owned(),
        if row.kind == RowKind::IdentityOnly { BANNER } else { "" }.to_owned(),
        if row.contact.hidden_from_family { "はい" } else { "" }.to_owned(),
        means(&row.contact),
        reach.join(" / "),
        row.contact.hours.clone(),
        if row.contact.voicemail { "可" } else { "不可" }.to_owned(),
        row.asker.name.clone(),
        row.asker.kana.clone(),
        row.asker.birth.to_string(),
        child(|who| who.name.clone()),
        child(|who| who.kana.clone()),
        child(|who| who.birth.to_string()),
        row.address.clone(),
        row.postal.as_deref().map(postal).unwrap_or_default(),
        row.district.clone(),
        row.present.clone().unwrap_or_default(),
        row.consulted.to_string(),
        reasons.join("、"),
        words.and_then(|words| words.judgement.clone()).unwrap_or_default(),
        epds.unwrap_or_default(),
        course.map(|course| course.join("、")).unwrap_or_default(),
        words.map(|words| words.consultation.clone()).unwrap_or_default(),
        words.map(|words| words.advice.clone()).unwrap_or_default(),
        super::print::ground(row),
        row.valid_until.clone(),
        to_whom(head),
        head.built.clone(),
        head.copy.to_string(),
    ]
}

fn to_whom(head: &Head) -> String {
    format!("{} ({})", head.municipality_ja, head.municipality)
}

/// The urgency in words.
#[must_use]
pub fn urgency(row: &Row) -> &'static str {
    use crate::week::triage::Urgency;
    match row.urgency {
        Urgency::Weekly => "通常",
        Urgency::Raised => "優先",
        Urgency::Urgent => "至急",
    }
}

/// Means in words, in the order of preference.
#[must_use]
pub fn means(contact: &Contact) -> String {
    let words = contact.by.iter().map(|way| match way.means.as_str() {
        "telephone" => "電話",
        "app-message" => "アプリのメッセージ",
        "mail" => "メール",
        "letter" => "手紙",
        "visit" => "訪問",
        other => other,
    });
    words.collect::<Vec<_>>().join("、")
}

/// With its hyphen: a spreadsheet would take the zeros off seven digits.
fn postal(digits: &str) -> String {
    digits.split_at_checked(3).map_or_else(|| digits.to_owned(), |(a, b)| format!("{a}-{b}"))
}

/// A cell that no spreadsheet takes for a formula: what begins like one, also behind blanks and in full width, gets an apostrophe.
#[must_use]
pub fn harmless(cell: &str) -> String {
    let first = cell.chars().find(|c| !c.is_whitespace() && !sekisho_adapters::phr_app::text::deceives(*c));
    let formula =
        first.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '\u{2212}' | '|' | '%'));
    let control = cell.starts_with(['\t', '\r', '\n']);
    if formula || control { format!("'{cell}") } else { cell.to_owned() }
}

/// Letters that look alike and of which only the second is in Shift_JIS as Windows has it.
const fn same_look(letter: char) -> char {
    match letter {
        '〜' => '～',
        '‖' => '∥',
        '—' => '―',
        '−' => '－',
        other => other,
    }
}
