//! Follows the change feed of one other replica for the entities of one shard.
//!
//! ```text
//!   Loading --offset--> Resting --time--> Reading --changes--> Waiting -- all answered --> Reading
//!                          ^                 |                    |                     or Resting
//!                          +---- nothing ----+                    +-- not in time: told again
//! ```
//!
//! An entity *holds back* when it cannot apply an event of the other replica, when it cannot start,
//! or when it was told `loop_tells_max` times and did not answer. A durable record says so, with
//! the number up to which the entity should have events. Then the position moves on without the
//! entity, so that the other entities do not wait. Entities that hold back are told again from time
//! to time, and all of them after a start, so that they start and try again. When such an entity
//! has caught up, its record is deleted.
//!
//! The way of direct replication to this shard may open after events were lost on it (`WayOpened`).
//! Then the next read is due now, at most once in each `loop_wake_interval`.
//!
//! Invariants: the position moves only over changes that the entities have durably or for which a
//! record of holding back is stored, or to the end of an empty page; at most one page of entities
//! is under way; an entity's record is deleted only when the entity has all events that it was told
//! of.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Change, ChangesPage, Offset};
use antiphon_persistence::version::VersionVector;
use tokio::time::Instant;

use super::holding::{Held, Holding, HoldingSettings};

/// Limits of the loop.
#[derive(Debug, Clone)]
pub struct LoopSettings {
    /// Time between two reads.
    pub loop_interval: Duration,
    /// Longest time between two reads while nothing changes.
    pub loop_interval_max: Duration,
    /// Time after which an entity that has not answered is told again.
    pub loop_retell: Duration,
    /// Number of times that an entity is told and awaited. Then the entity is told once more, and
    /// the loop goes on without it, as if it held back.
    pub loop_tells_max: usize,
    /// Time after which an entity that holds back is told again.
    pub held_retell: Duration,
    /// Most entities that hold back. At the limit, the position stands still until an entity has
    /// caught up.
    pub held_entities_max: usize,
    /// Most entities that hold back and are told at the same time; the next ones follow after
    /// `loop_interval`.
    pub loop_changes_max: usize,
    /// Shortest time between the beginnings of two reads when the second is due to `WayOpened`.
    pub loop_wake_interval: Duration,
    /// Wait before the first read, so that the shards of a node do not all read at the same time.
    pub first_wait: Duration,
}

/// A fact for the loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Begin.
    Start,
    /// The stored position, and the entities that hold back; `None` when they could not be read.
    Loaded(Option<(Offset, BTreeMap<PersistenceId, SequenceNr>)>),
    /// A page of the feed; `None` when it could not be read.
    Page(Option<ChangesPage>),
    /// The entity has all events of the other replica up to this number.
    CaughtUp(PersistenceId, SequenceNr),
    /// The entity cannot have the events of the other replica up to this number for now.
    Held(PersistenceId, SequenceNr),
    /// The entity cannot start, or cannot go on: the loop goes on without it, as if it held back.
    Cannot(PersistenceId),
    /// The record of an entity that holds back is stored.
    Recorded(PersistenceId, SequenceNr),
    /// The other replica may have events that direct replication lost: the next read is due now.
    WayOpened,
    /// Time has passed.
    Tick,
}

/// A request of the loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the stored position and records; answered by `Loaded`.
    Load,
    /// Read the feed after this position; answered by `Page`.
    Read(Offset),
    /// Tell the entity; answered later by `CaughtUp`, `Held` or `Cannot`, or not at all. An entity
    /// that holds back has to read the stream up to the number, since the versions of the change
    /// are those of its page alone. The number is zero for others: they have everything before the
    /// page.
    Tell(Change, SequenceNr),
    /// Record durably that the entity holds back, and the number up to which it should have events;
    /// answered by `Recorded` when that succeeds.
    Record(PersistenceId, SequenceNr),
    /// Delete the record, unless it names a higher number: the entity has caught up. If that fails,
    /// the entity is told once more after a restart.
    Forget(PersistenceId, SequenceNr),
    /// Store the position. If that fails, more changes are read again after a restart, which does
    /// no harm.
    Save(Offset),
}

#[derive(Debug)]
enum State {
    Loading {
        asked_at: Instant,
    },
    Resting {
        until: Instant,
    },
    Reading,
    Waiting {
        page: ChangesPage,
        left: BTreeMap<PersistenceId, Change>,
        since: Instant,
        told_at: Instant,
        tells: usize,
    },
}

fn holding(now: Instant, settings: &LoopSettings) -> Holding {
    Holding::new(
        now,
        HoldingSettings {
            loop_interval: settings.loop_interval,
            held_retell: settings.held_retell,
            held_entities_max: settings.held_entities_max,
            loop_changes_max: settings.loop_changes_max,
        },
    )
}

/// The loop of one shard and one other replica.
#[derive(Debug)]
pub struct JournalLoop {
    settings: LoopSettings,
    position: Offset,
    wait: Duration,
    state: State,
    last_read: Option<Instant>,
    /// True when the last read followed the feed to its end.
    at_end: bool,
    holding: Holding,
    read_began_at: Option<Instant>,
    /// True when the way opened while the loop could not read.
    is_woken: bool,
}

impl JournalLoop {
    /// A loop that has not begun.
    pub fn new(now: Instant, settings: LoopSettings) -> Self {
        let (wait, holding) = (settings.loop_interval, holding(now, &settings));
        Self {
            settings,
            position: Offset::start(),
            wait,
            state: State::Loading { asked_at: now },
            last_read: None,
            at_end: false,
            holding,
            read_began_at: None,
            is_woken: false,
        }
    }

    /// The entities that hold back.
    pub fn held(&self) -> impl Iterator<Item = &PersistenceId> {
        self.holding.ids()
    }

    /// The position up to which the feed has been followed.
    pub fn position(&self) -> &Offset {
        &self.position
    }

    /// Number of entities that are behind, and since when; `None` when no entity is behind.
    pub fn behind(&self) -> Option<(usize, Instant)> {
        if let State::Waiting { left, since, .. } = &self.state {
            Some((left.len(), *since))
        } else {
            None
        }
    }

    /// Returns whether the last read came to the end of the feed, and the entities have everything
    /// in it. Entities that hold back ([`JournalLoop::held`]) are excepted: own events may come
    /// after the events that they hold back.
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Time of the last successful read of the feed; `None` before it.
    pub fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// Time of the next tick that the loop needs; `None` while it waits for a page.
    pub fn due(&self) -> Option<Instant> {
        let due = match &self.state {
            State::Loading { asked_at } => return Some(*asked_at + self.settings.loop_interval),
            State::Resting { until } => Some(*until),
            State::Reading => None,
            State::Waiting { told_at, .. } => Some(*told_at + self.settings.loop_retell),
        };
        due.into_iter().chain(self.holding.due()).min()
    }

    /// Advances the loop by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let effects = match input {
            Input::Start => {
                self.state = State::Loading { asked_at: now };
                vec![Effect::Load]
            }
            Input::Loaded(loaded) => self.loaded(now, loaded),
            Input::Page(page) => self.page(now, page),
            Input::CaughtUp(id, highest) => {
                let mut effects = self.free(&id, highest);
                effects.extend(self.covered(now, &id, highest));
                effects
            }
            Input::Held(id, highest) => self.hold(now, id, highest),
            Input::Cannot(id) => match &self.state {
                State::Waiting { left, .. } => match left.get(&id).map(|change| change.highest) {
                    Some(highest) => self.hold(now, id, highest),
                    None => Vec::new(),
                },
                State::Loading { .. } | State::Resting { .. } | State::Reading => Vec::new(),
            },
            Input::Recorded(id, highest) => self.recorded(now, &id, highest),
            Input::WayOpened => self.way_opened(now),
            Input::Tick => {
                let mut effects = self.tick_held(now);
                effects.extend(self.tick(now));
                effects
            }
        };
        self.check();
        effects
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        match &self.state {
            State::Waiting { left, .. } => {
                assert!(!left.is_empty(), "the loop waits for no entity");
                assert!(!self.at_end, "the end of the feed is said while entities are behind");
            }
            State::Reading => assert!(self.read_began_at.is_some(), "a read has no beginning"),
            State::Loading { .. } | State::Resting { .. } => {}
        }
    }

    /// Moves the position to the end of a page, of whose entities `behind` are still awaited.
    fn advance(&mut self, through: Offset, more: bool, behind: usize) {
        assert_eq!(behind, 0, "the position would move over changes that entities lack");
        self.position = through;
        self.at_end = !more;
    }

    fn loaded(
        &mut self,
        now: Instant,
        loaded: Option<(Offset, BTreeMap<PersistenceId, SequenceNr>)>,
    ) -> Vec<Effect> {
        let (State::Loading { .. }, Some((offset, held))) = (&self.state, loaded) else {
            return Vec::new();
        };
        self.position = offset;
        self.state = State::Resting { until: now + self.settings.first_wait };
        self.holding.load(now, held);
        let mut effects = self.tick_held(now);
        if self.is_woken {
            effects.extend(self.way_opened(now));
        }
        effects
    }

    /// Tells the next entities that hold back.
    fn tick_held(&mut self, now: Instant) -> Vec<Effect> {
        let tell = |(persistence_id, highest)| {
            let seen = VersionVector::new();
            Effect::Tell(Change { persistence_id, highest, seen }, highest)
        };
        self.holding.next(now).into_iter().map(tell).collect()
    }

    fn tell(&self, change: &Change) -> Effect {
        Effect::Tell(change.clone(), self.holding.highest(&change.persistence_id))
    }

    /// Notes that an entity holds back. A number that is recorded already is not recorded again.
    fn hold(&mut self, now: Instant, id: PersistenceId, highest: SequenceNr) -> Vec<Effect> {
        match self.holding.hold(now, &id, highest) {
            Held::Full => Vec::new(),
            Held::Unrecorded(highest) => vec![Effect::Record(id, highest)],
            Held::Recorded => self.covered(now, &id, highest),
        }
    }

    fn recorded(&mut self, now: Instant, id: &PersistenceId, highest: SequenceNr) -> Vec<Effect> {
        if !self.holding.recorded(id, highest) {
            // the entity has caught up meanwhile, and its record was stored after the deletion
            return vec![Effect::Forget(id.clone(), highest)];
        }
        self.covered(now, id, highest)
    }

    fn free(&mut self, id: &PersistenceId, highest: SequenceNr) -> Vec<Effect> {
        let is_free = self.holding.free(id, highest);
        if is_free { vec![Effect::Forget(id.clone(), highest)] } else { Vec::new() }
    }

    fn way_opened(&mut self, now: Instant) -> Vec<Effect> {
        self.wait = self.settings.loop_interval;
        let State::Resting { until } = &mut self.state else {
            // the read under way may have begun before the events were there
            self.is_woken = true;
            return Vec::new();
        };
        let earliest = self.read_began_at.map_or(now, |at| at + self.settings.loop_wake_interval);
        *until = (*until).min(earliest.max(now));
        self.tick(now)
    }

    fn read(&mut self, now: Instant) -> Effect {
        self.is_woken = false;
        self.read_began_at = Some(now);
        self.state = State::Reading;
        Effect::Read(self.position.clone())
    }

    fn page(&mut self, now: Instant, page: Option<ChangesPage>) -> Vec<Effect> {
        assert!(matches!(self.state, State::Reading), "a page that was not read for: {page:?}");
        self.at_end = false;
        let Some(page) = page else {
            return self.rest(now, true);
        };
        self.last_read = Some(now);
        if page.changes.is_empty() {
            self.advance(page.through.clone(), page.more, page.changes.len());
            if page.more {
                return vec![self.read(now)];
            }
            return self.rest(now, true);
        }
        let left: BTreeMap<_, _> = page
            .changes
            .iter()
            .map(|change| (change.persistence_id.clone(), change.clone()))
            .collect();
        let effects = left.values().map(|change| self.tell(change)).collect();
        self.state = State::Waiting { page, left, since: now, told_at: now, tells: 1 };
        effects
    }

    /// Ends the wait for an entity, up to this number.
    fn covered(&mut self, now: Instant, id: &PersistenceId, highest: SequenceNr) -> Vec<Effect> {
        let State::Waiting { page, left, .. } = &mut self.state else { return Vec::new() };
        if left.get(id).is_some_and(|change| change.highest <= highest) {
            left.remove(id);
        }
        if !left.is_empty() {
            return Vec::new();
        }
        let (through, more, behind) = (page.through.clone(), page.more, left.len());
        self.advance(through, more, behind);
        let mut effects = vec![Effect::Save(self.position.clone())];
        if more {
            effects.push(self.read(now));
        } else {
            self.wait = self.settings.loop_interval;
            effects.extend(self.rest(now, false));
        }
        effects
    }

    fn rest(&mut self, now: Instant, slower: bool) -> Vec<Effect> {
        self.state = State::Resting { until: now + self.wait };
        if self.is_woken {
            return self.way_opened(now);
        }
        if slower {
            self.wait = (self.wait * 2).min(self.settings.loop_interval_max);
        }
        Vec::new()
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        match &mut self.state {
            State::Loading { asked_at } if now >= *asked_at + self.settings.loop_interval => {
                *asked_at = now;
                vec![Effect::Load]
            }
            State::Resting { until } if now >= *until => vec![self.read(now)],
            State::Waiting { left, told_at, tells, .. }
                if now >= *told_at + self.settings.loop_retell =>
            {
                *told_at = now;
                *tells = tells.saturating_add(1);
                let is_late = *tells > self.settings.loop_tells_max;
                let left: Vec<Change> = left.values().cloned().collect();
                let mut effects: Vec<_> = left.iter().map(|change| self.tell(change)).collect();
                for change in left.into_iter().filter(|_| is_late) {
                    effects.extend(self.hold(now, change.persistence_id, change.highest));
                }
                effects
            }
            State::Loading { .. }
            | State::Resting { .. }
            | State::Reading
            | State::Waiting { .. } => Vec::new(),
        }
    }
}
