//! Reads values from untrusted bytes.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::Failed;
use crate::codec::{DEPTH_MAX, EMPTY_ELEMENTS_MAX};

/// The deserializer.
pub(super) struct Decoder<'de> {
    rest: &'de [u8],
    depth: usize,
    empty_elements: usize,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, depth: 0, empty_elements: 0 }
    }

    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'de [u8] {
        self.rest
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'de [u8], Failed> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(Failed::new(format!(
                "expected {count} more bytes, actual {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failed> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Failed> {
        Ok(self.array::<1>()?[0])
    }

    /// A number of a type whose longest form begins with `longest`.
    #[inline]
    fn unsigned(&mut self, longest: u8) -> Result<u64, Failed> {
        let first = self.byte()?;
        if first > 250 && first > longest {
            return Err(Failed::new("a number is too large for its type"));
        }
        Ok(match first {
            0..=250 => first.into(),
            251 => u16::from_le_bytes(self.array()?).into(),
            252 => u32::from_le_bytes(self.array()?).into(),
            253 => u64::from_le_bytes(self.array()?),
            254.. => return Err(Failed::new("a number is too large for its type")),
        })
    }

    fn unsigned_128(&mut self) -> Result<u128, Failed> {
        if self.rest.first() == Some(&254) {
            self.byte()?;
            return Ok(u128::from_le_bytes(self.array()?));
        }
        Ok(self.unsigned(253)?.into())
    }

    #[inline]
    fn signed(&mut self, longest: u8) -> Result<i64, Failed> {
        let value = self.unsigned(longest)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn signed_128(&mut self) -> Result<i128, Failed> {
        let value = self.unsigned_128()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn length(&mut self) -> Result<usize, Failed> {
        let length = self.unsigned(253)?;
        usize::try_from(length).map_err(|_| Failed::new("a length is too large"))
    }

    fn slice(&mut self) -> Result<&'de [u8], Failed> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'de str, Failed> {
        std::str::from_utf8(self.slice()?).map_err(Failed::custom)
    }

    fn flag(&mut self) -> Result<bool, Failed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Failed::new(format!("expected 0 or 1, actual {other}"))),
        }
    }

    fn character(&mut self) -> Result<char, Failed> {
        let width = match self.rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..) => 4,
            Some(_) | None => 1,
        };
        let text = std::str::from_utf8(self.take(width)?).map_err(Failed::custom)?;
        text.chars().next().ok_or_else(|| Failed::new("expected a character"))
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
        self.nested(|decoder| {
            visitor.visit_seq(Elements { decoder, missing: count_max, is_sequence: false })
        })
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
            let mut elements = Elements { decoder, missing: length, is_sequence };
            let value = visitor.visit_seq(&mut elements)?;
            elements.check_end()?;
            Ok(value)
        })
    }
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

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_i16(self.signed(251)?.try_into().map_err(Failed::custom)?)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_i32(self.signed(252)?.try_into().map_err(Failed::custom)?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_i64(self.signed(253)?)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_i128(self.signed_128()?)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_u8(self.byte()?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_u16(self.unsigned(251)?.try_into().map_err(Failed::custom)?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_u32(self.unsigned(252)?.try_into().map_err(Failed::custom)?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_u64(self.unsigned(253)?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_u128(self.unsigned_128()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_char(self.character()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_string(self.text()?.to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_byte_buf(self.slice()?.to_vec())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.flag()? {
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
        let length = self.length()?;
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
        let length = self.length()?;
        self.nested(|decoder| {
            let mut elements = Elements { decoder, missing: length, is_sequence: true };
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
}

impl<'de> Elements<'_, 'de> {
    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        if self.missing == 0 {
            return Ok(None);
        }
        self.missing -= 1;
        let before = self.decoder.rest.len();
        let value = seed.deserialize(&mut *self.decoder)?;
        if self.is_sequence && self.decoder.rest.len() == before {
            self.decoder.empty_elements += 1;
            if self.decoder.empty_elements > EMPTY_ELEMENTS_MAX {
                return Err(Failed::new(format!(
                    "expected at most {EMPTY_ELEMENTS_MAX} elements that take no bytes"
                )));
            }
        }
        Ok(Some(value))
    }

    /// The number of missing elements, at most the number of remaining bytes: memory reserved by
    /// this number stays small.
    fn count_hint(&self) -> usize {
        self.missing.min(self.decoder.rest.len())
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
        let index = u32::try_from(self.unsigned(252)?).map_err(Failed::custom)?;
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
