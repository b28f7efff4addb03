//! Names of FHIR profiles, systems and extensions that this crate writes.
//!
//! Facts: JP Core 1.2 (profile, extension and code system addresses); ISO 21090 name representation; FHIR R4 (vital signs,
//! clinical status, data-absent-reason); JP-CLINS (a medicine without code). The `urn:sekisho:` names are ours; those with
//! `synthetic` in them mark what no real system would send.

/// Profile of a Japanese patient.
pub const PROFILE_PATIENT: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Patient";
/// Profile of a Japanese immunization.
pub const PROFILE_IMMUNIZATION: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Immunization";
/// Profile of a Japanese condition.
pub const PROFILE_CONDITION: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Condition";
/// Profile of a Japanese medication statement.
pub const PROFILE_MEDICATION_STATEMENT: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_MedicationStatement";
/// Profile of a Japanese allergy.
pub const PROFILE_ALLERGY: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_AllergyIntolerance";
/// Profile of a Japanese body measurement: weight, height.
pub const PROFILE_BODY_MEASUREMENT: &str =
    "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Observation_BodyMeasurement";
/// Profile of a Japanese vital sign: temperature.
pub const PROFILE_VITAL_SIGNS: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Observation_VitalSigns";
/// Extension that tells kanji (`IDE`) from kana (`SYL`).
pub const NAME_REPRESENTATION: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";
/// HOT9 medication codes.
pub const HOT9: &str = "http://medis.or.jp/CodeSystem/master-HOT9";
/// HOT13 medication codes.
pub const HOT13: &str = "http://medis.or.jp/CodeSystem/master-HOT13";
/// YJ medication codes.
pub const YJ: &str = "http://capstandard.jp/iyaku.info/CodeSystem/YJ-code";
/// JP-CLINS: stands for the code that a medicine doesn't have (`NOCODED`).
pub const NOCODED: &str = "http://jpfhir.jp/fhir/eCS/CodeSystem/MedicationCodeNocoded_CS";
/// ICD-10 as Japan uses it.
pub const ICD10: &str = "http://jpfhir.jp/fhir/core/mhlw/CodeSystem/ICD10-2013-full";
/// 病名管理番号 of the MEDIS disease master.
pub const DISEASE_KEY_NUMBER: &str = "http://medis.or.jp/CodeSystem/master-disease-keyNumber";
/// JP Core's codes of body measurements.
pub const BODY_MEASUREMENT_CODE: &str = "http://jpfhir.jp/fhir/core/CodeSystem/JP_ObservationBodyMeasurementCode_CS";
/// MEDIS' codes of nursing observations, temperature among them.
pub const NURSING_OBSERVATION: &str = "http://medis.or.jp/CodeSystem/master-nursingObservationKeyCode";
/// JP Core's categories of observations.
pub const JP_OBSERVATION_CATEGORY: &str = "http://jpfhir.jp/fhir/core/CodeSystem/JP_SimpleObservationCategory_CS";
/// FHIR's categories of observations.
pub const OBSERVATION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
/// FHIR's clinical status of conditions.
pub const CONDITION_CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
/// FHIR's clinical status of allergies.
pub const ALLERGY_CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
/// FHIR's extension that says why something isn't there.
pub const DATA_ABSENT_REASON: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
/// LOINC.
pub const LOINC: &str = "http://loinc.org";
/// SNOMED CT.
pub const SNOMED: &str = "http://snomed.info/sct";
/// UCUM units.
pub const UCUM: &str = "http://unitsofmeasure.org";
/// Vaccine codes of synthetic records.
pub const SYNTHETIC_VACCINE: &str = "urn:sekisho:synthetic:vaccine";
/// Patient identifiers of synthetic people.
pub const SYNTHETIC_PATIENT: &str = "urn:sekisho:synthetic:patient";
/// Extension: the municipality whose record a dose is in.
pub const DOSE_MUNICIPALITY: &str = "urn:sekisho:extension:dose-municipality";
/// The national codes of local governments, six digits.
pub const MUNICIPALITY_CODE: &str = "urn:sekisho:municipality-code";
/// Extension: where a record comes from: `self` (本人申告), `device`, `clinic`, `portal-copy`, or `app` where the app doesn't say.
pub const ORIGIN: &str = "urn:sekisho:extension:origin";
/// Extension: the day on which a copy was made (`valueDate`).
pub const COPIED_ON: &str = "urn:sekisho:extension:copied-on";
