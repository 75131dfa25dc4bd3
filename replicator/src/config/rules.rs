//! Settings of filters and renames.

use super::choice::choice;
use super::kinds::{text, word};
use super::table::settings;

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

settings! {
    /// A filter.
    FilterRule {
        /// Effect on matching events. An `exclude` drops the event, even if other filters match it.
        /// With any `include` of a field, only events that match one of them pass.
        action: Action = Action::Exclude, "Action", word();
        /// The part of the event that is compared: its stream or its type.
        field: Field = Field::Stream, "Field", word();
        /// Comparison: the whole text, its beginning, or a regular expression.
        matching: Matching = Matching::Exact, "Match", word();
        /// The text to compare with. Required.
        value: String = String::new(), "Value", text("a text");
    }
}

settings! {
    /// A rename; the first rename that matches is applied.
    RenameRule {
        /// The part of the event that is renamed: its stream or its type. The first rule that
        /// matches is applied.
        field: Field = Field::Stream, "Field", word();
        /// Comparison: the whole text, its beginning, or a regular expression.
        matching: Matching = Matching::Exact, "Match", word();
        /// The text to find: the whole name, its prefix, or a regular expression. Required.
        from: String = String::new(), "From", text("a text");
        /// The text that replaces `From`; for `regex`, `$1` or `${name}` stand for its groups.
        /// Required.
        to: String = String::new(), "To", text("a text");
    }
}
