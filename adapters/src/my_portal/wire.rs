//! The portal's wire format: reading answers strictly, naming what is wrong.
//!
//! Public facts: `POST /oauth/token`, `POST /request` → `process_id`, `POST /result`; `resultCode` 0000 / 1000 / 9000;
//! `selfiTranStatusCd` 01, 09 pending, 02 done, 03 with data, 04 without data, 06 capacity exceeded;
//! `personInfoNameDetailList` of `{hierarchy, personInitemCd, personInitemContent}`.
//!
//! Assumptions, to be settled with the interface specification: the token answer names the account as `sub`; the
//! records stand in `resBody.resultList`; the part of `hierarchy` before the first `-` tells the doses of one list
//! apart; an item that a municipality doesn't offer is a 9000 with a configured code and `municipalityCd`.

use std::fmt;

use serde_json::Value;

use super::client::PortalError;
use super::codes::PortalCodes;
use crate::municipality::MunicipalityCode;

const RECORDS_MAX: usize = 500;
const ITEMS_MAX: usize = 64;
const CONTENT_MAX: usize = 1000;
const CODE_MAX: usize = 16;
/// Waiting time when the portal says "too many" without saying for how long.
const RETRY_AFTER_S: u64 = 60;

/// One item of a record. `Debug` shows its code only.
#[derive(Clone, PartialEq, Eq)]
pub struct PortalItem {
    /// Item code, ten digits.
    pub code: String,
    /// Content: personal.
    pub content: String,
}

impl fmt::Debug for PortalItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalItem").field("code", &self.code).finish_non_exhaustive()
    }
}

/// One dose as the portal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortalRecord {
    /// Its items, in the portal's order.
    pub items: Vec<PortalItem>,
}

/// What the portal knows of a person's vaccinations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortalRecords {
    /// One by dose.
    pub records: Vec<PortalRecord>,
}

/// A sound answer to the question for a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalAnswer {
    /// Not ready yet.
    Pending,
    /// Done, with records.
    WithData(PortalRecords),
    /// Done, and there is nothing. Registration lags by months, so this is no statement about the person.
    WithoutData,
    /// The municipality doesn't offer the record.
    NotSupported {
        /// Which one.
        municipality: MunicipalityCode,
    },
    /// The portal has no capacity left; the question has to be asked anew.
    CapacityExceeded,
}

fn text<'a>(value: &'a Value, pointer: &str, field: &'static str) -> Result<&'a str, PortalError> {
    value.pointer(pointer).and_then(Value::as_str).ok_or(PortalError::Malformed(field))
}

pub(super) fn parse(body: &[u8]) -> Result<Value, PortalError> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(PortalError::Malformed("body")),
    }
}

/// What `resultCode` says, before anything else is read.
enum Outcome {
    Sound,
    NotSupported(MunicipalityCode),
}

fn outcome(value: &Value, codes: &PortalCodes, retry_after: Option<u64>) -> Result<Outcome, PortalError> {
    match text(value, "/resultCode", "resultCode")? {
        "0000" => Ok(Outcome::Sound),
        "1000" => Err(PortalError::RateLimited { retry_after_s: retry_after.unwrap_or(RETRY_AFTER_S) }),
        "9000" => {
            let code = text(value, "/errors/0/errorCode", "errors.errorCode")?;
            if code == "ED1107" {
                return Err(PortalError::Unauthenticated);
            }
            if code == codes.not_supported_error {
                let field = "errors.municipalityCd";
                let municipality = text(value, "/errors/0/municipalityCd", field)?;
                return MunicipalityCode::parse(municipality)
                    .map(Outcome::NotSupported)
                    .map_err(|_| PortalError::Malformed(field));
            }
            // A code is letters and digits; anything else could be anything.
            if code.is_empty() || code.len() > CODE_MAX || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(PortalError::Malformed("errors.errorCode"));
            }
            Err(PortalError::Refused(code.to_owned()))
        }
        _ => Err(PortalError::Malformed("resultCode")),
    }
}

/// Reads the answer to a request: the process id, or that the municipality doesn't offer the record.
///
/// # Errors
/// What the portal refused, or which field is not as it should be.
pub fn requested(
    body: &[u8],
    codes: &PortalCodes,
    retry_after: Option<u64>,
) -> Result<Result<String, MunicipalityCode>, PortalError> {
    let value = parse(body)?;
    match outcome(&value, codes, retry_after)? {
        Outcome::NotSupported(municipality) => Ok(Err(municipality)),
        Outcome::Sound => {
            let id = text(&value, "/process_id", "process_id")?;
            let sound = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
            if sound { Ok(Ok(id.to_owned())) } else { Err(PortalError::Malformed("process_id")) }
        }
    }
}

/// Reads the answer to a question for a result.
///
/// # Errors
/// What the portal refused, or which field is not as it should be.
pub fn result(body: &[u8], codes: &PortalCodes, retry_after: Option<u64>) -> Result<PortalAnswer, PortalError> {
    let value = parse(body)?;
    if let Outcome::NotSupported(municipality) = outcome(&value, codes, retry_after)? {
        return Ok(PortalAnswer::NotSupported { municipality });
    }
    let list = match value.pointer("/resBody/resultList") {
        None => None,
        Some(Value::Array(list)) => Some(list),
        Some(_) => return Err(PortalError::Malformed("resBody.resultList")),
    };
    let filled = list.filter(|list| !list.is_empty());
    let status = text(&value, "/resBody/selfiTranStatusCd", "resBody.selfiTranStatusCd")?;
    match (status, filled) {
        ("01" | "09", None) => Ok(PortalAnswer::Pending),
        ("06", None) => Ok(PortalAnswer::CapacityExceeded),
        ("04", None) => Ok(PortalAnswer::WithoutData),
        // "Done" without saying how: only a list that is there, and empty, means that there is nothing.
        ("02", None) if list.is_some() => Ok(PortalAnswer::WithoutData),
        ("02" | "03", Some(list)) => records(list, codes).map(PortalAnswer::WithData),
        ("01" | "09" | "06" | "04" | "02" | "03", _) => Err(PortalError::Malformed("resBody.resultList")),
        _ => Err(PortalError::Malformed("resBody.selfiTranStatusCd")),
    }
}

fn records(list: &[Value], codes: &PortalCodes) -> Result<PortalRecords, PortalError> {
    let mut records = Vec::new();
    for entry in list {
        let field = "resultList.personInfoNameCd";
        if text(entry, "/personInfoNameCd", field)? != codes.record {
            return Err(PortalError::Malformed(field));
        }
        // An entry without items says neither that there are records nor that there are none.
        let details = entry
            .get("personInfoNameDetailList")
            .and_then(Value::as_array)
            .filter(|details| !details.is_empty())
            .ok_or(PortalError::Malformed("resultList.personInfoNameDetailList"))?;
        group(details, &mut records)?;
    }
    Ok(PortalRecords { records })
}

/// Splits a list of items into doses: a new one begins where the first part of `hierarchy` changes.
fn group(details: &[Value], records: &mut Vec<PortalRecord>) -> Result<(), PortalError> {
    let mut current: Option<&str> = None;
    for detail in details {
        let hierarchy = text(detail, "/hierarchy", "personInfoNameDetailList.hierarchy")?;
        let dose = hierarchy.split('-').next().unwrap_or_default();
        if dose.is_empty() {
            return Err(PortalError::Malformed("personInfoNameDetailList.hierarchy"));
        }
        let code = text(detail, "/personInitemCd", "personInfoNameDetailList.personInitemCd")?;
        if code.len() != 10 || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PortalError::Malformed("personInfoNameDetailList.personInitemCd"));
        }
        let content = text(detail, "/personInitemContent", "personInfoNameDetailList.personInitemContent")?;
        if content.len() > CONTENT_MAX {
            return Err(PortalError::Malformed("personInfoNameDetailList.personInitemContent"));
        }
        if current != Some(dose) {
            current = Some(dose);
            records.push(PortalRecord::default());
        }
        if records.len() > RECORDS_MAX {
            return Err(PortalError::Malformed("resultList"));
        }
        let Some(record) = records.last_mut() else {
            continue;
        };
        if record.items.len() >= ITEMS_MAX {
            return Err(PortalError::Malformed("personInfoNameDetailList"));
        }
        record.items.push(PortalItem { code: code.to_owned(), content: content.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<PortalAnswer, PortalError> {
        result(value.to_string().as_bytes(), &PortalCodes::synthetic(), None)
    }

    fn with(status: &str, list: Value) -> Value {
        json!({"resultCode": "0000", "resBody": {"selfiTranStatusCd": status, "resultList": list}})
    }

    #[test]
    fn every_status_has_its_own_reading() {
        let entry = |content: Value| {
            json!([{"personInfoNameCd": "TM99999999999999", "personInfoNameDetailList": [
                {"hierarchy": "01-01", "personInitemCd": "9999999901", "personInitemContent": content},
                {"hierarchy": "02-01", "personInitemCd": "9999999901", "personInitemContent": "水痘"}
            ]}])
        };
        for status in ["01", "09"] {
            assert_eq!(read(&with(status, json!([]))), Ok(PortalAnswer::Pending));
        }
        assert_eq!(read(&with("04", json!([]))), Ok(PortalAnswer::WithoutData));
        assert_eq!(read(&with("02", json!([]))), Ok(PortalAnswer::WithoutData));
        assert_eq!(read(&with("06", json!([]))), Ok(PortalAnswer::CapacityExceeded));
        for status in ["02", "03"] {
            let Ok(PortalAnswer::WithData(data)) = read(&with(status, entry(json!("BCG")))) else { panic!() };
            assert_eq!(data.records.len(), 2);
            assert!(!format!("{data:?}").contains("BCG"));
        }
        for (value, field) in [
            (with("05", json!([])), "resBody.selfiTranStatusCd"),
            (with("", json!([])), "resBody.selfiTranStatusCd"),
            (with("03", json!([])), "resBody.resultList"),
            (with("04", entry(json!("BCG"))), "resBody.resultList"),
            (with("03", json!({})), "resBody.resultList"),
            (json!({"resultCode": "0000", "resBody": {"selfiTranStatusCd": "02"}}), "resBody.resultList"),
            (json!({"resultCode": "0000", "resBody": {}}), "resBody.selfiTranStatusCd"),
            (json!({"resultCode": "0000", "resBody": {"selfiTranStatusCd": 3}}), "resBody.selfiTranStatusCd"),
            (json!({"resultCode": "0001"}), "resultCode"),
            (json!({}), "resultCode"),
            (json!([]), "body"),
            (json!({"resultCode": "9000"}), "errors.errorCode"),
            (json!({"resultCode": "9000", "errors": [{"errorCode": "氏名"}]}), "errors.errorCode"),
            (json!({"resultCode": "9000", "errors": [{"errorCode": "SY0001"}]}), "errors.municipalityCd"),
            (with("03", entry(json!(5))), "personInfoNameDetailList.personInitemContent"),
            (with("03", json!([{"personInfoNameCd": "TM1"}])), "resultList.personInfoNameCd"),
            (
                with("02", json!([{"personInfoNameCd": "TM99999999999999", "personInfoNameDetailList": []}])),
                "resultList.personInfoNameDetailList",
            ),
        ] {
            assert_eq!(read(&value), Err(PortalError::Malformed(field)), "{value}");
        }
        let refused = json!({"resultCode": "9000", "errors": [{"errorCode": "ED9999"}]});
        assert_eq!(read(&refused), Err(PortalError::Refused("ED9999".to_owned())));
        let limited = json!({"resultCode": "1000"});
        assert_eq!(read(&limited), Err(PortalError::RateLimited { retry_after_s: 60 }));
    }
}
