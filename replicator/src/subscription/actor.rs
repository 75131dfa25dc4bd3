//! The actor around a pipeline: messages become inputs, effects become tasks. The only rule here is
//! the end of a subscription that runs once.

use std::sync::Arc;

use antiphon_base::task;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::Parts;
use super::flow::Flow;
use super::lane::{LaneActor, LaneState, LaneWrite};
use super::reader::{ReaderTask, size};
use super::tasks::{self, ToPark, Verdicts};
use crate::pipeline::{Effect, Generation, Input, Note, Now, Pipeline};
use crate::source::{Delivery, Position, Settler};

/// A message to a subscription.
pub(super) enum Message {
    Input(Input),
    /// The source is open; this is its settling half.
    Opened(Generation, Box<dyn Settler>),
    /// The subscription cannot continue, for this reason.
    Failed(String),
    /// The newest event at the start, for a subscription that runs once.
    Target(Option<Position>),
}

impl ractor::Message for Message {}

pub(super) struct Arguments {
    pub(super) parts: Parts,
    pub(super) position: Option<Position>,
    pub(super) tell_end: oneshot::Sender<Result<(), String>>,
}

pub(super) struct SubscriptionActor;

pub(super) struct State {
    parts: Parts,
    core: Pipeline,
    flow: Flow,
    jitter: u64,
    received_bytes: usize,
    lanes: Vec<ActorRef<LaneWrite>>,
    reader: Option<JoinHandle<()>>,
    verdicts: Option<(Generation, mpsc::Sender<Verdicts>)>,
    settling: Option<JoinHandle<()>>,
    to_park: mpsc::Sender<ToPark>,
    wake: watch::Sender<Option<Instant>>,
    /// Tasks that live as long as the actor.
    tasks: Vec<JoinHandle<()>>,
    tell_end: Option<oneshot::Sender<Result<(), String>>>,
    target: Option<Target>,
}

/// The end of a subscription that runs once.
struct Target {
    position: Option<Position>,
    reached: Option<Position>,
}

impl Drop for State {
    fn drop(&mut self) {
        let tasks = self.tasks.drain(..).chain(self.reader.take()).chain(self.settling.take());
        tasks.for_each(|task| task.abort());
        self.lanes.iter().for_each(|lane| lane.stop(None));
    }
}

impl Actor for SubscriptionActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { parts, position, tell_end } = arguments;
        let core = Pipeline::new(parts.pipeline.clone(), position)?;
        let mut lanes = Vec::with_capacity(parts.pipeline.lane_count);
        for _ in 0..parts.pipeline.lane_count {
            let state = LaneState { sink: parts.sink.clone(), subscription: myself.clone() };
            lanes.push(Actor::spawn(None, LaneActor, state).await?.0);
        }
        let held = parts.pipeline.held_count_max;
        let (wake, wakes) = watch::channel(None);
        // never full: an event to be parked is held
        let (to_park, parked) = mpsc::channel(held);
        let tasks = vec![
            tasks::park(parts.parking.clone(), parts.clock.clone(), parked, myself.clone()),
            tasks::wake(wakes, myself.clone()),
            tasks::watch_head(parts.source.clone(), parts.monitor.clone(), parts.head_interval),
        ];
        if parts.run_once && parts.source.knows_head() {
            find_target(&parts, myself.clone());
        }
        let _ = myself.cast(Message::Input(Input::Start));
        Ok(State {
            flow: Flow::new(held, parts.held_bytes_max),
            core,
            jitter: Uuid::new_v4().as_u64_pair().0 | 1,
            received_bytes: 0,
            lanes,
            reader: None,
            verdicts: None,
            settling: None,
            to_park,
            wake,
            tasks,
            tell_end: Some(tell_end),
            target: None,
            parts,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Input(input) => state.advance(&myself, input),
            Message::Opened(generation, settler) => {
                let (sender, receiver) = mpsc::channel(state.parts.pipeline.held_count_max);
                state.verdicts = Some((generation, sender));
                state.settling = Some(tasks::settle(generation, settler, receiver, myself.clone()));
                state.advance(&myself, Input::Opened(generation));
            }
            Message::Failed(reason) => state.end(&myself, Err(reason)).await,
            Message::Target(position) => {
                state.target = Some(Target { position, reached: None });
                state.end_at_target(&myself);
            }
        }
        Ok(())
    }
}

impl State {
    fn advance(&mut self, myself: &ActorRef<Message>, input: Input) {
        let held = self.core.held_count();
        let mut arrived = 0;
        match &input {
            Input::Arrived(_, deliveries) => {
                deliveries.iter().for_each(|delivery| self.parts.monitor.delivered(delivery));
                self.received_bytes += deliveries.iter().map(size).sum::<usize>();
                arrived = deliveries.iter().filter(|delivery| is_counted(delivery)).count();
            }
            Input::Drain => self.flow.close(),
            Input::Start
            | Input::Opened(_)
            | Input::OpenFailed { .. }
            | Input::SourceLost { .. }
            | Input::Written(..)
            | Input::Parked(..)
            | Input::CheckpointSaved(_)
            | Input::Probed(_)
            | Input::Tick => {}
        }
        // xorshift: enough for delays that only have to differ between processes
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let jitter = u16::try_from(self.jitter % 1001).unwrap_or_default();
        let now = Now { at: self.parts.clock.now(), jitter };
        for effect in self.core.step(now, input) {
            self.perform(myself, effect);
        }
        self.parts.monitor.released(held + arrived - self.core.held_count());
        self.flow.done(self.received_bytes - self.core.held_bytes());
        self.wake.send_replace(self.core.next_wake());
        self.end_at_target(myself);
    }

    fn perform(&mut self, myself: &ActorRef<Message>, effect: Effect) {
        match effect {
            Effect::Open(generation, position) => self.open(myself, generation, position),
            Effect::Close => self.close(),
            Effect::Write { write, lane, batch } => {
                // a lane lives as long as this actor
                let _ = self.lanes[lane].cast(LaneWrite { write, batch });
            }
            Effect::Settle(verdicts) => self.settle(myself, verdicts),
            Effect::Park { seq, envelope, reason } => {
                if self.to_park.try_send(ToPark { seq, envelope, reason }).is_err() {
                    let full = Err("the parking task takes no more".to_owned());
                    let _ = myself.cast(Message::Input(Input::Parked(seq, full)));
                }
            }
            Effect::SaveCheckpoint(position) => {
                let (store, actor) = (self.parts.checkpoints.clone(), myself.clone());
                task::spawn("checkpoint", async move {
                    let saved = store.save(&position).await.map_err(|error| error.to_string());
                    let _ = actor.cast(Message::Input(Input::CheckpointSaved(saved)));
                });
            }
            Effect::Probe => {
                let (sink, actor) = (self.parts.sink.clone(), myself.clone());
                task::spawn("probe", async move {
                    let probed = sink.probe().await.map_err(|error| error.to_string());
                    let _ = actor.cast(Message::Input(Input::Probed(probed)));
                });
            }
            Effect::Release(count) => self.flow.release(count),
            Effect::Note(note) => self.note(&note),
            Effect::Drained => self.end_later(myself, Ok(())),
            Effect::Fail(reason) => self.end_later(myself, Err(reason)),
        }
    }

    fn open(
        &mut self,
        myself: &ActorRef<Message>,
        generation: Generation,
        position: Option<Position>,
    ) {
        let reader = ReaderTask {
            source: self.parts.source.clone(),
            shaping: self.parts.shaping.clone(),
            flow: self.flow.clone(),
            actor: myself.clone(),
            generation,
            position,
        };
        self.reader = Some(task::spawn("read", reader.run()));
    }

    fn close(&mut self) {
        self.verdicts = None;
        for task in self.reader.take().into_iter().chain(self.settling.take()) {
            task.abort();
        }
    }

    fn settle(&mut self, myself: &ActorRef<Message>, verdicts: Verdicts) {
        let verdicts_to = self.verdicts.as_ref().filter(|_| !self.parts.settles_nothing);
        let Some((generation, sender)) = verdicts_to else { return };
        if sender.try_send(verdicts).is_err() {
            // the next opening delivers unsettled events again
            let (generation, reason) = (*generation, "the source takes no answers".to_owned());
            let lost = Input::SourceLost { generation, reason, is_final: false };
            let _ = myself.cast(Message::Input(lost));
        }
    }

    fn note(&mut self, note: &Note) {
        self.parts.monitor.note(note);
        if self.parts.run_once && *note == Note::CaughtUp {
            // all events that were there are delivered: only the held ones are left
            self.target = Some(Target { position: None, reached: None });
        }
        let Some(target) = &mut self.target else { return };
        if let Note::Completed { envelope, .. }
        | Note::Skipped { envelope, .. }
        | Note::Parked { envelope, .. }
        | Note::Unresolved(envelope) = note
        {
            target.reached = Some(Position::Stream(envelope.current_revision()));
        }
    }

    /// Ends a subscription that runs once, when no event is held and the newest event of the start
    /// is done.
    fn end_at_target(&mut self, myself: &ActorRef<Message>) {
        let Some(target) = &self.target else { return };
        let reached = self.core.position().or(target.reached.as_ref());
        let is_there = match (&target.position, reached) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(reached)) => !reached.is_before(wanted),
        };
        if is_there && self.core.held_count() == 0 {
            self.target = None;
            let _ = myself.cast(Message::Input(Input::Drain));
        }
    }

    /// Ends the actor after the verdicts in progress are sent to the source.
    fn end_later(&mut self, myself: &ActorRef<Message>, result: Result<(), String>) {
        self.verdicts = None;
        let settling = self.settling.take();
        let (actor, tell_end) = (myself.clone(), self.tell_end.take());
        let sink = self.parts.sink.clone();
        task::spawn("end", async move {
            if let Some(settling) = settling {
                let _ = settling.await;
            }
            if let Err(error) = sink.close().await {
                tracing::warn!(%error, "the sink is not closed");
            }
            if let Some(tell_end) = tell_end {
                let _ = tell_end.send(result);
            }
            actor.stop(None);
        });
    }

    async fn end(&mut self, myself: &ActorRef<Message>, result: Result<(), String>) {
        self.close();
        if let Some(tell_end) = self.tell_end.take() {
            let _ = tell_end.send(result);
        }
        myself.stop(None);
    }
}

fn is_counted(delivery: &Delivery) -> bool {
    match delivery {
        Delivery::Event(_) | Delivery::Unresolved(_) | Delivery::Excluded(_) => true,
        Delivery::Mark(_) | Delivery::CaughtUp | Delivery::FellBehind => false,
    }
}

fn find_target(parts: &Parts, actor: ActorRef<Message>) {
    let (source, interval): (Arc<_>, _) = (parts.source.clone(), parts.head_interval);
    task::spawn("target", async move {
        loop {
            match source.head().await {
                Ok(head) => {
                    let _ = actor.cast(Message::Target(head));
                    return;
                }
                Err(error) => tracing::warn!(%error, "the newest event is not known yet"),
            }
            tokio::time::sleep(interval).await;
        }
    });
}
