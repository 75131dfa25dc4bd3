//! The time, the metadata and the notes of the events of a command, and their refusal.

use antiphon_base::time::Timestamp;

use super::shared::Shared;
use super::timers::Timers;
use crate::entity::timer::Order;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::Metadata;
use crate::reply::ReplyError;
use crate::{Error, Result};

/// The metadata of an effect, unless it is beyond its bounds or the effect has too many timers.
///
/// # Errors
/// `Rejected`, with what was expected.
pub(super) fn allowed<E: EventSourced>(
    shared: &Shared<E>,
    (timers, orders): (&Timers<E::Command>, &[Order<E::Command>]),
    metadata: Result<Metadata, Box<Error>>,
) -> Result<Metadata, ReplyError> {
    if let Some(reason) = timers.refusal(orders, shared.settings.timers_max) {
        EntityCounters::add(&shared.counters.timers_refused, 1);
        return Err(ReplyError::Rejected(reason));
    }
    metadata.map_err(|error| ReplyError::Rejected(error.to_string()))
}

/// The events of a command cannot be stored.
pub(super) struct Rejected;

/// The time and the metadata of the events of a command.
pub(super) struct Given {
    pub(super) time: Timestamp,
    /// The metadata of the command, with the effect's own entries.
    pub(super) metadata: Metadata,
    /// True when the effect has own entries.
    pub(super) has_own: bool,
    /// The notes about reminders.
    pub(super) notes: Option<Box<str>>,
}
