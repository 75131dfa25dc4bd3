//! The behaviour of the tests: a list of the applied events, with code that fails on demand.

use std::time::Duration;

use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::entity::{
    AsynchronousFailure, CommandContext, DueReminder, Effect, EventContext, EventSourced,
    EventType, Reminder, Signal,
};
use crate::event::{EventMeta, Payload, SequenceNr, Tags};
use crate::identity::ReplicationId;
use crate::reply::ReplyTo;

/// A command of the tests.
#[derive(Debug)]
pub(super) enum Command {
    Add(Vec<&'static str>, ReplyTo<usize>),
    Read(ReplyTo<usize>),
    Stash(Vec<&'static str>, ReplyTo<usize>),
    Unstash,
    /// Unless it is open: is stashed, and unstashes the others.
    StashAndUnstash(&'static str, ReplyTo<usize>),
    Later(ReplyTo<usize>),
    LaterDone(ReplyTo<usize>),
    LaterOr(ReplyTo<usize>),
    Panic(ReplyTo<usize>),
    /// Persists; the answer panics.
    ThenPanics(ReplyTo<usize>),
    /// Persists, and answers from a side effect that panics.
    RunPanics(ReplyTo<usize>),
    /// Reads; the answer panics.
    ReadPanics(ReplyTo<usize>),
    /// Stores nothing and runs a side effect; the answer panics.
    RunThenPanics(ReplyTo<usize>),
    /// Stores nothing; the answer panics, then a side effect runs.
    PanicsThenRun(ReplyTo<usize>),
    /// Stores nothing; the side effect, which would answer, panics when it reads the state.
    RunUnread(ReplyTo<usize>),
    /// Persists; a side effect puts the `ReplyTo` into the slot.
    PassOn(ReplyTo<usize>, Passed),
    /// Puts the `ReplyTo` into the slot, and persists.
    PassOnFirst(ReplyTo<usize>, Passed),
    /// An asynchronous effect with a `then_reply`, which is not allowed; `StashThen` is a stash
    /// with one.
    LaterThen(ReplyTo<usize>),
    /// Persists one event.
    Note(&'static str),
    /// Persists the text, if it is not empty, and does more.
    With(&'static str, fn(Effect<Log>) -> Effect<Log>),
    StashThen(ReplyTo<usize>),
    /// Persists; a future beside the commands has the length after that as its value.
    Order(ReplyTo<usize>),
    /// The value of that future.
    Ordered(Result<usize, AsynchronousFailure>, ReplyTo<usize>),
    /// A future beside the commands that panics when it is made.
    OrderPanics(ReplyTo<usize>),
    Stop,
}

/// The slot of a `ReplyTo` that was passed on.
pub(super) type Passed = std::sync::Arc<parking_lot::Mutex<Option<ReplyTo<usize>>>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) origin: String,
    pub(super) concurrent: bool,
    pub(super) time: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// `on_event` panics at this text.
    pub(super) poison: Option<&'static str>,
    /// `from_journal` does not know this text.
    pub(super) unknown: Option<&'static str>,
    /// `event_type` panics at this text.
    pub(super) untyped: Option<&'static str>,
    /// The text of an event is its manifest.
    pub(super) is_named_by_text: bool,
    /// `snapshot_when` panics at this text.
    pub(super) unsnapped: Option<&'static str>,
    /// `snapshot_when` wants a snapshot after this text.
    pub(super) snapped: Option<&'static str>,
    /// The replica reacts to events of others.
    pub(super) reacts: bool,
    pub(super) signals: parking_lot::Mutex<Vec<(Signal, u64, Timestamp)>>,
}

fn order(reply_to: ReplyTo<usize>) -> Effect<Log> {
    Effect::<Log>::persist("order".to_owned()).then_asynchronous(
        |state| std::future::ready(state.len()),
        |outcome| Command::Ordered(outcome, reply_to),
    )
}

fn order_panics(reply_to: ReplyTo<usize>) -> Effect<Log> {
    Effect::none().then_asynchronous(
        |_| -> std::future::Ready<usize> { panic!("the test wants it") },
        |outcome| Command::Ordered(outcome, reply_to),
    )
}

/// Stores the value, or answers with a number for each failure.
fn ordered(outcome: &Result<usize, AsynchronousFailure>, reply_to: ReplyTo<usize>) -> Effect<Log> {
    match outcome {
        Ok(count) => Effect::persist(format!("ordered {count}")).then_reply(reply_to, Vec::len),
        Err(AsynchronousFailure::TimedOut { .. }) => Effect::reply(reply_to, 901),
        Err(AsynchronousFailure::Panicked) => Effect::reply(reply_to, 902),
        Err(AsynchronousFailure::TooMany) => Effect::reply(reply_to, 903),
    }
}

impl EventSourced for Log {
    type Command = Command;
    type Event = String;
    type State = Vec<Line>;

    fn on_command(&self, _: &CommandContext, state: &Vec<Line>, command: Command) -> Effect<Self> {
        let is_open = state.iter().any(|line| line.text == "open");
        match command {
            Command::Add(texts, reply_to) => {
                Effect::persist_all(texts.into_iter().map(str::to_owned))
                    .then_reply(reply_to, Vec::len)
            }
            Command::Stash(texts, reply_to) if is_open => {
                Effect::persist_all(texts.into_iter().map(str::to_owned))
                    .then_reply(reply_to, Vec::len)
            }
            command @ Command::Stash(..) => Effect::stash(command),
            Command::StashAndUnstash(text, reply_to) if is_open => {
                Effect::persist(text.to_owned()).then_reply(reply_to, Vec::len)
            }
            command @ Command::StashAndUnstash(..) => Effect::stash(command).then_unstash_all(),
            Command::Unstash => Effect::persist("open".to_owned()).then_unstash_all(),
            Command::Read(reply_to) => Effect::reply(reply_to, state.len()),
            Command::Later(reply_to) => {
                Effect::asynchronous(async move { Command::LaterDone(reply_to) })
            }
            Command::LaterOr(reply_to) => {
                Effect::asynchronous_or(std::future::pending(), |_: AsynchronousFailure| {
                    Command::LaterDone(reply_to)
                })
            }
            Command::LaterDone(reply_to) => {
                Effect::persist("later".to_owned()).then_reply(reply_to, Vec::len)
            }
            Command::Panic(_reply_to) => panic!("the test wants it"),
            Command::ThenPanics(reply_to) => Effect::persist("then".to_owned())
                .then_reply(reply_to, |_| panic!("the test wants it")),
            Command::RunPanics(reply_to) => {
                Effect::persist("run".to_owned()).then_run(Vec::len, move |_| {
                    let _reply_to = reply_to;
                    panic!("the test wants it")
                })
            }
            Command::ReadPanics(reply_to) => {
                Effect::none().then_reply(reply_to, |_| panic!("the test wants it"))
            }
            Command::RunThenPanics(reply_to) => Effect::none()
                .then_run(Vec::len, drop)
                .then_reply(reply_to, |_| panic!("the test wants it")),
            Command::PanicsThenRun(reply_to) => Effect::none()
                .then_reply(reply_to, |_| panic!("the test wants it"))
                .then_run(Vec::len, drop),
            Command::RunUnread(reply_to) => {
                Effect::none().then_run(|_| panic!("the test wants it"), move |()| drop(reply_to))
            }
            Command::PassOn(reply_to, passed) => Effect::persist("passed on".to_owned())
                .then_run(|_| (), move |()| *passed.lock() = Some(reply_to)),
            Command::PassOnFirst(reply_to, passed) => {
                *passed.lock() = Some(reply_to);
                Effect::persist("passed on".to_owned())
            }
            Command::LaterThen(reply_to) => {
                Effect::asynchronous(async { Command::Stop }).then_reply(reply_to, Vec::len)
            }
            Command::StashThen(reply_to) => {
                Effect::stash(Command::Stop).then_reply(reply_to, Vec::len)
            }
            Command::Order(reply_to) => order(reply_to),
            Command::Ordered(outcome, reply_to) => ordered(&outcome, reply_to),
            Command::OrderPanics(reply_to) => order_panics(reply_to),
            Command::Note(text) => Effect::persist(text.to_owned()),
            Command::With("", more) => more(Effect::none()),
            Command::With(text, more) => more(Effect::persist(text.to_owned())),
            Command::Stop => Effect::none().then_stop(),
        }
    }

    /// Stores the name and the missed periods; some names do more, or less.
    fn on_reminder(
        &self,
        _: &CommandContext,
        state: &Vec<Line>,
        due: &DueReminder,
    ) -> Effect<Self> {
        let is_open = state.iter().any(|line| line.text == "open");
        match &*due.name {
            "panics" if !is_open => panic!("the test wants it"),
            "refused" if !is_open => Effect::persist("refused".to_owned()).with_metadata("", ""),
            "silent" => Effect::none(),
            "unhandled" => Effect::unhandled(),
            "later" => Effect::asynchronous(async { Command::Note("later") }),
            "again" => Effect::persist("again".to_owned())
                .remind("again", Reminder::after(Duration::from_secs(10))),
            name => Effect::persist(format!("{name} {}", due.missed)),
        }
    }

    fn reacts(&self, _: &ReplicationId) -> bool {
        self.reacts
    }

    /// Stores an event, unless it is about a reaction, or silent.
    fn on_replicated(
        &self,
        _: &CommandContext,
        _: &Vec<Line>,
        event: &String,
        meta: &EventMeta,
    ) -> Effect<Self> {
        assert_ne!(event, "panics", "the test wants it");
        if event.starts_with("re ") || event == "silent" {
            return Effect::none();
        }
        Effect::persist(format!("re {event} of {}", meta.origin))
    }

    fn on_event(&self, context: &EventContext, state: &mut Vec<Line>, event: &String) {
        assert!(self.poison != Some(event.as_str()), "the test wants it");
        state.push(Line {
            text: event.clone(),
            origin: context.origin().to_string(),
            concurrent: context.concurrent(),
            time: context.current_time(),
        });
    }

    fn event_type(&self, event: &String) -> EventType {
        assert!(self.untyped != Some(event.as_str()), "the test wants it");
        let manifest = if self.is_named_by_text { event } else { "" };
        EventType { manifest: manifest.into(), version: 1 }
    }

    fn tags(&self, event: &String) -> Tags {
        event.split(' ').filter_map(|word| word.strip_prefix('#')).collect()
    }

    fn from_journal(&self, payload: &Payload) -> crate::Result<Vec<String>> {
        let event: String = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
        if self.unknown == Some(event.as_str()) {
            return Err(crate::Error::corrupt("the test wants it"));
        }
        Ok(vec![event])
    }

    fn snapshot_when(&self, _: &Vec<Line>, event: &String, _: SequenceNr) -> bool {
        assert!(self.unsnapped != Some(event.as_str()), "the test wants it");
        self.snapped == Some(event.as_str())
    }

    fn on_signal(&self, context: &CommandContext, _: &Vec<Line>, signal: &Signal) {
        let told = (signal.clone(), context.sequence_nr().value(), context.current_time());
        self.signals.lock().push(told);
    }
}
