//! The check of the path of a journal.
//!
//! SQLite takes an empty path, `:memory:` and some URIs for databases that disappear when they are
//! closed. A journal there would acknowledge everything and keep nothing, so each such path is
//! refused before SQLite sees it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use antiphon_base::{Error, Result};

use crate::Role;

/// Checks that a journal can be kept at `path`. Nothing is opened, made or changed.
///
/// An owner needs an existing folder. A reader may name a file that appears later.
///
/// # Errors
/// - `Rejected`, naming the path and the expected kind: an empty path, `:memory:`, a URI, a folder,
///   a device, a missing folder, a loop of links.
/// - `Unavailable` when the path cannot be looked at.
pub(crate) fn check_path(path: &Path, role: Role) -> Result<()> {
    check_name(path)?;
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => Err(refused(path, "a file", "a folder")),
        Ok(_) => Err(refused(path, "a file", "a device, a pipe or a socket")),
        Err(error) if error.kind() == ErrorKind::NotFound => match role {
            Role::Owner => check_folder(path, LINKS_MAX),
            Role::Reader => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Error::unavailable(format!(
                "`{}` cannot be looked at: expected a file and folders that this user may use",
                path.display()
            ))
            .with_source(error))
        }
        Err(error) => Err(refused(path, "the path of a file", &error.to_string())),
    }
}

/// Links that are followed to a file that does not exist yet.
const LINKS_MAX: u32 = 8;

/// Checks the text of a path, without looking at any file.
///
/// # Errors
/// `Rejected` for an empty path, `:memory:`, a URI, and the like.
pub fn check_name(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let text = path.to_string_lossy();
    let lower = text.trim().to_ascii_lowercase();
    if lower.is_empty() {
        return Err(refused(path, "the path of a file", "an empty one, which keeps nothing"));
    }
    if bytes.contains(&0) {
        return Err(refused(path, "the path of a file", "one with a zero byte"));
    }
    if lower.starts_with(':') || lower.starts_with("file:") || lower.contains(":memory:") {
        return Err(refused(
            path,
            "the path of a file",
            "a name that SQLite takes for a database in memory or a URI; write `./` before it if it is a file",
        ));
    }
    if bytes.ends_with(b"/") {
        return Err(refused(path, "a file", "a folder"));
    }
    Ok(())
}

/// The path of a file without links and dots, also while the file does not exist yet: two paths of
/// one file give the same path. A path whose folder does not exist is returned as it is.
pub fn real_path(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        let folder = folder_of(&path);
        let Ok(target) = path.read_link() else {
            let (folder, name) = (folder.canonicalize(), path.file_name());
            return folder.ok().zip(name).map_or(path.clone(), |(folder, name)| folder.join(name));
        };
        path = folder.join(target);
    }
    path
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Checks that the folder of the new file exists.
fn check_folder(path: &Path, links: u32) -> Result<()> {
    let folder = folder_of(path);
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let expected = format!("a file in a folder, and `{}` to be one", folder.display());
            return Err(refused(path, &expected, "no folder"));
        }
        Err(error) => {
            let expected = format!("the folder `{}` to be there: make it", folder.display());
            return Err(refused(path, &expected, &error.to_string()));
        }
    }
    match std::fs::read_link(path) {
        Ok(_) if links == 0 => Err(refused(path, "a file", "too many links")),
        Ok(target) => check_folder(&folder.join(target), links - 1),
        Err(_) => Ok(()),
    }
}

pub(super) fn refused(path: &Path, expected: &str, actual: &str) -> Error {
    Error::rejected(format!("`journal`: {path:?}: expected {expected}, actual {actual}"))
}

#[cfg(test)]
mod tests {
    use antiphon_base::ErrorKind;

    use super::*;

    #[test]
    fn names_of_databases_that_keep_nothing_are_refused() {
        for name in [
            "",
            " ",
            "\t",
            ":memory:",
            " :memory: ",
            ":MEMORY:",
            "./x/:memory:",
            "file::memory:",
            "file::memory:?cache=shared",
            "FILE:x.db?mode=memory",
            "file:x.db",
            ":x",
            "x.db/",
            "a\0b",
        ] {
            for role in [Role::Owner, Role::Reader] {
                let error = check_path(Path::new(name), role).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Rejected, "{name:?}");
                let message = error.to_string();
                assert!(message.contains("`journal`") && message.contains("expected"), "{message}");
            }
        }
    }

    #[test]
    fn folders_devices_and_loops_of_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(at("b"), at("a")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("b")).unwrap();
        std::os::unix::fs::symlink(at("no/such/x.db"), at("dangling")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        for (path, part) in [
            (folder.path().to_path_buf(), "folder"),
            ("/dev/null".into(), "device"),
            (at("a"), "link"),
            (at("dangling"), "no/such"),
            (at("no/such/x.db"), "no/such"),
            (at("file/x.db"), "file"),
        ] {
            let message = check_path(&path, Role::Owner).unwrap_err().to_string();
            assert!(message.contains(part), "{path:?}: {part:?} is not in {message:?}");
        }
    }

    #[test]
    fn a_file_that_is_there_or_can_be_made_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        check_path(&path, Role::Owner).unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        check_path(&folder.path().join("link"), Role::Owner).unwrap();
        std::fs::write(&path, "").unwrap();
        check_path(&path, Role::Owner).unwrap();
        check_path(Path::new("antiphon.db"), Role::Owner).unwrap();
        check_path(&folder.path().join("not/yet/there.db"), Role::Reader).unwrap();
    }
    #[test]
    fn all_paths_of_a_file_that_does_not_exist_yet_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::os::unix::fs::symlink("sub/../j.db", at("link.db")).unwrap();
        std::os::unix::fs::symlink(at("link.db"), at("sub/link.db")).unwrap();
        let real = folder.path().canonicalize().unwrap().join("j.db");
        for name in ["j.db", "sub/../j.db", "./j.db", "link.db", "sub/link.db"] {
            assert_eq!(real_path(&at(name)), real, "{name}");
        }
        assert_eq!(real_path(&at("no/j.db")), at("no/j.db"));
    }
}
