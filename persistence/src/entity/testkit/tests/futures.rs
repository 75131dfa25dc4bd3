//! Futures under the clock of the test.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::entity::testkit::{Did, EntityTest};
use crate::entity::{
    AsynchronousFailure, CommandContext, Effect, Effects, EventContext, EventSourced,
};
use crate::reply::{ReplyError, ReplyTo};

enum Command {
    /// Waits for the bank while other commands wait.
    Hold(ReplyTo<u32>),
    Held(Result<u32, AsynchronousFailure>, ReplyTo<u32>),
    /// Persists one, and waits for the bank beside the commands.
    Beside,
    Paid(Result<u32, AsynchronousFailure>),
    Sum(ReplyTo<u32>),
}

/// A bank that answers when the test says so.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Vec<oneshot::Sender<u32>>>>);

impl Bank {
    fn pay(&self) -> oneshot::Receiver<u32> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().push(sender);
        receiver
    }

    fn answers(&self, cents: u32) {
        self.0.lock().remove(0).send(cents).unwrap();
    }
}

struct Account(Bank);

impl EventSourced for Account {
    type Command = Command;
    type Event = u32;
    type State = u32;

    fn on_command(&self, _: &CommandContext, sum: &u32, command: Command) -> Effect<Self> {
        let bank = self.0.clone();
        match command {
            Command::Hold(reply_to) => {
                let kept = Arc::new(Mutex::new(Some(reply_to)));
                let failed = kept.clone();
                let take = |kept: &Mutex<Option<ReplyTo<u32>>>| kept.lock().take().unwrap();
                self.asynchronous_or(
                    async move {
                        let cents = bank.pay().await.unwrap();
                        Command::Held(Ok(cents), take(&kept))
                    },
                    move |failure| Command::Held(Err(failure), take(&failed)),
                )
            }
            Command::Held(Ok(cents), reply_to) => {
                self.persist(cents).then_reply(reply_to, |sum| *sum)
            }
            Command::Held(Err(failure), reply_to) => {
                reply_to.fail(ReplyError::Failed(failure.to_string()));
                self.none()
            }
            Command::Beside => self.persist(1).then_asynchronous(
                move |_| async move { bank.pay().await.unwrap() },
                Command::Paid,
            ),
            Command::Paid(Ok(cents)) => self.persist(cents),
            Command::Paid(Err(AsynchronousFailure::TimedOut { .. })) => self.persist(1000),
            Command::Paid(Err(_)) => self.persist(2000),
            Command::Sum(reply_to) => self.reply(reply_to, *sum),
        }
    }

    fn on_event(&self, _: &EventContext, sum: &mut u32, cents: &u32) {
        *sum += cents;
    }
}

fn account() -> (Bank, EntityTest<Account>) {
    let bank = Bank::default();
    (bank.clone(), EntityTest::local(Account(bank), "account|a-1"))
}

#[test]
fn a_future_that_waits_goes_on_with_the_next_input_and_holds_up_the_commands_until_then() {
    let (bank, mut account) = account();
    let mut held = account.begin_ask(Command::Hold);
    assert_eq!(account.effects(), [Did::AsynchronousBegun]);
    let mut sum = account.begin_ask(Command::Sum);
    assert_eq!((held.answer(), sum.answer(), account.futures_under_way()), (None, None, 1));
    bank.answers(5);
    assert_eq!(account.run_futures(), 1);
    assert_eq!((held.answer(), sum.answer()), (Some(Ok(5)), Some(Ok(5))));
    assert_eq!(account.effects(), [Did::Persisted(1)]);
}

#[test]
fn a_future_beside_the_commands_begins_after_its_events_and_holds_up_nobody() {
    let (bank, mut account) = account();
    account.tell(Command::Beside);
    assert_eq!(account.effects(), [Did::Persisted(1), Did::BesideBegun]);
    assert_eq!(account.ask(Command::Sum), Ok(1));
    bank.answers(5);
    assert_eq!(account.ask(Command::Sum), Ok(1), "it comes behind the command");
    assert_eq!(account.ask(Command::Sum), Ok(6));
}

#[test]
fn time_is_over_for_a_future_when_the_test_lets_it_pass() {
    let (_bank, mut account) = account();
    let mut held = account.begin_ask(Command::Hold);
    account.pass(Duration::from_secs(29));
    assert_eq!(held.answer(), None);
    account.pass(Duration::from_secs(1));
    let Some(Err(ReplyError::Failed(why))) = held.answer() else { panic!("no error") };
    assert!(why.contains("`asynchronous_timeout`"), "{why}");
}

#[test]
fn the_test_ends_futures_as_timed_out_and_as_panicked() {
    let (_bank, mut account) = account();
    account.tell(Command::Beside);
    assert_eq!(account.time_out_futures(), 1);
    account.tell(Command::Beside);
    assert_eq!(account.panic_futures(), 1);
    assert_eq!(account.effects(), [Did::Persisted(1)]);
    assert_eq!(account.new_events(), [1, 1000, 1, 2000]);
    assert_eq!(account.time_out_futures(), 0, "none is under way");
}

#[test]
fn held_futures_begin_when_the_test_runs_them_and_a_restart_drops_them() {
    let (bank, mut account) = account();
    account.hold_futures();
    account.tell(Command::Beside);
    assert_eq!((account.futures_under_way(), bank.0.lock().len()), (1, 0), "not polled");
    account.run_futures();
    assert_eq!(bank.0.lock().len(), 1);
    account.restart();
    assert_eq!(account.futures_under_way(), 0);
}

#[test]
fn a_stop_waits_for_the_futures_beside_the_commands() {
    let (bank, mut account) = account();
    account.tell(Command::Beside);
    account.passivate();
    assert!(account.effects().is_empty(), "{:?}", account.effects());
    bank.answers(5);
    account.run_futures();
    assert_eq!(account.effects(), [Did::Persisted(1), Did::Passivated]);
    assert_eq!(account.state(), &6);
}
