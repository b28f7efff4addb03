//! Signed receipts (`docs/formats.md` §8): what was stopped, when, and what it took, as a JWS (RFC 7515) with EdDSA
//! (RFC 8037) under the ledger's key.

use data_encoding::BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::ids::TextId;
use crate::ledger::checkpoint::LedgerKey;
use crate::sabotage::{self, Check};
use crate::store::state::Ending;

/// `typ` of a receipt.
pub const RECEIPT_TYPE: &str = "sekisho-receipt+jwt";

/// What an acknowledgement of something that narrows says.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The gateway.
    pub iss: String,
    /// What happened: `revoked`, `refused`.
    pub event: &'static str,
    /// The ledger entry.
    pub entry: String,
    /// Its leaf hash, base64.
    pub leaf: String,
    /// Seconds since the epoch.
    pub iat: i64,
    /// When, RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// The consent or refusal.
    pub about: String,
    /// Transfers under way that were cut.
    pub transfers_cut: u32,
    /// Parties that may hold data from before, and whom the request to erase (消去のお願い) concerns. Sending it comes later.
    pub asked_to_erase: Vec<String>,
}

impl Receipt {
    /// A receipt of an entry.
    #[must_use]
    pub fn new(issuer: &str, event: &'static str, ending: &Ending, about: String, transfers_cut: u32) -> Self {
        Self {
            iss: issuer.to_owned(),
            event,
            entry: ending.entry.text(),
            leaf: BASE64.encode(&ending.leaf),
            iat: ending.at.millis().div_euclid(1_000),
            at: super::people::rfc3339(ending.at),
            about,
            transfers_cut,
            asked_to_erase: Vec::new(),
        }
    }

    /// Signs it. `None` when the library can't, which is the operator's matter: the event stands without a receipt.
    #[must_use]
    pub fn sign(&self, key: &LedgerKey) -> Option<String> {
        signed(RECEIPT_TYPE, self, key)
    }
}

/// A JWS of these claims by the ledger's key.
pub(super) fn signed<T: Serialize>(typ: &str, claims: &T, key: &LedgerKey) -> Option<String> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(typ.to_owned());
    header.kid = Some(key_id(key));
    let signing = EncodingKey::from_ed_der(&key.pkcs8().ok()?);
    let signed = jsonwebtoken::encode(&header, claims, &signing).ok()?;
    if sabotage::off(Check::ReceiptSignature) {
        return signed.rsplit_once('.').map(|(claims, _)| format!("{claims}."));
    }
    Some(signed)
}

/// The key's id: RFC 7638 thumbprint of its JWK.
#[must_use]
pub fn key_id(key: &LedgerKey) -> String {
    let x = data_encoding::BASE64URL_NOPAD.encode(key.public_key());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    data_encoding::BASE64URL_NOPAD.encode(&crate::ledger::merkle::sha256(canonical.as_bytes()))
}

/// The key set to check receipts with.
#[must_use]
pub fn key_set(key: &LedgerKey) -> Value {
    let x = data_encoding::BASE64URL_NOPAD.encode(key.public_key());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": key_id(key)}]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EntryId;
    use sekisho_policy::Timestamp;

    #[test]
    fn golden_receipt() {
        let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
        let ending =
            Ending { entry: EntryId::of([1; 16]), leaf: [2; 32], at: Timestamp::from_millis(1_795_305_600_123) };
        let mut receipt = Receipt::new("https://sekisho.example", "revoked", &ending, "cns-x".to_owned(), 2);
        receipt.asked_to_erase = vec!["app".to_owned()];
        let page = include_str!("../../../docs/formats.md");
        let golden = page.split_once("```golden receipt\n").unwrap().1.split_once("\n```").unwrap().0.replace('\n', "");
        assert_eq!(receipt.sign(&key).unwrap(), golden);
    }
}
