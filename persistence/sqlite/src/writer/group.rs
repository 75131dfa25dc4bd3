//! Commits everything that is pending in one transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::guard;
use antiphon_base::lasting::LastingFault;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::append::Statements;
use super::ends::Streams;
use super::refusal::Refusal;
use super::stop::Stop;
use super::write::Write;
use super::writer_states::WriterStates;
use crate::SqliteSettings;
use crate::error::{copy_of, from_sqlite};
use crate::file::Watch;
use crate::stats::{Counters, count};

/// Sleep of the thread before it tries again to lock a file that another process holds.
const BUSY_PAUSE: Duration = Duration::from_micros(200);

pub(super) struct Groups {
    connection: Connection,
    path: PathBuf,
    settings: SqliteSettings,
    counters: Arc<Counters>,
    writes: mpsc::Receiver<Write>,
    watch: Arc<Watch>,
    streams: Streams,
    fault: LastingFault,
    /// The next ordinal after the last group that was committed. The newest batch is never removed,
    /// so a lower next ordinal belongs to another file.
    ordinal: i64,
}

/// The outcome of each write of the group, in order, if the commit succeeds.
type Outcomes = Vec<std::result::Result<(), Refusal>>;

impl Groups {
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        settings: SqliteSettings,
        counters: Arc<Counters>,
        (writes, watch): (mpsc::Receiver<Write>, Arc<Watch>),
    ) -> Self {
        let streams = Streams::new(settings.stream_cache_max);
        let path = path.to_path_buf();
        let fault = LastingFault::new(settings.fault_log_interval);
        Self { connection, path, settings, counters, writes, watch, streams, fault, ordinal: 0 }
    }

    /// Works until the last handle is gone and the queue is empty, or until an assertion does not
    /// hold: that stops the thread, and `stop` tells the reason to every later write.
    pub(super) fn run(mut self, stop: &Stop) {
        let path = self.path.clone();
        let worked = guard::call("the writer of the SQLite store", &path.display(), || self.work());
        if let Err(failure) = worked {
            stop.set(&path, &failure.text);
        }
        if self.watch.check().is_err() {
            // SQLite would remove a write-ahead log by its name, which may now be the name of the
            // right file's log; while this connection exists, no other connection of this process
            // is the last one
            std::mem::forget(self.connection);
        }
    }

    fn work(&mut self) {
        while let Some(first) = self.writes.blocking_recv() {
            let group = self.collect(first);
            self.commit(group);
        }
    }

    fn collect(&mut self, first: Write) -> Vec<Write> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < self.settings.group_writes_max && bytes < self.settings.group_bytes_max
        {
            let Ok(write) = self.writes.try_recv() else { break };
            bytes += write.bytes();
            group.push(write);
        }
        group
    }

    fn commit(&mut self, mut group: Vec<Write>) {
        match self.transaction(&mut group) {
            Ok(outcomes) => {
                assert_eq!(outcomes.len(), group.len(), "each write of a group has its outcome");
                count(&self.counters.groups, 1);
                if let Some(line) = self.fault.worked(SystemClock.now()) {
                    tracing::info!(lasted = ?line.lasts, "groups of writes succeed again");
                }
                let answered = group
                    .into_iter()
                    .zip(outcomes)
                    .filter_map(|(write, outcome)| self.answer(write, outcome));
                give_back(answered);
            }
            Err(error) => {
                count(&self.counters.groups_failed, 1);
                self.counters.failed(copy_of(&error).to_string());
                if let Some(line) = self.fault.failed(SystemClock.now()) {
                    let (failures, lasts) = (line.count, line.lasts);
                    tracing::warn!(%error, failures, ?lasts, "a group of writes failed");
                }
                self.streams.forget();
                give_back(group.into_iter().filter_map(|write| write.finish(Err(copy_of(&error)))));
            }
        }
    }

    fn answer(
        &self,
        write: Write,
        outcome: std::result::Result<(), Refusal>,
    ) -> Option<OwnedSemaphorePermit> {
        if let Write::Append(append) = &write {
            match &outcome {
                Ok(()) => {
                    count(&self.counters.appends, 1);
                    count(&self.counters.events, append.event_count());
                    self.counters.appended();
                }
                Err(Refusal::Damaged(_)) => count(&self.counters.rows_damaged, 1),
                Err(_) => count(&self.counters.fenced, 1),
            }
        }
        write.finish(outcome.map_err(|refusal| refusal.into_error(&self.path)))
    }

    fn transaction(&mut self, group: &mut [Write]) -> Result<Outcomes> {
        self.watch.known()?;
        assert!(self.connection.is_autocommit(), "the transaction before this one is still open");
        self.begin()?;
        let ran = match self.run_all(group) {
            Ok(ran) => ran,
            Err(error) => {
                let error = from_sqlite(&self.path, "writing", error);
                self.roll_back();
                return Err(error);
            }
        };
        let Some((outcomes, next)) = ran else {
            self.roll_back();
            self.watch.lose(&self.path, "went back: its newest batch is older than before")?;
            return Err(Error::bug("a file that was lost is taken for the right one"));
        };
        self.execute("COMMIT").map_err(|error| {
            let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            self.roll_back();
            if full {
                return from_sqlite(&self.path, "committing", error);
            }
            // a failed sync may have written: only a new read shows the content of the disk
            Error::timeout(format!(
                "committing to `{}`: the outcome is unknown",
                self.path.display()
            ))
            .with_source(error)
        })?;
        assert!(self.connection.is_autocommit(), "a transaction is open after its commit");
        self.ordinal = next;
        // a write into a file that cannot be found again is not stored; if the file is moved back,
        // the write is stored
        self.watch.check().map_err(|error| Error::timeout(error.to_string()))?;
        Ok(outcomes)
    }

    /// Runs all writes, and returns their outcomes with the next ordinal after them. `None` when
    /// the file went back to an earlier state.
    fn run_all(&mut self, group: &mut [Write]) -> rusqlite::Result<Option<(Outcomes, i64)>> {
        let mut states = WriterStates::default();
        let mut statements = Statements::prepare(&self.connection)?;
        let first = next_ordinal(&self.connection)?;
        // no batch that was acknowledged may be missing
        if first < self.ordinal {
            return Ok(None);
        }
        let mut next = first;
        let mut outcomes = Vec::with_capacity(group.len());
        for write in group {
            outcomes.push(match write {
                Write::Append(append) => append.store(
                    &self.connection,
                    &mut statements,
                    &mut self.streams,
                    &mut states,
                    &mut next,
                )?,
                Write::Job(job) => {
                    states.forget();
                    job.run(&self.connection)?;
                    Ok(())
                }
            });
        }
        let given_out = usize::try_from(next - first);
        assert!(given_out.is_ok_and(|count| count <= outcomes.len()), "an ordinal without a batch");
        Ok(Some((outcomes, next)))
    }

    /// Waits for other processes in short steps. SQLite's own steps grow to a tenth of a second,
    /// and each one is likely to miss the short gap between two groups of a busy process, so the
    /// connection has no `busy_timeout`.
    ///
    /// Nothing after this call meets another process: the transaction has the only right to write,
    /// and a checkpoint after a commit leaves out the pages that it cannot have.
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread is the store's own, no actor waits on it"
    )]
    fn begin(&self) -> Result<()> {
        let began = SystemClock.now();
        loop {
            match self.execute("BEGIN IMMEDIATE") {
                Ok(()) => return Ok(()),
                Err(error)
                    if is_busy(&error)
                        && SystemClock.now() - began < self.settings.busy_timeout =>
                {
                    std::thread::sleep(BUSY_PAUSE);
                }
                Err(error) => {
                    return Err(from_sqlite(&self.path, "beginning a transaction", error));
                }
            }
        }
    }

    /// Runs a statement that is prepared once for the connection.
    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Highest next ordinal: beyond it, a group could run out of numbers.
const ORDINAL_MAX: i64 = i64::MAX >> 1;

/// The next ordinal. The newest batch is never removed, so ordinals only grow.
fn next_ordinal(connection: &Connection) -> rusqlite::Result<i64> {
    let next = connection
        .prepare_cached("SELECT coalesce(max(ordinal), 0) + 1 FROM batches")?
        .query_row([], |row| row.get(0))?;
    // no journal has so many batches: the number of its newest row is damaged
    if (1..=ORDINAL_MAX).contains(&next) {
        return Ok(next);
    }
    Err(rusqlite::Error::IntegralValueOutOfRange(0, next))
}

/// Gives back the room of a group at once: giving back takes a lock that every appender needs.
fn give_back(rooms: impl Iterator<Item = OwnedSemaphorePermit>) {
    let all = rooms.reduce(|mut all, room| {
        all.merge(room);
        all
    });
    drop(all);
}
