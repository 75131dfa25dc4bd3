//! The task around the core of a lane: sends rounds, and answers appends, in the order that the
//! [core](super::lane) gives.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::task::Poll;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::book::{Book, Uncopied};
use super::broken::{self, PanicGuard};
use super::copy_plan::is_pressing;
use super::entry::Entry;
use super::job::Job;
use super::lane::{Effect, Ended, Input, Lane, Token};
use super::round;
use crate::shared::Shared;
use crate::stats::count;
use crate::tables::{LaneId, LanePosition, Outcome, RoundAnswer, RoundWrite};

/// The task of a lane.
pub(super) struct LaneTask {
    id: LaneId,
    core: Lane,
    jobs: Receiver<Job>,
    /// Appends that wait, in the order of their tokens, which is also the order in which the core
    /// names them.
    waiting: VecDeque<(Token, Job)>,
    next_token: Token,
    began: Instant,
    book: Arc<Book>,
    shared: Arc<Shared>,
    _guard: PanicGuard,
}

/// The event that the task of a lane waits for, besides more appends.
enum Pending {
    Nothing,
    Answer(BoxFuture<'static, Outcome<RoundAnswer>>),
    Wait(BoxFuture<'static, ()>),
}

impl LaneTask {
    /// The task of a new lane, which takes its appends from `jobs`.
    pub(super) fn new(
        id: LaneId,
        core: Lane,
        jobs: Receiver<Job>,
        book: Arc<Book>,
        shared: Arc<Shared>,
    ) -> Self {
        let guard =
            PanicGuard { task: "cassandra lane", book: book.clone(), shared: shared.clone() };
        Self {
            id,
            core,
            jobs,
            waiting: VecDeque::new(),
            next_token: 0,
            began: SystemClock.now(),
            book,
            shared,
            _guard: guard,
        }
    }

    /// Runs until the writer is dropped and its last round is answered. A task that is stopped
    /// earlier leaves appends whose callers learn that the outcome is unknown.
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
            Input::Append(..) | Input::Retry | Input::Broken(_) => {}
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
        let mut input = Some(input);
        while let Some(of) = input.take() {
            for effect in self.core.step(now, of) {
                match effect {
                    Effect::Write(write) => *pending = self.send(write).await,
                    Effect::Wait(wait) => {
                        *pending = Pending::Wait(Box::pin(tokio::time::sleep(wait)));
                    }
                    Effect::Stored { at, record, tokens } => {
                        let jobs = self.take(&tokens);
                        if let Err(error) = self.stored(at, &record, jobs) {
                            broken::stop(&self.shared, &self.book, &error.to_string());
                            input = Some(Input::Broken("a stored round cannot be taken over"));
                        }
                    }
                    Effect::GaveUp(tokens) => self.gave_up(&tokens),
                    Effect::Ended { why, tokens } => self.ended(why, &tokens),
                }
            }
        }
    }

    /// Sends a round: when this returns, the statement is on its way.
    async fn send(&self, write: RoundWrite) -> Pending {
        let tables = self.shared.tables.clone();
        let mut round: BoxFuture<'static, _> =
            Box::pin(async move { tables.put_round(&write).await });
        Pending::Answer(match futures::poll!(&mut round) {
            Poll::Ready(outcome) => Box::pin(ready(outcome)),
            Poll::Pending => round,
        })
    }

    /// Makes a stored round known to the readers of this process and to the copier, and then
    /// acknowledges its appends.
    fn stored(&mut self, at: LanePosition, record: &Bytes, jobs: Vec<Job>) -> Result<()> {
        let outcome = self.take_over(at, record, &jobs);
        if let Err(error) = outcome {
            let message = error.to_string();
            self.fail_jobs(jobs, || Error::bug(message.clone()));
            return Err(error);
        }
        for job in jobs {
            // a caller that went away needs no answer
            let _ = job.answer.send(Ok(()));
        }
        Ok(())
    }

    fn take_over(&self, at: LanePosition, record: &Bytes, jobs: &[Job]) -> Result<()> {
        let appends = jobs.iter().map(|job| (&job.stream, &job.append));
        let entries: Arc<[Entry]> = round::entries(record, appends)
            .ok_or_else(|| Error::bug(format!("round {} is another one than was sent", at.nr)))?
            .into();
        let Shared { counters, settings, view, ends, .. } = &*self.shared;
        count(&counters.rounds, 1);
        count(&counters.appends, jobs.len() as u64);
        count(&counters.events, entries.iter().map(|entry| entry.last - entry.first + 1).sum());
        view.stored(&self.id, at, entries.clone())?;
        let (bytes, stored) = (record.len(), SystemClock.now());
        let uncopied_bytes =
            self.book.stored(self.id.lane, Uncopied { at, entries, bytes, stored });
        {
            let mut ends = ends.lock();
            for job in jobs {
                ends.stored(&job.stream.name, job.append.last);
            }
        }
        if is_pressing(uncopied_bytes, settings.uncopied_bytes_max) {
            self.book.copy_now.notify_one();
        }
        Ok(())
    }

    fn gave_up(&mut self, tokens: &[Token]) {
        count(&self.shared.counters.given_up, tokens.len() as u64);
        let limit = self.shared.settings.give_up_after;
        self.fail(tokens, || {
            Error::unavailable(format!(
                "the journal could not be reached for {limit:?}; nothing was stored"
            ))
        });
    }

    fn ended(&mut self, why: Ended, tokens: &[Token]) {
        let Shared { counters, health, .. } = &*self.shared;
        let error = why.error(&self.id);
        let message = error.to_string();
        match why {
            Ended::Broken(why) => {
                broken::stop(&self.shared, &self.book, why);
            }
            Ended::Sealed => {
                if self.book.end(error.kind(), &message) {
                    tracing::warn!("{message}");
                }
            }
            Ended::Intruder(_) => {
                if self.book.end(error.kind(), &message) {
                    tracing::error!("{message}");
                }
            }
            Ended::Lost { .. } => {
                count(&counters.lost_data, 1);
                health.lost(&message);
                if self.book.end(error.kind(), &message) {
                    tracing::error!("{message}");
                }
            }
        }
        let id = self.id.clone();
        self.fail(tokens, || why.error(&id));
    }

    /// Fails appends that are not stored, and all appends that came after them.
    fn fail(&mut self, tokens: &[Token], error: impl Fn() -> Error) {
        let failed = self.take(tokens);
        self.fail_jobs(failed, error);
    }

    /// Takes the appends that the core names.
    ///
    /// # Panics
    /// When one of them does not wait: it would never be answered, or it was answered before.
    fn take(&mut self, tokens: &[Token]) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(tokens.len());
        for token in tokens {
            let index = self.waiting.binary_search_by_key(token, |(token, _)| *token);
            let job = index.ok().and_then(|index| self.waiting.remove(index));
            let Some((_, job)) = job else { panic!("append {token} is answered twice") };
            jobs.push(job);
        }
        jobs
    }

    fn fail_jobs(&mut self, mut failed: Vec<Job>, error: impl Fn() -> Error) {
        {
            // under the lock, so that no append gets under way in between
            let mut ends = self.shared.ends.lock();
            while let Ok(job) = self.jobs.try_recv() {
                failed.push(job);
            }
            for job in &failed {
                ends.failed(&job.stream.name);
            }
        }
        for job in failed {
            // a caller that went away needs no answer
            let _ = job.answer.send(Err(error()));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_base::ErrorKind;
    use antiphon_base::backoff::Backoff;
    use antiphon_persistence::event::SequenceNr;
    use antiphon_persistence::identity::PersistenceId;
    use antiphon_persistence::store::Append;
    use tokio::sync::mpsc::channel;
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::log::entry::{Stream, encode_entry};
    use crate::log::job::Room;
    use crate::log::lane::LaneLimits;
    use crate::model::ModelTables;
    use crate::settings::CassandraSettings;

    fn lane() -> LaneId {
        LaneId { writer: "w".into(), lane: 0 }
    }

    async fn job() -> (Job, oneshot::Receiver<Result<()>>) {
        let persistence_id = PersistenceId::parse("c|1|A").unwrap();
        let append = Append { persistence_id, expected: SequenceNr::ZERO, events: Vec::new() };
        let permits = Arc::new(Semaphore::new(2));
        let room = Room {
            _place: permits.clone().acquire_owned().await.unwrap(),
            _bytes: permits.acquire_owned().await.unwrap(),
        };
        let (answer, receiver) = oneshot::channel();
        let stream = Stream::parse("c|1|A").unwrap();
        (Job { stream, append: encode_entry(&append), answer, _room: room }, receiver)
    }

    #[tokio::test]
    async fn a_panic_of_the_task_ends_the_writer_and_acknowledges_nothing() {
        let tables = Arc::new(ModelTables::new());
        let shared = Arc::new(Shared::new(tables, CassandraSettings::default(), 1000));
        let book = Arc::new(Book::new(1));
        let limits = LaneLimits {
            round_bytes_max: 10,
            round_appends_max: 3,
            part_bytes_max: 1000,
            part_rounds_max: 3,
            retry: Backoff::new(Duration::ZERO, Duration::ZERO),
            give_up_after: Duration::ZERO,
        };
        let (sender, jobs) = channel(1);
        let mut core = Lane::new(lane(), limits);
        // the core knows an append that the task does not know
        core.step(Duration::ZERO, Input::Append(5, vec![0]));
        let task = LaneTask::new(lane(), core, jobs, book.clone(), shared.clone());
        let task = antiphon_base::task::spawn("lane", task.run());
        let (job, answer) = job().await;
        assert!(sender.try_send(job).is_ok());

        assert!(task.await.is_err(), "the task panics");
        assert!(answer.await.is_err(), "the outcome is unknown");
        assert_eq!(book.ended().unwrap_err().kind(), ErrorKind::Bug);
        assert_eq!(shared.counters.snapshot().writers_broken, 1);
        assert!(shared.health.trouble().is_some_and(|what| what.contains("has panicked")));
    }
}
