//! The effect of a command: events, answers, side effects, stash, futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use antiphon_base::guard;
use serde::Serialize;

use super::EventSourced;
use crate::reply::{Claim, CommandEffect, ReplyError, ReplyTo, refuse_claimed, with_panic_reason};

/// The visible part of an effect, done when everything that the command could have seen is durable.
/// No function panics. `claim` is the claim of the command.
pub(super) trait Prepared: Send {
    /// Returns whether the release does more than to answer.
    fn acts(&self) -> bool {
        false
    }

    /// Lets the visible part out. `effect` is the effect of the command, for the error that the
    /// asker gets if the application failed to make the answer.
    fn release(self: Box<Self>, claim: &Claim, effect: CommandEffect);
    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError);
}

/// An answer or side effect that has not looked at the state yet. Neither function panics. `claim`
/// is the claim of the command.
pub(super) trait Then<S>: Send {
    fn prepare(self: Box<Self>, state: &S) -> Box<dyn Prepared>;
    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError);
}

pub(super) type CommandFuture<C> = Pin<Box<dyn Future<Output = C> + Send>>;

/// The reason why an asynchronous effect has no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsynchronousFailure {
    /// The future has not ended in time (`asynchronous_timeout`) and was dropped; it may have
    /// acted.
    TimedOut,
    /// The future panicked; it may have acted before.
    Panicked,
}

impl fmt::Display for AsynchronousFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => {
                "an asynchronous effect has not ended in time (`asynchronous_timeout`)"
            }
            Self::Panicked => "an asynchronous effect panicked",
        })
    }
}

/// Makes a command of a failure.
pub(super) type OnFailure<C> = Box<dyn FnOnce(AsynchronousFailure) -> C + Send>;

pub(super) enum Kind<E: EventSourced> {
    Persist(Vec<E::Event>),
    None,
    Unhandled,
    Stash(E::Command),
    Asynchronous(CommandFuture<E::Command>, Option<OnFailure<E::Command>>),
}

/// The effect of a command: made by one of the first functions, refined by the functions `then_*`.
///
/// Everything visible outside (replies, side effects, futures) happens only when all events that
/// the command could have seen are durable, including the events of earlier commands. If these
/// cannot be stored, nothing visible happens and askers get an error.
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

    /// Stores events together or not at all in this place's journal, and in the same order in every
    /// other replica's journal; at most `command_events_max`.
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

    /// Drops the command: it is not for this entity, or not now. The command is counted and logged;
    /// its asker gets `NoReply`.
    pub fn unhandled() -> Self {
        Self::of(Kind::Unhandled)
    }

    /// Keeps the command for later, until [`Self::then_unstash_all`]; at most `stash_max`. A
    /// stashed command leaves its room in the mailbox (`mailbox_max`) to others. Not to be combined
    /// with `then_reply` and `then_run`: these are not run, and an asker that waits for an answer
    /// from them gets `Unanswered`.
    pub fn stash(command: E::Command) -> Self {
        Self::of(Kind::Stash(command))
    }

    /// Runs a future and handles the command that it yields before all others. Other commands wait;
    /// events of other replicas do not. If the entity stops or restarts meanwhile, the future is
    /// dropped. If the future panics, or has not ended after `asynchronous_timeout`, it is dropped
    /// and counted, its askers get an error, and the entity goes on; [`Self::asynchronous_or`]
    /// tells the entity of such a failure. Not to be combined with `then_reply` and `then_run`, as
    /// [`Self::stash`]: the command that the future yields has its own.
    pub fn asynchronous(future: impl Future<Output = E::Command> + Send + 'static) -> Self {
        Self::of(Kind::Asynchronous(Box::pin(future), None))
    }

    /// The same; `failed` makes a command of a failure of the future. The entity handles that
    /// command instead of the future's command.
    pub fn asynchronous_or(
        future: impl Future<Output = E::Command> + Send + 'static,
        failed: impl FnOnce(AsynchronousFailure) -> E::Command + Send + 'static,
    ) -> Self {
        Self::of(Kind::Asynchronous(Box::pin(future), Some(Box::new(failed))))
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

    /// Runs a side effect, at most once: not again at recovery. `read` takes the input of `run`
    /// from the state after the events, and `run` runs when the events are durable.
    pub fn then_run<T, F, G>(mut self, read: F, run: G) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&E::State) -> T + Send + 'static,
        G: FnOnce(T) + Send + 'static,
    {
        self.then.push(Box::new(ThenRun { read, run }));
        self
    }

    /// Stops the entity after the effect. The next command starts it again.
    pub fn then_stop(mut self) -> Self {
        self.stop = true;
        self
    }

    /// Handles all stashed commands next, oldest first. With [`Self::stash`], the command itself
    /// stays in the stash, and commands that are stashed again come behind it.
    pub fn then_unstash_all(mut self) -> Self {
        self.unstash = true;
        self
    }
}

/// The error for an asker when the application failed to make the answer.
fn failed(effect: CommandEffect, why: String) -> ReplyError {
    match effect {
        CommandEffect::None => ReplyError::Failed(why),
        CommandEffect::Unknown => ReplyError::Unanswered(why),
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
        let Self { reply_to, value } = *self;
        match guard::call("then_reply", &"an answer", || value(state)) {
            Ok(value) => Box::new(PreparedReply { reply_to, value }),
            Err(failure) => Box::new(PreparedFailure { reply_to, why: failure.to_string() }),
        }
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
    }
}

struct PreparedReply<R> {
    reply_to: ReplyTo<R>,
    value: R,
}

impl<R: Serialize + Send + 'static> Prepared for PreparedReply<R> {
    fn release(self: Box<Self>, _: &Claim, _: CommandEffect) {
        let Self { reply_to, value } = *self;
        // an answer that nobody waits for is dropped here
        let _ = guard::call("Drop of an answer", &"an answer", || reply_to.reply(value));
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
    }
}

/// An answer that the application failed to make. The asker gets an error when the answer would
/// have been let out.
struct PreparedFailure<R> {
    reply_to: ReplyTo<R>,
    why: String,
}

impl<R: Send + 'static> Prepared for PreparedFailure<R> {
    fn release(self: Box<Self>, claim: &Claim, effect: CommandEffect) {
        self.reply_to.refuse(claim, failed(effect, self.why));
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        self.reply_to.refuse(claim, error);
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
        let Self { read, run } = *self;
        match guard::call("then_run", &"a side effect", || read(state)) {
            Ok(seen) => Box::new(PreparedRun { seen, run }),
            Err(failure) => Box::new(PreparedNothing { run, why: failure.to_string() }),
        }
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
    }
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
    fn acts(&self) -> bool {
        true
    }

    fn release(self: Box<Self>, claim: &Claim, _: CommandEffect) {
        let Self { seen, run } = *self;
        let reason = ReplyError::Unanswered("`then_run` panicked".into());
        let _ = with_panic_reason(claim, reason, || {
            guard::call("then_run", &"a side effect", || run(seen))
        });
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
    }
}

/// A side effect that failed to read the state, and does not happen. An asker that waits for an
/// answer from the side effect gets an error with the reason.
struct PreparedNothing<G> {
    run: G,
    why: String,
}

impl<G: Send + 'static> Prepared for PreparedNothing<G> {
    fn release(self: Box<Self>, claim: &Claim, effect: CommandEffect) {
        refuse_claimed(self.run, claim, failed(effect, self.why));
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(self.run, claim, error);
    }
}
