//! The trait that an application implements for an entity.

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
    /// The kind; empty when the entity has only one. A name of at most
    /// [`crate::event::MANIFEST_BYTES_MAX`] bytes, of a fixed set: at most
    /// [`crate::shape::EVENT_KINDS_MAX`] kinds of an entity type are recorded.
    pub manifest: Arc<str>,
    /// The version of the kind, from one.
    pub version: u16,
}

/// The manifest of most events, shared so that it is not allocated for each.
static NO_MANIFEST: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// A notice to an entity about its recovery or its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Recovery is complete: the state follows from the journal, and commands come next.
    RecoveryCompleted,
    /// A snapshot up to this number was stored.
    SnapshotSaved(SequenceNr),
    /// A snapshot could not be stored, or could not have been read again. The entity goes on
    /// without the snapshot, and nothing is deleted for it.
    SnapshotFailed(String),
}

/// The behaviour of an entity: how commands become events, and events become state.
///
/// Both functions are plain and must not block. `on_event` must depend on nothing but its
/// arguments, since it runs again at every recovery and at every replica. With more than one
/// replica, events of other replicas come between the own events, and may be
/// [concurrent](EventContext::concurrent) to them. The state must then be the same for every causal
/// order of the events; otherwise the entity decides by the flag and by [`crate::crdt`] types.
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
    /// A request to the entity.
    type Command: Send + 'static;
    /// A fact that a command has caused.
    type Event: Serialize + DeserializeOwned + Send + Sync + Debug + 'static;
    /// The state that follows from the events; its default is the state before the first event.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Decides what a command does, against the newest state. A panic here fails only the command.
    fn on_command(
        &self,
        context: &CommandContext,
        state: &Self::State,
        command: Self::Command,
    ) -> Effect<Self>;

    /// Applies an event. A panic here fails the command that made the event; an event of another
    /// replica is held back and tried again later. In both cases the entity finishes the work that
    /// is under way, forgets its state and reads it again from its journal.
    fn on_event(&self, context: &EventContext, state: &mut Self::State, event: &Self::Event);

    /// The codec that writes events. A stored event names its codec, so another one can be chosen
    /// at any time.
    ///
    /// Each event is read back, through [`Self::from_journal`], before it is stored. If the result
    /// differs from the event, its command fails with `Rejected`. bincode can read neither types
    /// that ask the bytes for their type (`untagged`, `tag`, `flatten`, `serde_json::Value`) nor
    /// fields that are sometimes left out (`skip_serializing_if`): choose CBOR or JSON for them.
    fn event_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The stored kind of an event, for [`Self::from_journal`]. With bincode, every change to the
    /// form of events needs another version, except variants that are added at the end.
    fn event_type(&self, _event: &Self::Event) -> EventType {
        EventType { manifest: NO_MANIFEST.clone(), version: 1 }
    }

    /// Reads a stored event as zero or more events of today: the place to carry old versions
    /// forward. An event that today's code writes must be read as itself.
    ///
    /// Without an implementation, an event is read only if today's code would store it under the
    /// same manifest and version, or, with CBOR and JSON, under a higher version.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its
    /// kind is not known. An event of another replica is then held back and tried again later. An
    /// event that is already in this replica's journal stops the entity with an error in the log.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_journal(&self, payload: &Payload) -> Result<Vec<Self::Event>> {
        Ok(vec![reading::event(self, payload)?])
    }

    /// The codec that writes snapshots. A state that would be read back as another value is not
    /// stored, see [`Signal::SnapshotFailed`].
    fn snapshot_codec(&self) -> CodecId {
        CodecId::Bincode
    }

    /// The version of the state's type, stored with each snapshot. Every change to the form of the
    /// state needs another version.
    fn snapshot_version(&self) -> u16 {
        1
    }

    /// Reads the state of a snapshot: the place to carry old versions forward. After an error, an
    /// older snapshot, or the events, are read instead. If the events were deleted
    /// (`delete_events`), the entity stops, and its commands fail with the numbers that are
    /// missing.
    ///
    /// Without an implementation, only [`Self::snapshot_version`] is read.
    ///
    /// # Errors
    /// `Corrupt` when the payload cannot be understood, from [`super::UnknownVersion`] when its
    /// version is not known.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word; the adapter may be configured"
    )]
    fn from_snapshot(&self, payload: &Payload) -> Result<Self::State> {
        reading::state(self, payload)
    }

    /// Returns whether to store a snapshot after this event, besides the snapshots by count
    /// (`snapshot_every`). Called after each event, also of other replicas, but not during replay.
    /// A panic here means no.
    fn snapshot_when(&self, _state: &Self::State, _event: &Self::Event, _nr: SequenceNr) -> bool {
        false
    }

    /// Receives a signal. A panic here is logged and changes nothing.
    fn on_signal(&self, _context: &CommandContext, _state: &Self::State, _signal: &Signal) {}
}
