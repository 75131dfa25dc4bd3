//! The ractor actor around an engine: messages to inputs, actions to I/O.
//!
//! Rules of the actor itself: it refuses inputs after the end, withholds actions after a kill, and
//! withholds answers when the host does not allow them.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::guard::{self, Guarded};
use antiphon_base::task;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::asynchronous::{self, AsynchronousFailure, CommandFuture, OutcomeFuture};
use super::engine::{Action, Engine, Generation, Input, Now, Release, Releases};
use super::futures::Futures;
use super::mailbox::Receiving;
use super::message::{EntityMessage, send_input, start};
use super::parts::Inner;
use super::signs::{EMPTY, FULL, UNKNOWN};
use super::storing::EntityIo;
use super::surroundings::Address;
use super::{EntityCounters, EventSourced, StopReason, Writes};
use crate::identity::ReplicationId;
use crate::reply::{Askers, ReplyError};

/// Longest time after which a step takes no more commands: answers are let out, and a stop, a kill
/// and the time limits of the other commands are looked at.
const STEP_TIME_MAX: Duration = Duration::from_millis(1);

pub(super) struct EntityActor<E>(PhantomData<fn() -> E>);

impl<E> EntityActor<E> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(super) struct Arguments<E: EventSourced> {
    pub(super) id: ReplicationId,
    pub(super) mailbox: Receiving<E::Command>,
    pub(super) writes: Arc<Writes>,
    pub(super) runtime: Arc<Inner<E>>,
}

pub(super) struct State<E: EventSourced> {
    /// The entity's identity, stores and writes. Its writes are closed from outside when the entity
    /// is killed: no later action is carried out.
    io: EntityIo<E>,
    mailbox: Receiving<E::Command>,
    /// `None` when the entity could not be started.
    engine: Option<Engine<E>>,
    permit: Option<OwnedSemaphorePermit>,
    permit_request: Option<JoinHandle<()>>,
    /// The futures that are under way; `None`: there is none.
    futures: Option<Box<Futures>>,
    /// The wait for the earliest timer.
    timers: Option<JoinHandle<()>>,
    /// The room for the actions of a step. It is kept while more commands are in the mailbox.
    actions: Vec<Action<E>>,
    /// The answer to commands when the entity is gone; other inputs are dropped then.
    refusal: Option<ReplyError>,
}

impl<E: EventSourced> State<E> {
    fn futures(&mut self) -> &mut Futures {
        self.futures.get_or_insert_default()
    }

    /// Forgets the future that has ended with this input.
    fn ended(&mut self, input: &Input<E>) {
        if let Some(futures) = &mut self.futures
            && futures.ended(input)
        {
            self.futures = None;
        }
    }

    /// Tells the host that the entity is gone, then does `after`. Both wait for the end of an
    /// append that is under way: another incarnation that reads the journal before that end would
    /// miss the events of the append.
    fn tell_gone(&self, reason: StopReason, after: impl FnOnce() + Send + 'static) {
        self.io.writes.close();
        self.mailbox.signs().gone.store(true, Ordering::Release);
        let (id, runtime, writes) =
            (self.io.id.clone(), self.io.runtime.clone(), self.io.writes.clone());
        if writes.count() == 0 {
            runtime.parts.host.stopped(&id, reason);
            return after();
        }
        if tokio::runtime::Handle::try_current().is_err() {
            // the process ends, and no other incarnation starts in it
            return;
        }
        task::spawn("the last append of an entity", async move {
            writes.none().await;
            runtime.parts.host.stopped(&id, reason);
            after();
        });
    }
}

impl<E: EventSourced> Drop for State<E> {
    fn drop(&mut self) {
        let tasks = [&mut self.permit_request, &mut self.timers];
        for task in tasks.into_iter().filter_map(Option::take) {
            task.abort();
        }
        self.futures = None;
        if self.refusal.is_none() {
            // the actor was killed, or a bug made it panic: the host must still hear of its end
            self.tell_gone(StopReason::Failed("the entity's actor ended".into()), || {});
        }
    }
}

impl<E: EventSourced> Actor for EntityActor<E> {
    type Msg = EntityMessage<E>;
    type State = State<E>;
    type Arguments = Arguments<E>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Arguments<E>,
    ) -> Result<State<E>, ActorProcessingErr> {
        let Arguments { id, mailbox, writes, runtime } = arguments;
        let address = Address::Actor(myself.get_cell(), mailbox.sending());
        let (engine, failure) = match runtime.engine(&id, address).await {
            Ok(engine) => (Some(engine), None),
            Err(why) => (None, Some(why)),
        };
        let mut state = State {
            io: EntityIo { id, writes, runtime },
            mailbox,
            engine,
            permit: None,
            permit_request: None,
            futures: None,
            timers: None,
            actions: Vec::new(),
            refusal: None,
        };
        if let Some(why) = failure {
            EntityCounters::add(&state.io.runtime.counters.starts_failed, 1);
            let refusal = ReplyError::Failed(why.clone());
            stopped(&myself, &mut state, StopReason::NotStarted(why), refusal);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State<E>,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            EntityMessage::Commands => {
                let (commands, has_more) = state.mailbox.take();
                if has_more {
                    let _ = myself.send_message(EntityMessage::Commands);
                }
                Input::Commands(commands)
            }
            EntityMessage::Input(input) => {
                state.ended(&input);
                *input
            }
            EntityMessage::Replicated(events) => {
                state.mailbox.signs().arriving.fetch_sub(events.len(), Ordering::AcqRel);
                Input::Replicated(events)
            }
            EntityMessage::Permit(generation, permit) => {
                state.permit = Some(permit);
                Input::PermitGranted(generation)
            }
            EntityMessage::End => {
                myself.stop(None);
                return Ok(());
            }
        };
        if matches!(input, Input::Stop) {
            // the message of the commands that wait may be behind the stop
            let waiting = state.mailbox.take_all();
            if !waiting.is_empty() {
                advance(&myself, state, Input::Commands(waiting));
            }
        }
        advance(&myself, state, input);
        Ok(())
    }
}

/// Advances the entity by one input, and carries the actions out. Refuses the input after the end.
fn advance<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    input: Input<E>,
) {
    if let Some(refusal) = &state.refusal {
        return input.refuse(refusal.clone());
    }
    let is_retry = matches!(input, Input::Wake | Input::Pulled(..));
    let mut actions = std::mem::take(&mut state.actions);
    let State { io, engine, mailbox, .. } = state;
    let engine = engine.as_mut().expect("an entity without an engine refuses");
    if io.writes.is_closed() {
        input.refuse(ReplyError::NotHere("the entity is stopping".to_owned()));
        step(io, engine, Input::Kill, &mut actions);
    } else {
        step(io, engine, input, &mut actions);
    }
    if io.writes.is_closed() && engine.is_at_work() {
        // the entity was killed while application code ran: its shard may live elsewhere by now
        let given_up = std::mem::take(&mut actions);
        step(io, engine, Input::Kill, &mut actions);
        given_up.into_iter().for_each(Action::withhold);
    }
    // before the actions give slots of the mailbox back: stashed commands have none
    let is_empty = engine.is_empty();
    let is_empty = is_empty.map_or(UNKNOWN, |is_empty| if is_empty { EMPTY } else { FULL });
    mailbox.signs().set_empty(is_empty);
    for action in actions.drain(..) {
        run(myself, state, action);
    }
    if state.mailbox.signs().taken.load(Ordering::Relaxed) > 0 {
        state.actions = actions;
    } else if let Some(engine) = &mut state.engine {
        engine.shrink();
    }
    if is_retry && state.refusal.is_none() {
        look_at_doubts(myself, state);
    }
}

/// Advances the engine, for so long as the step may take. A panic is a bug of the engine: the
/// entity is stopped then, since its memory can be wrong.
fn step<E: EventSourced>(
    io: &EntityIo<E>,
    engine: &mut Engine<E>,
    input: Input<E>,
    actions: &mut Vec<Action<E>>,
) {
    let clock = &io.runtime.parts.clock;
    let (instant, wall) = clock.both();
    let goes_on = || !io.writes.is_closed() && clock.now() - instant < STEP_TIME_MAX;
    let now = Now { instant, wall };
    let stepped =
        guard::call("Engine::step", &io.id, || engine.step_into(now, input, actions, &goes_on));
    if let Err(failure) = stepped {
        guard::drop_each("Drop of an action", &io.id, actions.drain(..));
        actions.extend(engine.break_off(&failure.text));
    }
}

/// Ends the doubts that the host does not have any more.
fn look_at_doubts<E: EventSourced>(myself: &ActorRef<EntityMessage<E>>, state: &mut State<E>) {
    let doubting = state.engine.as_mut().filter(|engine| engine.is_in_doubt());
    let Some(engine) = doubting else { return };
    let still = state.io.runtime.parts.host.doubts(&state.io.id);
    for replica in engine.compare_doubts(&still) {
        send_input(myself, Input::Vouched(replica));
    }
}

/// Ends the entity. Once the host knows, no more messages are sent to the actor, so `End` is the
/// last message, and every message before it is refused.
fn stopped<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    reason: StopReason,
    refusal: ReplyError,
) {
    state.refusal = Some(refusal);
    let myself = myself.clone();
    state.tell_gone(reason, move || {
        let _ = myself.send_message(EntityMessage::End);
    });
}

fn run<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    action: Action<E>,
) {
    let parts = &state.io.runtime.parts;
    match action {
        Action::RequestPermit(generation) => request_permit(myself, state, generation),
        Action::ReleasePermit => {
            state.permit = None;
            if let Some(request) = state.permit_request.take() {
                request.abort();
            }
        }
        Action::Release(releases) => release(state, releases),
        Action::Publish(events) => parts.host.published(&state.io.id, &events),
        Action::Durable(events) => state.io.runtime.kin().listeners.tell(&state.io.id, events),
        Action::Received(times) => parts.host.received(&state.io.id, &times),
        Action::CaughtUp(replica, highest) => {
            parts.host.caught_up(&state.io.id, &replica, highest);
        }
        Action::Held(replica, highest, held) => {
            parts.host.held(&state.io.id, &replica, highest, &held);
        }
        Action::AskSkip(generation, origin, number) => {
            state.io.ask_skip(myself, generation, origin, number);
        }
        Action::RunAsynchronous(generation, future, held_up) => {
            hold_up(myself, state, (generation, held_up), future);
        }
        Action::RunBeside(generation, number, future) => {
            run_beside(myself, state, (generation, number), future);
        }
        Action::DropAsynchronous => state.futures = None,
        Action::WakeAfter(time) => drop(wake_after(myself, time)),
        Action::WakeForTimers(time) => {
            if let Some(before) = state.timers.replace(wake_after(myself, time)) {
                before.abort();
            }
        }
        Action::GoOn => {
            send_input(myself, Input::GoOn);
        }
        Action::Passivate => {
            if !parts.host.passivate(&state.io.id) {
                send_input(myself, Input::Stop);
            }
        }
        Action::WentBack => parts.host.went_back(&state.io.id),
        Action::Forked(number) => parts.host.forked(&state.io.id, number),
        Action::Reclaimed => parts.host.reclaimed(&state.io.id),
        Action::Fenced(error) => parts.host.fenced(&state.io.id, &error),
        Action::Stopped(reason) => {
            let refusal = ReplyError::NotHere(reason.why());
            stopped(myself, state, reason, refusal);
        }
        action @ (Action::LoadSnapshot(..)
        | Action::Replay(..)
        | Action::FindHighest(_)
        | Action::Append(..)
        | Action::FindReminder(..)
        | Action::ReadReactions(..)
        | Action::ChangeReminders(_)
        | Action::Pull(..)
        | Action::SaveSnapshot(..)
        | Action::VoidSnapshots(..)
        | Action::DeleteSnapshots(..)
        | Action::DeleteEvents(..)) => state.io.store(myself, action),
    }
}

/// Runs the future of an asynchronous effect; an earlier one is dropped.
fn hold_up<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    (generation, (askers, number)): (Generation, (Option<Askers>, u64)),
    future: CommandFuture<E::Command>,
) {
    let askers = Some(Askers::and(askers.as_ref(), &state.io.id, number));
    let limit = state.io.runtime.settings.asynchronous_timeout;
    let future = Guarded::new("asynchronous", state.io.id.to_string(), future);
    let task = start("asynchronous effect", myself, async move {
        Input::AsynchronousDone(generation, asynchronous::wait(future, limit, askers).await)
    });
    state.futures().hold_up(generation, task);
}

/// Runs a future beside the commands, or answers with the failure in its place.
fn run_beside<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    (generation, number): (Generation, u64),
    future: Result<OutcomeFuture, AsynchronousFailure>,
) {
    let future = match future {
        Ok(future) => future,
        Err(failure) => {
            send_input(myself, Input::BesideDone(generation, number, Err(failure)));
            return;
        }
    };
    let limit = state.io.runtime.settings.asynchronous_timeout;
    let future = Guarded::new("then_asynchronous", state.io.id.to_string(), future);
    let task = start("asynchronous effect", myself, async move {
        Input::BesideDone(generation, number, asynchronous::wait(future, limit, None).await)
    });
    state.futures().beside(generation, number, task);
}

fn wake_after<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    time: Duration,
) -> JoinHandle<()> {
    start("entity wake", myself, async move {
        tokio::time::sleep(time).await;
        Input::Wake
    })
}

fn request_permit<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    generation: Generation,
) {
    let (permits, to) = (state.io.runtime.permits.clone(), myself.clone());
    state.permit_request = Some(task::spawn("recovery permit", async move {
        let permit = permits.acquire_owned().await.expect("the permits are never closed");
        let _ = to.send_message(EntityMessage::Permit(generation, permit));
    }));
}

fn release<E: EventSourced>(state: &State<E>, releases: Releases) {
    if state.io.runtime.parts.host.may_release() {
        return releases.into_iter().for_each(Release::release);
    }
    EntityCounters::add(&state.io.runtime.counters.answers_withheld, releases.len());
    releases.into_iter().for_each(Release::withhold);
}
