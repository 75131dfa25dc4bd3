//! Reads a JSON file as .NET's configuration does: flat, with `:` between the keys and array
//! elements by their index.
//!
//! As in .NET, comments and trailing commas are allowed, and a key that occurs twice, compared
//! without case, is refused. Scalars become texts; `null` and an empty object or array give
//! nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The values of a file: the path as it is written, and the text.
pub(super) type Flat = BTreeMap<String, String>;

/// Reads the text of a file; the keys are such as `Settings:Subscriptions:0:StreamName`, in the
/// case of the file.
pub(super) fn flatten(text: &str) -> Result<Flat, String> {
    let plain = plain_json(text.trim_start_matches('\u{feff}'));
    let mut flat = Flat::new();
    let mut json = serde_json::Deserializer::from_str(&plain);
    let root = Node { path: String::new(), flat: &mut flat };
    root.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| error.to_string())?;
    Ok(flat)
}

struct Node<'a> {
    path: String,
    flat: &'a mut Flat,
}

impl Node<'_> {
    fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}:{key}", self.path) }
    }

    fn put<E: serde::de::Error>(self, text: String) -> Result<(), E> {
        if self.path.is_empty() {
            return Err(E::custom("expected an object"));
        }
        match self.flat.insert(self.path.clone(), text) {
            None => Ok(()),
            Some(_) => Err(E::custom(format!("the key `{}` stands twice", self.path))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident: $value:ty),+) => {
        $(fn $visit<E: serde::de::Error>(self, value: $value) -> Result<(), E> {
            self.put(value.to_string())
        })+
    };
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let folded = key.to_ascii_lowercase();
            if seen.contains(&folded) {
                return Err(A::Error::custom(format!(
                    "the key `{}` stands twice",
                    self.child(&key)
                )));
            }
            seen.push(folded);
            map.next_value_seed(Node { path: self.child(&key), flat: self.flat })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while seq
            .next_element_seed(Node { path: self.child(&index.to_string()), flat: self.flat })?
            .is_some()
        {
            index += 1;
        }
        if self.path.is_empty() { Err(A::Error::custom("expected an object")) } else { Ok(()) }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.put(text.to_owned())
    }

    scalars! { visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64 }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Replaces comments and trailing commas by blanks, so that the lines and columns of later errors
/// are those of the file.
fn plain_json(text: &str) -> String {
    let mut out: Vec<char> = Vec::with_capacity(text.len());
    let mut comma: Option<usize> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => {
                out.push(' ');
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    out.extend(std::iter::repeat_n(' ', c.len_utf8()));
                }
            }
            ('/', Some('*')) => blank_block(&mut chars, &mut out),
            ('"', _) => {
                comma = None;
                copy_string(&mut chars, &mut out);
            }
            (']' | '}', _) => {
                if let Some(at) = comma.take() {
                    out[at] = ' ';
                }
                out.push(c);
            }
            _ => {
                if c == ',' {
                    comma = Some(out.len());
                } else if !c.is_whitespace() {
                    comma = None;
                }
                out.push(c);
            }
        }
    }
    out.into_iter().collect()
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn blank_block(chars: &mut Chars<'_>, out: &mut Vec<char>) {
    out.extend([' ', ' ']);
    chars.next();
    let mut previous = ' ';
    for c in chars.by_ref() {
        out.push(if c == '\n' { '\n' } else { ' ' });
        if previous == '*' && c == '/' {
            return;
        }
        previous = c;
    }
}

fn copy_string(chars: &mut Chars<'_>, out: &mut Vec<char>) {
    out.push('"');
    let mut escaped = false;
    for c in chars.by_ref() {
        out.push(c);
        match c {
            '"' if !escaped => return,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_becomes_flat_with_indexes() {
        let flat = flatten(
            r#"{ "Settings": { "Subscriptions": [ { "StreamName": "$ce-a" }, { "StreamName": "b" } ],
                 "ReadOnly": true, "Lanes": 8, "TimeToLive": null, "None": [] } }"#,
        )
        .unwrap();

        let expected = [
            ("Settings:Lanes", "8"),
            ("Settings:ReadOnly", "true"),
            ("Settings:Subscriptions:0:StreamName", "$ce-a"),
            ("Settings:Subscriptions:1:StreamName", "b"),
        ];
        assert_eq!(flat, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn comments_trailing_commas_and_a_byte_order_mark_are_allowed() {
        let text = "\u{feff}{ // one\n \"a\": \"x // \\\" /* y\", /* two\n */ \"b\": [1, 2, ], }";
        let flat = flatten(text).unwrap();
        assert_eq!(flat["a"], "x // \" /* y");
        assert_eq!(flat["b:1"], "2");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("{ \"a\": 1, \"A\": 2 }", "the key `A` stands twice"),
            ("[1]", "expected an object"),
            ("5", "expected an object"),
            ("{ \"a\": 1\n \"b\": 2 }", "line 2"),
            ("{ \"a\": 1 } x", "trailing"),
            ("", "EOF"),
        ] {
            let message = flatten(text).unwrap_err();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,/*\"\\\\a1\n ]{0,40}") {
            let _ = flatten(&text);
        }
    }
}
