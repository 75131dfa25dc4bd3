//! The numbers of operations in an entity: unique over several operations of an event, several
//! events of a command, and several events that an adapter makes of one; the same after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Result;
use crate::entity::testkit::EntityTest;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};
use crate::event::Payload;

type Insert = SequenceOp<char>;

/// A text; an event has several inserts, all prepared from one state.
#[derive(Default)]
struct Text {
    /// Reads an event of several inserts as one event for each.
    splits: Arc<AtomicBool>,
}

impl EventSourced for Text {
    /// By event, the characters that are inserted at the beginning.
    type Command = Vec<Vec<char>>;
    type Event = Vec<Insert>;
    type State = Sequence<char>;

    fn on_command(
        &self,
        _: &CommandContext,
        text: &Sequence<char>,
        events: Vec<Vec<char>>,
    ) -> Effect<Self> {
        let event = |event: Vec<char>| event.into_iter().map(|c| text.insert(0, [c])).collect();
        Effect::persist_all(events.into_iter().map(event).collect::<Vec<_>>())
    }

    fn on_event(&self, context: &EventContext, text: &mut Sequence<char>, event: &Vec<Insert>) {
        event.iter().for_each(|operation| text.apply(operation, context));
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<Vec<Insert>>> {
        let event: Vec<Insert> = CodecId::Bincode.decode(&payload.bytes)?;
        if self.splits.load(Ordering::Relaxed) {
            return Ok(event.into_iter().map(|operation| vec![operation]).collect());
        }
        Ok(vec![event])
    }
}

/// Each character has an id of its own: it can be removed alone.
fn each_is_removed_alone(text: &Sequence<char>) {
    for index in 0..text.len() {
        let mut rest = text.clone();
        apply(&mut rest, 1, 1, &[text.remove(index..index + 1)]);
        let mut expected: Vec<_> = text.iter().collect();
        expected.remove(index);
        assert_eq!(rest.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn operations_of_one_event_and_events_of_one_command_have_numbers_of_their_own() {
    let mut test = EntityTest::new(Text::default(), "text|t-1|A");
    test.tell(vec![vec!['a', 'b'], vec!['c'], vec!['d', 'e', 'f']]);
    test.tell(vec![vec!['g', 'h']]);
    let text = test.state().clone();
    assert_eq!(text.len(), 8);
    each_is_removed_alone(&text);
    test.restart();
    assert_eq!(*test.state(), text, "the numbers are the same at each replay");
}

#[test]
fn events_that_an_adapter_makes_of_one_event_share_its_numbers() {
    let splits = Arc::new(AtomicBool::new(false));
    let mut test = EntityTest::new(Text { splits: splits.clone() }, "text|t-1");
    test.tell(vec![vec!['a', 'b', 'c'], vec!['d', 'e']]);
    let text = test.state().clone();
    splits.store(true, Ordering::Relaxed);
    test.restart();
    assert_eq!(*test.state(), text);
    each_is_removed_alone(&text);
}
