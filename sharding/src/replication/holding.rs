//! The entities of a journal loop that hold back: up to which number each should have events, which
//! of these numbers are recorded durably, and whose turn it is to be told again.
//!
//! Invariants: at most `held_entities_max` entities hold back, except entities that were recorded
//! under a higher limit; entities are told in turn, at most `loop_changes_max` at a time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use tokio::time::Instant;

/// The settings of the loop that concern entities which hold back.
#[derive(Debug, Clone)]
pub(super) struct HoldingSettings {
    pub(super) loop_interval: Duration,
    pub(super) held_retell: Duration,
    pub(super) held_entities_max: usize,
    pub(super) loop_changes_max: usize,
}

/// The numbers of an entity that holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    /// Number up to which the entity should have events.
    highest: SequenceNr,
    /// Number up to which that is recorded; zero: not recorded.
    recorded: SequenceNr,
}

/// The outcome of an entity's report that it holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Too many entities hold back.
    Full,
    /// The number that has to be recorded.
    Unrecorded(SequenceNr),
    /// The number is recorded already.
    Recorded,
}

/// The entities that hold back.
#[derive(Debug)]
pub(super) struct Holding {
    settings: HoldingSettings,
    held: BTreeMap<PersistenceId, Numbers>,
    /// Time at which the next entities are told, and the entity after which they come.
    due: Instant,
    told: Option<PersistenceId>,
}

impl Holding {
    /// Nothing holds back.
    pub(super) fn new(now: Instant, settings: HoldingSettings) -> Self {
        Self { settings, held: BTreeMap::new(), due: now, told: None }
    }

    /// Takes the recorded entities. They are told at once.
    pub(super) fn load(&mut self, now: Instant, recorded: BTreeMap<PersistenceId, SequenceNr>) {
        let numbers = |highest| Numbers { highest, recorded: highest };
        self.held = recorded.into_iter().map(|(id, highest)| (id, numbers(highest))).collect();
        self.due = now;
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &PersistenceId> {
        self.held.keys()
    }

    /// The number up to which an entity that holds back should have events; zero if it does not.
    pub(super) fn highest(&self, id: &PersistenceId) -> SequenceNr {
        self.held.get(id).map_or(SequenceNr::ZERO, |numbers| numbers.highest)
    }

    /// Time at which the next entities are told; `None` while none holds back.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.held.is_empty()).then_some(self.due)
    }

    /// The next entities to tell, with their numbers; none before they are due.
    pub(super) fn next(&mut self, now: Instant) -> Vec<(PersistenceId, SequenceNr)> {
        if self.held.is_empty() || now < self.due {
            return Vec::new();
        }
        let after = self.told.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut left = self.held.range((after, Bound::Unbounded));
        let told: Vec<(PersistenceId, SequenceNr)> = left
            .by_ref()
            .take(self.settings.loop_changes_max)
            .map(|(id, numbers)| (id.clone(), numbers.highest))
            .collect();
        let is_round_over = left.next().is_none();
        let last = told.last().map(|(id, _)| id.clone());
        self.told = if is_round_over { None } else { last };
        let wait =
            if is_round_over { self.settings.held_retell } else { self.settings.loop_interval };
        self.due = now + wait;
        told
    }

    /// Notes that an entity holds back, and should have the events up to `highest`.
    pub(super) fn hold(&mut self, now: Instant, id: &PersistenceId, highest: SequenceNr) -> Held {
        if !self.held.contains_key(id) && self.held.len() >= self.settings.held_entities_max {
            return Held::Full;
        }
        if self.held.is_empty() {
            self.due = now + self.settings.held_retell;
        }
        let new = Numbers { highest, recorded: SequenceNr::ZERO };
        let numbers = self.held.entry(id.clone()).or_insert(new);
        numbers.highest = numbers.highest.max(highest);
        if numbers.recorded < numbers.highest {
            Held::Unrecorded(numbers.highest)
        } else {
            Held::Recorded
        }
    }

    /// Notes that the number is recorded. Returns false when the entity holds back no more.
    pub(super) fn recorded(&mut self, id: &PersistenceId, highest: SequenceNr) -> bool {
        let Some(numbers) = self.held.get_mut(id) else { return false };
        numbers.recorded = numbers.recorded.max(highest);
        true
    }

    /// Notes that an entity has the events up to `highest`. Returns true when it held back and
    /// holds back no more.
    pub(super) fn free(&mut self, id: &PersistenceId, highest: SequenceNr) -> bool {
        let is_free = self.held.get(id).is_some_and(|numbers| numbers.highest <= highest);
        if is_free {
            self.held.remove(id);
        }
        is_free
    }
}
