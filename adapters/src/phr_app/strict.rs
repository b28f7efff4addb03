//! Reads JSON more strictly than the format asks for, since two readers may take a loose one differently: a name stands
//! once in its object (RFC 8259 §4 leaves open which of two counts), UTF-8 without a byte order mark, nothing behind the
//! value, bounded in members and depth. Numbers keep their digits as they were written.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Members of one object, at most.
const MEMBERS_MAX: usize = 64;
/// Under this name serde_json hands over the digits of a number (feature `arbitrary_precision`).
const DIGITS: &str = "$serde_json::private::Number";

/// Reads a whole body. Depth is bounded by serde_json (128).
pub(crate) fn read(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let mut from = serde_json::Deserializer::from_str(text);
    let Strict(value) = Strict::deserialize(&mut from).ok()?;
    from.end().ok()?;
    Some(value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if name == DIGITS {
                return from.next_value_seed(Digits).map(Value::Number);
            }
            if members.len() == MEMBERS_MAX || members.contains_key(&name) {
                return Err(Error::custom("a name stands twice in an object, or it has too many members"));
            }
            let Strict(value) = from.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// The digits of a number, which serde_json hands over as a text of their own. A text that stands in the JSON comes in
/// another way, and an object that has this name in it is refused: it would pass for a number.
struct Digits;

impl<'de> DeserializeSeed<'de> for Digits {
    type Value = Number;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Number, D::Error> {
        from.deserialize_string(self)
    }
}

impl Visitor<'_> for Digits {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another name")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Number, E> {
        Err(E::custom("not a name"))
    }

    fn visit_string<E: Error>(self, digits: String) -> Result<Number, E> {
        digits.parse().map_err(|_| E::custom("not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        read(text.as_bytes()).map(|value| value.to_string())
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        for same in
            [r#"{"b":[1,-2,{"a":null}],"a":true,"text":"体温 \"1\" \\"}"#, r#"{"value":36.50,"n":[0.10,0]}"#, "[]"]
        {
            assert_eq!(again(same).as_deref(), Some(same));
        }
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for wrong in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            "{\"a\":1",
            "{} {}",
            "01",
            "NaN",
            "-Infinity",
            "",
            "\u{feff}{}",
            r#"{"$serde_json::private::Number":"5"}"#,
            r#"{"\u0024serde_json::private::Number":"5"}"#,
            r#"{"a":1,"$serde_json::private::Number":"5"}"#,
            r#""\ud800""#,
        ] {
            assert_eq!(again(wrong), None, "{wrong}");
        }
        assert_eq!(read(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(read(b"{\"a\":\"\x91\xcc\x8fd\"}"), None, "Shift_JIS");
        let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"{n}\":0")).collect();
        assert_eq!(again(&format!("{{{}}}", many.join(","))), None);
        assert!(again(&format!("{{{}}}", many[1..].join(","))).is_some());
        assert_eq!(again(&"[".repeat(200)), None);
    }
}
