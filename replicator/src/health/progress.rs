//! Decides whether a subscription is ready: connected on both sides, and moving while there is something to do.
//!
//! ```text
//!   behind = events are held, or the source has newer ones (where that can be known)
//!   stalled = behind, and nothing got done for the stall time
//! ```
//!
//! A retry is no progress: an event that is tried for ever is what this is to find. An event that got done in any way is: written, there
//! already, passed over, or put aside.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::source::Position;

/// What a newest event at the source says about being behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: other consumers of the group may have taken the events between.
    HeldOnly,
    /// Every event up to the newest is delivered here: a stream, a category.
    Head,
    /// Until the subscription is live; then what the server's filter leaves out is not told at once.
    HeadUntilLive,
}

/// How far a subscription is, and whether it is well.
#[derive(Debug, Clone)]
pub struct Progress {
    watch: Watch,
    source: Result<(), String>,
    sink: Result<(), String>,
    ended: Option<String>,
    caught_up: bool,
    held: u64,
    done: Option<Position>,
    head: Option<Position>,
    moved_at: Instant,
    behind_since: Option<Instant>,
}

/// How a subscription is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Connected, and moving or done.
    Up,
    /// Not connected.
    Down,
    /// Connected, behind and not moving.
    Stalled,
    /// Ended.
    Ended,
}

impl Progress {
    /// A subscription that is not connected yet.
    pub fn new(watch: Watch, now: Instant) -> Self {
        Self {
            watch,
            source: Err("not connected yet".to_owned()),
            sink: Ok(()),
            ended: None,
            caught_up: false,
            held: 0,
            done: None,
            head: None,
            moved_at: now,
            behind_since: None,
        }
    }

    /// The source is there, or is not and why.
    pub fn source(&mut self, now: Instant, state: Result<(), String>) {
        self.source = state;
        self.update(now);
    }

    /// The sink is there, or is not and why.
    pub fn sink(&mut self, now: Instant, state: Result<(), String>) {
        self.sink = state;
        self.update(now);
    }

    /// An event arrived.
    pub fn arrived(&mut self, now: Instant) {
        self.held += 1;
        self.update(now);
    }

    /// So many events are no longer held.
    pub fn released(&mut self, now: Instant, count: u64) {
        self.held = self.held.saturating_sub(count);
        self.update(now);
    }

    /// An event got done, in whatever way.
    pub fn done(&mut self, now: Instant, position: Option<Position>) {
        self.moved_at = now;
        self.reached(now, position);
    }

    /// Everything up to here is done, without an event of it.
    pub fn reached(&mut self, now: Instant, position: Option<Position>) {
        if let Some(position) = position
            && !self.done.as_ref().is_some_and(|done| position.is_before(done))
        {
            self.done = Some(position);
        }
        self.update(now);
    }

    /// The newest event at the source.
    pub fn head(&mut self, now: Instant, position: Position) {
        self.head = Some(position);
        self.update(now);
    }

    /// Events are live, or are not any more.
    pub fn live(&mut self, now: Instant, caught_up: bool) {
        self.caught_up = caught_up;
        self.moved_at = now;
        self.update(now);
    }

    /// The subscription ended, and why.
    pub fn ended(&mut self, reason: String) {
        self.ended = Some(reason);
    }

    fn update(&mut self, now: Instant) {
        let behind = self.held > 0 || self.is_behind_head();
        self.behind_since = if behind { self.behind_since.or(Some(now)) } else { None };
    }

    fn is_behind_head(&self) -> bool {
        let counts = match self.watch {
            Watch::HeldOnly => false,
            Watch::Head => true,
            Watch::HeadUntilLive => !self.caught_up,
        };
        counts && self.gap().is_some_and(|gap| gap > 0)
    }

    /// What lies between what is done and the newest event: events, or bytes in `$all`; `None` when it is not known.
    pub fn gap(&self) -> Option<u64> {
        // what the server's filter leaves out at the end of `$all` is nothing that could be behind
        if self.watch == Watch::HeadUntilLive && self.caught_up && self.held == 0 {
            return self.head.as_ref().map(|_| 0);
        }
        match (self.head.as_ref()?, &self.done) {
            (Position::Stream(head), Some(Position::Stream(done))) => {
                Some(head.saturating_sub(*done))
            }
            (Position::Stream(head), None) if self.watch == Watch::Head => Some(head + 1),
            (Position::All { commit: head, .. }, Some(Position::All { commit: done, .. })) => {
                Some(head.saturating_sub(*done))
            }
            (Position::Stream(_) | Position::All { .. } | Position::Journal(_), _) => None,
        }
    }

    /// How it is, and why it is not well.
    pub fn status(&self, now: Instant, stall_time: Duration) -> (Status, Option<String>) {
        if let Some(reason) = &self.ended {
            return (Status::Ended, Some(reason.clone()));
        }
        for (side, state) in [("source", &self.source), ("destination", &self.sink)] {
            if let Err(reason) = state {
                return (Status::Down, Some(format!("{side} down: {reason}")));
            }
        }
        let still =
            now.saturating_duration_since(self.moved_at.max(self.behind_since.unwrap_or(now)));
        if self.behind_since.is_none() || still < stall_time {
            return (Status::Up, None);
        }
        let gap = self.gap().map_or_else(String::new, |gap| format!(", gap {gap}"));
        let reason = format!(
            "no progress for {} s (`Health:StallTime` is {} s) with {} events held{gap}",
            still.as_secs(),
            stall_time.as_secs(),
            self.held
        );
        (Status::Stalled, Some(reason))
    }

    /// Since when nothing got done.
    pub fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.moved_at)
    }

    /// Events that arrived and are not settled.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether events are live.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Up to where everything that was told is done, and the newest event at the source.
    pub fn positions(&self) -> (Option<&Position>, Option<&Position>) {
        (self.done.as_ref(), self.head.as_ref())
    }
}
