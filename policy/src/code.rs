//! Registered codes: short lower-case names of purposes and categories, kept inline so that comparing and copying them
//! never allocates.

use core::fmt;

const CODE_BYTES_MAX: usize = 31;

/// A registered code: a lower-case letter, then up to 30 of `a-z 0-9 -`, not ending in `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    // INVARIANT: the first `len` bytes are the code, the rest are zero; so derived equality is equality of codes.
    bytes: [u8; CODE_BYTES_MAX],
    len: u8,
}

/// Text that is not a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeError;

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a code is a lower-case letter, then up to 30 of a-z, 0-9 and -, not ending in -")
    }
}

impl core::error::Error for CodeError {}

impl Code {
    /// Parses a code; there is one spelling of each.
    ///
    /// # Errors
    /// When the text is not of the code's form.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let src = text.as_bytes();
        let first = src.first().ok_or(CodeError)?;
        let well_formed = src.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !first.is_ascii_lowercase() || !well_formed || src.ends_with(b"-") {
            return Err(CodeError);
        }
        let mut bytes = [0; CODE_BYTES_MAX];
        bytes.get_mut(..src.len()).ok_or(CodeError)?.copy_from_slice(src);
        Ok(Self { bytes, len: u8::try_from(src.len()).map_err(|_| CodeError)? })
    }

    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The bytes come from `parse`, which takes ASCII only; the empty text is unreachable.
        self.bytes.get(..usize::from(self.len)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_code_has_one_spelling() {
        assert_eq!(Code::parse("body-weight").unwrap().to_string(), "body-weight");
        for wrong in ["", "-a", "a-", "A", "a b", "1a", "ａ", "a_b", "abcdefghijklmnopqrstuvwxyzabcdef"] {
            assert_eq!(Code::parse(wrong), Err(CodeError), "{wrong}");
        }
        assert!(Code::parse("abcdefghijklmnopqrstuvwxyzabcde").is_ok());
    }
}
