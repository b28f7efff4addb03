//! Reads names and words, which were asked for by id after a permit.
//!
//! What it never does: take a consultation that wasn't asked for, or words that weren't.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;

use super::members::{self, Members};
use super::reader::{Part, Reader, holds_my_number};
use super::wire::{means, reject, whole};
use super::{ConsultationId, Content, Detail, Identity, Means, Rejected, Wanted};

/// Bytes of one detail, at most: two texts of 20,000 letters, and escapes.
const DETAIL_BYTES_MAX: usize = 512 << 10;
const NAME_CHARS_MAX: usize = 200;
const ADDRESS_CHARS_MAX: usize = 400;
const WORDS_CHARS_MAX: usize = 20_000;
const REACH_MAX: usize = 8;
const COURSE_MAX: usize = 100;
/// Highest sum of a questionnaire.
const SUM_MAX: u8 = 30;

/// Why an answer is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It can't be read: which part.
    Malformed(&'static str),
    /// A consultation that wasn't asked for, or one twice.
    NotAskedFor,
}

/// Reads the answer to a question for these.
pub(super) fn read(
    body: &[u8],
    asked: &[ConsultationId],
    wanted: Wanted,
    now: Timestamp,
) -> Result<Vec<Result<Detail, Rejected>>, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| Refused::Malformed("utf-8"))?;
    let mut members = Members::read(text).ok_or(Refused::Malformed("body"))?;
    let raws = members.take("details").and_then(|raw| members::list(raw, asked.len().max(1)));
    let raws = raws.ok_or(Refused::Malformed("details"))?;
    let mut open: BTreeSet<&str> = asked.iter().map(ConsultationId::as_str).collect();
    // The ids of all of them first, before anything in any of them is believed.
    for raw in &raws {
        let id = Members::read(raw).and_then(|mut members| members.take("id")).and_then(members::text);
        if !id.is_some_and(|id| open.remove(id.as_ref())) {
            return Err(Refused::NotAskedFor);
        }
    }
    Ok(raws.iter().enumerate().map(|(index, raw)| detail(raw, index, wanted, now)).collect())
}

fn detail(raw: &str, index: usize, wanted: Wanted, now: Timestamp) -> Result<Detail, Rejected> {
    let why = match raw {
        _ if raw.len() > DETAIL_BYTES_MAX => Some("too-large"),
        _ if holds_my_number(raw) => Some("my-number"),
        _ => None,
    };
    let members = match (why, Members::read(raw)) {
        (None, Some(members)) => members,
        (why, _) => return Err(reject(raw, index, vec![whole(why.unwrap_or("name-twice"))])),
    };
    let mut reader = Reader::new(now);
    let read = fields(&mut reader, Part::of_record(members), wanted);
    match read.filter(|_| reader.problems.is_empty()) {
        Some(detail) => Ok(detail),
        None => Err(reject(raw, index, reader.problems)),
    }
}

fn fields(r: &mut Reader, mut record: Part<'_>, wanted: Wanted) -> Option<Detail> {
    let id = r.consultation_id(&mut record, "id");
    let asker = r.part(&mut record, "asker").and_then(|part| identity(r, part));
    let child = r.optional_part(&mut record, "child").and_then(|part| identity(r, part));
    let address = r.words(&mut record, "address", ADDRESS_CHARS_MAX);
    let reach = record.raw("reach").map_or_else(|| Some(Vec::new()), |raw| reach(r, raw));
    let content = match wanted {
        Wanted::Identity => {
            let _ = record.raw("content");
            None
        }
        Wanted::Content => r.part(&mut record, "content").and_then(|part| content(r, part)),
    };
    r.end(&record);
    Some(Detail { id: id?, asker: asker?, child, address: address?, reach: reach?, content })
}

fn identity(r: &mut Reader, mut part: Part<'_>) -> Option<Identity> {
    let id = r.user_id(&mut part, "id");
    let name = r.needed_words(&mut part, "name", NAME_CHARS_MAX);
    let kana = r.words(&mut part, "kana", NAME_CHARS_MAX);
    let birth = r.date(&mut part, "birth");
    r.end(&part);
    Some(Identity { id: id?, name: name?, kana: kana?, birth: birth? })
}

fn reach(r: &mut Reader, raw: &str) -> Option<Vec<(Means, String)>> {
    let Some(given) = members::list(raw, REACH_MAX) else {
        r.wrong("reach", "not-a-list");
        return None;
    };
    let mut ways = Vec::with_capacity(given.len());
    for raw in given {
        let Some(members) = Members::read(raw) else {
            r.wrong("reach", "not-an-object");
            continue;
        };
        let mut part = Part::under("reach", members);
        let way = r.text(&mut part, "means").and_then(|word| {
            let way = means(&word);
            if way.is_none() {
                r.wrong("reach.means", "unknown-value");
            }
            way
        });
        let at = r.needed_words(&mut part, "at", NAME_CHARS_MAX);
        r.end(&part);
        ways.extend(way.zip(at));
    }
    Some(ways)
}

fn content(r: &mut Reader, mut part: Part<'_>) -> Option<Content> {
    let judgement = r.words(&mut part, "judgement", WORDS_CHARS_MAX);
    let consultation = r.words(&mut part, "consultation", WORDS_CHARS_MAX);
    let advice = r.words(&mut part, "advice", WORDS_CHARS_MAX);
    let course = part.raw("course").map_or_else(|| Some(Vec::new()), |raw| course(r, raw));
    r.end(&part);
    Some(Content {
        judgement: judgement.filter(|words| !words.is_empty()),
        consultation: consultation?,
        advice: advice?,
        course: course?,
    })
}

fn course(r: &mut Reader, raw: &str) -> Option<Vec<(Date, u8)>> {
    let Some(given) = members::list(raw, COURSE_MAX) else {
        r.wrong("content.course", "not-a-list");
        return None;
    };
    let mut course = Vec::with_capacity(given.len());
    for raw in given {
        let Some(members) = Members::read(raw) else {
            r.wrong("content.course", "not-an-object");
            continue;
        };
        let mut part = Part::under("content.course", members);
        let date = r.date(&mut part, "date");
        let sum = part.raw("sum").and_then(|raw| raw.parse::<u8>().ok()).filter(|sum| *sum <= SUM_MAX);
        if sum.is_none() {
            r.wrong("content.course.sum", "out-of-range");
        }
        r.end(&part);
        course.extend(date.zip(sum));
    }
    course.sort_by_key(|(date, _)| *date);
    Some(course)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ids(ids: &[&str]) -> Vec<ConsultationId> {
        ids.iter().map(|id| ConsultationId::parse(id).unwrap()).collect()
    }

    fn one(id: &str) -> Value {
        json!({
            "id": id, "asker": {"id": "u-1", "name": "葛\u{200b}城 花子", "kana": "カツラギ ハナコ", "birth": "1994-03-02"},
            "child": {"id": "u-2", "name": "𠮷田 一", "birth": "2026-08-30"}, "address": "府中市見本町1-2",
            "reach": [{"means": "telephone", "at": "03-0000-0042"}],
            "content": {"judgement": null, "consultation": "眠れません\n夜中に起きます", "advice": "",
                        "course": [{"date": "2026-10-20", "sum": 6}, {"date": "2026-09-20", "sum": 30}]}
        })
    }

    fn read(details: &[Value], asked: &[&str], wanted: Wanted) -> Result<Vec<Result<Detail, Rejected>>, Refused> {
        let now = "2026-11-20T12:00:00+09:00".parse().unwrap();
        super::read(json!({"details": details}).to_string().as_bytes(), &ids(asked), wanted, now)
    }

    #[test]
    fn what_was_asked_for_is_read_and_words_only_if_wanted() {
        let read_one = |wanted| read(&[one("k-1")], &["k-1", "k-2"], wanted).unwrap().remove(0).unwrap();
        let full = read_one(Wanted::Content);
        assert_eq!((full.asker.name.as_str(), full.address.as_str()), ("葛城 花子", "府中市見本町1-2"));
        assert_eq!(full.child.as_ref().map(|child| child.name.as_str()), Some("𠮷田 一"));
        assert_eq!(full.reach, [(Means::Telephone, "03-0000-0042".to_owned())]);
        let content = full.content.as_ref().unwrap();
        assert_eq!((content.judgement.as_deref(), content.consultation.as_str()), (None, "眠れません\n夜中に起きます"));
        assert_eq!(content.course.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(), [30, 6]);
        assert_eq!(read_one(Wanted::Identity).content, None);
        assert_eq!(format!("{full:?}"), "Detail(..)");
    }

    #[test]
    fn somebody_elses_or_a_second_one_refuses_all() {
        for details in [vec![one("k-3")], vec![one("k-1"), one("k-1")], vec![json!({})], vec![json!("k-1")]] {
            assert_eq!(read(&details, &["k-1", "k-2"], Wanted::Identity), Err(Refused::NotAskedFor));
        }
        let many = [one("k-1"), one("k-2"), one("k-3")];
        assert_eq!(read(&many, &["k-1", "k-2"], Wanted::Identity), Err(Refused::Malformed("details")));
        assert_eq!(read(&[], &["k-1"], Wanted::Identity), Ok(Vec::new()));
    }

    #[test]
    fn a_bad_one_leaves_the_others() {
        let mut long = one("k-2");
        long["content"]["consultation"] = json!("長".repeat(20_001));
        long["asker"]["name"] = json!("\u{200b}");
        let mut large = one("k-3");
        large["content"]["advice"] = json!("長".repeat(3_500_000));
        let read = read(&[one("k-1"), long, large], &["k-1", "k-2", "k-3"], Wanted::Content).unwrap();
        assert!(read[0].is_ok());
        let problems = |at: usize| -> Vec<(String, &str)> {
            let rejected = read[at].as_ref().unwrap_err();
            rejected.problems.iter().map(|problem| (problem.field.clone(), problem.why)).collect()
        };
        let expected = [("asker.name".to_owned(), "missing"), ("content.consultation".to_owned(), "too-long")];
        assert_eq!(problems(1), expected);
        assert_eq!(problems(2), [(String::new(), "too-large")]);
    }
}
