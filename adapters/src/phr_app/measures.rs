//! Measurements: height, weight, temperature.

use serde_json::{Value, json};

use super::Part;
use super::reader::Reader;
use super::resources::{coded, put, put_note};
use super::when::Precision;
use crate::fhir_terms::{
    BODY_MEASUREMENT_CODE, JP_OBSERVATION_CATEGORY, LOINC, NURSING_OBSERVATION, OBSERVATION_CATEGORY,
    PROFILE_BODY_MEASUREMENT, PROFILE_VITAL_SIGNS, UCUM,
};

/// How a part's measurements are written.
struct Measure {
    text: &'static str,
    loinc: &'static str,
    /// System and code.
    japanese: (&'static str, &'static str),
    category: &'static str,
    profile: &'static str,
    /// What it is given in, and by how many places to shift the point for the first of them.
    units: &'static [(&'static str, i8)],
    /// The first unit as people read it.
    unit_shown: &'static str,
    /// What a living body can have, in the first unit, both included.
    possible: (f64, f64),
}

/// Up to 272 cm has been measured, and the smallest premature babies are about 20 cm long.
const HEIGHT: Measure = Measure {
    text: "身長",
    loinc: "8302-2",
    japanese: (BODY_MEASUREMENT_CODE, "31000298"),
    category: "body-measurement",
    profile: PROFILE_BODY_MEASUREMENT,
    units: &[("cm", 0), ("m", 2)],
    unit_shown: "cm",
    possible: (20.0, 280.0),
};

/// Babies born with some 210 g have lived, and lose weight at first; the heaviest person known weighed about 635 kg.
const WEIGHT: Measure = Measure {
    text: "体重",
    loinc: "29463-7",
    japanese: (BODY_MEASUREMENT_CODE, "31000296"),
    category: "body-measurement",
    profile: PROFILE_BODY_MEASUREMENT,
    units: &[("kg", 0), ("g", -3)],
    unit_shown: "kg",
    possible: (0.15, 650.0),
};

/// People have survived less than 12 °C and more than 46 °C. That 365 means 36.5 is likely, and not what was said.
const TEMPERATURE: Measure = Measure {
    text: "体温",
    loinc: "8310-5",
    japanese: (NURSING_OBSERVATION, "31001368"),
    category: "vital-signs",
    profile: PROFILE_VITAL_SIGNS,
    units: &[("Cel", 0)],
    unit_shown: "℃",
    possible: (10.0, 47.0),
};

pub(super) fn measurement(reader: &mut Reader<'_, '_>) -> Option<Value> {
    let measure = match reader.item.part {
        Part::Heights => &HEIGHT,
        Part::Weights => &WEIGHT,
        _ => &TEMPERATURE,
    };
    let value = reader.measured(measure.units, measure.possible);
    // FHIR's vital signs need the day at least.
    let at = reader.when("at", Precision::Day, true);
    let note = reader.lines("note");
    let resource = reader.resource("Observation", Some(measure.profile));
    let (value, at, mut observation) = (value?.number()?, at?, resource?);
    let ucum = measure.units.first().map(|(unit, _)| *unit);
    let (system, code) = measure.japanese;
    let code = json!({
        "coding": [{"system": LOINC, "code": measure.loinc}, {"system": system, "code": code}], "text": measure.text
    });
    let categories =
        [coded(OBSERVATION_CATEGORY, "vital-signs"), coded(JP_OBSERVATION_CATEGORY, measure.category)].to_vec();
    put(&mut observation, "status", Some("final"));
    put(&mut observation, "category", Some(categories));
    put(&mut observation, "code", Some(code));
    put(&mut observation, "subject", Some(reader.patient()));
    put(&mut observation, "effectiveDateTime", Some(at.text));
    let quantity = json!({"value": value, "unit": measure.unit_shown, "system": UCUM, "code": ucum});
    put(&mut observation, "valueQuantity", Some(quantity));
    put_note(&mut observation, note);
    Some(Value::Object(observation))
}
