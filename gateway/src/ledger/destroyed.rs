//! The list of destroyed keys: a C2SP signed note (`docs/formats.md` §11), to be kept where backups are not.
//!
//! A backup still holds keys that were destroyed after it was made. Restoring it destroys again what this list names. It
//! names keys, which are random, and nobody.

use data_encoding::HEXLOWER;

use super::checkpoint::{CheckpointError, LedgerKey, open_note};
use crate::ids::{KeyId, TextId};

const KIND: &str = "sekisho.destroyed-keys/1";

/// The signed list of these keys.
///
/// # Errors
/// When signing fails.
pub fn sign(key: &LedgerKey, destroyed: &[KeyId]) -> Result<Vec<u8>, CheckpointError> {
    let mut text = format!("{KIND}\n{}\n{}\n", key.origin(), destroyed.len());
    for id in destroyed {
        text.push_str(&HEXLOWER.encode(id.bytes()));
        text.push('\n');
    }
    key.sign_note(text.as_bytes())
}

/// The keys on a list that is signed by the ledger's key.
///
/// # Errors
/// When it is not such a list, of another ledger, or not signed by that key.
pub fn open(signed: &[u8], verifier_key: &str) -> Result<Vec<KeyId>, CheckpointError> {
    let (text, origin) = open_note(signed, verifier_key)?;
    let text = String::from_utf8(text).map_err(|_| CheckpointError::Malformed)?;
    let mut lines = text.lines();
    if lines.next() != Some(KIND) {
        return Err(CheckpointError::Malformed);
    }
    if lines.next() != Some(origin.as_str()) {
        return Err(CheckpointError::Origin);
    }
    let count: usize = lines.next().and_then(|line| line.parse().ok()).ok_or(CheckpointError::Malformed)?;
    let id = |line: &str| HEXLOWER.decode(line.as_bytes()).ok()?.try_into().ok().map(KeyId::of);
    let ids: Option<Vec<KeyId>> = lines.map(id).collect();
    ids.filter(|ids| ids.len() == count).ok_or(CheckpointError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_list_and_what_is_not_one() {
        let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
        let ids = [KeyId::of([1; 16]), KeyId::of([0xab; 16])];
        let signed = sign(&key, &ids).unwrap();
        let text = String::from_utf8(signed.clone()).unwrap();
        let body = "sekisho.destroyed-keys/1\nsekisho.example/ledger\n2\n\
            01010101010101010101010101010101\nabababababababababababababababab\n";
        assert!(text.starts_with(body), "{text}");
        assert_eq!(open(&signed, &key.verifier_key()).unwrap(), ids);
        assert_eq!(open(&sign(&key, &[]).unwrap(), &key.verifier_key()).unwrap(), []);
        let other = LedgerKey::new("sekisho.example/ledger", [8; 32]).unwrap();
        assert_eq!(open(&signed, &other.verifier_key()), Err(CheckpointError::Signature));
        let shorter = text.replacen("abababababababababababababababab\n", "", 1);
        assert_eq!(open(shorter.as_bytes(), &key.verifier_key()), Err(CheckpointError::Signature));
        let checkpoint = key.checkpoint(3, [5; 32]).unwrap();
        assert_eq!(open(&checkpoint, &key.verifier_key()), Err(CheckpointError::Malformed));
        assert!(super::super::checkpoint::open_checkpoint(&signed, &key.verifier_key()).is_err());
    }
}
