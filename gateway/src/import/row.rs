//! One row of the table: its columns by name, and what can be wrong with one.

use serde::{Deserialize, Serialize};

/// A row as it goes to the gateway: what stands in the cells, trimmed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its number as a spreadsheet counts: the header is 1.
    pub row: u32,
    /// The cells, in the order of [`Column::ALL`]; empty where there is none.
    pub cells: Vec<String>,
}

impl Row {
    /// What stands in a column.
    #[must_use]
    pub fn cell(&self, column: Column) -> &str {
        self.cells.get(column as usize).map_or("", String::as_str)
    }
}

/// A column that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names in Japanese and English say what they are")]
pub enum Column {
    Id,
    GrantorId,
    Recipient,
    Purpose,
    Categories,
    Source,
    From,
    LastDay,
    TextVersion,
    Way,
    GivenOn,
    Evidence,
    CheckedBy,
}

impl Column {
    /// Every column, in the order of a row's cells.
    pub const ALL: [Self; 13] = [
        Self::Id,
        Self::GrantorId,
        Self::Recipient,
        Self::Purpose,
        Self::Categories,
        Self::Source,
        Self::From,
        Self::LastDay,
        Self::TextVersion,
        Self::Way,
        Self::GivenOn,
        Self::Evidence,
        Self::CheckedBy,
    ];

    /// Its names in a header, Japanese and English.
    #[must_use]
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Id => ["宛名番号", "id"],
            Self::GrantorId => ["保護者の宛名番号", "grantor_id"],
            Self::Recipient => ["提供先", "recipient"],
            Self::Purpose => ["利用目的", "purpose"],
            Self::Categories => ["提供する情報", "categories"],
            Self::Source => ["提供元", "source"],
            Self::From => ["開始日", "from"],
            Self::LastDay => ["終了日", "last_day"],
            Self::TextVersion => ["文面の版", "text_version"],
            Self::Way => ["取得方法", "way"],
            Self::GivenOn => ["取得日", "given_on"],
            Self::Evidence => ["証拠", "evidence"],
            Self::CheckedBy => ["本人確認者", "checked_by"],
        }
    }

    /// Whether a table must have it. Without a guardian it is the subject's own word; without a source it is for any.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        !matches!(self, Self::GrantorId | Self::Source | Self::GivenOn)
    }

    /// Both names, as problems are told.
    #[must_use]
    pub fn text(self) -> String {
        let [ja, en] = self.names();
        format!("{ja} ({en})")
    }
}

/// What is wrong with a row, and what to do. It never holds what stands in the cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which row: the header is 1.
    pub row: u32,
    /// Which column, in both languages; empty when it is the row.
    pub column: String,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

impl Problem {
    /// A problem of one column.
    #[must_use]
    pub fn of(row: u32, column: Column, (ja, en): (&str, &str)) -> Self {
        Self { row, column: column.text(), ja: ja.to_owned(), en: en.to_owned() }
    }

    /// A problem of the whole row.
    #[must_use]
    pub fn whole(row: u32, (ja, en): (&str, &str)) -> Self {
        Self { row, column: String::new(), ja: ja.to_owned(), en: en.to_owned() }
    }
}
