//! The connections that read the file at a path. A connection reads the file that it has opened for
//! ever, so a connection to a file that was moved away is not used again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::time::Instant;

use super::seen::Seen;
use crate::error::from_sqlite;
use crate::file::{FileId, Identity, Watch};
use crate::{Role, SqliteSettings, schema};

/// A connection, and the files that it reads. The files are unknown when they were moved during the
/// opening; such a connection is not used again.
pub(super) struct Open {
    pub(super) connection: Connection,
    files: Option<Identity>,
    /// Number of replacements before these files were opened.
    pub(super) replacements: u64,
}

/// The connections to one path.
pub(super) struct Connections {
    pub(super) path: PathBuf,
    settings: SqliteSettings,
    state: Mutex<State>,
}

/// The connections and the files, under one lock, which each read takes twice. Nothing under it
/// waits for a disk, because tasks of other reads, and [`Connections::replacements`], wait for it.
#[derive(Default)]
struct State {
    idle: Vec<Open>,
    seen: Seen,
    /// The files at the path at the last look.
    files: Option<Identity>,
    /// The time at which the last look began.
    looked_at: Option<Instant>,
}

/// Time from one look at the files to the next. Until then, reads go on in the files of the last
/// look: a look takes as long as a small read.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl Connections {
    pub(super) fn new(path: &Path, settings: &SqliteSettings) -> Self {
        // readers never create a file
        let settings = SqliteSettings { role: Role::Reader, ..settings.clone() };
        Self { path: path.to_path_buf(), settings, state: Mutex::default() }
    }

    /// Number of times that another file was found at the path.
    pub(super) fn replacements(&self) -> u64 {
        self.state().seen.replacements
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection to the file that is at the path now. A connection to a file that was moved away
    /// would read that file for ever.
    pub(super) fn connection(&self, watch: Option<&Watch>) -> Result<Open> {
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

    /// Keeps a connection whose transaction has ended for a later read.
    pub(super) fn keep(&self, open: Open) {
        assert!(open.connection.is_autocommit(), "a transaction is open after its end");
        let mut state = self.state();
        state.idle.push(open);
        let (idle, reader_count) = (state.idle.len(), self.settings.reader_count);
        assert!(idle <= reader_count, "{idle} idle connections of {reader_count} readers");
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

fn open(path: &Path, settings: &SqliteSettings) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::unavailable(format!(
            "`{}` does not exist (not yet, or not any more)",
            path.display()
        )));
    }
    schema::open(path, settings)
}
