//! The time limit of an ask.
//!
//! Most answers come long before the limit. To register a timer for each ask, and to remove it
//! again, takes the lock of the runtime's timers twice, and costs more than the rest of a local
//! wait. So a timer that an ask has not needed stays registered, and the next ask on its thread
//! takes it over: a timer that fires too early for its new owner is only then set to the owner's
//! deadline.
//!
//! A timer works in the runtime that it was made in, so it goes to an ask in the same runtime only.
//! The waker of the last owner may stay in a kept timer until the timer is used again or fires: a
//! task may be woken once without a reason, and its memory may stay that long. Paused time may stop
//! for a moment where a kept timer ends. The timers of an earlier runtime are dropped, so two runs
//! of one seed on one thread are the same.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task;
use tokio::time::{Instant, Sleep};

/// Most timers that a thread keeps for later asks.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// Waits for the answer, at most until `deadline`; `None`: it has not come by then. No timer is
/// needed for an answer that is there at once.
pub(super) async fn until<T>(deadline: Instant, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    let mut limit = Limit { deadline, timer: None };
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => limit.poll(context).map(|()| None),
    })
    .await
}

/// The time limit of one ask. Its timer, if it has one, is kept at the end.
struct Limit {
    deadline: Instant,
    timer: Option<Timer>,
}

impl Limit {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Timer::take(self.deadline));
        timer.poll(self.deadline, context)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.keep();
        }
    }
}

/// A timer, which is registered from the first poll on.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    runtime: tokio::runtime::Id,
    /// The last task that has used the timer, which is always in the same runtime.
    task: Option<task::Id>,
}

impl Timer {
    /// A timer that fires at `deadline`, or before.
    fn take(deadline: Instant) -> Self {
        let me = task::try_id();
        if let Ok(Some(kept)) = KEPT.try_with(|kept| kept.borrow_mut().pop()) {
            let is_mine = me.is_some() && kept.task == me;
            if kept.sleep.is_elapsed() || !is_mine && kept.runtime != Handle::current().id() {
                // so are the others, mostly; what is left of an earlier runtime changes nothing in
                // this one
                drop(KEPT.try_with(RefCell::take));
            } else if kept.sleep.deadline() <= deadline {
                return Self { task: me, ..kept };
            }
        }
        let runtime = Handle::current().id();
        Self { sleep: Box::pin(tokio::time::sleep_until(deadline)), runtime, task: me }
    }

    /// Ready at `deadline`. A timer that fires before is set to `deadline`.
    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.sleep.as_mut().poll(context) {
                Poll::Ready(()) if self.sleep.deadline() < deadline => {
                    self.sleep.as_mut().reset(deadline);
                }
                polled @ (Poll::Ready(()) | Poll::Pending) => return polled,
            }
        }
    }

    /// Keeps the timer for a later ask on this thread, if there is room for it.
    fn keep(self) {
        if self.sleep.is_elapsed() {
            return;
        }
        // a thread that ends keeps nothing
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use antiphon_base::task;
    use antiphon_base::time::{Clock, SystemClock};
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn kept_count() -> usize {
        KEPT.with_borrow(Vec::len)
    }

    /// Waits for an answer that comes after `time`, at most for `limit`. Returns whether it has
    /// come, and the time that has passed.
    async fn wait(time: Option<Duration>, limit: Duration) -> (bool, Duration) {
        let begin = SystemClock.now();
        let answer = async {
            match time {
                Some(time) => sleep(time).await,
                None => pending().await,
            }
        };
        let answer = until(begin + limit, answer).await;
        (answer.is_some(), SystemClock.now() - begin)
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_timer_ends_the_next_wait_at_its_own_limit() {
        let second = Duration::from_secs(1);
        assert_eq!(wait(Some(second), LIMIT).await, (true, second));
        assert_eq!(kept_count(), 1);
        sleep(second).await;
        // the kept timer fires after three seconds, and is set again
        assert_eq!(wait(None, LIMIT).await, (false, LIMIT));
        assert_eq!(kept_count(), 0, "a timer that has fired is not kept");
    }

    /// Paused time stops for a moment at the end of a kept timer, and nobody sees it.
    #[tokio::test(start_paused = true)]
    async fn a_kept_timer_does_not_change_the_paused_time_of_other_waits() {
        let milli = Duration::from_millis(1);
        assert_eq!(wait(Some(milli), LIMIT).await, (true, milli));
        assert_eq!(kept_count(), 1);
        let begin = SystemClock.now();
        sleep(2 * LIMIT).await;
        assert_eq!(SystemClock.now() - begin, 2 * LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_does_not_wait_for_a_kept_timer() {
        let milli = Duration::from_millis(1);
        assert_eq!(wait(Some(milli), LIMIT).await, (true, milli));
        assert_eq!(wait(None, 10 * milli).await, (false, 10 * milli));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_there_needs_no_timer() {
        assert_eq!(until(SystemClock.now(), async { 5 }).await, Some(5));
        assert_eq!(kept_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_keeps_a_bounded_number_of_timers() {
        let wait = |_| task::spawn("asker", wait(Some(Duration::from_millis(1)), LIMIT));
        let waits: Vec<_> = (0..2 * KEPT_MAX).map(wait).collect();
        for wait in waits {
            assert!(wait.await.unwrap().0, "the answer comes in time");
        }
        assert_eq!(kept_count(), KEPT_MAX);
    }

    #[test]
    fn a_timer_of_another_runtime_is_not_used() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap()
        };
        let (first, second) = (runtime(), runtime());
        let milli = Duration::from_millis(1);
        for _ in 0..2 {
            assert_eq!(first.block_on(wait(Some(milli), LIMIT)), (true, milli));
            // the first runtime's time stands still meanwhile
            assert_eq!(second.block_on(wait(None, LIMIT)), (false, LIMIT));
        }
        assert_eq!(first.block_on(wait(Some(milli), LIMIT)), (true, milli));
        drop(first);
        assert_eq!(second.block_on(wait(None, LIMIT)), (false, LIMIT));
    }
}
