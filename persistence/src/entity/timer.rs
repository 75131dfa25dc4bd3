//! Timers of entities, as the effect of a command starts and cancels them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use antiphon_base::bounds::YEAR;

use super::{Effect, EventSourced};

/// The shortest period of a timer that fires again and again.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The name of a timer within its entity.
pub(super) type TimerKey = Cow<'static, str>;

/// Makes the command of a timer that fires more than once.
pub(super) type MakeCommand<C> = Box<dyn FnMut() -> C + Send>;

/// The times at which a timer fires after the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// This time after its command was taken.
    Delay(Duration),
    /// At the multiples of this time after the first time.
    Rate(Duration),
}

/// The source of a timer's commands.
pub(super) enum Source<C> {
    Once(C),
    Again(Repeat, MakeCommand<C>),
}

/// A timer that has not been started: [`Effect::then_start_timer`] starts it.
///
/// When its time has come, a timer puts a command into the mailbox of its entity, behind the
/// commands that are there. It takes no place of `mailbox_max`: a timer whose command waits does
/// not fire again before the command is taken, so a slow entity has one waiting command for each
/// timer at most. Times are of the monotonic clock of the node, exact to a millisecond, and never
/// early. A time lies between zero (one millisecond for a period) and 365 days.
///
/// Timers are in memory. They are lost, and counted (`timers_lost`), when the entity stops: when it
/// is passivated, moves to another node, or its node ends; and when the entity starts again because
/// its events could not be stored or its state could not be read. A timer does not keep an entity
/// from being passivated after `passivate_after` without a command of others. An entity that needs
/// its timers again starts them at its next command, or by a command that it tells itself at
/// [`Signal::RecoveryCompleted`](super::Signal::RecoveryCompleted).
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_persistence::entity::Timer;
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
///
/// const MINUTE: Duration = Duration::from_secs(60);
///
/// enum Command { Order, Remind, Expire }
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
///         let remind = || Timer::at_fixed_rate(6 * MINUTE, || Command::Remind);
///         match command {
///             Command::Order => Effect::persist("ordered".to_owned())
///                 .then_start_timer("expire", Timer::once(15 * MINUTE, Command::Expire))
///                 .then_start_timer("remind", remind()),
///             Command::Remind => Effect::persist("reminded".to_owned()),
///             Command::Expire => {
///                 Effect::persist("expired".to_owned()).then_cancel_timer("remind")
///             }
///         }
///     }
/// }
///
/// let mut cart = EntityTest::local(Cart, "cart|c-1");
/// cart.tell(Command::Order);
/// cart.pass(60 * MINUTE);
/// assert_eq!(cart.state(), &["ordered", "reminded", "reminded", "expired"]);
/// ```
pub struct Timer<C> {
    pub(super) first: Duration,
    pub(super) source: Source<C>,
}

impl<C> Timer<C> {
    /// A timer that fires once, this time after it is started.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// let timer = Timer::once(Duration::from_secs(30), "expire");
    /// assert_eq!(format!("{timer:?}"), "Timer { first: 30s, repeat: None }");
    /// ```
    pub fn once(after: Duration, command: C) -> Self {
        Self { first: after, source: Source::Once(command) }
    }

    /// A timer that fires this time after it is started, and again this time after its last command
    /// was taken by the handler. `command` makes a command each time; a panic there cancels the
    /// timer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// let timer = Timer::with_fixed_delay(Duration::from_secs(5), || "poll");
    /// # drop(timer);
    /// ```
    pub fn with_fixed_delay(every: Duration, command: impl FnMut() -> C + Send + 'static) -> Self {
        Self { first: every, source: Source::Again(Repeat::Delay(every), Box::new(command)) }
    }

    /// A timer that fires at the multiples of this time after it is started. Times that passed
    /// while a command of the timer waited are left out: they are not made up for. `command` makes
    /// a command each time; a panic there cancels the timer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// let timer = Timer::at_fixed_rate(Duration::from_secs(60), || "close the minute");
    /// # drop(timer);
    /// ```
    pub fn at_fixed_rate(every: Duration, command: impl FnMut() -> C + Send + 'static) -> Self {
        Self { first: every, source: Source::Again(Repeat::Rate(every), Box::new(command)) }
    }

    /// Sets another time until the timer fires first.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// // at once, and then every minute
    /// let timer = Timer::at_fixed_rate(Duration::from_secs(60), || "poll");
    /// let timer = timer.first_after(Duration::ZERO);
    /// # drop(timer);
    /// ```
    #[must_use]
    pub fn first_after(mut self, time: Duration) -> Self {
        self.first = time;
        self
    }
}

impl<C> fmt::Debug for Timer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeat = match &self.source {
            Source::Once(_) => None,
            Source::Again(repeat, _) => Some(repeat),
        };
        f.debug_struct("Timer").field("first", &self.first).field("repeat", &repeat).finish()
    }
}

/// An order of an effect about the timers of its entity.
pub(super) enum Order<C> {
    Start(TimerKey, Timer<C>),
    Cancel(TimerKey),
    /// Begins the receive timeout.
    Receive(Duration, MakeCommand<C>),
    CancelReceive,
}

impl<C> Order<C> {
    /// Checks the times of the order.
    ///
    /// # Errors
    /// The timer, the time, and the expected range.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Start(key, Timer { first, source }) => {
                within(key, "first time", *first, Duration::ZERO)?;
                match source {
                    Source::Once(_) => Ok(()),
                    Source::Again(Repeat::Delay(every) | Repeat::Rate(every), _) => {
                        within(key, "period", *every, PERIOD_MIN)
                    }
                }
            }
            Self::Receive(after, _) => within("the receive timeout", "time", *after, PERIOD_MIN),
            Self::Cancel(_) | Self::CancelReceive => Ok(()),
        }
    }
}

fn within(timer: &str, what: &str, actual: Duration, min: Duration) -> Result<(), String> {
    if (min..=YEAR).contains(&actual) {
        return Ok(());
    }
    Err(format!("timer {timer:?}, {what}: expected {min:?} to 365 days, actual {actual:?}"))
}

impl<E: EventSourced> Effect<E> {
    /// Starts a timer under a key, in place of the timer that has the key. At most `timers_max`
    /// timers of an entity run; beyond, or with a time out of range, the whole command is rejected
    /// (`Rejected`, and counted in `timers_refused`) before anything is stored.
    ///
    /// The time begins when the command was handled and its events are applied; the events need not
    /// be durable yet. Nothing can be seen of that outside: the timer's command is a later command
    /// of the entity, whose answers and side effects wait for the events before it, and when these
    /// cannot be stored, the entity forgets its timers together with its state. The timers of a
    /// command that is rejected are not started.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
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
    /// #         &self, _: &CommandContext, _: &Vec<String>, command: &'static str,
    /// #     ) -> Effect<Self> {
    /// match command {
    ///     "remind me" => {
    ///         let timer = Timer::once(Duration::from_secs(60), "buy milk");
    ///         Effect::none().then_start_timer("remind", timer)
    ///     }
    ///     text => Effect::persist(text.to_owned()),
    /// }
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("remind me");
    /// notes.pass(Duration::from_secs(59));
    /// assert!(notes.state().is_empty());
    /// notes.pass(Duration::from_secs(1));
    /// assert_eq!(notes.state(), &["buy milk"]);
    /// ```
    pub fn then_start_timer(
        mut self,
        key: impl Into<Cow<'static, str>>,
        timer: Timer<E::Command>,
    ) -> Self {
        self.rare().timers.push(Order::Start(key.into(), timer));
        self
    }

    /// Cancels the timer with this key; without such a timer, nothing happens. A command of the
    /// timer that waits in the mailbox is not handled any more.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::entity::Timer;
    /// # use std::time::Duration;
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
    ///     "remind me" => {
    ///         let timer = Timer::once(Duration::from_secs(60), "buy milk");
    ///         Effect::none().then_start_timer("remind", timer)
    ///     }
    ///     "never mind" => Effect::none().then_cancel_timer("remind"),
    ///     text => Effect::persist(text.to_owned()),
    /// }
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("remind me");
    /// notes.tell("never mind");
    /// notes.pass(Duration::from_secs(3600));
    /// assert!(notes.state().is_empty());
    /// ```
    pub fn then_cancel_timer(mut self, key: impl Into<Cow<'static, str>>) -> Self {
        self.rare().timers.push(Order::Cancel(key.into()));
        self
    }

    /// Puts a command into the mailbox whenever the entity has taken no command for this time:
    /// mostly for an entity that stops itself ([`Self::then_stop`]) sooner than `passivate_after`.
    /// Commands of timers and of this timeout do not count; commands that the entity tells itself
    /// do. The timeout is in force until it is cancelled or set anew, and is forgotten with the
    /// timers of the entity. It does not count for `timers_max`.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use std::time::Duration;
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
    ///     "nothing came" => Effect::persist("closed".to_owned()).then_cancel_receive_timeout(),
    ///     text => Effect::persist(text.to_owned())
    ///         .then_set_receive_timeout(Duration::from_secs(10), || "nothing came"),
    /// }
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::local(Notes, "notes|n-1");
    /// notes.tell("milk");
    /// notes.pass(Duration::from_secs(9));
    /// notes.tell("eggs");
    /// notes.pass(Duration::from_secs(9));
    /// assert_eq!(notes.state(), &["milk", "eggs"]);
    /// notes.pass(Duration::from_secs(60));
    /// assert_eq!(notes.state(), &["milk", "eggs", "closed"]);
    /// ```
    pub fn then_set_receive_timeout(
        mut self,
        after: Duration,
        command: impl FnMut() -> E::Command + Send + 'static,
    ) -> Self {
        self.rare().timers.push(Order::Receive(after, Box::new(command)));
        self
    }

    /// Ends the receive timeout, see [`Self::then_set_receive_timeout`].
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
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
    /// Effect::persist(command.to_owned()).then_cancel_receive_timeout()
    /// #     }
    /// # }
    /// ```
    pub fn then_cancel_receive_timeout(mut self) -> Self {
        self.rare().timers.push(Order::CancelReceive);
        self
    }
}
