//! The actor around a pipeline and a course: messages become inputs, effects become tasks.

use antiphon_base::task;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::anchors::Anchors;
use super::course::{Course, Request, Step};
use super::flow::Flow;
use super::message::{Message, tell};
use super::parts::Parts;
use super::reader::ReaderTask;
use super::tasks::{self, ToPark, Verdicts};
use crate::pipeline::{Effect, Generation, Input, Now, Pipeline};
use crate::source::{Bookmark, Position};

pub(super) struct Arguments {
    pub(super) parts: Parts,
    pub(super) bookmark: Option<Bookmark>,
    pub(super) tell_end: oneshot::Sender<Result<(), String>>,
}

pub(super) struct SubscriptionActor;

pub(super) struct State {
    parts: Parts,
    core: Pipeline,
    flow: Flow,
    course: Course,
    anchors: Anchors,
    jitter: u64,
    reader: Option<JoinHandle<()>>,
    verdicts: Option<(Generation, mpsc::Sender<Verdicts>)>,
    settling: Option<JoinHandle<()>>,
    to_park: mpsc::Sender<ToPark>,
    wake: watch::Sender<Option<Instant>>,
    /// Tasks that live as long as the actor.
    tasks: Vec<JoinHandle<()>>,
    tell_end: Option<oneshot::Sender<Result<(), String>>>,
}

impl Drop for State {
    fn drop(&mut self) {
        let tasks = self.tasks.drain(..).chain(self.reader.take()).chain(self.settling.take());
        tasks.for_each(|task| task.abort());
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
        let Arguments { parts, bookmark, tell_end } = arguments;
        let anchors = Anchors::starting_at(bookmark.as_ref());
        let position = bookmark.map(|bookmark| bookmark.position);
        let core = Pipeline::new(parts.pipeline.clone(), position)?;
        let held = parts.pipeline.held_count_max;
        let (wake, wakes) = watch::channel(None);
        // never full: an event to be parked is held
        let (to_park, parked) = mpsc::channel(held);
        let tasks = vec![
            tasks::park(parts.parking.clone(), parts.clock.clone(), parked, myself.clone()),
            tasks::wake(wakes, myself.clone()),
            tasks::watch_parked(
                parts.source.clone(),
                parts.parking.clone(),
                parts.monitor.clone(),
                parts.head_interval,
            ),
            tasks::watch_head(
                parts.source.clone(),
                parts.monitor.clone(),
                parts.head_interval,
                (parts.run_once && parts.source.knows_head()).then(|| myself.clone()),
            ),
        ];
        tell(&myself, Input::Start);
        Ok(State {
            flow: Flow::new(held, parts.held_bytes_max),
            core,
            jitter: Uuid::new_v4().as_u64_pair().0 | 1,
            course: Course::new(parts.run_once),
            anchors,
            reader: None,
            verdicts: None,
            settling: None,
            to_park,
            wake,
            tasks,
            tell_end: Some(tell_end),
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
            Message::Opened(generation, settler, went_back) => {
                if let Some(position) = went_back {
                    state.anchors.went_back();
                    state.advance(&myself, Input::WentBack(generation, position));
                }
                let (sender, receiver) = mpsc::channel(state.parts.pipeline.held_count_max);
                state.verdicts = Some((generation, sender));
                state.settling = Some(tasks::settle(generation, settler, receiver, myself.clone()));
                state.advance(&myself, Input::Opened(generation));
            }
            Message::Failed(reason) => state.end(&myself, Err(reason)).await,
            Message::Target(position) => {
                state.course.step(Step::Target(position));
                state.keep_course(&myself);
            }
        }
        Ok(())
    }
}

impl State {
    fn advance(&mut self, myself: &ActorRef<Message>, input: Input) {
        match &input {
            Input::Arrived(_, deliveries) => {
                deliveries.iter().for_each(|delivery| self.parts.monitor.delivered(delivery));
                self.course.step(Step::Arrived(deliveries));
                self.anchors.delivered(deliveries);
            }
            Input::CheckpointSaved(Ok(())) => self.anchors.saved(),
            Input::Drain => self.flow.close(),
            Input::Start
            | Input::Opened(_)
            | Input::OpenFailed { .. }
            | Input::SourceLost { .. }
            | Input::Written(..)
            | Input::Parked(..)
            | Input::WentBack(..)
            | Input::CheckpointSaved(Err(_))
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
        self.wake.send_replace(self.core.next_wake());
        self.keep_course(myself);
    }

    fn keep_course(&mut self, myself: &ActorRef<Message>) {
        if let Some(position) = self.core.position() {
            self.anchors.done(position);
        }
        let (held_count, held_bytes) = (self.core.held_count(), self.core.held_bytes());
        let advanced = Step::Advanced { position: self.core.position(), held_count, held_bytes };
        for request in self.course.step(advanced) {
            match request {
                Request::Released(count) => self.parts.monitor.released(count),
                Request::BytesDone(bytes) => self.flow.done(bytes),
                Request::Drain => tell(myself, Input::Drain),
            }
        }
    }

    fn perform(&mut self, myself: &ActorRef<Message>, effect: Effect) {
        match effect {
            Effect::Open(generation, position) => self.open(myself, generation, position),
            Effect::Close => self.close(),
            Effect::Write { write, batch, .. } => {
                tasks::write(self.parts.sink.clone(), write, batch, myself.clone());
            }
            Effect::Settle(verdicts) => self.settle(myself, verdicts),
            Effect::Park { seq, envelope, reason } => {
                if self.to_park.try_send(ToPark { seq, envelope, reason }).is_err() {
                    let full = Err("the parking task takes no more".to_owned());
                    tell(myself, Input::Parked(seq, full));
                }
            }
            Effect::SaveCheckpoint(position) => {
                let bookmark = self.anchors.saving(position);
                tasks::save(self.parts.checkpoints.clone(), bookmark, myself.clone());
            }
            Effect::Probe => tasks::probe(self.parts.sink.clone(), myself.clone()),
            Effect::Release(count) => self.flow.release(count),
            Effect::Note(note) => {
                self.parts.monitor.note(&note);
                self.course.step(Step::Noted(&note));
            }
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
            position: position.map(|position| self.anchors.bookmark(position)),
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
            tell(myself, Input::SourceLost { generation, reason, is_final: false });
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
