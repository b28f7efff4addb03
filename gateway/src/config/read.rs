//! Reading TOML so that every problem is reported at once, each with its line.
//!
//! A [`Section`] hands out its fields one by one; what is missing, of another type or unknown goes into the list of
//! problems, and reading goes on. Nothing here knows what a field means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Collects problems while a file is read.
pub struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    /// For this text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes one at a byte offset.
    pub fn at(&mut self, offset: usize, message: impl Into<String>) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        self.found.push(Problem { line, message: message.into() });
    }

    /// All of them, by line.
    #[must_use]
    pub fn into_list(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found
    }

    /// Whether there are none so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Byte offset in the file.
    pub offset: usize,
}

/// A table that is being read.
pub struct Section<'a, 'p, 't> {
    name: String,
    offset: usize,
    table: &'a DeTable<'a>,
    taken: BTreeSet<&'static str>,
    /// Where problems go.
    pub problems: &'p mut Problems<'t>,
}

type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a, 'p, 't> Section<'a, 'p, 't> {
    /// Reads this table under that name.
    pub fn new(name: impl Into<String>, offset: usize, table: &'a DeTable<'a>, problems: &'p mut Problems<'t>) -> Self {
        Self { name: name.into(), offset, table, taken: BTreeSet::new(), problems }
    }

    /// Where the section stands.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.taken.insert(key);
        self.table.iter().find(|(k, _)| k.get_ref().as_ref() == key).map(|(_, v)| v)
    }

    fn missing(&mut self, key: &str, what: &str) {
        self.problems.at(self.offset, format!("{}: `{key}` is missing ({what})", self.name));
    }

    /// Notes a problem with a field.
    pub fn wrong(&mut self, offset: usize, key: &str, what: &str) {
        self.problems.at(offset, format!("{}: `{key}` {what}", self.name));
    }

    /// A text, which must be there.
    pub fn text(&mut self, key: &'static str, what: &str) -> At<String> {
        let found = self.optional_text(key, what);
        if found.is_none() && !self.table.iter().any(|(k, _)| k.get_ref().as_ref() == key) {
            self.missing(key, what);
        }
        found.unwrap_or(At { value: String::new(), offset: self.offset })
    }

    /// A text, which may be there.
    pub fn optional_text(&mut self, key: &'static str, what: &str) -> Option<At<String>> {
        let value = self.value(key)?;
        let offset = value.span().start;
        match value.get_ref().as_str() {
            Some(text) if !text.is_empty() => Some(At { value: text.to_owned(), offset }),
            _ => {
                self.wrong(offset, key, &format!("must be a text ({what})"));
                None
            }
        }
    }

    /// A text that parses, which must be there. `None` was reported.
    pub fn parsed<T>(&mut self, key: &'static str, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<At<T>> {
        let text = self.text(key, what);
        if text.value.is_empty() {
            return None;
        }
        let parsed = parse(&text.value);
        if parsed.is_none() {
            self.wrong(text.offset, key, &format!("is `{}`, but must be {what}", text.value));
        }
        parsed.map(|value| At { value, offset: text.offset })
    }

    /// A path, taken from the configuration file's directory when it is relative.
    pub fn path(&mut self, key: &'static str, base: &Path, what: &str) -> PathBuf {
        base.join(self.text(key, what).value)
    }

    /// A list of texts; empty when it is not there.
    pub fn texts(&mut self, key: &'static str, what: &str) -> Vec<At<String>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(value.span().start, key, &format!("must be a list ({what})"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), offset: item.span().start }),
                None => self.wrong(item.span().start, key, &format!("must hold texts ({what})")),
            }
        }
        texts
    }

    /// A whole number in a range, or a default.
    pub fn number(&mut self, key: &'static str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(value) = self.value(key) else { return default };
        let number = value.get_ref().as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        match number.filter(|n| range.contains(n)) {
            Some(number) => number,
            None => {
                let what = format!("must be a whole number from {} to {}", range.start(), range.end());
                self.wrong(value.span().start, key, &what);
                default
            }
        }
    }

    /// A whole number in a range, if there is one.
    pub fn optional_number(&mut self, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.table.contains_key(key).then(|| self.number(key, *range.start(), range))
    }

    /// Yes or no, or a default.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(value.span().start, key, "must be true or false");
            default
        })
    }

    /// The tables of an array of tables, each as a section of its own.
    pub fn each(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_, '_, '_>)) {
        let Some(value) = self.value(key) else { return };
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong(value.span().start, key, &format!("must be written as [[{key}]]"));
        };
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    let mut section = Section::new(format!("[[{key}]]"), item.span().start, table, self.problems);
                    read(&mut section);
                    section.done();
                }
                None => self.wrong(item.span().start, key, "must hold tables"),
            }
        }
    }

    /// A table as a section of its own; reported when it is missing.
    pub fn one<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, '_, '_>) -> T) -> Option<T> {
        let Some(value) = self.value(key) else {
            self.missing(key, "a table");
            return None;
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(value.span().start, key, &format!("must be written as [{key}]"));
            return None;
        };
        let mut section = Section::new(format!("[{key}]"), value.span().start, table, self.problems);
        let out = read(&mut section);
        section.done();
        Some(out)
    }

    /// As [`Section::one`], where the table may be missing.
    pub fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, '_, '_>) -> T) -> Option<T> {
        if self.table.iter().any(|(k, _)| k.get_ref().as_ref() == key) {
            return self.one(key, read);
        }
        self.taken.insert(key);
        None
    }

    /// A table given as TOML text, for a part whose fields another crate knows. Its own errors carry no line of ours, so
    /// they are reported at the table's.
    pub fn embedded<T: serde::de::DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let Some(value) = self.value(key) else {
            self.missing(key, "a table");
            return None;
        };
        let span = value.span();
        match T::deserialize(toml::de::ValueDeserializer::from(value.clone())) {
            Ok(out) => Some(out),
            Err(error) => {
                self.wrong(span.start, key, &format!("is not understood: {}", error.message()));
                None
            }
        }
    }

    /// Reports what nobody asked for: a misspelt field must not be passed over.
    pub fn done(self) {
        for (key, value) in self.table {
            let key_text = key.get_ref().as_ref();
            if !self.taken.contains(key_text) {
                let known: Vec<&str> = self.taken.iter().copied().collect();
                let message = format!("{}: `{key_text}` is not known here; known are {}", self.name, known.join(", "));
                let _ = value;
                self.problems.at(key.span().start, message);
            }
        }
    }
}
