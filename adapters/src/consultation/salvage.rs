//! What may be urgent in a record that can't be read. It errs to one side only: a human looks once too often.
//!
//! What it never does: give anything of the record but yes or no.

use super::members;

/// Characters behind a name within which its value begins.
const NEAR: usize = 256;
/// Bytes of a list of scores, at most.
const LIST_MAX: usize = 4 << 10;

/// Whether anything that looks like the emergency mark, or an answer above 0 to item 10, stands in a text that needs not be JSON.
pub(super) fn may_be_urgent(text: &str) -> bool {
    values(text, "\"emergency\"").any(says_yes) || values(text, "\"epds\"").any(item_10)
}

/// Whether the raw value of an emergency mark is anything but a clear no.
pub(super) fn says_yes(raw: &str) -> bool {
    !["false", "null", "\"false\"", "0", "\"0\"", "\"\"", "\"no\""].iter().any(|no| raw.starts_with(no))
}

/// Whether raw scores have something above 0 in tenth place or behind it: of more than ten, nobody knows which is item 10.
pub(super) fn item_10(raw: &str) -> bool {
    let above_0 = |score: &str| score.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if let Some(scores) = members::list(raw, LIST_MAX) {
        return scores.into_iter().skip(9).any(above_0);
    }
    let Some(inner) = raw.strip_prefix('[') else { return false };
    // Commas of lists in it count as well: what is in tenth place is then behind the ninth comma all the same.
    to_its_end(head(inner, LIST_MAX)).split(',').skip(9).any(above_0)
}

/// A list's text from behind its `[` to its own `]`; all of it where that is missing.
fn to_its_end(inner: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1_u32, false, false);
    for (at, b) in inner.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' if !quoted => depth = depth.saturating_add(1),
            b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return inner.get(..at).unwrap_or(inner);
        }
    }
    inner
}

/// What stands behind each `"name" :` of a text.
fn values<'a>(text: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    text.match_indices(name).filter_map(move |(at, _)| {
        let behind = text.get(at.saturating_add(name.len())..)?;
        let value = head(behind, NEAR).trim_start().strip_prefix(':')?.trim_start();
        // From where the value begins, to the end of the text.
        let skipped = head(behind, NEAR).len().saturating_sub(value.len());
        behind.get(skipped..)
    })
}

/// At most so many bytes from the beginning, ending between two characters.
fn head(text: &str, bytes_max: usize) -> &str {
    let ends = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
    ends.filter(|_| text.len() > bytes_max).and_then(|at| text.get(..at)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_urgent_is_found_in_any_wreck() {
        for urgent in [
            r#"{"emergency":true"#,
            r#"{"emergency" : "yes", "#,
            r#"garbage "emergency":1 garbage"#,
            r#"{"emergency":false}{"emergency":true}"#,
            r#"{"epds":[0,0,0,0,0,0,0,0,0,1]"#,
            r#"{"epds": [0,0,0,0,0,0,0,0,0,"2"#,
            r#"{"epds":[9,9,9,9,9,9,9,9,9,-7]"#,
            r#"{"epds":[0,0,0,0,0,0,0,0,0,0,0,3]"#,
            r#"{"epds":[0,0,[],0,0,0,0,0,0,1],"a":1,"a":2}"#,
            r#"{"epds":[0,[0,"]"],0,0,0,0,0,0,"]\"]",1],"a":1,"a":2}"#,
        ] {
            assert!(may_be_urgent(urgent), "{urgent}");
        }
        assert!(item_10("[0,0,[],0,0,0,0,0,0,1]"), "a list in its midst hides nothing");
        for calm in [
            "",
            "\"emergency\"",
            r#"{"emergency":false}"#,
            r#"{"emergency":null}"#,
            r#"{"epds":[3,3,3,3,3,3,3,3,3,0]}"#,
            r#"{"epds":[3,3,3,3,3,3,3,3,3,null]}"#,
            r#"{"epds":[3,3]}, [1,1,1,1,1,1,1,1,1,1]"#,
        ] {
            assert!(!may_be_urgent(calm), "{calm}");
        }
    }
}
