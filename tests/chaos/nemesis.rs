//! The faults of a round, and their times. The faults follow from the seed; their consequences do
//! not.

use std::fmt;
use std::time::Duration;

use antiphon_runtime::transport::memory::SplitMix64;

use crate::nodes::{EACH, NODES, PLACES, place_of};
use crate::proxy::Way;

/// A step of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// SIGKILL; the node stays down until [`Self::LetGo`].
    Kill(usize),
    /// The node may start again.
    LetGo(usize),
    /// SIGTERM.
    Terminate(usize),
    /// SIGSTOP.
    Freeze(usize),
    /// SIGCONT.
    Wake(usize),
    /// The network cuts these ways; at the end their connections break or go on.
    Cut { ways: Vec<Way>, breaks: bool },
    /// The network delays everything on these ways.
    Delay { ways: Vec<Way>, delay: Duration },
    /// The network heals these ways.
    Heal(Vec<Way>),
    /// The database server gets this command.
    Server(&'static str),
    /// The disk of a place becomes full.
    Fill(usize),
    /// The disk has room again.
    Free(usize),
    /// The journal of a place is copied while its nodes stand still.
    Backup(usize),
    /// The nodes of a place are killed, and its journal replaced by the copy, or deleted.
    Rewind { place: usize, delete: bool },
}

/// A step and its time from the beginning of the round.
pub(crate) type Timed = (Duration, Step);

/// The kinds of faults that a round may have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Menu {
    /// True when places have disks that can be full.
    pub(crate) disks: bool,
    /// True when journals may go back.
    pub(crate) rewinds: bool,
    /// True when there is a database server that can be stopped.
    pub(crate) server: bool,
    /// Text that the names of all faults must contain; empty for all faults.
    pub(crate) only: &'static str,
}

/// The faults of a round, by name, and their steps in order.
pub(crate) struct Plan {
    pub(crate) names: Vec<String>,
    pub(crate) steps: Vec<Timed>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("; "))
    }
}

/// Draws numbers.
struct Dice<'a>(&'a mut SplitMix64);

impl Dice<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count.max(1) as u64).unwrap_or_default()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.0.next_u64() % 100 < percent
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.0.next_u64() % (to - from).max(1))
    }
}

/// Plans the faults of a round: one to three, which overlap.
pub(crate) fn plan(random: &mut SplitMix64, menu: Menu) -> Plan {
    let mut plan = Plan { names: Vec::new(), steps: Vec::new() };
    let mut dice = Dice(random);
    let count = 1 + dice.below(3);
    for _ in 0..count {
        for attempt in 0.. {
            assert!(attempt < 10_000, "ONLY: no fault has {:?} in its name", menu.only);
            let mut one = Plan { names: Vec::new(), steps: Vec::new() };
            let (at, short) = (dice.millis(100, 2500), dice.chance(50));
            let lasts = if short { dice.millis(200, 2200) } else { dice.millis(2200, 6500) };
            fault(&mut one, &mut dice, menu, at, lasts);
            if one.to_string().contains(menu.only) {
                plan.names.extend(one.names);
                plan.steps.extend(one.steps);
                break;
            }
        }
    }
    if menu.server && dice.chance(30) {
        let (at, lasts, kills) = (dice.millis(100, 2500), dice.millis(200, 6000), dice.chance(20));
        let (begin, end) = if kills { ("kill", "start") } else { ("pause", "resume") };
        plan.names.push(format!("{at:?} for {lasts:?}: the database: {begin}"));
        plan.steps.push((at, Step::Server(begin)));
        plan.steps.push((at + lasts, Step::Server(end)));
    }
    if menu.rewinds && dice.chance(30) {
        let (place, delete) = (dice.below(PLACES.len()), dice.chance(30));
        let at = dice.millis(1500, 4000);
        let what = if delete { "is deleted" } else { "goes back" };
        plan.names.push(format!("{at:?}: the journal of {} {what}", PLACES[place]));
        plan.steps.push((Duration::ZERO, Step::Backup(place)));
        plan.steps.push((at, Step::Rewind { place, delete }));
    }
    plan.steps.sort_by_key(|(at, _)| *at);
    plan
}

fn fault(plan: &mut Plan, dice: &mut Dice<'_>, menu: Menu, at: Duration, lasts: Duration) {
    let node = dice.below(NODES);
    let place = place_of(node);
    let of_place: Vec<usize> = (0..NODES).filter(|other| place_of(*other) == place).collect();
    let mut say = |what: String| plan.names.push(format!("{at:?} for {lasts:?}: {what}"));
    let until = at + lasts;
    match dice.below(if menu.disks { 13 } else { 12 }) {
        0 | 1 => {
            say(format!("node {node} is killed"));
            plan.steps.extend([(at, Step::Kill(node)), (until, Step::LetGo(node))]);
        }
        2 => {
            say(format!("all nodes of {} are killed", PLACES[place]));
            for node in of_place {
                plan.steps.extend([(at, Step::Kill(node)), (until, Step::LetGo(node))]);
            }
        }
        3 | 4 => {
            say(format!("node {node} is frozen"));
            plan.steps.extend([(at, Step::Freeze(node)), (until, Step::Wake(node))]);
        }
        5 => {
            say(format!("node {node} ends"));
            plan.steps.push((at, Step::Terminate(node)));
        }
        6 => {
            let millis = dice.millis(5, 120);
            say(format!("all that node {node} gets is {millis:?} late"));
            let ways: Vec<Way> = others(node).map(|other| (other, node)).collect();
            plan.steps.push((at, Step::Delay { ways: ways.clone(), delay: millis }));
            plan.steps.push((until, Step::Heal(ways)));
        }
        12 => {
            say(format!("the disk of {} is full", PLACES[place]));
            plan.steps.extend([(at, Step::Fill(place)), (until, Step::Free(place))]);
        }
        _ => {
            let (ways, what) = cut(dice, node);
            let breaks = dice.chance(50);
            say(format!("{what}, then connections {}", if breaks { "break" } else { "go on" }));
            plan.steps.push((at, Step::Cut { ways: ways.clone(), breaks }));
            plan.steps.push((until, Step::Heal(ways)));
        }
    }
}

fn others(node: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |other| *other != node)
}

fn cut(dice: &mut Dice<'_>, node: usize) -> (Vec<Way>, String) {
    let is_mutual = dice.chance(60);
    let (mut ways, what): (Vec<Way>, String) = match dice.below(4) {
        0 => {
            let neighbour = place_of(node) * EACH + (node + 1) % EACH;
            (vec![(node, neighbour)], format!("node {node} from {neighbour} of its own place"))
        }
        1 => {
            let other = (node + EACH) % NODES;
            (vec![(node, other)], format!("node {node} from {other} of the other place"))
        }
        2 => (others(node).map(|other| (node, other)).collect(), format!("node {node} from all")),
        _ => {
            let here = place_of(node);
            let nodes = (0..NODES).filter(|from| place_of(*from) == here);
            let ways = nodes.flat_map(|from| others(from).map(move |to| (from, to)));
            let ways = ways.filter(|(_, to)| place_of(*to) != here).collect();
            (ways, format!("place {} from the other", PLACES[here]))
        }
    };
    if is_mutual {
        let back: Vec<Way> = ways.iter().map(|(from, to)| (*to, *from)).collect();
        ways.extend(back);
    }
    let how = if is_mutual { "is cut off both ways" } else { "cannot be heard" };
    (ways, format!("{what}: {how}"))
}
