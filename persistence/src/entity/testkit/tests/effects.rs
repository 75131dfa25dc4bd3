//! Effects, signals and lives, as a test sees them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{assert_names, failure};
use crate::entity::testkit::{Did, EntityTest};
use crate::entity::{
    CommandContext, DueReminder, Effect, Effects, EntitySettings, EventContext, EventSourced,
    Reminder, Signal, Timer,
};
use crate::event::{Metadata, SequenceNr};
use crate::reply::{AskFailure, ReplyError, ReplyTo};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Persist(Vec<u32>),
    Stash(u32),
    Unstash,
    Start,
    Cancel,
    Remind,
    Forget,
    Timers(u32),
    Tell,
    TellForEver,
    Stop,
    Panic,
    Nothing,
    Refuse(ReplyTo<Result<u32, String>>),
    Sum(ReplyTo<u32>),
}

struct Machine;

impl EventSourced for Machine {
    type Command = Command;
    type Event = u32;
    type State = u32;

    fn on_command(&self, context: &CommandContext, sum: &u32, command: Command) -> Effect<Self> {
        let me = context.self_ref::<Self>();
        match command {
            Command::Persist(numbers) => self.persist_all(numbers),
            Command::Stash(number) if *sum == 0 => self.stash(Command::Stash(number)),
            Command::Stash(number) => self.persist(number),
            Command::Unstash => self.persist(1).then_unstash_all(),
            Command::Start => self
                .none()
                .then_start_timer("tick", Timer::once(MINUTE, Command::Persist(vec![7])))
                .then_set_receive_timeout(2 * MINUTE, || Command::Stop),
            Command::Cancel => self.none().then_cancel_timer("tick").then_cancel_receive_timeout(),
            Command::Remind => self.persist(2).remind("nag", Reminder::after(MINUTE)),
            Command::Forget => self.persist(3).cancel_reminder("nag"),
            Command::Timers(count) => (0..count).fold(self.none(), |effect, key| {
                effect.then_start_timer(key.to_string(), Timer::once(MINUTE, Command::Nothing))
            }),
            Command::Tell => {
                self.none().then_run(|_| (), move |()| me.tell(Command::Persist(vec![5])).unwrap())
            }
            Command::TellForEver => {
                me.tell(Command::TellForEver).unwrap();
                self.none()
            }
            Command::Stop => self.none().then_stop(),
            Command::Panic => panic!("the test wants it"),
            Command::Nothing => self.unhandled(),
            Command::Refuse(reply_to) => self.reply(reply_to, Err("no".to_owned())),
            Command::Sum(reply_to) => self.reply(reply_to, *sum),
        }
    }

    fn on_event(&self, _: &EventContext, sum: &mut u32, number: &u32) {
        assert!(*number != 13, "the test wants it");
        *sum += number;
    }

    fn on_reminder(&self, _: &CommandContext, _: &u32, _: &DueReminder) -> Effect<Self> {
        self.persist(100)
    }
}

fn machine() -> EntityTest<Machine> {
    EntityTest::new(Machine, "machine|m-1")
}

#[test]
fn each_part_of_an_effect_is_a_value_that_a_test_compares() {
    let timer = Did::TimerStarted("tick".into(), MINUTE);
    let set = Did::ReminderSet("nag".into(), Reminder::after(MINUTE));
    for (command, did) in [
        (Command::Persist(vec![1, 2, 3]), vec![Did::Persisted(3)]),
        (Command::Persist(vec![]), vec![]),
        (Command::Stash(9), vec![Did::Stashed]),
        (Command::Unstash, vec![Did::Persisted(1), Did::Unstashed]),
        (Command::Start, vec![timer, Did::ReceiveTimeoutSet(2 * MINUTE)]),
        (Command::Cancel, vec![Did::TimerCancelled("tick".into()), Did::ReceiveTimeoutCancelled]),
        (Command::Remind, vec![Did::Persisted(1), set]),
        (Command::Forget, vec![Did::Persisted(1), Did::ReminderCancelled("nag".into())]),
        (Command::Tell, vec![Did::ToldItself, Did::Persisted(1)]),
        (Command::Stop, vec![Did::Stopped, Did::Passivated]),
        (Command::Panic, vec![Did::Panicked("on_command")]),
        (Command::Persist(vec![13]), vec![Did::Panicked("on_event")]),
        (Command::Nothing, vec![Did::Unhandled]),
    ] {
        let shown = format!("{command:?}");
        let mut machine = machine();
        machine.tell(command);
        assert_eq!(machine.effects(), did, "{shown}");
    }
}

#[test]
fn a_stashed_command_is_handled_after_the_one_that_unstashes_it() {
    let mut machine = machine();
    machine.tell(Command::Stash(9));
    machine.tell(Command::Unstash);
    assert_eq!(machine.effects(), [Did::Persisted(1), Did::Unstashed, Did::Persisted(1)]);
    assert_eq!(machine.new_events(), [1, 9]);
}

#[test]
fn a_refused_effect_is_one_line_and_nothing_of_it_happens() {
    let mut machine = machine();
    machine.tell(Command::Timers(101));
    assert!(matches!(&*machine.effects(), [Did::Refused(_)]), "{:?}", machine.effects());
    machine.tell(Command::Persist(vec![1; 1001]));
    let effects = machine.effects();
    assert!(matches!(&*effects, [Did::Refused(why)] if why.contains("1000")), "{effects:?}");
    assert_eq!(machine.signals().len(), 1);
    assert!(machine.new_events().is_empty());
}

#[test]
fn answers_are_a_value_a_refusal_an_error_or_nothing_yet() {
    let mut machine = machine();
    assert_eq!(machine.ask(Command::Sum), Ok(0));
    assert_eq!(machine.try_ask(Command::Refuse), Err(AskFailure::Refused("no".to_owned())));
    let panicked = machine.ask(|_: ReplyTo<u32>| Command::Panic);
    assert_eq!(panicked, Err(ReplyError::NoReply), "the asker's place was let go of");
}

#[test]
fn time_passes_as_the_test_says_and_each_thing_comes_at_its_time() {
    let mut machine = machine();
    machine.tell(Command::Start);
    machine.pass(MINUTE / 2);
    machine.tell(Command::Remind);
    machine.pass(MINUTE);
    assert_eq!(machine.effects(), [Did::Persisted(1), Did::Persisted(1)]);
    assert_eq!(machine.new_events(), [2, 7, 100]);
    machine.pass(MINUTE);
    assert_eq!(machine.effects(), [Did::Stopped, Did::Passivated], "the receive timeout");
    assert!(!machine.is_in_memory());
    assert_eq!(machine.ask(Command::Sum), Ok(109), "the next command starts it");
}

#[test]
fn a_reminder_starts_an_entity_that_is_not_in_memory() {
    let mut machine = machine();
    machine.tell(Command::Remind);
    machine.passivate();
    assert_eq!(machine.effects(), [Did::Passivated]);
    machine.pass(MINUTE);
    assert_eq!(machine.state(), &102);
}

#[test]
fn an_entity_begins_with_a_state_with_events_and_with_metadata() {
    let metadata = Metadata::new().with("user", "anna").unwrap();
    let machine = machine().given_state(&40).given([1]);
    let mut machine = machine.given_with_metadata(&metadata, [1]).with_metadata(metadata.clone());
    assert_eq!(machine.state(), &42);
    machine.tell(Command::Persist(vec![8]));
    assert_eq!(machine.new_events(), [8]);
    assert_eq!(machine.new_labels()[0].metadata(), &metadata);
    machine.restart();
    let recovered = Signal::SnapshotRecovered(SequenceNr::new(1));
    assert_eq!(machine.signals(), [recovered, Signal::RecoveryCompleted]);
    assert_eq!(machine.state(), &50);
}

#[test]
fn a_snapshot_that_the_settings_want_is_stored_and_read() {
    let settings = EntitySettings { snapshot_every: 2, ..EntitySettings::default() };
    let mut machine = machine().with_settings(settings);
    machine.tell(Command::Persist(vec![1, 2]));
    let saved = Signal::SnapshotSaved(SequenceNr::new(2));
    assert_eq!(machine.signals(), [Signal::RecoveryCompleted, saved]);
    machine.restart();
    assert_eq!(machine.signals()[0], Signal::SnapshotRecovered(SequenceNr::new(2)));
    machine.restart_from_events();
    assert_eq!(machine.signals()[0], Signal::RecoveryCompleted);
    assert_eq!(machine.state(), &3);
}

#[test]
fn a_kit_that_is_used_wrong_says_what_to_do() {
    let late = failure(|| {
        let mut machine = machine();
        machine.tell(Command::Unstash);
        machine.given([1])
    });
    assert_names(&late, &["`given` of `machine|m-1`", "before the first command"]);
    let id = failure(|| EntityTest::new(Machine, "machine"));
    assert_names(&id, &["expected `type|entity` or `type|entity|replica`"]);
    let restless = failure(|| machine().tell(Command::TellForEver));
    assert_names(&restless, &["`machine|m-1` does not come to rest", "tells itself"]);
    let deleted = failure(|| machine().given_state(&4).restart_from_events());
    assert_names(&deleted, &["`restart_from_events`", "call `restart`"]);
}
