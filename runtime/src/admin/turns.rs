//! The turns of requests to the application: at most so many, at most so many of one caller, and no
//! answer that keeps its turn for ever while others wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::origin::Origin;

/// The sender whose turns are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// A client with a line in the tokens file.
    Known(Arc<str>),
    /// Anybody else, by the address of the connection; `None` without one.
    Unknown(Option<Origin>),
}

/// The bounds of turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most turns at once.
    pub(super) all_max: usize,
    /// Most turns of one sender at once.
    pub(super) caller_max: usize,
    /// Time after which an answer that goes on gives its turn to a request that finds none.
    pub(super) answer_time: Duration,
}

/// The reason why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Caller,
}

/// A request that has its turn.
#[derive(Debug)]
struct Held {
    who: Who,
    /// The moment of the head of its answer.
    answers_since: Option<Instant>,
    /// Dropped when the turn is taken away.
    _keeps: oneshot::Sender<()>,
}

/// The turns that are taken, by their numbers, which grow. A pure core.
#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<u64, Held>,
    by_caller: BTreeMap<Who, usize>,
    next: u64,
}

impl Table {
    fn take(
        &mut self,
        now: Instant,
        who: Who,
        bounds: Bounds,
    ) -> Result<(u64, oneshot::Receiver<()>), Full> {
        if self.by_caller.get(&who).copied().unwrap_or(0) >= bounds.caller_max {
            return Err(Full::Caller);
        }
        if self.held.len() >= bounds.all_max {
            let longest = self.longest(now, bounds.answer_time).ok_or(Full::All)?;
            self.give_back(longest);
        }
        let (keeps, taken) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        *self.by_caller.entry(who.clone()).or_default() += 1;
        self.held.insert(number, Held { who, answers_since: None, _keeps: keeps });
        self.check();
        Ok((number, taken))
    }

    /// The answer that goes on for the longest time, of those that have had theirs, of the sender
    /// with the most turns among them.
    fn longest(&self, now: Instant, answer_time: Duration) -> Option<u64> {
        let old = self.held.iter().filter_map(|(number, held)| {
            let since = held.answers_since?;
            let turns = self.by_caller.get(&held.who).copied().unwrap_or(0);
            (now.saturating_duration_since(since) >= answer_time).then_some((turns, since, *number))
        });
        let most = old.max_by(|one, other| (one.0, other.1).cmp(&(other.0, one.1)));
        most.map(|(_, _, number)| number)
    }

    fn answers(&mut self, now: Instant, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.answers_since = Some(now);
        }
    }

    /// Gives a turn back; one that was taken away before is not there any more.
    fn give_back(&mut self, number: u64) {
        let Some(held) = self.held.remove(&number) else { return };
        if let Some(count) = self.by_caller.get_mut(&held.who) {
            *count -= 1;
            if *count == 0 {
                self.by_caller.remove(&held.who);
            }
        }
        self.check();
    }

    fn check(&self) {
        debug_assert_eq!(self.by_caller.values().sum::<usize>(), self.held.len());
        debug_assert!(self.by_caller.values().all(|count| *count > 0));
        debug_assert!(self.held.keys().all(|number| *number < self.next));
    }
}

/// The requests to the application that are under way.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Table>);

impl Turns {
    /// Takes a turn. When all are taken, an answer that has gone on for long enough ends for it.
    ///
    /// # Errors
    /// The bound that leaves none.
    pub(super) fn take(
        self: &Arc<Self>,
        now: Instant,
        who: Who,
        bounds: Bounds,
    ) -> Result<Turn, Full> {
        let (number, taken) = self.0.lock().take(now, who, bounds)?;
        Ok(Turn { turns: self.clone(), number, taken })
    }

    /// The turns that are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.lock().held.len()
    }
}

/// A turn of one request, until the end of its answer.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    number: u64,
    /// Completes when the turn is taken away.
    pub(super) taken: oneshot::Receiver<()>,
}

impl Turn {
    /// Notes that the head of the answer is there: from now on the time of the answer counts.
    pub(super) fn answers(&self, now: Instant) {
        self.turns.0.lock().answers(now, self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().give_back(self.number);
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const BOUNDS: Bounds =
        Bounds { all_max: 4, caller_max: 3, answer_time: Duration::from_secs(60) };

    fn who(name: &str) -> Who {
        Who::Known(name.into())
    }

    #[test]
    fn one_caller_leaves_turns_to_the_others() {
        let (turns, now) = (Arc::<Turns>::default(), SystemClock.now());
        let take = |name| turns.take(now, who(name), BOUNDS);
        let mut greedy: Vec<Turn> = (0..3).map(|_| take("greedy").unwrap()).collect();
        assert_eq!(take("greedy").unwrap_err(), Full::Caller);
        let other = take("other").unwrap();
        assert_eq!(take("third").unwrap_err(), Full::All);
        drop(greedy.pop());
        assert_eq!(turns.taken(), 3);
        drop((take("greedy").unwrap(), other, greedy));
        assert_eq!(turns.taken(), 0);
    }

    #[test]
    fn an_answer_that_goes_on_gives_its_turn_to_a_request_that_finds_none() {
        let (turns, start) = (Arc::<Turns>::default(), SystemClock.now());
        let take = |now, name| turns.take(now, who(name), BOUNDS);
        let mut streams: Vec<Turn> =
            ["a", "b", "b", "b"].map(|name| take(start, name).unwrap()).into();
        let at = |seconds| start + Duration::from_secs(seconds);
        // the answer of `a` is the oldest, but `b` has more turns; one of `b` has no head yet
        for (seconds, index) in [(0, 0), (2, 2), (1, 1)] {
            streams[index].answers(at(seconds));
        }
        assert_eq!(take(at(59), "c").unwrap_err(), Full::All);
        let _c = take(at(62), "c").unwrap();
        let ended: Vec<bool> = streams
            .iter_mut()
            .map(|turn| {
                turn.taken
                    .try_recv()
                    .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
            })
            .collect();
        assert_eq!(ended, [false, true, false, false]);
        assert_eq!(turns.taken(), 4, "its turn was given on");
        drop(streams);
        assert_eq!(turns.taken(), 1, "and is not given back twice");
    }
}
