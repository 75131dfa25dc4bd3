//! The task that steps the node's core and runs its effects. It never waits for a store or a link:
//! results come back as inputs (`calls`).

mod calls;
mod control;
mod core;
mod place;

use std::sync::Arc;

use antiphon_base::time::Clock;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub(super) use self::calls::Calls;
pub(super) use self::control::Control;
pub(super) use self::core::Input;
use self::core::{Effect, NodeCore};
use super::hosted::HostedCell;
use super::liveness::{LivenessCell, NODE_LEFT};
use super::measures::DriverMetrics;
use crate::lease::LeaseState;
use crate::membership::{MemberRow, Membership, Outcome};

pub(super) struct DriverParts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) calls: Calls,
    pub(super) metrics: DriverMetrics,
    pub(super) liveness: Arc<LivenessCell>,
    pub(super) members: watch::Sender<Arc<Membership>>,
    pub(super) leases: watch::Sender<LeaseState>,
    pub(super) hosted: Arc<HostedCell>,
    /// Notified when a message names a node or a lease that this node does not know.
    pub(super) looks: Arc<Notify>,
    pub(super) joined: (MemberRow, u64),
    pub(super) joined_at: Instant,
}

pub(super) struct Driver {
    parts: DriverParts,
    core: NodeCore,
    released: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Sender<()>>,
}

impl Driver {
    pub(super) fn new(parts: DriverParts) -> Self {
        let Calls { settings, peers, .. } = &parts.calls;
        let (joined, places) = (parts.joined.clone(), peers.keys().cloned());
        let core = NodeCore::new(parts.joined_at, settings, joined, places);
        Self { parts, core, released: None, ended: None }
    }

    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Control>) {
        // an interval of its own: inputs that come faster than ticks must not keep the ticks away
        let mut ticks = tokio::time::interval(self.parts.calls.settings.tick_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looks = self.parts.looks.clone();
        loop {
            let input = tokio::select! {
                biased;
                _ = ticks.tick() => None,
                input = inputs.recv() => input,
                () = looks.notified() => Some(Control::Input(Box::new(Input::Look))),
            };
            if self.parts.liveness.is_fenced() {
                self.step(Input::Stop);
            }
            match input {
                Some(input) => self.take(input),
                None => self.tick(),
            }
            if self.core.is_over() {
                self.answer_leaving();
            }
            let now = self.parts.clock.now();
            self.parts.liveness.renewed(now, self.core.live_until());
            self.parts.metrics.live.set(i64::from(self.parts.liveness.is_live(now)));
        }
    }

    fn tick(&mut self) {
        let (wall, hosted) = (self.parts.clock.wall(), self.parts.hosted.sum());
        self.step(Input::Tick(wall, hosted, self.parts.hosted.replicas()));
    }

    fn take(&mut self, control: Control) {
        match control {
            Control::Input(input) => {
                self.count(&input);
                self.step(*input);
            }
            Control::Release(done) => {
                self.released = Some(done);
                self.step(Input::Release);
            }
            Control::End(done) => {
                self.ended = Some(done);
                self.step(Input::End);
            }
        }
    }

    fn count(&self, input: &Input) {
        let metrics = &self.parts.metrics;
        if let Input::Changed(_, purpose, outcome) = input {
            let done = match outcome {
                Outcome::Applied(_) => "applied",
                Outcome::Conflict(_) => "conflict",
                Outcome::Failed => "failed",
            };
            let what = format!("{purpose:?}").to_lowercase();
            metrics.changes.with_label_values(&[what.as_str(), done]).inc();
        }
        if let Input::Probed(id, false) = input {
            metrics.probes_missed.with_label_values(&[id.name()]).inc();
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.core.step(self.parts.clock.now(), input) {
            self.run_effect(effect);
        }
        let token = self.core.held().map_or(0, |token| i64::try_from(token.0).unwrap_or(i64::MAX));
        self.parts.metrics.token.set(token);
    }

    fn run_effect(&mut self, effect: Effect) {
        let parts = &self.parts;
        match effect {
            Effect::Scan(changes) => parts.calls.scan(changes),
            Effect::ScanPlace(place) => parts.calls.scan_place(place),
            Effect::Change(id, purpose, version, row) => {
                parts.calls.change(id, purpose, version, row);
            }
            Effect::Seal(id) => parts.calls.seal(id),
            Effect::Probe(id) => parts.calls.probe(id),
            Effect::ChangeLease(version, row) => parts.calls.change_lease(version, row),
            Effect::Members(members) => {
                parts.metrics.count(&members);
                show(&parts.members, Arc::new(members));
            }
            Effect::Leases(leases) => {
                tell_lacking(parts, &leases);
                show(&parts.leases, leases);
            }
            Effect::Connect(id, address, place) => {
                parts.calls.gate.expect_place(&id, &place);
                parts.calls.gate.connect(&id, &address);
            }
            Effect::Disconnect(id) => parts.calls.gate.disconnect(&id),
            Effect::Condemned(verdict) => {
                tracing::warn!(id = %verdict.id, why = verdict.why, "a member has to give way");
            }
            Effect::Suspected(id, true) => {
                tracing::warn!(%id, "a member of the place does not answer probes");
            }
            Effect::Suspected(id, false) => {
                tracing::info!(%id, "a member that did not answer probes does, or is gone");
            }
            Effect::Retire(reason) => {
                tracing::error!(%reason, "this node gives way");
                parts.liveness.close();
            }
            Effect::Fenced(reason) => {
                tracing::error!(%reason, "this node is out");
                parts.liveness.declared_dead(&reason);
                self.answer_leaving();
            }
            Effect::Ended => {
                parts.liveness.fence(NODE_LEFT);
                self.answer_leaving();
            }
            Effect::Released => {
                if let Some(done) = self.released.take() {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Answers the calls that end this node and would wait for ever.
    fn answer_leaving(&mut self) {
        for done in [self.released.take(), self.ended.take()].into_iter().flatten() {
            let _ = done.send(());
        }
    }
}

/// Logs the entity types whose homes nobody decides, when they change, and counts them.
fn tell_lacking(parts: &DriverParts, leases: &LeaseState) {
    let lacking = &leases.lacking;
    if parts.leases.borrow().lacking == *lacking {
        return;
    }
    parts.metrics.lacking.set(i64::try_from(lacking.len()).unwrap_or(i64::MAX));
    let place = &parts.calls.settings.place;
    let holder = leases.holder_of(place).map_or_else(|| "nobody".to_owned(), ToString::to_string);
    if lacking.is_empty() {
        tracing::info!(%place, %holder, "the coordinator lease is at a member with all entity types");
    } else {
        tracing::error!(%place, %holder, ?lacking, "the holder of the coordinator lease lacks entity types that other members of the place have: nobody decides the homes of their shards. Give all nodes of a place the same entity types");
    }
}

/// Sends a value to those that wait for changes, if it has changed.
fn show<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|before| {
        let changed = *before != value;
        *before = value;
        changed
    });
}
