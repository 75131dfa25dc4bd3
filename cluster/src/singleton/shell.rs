//! The singletons of one node: one task gives their cores what happens, and does what they ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::{Result, guard, task};
use antiphon_runtime::metrics::{IntCounter, IntCounterVec, IntGauge};
use antiphon_runtime::node::ShutdownPhase;
use antiphon_runtime::{Membership, Node};
use parking_lot::Mutex;
use ractor::ActorCell;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::core::{Effect, Input, LeaseRow, SingletonCore, Times, VersionedLease, Why};
use super::held::SingletonLease;
use super::store;
use crate::{ToolError, ToolSettings};

/// Starts the actor of a singleton; [`Reporter::ended`] must be called when it has ended.
pub(super) type Factory = Arc<dyn Fn(SingletonLease, Reporter) -> Option<ActorCell> + Send + Sync>;

type Leases = BTreeMap<Arc<str>, Result<VersionedLease>>;

enum Command {
    Add(Arc<str>, Factory),
    Step(Arc<str>, Input),
    /// The leases as they were read, and the changes of each core at the begin of the read.
    Read(Result<Leases>, BTreeMap<Arc<str>, u64>),
    Leave(oneshot::Sender<()>),
}

/// Tells that an actor has ended.
pub(super) struct Reporter {
    name: Arc<str>,
    run: u64,
    commands: mpsc::Sender<Command>,
}

impl Reporter {
    pub(super) async fn ended(self) {
        // without the task, nobody needs to know
        let _ = self.commands.send(Command::Step(self.name, Input::Ended(self.run))).await;
    }
}

/// The door to the task; one for each node.
pub(super) struct Singletons {
    names: Mutex<BTreeSet<Arc<str>>>,
    commands: mpsc::Sender<Command>,
    is_leaving: AtomicBool,
    max: usize,
}

impl Singletons {
    pub(super) fn of(node: &Node) -> Arc<Self> {
        let settings = ToolSettings::of(node);
        let mut started = None;
        let singletons = node.extension(|| {
            let (commands, received) = mpsc::channel(settings.singletons_max.max(64));
            let max = settings.singletons_max;
            started = Some((commands.clone(), received));
            let (names, is_leaving) = (Mutex::default(), AtomicBool::new(false));
            Arc::new(Self { names, commands, is_leaving, max })
        });
        if let Some((commands, received)) = started {
            let driver = Driver::new(node, settings, commands);
            // the caller may be on a thread without a runtime
            let _runtime = node.runtime().enter();
            node.spawn("singletons", driver.run(received));
            let of = singletons.clone();
            let leave = Box::new(|| Box::pin(async move { of.leave().await }) as _);
            node.on_shutdown(ShutdownPhase::StopAccepting, "singletons", leave);
        }
        singletons
    }

    pub(super) fn add(
        &self,
        name: &Arc<str>,
        factory: Factory,
    ) -> std::result::Result<(), ToolError> {
        let mut names = self.names.lock();
        let key = || name.to_string();
        if self.is_leaving.load(Ordering::Acquire) {
            return Err(ToolError::Leaving { key: key() });
        }
        if names.contains(name) {
            return Err(ToolError::InUse { key: key() });
        }
        let full = ToolError::Full { key: key(), setting: "singletons_max", max: self.max };
        if names.len() >= self.max
            || self.commands.try_send(Command::Add(name.clone(), factory)).is_err()
        {
            return Err(full);
        }
        names.insert(name.clone());
        Ok(())
    }

    /// Gives all leases back, each after its actor has ended.
    async fn leave(&self) {
        {
            // what was added before is ahead of the order to leave
            let _names = self.names.lock();
            self.is_leaving.store(true, Ordering::Release);
        }
        let (done, left) = oneshot::channel();
        if self.commands.send(Command::Leave(done)).await.is_ok() {
            let _ = left.await;
        }
    }
}

struct Running {
    run: u64,
    actor: ActorCell,
    lease: SingletonLease,
}

impl Running {
    fn kill(&self) {
        self.lease.end();
        self.actor.kill();
    }
}

impl Drop for Running {
    /// Work that the actor has left behind has no right any more, before the lease is given back.
    fn drop(&mut self) {
        self.lease.end();
    }
}

struct Entry {
    core: SingletonCore,
    factory: Factory,
    running: Option<Running>,
}

impl Drop for Entry {
    /// The end of the task is the end of the node: no actor goes on without it.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.kill();
        }
    }
}

struct Counts {
    actors: IntGauge,
    ends: IntCounterVec,
    failures: IntCounter,
    taken: IntCounter,
}

struct Driver {
    node: Node,
    settings: Arc<ToolSettings>,
    commands: mpsc::Sender<Command>,
    entries: BTreeMap<Arc<str>, Entry>,
    members: Arc<Membership>,
    counts: Counts,
    next_read: Instant,
    is_reading: bool,
    next_fault_log: Option<Instant>,
    leaving: Option<oneshot::Sender<()>>,
}

impl Driver {
    fn new(node: &Node, settings: Arc<ToolSettings>, commands: mpsc::Sender<Command>) -> Self {
        let metrics = node.metrics();
        let counts = Counts {
            actors: metrics.gauge_of("antiphon_singleton_actors"),
            ends: metrics.counters_of("antiphon_singleton_ends_total"),
            failures: metrics.counter_of("antiphon_singleton_store_failures_total"),
            taken: metrics.counter_of("antiphon_singleton_taken_total"),
        };
        Self {
            node: node.clone(),
            settings,
            commands,
            entries: BTreeMap::new(),
            members: Arc::default(),
            counts,
            next_read: node.clock().now(),
            is_reading: false,
            next_fault_log: None,
            leaving: None,
        }
    }

    async fn run(mut self, mut received: mpsc::Receiver<Command>) {
        let (mut members, mut liveness) = (self.node.members(), self.node.liveness());
        let mut ticks = tokio::time::interval(self.node.settings().tick_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.learn_members(&members.borrow_and_update().clone());
        loop {
            tokio::select! {
                command = received.recv() => {
                    let Some(command) = command else { return };
                    self.command(command);
                }
                changed = members.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let all = members.borrow_and_update().clone();
                    self.learn_members(&all);
                }
                changed = liveness.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    liveness.borrow_and_update();
                    self.step_all(&Input::Tick);
                }
                _ = ticks.tick() => {
                    self.step_all(&Input::Tick);
                    self.read();
                }
            }
            self.tell_left();
        }
    }

    fn learn_members(&mut self, all: &Membership) {
        let own = Membership::new(all.in_place(self.node.place()).cloned());
        self.members = Arc::new(own);
        self.step_all(&Input::Members(self.members.clone()));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Add(name, factory) => {
                let core = SingletonCore::new(self.node.id().clone(), name.clone(), self.times());
                self.entries.insert(name.clone(), Entry { core, factory, running: None });
                self.step(&name, Input::Members(self.members.clone()));
                if self.leaving.is_some() {
                    self.step(&name, Input::Leave);
                }
                self.next_read = self.node.clock().now();
            }
            Command::Step(name, input) => self.step(&name, input),
            Command::Read(leases, changes) => self.learn_leases(leases, &changes),
            Command::Leave(done) => {
                self.leaving = Some(done);
                self.step_all(&Input::Leave);
            }
        }
    }

    fn times(&self) -> Times {
        let node = self.node.settings();
        Times {
            turn: self.settings.singleton_turn,
            settle: self.settings.singleton_settle,
            unknown: 2 * node.renew_timeout,
            retry_delay_max: node.retry_delay_max,
            restart_delay_max: self.settings.singleton_restart_delay_max,
        }
    }

    fn learn_leases(&mut self, leases: Result<Leases>, changes: &BTreeMap<Arc<str>, u64>) {
        self.is_reading = false;
        let mut leases = match leases {
            Ok(leases) => leases,
            Err(error) => return self.note_failure(&error),
        };
        for (name, changes) in changes {
            match leases.remove(name).unwrap_or(Ok(None)) {
                Ok(row) => self.step(name, Input::Read(row, *changes)),
                Err(error) => self.note_failure(&error),
            }
        }
    }

    fn note_failure(&mut self, error: &antiphon_base::Error) {
        self.counts.failures.inc();
        let now = self.node.clock().now();
        if self.next_fault_log.is_none_or(|next| now >= next) {
            self.next_fault_log = Some(now + self.node.settings().fault_log_interval);
            tracing::warn!(%error, "the leases of singletons cannot be read or changed");
        }
    }

    /// Reads the leases, if it is time: more often while one of them is about to be free.
    fn read(&mut self) {
        let now = self.node.clock().now();
        if self.is_reading || self.entries.is_empty() {
            return;
        }
        let is_soon = self.entries.values().any(|entry| entry.core.expects_release());
        if now < self.next_read && !is_soon {
            return;
        }
        self.next_read = now + self.settings.singleton_interval;
        self.is_reading = true;
        let changes = self.entries.iter().map(|(name, entry)| (name.clone(), entry.core.changes()));
        let changes = changes.collect();
        let coordination = self.node.stores().coordination.clone();
        let (limit, commands) = (self.settings.singleton_store_timeout, self.commands.clone());
        drop(task::spawn("singleton leases", async move {
            let leases = store::read(&coordination, limit).await;
            let _ = commands.send(Command::Read(leases, changes)).await;
        }));
    }

    fn step_all(&mut self, input: &Input) {
        let names: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        for name in names {
            self.step(&name, input.clone());
        }
    }

    fn step(&mut self, name: &Arc<str>, input: Input) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if let Input::Ended(run) = input
            && entry.running.as_ref().is_some_and(|running| running.run == run)
        {
            entry.running = None;
        }
        let effects = entry.core.step(self.node.clock().now(), self.node.is_live(), input);
        for effect in effects {
            self.act(name, effect);
        }
        let running = self.entries.values().filter(|entry| entry.running.is_some()).count();
        self.counts.actors.set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    fn act(&mut self, name: &Arc<str>, effect: Effect) {
        match effect {
            Effect::Change(version, row) => self.change(name.clone(), version, row),
            Effect::Start { run, token } => self.start(name, run, token),
            Effect::Stop { run } => {
                let Some(running) = self.running(name, run) else { return };
                let actor = running.actor.clone();
                let limit = self.settings.singleton_stop_timeout;
                drop(task::spawn("singleton stops", stop(actor, limit)));
            }
            Effect::Kill { run } => {
                if let Some(running) = self.running(name, run) {
                    running.kill();
                }
            }
            Effect::Ends(why) => {
                let reason = match why {
                    Why::Failed => "failed",
                    Why::NotLive => "not_live",
                    Why::Moved => "moved",
                    Why::Leaving => "leaving",
                };
                self.counts.ends.with_label_values(&[reason]).inc();
                tracing::info!(singleton = %name, reason, "the singleton ends on this node");
            }
        }
    }

    fn running(&self, name: &Arc<str>, run: u64) -> Option<&Running> {
        let running = self.entries.get(name)?.running.as_ref()?;
        (running.run == run).then_some(running)
    }

    fn start(&mut self, name: &Arc<str>, run: u64, token: u64) {
        let lease = SingletonLease::new(name.clone(), token, self.node.clone());
        let reporter = Reporter { name: name.clone(), run, commands: self.commands.clone() };
        let Some(entry) = self.entries.get_mut(name) else { return };
        let factory = entry.factory.clone();
        let started = guard::call("singleton", name, || factory(lease.clone(), reporter));
        match started.ok().flatten() {
            Some(actor) => entry.running = Some(Running { run, actor, lease }),
            // its end is told outside of this step, as that of every other actor
            None => {
                let reporter =
                    Reporter { name: name.clone(), run, commands: self.commands.clone() };
                drop(task::spawn("singleton ended", reporter.ended()));
            }
        }
    }

    fn change(&self, name: Arc<str>, version: Option<u64>, row: LeaseRow) {
        let takes = row.holder.as_ref() == Some(self.node.id());
        let (taken, failures) = (self.counts.taken.clone(), self.counts.failures.clone());
        let coordination = self.node.stores().coordination.clone();
        let (limit, commands) = (self.settings.singleton_store_timeout, self.commands.clone());
        drop(task::spawn("singleton lease", async move {
            let wanted = row.clone();
            let outcome = store::change(&coordination, limit, &name, version, row).await;
            match &outcome {
                Ok(Some((_, row))) if takes && *row == wanted => taken.inc(),
                Ok(_) => {}
                Err(error) => {
                    failures.inc();
                    tracing::debug!(singleton = %name, %error, "the lease was not changed");
                }
            }
            let _ = commands.send(Command::Step(name, Input::Changed(outcome.ok()))).await;
        }));
    }

    fn tell_left(&mut self) {
        let has_left = self.entries.values().all(|entry| entry.core.has_left());
        if has_left && let Some(done) = self.leaving.take() {
            let _ = done.send(());
        }
    }
}

/// Lets the actor handle its mailbox, and kills it when that takes too long.
async fn stop(actor: ActorCell, limit: Duration) {
    if actor.drain_and_wait(Some(limit)).await.is_err() {
        actor.kill();
    }
}
