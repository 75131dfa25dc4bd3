//! Checks that this user may write the files of a journal, without writing.
//!
//! SQLite opens a file that it may not write to read it only, and reports that at the first write.
//! The system call `access` also notices a read-only mount and a file that is marked as immutable.

use std::io::ErrorKind;
use std::path::Path;

use antiphon_base::{Error, Result};
use rustix::fs::{Access, access};
use rustix::io;

use super::owner::beside;
use super::path::{folder_of, real_path, refused};

/// Checks that the owner of a journal may write its folder, the file, and the files beside it, as
/// far as they exist.
///
/// # Errors
/// - `Rejected`, naming the file or folder, when this user may not write it, or when another kind
///   of file has the name of a file beside the journal.
/// - `Unavailable` when a file cannot be looked at.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    check_with(path, |path, wanted| access(path, wanted))
}

fn check_with(path: &Path, may: impl Fn(&Path, Access) -> io::Result<()>) -> Result<()> {
    let real = real_path(path);
    let folder = folder_of(&real);
    may(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| not_writable(path, "folder", folder, error))?;
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(&real, suffix);
        match std::fs::metadata(&file) {
            Ok(found) if found.is_file() => may(&file, Access::READ_OK | Access::WRITE_OK)
                .map_err(|error| not_writable(path, "file", &file, error))?,
            Ok(_) => {
                let expected = format!("`{}` to be a file, or not to exist", file.display());
                return Err(refused(path, &expected, "another kind of file"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("`{}` cannot be looked at", file.display());
                return Err(Error::unavailable(message).with_source(error));
            }
        }
    }
    Ok(())
}

fn not_writable(path: &Path, kind: &str, name: &Path, error: io::Errno) -> Error {
    let expected = format!("the {kind} `{}` to be one that this user may write", name.display());
    refused(path, &expected, &std::io::Error::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_the_name_of_a_file_beside_the_journal_is_refused() {
        for suffix in ["-wal", "-shm"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("j.db");
            std::fs::create_dir(beside(&path, suffix)).unwrap();
            let message = check_writable(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("j.db{suffix}` to be a file")), "{message}");
        }
    }

    /// Tests may run as root, whom no mode stops; so the answer of the system is given here.
    #[test]
    fn what_this_user_may_not_write_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink("j.db", &link).unwrap();
        check_writable(&link).unwrap();
        std::fs::write(real.join("j.db"), "").unwrap();
        std::fs::write(real.join("j.db-wal"), "").unwrap();
        check_writable(&link).unwrap();
        for name in [real.clone(), real.join("j.db"), real.join("j.db-wal")] {
            let may = |asked: &Path, _| match asked == name {
                true => Err(io::Errno::ROFS),
                false => Ok(()),
            };
            let message = check_with(&link, may).unwrap_err().to_string();
            let expected = format!("`{}` to be one that this user may write", name.display());
            assert!(message.contains(&expected) && message.contains("Read-only"), "{message}");
        }
    }
}
