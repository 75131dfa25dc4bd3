//! Effects that do not happen: their commands, answers and futures get the reason.

use super::shared::Shared;
use super::stream::Stream;
use crate::entity::EventSourced;
use crate::entity::asynchronous::ThenAsynchronous;
use crate::entity::behaviour::Kind;
use crate::entity::then::Thens;
use crate::reply::{Claim, ReplyError, refuse_claimed};

/// The futures beside the commands that an effect wants.
pub(super) type Besides<E> =
    Vec<ThenAsynchronous<<E as EventSourced>::State, <E as EventSourced>::Command>>;

/// Refuses a command whose metadata is beyond its bounds: nothing of its effect happens.
pub(super) fn refuse_effect<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    claim: &Claim,
    kind: Kind<E>,
    thens: (Thens<E::State>, Besides<E>),
    error: ReplyError,
) {
    let told = claim.truth(error.clone());
    match kind {
        Kind::None | Kind::Unhandled => {}
        Kind::Persist(events) => stream.refuse_own(shared, events, &error),
        Kind::Stash(command) => refuse_claimed(command, claim, told),
        Kind::Asynchronous(future, on_failure) => {
            refuse_claimed(future, claim, told.clone());
            refuse_claimed(on_failure, claim, told);
        }
    }
    reject(shared, claim, thens, error);
}

/// Answers a command that is refused after its handler ran.
pub(super) fn reject<E: EventSourced>(
    shared: &Shared<E>,
    claim: &Claim,
    thens: (Thens<E::State>, Besides<E>),
    error: ReplyError,
) {
    tracing::warn!(id = %shared.id, reason = %error, "command rejected");
    fail(claim, thens, &claim.truth(error));
    claim.end();
}

/// Fails the `then_reply`, `then_run` and `then_asynchronous` of a stash or an asynchronous effect,
/// and reports its `with_metadata`. The command that is handled later has its own.
pub(super) fn not_run<E: EventSourced>(
    shared: &Shared<E>,
    claim: &Claim,
    (then, beside, has_own): (Thens<E::State>, Besides<E>, bool),
    what: &str,
) {
    if then.is_empty() && beside.is_empty() && !has_own {
        return;
    }
    let why = format!(
        "`then_reply`, `then_run`, `then_asynchronous` and `with_metadata` are not run after {what}"
    );
    tracing::error!(id = %shared.id, "{why}");
    fail(claim, (then, beside), &ReplyError::Unanswered(why));
}

/// Fails the visible parts of an effect that does not happen.
fn fail<S, C>(
    claim: &Claim,
    (then, beside): (Thens<S>, Vec<ThenAsynchronous<S, C>>),
    error: &ReplyError,
) {
    then.into_iter().for_each(|then| then.fail(claim, error.clone()));
    for ThenAsynchronous { start, made } in beside {
        refuse_claimed(start, claim, error.clone());
        refuse_claimed(made, claim, error.clone());
    }
}
