//! A summary as a document: an International Patient Summary 2.0 Bundle (FHIR R4) of what may pass of several sources, with JP
//! Core's codes beside the international ones. Pure: narrowing came before, and nothing is added about the person here.
//!
//! What is withheld and what there is not look alike: an absent section, or an `emptyReason`. Only that a source which may be
//! asked could not be is said, for the whole document. All ids but the party's own for the person are made for this document.
//! Which constraint of IPS and JP Core is held by which test: `docs/ips.md`.

mod codes;
mod line;
mod same;
mod section;
mod state;
#[cfg(test)]
mod tests;

use bumpalo::Bump;
use jiff::civil::Date;
use sekisho_policy::Timestamp;

pub use line::{Line, line};
pub use same::WORDS as SAME_DOSE;
pub use section::{SECTIONS, Section};
pub(crate) use state::is_void;

use crate::ids::{PairwiseId, random};
use crate::request::json::{self, Json, Members, put, take};
use crate::sabotage::{self, Check};
use crate::store::registry::PartyText;

/// What stands at the head of every summary.
pub const NOT_NONE: (&str, &str) =
    ("記載がないことは「なし」を意味しません。", "What is not listed here is not thereby absent.");

/// What there is room for at first, while a document is put together.
const ARENA_BYTES: usize = 256 << 10;

/// Whose summary it is.
pub struct About<'a> {
    /// The receiving party's own id for the person.
    pub patient: &'a str,
    /// Date of birth as it was verified at enrolment.
    pub birth: Date,
    /// Our own URL.
    pub base: &'a str,
}

/// What came from one source.
#[derive(Debug)]
pub enum Came {
    /// Narrowed Bundle entries, a comma between two; not all that was asked for, where something failed.
    Items {
        /// The entries.
        json: Vec<u8>,
        /// Something that was asked for is missing.
        incomplete: bool,
    },
    /// It could not be asked.
    Missing,
    /// It holds nothing.
    Nothing,
}

/// A source, and what came from it.
pub struct Contribution<'a> {
    /// Which party.
    pub party: &'a PartyText,
    /// What came.
    pub came: &'a Came,
}

/// A summary.
pub struct Document {
    /// The Bundle.
    pub json: Vec<u8>,
    /// How many items of each contribution are in it.
    pub items: Vec<u32>,
    /// What is said at its head, in Japanese and English: of what is lacking too.
    pub heads: Vec<(String, String)>,
}

/// No source gave name and date of birth, so that nobody could tell whose summary it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoIdentity {
    /// One that might have could not be asked.
    pub missing: bool,
}

/// What is wrong with the document as a whole, by source.
enum Lack<'a> {
    /// It could not be asked, or not for everything.
    Missing(&'a PartyText),
    /// It says another date of birth than was verified: nothing of it is in the document.
    OtherBirth(&'a PartyText),
}

/// One item of a source.
struct Item<'a> {
    from: usize,
    party: &'a PartyText,
    resource: Json<'a>,
}

/// Puts a document together.
///
/// # Errors
/// When no source gave name and date of birth.
pub fn compose(about: &About<'_>, contributions: &[Contribution<'_>], now: Timestamp) -> Result<Document, NoIdentity> {
    let arena = Bump::with_capacity(ARENA_BYTES);
    let (items, lacks) = gathered(about, contributions, &arena);
    let missing = lacks.iter().any(|lack| matches!(lack, Lack::Missing(_)));
    let (patients, others): (Vec<Item<'_>>, Vec<Item<'_>>) =
        items.into_iter().partition(|item| is_patient(&item.resource));
    let patient = patients.into_iter().find(|item| names_somebody(&item.resource)).ok_or(NoIdentity { missing })?;
    let mut counts = vec![0_u32; contributions.len()];
    let at = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    let today = at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).date().to_string();
    let (document, author, at) = (fresh_id(), fresh_id(), at.to_string());
    let mut sections = section::sorted(others, &today, &arena);
    let older = older_than_listed(&sections);
    let composition = composition(about, (&document, &author, &at), &sections, &lacks, &arena);
    let mut entries = vec![
        entry(about, composition, &arena),
        entry(about, patient.resource, &arena),
        entry(about, device(&author, &arena), &arena),
    ];
    count(&mut counts, patient.from);
    for item in sections.iter_mut().flat_map(|(_, listed)| listed.items.drain(..)) {
        count(&mut counts, item.from);
        entries.push(entry(about, item.resource, &arena));
    }
    let mut json = Vec::with_capacity(arena.allocated_bytes());
    bundle(&at, entries, &arena).write(&mut json);
    Ok(Document { json, items: counts, heads: heads(&lacks, older) })
}

fn bundle<'a>(at: &'a str, entries: Vec<Json<'a>>, arena: &'a Bump) -> Json<'a> {
    let profile = Json::Text("http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips");
    let identifier = [("system", Json::Text("urn:ietf:rfc:3986")), ("value", Json::made(&fresh_uuid(), arena))];
    let members = [
        ("resourceType", Json::Text("Bundle")),
        ("id", Json::made(&fresh_id(), arena)),
        ("meta", Json::object([("profile", Json::array([profile], arena))], arena)),
        ("identifier", Json::object(identifier, arena)),
        ("type", Json::Text("document")),
        ("timestamp", Json::Text(at)),
        ("entry", Json::array(entries, arena)),
    ];
    Json::object(members, arena)
}

fn count(counts: &mut [u32], from: usize) {
    if let Some(count) = counts.get_mut(from) {
        *count = count.saturating_add(1);
    }
}

/// The items of all sources that know the same person, and what is lacking.
fn gathered<'a>(
    about: &About<'_>,
    contributions: &[Contribution<'a>],
    arena: &'a Bump,
) -> (Vec<Item<'a>>, Vec<Lack<'a>>) {
    let (mut items, mut lacks) = (Vec::new(), Vec::new());
    for (from, one) in contributions.iter().enumerate() {
        let (json, incomplete) = match one.came {
            Came::Items { json, incomplete } => (json.as_slice(), *incomplete),
            Came::Missing => (&[][..], true),
            Came::Nothing => (&[][..], false),
        };
        let resources = resources(json, arena).unwrap_or_default();
        // A link to somebody else, or a source that mixes people up: better nothing of it than another's allergies.
        if resources.iter().any(|r| is_patient(r) && is_born_otherwise(r, about.birth))
            && !sabotage::off(Check::SameBirth)
        {
            tracing::warn!(
                source = one.party.code,
                "a source says another date of birth than was verified at enrolment"
            );
            lacks.push(Lack::OtherBirth(one.party));
            continue;
        }
        if incomplete || (resources.is_empty() && !json.is_empty()) {
            lacks.push(Lack::Missing(one.party));
        }
        items.extend(resources.into_iter().map(|resource| Item { from, party: one.party, resource }));
    }
    (items, lacks)
}

/// The resources of narrowed Bundle entries; none when one can't be read.
fn resources<'a>(narrowed: &[u8], arena: &'a Bump) -> Option<Vec<Json<'a>>> {
    let list = arena.alloc_slice_fill_copy(narrowed.len() + 2, b' ');
    let (first, rest) = list.split_first_mut()?;
    let (last, between) = rest.split_last_mut()?;
    (*first, *last) = (b'[', b']');
    between.copy_from_slice(narrowed);
    let Ok(Json::Array(entries)) = json::read(list, arena) else { return None };
    let resource =
        |entry: Json<'a>| if let Json::Object(mut entry) = entry { take(&mut entry, "resource") } else { None };
    entries.into_iter().map(resource).collect()
}

fn is_patient(resource: &Json<'_>) -> bool {
    resource.text("resourceType") == Some("Patient")
}

/// A year or a month alone agrees with every day in it.
fn is_born_otherwise(patient: &Json<'_>, birth: Date) -> bool {
    patient.text("birthDate").is_some_and(|said| !birth.to_string().starts_with(said))
}

/// A name and a whole date of birth: without them a doctor could take one patient for another.
fn names_somebody(patient: &Json<'_>) -> bool {
    let named = patient.list("name").iter().any(|name| name.text("text").or_else(|| name.text("family")).is_some());
    named && patient.text("birthDate").is_some_and(|born| born.parse::<Date>().is_ok())
}

fn fresh_id() -> String {
    PairwiseId::from_bytes(random()).text()
}

/// RFC 9562 §5.4.
fn fresh_uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn entry<'a>(about: &About<'_>, resource: Json<'a>, arena: &'a Bump) -> Json<'a> {
    let text = |name: &str| resource.text(name).unwrap_or_default();
    let full_url = format!("{}/fhir/{}/{}", about.base, text("resourceType"), text("id"));
    Json::object([("fullUrl", Json::made(&full_url, arena)), ("resource", resource)], arena)
}

/// What put the document together.
fn device<'a>(id: &'a str, arena: &'a Bump) -> Json<'a> {
    let name = [("name", Json::Text("関所 Sekisho")), ("type", Json::Text("user-friendly-name"))];
    let members = [
        ("resourceType", Json::Text("Device")),
        ("id", Json::Text(id)),
        ("deviceName", Json::array([Json::object(name, arena)], arena)),
    ];
    Json::object(members, arena)
}

fn composition<'a>(
    about: &About<'_>,
    (id, author, at): (&'a str, &str, &'a str),
    sections: &[(&'static Section, section::Listed<'_>)],
    lacks: &[Lack<'a>],
    arena: &'a Bump,
) -> Json<'a> {
    let profile = Json::Text("http://hl7.org/fhir/uv/ips/StructureDefinition/Composition-uv-ips");
    let summary = codes::shown(codes::LOINC, "60591-5", "Patient summary Document", arena);
    let head = line::head(&heads(lacks, older_than_listed(sections)));
    let reference = |to: String| Json::object([("reference", Json::made(&to, arena))], arena);
    let written = sections.iter().map(|(of, listed)| section::written(of, listed, arena));
    let members = [
        ("resourceType", Json::Text("Composition")),
        ("id", Json::Text(id)),
        ("meta", Json::object([("profile", Json::array([profile], arena))], arena)),
        ("language", Json::Text("ja")),
        ("text", line::text(&head, arena)),
        ("status", Json::Text("final")),
        ("type", codes::concept(summary, arena)),
        ("subject", reference(format!("Patient/{}", about.patient))),
        ("date", Json::Text(at)),
        ("author", Json::array([reference(format!("Device/{author}"))], arena)),
        ("title", Json::Text("患者サマリー / Patient summary")),
        ("section", Json::array(written, arena)),
    ];
    let mut composition = Members::from_iter_in(members, arena);
    if !lacks.is_empty() {
        put(&mut composition, "extension", Json::array(lacks.iter().map(|lack| lack.extension(arena)), arena));
    }
    Json::Object(composition)
}

/// Sentences for the head of the document.
fn heads(lacks: &[Lack<'_>], older: usize) -> Vec<(String, String)> {
    let always = (NOT_NONE.0.to_owned(), NOT_NONE.1.to_owned());
    let left_out = (older > 0).then(|| {
        let ja = format!("古い記録 {older} 件は、多すぎるため載せていません。");
        (ja, format!("{older} older records are not listed: there are too many."))
    });
    std::iter::once(always).chain(lacks.iter().map(Lack::sentence)).chain(left_out).collect()
}

/// How many items no section lists.
fn older_than_listed(sections: &[(&section::Section, section::Listed<'_>)]) -> usize {
    sections.iter().map(|(_, listed)| listed.left_out).sum()
}

impl<'a> Lack<'a> {
    fn sentence(&self) -> (String, String) {
        match self {
            Self::Missing(party) => (
                format!("{}から受け取れなかった情報があります。", party.name_ja),
                format!("Some information could not be had from {}.", party.name_en),
            ),
            Self::OtherBirth(party) => (
                format!("{}の情報は、生年月日が本人確認の記録と違うため、載せていません。", party.name_ja),
                format!(
                    "Nothing from {} is included: it gives another date of birth than was verified.",
                    party.name_en
                ),
            ),
        }
    }

    fn extension(&self, arena: &'a Bump) -> Json<'a> {
        let (url, party) = match self {
            Self::Missing(party) => ("urn:sekisho:extension:source-missing", party),
            Self::OtherBirth(party) => ("urn:sekisho:extension:source-mismatch", party),
        };
        Json::object([("url", Json::Text(url)), ("valueString", Json::Text(&party.name_ja))], arena)
    }
}
