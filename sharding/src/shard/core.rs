//! Decides which entities of a shard run, and where each message goes. A pure core.
//!
//! ```text
//!            Deliver                     idle, over the limit, asked to
//!   absent ------------> Active -----------------------------------------> Stopping
//!      ^     Start        |  ^                                           (keeps commands)
//!      +---- Stopped -----+  +--------- Stopped, something kept: Start -------+
//!      |                  |  +---------------- Deliver, the wait is over ------- Failed
//!      |                  +---- Failed ---------------------------------------> (refuses)
//!      +------------------------------- Stopped, nothing kept ---------------+
//! ```
//!
//! An entity that fails is not started again before a wait that grows with each failure; messages
//! during the wait are refused with the reason. An entity that has not stopped within
//! `stop_timeout` is killed; a shard that drains waits for it no longer.
//!
//! Invariants: each message ends in exactly one `Forward` or refusal, in arrival order for each
//! entity; only an active entity receives messages; a draining shard starts nothing and has no
//! active entity.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use tokio::time::Instant;

use super::entities::{Entities, State};
use super::eviction::{self, Pressure};

/// Limits of a shard.
#[derive(Debug, Clone)]
pub struct LifecycleSettings {
    /// Most messages that wait for an entity that is stopping.
    pub entity_buffer_max: usize,
    /// Longest time that an entity may take to stop; then it is killed.
    pub stop_timeout: Duration,
    /// First wait before an entity that failed is started again; it doubles at each failure.
    pub restart_min: Duration,
    /// Longest such wait. The wait of an entity that worked for this time starts again from the
    /// first.
    pub restart_max: Duration,
    /// An entity without a command for this time is stopped; zero: never.
    pub passivate_after: Duration,
    /// Most active entities; zero: no limit.
    pub shard_entities_max: usize,
}

/// The origin of a message for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A command: it keeps the entity from being passivated.
    Command,
    /// Events or news of another replica: they start the entity, and do not keep it awake.
    Replication,
}

/// A fact for the shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<T> {
    /// A message for an entity.
    Deliver {
        /// The entity.
        entity: Arc<str>,
        /// The message.
        message: T,
        /// The origin of the message.
        by: Use,
    },
    /// An active entity had already stopped when this message was handed to it. The `Stopped` of
    /// the entity is still to come.
    Returned(Arc<str>, T),
    /// The entity asks to be stopped.
    Passivate(Arc<str>),
    /// The entity is gone.
    Stopped(Arc<str>),
    /// The entity is gone because it cannot go on, with the reason.
    Failed(Arc<str>, Arc<str>),
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
    /// Stop the entity at once: it has not stopped in time.
    Kill(Arc<str>),
    /// Refuse the message: it is not handled.
    Refuse(T),
    /// Refuse the message because the entity cannot go on, with the reason.
    RefuseFailed(T, Arc<str>),
    /// Refuse the message: the node has no room for another entity.
    RefuseFull(T),
    /// All entities have stopped.
    Drained,
}

/// The entities of one shard.
#[derive(Debug)]
pub struct Lifecycle<T> {
    settings: LifecycleSettings,
    entities: Entities<T>,
    pressure: Pressure,
    draining: bool,
}

impl<T> Lifecycle<T> {
    /// A shard without entities.
    pub fn new(settings: LifecycleSettings) -> Self {
        let pressure = Pressure::default();
        Self { settings, entities: Entities::default(), pressure, draining: false }
    }

    /// Number of entities that are active or stopping.
    pub fn entity_count(&self) -> usize {
        self.entities.at_work_count()
    }

    /// Takes out all messages that wait for a stopping entity, when the shard ends.
    pub fn take_kept(&mut self) -> Vec<T> {
        let mut all = Vec::new();
        for (_, state) in self.entities.states_mut() {
            if let State::Stopping { kept, .. } = state {
                all.extend(kept.drain(..));
            }
        }
        all
    }

    /// Sets the pressure for the inputs that follow.
    pub fn set_pressure(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// Time of the last use of an active entity.
    pub fn used_at(&self, entity: &str) -> Option<Instant> {
        match self.entities.get(entity)? {
            State::Active { used, .. } => Some(*used),
            State::Stopping { .. } | State::Failed { .. } => None,
        }
    }

    /// Returns whether a message for the entity goes to it at once, without waiting: it is active.
    /// Notes its use then. Most commands need no more than this, so it allocates nothing.
    pub fn forwards(&mut self, now: Instant, entity: &str, by: Use) -> bool {
        match self.entities.get_mut(entity) {
            Some(State::Active { used, .. }) => {
                if by == Use::Command {
                    // a time that was read before another sender's comes later now and then
                    *used = (*used).max(now);
                }
                true
            }
            Some(State::Stopping { .. } | State::Failed { .. }) | None => false,
        }
    }

    /// Advances the shard by one input.
    pub fn step(&mut self, now: Instant, input: Input<T>) -> Vec<Effect<T>> {
        let effects = match input {
            Input::Deliver { entity, message, by } => self.deliver(now, entity, message, by),
            Input::Returned(entity, message) => self.returned(now, entity, message),
            Input::Passivate(entity) => self.passivate(now, entity),
            Input::Stopped(entity) => self.stopped(now, &entity),
            Input::Failed(entity, why) => self.failed(now, &entity, &why),
            Input::Tick => {
                let mut effects = self.kill_late(now);
                effects.extend(self.tick(now));
                effects
            }
            Input::Drain => self.drain(now),
        };
        self.check();
        effects
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        self.entities.check();
        assert!(
            !self.draining || self.entities.active_count() == 0,
            "a shard that drains has an active entity"
        );
    }

    fn deliver(&mut self, now: Instant, entity: Arc<str>, message: T, by: Use) -> Vec<Effect<T>> {
        if self.forwards(now, &entity, by) {
            return vec![Effect::Forward(entity, message)];
        }
        let failures = match self.entities.get_mut(&entity) {
            Some(State::Active { .. }) => panic!("`{entity}` is active and gets no message"),
            Some(State::Stopping { kept, .. }) => {
                if kept.len() >= self.settings.entity_buffer_max {
                    return vec![Effect::Refuse(message)];
                }
                kept.push_back(message);
                return Vec::new();
            }
            Some(State::Failed { until, why, .. }) if now < *until => {
                return vec![Effect::RefuseFailed(message, why.clone())];
            }
            Some(State::Failed { failures, .. }) => *failures,
            None => 0,
        };
        if self.draining {
            return vec![Effect::Refuse(message)];
        }
        let mut effects = self.evict(now, self.pressure.surplus);
        if self.pressure.is_full {
            effects.push(Effect::RefuseFull(message));
            return effects;
        }
        self.entities.set(entity.clone(), State::Active { used: now, since: now, failures });
        effects.extend([Effect::Start(entity.clone()), Effect::Forward(entity, message)]);
        effects
    }

    fn returned(&mut self, now: Instant, entity: Arc<str>, message: T) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(State::Stopping { kept, .. }) => kept.push_front(message),
            Some(State::Active { .. }) => {
                let kept = VecDeque::from([message]);
                self.entities.set(entity, State::Stopping { kept, since: now, is_killed: false });
            }
            Some(State::Failed { .. }) | None => return vec![Effect::Refuse(message)],
        }
        Vec::new()
    }

    fn passivate(&mut self, now: Instant, entity: Arc<str>) -> Vec<Effect<T>> {
        match self.entities.get(&entity) {
            Some(State::Active { .. }) => {
                let kept = VecDeque::new();
                let stopping = State::Stopping { kept, since: now, is_killed: false };
                self.entities.set(entity.clone(), stopping);
                vec![Effect::Stop(entity)]
            }
            Some(State::Stopping { .. } | State::Failed { .. }) | None => Vec::new(),
        }
    }

    fn stopped(&mut self, now: Instant, entity: &Arc<str>) -> Vec<Effect<T>> {
        let kept = match self.entities.remove(entity) {
            Some(State::Stopping { kept, .. }) => kept,
            Some(State::Active { .. }) => VecDeque::new(),
            Some(State::Failed { .. }) => panic!("`{entity}` stopped after it had failed"),
            // the entity was killed, and the shard has not waited for it
            None => return Vec::new(),
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
        let active = State::Active { used: now, since: now, failures: 0 };
        self.entities.set(entity.clone(), active);
        let forwards = kept.into_iter().map(|message| Effect::Forward(entity.clone(), message));
        std::iter::once(Effect::Start(entity.clone())).chain(forwards).collect()
    }

    fn failed(&mut self, now: Instant, entity: &Arc<str>, why: &Arc<str>) -> Vec<Effect<T>> {
        if self.draining {
            return self.stopped(now, entity);
        }
        let (before, kept) = match self.entities.remove(entity) {
            Some(State::Active { since, failures, .. }) => {
                let has_worked = now.duration_since(since) >= self.settings.restart_max;
                (if has_worked { 0 } else { failures }, VecDeque::new())
            }
            Some(State::Stopping { kept, .. }) => (0, kept),
            Some(State::Failed { .. }) => panic!("`{entity}` failed after it had failed"),
            None => return Vec::new(),
        };
        let LifecycleSettings { restart_min, restart_max, .. } = self.settings;
        let failures = before.saturating_add(1);
        let wait = Backoff::new(restart_min, restart_max).delay(failures, Jitter::NONE);
        let state = State::Failed { until: now + wait, failures, why: why.clone() };
        self.entities.set(entity.clone(), state);
        kept.into_iter().map(|message| Effect::RefuseFailed(message, why.clone())).collect()
    }

    /// Kills the entities that have not stopped in time, and forgets old failures.
    fn kill_late(&mut self, now: Instant) -> Vec<Effect<T>> {
        let LifecycleSettings { stop_timeout, restart_max, .. } = self.settings;
        let mut effects = Vec::new();
        for (entity, state) in self.entities.states_mut() {
            if let State::Stopping { since, is_killed, .. } = state
                && !*is_killed
                && now.duration_since(*since) >= stop_timeout
            {
                *is_killed = true;
                effects.push(Effect::Kill(entity.clone()));
            }
        }
        self.entities.retain(|state| match state {
            State::Failed { until, .. } => now < *until + restart_max,
            State::Active { .. } | State::Stopping { .. } => true,
        });
        if !self.draining || self.entities.is_empty() {
            return effects;
        }
        // application code that does not end must not hold up the shard: its later effects are not
        // carried out; some of it may have been killed before the shard began to drain
        for (_, state) in self.entities.states_mut() {
            if let State::Stopping { kept, is_killed: true, .. } = state {
                effects.extend(kept.drain(..).map(Effect::Refuse));
            }
        }
        self.entities.retain(|state| !matches!(state, State::Stopping { is_killed: true, .. }));
        if self.entities.is_empty() {
            effects.push(Effect::Drained);
        }
        effects
    }

    fn evict(&mut self, now: Instant, count: usize) -> Vec<Effect<T>> {
        let chosen = eviction::least_recently_used(|| self.entities.active(), count);
        chosen.into_iter().flat_map(|entity| self.passivate(now, entity)).collect()
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect<T>> {
        let after = self.settings.passivate_after;
        let is_idle = |used: Instant| !after.is_zero() && now.duration_since(used) >= after;
        let idle: Vec<Arc<str>> = self
            .entities
            .active()
            .filter(|(used, _)| is_idle(*used))
            .map(|(_, entity)| entity.clone())
            .collect();
        let (active, limit) = (self.entities.active_count(), self.settings.shard_entities_max);
        let surplus = eviction::surplus(active, idle.len(), limit, self.pressure);
        let mut effects: Vec<_> =
            idle.into_iter().flat_map(|entity| self.passivate(now, entity)).collect();
        effects.extend(self.evict(now, surplus));
        effects
    }

    fn drain(&mut self, now: Instant) -> Vec<Effect<T>> {
        self.draining = true;
        self.entities.retain(|state| !matches!(state, State::Failed { .. }));
        if self.entities.is_empty() {
            return vec![Effect::Drained];
        }
        let entities: Vec<Arc<str>> = self.entities.ids().cloned().collect();
        entities.into_iter().flat_map(|entity| self.passivate(now, entity)).collect()
    }
}
