//! The core of a lane: decides the content and time of each write, and judges each answer.
//!
//! At most one round is in flight; appends that arrive meanwhile form the next round. A round with
//! an unknown outcome is sent again, unchanged, until it is applied or refused. Apart from the
//! seal, only this lane writes to its partitions, so a refusal has one meaning:
//! - the head is the round's own number: an earlier attempt was applied;
//! - the head is below the last acknowledged one: the store lost data.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_base::Error;
use antiphon_base::backoff::{Backoff, Jitter};
use bytes::Bytes;

use super::round;
use crate::tables::{LaneId, LanePosition, PartState, RoundAnswer, RoundWrite};

/// Names an append that waits for its answer.
pub(crate) type Token = u64;

/// The bounds of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneLimits {
    /// Bytes in a round, which takes at least one append.
    pub(crate) round_bytes_max: usize,
    /// Appends in a round.
    pub(crate) round_appends_max: usize,
    /// Bytes in a part; the round that reaches it ends the part.
    pub(crate) part_bytes_max: usize,
    /// Rounds in a part.
    pub(crate) part_rounds_max: u64,
    /// Waits before a round is sent again.
    pub(crate) retry: Backoff,
    /// Time after which the appends of a round fail of which certainly nothing was stored.
    pub(crate) give_up_after: Duration,
}

/// Events in the life of a lane. `now` is the time since any fixed moment.
#[derive(Debug)]
pub(crate) enum Input {
    /// A record to append.
    Append(Token, Vec<u8>),
    /// The answer to the round in flight.
    Answer(RoundAnswer),
    /// The round in flight failed; `unknown` when it may have taken effect.
    Failed { unknown: bool },
    /// The wait is over.
    Retry,
    /// The task found that its own state is wrong, for this reason.
    Broken(&'static str),
}

/// Requests of a lane to its task, in the order in which the task runs them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send this write, and come back with its answer.
    Write(RoundWrite),
    /// Come back after this time with [`Input::Retry`].
    Wait(Duration),
    /// The round is stored: its appends are acknowledged.
    Stored { at: LanePosition, record: Bytes, tokens: Vec<Token> },
    /// Nothing of these appends was stored; the lane goes on.
    GaveUp(Vec<Token>),
    /// The lane has ended, and none of these appends was stored.
    Ended { why: Ended, tokens: Vec<Token> },
}

/// Reason for the end of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The writer was sealed.
    Sealed,
    /// Another process uses the same writer; the head of the part is this one.
    Intruder(Option<u64>),
    /// The actual head is below the expected one, which was acknowledged: the store lost data.
    Lost { expected: Option<u64>, actual: Option<u64> },
    /// An input came that cannot come, for this reason. What is in flight may take effect.
    Broken(&'static str),
}

impl Ended {
    /// The error of an append to the lane.
    pub(crate) fn error(self, lane: &LaneId) -> Error {
        let LaneId { writer, lane } = lane;
        match self {
            Self::Sealed => Error::fenced(format!("writer `{writer}` is sealed")),
            Self::Intruder(head) => Error::fenced(format!(
                "lane {lane} of writer `{writer}` has the head {head:?}, which this process did not write: another process uses the same writer"
            )),
            Self::Lost { expected, actual } => Error::corrupt(format!(
                "lane {lane} of writer `{writer}`: the store lost data: expected the head {expected:?}, actual {actual:?}: check `commitlog_sync` and the replication factor"
            )),
            Self::Broken(why) => Error::bug(format!(
                "lane {lane} of writer `{writer}` has stopped: {why}: report it"
            )),
        }
    }
}

/// State of the statement of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// It was sent, and its answer is awaited.
    Sent,
    /// It failed, and is sent again later.
    Waits,
}

#[derive(Debug)]
struct InFlight {
    write: RoundWrite,
    tokens: Vec<Token>,
    attempt: Attempt,
    /// True when any attempt may have taken effect.
    unknown: bool,
    since: Duration,
    /// Attempts that failed.
    failures: u32,
}

/// A lane of an open writer.
#[derive(Debug)]
pub(crate) struct Lane {
    id: LaneId,
    limits: LaneLimits,
    /// Position of the next round, and the head of its part.
    next: LanePosition,
    head: Option<u64>,
    part_rounds: u64,
    part_bytes: usize,
    queue: VecDeque<(Token, Vec<u8>)>,
    /// The newest token. Tokens ascend.
    last_token: Token,
    in_flight: Option<InFlight>,
    ended: Option<Ended>,
}

impl Lane {
    /// The lane of a new writer.
    pub(crate) fn new(id: LaneId, limits: LaneLimits) -> Self {
        Self {
            id,
            limits,
            next: LanePosition { part: 0, nr: 1 },
            head: None,
            part_rounds: 0,
            part_bytes: 0,
            queue: VecDeque::new(),
            last_token: 0,
            in_flight: None,
            ended: None,
        }
    }

    /// True when no append waits and no round is in flight.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }

    /// Advances the lane by one input.
    ///
    /// # Panics
    /// When an invariant is broken, see [`Self::check`].
    pub(crate) fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match (self.ended, input) {
            (Some(why), Input::Append(token, _)) => {
                effects.push(Effect::Ended { why, tokens: vec![token] });
            }
            // a lane that has ended asks for nothing, so what comes is late
            (Some(_), _) => {}
            (None, Input::Append(token, record)) => {
                self.push(token, record);
                self.start(now, &mut effects);
            }
            (None, Input::Answer(answer)) => {
                let answered = self.answered(answer);
                self.start(now, &mut effects);
                effects.push(answered);
            }
            (None, Input::Failed { unknown }) => effects.push(self.failed(now, unknown)),
            (None, Input::Retry) => effects.push(self.retry()),
            (None, Input::Broken(why)) => effects.push(self.end(Ended::Broken(why))),
        }
        self.check();
        effects
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// When one is broken: events would be lost, doubled, or acknowledged and not stored.
    pub(crate) fn check(&self) {
        let Self { next, head, limits, part_rounds, .. } = self;
        assert_eq!(head.is_some(), *part_rounds > 0, "a part has a head when it has a round");
        let before = head.map_or(next.nr, |head| head + 1);
        assert_eq!(before, next.nr, "the numbers of the rounds are not dense");
        assert!(next.nr > next.part, "a part of the lane has no round");
        assert!(*part_rounds < limits.part_rounds_max, "a full part was not closed");
        let Some(round) = &self.in_flight else {
            assert!(self.queue.is_empty(), "appends wait, and no round is in flight");
            return;
        };
        assert!(self.ended.is_none(), "a lane that has ended has a round in flight");
        assert_eq!(round.write.at, *next, "the round in flight is not the next one");
        assert_eq!(round.write.head, *head, "the round in flight expects another head");
        assert!(!round.tokens.is_empty(), "a round without an append is in flight");
    }

    fn push(&mut self, token: Token, record: Vec<u8>) {
        assert!(token > self.last_token, "append {token} comes after {}", self.last_token);
        self.last_token = token;
        self.queue.push_back((token, record));
    }

    /// Starts the next round, when none is in flight and appends wait.
    fn start(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.in_flight.is_some() || self.queue.is_empty() || self.ended.is_some() {
            return;
        }
        let (mut tokens, mut records, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some((_, record)) = self.queue.front() {
            let full = bytes + record.len() > self.limits.round_bytes_max
                || records.len() >= self.limits.round_appends_max;
            if full && !records.is_empty() {
                break;
            }
            bytes += record.len();
            if let Some((token, record)) = self.queue.pop_front() {
                tokens.push(token);
                records.push(record);
            }
        }
        assert!(
            records.len() == 1
                || (bytes <= self.limits.round_bytes_max
                    && records.len() <= self.limits.round_appends_max),
            "a round of {} appends and {bytes} bytes is over its limits",
            records.len()
        );
        let record =
            Bytes::from(round::encode(&self.id, self.next, records.iter().map(Vec::as_slice)));
        let closes = self.part_bytes + record.len() >= self.limits.part_bytes_max
            || self.part_rounds + 1 >= self.limits.part_rounds_max;
        let (lane, at, head) = (self.id.clone(), self.next, self.head);
        let write = RoundWrite { lane, at, head, closes, record };
        effects.push(Effect::Write(write.clone()));
        let attempt = Attempt::Sent;
        self.in_flight =
            Some(InFlight { write, tokens, attempt, unknown: false, since: now, failures: 0 });
    }

    fn answered(&mut self, answer: RoundAnswer) -> Effect {
        let Some(round) = self.in_flight.take_if(|round| round.attempt == Attempt::Sent) else {
            return self.end(Ended::Broken("an answer came to no statement"));
        };
        let why = match answer {
            RoundAnswer::Applied => return self.stored(round),
            RoundAnswer::Refused(state) => match verdict(&round, state) {
                Ok(()) => return self.stored(round),
                Err(why) => why,
            },
        };
        self.in_flight = Some(round);
        self.end(why)
    }

    /// Ends the lane, and with it all appends that it has.
    fn end(&mut self, why: Ended) -> Effect {
        self.ended = Some(why);
        Effect::Ended { why, tokens: self.take_all() }
    }

    /// Takes the appends in flight and those that wait; they may build on those in flight.
    fn take_all(&mut self) -> Vec<Token> {
        let in_flight = self.in_flight.take().map(|round| round.tokens).unwrap_or_default();
        let waiting = self.queue.drain(..).map(|(token, _)| token);
        in_flight.into_iter().chain(waiting).collect()
    }

    fn stored(&mut self, round: InFlight) -> Effect {
        let InFlight { write, tokens, .. } = round;
        assert_eq!(write.at, self.next, "a round is stored that is not the next one");
        self.next.nr += 1;
        if write.closes {
            self.next.part += 1;
            (self.head, self.part_rounds, self.part_bytes) = (None, 0, 0);
        } else {
            self.head = Some(write.at.nr);
            self.part_rounds += 1;
            self.part_bytes += write.record.len();
        }
        Effect::Stored { at: write.at, record: write.record, tokens }
    }

    fn failed(&mut self, now: Duration, unknown: bool) -> Effect {
        let sent = self.in_flight.as_mut().filter(|round| round.attempt == Attempt::Sent);
        let Some(round) = sent else {
            return self.end(Ended::Broken("no statement failed"));
        };
        round.unknown |= unknown;
        if round.unknown || now.saturating_sub(round.since) < self.limits.give_up_after {
            round.attempt = Attempt::Waits;
            round.failures = round.failures.saturating_add(1);
            return Effect::Wait(self.limits.retry.delay(round.failures, Jitter::NONE));
        }
        Effect::GaveUp(self.take_all())
    }

    fn retry(&mut self) -> Effect {
        let waits = self.in_flight.as_mut().filter(|round| round.attempt == Attempt::Waits);
        let Some(round) = waits else {
            return self.end(Ended::Broken("a wait is over that did not begin"));
        };
        round.attempt = Attempt::Sent;
        Effect::Write(round.write.clone())
    }
}

/// Judges a refusal. `Ok` means that an earlier attempt was applied.
fn verdict(round: &InFlight, state: PartState) -> Result<(), Ended> {
    let write = &round.write;
    if state.head == Some(write.at.nr) && round.unknown {
        return Ok(());
    }
    if state.head < write.head {
        return Err(Ended::Lost { expected: write.head, actual: state.head });
    }
    if state.head == write.head && state.sealed {
        return Err(Ended::Sealed);
    }
    Err(Ended::Intruder(state.head))
}

#[cfg(test)]
mod tests;
