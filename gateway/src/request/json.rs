//! A JSON tree for answers that are read once, narrowed and written. It lies in one arena and borrows its text from the
//! bytes it was read from: a page has hundreds of small parts, all of which go at once.
//!
//! Stricter than JSON: a member's name stands once in its object (RFC 8259 §4 leaves open which of two counts, and two
//! readers may choose differently), and an object has a bounded number of members. Numbers stay as they were written:
//! FHIR R4 gives the digits of a decimal meaning, the last zero included.

use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// Members of one object, at most: names are compared with all before them. The largest FHIR R4 type has fewer than 100.
const MEMBERS_MAX: usize = 256;
/// Under this name serde_json hands over the digits of a number (feature `arbitrary_precision`).
const DIGITS: &str = "$serde_json::private::Number";

/// Members of an object, in order.
pub type Members<'a> = Vec<'a, (&'a str, Json<'a>)>;

/// A JSON value.
#[derive(Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'a str),
    Text(&'a str),
    Array(Vec<'a, Json<'a>>),
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
    /// A value made here, in the arena.
    #[must_use]
    pub fn of(value: &Value, arena: &'a Bump) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(*is),
            Value::Number(number) => Self::Number(arena.alloc_str(number.as_str())),
            Value::String(text) => Self::Text(arena.alloc_str(text)),
            Value::Array(items) => Self::Array(Vec::from_iter_in(items.iter().map(|i| Self::of(i, arena)), arena)),
            Value::Object(object) => {
                let members = object.iter().map(|(name, value)| (&*arena.alloc_str(name), Self::of(value, arena)));
                Self::Object(Vec::from_iter_in(members, arena))
            }
        }
    }

    /// A member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        if let Self::Object(members) = self { member(members, name) } else { None }
    }

    /// The text of a string.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The items of a member that is an array; none of anything else.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Self] {
        self.get(name).and_then(Self::as_array).unwrap_or_default()
    }

    /// The text of a member.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Self::as_str)
    }

    /// An object with these members.
    #[must_use]
    pub fn object<const N: usize>(members: [(&'a str, Self); N], arena: &'a Bump) -> Self {
        Self::Object(Vec::from_iter_in(members, arena))
    }

    /// An array of these items.
    #[must_use]
    pub fn array(items: impl IntoIterator<Item = Self>, arena: &'a Bump) -> Self {
        Self::Array(Vec::from_iter_in(items, arena))
    }

    /// A text that was made here.
    #[must_use]
    pub fn made(text: &str, arena: &'a Bump) -> Self {
        Self::Text(arena.alloc_str(text))
    }

    /// Writes it as JSON.
    pub fn write(&self, out: &mut std::vec::Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(is) => out.extend_from_slice(if *is { b"true" } else { b"false" }),
            Self::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// Whether any text, number or name in it is found.
    pub fn any_text(&self, found: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Text(text) | Self::Number(text) => found(text),
            Self::Array(items) => items.iter().any(|item| item.any_text(found)),
            Self::Object(members) => members.iter().any(|(name, value)| found(name) || value.any_text(found)),
            Self::Null | Self::Bool(_) => false,
        }
    }
}

/// A member by its name.
#[must_use]
pub fn member<'t, 'a>(members: &'t [(&'a str, Json<'a>)], name: &str) -> Option<&'t Json<'a>> {
    members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The same, to be changed.
pub fn member_mut<'t, 'a>(members: &'t mut Members<'a>, name: &str) -> Option<&'t mut Json<'a>> {
    members.iter_mut().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Puts a member in, in the place of one of that name.
pub fn put<'a>(members: &mut Members<'a>, name: &'a str, value: Json<'a>) {
    match member_mut(members, name) {
        Some(known) => *known = value,
        None => members.push((name, value)),
    }
}

/// Takes a member out, by its name.
pub fn take<'a>(members: &mut Members<'a>, name: &str) -> Option<Json<'a>> {
    let at = members.iter().position(|(known, _)| *known == name)?;
    Some(members.remove(at).1)
}

/// Reads JSON whole, into the arena.
///
/// # Errors
/// When it isn't, or is refused as the module says.
pub fn read<'a>(bytes: &'a [u8], arena: &'a Bump) -> Result<Json<'a>, serde_json::Error> {
    // Checked as UTF-8 once; from bytes, serde_json would check each string by itself.
    let text = simdutf8::basic::from_utf8(bytes).map_err(Error::custom)?;
    let mut from = serde_json::Deserializer::from_str(text);
    let json = Into(arena).deserialize(&mut from)?;
    from.end()?;
    Ok(json)
}

/// Writes a text as JSON: as it is where nothing in it needs an escape, as in nearly all that was read.
pub fn write_text(text: &str, out: &mut std::vec::Vec<u8>) {
    let must_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Looked through to the end, not to the first find: so many bytes are compared at a time.
    if text.bytes().fold(false, |found, byte| found | must_escape(byte)) {
        // A vector takes everything.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Reads one value into the arena.
#[derive(Clone, Copy)]
struct Into<'a>(&'a Bump);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Into<'a> {
    type Value = Json<'a>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json<'a>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Into<'a> {
    type Value = Json<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'a>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Json<'a>, E> {
        Ok(Json::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.0.alloc_str(&number.to_string())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.0.alloc_str(&number.to_string())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'a>, E> {
        Ok(Json::Text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json<'a>, E> {
        Ok(Json::Text(self.0.alloc_str(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json<'a>, A::Error> {
        let mut items = Vec::new_in(self.0);
        while let Some(item) = from.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json<'a>, A::Error> {
        let mut members: Members<'a> = Vec::new_in(self.0);
        while let Some(name) = from.next_key_seed(Text(self.0))? {
            if name == DIGITS {
                let digits = from.next_value_seed(Digits(self.0))?;
                return if members.is_empty() { Ok(Json::Number(digits)) } else { Err(Error::custom("not a name")) };
            }
            if members.len() == MEMBERS_MAX || member(&members, name).is_some() {
                return Err(Error::custom("a name stands twice in an object, or it has too many members"));
            }
            members.push((name, from.next_value_seed(self)?));
        }
        Ok(Json::Object(members))
    }
}

/// The digits of a number, which serde_json hands over as a text of their own. A text that stands in the JSON comes in another
/// way, and an object that has this name in it is refused: a number of its own making would pass for what was written.
struct Digits<'a>(&'a Bump);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Digits<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<&'a str, D::Error> {
        from.deserialize_string(self)
    }
}

impl<'a> Visitor<'_> for Digits<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another name")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<&'a str, E> {
        Err(E::custom("not a name"))
    }

    fn visit_string<E: Error>(self, digits: String) -> Result<&'a str, E> {
        let is_a_number = digits.parse::<Number>().is_ok();
        if is_a_number { Ok(self.0.alloc_str(&digits)) } else { Err(E::custom("not a number")) }
    }
}

/// Reads a text: borrowed where it has no escapes, else into the arena.
struct Text<'a>(&'a Bump);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Text<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<&'a str, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Text<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<&'a str, E> {
        Ok(text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<&'a str, E> {
        Ok(self.0.alloc_str(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Result<String, serde_json::Error> {
        let (arena, mut out) = (Bump::new(), std::vec::Vec::new());
        read(text.as_bytes(), &arena)?.write(&mut out);
        Ok(String::from_utf8(out).unwrap())
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
        let (text, arena) = (r#"["plain","es\u0063aped"]"#, Bump::new());
        let read = read(text.as_bytes(), &arena).unwrap();
        let texts: std::vec::Vec<&str> = read.as_array().unwrap().iter().filter_map(Json::as_str).collect();
        assert_eq!(texts, ["plain", "escaped"]);
        let lies_in_the_text = |part: &str| text.as_bytes().as_ptr_range().contains(&part.as_ptr());
        assert_eq!(texts.iter().map(|part| lies_in_the_text(part)).collect::<std::vec::Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_value_made_here_is_the_same() {
        let text = r#"{"a":[1,2.50,"x",null,true],"b":{}}"#;
        let (arena, value) = (Bump::new(), serde_json::from_str(text).unwrap());
        assert_eq!(Json::of(&value, &arena), read(text.as_bytes(), &arena).unwrap());
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
        let many: std::vec::Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"{n}\":0")).collect();
        assert!(again(&format!("{{{}}}", many.join(","))).is_err());
        assert!(again(&format!("{{{}}}", many[1..].join(","))).is_ok());
        assert!(again(&"[".repeat(200)).is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let arena = Bump::new();
        let read = read(r#"{"name":"山田"}"#.as_bytes(), &arena).unwrap();
        assert_eq!(format!("{read:?}"), "object");
    }
}
