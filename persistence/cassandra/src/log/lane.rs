//! The core of a lane: decides the content and time of each write, and judges each answer.
//!
//! At most one round is in flight; appends that arrive meanwhile form the next round. A round with
//! an unknown outcome is sent again, unchanged, until it is applied or refused. Apart from the
//! seal, only this lane writes to its partitions, so a refusal has one meaning:
//! - the head is the round's own number: an earlier attempt was applied;
//! - the head is below the last acknowledged one: the store lost data.

use std::collections::VecDeque;
use std::time::Duration;

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
    /// First wait before a round is sent again; it doubles each time.
    pub(crate) retry_min: Duration,
    /// Longest wait before a round is sent again.
    pub(crate) retry_max: Duration,
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
}

/// Requests of a lane to its task.
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
}

#[derive(Debug)]
struct InFlight {
    write: RoundWrite,
    tokens: Vec<Token>,
    /// True when any attempt may have taken effect.
    unknown: bool,
    since: Duration,
    wait: Duration,
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
    pub(crate) fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Append(token, record) => match self.ended {
                Some(why) => effects.push(Effect::Ended { why, tokens: vec![token] }),
                None => self.queue.push_back((token, record)),
            },
            Input::Answer(answer) => self.answered(answer, &mut effects),
            Input::Failed { unknown } => self.failed(now, unknown, &mut effects),
            Input::Retry => {
                effects.extend(
                    self.in_flight.as_ref().map(|round| Effect::Write(round.write.clone())),
                );
                return effects;
            }
        }
        self.start(now, &mut effects);
        effects
    }

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
        let record =
            Bytes::from(round::encode(&self.id, self.next, records.iter().map(Vec::as_slice)));
        let closes = self.part_bytes + record.len() >= self.limits.part_bytes_max
            || self.part_rounds + 1 >= self.limits.part_rounds_max;
        let (lane, at, head) = (self.id.clone(), self.next, self.head);
        let write = RoundWrite { lane, at, head, closes, record };
        effects.push(Effect::Write(write.clone()));
        let wait = self.limits.retry_min;
        self.in_flight = Some(InFlight { write, tokens, unknown: false, since: now, wait });
    }

    fn answered(&mut self, answer: RoundAnswer, effects: &mut Vec<Effect>) {
        let Some(round) = self.in_flight.take() else { return };
        let why = match answer {
            RoundAnswer::Applied => return self.stored(round, effects),
            RoundAnswer::Refused(state) => match verdict(&round, state) {
                Ok(()) => return self.stored(round, effects),
                Err(why) => why,
            },
        };
        self.ended = Some(why);
        let waiting = self.queue.drain(..).map(|(token, _)| token);
        let tokens = round.tokens.into_iter().chain(waiting).collect();
        effects.push(Effect::Ended { why, tokens });
    }

    fn stored(&mut self, round: InFlight, effects: &mut Vec<Effect>) {
        let InFlight { write, tokens, .. } = round;
        self.next.nr += 1;
        if write.closes {
            self.next.part += 1;
            (self.head, self.part_rounds, self.part_bytes) = (None, 0, 0);
        } else {
            self.head = Some(write.at.nr);
            self.part_rounds += 1;
            self.part_bytes += write.record.len();
        }
        effects.push(Effect::Stored { at: write.at, record: write.record, tokens });
    }

    fn failed(&mut self, now: Duration, unknown: bool, effects: &mut Vec<Effect>) {
        let Some(round) = &mut self.in_flight else { return };
        round.unknown |= unknown;
        if round.unknown || now.saturating_sub(round.since) < self.limits.give_up_after {
            effects.push(Effect::Wait(round.wait));
            round.wait = (round.wait * 2).min(self.limits.retry_max);
            return;
        }
        let failed = self.in_flight.take().map(|round| round.tokens).unwrap_or_default();
        // appends that wait may build on those that failed
        let waiting = self.queue.drain(..).map(|(token, _)| token);
        effects.push(Effect::GaveUp(failed.into_iter().chain(waiting).collect()));
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
mod tests {
    use super::*;

    const T0: Duration = Duration::ZERO;

    fn limits() -> LaneLimits {
        LaneLimits {
            round_bytes_max: 10,
            round_appends_max: 3,
            part_bytes_max: 1000,
            part_rounds_max: 3,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(150),
            give_up_after: Duration::from_secs(5),
        }
    }

    fn lane() -> Lane {
        Lane::new(LaneId { writer: "w".into(), lane: 0 }, limits())
    }

    fn write(lane: &mut Lane, effects: &[Effect]) -> RoundWrite {
        let _ = lane;
        match effects {
            [.., Effect::Write(write)] => write.clone(),
            other => panic!("expected a write at the end, actual {other:?}"),
        }
    }

    fn refused(head: Option<u64>, sealed: bool) -> Input {
        Input::Answer(RoundAnswer::Refused(PartState { head, closed: false, sealed }))
    }

    #[test]
    fn what_comes_while_a_round_is_in_flight_is_the_next_one() {
        let mut lane = lane();
        let effects = lane.step(T0, Input::Append(1, vec![b'a']));
        let first = write(&mut lane, &effects);
        assert_eq!((first.at, first.head), (LanePosition { part: 0, nr: 1 }, None));
        for token in 2..=5 {
            assert_eq!(lane.step(T0, Input::Append(token, vec![b'b'])), []);
        }
        let effects = lane.step(T0, Input::Answer(RoundAnswer::Applied));
        let stored = Effect::Stored { at: first.at, record: first.record, tokens: vec![1] };
        assert_eq!(effects[0], stored);
        let second = write(&mut lane, &effects);
        assert_eq!((second.at.nr, second.head), (2, Some(1)));
        let appends = second.record.slice(..second.record.len() - 8);
        assert_eq!(appends, Bytes::from_static(b"\x01\x03bbb"), "three appends at most");
    }

    #[test]
    fn a_round_has_a_limit_of_bytes_but_takes_one_append() {
        let mut lane = lane();
        let effects = lane.step(T0, Input::Append(1, vec![0; 50]));
        assert_eq!(write(&mut lane, &effects).record.len(), 60);
        lane.step(T0, Input::Append(2, vec![0; 6]));
        lane.step(T0, Input::Append(3, vec![0; 6]));
        let effects = lane.step(T0, Input::Answer(RoundAnswer::Applied));
        assert_eq!(write(&mut lane, &effects).record.len(), 16);
    }

    #[test]
    fn the_last_round_of_a_part_closes_it_and_the_next_opens_another() {
        let mut lane = lane();
        let mut seen = Vec::new();
        for token in 1..=4 {
            let effects = lane.step(T0, Input::Append(token, vec![0]));
            let round = write(&mut lane, &effects);
            seen.push((round.at.part, round.at.nr, round.head, round.closes));
            lane.step(T0, Input::Answer(RoundAnswer::Applied));
        }
        let expected = [
            (0, 1, None, false),
            (0, 2, Some(1), false),
            (0, 3, Some(2), true),
            (1, 4, None, false),
        ];
        assert_eq!(seen, expected);
        assert!(lane.is_idle());
    }

    #[test]
    fn an_unknown_outcome_is_sent_again_for_ever_and_ends_with_its_own_head() {
        let mut lane = lane();
        let effects = lane.step(T0, Input::Append(1, vec![0]));
        let round = write(&mut lane, &effects);
        for wait in [50, 100, 150, 150] {
            let effects =
                lane.step(Duration::from_secs(100), Input::Failed { unknown: wait == 50 });
            assert_eq!(effects, [Effect::Wait(Duration::from_millis(wait))]);
            let effects = lane.step(T0, Input::Retry);
            assert_eq!(effects, [Effect::Write(round.clone())]);
        }
        let effects = lane.step(T0, refused(Some(1), true));
        let stored = Effect::Stored { at: round.at, record: round.record, tokens: vec![1] };
        assert_eq!(effects, [stored], "applied before the seal");
    }

    #[test]
    fn what_was_certainly_not_stored_is_given_up_in_time_with_all_that_waits() {
        let mut lane = lane();
        lane.step(T0, Input::Append(1, vec![0]));
        lane.step(T0, Input::Append(2, vec![0]));
        let effects = lane.step(Duration::from_secs(1), Input::Failed { unknown: false });
        assert!(matches!(effects[..], [Effect::Wait(_)]));
        let effects = lane.step(Duration::from_secs(6), Input::Failed { unknown: false });
        assert_eq!(effects, [Effect::GaveUp(vec![1, 2])]);
        let effects = lane.step(T0, Input::Append(3, vec![0]));
        assert_eq!(write(&mut lane, &effects).at.nr, 1, "the number is still free");
    }

    #[test]
    fn a_seal_ends_the_lane_and_all_that_waits() {
        let mut lane = lane();
        lane.step(T0, Input::Append(1, vec![0]));
        lane.step(T0, Input::Append(2, vec![0]));
        let effects = lane.step(T0, refused(None, true));
        assert_eq!(effects, [Effect::Ended { why: Ended::Sealed, tokens: vec![1, 2] }]);
        let effects = lane.step(T0, Input::Append(3, vec![0]));
        assert_eq!(effects, [Effect::Ended { why: Ended::Sealed, tokens: vec![3] }]);
    }

    #[test]
    fn a_head_below_an_acknowledged_one_is_lost_data_and_never_adopted() {
        let mut lane = lane();
        lane.step(T0, Input::Append(1, vec![0]));
        lane.step(T0, Input::Answer(RoundAnswer::Applied));
        lane.step(T0, Input::Append(2, vec![0]));
        let why = Ended::Lost { expected: Some(1), actual: None };
        let effects = lane.step(T0, refused(None, false));
        assert_eq!(effects, [Effect::Ended { why, tokens: vec![2] }]);
    }

    #[test]
    fn a_head_that_this_lane_did_not_write_is_another_process() {
        let mut lane = lane();
        lane.step(T0, Input::Append(1, vec![0]));
        let effects = lane.step(T0, refused(Some(1), false));
        let why = Ended::Intruder(Some(1));
        assert_eq!(effects, [Effect::Ended { why, tokens: vec![1] }]);
    }
}
