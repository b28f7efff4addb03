//! Sealing (`docs/formats.md` §3): AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front.
//!
//! A key seals the entries of one person and one class, far fewer than the 2³² that random nonces allow. The AAD is the
//! entry's header, so a body can't be moved under another header.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::ids::{random, unpredictable};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The body was sealed under another key or header, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open with this key and header")]
pub struct SealError;

/// A key to seal and open with. Its bytes never leave but wrapped under another.
pub struct SealKey {
    key: LessSafeKey,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl SealKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        #[expect(clippy::expect_used, reason = "fails only for a wrong length, which the type rules out")]
        let unbound = UnboundKey::new(&AES_256_GCM, &bytes).expect("32 bytes are an AES-256 key");
        Self { key: LessSafeKey::new(unbound), bytes: Zeroizing::new(bytes) }
    }

    /// A fresh random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(random())
    }

    /// nonce ‖ ciphertext ‖ tag.
    #[must_use]
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.seal_with_nonce(unpredictable(), aad, plain)
    }

    pub(super) fn seal_with_nonce(&self, nonce: [u8; NONCE_LEN], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + 16);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let body = out.get_mut(NONCE_LEN..).unwrap_or_default();
        #[expect(clippy::expect_used, reason = "fails only past 64 GiB of plain text; entries are at most 1 MiB")]
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
            .expect("an entry fits AES-GCM");
        out.extend_from_slice(tag.as_ref());
        out
    }

    /// Opens what [`SealKey::seal`] gave.
    ///
    /// # Errors
    /// When key, header or bytes differ from those at sealing.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut body = body.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| SealError)?.len();
        body.truncate(plain);
        Ok(body)
    }

    /// This key sealed under another, for the vault.
    #[must_use]
    pub fn wrapped_under(&self, wrapping: &Self, aad: &[u8]) -> Vec<u8> {
        wrapping.seal(aad, self.bytes.as_ref())
    }

    /// Opens what [`SealKey::wrapped_under`] gave.
    ///
    /// # Errors
    /// When the wrapping key is another, or the bytes were changed.
    pub fn unwrap_under(wrapping: &Self, aad: &[u8], wrapped: &[u8]) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(wrapping.open(aad, wrapped)?);
        let bytes: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| SealError)?;
        Ok(Self::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn golden_sealed_bytes() {
        let key = SealKey::new(std::array::from_fn(|i| i as u8));
        let sealed = key.seal_with_nonce([7; NONCE_LEN], b"header", b"body");
        assert_eq!(HEXLOWER.encode(&sealed), GOLDEN);
        assert_eq!(key.open(b"header", &sealed).unwrap(), b"body");
    }

    const GOLDEN: &str = "0707070707070707070707076d05c2252d6c918f5727417478a93671a8166b6f";

    #[test]
    fn another_key_header_or_bit_does_not_open() {
        let key = SealKey::generate();
        let sealed = key.seal(b"header", b"body");
        assert_eq!(key.open(b"other", &sealed), Err(SealError));
        assert_eq!(SealKey::generate().open(b"header", &sealed), Err(SealError));
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(key.open(b"header", &bent), Err(SealError), "byte {at}");
        }
        assert_eq!(key.open(b"header", &sealed[..11]), Err(SealError));
    }
}
