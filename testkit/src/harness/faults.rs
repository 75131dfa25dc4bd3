//! The faults of nodes, links, stores and clocks.

use std::time::Duration;

use antiphon_runtime::NodeId;
use antiphon_runtime::transport::memory::{Faults, SplitMix64};

use super::cluster::Cluster;
use super::stores::StoreFaults;
use super::user_code::UserCode;

/// A kind of fault, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A node crashes without any farewell.
    Crash,
    /// A node that is down starts.
    Start,
    /// A node is paused for a while.
    Pause,
    /// The stores of a node are slow, refuse calls, or do not report the outcome.
    Stores,
    /// The stores have no faults again.
    StoresWell,
    /// The time of day of a node is off by some seconds.
    Clock,
    /// The time of day of a node is off by up to a day.
    ClockOfAnotherDay,
    /// A fault between nodes.
    Network(NetworkFault),
}

/// A fault between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// A node is cut off from all others; its stores stay.
    Isolate,
    /// Two nodes are cut from each other.
    Cut,
    /// The frames of one node do not reach another node.
    CutOneWay,
    /// Two nodes of one place are cut from each other.
    CutNeighbours,
    /// Two places are cut from each other.
    CutPlaces,
    /// All links work again.
    Heal,
    /// Frames are late, lost, doubled, or in another order.
    Frames,
}

/// A number below `count`; zero when `count` is zero.
pub fn pick(random: &mut SplitMix64, count: usize) -> usize {
    usize::try_from(random.next_u64() % count.max(1) as u64).unwrap_or(0)
}

fn ids<U: UserCode>(cluster: &Cluster<U>) -> Vec<NodeId> {
    cluster.running().map(|(_, running)| running.node.id().clone()).collect()
}

/// Makes a fault at a node, or ends some; `amount` says how strong it is, and `random` which other
/// nodes it concerns.
pub fn strike<U: UserCode>(
    cluster: &mut Cluster<U>,
    fault: Fault,
    index: usize,
    amount: u64,
    random: &mut SplitMix64,
) {
    match fault {
        Fault::Crash => cluster.crash(index),
        Fault::Start => cluster.begin_start(index),
        Fault::Pause => {
            let lasts = Duration::from_millis(200 + amount % 4000);
            cluster.pause(index, lasts);
        }
        Fault::Network(fault) => of_network(cluster, random, fault, amount),
        Fault::Stores => {
            let faults = StoreFaults {
                refuse_percent: amount % 40,
                lose_percent: amount / 64 % 20,
                delay_max_millis: amount / 4096 % 60,
            };
            set_stores(cluster, index, faults);
        }
        Fault::StoresWell => set_stores(cluster, index, StoreFaults::default()),
        Fault::Clock => skew(cluster, index, amount, Duration::from_secs(10)),
        Fault::ClockOfAnotherDay => skew(cluster, index, amount, Duration::from_secs(86_400)),
    }
}

/// Sets a node's time of day wrong by at most `most`, in either direction.
fn skew<U: UserCode>(cluster: &Cluster<U>, index: usize, amount: u64, most: Duration) {
    if let Some(running) = &cluster.members[index].running {
        let most = i64::try_from(most.as_micros()).unwrap_or(i64::MAX);
        let micros = i64::try_from(amount % (2 * most.unsigned_abs())).unwrap_or(0) - most;
        running.clock.skew(micros);
    }
}

fn of_network<U: UserCode>(
    cluster: &Cluster<U>,
    random: &mut SplitMix64,
    fault: NetworkFault,
    amount: u64,
) {
    let nodes = ids(cluster);
    let mut two = |cut: &dyn Fn(&NodeId, &NodeId)| {
        let (a, b) = (pick(random, nodes.len()), pick(random, nodes.len()));
        if a != b {
            cut(&nodes[a], &nodes[b]);
        }
    };
    match fault {
        NetworkFault::Heal => cluster.network.heal_all(),
        NetworkFault::Cut => two(&|a, b| cluster.network.cut_both(a, b)),
        NetworkFault::CutOneWay => two(&|a, b| cluster.network.cut(a, b)),
        NetworkFault::CutPlaces => cut_places(cluster, random),
        NetworkFault::CutNeighbours => cut_neighbours(cluster, random),
        NetworkFault::Isolate => {
            if let Some(node) = nodes.get(pick(random, nodes.len())) {
                cluster.network.isolate(node);
            }
        }
        NetworkFault::Frames => cluster.network.set_faults(Faults {
            delay: Duration::from_micros(100)..=Duration::from_micros(100 + amount % 40_000),
            drop_per_million: u32::try_from(amount / 64 % 5_000).unwrap_or(0),
            duplicate_per_million: 20_000,
            reorder_per_million: 50_000,
        }),
    }
}

/// Sets the faults of all stores of a node.
pub fn set_stores<U: UserCode>(cluster: &Cluster<U>, index: usize, faults: StoreFaults) {
    if let Some(running) = &cluster.members[index].running {
        for stores in &running.stores {
            stores.set(faults);
        }
    }
}

/// Cuts all links between two places.
fn cut_places<U: UserCode>(cluster: &Cluster<U>, random: &mut SplitMix64) {
    let (a, b) = (pick(random, cluster.places.len()), pick(random, cluster.places.len()));
    for (one, first) in cluster.running() {
        for (other, second) in cluster.running() {
            if one.place == a && other.place == b && a != b {
                cluster.network.cut_both(first.node.id(), second.node.id());
            }
        }
    }
}

/// Cuts the link between two nodes of a place; both still reach the place's store.
fn cut_neighbours<U: UserCode>(cluster: &Cluster<U>, random: &mut SplitMix64) {
    let place = pick(random, cluster.places.len());
    let nodes: Vec<&NodeId> = cluster
        .running()
        .filter(|(member, _)| member.place == place)
        .map(|(_, running)| running.node.id())
        .collect();
    let first = pick(random, nodes.len());
    if nodes.len() > 1 {
        cluster.network.cut_both(nodes[first], nodes[(first + 1) % nodes.len()]);
    }
}

/// Ends every fault and starts the nodes that are down.
pub fn calm<U: UserCode>(cluster: &mut Cluster<U>) {
    cluster.network.heal_all();
    cluster.network.set_faults(Faults::default());
    cluster.end_all_pauses();
    for index in 0..cluster.members.len() {
        set_stores(cluster, index, StoreFaults::default());
        if let Some(running) = &cluster.members[index].running {
            running.clock.skew(0);
        }
        cluster.begin_start(index);
    }
}
