//! Decides which entities of a shard run, and where each message goes.
//!
//! ```text
//!            Deliver                     idle, over the limit, asked to
//!   absent ------------> Active -----------------------------------------> Stopping
//!      ^     Start        |  ^                                           (keeps commands)
//!      +---- Stopped -----+  +--------- Stopped, something kept: Start -------+
//!      +------------------------------- Stopped, nothing kept ---------------+
//! ```
//!
//! Invariants: each message ends in exactly one `Forward` or `Refuse`, in arrival order for each entity; only an active entity
//! receives messages; a draining shard starts nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Limits of a shard.
#[derive(Debug, Clone)]
pub struct LifecycleSettings {
    /// Most messages that wait for an entity that is stopping.
    pub buffer_max: usize,
    /// An entity without a command for so long is stopped; zero: never.
    pub passivate_after: Duration,
    /// Most active entities; zero: no limit.
    pub entities_max: usize,
}

/// How full the node is, of which the shard is a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// So many entities of this shard should go.
    pub surplus: usize,
    /// No entity may be started.
    pub is_full: bool,
}

/// A fact for the shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<T> {
    /// A message for an entity; only commands count as use.
    Deliver {
        /// Who.
        entity: Arc<str>,
        /// What.
        message: T,
        /// Whether it keeps the entity from being passivated.
        is_use: bool,
    },
    /// The entity was found gone while this message was handed to it; its `Stopped` is still to come.
    Returned(Arc<str>, T),
    /// The entity asks to be stopped.
    Passivate(Arc<str>),
    /// The entity is gone.
    Stopped(Arc<str>),
    /// Time has passed.
    Tick,
    /// Stop all entities, for good.
    Drain,
}

/// A request of the shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<T> {
    /// Start the entity.
    Start(Arc<str>),
    /// Hand the message to the entity.
    Forward(Arc<str>, T),
    /// Let the entity finish and stop; answered by `Stopped`.
    Stop(Arc<str>),
    /// Nobody will handle the message.
    Refuse(T),
    /// Nobody will handle the message: the node has no room for another entity.
    RefuseFull(T),
    /// All entities have stopped.
    Drained,
}

#[derive(Debug)]
enum State<T> {
    Active { used: Instant },
    Stopping { kept: VecDeque<T> },
}

/// The entities of one shard.
#[derive(Debug)]
pub struct Lifecycle<T> {
    settings: LifecycleSettings,
    entities: BTreeMap<Arc<str>, State<T>>,
    pressure: Pressure,
    draining: bool,
}

impl<T> Lifecycle<T> {
    /// A shard without entities.
    pub fn new(settings: LifecycleSettings) -> Self {
        let pressure = Pressure::default();
        Self { settings, entities: BTreeMap::new(), pressure, draining: false }
    }

    /// Entities that are there, stopping ones too.
    pub fn entity_count(&self) -> usize {
        self.entities.len()
    }

    /// How full the node is, for the inputs that follow.
    pub fn set_pressure(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// When an active entity was used last.
    pub fn used_at(&self, entity: &str) -> Option<Instant> {
        match self.entities.get(entity)? {
            State::Active { used } => Some(*used),
            State::Stopping { .. } => None,
        }
    }

    fn active(&self) -> impl Iterator<Item = (Instant, &Arc<str>)> {
        self.entities.iter().filter_map(|(entity, state)| match state {
            State::Active { used } => Some((*used, entity)),
            State::Stopping { .. } => None,
        })
    }

    /// Notes the use of an entity. Returns whether it is active: then a message may be handed to it at once, as `Deliver` would.
    pub fn touch(&mut self, now: Instant, entity: &str) -> bool {
        match self.entities.get_mut(entity) {
            Some(State::Active { used }) => {
                *used = now;
                true
            }
            Some(State::Stopping { .. }) | None => false,
        }
    }

    /// Advances the shard by one input.
    pub fn step(&mut self, now: Instant, input: Input<T>) -> Vec<Effect<T>> {
        match input {
            Input::Deliver { entity, message, is_use } => {
                self.deliver(now, entity, message, is_use)
            }
            Input::Returned(entity, message) => self.returned(entity, message),
            Input::Passivate(entity) => self.passivate(entity),
            Input::Stopped(entity) => self.stopped(now, &entity),
            Input::Tick => self.tick(now),
            Input::Drain => self.drain(),
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        entity: Arc<str>,
        message: T,
        is_use: bool,
    ) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(State::Active { used }) => {
                if is_use {
                    *used = now;
                }
                vec![Effect::Forward(entity, message)]
            }
            Some(State::Stopping { kept }) if kept.len() < self.settings.buffer_max => {
                kept.push_back(message);
                Vec::new()
            }
            Some(State::Stopping { .. }) => vec![Effect::Refuse(message)],
            None if self.draining => vec![Effect::Refuse(message)],
            None => {
                let mut effects = self.evict(self.pressure.surplus);
                if self.pressure.is_full {
                    effects.push(Effect::RefuseFull(message));
                    return effects;
                }
                self.entities.insert(entity.clone(), State::Active { used: now });
                effects.extend([Effect::Start(entity.clone()), Effect::Forward(entity, message)]);
                effects
            }
        }
    }

    fn returned(&mut self, entity: Arc<str>, message: T) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(State::Stopping { kept }) => kept.push_front(message),
            Some(state @ State::Active { .. }) => {
                *state = State::Stopping { kept: VecDeque::from([message]) };
            }
            None => return vec![Effect::Refuse(message)],
        }
        Vec::new()
    }

    fn passivate(&mut self, entity: Arc<str>) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(state @ State::Active { .. }) => {
                *state = State::Stopping { kept: VecDeque::new() };
                vec![Effect::Stop(entity)]
            }
            Some(State::Stopping { .. }) | None => Vec::new(),
        }
    }

    fn stopped(&mut self, now: Instant, entity: &Arc<str>) -> Vec<Effect<T>> {
        let kept = match self.entities.remove(entity) {
            Some(State::Stopping { kept }) => kept,
            Some(State::Active { .. }) | None => VecDeque::new(),
        };
        if self.draining {
            let mut effects: Vec<_> = kept.into_iter().map(Effect::Refuse).collect();
            if self.entities.is_empty() {
                effects.push(Effect::Drained);
            }
            return effects;
        }
        if kept.is_empty() {
            return Vec::new();
        }
        self.entities.insert(entity.clone(), State::Active { used: now });
        let forwards = kept.into_iter().map(|message| Effect::Forward(entity.clone(), message));
        std::iter::once(Effect::Start(entity.clone())).chain(forwards).collect()
    }

    /// Stops so many of those that were used least recently, and a sixteenth of all at least, so that a full node does not look
    /// for each start at each entity.
    fn evict(&mut self, count: usize) -> Vec<Effect<T>> {
        let mut used: Vec<Instant> = match count {
            0 => return Vec::new(),
            _ => self.active().map(|(used, _)| used).collect(),
        };
        let count = count.max(used.len() / 16).min(used.len());
        let Some(last) = count.checked_sub(1) else { return Vec::new() };
        let (_, newest, _) = used.select_nth_unstable(last);
        let newest = *newest;
        let mut oldest: Vec<(Instant, Arc<str>)> = self
            .active()
            .filter(|(used, _)| *used <= newest)
            .map(|(used, entity)| (used, entity.clone()))
            .collect();
        oldest.sort();
        oldest.truncate(count);
        oldest.into_iter().flat_map(|(_, entity)| self.passivate(entity)).collect()
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect<T>> {
        let (after, max) = (self.settings.passivate_after, self.settings.entities_max);
        let is_idle = |used: Instant| !after.is_zero() && now.duration_since(used) >= after;
        let active: Vec<(Instant, &Arc<str>)> = self.active().collect();
        let idle: Vec<Arc<str>> = active
            .iter()
            .filter(|(used, _)| is_idle(*used))
            .map(|(_, entity)| (*entity).clone())
            .collect();
        let of_shard = if max == 0 { 0 } else { active.len().saturating_sub(max) };
        let surplus = of_shard.max(self.pressure.surplus).saturating_sub(idle.len());
        let mut effects: Vec<_> =
            idle.into_iter().flat_map(|entity| self.passivate(entity)).collect();
        effects.extend(self.evict(surplus));
        effects
    }

    fn drain(&mut self) -> Vec<Effect<T>> {
        self.draining = true;
        if self.entities.is_empty() {
            return vec![Effect::Drained];
        }
        let entities: Vec<Arc<str>> = self.entities.keys().cloned().collect();
        entities.into_iter().flat_map(|entity| self.passivate(entity)).collect()
    }
}
