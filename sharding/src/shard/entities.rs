//! The entities of a shard and their states, with the number of those at work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// The state of an entity that is not absent.
#[derive(Debug)]
pub(super) enum State<T> {
    Active {
        used: Instant,
        since: Instant,
        /// Number of failures in a row.
        failures: u32,
    },
    Stopping {
        kept: VecDeque<T>,
        since: Instant,
        is_killed: bool,
    },
    /// The entity is not there, and is not started before `until`.
    Failed {
        until: Instant,
        failures: u32,
        why: Arc<str>,
    },
}

/// The entities of a shard.
#[derive(Debug)]
pub(super) struct Entities<T> {
    all: BTreeMap<Arc<str>, State<T>>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    active: usize,
    stopping: usize,
}

impl Counts {
    fn of<T>(state: &State<T>) -> Self {
        match state {
            State::Active { .. } => Self { active: 1, stopping: 0 },
            State::Stopping { .. } => Self { active: 0, stopping: 1 },
            State::Failed { .. } => Self::default(),
        }
    }

    fn add<T>(&mut self, state: &State<T>) {
        let one = Self::of(state);
        self.active += one.active;
        self.stopping += one.stopping;
    }

    fn subtract<T>(&mut self, state: &State<T>) {
        let one = Self::of(state);
        self.active = self.active.checked_sub(one.active).expect("it was counted");
        self.stopping = self.stopping.checked_sub(one.stopping).expect("it was counted");
    }
}

impl<T> Default for Entities<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), counts: Counts::default() }
    }
}

impl<T> Entities<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Number of entities that are active.
    pub(super) fn active_count(&self) -> usize {
        self.counts.active
    }

    /// Number of entities that are active or stopping.
    pub(super) fn at_work_count(&self) -> usize {
        self.counts.active + self.counts.stopping
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.keys()
    }

    pub(super) fn states_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut State<T>)> {
        self.all.iter_mut()
    }

    /// The active entities with the time of their last use.
    pub(super) fn active(&self) -> impl Iterator<Item = (Instant, &Arc<str>)> {
        self.all.iter().filter_map(|(entity, state)| match state {
            State::Active { used, .. } => Some((*used, entity)),
            State::Stopping { .. } | State::Failed { .. } => None,
        })
    }

    pub(super) fn get(&self, entity: &str) -> Option<&State<T>> {
        self.all.get(entity)
    }

    /// The state of an entity, to change its content. Another state is [set](Self::set).
    pub(super) fn get_mut(&mut self, entity: &str) -> Option<&mut State<T>> {
        self.all.get_mut(entity)
    }

    pub(super) fn set(&mut self, entity: Arc<str>, state: State<T>) {
        self.counts.add(&state);
        if let Some(before) = self.all.insert(entity, state) {
            self.counts.subtract(&before);
        }
    }

    pub(super) fn remove(&mut self, entity: &str) -> Option<State<T>> {
        let state = self.all.remove(entity)?;
        self.counts.subtract(&state);
        Some(state)
    }

    /// Forgets the entities for which `stays` is false.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&State<T>) -> bool) {
        let counts = &mut self.counts;
        self.all.retain(|_, state| {
            let stays = stays(state);
            if !stays {
                counts.subtract(state);
            }
            stays
        });
    }

    /// Panics when an invariant is broken. Counts all entities in debug builds only, since a shard
    /// may have many.
    pub(super) fn check(&self) {
        assert!(self.at_work_count() <= self.all.len(), "more entities are at work than are there");
        if cfg!(debug_assertions) {
            let mut counted = Counts::default();
            self.all.values().for_each(|state| counted.add(state));
            assert_eq!(counted, self.counts, "the entities are counted wrongly");
        }
    }
}
