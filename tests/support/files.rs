//! The files of an SQLite journal.

use std::path::{Path, PathBuf};

/// The file, its log, and the memory that processes share.
const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Deletes a journal, as far as it is there.
pub fn remove_journal(file: &Path) {
    for ending in ENDINGS {
        let _ = std::fs::remove_file(with_ending(file, ending));
    }
}

/// Replaces a journal by the copy of another one, without the shared memory, which SQLite makes
/// anew.
pub fn copy_journal(from: &Path, to: &Path) {
    remove_journal(to);
    for ending in &ENDINGS[..2] {
        let _ = std::fs::copy(with_ending(from, ending), with_ending(to, ending));
    }
}
