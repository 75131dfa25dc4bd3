//! One run of a plan: trouble for a while, then calm, then every replica must answer and all
//! replicas must be equal.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::event::Metadata;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::store::Stores;
use antiphon_runtime::transport::memory::{Faults, SplitMix64};
use antiphon_sharding::{EntityRef, ReplicatedEntityProvider, ShardingSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::history::Answered;
use super::plan::{Plan, PlannedCommand, TROUBLE};
use super::rules::{self, Acknowledged, COMMAND, command_of};
use super::{Ask, Failure, StoresEvents};
use crate::harness::cluster::Cluster;
use crate::harness::faults;
use crate::harness::form::Form;
use crate::harness::place::MEMORY;
use crate::harness::trace::Trace;
use crate::harness::{single_home, single_writer};
use crate::kinds::{self, Kinds, Provided};
use crate::streams::Stream;

/// Time between two looks at the nodes.
const STEP: Duration = Duration::from_millis(20);
/// Longest time until the first nodes are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Time after the last fault within which each replica must answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// Time after the last answer within which all replicas must have the same events.
const EQUAL_WITHIN: Duration = Duration::from_secs(60);

/// The things that a run needs beside its plan.
pub(super) struct Subject<E: EventSourced, V, A> {
    /// The provider, with its replicas.
    pub(super) provider: ReplicatedEntityProvider<E>,
    pub(super) ask: Ask<E::Command, V, A>,
    pub(super) stores_events: Option<StoresEvents<V, A>>,
}

/// The things that a run leaves behind.
pub(super) struct Ended<V, A> {
    pub(super) trace: Vec<String>,
    pub(super) answers: Vec<Answered<V, A>>,
    /// The streams by entity, and of these by replica.
    pub(super) streams: Vec<Stream>,
    pub(super) verdict: Result<(), Failure>,
}

#[derive(Debug)]
struct History<V, A> {
    answers: Vec<Answered<V, A>>,
    acknowledged: Vec<Acknowledged>,
    under_way: usize,
}

/// A run under way.
struct Run<'a, E: EventSourced, V, A> {
    subject: &'a Subject<E, V, A>,
    plan: &'a Plan<V>,
    cluster: Cluster<Kinds>,
    history: Rc<RefCell<History<V, A>>>,
    trace: Trace,
}

impl<E, V, A> Subject<E, V, A>
where
    E: EventSourced,
    E::Command: Serialize + DeserializeOwned,
    V: Clone + Debug + 'static,
    A: Debug + 'static,
{
    /// Runs a plan to its end. Must be called within a `LocalSet`.
    pub(super) async fn run(&self, plan: &Plan<V>) -> Ended<V, A> {
        let start = SystemClock.now();
        let mut kinds = Kinds::default();
        kinds.add(Arc::new(Provided(self.provider.clone())));
        let form = Form::each_place(&plan.places);
        let nodes = vec![plan.nodes_per_place; plan.places.len()];
        let settings = ShardingSettings::default();
        let cluster = Cluster::new(plan.seed, start, form, &nodes, MEMORY, settings, kinds);
        let history = History { answers: Vec::new(), acknowledged: Vec::new(), under_way: 0 };
        let (history, trace) = (Rc::new(RefCell::new(history)), Trace::new(start));
        let mut run = Run { subject: self, plan, cluster, history, trace };
        let mut verdict = run.through().await;
        let streams = run.streams().await;
        if verdict.is_ok() {
            verdict = run.rules(&streams);
        }
        run.trace.say(format!("{:?}", run.cluster.network.stats()));
        for index in 0..run.cluster.members.len() {
            run.cluster.crash(index);
        }
        let answers = std::mem::take(&mut run.history.borrow_mut().answers);
        Ended { trace: run.trace.lines(), answers, streams, verdict }
    }
}

impl<E, V, A> Run<'_, E, V, A>
where
    E: EventSourced,
    E::Command: Serialize + DeserializeOwned,
    V: Clone + Debug + 'static,
    A: Debug + 'static,
{
    async fn through(&mut self) -> Result<(), Failure> {
        for index in 0..self.cluster.members.len() {
            self.cluster.begin_start(index);
        }
        self.until_ready(READY_WITHIN).await?;
        self.trouble().await?;
        self.trace.say("calm".into());
        self.calm().await
    }

    /// One look at the nodes.
    fn step(&mut self) -> Result<(), Failure> {
        self.cluster.collect();
        self.cluster.restart_fenced();
        self.cluster.end_pauses();
        if let Some(error) = self.cluster.user.refusal() {
            return Err(Failure::of("start", format!("the provider is refused: {error}")));
        }
        single_home::check(&self.cluster).map_err(|why| Failure::of("single home", why))
    }

    async fn until_ready(&mut self, within: Duration) -> Result<(), Failure> {
        let until = SystemClock.now() + within;
        loop {
            self.step()?;
            let is_ready = |cluster: &Cluster<Kinds>| {
                cluster.running().count() == cluster.members.len()
                    && cluster.running().all(|(_, at)| at.sharding.iter().all(|on| on.is_ready()))
            };
            if is_ready(&self.cluster) {
                return Ok(());
            }
            if SystemClock.now() > until {
                let why = format!("expected all nodes to be ready within {within:?}");
                return Err(Failure::of("liveness", why));
            }
            tokio::time::sleep(STEP).await;
        }
    }

    async fn trouble(&mut self) -> Result<(), Failure> {
        let begin = SystemClock.now();
        let plan = self.plan;
        let delay = Duration::from_micros(100)..=plan.delay_max;
        self.cluster.network.set_faults(Faults { delay, ..Faults::default() });
        let mut commands = plan.commands.iter().filter(|command| command.at.is_some()).peekable();
        let mut faults = plan.faults.iter().peekable();
        loop {
            let passed = SystemClock.now() - begin;
            while let Some(command) =
                commands.next_if(|command| command.at.is_some_and(|at| at <= passed))
            {
                self.begin(command, command.node);
            }
            while let Some(fault) = faults.next_if(|fault| fault.at <= passed) {
                let count = self.cluster.members.len() as u64;
                let index = usize::try_from(fault.node % count).unwrap_or(0);
                let name = &self.cluster.members[index].name;
                self.trace.say(format!("fault {} at {name}: {:?}", fault.number, fault.fault));
                let mut random = SplitMix64::new(fault.amount);
                faults::strike(&mut self.cluster, fault.fault, index, fault.amount, &mut random);
            }
            if passed > TROUBLE || (commands.peek().is_none() && faults.peek().is_none()) {
                return Ok(());
            }
            self.step()?;
            tokio::time::sleep(STEP).await;
        }
    }

    /// Ends all faults; then each command of the end must be answered, and all replicas must have
    /// the same events.
    async fn calm(&mut self) -> Result<(), Failure> {
        faults::calm(&mut self.cluster);
        self.until_ready(READY_WITHIN).await?;
        let until = SystemClock.now() + ANSWERS_WITHIN;
        let plan = self.plan;
        for command in plan.commands.iter().filter(|command| command.at.is_none()) {
            self.answered(command, until).await?;
        }
        let until = SystemClock.now() + EQUAL_WITHIN;
        loop {
            self.step()?;
            let under_way = self.history.borrow().under_way;
            let late = if under_way > 0 {
                Some(Failure::of("liveness", format!("{under_way} commands have no answer")))
            } else {
                let streams = self.streams().await;
                let pairs = streams.windows(2).filter(|pair| same_entity(pair));
                let difference = pairs.map(|pair| pair[0].difference(&pair[1])).find_map(|it| it);
                difference.map(|why| Failure::of("convergence", why))
            };
            let Some(late) = late else { return Ok(()) };
            if SystemClock.now() > until {
                return Err(late);
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Sends a command until it is answered.
    async fn answered(
        &mut self,
        command: &PlannedCommand<V>,
        until: Instant,
    ) -> Result<(), Failure> {
        let mut attempts = 0;
        loop {
            self.begin(command, command.node.wrapping_add(attempts));
            attempts += 1;
            while self.history.borrow().under_way > 0 && SystemClock.now() < until + ANSWERS_WITHIN
            {
                self.step()?;
                tokio::time::sleep(STEP).await;
            }
            let answer = {
                let history = self.history.borrow();
                let of = history.answers.iter().rev().find(|one| one.number == command.number);
                of.map(|one| one.answer.as_ref().map(drop).map_err(ToString::to_string))
            };
            match answer {
                Some(Ok(())) => return Ok(()),
                Some(Err(_)) | None if SystemClock.now() < until => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Some(Err(error)) => {
                    let why = format!("command {} at the end: {error}", command.number);
                    return Err(Failure::of("liveness", why));
                }
                None => {
                    let why = format!("command {} at the end has no answer", command.number);
                    return Err(Failure::of("liveness", why));
                }
            }
        }
    }

    /// Begins a command through a running node; its outcome goes to the history.
    fn begin(&self, command: &PlannedCommand<V>, node: u64) {
        let running: Vec<_> = self.cluster.running().collect();
        let Ok(node) = usize::try_from(node % running.len().max(1) as u64) else { return };
        let Some((member, running)) = running.get(node) else { return };
        let Some(sharding) = kinds::sharding::<E>(&running.sharding) else { return };
        let replicas = self.subject.provider.replicas();
        let replica = replicas[command.replica % replicas.len()].clone();
        let entity = format!("e-{}", command.entity);
        let number = command.number;
        let metadata = Metadata::new().with(COMMAND, number.to_string()).expect("a short entry");
        let reference = sharding.entity_ref_for(&entity, &replica).expect("a known replica");
        let reference: EntityRef<E::Command> = reference.with_metadata(metadata);
        self.trace.say(format!(
            "command {number} to {entity} at {replica} through {}: {:?}",
            member.name, command.input
        ));
        let asked = (self.subject.ask)(reference, command.input.clone());
        let (stores, id) = self.stream_of(&entity, &replica);
        let stores_events = self.subject.stores_events.clone();
        let (history, trace, input) =
            (self.history.clone(), self.trace.clone(), command.input.clone());
        history.borrow_mut().under_way += 1;
        tokio::task::spawn_local(async move {
            let answer = asked.await;
            trace.say(format!("command {number}: {answer:?}"));
            let acknowledged = match &answer {
                Ok(value) => {
                    let must = stores_events.is_some_and(|must| must(&input, value));
                    Some(acknowledged(number, &stores, id, must).await)
                }
                Err(_) => None,
            };
            let mut history = history.borrow_mut();
            history.under_way -= 1;
            history.acknowledged.extend(acknowledged);
            history.answers.push(Answered { number, entity, replica, input, answer });
        });
    }

    /// The stores of the place of a replica, without faults, and the id of its stream.
    fn stream_of(&self, entity: &str, replica: &ReplicaId) -> (Stores, ReplicationId) {
        let provider = &self.subject.provider;
        let place = provider.replica_place(replica).unwrap_or(replica.as_str());
        let mut places = self.cluster.places.iter();
        let place = places.position(|(name, _)| name == place).expect("a place of the run");
        let id = ReplicationId::new(provider.entity_type(), entity, replica.clone());
        (self.cluster.stores(place), id.expect("a short id"))
    }

    /// The streams of all replicas of all entities of the plan.
    async fn streams(&self) -> Vec<Stream> {
        let mut entities: Vec<usize> =
            self.plan.commands.iter().map(|command| command.entity).collect();
        entities.sort_unstable();
        entities.dedup();
        let mut streams = Vec::new();
        for entity in entities {
            for replica in self.subject.provider.replicas() {
                let (stores, id) = self.stream_of(&format!("e-{entity}"), replica);
                streams.push(Stream::read(&stores, id).await.expect("memory does not fail"));
            }
        }
        streams
    }

    fn rules(&self, streams: &[Stream]) -> Result<(), Failure> {
        single_writer::check(&self.cluster).map_err(|why| Failure::of("single writer", why))?;
        streams.iter().try_for_each(rules::exactly_once_and_causal)?;
        let is_same = |one: &Stream, other: &Stream| one.id.entity_id() == other.id.entity_id();
        for of_entity in streams.chunk_by(is_same) {
            rules::no_fork(of_entity)?;
        }
        rules::no_lost_write(streams, &self.history.borrow().acknowledged)
    }
}

fn same_entity(pair: &[Stream]) -> bool {
    pair[0].id.entity_id() == pair[1].id.entity_id()
}

/// The record of a command that was answered now.
async fn acknowledged(
    number: usize,
    stores: &Stores,
    id: ReplicationId,
    must_store: bool,
) -> Acknowledged {
    let (entity, replica) = (id.entity_id().to_string(), id.replica_id().clone());
    let stream = Stream::read(stores, id).await.expect("memory does not fail");
    let own = stream.events.iter().filter(|event| event.meta.origin == replica);
    let of_command = own.filter(|event| command_of(event) == Some(number));
    let events = of_command.map(|event| event.meta.origin_nr()).collect();
    Acknowledged { number, entity, replica, events, stores: must_store }
}
