//! The nurses' week (`[week]`): consultation services, municipalities, criteria, and grounds other than consent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_adapters::municipality::MunicipalityCode;
use sekisho_policy::{Categories, CategoryVersion, Code, PartyId, PurposeCode};

use super::read::Section;
use super::{Source, SourceKind, file};
use crate::ids::party_id;
use crate::store::registry::RegistryText;
use crate::store::state::category_version;
use crate::week::calendar::Schedule;
use crate::week::triage::{Criteria, Mark};

/// The nurses' week, where there is one.
#[derive(Clone, Debug)]
pub struct Week {
    /// For which purpose cases are shared.
    pub purpose: PurposeCode,
    /// What an identity-only row is made of: who, how to reach them, the class of reason.
    pub identity: Vec<CategoryVersion>,
    /// The words.
    pub content: CategoryVersion,
    /// The two together.
    pub categories: Categories,
    /// When a consultation needs a nurse.
    pub criteria: Criteria,
    /// How long a row may be used without asking again.
    pub valid: Duration,
    /// Within which time a second person looks at a legal basis.
    pub confirm_within: Duration,
    /// Consultation services.
    pub services: Vec<Arc<Service>>,
    /// Municipalities that take cases.
    pub municipalities: Vec<Arc<Municipality>>,
    /// Articles of law that somebody may name.
    pub articles: Vec<Article>,
}

/// A consultation service whose cases are collected.
#[derive(Clone, Debug)]
pub struct Service {
    /// Which party.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// How often its feed is read.
    pub collect_every: Duration,
    /// Who is called when something can't wait, in order.
    pub on_call: Vec<OnCall>,
}

/// One step of calling a human.
#[derive(Clone)]
pub struct OnCall {
    /// So long after the alert was raised.
    pub after: Duration,
    /// Where to.
    pub url: String,
    /// Authority of its certificate, PEM.
    pub ca: PathBuf,
    /// What it is signed under (`whsec_…`).
    pub secret: String,
}

impl std::fmt::Debug for OnCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnCall").field("after", &self.after).finish_non_exhaustive()
    }
}

/// A municipality that takes cases.
#[derive(Clone, Debug)]
pub struct Municipality {
    /// Which party.
    pub party: PartyId,
    /// Its code as a party.
    pub code: String,
    /// Its national code.
    pub number: MunicipalityCode,
    /// When its week is due.
    pub at: Schedule,
    /// To which key packages are sealed (`age1…`); without one nothing is packed for it.
    pub key: Option<String>,
    /// The last day on which the key may be used.
    pub key_until: Option<jiff::civil::Date>,
    /// The table of districts, CSV.
    pub districts: Option<PathBuf>,
    /// The district of whoever lives in none of the table.
    pub default_district: String,
    /// Its windows for parents, in words; shown to those who look for help.
    pub window_ja: Option<String>,
    /// In English.
    pub window_en: Option<String>,
}

/// An article on which cases may be shared without consent.
#[derive(Clone, Debug)]
pub struct Article {
    /// As it stands in records.
    pub code: String,
    /// For people.
    pub label_ja: String,
    /// In English.
    pub label_en: String,
    /// Whether somebody must have asked for it (児童虐待防止法13条の4).
    pub needs_request: bool,
}

impl Week {
    /// The service of this party.
    #[must_use]
    pub fn service(&self, party: PartyId) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.party == party)
    }

    /// The municipality of this party.
    #[must_use]
    pub fn municipality(&self, party: PartyId) -> Option<&Arc<Municipality>> {
        self.municipalities.iter().find(|municipality| municipality.party == party)
    }

    /// The municipality with this national code.
    #[must_use]
    pub fn numbered(&self, number: MunicipalityCode) -> Option<&Arc<Municipality>> {
        self.municipalities.iter().find(|municipality| municipality.number == number)
    }
}

pub(super) fn read(
    s: &mut Section<'_, '_, '_>,
    base: &Path,
    registry: &RegistryText,
    sources: &[Source],
) -> Option<Week> {
    let purpose = s.parsed("purpose", "a registered purpose whose receivers are municipalities", |text| {
        let purpose = registry.purpose(text).filter(|p| p.receivers.as_slice() == ["municipality"])?;
        Code::parse(&purpose.code).ok().map(PurposeCode)
    });
    let registered = |text: &str| category_version(text).filter(|version| registry.category(*version).is_some());
    let content = s.parsed("content", "a registered category version", registered);
    let mut identity = Vec::new();
    for text in s.texts("identity", "registered category versions: who, how to reach them, the class of reason") {
        match registered(&text.value) {
            Some(version) => identity.push(version),
            None => s.wrong(text.offset, "identity", &format!("holds `{}`, which is not registered", text.value)),
        }
    }
    if identity.is_empty() {
        let offset = s.offset();
        s.wrong(offset, "identity", "is missing or empty (what an identity-only row is made of)");
    }
    let criteria = s.optional("criteria", criteria).unwrap_or_else(defaults);
    let valid = Duration::from_secs(86_400 * s.number("valid_days", 28, 1..=366));
    let confirm_within = Duration::from_secs(3_600 * s.number("confirm_within_hours", 72, 1..=720));
    let (mut services, mut municipalities, mut articles) = (Vec::new(), Vec::new(), Vec::new());
    s.each("service", |s| services.extend(service(s, base, registry, sources).map(Arc::new)));
    s.each("municipality", |s| municipalities.extend(municipality(s, base, registry).map(Arc::new)));
    s.each("article", |s| articles.push(article(s)));
    compare(s, &services, &municipalities, &articles);
    let content = content?.value;
    let categories = Categories::new(identity.iter().copied().chain([content]))?;
    Some(Week {
        purpose: purpose?.value,
        identity,
        content,
        categories,
        criteria,
        valid,
        confirm_within,
        services,
        municipalities,
        articles,
    })
}

/// EPDS 8/9, item 10, and nothing else: the criteria of the 青色フラグ are the service's and the municipality's to write down.
const fn defaults() -> Criteria {
    Criteria { epds_sum: 9, epds_item_10: 1, marks: Vec::new(), repeated: 3, repeated_days: 28, rise: 4 }
}

fn criteria(s: &mut Section<'_, '_, '_>) -> Criteria {
    let default = defaults();
    let small = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
    let mut marks = Vec::new();
    s.each("mark", |s| {
        let code = s.parsed("code", "up to 31 small letters, digits and hyphens", |t| Code::parse(t).ok());
        marks.push(Mark {
            code: code.map(|code| code.value.as_str().to_owned()).unwrap_or_default(),
            label_ja: s.text("label_ja", "what it means, in Japanese").value,
            label_en: s.text("label_en", "in English").value,
        });
    });
    Criteria {
        epds_sum: small(s.number("epds_sum", u64::from(default.epds_sum), 1..=30)),
        // Never off: an answered item 10 is looked at by a human, whatever the threshold of the sum.
        epds_item_10: small(s.number("epds_item_10", u64::from(default.epds_item_10), 1..=1)),
        marks,
        repeated: small(s.number("repeated", u64::from(default.repeated), 2..=100)),
        repeated_days: u16::try_from(s.number("repeated_days", u64::from(default.repeated_days), 1..=366)).unwrap_or(1),
        rise: small(s.number("rise", u64::from(default.rise), 1..=30)),
    }
}

fn service(s: &mut Section<'_, '_, '_>, base: &Path, registry: &RegistryText, sources: &[Source]) -> Option<Service> {
    let party = s.parsed("party", "a registered consultation service that is also a [[source]]", |text| {
        let party = registry.party(text).filter(|party| party.kind == "consultation-service")?;
        let source = sources.iter().find(|source| source.code == party.code)?;
        matches!(source.kind, SourceKind::Consultation(_)).then(|| party.code.clone())
    });
    let collect_every = Duration::from_secs(s.number("collect_every_s", 20, 1..=3_600));
    let mut on_call = Vec::new();
    s.each("on_call", |s| {
        let after = Duration::from_secs(s.number("after_s", 0, 0..=86_400));
        let url = s.parsed("url", "an https URL", |text| {
            url::Url::parse(text).ok().filter(|url| url.scheme() == "https").map(|_| text.to_owned())
        });
        let ca = file(s, "ca", base, "PEM file with the authority of its certificate");
        let secret = file(s, "secret_file", base, "file with the secret that alerts are signed under (whsec_…)");
        let secret = std::fs::read_to_string(secret).unwrap_or_default();
        on_call.extend(url.map(|url| OnCall { after, url: url.value, ca, secret }));
    });
    if on_call.is_empty() {
        let offset = s.offset();
        s.wrong(offset, "on_call", "is missing (whom to call when something can't wait)");
    }
    on_call.sort_by_key(|step| step.after);
    let code = party?.value;
    Some(Service { party: party_id(&code), code, collect_every, on_call })
}

fn municipality(s: &mut Section<'_, '_, '_>, base: &Path, registry: &RegistryText) -> Option<Municipality> {
    let party = s.parsed("party", "a registered municipality", |text| {
        registry.party(text).filter(|party| party.kind == "municipality").map(|party| party.code.clone())
    });
    let number = s.parsed("code", "a municipality code: six digits with the right check digit", |text| {
        MunicipalityCode::parse(text).ok()
    });
    let at = s.parsed("at", "a day and hour such as `mon 06:00`", Schedule::parse);
    let key = s.optional_text("key", "the public key that packages are sealed to, `age1…`");
    if let Some(key) = key.as_ref().filter(|key| !crate::package::is_recipient(&key.value)) {
        s.wrong(key.offset, "key", "is no public key; `sekisho package key` makes a pair");
    }
    let key = key.map(|key| key.value);
    let key_until = s.optional_text("key_until", "the last day on which that key may be used").and_then(|text| {
        let date = text.value.parse::<jiff::civil::Date>().ok();
        if date.is_none() {
            s.wrong(text.offset, "key_until", "must be a date such as 2027-03-31");
        }
        date
    });
    let districts = super::optional_file(s, "districts", base, "CSV file with the districts of postal codes");
    let default_district = s.text("default_district", "the district of whoever lives in none of the table").value;
    let [window_ja, window_en] = ["window_ja", "window_en"]
        .map(|name| s.optional_text(name, "its windows for parents, in words").map(|text| text.value));
    let code = party?.value;
    Some(Municipality {
        party: party_id(&code),
        code,
        number: number?.value,
        at: at?.value,
        key,
        key_until,
        districts,
        default_district,
        window_ja,
        window_en,
    })
}

fn article(s: &mut Section<'_, '_, '_>) -> Article {
    Article {
        code: s.text("code", "the article as it stands in records").value,
        label_ja: s.text("label_ja", "what it is, in Japanese").value,
        label_en: s.text("label_en", "in English").value,
        needs_request: s.flag("needs_request", false),
    }
}

/// Each once: a second would leave open which holds.
fn compare(
    s: &mut Section<'_, '_, '_>,
    services: &[Arc<Service>],
    municipalities: &[Arc<Municipality>],
    articles: &[Article],
) {
    let offset = s.offset();
    for (at, one) in services.iter().enumerate() {
        if services.iter().skip(at + 1).any(|other| other.party == one.party) {
            s.wrong(offset, "service", &format!("is there twice for `{}`", one.code));
        }
    }
    for (at, one) in municipalities.iter().enumerate() {
        if municipalities.iter().skip(at + 1).any(|other| other.party == one.party || other.number == one.number) {
            s.wrong(offset, "municipality", &format!("is there twice for `{}`", one.code));
        }
    }
    for (at, one) in articles.iter().enumerate() {
        if articles.iter().skip(at + 1).any(|other| other.code == one.code) {
            s.wrong(offset, "article", &format!("is there twice: `{}`", one.code));
        }
    }
}
