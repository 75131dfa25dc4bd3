//! The search for variants that were not read yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::shape::form::{Container, Content, Form, Variant};

/// The types that were seen, and the variants of them that were read or cannot be read.
pub(super) struct Open<'a> {
    pub(super) types: &'a BTreeMap<String, Container>,
    pub(super) done: &'a BTreeMap<(String, u32), usize>,
    pub(super) failed: &'a BTreeSet<(String, u32)>,
}

impl Open<'_> {
    /// Returns whether the form contains variants that were not read.
    pub(super) fn form(&self, form: &Form, seen: &mut BTreeSet<String>) -> bool {
        match form {
            Form::Unknown | Form::Any | Form::Scalar(_) => false,
            Form::Option(form) | Form::Sequence(form) => self.form(form, seen),
            Form::Map(key, value) => self.form(key, seen) || self.form(value, seen),
            Form::Tuple(forms) => forms.iter().any(|form| self.form(form, seen)),
            Form::Type(key) => {
                if !seen.insert(key.clone()) {
                    return false;
                }
                match self.types.get(key) {
                    None => false,
                    Some(Container::Struct(fields)) => {
                        fields.iter().any(|field| self.form(&field.form, seen))
                    }
                    Some(Container::Enum(variants)) => variants
                        .iter()
                        .any(|(index, variant)| self.variant(key, *index, variant, seen)),
                }
            }
        }
    }

    fn variant(
        &self,
        key: &str,
        index: u32,
        variant: &Variant,
        seen: &mut BTreeSet<String>,
    ) -> bool {
        let entry = (key.to_owned(), index);
        if !self.done.contains_key(&entry) {
            return !self.failed.contains(&entry);
        }
        variant.content.as_ref().is_some_and(|content| self.content(content, seen))
    }

    pub(super) fn content(&self, content: &Content, seen: &mut BTreeSet<String>) -> bool {
        match content {
            Content::Unit => false,
            Content::Newtype(form) => self.form(form, seen),
            Content::Tuple(forms) => forms.iter().any(|form| self.form(form, seen)),
            Content::Struct(fields) => fields.iter().any(|field| self.form(&field.form, seen)),
        }
    }
}
