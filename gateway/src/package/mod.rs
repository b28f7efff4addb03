//! A package for a municipality: rows sealed to its key, signed by this gateway (`docs/packages.md`).
//!
//! What it does: seals as rows come, opens in two passes (all of it is checked before anything is written), and writes what an
//! office can use: CSV, printable lists, JSON. Opening needs no network.
//! What it never does: decide what is in it, hold all rows at once, or put anything of a row into an error.

pub mod csv;
pub mod open;
mod pages;
pub mod print;
pub mod seal;
pub mod write;

use std::fmt;

use age::secrecy::ExposeSecret as _;

pub use open::{Checked, OpenError};
pub use seal::{SealError, Sealer, seal};

/// First line of what is signed: format and version.
const FORMAT: &str = "sekisho-package/1";
/// Bytes of one line of a package, at most: a row, or the head with its recalled cases.
const LINE_MAX: usize = 8 << 20;
/// age seals in pieces of so many bytes. What is sealed is filled up to whole pieces: a length that isn't one is seen at once.
const PIECE: usize = 64 << 10;
/// What a piece is longer by when it is sealed.
const TAG: usize = 16;

/// Exactly what stands beside a row of somebody who agreed to be named and to nothing more.
pub const BANNER: &str = "相談内容の共有には同意がありません。相談があったことには触れないでください";

/// A municipality's key pair: age's X25519. Its secret is not in `Debug`.
pub struct KeyPair {
    identity: age::x25519::Identity,
    public: String,
}

/// Not a key, or not this kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an age X25519 key")]
pub struct NotAKey;

impl KeyPair {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(age::x25519::Identity::generate())
    }

    /// Reads an identity file: comments, and one `AGE-SECRET-KEY-1…`.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn read(text: &str) -> Result<Self, NotAKey> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(NotAKey) };
        line.parse().map(Self::of).map_err(|_| NotAKey)
    }

    fn of(identity: age::x25519::Identity) -> Self {
        let public = identity.to_public().to_string();
        Self { identity, public }
    }

    /// The public key, `age1…`: what packages are sealed to.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The identity file. Whoever has it reads every package that was sealed to it.
    #[must_use]
    pub fn file(&self) -> zeroize::Zeroizing<String> {
        let secret = self.identity.to_string();
        zeroize::Zeroizing::new(format!("# public key: {}\n{}\n", self.public, secret.expose_secret()))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}

/// Whether packages can be sealed to this text.
#[must_use]
pub fn is_recipient(text: &str) -> bool {
    text.parse::<age::x25519::Recipient>().is_ok()
}
