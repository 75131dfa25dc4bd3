//! A room: its newest lines, at each place.

use std::collections::BTreeMap;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::cluster::{OnNode, ServiceKey, TellActors, ToolError, json_message};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The most lines that a room keeps; the oldest go first.
const LINES_MAX: usize = 200;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The name of the member who said it.
    pub from: String,
    /// The text.
    pub text: String,
}

// a message of plain actors too, also to other nodes
json_message!(Line);

/// The commands of a room.
#[derive(Debug, Serialize, Deserialize)]
pub enum RoomCommand {
    /// Says a line; the answer is the number of lines at this replica.
    Say {
        /// The line.
        line: Line,
        /// The receiver of the answer.
        reply_to: ReplyTo<usize>,
    },
    /// Answers with the newest lines at this replica, the oldest first.
    Lines {
        /// The receiver of the answer.
        reply_to: ReplyTo<Vec<Line>>,
    },
}

/// The event of a room.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// The line that was said.
    pub line: Line,
}

/// The key under which the members of a room are registered.
///
/// # Errors
/// When the name of the room is too long, or has a character that no key has.
pub fn members(room: &str) -> Result<ServiceKey<Line>, ToolError> {
    ServiceKey::new(format!("chat.{room}"))
}

/// The behaviour of a room.
pub struct Room;

/// The lines in one order at all replicas: by their time, then by their replica.
type Lines = BTreeMap<(Timestamp, ReplicaId), Line>;

impl EventSourced for Room {
    type Command = RoomCommand;
    type Event = Said;
    type State = Lines;

    fn on_command(
        &self,
        context: &CommandContext,
        lines: &Lines,
        command: RoomCommand,
    ) -> Effect<Self> {
        match command {
            RoomCommand::Say { line, reply_to } => {
                let heard = line.clone();
                let effect = self.persist(Said { line }).then_reply(reply_to, BTreeMap::len);
                // those who are away find the line in the room
                match (context.receptionist(), members(context.entity_id())) {
                    (Some(receptionist), Ok(members)) => {
                        effect.then_tell_all(&receptionist, &members, |_| heard)
                    }
                    (None, _) | (_, Err(_)) => effect,
                }
            }
            RoomCommand::Lines { reply_to } => {
                self.reply(reply_to, lines.values().cloned().collect())
            }
        }
    }

    fn on_event(&self, context: &EventContext, lines: &mut Lines, said: &Said) {
        let at = (context.current_time(), context.origin().clone());
        lines.insert(at, said.line.clone());
        while lines.len() > LINES_MAX {
            lines.pop_first();
        }
    }
}

impl Room {
    /// The name of the entity type.
    pub const TYPE: &str = "room";

    /// The rooms: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place(Self::TYPE, |_: &ReplicationId| Self)
    }
}

// GET, and POST {"from": "ann", "text": "hello"}, at /entities/room/{id}
impl HttpEntity for Room {
    fn on_get() -> Option<Ask<RoomCommand>> {
        Some(Ask::new(|reply_to| RoomCommand::Lines { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<RoomCommand>> {
        let line: Line = body.read()?;
        Ok(Ask::new(move |reply_to| RoomCommand::Say { line, reply_to }))
    }
}
