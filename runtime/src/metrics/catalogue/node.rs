//! The metrics of members, leases and places.

use super::entry::{Entry, counter, gauge};

/// The metrics of members, leases and places.
pub(super) const ENTRIES: &[Entry] = &[
    gauge(
        "antiphon_journal_doubt",
        "0, 1 or 2",
        &["place"],
        [
            "Whether another place may have events that the journal of this one has lost: 0 no, 1 maybe, 2 yes",
            "one for each other place",
            "At 2, read `docs/restore.md`. At 1 for long, bring the other place back, or accept the loss.",
        ],
    ),
    gauge(
        "antiphon_lease_token",
        "fencing token",
        &[],
        [
            "Token of the lease, if held",
            "1",
            "Nothing while exactly one node of a place shows a number above 0. If no node does, look at the coordination store.",
        ],
    ),
    gauge(
        "antiphon_lease_types_lacking",
        "entity types",
        &[],
        [
            "Entity types that members of the place have and the holder of its coordinator lease has lacked for twice `renew_timeout`: nobody decides the homes of their shards",
            "1",
            "Must stay 0: the log and `/cluster` name the types. Give all nodes of the place the same entity types.",
        ],
    ),
    counter(
        "antiphon_member_changes_total",
        "changes",
        &["purpose", "outcome"],
        [
            "Changes of rows of the members table",
            "15: 5 purposes, 3 outcomes",
            "When `failed` grows, look at the coordination store. A `declare` names a node that others took for dead: read its log.",
        ],
    ),
    gauge(
        "antiphon_members",
        "members",
        &["state"],
        [
            "Members of all places",
            "4: one for each state",
            "Compare `up` with the number of nodes that should run.",
        ],
    ),
    gauge(
        "antiphon_members_unreachable",
        "pairs of members",
        &[],
        [
            "Pairs of members of the place of which the first cannot reach the second",
            "1",
            "Above 0 for longer than `cut_timeout`: look at the network between the nodes of the place; `/cluster` names the pairs.",
        ],
    ),
    gauge(
        "antiphon_node_live",
        "0 or 1",
        &[],
        [
            "Whether this node may answer",
            "1",
            "At 0, the node could not renew its row, or is out: look at the coordination store, and at the log of the node.",
        ],
    ),
    gauge(
        "antiphon_peer_journal_refused",
        "0 or 1",
        &["place"],
        [
            "Whether the journal of a peer belongs elsewhere, so that nothing is taken from it",
            "one for each other place",
            "At 1, correct the address of that place's journal in the configuration; `/health/ready` has the reason.",
        ],
    ),
    gauge(
        "antiphon_place_reached",
        "0 or 1",
        &["place"],
        [
            "Whether at least one node of another place is linked",
            "one for each other place",
            "At 0, look at the network to that place and at its nodes; `/health/ready` has the reason.",
        ],
    ),
    counter(
        "antiphon_probes_missed_total",
        "probes",
        &["node"],
        [
            "Probes that were not answered",
            "one for each name of a node of the place that was ever missed",
            "When it grows for one node, look at that node and at the network to it.",
        ],
    ),
];
