//! What turns an item's meaning round: that it was refuted, is over, was not done. It is said before anything else about it, and
//! what is over does not stand among what is.

use crate::request::json::Json;

/// Entered by mistake (FHIR R4): it means nothing, and is nowhere.
pub(crate) fn is_void(resource: &Json<'_>) -> bool {
    resource.text("status") == Some("entered-in-error")
        || codes(resource, "verificationStatus").any(|code| code == "entered-in-error")
}

/// A medicine that is not taken (any more), as of a day, `YYYY-MM-DD`.
pub(super) fn is_not_taken(medicine: &Json<'_>, today: &str) -> bool {
    let status = medicine.text("status").unwrap_or_default();
    let over = ["completed", "stopped", "cancelled", "not-taken", "declined"].contains(&status);
    over || medicine
        .get("effectivePeriod")
        .and_then(|period| period.text("end"))
        .is_some_and(|end| is_before(end, today))
}

/// A vaccination that did not take place.
pub(super) fn is_not_done(immunization: &Json<'_>) -> bool {
    immunization.text("status") == Some("not-done")
}

/// Whether all of a date, which may be a month or a year, is before a day. Both begin with the year.
fn is_before(date: &str, today: &str) -> bool {
    let date = date.get(..10).unwrap_or(date);
    !today.starts_with(date) && date < today
}

/// In words, Japanese and English: everything but what goes without saying.
pub(super) fn words(resource: &Json<'_>) -> Vec<String> {
    let status = resource.text("status");
    let kind = resource.text("resourceType").unwrap_or_default();
    let mut said: Vec<String> = status.and_then(|code| of_status(kind, code)).into_iter().collect();
    said.extend(codes(resource, "clinicalStatus").filter(|code| *code != "active").map(in_words));
    said.extend(codes(resource, "verificationStatus").filter(|code| *code != "confirmed").map(in_words));
    if let Some(end) = resource.get("effectivePeriod").and_then(|period| period.text("end")) {
        said.push(format!("{end} まで / until {end}"));
    }
    match resource.get("valueBoolean") {
        Some(Json::Bool(true)) => said.push("はい / yes".to_owned()),
        Some(Json::Bool(false)) => said.push("いいえ / no".to_owned()),
        _ => {}
    }
    said
}

fn of_status(kind: &str, code: &str) -> Option<String> {
    let usual: &[&str] = match kind {
        "MedicationStatement" | "MedicationRequest" => &["active"],
        "Immunization" | "Procedure" | "MedicationDispense" | "MedicationAdministration" => &["completed"],
        "Observation" | "DiagnosticReport" => &["final", "amended", "corrected", "appended"],
        // Of other types it is about something else than what it says of the person.
        _ => return None,
    };
    (!usual.contains(&code)).then(|| in_words(code))
}

fn in_words(code: &str) -> String {
    let words = match code {
        "completed" => "終了 / completed",
        "stopped" => "中止 / stopped",
        "on-hold" => "休止中 / on hold",
        "not-taken" => "服用していない / not taken",
        "intended" => "予定 / intended",
        "cancelled" => "取消 / cancelled",
        "declined" => "辞退 / declined",
        "draft" => "下書き / draft",
        "not-done" => "実施していない / not done",
        "in-progress" => "実施中 / in progress",
        "preparation" => "準備中 / in preparation",
        "preliminary" => "速報 / preliminary",
        "registered" => "結果待ち / registered",
        "partial" => "一部 / partial",
        "unknown" => "状態不明 / status unknown",
        "recurrence" => "再発 / recurrence",
        "relapse" => "再燃 / relapse",
        "inactive" => "現在はない / inactive",
        "remission" => "寛解 / in remission",
        "resolved" => "治った / resolved",
        "unconfirmed" => "未確認 / unconfirmed",
        "provisional" => "暫定 / provisional",
        "differential" => "鑑別中 / differential",
        "refuted" => "否定された / refuted",
        other => other,
    };
    words.to_owned()
}

fn codes<'r>(resource: &'r Json<'_>, name: &str) -> impl Iterator<Item = &'r str> {
    let codings = resource.get(name).map(|concept| concept.list("coding")).unwrap_or_default();
    codings.iter().filter_map(|coding| coding.text("code"))
}

#[cfg(test)]
mod tests {
    use super::Json;
    use bumpalo::Bump;
    use serde_json::{Value, json};

    fn words(resource: &Value) -> Vec<String> {
        super::words(&Json::of(resource, &Bump::new()))
    }

    fn is_void(resource: &Value) -> bool {
        super::is_void(&Json::of(resource, &Bump::new()))
    }

    fn is_not_taken(resource: &Value, today: &str) -> bool {
        super::is_not_taken(&Json::of(resource, &Bump::new()), today)
    }

    fn is_not_done(resource: &Value) -> bool {
        super::is_not_done(&Json::of(resource, &Bump::new()))
    }

    #[test]
    fn what_is_over_refuted_or_not_done_is_said() {
        let allergy = json!({"resourceType": "AllergyIntolerance", "clinicalStatus": {"coding": [{"code": "resolved"}]},
            "verificationStatus": {"coding": [{"code": "refuted"}]}});
        assert_eq!(words(&allergy), ["治った / resolved", "否定された / refuted"]);
        let usual = json!({"resourceType": "AllergyIntolerance", "clinicalStatus": {"coding": [{"code": "active"}]},
            "verificationStatus": {"coding": [{"code": "confirmed"}]}});
        assert_eq!(words(&usual), Vec::<String>::new());
        let stopped =
            json!({"resourceType": "MedicationStatement", "status": "stopped", "effectivePeriod": {"end": "2025-06"}});
        assert_eq!(words(&stopped), ["中止 / stopped", "2025-06 まで / until 2025-06"]);
        let dose = json!({"resourceType": "Immunization", "status": "not-done"});
        assert!(is_not_done(&dose) && words(&dose) == ["実施していない / not done"]);
        assert_eq!(
            words(&json!({"resourceType": "Observation", "status": "final", "valueBoolean": false})),
            ["いいえ / no"]
        );
        assert!(is_void(&json!({"verificationStatus": {"coding": [{"code": "entered-in-error"}]}})));
        assert!(is_void(&json!({"status": "entered-in-error"})) && !is_void(&usual));
    }

    #[test]
    fn a_medicine_whose_time_is_over_is_not_taken() {
        let until = |end: &str| json!({"status": "active", "effectivePeriod": {"start": "2025-01", "end": end}});
        for (end, over) in [
            ("2026-11-22", true),
            ("2026-10", true),
            ("2025", true),
            ("2026-11-23", false),
            ("2026-11", false),
            ("2026", false),
            ("2027-01", false),
        ] {
            assert_eq!(is_not_taken(&until(end), "2026-11-23"), over, "{end}");
        }
        assert!(is_not_taken(&json!({"status": "not-taken"}), "2026-11-23"));
        assert!(!is_not_taken(&json!({"status": "unknown"}), "2026-11-23"));
    }
}
