//! Text forms of identifiers (`docs/formats.md` §1), and minting them.
//!
//! An id is 128 random bits; its text is a three-letter prefix for its type, a hyphen, and 26 letters of base32. There is
//! one spelling of each: upper case, padding and stray bits are refused. Pairwise ids carry no prefix, since FHIR allows
//! letters, digits, `-` and `.` only and a prefix would tell nothing.

use std::fmt;

use data_encoding::{Encoding, Specification};
use rand::RngCore as _;
use sekisho_policy::{AuthorityId, BasisId, BlockId, ConsentId, PartyId, PersonId, RefusalId};
use std::sync::LazyLock;

/// Base32 of RFC 4648 §6 in lower case, without padding; trailing bits must be zero.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    #[expect(clippy::expect_used, reason = "a constant specification; the first test would fail")]
    spec.encoding().expect("32 distinct symbols")
});

/// Letters that 128 bits take.
const ID_LETTERS: usize = 26;

/// Text that is not an id of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of the expected type")]
pub struct IdError;

/// An id with a text form.
pub trait TextId: Copy {
    /// Three letters that name the type.
    const PREFIX: &'static str;
    /// The id of these bytes.
    fn of(bytes: [u8; 16]) -> Self;
    /// The bytes of the id.
    fn raw(&self) -> &[u8; 16];

    /// A fresh random id.
    fn mint() -> Self {
        Self::of(unpredictable())
    }

    /// `prefix-letters`.
    fn text(&self) -> String {
        let mut out = String::with_capacity(Self::PREFIX.len() + 1 + ID_LETTERS);
        out.push_str(Self::PREFIX);
        out.push('-');
        BASE32.encode_append(self.raw(), &mut out);
        out
    }

    /// Parses [`TextId::text`].
    ///
    /// # Errors
    /// When the prefix is another or the letters are not the one spelling of an id.
    fn parse(text: &str) -> Result<Self, IdError> {
        let letters = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.strip_prefix('-')).ok_or(IdError)?;
        decode(letters).map(Self::of)
    }
}

fn decode(letters: &str) -> Result<[u8; 16], IdError> {
    if letters.len() != ID_LETTERS {
        return Err(IdError);
    }
    BASE32.decode(letters.as_bytes()).ok().and_then(|b| b.try_into().ok()).ok_or(IdError)
}

/// Random bytes for ids and nonces, of which every request takes some: from a generator of this thread that nobody can
/// predict (ChaCha12, seeded and reseeded by the operating system).
#[must_use]
pub fn unpredictable<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// Random bytes for keys and secrets: from the operating system's source, by way of aws-lc.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without randomness nothing here is safe: stop rather than go on")]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source answers");
    bytes
}

macro_rules! text_ids {
    ($($name:ident $prefix:literal;)*) => {$(
        impl TextId for $name {
            const PREFIX: &'static str = $prefix;
            fn of(bytes: [u8; 16]) -> Self { Self::from_bytes(bytes) }
            fn raw(&self) -> &[u8; 16] { self.bytes() }
        }
    )*};
}

macro_rules! own_ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);
        impl $name {
            /// The id with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { Self(bytes) }
            /// The 128 bits.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] { &self.0 }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(concat!(stringify!($name), "(..)")) }
        }
        text_ids! { $name $prefix; }
    )*};
}

own_ids! {
    /// One entry of the ledger; a decision is named by its entry.
    EntryId "ent";
    /// A link between a person and a login or a record at a party.
    LinkId "lnk";
    /// A key under which personal fields are sealed.
    KeyId "key";
    /// A delivery of a summary that a person's app asked for.
    ForwardId "fwd";
    /// A flagged consultation (要ケア事例).
    CaseId "cas";
    /// A municipality's package of a week, or of what could not wait for one.
    PackageId "pkg";
    /// A call for a human at a consultation service.
    AlertId "alr";
}

text_ids! {
    PersonId "psn";
    PartyId "prt";
    ConsentId "cns";
    RefusalId "rfs";
    BlockId "blk";
    AuthorityId "aut";
    BasisId "bss";
}

/// What one party knows a subject by. Random, minted per (party, subject); useless to any other party.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairwiseId([u8; 16]);

impl PairwiseId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 128 bits.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// 26 letters, a valid FHIR id.
    #[must_use]
    pub fn text(&self) -> String {
        BASE32.encode(&self.0)
    }

    /// Parses [`PairwiseId::text`].
    ///
    /// # Errors
    /// When it is not the one spelling of an id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        decode(text).map(Self)
    }
}

impl fmt::Debug for PairwiseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairwiseId(..)")
    }
}

/// The id of a party: the first 128 bits of SHA-256 over `sekisho-party:` and its registered code. Organisations are
/// public; deriving their ids keeps the ledger readable without the configuration of its day.
#[must_use]
pub fn party_id(code: &str) -> PartyId {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(b"sekisho-party:");
    context.update(code.as_bytes());
    let digest = context.finish();
    let mut id = [0; 16];
    id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    PartyId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text_forms() {
        let bytes: [u8; 16] = std::array::from_fn(|i| i as u8);
        assert_eq!(PersonId::of(bytes).text(), "psn-aaaqeayeaudaocajbifqydiob4");
        assert_eq!(EntryId::of([0xff; 16]).text(), "ent-77777777777777777777777774");
        assert_eq!(PairwiseId::from_bytes(bytes).text(), "aaaqeayeaudaocajbifqydiob4");
        assert_eq!(party_id("yotsuba-phr").text(), "prt-rlajeza4aintuz7vwxykns7lni");
    }

    #[test]
    fn there_is_one_spelling_of_an_id() {
        let good = "psn-aaaqeayeaudaocajbifqydiob4";
        assert!(PersonId::parse(good).is_ok());
        for wrong in [
            "cns-aaaqeayeaudaocajbifqydiob4",
            "psn-AAAQEAYEAUDAOCAJBIFQYDIOB4",
            "psn-aaaqeayeaudaocajbifqydiob5",
            "psn-aaaqeayeaudaocajbifqydiob",
            "psn-aaaqeayeaudaocajbifqydiob4=",
            "psnaaaqeayeaudaocajbifqydiob4",
            "",
        ] {
            assert_eq!(PersonId::parse(wrong).map(|_| ()), Err(IdError), "{wrong}");
        }
    }
}
