//! What an application writes.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CommandContext, Effect, EventContext};
use crate::Result;
use crate::codec::CodecId;
use crate::event::{Payload, SequenceNr};

/// The stored kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// The kind; empty when the entity has only one.
    pub manifest: Arc<str>,
    /// The version of the kind, from one.
    pub version: u16,
}

/// What happens to an entity besides commands and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The state is as the journal says; commands come next.
    RecoveryCompleted,
    /// A snapshot up to this number was stored.
    SnapshotSaved(SequenceNr),
    /// A snapshot could not be stored; the entity goes on without.
    SnapshotFailed(String),
}

/// The behaviour of an entity: how commands become events, and events become state.
///
/// Both functions are plain and must not block. `on_event` must depend on nothing but its arguments, since it runs again at every
/// recovery and at every replica. With more than one replica, events of others come between one's own, possibly
/// [concurrent](EventContext::concurrent) ones: the state must be the same in whichever (causal) order they come, or
/// the entity decides by the flag and by [`crate::crdt`] types.
///
/// ```
/// use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use antiphon_persistence::reply::ReplyTo;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Event { Added { delta: i64 } }
/// struct Counter;
///
/// impl EventSourced for Counter {
///     type Command = Command;
///     type Event = Event;
///     type State = i64;
///
///     fn on_command(&self, _: &CommandContext, _: &i64, command: Command) -> Effect<Self> {
///         let Command::Add { delta, reply_to } = command;
///         Effect::persist(Event::Added { delta }).then_reply(reply_to, |value| *value)
///     }
///
///     fn on_event(&self, _: &EventContext, value: &mut i64, event: &Event) {
///         let Event::Added { delta } = event;
///         *value += delta;
///     }
/// }
/// ```
pub trait EventSourced: Sized + Send + Sync + 'static {
    /// What the entity is asked to do.
    type Command: Send + 'static;
    /// What has happened.
    type Event: Serialize + DeserializeOwned + Send + Sync + Debug + 'static;
    /// What follows from the events; its default is the state before the first one.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Decides what a command does, against the newest state. A panic here fails the command only.
    fn on_command(
        &self,
        context: &CommandContext,
        state: &Self::State,
        command: Self::Command,
    ) -> Effect<Self>;

    /// Applies an event. A panic here fails the command whose event it is; an event of another replica is held back and tried again
    /// later. Either way the entity finishes what it has, forgets its state and reads it again from its journal.
    fn on_event(&self, context: &EventContext, state: &mut Self::State, event: &Self::Event);

    /// Which codec writes events. Stored events name theirs, so it can be changed at any time.
    fn event_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The stored kind of an event, for [`Self::from_journal`].
    fn event_type(&self, _event: &Self::Event) -> EventType {
        EventType { manifest: Arc::from(""), version: 1 }
    }

    /// Reads a stored event as none, one or several of today's: this is where old versions are carried forward.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood. An event of another replica is then held back and tried again later; one that
    /// stands in this replica's journal already stops the entity, loudly.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_journal(&self, payload: &Payload) -> Result<Vec<Self::Event>> {
        Ok(vec![CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?])
    }

    /// Which codec writes snapshots.
    fn snapshot_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The version of the state's type, stored with each snapshot. Snapshots of other versions are ignored, and
    /// the events are replayed instead.
    fn snapshot_version(&self) -> u16 {
        1
    }

    /// Whether to store a snapshot after this event, besides those by count (`snapshot_every`). Is asked after each event, those of
    /// other replicas too, but not while events are replayed. A panic here means no.
    fn snapshot_when(&self, _state: &Self::State, _event: &Self::Event, _nr: SequenceNr) -> bool {
        false
    }

    /// Is told what happens besides commands and events.
    fn on_signal(&self, _context: &CommandContext, _state: &Self::State, _signal: &Signal) {}
}
