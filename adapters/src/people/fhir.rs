//! A synthetic child's records as FHIR R4, after JP Core. Pure.
//!
//! Vaccine codes are of a synthetic system: no code of HOT or YJ is invented. Facts: JP_Patient, JP_Immunization.

use serde_json::{Value, json};

use super::{Child, Dose, Person, Sex};
use crate::fhir_terms::{
    DOSE_MUNICIPALITY, MUNICIPALITY_CODE, NAME_REPRESENTATION, PROFILE_IMMUNIZATION, PROFILE_PATIENT,
    SYNTHETIC_PATIENT, SYNTHETIC_VACCINE,
};

/// What a searchset Bundle adds around its resources, and around each, roughly, in bytes.
const AROUND_BUNDLE: usize = 240;
const AROUND_ENTRY: usize = 190;

/// A person as a `Patient`.
#[must_use]
pub fn patient(person: &Person) -> Value {
    let name = |representation: &str, family: &str, given: &str| {
        json!({
            "extension": [{"url": NAME_REPRESENTATION, "valueCode": representation}],
            "use": "official", "text": format!("{family} {given}"), "family": family, "given": [given]
        })
    };
    json!({
        "resourceType": "Patient", "id": person.id, "meta": {"profile": [PROFILE_PATIENT]},
        "identifier": [{"system": SYNTHETIC_PATIENT, "value": person.id}],
        "name": [name("IDE", person.family, person.given), name("SYL", person.family_kana, person.given_kana)],
        "gender": match person.sex { Sex::Female => "female", Sex::Male => "male" },
        "birthDate": person.birth.to_string()
    })
}

/// One dose as an `Immunization`; `number` makes its id.
#[must_use]
pub fn immunization(person: &Person, dose: &Dose, number: usize) -> Value {
    let diseases: Vec<Value> = dose.vaccine.diseases().iter().map(|text| json!({"text": text})).collect();
    json!({
        "resourceType": "Immunization", "id": format!("{}-i{number}", person.id),
        "meta": {"profile": [PROFILE_IMMUNIZATION]},
        "extension": [{
            "url": DOSE_MUNICIPALITY,
            "valueCoding": {"system": MUNICIPALITY_CODE, "code": dose.home.code.as_str(), "display": dose.home.name}
        }],
        "status": "completed",
        "vaccineCode": {
            "coding": [{"system": SYNTHETIC_VACCINE, "code": dose.vaccine.synthetic_code()}],
            "text": dose.vaccine.name()
        },
        "patient": {"reference": format!("Patient/{}", person.id)},
        "occurrenceDateTime": dose.date.to_string(),
        "location": {"display": dose.place.name},
        "manufacturer": {"display": dose.maker},
        "lotNumber": dose.lot,
        "performer": [{"actor": {"display": dose.clinic}}],
        "protocolApplied": [{"targetDisease": diseases, "doseNumberPositiveInt": dose.number}]
    })
}

/// A child as a FHIR server holds it: the `Patient`, then every `Immunization` in order of date.
#[must_use]
pub fn resources(child: &Child) -> Vec<Value> {
    let doses = child.doses.iter().enumerate().map(|(i, dose)| immunization(&child.person, dose, i.saturating_add(1)));
    std::iter::once(patient(&child.person)).chain(doses).collect()
}

/// As [`resources`], with only as many doses as fit into a searchset Bundle of about `bytes`: 2,600 makes the small
/// typical answer. (The stand-in's padding makes up the rest exactly.)
#[must_use]
pub fn resources_within(child: &Child, bytes: usize) -> Vec<Value> {
    let mut left = bytes.saturating_sub(AROUND_BUNDLE);
    let mut all = resources(child).into_iter();
    let mut kept: Vec<Value> = all.next().into_iter().collect();
    kept.extend(all.take_while(|resource| {
        let size = resource.to_string().len().saturating_add(AROUND_ENTRY);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    }));
    kept
}
