//! Finds the reason why SQLite could not open a file.
//!
//! SQLite says only that it cannot open one; the system's error stays inside of it. So the system
//! is asked again, for the folder: opening and closing the database file itself would drop the
//! locks that this process has on it (POSIX).

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Most files that SQLite opens for one connection: database, log, index, and the folder to sync
/// it.
const FILES_MAX: usize = 4;

/// The system's error numbers for too many open files, in this process and in the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// The reason why SQLite could not open the file at a path, and the remedy.
pub(crate) fn why_not_opened(path: &Path) -> String {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // all at once, because SQLite closed its own files before it answered
    let opened: io::Result<Vec<File>> = (0..FILES_MAX).map(|_| File::open(folder)).collect();
    why(opened.map(drop), std::fs::metadata(path))
}

fn why(folder: io::Result<()>, file: io::Result<Metadata>) -> String {
    match (folder, file) {
        (Err(error), _) if error.raw_os_error() == Some(EMFILE) => format!(
            "this process may open no more files (EMFILE: {error}): raise its limit (`ulimit -n`)"
        ),
        (Err(error), _) if error.raw_os_error() == Some(ENFILE) => format!(
            "the system may open no more files (ENFILE: {error}): raise its limit (`fs.file-max`)"
        ),
        (Err(error), _) => {
            format!("expected a folder that exists and is writable: the folder: {error}")
        }
        (Ok(()), Ok(file)) => format!(
            "expected a file and a folder that this user may read and write: the file is there, with mode {:03o}, of user {}",
            file.permissions().mode() & 0o7777,
            file.uid()
        ),
        (Ok(()), Err(error)) => {
            format!("expected a file in a folder that exists and is writable: the file: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_reason_is_named_and_not_guessed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        std::fs::write(&path, "x").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("changed");
        let there = || std::fs::metadata(&path);

        let full = why(Err(io::Error::from_raw_os_error(EMFILE)), there());
        assert!(full.contains("EMFILE") && full.contains("ulimit -n"), "{full}");
        assert!(!full.contains("folder"), "{full}");

        let closed = why_not_opened(&path);
        assert!(closed.contains("with mode 000"), "{closed}");

        let missing = why_not_opened(&folder.path().join("none/a.db"));
        assert!(missing.contains("the folder: No such file"), "{missing}");
    }
}
