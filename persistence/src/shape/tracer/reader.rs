//! The deserializer that makes values up and notes the requested types.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
    value::{Error, U32Deserializer},
};

use super::merging::{merge_content, merge_fields};
use super::state::State;
use crate::shape::form::{Container, Content, Field, Form, Scalar, Variant};

/// Texts that are offered, one after the other.
const TEXTS: [&str; 8] = [
    "a",
    "",
    "1",
    "00000000-0000-4000-8000-000000000001",
    "2020-01-01T00:00:00Z",
    "2020-01-01",
    "127.0.0.1",
    "https://example.com/",
];

/// Reads one value, and puts its form into `form`.
pub(super) struct Reader<'a> {
    pub(super) state: &'a mut State,
    pub(super) form: &'a mut Form,
}

impl<'a> Reader<'a> {
    /// Notes a value without parts, of which there are `choices`; returns the index of the one to
    /// make up.
    fn scalar(&mut self, scalar: Scalar, choices: usize) -> Result<usize, Error> {
        self.state.step()?;
        *self.form = Form::Scalar(scalar);
        Ok(self.state.choose(choices))
    }

    /// Returns whether this option, sequence or map is left empty.
    fn is_empty(&mut self) -> bool {
        self.state.is_empty
            || self.state.is_recursing()
            || self.state.skipped.contains(&self.state.path)
    }

    /// Reads an option, a sequence or a map.
    fn optional<T>(
        self,
        read: impl FnOnce(&mut State, &mut Form) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let path = self.state.path.clone();
        self.state.optionals.push(path);
        let value = self.state.below("?", |state| read(state, self.form))?;
        self.state.optionals.pop();
        Ok(value)
    }

    fn tuple<'de, V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let mut forms = Vec::new();
        let value = visitor.visit_seq(Elements { state: self.state, forms: &mut forms, length });
        *self.form = Form::Tuple(forms);
        value
    }
}

/// Reads the fields of a structure, and returns the forms that were seen.
fn read_fields<'de, V: Visitor<'de>>(
    state: &mut State,
    names: &'static [&'static str],
    visitor: V,
) -> (Vec<Field>, Result<V::Value, Error>) {
    let mut forms = Vec::new();
    let length = names.len();
    let value = visitor.visit_seq(Elements { state, forms: &mut forms, length });
    // the names include aliases, and nothing tells which names are aliases
    let has_aliases = value.is_ok() && forms.len() < length;
    forms.resize(if has_aliases { forms.len() } else { length }, Form::Unknown);
    let name = |name: &str| if has_aliases { String::new() } else { name.to_owned() };
    let fields = names.iter().zip(forms).map(|(n, form)| Field { name: name(n), form });
    (fields.collect(), value)
}

macro_rules! scalars {
    ($($function:ident $scalar:ident $visit:ident $value:expr;)*) => {
        $(fn $function<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
            self.scalar(Scalar::$scalar, 1)?;
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool Bool visit_bool false;
        deserialize_i8 I8 visit_i8 1;
        deserialize_i16 I16 visit_i16 1;
        deserialize_i32 I32 visit_i32 1;
        deserialize_i64 I64 visit_i64 1;
        deserialize_i128 I128 visit_i128 1;
        deserialize_u8 U8 visit_u8 1;
        deserialize_u16 U16 visit_u16 1;
        deserialize_u32 U32 visit_u32 1;
        deserialize_u64 U64 visit_u64 1;
        deserialize_u128 U128 visit_u128 1;
        deserialize_f32 F32 visit_f32 1.0;
        deserialize_f64 F64 visit_f64 1.0;
        deserialize_char Char visit_char 'a';
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.state.step()?;
        self.state.saw_any = true;
        *self.form = Form::Any;
        self.state.choose(1);
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let choice = self.scalar(Scalar::Text, TEXTS.len())?;
        visitor.visit_str(TEXTS[choice])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let choice = self.scalar(Scalar::Bytes, 4)?;
        visitor.visit_bytes([&[][..], &[0; 16], &[0; 32], &[1]][choice])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        if self.is_empty() {
            *self.form = Form::Option(Box::default());
            return visitor.visit_none();
        }
        self.optional(|state, form| {
            let mut inner = Form::Unknown;
            let value = visitor.visit_some(Reader { state, form: &mut inner });
            *form = Form::Option(Box::new(inner));
            value
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        self.scalar(Scalar::Unit, 1)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Reader { state, form } = self;
        state.open.push(name.to_owned());
        let value =
            state.below(name, |state| visitor.visit_newtype_struct(Reader { state, form }))?;
        state.open.pop();
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let length = usize::from(!self.is_empty());
        self.optional(|state, form| {
            let mut forms = Vec::new();
            let value = visitor.visit_seq(Elements { state, forms: &mut forms, length });
            *form = Form::Sequence(Box::new(forms.pop().unwrap_or_default()));
            value
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.tuple(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Reader { state, form } = self;
        state.open.push(name.to_owned());
        let value = Reader { state: &mut *state, form }.tuple(length, visitor)?;
        state.open.pop();
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let length = usize::from(!self.is_empty());
        self.optional(|state, form| {
            let (mut forms, mut values) = (Vec::new(), Vec::new());
            let elements = Elements { state, forms: &mut forms, length };
            let value = visitor.visit_map(Entries { elements, values: &mut values });
            let last = |forms: &mut Vec<Form>| Box::new(forms.pop().unwrap_or_default());
            *form = Form::Map(last(&mut forms), last(&mut values));
            value
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Reader { state, form } = self;
        let key = format!("{name}{{{}}}", fields.join(","));
        *form = Form::Type(key.clone());
        state.open.push(key.clone());
        let (seen, value) = read_fields(state, fields, visitor);
        match state.types.get_mut(&key) {
            // aliases among the names are known only now
            Some(Container::Struct(known)) if seen.len() < known.len() => *known = seen,
            Some(Container::Struct(known)) => merge_fields(known, seen),
            Some(Container::Enum(_)) => {}
            None => drop(state.types.insert(key, Container::Struct(seen))),
        }
        let value = value?;
        state.open.pop();
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Reader { state, form } = self;
        state.step()?;
        let key = format!("{name}<{}>", variants.join("|"));
        *form = Form::Type(key.clone());
        state.types.entry(key.clone()).or_insert_with(|| {
            let variant = |name: &&str| Variant { name: (*name).to_owned(), content: None };
            Container::Enum((0..).zip(variants.iter().map(variant)).collect())
        });
        let index =
            state.next_variant(&key).ok_or_else(|| Error::custom("no variant can be read"))?;
        if state.is_at_root() {
            state.root_variant = Some(index);
        }
        let entry = (key.clone(), index);
        state.open.push(key.clone());
        state.variants.push(entry.clone());
        state.made_of.insert(entry.clone());
        state.last = None;
        let (depth, outer) = (state.depth, std::mem::take(&mut state.deepest));
        let value = visitor.visit_enum(Choice { state: &mut *state, key: &key, index })?;
        let height = state.deepest.saturating_sub(depth);
        state.deepest = outer.max(state.deepest);
        let known = state.done.entry(entry).or_insert(height);
        *known = height.min(*known);
        state.variants.pop();
        state.open.pop();
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        self.state.human_readable
    }
}

struct Elements<'a> {
    state: &'a mut State,
    forms: &'a mut Vec<Form>,
    length: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.forms.len() == self.length {
            return Ok(None);
        }
        self.forms.push(Form::Unknown);
        let index = self.forms.len() - 1;
        let form = &mut self.forms[index];
        let read = |state: &mut State| seed.deserialize(Reader { state, form });
        self.state.below(&index.to_string(), read).map(Some)
    }
}

struct Entries<'a> {
    elements: Elements<'a>,
    values: &'a mut Vec<Form>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.elements.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let state = &mut *self.elements.state;
        let mut form = Form::Unknown;
        let read = |state: &mut State| seed.deserialize(Reader { state, form: &mut form });
        let value = state.below("value", read);
        self.values.push(form);
        value
    }
}

/// The variant to read.
struct Choice<'a> {
    state: &'a mut State,
    key: &'a str,
    index: u32,
}

impl Choice<'_> {
    fn seen(&mut self, content: Content) {
        if let Some(Container::Enum(variants)) = self.state.types.get_mut(self.key)
            && let Some(variant) = variants.get_mut(&self.index)
        {
            merge_content(&mut variant.content, content);
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let index: U32Deserializer<Error> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Error;

    fn unit_variant(mut self) -> Result<(), Error> {
        self.seen(Content::Unit);
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Error> {
        let mut form = Form::Unknown;
        let name = self.index.to_string();
        let read = |state: &mut State| seed.deserialize(Reader { state, form: &mut form });
        let value = self.state.below(&name, read);
        self.seen(Content::Newtype(form));
        value
    }

    fn tuple_variant<V: Visitor<'de>>(
        mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut forms = Vec::new();
        let name = self.index.to_string();
        let read =
            |state: &mut State| visitor.visit_seq(Elements { state, forms: &mut forms, length });
        let value = self.state.below(&name, read);
        forms.resize(length, Form::Unknown);
        self.seen(Content::Tuple(forms));
        value
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut fields = Vec::new();
        let name = self.index.to_string();
        let value = self.state.below(&name, |state| {
            let (seen, value) = read_fields(state, names, visitor);
            fields = seen;
            value
        });
        self.seen(Content::Struct(fields));
        value
    }
}
