//! What goes wrong in a run, and when.

use std::time::Duration;

use antiphon_runtime::NodeId;
use antiphon_runtime::transport::memory::{Faults, SplitMix64};

use crate::cluster::Cluster;
use crate::run::Trace;
use crate::stores::StoreFaults;

fn pick(random: &mut SplitMix64, count: usize) -> usize {
    usize::try_from(random.next_u64() % count.max(1) as u64).unwrap_or(0)
}

fn ids(cluster: &Cluster) -> Vec<NodeId> {
    cluster.running().map(|(_, running)| running.node.id().clone()).collect()
}

/// Makes one fault, or takes some back.
pub(crate) fn strike(cluster: &mut Cluster, random: &mut SplitMix64, trace: &Trace) {
    let index = pick(random, cluster.members.len());
    let kind = random.next_u64() % 12;
    let amount = random.next_u64();
    trace.say(format!("fault {kind} at {}", cluster.members[index].name));
    match kind {
        0 | 1 => cluster.crash(index),
        2 | 3 => cluster.begin_start(index),
        4 => {
            let nodes = ids(cluster);
            if let Some(node) = nodes.get(amount as usize % nodes.len().max(1)) {
                cluster.network.isolate(node);
            }
        }
        5 => {
            let nodes = ids(cluster);
            let (a, b) = (pick(random, nodes.len()), pick(random, nodes.len()));
            if a != b {
                cluster.network.cut_both(&nodes[a], &nodes[b]);
            }
        }
        6 => cut_places(cluster, random),
        7 => cluster.network.heal_all(),
        8 => {
            let faults = StoreFaults {
                refuse_percent: amount % 40,
                lose_percent: amount / 64 % 20,
                delay_max_millis: amount / 4096 % 60,
            };
            set_stores(cluster, index, faults);
        }
        9 => set_stores(cluster, index, StoreFaults::default()),
        10 => cluster.network.set_faults(Faults {
            delay: Duration::from_micros(100)..=Duration::from_micros(100 + amount % 40_000),
            drop_per_million: u32::try_from(amount / 64 % 5_000).unwrap_or(0),
            duplicate_per_million: 20_000,
            reorder_per_million: 50_000,
        }),
        _ => {
            if let Some(running) = &cluster.members[index].running {
                let micros = i64::try_from(amount % 20_000_000).unwrap_or(0) - 10_000_000;
                running.clock.skew(micros);
            }
        }
    }
}

fn set_stores(cluster: &Cluster, index: usize, faults: StoreFaults) {
    if let Some(running) = &cluster.members[index].running {
        for stores in &running.stores {
            stores.set(faults);
        }
    }
}

/// Cuts all links between two places.
fn cut_places(cluster: &Cluster, random: &mut SplitMix64) {
    let (a, b) = (pick(random, cluster.places.len()), pick(random, cluster.places.len()));
    for (one, first) in cluster.running() {
        for (other, second) in cluster.running() {
            if one.place == a && other.place == b && a != b {
                cluster.network.cut_both(first.node.id(), second.node.id());
            }
        }
    }
}

/// Takes everything back and starts what is down.
pub(crate) fn calm(cluster: &mut Cluster) {
    cluster.network.heal_all();
    cluster.network.set_faults(Faults::default());
    for index in 0..cluster.members.len() {
        set_stores(cluster, index, StoreFaults::default());
        if let Some(running) = &cluster.members[index].running {
            running.clock.skew(0);
        }
        cluster.begin_start(index);
    }
}
