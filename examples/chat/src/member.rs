//! A member of a room: a plain actor, on the node at which it has joined.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon::cluster::ractor::{Actor, ActorProcessingErr, ActorRef};
use antiphon::prelude::*;
use parking_lot::Mutex;

use crate::{Line, RoomCommand};

/// The most lines that wait for the client of a member; the oldest go first.
const LINES_MAX: usize = 100;

/// The lines that a member has for its client.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Mutex<VecDeque<Line>>>);

impl Outbox {
    /// The newest lines, the oldest first.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lock().iter().cloned().collect()
    }

    fn add(&self, line: Line) {
        let mut lines = self.0.lock();
        lines.push_back(line);
        if lines.len() > LINES_MAX {
            lines.pop_front();
        }
    }
}

/// The behaviour of a member.
pub struct Member {
    /// The lines for its client.
    pub outbox: Outbox,
}

impl Actor for Member {
    type Msg = Line;
    type State = ();
    type Arguments = EntityRef<RoomCommand>;

    /// Asks the room for the lines that were said before this member came.
    async fn pre_start(
        &self,
        _: ActorRef<Line>,
        room: EntityRef<RoomCommand>,
    ) -> Result<(), ActorProcessingErr> {
        let lines = room.ask(|reply_to| RoomCommand::Lines { reply_to }).await;
        for line in lines.map_err(|error| error.to_string())? {
            self.outbox.add(line);
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Line>,
        line: Line,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.outbox.add(line);
        Ok(())
    }
}
