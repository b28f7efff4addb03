use super::*;
use crate::my_portal::{PortalItem, VaccineCode};

fn codes() -> PortalCodes {
    let mut codes = PortalCodes::synthetic();
    codes.vaccines = vec![VaccineCode {
        name: "見本ワクチン".to_owned(),
        system: VaccineSystem::Hot9,
        code: "999999999".to_owned(),
    }];
    codes
}

fn record(changed: &[(&str, &str)]) -> PortalRecord {
    let codes = PortalCodes::synthetic().items;
    let mut fields = vec![
        ("vaccine", "水痘"),
        ("date", "20240405"),
        ("lot", "SYN-A123B"),
        ("maker", "見本（架空）"),
        ("dose_number", "1"),
        ("disease", "水痘"),
        ("municipality", "131121"),
        ("clinic", "見本小児科（架空）"),
    ];
    for (name, _) in changed {
        fields.retain(|(n, _)| n != name);
    }
    fields.extend(changed);
    let code = |name: &str| match name {
        "vaccine" => codes.vaccine.clone(),
        "date" => codes.date.clone(),
        "lot" => codes.lot.clone(),
        "maker" => codes.maker.clone(),
        "dose_number" => codes.dose_number.clone(),
        "disease" => codes.disease.clone(),
        "municipality" => codes.municipality.clone(),
        "clinic" => codes.clinic.clone(),
        other => other.to_owned(),
    };
    let items = fields.into_iter().map(|(name, content)| PortalItem { code: code(name), content: content.to_owned() });
    PortalRecord { items: items.collect() }
}

fn mapped(changed: &[(&str, &str)]) -> Mapped {
    map(&PortalRecords { records: vec![record(changed)] }, &codes(), "Patient/p")
}

#[test]
fn a_whole_record_is_mapped_whole() {
    let out = mapped(&[]);
    assert_eq!(out.unmapped, []);
    assert_eq!(
        out.immunizations,
        [json!({
            "resourceType": "Immunization", "id": "dose-1", "meta": {"profile": [PROFILE_IMMUNIZATION]},
            "status": "completed", "vaccineCode": {"text": "水痘"}, "patient": {"reference": "Patient/p"},
            "occurrenceDateTime": "2024-04-05",
            "extension": [{"url": DOSE_MUNICIPALITY,
                           "valueCoding": {"system": MUNICIPALITY_CODE, "code": "131121"}}],
            "manufacturer": {"display": "見本（架空）"}, "lotNumber": "SYN-A123B",
            "performer": [{"actor": {"display": "見本小児科（架空）"}}],
            "protocolApplied": [{"targetDisease": [{"text": "水痘"}], "doseNumberPositiveInt": 1}]
        })]
    );
    assert!(!format!("{out:?}").contains("水痘"));
}

#[test]
fn dates_keep_their_precision() {
    for (text, name, expected) in [
        ("20240405", "occurrenceDateTime", "2024-04-05"),
        ("20240229", "occurrenceDateTime", "2024-02-29"),
        ("202404", "occurrenceDateTime", "2024-04"),
        ("2024", "occurrenceDateTime", "2024"),
        ("令和6年4月5日", "occurrenceString", "令和6年4月5日"),
        ("６才頃", "occurrenceString", "６才頃"),
        ("2024/04/05", "occurrenceString", "2024/04/05"),
    ] {
        let out = mapped(&[("date", text)]);
        assert_eq!(out.immunizations[0][name], expected, "{text}");
        assert_eq!(out.unmapped, []);
    }
}

#[test]
fn what_lacks_the_required_is_left_out_and_reported() {
    for (changed, field, why) in [
        (("date", "20240230"), "date", Why::NotADate),
        (("date", "202413"), "date", Why::NotADate),
        (("date", "240405"), "date", Why::NotADate),
        (("date", "18990101"), "date", Why::NotADate),
        (("date", "2024040"), "date", Why::NotADate),
        (("date", " "), "date", Why::Missing),
        (("vaccine", ""), "vaccine", Why::Missing),
    ] {
        let out = mapped(&[changed]);
        assert!(out.immunizations.is_empty(), "{changed:?}");
        assert_eq!(out.unmapped, [Unmapped { index: 0, field: field.to_owned(), why, record_left_out: true }]);
    }
    let out = map(&PortalRecords { records: vec![PortalRecord::default()] }, &codes(), "Patient/p");
    assert_eq!(out.unmapped.len(), 2);
}

#[test]
fn what_is_optional_is_left_out_alone_and_reported() {
    for (changed, field, why, gone) in [
        (("municipality", "131122"), "municipality", Why::NotAMunicipality, "extension"),
        (("municipality", "世田谷区"), "municipality", Why::NotAMunicipality, "extension"),
        (("lot", "123456789012345678901"), "lot", Why::TooLong, "lotNumber"),
        (("9999999999", "?"), "9999999999", Why::UnknownItem, "none"),
    ] {
        let out = mapped(&[changed]);
        assert!(out.immunizations[0].get(gone).is_none(), "{changed:?}");
        assert_eq!(out.unmapped, [Unmapped { index: 0, field: field.to_owned(), why, record_left_out: false }]);
    }
    // Without the number of the dose there is no place for the disease.
    for number in ["0", "21", "99999", "１"] {
        let out = mapped(&[("dose_number", number)]);
        assert!(out.immunizations[0].get("protocolApplied").is_none());
        let whys: Vec<Why> = out.unmapped.iter().map(|u| u.why).collect();
        assert_eq!(whys, [Why::NotANumber, Why::NeedsDoseNumber], "{number}");
    }
    let out = mapped(&[("dose_number", "追加")]);
    assert_eq!(out.immunizations[0]["protocolApplied"][0]["doseNumberString"], "追加");
}

#[test]
fn nothing_is_chosen_between_contradictions() {
    let out = mapped(&[("date", "20240405"), ("date", "20240406")]);
    assert!(out.immunizations.is_empty());
    assert_eq!(out.unmapped[0].why, Why::Contradictory);
    let out = mapped(&[("lot", "A"), ("lot", "B"), ("lot", "B")]);
    assert!(out.immunizations[0].get("lotNumber").is_none());
    let out = mapped(&[("lot", "A"), ("lot", "A")]);
    assert_eq!(out.immunizations[0]["lotNumber"], "A");
}

#[test]
fn known_vaccines_get_their_code() {
    let out = mapped(&[("vaccine", "見本ワクチン")]);
    assert_eq!(
        out.immunizations[0]["vaccineCode"],
        json!({"coding": [{"system": HOT9, "code": "999999999"}], "text": "見本ワクチン"})
    );
}

#[test]
fn what_could_be_an_individual_number_takes_its_record_with_it() {
    let number = (0..10).map(|d| format!("11111111111{d}")).find(|n| my_number::contained_in(n)).unwrap();
    for field in ["clinic", "lot", "9999999999"] {
        let out = mapped(&[(field, &format!("no {number}"))]);
        assert!(out.immunizations.is_empty());
        let whys: Vec<Why> = out.unmapped.iter().map(|u| u.why).collect();
        assert_eq!(whys, [Why::IndividualNumber], "{field}");
        assert!(!format!("{out:?}").contains(&number));
    }
}
