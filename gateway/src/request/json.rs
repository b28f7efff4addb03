//! A JSON tree that borrows its text from the bytes it was read from, for answers that are read once, narrowed and written.
//!
//! Stricter than JSON: a member's name stands once in its object (RFC 8259 §4 leaves open which of two counts, and two
//! readers may choose differently), and an object has a bounded number of members. Numbers stay as they were written:
//! FHIR R4 gives the digits of a decimal meaning, the last zero included.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Number, Value};

/// Members of one object, at most: names are compared with all before them. The largest FHIR R4 type has fewer than 100.
const MEMBERS_MAX: usize = 256;
/// Members for which there is room at first.
const MEMBERS_USUAL: usize = 8;
/// Under this name serde_json hands over the digits of a number (feature `arbitrary_precision`).
const DIGITS: &str = "$serde_json::private::Number";

/// Members of an object, in order.
pub type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// A JSON value.
#[derive(Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

/// Shows the kind of a value only: content is personal.
impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        })
    }
}

impl<'a> Json<'a> {
    /// A member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        if let Self::Object(members) = self { member(members, name) } else { None }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// Whether any text, number or name in it is found.
    pub fn any_text(&self, found: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Text(text) => found(text),
            Self::Number(number) => found(number.as_str()),
            Self::Array(items) => items.iter().any(|item| item.any_text(found)),
            Self::Object(members) => members.iter().any(|(name, value)| found(name) || value.any_text(found)),
            Self::Null | Self::Bool(_) => false,
        }
    }
}

/// A member by its name.
#[must_use]
pub fn member<'t, 'a>(members: &'t [(Cow<'a, str>, Json<'a>)], name: &str) -> Option<&'t Json<'a>> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Takes a member out, by its name.
pub fn take<'a>(members: &mut Members<'a>, name: &str) -> Option<Json<'a>> {
    let at = members.iter().position(|(known, _)| known == name)?;
    Some(members.remove(at).1)
}

/// Reads JSON whole.
///
/// # Errors
/// When it isn't, or is refused as the module says.
pub fn read(bytes: &[u8]) -> Result<Json<'_>, serde_json::Error> {
    // Checked as UTF-8 once; from bytes, serde_json would check each string by itself.
    let text = std::str::from_utf8(bytes).map_err(Error::custom)?;
    serde_json::from_str(text)
}

impl From<Value> for Json<'static> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(is),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(Cow::Owned(text)),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(object) => {
                Self::Object(object.into_iter().map(|(name, value)| (Cow::Owned(name), Self::from(value))).collect())
            }
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(is) => to.serialize_bool(*is),
            Self::Number(number) => number.serialize(to),
            Self::Text(text) => to.serialize_str(text),
            Self::Array(items) => to.collect_seq(items),
            Self::Object(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name.as_ref(), value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json<'de>, A::Error> {
        let mut members: Members<'de> = Vec::with_capacity(MEMBERS_USUAL);
        while let Some(Name(name)) = from.next_key()? {
            if name == DIGITS {
                let Digits(digits) = from.next_value()?;
                let number = digits.parse().map_err(|_| Error::custom("not a number"))?;
                return if members.is_empty() { Ok(Json::Number(number)) } else { Err(Error::custom("not a name")) };
            }
            if members.len() == MEMBERS_MAX || member(&members, &name).is_some() {
                return Err(Error::custom("a name stands twice in an object, or it has too many members"));
            }
            members.push((name, from.next_value()?));
        }
        Ok(Json::Object(members))
    }
}

/// The digits of a number, which serde_json hands over as a text of their own. A text that stands in the JSON comes in another
/// way, and an object that has this name in it is refused: a number of its own making would pass for what was written.
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OwnText;
        impl Visitor<'_> for OwnText {
            type Value = Digits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("another name")
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Digits, E> {
                Err(E::custom("not a name"))
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Digits, E> {
                Ok(Digits(text))
            }
        }
        from.deserialize_string(OwnText)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyName;
        impl<'de> Visitor<'de> for AnyName {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(AnyName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Result<String, serde_json::Error> {
        serde_json::to_string(&serde_json::from_str::<Json<'_>>(text)?)
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        for same in [
            r#"{"b":[1,-2,{"a":null}],"a":true,"text":"接種 \"1\" \\ \n"}"#,
            r#"{"doseQuantity":{"value":5.40},"n":[0.10,1e+3,123456789012345678901234567890]}"#,
            "[]",
            "{}",
            r#""""#,
        ] {
            assert_eq!(again(same).unwrap(), same);
        }
    }

    #[test]
    fn borrowed_where_there_is_no_escape() {
        let read: Json<'_> = serde_json::from_str(r#"["plain","es\u0063aped"]"#).unwrap();
        let [Json::Text(Cow::Borrowed("plain")), Json::Text(Cow::Owned(escaped))] = read.as_array().unwrap() else {
            panic!("{read:?}")
        };
        assert_eq!(escaped, "escaped");
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for wrong in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            "{\"a\":1",
            "01",
            "NaN",
            r#"{"$serde_json::private::Number":"no digits"}"#,
            // Each would leave as a number, or as an object that another reader takes for one.
            r#"{"$serde_json::private::Number":"5"}"#,
            r#"{"$serde_json::private::Number":"\u0035"}"#,
            r#"{"\u0024serde_json::private::Number":"5"}"#,
            r#"{"a":1,"$serde_json::private::Number":"5"}"#,
            r#"{"$serde_json::private::Number":5}"#,
        ] {
            assert!(again(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"{n}\":0")).collect();
        assert!(again(&format!("{{{}}}", many.join(","))).is_err());
        assert!(again(&format!("{{{}}}", many[1..].join(","))).is_ok());
        assert!(again(&"[".repeat(200)).is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let read: Json<'_> = serde_json::from_str(r#"{"name":"山田"}"#).unwrap();
        assert_eq!(format!("{read:?}"), "object");
    }
}
