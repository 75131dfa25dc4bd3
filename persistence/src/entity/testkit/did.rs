//! The things that an entity does because of an input, as values that a test compares.

use std::time::Duration;

use super::super::behaviour::{Effect, EventSourced, Kind};
use super::super::reminder::{Reminder, ReminderOrder};
use super::super::timer::{Order, Timer};

/// A thing that an entity did, or that one of its handlers decided.
///
/// [`EntityTest::effects`](super::EntityTest::effects) lists them in their order. Answers are not
/// among them: `ask` returns these. Signals are listed apart.
///
/// ```
/// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
/// # use antiphon_persistence::entity::EventSourced;
/// use std::time::Duration;
///
/// use antiphon_persistence::entity::Timer;
/// use antiphon_persistence::entity::testkit::{Did, EntityTest};
///
/// const MINUTE: Duration = Duration::from_secs(60);
///
/// struct Door;
/// # impl EventSourced for Door {
/// #     type Command = bool;
/// #     type Event = bool;
/// #     type State = bool;
/// #     fn on_event(&self, _: &EventContext, is_open: &mut bool, opened: &bool) {
/// #         *is_open = *opened;
/// #     }
///     fn on_command(&self, _: &CommandContext, is_open: &bool, open: bool) -> Effect<Self> {
///         match (is_open, open) {
///             // it closes by itself
///             (false, true) => {
///                 self.persist(true).then_start_timer("close", Timer::once(MINUTE, false))
///             }
///             (true, false) => self.persist(false).then_cancel_timer("close"),
///             _ => self.unhandled(),
///         }
///     }
/// # }
///
/// let mut door = EntityTest::new(Door, "door|d-1");
/// door.tell(true);
/// assert_eq!(door.effects(), [Did::Persisted(1), Did::TimerStarted("close".into(), MINUTE)]);
/// door.tell(true);
/// assert_eq!(door.effects(), [Did::Unhandled]);
/// door.pass(MINUTE);
/// assert_eq!(door.effects(), [Did::Persisted(1), Did::TimerCancelled("close".into())]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Did {
    /// A handler persisted this number of events, at least one.
    Persisted(usize),
    /// A handler dropped its command (`unhandled`).
    Unhandled,
    /// A handler put its command aside.
    Stashed,
    /// A handler had the stashed commands handled next, if there are any.
    Unstashed,
    /// A handler started the timer with this key, which fires first after this time.
    TimerStarted(String, Duration),
    /// A handler cancelled the timer with this key, if there is one.
    TimerCancelled(String),
    /// A handler set the receive timeout.
    ReceiveTimeoutSet(Duration),
    /// A handler ended the receive timeout.
    ReceiveTimeoutCancelled,
    /// A handler set this reminder under this name, at this replica and the others.
    ReminderSet(String, Reminder),
    /// A handler cancelled the reminder with this name, if there is one.
    ReminderCancelled(String),
    /// The entity told itself a command, which is handled in its turn.
    ToldItself,
    /// The entity told a command to the entity with this replication id, without a wait for an
    /// answer.
    Told(String),
    /// The entity asked the entity with this replication id.
    Asked(String),
    /// A future began that holds up the commands of the entity (`asynchronous`).
    AsynchronousBegun,
    /// A future began beside the commands (`then_asynchronous`).
    BesideBegun,
    /// The effect of a handler was refused for this reason, and nothing of it happened. The parts
    /// of the effect are not listed.
    Refused(String),
    /// The application's function with this name panicked. The test prints the panic's message.
    Panicked(&'static str),
    /// A handler stopped the entity (`then_stop`).
    Stopped,
    /// The entity left the memory, without anything left to do. Its next command starts it again.
    Passivated,
    /// The entity ended for this reason.
    Ended(String),
}

/// The parts of an effect that are worth a line.
pub(super) fn look<E: EventSourced>(effect: &Effect<E>) -> Vec<Did> {
    let mut did = Vec::new();
    match &effect.kind {
        Kind::Persist(events) if events.is_empty() => {}
        Kind::Persist(events) => did.push(Did::Persisted(events.len())),
        Kind::Unhandled => did.push(Did::Unhandled),
        Kind::Stash(_) => did.push(Did::Stashed),
        // its future begins when the events before it are durable
        Kind::None | Kind::Asynchronous(..) => {}
    }
    if effect.unstash {
        did.push(Did::Unstashed);
    }
    if let Some(rare) = effect.rare_parts() {
        did.extend(rare.timers.iter().map(timer));
        did.extend(rare.reminders.iter().map(reminder));
    }
    if effect.stop {
        did.push(Did::Stopped);
    }
    did
}

fn timer<C>(order: &Order<C>) -> Did {
    match order {
        Order::Start(key, Timer { first, .. }) => Did::TimerStarted(key.to_string(), *first),
        Order::Cancel(key) => Did::TimerCancelled(key.to_string()),
        Order::Receive(after, _) => Did::ReceiveTimeoutSet(*after),
        Order::CancelReceive => Did::ReceiveTimeoutCancelled,
    }
}

fn reminder(order: &ReminderOrder) -> Did {
    match order {
        ReminderOrder::Set(name, reminder) => Did::ReminderSet(name.to_string(), reminder.clone()),
        ReminderOrder::Cancel(name) => Did::ReminderCancelled(name.to_string()),
    }
}
