//! A comparison with a name.

use regex::Regex;

use crate::config::Matching;
use crate::{Error, Result};

/// A compiled comparison.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The whole name.
    Exact(String),
    /// The beginning of the name.
    Prefix(String),
    /// Anywhere in the name.
    Regex(Regex),
}

impl Pattern {
    /// Compiles a comparison; `key` names the setting in the error.
    ///
    /// # Errors
    /// `Rejected` when the regular expression is invalid.
    pub fn compile(key: &str, matching: Matching, text: &str) -> Result<Self> {
        Ok(match matching {
            Matching::Exact => Self::Exact(text.to_owned()),
            Matching::Prefix => Self::Prefix(text.to_owned()),
            Matching::Regex => Self::Regex(Regex::new(text).map_err(|error| {
                let message = format!("`{key}`: expected a regular expression, actual `{text}`");
                Error::rejected(message).with_source(error)
            })?),
        })
    }

    /// Returns whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => name == text,
            Self::Prefix(text) => name.starts_with(text.as_str()),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// The name with the matching part replaced by `to`; `None` when nothing matches.
    pub fn replace(&self, name: &str, to: &str) -> Option<String> {
        match self {
            Self::Exact(text) => (name == text).then(|| to.to_owned()),
            Self::Prefix(text) => {
                name.strip_prefix(text.as_str()).map(|rest| format!("{to}{rest}"))
            }
            Self::Regex(regex) => {
                regex.is_match(name).then(|| regex.replace(name, to).into_owned())
            }
        }
    }
}
