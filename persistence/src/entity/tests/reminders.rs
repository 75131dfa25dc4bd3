//! Reminders on actors, on a store of rows that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{open_writer, parts, quiet};
use crate::entity::{
    CommandContext, DueReminder, Effect, Effects, EntityHandle, EntityHost, EntityRuntime,
    EventContext, EventSourced, Reminder,
};
use crate::identity::{ReplicaId, ReplicationId};
use crate::memory::{Call, Fault, FaultyStores, MemoryStores};
use crate::reply::ReplyTo;
use crate::store::{ReminderRow, Stores};
use crate::{Error, Result};

enum Command {
    Order(ReplyTo<usize>),
    Read(ReplyTo<Vec<String>>),
}

struct Cart;

impl EventSourced for Cart {
    type Command = Command;
    type Event = String;
    type State = Vec<String>;

    fn on_command(&self, _: &CommandContext, _: &Vec<String>, command: Command) -> Effect<Self> {
        match command {
            Command::Order(reply_to) => self
                .persist("ordered".to_owned())
                .remind("expire", Reminder::after(Duration::ZERO))
                .then_reply(reply_to, |texts| texts.len()),
            Command::Read(reply_to) => self.none().then_reply(reply_to, Clone::clone),
        }
    }

    fn on_event(&self, _: &EventContext, texts: &mut Vec<String>, text: &String) {
        texts.push(text.clone());
    }

    fn on_reminder(
        &self,
        _: &CommandContext,
        _: &Vec<String>,
        reminder: &DueReminder,
    ) -> Effect<Self> {
        self.persist(reminder.name.to_string())
    }
}

/// Fails the calls for rows that the test wants.
#[derive(Default)]
struct Failing {
    put: AtomicBool,
    remove: AtomicBool,
    append: AtomicBool,
}

#[async_trait]
impl Fault for Failing {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        let fails = (matches!(call, Call::PutReminders(_)) && self.put.load(Ordering::Acquire))
            || (matches!(call, Call::RemoveReminders(_)) && self.remove.load(Ordering::Acquire))
            || (matches!(call, Call::Append(..)) && self.append.load(Ordering::Acquire));
        if fails {
            return Err(Error::timeout("the test wants it"));
        }
        Ok(())
    }
}

/// A host that is live, or not.
struct Host(AtomicBool);

impl EntityHost for Host {
    fn may_release(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Fixture {
    stores: Stores,
    failing: Arc<Failing>,
    host: Arc<Host>,
    runtime: EntityRuntime<Cart>,
}

async fn fixture() -> Fixture {
    let (stores, failing) = (MemoryStores::new().stores(), Arc::new(Failing::default()));
    let faulty = FaultyStores::behind(failing.clone(), stores.clone());
    let writer = open_writer(&stores).await;
    let host = Arc::new(Host(true.into()));
    let parts = parts(&faulty, writer, host.clone());
    let make = |_: &ReplicationId| Cart;
    let runtime = EntityRuntime::new([ReplicaId::empty()], make, quiet(), parts).unwrap();
    Fixture { stores, failing, host, runtime }
}

impl Fixture {
    fn spawn(&self) -> EntityHandle<Cart> {
        self.runtime.spawn(ReplicationId::parse("cart|c-1").unwrap()).unwrap()
    }

    async fn rows(&self) -> Vec<ReminderRow> {
        self.stores.reminders.due("cart", ReminderRow::due_max(), None, 100).await.unwrap()
    }

    /// Hands the rows that are due to the entity, and waits for their effects.
    async fn scan(&self, cart: &EntityHandle<Cart>) -> Vec<String> {
        for row in self.rows().await {
            assert!(cart.reminder_due(row));
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        cart.ask(Command::Read).await.unwrap()
    }

    fn unstored(&self) -> u64 {
        self.runtime.counters().reminders_unstored.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_put_refuses_its_command_without_effect() {
    let fixture = fixture().await;
    let cart = fixture.spawn();
    fixture.failing.put.store(true, Ordering::Release);
    let error = cart.ask(Command::Order).await.unwrap_err();
    assert!(error.is_without_effect(), "the journal was never asked: {error}");
    assert_eq!(fixture.unstored(), 1);
    fixture.failing.put.store(false, Ordering::Release);
    assert_eq!(cart.ask(Command::Order).await, Ok(1));
    assert_eq!(fixture.scan(&cart).await, ["ordered", "expire"]);
    assert!(fixture.rows().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_append_that_fails_leaves_a_row_that_fires_nothing() {
    let fixture = fixture().await;
    let cart = fixture.spawn();
    fixture.failing.append.store(true, Ordering::Release);
    cart.ask(Command::Order).await.unwrap_err();
    fixture.failing.append.store(false, Ordering::Release);
    assert_eq!(fixture.rows().await.len(), 1);
    assert!(fixture.scan(&cart).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_removed_does_not_fire_again_and_is_removed_later() {
    let fixture = fixture().await;
    let cart = fixture.spawn();
    assert_eq!(cart.ask(Command::Order).await, Ok(1));
    fixture.failing.remove.store(true, Ordering::Release);
    assert_eq!(fixture.scan(&cart).await, ["ordered", "expire"]);
    assert_eq!(fixture.scan(&cart).await, ["ordered", "expire"]);
    assert_eq!((fixture.rows().await.len(), fixture.unstored()), (1, 2));
    cart.stop();
    while !cart.is_gone() {
        tokio::task::yield_now().await;
    }
    fixture.failing.remove.store(false, Ordering::Release);
    let cart = fixture.spawn();
    assert_eq!(fixture.scan(&cart).await, ["ordered", "expire"], "its event says that it fired");
    assert!(fixture.rows().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_live_removes_no_row() {
    let fixture = fixture().await;
    let cart = fixture.spawn();
    assert_eq!(cart.ask(Command::Order).await, Ok(1));
    fixture.host.0.store(false, Ordering::Release);
    let row = fixture.rows().await.remove(0);
    let unknown = ReminderRow { name: "unknown".into(), ..row };
    fixture.stores.reminders.put(std::slice::from_ref(&unknown)).await.unwrap();
    for row in fixture.rows().await {
        assert!(cart.reminder_due(row));
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.rows().await.len(), 2);
    fixture.host.0.store(true, Ordering::Release);
    assert_eq!(fixture.scan(&cart).await, ["ordered", "expire"]);
    assert!(fixture.rows().await.is_empty());
}
