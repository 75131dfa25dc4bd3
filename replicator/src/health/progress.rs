//! Decides whether a subscription is ready: connected on both sides, and making progress while
//! there is something to do.
//!
//! ```text
//!   behind = events are held, or the source has newer ones (where that can be known)
//!   stalled = behind, and nothing got done for the stall time
//! ```
//!
//! A retry is not progress, because the check must find an event that is retried for ever. Progress
//! is an event that is done: written, already at the destination, skipped, or parked.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::source::Position;

/// The use of the newest event at the source to decide whether a subscription is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Ignored: other consumers of a group may have taken the events between, and a journal's
    /// offsets have no distance.
    HeldOnly,
    /// Used: every event up to the newest is delivered here, as for a stream or a category.
    Head,
    /// Used until the subscription is live; after that the source does not report at once the
    /// events that the server's filter leaves out.
    HeadUntilLive,
}

/// The progress and the health of a subscription.
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

/// The status of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Connected, and making progress or done.
    Up,
    /// Not connected.
    Down,
    /// Connected, behind and without progress.
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

    /// The source is connected, or is not, with the reason.
    pub fn source(&mut self, now: Instant, state: Result<(), String>) {
        self.source = state;
        self.update(now);
    }

    /// The sink is connected, or is not, with the reason.
    pub fn sink(&mut self, now: Instant, state: Result<(), String>) {
        self.sink = state;
        self.update(now);
    }

    /// An event arrived.
    pub fn arrived(&mut self, now: Instant) {
        self.held += 1;
        self.update(now);
    }

    /// `count` events are no longer held.
    pub fn released(&mut self, now: Instant, count: u64) {
        self.held = self.held.saturating_sub(count);
        self.update(now);
    }

    /// An event is done, in any way.
    pub fn done(&mut self, now: Instant, position: Option<Position>) {
        self.moved_at = now;
        self.reached(now, position);
    }

    /// Everything up to `position` is done, without an event.
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

    /// The subscription became live, or fell behind.
    pub fn live(&mut self, now: Instant, caught_up: bool) {
        self.caught_up = caught_up;
        self.moved_at = now;
        self.update(now);
    }

    /// The subscription ended, with the reason.
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

    /// The distance from the last event done to the newest event: events, or bytes in `$all`;
    /// `None` when it is not known.
    pub fn gap(&self) -> Option<u64> {
        // events at the end of `$all` that the server's filter leaves out do not count as behind
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

    /// The status, and the reason unless the status is `Up`.
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

    /// The time since the last progress.
    pub fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.moved_at)
    }

    /// Events that arrived and are not settled.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Returns whether the subscription is live.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// The position up to which everything is done, and the newest event at the source.
    pub fn positions(&self) -> (Option<&Position>, Option<&Position>) {
        (self.done.as_ref(), self.head.as_ref())
    }
}
