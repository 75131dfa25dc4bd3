//! The union of the shapes that two releases stored under one manifest and version, so that a third
//! release is compared with both.
//!
//! The union keeps the keys and the order of the first shape: the union with a part of itself is
//! itself, and releases that run side by side do not change a row back and forth. The two shapes
//! have no [`difference`](super::compare) that matters.

use std::collections::{BTreeMap, BTreeSet};

use super::form::{Container, Content, Field, Form, Shape, Variant};
use crate::codec::CodecId;

/// Everything in `old` or in `new`.
pub(super) fn union(codec: CodecId, old: &Shape, new: &Shape) -> Shape {
    let by_position = codec == CodecId::Bincode;
    let (pairs, seen) = (Vec::new(), BTreeSet::new());
    let mut union = Union { by_position, union: old.clone(), new, pairs, seen };
    union.union.root = union.forms(&old.root, &new.root);
    while let Some((was, is)) = union.pairs.pop() {
        union.types(&was, &is);
    }
    union.union
}

struct Union<'a> {
    by_position: bool,
    union: Shape,
    new: &'a Shape,
    /// Keys of types in both that are still to be united.
    pairs: Vec<(String, String)>,
    seen: BTreeSet<(String, String)>,
}

impl Union<'_> {
    fn forms(&mut self, was: &Form, is: &Form) -> Form {
        match (was, is) {
            (Form::Unknown, is) => self.adopt(is),
            (was, Form::Unknown | Form::Any) => was.clone(),
            // a third release must read the known form
            (Form::Any, is) => self.adopt(is),
            (Form::Option(was), Form::Option(is)) => Form::Option(Box::new(self.forms(was, is))),
            (Form::Sequence(was), Form::Sequence(is)) => {
                Form::Sequence(Box::new(self.forms(was, is)))
            }
            (Form::Option(was), is) if !self.by_position => {
                Form::Option(Box::new(self.forms(was, is)))
            }
            (was, Form::Option(is)) if !self.by_position => {
                Form::Option(Box::new(self.forms(was, is)))
            }
            (Form::Map(old_key, old_value), Form::Map(key, value)) => {
                let key = self.forms(old_key, key);
                Form::Map(Box::new(key), Box::new(self.forms(old_value, value)))
            }
            (Form::Tuple(was), Form::Tuple(is)) => Form::Tuple(self.tuples(was, is)),
            (Form::Type(was), Form::Type(is)) => {
                self.pair(was, is);
                Form::Type(was.clone())
            }
            (was, _) => was.clone(),
        }
    }

    fn tuples(&mut self, was: &[Form], is: &[Form]) -> Vec<Form> {
        was.iter().zip(is).map(|(was, is)| self.forms(was, is)).collect()
    }

    fn pair(&mut self, was: &str, is: &str) {
        let pair = (was.to_owned(), is.to_owned());
        if self.seen.insert(pair.clone()) {
            self.pairs.push(pair);
        }
    }

    /// Adds a form that only the new shape has, with the types that are parts of it.
    fn adopt(&mut self, form: &Form) -> Form {
        match form {
            Form::Unknown | Form::Any | Form::Scalar(_) => {}
            Form::Option(inner) | Form::Sequence(inner) => drop(self.adopt(inner)),
            Form::Map(key, value) => {
                self.adopt(key);
                self.adopt(value);
            }
            Form::Tuple(forms) => forms.iter().for_each(|form| drop(self.adopt(form))),
            Form::Type(key) => self.adopt_type(key),
        }
        form.clone()
    }

    fn adopt_type(&mut self, key: &str) {
        if self.union.types.contains_key(key) {
            return self.pair(key, key);
        }
        let Some(container) = self.new.types.get(key) else { return };
        self.union.types.insert(key.to_owned(), container.clone());
        match container {
            Container::Struct(fields) => {
                fields.iter().for_each(|field| drop(self.adopt(&field.form)));
            }
            Container::Enum(variants) => {
                let contents = variants.values().filter_map(|variant| variant.content.as_ref());
                contents.for_each(|content| self.adopt_content(content));
            }
        }
    }

    fn adopt_content(&mut self, content: &Content) {
        match content {
            Content::Unit => {}
            Content::Newtype(form) => drop(self.adopt(form)),
            Content::Tuple(forms) => forms.iter().for_each(|form| drop(self.adopt(form))),
            Content::Struct(fields) => {
                fields.iter().for_each(|field| drop(self.adopt(&field.form)));
            }
        }
    }

    fn types(&mut self, was: &str, is: &str) {
        let new = self.new.types.get(is);
        let united = match (self.union.types.get(was).cloned(), new) {
            (Some(Container::Struct(old)), Some(Container::Struct(new))) => {
                Container::Struct(self.fields(&old, new))
            }
            (Some(Container::Enum(old)), Some(Container::Enum(new))) => {
                Container::Enum(self.variants(old, new))
            }
            (Some(_) | None, _) => return,
        };
        self.union.types.insert(was.to_owned(), united);
    }

    fn fields(&mut self, old: &[Field], new: &[Field]) -> Vec<Field> {
        let mut united = Vec::with_capacity(old.len());
        for (index, was) in old.iter().enumerate() {
            let is = if self.by_position {
                new.get(index)
            } else {
                new.iter().find(|is| !is.name.is_empty() && is.name == was.name)
            };
            let name = name_of_both(&was.name, is.map(|is| &*is.name));
            let form = is.map_or_else(|| was.form.clone(), |is| self.forms(&was.form, &is.form));
            united.push(Field { name, form });
        }
        if !self.by_position {
            let is_new =
                |is: &&Field| !is.name.is_empty() && !old.iter().any(|was| was.name == is.name);
            for is in new.iter().filter(is_new) {
                united.push(Field { name: is.name.clone(), form: self.adopt(&is.form) });
            }
        }
        united
    }

    fn variants(
        &mut self,
        old: BTreeMap<u32, Variant>,
        new: &BTreeMap<u32, Variant>,
    ) -> BTreeMap<u32, Variant> {
        let mut united = old;
        for (index, is) in new {
            let place = if self.by_position {
                Some(*index)
            } else if is.name.is_empty() {
                continue;
            } else {
                let same = united.iter().find(|(_, was)| was.name == is.name);
                let free = || (!united.contains_key(index)).then_some(*index);
                same.map(|(index, _)| *index).or_else(free)
            };
            // the index of a variant that is found by its name does not matter
            let place = place.unwrap_or_else(|| {
                united.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
            });
            let variant = match united.remove(&place) {
                Some(was) => Variant {
                    name: name_of_both(&was.name, Some(&is.name)),
                    content: self.contents(was.content, is.content.as_ref()),
                },
                None => Variant {
                    name: is.name.clone(),
                    content: self.contents(None, is.content.as_ref()),
                },
            };
            united.insert(place, variant);
        }
        united
    }

    fn contents(&mut self, was: Option<Content>, is: Option<&Content>) -> Option<Content> {
        Some(match (was, is) {
            (None, is) => {
                let is = is?;
                self.adopt_content(is);
                is.clone()
            }
            (Some(Content::Newtype(was)), Some(Content::Newtype(is))) => {
                Content::Newtype(self.forms(&was, is))
            }
            (Some(Content::Tuple(was)), Some(Content::Tuple(is))) => {
                Content::Tuple(self.tuples(&was, is))
            }
            (Some(Content::Struct(was)), Some(Content::Struct(is))) => {
                Content::Struct(self.fields(&was, is))
            }
            (Some(was), _) => was,
        })
    }
}

/// The name in both; an uncertain name is empty and gives way to the other.
fn name_of_both(was: &str, is: Option<&str>) -> String {
    if was.is_empty() { is.unwrap_or_default() } else { was }.to_owned()
}
