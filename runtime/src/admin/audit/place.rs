//! The place of the audit log: which files it can have, and how they are opened without a wait.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use tokio::net::unix::pipe;

/// Bits of a mode: those who may make files in a folder.
const WRITE_AND_SEARCH: u32 = 0o3;

/// Checks that a log can be at a path, and makes nothing.
///
/// # Errors
/// The reason why it cannot.
pub(super) fn check(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err("it is a folder".to_owned()),
        Ok(found) if found.file_type().is_fifo() => match fs::canonicalize(path) {
            // the pipe of a container at its standard output has no name
            Err(_) => Ok(()),
            Ok(_) => Err("it is a named pipe, whose reader may not be there".to_owned()),
        },
        Ok(found) if found.is_file() => {
            OpenOptions::new().append(true).open(path).map(drop).map_err(|error| error.to_string())
        }
        Ok(found) if found.file_type().is_char_device() => Ok(()),
        Ok(_) => Err("it is neither a file nor a device for text".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_folder(path),
        Err(error) => Err(error.to_string()),
    }
}

fn check_folder(path: &Path) -> Result<(), String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let found = fs::metadata(folder).ok().filter(Metadata::is_dir);
    let Some(found) = found else { return Err("the folder is missing".to_owned()) };
    // the folder of a process belongs to its user
    let user = fs::metadata("/proc/self").ok().map(|own| own.uid());
    if user.is_none_or(|user| may_make(found.mode(), found.uid(), user)) {
        return Ok(());
    }
    Err(format!("this user may not make files in {}", folder.display()))
}

/// Returns whether a user may make files in a folder, as far as its mode says. Any group counts
/// as one of the user's, since it may have more groups than one.
fn may_make(mode: u32, owner: u32, user: u32) -> bool {
    let of_class = |shift: u32| mode >> shift & WRITE_AND_SEARCH == WRITE_AND_SEARCH;
    user == 0 || if user == owner { of_class(6) } else { of_class(3) || of_class(0) }
}

/// Opens a log, and makes it if it is missing. A pipe is opened and written without a wait for its
/// reader. Inside a tokio runtime.
///
/// # Errors
/// The error of the operating system.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        let pipe = pipe::OpenOptions::new().open_sender(path)?;
        return pipe.into_nonblocking_fd().map(File::from);
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Returns whether a path is a file itself, and no link to one: only then it may be renamed. A link
/// such as `/dev/stdout` belongs to others.
pub(super) fn is_file(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let is_of_system = folder.is_some_and(|folder| {
        folder.starts_with("/proc") || folder.starts_with("/dev") && !folder.starts_with("/dev/shm")
    });
    !is_of_system && fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Returns what tells two files apart; `None` without a file.
pub(super) fn identity(found: io::Result<Metadata>) -> Option<(u64, u64)> {
    found.ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_those_who_may_write_a_folder_may_have_a_log_in_it() {
        for (mode, user, expected) in [
            (0o755, 7, true),
            (0o555, 7, false),
            (0o677, 7, false),
            (0o755, 8, false),
            (0o775, 8, true),
            (0o757, 8, true),
            (0o000, 0, true),
        ] {
            assert_eq!(may_make(mode, 7, user), expected, "{mode:o} {user}");
        }
    }

    #[tokio::test]
    async fn a_named_pipe_is_refused_and_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(check(&pipe).unwrap_err().contains("pipe"));
        assert!(open(&pipe).is_err(), "it has no reader");
        let socket = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(check(&socket).unwrap_err().contains("neither a file"));
    }

    #[test]
    fn a_check_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        check(&folder.path().join("audit.log")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(check(&folder.path().join("no/audit.log")).unwrap_err().contains("missing"));
    }
}
