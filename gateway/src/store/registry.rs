//! The registry as text: what an operator configures about parties, purposes and categories, as it goes into the ledger.
//!
//! `to_policy` gives the policy its view; the labels and the FHIR coverage are for pages and narrowing. The JSON form is
//! canonical: fields in the order below, lists sorted by code, so that the same configuration gives the same bytes.

use sekisho_policy::{
    Category, CategoryVersion, Code, Party, PartyKind, Purpose, PurposeCode, Registry, Rules, Standing,
};
use serde::{Deserialize, Serialize};

use crate::ids::party_id;
use crate::store::state::category_version;

/// Kinds of party that have a counter, at which staff record what people say.
pub const COUNTER_KINDS: [&str; 2] = ["municipality", "clinic"];

/// All that is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryText {
    /// Parties, by code.
    pub parties: Vec<PartyText>,
    /// Purposes, by code.
    pub purposes: Vec<PurposeText>,
    /// Category versions, by code and version.
    pub categories: Vec<CategoryText>,
    /// The operator's choices.
    pub rules: RulesText,
}

/// A registered party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyText {
    /// Its code.
    pub code: String,
    /// `phr-app`, `clinic`, `municipality`, `consultation-service`, `research` or `portal`.
    pub kind: String,
    /// Name in Japanese.
    pub name_ja: String,
    /// Name in English.
    pub name_en: String,
}

/// A registered purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeText {
    /// Its code.
    pub code: String,
    /// Label in Japanese.
    pub label_ja: String,
    /// Label in English.
    pub label_en: String,
    /// Kinds of receiver, as for parties; `person` is self-access.
    pub receivers: Vec<String>,
    /// Longest period of a consent, in days.
    pub longest_days: u32,
    /// One parent may decide alone.
    pub one_guardian_alone: bool,
    /// HL7 v3 PurposeOfUse code.
    pub purpose_of_use: String,
    /// For one visit, until so many hours after it: a consent needs a booking then. `None` is any period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_hours_after: Option<u32>,
}

/// A registered category version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryText {
    /// Code and version, `vaccination@1`.
    pub version: String,
    /// Label in Japanese.
    pub label_ja: String,
    /// Label in English.
    pub label_en: String,
    /// Age from which the subject decides alone.
    pub own_consent_age: u8,
    /// Nothing about it is ever a reason for a notice that leaves the gateway. Consultations, above all.
    #[serde(default)]
    pub quiet: bool,
    /// Which FHIR data it covers.
    pub covers: Vec<Coverage>,
}

/// Which resources of one FHIR type a category covers, and which of their elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Resource type, `Immunization`.
    pub resource: String,
    /// Top-level elements that may pass. `resourceType` and `id` always do; everything else is dropped.
    pub elements: Vec<String>,
    /// URLs of top-level extensions that may pass.
    pub extensions: Vec<String>,
    /// Element that holds the code to compare, if only some codes are covered.
    pub code_element: Option<String>,
    /// Codes as `system|code`; empty is any.
    pub codes: Vec<String>,
    /// Elements that may hold the date for data periods, in order of preference.
    pub date_elements: Vec<String>,
}

/// The operator's choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesText {
    /// Whether one guardian's refusal stands against another's grant.
    pub guardian_refusal_stands: bool,
}

impl Default for RulesText {
    fn default() -> Self {
        Self { guardian_refusal_stands: true }
    }
}

/// What in a registry is not understood, as `kind code: field`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryTextError(pub String);

/// The kind of party behind its registered word.
#[must_use]
pub fn party_kind(word: &str) -> Option<PartyKind> {
    Some(match word {
        "phr-app" => PartyKind::PhrApp,
        "clinic" => PartyKind::Clinic,
        "municipality" => PartyKind::Municipality,
        "consultation-service" => PartyKind::ConsultationService,
        "research" => PartyKind::Research,
        "portal" => PartyKind::Portal,
        "person" => PartyKind::Person,
        _ => return None,
    })
}

const DAY_MS: i64 = 86_400_000;

impl RegistryText {
    /// The policy's view, with these parties suspended.
    ///
    /// # Errors
    /// Names the first thing that isn't understood.
    pub fn to_policy(&self, suspended: &[String]) -> Result<Registry, RegistryTextError> {
        let wrong = |what: &str, code: &str| RegistryTextError(format!("{what} of `{code}` is not understood"));
        let party = |p: &PartyText| {
            let kind = party_kind(&p.kind).ok_or_else(|| wrong("kind", &p.code))?;
            let standing = if suspended.contains(&p.code) { Standing::Suspended } else { Standing::Active };
            Ok(Party { id: party_id(&p.code), kind, standing })
        };
        let purpose = |p: &PurposeText| {
            let receivers = p.receivers.iter().map(|k| party_kind(k).ok_or_else(|| wrong("receivers", &p.code)));
            Ok(Purpose {
                code: PurposeCode(Code::parse(&p.code).map_err(|_| wrong("code", &p.code))?),
                receivers: receivers.collect::<Result<_, RegistryTextError>>()?,
                longest_ms: i64::from(p.longest_days) * DAY_MS,
                one_guardian_alone: p.one_guardian_alone,
            })
        };
        let category = |c: &CategoryText| {
            let version = category_version(&c.version).ok_or_else(|| wrong("version", &c.version))?;
            Ok(Category { version, own_consent_age: c.own_consent_age })
        };
        Registry::new(
            self.parties.iter().map(party).collect::<Result<_, RegistryTextError>>()?,
            self.purposes.iter().map(purpose).collect::<Result<_, RegistryTextError>>()?,
            self.categories.iter().map(category).collect::<Result<_, RegistryTextError>>()?,
            Rules { guardian_refusal_stands: self.rules.guardian_refusal_stands },
        )
        .map_err(|e| RegistryTextError(e.to_string()))
    }

    /// The canonical JSON that goes into the ledger.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut sorted = self.clone();
        sorted.parties.sort_by(|a, b| a.code.cmp(&b.code));
        sorted.purposes.sort_by(|a, b| a.code.cmp(&b.code));
        sorted.categories.sort_by(|a, b| a.version.cmp(&b.version));
        // Strings, numbers and lists of them always serialise.
        serde_json::to_string(&sorted).unwrap_or_default()
    }

    /// The registered party with this code.
    #[must_use]
    pub fn party(&self, code: &str) -> Option<&PartyText> {
        self.parties.iter().find(|p| p.code == code)
    }

    /// The code of the party with this id.
    #[must_use]
    pub fn party_code(&self, id: sekisho_policy::PartyId) -> Option<&str> {
        self.parties.iter().find(|p| party_id(&p.code) == id).map(|p| p.code.as_str())
    }

    /// The registered purpose with this code.
    #[must_use]
    pub fn purpose(&self, code: &str) -> Option<&PurposeText> {
        self.purposes.iter().find(|p| p.code == code)
    }

    /// The registered category of this very version.
    #[must_use]
    pub fn category(&self, version: CategoryVersion) -> Option<&CategoryText> {
        // Comparing codes first: parsing each would take longer the more there are, and tell where in the list one stands.
        let of_code =
            |c: &&CategoryText| c.version.split_once('@').is_some_and(|(code, _)| code == version.code.0.as_str());
        self.categories.iter().filter(of_code).find(|c| category_version(&c.version) == Some(version))
    }
}
