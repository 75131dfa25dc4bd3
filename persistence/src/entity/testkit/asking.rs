//! The inputs of a test: commands, time, and the end of futures.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Desk, Passed};
use super::entity_test::EntityTest;
use crate::entity::EventSourced;
use crate::entity::engine::{Input, Queued, Slot};
use crate::event::RequestId;
use crate::reply::{
    AskFailure, Claim, PendingReply, ReplyError, ReplyTo, claimed_reply_channel,
    encoded_reply_channel,
};

/// An answer that an entity under test has not given yet, see [`EntityTest::begin_ask`].
#[must_use = "the answer is there to be looked at"]
pub struct Asked<R> {
    reply: PendingReply<R>,
    /// `None`: the answer is not encoded, or not checked.
    desk: Option<Arc<Desk>>,
}

impl<R: Serialize + Debug> Asked<R> {
    /// The answer, once it is there; `None` before. An answer is given out once.
    ///
    /// # Panics
    /// Panics when the answer could not go to another node, with its type and the difference.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Result<R, ReplyError>> {
        let answer = self.reply.try_now()?;
        let fault = self.desk.as_ref().and_then(|desk| desk.fault(&answer));
        if let Some(fault) = fault {
            panic!("{fault}");
        }
        Some(answer)
    }
}

impl<E: EventSourced> EntityTest<E> {
    /// Handles a command and all that follows from it at this time: commands that the entity tells
    /// itself, and futures as far as they get.
    ///
    /// # Panics
    /// Panics when the command could not go to another node: see [`Self::tell_local`].
    #[track_caller]
    pub fn tell(&mut self, command: E::Command) {
        let claim = Claim::unlimited_with(self.metadata.clone());
        let Passed { command, .. } = self.passed(command, &claim);
        self.handle(command, claim);
    }

    /// Handles a command that never leaves its node, as those of timers, futures and the entity
    /// itself: a variant with `#[serde(skip)]`, say. It is not encoded.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, Serialize, Deserialize)]
    /// enum Command {
    ///     Order(u32),
    ///     /// The answer of the bank to an order; nobody can send it.
    ///     #[serde(skip)]
    ///     Paid(u32),
    /// }
    /// # struct Shop;
    /// # impl EventSourced for Shop {
    /// #     type Command = Command;
    /// #     type Event = u32;
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u32, cents: &u32) { *sum += cents; }
    /// #     fn on_command(&self, _: &CommandContext, _: &u32, command: Command) -> Effect<Self> {
    /// #         match command {
    /// #             Command::Order(_) => self.none(),
    /// #             Command::Paid(cents) => self.persist(cents),
    /// #         }
    /// #     }
    /// # }
    ///
    /// let mut shop = EntityTest::new(Shop, "shop|s-1");
    /// shop.tell(Command::Order(5));
    /// shop.tell_local(Command::Paid(5));
    /// assert_eq!(shop.state(), &5);
    /// ```
    #[track_caller]
    pub fn tell_local(&mut self, command: E::Command) {
        let claim = Claim::unlimited_with(self.metadata.clone());
        self.handle(command, claim);
    }

    #[track_caller]
    fn handle(&mut self, command: E::Command, claim: Claim) {
        self.give(Input::Command(Queued { command, slot: Slot::default(), claim }));
    }

    /// The command as another node would read it.
    #[track_caller]
    fn passed(&self, command: E::Command, claim: &Claim) -> Passed<E::Command> {
        match self.encoding {
            None => Passed { command, desk: Arc::default() },
            Some(pass) => pass(command, claim).unwrap_or_else(|why| panic!("`{}`: {why}", self.id)),
        }
    }

    /// Handles a command and returns its answer.
    ///
    /// # Errors
    /// `NoReply` when the handler has not answered yet: see [`Self::begin_ask`] for a command that
    /// is answered later. Other errors as over a network.
    ///
    /// # Panics
    /// Panics when the command or the answer could not go to another node, with the type and the
    /// difference.
    #[track_caller]
    pub fn ask<R>(
        &mut self,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R, ReplyError>
    where
        R: Serialize + DeserializeOwned + Debug + Send + 'static,
    {
        self.begin_ask(command).answer().unwrap_or(Err(ReplyError::NoReply))
    }

    /// Handles a command with this request id, and returns its answer: the first one's answer when
    /// the request was done before.
    ///
    /// # Errors
    /// `NoReply` when the handler did not answer; `Done` when the request was done before, and its
    /// answer is not kept.
    ///
    /// # Panics
    /// Panics when the command could not go to another node.
    #[track_caller]
    pub fn ask_once<R: DeserializeOwned>(
        &mut self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R, ReplyError> {
        let claim = Claim::open_with(self.metadata.with_request(id));
        let (reply_to, reply) = encoded_reply_channel(&claim);
        let Passed { command, .. } = self.passed(command(reply_to), &claim);
        self.handle(command, claim);
        reply.now()
    }

    /// Handles a command and returns its answer, which is a value or a refusal of the application.
    ///
    /// # Errors
    /// `Refused` when the handler has refused; `NoAnswer` when it did not answer.
    ///
    /// # Panics
    /// As [`Self::ask`].
    #[track_caller]
    pub fn try_ask<T, R>(
        &mut self,
        command: impl FnOnce(ReplyTo<Result<T, R>>) -> E::Command,
    ) -> Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Debug + Send + 'static,
        R: Serialize + DeserializeOwned + Debug + Send + 'static,
    {
        AskFailure::flatten(self.ask(command))
    }

    /// Handles a command that is answered later: it is stashed, or its answer waits for a future.
    ///
    /// # Panics
    /// Panics when the command could not go to another node.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_persistence::entity::testkit::{Did, EntityTest};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, Serialize, Deserialize)]
    /// enum Command { Open, Enter(ReplyTo<u32>) }
    /// # struct Door;
    /// # impl EventSourced for Door {
    /// #     type Command = Command;
    /// #     type Event = u32;
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut u32, number: &u32) { *sum += number; }
    /// #     fn on_command(
    /// #         &self, _: &CommandContext, sum: &u32, command: Command,
    /// #     ) -> Effect<Self> {
    /// #         match command {
    /// #             Command::Open => self.persist(1).then_unstash_all(),
    /// #             Command::Enter(reply_to) if *sum == 0 => self.stash(Command::Enter(reply_to)),
    /// #             Command::Enter(reply_to) => self.reply(reply_to, *sum),
    /// #         }
    /// #     }
    /// # }
    ///
    /// let mut door = EntityTest::new(Door, "door|d-1");
    /// let mut entered = door.begin_ask(Command::Enter);
    /// assert_eq!((door.effects(), entered.answer()), (vec![Did::Stashed], None));
    /// door.tell(Command::Open);
    /// assert_eq!(door.effects(), [Did::Persisted(1), Did::Unstashed]);
    /// assert_eq!(entered.answer(), Some(Ok(1)));
    /// ```
    #[track_caller]
    pub fn begin_ask<R>(&mut self, command: impl FnOnce(ReplyTo<R>) -> E::Command) -> Asked<R> {
        let claim = Claim::unlimited_with(self.metadata.clone());
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let Passed { command, desk } = self.passed(command(reply_to), &claim);
        self.handle(command, claim);
        Asked { reply, desk: self.checks.answers.then_some(desk) }
    }

    /// Lets time pass: timers and reminders whose time has come fire, in order, each at its time,
    /// and a future whose time is over (`asynchronous_timeout`) ends. A reminder whose handler
    /// fails fires again in the next call. Otherwise no time passes.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use std::time::Duration;
    ///
    /// use antiphon_persistence::entity::Timer;
    ///
    /// # struct Clock;
    /// # impl EventSourced for Clock {
    /// #     type Command = bool;
    /// #     type Event = ();
    /// #     type State = u32;
    /// #     fn on_event(&self, _: &EventContext, ticks: &mut u32, (): &()) { *ticks += 1; }
    ///     fn on_command(&self, _: &CommandContext, _: &u32, is_start: bool) -> Effect<Self> {
    ///         if is_start {
    ///             let every = Timer::at_fixed_rate(Duration::from_secs(1), || false);
    ///             return Effect::none().then_start_timer("tick", every);
    ///         }
    ///         Effect::persist(())
    ///     }
    /// # }
    ///
    /// let mut clock = EntityTest::new(Clock, "clock|c-1");
    /// clock.tell(true);
    /// clock.pass(Duration::from_millis(3500));
    /// assert_eq!(*clock.state(), 3);
    /// ```
    #[track_caller]
    pub fn pass(&mut self, time: Duration) {
        self.watch.forget();
        let end = self.clock.elapsed() + time;
        let mut tried = BTreeSet::new();
        loop {
            let wake = self.clock.next_wake().map(|at| (at, Next::Wake));
            let over = self.futures.next_deadline().map(|at| (at, Next::Over));
            let row = self.store.rows.iter().find(|row| !tried.contains(*row)).cloned();
            let row = row.map(|row| (self.clock.time_of(row.due), Next::Reminder(row)));
            // a reminder comes before a wake only if its time does
            let next = [wake, over, row].into_iter().flatten().min_by_key(|(at, _)| *at);
            let Some((at, next)) = next.filter(|(at, _)| *at <= end) else { break };
            self.clock.reach(at);
            match next {
                Next::Wake => {
                    self.clock.take_wake();
                    self.feed(Input::Wake);
                }
                Next::Over => {
                    let _ = self.end_futures(|futures| futures.time_out(at));
                }
                Next::Reminder(row) => {
                    tried.insert(row.clone());
                    self.start();
                    self.feed(Input::ReminderDue(Box::new(row), Slot::default()));
                }
            }
        }
        self.clock.reach(end);
    }

    /// The names of the reminders that are set, sorted, with the times at which they are due next.
    ///
    /// # Panics
    /// Panics when the entity has failed.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// use antiphon_base::time::Timestamp;
    /// use antiphon_persistence::entity::{DueReminder, Effects, Reminder};
    ///
    /// # struct Notes;
    /// # impl EventSourced for Notes {
    /// #     type Command = String;
    /// #     type Event = String;
    /// #     type State = Vec<String>;
    /// #     fn on_event(&self, _: &EventContext, list: &mut Vec<String>, text: &String) {
    /// #         list.push(text.clone());
    /// #     }
    ///     fn on_command(
    ///         &self, _: &CommandContext, _: &Vec<String>, text: String,
    ///     ) -> Effect<Self> {
    ///         let due = Timestamp::from_micros(1 << 45);
    ///         self.persist(text).remind("nag", Reminder::at(due))
    ///     }
    /// #     fn on_reminder(
    /// #         &self, _: &CommandContext, _: &Vec<String>, due: &DueReminder,
    /// #     ) -> Effect<Self> {
    /// #         self.persist(due.name.to_string())
    /// #     }
    /// # }
    ///
    /// let mut notes = EntityTest::new(Notes, "notes|n-1");
    /// notes.tell("milk".to_owned());
    /// assert_eq!(notes.reminders(), [("nag".into(), Timestamp::from_micros(1 << 45))]);
    /// assert!(notes.fire_reminder("nag"));
    /// assert_eq!(notes.state(), &["milk", "nag"]);
    /// assert!(!notes.fire_reminder("nag"), "it has fired");
    /// ```
    #[track_caller]
    pub fn reminders(&mut self) -> Vec<(Arc<str>, Timestamp)> {
        let _ = self.state();
        let set = self.engine.as_ref().and_then(|engine| engine.reminders()).unwrap_or_default();
        set.into_iter().map(|reminder| (reminder.name, reminder.due)).collect()
    }

    /// Fires the reminder with this name. The clock goes to its time; timers and other reminders of
    /// before then fire in the next [`Self::pass`]. Returns whether there is one.
    ///
    /// # Panics
    /// Panics when the entity has failed.
    #[track_caller]
    pub fn fire_reminder(&mut self, name: &str) -> bool {
        let set = self.reminders();
        let due = set.iter().find(|(set, _)| **set == *name).map(|(_, due)| *due);
        let mut rows = self.store.rows.iter();
        let row = rows.find(|row| *row.name == *name && Some(row.due) == due).cloned();
        let is_set = row.is_some();
        if let Some(row) = row {
            self.clock.reach(self.clock.time_of(row.due));
            self.give(Input::ReminderDue(Box::new(row), Slot::default()));
        }
        is_set
    }
}

/// The next thing that happens as time passes.
enum Next {
    Wake,
    Over,
    Reminder(crate::store::ReminderRow),
}
