//! The union of the forms that several passes have seen.

use crate::shape::form::{Content, Field, Form, merge};

pub(super) fn merge_fields(known: &mut [Field], seen: Vec<Field>) {
    for (known, seen) in known.iter_mut().zip(seen) {
        merge(&mut known.form, seen.form);
    }
}

fn merge_forms(known: &mut [Form], seen: Vec<Form>) {
    for (known, seen) in known.iter_mut().zip(seen) {
        merge(known, seen);
    }
}

pub(super) fn merge_content(known: &mut Option<Content>, seen: Content) {
    match (known, seen) {
        (Some(Content::Newtype(known)), Content::Newtype(seen)) => merge(known, seen),
        (Some(Content::Tuple(known)), Content::Tuple(seen)) => merge_forms(known, seen),
        (Some(Content::Struct(known)), Content::Struct(seen)) => merge_fields(known, seen),
        (known @ None, seen) => *known = Some(seen),
        (Some(_), _) => {}
    }
}
