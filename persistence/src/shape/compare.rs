//! The differences that are allowed between the shape at writing and the shape at reading.
//!
//! In bincode everything counts: order, names (they are not stored, but reveal that two have
//! changed places) and forms. Only a variant may be on one side alone, if its name is at no other
//! index, so that a release can be taken back. In CBOR and JSON the names count: fields and
//! variants may come and go, but the same name must have the same form; numbers may have another
//! width. A shape does not say whether a field may be missing; `samples` test that.

use std::collections::{BTreeMap, BTreeSet};

use super::form::{Container, Content, Field, Form, Scalar, Shape, Variant};
use crate::codec::CodecId;

/// The first difference that matters, in words.
pub(super) fn difference(codec: CodecId, old: &Shape, new: &Shape) -> Option<String> {
    let by_position = codec == CodecId::Bincode;
    let mut comparison = Comparison { old, new, by_position, seen: BTreeSet::new() };
    comparison.forms("the type", &old.root, &new.root)
}

struct Comparison<'a> {
    old: &'a Shape,
    new: &'a Shape,
    by_position: bool,
    /// Pairs of types that were compared.
    seen: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn forms(&mut self, at: &str, old: &'a Form, new: &'a Form) -> Option<String> {
        match (old, new) {
            (Form::Unknown | Form::Any, _) | (_, Form::Unknown | Form::Any) => None,
            (Form::Scalar(was), Form::Scalar(is)) => self.scalars(at, *was, *is),
            (Form::Option(was), Form::Option(is)) | (Form::Sequence(was), Form::Sequence(is)) => {
                self.forms(at, was, is)
            }
            // null is absence; a present value has the same form
            (Form::Option(inner), other) if !self.by_position => self.forms(at, inner, other),
            (other, Form::Option(inner)) if !self.by_position => self.forms(at, other, inner),
            (Form::Map(old_key, old_value), Form::Map(key, value)) => {
                let keys = self.forms(at, old_key, key);
                keys.or_else(|| self.forms(at, old_value, value))
            }
            (Form::Tuple(was), Form::Tuple(is)) => self.tuples(at, was, is),
            (Form::Type(was), Form::Type(is)) => self.types(at, was, is),
            (was, is) => Some(changed(at, &words(was), &words(is))),
        }
    }

    fn scalars(&self, at: &str, was: Scalar, is: Scalar) -> Option<String> {
        let same = if self.by_position { was == is } else { class(was) == class(is) };
        (!same).then(|| changed(at, &format!("{was:?}"), &format!("{is:?}")))
    }

    fn tuples(&mut self, at: &str, was: &'a [Form], is: &'a [Form]) -> Option<String> {
        if was.len() != is.len() {
            return Some(changed(
                at,
                &format!("{} elements", was.len()),
                &format!("{} elements", is.len()),
            ));
        }
        let mut pairs = was.iter().zip(is).enumerate();
        pairs.find_map(|(index, (was, is))| self.forms(&format!("{at}, element {index}"), was, is))
    }

    fn types(&mut self, at: &str, was: &'a str, is: &'a str) -> Option<String> {
        if !self.seen.insert((was, is)) {
            return None;
        }
        let (old, new) = (self.old.types.get(was)?, self.new.types.get(is)?);
        match (old, new) {
            (Container::Struct(old), Container::Struct(new)) => self.fields(name_of(was), old, new),
            (Container::Enum(old), Container::Enum(new)) => self.variants(name_of(was), old, new),
            (Container::Struct(_), Container::Enum(_)) => {
                Some(changed(at, "a structure", "an enum"))
            }
            (Container::Enum(_), Container::Struct(_)) => {
                Some(changed(at, "an enum", "a structure"))
            }
        }
    }

    fn fields(&mut self, at: &str, old: &'a [Field], new: &'a [Field]) -> Option<String> {
        if !self.by_position {
            return old.iter().filter(|field| !field.name.is_empty()).find_map(|was| {
                let is = new.iter().find(|is| is.name == was.name)?;
                self.forms(&format!("field `{}` of `{at}`", was.name), &was.form, &is.form)
            });
        }
        for (index, (was, is)) in old.iter().zip(new).enumerate() {
            if is_another(&was.name, &is.name) {
                return Some(changed(
                    &format!("field {index} of `{at}`"),
                    &format!("`{}`", was.name),
                    &format!("`{}`", is.name),
                ));
            }
            let at = format!("field `{}` of `{at}`", was.name);
            if let Some(difference) = self.forms(&at, &was.form, &is.form) {
                return Some(difference);
            }
        }
        (old.len() != new.len()).then(|| {
            let at = format!("`{at}`");
            changed(&at, &format!("{} fields", old.len()), &format!("{} fields", new.len()))
        })
    }

    fn variants(
        &mut self,
        at: &str,
        old: &'a BTreeMap<u32, Variant>,
        new: &'a BTreeMap<u32, Variant>,
    ) -> Option<String> {
        old.iter().find_map(|(index, was)| {
            let named = new.iter().find(|(_, is)| is.name == was.name && !is.name.is_empty());
            let is = match new.get(index) {
                Some(is) if self.by_position => is,
                // the variant is gone, or has another manifest; its name must not be at another
                // index
                None if self.by_position => {
                    let (now, _) = named?;
                    let at = format!("the index of `{at}::{}`", was.name);
                    return Some(changed(&at, &index.to_string(), &now.to_string()));
                }
                Some(_) | None => named?.1,
            };
            if is_another(&was.name, &is.name) {
                return Some(changed(
                    &format!("variant {index} of `{at}`"),
                    &format!("`{}`", was.name),
                    &format!("`{}`", is.name),
                ));
            }
            let at = format!("{at}::{}", was.name);
            self.contents(&at, was.content.as_ref()?, is.content.as_ref()?)
        })
    }

    fn contents(&mut self, at: &str, old: &'a Content, new: &'a Content) -> Option<String> {
        match (old, new) {
            (Content::Unit, Content::Unit) => None,
            (Content::Newtype(was), Content::Newtype(is)) => {
                self.forms(&format!("`{at}`"), was, is)
            }
            (Content::Tuple(was), Content::Tuple(is)) => self.tuples(&format!("`{at}`"), was, is),
            (Content::Struct(was), Content::Struct(is)) => self.fields(at, was, is),
            (was, is) => Some(changed(&format!("`{at}`"), content_words(was), content_words(is))),
        }
    }
}

fn changed(at: &str, was: &str, is: &str) -> String {
    format!("{at} was {was}, is {is}")
}

fn is_another(was: &str, is: &str) -> bool {
    !was.is_empty() && !is.is_empty() && was != is
}

/// The type's name in its key.
pub(super) fn name_of(key: &str) -> &str {
    key.split(['{', '<']).next().unwrap_or(key)
}

/// The class of scalars that formats with names write alike.
fn class(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::I8
        | Scalar::I16
        | Scalar::I32
        | Scalar::I64
        | Scalar::I128
        | Scalar::U8
        | Scalar::U16
        | Scalar::U32
        | Scalar::U64
        | Scalar::U128
        | Scalar::F32
        | Scalar::F64 => "number",
        Scalar::Char | Scalar::Text => "text",
        Scalar::Bytes => "bytes",
        Scalar::Unit => "nothing",
    }
}

fn words(form: &Form) -> String {
    match form {
        Form::Unknown | Form::Any => "unknown".to_owned(),
        Form::Scalar(scalar) => format!("{scalar:?}"),
        Form::Option(_) => "an option".to_owned(),
        Form::Sequence(_) => "a sequence".to_owned(),
        Form::Map(..) => "a map".to_owned(),
        Form::Tuple(forms) => format!("{} elements", forms.len()),
        Form::Type(key) => format!("`{}`", name_of(key)),
    }
}

fn content_words(content: &Content) -> &'static str {
    match content {
        Content::Unit => "without content",
        Content::Newtype(_) => "one value",
        Content::Tuple(_) => "a tuple",
        Content::Struct(_) => "fields",
    }
}
