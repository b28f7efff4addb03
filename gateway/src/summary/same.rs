//! A dose that two sources hold: the same vaccine on the same day. Both stand there, since nobody here knows whether they are one,
//! and each says that they may be.

use std::collections::HashMap;

use bumpalo::Bump;
use jiff::civil::Date;

use super::{Item, codes};
use crate::request::json::{Json, member_mut};

const SYSTEM: &str = "urn:sekisho:same";
const CODE: &str = "possibly-same-dose";

/// What is said of it.
pub const WORDS: &str =
    "ほかの提供元の記録と同じ接種かもしれません / may be the same dose as in another source's record";

/// Marks those that another source may hold as well.
pub(super) fn mark<'a>(doses: &mut [Item<'a>], arena: &'a Bump) {
    // Day and vaccine, and of which source: none where it is of several.
    let mut known: HashMap<(Date, String), Option<usize>> = HashMap::new();
    for dose in doses.iter() {
        for key in keys(&dose.resource) {
            let source = known.entry(key).or_insert(Some(dose.from));
            *source = source.filter(|from| *from == dose.from);
        }
    }
    for dose in doses {
        let shared = keys(&dose.resource).iter().any(|key| known.get(key) == Some(&None));
        if shared
            && let Json::Object(members) = &mut dose.resource
            && let Some(Json::Object(meta)) = member_mut(members, "meta")
            && let Some(Json::Array(tags)) = member_mut(meta, "tag")
        {
            tags.push(codes::coding(SYSTEM, CODE, arena));
        }
    }
}

/// Whether it is marked so.
pub(super) fn is_marked(resource: &Json<'_>) -> bool {
    let tags = resource.get("meta").map(|meta| meta.list("tag")).unwrap_or_default();
    tags.iter().any(|tag| tag.text("system") == Some(SYSTEM) && tag.text("code") == Some(CODE))
}

/// The day of a dose with each code of its vaccine, and with its name. A month or a year is no day.
fn keys(dose: &Json<'_>) -> Vec<(Date, String)> {
    let day = dose.text("occurrenceDateTime").and_then(|at| at.get(..10)?.parse::<Date>().ok());
    let (Some(day), Some(vaccine)) = (day, dose.get("vaccineCode")) else { return Vec::new() };
    let code = |coding: &Json<'_>| Some(format!("{}|{}", coding.text("system")?, coding.text("code")?));
    let named = vaccine.text("text").map(|name| format!("|{}", name.trim()));
    vaccine.list("coding").iter().filter_map(code).chain(named).map(|key| (day, key)).collect()
}
