//! Antiphon: event-sourced entities that live in several places at once.
//!
//! An application needs this crate only. [`app`] is its host: with ten lines of `main` it has all
//! that the `antiphon` binary has. [`prelude`] has the items that application code uses;
//! [`testkit`] tests a behaviour without a cluster; [`LocalPlace`] is a whole place in one process,
//! for tests and first steps; [`Embedded`] is a node with a journal and TCP links, as the
//! `antiphon` binary runs it; [`Repeats`] keeps a log from filling a disk.
//!
//! ```
//! use antiphon::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Event { Added { delta: i64 } }
//! struct Counter;
//!
//! impl EventSourced for Counter {
//!     type Command = Command;
//!     type Event = Event;
//!     type State = i64;
//!
//!     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
//!         let Command::Add { delta, reply_to } = command;
//!         self.persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
//!     }
//!
//!     fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
//!         let Event::Added { delta } = event;
//!         *value += delta;
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let node = antiphon::LocalPlace::new("DC-A").start("node-1").await?;
//! let provider = ReplicatedEntityProvider::per_role(
//!     "counter", [ReplicaId::new("DC-A")?], |_: &ReplicationId| Counter);
//! let counters = ReplicatedSharding::init(&node, provider).await?;
//! let counter = &counters.entity_refs_for("c-1")?[&ReplicaId::new("DC-A")?];
//! assert_eq!(counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await, Ok(1));
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```

mod address;
#[cfg(feature = "app")]
pub mod app;
mod builder;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "actors")]
pub mod cluster;
mod embedded;
#[cfg(doctest)]
mod guide;
#[cfg(feature = "client")]
pub mod header;
mod journal;
mod local;
mod patience;
mod peer;
mod relay;
mod repeats;
mod stores;
pub mod testkit;

pub use address::host_and_port;
pub use antiphon_base as base;
pub use antiphon_persistence as persistence;
pub use antiphon_runtime as runtime;
pub use antiphon_sharding as sharding;
pub use builder::EmbeddedBuilder;
pub use embedded::{Embedded, EmbeddedSettings};
pub use journal::{Journal, OpenJournal};
pub use local::LocalPlace;
pub use peer::{Peer, PeerSettings};
pub use repeats::{LimitedLayer, RepeatSettings, Repeats};
pub use stores::*;

/// The items that application code uses.
pub mod prelude {
    pub use antiphon_base::time::Timestamp;
    pub use antiphon_persistence::crdt::{self, Replicated};
    pub use antiphon_persistence::entity::{
        AsynchronousFailure, CommandContext, DoneBefore, DueReminder, DurableEvent, Effect,
        Effects, EntitySettings, EventContext, EventListener, EventSourced, EventType, ListenError,
        Reminder, SelfRef, Signal, TellError, Timer,
    };
    pub use antiphon_persistence::event::{Metadata, RequestId, Tags};
    pub use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    pub use antiphon_persistence::reply::ReplyTo;
    pub use antiphon_runtime::{Error, Node, Result};
    pub use antiphon_sharding::{
        AskError, AskFailure, CommandsFrom, EntityRef, EntityRefs, ReplicatedEntityProvider,
        ReplicatedSharding, RoutingPolicy, SessionToken, ShardingSettings,
    };
}
