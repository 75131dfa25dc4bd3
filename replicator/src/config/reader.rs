//! Turns raw values into typed ones, and records every key that the program reads.
//!
//! The record is the list that `check-config` prints; a key outside the record is an unknown key.
//! All problems are collected, so that a person sees them at once and not one by one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::layers::Layers;
use super::{secret, timespan};

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

pub(super) struct Reader<'a> {
    layers: &'a Layers,
    asked: RefCell<BTreeMap<String, Effective>>,
    problems: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, asked: RefCell::default(), problems: RefCell::default() }
    }

    /// Returns the keys that were read, by lower-cased key, and the problems of their values.
    pub(super) fn finish(self) -> (BTreeMap<String, Effective>, Vec<String>) {
        (self.asked.into_inner(), self.problems.into_inner())
    }

    pub(super) fn children(&self, key: &str) -> Vec<String> {
        self.layers.children(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.layers.get(key).is_some()
    }

    /// A text; `None` when none was given.
    pub(super) fn optional(&self, key: &str) -> Option<String> {
        self.value(key, "", "a text", |text| Some(text.to_owned()))
    }

    pub(super) fn text(&self, key: &str, default: &str) -> String {
        let value = self.value(key, default, "a text", |text| Some(text.to_owned()));
        value.unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn secret(&self, key: &str) -> secret::Secret {
        secret::Secret::new(self.optional(key).unwrap_or_default())
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        let parse = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        self.value(key, &default.to_string(), "`true` or `false`", parse).unwrap_or(default)
    }

    pub(super) fn number<N>(&self, key: &str, default: N) -> N
    where
        N: std::str::FromStr + std::fmt::Display + Copy,
    {
        let expected = "a whole number, zero or more";
        self.value(key, &default.to_string(), expected, |text| text.trim().parse().ok())
            .unwrap_or(default)
    }

    pub(super) fn span(&self, key: &str, default: Duration) -> Duration {
        let shown = timespan::format(default);
        self.value(key, &shown, timespan::EXPECTED, timespan::parse).unwrap_or(default)
    }

    pub(super) fn optional_span(&self, key: &str) -> Option<Duration> {
        self.value(key, "", timespan::EXPECTED, timespan::parse)
    }

    /// A choice by its word, compared without case.
    pub(super) fn choice<T: Choice>(&self, key: &str, default: T) -> T {
        let shown = default.word();
        let parse = |text: &str| {
            let find = |choice: &&T| choice.word().eq_ignore_ascii_case(text.trim());
            T::ALL.iter().find(find).copied()
        };
        self.value(key, shown, &one_of::<T>(), parse).unwrap_or(default)
    }

    /// The texts of a list, in the order of its indexes.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.children(key);
        items.iter().filter_map(|index| self.optional(&format!("{key}:{index}"))).collect()
    }

    /// A value parsed by `parse`; `None` when none was given or `parse` refused it.
    pub(super) fn value<T>(
        &self,
        key: &str,
        default: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let raw = self.layers.get(key);
        let (shown, from) = raw.map_or((default, "default"), |raw| (&raw.text, &raw.from));
        let effective = Effective {
            key: key.to_owned(),
            value: secret::redact(key, shown),
            from: from.to_owned(),
        };
        let value = raw.and_then(|raw| {
            let value = parse(&raw.text);
            if value.is_none() {
                let shown = &effective.value;
                let problem = format!("`{key}`: expected {expected}, actual `{shown}` ({from})");
                self.problems.borrow_mut().push(problem);
            }
            value
        });
        self.asked.borrow_mut().insert(key.to_ascii_lowercase(), effective);
        value
    }
}

/// A setting whose values are a few words.
pub trait Choice: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The word in the configuration.
    fn word(self) -> &'static str;
}

/// The words of a choice, for messages.
pub(super) fn one_of<T: Choice>() -> String {
    let words: Vec<String> = T::ALL.iter().map(|choice| format!("`{}`", choice.word())).collect();
    format!("one of {}", words.join(", "))
}

/// Declares an enum whose values are words of the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $crate::config::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

pub(super) use choice;
