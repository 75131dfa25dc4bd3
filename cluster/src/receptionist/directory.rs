//! Decides which actors are found under a key.
//!
//! `pg` tells that a group has changed, and not in the order of the changes. So the input is the
//! whole group as it is now, and a change is the difference from the group as it was: a change that
//! is told twice is one change, and none is lost.
//!
//! An actor of a member that is dead is not found any more, whatever `pg` says: its session may end
//! later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_runtime::NodeId;

use super::key::{Group, Service};

/// An actor under a key. `actor` is opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<A> {
    /// The node on which the actor runs.
    pub(crate) node: NodeId,
    /// The number of the actor on its node.
    pub(crate) pid: u64,
    /// The rank of its group.
    pub(crate) rank: u64,
    pub(crate) actor: A,
}

/// A fact for the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input<A> {
    /// The actors of a group, by number, as they are now.
    Group(Group, BTreeMap<u64, A>),
    /// An actor has joined a group; a short form of [`Input::Group`] for one actor more.
    Joined(Group, u64, A),
    /// The members that are dead.
    Dead(BTreeSet<NodeId>),
}

/// A request of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect<A> {
    /// The actors under this key are these now, sorted by node and number.
    Changed(Service, Arc<[Found<A>]>),
    /// That many actors of other nodes are left out because of this setting.
    LeftOut(&'static str, usize),
    /// There is room again, after actors were left out: read all groups again.
    Room,
}

/// The actors of one key, by group.
type Groups<A> = BTreeMap<(NodeId, u64), BTreeMap<u64, A>>;

/// The actors that this node knows, by key.
#[derive(Debug)]
pub(crate) struct Directory<A> {
    keys_max: usize,
    actors_max: usize,
    services: BTreeMap<Service, Groups<A>>,
    dead: BTreeSet<NodeId>,
    /// True after actors were left out, until there is room again.
    has_left_out: bool,
}

impl<A: Clone + PartialEq> Directory<A> {
    pub(crate) fn new(keys_max: usize, actors_max: usize) -> Self {
        Self {
            keys_max,
            actors_max,
            services: BTreeMap::new(),
            dead: BTreeSet::new(),
            has_left_out: false,
        }
    }

    /// Returns whether the actor with this number is found in the group.
    pub(crate) fn has(&self, group: &Group, pid: u64) -> bool {
        let groups = self.services.get(&group.service);
        let actors = groups.and_then(|groups| groups.get(&(group.node.clone(), group.rank)));
        actors.is_some_and(|actors| actors.contains_key(&pid))
    }

    /// Number of keys with actors.
    pub(crate) fn keys(&self) -> usize {
        self.services.len()
    }

    /// The message type of the actors under the key, if there are some of another type than this.
    pub(crate) fn other_type(&self, service: &Service) -> Option<Arc<str>> {
        let first = Service { key: service.key.clone(), message: "".into() };
        let mut of_key = self.services.range(first..).map(|(other, _)| other);
        let found =
            of_key.find(|other| other.message != service.message || other.key != service.key);
        found.filter(|other| other.key == service.key).map(|other| other.message.clone())
    }

    /// The setting that leaves no room for one more actor, with its value.
    pub(crate) fn full(&self, service: &Service) -> Option<(&'static str, usize)> {
        match self.services.get(service) {
            None if self.services.len() >= self.keys_max => {
                Some(("receptionist_keys_max", self.keys_max))
            }
            Some(groups) if count(groups) >= self.actors_max => {
                Some(("receptionist_actors_max", self.actors_max))
            }
            Some(_) | None => None,
        }
    }

    /// Advances by one input; no rule here hangs on the time.
    pub(crate) fn step(&mut self, input: Input<A>) -> Vec<Effect<A>> {
        let mut effects = Vec::new();
        let has_shrunk = match input {
            Input::Group(group, actors) => self.group(group, actors, &mut effects),
            Input::Joined(group, pid, actor) => {
                self.joined(group, pid, actor, &mut effects);
                false
            }
            Input::Dead(dead) => self.dead(dead, &mut effects),
        };
        self.has_left_out |= effects.iter().any(|effect| matches!(effect, Effect::LeftOut(..)));
        if self.has_left_out && has_shrunk {
            self.has_left_out = false;
            effects.push(Effect::Room);
        }
        if cfg!(debug_assertions) {
            self.check();
        }
        effects
    }

    /// Asserts, in debug builds, the bounds, and that no actor of a dead member is found.
    fn check(&self) {
        debug_assert!(self.services.len() <= self.keys_max, "more keys than `keys_max`");
        for (service, groups) in &self.services {
            debug_assert!(!groups.is_empty(), "{service:?} has no group");
            debug_assert!(count(groups) <= self.actors_max, "{service:?} has too many actors");
            for ((node, _), actors) in groups {
                debug_assert!(!actors.is_empty(), "an empty group of {node} at {service:?}");
                debug_assert!(!self.dead.contains(node), "{node} is dead, and is found");
            }
        }
    }

    /// Takes the actors of a group. Returns whether there are fewer than before.
    fn group(
        &mut self,
        group: Group,
        mut actors: BTreeMap<u64, A>,
        effects: &mut Vec<Effect<A>>,
    ) -> bool {
        let Group { service, rank, node } = group;
        let slot = (node, rank);
        if self.dead.contains(&slot.0) {
            actors.clear();
        }
        let is_known = self.services.contains_key(&service);
        if !actors.is_empty() && !is_known && self.services.len() >= self.keys_max {
            effects.push(Effect::LeftOut("receptionist_keys_max", actors.len()));
            return false;
        }
        let groups = self.services.entry(service.clone()).or_default();
        let before = groups.remove(&slot).unwrap_or_default();
        let room = self.actors_max - count(groups);
        let surplus = actors.len().saturating_sub(room);
        if surplus > 0 {
            // those that were there stay: a newcomer takes the place of nobody
            let (mut kept, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
                actors.into_iter().partition(|(pid, _)| before.contains_key(pid));
            let free = room.saturating_sub(kept.len());
            kept.extend(new.into_iter().take(free));
            actors = kept;
            effects.push(Effect::LeftOut("receptionist_actors_max", surplus));
        }
        // a session that has begun anew gives the same numbers to other references
        let has_changed = before != actors;
        let has_shrunk = actors.len() < before.len();
        if !actors.is_empty() {
            groups.insert(slot, actors);
        }
        if has_changed {
            effects.push(Effect::Changed(service.clone(), listing(groups)));
        }
        if groups.is_empty() {
            self.services.remove(&service);
        }
        has_shrunk
    }

    fn joined(&mut self, group: Group, pid: u64, actor: A, effects: &mut Vec<Effect<A>>) {
        if self.dead.contains(&group.node) || self.has(&group, pid) {
            return;
        }
        let Group { service, rank, node } = group;
        if let Some((setting, _)) = self.full(&service) {
            effects.push(Effect::LeftOut(setting, 1));
            return;
        }
        let groups = self.services.entry(service.clone()).or_default();
        if groups.entry((node, rank)).or_default().insert(pid, actor).is_none() {
            effects.push(Effect::Changed(service, listing(groups)));
        }
    }

    /// Forgets the actors of dead members. Returns whether there were some.
    fn dead(&mut self, dead: BTreeSet<NodeId>, effects: &mut Vec<Effect<A>>) -> bool {
        let before = effects.len();
        let is_dead = |(node, _): &(NodeId, u64)| dead.contains(node);
        self.services.retain(|service, groups| {
            if groups.keys().any(is_dead) {
                groups.retain(|slot, _| !is_dead(slot));
                effects.push(Effect::Changed(service.clone(), listing(groups)));
            }
            !groups.is_empty()
        });
        self.dead = dead;
        effects.len() > before
    }
}

fn count<A>(groups: &Groups<A>) -> usize {
    groups.values().map(BTreeMap::len).sum()
}

fn listing<A: Clone>(groups: &Groups<A>) -> Arc<[Found<A>]> {
    let of_group = |((node, rank), actors): (&(NodeId, u64), &BTreeMap<u64, A>)| {
        let found = |(pid, actor): (&u64, &A)| Found {
            node: node.clone(),
            pid: *pid,
            rank: *rank,
            actor: actor.clone(),
        };
        actors.iter().map(found).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn service(key: &str, message: &str) -> Service {
        Service { key: key.into(), message: message.into() }
    }

    fn group(key: &str, on: &str, pids: &[u64]) -> Input<()> {
        let group = Group { service: service(key, "M"), rank: 0, node: node(on) };
        Input::Group(group, pids.iter().map(|pid| (*pid, ())).collect())
    }

    fn changed(key: &str, found: &[(&str, u64)]) -> Effect<()> {
        let found =
            found.iter().map(|(on, pid)| Found { node: node(on), pid: *pid, rank: 0, actor: () });
        Effect::Changed(service(key, "M"), found.collect())
    }

    #[test]
    fn a_change_is_told_once_however_often_the_group_is_read() {
        let mut directory = Directory::new(8, 8);
        let one = directory.step(group("k", "a", &[1]));
        assert_eq!(one, [changed("k", &[("a", 1)])]);
        assert_eq!(directory.step(group("k", "a", &[1])), []);
        let two = directory.step(group("k", "b", &[1, 5]));
        assert_eq!(two, [changed("k", &[("a", 1), ("b", 1), ("b", 5)])]);
        let fewer = directory.step(group("k", "b", &[5]));
        assert_eq!(fewer, [changed("k", &[("a", 1), ("b", 5)])]);
        assert_eq!(directory.step(group("k", "b", &[])), [changed("k", &[("a", 1)])]);
        assert_eq!(directory.step(group("k", "a", &[])), [changed("k", &[])]);
        assert_eq!(directory.step(group("k", "a", &[])), []);
        assert_eq!(directory.keys(), 0);
    }

    #[test]
    fn one_actor_more_is_as_the_group_with_it() {
        let mut directory = Directory::new(8, 2);
        let group_of = |on: &str| Group { service: service("k", "M"), rank: 0, node: node(on) };
        let one = directory.step(Input::Joined(group_of("a"), 1, ()));
        assert_eq!(one, [changed("k", &[("a", 1)])]);
        assert_eq!(directory.step(Input::Joined(group_of("a"), 1, ())), []);
        assert_eq!(directory.step(group("k", "a", &[1])), []);
        directory.step(Input::Joined(group_of("b"), 1, ()));
        let left_out = Effect::LeftOut("receptionist_actors_max", 1);
        assert_eq!(directory.step(Input::Joined(group_of("b"), 2, ())), [left_out]);
        directory.step(Input::Dead(BTreeSet::from([node("a")])));
        assert_eq!(directory.step(Input::Joined(group_of("a"), 3, ())), []);
    }

    #[test]
    fn actors_of_a_dead_member_are_gone_and_stay_gone() {
        let mut directory = Directory::new(8, 8);
        directory.step(group("k", "a", &[1]));
        directory.step(group("k", "b", &[2]));
        let dead = Input::Dead(BTreeSet::from([node("b")]));
        assert_eq!(directory.step(dead.clone()), [changed("k", &[("a", 1)])]);
        assert_eq!(directory.step(dead), []);
        assert_eq!(directory.step(group("k", "b", &[2, 3])), []);
    }

    #[test]
    fn more_keys_or_actors_than_the_limit_are_left_out_and_told() {
        let mut directory = Directory::new(1, 2);
        directory.step(group("k", "a", &[5]));
        let more = directory.step(group("k", "a", &[1, 2, 5]));
        let left_out = Effect::LeftOut("receptionist_actors_max", 1);
        assert_eq!(more, [left_out, changed("k", &[("a", 1), ("a", 5)])]);
        let full = directory.full(&service("k", "M"));
        assert_eq!(full, Some(("receptionist_actors_max", 2)));
        let other = directory.step(group("l", "a", &[1]));
        assert_eq!(other, [Effect::LeftOut("receptionist_keys_max", 1)]);
        assert_eq!(directory.full(&service("l", "M")), Some(("receptionist_keys_max", 1)));
    }

    #[test]
    fn room_again_after_actors_were_left_out_is_told_once() {
        let mut directory = Directory::new(8, 1);
        directory.step(group("k", "a", &[1]));
        let left_out = Effect::LeftOut("receptionist_actors_max", 1);
        assert_eq!(directory.step(group("k", "b", &[2])), [left_out]);
        assert_eq!(directory.step(group("k", "a", &[])), [changed("k", &[]), Effect::Room]);
        assert_eq!(directory.step(group("k", "b", &[2])), [changed("k", &[("b", 2)])]);
        assert_eq!(directory.step(group("k", "b", &[])), [changed("k", &[])]);
    }

    #[test]
    fn the_same_actor_under_another_reference_is_a_change() {
        let of = |reference: u32| {
            let group = Group { service: service("k", "M"), rank: 0, node: node("a") };
            Input::Group(group, BTreeMap::from([(1, reference)]))
        };
        let mut directory = Directory::new(8, 8);
        assert_eq!(directory.step(of(1)).len(), 1);
        assert_eq!(directory.step(of(1)), []);
        let found = Found { node: node("a"), pid: 1, rank: 0, actor: 2 };
        let anew = Effect::Changed(service("k", "M"), Arc::from([found]));
        assert_eq!(directory.step(of(2)), [anew]);
    }

    #[test]
    fn another_message_type_under_the_same_key_is_named() {
        let mut directory = Directory::new(8, 8);
        directory.step(group("k", "a", &[1]));
        directory.step(group("l", "a", &[1]));
        assert_eq!(directory.other_type(&service("k", "M")), None);
        assert_eq!(directory.other_type(&service("k", "A")).as_deref(), Some("M"));
        assert_eq!(directory.other_type(&service("k", "Z")).as_deref(), Some("M"));
        assert_eq!(directory.other_type(&service("j", "A")), None);
    }
}
