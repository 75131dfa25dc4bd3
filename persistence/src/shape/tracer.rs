//! Finds out a type's shape: lets the type be read, again and again, from made-up values, until
//! each variant was seen.
//!
//! A derived `Deserialize` names its fields and variants before it reads any. A type that refuses a
//! made-up value is offered others. When it refuses all, the option, sequence, map or variant
//! around it is left out, and its form stays unknown. Everything is bounded: passes, steps and
//! depth.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_base::guard;
use serde::de::DeserializeOwned;

use super::compare::name_of;
use super::form::{Container, Content, Form, Shape, Variant, merge};
use super::samples::VariantName;
use reader::Reader;

mod reader;

const PASSES_MAX: usize = 2000;
const STEPS_MAX: usize = 20_000;
const DEPTH_MAX: usize = 64;

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

/// The state kept from pass to pass, and the notes of one pass.
#[derive(Default)]
struct State {
    human_readable: bool,
    /// True when all options, sequences and maps are left empty.
    is_empty: bool,
    /// True when a type that takes any value was seen.
    saw_any: bool,
    types: BTreeMap<String, Container>,
    /// Variants that were read, with their least depth.
    done: BTreeMap<(String, u32), usize>,
    /// Variants that cannot be read.
    failed: BTreeSet<(String, u32)>,
    /// Number of made-up values that were refused at a path.
    refused: BTreeMap<String, usize>,
    /// Options, sequences and maps that are left empty.
    skipped: BTreeSet<String>,
    /// Types that are being read, outermost first.
    open: Vec<String>,
    /// Variants that are being read, outermost first.
    variants: Vec<(String, u32)>,
    /// Options, sequences and maps that are being read.
    optionals: Vec<String>,
    depth: usize,
    deepest: usize,
    steps: usize,
    root_variant: Option<u32>,
    /// Variants that this value is made up of.
    made_of: BTreeSet<(String, u32)>,
    /// Variants of the whole type that a value was made up of.
    sampled: BTreeSet<u32>,
    path: String,
    /// The place at which the last value was made up: a failure is attributed to it.
    last: Option<Place>,
}

#[derive(Clone)]
struct Place {
    path: String,
    variants: Vec<(String, u32)>,
    optionals: Vec<String>,
    /// Number of values that can be made up there.
    choices: usize,
}

/// The parts of a made-up value.
pub(super) struct MadeOf {
    /// The index of the variant when the whole type is an enum.
    pub(super) variant: Option<u32>,
    /// All variants in it; `None` when a name is not certain.
    pub(super) names: Option<Vec<VariantName>>,
}

/// The shape of `T`; `sample` gets the values that were read. With `is_empty`, options, sequences
/// and maps are left empty.
pub(super) fn trace<T: DeserializeOwned>(
    human_readable: bool,
    is_empty: bool,
    sample: impl FnMut(T, MadeOf),
) -> Shape {
    let mut state = State { human_readable, is_empty, ..State::default() };
    let root = trace_in(&mut state, sample);
    Shape { root, types: state.types }
}

/// Made-up values of each variant: with options, sequences and maps filled, and with them empty.
/// Returns whether the type contains a type that takes any value.
pub(crate) fn samples<T: DeserializeOwned>(
    human_readable: bool,
    mut sample: impl FnMut(T),
) -> bool {
    let mut saw_any = false;
    for is_empty in [false, true] {
        let mut state = State { human_readable, is_empty, ..State::default() };
        trace_in(&mut state, |value, _| sample(value));
        saw_any |= state.saw_any;
    }
    saw_any
}

fn trace_in<T: DeserializeOwned>(state: &mut State, mut sample: impl FnMut(T, MadeOf)) -> Form {
    let mut root = Form::Unknown;
    for _ in 0..PASSES_MAX {
        state.begin();
        let mut form = Form::Unknown;
        let known = state.done.len();
        let subject = std::any::type_name::<T>();
        let read = guard::call("Deserialize of a made-up value", &subject, || {
            T::deserialize(Reader { state: &mut *state, form: &mut form })
        });
        merge(&mut root, form);
        match read {
            Ok(Ok(value)) => {
                sample(value, state.made_of());
                let is_new = state.root_variant.is_some_and(|index| state.sampled.insert(index));
                if state.done.len() == known && !is_new {
                    // all variants were seen, or the others cannot be reached
                    break;
                }
            }
            Ok(Err(_)) => {
                if !state.blame() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    root
}

impl State {
    fn begin(&mut self) {
        self.made_of.clear();
        self.open.clear();
        self.variants.clear();
        self.optionals.clear();
        self.path.clear();
        (self.depth, self.deepest, self.steps) = (0, 0, 0);
        (self.last, self.root_variant) = (None, None);
    }

    fn made_of(&self) -> MadeOf {
        let name = |(key, index): &(String, u32)| {
            let Some(Container::Enum(variants)) = self.types.get(key) else { return None };
            let name = variants.get(index).map(|variant| variant.name.clone());
            name.filter(|name| !name.is_empty()).map(|name| (name_of(key).to_owned(), name))
        };
        MadeOf { variant: self.root_variant, names: self.made_of.iter().map(name).collect() }
    }

    /// Makes another choice at the place of the failure in the next pass; false when there is no
    /// other choice.
    fn blame(&mut self) -> bool {
        let Some(place) = self.last.take() else {
            let Some((key, index)) = self.variants.pop() else { return false };
            self.forget_names(&key, index);
            return self.failed.insert((key, index));
        };
        let refused = self.refused.entry(place.path).or_default();
        *refused += 1;
        if *refused < place.choices {
            return true;
        }
        // the innermost of both is left out; a path is longer the deeper it is
        if let Some(optional) = place.optionals.last()
            && self.skipped.insert(optional.clone())
        {
            return true;
        }
        let open = place.variants.into_iter().rev();
        open.into_iter().any(|variant| self.failed.insert(variant))
    }

    /// Forgets the variant names of an enum. They include aliases: an index that is no variant
    /// shows this, and the names are not certain any more.
    fn forget_names(&mut self, key: &str, index: u32) {
        if let Some(Container::Enum(variants)) = self.types.get_mut(key)
            && variants.get(&index).is_some_and(|variant| variant.content.is_none())
        {
            variants.remove(&index);
            variants.values_mut().for_each(|variant| variant.name.clear());
        }
    }

    /// Chooses the value to make up here, out of `choices`; returns its index.
    fn choose(&mut self, choices: usize) -> usize {
        self.last = Some(Place {
            path: self.path.clone(),
            variants: self.variants.clone(),
            optionals: self.optionals.clone(),
            choices,
        });
        let refused = self.refused.get(&self.path).copied().unwrap_or(0);
        refused.min(choices - 1)
    }

    /// Returns whether a type contains itself: options, sequences and maps are then left empty.
    fn is_recursing(&self) -> bool {
        let Some(last) = self.open.last() else { return false };
        self.depth > DEPTH_MAX / 2 || self.open.iter().filter(|key| *key == last).count() > 1
    }

    fn is_at_root(&self) -> bool {
        self.open.is_empty() && self.path.is_empty()
    }

    /// The variant to read next.
    fn next_variant(&self, key: &str) -> Option<u32> {
        let Some(Container::Enum(variants)) = self.types.get(key) else { return None };
        let entry = |index: &u32| (key.to_owned(), *index);
        let is_left =
            |index: &&u32| !self.sampled.contains(index) && !self.failed.contains(&entry(index));
        if self.is_at_root()
            && let Some(index) = variants.keys().find(is_left)
        {
            return Some(*index);
        }
        let is_open = |index: &&u32| {
            let entry = entry(index);
            !self.done.contains_key(&entry)
                && !self.failed.contains(&entry)
                && !self.variants.contains(&entry)
        };
        if let Some(index) = variants.keys().find(is_open) {
            return Some(*index);
        }
        let done = variants.keys().filter(|index| self.done.contains_key(&entry(index)));
        if !self.is_recursing() {
            let leads_on = |index: &&u32| {
                let content = variants[index].content.as_ref();
                content.is_some_and(|content| self.content_is_open(content, &mut BTreeSet::new()))
            };
            if let Some(index) = done.clone().find(leads_on) {
                return Some(*index);
            }
        }
        let shallow = done.min_by_key(|index| self.done[&entry(index)]);
        shallow
            .or_else(|| variants.keys().find(|index| !self.failed.contains(&entry(index))))
            .copied()
    }

    /// Returns whether the form contains variants that were not read.
    fn is_open_at(&self, form: &Form, seen: &mut BTreeSet<String>) -> bool {
        match form {
            Form::Unknown | Form::Any | Form::Scalar(_) => false,
            Form::Option(form) | Form::Sequence(form) => self.is_open_at(form, seen),
            Form::Map(key, value) => self.is_open_at(key, seen) || self.is_open_at(value, seen),
            Form::Tuple(forms) => forms.iter().any(|form| self.is_open_at(form, seen)),
            Form::Type(key) => {
                if !seen.insert(key.clone()) {
                    return false;
                }
                match self.types.get(key) {
                    None => false,
                    Some(Container::Struct(fields)) => {
                        fields.iter().any(|field| self.is_open_at(&field.form, seen))
                    }
                    Some(Container::Enum(variants)) => variants
                        .iter()
                        .any(|(index, variant)| self.variant_is_open(key, *index, variant, seen)),
                }
            }
        }
    }

    fn variant_is_open(
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
        variant.content.as_ref().is_some_and(|content| self.content_is_open(content, seen))
    }

    fn content_is_open(&self, content: &Content, seen: &mut BTreeSet<String>) -> bool {
        match content {
            Content::Unit => false,
            Content::Newtype(form) => self.is_open_at(form, seen),
            Content::Tuple(forms) => forms.iter().any(|form| self.is_open_at(form, seen)),
            Content::Struct(fields) => {
                fields.iter().any(|field| self.is_open_at(&field.form, seen))
            }
        }
    }
}
