//! Items as people read them: every element that would go, with a label, none left out and none added.
//!
//! FHIR names for which there are no plain words here stand as they are: nothing is hidden because it is unknown.

use bumpalo::Bump;

use super::page::Lang;
use crate::request::json::{self, Json, member};

/// Items that are shown one by one; the rest is told by number.
const ITEMS_MAX: usize = 500;
/// How deep a value is followed. FHIR types nest less.
const DEPTH_MAX: usize = 12;

/// One item.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub title: String,
    /// Its elements: label and text.
    pub rows: Vec<(String, String)>,
}

/// Of the entries of a Bundle, or a resource, as narrowing writes them: those that go.
#[must_use]
pub fn read(narrowed: &[u8], lang: Lang, goes: impl Fn(&Json<'_>) -> bool) -> Vec<Item> {
    let (arena, list) = (Bump::new(), [b"[", narrowed, b"]"].concat());
    let Ok(Json::Array(entries)) = json::read(&list, &arena) else { return Vec::new() };
    let resources = entries.iter().map(|entry| entry.get("resource").unwrap_or(entry));
    let mut items: Vec<Item> = resources.filter(|one| goes(one)).filter_map(|one| item(one, lang)).collect();
    let left = items.len().saturating_sub(ITEMS_MAX);
    items.truncate(ITEMS_MAX);
    if left > 0 {
        let more = format!("{}{left}{}", lang.t("ほか ", "and "), lang.t(" 件", " more"));
        items.push(Item { title: more, rows: Vec::new() });
    }
    items
}

fn item(resource: &Json<'_>, lang: Lang) -> Option<Item> {
    let (kind, Json::Object(members)) = (resource.text("resourceType")?, resource) else { return None };
    let shown = members.iter().filter(|(name, value)| {
        // The id is made for the recipient, and the person is named above.
        !matches!(*name, "resourceType" | "id") && !is_the_person(value)
    });
    let rows = shown.filter_map(|(name, value)| Some((label(name, lang), text(value, lang, 0)?)));
    // What it is and when, so that one of many is found without reading them all.
    let what = ["vaccineCode", "code", "medicationCodeableConcept", "name"].iter().find_map(|name| {
        let value = resource.get(name)?;
        let short = value.get("text").filter(|text| text.as_str().is_some()).unwrap_or(value);
        text(short, lang, 0)
    });
    let when = ["occurrenceDateTime", "effectiveDateTime", "onsetDateTime"].iter();
    let when = when.filter_map(|name| text(resource.get(name)?, lang, 0)).next();
    let title = [Some(label(kind, lang)), what, when].into_iter().flatten().collect::<Vec<_>>();
    Some(Item { title: title.join(lang.t("　", ", ")), rows: rows.collect() })
}

fn is_the_person(value: &Json<'_>) -> bool {
    value.text("reference").is_some_and(|to| to.starts_with("Patient/"))
}

/// A value in one line; `None` when it says nothing.
fn text(value: &Json<'_>, lang: Lang, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return Some("…".to_owned());
    }
    match value {
        Json::Null => None,
        Json::Bool(yes) => Some(if *yes { lang.t("はい", "yes") } else { lang.t("いいえ", "no") }.to_owned()),
        Json::Number(number) => Some((*number).to_owned()),
        Json::Text(one) => Some(plain(one, lang)),
        Json::Array(all) => {
            let all: Vec<String> = all.iter().filter_map(|one| text(one, lang, depth + 1)).collect();
            (!all.is_empty()).then(|| all.join(lang.t("、", ", ")))
        }
        Json::Object(object) => known(object, lang, depth).or_else(|| members(object, lang, depth)),
    }
}

/// The types that have a usual way of being read.
fn known(object: &[(&str, Json<'_>)], lang: Lang, depth: usize) -> Option<String> {
    let of = |name: &str| member(object, name).and_then(Json::as_str);
    let only = |names: &[&str]| object.iter().all(|(key, _)| names.contains(key));
    if only(&["value", "unit", "system", "code", "comparator"]) && member(object, "value").is_some() {
        let amount = text(member(object, "value")?, lang, depth + 1)?;
        let unit = of("unit").or_else(|| of("code")).unwrap_or_default();
        return Some(format!("{}{amount} {unit}", of("comparator").unwrap_or_default()).trim().to_owned());
    }
    if only(&["system", "code", "display", "version", "userSelected"]) {
        return match (of("display"), of("code")) {
            (Some(display), Some(code)) => Some(format!("{display} ({code})")),
            (display, code) => display.or(code).map(str::to_owned),
        };
    }
    if only(&["coding", "text"]) {
        let coding = member(object, "coding").and_then(|coding| text(coding, lang, depth + 1));
        return match (of("text"), coding) {
            (Some(text), Some(coding)) => Some(format!("{text} [{coding}]")),
            (text, coding) => text.map(str::to_owned).or(coding),
        };
    }
    if let (Some(url), true) = (of("url"), object.len() == 2) {
        let (_, value) = object.iter().find(|(name, _)| name.starts_with("value"))?;
        let name = url.rsplit([':', '/']).next().unwrap_or(url);
        return Some(format!("{}: {}", label(name, lang), text(value, lang, depth + 1)?));
    }
    if only(&["start", "end"]) {
        let day = |name| of(name).map(|day| plain(day, lang)).unwrap_or_default();
        return Some(format!("{} – {}", day("start"), day("end")));
    }
    None
}

fn members(object: &[(&str, Json<'_>)], lang: Lang, depth: usize) -> Option<String> {
    let all = object.iter().filter(|(_, value)| !is_the_person(value));
    let all = all.filter_map(|(name, value)| Some((label(name, lang), text(value, lang, depth + 1)?)));
    let all: Vec<String> = all.map(|(label, text)| format!("{label}: {text}")).collect();
    (!all.is_empty()).then(|| all.join(lang.t("／", "; ")))
}

/// A text; a date as people write it, a code of FHIR's own in words.
fn plain(text: &str, lang: Lang) -> String {
    if let Some(day) = text.get(..10).and_then(|day| day.parse::<jiff::civil::Date>().ok())
        && text.get(10..).is_some_and(|rest| rest.is_empty() || rest.starts_with('T'))
    {
        let shown = day.strftime(lang.t("%Y年%-m月%-d日", "%-d %B %Y")).to_string();
        let time = text.get(11..16).unwrap_or_default();
        return if time.is_empty() { shown } else { format!("{shown} {time}") };
    }
    let code = WORDS.iter().find(|(code, ..)| *code == text);
    code.map_or_else(|| text.to_owned(), |(_, ja, en)| lang.t(ja, en).to_owned())
}

/// What an element, or a type of resource, is called.
fn label(name: &str, lang: Lang) -> String {
    let known = LABELS.iter().find(|(of, ..)| *of == name);
    known.map_or_else(|| name.to_owned(), |(_, ja, en)| lang.t(ja, en).to_owned())
}

/// Codes of FHIR R4 value sets with a required binding.
const WORDS: &[(&str, &str, &str)] = &[
    ("completed", "完了", "completed"),
    ("not-done", "実施せず", "not done"),
    ("entered-in-error", "誤記", "entered in error"),
    ("final", "確定", "final"),
    ("preliminary", "暫定", "preliminary"),
    ("amended", "訂正あり", "amended"),
    ("active", "有効", "active"),
    ("male", "男性", "male"),
    ("female", "女性", "female"),
    ("other", "その他", "other"),
    ("unknown", "不明", "unknown"),
];

const LABELS: &[(&str, &str, &str)] = &[
    ("Immunization", "予防接種", "Vaccination"),
    ("Observation", "測定・検査", "Measurement"),
    ("Patient", "ご本人のこと", "The person"),
    ("Condition", "病気・けが", "Condition"),
    ("AllergyIntolerance", "アレルギー", "Allergy"),
    ("MedicationStatement", "飲んでいる薬", "Medication"),
    ("MedicationRequest", "処方された薬", "Prescription"),
    ("status", "状態", "Status"),
    ("vaccineCode", "ワクチン", "Vaccine"),
    ("occurrenceDateTime", "接種日", "Given on"),
    ("occurrenceString", "接種の時期", "Given"),
    ("lotNumber", "ロット番号", "Lot number"),
    ("manufacturer", "製造者", "Manufacturer"),
    ("protocolApplied", "接種の回", "Dose"),
    ("doseNumberPositiveInt", "回数", "Number"),
    ("doseNumberString", "回数", "Number"),
    ("series", "シリーズ", "Series"),
    ("targetDisease", "対象の病気", "Against"),
    ("primarySource", "記録した人が接種したか", "Recorded by who gave it"),
    ("expirationDate", "有効期限", "Expires"),
    ("site", "接種した部位", "Site"),
    ("performer", "実施者", "By"),
    ("location", "場所", "Place"),
    ("name", "氏名", "Name"),
    ("family", "姓", "Family name"),
    ("given", "名", "Given name"),
    ("text", "表記", "Written"),
    ("use", "種別", "Use"),
    ("birthDate", "生年月日", "Born"),
    ("gender", "性別", "Sex"),
    ("address", "住所", "Address"),
    ("telecom", "連絡先", "Contact"),
    ("code", "内容", "What"),
    ("category", "分類", "Kind"),
    ("effectiveDateTime", "測定日", "Measured on"),
    ("effectivePeriod", "期間", "Period"),
    ("valueQuantity", "値", "Value"),
    ("valueString", "値", "Value"),
    ("valueCodeableConcept", "値", "Value"),
    ("component", "内訳", "Parts"),
    ("clinicalStatus", "現在の状態", "Clinical status"),
    ("verificationStatus", "確からしさ", "Verification"),
    ("onsetDateTime", "始まった日", "Since"),
    ("recordedDate", "記録した日", "Recorded on"),
    ("criticality", "重さ", "Criticality"),
    ("reaction", "反応", "Reaction"),
    ("medicationCodeableConcept", "薬", "Medicine"),
    ("dosage", "飲み方", "Dosage"),
    ("note", "メモ", "Note"),
    ("extension", "追加の項目", "Further"),
    ("dose-municipality", "接種時の市区町村", "Municipality at the time"),
    ("display", "表記", "Written"),
    ("reference", "参照", "Reference"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_told_and_the_unknown_stands_by_its_name() {
        let json = r#"{"fullUrl":"x","resource":{"resourceType":"Immunization","id":"p","status":"completed",
            "vaccineCode":{"coding":[{"system":"s","code":"1","display":"BCG"}],"text":"ＢＣＧ"},
            "patient":{"reference":"Patient/p"},"occurrenceDateTime":"2025-03-04","lotNumber":"<b>A</b>",
            "protocolApplied":[{"doseNumberPositiveInt":2}],"newElement":{"deep":[true]}},"search":{"mode":"match"}},
            {"resourceType":"Observation","id":"o","valueQuantity":{"value":12.5,"unit":"kg"},
            "effectiveDateTime":"2025-03-04T08:15:00+09:00"}"#;
        let shown = read(json.as_bytes(), Lang::Ja, |_| true);
        let rows = |at: usize| -> Vec<String> {
            shown[at].rows.iter().map(|(label, text)| format!("{label}={text}")).collect()
        };
        assert_eq!(shown[0].title, "予防接種　ＢＣＧ　2025年3月4日");
        let mut first = rows(0);
        first.sort();
        let mut wanted = [
            "newElement=deep: はい",
            "ロット番号=<b>A</b>",
            "ワクチン=ＢＣＧ [BCG (1)]",
            "接種の回=回数: 2",
            "接種日=2025年3月4日",
            "状態=完了",
        ];
        wanted.sort_unstable();
        assert_eq!(first, wanted);
        let mut second = rows(1);
        second.sort();
        assert_eq!(second, ["値=12.5 kg", "測定日=2025年3月4日 08:15"]);
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_said_to_be() {
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        let json = format!(r#"{{"resourceType":"Observation","id":"o","note":{deep}}}"#);
        assert_eq!(read(json.as_bytes(), Lang::En, |_| true)[0].rows, [("Note".to_owned(), "…".to_owned())]);
        let many = vec![r#"{"resourceType":"Observation","id":"o"}"#; ITEMS_MAX + 7].join(",");
        let shown = read(many.as_bytes(), Lang::En, |_| true);
        assert_eq!((shown.len(), shown[ITEMS_MAX].title.as_str()), (ITEMS_MAX + 1, "and 7 more"));
    }
}
