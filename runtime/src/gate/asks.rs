//! The asks to one node that wait for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask_error::AskError;
use super::service::ServiceId;

type Answer = Result<Bytes, AskError>;

/// Room for the asks of urgent services beyond `asks_max`: the asks of an application must not keep
/// the probes of the members from being sent.
const URGENT_ASKS_MAX: usize = 1024;

/// An asker that waits.
#[derive(Debug)]
enum Asker {
    /// A future waits, which watches its time itself.
    Future(oneshot::Sender<Answer>),
    Call(AnswerCall, Instant),
}

impl Asker {
    /// Answers. Returns false when the asker does not wait any more.
    fn answer(self, answer: Answer) -> bool {
        match self {
            Self::Future(sender) => sender.send(answer).is_ok(),
            Self::Call(call, _) => {
                call.answer(answer);
                true
            }
        }
    }
}

/// A function that is called once: with the answer, or with an error when the value is dropped. A
/// panic in it ends there.
pub(super) struct AnswerCall(Option<Box<dyn FnOnce(Answer) + Send>>);

impl AnswerCall {
    pub(super) fn new(then: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }

    pub(super) fn answer(mut self, answer: Answer) {
        self.call(answer);
    }

    fn call(&mut self, answer: Answer) {
        if let Some(then) = self.0.take() {
            let _ = guard::call("an answer", &"an ask", || then(answer));
        }
    }
}

impl Drop for AnswerCall {
    fn drop(&mut self) {
        self.call(Err(AskError::Unreachable("the gate was closed".into())));
    }
}

impl fmt::Debug for AnswerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerCall")
    }
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    askers: BTreeMap<u64, Asker>,
    /// No deadline is earlier. It lags behind, so that most ticks look at no ask.
    next_deadline: Option<Instant>,
}

impl Waiting {
    fn insert(
        &mut self,
        asks_max: usize,
        service: ServiceId,
        asker: Asker,
    ) -> Result<u64, (AskError, Asker)> {
        let reserve = if service.is_urgent() { URGENT_ASKS_MAX } else { 0 };
        if self.askers.len() >= asks_max + reserve {
            return Err((AskError::Overloaded(format!("`asks_max` {asks_max}")), asker));
        }
        if let Asker::Call(_, deadline) = &asker {
            let next = self.next_deadline.map_or(*deadline, |next| next.min(*deadline));
            self.next_deadline = Some(next);
        }
        self.next += 1;
        self.askers.insert(self.next, asker);
        Ok(self.next)
    }
}

/// The asks to one node that wait for an answer; at most `asks_max`, and a few urgent ones more.
#[derive(Debug)]
pub(super) struct Asks {
    waiting: Mutex<Waiting>,
    asks_max: usize,
}

/// Gives the ask up when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    asks: Arc<Asks>,
    pub(super) correlation: u64,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Asks {
    pub(super) fn new(asks_max: usize) -> Self {
        Self { waiting: Mutex::default(), asks_max }
    }

    pub(super) fn register(self: &Arc<Self>, service: ServiceId) -> Result<Ticket, AskError> {
        let (sender, answer) = oneshot::channel();
        let inserted = self.lock().insert(self.asks_max, service, Asker::Future(sender));
        let correlation = inserted.map_err(|(error, _)| error)?;
        Ok(Ticket { asks: self.clone(), correlation, answer })
    }

    /// Registers a function that gets the answer, or `Timeout` after the deadline.
    ///
    /// # Errors
    /// `Overloaded`, with the function, which was not called.
    pub(super) fn register_call(
        &self,
        service: ServiceId,
        then: AnswerCall,
        deadline: Instant,
    ) -> Result<u64, (AskError, AnswerCall)> {
        let inserted = self.lock().insert(self.asks_max, service, Asker::Call(then, deadline));
        inserted.map_err(|(error, asker)| match asker {
            Asker::Call(then, _) => (error, then),
            Asker::Future(_) => unreachable!("the asker that was given comes back"),
        })
    }

    /// Takes back a function whose ask was not sent.
    pub(super) fn take_call(&self, correlation: u64) -> Option<AnswerCall> {
        match self.lock().askers.remove(&correlation)? {
            Asker::Call(then, _) => Some(then),
            Asker::Future(_) => None,
        }
    }

    /// Ends an ask. Returns false when its asker does not wait any more.
    pub(super) fn finish(&self, correlation: u64, answer: Answer) -> bool {
        let asker = self.lock().askers.remove(&correlation);
        asker.is_some_and(|asker| asker.answer(answer))
    }

    /// Ends the asks whose functions have waited too long.
    pub(super) fn expire(&self, now: Instant) {
        let mut waiting = self.lock();
        if waiting.next_deadline.is_none_or(|next| now < next) {
            return;
        }
        let is_over = |asker: &Asker| matches!(asker, Asker::Call(_, at) if *at <= now);
        let over: Vec<u64> = waiting
            .askers
            .iter()
            .filter(|(_, asker)| is_over(asker))
            .map(|(correlation, _)| *correlation)
            .collect();
        let over: Vec<Asker> =
            over.iter().filter_map(|correlation| waiting.askers.remove(correlation)).collect();
        let deadline = |asker: &Asker| match asker {
            Asker::Call(_, deadline) => Some(*deadline),
            Asker::Future(_) => None,
        };
        waiting.next_deadline = waiting.askers.values().filter_map(deadline).min();
        drop(waiting);
        for asker in over {
            asker.answer(Err(AskError::Timeout));
        }
    }

    /// Fails all asks except the asks in `unsent`. Returns their number.
    pub(super) fn fail_except(&self, unsent: &[u64], error: &AskError) -> usize {
        let unsent: BTreeSet<u64> = unsent.iter().copied().collect();
        let mut waiting = self.lock();
        let all = std::mem::take(&mut waiting.askers);
        let (kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(correlation, _)| unsent.contains(correlation));
        waiting.askers = kept;
        drop(waiting);
        let count = lost.len();
        for asker in lost.into_values() {
            asker.answer(Err(error.clone()));
        }
        count
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let asker = self.asks.lock().askers.remove(&self.correlation);
        drop(asker);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const ASK: ServiceId = ServiceId(20);

    type Got = Arc<Mutex<Vec<(u64, Answer)>>>;

    fn call(got: &Got, number: u64) -> AnswerCall {
        let got = got.clone();
        AnswerCall::new(move |answer| got.lock().push((number, answer)))
    }

    fn numbers(got: &Got) -> Vec<u64> {
        got.lock().iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn a_call_gets_its_answer_or_an_error_exactly_once() {
        let (asks, got) = (Asks::new(3), Got::default());
        let now = SystemClock.now();
        let second = Duration::from_secs(1);
        let early = asks.register_call(ASK, call(&got, 1), now + second).unwrap();
        asks.register_call(ASK, call(&got, 2), now + 3 * second).unwrap();
        asks.register_call(ASK, call(&got, 3), now + 2 * second).unwrap();
        let (error, fourth) = asks.register_call(ASK, call(&got, 4), now).unwrap_err();
        assert!(matches!(error, AskError::Overloaded(_)));
        assert!(asks.finish(early, Ok(Bytes::new())) && !asks.finish(early, Ok(Bytes::new())));
        asks.expire(now + second);
        assert_eq!(numbers(&got), [1]);
        asks.expire(now + 2 * second);
        assert_eq!(numbers(&got), [1, 3]);
        assert!(matches!(got.lock()[1].1, Err(AskError::Timeout)));
        drop(asks);
        drop(fourth);
        assert_eq!(numbers(&got), [1, 3, 2, 4], "nobody is forgotten");
        assert!(matches!(got.lock()[2].1, Err(AskError::Unreachable(_))));
    }

    #[test]
    fn a_panic_in_a_call_harms_no_other() {
        let (asks, got) = (Asks::new(3), Got::default());
        let now = SystemClock.now();
        asks.register_call(ASK, AnswerCall::new(|_| panic!("the test wants it")), now).unwrap();
        asks.register_call(ASK, call(&got, 2), now).unwrap();
        asks.fail_except(&[], &AskError::Timeout);
        assert_eq!(numbers(&got), [2]);
    }

    #[test]
    fn asks_of_an_application_leave_room_for_probes() {
        let asks = Arc::new(Asks::new(1));
        let _held = asks.register(ASK).unwrap();
        assert!(matches!(asks.register(ASK), Err(AskError::Overloaded(_))));
        assert!(ServiceId(1).is_urgent() && asks.register(ServiceId(1)).is_ok());
    }
}
