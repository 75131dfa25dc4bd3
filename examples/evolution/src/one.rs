//! Release 1.

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::persistence::codec::CodecId;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Command, EXPECTED, Summary, posted};

/// The events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The account has an owner.
    Opened {
        /// The name.
        owner: String,
    },
    /// The balance has changed.
    Transferred {
        /// The amount.
        cents: i64,
        /// The fee.
        fee: i64,
    },
    /// A note was added.
    Noted {
        /// The note.
        text: String,
    },
}

/// The state, and the form of snapshots of version 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The name of the owner.
    pub owner: String,
    /// The balance without fees.
    pub balance: i64,
    /// The sum of the fees.
    pub fees: i64,
    /// The number of transfers with an amount.
    pub count: u64,
}

impl State {
    fn summary(&self) -> Summary {
        let Self { owner, balance, fees, count } = self.clone();
        Summary { owner, balance, fees, count }
    }
}

/// The behaviour.
pub struct Account {
    /// The codec of events and snapshots.
    pub codec: CodecId,
}

impl EventSourced for Account {
    type Command = Command;
    type Event = Event;
    type State = State;

    fn on_command(&self, _: &CommandContext, state: &State, command: Command) -> Effect<Self> {
        let (event, reply_to) = match command {
            Command::Open { owner, reply_to } => (Event::Opened { owner }, reply_to),
            Command::Transfer { cents, fee, reply_to } => {
                (Event::Transferred { cents, fee }, reply_to)
            }
            Command::Note { text, reply_to } => (Event::Noted { text }, reply_to),
            Command::Get { reply_to } => return self.reply(reply_to, state.summary()),
        };
        self.persist(event).then_reply(reply_to, State::summary)
    }

    fn on_event(&self, _: &EventContext, state: &mut State, event: &Event) {
        match event {
            // owners of two places at once: the last name in the order of the alphabet
            Event::Opened { owner } => state.owner = owner.clone().max(state.owner.clone()),
            Event::Transferred { cents, fee } => {
                state.balance += cents - fee;
                state.fees += fee;
                state.count += u64::from(*cents != 0);
            }
            Event::Noted { .. } => {}
        }
    }

    fn event_codec(&self) -> CodecId {
        self.codec
    }

    fn event_type(&self, event: &Event) -> EventType {
        let manifest = match event {
            Event::Opened { .. } => "opened",
            Event::Transferred { .. } => "transferred",
            Event::Noted { .. } => "noted",
        };
        EventType { manifest: manifest.into(), version: 1 }
    }

    fn snapshot_codec(&self) -> CodecId {
        self.codec
    }
}

impl HttpEntity for Account {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        posted(body)
    }

    fn expected() -> &'static str {
        EXPECTED
    }
}
