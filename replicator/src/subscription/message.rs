//! Messages to the actor of a subscription.

use ractor::ActorRef;

use crate::pipeline::{Generation, Input};
use crate::source::{Position, Settler};

/// A message to a subscription.
pub(super) enum Message {
    Input(Input),
    /// The source is open; this is its settling half, and the place from which it goes on if it
    /// went back.
    Opened(Generation, Box<dyn Settler>, Option<Option<Position>>),
    /// The subscription cannot continue, for this reason.
    Failed(String),
    /// The newest event at the start, for a subscription that runs once.
    Target(Option<Position>),
}

antiphon_persistence::local_message!(Message);

/// Sends an input of the pipeline. An actor that has ended needs none.
pub(super) fn tell(actor: &ActorRef<Message>, input: Input) {
    let _ = actor.cast(Message::Input(input));
}
