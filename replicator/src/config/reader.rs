//! Looks up raw values, and records every key that the program reads.
//!
//! The record is the list that `check-config` prints; a key outside the record is an unknown key.
//! All problems are collected, so that a person sees them at once and not one by one.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::layers::Layers;
use super::secret;

/// A key, its value in effect, and the layer that gave the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key, with array indexes.
    pub key: String,
    /// The value without secrets; empty when there is none.
    pub value: String,
    /// The layer, or `default`.
    pub from: String,
}

/// The outcome of reading.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The keys that were read, by lower-cased key.
    pub(super) asked: BTreeMap<String, Effective>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    record: RefCell<Record>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, record: RefCell::default() }
    }

    pub(super) fn finish(self) -> Record {
        self.record.into_inner()
    }

    pub(crate) fn children(&self, key: &str) -> Vec<String> {
        self.layers.children(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.layers.get(key).is_some()
    }

    pub(crate) fn warn(&self, warning: String) {
        self.record.borrow_mut().warnings.push(warning);
    }

    /// A text of any content; `None` when none was given.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.value(key, "", "a text", |text| Some(text.to_owned()))
    }

    /// The texts of a list, in the order of its indexes.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.children(key);
        items.iter().filter_map(|index| self.text(&format!("{key}:{index}"))).collect()
    }

    /// A value parsed by `parse`; `None` when none was given or `parse` refused it.
    pub(crate) fn value<T>(
        &self,
        key: &str,
        default: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let raw = self.layers.get(key);
        let (shown, from) = raw.map_or((default, "default"), |raw| (&raw.text, &raw.from));
        let (value, from) = (secret::redact(key, shown), from.to_owned());
        let parsed = raw.and_then(|raw| parse(&raw.text));
        let mut record = self.record.borrow_mut();
        if raw.is_some() && parsed.is_none() {
            let problem = format!("`{key}`: expected {expected}, actual `{value}` ({from})");
            record.problems.push(problem);
        }
        let effective = Effective { key: key.to_owned(), value, from };
        record.asked.insert(key.to_ascii_lowercase(), effective);
        parsed
    }
}
