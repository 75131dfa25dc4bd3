//! The metadata and tags of events: where they come from, and where they stay.

use std::time::Duration;

use super::log::{Command, Log};
use super::world::World;
use crate::entity::engine::{Input, Queued};
use crate::entity::testkit::EntityTest;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};
use crate::event::{Labels, Metadata, Tags};
use crate::reply::{Claim, PendingReply, ReplyError, ReplyTo, reply_channel};

fn metadata(id: &str) -> Metadata {
    Metadata::new().with("correlation-id", id).unwrap()
}

/// Hands a command with metadata to a replica.
fn ask(
    world: &mut World,
    name: &'static str,
    id: &str,
    command: impl FnOnce(ReplyTo<usize>) -> Command,
) -> PendingReply<usize> {
    let (reply_to, reply) = reply_channel();
    let claim = Claim::unlimited().with_metadata(metadata(id));
    let queued = Queued { claim, ..Queued::unlimited(command(reply_to)) };
    world.feed(name, Input::Command(queued));
    reply
}

fn labels(world: &mut World, name: &str) -> Vec<Labels> {
    world.replica(name).journal.iter().map(|event| event.meta.labels.clone()).collect()
}

fn labelled(id: &str, tags: &[&str]) -> Labels {
    Labels::new(metadata(id), tags.iter().copied().collect()).unwrap()
}

#[test]
fn labels_reach_every_replica_by_direct_replication_and_by_the_journal() {
    let mut world = World::new(&["A", "B"]);
    let add = |reply_to| Command::Add(vec!["one", "two #t #s"], reply_to);
    assert_eq!(ask(&mut world, "A", "7", add).now(), Ok(2));
    world.direct = false;
    assert_eq!(world.add("A", "three #t").now(), Ok(3));
    world.news("B", "A");
    let untagged = Labels::new(Metadata::new(), Tags::from(["t"])).unwrap();
    let expected = [labelled("7", &[]), labelled("7", &["s", "t"]), untagged];
    assert_eq!(labels(&mut world, "A"), expected);
    assert_eq!(labels(&mut world, "B"), expected);
}

#[test]
fn an_event_that_is_skipped_keeps_its_labels() {
    let mut world = World::new(&["A", "B"]);
    world.restart_as("A", Log { unknown: Some("bad #t"), ..Log::default() });
    world.direct = false;
    let add = |reply_to| Command::Add(vec!["bad #t"], reply_to);
    assert_eq!(ask(&mut world, "B", "7", add).now(), Ok(1));
    world.news("A", "B");
    assert!(world.replica("A").journal.is_empty(), "it is held back");
    world.replica("A").skips.push(("B", 1));
    world.pass(Duration::from_secs(5));
    world.news("A", "B");
    let skipped = &world.replica("A").journal[0];
    assert_eq!((skipped.payload.bytes.len(), skipped.payload.codec), (0, 0));
    assert_eq!(skipped.meta.labels, labelled("7", &["t"]));
}

#[test]
fn a_command_keeps_its_metadata_in_the_stash_and_across_a_future() {
    let mut world = World::new(&["A"]);
    let stashed = ask(&mut world, "A", "7", |reply_to| Command::Stash(vec!["x"], reply_to));
    assert_eq!(ask(&mut world, "A", "8", Command::Later).now(), Ok(1));
    world.just("A", Command::Unstash);
    assert_eq!(stashed.now(), Ok(3));
    let expected = [labelled("8", &[]), Labels::none(), labelled("7", &[])];
    assert_eq!(labels(&mut world, "A"), expected);
}

/// Tags and metadata as its commands say.
struct Labelled;

enum Say {
    Text(&'static str),
    With(&'static str, Vec<(&'static str, usize)>),
}

impl EventSourced for Labelled {
    type Command = (Say, ReplyTo<String>);
    type Event = String;
    type State = String;

    fn on_command(
        &self,
        context: &CommandContext,
        _: &String,
        (say, reply_to): (Say, ReplyTo<String>),
    ) -> Effect<Self> {
        let seen = format!("{:?}", context.metadata());
        let (text, entries) = match say {
            Say::Text(text) => (text, Vec::new()),
            Say::With(text, entries) => (text, entries),
        };
        let effect = Effect::persist_all([text.to_owned(), "second".to_owned()]);
        let effect = entries
            .into_iter()
            .fold(effect, |effect, (key, length)| effect.with_metadata(key, "v".repeat(length)));
        effect.then_reply(reply_to, move |_| seen)
    }

    fn on_event(&self, context: &EventContext, state: &mut String, _: &String) {
        *state =
            format!("{:?} {:?}", context.metadata(), context.tags().iter().collect::<Vec<_>>());
    }

    fn tags(&self, event: &String) -> Tags {
        assert!(event != "panic", "the test wants it");
        event.split(' ').filter_map(|word| word.strip_prefix('#')).collect()
    }
}

#[test]
fn metadata_of_an_effect_replaces_that_of_the_command_and_comes_back_at_recovery() {
    let mut test = EntityTest::new(Labelled, "l|1").with_metadata(metadata("7"));
    let with = Say::With("x #t", vec![("correlation-id", 1), ("b", 2)]);
    let seen = test.ask(|reply_to| (with, reply_to)).unwrap();
    assert_eq!(seen, r#"{"correlation-id": "7"}"#, "the handler sees what came");
    let both = metadata("v").with("b", "vv").unwrap();
    let tagged = Labels::new(both.clone(), Tags::from(["t"])).unwrap();
    assert_eq!(test.new_labels(), [tagged, Labels::new(both, Tags::none()).unwrap()]);
    let state = r#"{"b": "vv", "correlation-id": "v"} []"#;
    assert_eq!(test.state(), state);
    test.restart();
    assert_eq!(test.state(), state);
}

#[test]
fn labels_beyond_their_bounds_refuse_the_command_and_nothing_is_stored() {
    let many: &'static str = (0..17).map(|tag| format!("#{tag} ")).collect::<String>().leak();
    let long: &'static str = format!("#{}", "t".repeat(129)).leak();
    for (say, name) in [
        (Say::Text(many), "`TAGS_MAX`"),
        (Say::Text(long), "`TAG_BYTES_MAX`"),
        (Say::Text("#"), "`TAG_BYTES_MAX`"),
        (Say::Text("panic"), "`tags` panicked"),
        (Say::With("x", vec![("k", 4096)]), "`METADATA_BYTES_MAX`"),
        (Say::With("x", vec![("", 1), ("b", 1)]), "at least one byte"),
        // each is within the bound, and both are not
        (Say::With("x", vec![("k", 4090)]), "`METADATA_BYTES_MAX`"),
    ] {
        let mut test = EntityTest::new(Labelled, "l|1").with_metadata(metadata("7"));
        let Err(ReplyError::Rejected(why)) = test.ask(|reply_to| (say, reply_to)) else {
            panic!("expected a refusal with {name}")
        };
        assert!(why.contains(name), "{why}");
        assert!(test.new_labels().is_empty());
        // the entity goes on
        assert!(test.ask(|reply_to| (Say::Text("y"), reply_to)).is_ok());
        assert_eq!(test.new_labels().len(), 2);
    }
}
