//! Reads: a limited number of connections, each used by one blocking task at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::from_sqlite;
use crate::file::{FileId, Identity, Watch};
use crate::record_error::Unread;
use crate::stats::count;
use crate::stores::SqliteStores;
use crate::{Role, SqliteSettings, schema};

/// The idle connections, and the limit of connections.
pub(crate) struct Readers {
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    settings: SqliteSettings,
    state: Mutex<State>,
}

/// The connections and the files, under one lock, which each read takes twice. Nothing under it
/// waits for a disk, because tasks of other reads, and [`Readers::replacements`], wait for it.
#[derive(Default)]
struct State {
    idle: Vec<Open>,
    seen: Seen,
    /// The files at the path at the last look.
    files: Option<Identity>,
    /// The time at which the last look began.
    looked_at: Option<Instant>,
}

/// The files that were read so far.
#[derive(Default)]
struct Seen {
    /// The files that were opened last and are known.
    files: Option<Identity>,
    /// The files were gone since, or unknown ones were read: those that are opened next may be
    /// others, also with the same identity.
    is_unsure: bool,
    /// Number of times that other files were, or may have been, opened.
    replacements: u64,
}

impl Seen {
    /// Records a look at the path.
    fn look(&mut self, files: Option<Identity>) {
        self.is_unsure |= files.is_none() && self.files.is_some();
    }

    /// Records the files that a new connection reads; `None` for unknown ones. Returns the number
    /// of replacements that belongs to them.
    fn open(&mut self, files: Option<Identity>) -> u64 {
        let is_other = self.files.is_some() && self.files != files;
        if self.is_unsure || is_other || files.is_none() {
            self.replacements += 1;
        }
        self.is_unsure = files.is_none();
        self.files = files.or(self.files);
        self.replacements
    }
}

/// Time from one look at the files to the next. Until then, reads go on in the files of the last
/// look: a look takes as long as a small read.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A connection, and the files that it reads. The files are unknown when they were moved during the
/// opening; such a connection is not used again.
struct Open {
    connection: Connection,
    files: Option<Identity>,
    /// Number of replacements before these files were opened.
    replacements: u64,
}

impl Readers {
    pub(crate) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        // readers never create a file
        let settings = SqliteSettings { role: Role::Reader, ..settings.clone() };
        Self {
            permits: Arc::new(Semaphore::new(settings.reader_count)),
            shared: Arc::new(Shared {
                path: path.to_path_buf(),
                settings,
                state: Mutex::default(),
            }),
        }
    }

    /// Number of times that another file was found at the path.
    pub(crate) fn replacements(&self) -> u64 {
        self.shared.state().seen.replacements
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection to the file that is at the path now. A connection to a file that was moved away
    /// would read that file for ever.
    fn connection(&self, watch: Option<&Watch>) -> Result<Open> {
        match self.unused() {
            Some(open) => Ok(open),
            None => self.open(watch),
        }
    }

    /// An idle connection to the file that is at the path now.
    fn unused(&self) -> Option<Open> {
        if self.state().begins_look() {
            let files = Identity::of(&self.path).ok();
            self.state().looked(files);
        }
        let (unused, outdated) = {
            let mut state = self.state();
            let now = state.files;
            let State { idle, seen, .. } = &mut *state;
            let fits = |open: &Open| {
                now.is_some() && open.files == now && open.replacements == seen.replacements
            };
            let mut outdated = Vec::new();
            if !idle.iter().all(fits) {
                (*idle, outdated) = std::mem::take(idle).into_iter().partition(fits);
            }
            (idle.pop(), outdated)
        };
        // closing them may take a while
        drop(outdated);
        unused
    }

    fn open(&self, watch: Option<&Watch>) -> Result<Open> {
        let path = &self.path;
        watch.map_or(Ok(()), Watch::check)?;
        let before = FileId::of(path).ok();
        let connection = open(path, &self.settings)?;
        if watch.is_none() {
            // the process that closes the last connection removes the write-ahead log by its name;
            // in another place's folder that may be the log of a new file
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(|error| from_sqlite(path, "opening", error))?;
        }
        // the connection has read by now, so that all three files exist
        let files = Identity::of(path).ok();
        let files = files.filter(|files| Some(files.database()) == before);
        let replacements = self.state().note(files);
        Ok(Open { connection, files, replacements })
    }

    fn keep(&self, open: Open) {
        self.state().idle.push(open);
    }
}

impl State {
    /// Returns whether the caller must look at the files: nobody has for [`LOOK_INTERVAL`]. Until
    /// it has, the others go on with the files of the last look.
    fn begins_look(&mut self) -> bool {
        let now = SystemClock.now();
        let is_due = self.looked_at.is_none_or(|at| now - at >= LOOK_INTERVAL);
        if is_due {
            self.looked_at = Some(now);
        }
        is_due
    }

    /// Records a look at the path.
    fn looked(&mut self, files: Option<Identity>) {
        self.files = files;
        self.seen.look(files);
    }

    /// Records the files that are read from now on. Returns the number of replacements that belongs
    /// to them.
    fn note(&mut self, files: Option<Identity>) -> u64 {
        (self.looked_at, self.files) = (Some(SystemClock.now()), files);
        self.seen.open(files)
    }
}

impl SqliteStores {
    /// Runs `work` in one read transaction. A cancelled call runs to its end, and its result is
    /// dropped.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> std::result::Result<T, Unread> + Send + 'static,
    {
        self.read_of(doing, move |transaction, _| work(transaction)).await
    }

    /// Runs `work` as [`Self::read`], with the number of replacements of the file that it reads.
    /// Meanwhile another read may have found a newer file, so [`Readers::replacements`] may be
    /// larger.
    pub(crate) async fn read_of<T, F>(&self, doing: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, u64) -> std::result::Result<T, Unread> + Send + 'static,
    {
        count(&self.inner.counters.reads, 1);
        let readers = &self.inner.readers;
        let permit = readers.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::unavailable("the store is closed"))?;
        let (shared, watch) = (readers.shared.clone(), self.inner.watch.clone());
        let counters = self.inner.counters.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let watch = watch.as_deref();
            watch.map_or(Ok(()), Watch::known)?;
            let open = shared.connection(watch)?;
            let of = open.replacements;
            let outcome = in_transaction(&open.connection, |t| work(t, of));
            if matches!(outcome, Err(Unread::Row(_))) {
                count(&counters.rows_damaged, 1);
            }
            if outcome.is_ok() {
                shared.keep(open);
            }
            outcome.map_err(|unread| unread.into_error(&shared.path, doing))
        });
        reading.await.unwrap_or_else(|error| {
            Err(if error.is_panic() {
                Error::bug(format!("{doing}: the read panicked"))
            } else {
                // the runtime ends, and takes no more work
                Error::unavailable(format!("{doing}: cancelled, since the process ends"))
            })
        })
    }
}

fn open(path: &Path, settings: &SqliteSettings) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::unavailable(format!(
            "`{}` does not exist (not yet, or not any more)",
            path.display()
        )));
    }
    schema::open(path, settings)
}

/// Runs `work` between statements that are prepared once for the connection. After an error the
/// transaction is still open: the caller drops the connection.
fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> std::result::Result<T, Unread>,
) -> std::result::Result<T, Unread> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let value = work(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_gone_or_unknown_count_as_replaced_also_with_the_same_identity() {
        let folder = tempfile::tempdir().unwrap();
        let files = |name: &str| {
            let path = folder.path().join(name);
            drop(SqliteStores::open(&path, SqliteSettings::default()).unwrap());
            for suffix in ["-wal", "-shm"] {
                std::fs::write(format!("{}{suffix}", path.display()), "").unwrap();
            }
            Some(Identity::of(&path).unwrap())
        };
        let (one, other) = (files("a.db"), files("b.db"));
        let mut seen = Seen::default();
        seen.look(None);
        assert_eq!((seen.open(one), seen.open(one)), (0, 0), "nothing was read before");
        seen.look(one);
        assert_eq!(seen.open(one), 0);

        seen.look(None);
        assert_eq!((seen.open(one), seen.open(one)), (1, 1), "gone in between");
        assert_eq!((seen.open(other), seen.open(other)), (2, 2), "others");
        assert_eq!((seen.open(None), seen.open(other)), (3, 4), "unknown in between");
    }

    /// The read began in the old file and ends when the new one was opened long ago.
    #[tokio::test]
    async fn a_read_of_the_old_file_is_not_taken_for_one_of_the_new() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let made = [&path, &other].map(|path| SqliteStores::open(path, SqliteSettings::default()));
        made.into_iter().for_each(|made| drop(made.unwrap()));
        let reader = SqliteStores::open(&path, SqliteSettings::reader()).unwrap();
        let (began, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel();
        let old = antiphon_base::task::spawn("read", {
            let reader = reader.clone();
            async move {
                let read = reader.read_of("reading", move |_, of| {
                    began.send(()).expect("the test waits");
                    ended.recv().expect("the test sends");
                    Ok(of)
                });
                read.await
            }
        });
        begun.await.unwrap();

        std::fs::rename(&other, &path).unwrap();
        let until = SystemClock.now() + Duration::from_secs(5);
        while reader.read_of("reading", |_, of| Ok(of)).await.unwrap() == 0 {
            assert!(SystemClock.now() < until, "the new file is not noticed");
        }
        assert_eq!(reader.inner.readers.replacements(), 1);

        end.send(()).unwrap();
        assert_eq!(old.await.unwrap().unwrap(), 0);
    }
}
