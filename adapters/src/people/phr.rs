//! A synthetic child's records as a PHR app holds them (`docs/phr-app-source.md`). Pure, the same for the same child.
//!
//! Conditions and medicines are text: no code of a real code system is invented.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::rules::{days_between, plus_days};
use super::{Child, Dose, Person, Sex};

const TEMPERATURE_DAYS: i32 = 7;
/// Every 30th day, at most so many.
const WEIGHTS_MAX: i32 = 6;

/// An app's records of a child, as on `today`. Every third child has asthma and takes something for it; every third is
/// allergic to egg; of one of the others the parents say that no allergy is known.
#[must_use]
pub fn records(child: &Child, today: Date) -> Map<String, Value> {
    let person = &child.person;
    let kind = days_between(Date::constant(2000, 1, 1), person.birth).rem_euclid(3);
    let mut records = Map::new();
    let mut put = |name: &str, value: Value| records.insert(name.to_owned(), value);
    put("profile", profile(person));
    put("heights", json!([height(person, today)]));
    put("weights", (0..WEIGHTS_MAX).filter_map(|number| weight(person, today, number)).collect());
    put("temperatures", (0..TEMPERATURE_DAYS).filter_map(|number| temperature(person, today, number)).collect());
    put("vaccinations", child.doses.iter().enumerate().map(|(at, dose)| vaccination(dose, at, today)).collect());
    match kind {
        0 => {
            put("conditions", json!([asthma(today)]));
            put("medications", json!([inhaler(today)]));
        }
        1 => {
            put("allergies", json!([egg(today)]));
        }
        _ => {
            let none = json!({"id": "a1", "none_known": true, "recorded": plus_days(today, -40).to_string(), "entered": "self"});
            put("allergies", json!([none]));
        }
    }
    records
}

fn profile(person: &Person) -> Value {
    json!({
        "name": format!("{} {}", person.family, person.given), "family": person.family, "given": person.given,
        "kana": format!("{} {}", person.family_kana, person.given_kana),
        "family_kana": person.family_kana, "given_kana": person.given_kana,
        "birth_date": person.birth.to_string(),
        "sex": match person.sex { Sex::Female => "female", Sex::Male => "male" }, "entered": "self"
    })
}

/// Hectograms: 3.2 kg at birth, 9 kg at one year, then 2 kg a year.
fn hectograms(person: &Person, day: Date) -> i32 {
    let age = days_between(person.birth, day);
    if age < 365 { 32 + age * 58 / 365 } else { 90 + (age - 365) * 20 / 365 }
}

fn weight(person: &Person, today: Date, number: i32) -> Option<Value> {
    let day = plus_days(today, -30 * number);
    let hectograms = hectograms(person, day);
    let value: serde_json::Number = format!("{}.{}0", hectograms / 10, hectograms % 10).parse().ok()?;
    let weight =
        json!({"id": format!("w{number}"), "value": value, "unit": "kg", "at": day.to_string(), "entered": "device"});
    (day >= person.birth).then_some(weight)
}

/// 50 cm at birth, 75 cm at one year, then 7 cm a year.
fn height(person: &Person, today: Date) -> Value {
    let age = days_between(person.birth, today);
    let centimetres = if age < 365 { 50 + age * 25 / 365 } else { 75 + (age - 365) * 7 / 365 };
    json!({"id": "h1", "value": centimetres, "unit": "cm", "at": today.to_string(), "entered": "self"})
}

fn temperature(person: &Person, today: Date, number: i32) -> Option<Value> {
    let day = plus_days(today, -number - 1);
    let value: serde_json::Number = format!("36.{}", 4 + (number * 7) % 5).parse().ok()?;
    let at = format!("{day}T07:30:00+09:00");
    let temperature = json!({"id": format!("t{number}"), "value": value, "unit": "Cel", "at": at, "entered": "device"});
    (day >= person.birth).then_some(temperature)
}

fn vaccination(dose: &Dose, at: usize, today: Date) -> Value {
    json!({
        "id": format!("v{at}"), "vaccine": dose.vaccine.name(), "on": dose.date.to_string(),
        "dose_number": dose.number.to_string(), "lot": dose.lot, "maker": dose.maker, "clinic": dose.clinic,
        "municipality": dose.home.code.as_str(), "entered": "portal", "copied_on": plus_days(today, -12).to_string()
    })
}

fn asthma(today: Date) -> Value {
    let recorded = plus_days(today, -100).to_string();
    json!({"id": "c1", "name": "気管支喘息", "status": "active", "since": "2024-10", "recorded": recorded,
           "note": "季節の変わり目に出やすい", "entered": "self"})
}

fn inhaler(today: Date) -> Value {
    json!({"id": "m1", "name": "見本吸入薬（架空）", "status": "active", "from": plus_days(today, -90).to_string(),
           "dosage": "1日2回 朝・夕 1回1吸入", "recorded": plus_days(today, -90).to_string(), "entered": "self"})
}

fn egg(today: Date) -> Value {
    json!({"id": "a1", "name": "鶏卵", "category": "food", "criticality": "high", "reaction": "じんましん、咳き込み",
           "since": "2025", "recorded": plus_days(today, -40).to_string(), "entered": "self"})
}
