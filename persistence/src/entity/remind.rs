//! Effects that set and cancel reminders.

use std::sync::Arc;

use super::reminder::{Reminder, ReminderOrder};
use super::{Effect, EventSourced};

impl<E: EventSourced> Effect<E> {
    /// Sets a reminder with the event of this effect, in place of the reminder that has the name.
    /// The name has 1 to 128 bytes; at most `reminders_max` reminders of an entity wait for their
    /// time. Beyond a bound, or in an effect without an event, the whole command is rejected
    /// (`Rejected`, and counted in `reminders_refused`) before anything is stored.
    ///
    /// The time begins with the time of the event, which is the same at every replica. Of several
    /// events the last one sets the reminder; all of them are stored together.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
    ///
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, text: &'static str,
    /// #     ) -> Effect<Self> {
    /// let hour = Duration::from_secs(3600);
    /// self.persist(text.to_owned()).remind("nag", Reminder::after(hour).every(hour))
    /// #     }
    /// #     fn on_reminder(
    /// #         &self, _: &CommandContext, _: &Vec<String>, due: &DueReminder,
    /// #     ) -> Effect<Self> {
    /// #         self.persist(due.name.to_string())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// assert_eq!(notes.reminders().len(), 1);
    /// notes.pass(Duration::from_secs(2 * 3600));
    /// assert_eq!(notes.state(), &["milk", "nag", "nag"]);
    /// ```
    pub fn remind(mut self, name: impl Into<Arc<str>>, reminder: Reminder) -> Self {
        self.rare().reminders.push(ReminderOrder::Set(name.into(), reminder));
        self
    }

    /// Cancels the reminder with this name with the event of this effect; without such a reminder,
    /// nothing happens. A reminder that is due and whose turn has not come does not fire any more.
    /// An effect without an event is rejected, as by [`Self::remind`].
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use std::time::Duration;
    /// # use antiphon_persistence::entity::{Effects, Reminder};
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = &'static str;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// match command {
    ///     "never mind" => self.persist(command.to_owned()).cancel_reminder("nag"),
    ///     text => {
    ///         let hour = Duration::from_secs(3600);
    ///         self.persist(text.to_owned()).remind("nag", Reminder::after(hour))
    ///     }
    /// }
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// notes.tell("never mind");
    /// assert!(notes.reminders().is_empty());
    /// ```
    pub fn cancel_reminder(mut self, name: impl Into<Arc<str>>) -> Self {
        self.rare().reminders.push(ReminderOrder::Cancel(name.into()));
        self
    }
}
