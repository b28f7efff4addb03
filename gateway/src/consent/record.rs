//! A consent as a signed record that a person can keep (`docs/formats.md` §8): a JWS by the ledger's key, its fields named
//! after those of ISO/IEC TS 27560.
//!
//! It says what the ledger says of one consent, at the instant it was asked for. It is for the subject and for whoever gave
//! the consent, and holds no party's id for the subject: shown to one party it must not be of use to another.

use sekisho_policy::{PersonId, Timestamp};
use serde::Serialize;

use super::people::rfc3339;
use crate::config::Config;
use crate::ids::TextId;
use crate::ledger::checkpoint::LedgerKey;
use crate::ledger::event::Terms;
use crate::store::registry::RegistryText;
use crate::store::state::{Agreement, Global, Subject};

/// `typ` of such a record.
pub const RECORD_TYPE: &str = "sekisho-consent-receipt+jwt";
/// The version of its fields.
const SCHEMA: &str = "sekisho-consent-receipt/1";

/// The record.
#[derive(Clone, Debug, Serialize)]
pub struct ConsentRecord {
    iss: String,
    iat: i64,
    schema_version: &'static str,
    record_id: String,
    pii_principal_id: String,
    status: &'static str,
    privacy_notice: Notice,
    purposes: [Purpose; 1],
    parties: Vec<Party>,
    events: Vec<Happening>,
}

/// The text that was agreed to.
#[derive(Clone, Debug, Serialize)]
struct Notice {
    sha256: String,
    /// Its version, while it is the text in force.
    version: Option<String>,
    languages: [&'static str; 2],
}

#[derive(Clone, Debug, Serialize)]
struct Purpose {
    purpose: String,
    lawful_basis: &'static str,
    pii_information: Vec<String>,
    data_from: Option<String>,
    data_until: Option<String>,
    valid_from: String,
    valid_until: String,
    withdrawal_method: String,
}

#[derive(Clone, Debug, Serialize)]
struct Party {
    party_id: String,
    party_role: &'static str,
    name_ja: Option<String>,
    name_en: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Happening {
    event_type: &'static str,
    event_time: String,
    /// Who: only of what a person did and the ledger names.
    entity_id: Option<String>,
    how: Option<String>,
}

impl ConsentRecord {
    /// The record of a consent, as it stands now. `None` when the consent is not among the subject's records.
    #[must_use]
    pub fn of(
        config: &Config,
        global: &Global,
        subject: &Subject,
        agreement: &Agreement,
        now: Timestamp,
    ) -> Option<Self> {
        let consent = subject.records.consents.iter().find(|c| c.id == agreement.consent)?;
        let terms = &agreement.terms;
        let url = &config.server.url;
        let id = agreement.consent.text();
        let status = agreement.status(&subject.records, now);
        let text = global.texts.get(&terms.text_hash.0);
        let mut events = vec![given(consent.approved_at, agreement)];
        let ended =
            |at: Timestamp| Happening { event_type: status, event_time: rfc3339(at), entity_id: None, how: None };
        match status {
            "expired" => events.push(ended(consent.period.until())),
            "revoked" | "superseded" => events.extend(consent.ended_at.map(ended)),
            _ => {}
        }
        Some(Self {
            iss: url.clone(),
            iat: now.millis().div_euclid(1_000),
            schema_version: SCHEMA,
            pii_principal_id: subject.records.subject.text(),
            status,
            privacy_notice: Notice {
                sha256: data_encoding::HEXLOWER.encode(&terms.text_hash.0),
                version: text.map(|text| text.version.clone()),
                languages: ["ja", "en"],
            },
            purposes: [purpose(terms, agreement.until(), format!("POST {url}/v1/consents/{id}/revoke"))],
            parties: parties(&global.text, agreement),
            events,
            record_id: id,
        })
    }

    /// Signs it. `None` when the library can't.
    #[must_use]
    pub fn sign(&self, key: &LedgerKey) -> Option<String> {
        super::receipt::signed(RECORD_TYPE, self, key)
    }
}

/// Whether this person may have the record: the subject, or who gave the consent and may still decide about it.
#[must_use]
pub fn is_for(person: PersonId, subject: &Subject, agreement: &Agreement, decides: bool) -> bool {
    person == subject.records.subject || (person == agreement.grantor && decides)
}

fn given(at: Timestamp, agreement: &Agreement) -> Happening {
    Happening {
        event_type: "given",
        event_time: rfc3339(at),
        entity_id: Some(agreement.grantor.text()),
        how: Some(agreement.how.clone()),
    }
}

fn purpose(terms: &Terms, until: Timestamp, withdrawal_method: String) -> Purpose {
    Purpose {
        purpose: terms.purpose.clone(),
        lawful_basis: "consent",
        pii_information: terms.categories.clone(),
        data_from: terms.data_from.clone(),
        data_until: terms.data_until.clone(),
        valid_from: rfc3339(Timestamp::from_millis(terms.from_ms)),
        valid_until: rfc3339(until),
        withdrawal_method,
    }
}

/// The recipient, which is the controller of what it receives; the one source, if it is limited to one; who attests it.
fn parties(registry: &RegistryText, agreement: &Agreement) -> Vec<Party> {
    let party = |code: &str, party_role| {
        let known = registry.party(code);
        Party {
            party_id: code.to_owned(),
            party_role,
            name_ja: known.map(|p| p.name_ja.clone()),
            name_en: known.map(|p| p.name_en.clone()),
        }
    };
    let terms = &agreement.terms;
    let mut all = vec![party(&terms.recipient, "pii_controller")];
    all.extend(terms.source.as_deref().map(|code| party(code, "source")));
    all.extend(agreement.attestation.as_ref().map(|a| party(&a.party, "attester")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_record() {
        let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
        let at = Timestamp::from_millis(1_795_305_600_123);
        let terms = Terms {
            recipient: "app".to_owned(),
            purpose: "care".to_owned(),
            categories: vec!["vaccination@1".to_owned()],
            source: None,
            from_ms: at.millis(),
            until_ms: at.millis() + 86_400_000,
            data_from: None,
            data_until: None,
            text_hash: crate::ledger::entry::Bytes32([3; 32]),
            booking: None,
        };
        let record = ConsentRecord {
            iss: "https://sekisho.example".to_owned(),
            iat: 1_795_305_600,
            schema_version: SCHEMA,
            record_id: "cns-x".to_owned(),
            pii_principal_id: "psn-x".to_owned(),
            status: "active",
            privacy_notice: Notice { sha256: "03".repeat(32), version: None, languages: ["ja", "en"] },
            purposes: [purpose(
                &terms,
                Timestamp::from_millis(terms.until_ms),
                "POST https://sekisho.example/v1/consents/cns-x/revoke".to_owned(),
            )],
            parties: vec![Party {
                party_id: "app".to_owned(),
                party_role: "pii_controller",
                name_ja: Some("アプリ".to_owned()),
                name_en: Some("App".to_owned()),
            }],
            events: vec![Happening {
                event_type: "given",
                event_time: rfc3339(at),
                entity_id: Some("psn-y".to_owned()),
                how: Some("aal3".to_owned()),
            }],
        };
        let page = include_str!("../../../docs/formats.md");
        let golden = page.split_once("```golden consent-receipt\n").unwrap().1.split_once("\n```").unwrap().0;
        assert_eq!(record.sign(&key).unwrap(), golden.replace('\n', ""));
    }
}
