//! Mistakes in the types of an application, each of which fails a test.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{assert_names, failure};
use crate::entity::testkit::EntityTest;
use crate::entity::{CommandContext, Effect, Effects, EventContext, EventSourced};
use crate::reply::ReplyTo;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Note {
    text: String,
    /// Not encoded, and read as zero.
    #[serde(skip)]
    length: usize,
}

fn note(text: &str, length: usize) -> Note {
    Note { text: text.to_owned(), length }
}

/// Reads another text than it writes.
#[derive(Debug, Clone, PartialEq)]
struct Wrong(String);

impl Serialize for Wrong {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Wrong {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(from)?.to_uppercase()))
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    notes: Vec<Note>,
    words: HashSet<String>,
    /// With a value, bincode cannot read the state.
    #[serde(default, skip_serializing_if = "Option::is_some")]
    last: Option<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Keep(Note),
    Words(HashSet<String>),
    Wrong(Wrong),
    AskWrong(ReplyTo<Wrong>),
    AskWords(ReplyTo<HashSet<String>>),
    Last,
    #[serde(skip)]
    Local,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Kept(Note),
    Words(HashSet<String>),
    Last,
}

struct Notes;

impl EventSourced for Notes {
    type Command = Command;
    type Event = Event;
    type State = State;

    fn on_command(&self, _: &CommandContext, state: &State, command: Command) -> Effect<Self> {
        match command {
            Command::Keep(note) => {
                let length = note.text.len();
                self.persist(Event::Kept(Note { length, ..note }))
            }
            Command::Words(words) => self.persist(Event::Words(words)),
            Command::Wrong(_) | Command::Local => self.none(),
            Command::AskWrong(reply_to) => self.reply(reply_to, Wrong("small".to_owned())),
            Command::AskWords(reply_to) => self.reply(reply_to, state.words.clone()),
            Command::Last => self.persist(Event::Last),
        }
    }

    fn on_event(&self, _: &EventContext, state: &mut State, event: &Event) {
        match event {
            Event::Kept(note) => state.notes.push(note.clone()),
            Event::Words(words) => state.words.clone_from(words),
            Event::Last => state.last = Some(1),
        }
    }
}

fn notes() -> EntityTest<Notes> {
    EntityTest::new(Notes, "notes|n-1")
}

#[test]
fn a_command_that_is_read_as_another_one_fails_with_the_type_and_the_difference() {
    let skipped = failure(|| notes().tell(Command::Keep(note("milk", 4))));
    let parts = ["`notes|n-1`", "types::Command`", "length: 4", "length: 0", "`tell_local`"];
    assert_names(&skipped, &parts);
    let wrong = failure(|| notes().tell(Command::Wrong(Wrong("small".into()))));
    assert_names(&wrong, &["types::Command`", "small", "SMALL"]);
    let local = failure(|| notes().tell(Command::Local));
    assert_names(&local, &["types::Command`", "the command is Local", "`tell_local`"]);
    notes().tell_local(Command::Local);
}

#[test]
fn an_answer_that_is_read_as_another_one_fails_with_its_type() {
    let wrong = failure(|| notes().ask(Command::AskWrong));
    assert_names(&wrong, &["an answer of type", "types::Wrong`", "SMALL"]);
    let mut unchecked = notes().without_codec_checks();
    assert_eq!(unchecked.ask(Command::AskWrong), Ok(Wrong("SMALL".into())), "as over a link");
}

#[test]
fn an_event_that_replay_reads_as_another_one_fails_although_its_bytes_are_the_same() {
    let skipped = failure(|| notes().tell(Command::Keep(note("milk", 0))));
    assert_names(&skipped, &["types::Event`", "length: 4", "length: 0", "at each restart"]);
    let given = failure(|| notes().given([Event::Kept(note("milk", 4))]));
    assert_names(&given, &["`given` of `notes|n-1`", "types::Event`"]);
    let mut unchecked = notes().without_codec_checks();
    unchecked.tell(Command::Keep(note("milk", 0)));
    assert_eq!(unchecked.state().notes[0].length, 4);
}

#[test]
fn a_state_that_no_snapshot_brings_back_fails_with_its_value() {
    let state = failure(|| notes().tell(Command::Last));
    assert_names(&state, &["a state of type", "types::State`", "`without_snapshots`"]);
    let mut unchecked = notes().without_snapshots();
    unchecked.tell(Command::Last);
    let snapshot = failure(|| unchecked.restart_from_snapshot());
    assert_names(&snapshot, &["`notes|n-1` cannot have a snapshot", "types::State`"]);
}

#[test]
fn the_order_of_a_set_is_no_difference() {
    let words: HashSet<String> = (0..20).map(|number| format!("word {number}")).collect();
    let mut notes = notes();
    notes.tell(Command::Words(words.clone()));
    assert_eq!(notes.ask(Command::AskWords), Ok(words));
    notes.restart_from_snapshot();
    assert_eq!(notes.state().words.len(), 20);
}
