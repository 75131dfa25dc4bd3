//! Tests of an entity's behaviour, without actors, stores or a cluster: given events, when a
//! command, then events, an answer, a state and effects.
//!
//! The kit runs the engine that runs in production. Only its surroundings differ: the journal is in
//! memory, everything happens at once on the thread of the test, and time stands still until the
//! test lets it pass.
//!
//! # One entity
//!
//! ```
//! use antiphon_persistence::entity::testkit::{Did, EntityTest};
//! # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
//! # use antiphon_persistence::entity::{EventSourced, Timer};
//! # use antiphon_persistence::reply::ReplyTo;
//! # use serde::{Deserialize, Serialize};
//! # use std::time::Duration;
//!
//! const HOUR: Duration = Duration::from_secs(3600);
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Command {
//!     Add { item: String, reply_to: ReplyTo<Result<usize, String>> },
//!     #[serde(skip)]
//!     Expire,
//! }
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Event { Added(String), Expired }
//! # #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
//! # struct State { items: std::collections::BTreeSet<String>, is_over: bool }
//! struct Cart;
//! # impl EventSourced for Cart {
//! #     type Command = Command;
//! #     type Event = Event;
//! #     type State = State;
//! #     fn on_command(&self, _: &CommandContext, cart: &State, command: Command) -> Effect<Self> {
//! #         match command {
//! #             Command::Add { reply_to, .. } if cart.is_over => {
//! #                 self.reply(reply_to, Err("the cart has expired".to_owned()))
//! #             }
//! #             Command::Add { item, reply_to } => self
//! #                 .persist(Event::Added(item))
//! #                 .then_start_timer("expire", Timer::once(HOUR, Command::Expire))
//! #                 .then_reply(reply_to, |cart| Ok(cart.items.len())),
//! #             Command::Expire => self.persist(Event::Expired),
//! #         }
//! #     }
//! #     fn on_event(&self, _: &EventContext, cart: &mut State, event: &Event) {
//! #         match event {
//! #             Event::Added(item) => drop(cart.items.insert(item.clone())),
//! #             Event::Expired => cart.is_over = true,
//! #         }
//! #     }
//! # }
//!
//! // given
//! let mut cart = EntityTest::new(Cart, "cart|c-1").given([Event::Added("pen".into())]);
//! // when
//! let add = |item: &str| {
//!     let item = item.to_owned();
//!     move |reply_to| Command::Add { item, reply_to }
//! };
//! let count = cart.try_ask(add("ink"));
//! // then
//! assert_eq!(count, Ok(2));
//! assert_eq!(cart.new_events(), [Event::Added("ink".into())]);
//! assert_eq!(cart.effects(), [Did::Persisted(1), Did::TimerStarted("expire".into(), HOUR)]);
//!
//! // the clock is the test's
//! cart.pass(HOUR);
//! assert!(cart.state().is_over);
//! let refused = cart.try_ask(add("paper")).unwrap_err();
//! assert_eq!(refused.refusal().as_deref(), Some("the cart has expired"));
//! // every state comes back
//! cart.restart_from_snapshot();
//! assert!(cart.state().is_over);
//! ```
//!
//! - **Given**: [`EntityTest::given`], `given_with_metadata`, `given_state`, `with_metadata`,
//!   `with_settings`, `with_extension`.
//! - **When**: [`EntityTest::ask`], `try_ask`, `tell`, and `begin_ask` for an answer that comes
//!   later; `pass` and `fire_reminder` for time; `passivate`, `restart`, `restart_from_snapshot`,
//!   `restart_from_events` for the lives of the entity.
//! - **Then**: the answer; [`EntityTest::new_events`] and `new_labels`; `state`; `effects`, a list
//!   of [`Did`]; `signals`; `reminders`.
//!
//! # Other entities, and futures
//!
//! A future of the entity runs as far as it gets, on the thread of the test. To end it by hand:
//! `hold_futures`, `run_futures`, `time_out_futures`, `panic_futures`. Another entity that a
//! handler reaches with `entity_ref` is a stand-in of the test: `with_entity` of
//! `antiphon::testkit`.
//!
//! # Several replicas
//!
//! [`EntityTest::replicas`] makes them. No event arrives anywhere until the test delivers it, so a
//! test can write down any history; `concurrently` runs commands that do not know of each other,
//! delivers their events in every causal order, with restarts, and checks that all states are
//! equal. A failure shows both states, the orders and the events.
//!
//! ```
//! # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
//! # use antiphon_persistence::entity::EventSourced;
//! # struct Counter;
//! # impl EventSourced for Counter {
//! #     type Command = i64;
//! #     type Event = i64;
//! #     type State = i64;
//! #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
//! #         self.persist(delta)
//! #     }
//! #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
//! # }
//! use antiphon_persistence::entity::testkit::EntityTest;
//!
//! let mut counter = EntityTest::replicas(Counter, "counter|c-1", ["A", "B", "C"]);
//! counter.at("A").tell(1);
//! counter.deliver("A", "B");
//! counter.concurrently(|counter| {
//!     counter.at("A").tell(10);
//!     counter.at("B").tell(20);
//! });
//! assert_eq!(counter.at("C").state(), &31);
//! ```
//!
//! # Types
//!
//! Each command, answer, event, metadata and state goes through its codec and back. A value that
//! is read as another one fails the test with its type, the value and the difference. Where a type
//! never leaves its node, say so: [`EntityTest::local`] for all commands, `tell_local` for a
//! variant with `#[serde(skip)]`, `without_snapshots` for the state, `without_codec_checks` for
//! everything but commands. [`check_stored`], [`check_commands`] and [`check_answers`] check a
//! type with values that are made up.

mod asking;
mod clock;
mod codec;
mod converging;
mod did;
mod entity_test;
mod futures;
mod lives;
mod orders;
mod replicas_test;
mod running;
mod store;
mod watch;
mod watched;

pub use super::check::{check_adapter, check_answers, check_commands, check_event, check_stored};
pub use asking::Asked;
pub use did::Did;
pub use entity_test::EntityTest;
pub use replicas_test::ReplicasTest;
pub use watch::Outgoing;

#[cfg(test)]
mod tests;
