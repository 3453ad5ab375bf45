//! One value of a text of JSON, by its pointer (RFC 6901). The rest is passed over
//! without being kept: a body of many small values would need many times its size.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text of the value, or `None` if there is no such. As everywhere, the last
/// one of a name counts.
///
/// # Errors
///
/// If the whole is not JSON.
pub(super) fn find<'a>(json: &'a [u8], pointer: &str) -> Result<Option<&'a str>, ()> {
    let json = std::str::from_utf8(json).map_err(drop)?;
    let tokens: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = At(&tokens).deserialize(&mut deserializer).map_err(drop)?;
    deserializer.end().map_err(drop)?;
    Ok(found)
}

/// The way that is left.
struct At<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        match self.0.split_first() {
            None => Ok(Some(<&RawValue>::deserialize(from)?.get())),
            Some((token, rest)) => from.deserialize_any(Within { token, rest: At(rest) }),
        }
    }
}

/// A list or an object with the next value in it, or something that has none.
struct Within<'p> {
    token: &'p str,
    rest: At<'p>,
}

impl Within<'_> {
    /// As a place in a list.
    fn index(&self) -> Option<usize> {
        let is_plain = self.token == "0" || !self.token.starts_with(['0', '+']);
        self.token.parse().ok().filter(|_| is_plain)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match key == self.token {
                true => found = map.next_value_seed(At(self.rest.0))?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.index().unwrap_or(0) {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = match self.index() {
            Some(_) => list.next_element_seed(At(self.rest.0))?.flatten(),
            None => None,
        };
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const BODY: &str = r#"{"a":[1,{"b/c":null,"~":2}],"":true,"a":[1, {"b/c": "x","~":2},3]}"#;

    #[test]
    fn a_pointer_finds_what_it_finds_in_a_value() {
        let whole: Value = serde_json::from_str(BODY).unwrap();
        let pointers = [
            "",
            "/",
            "/a",
            "/a/0",
            "/a/1",
            "/a/1/b~1c",
            "/a/1/~0",
            "/a/2",
            "/a/3",
            "/a/01",
            "/a/+1",
            "/a/-",
            "/a/0/x",
            "/b",
            "/a/1/b~1c/x",
            "//x",
        ];
        for pointer in pointers {
            let found = find(BODY.as_bytes(), pointer).unwrap();
            let found = found.map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(found.as_ref(), whole.pointer(pointer), "{pointer}");
        }
        assert_eq!(find(b"7", "/a"), Ok(None));
        for no_json in ["", "{", "[1,]", "1 2", "{\"a\":1}x", "[1"] {
            assert_eq!(find(no_json.as_bytes(), "/0"), Err(()), "{no_json}");
            assert_eq!(find(no_json.as_bytes(), ""), Err(()), "{no_json}");
        }
        assert_eq!(find(b"[\"\xff\"]", "/1"), Err(()));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(json in prop::collection::vec(any::<u8>(), 0..40), pointer in "(/[a-z0-9~]{0,2}){0,3}") {
            let _ = find(&json, &pointer);
        }
    }
}
