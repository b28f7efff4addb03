//! Names of FHIR profiles, systems and extensions that this crate writes.
//!
//! Facts: JP Core 1.2 (profile and extension addresses); ISO 21090 name representation. The `urn:sekisho:` names are
//! ours; those with `synthetic` in them mark what no real system would send.

/// Profile of a Japanese patient.
pub const PROFILE_PATIENT: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Patient";
/// Profile of a Japanese immunization.
pub const PROFILE_IMMUNIZATION: &str = "http://jpfhir.jp/fhir/core/StructureDefinition/JP_Immunization";
/// Extension that tells kanji (`IDE`) from kana (`SYL`).
pub const NAME_REPRESENTATION: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";
/// HOT9 medication codes.
pub const HOT9: &str = "http://medis.or.jp/CodeSystem/master-HOT9";
/// HOT13 medication codes.
pub const HOT13: &str = "http://medis.or.jp/CodeSystem/master-HOT13";
/// YJ medication codes.
pub const YJ: &str = "http://capstandard.jp/iyaku.info/CodeSystem/YJ-code";
/// Vaccine codes of synthetic records.
pub const SYNTHETIC_VACCINE: &str = "urn:sekisho:synthetic:vaccine";
/// Patient identifiers of synthetic people.
pub const SYNTHETIC_PATIENT: &str = "urn:sekisho:synthetic:patient";
/// Extension: the municipality whose record a dose is in.
pub const DOSE_MUNICIPALITY: &str = "urn:sekisho:extension:dose-municipality";
/// The national codes of local governments, six digits.
pub const MUNICIPALITY_CODE: &str = "urn:sekisho:municipality-code";
