//! What a command does.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use super::EventSourced;
use crate::reply::{ReplyError, ReplyTo};

/// What is done when everything that the command could have seen is durable.
pub(super) trait Prepared: Send {
    fn release(self: Box<Self>);
    fn fail(self: Box<Self>, error: ReplyError);
}

/// A side effect that has not looked at the state yet.
pub(super) trait Then<S>: Send {
    fn prepare(self: Box<Self>, state: &S) -> Box<dyn Prepared>;
    fn fail(self: Box<Self>, error: ReplyError);
}

pub(super) type CommandFuture<C> = Pin<Box<dyn Future<Output = C> + Send>>;

pub(super) enum Kind<E: EventSourced> {
    Persist(Vec<E::Event>),
    None,
    Unhandled,
    Stash(E::Command),
    Asynchronous(CommandFuture<E::Command>),
}

/// What a command does: made by one of the first functions, and refined by those named `then_`.
///
/// Everything visible outside (replies, side effects, futures) happens only when all events that the command could have seen are
/// durable, those of earlier commands too. If they cannot be stored, none of it happens and askers get an error.
#[must_use = "an effect does nothing unless the handler returns it"]
pub struct Effect<E: EventSourced> {
    pub(super) kind: Kind<E>,
    pub(super) then: Vec<Box<dyn Then<E::State>>>,
    pub(super) stop: bool,
    pub(super) unstash: bool,
}

impl<E: EventSourced> Effect<E> {
    fn of(kind: Kind<E>) -> Self {
        Self { kind, then: Vec::new(), stop: false, unstash: false }
    }

    /// Stores one event and applies it.
    pub fn persist(event: E::Event) -> Self {
        Self::of(Kind::Persist(vec![event]))
    }

    /// Stores events together or not at all, here and at every other replica's journal in the same order; at most `command_events_max`.
    pub fn persist_all(events: impl IntoIterator<Item = E::Event>) -> Self {
        Self::of(Kind::Persist(events.into_iter().collect()))
    }

    /// Stores nothing.
    pub fn none() -> Self {
        Self::of(Kind::None)
    }

    /// Stores nothing and answers.
    pub fn reply<R: Serialize + Send + 'static>(reply_to: ReplyTo<R>, value: R) -> Self {
        Self::none().then_reply(reply_to, |_| value)
    }

    /// The command is not for this entity, or not now. It is counted and logged; its asker gets `NoReply`.
    pub fn unhandled() -> Self {
        Self::of(Kind::Unhandled)
    }

    /// Keeps the command for later, until [`Self::then_unstash_all`]; at most `stash_max`.
    pub fn stash(command: E::Command) -> Self {
        Self::of(Kind::Stash(command))
    }

    /// Runs a future and handles the command that it yields before all others. Other commands wait; events of
    /// other replicas do not. If the entity stops or restarts meanwhile, the future is dropped.
    pub fn asynchronous(future: impl Future<Output = E::Command> + Send + 'static) -> Self {
        Self::of(Kind::Asynchronous(Box::pin(future)))
    }

    /// Answers with a value taken from the state after the events.
    pub fn then_reply<R, F>(mut self, reply_to: ReplyTo<R>, value: F) -> Self
    where
        R: Serialize + Send + 'static,
        F: FnOnce(&E::State) -> R + Send + 'static,
    {
        self.then.push(Box::new(ThenReply { reply_to, value }));
        self
    }

    /// Runs a side effect: `read` takes from the state after the events what `run` needs, and `run` runs when they are durable. At
    /// most once: not again at recovery.
    pub fn then_run<T, F, G>(mut self, read: F, run: G) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&E::State) -> T + Send + 'static,
        G: FnOnce(T) + Send + 'static,
    {
        self.then.push(Box::new(ThenRun { read, run }));
        self
    }

    /// Stops the entity after that. The next command starts it again.
    pub fn then_stop(mut self) -> Self {
        self.stop = true;
        self
    }

    /// Handles all stashed commands next, oldest first.
    pub fn then_unstash_all(mut self) -> Self {
        self.unstash = true;
        self
    }
}

struct ThenReply<R, F> {
    reply_to: ReplyTo<R>,
    value: F,
}

impl<S, R, F> Then<S> for ThenReply<R, F>
where
    R: Serialize + Send + 'static,
    F: FnOnce(&S) -> R + Send + 'static,
{
    fn prepare(self: Box<Self>, state: &S) -> Box<dyn Prepared> {
        Box::new(PreparedReply { reply_to: self.reply_to, value: (self.value)(state) })
    }

    fn fail(self: Box<Self>, error: ReplyError) {
        self.reply_to.fail(error);
    }
}

struct PreparedReply<R> {
    reply_to: ReplyTo<R>,
    value: R,
}

impl<R: Serialize + Send + 'static> Prepared for PreparedReply<R> {
    fn release(self: Box<Self>) {
        self.reply_to.reply(self.value);
    }

    fn fail(self: Box<Self>, error: ReplyError) {
        self.reply_to.fail(error);
    }
}

struct ThenRun<F, G> {
    read: F,
    run: G,
}

impl<S, T, F, G> Then<S> for ThenRun<F, G>
where
    T: Send + 'static,
    F: FnOnce(&S) -> T + Send + 'static,
    G: FnOnce(T) + Send + 'static,
{
    fn prepare(self: Box<Self>, state: &S) -> Box<dyn Prepared> {
        Box::new(PreparedRun { seen: (self.read)(state), run: self.run })
    }

    fn fail(self: Box<Self>, _error: ReplyError) {}
}

struct PreparedRun<T, G> {
    seen: T,
    run: G,
}

impl<T, G> Prepared for PreparedRun<T, G>
where
    T: Send + 'static,
    G: FnOnce(T) + Send + 'static,
{
    fn release(self: Box<Self>) {
        (self.run)(self.seen);
    }

    fn fail(self: Box<Self>, _error: ReplyError) {}
}
