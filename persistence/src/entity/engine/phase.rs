//! The phases of an entity, and the end of each.

use tokio::time::Instant;

use super::Action;
use super::recovery::Recovery;
use super::running::{Ended, Running};
use super::shared::Shared;
use crate::entity::{EntityCounters, EventSourced};
use crate::reply::{Claim, ReplyError};

/// The phase of an entity.
pub(super) enum Phase<E: EventSourced> {
    /// Waits for its turn to recover.
    Permit,
    /// Reads the snapshot and then the events.
    Recovering(Box<Recovery<E>>),
    /// At work.
    Running(Box<Running<E>>),
    /// Failed; begins again at this time.
    Backoff { until: Instant },
    /// Over.
    Stopped,
}

impl<E: EventSourced> Phase<E> {
    /// The part that works; `None` while not at work.
    pub(super) fn running(&self) -> Option<&Running<E>> {
        if let Self::Running(running) = self { Some(running) } else { None }
    }

    /// The reason why a command is refused that would wait for itself: this entity holds up its
    /// commands until an answer is there that waits for the answer of the command. A future that is
    /// over waits for nothing, though the commands of its asks may still come.
    pub(super) fn circle(&self, shared: &Shared<E>, claim: &Claim) -> Option<ReplyError> {
        let askers = claim.askers()?;
        let future = self.running()?.held_up_by()?;
        let circle = askers.circle(&shared.id, future)?;
        EntityCounters::add(&shared.counters.commands_in_circles, 1);
        Some(ReplyError::Rejected(format!(
            "{circle}, while commands are held up: ask with `then_asynchronous`, which holds up nothing"
        )))
    }

    /// The name of the phase, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Permit => "Permit",
            Self::Recovering(_) => "Recovering",
            Self::Running(_) => "Running",
            Self::Backoff { .. } => "Backoff",
            Self::Stopped => "Stopped",
        }
    }

    /// Ends the phase. An asker that waits learns the known effect of its command, which follows
    /// from the command's position; the application's values are dropped one by one, under
    /// [`antiphon_base::guard`]. Returns the things that an entity at work leaves behind.
    pub(super) fn leave(
        self,
        shared: &Shared<E>,
        answer: &ReplyError,
        actions: &mut Vec<Action<E>>,
    ) -> Option<Ended> {
        match self {
            Self::Permit => actions.push(Action::ReleasePermit),
            Self::Recovering(recovery) => {
                recovery.end(shared);
                actions.push(Action::ReleasePermit);
            }
            Self::Running(running) => return Some(running.fail(shared, answer)),
            Self::Backoff { .. } | Self::Stopped => {}
        }
        None
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        match self {
            Self::Recovering(recovery) => recovery.check(shared),
            Self::Running(running) => running.check(shared),
            Self::Permit | Self::Backoff { .. } | Self::Stopped => {}
        }
    }
}
