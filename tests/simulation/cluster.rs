//! The nodes of a run, with ledgers as their application.

use std::collections::BTreeSet;

use antiphon_sharding::{ReplicatedSharding, ShardId, ShardingSettings};
use antiphon_testkit::harness::cluster;
use antiphon_testkit::harness::user_code::{Starter, UserCode};
use tokio::time::Instant;

use crate::acts::Acts;
use crate::form::Form;
use crate::ledger::{self, Around, Ledger};
use crate::place::Model;
use crate::user::UserFaults;

/// All places of a run.
pub(crate) type Cluster = cluster::Cluster<Ledgers>;

/// A running node.
pub(crate) type Running = cluster::Running<Ledgers>;

/// A cluster of ledgers, with as many nodes in each place.
pub(crate) fn cluster(
    seed: u64,
    start: Instant,
    form: Form,
    nodes_per_place: usize,
    model: Model,
    settings: ShardingSettings,
) -> Cluster {
    let nodes = vec![nodes_per_place; form.places.len()];
    let ledgers = Ledgers { reacts: (seed / 2).is_multiple_of(2), ..Ledgers::default() };
    Cluster::new(seed, start, form, &nodes, model, settings, ledgers)
}

/// The application of a run: ledgers, with the faults of their code and what they have met.
#[derive(Debug, Default)]
pub(crate) struct Ledgers {
    /// The faults of the application's code.
    pub(crate) faults: UserFaults,
    /// The acts of ledgers that no command asks for.
    pub(crate) acts: Acts,
    /// True when ledgers react to the events of other replicas, from the next start on.
    pub(crate) reacts: bool,
    /// True after the time of day of a node was off by more than some seconds.
    pub(crate) had_another_day: bool,
    /// The places whose journal went back.
    pub(crate) went_back: BTreeSet<usize>,
}

impl UserCode for Ledgers {
    type Started = ReplicatedSharding<Ledger>;

    fn starter(
        &self,
        form: &Form,
        settings: &ShardingSettings,
        ignores_roles: bool,
    ) -> Starter<Self::Started> {
        let (form, settings) = (form.clone(), settings.clone());
        let (faults, acts, reacts) = (self.faults.clone(), self.acts.clone(), self.reacts);
        Box::new(move |node| {
            Box::pin(async move {
                let clock = node.clock().clone();
                let around = Around { faults, acts, clock, node: node.id().incarnation(), reacts };
                let provider = ledger::provider(form.replicas(), settings, around);
                ReplicatedSharding::init(&node, form.place(provider, ignores_roles)).await
            })
        })
    }

    fn hosted(started: &Self::Started) -> Vec<(&str, ShardId)> {
        started.hosted_shards().into_iter().map(|shard| (ledger::TYPE, shard)).collect()
    }
}
