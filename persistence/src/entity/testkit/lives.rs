//! The lives of an entity in memory, and its futures: the test says when they end.

use super::entity_test::EntityTest;
use super::futures::Futures;
use super::watched::Watched;
use crate::entity::EventSourced;
use crate::entity::engine::Input;

impl<E: EventSourced> EntityTest<E> {
    /// Ends the entity as a process that is killed, and starts it again: from its newest snapshot,
    /// if it has one, and the events after it. Its timers, futures, stashed commands and commands
    /// to itself are lost.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::Signal;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").given([40, 2]);
    /// counter.restart();
    /// assert_eq!(counter.signals(), [Signal::RecoveryCompleted]);
    /// assert_eq!(counter.state(), &42);
    /// ```
    #[track_caller]
    pub fn restart(&mut self) {
        self.leave();
        self.failure = None;
        self.watch.forget();
        self.start();
    }

    /// The same after a snapshot of the newest state was stored: a state that a snapshot does not
    /// bring back shows here.
    ///
    /// # Panics
    /// Panics when the entity has failed, or the state could not be read again.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::Signal;
    /// use antiphon_persistence::entity::testkit::EntityTest;
    /// use antiphon_persistence::event::SequenceNr;
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").given([40, 2]);
    /// counter.restart_from_snapshot();
    /// let recovered = Signal::SnapshotRecovered(SequenceNr::new(2));
    /// assert_eq!(counter.signals(), [recovered, Signal::RecoveryCompleted]);
    /// assert_eq!(counter.state(), &42);
    /// ```
    #[track_caller]
    pub fn restart_from_snapshot(&mut self) {
        let _ = self.state();
        let snapshot = self.engine.as_mut().and_then(|engine| engine.snapshot());
        match snapshot {
            Some(Ok(snapshot)) if snapshot.sequence_nr.value() > 0 => self.store.save(&snapshot),
            // an entity without an event has no snapshot
            Some(Ok(_)) | None => {}
            Some(Err(why)) => panic!("`{}` cannot have a snapshot: {why}", self.id),
        }
        self.restart();
    }

    /// The same as [`Self::restart`] without the snapshots, which are deleted: every event is read
    /// again.
    ///
    /// # Panics
    /// Panics when events were deleted, or the entity began with a state: it needs its snapshot.
    #[track_caller]
    pub fn restart_from_events(&mut self) {
        assert!(
            self.store.has_every_event(),
            "`restart_from_events` of `{}`: its first events are in a snapshot alone (`given_state`, `delete_events`): call `restart`",
            self.id
        );
        self.store.forget_snapshots();
        self.restart();
    }

    /// Lets the entity finish its work and leave the memory, as after `passivate_after` without a
    /// command. The next input starts it again.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// # struct Counter;
    /// # impl EventSourced for Counter {
    /// #     type Command = i64;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
    /// #         self.persist(delta)
    /// #     }
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    /// # }
    /// use antiphon_persistence::entity::testkit::{Did, EntityTest};
    ///
    /// let mut counter = EntityTest::new(Counter, "counter|c-1").given([40]);
    /// counter.passivate();
    /// assert_eq!(counter.effects(), [Did::Passivated]);
    /// assert!(!counter.is_in_memory());
    /// counter.tell(2);
    /// assert_eq!(counter.state(), &42);
    /// ```
    #[track_caller]
    pub fn passivate(&mut self) {
        self.give(Input::Stop);
    }

    /// Number of futures that are under way.
    pub fn futures_under_way(&self) -> usize {
        self.futures.count()
    }

    /// Lets futures wait from now on until [`Self::run_futures`]. Otherwise each runs as far as it
    /// gets when it begins, and goes on with each input of the test.
    ///
    /// ```
    /// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
    /// # use antiphon_persistence::entity::EventSourced;
    /// use antiphon_persistence::entity::AsynchronousFailure;
    /// use antiphon_persistence::entity::testkit::{Did, EntityTest};
    ///
    /// # async fn rate(cents: i64) -> i64 { cents / 100 }
    /// #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// enum Command {
    ///     Pay(i64),
    ///     #[serde(skip)]
    ///     Rated(Result<i64, AsynchronousFailure>),
    /// }
    /// struct Account;
    /// # impl EventSourced for Account {
    /// #     type Command = Command;
    /// #     type Event = i64;
    /// #     type State = i64;
    /// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
    ///     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
    ///         match command {
    ///             Command::Pay(cents) => {
    ///                 self.none().then_asynchronous(move |_| rate(cents), Command::Rated)
    ///             }
    ///             Command::Rated(rate) => self.persist(rate.unwrap_or(-1)),
    ///         }
    ///     }
    /// # }
    ///
    /// let mut account = EntityTest::new(Account, "account|a-1");
    /// account.tell(Command::Pay(500));
    /// assert_eq!(account.effects(), [Did::BesideBegun, Did::Persisted(1)]);
    /// assert_eq!(account.new_events(), [5]);
    ///
    /// account.hold_futures();
    /// account.tell(Command::Pay(700));
    /// assert_eq!((account.effects(), account.futures_under_way()), (vec![Did::BesideBegun], 1));
    /// account.time_out_futures();
    /// assert_eq!(account.new_events(), [5, -1]);
    /// ```
    pub fn hold_futures(&mut self) {
        self.futures.are_held = true;
    }

    /// Polls each future that is under way, and handles the commands of those that have ended. A
    /// future that waits for something goes on waiting. Returns how many have ended.
    #[track_caller]
    pub fn run_futures(&mut self) -> usize {
        self.watch.forget();
        self.end_futures(Futures::run)
    }

    /// Ends all futures that are under way as if `asynchronous_timeout` had passed. Returns how
    /// many there were.
    #[track_caller]
    pub fn time_out_futures(&mut self) -> usize {
        self.watch.forget();
        self.end_futures(|futures| futures.time_out(std::time::Duration::MAX))
    }

    /// Ends all futures that are under way as if they had panicked. Returns how many there were.
    #[track_caller]
    pub fn panic_futures(&mut self) -> usize {
        self.watch.forget();
        self.end_futures(Futures::panic)
    }

    /// Ends futures, and handles what follows. Returns how many have ended.
    #[track_caller]
    pub(super) fn end_futures(
        &mut self,
        end: impl FnOnce(&mut Futures<E>) -> Vec<Input<Watched<E>>>,
    ) -> usize {
        let ended = end(&mut self.futures);
        let count = ended.len();
        ended.into_iter().for_each(|input| self.feed(input));
        count
    }
}
