//! Opening: first all of it is decrypted and checked, and nothing is written; then it is read again, row by row.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use super::seal::note;
use super::{KeyPair, LINE_MAX, PIECE, TAG};
use crate::ledger::checkpoint::{CheckpointError, open_note};
use crate::sabotage::{self, Check};
use crate::week::row::{Head, Row};

/// Longest age header that is looked through.
const HEADER_MAX: u64 = 64 << 10;
/// Length of the nonce behind age's header.
const NONCE: u64 = 16;
/// Bytes of a signed note, at most.
const NOTE_MAX: usize = 8 << 10;

/// Why a package isn't opened. Each says what to do; nothing of a row is in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an age file.
    #[error(
        "これはパッケージではありません。別のファイルを選んでいないか確かめてください。/ This is not a package; is it another file?"
    )]
    NotAPackage,
    /// The length can't be right.
    #[error(
        "ファイルの長さが正しくありません。途中で切れているか、末尾に何か付いています。もう一度受け取ってください。/ The length is wrong: it is cut off, or something stands behind it. Fetch it again."
    )]
    Truncated,
    /// Sealed to another key.
    #[error(
        "このパッケージは別の鍵あてです。この鍵では開けません。/ This package is sealed to another key than this one."
    )]
    OtherKey,
    /// It was changed.
    #[error(
        "パッケージの中身が変わっています。使わずに、もう一度受け取ってください。/ The package was altered. Do not use it; fetch it again."
    )]
    Altered,
    /// Signed by somebody else, or not at all.
    #[error(
        "署名が、指定した送り手のものではありません。使わないでください。/ It is not signed by the signer that you named. Do not use it."
    )]
    OtherSigner,
    /// The signer's key can't be read.
    #[error("送り手の検証鍵の書き方が違います（名前+番号+base64）。/ Not a verifier key (expected name+id+base64).")]
    SignerKey,
    /// Signed for another recipient, and sealed again to us by somebody.
    #[error(
        "このパッケージは別の自治体あてに作られたものです。使わないでください。/ This package was made for somebody else. Do not use it."
    )]
    OtherParty,
    /// Its time is over.
    #[error(
        "利用期限（{until}）を過ぎています。新しいパッケージを受け取ってください。/ It was valid until {until}. Fetch a new one."
    )]
    Expired {
        /// Until when it was good.
        until: String,
    },
    /// A newer gateway's.
    #[error(
        "この版では読めない形式です。新しい sekisho で開いてください。/ Another version of the format: open it with a newer sekisho."
    )]
    Version,
    /// Reading the file failed.
    #[error("ファイルを読めません。/ The file could not be read.")]
    Io(#[from] io::Error),
}

/// A package that was checked as a whole.
#[derive(Debug)]
pub struct Checked {
    /// Its head.
    pub head: Head,
    digest: Vec<u8>,
}

/// Checks all of a package: sealed to this key, whole, signed by `signer` for this key, and in time.
///
/// # Errors
/// [`OpenError`].
pub fn check<R: Read + Seek>(file: &mut R, key: &KeyPair, signer: &str, now: Timestamp) -> Result<Checked, OpenError> {
    length(file)?;
    let mut lines = Lines::new(file, key)?;
    let mut body = Context::new(&SHA256);
    let head: Head = match lines.next()? {
        Some(line) if line.starts_with(b"{") => {
            body.update(line);
            serde_json::from_slice(line).map_err(|_| OpenError::Version)?
        }
        _ => return Err(OpenError::Version),
    };
    let mut rows: u32 = 0;
    let mut signed = Vec::new();
    while let Some(line) = lines.next()? {
        if signed.is_empty() && line.starts_with(b"{") {
            body.update(line);
            rows = rows.saturating_add(1);
        } else if signed.len().saturating_add(line.len()) <= NOTE_MAX {
            signed.extend_from_slice(line);
        } else if line != b"\n" {
            return Err(OpenError::Altered);
        }
    }
    let filled = signed.iter().rposition(|b| *b != b'\n').map_or(0, |at| at.saturating_add(2));
    signed.truncate(filled);
    let digest = body.finish().as_ref().to_vec();
    let text = match open_note(&signed, signer) {
        Ok((text, _)) => text,
        Err(CheckpointError::Key) => return Err(OpenError::SignerKey),
        Err(CheckpointError::Signature) => return Err(OpenError::OtherSigner),
        Err(_) => return Err(OpenError::Altered),
    };
    bound(&text, &head, key, rows, &digest)?;
    let until: Timestamp = head.valid_until.parse().map_err(|_| OpenError::Version)?;
    if now > until && !sabotage::off(Check::PackageInTime) {
        return Err(OpenError::Expired { until: head.valid_until });
    }
    Ok(Checked { head, digest })
}

/// Whether what was signed is this head, for this key, over these rows.
fn bound(text: &[u8], head: &Head, key: &KeyPair, rows: u32, digest: &[u8]) -> Result<(), OpenError> {
    let text = std::str::from_utf8(text).map_err(|_| OpenError::Altered)?;
    if !text.starts_with(&format!("{}\n", super::FORMAT)) {
        return Err(OpenError::Version);
    }
    let recipient = text.lines().find_map(|line| line.strip_prefix("recipient "));
    if recipient != Some(key.public()) && !sabotage::off(Check::PackageFor) {
        return Err(OpenError::OtherParty);
    }
    let expected = note(head, recipient.unwrap_or_default(), digest);
    if (text != expected || head.rows != rows) && !sabotage::off(Check::PackageBound) {
        return Err(OpenError::Altered);
    }
    Ok(())
}

/// Reads the rows of a package that was checked. What `each` fails with ends it.
///
/// # Errors
/// [`OpenError`], also when the file isn't the one that was checked any more.
pub fn rows<R: Read + Seek>(
    file: &mut R,
    key: &KeyPair,
    checked: &Checked,
    mut each: impl FnMut(Row) -> io::Result<()>,
) -> Result<(), OpenError> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = Lines::new(file, key)?;
    let mut body = Context::new(&SHA256);
    let mut first = true;
    while let Some(line) = lines.next()?.filter(|line| line.starts_with(b"{")) {
        body.update(line);
        if !std::mem::take(&mut first) {
            each(serde_json::from_slice(line).map_err(|_| OpenError::Version)?)?;
        }
    }
    if body.finish().as_ref() != checked.digest { Err(OpenError::Altered) } else { Ok(()) }
}

/// Whether the file is age's header, a nonce, and whole pieces. Leaves it at the beginning.
fn length<R: Read + Seek>(file: &mut R) -> Result<(), OpenError> {
    let all = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut begin = Vec::new();
    Read::take(&mut *file, HEADER_MAX).read_to_end(&mut begin)?;
    file.seek(SeekFrom::Start(0))?;
    if !begin.starts_with(b"age-encryption.org/v1\n") {
        return Err(OpenError::NotAPackage);
    }
    let mac = begin.windows(5).position(|five| five == b"\n--- ").map(|at| at.saturating_add(1));
    let end = mac.and_then(|mac| Some(mac.saturating_add(begin.get(mac..)?.iter().position(|b| *b == b'\n')?)));
    let header = end.and_then(|end| u64::try_from(end).ok()).map_or(u64::MAX, |end| end.saturating_add(1));
    let payload = all.checked_sub(header.saturating_add(NONCE)).ok_or(OpenError::Truncated)?;
    let piece = u64::try_from(PIECE.saturating_add(TAG)).unwrap_or(u64::MAX);
    if payload == 0 || payload % piece != 0 { Err(OpenError::Truncated) } else { Ok(()) }
}

/// The lines of a package, each with its line break, none longer than [`LINE_MAX`].
struct Lines<'f, R: Read> {
    from: BufReader<age::stream::StreamReader<&'f mut R>>,
    line: Vec<u8>,
}

impl<'f, R: Read> Lines<'f, R> {
    fn new(file: &'f mut R, key: &KeyPair) -> Result<Self, OpenError> {
        use age::DecryptError;
        let failed = |error: DecryptError| match error {
            DecryptError::NoMatchingKeys => OpenError::OtherKey,
            DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => OpenError::Truncated,
            DecryptError::UnknownFormat => OpenError::NotAPackage,
            DecryptError::Io(_) | DecryptError::InvalidHeader => OpenError::Altered,
            _ => OpenError::Altered,
        };
        let decryptor = age::Decryptor::new(file).map_err(failed)?;
        let identities = std::iter::once(&key.identity as &dyn age::Identity);
        let plain = decryptor.decrypt(identities).map_err(failed)?;
        Ok(Self { from: BufReader::with_capacity(PIECE, plain), line: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<&[u8]>, OpenError> {
        self.line.clear();
        let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        match Read::take(&mut self.from, most).read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(None),
            Ok(_) if self.line.ends_with(b"\n") => Ok(Some(&self.line)),
            Ok(_) => Err(OpenError::Altered),
            // Pieces are authenticated: what isn't sound was changed, or stands at another place.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(OpenError::Truncated),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(OpenError::Altered),
            Err(error) => Err(OpenError::Io(error)),
        }
    }
}
