//! Reminders that are due: the row is looked for, and when it is there, the handler is called in
//! its turn between the commands.

use super::outbox::Due;
use super::reminders::{Firing, Turn};
use super::shared::Shared;
use super::stream::Stream;
use super::{Action, Now};
use crate::Result;
use crate::entity::reminder::{Note, ReminderOrder};
use crate::entity::{DueReminder, EntityCounters, EventSourced};
use crate::reply::ReplyError;
use crate::store::ReminderRow;

/// Takes a due row whose turn has come. Returns the reminder whose handler is to be called.
pub(super) fn turn<E: EventSourced>(
    shared: &Shared<E>,
    now: Now,
    stream: &mut Stream<E>,
    row: ReminderRow,
    actions: &mut Vec<Action<E>>,
) -> Option<DueReminder> {
    let newest = stream.applied.newest;
    match stream.applied.reminders.turn(now.wall, newest, &row) {
        Turn::Fire(due) => {
            EntityCounters::add(&shared.counters.reminders_fired, 1);
            return Some(due);
        }
        Turn::Look => actions.push(Action::FindReminder(shared.generation, Box::new(row))),
        Turn::Wait => {}
        Turn::Stale(changes) => {
            EntityCounters::add(&shared.counters.reminders_stale, 1);
            // the event that ended the reminder may be on its way to the disk
            stream.defer(Due::Reminders(Box::new(changes)));
        }
    }
    None
}

/// Takes the answer of the store whether a row is there. Returns whether its turn comes. After an
/// error the row comes again.
pub(super) fn found<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    row: &ReminderRow,
    is_there: Result<bool>,
) -> bool {
    let is_there = is_there.inspect_err(
        |error| tracing::debug!(id = %shared.id, %error, "the row of a reminder cannot be read"),
    );
    stream.applied.reminders.found(row, is_there.ok())
}

/// Notes that a reminder has no effect: it comes again.
pub(super) fn given_up<E: EventSourced>(shared: &Shared<E>, stream: &mut Stream<E>) {
    refused(shared, stream.applied.reminders.take_firing());
}

/// Notes that the effect of a reminder was refused: it comes again.
pub(super) fn refused<E: EventSourced>(shared: &Shared<E>, firing: Option<Firing>) {
    if firing.is_some() {
        EntityCounters::add(&shared.counters.reminders_failed, 1);
    }
}

/// Takes note of the effect of a reminder that has stored no event. Its row is removed when
/// everything before is durable.
pub(super) fn fired<E: EventSourced>(stream: &mut Stream<E>, firing: Firing) {
    let changes = stream.applied.reminders.fired(firing);
    stream.defer(Due::Reminders(Box::new(changes)));
}

/// The notes about reminders that the events of an effect have; `None`: there are none.
///
/// # Errors
/// `Rejected`, with what was expected.
pub(super) fn notes<E: EventSourced>(
    shared: &Shared<E>,
    stream: &Stream<E>,
    orders: Vec<ReminderOrder>,
    firing: Option<&Firing>,
    has_events: bool,
) -> Result<Option<Box<str>>, ReplyError> {
    if orders.is_empty() && (firing.is_none() || !has_events) {
        return Ok(None);
    }
    let time = stream.applied.clock.last();
    let reminders_max = shared.settings.reminders_max;
    let wrong = orders.iter().find_map(|order| order.check(shared.replicas()).err());
    let without_event = || {
        let why = "an effect without an event sets or cancels a reminder: expected an event, since a reminder lasts as long as the event that sets it";
        (!has_events).then(|| why.to_owned())
    };
    let too_many = || stream.applied.reminders.refusal(time, &orders, reminders_max);
    if let Some(why) = wrong.or_else(without_event).or_else(too_many) {
        EntityCounters::add(&shared.counters.reminders_refused, 1);
        return Err(ReplyError::Rejected(why));
    }
    let fired = firing.map(Firing::note);
    let orders = orders.into_iter().map(|order| order.into_note(time));
    let notes: Vec<Note> = fired.into_iter().chain(orders).collect();
    Ok(Some(Note::write(&notes)))
}
