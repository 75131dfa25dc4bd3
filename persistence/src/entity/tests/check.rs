//! The checks that an application calls for its types.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::entity::testkit::{check_answers, check_commands, check_event, check_stored};
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};
use crate::reply::ReplyTo;

struct Of<E, S>(CodecId, std::marker::PhantomData<fn() -> (E, S)>);

fn of<E, S>(codec: CodecId) -> Of<E, S> {
    Of(codec, std::marker::PhantomData)
}

impl<E, S> EventSourced for Of<E, S>
where
    E: Serialize + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    S: Default + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    type Command = ();
    type Event = E;
    type State = S;

    fn on_command(&self, _: &CommandContext, _: &S, (): ()) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, _: &mut S, _: &E) {}

    fn event_codec(&self) -> CodecId {
        self.0
    }

    fn snapshot_codec(&self) -> CodecId {
        self.0
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Good {
    Added(i64),
    Noted { text: Option<String>, of: HashMap<String, u8> },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    count: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum OneIsBad {
    Fine(u8),
    Any(Vec<serde_json::Value>),
}

#[test]
fn types_that_can_be_read_pass() {
    check_stored(&of::<Good, Vec<u8>>(CodecId::Bincode)).unwrap();
    check_stored(&of::<Skips, Skips>(CodecId::Cbor)).unwrap();
    check_stored(&of::<OneIsBad, Skips>(CodecId::Json)).unwrap();
    check_answers::<Good>().unwrap();
}

#[test]
fn an_event_or_a_state_that_cannot_be_read_is_named_with_the_remedy() {
    let why = check_stored(&of::<Skips, u8>(CodecId::Bincode)).unwrap_err();
    assert!(why.contains("Skips") && why.contains("`notes`") && why.contains("CBOR"), "{why}");
    let why = check_stored(&of::<u8, Skips>(CodecId::Bincode)).unwrap_err();
    assert!(why.contains("a state of type") && why.contains("snapshot_codec"), "{why}");
    let why = check_stored(&of::<OneIsBad, u8>(CodecId::Bincode)).unwrap_err();
    assert!(why.contains("OneIsBad") && why.contains("any type"), "{why}");
    let skips = Skips { notes: Vec::new(), count: 1 };
    assert!(check_event(&of::<Skips, u8>(CodecId::Bincode), &skips).is_err());
    assert!(check_event(&of::<Skips, u8>(CodecId::Cbor), &skips).is_ok());
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add { delta: i64, reply_to: ReplyTo<i64> },
    Note(Skips),
}

#[derive(Debug, Serialize, Deserialize)]
enum GoodCommand {
    Add { delta: i64, reply_to: ReplyTo<i64> },
    Get(Option<ReplyTo<Option<String>>>),
}

#[test]
fn commands_and_answers_that_cannot_go_to_another_node_are_named() {
    check_commands::<GoodCommand>().unwrap();
    let why = check_commands::<Command>().unwrap_err();
    assert!(why.contains("check::Command") && why.contains("`notes` is left out"), "{why}");
    assert!(check_answers::<serde_json::Value>().is_err());
}
