//! Futures beside the commands: they begin when the events of their command are durable, hold up no
//! command, and their values come back as commands behind those that wait.
//!
//! ```text
//!   decided ----> waits for the disk ----> under way ----> its command waits ----> answered
//!      |              (outbox)                  |            (inbox)
//!      +-- `asynchronous_max` is reached: `TooMany` is its value
//! ```
//!
//! A future counts from the decision until its command is answered. All futures end when the entity
//! starts again or stops by force; a stop waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use antiphon_base::guard;

use super::inbox::Inbox;
use super::open::Open;
use super::shared::Shared;
use super::{Queued, Slot};
use crate::entity::asynchronous::{MakeCommand, Outcome, OutcomeFuture, ThenAsynchronous};
use crate::entity::{AsynchronousFailure, EntityCounters, EventSourced};
use crate::event::{Metadata, RequestId};
use crate::reply::{
    Claim, CommandEffect, Reason, ReplyError, Session, refuse_claimed, with_panic_reason,
};

/// A future whose value is awaited.
struct Awaited<C> {
    made: MakeCommand<C>,
    /// Given back when the command of the future is answered.
    slot: Slot,
    /// The request that the future is of, if its command came with a request id.
    request: Option<RequestId>,
    /// The session of its command, if the asker wants the version of the answer.
    session: Option<Arc<Session>>,
}

/// The futures beside the commands of one entity, each with a number.
pub(super) struct Beside<C> {
    count: Arc<AtomicUsize>,
    next: u64,
    awaited: BTreeMap<u64, Awaited<C>>,
    /// The requests of these futures.
    pub(super) open: Open<C>,
}

impl<C: Send + 'static> Beside<C> {
    pub(super) fn new() -> Self {
        Self { count: Arc::default(), next: 0, awaited: BTreeMap::new(), open: Open::new() }
    }

    /// Returns whether no future is under way, or waits for the disk.
    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Makes the future of a command with this claim from the newest state; `first` is the number
    /// of the first event of its request's handling. Returns the number of the future, and the
    /// future or the failure that is its value.
    pub(super) fn begin<E>(
        &mut self,
        shared: &Shared<E>,
        state: &E::State,
        (claim, first): (&Claim, Option<u64>),
        then: ThenAsynchronous<E::State, C>,
    ) -> (u64, Result<OutcomeFuture, AsynchronousFailure>)
    where
        E: EventSourced<Command = C>,
    {
        let ThenAsynchronous { start, made } = then;
        let slot = Slot::take(&self.count, shared.settings.asynchronous_max);
        let future = if slot.is_some() {
            let reason = Reason::Panicked("then_asynchronous", CommandEffect::Unknown);
            let begun = with_panic_reason(claim, reason, || {
                guard::call("then_asynchronous", &shared.id, || start(state))
            });
            begun.map_err(|_| AsynchronousFailure::Panicked)
        } else {
            let failure = AsynchronousFailure::TooMany;
            refuse_claimed(start, claim, ReplyError::Unanswered(failure.to_string()));
            Err(failure)
        };
        let number = self.next;
        self.next += 1;
        let request = claim.metadata().request_id();
        if let Some(request) = &request {
            self.open.begin((request.as_str(), request.content()), first);
        }
        let slot = slot.unwrap_or_default();
        let session = claim.session().filter(|session| session.wants_version()).cloned();
        self.awaited.insert(number, Awaited { made, slot, request, session });
        (number, future)
    }

    /// Ends a future. The command that is made of its value, if any, goes into the inbox, behind
    /// the others.
    pub(super) fn done<E>(
        &mut self,
        shared: &Shared<E>,
        number: u64,
        outcome: Result<Outcome, AsynchronousFailure>,
        inbox: &mut Inbox<C>,
    ) where
        E: EventSourced<Command = C>,
    {
        let awaited = self.awaited.remove(&number);
        let Awaited { made, slot, request, session } =
            awaited.unwrap_or_else(|| panic!("`{}`: future {number} is not under way", shared.id));
        if let Err(failure) = &outcome {
            count_failure(shared, failure);
        }
        // the future's own command has acted: an error is about the command that is made now
        let claim = match &request {
            None => Claim::unlimited(),
            Some(id) => Claim::open_with(Metadata::new().with_request(id)),
        };
        let claim = claim.in_session(session).acted();
        let reason = Reason::Panicked("then_asynchronous", CommandEffect::Unknown);
        let made = with_panic_reason(&claim, reason, || {
            guard::call("then_asynchronous", &shared.id, || made(outcome))
        });
        match made {
            Ok(command) => inbox.push(Queued { command, slot, claim }),
            Err(_) => {
                EntityCounters::add(&shared.counters.handler_panics, 1);
                if let Some(id) = request {
                    self.open.ended(id.as_str(), inbox);
                }
            }
        }
    }

    /// Gives up the futures. Askers that wait for an answer from them get `reason`, with an unknown
    /// effect.
    pub(super) fn end(self, reason: &ReplyError) {
        self.open.end(reason);
        for Awaited { made, slot, .. } in self.awaited.into_values() {
            let claim = Claim::unlimited().acted();
            refuse_claimed(made, &claim, reason.clone().with_unknown_effect());
            drop(slot);
        }
    }

    /// Asserts that each future has a number that was given out.
    pub(super) fn check(&self) {
        let last = self.awaited.keys().next_back();
        assert!(last.is_none_or(|last| *last < self.next), "future {last:?} of {}", self.next);
        self.open.check();
    }
}

/// Counts and logs the failure of an asynchronous effect.
pub(super) fn count_failure<E: EventSourced>(shared: &Shared<E>, failure: &AsynchronousFailure) {
    let counter = match failure {
        AsynchronousFailure::TimedOut { .. } => &shared.counters.asynchronous_timeouts,
        AsynchronousFailure::Panicked => &shared.counters.handler_panics,
        AsynchronousFailure::TooMany => &shared.counters.asynchronous_overflows,
    };
    EntityCounters::add(counter, 1);
    tracing::warn!(id = %shared.id, %failure, "an asynchronous effect ended without a value");
}
