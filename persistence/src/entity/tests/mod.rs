//! Entities as actors, on the stores in memory, under paused time.

mod beside;
mod broken;
mod check;
mod closures;
mod faulty;
mod initial_state;
mod listener;
mod own_mailbox;
mod readable;
mod reminders;
mod slow;
mod timers;
mod together;

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::SystemClock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    AsynchronousFailure, CommandContext, Effect, Effects, EntityHandle, EntityHost, EntityParts,
    EntityRuntime, EntitySettings, EventContext, EventSourced, StandaloneHost, StopReason,
    TellError,
};
use crate::event::StoredEvent;
use crate::identity::{ReplicaId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::{ReplyError, ReplyTo};
use crate::store::{Stores, WriterId};

enum Command {
    Add(i64, ReplyTo<i64>),
    Get(ReplyTo<i64>),
    Forever(ReplyTo<i64>),
    /// Adds, then runs a future beside the commands: it never ends, or panics.
    Beside(i64, bool, ReplyTo<Result<i64, String>>),
    BesideDone(Result<i64, AsynchronousFailure>, ReplyTo<Result<i64, String>>),
    Done,
}

#[derive(Debug, Serialize, Deserialize)]
struct Added(i64);

struct Counter;

impl EventSourced for Counter {
    type Command = Command;
    type Event = Added;
    type State = i64;

    fn on_command(&self, _: &CommandContext, value: &i64, command: Command) -> Effect<Self> {
        match command {
            Command::Add(delta, reply_to) => {
                Effect::persist(Added(delta)).then_reply(reply_to, |value| *value)
            }
            Command::Get(reply_to) => Effect::reply(reply_to, *value),
            Command::Forever(reply_to) => Effect::asynchronous(async move {
                let _held = reply_to;
                std::future::pending::<()>().await;
                Command::Done
            }),
            Command::Beside(delta, panics, reply_to) => {
                self.persist(Added(delta)).then_asynchronous(
                    move |_| async move {
                        assert!(!panics, "the test wants it");
                        std::future::pending().await
                    },
                    |outcome| Command::BesideDone(outcome, reply_to),
                )
            }
            Command::BesideDone(outcome, reply_to) => {
                self.reply(reply_to, outcome.map_err(|failure| failure.to_string()))
            }
            Command::Done => Effect::unhandled(),
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut i64, event: &Added) {
        *value += event.0;
    }
}

struct Host {
    stopped: mpsc::Sender<StopReason>,
    published: Mutex<Vec<StoredEvent>>,
    live: std::sync::atomic::AtomicBool,
}

impl EntityHost for Host {
    fn may_release(&self) -> bool {
        self.live.load(std::sync::atomic::Ordering::Acquire)
    }

    fn published(&self, _: &ReplicationId, events: &[StoredEvent]) {
        self.published.lock().extend_from_slice(events);
    }

    fn stopped(&self, _: &ReplicationId, reason: StopReason) {
        self.stopped.try_send(reason).unwrap();
    }
}

struct Fixture {
    stores: Stores,
    host: Arc<Host>,
    stopped: mpsc::Receiver<StopReason>,
    runtime: EntityRuntime<Counter>,
    writer: WriterId,
}

async fn fixture(settings: EntitySettings) -> Fixture {
    fixture_on(settings, MemoryStores::new().stores()).await
}

/// The writer of the tests, which is open in the journal.
async fn open_writer(stores: &Stores) -> WriterId {
    let writer = WriterId::new("node@1").unwrap();
    stores.journal.open_writer(&writer).await.unwrap();
    writer
}

/// The parts of entities on these stores, for this host.
fn parts(stores: &Stores, writer: WriterId, host: Arc<dyn EntityHost>) -> EntityParts {
    EntityParts {
        journal: stores.journal.clone(),
        snapshots: stores.snapshots.clone(),
        reminders: stores.reminders.clone(),
        writer,
        peers: BTreeMap::new(),
        clock: Arc::new(SystemClock),
        host,
        coordination: None,
    }
}

/// Entities without other replicas and without a host, on stores of their own.
async fn alone<E: EventSourced>(
    make: impl Fn(&ReplicationId) -> E + Send + Sync + 'static,
    settings: EntitySettings,
) -> EntityRuntime<E> {
    let stores = MemoryStores::new().stores();
    let writer = open_writer(&stores).await;
    let parts = parts(&stores, writer, Arc::new(StandaloneHost));
    EntityRuntime::new([ReplicaId::empty()], make, settings, parts).unwrap()
}

async fn fixture_on(settings: EntitySettings, stores: Stores) -> Fixture {
    let writer = open_writer(&stores).await;
    let (sender, stopped) = mpsc::channel(10);
    let host = Arc::new(Host { stopped: sender, published: Mutex::default(), live: true.into() });
    let a = ReplicaId::new("A").unwrap();
    let parts = EntityParts {
        coordination: Some(stores.coordination.clone()),
        ..parts(&stores, writer.clone(), host.clone())
    };
    let b = ReplicaId::new("B").unwrap();
    let runtime = EntityRuntime::new([a, b], |_: &ReplicationId| Counter, settings, parts).unwrap();
    Fixture { stores, host, stopped, runtime, writer }
}

fn quiet() -> EntitySettings {
    EntitySettings { pull_at_start: false, ..EntitySettings::default() }
}

fn spawn(fixture: &Fixture) -> EntityHandle<Counter> {
    fixture.runtime.spawn(ReplicationId::parse("counter|c-1|A").unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_entity_answers_stops_and_comes_back_with_its_state() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(2, to)).await, Ok(2));
    assert_eq!(entity.ask(|to| Command::Add(3, to)).await, Ok(5));
    assert_eq!(entity.command_count(), 0);
    entity.stop();
    assert_eq!(fixture.stopped.recv().await, Some(StopReason::Drained));
    assert_eq!(fixture.host.published.lock().len(), 2);

    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(6));
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_and_recovers() {
    let fixture = fixture(EntitySettings { mailbox_max: 2, ..quiet() }).await;
    let entity = spawn(&fixture);
    let (first, second, third) = tokio::join!(
        entity.ask(|to| Command::Add(1, to)),
        entity.ask(|to| Command::Add(1, to)),
        entity.ask(|to| Command::Add(1, to)),
    );
    assert_eq!((first, second), (Ok(1), Ok(2)));
    assert_eq!(third, Err(ReplyError::Overloaded("`mailbox_max` 2".into())));
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_killed_entity_answers_at_once_that_there_is_no_answer() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    let asked = entity.ask(Command::Forever);
    let killed = async {
        tokio::task::yield_now().await;
        entity.kill();
    };
    let (answer, ()) = tokio::join!(asked, killed);
    assert_eq!(answer, Err(ReplyError::NoReply));
    assert_eq!(fixture.stopped.recv().await, Some(StopReason::Killed));
    while !matches!(entity.try_tell(Command::Done), Err(TellError::Stopped(_))) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_entity_of_a_sealed_writer_stops() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    fixture.stores.journal.seal(&fixture.writer).await.unwrap();
    assert!(entity.ask(|to| Command::Add(1, to)).await.is_err());
    assert!(matches!(fixture.stopped.recv().await, Some(StopReason::Fenced(_))));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_while_the_node_is_not_live() {
    let fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    fixture.host.live.store(false, std::sync::atomic::Ordering::Release);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Err(ReplyError::Timeout));
    fixture.host.live.store(true, std::sync::atomic::Ordering::Release);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(2));
}

#[test]
fn a_replica_that_is_not_configured_is_refused_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let fixture = fixture(quiet()).await;
        let id = ReplicationId::parse("counter|c-1|X").unwrap();
        let message = fixture.runtime.spawn(id).unwrap_err().to_string();
        assert!(message.contains("replica `X`") && message.contains("[\"A\", \"B\"]"), "{message}");
    });
}
