//! Short names for events, inputs and effects.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::*;
use crate::event::{Envelope, Event};
use crate::sink::Outcome;
use crate::source::{Delivery, Position, Token};

pub(super) type Short = (&'static str, u64, u64);

pub(super) struct Started {
    pub(super) core: Pipeline,
    pub(super) now: Instant,
    pub(super) position: u64,
    pub(super) generation: u64,
}

impl Started {
    pub(super) fn new(settings: PipelineSettings) -> Self {
        let core = Pipeline::new(settings, None).unwrap();
        Self { core, now: SystemClock.now(), position: 0, generation: 1 }
    }

    pub(super) fn with(settings: PipelineSettings) -> Self {
        let mut started = Self::new(settings);
        assert_eq!(started.step(Input::Start), [Effect::Open(Generation(1), None)]);
        let effects = started.step(Input::Opened(Generation(1)));
        assert_eq!(effects, [Effect::Note(Note::SourceUp)]);
        started
    }

    pub(super) fn changed(change: impl FnOnce(&mut PipelineSettings)) -> Self {
        let mut settings = PipelineSettings::default();
        change(&mut settings);
        Self::with(settings)
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(Now { at: self.now, jitter: 0 }, input)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    pub(super) fn arrive<const N: usize>(
        &mut self,
        events: [(&'static str, u64); N],
    ) -> Vec<Effect> {
        let deliveries = events.map(|(stream, revision)| {
            let envelope = envelope((stream, revision, self.position));
            self.position += 1;
            Delivery::Event(Box::new(envelope))
        });
        self.deliver(deliveries)
    }

    pub(super) fn deliver<const N: usize>(&mut self, deliveries: [Delivery; N]) -> Vec<Effect> {
        self.step(Input::Arrived(Generation(self.generation), deliveries.to_vec()))
    }
}

pub(super) fn lost(generation: u64) -> Input {
    let reason = "reset".to_owned();
    Input::SourceLost { generation: Generation(generation), reason, is_final: false }
}

pub(super) fn group() -> PipelineSettings {
    PipelineSettings {
        source_settles: true,
        parking: Parking::Source,
        renew_after: Some(Duration::from_secs(20)),
        suspend_after: Some(Duration::from_secs(5)),
        retry_delay: Duration::from_secs(1),
        retry_delay_max: Duration::from_secs(40),
        missing_wait_max: Duration::from_secs(300),
        ..PipelineSettings::default()
    }
}

pub(super) fn event(stream: &str, revision: u64) -> Event {
    let id = Uuid::from_u64_pair(u64::from(stream.as_bytes()[0]), revision);
    Event { id, ..Event::example(stream, revision, "") }
}

pub(super) fn envelope((stream, revision, position): Short) -> Envelope {
    let position = Some(Position::Stream(position));
    Envelope { position, ..Envelope::of(event(stream, revision)) }
}

pub(super) fn token(stream: &str, revision: u64) -> Token {
    Token(event(stream, revision).id)
}

pub(super) fn group_envelope(stream: &str, revision: u64, retry_count: u32) -> Envelope {
    let token = Some(token(stream, revision));
    Envelope { retry_count, token, ..Envelope::of(event(stream, revision)) }
}

pub(super) fn delivery(stream: &str, revision: u64, retry_count: u32) -> Delivery {
    Delivery::Event(Box::new(group_envelope(stream, revision, retry_count)))
}

pub(super) fn write<const N: usize>(write: u64, batch: [Short; N]) -> Effect {
    Effect::Write { write: WriteId(write), lane: 0, batch: batch.map(envelope).to_vec() }
}

pub(super) fn written<const N: usize>(write: u64, outcomes: [Outcome; N]) -> Input {
    Input::Written(WriteId(write), outcomes.to_vec())
}

pub(super) fn completed(short: Short) -> Effect {
    done(short, false)
}

pub(super) fn duplicate(short: Short) -> Effect {
    done(short, true)
}

pub(super) fn done(short: Short, duplicate: bool) -> Effect {
    let envelope = Box::new(envelope(short));
    Effect::Note(Note::Completed { envelope, elapsed: Duration::ZERO, duplicate })
}

pub(super) fn retrying(short: Short, attempt: u32, millis: u64, reason: &str) -> Effect {
    Effect::Note(Note::Retrying {
        envelope: Box::new(envelope(short)),
        attempt,
        delay: Duration::from_millis(millis),
        reason: reason.to_owned(),
    })
}

pub(super) fn park(short: Short, reason: &str) -> Effect {
    let (_, _, seq) = short;
    Effect::Park { seq: Seq(seq), envelope: Box::new(envelope(short)), reason: reason.to_owned() }
}

pub(super) fn parked(short: Short, reason: &str) -> Effect {
    Effect::Note(Note::Parked { envelope: Box::new(envelope(short)), reason: reason.to_owned() })
}
