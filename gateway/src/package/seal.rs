//! Sealing: head and rows as lines, then a signed note that binds them, then filling; all of it encrypted as it comes.

use std::io::{self, Write};

use age::stream::StreamWriter;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64;

use super::{FORMAT, LINE_MAX, PIECE};
use crate::ledger::checkpoint::LedgerKey;
use crate::week::row::{Head, Row};

/// Why a package can't be sealed. Nothing of a row is in it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The municipality's key is none.
    #[error("not a key that can be sealed to (age1…)")]
    Recipient,
    /// There were more or fewer rows than the head says.
    #[error("the head says {said} rows, and there were {were}")]
    Rows {
        /// Said.
        said: u32,
        /// Were.
        were: u32,
    },
    /// A line can't be written: too long, or a head that holds a line break where none can be.
    #[error("the {0} can't be written")]
    Line(&'static str),
    /// The ledger's key doesn't sign.
    #[error("the package could not be signed")]
    Sign,
    /// Writing failed.
    #[error("the package could not be written")]
    Io(#[from] io::Error),
}

/// Seals a package as rows come.
pub struct Sealer<'k, W: Write> {
    out: StreamWriter<W>,
    body: Context,
    bytes: usize,
    line: Vec<u8>,
    head: Head,
    recipient: String,
    key: &'k LedgerKey,
    rows: u32,
}

impl<'k, W: Write> Sealer<'k, W> {
    /// Begins one for a municipality's key.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn new(to: W, head: Head, recipient: &str, key: &'k LedgerKey) -> Result<Self, SealError> {
        let to_key: age::x25519::Recipient = recipient.parse().map_err(|_| SealError::Recipient)?;
        let plain = [&head.package, &head.week, &head.municipality, &head.built, &head.valid_until];
        if plain.iter().any(|text| text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace())) {
            return Err(SealError::Line("head"));
        }
        let recipients = std::iter::once(&to_key as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| SealError::Recipient)?;
        let out = encryptor.wrap_output(to)?;
        let body = Context::new(&SHA256);
        let recipient = recipient.to_owned();
        let mut sealer = Self { out, body, bytes: 0, line: Vec::new(), head, recipient, key, rows: 0 };
        serde_json::to_writer(&mut sealer.line, &sealer.head).map_err(|_| SealError::Line("head"))?;
        sealer.end_line("head")?;
        Ok(sealer)
    }

    /// One more row.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn row(&mut self, row: &Row) -> Result<(), SealError> {
        serde_json::to_writer(&mut self.line, row).map_err(|_| SealError::Line("row"))?;
        self.rows = self.rows.saturating_add(1);
        self.end_line("row")
    }

    fn end_line(&mut self, what: &'static str) -> Result<(), SealError> {
        self.line.push(b'\n');
        if self.line.len() > LINE_MAX {
            return Err(SealError::Line(what));
        }
        self.body.update(&self.line);
        let line = std::mem::take(&mut self.line);
        self.write(&line)?;
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes = self.bytes.wrapping_add(bytes.len());
        self.out.write_all(bytes)
    }

    /// Signs, fills up and ends it.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn finish(mut self) -> Result<W, SealError> {
        if self.rows != self.head.rows {
            return Err(SealError::Rows { said: self.head.rows, were: self.rows });
        }
        let digest = self.body.clone().finish();
        let text = note(&self.head, &self.recipient, digest.as_ref());
        let note = self.key.sign_note(text.as_bytes()).map_err(|_| SealError::Sign)?;
        self.write(&note)?;
        let filling = vec![b'\n'; (PIECE - self.bytes % PIECE) % PIECE];
        self.write(&filling)?;
        Ok(self.out.finish()?)
    }
}

/// What is signed.
pub(super) fn note(head: &Head, recipient: &str, digest: &[u8]) -> String {
    format!(
        "{FORMAT}\npackage {}\nmunicipality {}\nweek {}\ncopy {}\nrecipient {recipient}\nbuilt {}\nvalid-until {}\nrows {}\nsha256 {}\n",
        head.package,
        head.municipality,
        head.week,
        head.copy,
        head.built,
        head.valid_until,
        head.rows,
        BASE64.encode(digest)
    )
}

/// Seals rows that are there already.
///
/// # Errors
/// [`SealError`].
pub fn seal(head: &Head, rows: &[&Row], to: &str, key: &LedgerKey) -> Result<Vec<u8>, SealError> {
    let mut sealer = Sealer::new(Vec::new(), head.clone(), to, key)?;
    for row in rows {
        sealer.row(row)?;
    }
    sealer.finish()
}
