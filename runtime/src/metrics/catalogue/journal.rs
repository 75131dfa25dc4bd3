//! The metrics of the journal.

use super::entry::{Entry, NOTHING, gauge};

/// The metrics of the journal.
pub(super) const ENTRIES: &[Entry] = &[
    gauge(
        "antiphon_journal_statement_failed",
        "statements",
        &["statement", "place"],
        [
            "Statements that failed",
            "one for each statement of the store and place",
            "When it grows, look at the database of that place.",
        ],
    ),
    gauge(
        "antiphon_journal_statement_microseconds",
        "microseconds",
        &["statement", "place"],
        [
            "How long the statements took, all together",
            "one for each statement of the store and place",
            "Divide its growth by that of `antiphon_journal_statement_sent`: the mean time of a statement.",
        ],
    ),
    gauge(
        "antiphon_journal_statement_sent",
        "statements",
        &["statement", "place"],
        [
            "Statements that were sent to the database",
            "one for each statement of the store and place",
            NOTHING,
        ],
    ),
    gauge(
        "antiphon_journal_{count}",
        "as its text says",
        &[],
        [
            "A count of the store since it was opened; `# HELP` has its text",
            "one for each count of the store, at most 30",
            "Counts whose text says `Must be zero` must stay 0: read `docs/restore.md`.",
        ],
    ),
];
