//! The notes of a tracer, and its choices: the value to make up at each place, and the variant to
//! read next.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::de::value::Error;

use super::open::Open;
use crate::shape::compare::name_of;
use crate::shape::form::Container;
use crate::shape::samples::VariantName;

/// Most steps of one pass.
const STEPS_MAX: usize = 20_000;

/// Deepest nesting of a made-up value.
const DEPTH_MAX: usize = 64;

/// The state kept from pass to pass, and the notes of one pass.
#[derive(Default)]
pub(super) struct State {
    pub(super) human_readable: bool,
    /// True when all options, sequences and maps are left empty.
    pub(super) is_empty: bool,
    /// True when a type that takes any value was seen.
    pub(super) saw_any: bool,
    pub(super) types: BTreeMap<String, Container>,
    /// Variants that were read, with their least depth.
    pub(super) done: BTreeMap<(String, u32), usize>,
    /// Variants that cannot be read.
    pub(super) failed: BTreeSet<(String, u32)>,
    /// Number of made-up values that were refused at a path.
    pub(super) refused: BTreeMap<String, usize>,
    /// Options, sequences and maps that are left empty.
    pub(super) skipped: BTreeSet<String>,
    /// Types that are being read, outermost first.
    pub(super) open: Vec<String>,
    /// Variants that are being read, outermost first.
    pub(super) variants: Vec<(String, u32)>,
    /// Options, sequences and maps that are being read.
    pub(super) optionals: Vec<String>,
    pub(super) depth: usize,
    pub(super) deepest: usize,
    pub(super) steps: usize,
    pub(super) root_variant: Option<u32>,
    /// Variants that this value is made up of.
    pub(super) made_of: BTreeSet<(String, u32)>,
    /// Variants of the whole type that a value was made up of.
    pub(super) sampled: BTreeSet<u32>,
    pub(super) path: String,
    /// The place at which the last value was made up: a failure is attributed to it.
    pub(super) last: Option<Place>,
}

#[derive(Clone)]
pub(super) struct Place {
    path: String,
    variants: Vec<(String, u32)>,
    optionals: Vec<String>,
    /// Number of values that can be made up there.
    choices: usize,
}

/// The parts of a made-up value.
pub(crate) struct MadeOf {
    /// The index of the variant when the whole type is an enum.
    pub(crate) variant: Option<u32>,
    /// All variants in it; `None` when a name is not certain.
    pub(crate) names: Option<Vec<VariantName>>,
}

impl State {
    pub(super) fn begin(&mut self) {
        self.made_of.clear();
        self.open.clear();
        self.variants.clear();
        self.optionals.clear();
        self.path.clear();
        (self.depth, self.deepest, self.steps) = (0, 0, 0);
        (self.last, self.root_variant) = (None, None);
    }

    pub(super) fn made_of(&self) -> MadeOf {
        let name = |(key, index): &(String, u32)| {
            let Some(Container::Enum(variants)) = self.types.get(key) else { return None };
            let name = variants.get(index).map(|variant| variant.name.clone());
            name.filter(|name| !name.is_empty()).map(|name| (name_of(key).to_owned(), name))
        };
        MadeOf { variant: self.root_variant, names: self.made_of.iter().map(name).collect() }
    }

    /// Makes another choice at the place of the failure in the next pass; false when there is no
    /// other choice.
    pub(super) fn blame(&mut self) -> bool {
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
    pub(super) fn forget_names(&mut self, key: &str, index: u32) {
        if let Some(Container::Enum(variants)) = self.types.get_mut(key)
            && variants.get(&index).is_some_and(|variant| variant.content.is_none())
        {
            variants.remove(&index);
            variants.values_mut().for_each(|variant| variant.name.clear());
        }
    }

    /// Chooses the value to make up here, out of `choices`; returns its index.
    pub(super) fn choose(&mut self, choices: usize) -> usize {
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
    pub(super) fn is_recursing(&self) -> bool {
        let Some(last) = self.open.last() else { return false };
        self.depth > DEPTH_MAX / 2 || self.open.iter().filter(|key| *key == last).count() > 1
    }

    pub(super) fn is_at_root(&self) -> bool {
        self.open.is_empty() && self.path.is_empty()
    }

    /// The variant to read next.
    pub(super) fn next_variant(&self, key: &str) -> Option<u32> {
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
            let open = Open { types: &self.types, done: &self.done, failed: &self.failed };
            let leads_on = |index: &&u32| {
                let content = variants[index].content.as_ref();
                content.is_some_and(|content| open.content(content, &mut BTreeSet::new()))
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

    pub(super) fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return Err(Error::custom("the type is too large to be traced"));
        }
        Ok(())
    }

    /// Reads a value below this path.
    pub(super) fn below<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.step()?;
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let value = read(self)?;
        self.depth -= 1;
        self.path.truncate(length);
        Ok(value)
    }
}
