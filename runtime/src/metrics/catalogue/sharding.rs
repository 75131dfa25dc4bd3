//! The metrics of entities, shards and replication.

use super::entry::{Entry, Kind, counter, gauge};

/// The metrics of entities, shards and replication.
pub(super) const ENTRIES: &[Entry] = &[
    counter(
        "antiphon_direct_replication_total",
        "messages",
        &["type", "outcome"],
        [
            "Messages of direct replication: sent, taken, or dropped and why",
            "one for each entity type and outcome",
            "Drops delay events until the journal is read; they lose nothing. When they grow, look at the network between the places.",
        ],
    ),
    gauge(
        "antiphon_entities_held",
        "entities",
        &["type"],
        [
            "Entities of this node that hold back events of another replica, because one cannot be applied here",
            "one for each entity type",
            "Above 0, read `docs/user-code.md`: deploy code that applies the event, or skip it.",
        ],
    ),
    counter(
        "antiphon_entities_total",
        "occurrences",
        &["type", "what"],
        [
            "What entities have done",
            "one for each entity type and kind of occurrence",
            "`docs/user-code.md` and `docs/restore.md` name the kinds that need an operator.",
        ],
    ),
    counter(
        "antiphon_journal_loop_reads_total",
        "reads",
        &["type", "peer", "outcome"],
        [
            "Reads of other replicas' change feeds",
            "one for each entity type, other place and outcome",
            "When failed reads grow, look at the journal of that place.",
        ],
    ),
    counter(
        "antiphon_region_commands_total",
        "commands",
        &["type", "outcome"],
        [
            "Commands that a region passed on or refused",
            "one for each entity type and outcome",
            "When refusals grow, look at `antiphon_shards_homeless` and at the load of the nodes.",
        ],
    ),
    Entry {
        kind: Kind::Histogram,
        ..counter(
            "antiphon_reminder_late_seconds",
            "seconds",
            &["type"],
            [
                "From the time at which a reminder was due until it was handed to its entity first",
                "13 for each entity type: 10 buckets and three more",
                "After a place was down, its late reminders show here once. High values otherwise: look at `antiphon_reminders_in_flight`, and at the store.",
            ],
        )
    },
    gauge(
        "antiphon_reminders_in_flight",
        "reminders",
        &["type"],
        [
            "Reminders that were handed to their entities and have not fired yet, at the node that holds the lease",
            "one for each entity type",
            "At `reminders_in_flight_max` for long: more are due than fire. Look at the entities, and for handlers that fail (`reminders_failed`).",
        ],
    ),
    counter(
        "antiphon_reminders_total",
        "reminders",
        &["type", "outcome"],
        [
            "Reminders that were handed to their entities, once or again, or not, and reads of due reminders that failed",
            "9 for each entity type: one for each outcome",
            "When `again` grows, handlers fail or entities cannot start (`docs/user-code.md`). When `read_failed` grows, look at the store.",
        ],
    ),
    gauge(
        "antiphon_reminders_unowned",
        "reminders",
        &["type"],
        [
            "Reminders that are due and belong to a replica that the entity type does not have, at the node that holds the lease",
            "one for each entity type",
            "Above 0: a replica was taken away that still has reminders; the log names one. Add it again, or name it in `sharding.removed_replicas`: its due reminders are removed then.",
        ],
    ),
    Entry {
        kind: Kind::Histogram,
        ..counter(
            "antiphon_replication_seconds",
            "seconds",
            &["type"],
            [
                "From the time of an event at its origin until it is durable here",
                "27 for each entity type: 24 buckets and three more",
                "The clocks of both places count in. High values without a cut: look at the network, and at the time that the journals take to write.",
            ],
        )
    },
    gauge(
        "antiphon_shards_homeless",
        "shards",
        &["type"],
        [
            "Shards of the own place that no living member hosts, as this node knows",
            "one for each entity type",
            "Above 0 for longer than `sharding.homeless_grace`: start more nodes with the role of the type, or look at the coordination store.",
        ],
    ),
    gauge(
        "antiphon_shards_without_role",
        "shards",
        &["type", "replica"],
        [
            "Shards of the own place that no living member hosts because no member has the role of their replica",
            "one for each entity type and replica that needs a role",
            "Above 0: start a node of the place that has the role in `node.roles`.",
        ],
    ),
    counter(
        "antiphon_wire_refused_total",
        "messages",
        &["reason"],
        [
            "Messages of other nodes about sharding that were refused because of their sender or their content, by reason",
            "14: one for each reason",
            "`unknown_type`: a node of another version has an entity type that this one has not. `unknown_lease` and `earlier_lease` grow when the coordinator changes. `event_ahead`: compare the clocks of the nodes (`time_skew_max`). `other_place`: a node of another place sends commands to a type that takes none (`commands_from`). `no_member` and `newcomers_full`: this node cannot read a membership table, or strangers are connected. The others must stay 0: a node says what it may not say; the log names it.",
        ],
    ),
];
