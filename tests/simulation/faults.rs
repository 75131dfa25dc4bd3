//! The faults of a run, and their times: those of the harness, and those of the application's code.

use std::sync::OnceLock;

use antiphon_runtime::transport::memory::SplitMix64;
use antiphon_testkit::harness::faults::{self, Fault, NetworkFault, pick};

use crate::clients::ENTITIES;
use crate::cluster::Cluster;
use crate::ledger::Command;
use crate::trace::Trace;
use crate::user::Where;

/// A fault to draw, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// A fault of nodes, links, stores or clocks.
    Of(Fault),
    /// A fault in the application's code.
    User(UserFault),
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
const DRAWN: [Drawn; 28] = [
    Drawn::Of(Fault::Crash),
    Drawn::Of(Fault::Crash),
    Drawn::Of(Fault::Crash),
    Drawn::Of(Fault::Start),
    Drawn::Of(Fault::Start),
    Drawn::Of(Fault::Start),
    Drawn::Of(Fault::Network(NetworkFault::Isolate)),
    Drawn::Of(Fault::Network(NetworkFault::Cut)),
    Drawn::Of(Fault::Network(NetworkFault::CutOneWay)),
    Drawn::Of(Fault::Network(NetworkFault::CutNeighbours)),
    Drawn::Of(Fault::Network(NetworkFault::CutNeighbours)),
    Drawn::Of(Fault::Network(NetworkFault::CutPlaces)),
    Drawn::Of(Fault::Network(NetworkFault::Heal)),
    Drawn::Of(Fault::Network(NetworkFault::Heal)),
    Drawn::Of(Fault::Stores),
    Drawn::Of(Fault::Stores),
    Drawn::Of(Fault::StoresWell),
    Drawn::Of(Fault::StoresWell),
    Drawn::Of(Fault::Network(NetworkFault::Frames)),
    Drawn::Of(Fault::Clock),
    Drawn::Of(Fault::ClockOfAnotherDay),
    Drawn::Of(Fault::Pause),
    Drawn::User(UserFault::EventPanics),
    Drawn::User(UserFault::CommandPanics),
    Drawn::User(UserFault::Unreadable),
    Drawn::User(UserFault::OtherSnapshots),
    Drawn::User(UserFault::Hang),
    Drawn::User(UserFault::Well),
];

/// Faults that the code does not survive yet, and the reason. None of these is made.
const NOT_YET: &[(Drawn, &str)] = &[];

/// Returns whether the variable `LEAVE_OUT` names the fault: `LEAVE_OUT=Pause,Hang` makes no such
/// faults, to find out which kind a seed needs.
fn is_left_out(fault: Drawn) -> bool {
    static LEFT_OUT: OnceLock<Vec<String>> = OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| {
        let text = std::env::var("LEAVE_OUT").unwrap_or_default();
        text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    });
    let name = format!("{fault:?}");
    let inner = name.split('(').next_back().unwrap_or_default().trim_end_matches(')');
    left_out.iter().any(|left_out| left_out == inner)
}

/// Makes one fault, or ends some.
pub(crate) fn strike(cluster: &mut Cluster, random: &mut SplitMix64, trace: &Trace) {
    let index = pick(random, cluster.members.len());
    let drawn = DRAWN[pick(random, DRAWN.len())];
    let amount = random.next_u64();
    if NOT_YET.iter().any(|(not_yet, _)| *not_yet == drawn) || is_left_out(drawn) {
        return;
    }
    let name = &cluster.members[index].name;
    match drawn {
        Drawn::Of(fault) => {
            trace.say(format!("fault {fault:?} at {name}"));
            cluster.user.had_another_day |= fault == Fault::ClockOfAnotherDay;
            faults::strike(cluster, fault, index, amount, random);
        }
        Drawn::User(fault) => {
            trace.say(format!("fault User({fault:?}) at {name}"));
            of_user(cluster, fault, amount);
        }
    }
}

fn of_user(cluster: &Cluster, fault: UserFault, amount: u64) {
    let replicas = cluster.replicas();
    let place = replicas[usize::try_from(amount % 16).unwrap_or(0) % replicas.len()].clone();
    let at = Where { place, lines: amount / 16 };
    match fault {
        UserFault::EventPanics => cluster.user.faults.panic_on_event(at),
        UserFault::CommandPanics => cluster.user.faults.panic_on_command(at),
        UserFault::Unreadable => cluster.user.faults.do_not_understand(at),
        UserFault::OtherSnapshots => cluster.user.faults.other_snapshots(at.place),
        UserFault::Hang => {
            let entity = format!("l-{}", amount / 16 % ENTITIES);
            if let Some((_, running)) = cluster.running().next()
                && let Ok(ledger) = running.sharding.entity_ref_for(&entity, &at.place)
            {
                ledger.tell(Command::Hang);
            }
        }
        UserFault::Well => cluster.user.faults.end(),
    }
}

/// Ends every fault and starts the nodes that are down.
pub(crate) fn calm(cluster: &mut Cluster) {
    cluster.user.faults.end();
    faults::calm(cluster);
}
