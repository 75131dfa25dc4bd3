//! The entity of the examples of this crate.

use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::ReplicatedEntityProvider;
use serde::{Deserialize, Serialize};

/// The commands of a counter.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds, and answers with the value at this replica.
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
    /// A number was added.
    Added {
        /// The number.
        delta: i64,
    },
}

/// A counter at each place; sums commute.
pub struct Counter;

impl Counter {
    /// The counters.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("counter", |_: &ReplicationId| Self)
    }
}

impl EventSourced for Counter {
    type Command = Command;
    type Event = Event;
    type State = i64;

    fn on_command(&self, _: &CommandContext, value: &i64, command: Command) -> Effect<Self> {
        match command {
            Command::Add { delta, reply_to } => {
                Effect::persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
            }
            Command::Get { reply_to } => Effect::reply(reply_to, *value),
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
        let Event::Added { delta } = event;
        *value = value.wrapping_add(*delta);
    }
}
