//! Checkpoints: C2SP tlog-checkpoint in a C2SP signed note, Ed25519 (`docs/formats.md` §6).
//!
//! Text and signature are the `tlog_tiles` and `signed_note` crates' work; here is only which key and which origin.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;
use signed_note::{Note, Signer, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

use crate::sabotage::{self, Check};

/// A checkpoint that is not one, or is not signed by the expected key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note that holds a checkpoint.
    #[error("not a signed checkpoint")]
    Malformed,
    /// The key's text is not a verifier key.
    #[error("not a verifier key (expected name+id+base64)")]
    Key,
    /// No valid signature by the expected key.
    #[error("the checkpoint is not signed by the expected key")]
    Signature,
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of another ledger")]
    Origin,
}

/// Ed25519's number in C2SP signed notes.
const NOTE_ED25519: u8 = 1;

/// Signs checkpoints and receipts of one ledger.
pub struct LedgerKey {
    origin: String,
    pair: Ed25519KeyPair,
    signer: StandardSigner,
}

impl std::fmt::Debug for LedgerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerKey(..)")
    }
}

impl LedgerKey {
    /// The key of this 32-byte seed, for the ledger of this origin (a name without spaces and `+`).
    ///
    /// # Errors
    /// When the origin is not a valid key name.
    pub fn new(origin: &str, seed: [u8; 32]) -> Result<Self, CheckpointError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| CheckpointError::Key)?;
        let public = note_bytes(pair.public_key().as_ref());
        let id = signed_note::key_id(origin, &public);
        let text = format!("PRIVATE+KEY+{origin}+{id:08x}+{}", BASE64.encode(&note_bytes(&seed)));
        let signer = StandardSigner::new(&text).map_err(|_| CheckpointError::Key)?;
        Ok(Self { origin: origin.to_owned(), pair, signer })
    }

    /// The name of the ledger.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The verifier key as signed-note tools take it: `origin+id+base64`.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        let public = note_bytes(self.pair.public_key().as_ref());
        format!("{}+{:08x}+{}", self.origin, signed_note::key_id(&self.origin, &public), BASE64.encode(&public))
    }

    /// The raw public key, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The key as PKCS #8, for signing receipts as JWS.
    ///
    /// # Errors
    /// When the library can't write it.
    pub fn pkcs8(&self) -> Result<Vec<u8>, CheckpointError> {
        self.pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()).map_err(|_| CheckpointError::Key)
    }

    /// A signed checkpoint of the tree of this size and root.
    ///
    /// # Errors
    /// When signing fails.
    pub fn checkpoint(&self, size: u64, root: [u8; 32]) -> Result<Vec<u8>, CheckpointError> {
        let checkpoint = Checkpoint::new(&self.origin, size, Hash(root), "").map_err(|_| CheckpointError::Malformed)?;
        self.sign_note(&checkpoint.to_bytes())
    }

    /// A signed note of this text.
    ///
    /// # Errors
    /// When the text is not one, or signing fails.
    pub(crate) fn sign_note(&self, text: &[u8]) -> Result<Vec<u8>, CheckpointError> {
        let mut note = Note::new(text, &[]).map_err(|_| CheckpointError::Malformed)?;
        let signers: [&dyn Signer; 1] = [&self.signer];
        note.add_sigs(&signers).map_err(|_| CheckpointError::Signature)?;
        Ok(note.to_bytes())
    }
}

fn note_bytes(key: &[u8]) -> Vec<u8> {
    [&[NOTE_ED25519], key].concat()
}

/// Checks a signed checkpoint against a verifier key; gives size and root.
///
/// # Errors
/// When it is malformed, of another ledger, or not signed by that key.
pub fn open_checkpoint(signed: &[u8], verifier_key: &str) -> Result<(u64, [u8; 32]), CheckpointError> {
    let (text, origin) = open_note(signed, verifier_key)?;
    let checkpoint = Checkpoint::from_bytes(&text).map_err(|_| CheckpointError::Malformed)?;
    if checkpoint.origin() != origin {
        return Err(CheckpointError::Origin);
    }
    Ok((checkpoint.size(), checkpoint.hash().0))
}

/// Checks a signed note against a verifier key; gives its text and the ledger's name.
///
/// # Errors
/// When it is malformed or not signed by that key.
pub(crate) fn open_note(signed: &[u8], verifier_key: &str) -> Result<(Vec<u8>, String), CheckpointError> {
    let verifier = StandardVerifier::new(verifier_key).map_err(|_| CheckpointError::Key)?;
    let origin = signed_note::Verifier::name(&verifier).to_owned();
    let note = Note::from_bytes(signed).map_err(|_| CheckpointError::Malformed)?;
    let verified = note.verify(&VerifierList::new(vec![Box::new(verifier)]));
    if verified.is_err() && !sabotage::off(Check::CheckpointSignature) {
        return Err(CheckpointError::Signature);
    }
    Ok((note.text().to_vec(), origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_checkpoint() {
        let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
        let signed = String::from_utf8(key.checkpoint(3, [5; 32]).unwrap()).unwrap();
        let expected = "sekisho.example/ledger\n3\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n\n\
            \u{2014} sekisho.example/ledger NoWzsBVqTbGE6JOkPSZJGJMfJqCw5ayd1z7ykhFfhRKPjlVGbbZ7P3DH9DU2VoqJTuPLa5wxEEbcOc/QlCPjcPvcoQ0=\n";
        assert_eq!(signed, expected);
        assert_eq!(open_checkpoint(signed.as_bytes(), &key.verifier_key()), Ok((3, [5; 32])));
    }

    #[test]
    fn another_key_origin_or_text_is_refused() {
        let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
        let signed = key.checkpoint(3, [5; 32]).unwrap();
        let other = LedgerKey::new("sekisho.example/ledger", [8; 32]).unwrap();
        assert_eq!(open_checkpoint(&signed, &other.verifier_key()), Err(CheckpointError::Signature));
        let text = String::from_utf8(signed).unwrap();
        let bent = text.replacen("\n3\n", "\n4\n", 1);
        assert_eq!(open_checkpoint(bent.as_bytes(), &key.verifier_key()), Err(CheckpointError::Signature));
        assert_eq!(open_checkpoint(b"nonsense", &key.verifier_key()), Err(CheckpointError::Malformed));
    }
}
