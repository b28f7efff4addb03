//! Narrowing a Bundle of 1 MB of which half is covered: bytes of input per second on one core, and the memory it takes.

use std::time::Instant;

use jiff::civil::date;
use sekisho::ids::{PairwiseId, party_id};
use sekisho::request::narrow::{Narrowed, Narrowing};
use sekisho::store::conformance::world;
use sekisho::store::registry::{Coverage, RegistryText};
use sekisho::store::state::{Pairwise, category_version};
use sekisho_adapters::people::{People, fhir};
use sekisho_policy::{
    Consent, ConsentId, Decision, Origin, Period, Permit, PersonId, SubjectRecords, Timestamp, decide,
};
use serde_json::{Value, json};

use crate::Failure;
use crate::report::{Bar, median};
use crate::served::memory;

const BYTES: usize = 1 << 20;
const BATCHES: usize = 9;
const EACH: usize = 60;
const MB_PER_SECOND_MIN: f64 = 100.0;

/// Measures; gives the bars.
pub fn measure() -> Result<Vec<Bar>, Failure> {
    let (body, id, entries) = bundle()?;
    let registry = registry();
    let permit = permit(&registry)?;
    let pairwise = Pairwise { party: world::APP.to_owned(), id: PairwiseId::from_bytes([5; 16]), secret: [6; 32] };
    let narrowing = Narrowing::new(&permit, &registry, &pairwise, ("city", &id), "https://localhost");
    let (before, peak, left) = (memory(myself(), "VmRSS")?, reset_peak(), once(&narrowing, &body, entries)?);
    peak?;
    let peak = memory(myself(), "VmHWM")?.saturating_sub(before);
    let mut found = Vec::new();
    for _ in 0..BATCHES {
        let began = Instant::now();
        for _ in 0..EACH {
            once(&narrowing, &body, entries)?;
        }
        found.push((body.len() * EACH) as f64 / 1e6 / began.elapsed().as_secs_f64());
    }
    let speed = median(found).ok_or("no batch")?;
    println!("narrowing {} bytes to {left}: {speed:.0} MB/s of input; {} KB beside the input", body.len(), peak >> 10);
    Ok(vec![
        Bar::at_least("1 MB Bundle narrowed to half, input per core", speed, "MB/s", MB_PER_SECOND_MIN),
        Bar::stated("1 MB Bundle: peak memory beside it", peak as f64 / 1e6, "MB"),
    ])
}

fn myself() -> u32 {
    std::process::id()
}

/// From here on `VmHWM` is the most that was used since.
fn reset_peak() -> Result<(), Failure> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}

/// Narrows once, and looks that half came through: bytes that did.
fn once(narrowing: &Narrowing<'_>, body: &[u8], entries: u32) -> Result<usize, Failure> {
    let mut narrowed = Narrowed::default();
    narrowing.page(body, &mut narrowed)?;
    if narrowed.items != entries / 2 || narrowed.dropped.not_covered != entries.div_ceil(2) {
        return Err(format!("{} of {entries} entries came through", narrowed.items).into());
    }
    Ok(narrowed.json.len())
}

/// Real-looking vaccinations of one child, each followed by one of a kind that is not covered.
fn bundle() -> Result<(Vec<u8>, String, u32), Failure> {
    let child = People::new(1, date(2026, 6, 1)).families().flat_map(|f| f.children).find(|c| c.doses.len() > 5);
    let child = child.ok_or("no child")?;
    let id = child.person.id.clone();
    let resources: Vec<Value> =
        child.doses.iter().enumerate().map(|(n, dose)| fhir::immunization(&child.person, dose, n)).collect();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for (number, resource) in resources.iter().cycle().enumerate() {
        if bytes >= BYTES && number % 2 == 0 {
            break;
        }
        let mut resource = resource.clone();
        resource["id"] = json!(format!("{id}-n{number}"));
        if number % 2 == 1 {
            resource["resourceType"] = json!("ImmunizationRecommendation");
        }
        let url = format!("https://city.example/fhir/Immunization/{number}");
        let entry = json!({"fullUrl": url, "resource": resource, "search": {"mode": "match"}});
        bytes += entry.to_string().len() + 1;
        entries.push(entry);
    }
    let count = u32::try_from(entries.len())?;
    let bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": count, "entry": entries});
    Ok((bundle.to_string().into_bytes(), id, count))
}

/// The elements that the demo's configuration lets pass.
fn registry() -> RegistryText {
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let mut registry = world::registry();
    for category in registry.categories.iter_mut().filter(|c| c.version == world::VACCINATION) {
        category.covers = vec![Coverage {
            resource: "Immunization".to_owned(),
            elements: owned(&[
                "status",
                "vaccineCode",
                "patient",
                "occurrenceDateTime",
                "location",
                "manufacturer",
                "lotNumber",
                "performer",
                "protocolApplied",
            ]),
            extensions: Vec::new(),
            code_element: None,
            codes: Vec::new(),
            date_elements: owned(&["occurrenceDateTime"]),
        }];
    }
    registry
}

fn permit(registry: &RegistryText) -> Result<Permit, Failure> {
    let person = PersonId::from_bytes([1; 16]);
    let mut records = SubjectRecords::new(person, date(1980, 1, 1));
    let request = world::question(person);
    records.consents.push(Consent {
        id: ConsentId::from_bytes([1; 16]),
        grantor: person,
        recipient: party_id(world::APP),
        purpose: request.purpose,
        categories: Box::new([category_version(world::VACCINATION).ok_or("a version")?]),
        source: None,
        period: Period::new(world::START, Timestamp::from_millis(world::START.millis() + world::DAY_MS))?,
        data_period: None,
        origin: Origin::Own,
        approved_at: world::START,
        ended_at: None,
    });
    match decide(&records, &registry.to_policy(&[])?, &request, world::START) {
        Decision::Permit(permit) => Ok(permit),
        Decision::Deny(_) => Err("the policy denies".into()),
    }
}
