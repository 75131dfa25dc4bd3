//! Finds the owner of a file without changing a byte of it, or of the files beside it.
//!
//! SQLite opens another program's database, and gives it a write-ahead log when asked to. So the
//! file is looked at first in two ways:
//! - by SQLite as an immutable file, which takes no lock, makes no file and rolls nothing back;
//! - by the newest copy of the first page in the write-ahead log, which the immutable look does not
//!   see.
//!
//! A checkpoint copies the pages of the log into the file, the first page first. The first page
//! counts the pages of the database, so after a checkpoint that was interrupted, by a full disk for
//! example, the file is shorter than its own count, and the immutable look calls it damaged. The
//! log still has every page. Then the first page in the log names the owner, and SQLite, which
//! reads the log too, decides whether the journal is sound.
//!
//! Only SQLite ever opens the database file itself: closing any descriptor of a file drops all
//! locks that the process has on it (POSIX), also the locks of SQLite.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_base::{Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::from_sqlite;

/// Most looks at a file that is being written, and the time between two looks.
const LOOKS_MAX: u32 = 50;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Owner of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No owner: the file is missing, or it is a database without a table.
    Nobody,
    /// A journal.
    Antiphon,
    /// Another program.
    Other,
}

/// The part of the first page that names the owner of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FirstPage {
    application_id: i64,
    user_version: i64,
    has_tables: bool,
}

/// The owner of the file at `path`; `application_id` is the mark of a journal.
///
/// # Errors
/// `Rejected` when the file is no SQLite file; `Corrupt` when the file seems damaged, and its log
/// does not say that it is a journal; otherwise the errors of SQLite.
pub(crate) fn owner(path: &Path, application_id: i64) -> Result<Owner> {
    let Ok(real) = path.canonicalize() else { return Ok(Owner::Nobody) };
    if std::fs::metadata(&real).map_or(0, |found| found.len()) == 0 {
        return Ok(Owner::Nobody);
    }
    let newest = || File::open(beside(&real, "-wal")).ok().and_then(|log| in_log(&log));
    let by_log = || newest().map_or(Owner::Nobody, |page| judge(application_id, page));
    match settled(&real, application_id) {
        Ok(page) => Ok(match judge(application_id, page) {
            // everything that was written may still be in the log
            Owner::Nobody => by_log(),
            judged @ (Owner::Antiphon | Owner::Other) => judged,
        }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            match by_log() {
                Owner::Nobody => Err(refused(path, error)),
                judged @ (Owner::Antiphon | Owner::Other) => Ok(judged),
            }
        }
        Err(error) => Err(refused(path, error)),
    }
}

/// The error of a look. The hints differ from those for a journal in use: a file that is no
/// database was never a journal, and the missing pages of a file may be in the log beside it.
fn refused(path: &Path, error: rusqlite::Error) -> Error {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::rejected(format!(
            "looking at the file in `{shown}`: expected an SQLite file, or none: choose another path"
        ))
        .with_source(error),
        Some(ErrorCode::DatabaseCorrupt) => Error::corrupt(format!(
            "looking at the file in `{shown}`: it seems damaged: copy all three files (`{shown}`, `-wal` and `-shm`) away first; \
             if `sqlite3 COPY \"PRAGMA integrity_check\"` says `ok`, that copy has all events"
        ))
        .with_source(error),
        _ => from_sqlite(path, "looking at the file", error),
    }
}

/// The first page, once two looks agree. A look takes no lock, so it may come during the write of
/// another process that makes the file. A page with the mark of a journal needs no second look:
/// the journal's tables are made together with the mark.
fn settled(real: &Path, application_id: i64) -> rusqlite::Result<FirstPage> {
    let mut before = in_file(real);
    if before.as_ref().is_ok_and(|page| page.application_id == application_id) {
        return before;
    }
    for _ in 1..LOOKS_MAX {
        std::thread::park_timeout(LOOK_INTERVAL);
        let now = in_file(real);
        if let (Ok(one), Ok(other)) = (&before, &now)
            && one == other
        {
            return now;
        }
        before = now;
    }
    before
}

/// True when `path` has a write-ahead log and no database.
pub(crate) fn is_log_alone(path: &Path) -> bool {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    bytes(path) == 0 && bytes(&beside(path, "-wal")) > 0
}

fn judge(mark: i64, page: FirstPage) -> Owner {
    if page.application_id == mark {
        Owner::Antiphon
    } else if page.application_id == 0 && page.user_version == 0 && !page.has_tables {
        Owner::Nobody
    } else {
        Owner::Other
    }
}

/// A file beside a database.
pub(crate) fn beside(real: &Path, suffix: &str) -> PathBuf {
    let mut name = real.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file without a lock, and without its write-ahead log. No file is made or changed.
pub(crate) fn immutable(real: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file://");
    for byte in real.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("a text takes everything"),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

fn in_file(real: &Path) -> rusqlite::Result<FirstPage> {
    let connection = immutable(real)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(FirstPage {
        application_id: number("PRAGMA application_id")?,
        user_version: number("PRAGMA user_version")?,
        // an unreadable table list is being written, or not ours: it counts as tables
        has_tables: number("SELECT count(*) FROM sqlite_schema").map_or(true, |count| count > 0),
    })
}

/// The newest copy of the first page in a write-ahead log
/// (<https://www.sqlite.org/fileformat2.html#walformat>).
fn in_log(log: &File) -> Option<FirstPage> {
    const HEADER: u64 = 32;
    const FRAME_HEADER: u64 = 24;
    let mut header = [0; HEADER as usize];
    log.read_exact_at(&mut header, 0).ok()?;
    let page_bytes = u64::from(u32::from_be_bytes(part(&header, 8)));
    if !(512..=65_536).contains(&page_bytes) {
        return None;
    }
    let mut newest = None;
    let mut at = HEADER;
    let mut frame = [0; FRAME_HEADER as usize];
    // a frame with other salts is older than the start of this log
    while log.read_exact_at(&mut frame, at).is_ok() && frame[8..16] == header[16..24] {
        if u32::from_be_bytes(part(&frame, 0)) == 1 {
            newest = Some(at + FRAME_HEADER);
        }
        at += FRAME_HEADER + page_bytes;
    }
    let mut page = [0; 108];
    log.read_exact_at(&mut page, newest?).ok()?;
    const LEAF_OF_A_TABLE: u8 = 13;
    Some(FirstPage {
        application_id: i32::from_be_bytes(part(&page, 68)).into(),
        user_version: i32::from_be_bytes(part(&page, 60)).into(),
        has_tables: page[100] != LEAF_OF_A_TABLE || page[103..105] != [0, 0],
    })
}

fn part(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes[at..at + 4].try_into().expect("four bytes")
}
