//! What an application writes.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CommandContext, Effect, EventContext, reading};
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

/// Of most events, so that it is not made anew for each.
static NO_MANIFEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// What happens to an entity besides commands and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The state is as the journal says; commands come next.
    RecoveryCompleted,
    /// A snapshot up to this number was stored.
    SnapshotSaved(SequenceNr),
    /// A snapshot could not be stored, or could not have been read again: the entity goes on without, and nothing is deleted for it.
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
    ///
    /// Each event is read back, through [`Self::from_journal`], before it is stored; one that is not read as what it was makes its command
    /// fail with `Rejected`. bincode cannot read types that ask the bytes what they are (`untagged`, `tag`, `flatten`, `serde_json::Value`),
    /// nor fields that are sometimes left out (`skip_serializing_if`): for these choose CBOR or JSON.
    fn event_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The stored kind of an event, for [`Self::from_journal`]. With bincode, whatever changes the form of events needs another version;
    /// only variants that are added at the end do not.
    fn event_type(&self, _event: &Self::Event) -> EventType {
        EventType { manifest: NO_MANIFEST.clone(), version: 1 }
    }

    /// Reads a stored event as none, one or several of today's: this is where old versions are carried forward. An event that today's code
    /// writes must be read as itself.
    ///
    /// Without an implementation, an event is read only if today's code would store it under the manifest and the version that it has, or,
    /// with CBOR and JSON, under a higher version.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its kind is not known. An event of another
    /// replica is then held back and tried again later; one that stands in this replica's journal already stops the entity, loudly.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_journal(&self, payload: &Payload) -> Result<Vec<Self::Event>> {
        Ok(vec![reading::event(self, payload)?])
    }

    /// Which codec writes snapshots. A state that would not be read back as what it was is not stored, see [`Signal::SnapshotFailed`].
    fn snapshot_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The version of the state's type, stored with each snapshot. Whatever changes the form of the state needs another one.
    fn snapshot_version(&self) -> u16 {
        1
    }

    /// Reads the state of a snapshot: this is where old versions are carried forward. Where it cannot, an older snapshot, or the events,
    /// are read in its place; if those were deleted (`delete_events`), the entity stops, and its commands fail with what is missing.
    ///
    /// Without an implementation, only [`Self::snapshot_version`] is read.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its version is not known.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_snapshot(&self, payload: &Payload) -> Result<Self::State> {
        reading::state(self, payload)
    }

    /// Whether to store a snapshot after this event, besides those by count (`snapshot_every`). Is asked after each event, those of
    /// other replicas too, but not while events are replayed. A panic here means no.
    fn snapshot_when(&self, _state: &Self::State, _event: &Self::Event, _nr: SequenceNr) -> bool {
        false
    }

    /// Is told what happens besides commands and events.
    fn on_signal(&self, _context: &CommandContext, _state: &Self::State, _signal: &Signal) {}
}
