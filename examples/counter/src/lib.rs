//! A counter at two places, in one file. `src/main.rs` runs it.

use antiphon::app::{Ask, Body, HttpEntity};
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

impl Counter {
    /// The counters: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("counter", |_: &ReplicationId| Self)
    }
}

/// The provider for these places.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<Counter> {
    Counter::provider().with_replicas(replicas)
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Add(i64),
}

impl HttpEntity for Counter {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        let Posted::Add(delta) = body.read()?;
        Ok(Ask::new(move |reply_to| Command::Add { delta, reply_to }))
    }

    fn expected() -> &'static str {
        r#"{"add": 1}"#
    }
}
