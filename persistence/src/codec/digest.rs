//! The digest of a value. Two values that differ only in the order of elements have the same digest
//! of content; the order of each sequence is kept beside it.
//!
//! The elements of sequences and the entries of maps count without their order. Fields, tuples and
//! variants keep their place and their names. The digest keeps one number for the whole and two for
//! each sequence of several elements.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::failed::Failed;

/// The digest of a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The digest of the content, independent of the order of elements.
    pub(crate) content: u64,
    /// The digests of order, by the digest of a sequence's content: sorted, one for each sequence.
    pub(crate) orders: BTreeMap<u64, Vec<u64>>,
}

/// The digest of `value` as a codec sees it; `human_readable` is the codec's answer to serde.
pub(super) fn digest<T: Serialize + ?Sized>(
    value: &T,
    human_readable: bool,
) -> Result<Digest, Failed> {
    let mut digester =
        Digester { hasher: DefaultHasher::new(), orders: BTreeMap::new(), human_readable };
    value.serialize(&mut digester)?;
    let Digester { hasher, mut orders, .. } = digester;
    orders.values_mut().for_each(|orders| orders.sort_unstable());
    Ok(Digest { content: hasher.finish(), orders })
}

struct Digester {
    /// Hashes the part that is written at the moment.
    hasher: DefaultHasher,
    orders: BTreeMap<u64, Vec<u64>>,
    human_readable: bool,
}

impl Digester {
    fn tag(&mut self, tag: u8) {
        self.hasher.write_u8(tag);
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.tag(tag);
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
    }

    fn named(&mut self, tag: u8, index: u32, name: &str) {
        self.bytes(tag, name.as_bytes());
        self.hasher.write_u32(index);
    }

    /// The digest of a part alone.
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<u64, Failed> {
        let outer = std::mem::take(&mut self.hasher);
        value.serialize(&mut *self)?;
        Ok(std::mem::replace(&mut self.hasher, outer).finish())
    }

    fn elements(&mut self, is_map: bool) -> Elements<'_> {
        let (in_order, key) = (DefaultHasher::new(), None);
        Elements { digester: self, is_map, count: 0, sum: 0, in_order, key }
    }
}

/// The elements of a sequence or the entries of a map.
struct Elements<'a> {
    digester: &'a mut Digester,
    is_map: bool,
    count: u64,
    /// The sum of the elements' digests, so that their order does not count.
    sum: u64,
    in_order: DefaultHasher,
    key: Option<u64>,
}

impl Elements<'_> {
    fn add(&mut self, element: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(element);
        self.in_order.write_u64(element);
    }
}

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        let element = self.digester.part(value)?;
        self.add(element);
        Ok(())
    }

    fn end(self) -> Result<(), Failed> {
        let Self { digester, is_map, count, sum, in_order, .. } = self;
        digester.tag(if is_map { b'm' } else { b's' });
        digester.hasher.write_u64(count);
        digester.hasher.write_u64(sum);
        if !is_map && count > 1 {
            let mut content = DefaultHasher::new();
            content.write_u64(count);
            content.write_u64(sum);
            digester.orders.entry(content.finish()).or_default().push(in_order.finish());
        }
        Ok(())
    }
}

impl SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.key = Some(self.digester.part(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        let value = self.digester.part(value)?;
        let mut entry = DefaultHasher::new();
        entry.write_u64(self.key.take().unwrap_or_default());
        entry.write_u64(value);
        self.add(entry.finish());
        Ok(())
    }

    fn end(self) -> Result<(), Failed> {
        SerializeSeq::end(self)
    }
}

/// Fields and elements of a tuple: each at its place.
struct Places<'a>(&'a mut Digester);

macro_rules! tuples {
    ($($trait:ident $function:ident)*) => {
        $(impl $trait for Places<'_> {
            type Ok = ();
            type Error = Failed;

            fn $function<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                value.serialize(&mut *self.0)
            }

            fn end(self) -> Result<(), Failed> {
                Ok(())
            }
        })*
    };
}

tuples! {
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl $trait for Places<'_> {
            type Ok = ();
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                self.0.bytes(b'f', name.as_bytes());
                value.serialize(&mut *self.0)
            }

            fn end(self) -> Result<(), Failed> {
                // a field may be left out, so that the end of the fields needs a mark
                self.0.tag(b'.');
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

macro_rules! integers {
    ($($function:ident $type:ty)*) => {
        $(fn $function(self, value: $type) -> Result<(), Failed> {
            // formats with names write the same number alike, independent of its width
            self.tag(b'i');
            self.hasher.write_i128(value.into());
            Ok(())
        })*
    };
}

impl<'a> Serializer for &'a mut Digester {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Places<'a>;
    type SerializeTupleStruct = Places<'a>;
    type SerializeTupleVariant = Places<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Places<'a>;
    type SerializeStructVariant = Places<'a>;

    integers! {
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_i128 i128
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
    }

    fn serialize_u128(self, value: u128) -> Result<(), Failed> {
        match i128::try_from(value) {
            Ok(value) => self.serialize_i128(value),
            Err(_) => {
                self.tag(b'I');
                self.hasher.write_u128(value);
                Ok(())
            }
        }
    }

    fn serialize_bool(self, value: bool) -> Result<(), Failed> {
        self.bytes(b'b', &[u8::from(value)]);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Failed> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Failed> {
        self.tag(b'd');
        self.hasher.write_u64(value.to_bits());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Failed> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Failed> {
        self.bytes(b't', value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failed> {
        self.bytes(b'y', value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Failed> {
        self.tag(b'0');
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failed> {
        self.tag(b'1');
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Failed> {
        self.tag(b'n');
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Failed> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(), Failed> {
        self.named(b'v', index, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.named(b'v', index, variant);
        value.serialize(self)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'a>, Failed> {
        Ok(self.elements(false))
    }

    fn serialize_tuple(self, length: usize) -> Result<Places<'a>, Failed> {
        self.tag(b'a');
        self.hasher.write_usize(length);
        Ok(Places(self))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Places<'a>, Failed> {
        self.serialize_tuple(length)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Places<'a>, Failed> {
        self.named(b'v', index, variant);
        self.serialize_tuple(length)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Elements<'a>, Failed> {
        Ok(self.elements(true))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Places<'a>, Failed> {
        self.tag(b'{');
        Ok(Places(self))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Places<'a>, Failed> {
        self.named(b'v', index, variant);
        self.serialize_struct(name, length)
    }

    fn is_human_readable(&self) -> bool {
        self.human_readable
    }
}
