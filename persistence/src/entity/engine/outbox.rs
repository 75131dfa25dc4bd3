//! The outbox: everything visible waits until every event that it could have seen is durable.

use std::collections::VecDeque;

use super::queued::{push, shrink};
use super::{Action, Generation, Release, Releases, RowChanges};
use crate::entity::AsynchronousFailure;
use crate::entity::EventSourced;
use crate::entity::asynchronous::{CommandFuture, OutcomeFuture};
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::reply::{Claim, ReplyError, refuse_claimed};
use crate::store::Snapshot;
use crate::version::SessionToken;

/// An action that waits until an event is durable.
pub(super) enum Due<E: EventSourced> {
    Release(Release),
    CaughtUp(ReplicaId, SequenceNr),
    /// A future, with the claim of the command that wants it, and its number.
    Asynchronous(CommandFuture<E::Command>, Claim, u64),
    /// The future beside the commands with this number, or the failure that is its value.
    Beside(Box<DueBeside>),
    Snapshot(Box<Snapshot>),
    /// The changes of rows after a reminder has fired.
    Reminders(Box<RowChanges>),
    Passivate,
}

/// A future beside the commands, with the claim of the command that wants it.
pub(super) struct DueBeside {
    pub(super) number: u64,
    pub(super) future: Result<OutcomeFuture, AsynchronousFailure>,
    pub(super) claim: Claim,
    /// The events that the future could have seen, if the asker wants the version of its answer.
    pub(super) token: Option<SessionToken>,
}

/// The actions that wait, each with the number of the event that must be durable before it.
pub(super) struct Outbox<E: EventSourced> {
    waiting: VecDeque<(SequenceNr, Due<E>)>,
}

impl<E: EventSourced> Outbox<E> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives room back that an idle entity does not need.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.waiting);
    }

    /// Lets the action out when the event `needed` is durable, after the earlier ones.
    pub(super) fn defer(&mut self, needed: SequenceNr, due: Due<E>) {
        push(&mut self.waiting, (needed, due));
    }

    /// Lets out the actions whose events are durable.
    pub(super) fn let_out(
        &mut self,
        durable: SequenceNr,
        generation: Generation,
        actions: &mut Vec<Action<E>>,
    ) {
        let due = self.waiting.partition_point(|(needed, _)| *needed <= durable);
        let mut releases = Releases::with_capacity(due);
        while let Some((needed, _)) = self.waiting.front() {
            if *needed > durable {
                break;
            }
            let (_, due) = self.waiting.pop_front().expect("just seen");
            let action = match due {
                Due::Release(release) => {
                    releases.push(release);
                    continue;
                }
                Due::CaughtUp(replica, highest) => Action::CaughtUp(replica, highest),
                Due::Asynchronous(future, claim, number) => {
                    claim.act();
                    let held_up = (claim.askers().cloned(), number);
                    Action::RunAsynchronous(generation, future, held_up)
                }
                Due::Beside(due) => {
                    let DueBeside { number, future, claim, token } = *due;
                    claim.act();
                    // the future may answer before the visible parts of its command are let out
                    if let (Some(session), Some(token)) = (claim.session(), token) {
                        session.note(&token);
                    }
                    Action::RunBeside(generation, number, future)
                }
                Due::Snapshot(snapshot) => {
                    assert!(
                        snapshot.sequence_nr <= durable,
                        "a snapshot up to {} is stored, and the journal ends at {durable}",
                        snapshot.sequence_nr
                    );
                    Action::SaveSnapshot(generation, snapshot)
                }
                Due::Reminders(changes) => Action::ChangeReminders(changes),
                Due::Passivate => Action::Passivate,
            };
            if !releases.is_empty() {
                actions.push(Action::Release(std::mem::take(&mut releases)));
            }
            actions.push(action);
        }
        if !releases.is_empty() {
            actions.push(Action::Release(releases));
        }
    }

    /// Fails the answers that wait. `error` is the error for a command, by the number of its last
    /// event, or `None` if it stored nothing. Returns the `CaughtUp` actions that were not told.
    pub(super) fn fail(
        self,
        error: impl Fn(Option<SequenceNr>) -> ReplyError,
    ) -> Vec<(ReplicaId, SequenceNr)> {
        let mut untold = Vec::new();
        for (_, due) in self.waiting {
            match due {
                Due::Release(release) => {
                    let error = error(release.stored);
                    release.fail(error);
                }
                Due::CaughtUp(replica, highest) => untold.push((replica, highest)),
                // the future has not begun
                Due::Asynchronous(future, claim, _) => {
                    let error = claim.truth(error(None));
                    refuse_claimed(future, &claim, error);
                }
                Due::Beside(due) => {
                    let DueBeside { future, claim, .. } = *due;
                    let error = claim.truth(error(None));
                    refuse_claimed(future, &claim, error);
                }
                // the state that wanted them is gone; a reminder fires again
                Due::Snapshot(_) | Due::Reminders(_) | Due::Passivate => {}
            }
        }
        untold
    }

    /// Asserts that nothing waits for an event that is not there, and that the order of the events
    /// is the order of the actions.
    pub(super) fn check(&self, newest: SequenceNr) {
        let mut before = SequenceNr::ZERO;
        for (needed, _) in &self.waiting {
            assert!(*needed <= newest, "something waits for event {needed} of {newest}");
            assert!(before <= *needed, "an action for event {needed} waits behind {before}");
            before = *needed;
        }
    }
}
