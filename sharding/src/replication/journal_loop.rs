//! Follows the change feed of one peer replica for the entities of one shard.
//!
//! ```text
//!   Loading --offset--> Resting --time--> Reading --page, changes--> Waiting --all answered--> Reading or Resting
//!                          ^                 |                          |
//!                          +---- nothing ----+                          +-- not in time: told again
//! ```
//!
//! Direct replication's way to this shard may open after events were lost on it: then the next read is due now
//! (`WayOpened`), at most one each `wake_interval`.
//!
//! Invariants: the position moves only over changes that the entities have durably, or to the end of an empty page; at most one
//! page of entities is under way.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Change, ChangesPage, Offset};
use tokio::time::Instant;

/// Limits of the loop.
#[derive(Debug, Clone)]
pub struct LoopSettings {
    /// Time between two reads.
    pub interval: Duration,
    /// Longest such time while nothing changes.
    pub interval_max: Duration,
    /// When an entity is told again.
    pub retell: Duration,
    /// Shortest time between the beginnings of two reads of which the second was asked for by `WayOpened`.
    pub wake_interval: Duration,
    /// How long the first read waits, so that the shards of a node do not all read at the same time.
    pub first_wait: Duration,
}

/// A fact for the loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Begin.
    Start,
    /// The stored position; `None` when it could not be read.
    Loaded(Option<Offset>),
    /// A page of the feed; `None` when it could not be read.
    Page(Option<ChangesPage>),
    /// The entity has all that the peer had up to this number.
    CaughtUp(PersistenceId, SequenceNr),
    /// The peer may have events that direct replication lost: the next read is due now.
    WayOpened,
    /// Time has passed.
    Tick,
}

/// A request of the loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the stored position; answered by `Loaded`.
    Load,
    /// Read the feed after this position; answered by `Page`.
    Read(Offset),
    /// Tell the entity; answered, some time, by `CaughtUp`.
    Tell(Change),
    /// Store the position. If that fails, more is read again after a restart, which does no harm.
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
    },
}

/// The loop of one shard and one peer.
#[derive(Debug)]
pub struct JournalLoop {
    settings: LoopSettings,
    position: Offset,
    wait: Duration,
    state: State,
    last_read: Option<Instant>,
    /// The feed was followed to its end by the last read.
    at_end: bool,
    read_began_at: Option<Instant>,
    /// The way opened while the loop could not read.
    is_woken: bool,
}

impl JournalLoop {
    /// A loop that has not begun.
    pub fn new(now: Instant, settings: LoopSettings) -> Self {
        let wait = settings.interval;
        Self {
            settings,
            position: Offset::start(),
            wait,
            state: State::Loading { asked_at: now },
            last_read: None,
            at_end: false,
            read_began_at: None,
            is_woken: false,
        }
    }

    /// How far the feed has been followed.
    pub fn position(&self) -> &Offset {
        &self.position
    }

    /// Entities that are behind, and since when.
    pub fn behind(&self) -> Option<(usize, Instant)> {
        if let State::Waiting { left, since, .. } = &self.state {
            Some((left.len(), *since))
        } else {
            None
        }
    }

    /// Whether the last read came to the end of the feed, and the entities have everything in it.
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// When the feed was read last.
    pub fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// When the next tick is needed.
    pub fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Loading { asked_at } => Some(*asked_at + self.settings.interval),
            State::Resting { until } => Some(*until),
            State::Reading => None,
            State::Waiting { told_at, .. } => Some(*told_at + self.settings.retell),
        }
    }

    /// Advances the loop by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        match input {
            Input::Start => {
                self.state = State::Loading { asked_at: now };
                vec![Effect::Load]
            }
            Input::Loaded(offset) => self.loaded(now, offset),
            Input::Page(page) => self.page(now, page),
            Input::CaughtUp(id, highest) => self.caught_up(now, &id, highest),
            Input::WayOpened => self.way_opened(now),
            Input::Tick => self.tick(now),
        }
    }

    fn loaded(&mut self, now: Instant, offset: Option<Offset>) -> Vec<Effect> {
        if let (State::Loading { .. }, Some(offset)) = (&self.state, offset) {
            self.position = offset;
            self.state = State::Resting { until: now + self.settings.first_wait };
            if self.is_woken {
                return self.way_opened(now);
            }
        }
        Vec::new()
    }

    fn way_opened(&mut self, now: Instant) -> Vec<Effect> {
        self.wait = self.settings.interval;
        let State::Resting { until } = &mut self.state else {
            // what is read now may have been asked for before the events were there
            self.is_woken = true;
            return Vec::new();
        };
        let earliest = self.read_began_at.map_or(now, |at| at + self.settings.wake_interval);
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
        if !matches!(self.state, State::Reading) {
            return Vec::new();
        }
        self.at_end = false;
        let Some(page) = page else {
            return self.rest(now, true);
        };
        self.last_read = Some(now);
        if page.changes.is_empty() {
            self.position = page.through.clone();
            self.at_end = !page.more;
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
        let effects = left.values().cloned().map(Effect::Tell).collect();
        self.state = State::Waiting { page, left, since: now, told_at: now };
        effects
    }

    fn caught_up(&mut self, now: Instant, id: &PersistenceId, highest: SequenceNr) -> Vec<Effect> {
        let State::Waiting { page, left, .. } = &mut self.state else { return Vec::new() };
        if left.get(id).is_some_and(|change| change.highest <= highest) {
            left.remove(id);
        }
        if !left.is_empty() {
            return Vec::new();
        }
        self.position = page.through.clone();
        let more = page.more;
        self.at_end = !more;
        let mut effects = vec![Effect::Save(self.position.clone())];
        if more {
            effects.push(self.read(now));
        } else {
            self.wait = self.settings.interval;
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
            self.wait = (self.wait * 2).min(self.settings.interval_max);
        }
        Vec::new()
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        match &mut self.state {
            State::Loading { asked_at } if now >= *asked_at + self.settings.interval => {
                *asked_at = now;
                vec![Effect::Load]
            }
            State::Resting { until } if now >= *until => vec![self.read(now)],
            State::Waiting { left, told_at, .. } if now >= *told_at + self.settings.retell => {
                *told_at = now;
                left.values().cloned().map(Effect::Tell).collect()
            }
            State::Loading { .. }
            | State::Resting { .. }
            | State::Reading
            | State::Waiting { .. } => Vec::new(),
        }
    }
}
