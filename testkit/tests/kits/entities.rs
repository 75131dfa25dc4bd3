//! Notes: a small entity, without and with planted bugs.

use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::ReplicatedEntityProvider;
use serde::{Deserialize, Serialize};

/// Adds a note, and answers with the number of notes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) note: u8,
    pub(crate) reply_to: ReplyTo<u64>,
}

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// The state has the notes in the order of their arrival.
    Order,
    /// The event has a random part.
    Random,
    /// The state has a random part.
    RandomEvent,
    /// Some commands are answered and store nothing.
    Lost,
    /// The snapshot lacks a field.
    Snapshot,
    /// The handler panics for some notes.
    Panic,
}

/// The state: the sum of all notes, their order, and something that no snapshot has.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sheet {
    sum: u64,
    count: u64,
    order: Vec<u8>,
    #[serde(skip)]
    forgotten: u64,
}

/// Differs at each call, also between two runs of a seed.
fn random() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) struct Notes(Bug);

impl Notes {
    pub(crate) fn provider(bug: Bug) -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("notes", move |_: &ReplicationId| Self(bug))
    }
}

impl EventSourced for Notes {
    type Command = Ask;
    type Event = (u8, u64);
    type State = Sheet;

    fn on_command(&self, _: &CommandContext, sheet: &Sheet, command: Ask) -> Effect<Self> {
        let Ask { note, reply_to } = command;
        match self.0 {
            Bug::Lost if note == 7 => return Effect::reply(reply_to, sheet.count),
            Bug::Panic => assert!(note != 7, "planted"),
            Bug::None | Bug::Order | Bug::Random | Bug::RandomEvent | Bug::Lost | Bug::Snapshot => {
            }
        }
        let salt = if self.0 == Bug::Random { random() } else { 0 };
        Effect::persist((note, salt)).then_reply(reply_to, |sheet: &Sheet| sheet.count)
    }

    fn on_event(&self, _: &EventContext, sheet: &mut Sheet, event: &(u8, u64)) {
        sheet.sum += u64::from(event.0);
        sheet.count += 1;
        match self.0 {
            Bug::Order => sheet.order.push(event.0),
            Bug::RandomEvent => sheet.sum += random() % 2,
            Bug::Snapshot => sheet.forgotten += 1,
            Bug::None | Bug::Random | Bug::Lost | Bug::Panic => {}
        }
    }
}
