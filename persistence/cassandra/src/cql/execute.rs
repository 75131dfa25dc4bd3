//! Sending of statements: within a limit, counted, and with the outcome recorded.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{ErrorKind, Result};
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use tokio::sync::Semaphore;

use super::answers::Answers;
use super::counts::Counts;
use super::error::{failed, is_disconnected, unreadable};
use super::probe::Probe;
use super::refusal::{Refusal, refusal};
use super::schema::Schema;
use super::sessions::{Sessions, Use};
use super::statements::{Named, Statements};
use super::traces::{self, Traces};
use super::{ServerSettings, schema};
use crate::tables::Outcome;

/// Waits before a statement is repeated.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// Time that a failure is held back while connections fail and nothing is answered. A caller that
/// tries again at once then does not do so thousands of times a second.
const HOLD_MAX: Duration = Duration::from_millis(200);

/// The tables of one place on a server.
pub struct CqlTables {
    pub(super) sessions: Arc<Sessions>,
    pub(super) statements: Statements,
    /// Counts of the conditional batch, which consists of several prepared statements.
    pub(super) write_cells: Counts,
    pub(super) place: String,
    /// Room for statements under way; statements of coordination have room of their own.
    room: Semaphore,
    coordination_room: Semaphore,
    repeat_timeout: Duration,
    traces: Traces,
    pub(super) answers: Arc<Answers>,
}

impl CqlTables {
    /// Connects, checks the tables and prepares all statements. A cancelled call closes its
    /// connections and changes nothing.
    ///
    /// # Errors
    /// - `Rejected` when the tables are missing or of another version; the message names the
    ///   command to run.
    /// - `Unavailable` when no server answers.
    pub async fn open(settings: &ServerSettings) -> Result<(Self, Schema)> {
        settings.validate()?;
        let sessions = Sessions::open(settings).await?;
        let session = sessions.get(Use::Data);
        let schema = schema::check(&session, settings).await?;
        if let Some(weakness) = Probe::of(&session, settings).await.weakness() {
            tracing::warn!(keyspace = settings.keyspace, "{weakness}");
        }
        let tables = Self {
            statements: Box::pin(Statements::prepare(&session, settings)).await?,
            sessions,
            write_cells: Counts::default(),
            place: settings.place.clone(),
            room: Semaphore::new(settings.requests_max),
            coordination_room: Semaphore::new(settings.coordination_requests_max),
            repeat_timeout: settings.repeat_timeout,
            traces: Traces::every(settings.trace_interval),
            answers: Arc::default(),
        };
        Ok((tables, schema))
    }

    /// Waits for room, sends the statement, and records its outcome.
    pub(super) async fn noted<T>(
        &self,
        name: &str,
        counts: &Counts,
        of: Use,
        statement: impl Future<Output = std::result::Result<T, ExecutionError>>,
    ) -> Outcome<T> {
        let room = match of {
            Use::Coordination => &self.coordination_room,
            Use::Data => &self.room,
        };
        let _room = room.acquire().await.ok();
        let began = SystemClock.now();
        let outcome = statement.await;
        counts.add(SystemClock.now().duration_since(began), outcome.is_err());
        match outcome {
            Ok(value) => {
                self.answers.answered();
                Ok(value)
            }
            Err(error) => {
                let disconnected = is_disconnected(&error);
                let failed = failed(name, error);
                self.answers.failed(failed.to_string());
                if disconnected && self.answers.is_silent() {
                    self.sessions.renew(&self.answers);
                    tokio::time::sleep(HOLD_MAX).await;
                }
                Err(failed)
            }
        }
    }

    /// Sends a statement. When it may be repeated, sends it until it is answered or
    /// `repeat_timeout` has passed.
    async fn repeated<T, F>(&self, of: &Named, statement: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = std::result::Result<T, ExecutionError>>,
    {
        let (until, mut failures) = (SystemClock.now() + self.repeat_timeout, 0_u32);
        loop {
            let failed = match self.noted(of.name, &of.counts, of.session, statement()).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let passing =
                matches!(failed.error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
            if passing {
                self.traces.failed(of.name);
            }
            failures = failures.saturating_add(1);
            let wait = RETRY.delay(failures, Jitter::NONE);
            if !of.repeatable || !passing || SystemClock.now() + wait >= until {
                return Err(failed);
            }
            tracing::debug!(error = %failed, ?wait, "a statement is repeated");
            tokio::time::sleep(wait).await;
        }
    }

    pub(super) async fn execute(
        &self,
        of: &Named,
        values: impl SerializeRow,
    ) -> Outcome<QueryResult> {
        let send = async || {
            let session = self.sessions.get(of.session);
            session.execute_unpaged(&self.traces.next(of), &values).await
        };
        let answer = self.repeated(of, send).await?;
        traces::tell(of.name, &answer);
        Ok(answer)
    }

    pub(super) async fn run(&self, of: &Named, values: impl SerializeRow) -> Outcome<()> {
        self.execute(of, values).await.map(drop)
    }

    pub(super) async fn rows<T>(&self, of: &Named, values: impl SerializeRow) -> Outcome<Vec<T>>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let rows = result(of, self.execute(of, values).await?)?;
        rows_of(of, &rows)
    }

    /// Reads all rows, page by page.
    pub(super) async fn all_rows<T>(&self, of: &Named, values: impl SerializeRow) -> Outcome<Vec<T>>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let mut state = PagingState::start();
        let mut all = Vec::new();
        loop {
            let page = async || {
                let statement = self.traces.next(of);
                let session = self.sessions.get(of.session);
                session.execute_single_page(&statement, &values, state.clone()).await
            };
            let (page, next) = self.repeated(of, page).await?;
            traces::tell(of.name, &page);
            all.extend(rows_of(of, &result(of, page)?)?);
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(all),
            }
        }
    }

    /// Sends a conditional statement. `None` when it was applied, else the row that refused it.
    pub(super) async fn conditional(
        &self,
        of: &Named,
        values: impl SerializeRow,
    ) -> Outcome<Option<Refusal>> {
        refusal(of.name, self.execute(of, values).await?)
    }
}

pub(super) fn result(of: &Named, result: QueryResult) -> Outcome<QueryRowsResult> {
    result.into_rows_result().map_err(|error| unreadable(of.name, error))
}

pub(super) fn rows_of<T>(of: &Named, rows: &QueryRowsResult) -> Outcome<Vec<T>>
where
    T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let rows = rows.rows::<T>().map_err(|error| unreadable(of.name, error))?;
    rows.collect::<std::result::Result<_, _>>().map_err(|error| unreadable(of.name, error))
}
