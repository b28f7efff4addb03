//! Asking a PHR app: one question for those parts of the records that are permitted.

use sekisho_adapters::fhir_terms::LOINC;
use sekisho_adapters::http::HttpError;
use sekisho_adapters::phr_app::{Part, PhrApp, PhrAppError, Unmapped, Why};
use sekisho_policy::Timestamp;

use super::{Fetched, aside};
use crate::request::narrow::{Narrowed, Narrowing, Wanted};

/// What people measure, by LOINC.
const MEASURED: [(&str, Part); 3] =
    [("29463-7", Part::Weights), ("8302-2", Part::Heights), ("8310-5", Part::Temperatures)];

/// What the permit covers.
pub(super) async fn ask(app: &PhrApp, narrowing: &Narrowing<'_>, now: Timestamp) -> Fetched {
    let wanted = narrowing.wanted();
    let parts: Vec<Part> = wanted.iter().flat_map(parts).collect();
    let now = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    let mapped = match app.records(narrowing.id_at_source(), &parts, now).await {
        Ok(Some(mapped)) => mapped,
        Ok(None) => return Fetched::NoData,
        Err(PhrAppError::Upstream(HttpError::TimedOut) | PhrAppError::Refused(503)) => return Fetched::NotReady(5),
        Err(error) => return Fetched::Failed(error.to_string()),
    };
    for one in &mapped.unmapped {
        let (part, field) = (one.part.map(Part::name), one.field);
        tracing::warn!(part, index = one.index, field, why = ?one.why, "a record of an app could not be mapped whole");
    }
    // What was not asked for is no lack: nothing is to be learnt from it.
    let lost = |one: &&Unmapped| one.record_left_out && one.part.is_some() && one.why != Why::NotAskedFor;
    let unmapped = mapped.unmapped.iter().filter(lost).count();
    let mut narrowed = Narrowed::default();
    aside(mapped.resources.len().saturating_mul(1 << 10), || narrowing.resources(&mapped.resources, &mut narrowed));
    Fetched::Narrowed { narrowed, unmapped: u32::try_from(unmapped).unwrap_or(u32::MAX), incomplete: false }
}

/// The parts in which a type is found. A type, or a code, that an app has no part for is not asked for.
fn parts(wanted: &Wanted<'_>) -> Vec<Part> {
    match wanted.resource {
        "Patient" => vec![Part::Profile],
        "Condition" => vec![Part::Conditions],
        "MedicationStatement" => vec![Part::Medications],
        "AllergyIntolerance" => vec![Part::Allergies],
        "Immunization" => vec![Part::Vaccinations],
        "Observation" => {
            let has = |loinc: &str| wanted.codes.iter().any(|code| code.split_once('|') == Some((LOINC, loinc)));
            let all = wanted.codes.is_empty();
            MEASURED.into_iter().filter(|(loinc, _)| all || has(loinc)).map(|(_, part)| part).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_covered_is_asked_for() {
        let of = |resource, codes: &[&'static str]| parts(&Wanted { resource, codes: codes.to_vec() });
        assert_eq!(of("Patient", &[]), [Part::Profile]);
        assert_eq!(of("Observation", &["http://loinc.org|8310-5"]), [Part::Temperatures]);
        assert_eq!(of("Observation", &["urn:x|8310-5", "http://loinc.org|29463-7"]), [Part::Weights]);
        assert_eq!(of("Observation", &[]).len(), 3);
        assert_eq!(of("DocumentReference", &[]), []);
    }
}
