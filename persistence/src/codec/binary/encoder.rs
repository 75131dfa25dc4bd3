//! Writes values. Integers have a variable length; a sequence is its length and its elements; a
//! structure is its fields.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::sink::Sink;
use crate::codec::bounds::{DEPTH_MAX, EMPTY_ELEMENTS_MAX};
use crate::codec::failed::Failed;

/// The rules that a value must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// The rules of this format.
    Binary,
    /// The rules of a format with names, which writes an absent value as null.
    Named {
        /// The other format's answer to serde: types may write themselves differently for people.
        human_readable: bool,
    },
}

/// The serializer.
pub(super) struct Encoder<S> {
    sink: S,
    rules: Rules,
    depth: usize,
    empty_elements: usize,
    /// True when a format with names writes null for the last value.
    is_null: bool,
}

impl<S: Sink> Encoder<S> {
    pub(super) fn new(sink: S, rules: Rules) -> Self {
        Self { sink, rules, depth: 0, empty_elements: 0, is_null: false }
    }

    pub(super) fn into_sink(self) -> S {
        self.sink
    }

    fn enter(&mut self) -> Result<(), Failed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Failed::new(format!("expected at most {DEPTH_MAX} levels of nesting")));
        }
        Ok(())
    }

    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.enter()?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    fn length(&mut self, length: usize) -> Result<(), Failed> {
        self.sink.put_unsigned(length as u64)
    }

    /// Begins a sequence or a map.
    fn sequence(&mut self, length: Option<usize>) -> Result<Compound<'_, S>, Failed> {
        let Some(length) = length else {
            if self.rules == Rules::Binary {
                return Err(Failed::new(
                    "a sequence or map whose length is not known before (`flatten`, for one) cannot be read back",
                ));
            }
            return self.compound(0, true);
        };
        self.length(length)?;
        self.compound(length, true)
    }

    /// Begins fields, with their expected number.
    fn compound(&mut self, length: usize, is_sequence: bool) -> Result<Compound<'_, S>, Failed> {
        self.enter()?;
        Ok(Compound { encoder: self, missing: length, is_sequence })
    }
}

macro_rules! numbers {
    ($($function:ident $type:ty, $put:ident;)*) => {
        $(fn $function(self, value: $type) -> Result<(), Failed> {
            self.sink.$put(value.into())
        })*
    };
}

impl<'a, S: Sink> Serializer for &'a mut Encoder<S> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Compound<'a, S>;
    type SerializeTuple = Compound<'a, S>;
    type SerializeTupleStruct = Compound<'a, S>;
    type SerializeTupleVariant = Compound<'a, S>;
    type SerializeMap = Compound<'a, S>;
    type SerializeStruct = Compound<'a, S>;
    type SerializeStructVariant = Compound<'a, S>;

    numbers! {
        serialize_i16 i16, put_signed;
        serialize_i32 i32, put_signed;
        serialize_i64 i64, put_signed;
        serialize_i128 i128, put_signed_128;
        serialize_u16 u16, put_unsigned;
        serialize_u32 u32, put_unsigned;
        serialize_u64 u64, put_unsigned;
        serialize_u128 u128, put_unsigned_128;
    }

    fn serialize_bool(self, value: bool) -> Result<(), Failed> {
        self.sink.put(&[u8::from(value)])
    }

    fn serialize_i8(self, value: i8) -> Result<(), Failed> {
        self.sink.put(&value.to_le_bytes())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Failed> {
        self.sink.put(&[value])
    }

    fn serialize_f32(self, value: f32) -> Result<(), Failed> {
        self.is_null = !value.is_finite() && self.is_human_readable();
        self.sink.put(&value.to_le_bytes())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Failed> {
        self.is_null = !value.is_finite() && self.is_human_readable();
        self.sink.put(&value.to_le_bytes())
    }

    fn serialize_char(self, value: char) -> Result<(), Failed> {
        self.sink.put(value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<(), Failed> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failed> {
        self.length(value.len())?;
        self.sink.put(value)
    }

    fn serialize_none(self) -> Result<(), Failed> {
        self.is_null = true;
        self.sink.put(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failed> {
        self.sink.put(&[1])?;
        self.is_null = false;
        self.nested(value)?;
        if self.is_null && self.rules != Rules::Binary {
            return Err(Failed::new(
                "a `Some` of nothing (`Some(None)`, a unit, no finite number) would be read back as `None`",
            ));
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Failed> {
        self.is_null = true;
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Failed> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), Failed> {
        self.sink.put_unsigned(index.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.nested(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.sink.put_unsigned(index.into())?;
        self.nested(value)?;
        self.is_null = false;
        Ok(())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'a, S>, Failed> {
        self.sequence(length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Compound<'a, S>, Failed> {
        self.compound(length, false)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Compound<'a, S>, Failed> {
        self.compound(length, false)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a, S>, Failed> {
        self.sink.put_unsigned(index.into())?;
        self.compound(length, false)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a, S>, Failed> {
        self.sequence(length)
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Compound<'a, S>, Failed> {
        self.compound(length, false)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a, S>, Failed> {
        self.sink.put_unsigned(index.into())?;
        self.compound(length, false)
    }

    fn is_human_readable(&self) -> bool {
        self.rules == Rules::Named { human_readable: true }
    }
}

/// The fields of a structure, or the elements of a sequence.
pub(super) struct Compound<'a, S> {
    encoder: &'a mut Encoder<S>,
    /// The number of elements that are still to come.
    missing: usize,
    is_sequence: bool,
}

impl<S: Sink> Compound<'_, S> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        let before = self.encoder.sink.position();
        value.serialize(&mut *self.encoder)?;
        self.missing = self.missing.wrapping_sub(1);
        if self.is_sequence && self.encoder.sink.position() == before {
            self.encoder.empty_elements += 1;
            if self.encoder.empty_elements > EMPTY_ELEMENTS_MAX
                && self.encoder.rules == Rules::Binary
            {
                return Err(Failed::new(format!(
                    "expected at most {EMPTY_ELEMENTS_MAX} elements that take no bytes"
                )));
            }
        }
        Ok(())
    }

    fn left_out(&self, field: &'static str) -> Result<(), Failed> {
        match self.encoder.rules {
            Rules::Binary => Err(Failed::new(format!(
                "field `{field}` is left out (`skip_serializing_if`), so that the value cannot be read back"
            ))),
            Rules::Named { .. } => Ok(()),
        }
    }

    fn finish(self) -> Result<(), Failed> {
        if self.missing != 0 && self.encoder.rules == Rules::Binary {
            return Err(Failed::new("a length is not that of the elements that follow"));
        }
        self.encoder.depth -= 1;
        self.encoder.is_null = false;
        Ok(())
    }
}

macro_rules! compound {
    ($($trait:ident $function:ident)*) => {
        $(impl<S: Sink> $trait for Compound<'_, S> {
            type Ok = ();
            type Error = Failed;

            fn $function<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.element(value)
            }

            fn end(self) -> Result<(), Failed> {
                self.finish()
            }
        })*
    };
}

compound! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl<S: Sink> SerializeMap for Compound<'_, S> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.element(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl<S: Sink> $trait for Compound<'_, S> {
            type Ok = ();
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                self.element(value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Failed> {
                self.left_out(name)
            }

            fn end(self) -> Result<(), Failed> {
                self.finish()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }
