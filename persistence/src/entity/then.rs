//! The visible parts of an effect: answers and side effects.

use antiphon_base::guard;
use serde::Serialize;
use smallvec::SmallVec;

use crate::codec::CodecId;
use crate::reply::{
    Claim, CommandEffect, Reason, ReplyError, ReplyTo, refuse_claimed, with_panic_reason,
};
use crate::store::KeptAnswer;

/// The visible part of an effect, done when everything that the command could have seen is durable.
/// No function panics. `claim` is the claim of the command.
pub(super) trait Prepared: Send {
    /// Returns whether the release does more than to answer.
    fn acts(&self) -> bool {
        false
    }

    /// The answer to the request with this id, for its repetitions; `None`: this part has none.
    fn answer_to(&self, _request: &str) -> Option<KeptAnswer> {
        None
    }

    /// Returns whether it is an answer whose asker wants the version that it could have seen.
    fn wants_version(&mut self) -> bool {
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

/// An answer. It stays in one box from the handler to its release.
pub(super) struct ThenReply<R, F> {
    reply_to: ReplyTo<R>,
    value: Value<R, F>,
}

/// The value of an answer.
enum Value<R, F> {
    /// Made of the state later.
    Unmade(F),
    Made(R),
    /// The application failed to make it, for this reason. The asker gets an error when the answer
    /// would have been let out.
    Failed(String),
}

impl<R, F> ThenReply<R, F> {
    pub(super) fn new(reply_to: ReplyTo<R>, value: F) -> Self {
        Self { reply_to, value: Value::Unmade(value) }
    }
}

impl<S, R, F> Then<S> for ThenReply<R, F>
where
    R: Serialize + Send + 'static,
    F: FnOnce(&S) -> R + Send + 'static,
{
    fn prepare(mut self: Box<Self>, state: &S) -> Box<dyn Prepared> {
        let unmade = std::mem::replace(&mut self.value, Value::Failed(String::new()));
        let Value::Unmade(value) = unmade else { panic!("an answer is made twice") };
        self.value = match guard::call("then_reply", &"an answer", || value(state)) {
            Ok(value) => Value::Made(value),
            Err(failure) => Value::Failed(failure.to_string()),
        };
        self
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
    }
}

impl<R, F> Prepared for ThenReply<R, F>
where
    R: Serialize + Send + 'static,
    F: Send + 'static,
{
    fn answer_to(&self, request: &str) -> Option<KeptAnswer> {
        let Value::Made(value) = &self.value else { return None };
        if !self.reply_to.is_of_request(request) {
            return None;
        }
        let encode = || CodecId::Bincode.encode(value);
        let encoded = guard::call("Serialize of an answer", &"an answer", encode);
        let bytes = encoded.ok().and_then(Result::ok);
        Some(bytes.map_or(KeptAnswer::None, |bytes| KeptAnswer::Bytes(bytes.into())))
    }

    fn wants_version(&mut self) -> bool {
        matches!(self.value, Value::Made(_)) && self.reply_to.wants_version()
    }

    fn release(self: Box<Self>, claim: &Claim, effect: CommandEffect) {
        let Self { reply_to, value } = *self;
        match value {
            Value::Made(value) => {
                // an answer that nobody waits for is dropped here
                let _ = guard::call("Drop of an answer", &"an answer", || reply_to.reply(value));
            }
            Value::Failed(why) => reply_to.refuse(claim, failed(effect, why)),
            Value::Unmade(_) => panic!("an answer is released that was not made"),
        }
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        refuse_claimed(*self, claim, error);
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
