//! Settings of filters and renames.

use super::reader::{Reader, choice};

choice! {
    /// The part of an event that a rule looks at.
    Field {
        /// The name of the event's original stream.
        Stream = "stream",
        /// The event type.
        Type = "type",
    }
}

choice! {
    /// The comparison of a rule.
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
    /// The effect of a filter on the events that it matches.
    Action {
        /// Keeps the event. With such a filter, only events that match some `include` of the same
        /// field pass.
        Include = "include",
        /// Drops the event, even if other filters match it.
        Exclude = "exclude",
    }
}

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// The effect on matching events.
    pub action: Action,
    /// The part of the event that is compared.
    pub field: Field,
    /// The comparison.
    pub matching: Matching,
    /// The text to compare with.
    pub value: String,
}

/// A rename; the first rename that matches is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameRule {
    /// The part of the event that is renamed.
    pub field: Field,
    /// The comparison.
    pub matching: Matching,
    /// The text to find: the whole name, its prefix, or a regular expression.
    pub from: String,
    /// The text that replaces `from`; for `regex`, `$1` or `${name}` stand for its groups.
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

/// The problem of a pattern; `None` for a valid one.
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
