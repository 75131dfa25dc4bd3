//! The faults of a run, and their times.

use std::sync::OnceLock;
use std::time::Duration;

use antiphon_runtime::NodeId;
use antiphon_runtime::transport::memory::{Faults, SplitMix64};

use crate::clients::ENTITIES;
use crate::cluster::Cluster;
use crate::ledger::Command;
use crate::stores::StoreFaults;
use crate::trace::Trace;
use crate::user::Where;

/// A kind of fault, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
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
    /// A fault in the application's code.
    User(UserFault),
}

/// A fault between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkFault {
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

/// A fault in the application's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserFault {
    /// At one place `on_event` panics for some events.
    EventPanics,
    /// At one place `on_command` panics for some commands.
    CommandPanics,
    /// At one place some events cannot be decoded.
    Unreadable,
    /// At one place snapshots have another version.
    OtherSnapshots,
    /// An entity begins an effect that never ends.
    Hang,
    /// The code has no faults again.
    Well,
}

/// The faults to draw from; some are more frequent than others.
const DRAWN: [Fault; 28] = [
    Fault::Crash,
    Fault::Crash,
    Fault::Crash,
    Fault::Start,
    Fault::Start,
    Fault::Start,
    Fault::Network(NetworkFault::Isolate),
    Fault::Network(NetworkFault::Cut),
    Fault::Network(NetworkFault::CutOneWay),
    Fault::Network(NetworkFault::CutNeighbours),
    Fault::Network(NetworkFault::CutNeighbours),
    Fault::Network(NetworkFault::CutPlaces),
    Fault::Network(NetworkFault::Heal),
    Fault::Network(NetworkFault::Heal),
    Fault::Stores,
    Fault::Stores,
    Fault::StoresWell,
    Fault::StoresWell,
    Fault::Network(NetworkFault::Frames),
    Fault::Clock,
    Fault::ClockOfAnotherDay,
    Fault::Pause,
    Fault::User(UserFault::EventPanics),
    Fault::User(UserFault::CommandPanics),
    Fault::User(UserFault::Unreadable),
    Fault::User(UserFault::OtherSnapshots),
    Fault::User(UserFault::Hang),
    Fault::User(UserFault::Well),
];

/// Faults that the code does not survive yet, and the reason. None of these is made.
const NOT_YET: &[(Fault, &str)] = &[];

/// Returns whether the variable `LEAVE_OUT` names the fault: `LEAVE_OUT=Pause,Hang` makes no such
/// faults, to find out which kind a seed needs.
fn is_left_out(fault: Fault) -> bool {
    static LEFT_OUT: OnceLock<Vec<String>> = OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| {
        let text = std::env::var("LEAVE_OUT").unwrap_or_default();
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    });
    let name = format!("{fault:?}");
    let inner = name.split('(').next_back().unwrap_or_default().trim_end_matches(')');
    left_out.iter().any(|left_out| left_out == inner)
}

fn pick(random: &mut SplitMix64, count: usize) -> usize {
    usize::try_from(random.next_u64() % count.max(1) as u64).unwrap_or(0)
}

fn ids(cluster: &Cluster) -> Vec<NodeId> {
    cluster.running().map(|(_, running)| running.node.id().clone()).collect()
}

/// Makes one fault, or ends some.
pub(crate) fn strike(cluster: &mut Cluster, random: &mut SplitMix64, trace: &Trace) {
    let index = pick(random, cluster.members.len());
    let fault = DRAWN[pick(random, DRAWN.len())];
    let amount = random.next_u64();
    if NOT_YET.iter().any(|(not_yet, _)| *not_yet == fault) || is_left_out(fault) {
        return;
    }
    trace.say(format!("fault {fault:?} at {}", cluster.members[index].name));
    match fault {
        Fault::Crash => cluster.crash(index),
        Fault::Start => cluster.begin_start(index),
        Fault::Pause => {
            let lasts = Duration::from_millis(200 + amount % 4000);
            cluster.pause(index, lasts);
        }
        Fault::Network(fault) => of_network(cluster, random, fault, amount),
        Fault::User(fault) => of_user(cluster, fault, amount),
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
fn skew(cluster: &Cluster, index: usize, amount: u64, most: Duration) {
    if let Some(running) = &cluster.members[index].running {
        let most = i64::try_from(most.as_micros()).unwrap_or(i64::MAX);
        let micros = i64::try_from(amount % (2 * most.unsigned_abs())).unwrap_or(0) - most;
        running.clock.skew(micros);
    }
}

fn of_network(cluster: &Cluster, random: &mut SplitMix64, fault: NetworkFault, amount: u64) {
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

fn of_user(cluster: &Cluster, fault: UserFault, amount: u64) {
    let replicas = cluster.replicas();
    let place = replicas[usize::try_from(amount % 16).unwrap_or(0) % replicas.len()].clone();
    let at = Where { place, lines: amount / 16 };
    match fault {
        UserFault::EventPanics => cluster.user.panic_on_event(at),
        UserFault::CommandPanics => cluster.user.panic_on_command(at),
        UserFault::Unreadable => cluster.user.do_not_understand(at),
        UserFault::OtherSnapshots => cluster.user.other_snapshots(at.place),
        UserFault::Hang => {
            let entity = format!("l-{}", amount / 16 % ENTITIES);
            if let Some((_, running)) = cluster.running().next()
                && let Ok(ledger) = running.sharding.entity_ref_for(&entity, &at.place)
            {
                ledger.tell(Command::Hang);
            }
        }
        UserFault::Well => cluster.user.end(),
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

/// Cuts the link between two nodes of a place; both still reach the place's store.
fn cut_neighbours(cluster: &Cluster, random: &mut SplitMix64) {
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
pub(crate) fn calm(cluster: &mut Cluster) {
    cluster.network.heal_all();
    cluster.network.set_faults(Faults::default());
    cluster.user.end();
    cluster.end_all_pauses();
    for index in 0..cluster.members.len() {
        set_stores(cluster, index, StoreFaults::default());
        if let Some(running) = &cluster.members[index].running {
            running.clock.skew(0);
        }
        cluster.begin_start(index);
    }
}
