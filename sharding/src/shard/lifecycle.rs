//! Decides which entities of a shard run, and where each message goes.
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
//! entity; only an active entity receives messages; a draining shard starts nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Limits of a shard.
#[derive(Debug, Clone)]
pub struct LifecycleSettings {
    /// Most messages that wait for an entity that is stopping.
    pub buffer_max: usize,
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
    pub entities_max: usize,
}

/// The load of the node, as far as it concerns one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Number of entities of this shard that should be stopped.
    pub surplus: usize,
    /// True when no entity may be started.
    pub is_full: bool,
}

/// A fact for the shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<T> {
    /// A message for an entity; only commands count as use.
    Deliver {
        /// The entity.
        entity: Arc<str>,
        /// The message.
        message: T,
        /// True when the message keeps the entity from being passivated.
        is_use: bool,
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

#[derive(Debug)]
enum State<T> {
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

    /// Number of entities that are active or stopping.
    pub fn entity_count(&self) -> usize {
        self.entities.values().filter(|state| !matches!(state, State::Failed { .. })).count()
    }

    /// Takes out all messages that wait for a stopping entity, when the shard ends.
    pub fn take_kept(&mut self) -> Vec<T> {
        let mut all = Vec::new();
        for state in self.entities.values_mut() {
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

    fn active(&self) -> impl Iterator<Item = (Instant, &Arc<str>)> {
        self.entities.iter().filter_map(|(entity, state)| match state {
            State::Active { used, .. } => Some((*used, entity)),
            State::Stopping { .. } | State::Failed { .. } => None,
        })
    }

    /// Notes the use of an entity. Returns true when the entity is active: then a message may be
    /// handed to it at once, as `Deliver` would.
    pub fn touch(&mut self, now: Instant, entity: &str) -> bool {
        match self.entities.get_mut(entity) {
            Some(State::Active { used, .. }) => {
                *used = now;
                true
            }
            Some(State::Stopping { .. } | State::Failed { .. }) | None => false,
        }
    }

    /// Advances the shard by one input.
    pub fn step(&mut self, now: Instant, input: Input<T>) -> Vec<Effect<T>> {
        match input {
            Input::Deliver { entity, message, is_use } => {
                self.deliver(now, entity, message, is_use)
            }
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
            Some(State::Active { used, .. }) => {
                if is_use {
                    *used = now;
                }
                vec![Effect::Forward(entity, message)]
            }
            Some(State::Failed { until, why, .. }) if now < *until => {
                vec![Effect::RefuseFailed(message, why.clone())]
            }
            Some(State::Stopping { kept, .. }) if kept.len() < self.settings.buffer_max => {
                kept.push_back(message);
                Vec::new()
            }
            Some(State::Stopping { .. }) => vec![Effect::Refuse(message)],
            Some(State::Failed { .. }) | None if self.draining => vec![Effect::Refuse(message)],
            state @ (Some(State::Failed { .. }) | None) => {
                let failures = match state {
                    Some(State::Failed { failures, .. }) => *failures,
                    Some(State::Active { .. } | State::Stopping { .. }) | None => 0,
                };
                let mut effects = self.evict(now, self.pressure.surplus);
                if self.pressure.is_full {
                    effects.push(Effect::RefuseFull(message));
                    return effects;
                }
                let active = State::Active { used: now, since: now, failures };
                self.entities.insert(entity.clone(), active);
                effects.extend([Effect::Start(entity.clone()), Effect::Forward(entity, message)]);
                effects
            }
        }
    }

    fn returned(&mut self, now: Instant, entity: Arc<str>, message: T) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(State::Stopping { kept, .. }) => kept.push_front(message),
            Some(state @ State::Active { .. }) => {
                let kept = VecDeque::from([message]);
                *state = State::Stopping { kept, since: now, is_killed: false };
            }
            Some(State::Failed { .. }) | None => return vec![Effect::Refuse(message)],
        }
        Vec::new()
    }

    fn passivate(&mut self, now: Instant, entity: Arc<str>) -> Vec<Effect<T>> {
        match self.entities.get_mut(&entity) {
            Some(state @ State::Active { .. }) => {
                *state = State::Stopping { kept: VecDeque::new(), since: now, is_killed: false };
                vec![Effect::Stop(entity)]
            }
            Some(State::Stopping { .. } | State::Failed { .. }) | None => Vec::new(),
        }
    }

    fn stopped(&mut self, now: Instant, entity: &Arc<str>) -> Vec<Effect<T>> {
        let kept = match self.entities.remove(entity) {
            Some(State::Stopping { kept, .. }) => kept,
            Some(State::Active { .. } | State::Failed { .. }) => VecDeque::new(),
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
        self.entities.insert(entity.clone(), active);
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
            Some(State::Failed { failures, .. }) => (failures, VecDeque::new()),
            None => return Vec::new(),
        };
        let LifecycleSettings { restart_min, restart_max, .. } = self.settings;
        let wait = restart_min.saturating_mul(1 << before.min(16)).min(restart_max);
        let failures = before.saturating_add(1);
        let state = State::Failed { until: now + wait, failures, why: why.clone() };
        self.entities.insert(entity.clone(), state);
        kept.into_iter().map(|message| Effect::RefuseFailed(message, why.clone())).collect()
    }

    /// Kills the entities that have not stopped in time, and forgets old failures.
    fn kill_late(&mut self, now: Instant) -> Vec<Effect<T>> {
        let LifecycleSettings { stop_timeout, restart_max, .. } = self.settings;
        let mut effects = Vec::new();
        for (entity, state) in &mut self.entities {
            if let State::Stopping { since, is_killed, .. } = state
                && !*is_killed
                && now.duration_since(*since) >= stop_timeout
            {
                *is_killed = true;
                effects.push(Effect::Kill(entity.clone()));
            }
        }
        self.entities.retain(|_, state| match state {
            State::Failed { until, .. } => now < *until + restart_max,
            State::Active { .. } | State::Stopping { .. } => true,
        });
        if !self.draining || self.entities.is_empty() {
            return effects;
        }
        // application code that does not end must not hold up the shard: its later effects are not
        // carried out; some of it may have been killed before the shard began to drain
        for state in self.entities.values_mut() {
            if let State::Stopping { kept, is_killed: true, .. } = state {
                effects.extend(kept.drain(..).map(Effect::Refuse));
            }
        }
        self.entities.retain(|_, state| !matches!(state, State::Stopping { is_killed: true, .. }));
        if self.entities.is_empty() {
            effects.push(Effect::Drained);
        }
        effects
    }

    /// Stops the `count` entities that were used least recently, and at least a sixteenth of all,
    /// so that a full node does not search all entities at each start.
    fn evict(&mut self, now: Instant, count: usize) -> Vec<Effect<T>> {
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
        oldest.into_iter().flat_map(|(_, entity)| self.passivate(now, entity)).collect()
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
            idle.into_iter().flat_map(|entity| self.passivate(now, entity)).collect();
        effects.extend(self.evict(now, surplus));
        effects
    }

    fn drain(&mut self, now: Instant) -> Vec<Effect<T>> {
        self.draining = true;
        self.entities.retain(|_, state| !matches!(state, State::Failed { .. }));
        if self.entities.is_empty() {
            return vec![Effect::Drained];
        }
        let entities: Vec<Arc<str>> = self.entities.keys().cloned().collect();
        entities.into_iter().flat_map(|entity| self.passivate(now, entity)).collect()
    }
}
