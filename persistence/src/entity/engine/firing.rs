//! Reminders that are due, and reactions: the row of a reminder is looked for, and when it is
//! there, the handler is called in its turn between the commands.

use antiphon_base::guard;

use super::outbox::Due;
use super::reminders::{Firing, RowChanges, Turn};
use super::shared::Shared;
use super::stream::Stream;
use super::{Action, Now};
use crate::Result;
use crate::entity::reminder::{Note, ReminderOrder};
use crate::entity::{DueReminder, EntityCounters, EventSourced};
use crate::event::StoredEvent;
use crate::reply::ReplyError;
use crate::store::{ReminderRow, ReplayPage};

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
    now: Now,
    (row, is_there): (&ReminderRow, Result<bool>),
    actions: &mut Vec<Action<E>>,
) -> bool {
    let is_there = is_there.inspect_err(
        |error| tracing::debug!(id = %shared.id, %error, "the row of a reminder cannot be read"),
    );
    let is_there = is_there.ok();
    let (next, changes) = stream.applied.reminders.checked(now.wall, row, is_there);
    if let Some(changes) = changes {
        EntityCounters::add(&shared.counters.reminders_mended, 1);
        stream.defer(Due::Reminders(Box::new(changes)));
    }
    let find = |row| Action::FindReminder(shared.generation, Box::new(row));
    actions.extend(next.map(find));
    stream.applied.reminders.found(row, is_there)
}

/// Notes that a reminder has no effect: it comes again.
pub(super) fn given_up<E: EventSourced>(shared: &Shared<E>, stream: &mut Stream<E>) {
    let firing = stream.applied.reminders.take_firing();
    refused(shared, stream, firing);
}

/// Notes that an effect was refused. A reminder comes again; a reaction does not.
pub(super) fn refused<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    firing: Option<Firing>,
) {
    match firing {
        None => {}
        Some(Firing::Reminder { .. }) => {
            EntityCounters::add(&shared.counters.reminders_failed, 1);
        }
        Some(firing @ Firing::Reaction(..)) => {
            EntityCounters::add(&shared.counters.reactions_failed, 1);
            fired(stream, firing, false);
        }
    }
}

/// Takes note of the effect of a reminder or a reaction, which has events or not. Its row is
/// removed when everything before is durable.
pub(super) fn fired<E: EventSourced>(stream: &mut Stream<E>, firing: Firing, has_events: bool) {
    let changes = stream.applied.reminders.fired(firing, has_events);
    if changes != RowChanges::default() {
        stream.defer(Due::Reminders(Box::new(changes)));
    }
}

/// Begins a life in which the replica reacts, or not, and looks for the rows of its reminders.
pub(super) fn begin<E: EventSourced>(
    shared: &Shared<E>,
    now: Now,
    stream: &mut Stream<E>,
    actions: &mut Vec<Action<E>>,
) {
    let reacts = shared.replicas().len() > 1
        && guard::call("reacts", &shared.id, || shared.behaviour.reacts(&shared.id))
            .unwrap_or(false);
    let newest = stream.applied.newest;
    stream.applied.reminders.begin(&shared.id, newest, reacts);
    let row = stream.applied.reminders.check_rows(now.wall);
    actions.extend(row.map(|row| Action::FindReminder(shared.generation, Box::new(row))));
}

/// The next event of another replica whose reaction has its turn. Events of an earlier life are
/// read when a row asks for them.
#[inline]
pub(super) fn next_reaction<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    actions: &mut Vec<Action<E>>,
) -> Option<StoredEvent> {
    let durable = stream.durable();
    let reactions = stream.applied.reminders.reactions()?;
    if let Some(first) = reactions.next_read() {
        actions.push(Action::ReadReactions(shared.generation, first));
    }
    reactions.next(durable)
}

/// Returns whether an event waits for its reaction, and its turn has come.
#[inline]
pub(super) fn has_reaction<E: EventSourced>(stream: &mut Stream<E>) -> bool {
    let durable = stream.durable();
    stream.applied.reminders.reactions().is_some_and(|reactions| reactions.is_due(durable))
}

/// Returns whether more events of other replicas may be taken: too many that wait for their
/// reaction keep others out.
#[inline]
pub(super) fn has_room<E: EventSourced>(shared: &Shared<E>, stream: &mut Stream<E>) -> bool {
    let reactions = stream.applied.reminders.reactions();
    reactions
        .is_none_or(|reactions| reactions.waiting_count() < shared.settings.arrivals_max.max(1))
}

/// Takes events of an earlier life that have no reaction.
pub(super) fn read<E: EventSourced>(
    shared: &Shared<E>,
    stream: &mut Stream<E>,
    page: Result<ReplayPage>,
) {
    let page = page.inspect_err(
        |error| tracing::debug!(id = %shared.id, %error, "the events to react to cannot be read"),
    );
    let Some(reactions) = stream.applied.reminders.reactions() else { return };
    reactions.read(shared.id.replica_id(), page.ok());
    if let Some(row) = reactions.left_over() {
        let changes = RowChanges { put: Vec::new(), remove: vec![row] };
        stream.defer(Due::Reminders(Box::new(changes)));
    }
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
    let wrong = orders.iter().find_map(|order| order.check(time, shared.replicas()).err());
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
