//! Receives everything that happens to one subscription; keeps its metrics, log lines and progress.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_base::time::Clock;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::attention::Attention;
use super::subscription::Subscription;
use super::{Progress, Status, Watch};
use crate::config::{Choice, SinkKind, SubscriptionKind};
use crate::event::Envelope;
use crate::logging::Lines;
use crate::metrics::{Metrics, SubscriptionMetrics};
use crate::park::Parked;
use crate::pipeline::Note;
use crate::source::{Delivery, Position};

/// The monitor of one subscription. Its methods never wait.
pub struct Monitor {
    subscription: Subscription,
    lines: Lines,
    metrics: SubscriptionMetrics,
    clock: Arc<dyn Clock>,
    stall_time: Duration,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    checkpoint: Option<(Position, Instant)>,
    last_failure: Option<String>,
    parked_count: u64,
    attention: Attention,
    /// True when the source was seen to have no event.
    is_empty: bool,
}

impl Monitor {
    /// The monitor of a subscription that is not connected yet.
    pub fn new(
        subscription: Subscription,
        sink: SinkKind,
        metrics: &Metrics,
        stall_time: Duration,
    ) -> Self {
        let watch = match subscription.kind {
            SubscriptionKind::Group | SubscriptionKind::Journal => Watch::HeldOnly,
            SubscriptionKind::Stream | SubscriptionKind::Category => Watch::Head,
            SubscriptionKind::All => Watch::HeadUntilLive,
        };
        let clock = metrics.clock().clone();
        let progress = Progress::new(watch, clock.now());
        let series = metrics.subscription(&subscription.stream, &subscription.group);
        series.sink_up.set(1);
        series.checkpoint_age.set(-1);
        series.parked_age.set(-1);
        series.waiting_age.set(-1);
        Self {
            lines: Lines::new(&*subscription.stream, &*subscription.group, sink),
            metrics: series,
            clock,
            stall_time,
            state: Mutex::new(State {
                progress,
                checkpoint: None,
                last_failure: None,
                attention: Attention::default(),
                is_empty: false,
                parked_count: 0,
            }),
            subscription,
        }
    }

    /// The subscription that is monitored.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The subscription starts, after a position where there is a checkpoint.
    pub fn starting(&self, position: Option<&Position>) {
        self.lines.starting();
        let now = self.clock.now();
        self.lock().progress.reached(now, position.cloned());
    }

    /// The subscription was asked to stop.
    pub fn stopping(&self) {
        self.lines.stopping();
    }

    /// The subscription ended; `failure` is the reason when it was not asked to.
    pub fn ended(&self, failure: Option<&str>) {
        if let Some(reason) = failure {
            self.lines.failed(reason);
        }
        self.metrics.up.set(0);
        self.lock().progress.ended(failure.unwrap_or("stopped").to_owned());
    }

    /// The source delivered something.
    pub fn delivered(&self, delivery: &Delivery) {
        let now = self.clock.now();
        match delivery {
            Delivery::Event(envelope)
            | Delivery::Unresolved(envelope)
            | Delivery::Excluded(envelope) => {
                self.metrics.received.inc();
                self.metrics.current_event.set(gauge(envelope.current_revision()));
                self.metrics.replication_delay.observe(self.age(envelope));
                let mut state = self.lock();
                state.progress.arrived(now);
                state.attention.arrived(now, envelope);
            }
            Delivery::Mark(position) => {
                let mut state = self.lock();
                if state.progress.held() == 0 {
                    state.progress.reached(now, Some(position.clone()));
                }
            }
            // `note` handles them, when everything before them is done
            Delivery::CaughtUp | Delivery::FellBehind => {}
        }
    }

    /// `count` deliveries are no longer held.
    pub fn released(&self, count: usize) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.progress.released(now, u64::try_from(count).unwrap_or(u64::MAX));
        if state.progress.held() == 0 {
            state.attention.nothing_held();
        }
    }

    /// The source has no event at all.
    pub fn no_head(&self) {
        let is_stream = match self.subscription.kind {
            SubscriptionKind::Group | SubscriptionKind::Stream | SubscriptionKind::Category => true,
            SubscriptionKind::All | SubscriptionKind::Journal => false,
        };
        if is_stream && !std::mem::replace(&mut self.lock().is_empty, true) {
            self.lines.no_stream();
        }
    }

    /// The parked events.
    pub fn parked(&self, parked: Parked) {
        let count = parked.count;
        let oldest = parked.oldest.as_ref().map_or_else(
            || "is not known".to_owned(),
            |oldest| format!("is #{} of {}", oldest.revision, oldest.stream),
        );
        if self.lock().attention.parked(parked) {
            self.lines.parked(count, &oldest);
        }
    }

    /// Sentences about the events that wait for another try, and about parked events.
    pub fn attention(&self) -> Vec<String> {
        let (now, wall) = (self.clock.now(), self.clock.wall().as_micros());
        self.lock().attention.sentences(now, wall)
    }

    /// The events that wait and the events that are parked, with the status, for `/health`.
    pub fn health(&self) -> Value {
        let (status, reason) = self.status();
        let (now, wall) = (self.clock.now(), self.clock.wall().as_micros());
        let state = self.lock();
        let mut health = state.attention.json(now, wall, state.progress.held());
        health["name"] = self.subscription.name.as_str().into();
        health["status"] = json!(status);
        health["reason"] = json!(reason);
        health
    }

    /// The newest event at the source.
    pub fn head(&self, position: &Position) {
        let now = self.clock.now();
        self.lock().progress.head(now, position.clone());
    }

    /// A note of the pipeline.
    pub fn note(&self, note: &Note) {
        self.lines.note(note);
        let now = self.clock.now();
        self.lock().attention.note(now, note);
        let metrics = &self.metrics;
        match note {
            Note::Completed { envelope, elapsed, duplicate } => {
                metrics.processed.inc();
                metrics.duplicates.inc_by(u64::from(*duplicate));
                metrics.write_duration.observe(elapsed.as_secs_f64());
                self.done(now, envelope);
            }
            Note::Unresolved(envelope) => {
                metrics.unresolved.inc();
                self.done(now, envelope);
            }
            Note::Skipped { envelope, .. } => {
                metrics.skipped.inc();
                self.done(now, envelope);
            }
            Note::Retrying { reason, .. } => {
                metrics.failed.inc();
                metrics.retries.inc();
                self.lock().last_failure = Some(reason.clone());
            }
            Note::Parked { envelope, reason } => {
                metrics.failed.inc();
                metrics.parked.inc();
                self.lock().parked_count += 1;
                self.lock().last_failure = Some(reason.clone());
                self.done(now, envelope);
            }
            Note::Conflict { .. } => metrics.conflicts.inc(),
            Note::Checkpoint(position) => {
                metrics.checkpoint.set(number(position));
                self.lock().checkpoint = Some((position.clone(), now));
            }
            Note::CheckpointFailed(reason) | Note::ParkingFailed(reason) => {
                self.lock().last_failure = Some(reason.clone());
            }
            Note::SourceUp
            | Note::SourceDown { .. }
            | Note::SinkUp
            | Note::SinkDown(_)
            | Note::CaughtUp
            | Note::FellBehind => self.connection(now, note),
            Note::Renewed(..) | Note::NotRedelivered(..) => {}
        }
    }

    fn connection(&self, now: Instant, note: &Note) {
        let progress = &mut self.lock().progress;
        let (up, sink_up, live) =
            (&self.metrics.up, &self.metrics.sink_up, &self.metrics.caught_up);
        if let Note::SourceDown { reason, .. } = note {
            up.set(0);
            progress.source(now, Err(reason.clone()));
        } else if let Note::SinkDown(reason) = note {
            sink_up.set(0);
            progress.sink(now, Err(reason.clone()));
        } else if *note == Note::SourceUp {
            up.set(1);
            progress.source(now, Ok(()));
        } else if *note == Note::SinkUp {
            sink_up.set(1);
            progress.sink(now, Ok(()));
        } else {
            let is_live = *note == Note::CaughtUp;
            live.set(i64::from(is_live));
            progress.live(now, is_live);
        }
    }

    fn done(&self, now: Instant, envelope: &Envelope) {
        let position = match self.subscription.kind {
            SubscriptionKind::Group | SubscriptionKind::Stream | SubscriptionKind::Category => {
                Some(Position::Stream(envelope.current_revision()))
            }
            SubscriptionKind::All | SubscriptionKind::Journal => envelope.position.clone(),
        };
        self.lock().progress.done(now, position);
    }

    fn age(&self, envelope: &Envelope) -> Duration {
        let now = UNIX_EPOCH + Duration::from_micros(self.clock.wall().as_micros());
        // the clock of the source may be ahead of the clock here
        SystemTime::duration_since(&now, envelope.event.created).unwrap_or_default()
    }

    /// Number of events that were parked since the start.
    pub fn parked_count(&self) -> u64 {
        self.lock().parked_count
    }

    /// The status, and the reason unless the status is `Up`.
    pub fn status(&self) -> (Status, Option<String>) {
        self.lock().progress.status(self.clock.now(), self.stall_time)
    }

    /// Sets the gauges that change with time.
    pub fn refresh(&self) {
        let now = self.clock.now();
        let state = self.lock();
        let metrics = &self.metrics;
        metrics.held.set(gauge(state.progress.held()));
        metrics.progress_age.set(gauge(state.progress.idle(now).as_secs()));
        let seconds = |age: Option<Duration>| age.map_or(-1, |age| gauge(age.as_secs()));
        let (failing, failing_age) = state.attention.failing(now);
        let (parked, parked_age) = state.attention.parked_age(self.clock.wall().as_micros());
        metrics.waiting_events.set(gauge(u64::try_from(failing).unwrap_or(u64::MAX)));
        metrics.waiting_age.set(seconds(failing_age));
        metrics.parked_events.set(gauge(parked));
        metrics.parked_age.set(seconds(parked_age));
        if let Some((_, at)) = &state.checkpoint {
            metrics.checkpoint_age.set(gauge(now.saturating_duration_since(*at).as_secs()));
        }
        if let Some(head) = state.progress.positions().1 {
            metrics.source_head.set(number(head));
        }
        if let Some(gap) = state.progress.gap() {
            let is_bytes = self.subscription.kind == SubscriptionKind::All;
            let (events, bytes) = if is_bytes { (0, gap) } else { (gap, 0) };
            metrics.gap_events.set(gauge(events));
            metrics.gap_bytes.set(gauge(bytes));
        }
    }

    /// The state of the subscription, for `/status`.
    pub fn json(&self) -> Value {
        let (status, reason) = self.status();
        let now = self.clock.now();
        let state = self.lock();
        let (done, head) = state.progress.positions();
        let metrics = &self.metrics;
        let attention =
            state.attention.json(now, self.clock.wall().as_micros(), state.progress.held());
        json!({
            "waiting": attention["waiting"],
            "failing": attention["failing"],
            "parkedNow": attention["parked"],
            "name": self.subscription.name,
            "kind": self.subscription.kind.word(),
            "stream": self.subscription.stream,
            "group": self.subscription.group,
            "status": status,
            "reason": reason,
            "caughtUp": state.progress.is_caught_up(),
            "position": done.map(ToString::to_string),
            "head": head.map(ToString::to_string),
            "gap": state.progress.gap(),
            "checkpoint": state.checkpoint.as_ref().map(|(position, _)| position.to_string()),
            "held": state.progress.held(),
            "secondsSinceProgress": state.progress.idle(now).as_secs(),
            "received": metrics.received.get(),
            "processed": metrics.processed.get(),
            "duplicates": metrics.duplicates.get(),
            "skipped": metrics.skipped.get(),
            "unresolved": metrics.unresolved.get(),
            "failed": metrics.failed.get(),
            "retries": metrics.retries.get(),
            "parked": metrics.parked.get(),
            "conflicts": metrics.conflicts.get(),
            "lastFailure": state.last_failure,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The number of a position, for a gauge; -1 for a journal's, which has none.
fn number(position: &Position) -> i64 {
    match position {
        Position::Stream(number) => gauge(*number),
        Position::All { commit, .. } => gauge(*commit),
        Position::Journal(_) => -1,
    }
}
