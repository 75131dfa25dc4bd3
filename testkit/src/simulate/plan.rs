//! The plan of a seed: its places and nodes, its commands and its faults. Everything is drawn
//! before the run, so that parts can be left out without a change of the others.

use std::fmt::Debug;
use std::time::Duration;

use antiphon_runtime::transport::memory::SplitMix64;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::faults::{Fault, NetworkFault};
use crate::repeat::Kept;

/// The duration of the trouble of a run.
pub(super) const TROUBLE: Duration = Duration::from_secs(3);

/// The faults to draw from; some are more frequent than others.
const DRAWN: [Fault; 16] = [
    Fault::Crash,
    Fault::Crash,
    Fault::Start,
    Fault::Start,
    Fault::Start,
    Fault::Network(NetworkFault::Isolate),
    Fault::Network(NetworkFault::Cut),
    Fault::Network(NetworkFault::CutOneWay),
    Fault::Network(NetworkFault::CutPlaces),
    Fault::Network(NetworkFault::Heal),
    Fault::Network(NetworkFault::Frames),
    Fault::Stores,
    Fault::Stores,
    Fault::StoresWell,
    Fault::Clock,
    Fault::Pause,
];

/// The sizes of the runs of a simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) entities: usize,
    pub(super) commands: usize,
    pub(super) faults_max: usize,
}

/// A command of a plan; the numbers choose a node, a replica and an entity.
#[derive(Debug, Clone)]
pub(super) struct PlannedCommand<V> {
    pub(super) number: usize,
    /// The time since the begin of the trouble. `None`: after its end, when the command must be
    /// answered.
    pub(super) at: Option<Duration>,
    pub(super) node: u64,
    pub(super) replica: usize,
    pub(super) entity: usize,
    pub(super) input: V,
}

/// A fault of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedFault {
    pub(super) number: usize,
    pub(super) at: Duration,
    pub(super) fault: Fault,
    pub(super) node: u64,
    pub(super) amount: u64,
}

/// The plan of a seed.
#[derive(Debug, Clone)]
pub(super) struct Plan<V> {
    pub(super) seed: u64,
    pub(super) places: Vec<String>,
    /// The names of the replicas of an entity.
    pub(super) replicas: Vec<String>,
    pub(super) nodes_per_place: usize,
    /// The longest time that a frame takes.
    pub(super) delay_max: Duration,
    /// By time; those for the end come last.
    pub(super) commands: Vec<PlannedCommand<V>>,
    /// By time.
    pub(super) faults: Vec<PlannedFault>,
}

impl<V: Clone + Debug> Plan<V> {
    /// Draws the plan of a seed. `places` are those that the provider needs; when there are none,
    /// the seed chooses two or three.
    pub(super) fn draw<S: Strategy<Value = V>>(
        seed: u64,
        places: &[String],
        replicas: &[String],
        strategy: &S,
        sizes: Sizes,
    ) -> Self {
        let mut random = SplitMix64::new(seed);
        let chosen: &[&str] = if random.below(4) == 0 { &["A", "B", "C"] } else { &["A", "B"] };
        let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
        let places = if places.is_empty() { chosen } else { places.to_vec() };
        let replicas = if replicas.is_empty() { places.clone() } else { replicas.to_vec() };
        let nodes_per_place = if places.len() == 2 { 1 + below(&mut random, 2) } else { 1 };
        // neighbours, regions, continents
        let delay_max = Duration::from_micros([500, 10_000, 80_000][below(&mut random, 3)]);
        let faults = faults(&mut random, sizes);
        let commands = commands(&mut random, replicas.len(), strategy, sizes);
        Self { seed, places, replicas, nodes_per_place, delay_max, commands, faults }
    }

    /// The parts of the plan that are kept.
    pub(super) fn keep(&self, kept: &Kept) -> Self {
        let mut plan = self.clone();
        if let Some(numbers) = &kept.commands {
            plan.commands.retain(|command| numbers.contains(&command.number));
        }
        if let Some(numbers) = &kept.faults {
            plan.faults.retain(|fault| numbers.contains(&fault.number));
        }
        plan
    }

    /// A line for each command and fault.
    pub(super) fn told(&self) -> Vec<String> {
        let commands = self.commands.iter().map(|command| {
            let at = command.at.map_or("at the end".to_owned(), |at| format!("after {at:?}"));
            let PlannedCommand { number, replica, entity, input, .. } = command;
            let replica = &self.replicas[*replica];
            format!("command {number} {at}: {input:?} to `e-{entity}` at `{replica}`")
        });
        let faults = self
            .faults
            .iter()
            .map(|fault| format!("fault {} after {:?}: {:?}", fault.number, fault.at, fault.fault));
        commands.chain(faults).collect()
    }
}

fn below(random: &mut SplitMix64, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("below a number of this type")
}

/// A time of the trouble.
fn time(random: &mut SplitMix64) -> Duration {
    random.duration(&(Duration::ZERO..=TROUBLE))
}

fn faults(random: &mut SplitMix64, sizes: Sizes) -> Vec<PlannedFault> {
    let count = below(random, sizes.faults_max + 1);
    let mut times: Vec<Duration> = (0..count).map(|_| time(random)).collect();
    times.sort_unstable();
    let fault = |(number, at)| PlannedFault {
        number,
        at,
        fault: DRAWN[below(random, DRAWN.len())],
        node: random.next_u64(),
        amount: random.next_u64(),
    };
    times.into_iter().enumerate().map(fault).collect()
}

fn commands<S: Strategy>(
    random: &mut SplitMix64,
    replicas: usize,
    strategy: &S,
    sizes: Sizes,
) -> Vec<PlannedCommand<S::Value>> {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next_u64().to_le_bytes()));
    let source = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), source);
    let mut input = || {
        let tree = strategy.new_tree(&mut runner);
        tree.unwrap_or_else(|reason| panic!("the strategy makes no value: {reason}")).current()
    };
    let mut times: Vec<Duration> = (0..sizes.commands).map(|_| time(random)).collect();
    times.sort_unstable();
    let mut commands: Vec<_> = times
        .into_iter()
        .enumerate()
        .map(|(number, at)| PlannedCommand {
            number,
            at: Some(at),
            node: random.next_u64(),
            replica: below(random, replicas),
            entity: below(random, sizes.entities),
            input: input(),
        })
        .collect();
    for entity in 0..sizes.entities {
        for replica in 0..replicas {
            let (number, node) = (commands.len(), random.next_u64());
            let input = input();
            commands.push(PlannedCommand { number, at: None, node, replica, entity, input });
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SIZES: Sizes = Sizes { entities: 2, commands: 20, faults_max: 6 };

    fn plan(seed: u64) -> Plan<i8> {
        Plan::draw(seed, &[], &[], &proptest::num::i8::ANY, SIZES)
    }

    #[test]
    fn a_plan_follows_from_its_seed() {
        assert_eq!(plan(3).told(), plan(3).told());
        assert_ne!(plan(3).told(), plan(4).told());
    }

    #[test]
    fn parts_that_are_kept_stay_as_they_were() {
        let whole = plan(5);
        let numbers = BTreeSet::from([2, 7]);
        let kept = Kept { commands: Some(numbers), faults: Some(BTreeSet::new()) };
        let kept = whole.keep(&kept);
        assert!(kept.faults.is_empty());
        assert_eq!(kept.told(), [whole.told()[2].clone(), whole.told()[7].clone()]);
    }

    #[test]
    fn each_replica_of_each_entity_gets_a_command_at_the_end() {
        let plan = plan(9);
        let last: BTreeSet<_> = plan
            .commands
            .iter()
            .filter(|command| command.at.is_none())
            .map(|command| (command.entity, command.replica))
            .collect();
        assert_eq!(last.len(), 2 * plan.places.len());
    }
}
