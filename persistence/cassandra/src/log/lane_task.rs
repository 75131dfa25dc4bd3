//! The task around the core of a lane: sends rounds and answers appends.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, ErrorKind};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::lane::{Effect, Ended, Input, Lane, Token};
use super::round::{self, Entry};
use super::writer::{Book, Job, Shared, Uncopied};
use crate::stats::count;
use crate::tables::{LaneId, LanePosition, Outcome, RoundAnswer};

/// The task of a lane.
pub(super) struct LaneTask {
    pub(super) id: LaneId,
    pub(super) core: Lane,
    pub(super) jobs: Receiver<Job>,
    /// Appends that wait, in the order of their tokens, which is also the order in which the core
    /// names them.
    pub(super) waiting: VecDeque<(Token, Job)>,
    pub(super) next_token: Token,
    pub(super) began: Instant,
    pub(super) book: Arc<Book>,
    pub(super) shared: Arc<Shared>,
}

/// The event that the task of a lane waits for, besides more appends.
enum Pending {
    Nothing,
    Answer(BoxFuture<'static, Outcome<RoundAnswer>>),
    Wait(BoxFuture<'static, ()>),
}

impl LaneTask {
    /// Runs until the writer is dropped and its last round is answered.
    pub(super) async fn run(mut self) {
        let mut pending = Pending::Nothing;
        let mut open = true;
        while open || !matches!(pending, Pending::Nothing) {
            let input = tokio::select! {
                (input, error) = next(&mut pending) => {
                    pending = Pending::Nothing;
                    self.seen(&input, error);
                    input
                }
                job = self.jobs.recv(), if open => match job {
                    Some(job) => self.accept(job),
                    None => {
                        open = false;
                        continue;
                    }
                },
            };
            self.step(input, &mut pending).await;
            while let Ok(job) = self.jobs.try_recv() {
                let input = self.accept(job);
                self.step(input, &mut pending).await;
            }
        }
    }

    fn seen(&self, input: &Input, error: Option<String>) {
        let lane = format!("{}/{}", self.id.writer, self.id.lane);
        match input {
            Input::Answer(_) => self.shared.health.goes_on(&lane),
            Input::Failed { unknown } => {
                count(&self.shared.counters.rounds_unknown, u64::from(*unknown));
                self.shared.health.waits(&lane, &error.unwrap_or_default());
            }
            Input::Append(..) | Input::Retry => {}
        }
    }

    fn accept(&mut self, mut job: Job) -> Input {
        self.next_token += 1;
        let record = job.append.take_record();
        self.waiting.push_back((self.next_token, job));
        Input::Append(self.next_token, record)
    }

    async fn step(&mut self, input: Input, pending: &mut Pending) {
        let now = SystemClock.now().duration_since(self.began);
        let mut effects = self.core.step(now, input);
        // the next round is sent before the appends of the last round are answered
        effects.sort_by_key(|effect| !matches!(effect, Effect::Write(_)));
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    let tables = self.shared.tables.clone();
                    let mut round: BoxFuture<'static, _> =
                        Box::pin(async move { tables.put_round(&write).await });
                    *pending = Pending::Answer(match futures::poll!(&mut round) {
                        Poll::Ready(outcome) => Box::pin(ready(outcome)),
                        Poll::Pending => round,
                    });
                }
                Effect::Wait(wait) => *pending = Pending::Wait(Box::pin(tokio::time::sleep(wait))),
                Effect::Stored { at, record, tokens } => self.stored(at, &record, &tokens),
                Effect::GaveUp(tokens) => {
                    count(&self.shared.counters.given_up, tokens.len() as u64);
                    let limit = self.shared.settings.give_up_after;
                    self.fail(&tokens, ErrorKind::Unavailable, || {
                        format!(
                            "the journal could not be reached for {limit:?}; nothing was stored"
                        )
                    });
                }
                Effect::Ended { why, tokens } => self.ended(why, &tokens),
            }
        }
    }

    fn stored(&mut self, at: LanePosition, record: &Bytes, tokens: &[Token]) {
        let jobs = self.take(tokens);
        let appends = jobs.iter().map(|job| (&job.stream, &job.append));
        let Some(entries) = round::entries(record, appends) else {
            let message = format!("round {} is another one than was sent", at.nr);
            tracing::error!(message, "report it");
            return self.fail_jobs(jobs, ErrorKind::Bug, || message.clone());
        };
        let entries: Arc<[Entry]> = entries.into();
        let counters = &self.shared.counters;
        count(&counters.rounds, 1);
        count(&counters.appends, tokens.len() as u64);
        count(&counters.events, entries.iter().map(|entry| entry.last - entry.first + 1).sum());
        self.shared.view.push(&self.id, at, entries.clone());
        let bytes = record.len();
        // added before the copier can see the round and subtract its bytes
        let before = self.book.uncopied_bytes.fetch_add(bytes, Ordering::AcqRel);
        {
            let mut book = self.book.lock();
            let stored = SystemClock.now();
            let uncopied = Uncopied { at, entries, bytes, stored };
            book.uncopied[usize::from(self.id.lane)].push_back(uncopied);
        }
        {
            let mut ends = self.shared.ends.lock();
            for job in &jobs {
                if let Some(end) = ends.get_mut(&job.stream.name) {
                    end.under_way = end.under_way.saturating_sub(1);
                }
            }
        }
        if before + bytes > self.shared.settings.uncopied_bytes_max / 2 {
            self.book.copy_now.notify_one();
        }
        for job in jobs {
            let _ = job.answer.send(Ok(()));
        }
    }

    fn ended(&mut self, why: Ended, tokens: &[Token]) {
        let LaneId { writer, lane } = &self.id;
        let (kind, message) = match why {
            Ended::Sealed => (ErrorKind::Fenced, format!("writer `{writer}` is sealed")),
            Ended::Intruder(head) => (
                ErrorKind::Fenced,
                format!(
                    "lane {lane} of writer `{writer}` has the head {head:?}, which this process did not write: another process uses the same writer"
                ),
            ),
            Ended::Lost { expected, actual } => {
                count(&self.shared.counters.lost_data, 1);
                (
                    ErrorKind::Corrupt,
                    format!(
                        "lane {lane} of writer `{writer}`: the store lost data: expected the head {expected:?}, actual {actual:?}: check `commitlog_sync` and the replication factor"
                    ),
                )
            }
        };
        if self.book.lock().ended.is_none() {
            match why {
                Ended::Sealed => tracing::warn!("{message}"),
                Ended::Intruder(_) | Ended::Lost { .. } => tracing::error!("{message}"),
            }
        }
        if kind == ErrorKind::Corrupt {
            self.shared.health.lost(&message);
        }
        self.book.lock().ended.get_or_insert((kind, message.clone()));
        self.book.copied.notify_waiters();
        if kind == ErrorKind::Fenced {
            count(&self.shared.counters.fenced, tokens.len() as u64);
        }
        self.fail(tokens, kind, || message.clone());
    }

    /// Fails appends of which nothing was stored, and all appends that came after them.
    fn fail(&mut self, tokens: &[Token], kind: ErrorKind, message: impl Fn() -> String) {
        let failed = self.take(tokens);
        self.fail_jobs(failed, kind, message);
    }

    fn take(&mut self, tokens: &[Token]) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(tokens.len());
        for token in tokens {
            if let Ok(index) = self.waiting.binary_search_by_key(token, |(token, _)| *token) {
                jobs.extend(self.waiting.remove(index).map(|(_, job)| job));
            }
        }
        jobs
    }

    fn fail_jobs(&mut self, mut failed: Vec<Job>, kind: ErrorKind, message: impl Fn() -> String) {
        {
            // under the lock, so that no append gets under way in between
            let mut ends = self.shared.ends.lock();
            while let Ok(job) = self.jobs.try_recv() {
                failed.push(job);
            }
            for job in &failed {
                ends.remove(&job.stream.name);
            }
        }
        for job in failed {
            let _ = job.answer.send(Err(Error::new(kind, message())));
        }
    }
}

async fn next(pending: &mut Pending) -> (Input, Option<String>) {
    match pending {
        Pending::Nothing => std::future::pending().await,
        Pending::Answer(answer) => match answer.await {
            Ok(answer) => (Input::Answer(answer), None),
            Err(failed) => {
                let error = failed.to_string();
                (Input::Failed { unknown: failed.unknown }, Some(error))
            }
        },
        Pending::Wait(wait) => {
            wait.await;
            (Input::Retry, None)
        }
    }
}
