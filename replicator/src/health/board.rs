//! All subscriptions of a replicator.

use std::sync::Arc;

use antiphon_base::time::Clock;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Monitor, Status};
use crate::metrics::Metrics;

/// The monitors of all subscriptions.
pub struct Board {
    monitors: Mutex<Vec<Arc<Monitor>>>,
    clock: Arc<dyn Clock>,
    started: Instant,
}

impl Board {
    /// Creates a board without subscriptions; its subscriptions' gauges are refreshed whenever
    /// `metrics` are rendered.
    pub fn new(metrics: &Metrics) -> Arc<Self> {
        let clock = metrics.clock().clone();
        let started = clock.now();
        let board = Arc::new(Self { monitors: Mutex::default(), clock, started });
        let refreshed = board.clone();
        metrics.on_render(move || refreshed.monitors().iter().for_each(|one| one.refresh()));
        board
    }

    /// Adds a subscription.
    pub fn add(&self, monitor: Arc<Monitor>) {
        self.lock().push(monitor);
    }

    /// The subscriptions.
    pub fn monitors(&self) -> Vec<Arc<Monitor>> {
        self.lock().clone()
    }

    /// Number of events that were parked since the start.
    pub fn parked_count(&self) -> u64 {
        self.monitors().iter().map(|one| one.parked_count()).sum()
    }

    /// Succeeds until every subscription has ended; a board without subscriptions is live.
    ///
    /// # Errors
    /// A reason per subscription.
    pub fn live(&self) -> Result<(), Vec<String>> {
        let monitors = self.monitors();
        let ended = monitors.iter().filter(|one| one.status().0 == Status::Ended).count();
        if monitors.is_empty() || ended < monitors.len() { Ok(()) } else { Err(self.reasons()) }
    }

    /// Succeeds when every subscription is connected and makes progress.
    ///
    /// # Errors
    /// A reason per subscription that is not ready, or one reason without any subscription.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons = self.reasons();
        if self.lock().is_empty() {
            reasons.push("no subscription has been started yet".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Sentences about events that wait for another try, and about parked events.
    pub fn attention(&self) -> Vec<String> {
        let of_one = |one: &Arc<Monitor>| {
            let name = format!("subscription `{}`", one.subscription().name);
            one.attention().into_iter().map(move |sentence| format!("{name}: {sentence}"))
        };
        self.monitors().iter().flat_map(of_one).collect()
    }

    /// Both verdicts with their reasons, and the events that wait or are parked, for `/health`.
    pub fn health(&self) -> Value {
        let reasons = self.ready().err().unwrap_or_default();
        json!({
            "live": self.live().is_ok(),
            "ready": reasons.is_empty(),
            "reasons": reasons,
            "attention": self.attention(),
            "subscriptions": self.monitors().iter().map(|one| one.health()).collect::<Vec<_>>(),
        })
    }

    fn reasons(&self) -> Vec<String> {
        let reason = |one: &Arc<Monitor>| {
            let subscription = one.subscription();
            let (status, reason) = one.status();
            let reason = reason.unwrap_or_default();
            let name = format!("subscription `{}`", subscription.name);
            match status {
                Status::Up => None,
                Status::Down | Status::Stalled => Some(format!("{name}: {reason}")),
                Status::Ended => Some(format!("{name}: ended: {reason}")),
            }
        };
        self.monitors().iter().filter_map(reason).collect()
    }

    /// The state of the replicator and of all subscriptions, for `/status`.
    pub fn json(&self) -> Value {
        let reasons = self.ready().err().unwrap_or_default();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": self.clock.now().saturating_duration_since(self.started).as_secs(),
            "ready": reasons.is_empty(),
            "reasons": reasons,
            "attention": self.attention(),
            "subscriptions": self.monitors().iter().map(|one| one.json()).collect::<Vec<_>>(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Monitor>>> {
        self.monitors.lock()
    }
}
