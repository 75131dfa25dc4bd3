//! The task that runs the effects of the core, and the probes of the members.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_runtime::failure_detector::{self, DetectorSettings, FailureDetector};
use antiphon_runtime::transport::{Stream, StreamEnd};
use antiphon_runtime::{MemberState, Membership, Node, NodeId};
use parking_lot::RwLock;
use ractor::{Actor, ActorCell, ActorId, ActorRef};
use ractor_cluster::NodeServerMessage;
use tokio::sync::{mpsc, oneshot, watch};

use super::adapter::external;
use super::core::{Core, CoreSettings, Effect, Input, SessionNumber, Why};
use super::outbound::Limits;
use super::server::{self, FIRST_SESSION, Server};
use crate::metrics::SessionMetrics;
use crate::settings::ActorSettings;

/// The purpose of the streams of sessions.
pub(crate) const PURPOSE: &str = "ractor_cluster 0.16";

/// Facts that wait for the shell. Streams that find no room end, and are opened again.
pub(crate) const FACTS_MAX: usize = 1024;

/// A fact for the shell.
pub(crate) enum Fact {
    /// A member has opened a stream.
    Taken(Stream),
    /// The end of a try to open a stream.
    Opened(NodeId, antiphon_base::Result<Stream>),
    /// The session of this actor has told all its actors and groups, and knows those of the other.
    Ready(ActorId),
    /// The session of this actor has ended.
    Stopped(ActorId),
    /// The end of a probe: whether it was answered.
    Probed(NodeId, bool),
    /// This node leaves. Answered when all sessions are told to end.
    Goodbye(oneshot::Sender<()>),
}

/// The members with a session that is in step, and the numbers of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) numbers: RwLock<BTreeMap<SessionNumber, NodeId>>,
    pub(crate) ready: watch::Sender<Arc<BTreeMap<NodeId, SessionNumber>>>,
}

/// The parts of a shell.
pub(crate) struct ShellParts {
    pub(crate) node: Node,
    pub(crate) settings: ActorSettings,
    pub(crate) metrics: SessionMetrics,
    pub(crate) known: Arc<Known>,
}

/// A stream that waits for its session.
struct Waiting {
    stream: Stream,
    is_taken: bool,
}

/// A session that runs.
struct Running {
    other: NodeId,
    actor: ActorCell,
    stream: StreamEnd,
    /// The reason for which this node has ended it.
    why: Option<Why>,
}

/// The task of the sessions.
pub(crate) struct Shell {
    parts: ShellParts,
    core: Core,
    detector: FailureDetector,
    server: ActorRef<NodeServerMessage>,
    facts: mpsc::Sender<Fact>,
    last: SessionNumber,
    waiting: BTreeMap<SessionNumber, Waiting>,
    running: BTreeMap<SessionNumber, Running>,
}

impl Shell {
    /// Starts the server of the sessions.
    ///
    /// # Errors
    /// `Bug` when the actor does not start.
    async fn start(parts: ShellParts, facts: mpsc::Sender<Fact>) -> antiphon_base::Result<Self> {
        let started = Actor::spawn(None, Server, facts.clone()).await;
        let (server, _) = started.map_err(|error| {
            antiphon_base::Error::bug(format!("the server of plain actors: {error}"))
        })?;
        let settings = &parts.settings;
        let ActorSettings { retry_min, retry_max, ready_timeout, .. } = *settings;
        let me = parts.node.id().clone();
        let detector = DetectorSettings {
            probe_interval: settings.probe_interval,
            probe_misses_max: settings.probe_misses_max,
            probe_neighbours_max: usize::MAX,
            probe_grace: settings.probe_timeout,
        };
        Ok(Self {
            core: Core::new(me.clone(), CoreSettings { retry_min, retry_max, ready_timeout }),
            detector: FailureDetector::new(me, detector),
            server,
            facts,
            last: FIRST_SESSION,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            parts,
        })
    }

    /// Runs until the node ends. `facts` is the other end of `received`.
    pub(crate) async fn run(
        parts: ShellParts,
        (facts, received): (mpsc::Sender<Fact>, mpsc::Receiver<Fact>),
    ) {
        match Self::start(parts, facts).await {
            Ok(shell) => shell.take_all(received).await,
            Err(error) => tracing::error!(%error, "this node has no plain actors of others"),
        }
    }

    async fn take_all(mut self, mut facts: mpsc::Receiver<Fact>) {
        let mut members = self.parts.node.members();
        members.mark_changed();
        let mut ticks = tokio::time::interval(self.parts.settings.tick_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = members.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let seen = members.borrow_and_update().clone();
                    self.members(&seen).await;
                }
                fact = facts.recv() => match fact {
                    Some(fact) => self.take(fact).await,
                    None => return,
                },
                _ = ticks.tick() => {
                    self.probe(failure_detector::Input::Tick).await;
                    self.step(Input::Tick).await;
                }
            }
        }
    }

    async fn members(&mut self, members: &Membership) {
        let others = members.all().filter(|member| {
            let is_there = matches!(member.state, MemberState::Up | MemberState::Leaving);
            is_there && member.id != *self.parts.node.id()
        });
        let addresses: BTreeMap<NodeId, Arc<str>> =
            others.map(|member| (member.id.clone(), member.address.as_str().into())).collect();
        let nodes = addresses.keys().cloned().collect();
        self.step(Input::Members(addresses)).await;
        self.probe(failure_detector::Input::Members(nodes, Default::default())).await;
    }

    async fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Taken(stream) => {
                let (node, number) = self.wait(stream, true);
                self.step(Input::Taken(node, number)).await;
            }
            Fact::Opened(_, Ok(stream)) => {
                let (node, number) = self.wait(stream, false);
                self.step(Input::Opened(node, number)).await;
            }
            Fact::Opened(node, Err(error)) => {
                tracing::debug!(other = %node, %error, "no session of plain actors");
                self.step(Input::NotOpened(node)).await;
            }
            Fact::Ready(actor) => self.ready(actor).await,
            Fact::Stopped(actor) => self.stopped(actor).await,
            Fact::Probed(node, answered) => {
                self.probe(failure_detector::Input::Probed(node, answered)).await;
            }
            Fact::Goodbye(done) => {
                let _ = self.parts.node.gate().accept_streams(PURPOSE, None);
                self.step(Input::Goodbye).await;
                let _ = done.send(());
            }
        }
    }

    /// Keeps a stream until the core has decided about it.
    fn wait(&mut self, stream: Stream, is_taken: bool) -> (NodeId, SessionNumber) {
        self.last += 1;
        let node = stream.node().clone();
        self.waiting.insert(self.last, Waiting { stream, is_taken });
        (node, self.last)
    }

    async fn ready(&mut self, actor: ActorId) {
        let found = self.running.iter().find(|(_, running)| running.actor.get_id() == actor);
        let Some((number, Running { other, why: None, .. })) = found else { return };
        tracing::info!(%other, "plain actors: a session is in step");
        let (other, number) = (other.clone(), *number);
        self.parts.known.ready.send_modify(|ready| {
            Arc::make_mut(ready).insert(other, number);
        });
        self.count();
        self.step(Input::Ready(number)).await;
    }

    async fn stopped(&mut self, actor: ActorId) {
        let found = self.running.iter().find(|(_, running)| running.actor.get_id() == actor);
        let Some(number) = found.map(|(number, _)| *number) else { return };
        let Some(running) = self.running.remove(&number) else { return };
        let why = running.why.map_or("closed", Why::text);
        running.stream.end();
        self.parts.metrics.ended.with_label_values(&[why]).inc();
        tracing::info!(other = %running.other, why, "plain actors: a session has ended");
        self.parts.known.numbers.write().remove(&number);
        self.forget(&running.other, number);
        self.step(Input::Ended(number)).await;
    }

    /// The session is not in step any more.
    fn forget(&self, other: &NodeId, number: SessionNumber) {
        self.parts.known.ready.send_if_modified(|ready| {
            let is_it = ready.get(other) == Some(&number);
            is_it && Arc::make_mut(ready).remove(other).is_some()
        });
        self.count();
    }

    fn count(&self) {
        let count = self.parts.known.ready.borrow().len();
        self.parts.metrics.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    async fn probe(&mut self, input: failure_detector::Input) {
        let effects = self.detector.step(self.parts.node.clock().now(), input);
        for effect in effects {
            match effect {
                failure_detector::Effect::Probe(other) => {
                    let (node, facts) = (self.parts.node.clone(), self.facts.clone());
                    let limit = self.parts.settings.probe_timeout;
                    antiphon_base::task::spawn("session probe", async move {
                        let answered = node.probe(&other, limit).await;
                        let _ = facts.send(Fact::Probed(other, answered)).await;
                    });
                }
                failure_detector::Effect::Suspect(other, is_frozen) => {
                    self.step(Input::Frozen(other, is_frozen)).await;
                }
                failure_detector::Effect::Reached(_) => {}
            }
        }
    }

    async fn step(&mut self, input: Input) {
        for effect in self.core.step(self.parts.node.clock().now(), input) {
            match effect {
                Effect::Open(other, address) => self.open(other, &address),
                Effect::Begin(number) => self.begin(number).await,
                Effect::End(number, why) => self.end(number, why),
            }
        }
    }

    fn open(&self, other: NodeId, address: &str) {
        let opening = self.parts.node.gate().open_stream(&other, address, PURPOSE);
        let facts = self.facts.clone();
        self.parts.node.spawn("session opens", async move {
            let opened = opening.await;
            let _ = facts.send(Fact::Opened(other, opened)).await;
        });
    }

    async fn begin(&mut self, number: SessionNumber) {
        let Some(Waiting { stream, is_taken }) = self.waiting.remove(&number) else { return };
        let ActorSettings { frame_bytes_max, queue_bytes_max, .. } = self.parts.settings;
        let (me, metrics) = (self.parts.node.id(), &self.parts.metrics);
        let (other, end) = (stream.node().clone(), stream.end());
        self.parts.known.numbers.write().insert(number, other.clone());
        let stream = external(me, stream, Limits { frame_bytes_max, queue_bytes_max }, metrics);
        let stream = (stream, frame_bytes_max);
        let begun = server::begin(&self.server, number, &me.to_string(), is_taken, stream).await;
        match begun {
            Ok(actor) => {
                metrics.begun.inc();
                self.running.insert(number, Running { other, actor, stream: end, why: None });
            }
            Err(error) => {
                tracing::error!(%other, %error, "a session of plain actors does not begin");
                self.parts.known.numbers.write().remove(&number);
                end.end();
                // a spawned actor reports its end; this one has none
                Box::pin(self.step(Input::Ended(number))).await;
            }
        }
    }

    /// Ends a session, or a stream that has none.
    fn end(&mut self, number: SessionNumber, why: Why) {
        if self.waiting.remove(&number).is_some() {
            return;
        }
        let Some(running) = self.running.get_mut(&number) else { return };
        running.why = Some(why);
        // its actors leave all groups when the session's actor ends; it may be busy
        running.actor.kill();
        running.stream.end();
        let other = running.other.clone();
        self.forget(&other, number);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.stream.end();
        }
        self.server.kill();
        self.parts.known.ready.send_replace(Arc::default());
        self.parts.known.numbers.write().clear();
    }
}
