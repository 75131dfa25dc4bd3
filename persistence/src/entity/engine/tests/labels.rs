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
    let claim = Claim::unlimited_with(metadata(id));
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

#[test]
fn an_idle_entity_keeps_no_labels_of_its_last_event() {
    let mut world = World::new(&["A"]);
    let add = |reply_to| Command::Add(vec!["one", "two #t"], reply_to);
    assert_eq!(ask(&mut world, "A", "7", add).now(), Ok(2));
    for how in ["it was made", "it was read again"] {
        let labels = labels(&mut world, "A");
        assert_eq!(labels[1], labelled("7", &["t"]));
        assert_eq!(labels[1].holders(), 2, "after {how}: the journal and this test");
        world.restart_as("A", Log::default());
        assert_eq!(world.command("A", Command::Read).now(), Ok(2));
    }
}

/// Tags and metadata as its commands say.
struct Labelled;

enum Say {
    Text(&'static str),
    /// An effect of this kind, with metadata beyond its bounds or within.
    Kind(&'static str, usize),
    With(&'static str, Vec<(&'static str, usize)>),
}

fn of_kind(kind: &str, later: (Say, ReplyTo<String>)) -> Effect<Labelled> {
    match kind {
        "none" => Effect::none().then_stop().then_reply(later.1, String::clone),
        "persist" => Effect::persist("x".to_owned()).then_reply(later.1, String::clone),
        "unhandled" => Effect::unhandled().then_reply(later.1, String::clone),
        "stash" => Effect::stash(later),
        "unstash" => Effect::none().then_unstash_all().then_reply(later.1, String::clone),
        "asynchronous" => Effect::asynchronous(std::future::ready(later)),
        "asynchronous_or" => Effect::asynchronous_or(std::future::pending(), |_| later),
        _ => panic!("{kind}"),
    }
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
            Say::Kind(kind, length) => {
                let later = (Say::Text("later"), reply_to);
                return of_kind(kind, later).with_metadata("k", "v".repeat(length));
            }
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
    let mut test = EntityTest::local(Labelled, "l|1").with_metadata(metadata("7"));
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
        (Say::With("x", vec![("", 1), ("b", 1)]), "at least 1 byte, actual 0"),
        // each is within the bound, and both are not
        (Say::With("x", vec![("k", 4090)]), "`METADATA_BYTES_MAX`"),
    ] {
        let mut test = EntityTest::local(Labelled, "l|1").with_metadata(metadata("7"));
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

#[test]
fn metadata_beyond_a_bound_refuses_the_command_before_an_effect_of_any_kind_runs() {
    let kinds =
        ["none", "persist", "unhandled", "stash", "unstash", "asynchronous", "asynchronous_or"];
    for kind in kinds {
        // alone, and only together with that of the command
        for length in [5000, 4090] {
            let mut test = EntityTest::local(Labelled, "l|1").with_metadata(metadata("7"));
            let (waiting, stashed) = reply_channel();
            test.tell((Say::Kind("stash", 0), waiting));
            let Err(ReplyError::Rejected(why)) = test.ask(|to| (Say::Kind(kind, length), to))
            else {
                panic!("expected a refusal of `{kind}`")
            };
            assert!(why.contains("(`METADATA_BYTES_MAX`), actual "), "{why}");
            assert!(test.new_labels().is_empty(), "nothing of `{kind}` is stored");
            // neither a future nor a stop is under way, and the stash is as before
            assert!(test.ask(|reply_to| (Say::Text("y"), reply_to)).is_ok(), "{kind}");
            assert_eq!(test.new_labels().len(), 2, "{kind}");
            assert!(test.ask(|reply_to| (Say::Kind("unstash", 0), reply_to)).is_ok(), "{kind}");
            assert!(stashed.now().is_ok(), "{kind}: the stashed command is handled now");
            assert_eq!(test.new_labels().len(), 4, "with the stashed one, after `{kind}`");
        }
    }
}

#[test]
fn metadata_of_a_stash_or_an_asynchronous_effect_is_reported_and_the_command_is_handled_later() {
    for (kind, is_told) in [("stash", true), ("asynchronous", true), ("persist", false)] {
        let mut test = EntityTest::local(Labelled, "l|1").with_metadata(metadata("7"));
        let (reply_to, reply) = reply_channel();
        let log = Lines::default();
        tracing::subscriber::with_default(log.clone(), || {
            test.tell((Say::Kind(kind, 1), reply_to));
        });
        let lines = log.0.lock().clone();
        let told = lines.iter().any(|line| line.contains("`with_metadata`"));
        assert_eq!(told, is_told, "{kind}: {lines:?}");
        if kind == "stash" {
            assert!(test.ask(|reply_to| (Say::Kind("unstash", 0), reply_to)).is_ok());
            assert!(reply.now().is_ok());
            assert_eq!(test.new_labels()[0], labelled("7", &[]), "that of the command");
        }
    }
}

/// The error lines that were logged.
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, of: &tracing::Metadata<'_>) -> bool {
        *of.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().push(line);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
