//! Commands of an entity at work: each is handled against the newest state, durable or not.

use antiphon_base::guard;
use antiphon_base::time::Timestamp;

use super::inbox::Inbox;
use super::outbox::Due;
use super::peers::Peers;
use super::shared::Shared;
use super::stream::Stream;
use super::timers::Timers;
use super::{Now, Queued, Release, Slot};
use crate::entity::asynchronous::OnFailure;
use crate::entity::behaviour::Kind;
use crate::entity::then::Thens;
use crate::entity::{AsynchronousFailure, Effect, EntityCounters, EventSourced};
use crate::reply::{Claim, ReplyError, refuse_claimed, with_panic_reason};

/// The command whose future is under way.
struct Asynchronous<C> {
    slot: Slot,
    claim: Claim,
    on_failure: Option<OnFailure<C>>,
}

/// The handling of commands, one after the other.
pub(super) struct Commands<C> {
    /// The command whose future is under way; no other command is handled meanwhile.
    asynchronous: Option<Box<Asynchronous<C>>>,
    /// True after the entity has asked to be stopped.
    passivating: bool,
}

impl<C: Send + 'static> Commands<C> {
    pub(super) fn new() -> Self {
        Self { asynchronous: None, passivating: false }
    }

    /// Returns whether a future is under way, or waits for its turn.
    pub(super) fn has_asynchronous(&self) -> bool {
        self.asynchronous.is_some()
    }

    /// Ends an asynchronous effect. Returns the command that it made, if any, to be handled first.
    pub(super) fn asynchronous_done<E>(
        &mut self,
        shared: &Shared<E>,
        result: Result<C, AsynchronousFailure>,
    ) -> Option<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        let under_way = self.asynchronous.take().expect("a future was under way");
        let Asynchronous { slot, claim, on_failure } = *under_way;
        let command = match (result, on_failure) {
            (Ok(command), on_failure) => {
                let _ = guard::call("Drop of an effect", &shared.id, || drop(on_failure));
                command
            }
            (Err(failure), on_failure) => {
                let counter = match failure {
                    AsynchronousFailure::TimedOut => &shared.counters.asynchronous_timeouts,
                    AsynchronousFailure::Panicked => &shared.counters.handler_panics,
                };
                EntityCounters::add(counter, 1);
                tracing::warn!(id = %shared.id, %failure, "an asynchronous effect ended without a command");
                let on_failure = on_failure?;
                let reason = ReplyError::Unanswered(failure.to_string());
                let made = with_panic_reason(&claim, reason, || {
                    guard::call("asynchronous_or", &shared.id, || on_failure(failure))
                });
                made.ok()?
            }
        };
        Some(Queued { command, slot, claim: claim.acted() })
    }

    /// Handles a command, unless it is void.
    pub(super) fn handle<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        queued: Queued<C>,
        (inbox, timers): (&mut Inbox<C>, &mut Timers<C>),
    ) where
        E: EventSourced<Command = C>,
    {
        if !queued.claim.take(now.instant) {
            return queued.expire(&shared.counters);
        }
        let Queued { command, slot, claim } = queued;
        EntityCounters::add(&shared.counters.commands_handled, 1);
        let time = stream.tick(now);
        // a command whose handler panics has stored nothing, and its `ReplyTo` is dropped on the
        // way out
        let reason = claim.truth(ReplyError::Failed("`on_command` panicked".into()));
        let decided = with_panic_reason(&claim, reason, || stream.decide(shared, command));
        let Ok(Effect { kind, then, stop, unstash, timers: orders }) = decided else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            return claim.end();
        };
        if let Some(reason) = timers.refusal(&orders, shared.settings.timers_max) {
            EntityCounters::add(&shared.counters.timers_refused, 1);
            guard::drop_each("Drop of a timer", &shared.id, orders);
            return refuse(shared, (kind, then), &claim, ReplyError::Rejected(reason));
        }
        if unstash {
            // before the command itself is stashed: that one waits for the next time
            inbox.unstash_all();
        }
        let run = self.run_effect(shared, time, (stream, peers), (kind, then), (slot, claim));
        match &run {
            Ok(_) => timers.apply(shared, now.instant, orders),
            Err(Rejected) => guard::drop_each("Drop of a timer", &shared.id, orders),
        }
        if let Ok(Some(queued)) = run
            && let Some(slot) = inbox.stash(shared, now, queued)
        {
            stream.defer(Due::Release(Release::of_slot(slot)));
        }
        if stop && !self.passivating {
            self.passivating = true;
            stream.defer(Due::Passivate);
        }
    }

    /// Runs the effect of a command. Returns the command if it is to be stashed.
    ///
    /// # Errors
    /// The events of the command cannot be stored; its askers know.
    fn run_effect<E>(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        (stream, peers): (&mut Stream<E>, &Peers),
        (kind, then): (Kind<E>, Thens<E::State>),
        (slot, claim): (Slot, Claim),
    ) -> Result<Option<Queued<C>>, Rejected>
    where
        E: EventSourced<Command = C>,
    {
        let mut stored = None;
        match kind {
            Kind::Persist(events) => match stream.persist_own(shared, time, events, peers) {
                Ok(last) => stored = last,
                Err(error) => {
                    refuse(shared, (Kind::None, then), &claim, error);
                    return Err(Rejected);
                }
            },
            Kind::None => {}
            Kind::Unhandled => {
                EntityCounters::add(&shared.counters.commands_unhandled, 1);
                tracing::debug!(id = %shared.id, "a command was not handled");
            }
            Kind::Stash(command) => {
                not_run(shared, &claim, then, "`Effect::stash`");
                return Ok(Some(Queued { command, slot, claim }));
            }
            Kind::Asynchronous(future, on_failure) => {
                not_run(shared, &claim, then, "`Effect::asynchronous`");
                assert!(self.asynchronous.is_none(), "`{}`: a second future", shared.id);
                stream.defer(Due::Asynchronous(future, claim.clone()));
                self.asynchronous = Some(Box::new(Asynchronous { slot, claim, on_failure }));
                return Ok(None);
            }
        }
        let state = &stream.applied.state;
        let prepared = then.into_iter().map(|then| then.prepare(state)).collect();
        let release = Release { prepared, stored, claim, _slot: slot };
        stream.defer(Due::Release(release));
        Ok(None)
    }

    /// Drops the future that is under way, under [`antiphon_base::guard`].
    pub(super) fn end<E>(self, shared: &Shared<E>)
    where
        E: EventSourced<Command = C>,
    {
        let _ = guard::call("Drop of an effect", &shared.id, || drop(self.asynchronous));
    }
}

/// The events of a command cannot be stored.
struct Rejected;

/// Drops an effect that is not run. Its askers get the reason.
fn refuse<E: EventSourced>(
    shared: &Shared<E>,
    (kind, then): (Kind<E>, Thens<E::State>),
    claim: &Claim,
    error: ReplyError,
) {
    tracing::warn!(id = %shared.id, reason = %error, "command rejected");
    let error = claim.truth(error);
    if let Kind::Persist(events) = kind {
        guard::drop_each("Drop of an event", &shared.id, events);
    } else {
        refuse_claimed(kind, claim, error.clone());
    }
    then.into_iter().for_each(|then| then.fail(claim, error.clone()));
    claim.end();
}

/// Fails the `then_reply` and `then_run` of a stash or an asynchronous effect. The command that is
/// handled later has its own.
fn not_run<E: EventSourced>(shared: &Shared<E>, claim: &Claim, then: Thens<E::State>, what: &str) {
    if then.is_empty() {
        return;
    }
    let why = format!("`then_reply` and `then_run` are not run after {what}");
    tracing::error!(id = %shared.id, "{why}");
    then.into_iter().for_each(|then| then.fail(claim, ReplyError::Unanswered(why.clone())));
}
