//! A JSON object as its members, each still as it was written: a record is read field by field, so that everything wrong with
//! it can be told at once, and a name that stands twice is seen. Borrows from the body; no tree is built.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Members of one object, at most.
const MEMBERS_MAX: usize = 64;

/// The members of an object that nobody has asked for yet.
pub(super) struct Members<'a> {
    left: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Members<'a> {
    /// `None` when the text isn't one JSON object, has too many members, or a name in it twice.
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What stands under a name, as it was written. `null` counts as nothing.
    pub fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.left.iter().position(|(key, _)| key == name)?;
        let (_, text) = self.left.swap_remove(at);
        (text != "null").then_some(text)
    }

    /// The names that are left: none of them is known.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.left.iter().map(|(name, _)| name.as_ref())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut left: Vec<(Cow<'de, str>, &'de str)> = Vec::with_capacity(16);
        while let Some(Name(name)) = from.next_key()? {
            if left.len() == MEMBERS_MAX || left.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a name stands twice in an object, or it has too many members"));
            }
            left.push((name, from.next_value::<&RawValue>()?.get()));
        }
        Ok(Members { left })
    }
}

/// A name, borrowed where nothing in it is escaped.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// A JSON text, borrowed where nothing in it is escaped.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The members of a JSON list, each as it was written. `None`: not a list, or more than `max`.
pub(super) fn list(raw: &str, max: usize) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    (items.len() <= max).then(|| items.into_iter().map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_taken_once_and_names_stand_once() {
        let mut members = Members::read(r#" {"a": "x\u0031", "b": null, "c": [1, "2"]} "#).unwrap();
        assert_eq!(members.take("a").and_then(text).as_deref(), Some("x1"));
        assert_eq!(members.take("a"), None);
        assert_eq!(members.take("b"), None);
        assert_eq!(members.left().collect::<Vec<_>>(), ["c"]);
        assert_eq!(list(members.take("c").unwrap(), 2), Some(vec!["1", "\"2\""]));
        for wrong in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, "[]", "{} {}", "", r#"{"a":01}"#] {
            assert!(Members::read(wrong).is_none(), "{wrong}");
        }
        assert!(list("[1,2,3]", 2).is_none());
    }
}
