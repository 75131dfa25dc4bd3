//! A counter at two places, in one file. `src/main.rs` runs it.

use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The commands of a counter.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds, and answers with the new value at this replica.
    Add {
        /// The number to add.
        delta: i64,
        /// The receiver of the answer.
        reply_to: ReplyTo<i64>,
    },
    /// Answers with the value at this replica.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<i64>,
    },
}

/// The events of a counter.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A number was added at any replica: sums commute, so that replicas converge by themselves.
    Added {
        /// The added number.
        delta: i64,
    },
}

/// The behaviour of a counter.
pub struct Counter;

impl EventSourced for Counter {
    type Command = Command;
    type Event = Event;
    type State = i64;

    fn on_command(&self, _: &CommandContext, value: &i64, command: Command) -> Effect<Self> {
        match command {
            Command::Add { delta, reply_to } => {
                self.persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
            }
            Command::Get { reply_to } => self.reply(reply_to, *value),
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
        let Event::Added { delta } = event;
        *value = value.wrapping_add(*delta);
    }
}

/// The provider for nodes: one sharding for each place.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<Counter> {
    ReplicatedEntityProvider::per_role("counter", replicas, |_: &ReplicationId| Counter)
}
