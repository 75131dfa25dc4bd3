//! The form of [`EventMeta`] with serde, as links and stores of other crates write it.
//!
//! An event without labels has the form of the time before there were labels. An event with labels
//! has a number instead of the flag `concurrent`, and one more field: bit 0 of the number is the
//! flag, bit 1 is set. A reader of that time refuses the number, in every codec, and so never takes
//! the event for one without labels.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EventMeta, Labels};

const FIELDS: &[&str] = &["origin", "version", "source_seq", "concurrent", "timestamp", "labels"];

/// Set when labels follow.
const LABELS: u8 = 2;

impl Serialize for EventMeta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { origin, version, source_seq, concurrent, timestamp, labels } = self;
        let has_labels = !labels.is_empty();
        let mut fields = serializer.serialize_struct("EventMeta", 5 + usize::from(has_labels))?;
        fields.serialize_field("origin", origin)?;
        fields.serialize_field("version", version)?;
        fields.serialize_field("source_seq", source_seq)?;
        if has_labels {
            fields.serialize_field("concurrent", &(LABELS | u8::from(*concurrent)))?;
        } else {
            fields.serialize_field("concurrent", concurrent)?;
        }
        fields.serialize_field("timestamp", timestamp)?;
        if has_labels {
            fields.serialize_field("labels", labels)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for EventMeta {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_struct("EventMeta", FIELDS, Fields)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Origin,
    Version,
    SourceSeq,
    Concurrent,
    Timestamp,
    Labels,
    #[serde(other)]
    Unknown,
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = EventMeta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the metadata of an event")
    }

    /// The fields in a codec without names. A flag and a small number have the same bytes there, or
    /// each value has its type.
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<EventMeta, A::Error> {
        let origin = next(&mut from, 0)?;
        let version = next(&mut from, 1)?;
        let source_seq = next(&mut from, 2)?;
        let FlagsInOrder(flags) = next(&mut from, 3)?;
        let timestamp = next(&mut from, 4)?;
        let labels = if flags & LABELS == 0 { None } else { Some(next(&mut from, 5)?) };
        let labels = agreed(flags, labels)?;
        let concurrent = flags & 1 == 1;
        Ok(EventMeta { origin, version, source_seq, concurrent, timestamp, labels })
    }

    /// The fields in a codec with names, in any order. Other fields are ignored.
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<EventMeta, A::Error> {
        let (mut origin, mut version, mut source_seq) = (None, None, None);
        let (mut flags, mut timestamp, mut labels) = (None, None, None);
        while let Some(field) = from.next_key()? {
            match field {
                Field::Origin => origin = Some(from.next_value()?),
                Field::Version => version = Some(from.next_value()?),
                Field::SourceSeq => source_seq = Some(from.next_value()?),
                Field::Concurrent => flags = Some(from.next_value::<Flags>()?.0),
                Field::Timestamp => timestamp = Some(from.next_value()?),
                Field::Labels => labels = Some(from.next_value()?),
                Field::Unknown => drop(from.next_value::<IgnoredAny>()?),
            }
        }
        let missing = A::Error::missing_field;
        let flags = flags.ok_or_else(|| missing("concurrent"))?;
        Ok(EventMeta {
            origin: origin.ok_or_else(|| missing("origin"))?,
            version: version.ok_or_else(|| missing("version"))?,
            source_seq: source_seq.ok_or_else(|| missing("source_seq"))?,
            concurrent: flags & 1 == 1,
            timestamp: timestamp.ok_or_else(|| missing("timestamp"))?,
            labels: agreed(flags, labels)?,
        })
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    from: &mut A,
    index: usize,
) -> Result<T, A::Error> {
    from.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &Fields))
}

fn checked<E: Error>(flags: u64) -> Result<u8, E> {
    let known = u8::try_from(flags).ok().filter(|flags| *flags <= LABELS | 1);
    known.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(flags), &"flags of an event"))
}

/// The labels, which are there when the flags say so, and are not empty then.
fn agreed<E: Error>(flags: u8, labels: Option<Labels>) -> Result<Labels, E> {
    match labels {
        None if flags & LABELS == 0 => Ok(Labels::none()),
        Some(labels) if flags & LABELS != 0 && !labels.is_empty() => Ok(labels),
        Some(_) | None => Err(E::custom("the flags of an event and its labels do not agree")),
    }
}

/// The flags in a codec with names: a flag, or the number of an event with labels.
struct Flags(u8);

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FlagOrNumber).map(Flags)
    }
}

/// The flags in a codec without names, which may need to be told that a byte follows.
struct FlagsInOrder(u8);

impl<'de> Deserialize<'de> for FlagsInOrder {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_u8(FlagOrNumber).map(FlagsInOrder)
    }
}

/// Reads the flags of either form.
struct FlagOrNumber;

impl Visitor<'_> for FlagOrNumber {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flag, or the number of an event with labels")
    }

    fn visit_bool<E: Error>(self, concurrent: bool) -> Result<u8, E> {
        Ok(concurrent.into())
    }

    fn visit_u64<E: Error>(self, flags: u64) -> Result<u8, E> {
        checked(flags)
    }

    /// The number in a codec whose integers are all signed.
    fn visit_i64<E: Error>(self, flags: i64) -> Result<u8, E> {
        let unsigned = u64::try_from(flags);
        checked(unsigned.map_err(|_| E::invalid_value(Unexpected::Signed(flags), &self))?)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
    use serde::forward_to_deserialize_any;
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Metadata, Tags};

    /// A codec whose values have a type and whose integers are signed; it writes structs as arrays
    /// (MessagePack) or as maps (BSON, TOML).
    struct Typed(Value);

    impl IntoDeserializer<'_, ValueError> for Typed {
        type Deserializer = Self;

        fn into_deserializer(self) -> Self {
            self
        }
    }

    impl<'de> Deserializer<'de> for Typed {
        type Error = ValueError;

        fn deserialize_any<V: Visitor<'de>>(self, to: V) -> Result<V::Value, ValueError> {
            match self.0 {
                Value::Null => to.visit_unit(),
                Value::Bool(flag) => to.visit_bool(flag),
                Value::Number(number) => to.visit_i64(number.as_i64().expect("a signed number")),
                Value::String(text) => to.visit_string(text),
                Value::Array(items) => {
                    to.visit_seq(SeqDeserializer::new(items.into_iter().map(Typed)))
                }
                Value::Object(fields) => {
                    let fields = fields.into_iter().map(|(key, value)| (key, Typed(value)));
                    to.visit_map(MapDeserializer::new(fields))
                }
            }
        }

        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            to: V,
        ) -> Result<V::Value, ValueError> {
            to.visit_newtype_struct(self)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    fn read(value: Value) -> Result<EventMeta, ValueError> {
        EventMeta::deserialize(Typed(value))
    }

    /// Metadata as the array and as the map of its fields, with these flags.
    fn both_forms(flags: &Value, labels: Option<[Value; 2]>) -> [Value; 2] {
        let mut array = json!(["A", [["A", 2]], 4, flags, 1_000_000]);
        let mut map = json!({
            "origin": "A", "version": [["A", 2]], "source_seq": 4, "concurrent": flags,
            "timestamp": 1_000_000
        });
        if let Some([listed, named]) = labels {
            array.as_array_mut().unwrap().push(listed);
            map["labels"] = named;
        }
        [array, map]
    }

    #[test]
    fn codecs_with_typed_flags_and_signed_integers_read_events_of_both_forms() {
        for concurrent in [false, true] {
            for form in both_forms(&json!(concurrent), None) {
                let meta = read(form).unwrap();
                assert_eq!((meta.concurrent, meta.labels), (concurrent, Labels::none()));
            }
            let labels =
                [json!([{"k": "v"}, ["t"]]), json!({"metadata": {"k": "v"}, "tags": ["t"]})];
            for form in both_forms(&json!(2 + i32::from(concurrent)), Some(labels)) {
                let meta = read(form).unwrap();
                let metadata = Metadata::new().with("k", "v").unwrap();
                let labels = Labels::new(metadata, Tags::from(["t"])).unwrap();
                assert_eq!((meta.concurrent, meta.labels), (concurrent, labels));
            }
        }
    }

    #[test]
    fn flags_of_no_version_are_refused_in_codecs_with_signed_integers() {
        for wrong in [-1, 4, 256, 258, i64::MIN, i64::MAX] {
            for form in both_forms(&json!(wrong), None) {
                let error = read(form).unwrap_err().to_string();
                assert!(error.contains(&wrong.to_string()), "{error}");
            }
        }
    }
}
