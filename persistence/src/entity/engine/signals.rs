//! Signals: the notices to the behaviour about the life of its entity.

use antiphon_base::guard;

use super::applied::Applied;
use super::failure::Failure;
use super::shared::Shared;
use crate::entity::context::ReplicationContext;
use crate::entity::{CommandContext, EntityCounters, EventSourced, Signal};
use crate::event::{Metadata, SequenceNr};
use crate::reply::ReplyError;

/// Tells the behaviour of a signal, with this number and the time of the entity in the context. A
/// panic there is logged and counted, and changes nothing.
pub(super) fn tell<E: EventSourced>(
    shared: &Shared<E>,
    context: &mut CommandContext,
    applied: &Applied<E>,
    number: SequenceNr,
    signal: &Signal,
) {
    context.common.at(applied.clock.last(), number);
    let told = guard::call("on_signal", &shared.id, || {
        shared.behaviour.on_signal(context, &applied.state, signal);
    });
    if told.is_err() {
        EntityCounters::add(&shared.counters.handler_panics, 1);
    }
}

/// The same while the entity recovers, which is seldom: the context is made for it, with this
/// metadata.
pub(super) fn tell_in_recovery<E: EventSourced>(
    shared: &Shared<E>,
    applied: &Applied<E>,
    signal: &Signal,
    metadata: Metadata,
) {
    let common = ReplicationContext::new(shared.surroundings.clone());
    let mut context = CommandContext { common, metadata, done_before: None };
    tell(shared, &mut context, applied, applied.newest, signal);
}

/// The signal of an append that failed.
pub(super) fn of_append(failure: &Failure) -> Signal {
    match failure {
        Failure::Restart { reason, answer: ReplyError::Rejected(_) } => {
            Signal::PersistRejected(reason.clone())
        }
        Failure::Restart { .. } | Failure::Fenced(_) | Failure::Failed(_) => {
            Signal::PersistFailed(failure.text())
        }
    }
}
