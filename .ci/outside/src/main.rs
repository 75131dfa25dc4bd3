//! A service with one entity, outside the workspace: what a user's crate begins with.

use std::process::ExitCode;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add { delta: i64, reply_to: ReplyTo<i64> },
    Get { reply_to: ReplyTo<i64> },
}

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Added { delta: i64 },
}

struct Counter;

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
        *value += delta;
    }
}

#[derive(Deserialize)]
struct Add {
    add: i64,
}

impl HttpEntity for Counter {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        let Add { add: delta } = body.read()?;
        Ok(Ask::new(move |reply_to| Command::Add { delta, reply_to }))
    }
}

fn main() -> ExitCode {
    let counters = ReplicatedEntityProvider::at_each_place("counter", |_: &ReplicationId| Counter);
    antiphon::app::app("counters").entity(counters).run()
}
