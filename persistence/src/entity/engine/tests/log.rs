//! The behaviour of the tests: a list of the applied events, with code that fails on demand.

use std::time::Duration;

use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::entity::{
    AsynchronousFailure, CommandContext, DueReminder, Effect, EventContext, EventSourced,
    EventType, Reminder, Signal,
};
use crate::event::{EventMeta, Metadata, Payload, SequenceNr, Tags};
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
    /// The same, whose value is answered without an event.
    OrderRefused(ReplyTo<usize>),
    /// That answer.
    Refused(ReplyTo<usize>),
    /// Stores nothing; a future beside the commands ends in nothing.
    OrderNothing(ReplyTo<usize>),
    /// An asynchronous effect, whose command is stashed.
    LaterStash(&'static str, ReplyTo<usize>),
    /// Stores nothing; the command of a future beside the commands is `Later`.
    OrderLater(ReplyTo<usize>),
    /// Stores nothing; the commands of two futures: one is stashed, the other one does nothing.
    OrderTwo(ReplyTo<usize>),
    /// A future beside the commands that panics when it is made.
    OrderPanics(ReplyTo<usize>),
    /// The same as `Order`, answered from a side effect.
    OrderByHand(ReplyTo<usize>),
    /// Persists, and answers from a side effect.
    AddByHand(ReplyTo<usize>),
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
    /// `from_journal` does not know the text `flaky` at these reads of it, counted from zero.
    pub(super) unknown_at: Vec<usize>,
    pub(super) flaky_reads: parking_lot::Mutex<usize>,
    /// `from_journal` reads the parts between `+` as events of their own, and `gone` as none.
    pub(super) splits: bool,
    /// `to_journal`, if it is another than the one that every behaviour has.
    pub(super) stores: Option<fn(&str) -> crate::Result<Payload>>,
    /// `event_type` panics at this text.
    pub(super) untyped: Option<&'static str>,
    /// The text of an event is its manifest.
    pub(super) is_named_by_text: bool,
    /// `snapshot_when` panics at this text.
    pub(super) unsnapped: Option<&'static str>,
    /// `snapshot_when` wants a snapshot after this text.
    pub(super) snapped: Option<&'static str>,
    /// `snapshot_metadata` panics after this text.
    pub(super) unlabelled: Option<&'static str>,
    /// The replica reacts to events of others.
    pub(super) reacts: bool,
    pub(super) signals: parking_lot::Mutex<Vec<(Signal, u64, Timestamp)>>,
    /// The events of requests that were done before: the id, the replica of the other handling, and
    /// whether it is overruled.
    pub(super) repeats: parking_lot::Mutex<Vec<(String, String, bool)>>,
    /// The signals that came with metadata.
    pub(super) with_metadata: parking_lot::Mutex<Vec<(Signal, Metadata)>>,
}

impl Log {
    fn flaky_read_fails(&self) -> bool {
        let mut reads = self.flaky_reads.lock();
        *reads += 1;
        self.unknown_at.contains(&(*reads - 1))
    }
}

fn order(reply_to: ReplyTo<usize>) -> Effect<Log> {
    Effect::<Log>::persist("order".to_owned()).then_asynchronous(
        |state| std::future::ready(state.len()),
        |outcome| Command::Ordered(outcome, reply_to),
    )
}

fn order_two(reply_to: ReplyTo<usize>) -> Effect<Log> {
    let stashed = |_| Command::Stash(vec!["stashed"], reply_to);
    let nothing = |_| Command::With("", |effect| effect);
    Effect::none()
        .then_asynchronous(|_| std::future::ready(()), stashed)
        .then_asynchronous(|_| std::future::ready(()), nothing)
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

fn later_or(reply_to: ReplyTo<usize>) -> Effect<Log> {
    let failed = |_: AsynchronousFailure| Command::LaterDone(reply_to);
    Effect::asynchronous_or(std::future::pending(), failed)
}

fn reads_and_panics(reply_to: ReplyTo<usize>) -> Effect<Log> {
    Effect::none().then_reply(reply_to, |_| panic!("the test wants it"))
}

fn reads_and_panics_after_a_run(reply_to: ReplyTo<usize>) -> Effect<Log> {
    let effect = Effect::<Log>::none().then_run(Vec::len, drop);
    effect.then_reply(reply_to, |_| panic!("the test wants it"))
}

fn add(texts: Vec<&'static str>, reply_to: ReplyTo<usize>) -> Effect<Log> {
    let texts = texts.into_iter().map(str::to_owned);
    Effect::<Log>::persist_all(texts).then_reply(reply_to, Vec::len)
}

fn runs_and_panics(reply_to: ReplyTo<usize>) -> Effect<Log> {
    Effect::<Log>::persist("run".to_owned()).then_run(Vec::len, move |_| {
        let _reply_to = reply_to;
        panic!("the test wants it")
    })
}

impl EventSourced for Log {
    type Command = Command;
    type Event = String;
    type State = Vec<Line>;

    fn on_command(&self, _: &CommandContext, state: &Vec<Line>, command: Command) -> Effect<Self> {
        let is_open = state.iter().any(|line| line.text == "open");
        match command {
            Command::Add(texts, reply_to) => add(texts, reply_to),
            Command::Stash(texts, reply_to) if is_open => add(texts, reply_to),
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
            Command::LaterStash(text, reply_to) => {
                Effect::asynchronous(async move { Command::Stash(vec![text], reply_to) })
            }
            Command::OrderLater(reply_to) => Effect::none()
                .then_asynchronous(|_| std::future::ready(()), |_| Command::Later(reply_to)),
            Command::OrderTwo(reply_to) => order_two(reply_to),
            Command::LaterOr(reply_to) => later_or(reply_to),
            Command::LaterDone(reply_to) => {
                Effect::persist("later".to_owned()).then_reply(reply_to, Vec::len)
            }
            Command::Panic(_reply_to) => panic!("the test wants it"),
            Command::ThenPanics(reply_to) => Effect::persist("then".to_owned())
                .then_reply(reply_to, |_| panic!("the test wants it")),
            Command::RunPanics(reply_to) => runs_and_panics(reply_to),
            Command::ReadPanics(reply_to) => reads_and_panics(reply_to),
            Command::RunThenPanics(reply_to) => reads_and_panics_after_a_run(reply_to),
            Command::PanicsThenRun(reply_to) => reads_and_panics(reply_to).then_run(Vec::len, drop),
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
            Command::OrderRefused(reply_to) => Effect::<Log>::persist("order".to_owned())
                .then_asynchronous(|_| std::future::ready(()), |_| Command::Refused(reply_to)),
            Command::Refused(reply_to) => Effect::reply(reply_to, 900),
            Command::OrderNothing(reply_to) => Effect::none().then_asynchronous(
                |_| std::future::ready(()),
                |_| {
                    drop(reply_to);
                    Command::With("", |effect| effect)
                },
            ),
            Command::OrderPanics(reply_to) => order_panics(reply_to),
            Command::OrderByHand(reply_to) => Effect::<Log>::persist("order".to_owned())
                .then_asynchronous(|_| std::future::ready(()), |_| Command::AddByHand(reply_to)),
            Command::AddByHand(reply_to) => Effect::persist("by hand".to_owned())
                .then_run(Vec::len, |count| reply_to.reply(count)),
            Command::Note(text) => Effect::persist(text.to_owned()),
            Command::With("", more) => more(Effect::none()),
            Command::With(text, more) => more(Effect::persist(text.to_owned())),
            Command::Stop => Effect::none().then_stop(),
        }
    }

    fn snapshot_metadata(&self, context: &CommandContext, state: &Vec<Line>) -> Metadata {
        assert_ne!(self.unlabelled, state.last().map(|line| &*line.text), "the test wants it");
        context.metadata().clone()
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
            "later silent" => Effect::asynchronous(async { Command::With("", |effect| effect) }),
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
        assert!(meta.labels.metadata().answer().is_none(), "no reaction sees the answer");
        if event.starts_with("re ") || event == "silent" {
            return Effect::none();
        }
        if event == "later" {
            return Effect::asynchronous(async { Command::Note("re later") });
        }
        Effect::persist(format!("re {event} of {}", meta.origin))
    }

    fn on_event(&self, context: &EventContext, state: &mut Vec<Line>, event: &String) {
        assert!(self.poison != Some(event.as_str()), "the test wants it");
        assert!(context.metadata().answer().is_none(), "no replica shows the answer");
        if let (Some(id), Some(before)) = (context.request_id(), context.done_before()) {
            let seen = (id.to_string(), before.origin.to_string(), before.is_overruled);
            self.repeats.lock().push(seen);
        }
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

    fn to_journal(&self, event: &String) -> crate::Result<Payload> {
        let EventType { manifest, version } = self.event_type(event);
        match self.stores {
            Some(store) => store(event),
            None => Payload::encode(self.event_codec(), manifest, version, event),
        }
    }

    fn from_journal(&self, payload: &Payload) -> crate::Result<Vec<String>> {
        let event: String = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
        if self.unknown == Some(event.as_str()) || (event == "flaky" && self.flaky_read_fails()) {
            return Err(crate::Error::corrupt("the test wants it"));
        }
        if !self.splits {
            return Ok(vec![event]);
        }
        Ok(event.split('+').filter(|part| *part != "gone").map(str::to_owned).collect())
    }

    fn snapshot_when(&self, _: &Vec<Line>, event: &String, _: SequenceNr) -> bool {
        assert!(self.unsnapped != Some(event.as_str()), "the test wants it");
        self.snapped == Some(event.as_str())
    }

    fn on_signal(&self, context: &CommandContext, _: &Vec<Line>, signal: &Signal) {
        let told = (signal.clone(), context.sequence_nr().value(), context.current_time());
        self.signals.lock().push(told);
        if !context.metadata().is_empty() {
            self.with_metadata.lock().push((signal.clone(), context.metadata().clone()));
        }
    }
}
