//! The journal in `/cluster`, `/health/ready` and `/metrics`.

use std::time::Duration;

use crate::prelude::*;
use crate::runtime::admin::ClusterSection;
use crate::{OpenJournal, Peer};
use serde_json::{Value, json};

/// The part of `/cluster` about the journal of the place: its current problem, and its counts.
pub(crate) struct JournalSection {
    journal: OpenJournal,
    peers: Vec<Peer>,
}

impl JournalSection {
    /// The section of a place's journal, and of the journals of the other places.
    pub(crate) fn new(journal: OpenJournal, peers: Vec<Peer>) -> Self {
        Self { journal, peers }
    }
}

impl ClusterSection for JournalSection {
    fn name(&self) -> &str {
        "journal"
    }

    fn json(&self) -> Value {
        let counts = self.journal.counts();
        let counts: serde_json::Map<String, Value> =
            counts.into_iter().map(|(name, _, value)| (name.to_owned(), value.into())).collect();
        let waits = |peer: &Peer| Some((peer.place.clone(), peer.stores.reason()?.into()));
        let peers: serde_json::Map<String, Value> = self.peers.iter().filter_map(waits).collect();
        json!({ "trouble": self.journal.trouble(), "peers_out_of_reach": peers, "counts": counts })
    }

    fn ready(&self) -> std::result::Result<(), String> {
        self.journal.trouble().map_or(Ok(()), Err)
    }

    fn warnings(&self) -> Vec<String> {
        let out_of_reach = |peer: &Peer| {
            let (place, reason) = (&peer.place, peer.stores.reason()?);
            Some(format!("the journal of place {place:?} is out of reach: {reason}"))
        };
        let mut warnings = self.journal.warnings();
        warnings.extend(self.peers.iter().filter_map(out_of_reach));
        warnings
    }
}

/// Adds the counts of the journal to the node's metrics.
pub(crate) fn count(node: &Node, journal: &OpenJournal, peers: &[Peer]) {
    if journal.counts().is_empty() {
        return;
    }
    let gauges: Vec<_> = journal
        .counts()
        .into_iter()
        .map(|(name, help, _)| {
            let name = format!("antiphon_journal_{name}");
            node.metrics().gauges(&name, help, &[]).with_label_values::<&str>(&[])
        })
        .collect();
    let of_statements = |name: &str, help: &str| {
        let name = format!("antiphon_journal_statement_{name}");
        node.metrics().gauges(&name, help, &["statement", "place"])
    };
    let sent = of_statements("sent", "Statements that were sent to the database");
    let failed = of_statements("failed", "Statements that failed");
    let micros = of_statements("microseconds", "How long the statements took, all together");
    let (journal, peers) = (journal.clone(), peers.to_vec());
    let place = node.place().to_owned();
    node.spawn("journal counts", async move {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        loop {
            for (gauge, (_, _, value)) in gauges.iter().zip(journal.counts()) {
                gauge.set(number(value));
            }
            let of_peers = peers.iter().filter_map(|peer| Some((&peer.place, peer.journal()?)));
            for (place, journal) in of_peers.chain([(&place, &journal)]) {
                for of in journal.statements() {
                    let took = u64::try_from(of.took.as_micros()).unwrap_or(u64::MAX);
                    for (gauge, value) in [(&sent, of.sent), (&failed, of.failed), (&micros, took)]
                    {
                        gauge.with_label_values(&[of.name, place]).set(number(value));
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}
