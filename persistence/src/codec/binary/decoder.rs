//! Reads values from untrusted bytes.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::source::Source;
use crate::codec::bounds::{DEPTH_MAX, EMPTY_ELEMENTS_MAX};
use crate::codec::failed::Failed;

/// The deserializer.
pub(super) struct Decoder<'de> {
    source: Source<'de>,
    depth: usize,
    empty_elements: usize,
    /// The elements that were announced and are not read yet, of all sequences around the place.
    announced: usize,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { source: Source::new(bytes), depth: 0, empty_elements: 0, announced: 0 }
    }

    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'de [u8] {
        self.source.rest()
    }

    /// Reads a value one level deeper.
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        if self.depth == DEPTH_MAX {
            return Err(Failed::new(format!("expected at most {DEPTH_MAX} levels of nesting")));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads fields. The names of a structure include the aliases of its fields, so that there may
    /// be fewer fields than names.
    fn fields<V: Visitor<'de>>(
        &mut self,
        count_max: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.nested(|decoder| visitor.visit_seq(Elements::new(decoder, count_max, false)))
    }

    /// Reads `length` elements. Elements left over are an error, since they would be read as the
    /// next value.
    fn elements<V: Visitor<'de>>(
        &mut self,
        length: usize,
        is_sequence: bool,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.nested(|decoder| {
            let mut elements = Elements::new(decoder, length, is_sequence);
            let value = visitor.visit_seq(&mut elements)?;
            elements.check_end()?;
            Ok(value)
        })
    }
}

macro_rules! values {
    ($($function:ident $visit:ident, |$source:ident| $read:expr;)*) => {
        $(fn $function<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
            let $source = &mut self.source;
            visitor.$visit($read)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Failed> {
        Err(Failed::new(
            "the type asks the bytes which type it is (`untagged`, `tag`, `flatten` or a value of any type), which this codec does not write",
        ))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_any(visitor)
    }

    values! {
        deserialize_bool visit_bool, |source| source.flag()?;
        deserialize_i8 visit_i8, |source| source.byte()?.cast_signed();
        deserialize_i16 visit_i16, |source| source.signed(251)?.try_into().map_err(Failed::custom)?;
        deserialize_i32 visit_i32, |source| source.signed(252)?.try_into().map_err(Failed::custom)?;
        deserialize_i64 visit_i64, |source| source.signed(253)?;
        deserialize_i128 visit_i128, |source| source.signed_128()?;
        deserialize_u8 visit_u8, |source| source.byte()?;
        deserialize_u16 visit_u16, |source| source.unsigned(251)?.try_into().map_err(Failed::custom)?;
        deserialize_u32 visit_u32, |source| source.unsigned(252)?.try_into().map_err(Failed::custom)?;
        deserialize_u64 visit_u64, |source| source.unsigned(253)?;
        deserialize_u128 visit_u128, |source| source.unsigned_128()?;
        deserialize_f32 visit_f32, |source| source.array().map(f32::from_le_bytes)?;
        deserialize_f64 visit_f64, |source| source.array().map(f64::from_le_bytes)?;
        deserialize_char visit_char, |source| source.character()?;
        deserialize_str visit_borrowed_str, |source| source.text()?;
        deserialize_string visit_string, |source| source.text()?.to_owned();
        deserialize_bytes visit_borrowed_bytes, |source| source.slice()?;
        deserialize_byte_buf visit_byte_buf, |source| source.slice()?.to_vec();
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.source.flag()? {
            false => visitor.visit_none(),
            true => self.nested(|decoder| visitor.visit_some(decoder)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.nested(|decoder| visitor.visit_newtype_struct(decoder))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        let length = self.source.length()?;
        self.elements(length, true, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.elements(length, false, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.elements(length, false, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        let length = self.source.length()?;
        self.nested(|decoder| {
            let mut elements = Elements::new(decoder, length, true);
            let value = visitor.visit_map(&mut elements)?;
            elements.check_end()?;
            Ok(value)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.fields(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence or map, or the fields of a structure.
struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    missing: usize,
    is_sequence: bool,
    /// The missing elements for which a visitor may reserve memory.
    announced: usize,
}

impl<'a, 'de> Elements<'a, 'de> {
    /// All announced elements together are at most as many as the remaining bytes: sequences in
    /// sequences reserve no more memory than one.
    fn new(decoder: &'a mut Decoder<'de>, missing: usize, is_sequence: bool) -> Self {
        let room = decoder.rest().len().saturating_sub(decoder.announced);
        let announced = if is_sequence { missing.min(room) } else { 0 };
        decoder.announced += announced;
        Self { decoder, missing, is_sequence, announced }
    }

    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        if self.missing == 0 {
            return Ok(None);
        }
        self.missing -= 1;
        if self.announced > 0 {
            self.announced -= 1;
            self.decoder.announced -= 1;
        }
        let before = self.decoder.rest().len();
        let value = seed.deserialize(&mut *self.decoder)?;
        if self.is_sequence && self.decoder.rest().len() == before {
            self.decoder.empty_elements += 1;
            if self.decoder.empty_elements > EMPTY_ELEMENTS_MAX {
                return Err(Failed::new(format!(
                    "expected at most {EMPTY_ELEMENTS_MAX} elements that take no bytes"
                )));
            }
        }
        Ok(Some(value))
    }

    /// The number of missing elements, at most the announced ones of a sequence: memory reserved by
    /// this number stays small.
    fn count_hint(&self) -> usize {
        if self.is_sequence { self.announced } else { self.missing }
    }

    fn check_end(&self) -> Result<(), Failed> {
        match self.missing {
            0 => Ok(()),
            left => Err(Failed::new(format!("{left} elements are left over"))),
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Failed;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failed> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count_hint())
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failed> {
        self.next(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failed> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count_hint())
    }
}

impl<'de> EnumAccess<'de> for &mut Decoder<'de> {
    type Error = Failed;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failed> {
        let index = u32::try_from(self.source.unsigned(252)?).map_err(Failed::custom)?;
        let variant = seed.deserialize(IntoDeserializer::<Failed>::into_deserializer(index))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Decoder<'de> {
    type Error = Failed;

    fn unit_variant(self) -> Result<(), Failed> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failed> {
        self.nested(|decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Failed> {
        self.elements(length, false, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.fields(fields.len(), visitor)
    }
}
