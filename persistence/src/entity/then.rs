//! The visible parts of an effect: answers and side effects.

use antiphon_base::guard;
use serde::Serialize;
use smallvec::SmallVec;

use crate::reply::{
    Claim, CommandEffect, Reason, ReplyError, ReplyTo, refuse_claimed, with_panic_reason,
};

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

/// The answers and side effects of an effect, in order.
pub(super) type Thens<S> = SmallVec<[Box<dyn Then<S>>; 1]>;

/// The visible parts of an effect, in order.
pub(super) type PreparedParts = SmallVec<[Box<dyn Prepared>; 1]>;

/// The error for an asker when the application failed to make the answer.
fn failed(effect: CommandEffect, why: String) -> ReplyError {
    match effect {
        CommandEffect::None => ReplyError::Failed(why),
        CommandEffect::Unknown => ReplyError::Unanswered(why),
    }
}

/// An answer.
pub(super) struct ThenReply<R, F> {
    pub(super) reply_to: ReplyTo<R>,
    pub(super) value: F,
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

/// A side effect.
pub(super) struct ThenRun<F, G> {
    pub(super) read: F,
    pub(super) run: G,
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
        let reason = Reason::Panicked("then_run", CommandEffect::Unknown);
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
