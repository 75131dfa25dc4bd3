//! Shapes: the structure of a type as serde sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Scalar {
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
    Unit,
}

/// The form of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    /// Not seen: nothing is known about the form, and every form fits.
    #[default]
    Unknown,
    /// Of any type: nothing is known about the form either.
    Any,
    Scalar(Scalar),
    Option(Box<Form>),
    Sequence(Box<Form>),
    Map(Box<Form>, Box<Form>),
    Tuple(Vec<Form>),
    /// The structure or enum with that key.
    Type(String),
}

/// A structure or an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Container {
    Struct(Vec<Field>),
    /// Variants by index.
    Enum(BTreeMap<u32, Variant>),
}

/// A field of a structure. The name is empty when it is not certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) form: Form,
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Variant {
    pub(super) name: String,
    /// `None`: not seen.
    pub(super) content: Option<Content>,
}

/// The content of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    Unit,
    Newtype(Form),
    Tuple(Vec<Form>),
    Struct(Vec<Field>),
}

/// The form of a type, with all types that are parts of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) root: Form,
    pub(super) types: BTreeMap<String, Container>,
}

impl Shape {
    /// The same shape; at the top, it has only the variants that `keep` accepts.
    pub(super) fn restricted(&self, keep: impl Fn(u32) -> bool) -> Self {
        let mut shape = self.clone();
        if let Form::Type(key) = &shape.root
            && let Some(Container::Enum(variants)) = shape.types.get(key)
        {
            // a type that contains itself keeps all variants below the top
            let kept = variants.iter().filter(|(index, _)| keep(**index));
            let kept = kept.map(|(index, variant)| (*index, variant.clone())).collect();
            let root = format!("{key} at the top");
            shape.types.insert(root.clone(), Container::Enum(kept));
            shape.root = Form::Type(root);
        }
        shape
    }
}

/// Merges a second observation of a form into the known form.
pub(super) fn merge(known: &mut Form, seen: Form) {
    match (known, seen) {
        (_, Form::Unknown) => {}
        (known @ Form::Unknown, seen) => *known = seen,
        (Form::Any, _) => {}
        (Form::Option(known), Form::Option(seen))
        | (Form::Sequence(known), Form::Sequence(seen)) => {
            merge(known, *seen);
        }
        (Form::Map(key, value), Form::Map(seen_key, seen_value)) => {
            merge(key, *seen_key);
            merge(value, *seen_value);
        }
        (Form::Tuple(known), Form::Tuple(seen)) if known.len() == seen.len() => {
            for (known, seen) in known.iter_mut().zip(seen) {
                merge(known, seen);
            }
        }
        (known, seen) if *known == seen => {}
        // two types of one name: the right one is not certain
        (known, _) => *known = Form::Unknown,
    }
}
