//! Settings of what is replicated and under which name: filters and renames.

use super::reader::{Reader, choice};

choice! {
    /// Which part of an event a rule looks at.
    Field {
        /// The name of its original stream.
        Stream = "stream",
        /// Its event type.
        Type = "type",
    }
}

choice! {
    /// How a rule compares.
    Matching {
        /// The whole text.
        Exact = "exact",
        /// The beginning of the text.
        Prefix = "prefix",
        /// A regular expression, found anywhere unless it is anchored by `^` and `$`.
        Regex = "regex",
    }
}

choice! {
    /// What a filter does with what it matches.
    Action {
        /// Keeps it, and with it only what some `include` of the same field matches.
        Include = "include",
        /// Drops it, whatever else matches.
        Exclude = "exclude",
    }
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// What happens to what matches.
    pub action: Action,
    /// What is looked at.
    pub field: Field,
    /// How it is compared.
    pub matching: Matching,
    /// With what it is compared.
    pub value: String,
}

/// One rename; the first that matches is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameRule {
    /// What is renamed.
    pub field: Field,
    /// How it is found.
    pub matching: Matching,
    /// What is found: the whole name, its prefix, or a regular expression.
    pub from: String,
    /// What stands there afterwards; for `regex` with `$1` or `${name}` for its groups.
    pub to: String,
}

pub(super) fn read_filters(reader: &Reader<'_>, key: &str) -> Vec<FilterRule> {
    let rule = |index: String| {
        let key = format!("{key}:{index}");
        FilterRule {
            action: reader.choice(&format!("{key}:Action"), Action::Exclude),
            field: reader.choice(&format!("{key}:Field"), Field::Stream),
            matching: reader.choice(&format!("{key}:Match"), Matching::Exact),
            value: reader.text(&format!("{key}:Value"), ""),
        }
    };
    reader.children(key).into_iter().map(rule).collect()
}

pub(super) fn read_renames(reader: &Reader<'_>, key: &str) -> Vec<RenameRule> {
    let rule = |index: String| {
        let key = format!("{key}:{index}");
        RenameRule {
            field: reader.choice(&format!("{key}:Field"), Field::Stream),
            matching: reader.choice(&format!("{key}:Match"), Matching::Exact),
            from: reader.text(&format!("{key}:From"), ""),
            to: reader.text(&format!("{key}:To"), ""),
        }
    };
    reader.children(key).into_iter().map(rule).collect()
}

/// What is wrong with one pattern, if anything is.
pub(super) fn pattern_problem(key: &str, matching: Matching, pattern: &str) -> Option<String> {
    if pattern.is_empty() {
        return Some(format!("`{key}`: expected a text to compare with, actual none"));
    }
    if matching != Matching::Regex {
        return None;
    }
    let error = regex::Regex::new(pattern).err()?;
    let error = error.to_string();
    let reason = error.lines().last().unwrap_or_default().trim();
    Some(format!("`{key}`: expected a regular expression, actual `{pattern}`: {reason}"))
}
