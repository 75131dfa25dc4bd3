//! Reminders of entities, as an application makes them, and as their events keep them.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::bounds::YEAR;
use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Metadata;
use crate::identity::ReplicaId;
use crate::store::ReminderRow;

/// The shortest period of a reminder.
const PERIOD_MIN: Duration = Duration::from_secs(1);
/// The longest time until a reminder is due, and the longest period.
const TIME_MAX: Duration = YEAR.saturating_mul(10);

/// The names that begin with this text belong to Antiphon.
const RESERVED: &str = "antiphon.";

/// The time at which a reminder is due first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    After(Duration),
    At(Timestamp),
}

/// A reminder that has not been set: [`Effect::remind`](super::Effect::remind) sets it.
///
/// A reminder calls [`on_reminder`](super::EventSourced::on_reminder) when its time has come, also
/// if the entity was passivated, has moved, or its node was killed meanwhile: the entity is started
/// for it. It is set with an event, and is durable when the event is. A [`Timer`](super::Timer) is
/// cheaper, exact to a millisecond, and forgotten when the entity stops.
///
/// A reminder fires at least once at each replica, or at one chosen replica
/// ([`Self::at_replica`]), and never without the event that set it. It fires again when its handler
/// panics, when the effect of the handler is refused or cannot be stored, or when the node ends
/// before the reminder's row is removed. A handler whose effect stores events has stored them once
/// for each time, since its last event also says that the reminder has fired.
///
/// Times are of the wall clocks of the nodes. A reminder is late by up to `reminder_interval`, and
/// by the time that no node was there to fire it. Its first time may lie up to ten years ahead, and
/// its period between one second and ten years.
///
/// Reminders that two replicas set under one name, without knowing of each other, are one
/// reminder: that with the later time of its event fires, at every replica the same.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_persistence::entity::testkit::EntityTest;
/// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
///
/// const MINUTE: Duration = Duration::from_secs(60);
///
/// enum Command { Order(String), Pay }
/// struct Cart;
///
/// impl EventSourced for Cart {
///     type Command = Command;
///     type Event = String;
///     # type State = Vec<String>;
///     # fn on_event(&self, _: &EventContext, texts: &mut Vec<String>, text: &String) {
///     #     texts.push(text.clone());
///     # }
///
///     fn on_command(
///         &self, _: &CommandContext, _: &Vec<String>, command: Command,
///     ) -> Effect<Self> {
///         match command {
///             // each order puts the end off
///             Command::Order(what) => {
///                 self.persist(what).remind("expire", Reminder::after(15 * MINUTE))
///             }
///             Command::Pay => self.persist("paid".to_owned()).cancel_reminder("expire"),
///         }
///     }
///
///     fn on_reminder(
///         &self, _: &CommandContext, _: &Vec<String>, reminder: &DueReminder,
///     ) -> Effect<Self> {
///         assert_eq!(&*reminder.name, "expire");
///         self.persist("expired".to_owned())
///     }
/// }
///
/// let mut cart = EntityTest::local(Cart, "cart|c-1");
/// cart.tell(Command::Order("milk".to_owned()));
/// cart.pass(10 * MINUTE);
/// cart.tell(Command::Order("eggs".to_owned()));
/// cart.pass(10 * MINUTE);
/// assert_eq!(cart.state(), &["milk", "eggs"]);
/// cart.pass(10 * MINUTE);
/// assert_eq!(cart.state(), &["milk", "eggs", "expired"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    first: First,
    every: Option<Duration>,
    replica: Option<ReplicaId>,
}

impl Reminder {
    /// A reminder that is due this time after the event that sets it: zero to ten years.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Reminder;
    ///
    /// let hour = Duration::from_secs(3600);
    /// assert_ne!(Reminder::after(hour), Reminder::after(hour).every(hour));
    /// ```
    pub fn after(time: Duration) -> Self {
        Self { first: First::After(time), every: None, replica: None }
    }

    /// A reminder that is due at this time, or at once if the time has passed.
    ///
    /// ```
    /// use antiphon_base::time::Timestamp;
    /// use antiphon_persistence::entity::Reminder;
    ///
    /// let new_year = Reminder::at(Timestamp::from_micros(1_798_761_600_000_000));
    /// # drop(new_year);
    /// ```
    pub fn at(time: Timestamp) -> Self {
        Self { first: First::At(time), every: None, replica: None }
    }

    /// The same reminder, due again at the multiples of this period after its first time: one
    /// second to ten years. Periods that passed while nothing could fire are told
    /// ([`DueReminder::missed`]), and not made up for.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Reminder;
    ///
    /// let daily = Reminder::after(Duration::ZERO).every(Duration::from_secs(24 * 3600));
    /// # drop(daily);
    /// ```
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    /// The same reminder, which fires at this replica only. Otherwise it fires at each replica. A
    /// replica that the entity does not have is refused with `Rejected`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Reminder;
    /// use antiphon_persistence::identity::ReplicaId;
    ///
    /// let reminder = Reminder::after(Duration::from_secs(60)).at_replica(ReplicaId::new("DC-A")?);
    /// # drop(reminder);
    /// # Ok::<(), antiphon_base::Error>(())
    /// ```
    #[must_use]
    pub fn at_replica(mut self, replica: ReplicaId) -> Self {
        self.replica = Some(replica);
        self
    }
}

/// A reminder whose time has come, for [`on_reminder`](super::EventSourced::on_reminder).
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use std::time::Duration;
///
/// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
///
/// # struct Rent;
/// # impl EventSourced for Rent {
/// #     type Command = &'static str;
/// #     type Event = u64;
/// #     type State = u64;
/// #     fn on_event(&self, _: &EventContext, months: &mut u64, due: &u64) { *months += due; }
/// #     fn on_command(&self, _: &CommandContext, _: &u64, _: &'static str) -> Effect<Self> {
/// #         let month = Duration::from_secs(30 * 24 * 3600);
/// #         self.persist(0).remind("rent", Reminder::after(month).every(month))
/// #     }
///     /// The rent of this month, and of those for which no node was running.
///     fn on_reminder(&self, _: &CommandContext, _: &u64, due: &DueReminder) -> Effect<Self> {
///         assert_eq!(&*due.name, "rent");
///         self.persist(1 + due.missed)
///     }
/// # }
///
/// let mut rent = EntityTest::local(Rent, "rent|flat-7");
/// rent.tell("begin");
/// rent.pass(Duration::from_secs(90 * 24 * 3600));
/// assert_eq!(*rent.state(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueReminder {
    /// The name under which the reminder was set.
    pub name: Arc<str>,
    /// The time at which it was due.
    pub due: Timestamp,
    /// Whole periods that have passed since `due`, for which the reminder did not fire and will
    /// not; zero for a reminder that fires once.
    pub missed: u64,
}

/// An order of an effect about the reminders of its entity.
#[derive(Debug, Clone)]
pub(super) enum ReminderOrder {
    Set(Arc<str>, Reminder),
    Cancel(Arc<str>),
}

impl ReminderOrder {
    pub(super) fn name(&self) -> &Arc<str> {
        let (Self::Set(name, _) | Self::Cancel(name)) = self;
        name
    }

    /// Checks the order of this time against the replicas of the entity.
    ///
    /// # Errors
    /// The reminder, the value, and what was expected.
    pub(super) fn check(&self, now: Timestamp, replicas: &[ReplicaId]) -> Result<(), String> {
        let name = self.name();
        if !(1..=ReminderRow::NAME_BYTES_MAX).contains(&name.len()) {
            return Err(format!(
                "the name of a reminder: expected 1 to {} bytes, actual {}",
                ReminderRow::NAME_BYTES_MAX,
                name.len()
            ));
        }
        if name.starts_with(RESERVED) {
            return Err(format!(
                "the name of a reminder: expected one that does not begin with {RESERVED:?}, which is reserved, actual {name:?}"
            ));
        }
        let Self::Set(_, Reminder { first, every, replica }) = self else { return Ok(()) };
        let first = match first {
            First::After(time) => *time,
            First::At(time) => {
                Duration::from_micros(time.as_micros().saturating_sub(now.as_micros()))
            }
        };
        within(name, "first time", first, Duration::ZERO)?;
        if let Some(every) = every {
            within(name, "period", *every, PERIOD_MIN)?;
        }
        match replica {
            Some(replica) if !replicas.contains(replica) => Err(format!(
                "reminder {name:?}, `at_replica`: expected a replica of the entity, actual {:?}",
                replica.as_str()
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The note of the order for an event of this time.
    pub(super) fn into_note(self, now: Timestamp) -> Note {
        match self {
            Self::Cancel(name) => Note::Cancel { name },
            Self::Set(name, Reminder { first, every, replica }) => {
                let due = match first {
                    First::After(time) => now.as_micros().saturating_add(micros(time)),
                    First::At(time) => time.as_micros(),
                };
                let due = due.min(ReminderRow::due_max().as_micros());
                Note::Set { name, due, every: every.map(micros), replica }
            }
        }
    }
}

fn within(name: &str, what: &str, actual: Duration, min: Duration) -> Result<(), String> {
    if (min..=TIME_MAX).contains(&actual) {
        return Ok(());
    }
    Err(format!("reminder {name:?}, {what}: expected {min:?} to 3650 days, actual {actual:?}"))
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A fact about reminders that an event has in its metadata. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Note {
    /// The reminder is set, in place of those under its name that the event knows.
    Set {
        name: Arc<str>,
        due: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replica: Option<ReplicaId>,
    },
    /// The reminders under this name that the event knows are no more.
    Cancel { name: Arc<str> },
    /// The reminder has fired at the replica that wrote the event, and is due there again.
    Fired {
        name: Arc<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
        /// The replica that wrote the event that set it, and the number among its events; always
        /// there but in events of the first builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<(ReplicaId, u64)>,
    },
    /// The replica that wrote the event has reacted to the events of its stream with these numbers.
    Reacted {
        from: u64,
        to: u64,
        /// Of the last one, which is read as several, only so many first parts have their reaction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parts: Option<u64>,
    },
}

impl Note {
    /// Returns whether the note can be one of this version.
    fn is_sound(&self) -> bool {
        match self {
            Self::Set { every: Some(0), .. } => false,
            Self::Set { name, .. } | Self::Cancel { name } | Self::Fired { name, .. } => {
                let is_short = (1..=ReminderRow::NAME_BYTES_MAX).contains(&name.len());
                is_short && !name.starts_with(RESERVED)
            }
            Self::Reacted { from, to, parts } => from <= to && *parts != Some(0),
        }
    }

    /// The stored form of notes.
    pub(super) fn write(notes: &[Self]) -> Box<str> {
        serde_json::to_string(notes).expect("texts and numbers").into()
    }

    /// The notes of an event with this metadata that can be read, and the reason why the first of
    /// the others cannot: a later version may have notes of another kind.
    pub(super) fn read(metadata: &Metadata) -> (Vec<Self>, Option<String>) {
        let Some(text) = metadata.reminders() else { return (Vec::new(), None) };
        let values: Vec<serde_json::Value> = match serde_json::from_str(text) {
            Ok(values) => values,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let (mut notes, mut unread) = (Vec::new(), None);
        for value in values {
            match Self::of_value(value) {
                Ok(note) => notes.push(note),
                Err(why) => drop(unread.get_or_insert(why)),
            }
        }
        (notes, unread)
    }

    fn of_value(value: serde_json::Value) -> Result<Self, String> {
        let note: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if note.is_sound() {
            return Ok(note);
        }
        Err(format!("expected a name of 1 to 128 bytes, and a period: {note:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_of_an_event_never_change_their_form() {
        let name: Arc<str> = "n".into();
        let replica = ReplicaId::new("A").unwrap();
        let notes = [
            Note::Fired { name: name.clone(), next: None, set: None },
            Note::Fired { name: name.clone(), next: Some(7), set: Some((replica.clone(), 4)) },
            Note::Set { name: name.clone(), due: 5, every: None, replica: None },
            Note::Set { name: name.clone(), due: 5, every: Some(9), replica: Some(replica) },
            Note::Cancel { name },
            Note::Reacted { from: 2, to: 3, parts: None },
            Note::Reacted { from: 2, to: 3, parts: Some(1) },
        ];
        let text = Note::write(&notes);
        assert_eq!(
            &*text,
            r#"[{"fired":{"name":"n"}},{"fired":{"name":"n","next":7,"set":["A",4]}},{"set":{"name":"n","due":5}},{"set":{"name":"n","due":5,"every":9,"replica":"A"}},{"cancel":{"name":"n"}},{"reacted":{"from":2,"to":3}},{"reacted":{"from":2,"to":3,"parts":1}}]"#
        );
        let metadata = Metadata::new().with_reminders(text);
        assert_eq!(Note::read(&metadata), (notes.to_vec(), None));
        assert_eq!(Note::read(&Metadata::new()), (Vec::new(), None));
    }

    #[test]
    fn notes_that_make_no_sense_are_an_error() {
        let long = "n".repeat(ReminderRow::NAME_BYTES_MAX + 1);
        for text in [
            "".to_owned(),
            "{}".to_owned(),
            r#"[{"set":{"name":"","due":5}}]"#.to_owned(),
            r#"[{"set":{"name":"n","due":5,"every":0}}]"#.to_owned(),
            r#"[{"set":{"name":"n","due":-5}}]"#.to_owned(),
            r#"[{"cancel":{"name":"antiphon.reactions"}}]"#.to_owned(),
            r#"[{"set":{"name":"n","due":5,"other":1}}]"#.to_owned(),
            format!(r#"[{{"cancel":{{"name":"{long}"}}}}]"#),
        ] {
            let (notes, why) = Note::read(&Metadata::new().with_reminders(text.clone().into()));
            assert!(notes.is_empty() && why.is_some(), "{text}");
        }
    }

    #[test]
    fn a_note_of_a_later_version_hides_none_of_the_others() {
        let text =
            r#"[{"set":{"name":"n","due":5}},{"paused":{"name":"n"}},{"cancel":{"name":"m"}}]"#;
        let (notes, why) = Note::read(&Metadata::new().with_reminders(text.into()));
        let set = Note::Set { name: "n".into(), due: 5, every: None, replica: None };
        assert_eq!(notes, [set, Note::Cancel { name: "m".into() }]);
        assert!(why.unwrap().contains("paused"));
    }

    #[test]
    fn an_order_out_of_its_bounds_is_refused_with_the_reminder_and_the_value() {
        let replicas = [ReplicaId::new("A").unwrap()];
        let check = |name: &str, reminder| {
            let now = Timestamp::from_micros(1_000_000);
            ReminderOrder::Set(name.into(), reminder).check(now, &replicas)
        };
        let hour = Duration::from_secs(3600);
        assert_eq!(check("n", Reminder::after(hour).every(PERIOD_MIN)), Ok(()));
        assert_eq!(check("n", Reminder::after(TIME_MAX)), Ok(()));
        let refused = |name: &str, reminder| check(name, reminder).unwrap_err();
        assert!(refused("", Reminder::after(hour)).contains("1 to 128 bytes, actual 0"));
        assert!(refused(&"n".repeat(129), Reminder::after(hour)).contains("actual 129"));
        let why = refused("n", Reminder::after(2 * TIME_MAX));
        assert_eq!(why, "reminder \"n\", first time: expected 0ns to 3650 days, actual 630720000s");
        let far = Timestamp::from_micros(2 * micros(TIME_MAX) + 1_000_000);
        let why = refused("n", Reminder::at(far));
        assert_eq!(why, "reminder \"n\", first time: expected 0ns to 3650 days, actual 630720000s");
        let why = refused("n", Reminder::after(hour).every(PERIOD_MIN / 2));
        assert_eq!(why, "reminder \"n\", period: expected 1s to 3650 days, actual 500ms");
        let why = refused("n", Reminder::after(hour).at_replica(ReplicaId::new("B").unwrap()));
        assert!(why.contains("expected a replica of the entity, actual \"B\""), "{why}");
    }
}
