//! Files that are there as a whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::prelude::*;
use tempfile::{Builder, NamedTempFile};

/// Random letters in the name of a file that is not complete yet.
const RANDOM_LETTERS: usize = 12;

/// Writes a file beside its place, and then puts it there: a node never sees half of it. The mode
/// is that of a new file.
///
/// # Errors
/// `Rejected`, naming the file.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written = beside(path, text, mode).and_then(|file| put(file, path));
    written.map_err(|error| cannot(path, &error))
}

/// A file that this process alone changes, until the drop of this value. A symbolic link to it
/// stays as it is.
pub(crate) struct Edited {
    /// The path without links.
    path: PathBuf,
    /// The lock of its folder, which other commands wait for.
    _folder: File,
}

impl Edited {
    /// Waits until no other command changes files in the folder of this one.
    ///
    /// # Errors
    /// `Rejected`, naming the file.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        let locked = || {
            let path = without_links(path)?;
            let folder = File::open(folder(&path))?;
            folder.lock()?;
            Ok(Self { path, _folder: folder })
        };
        locked().map_err(|error: io::Error| cannot(path, &error))
    }

    /// Reads the text; none of a file that is missing.
    ///
    /// # Errors
    /// `Rejected`, naming the file.
    pub(crate) fn read(&self) -> Result<String> {
        match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| cannot(&self.path, &error)),
        }
    }

    /// Writes the text as [`write`] does. An existing file keeps its mode and its owner.
    ///
    /// # Errors
    /// `Rejected`, naming the file, also when this user cannot keep its owner. The file is
    /// unchanged then.
    pub(crate) fn replace(&self, text: &str, new_mode: u32) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| cannot(&self.path, error);
        let old = match fs::metadata(&self.path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&error)),
        };
        let file = beside(&self.path, text, new_mode).map_err(|error| failed(&error))?;
        if let Some(old) = old {
            keep(&file, &old).map_err(|error| {
                let (user, group) = (old.uid(), old.gid());
                failed(&format_args!(
                    "its owner, user {user} and group {group}, cannot be kept: run the command as that user: {error}"
                ))
            })?;
        }
        put(file, &self.path).map_err(|error| failed(&error))
    }
}

/// Resolves the links of a path, whose last part may be missing.
fn without_links(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_symlink() => {
                    let why = "it is a link to a file that is missing: make that file first";
                    return Err(io::Error::new(ErrorKind::NotFound, why));
                }
                // another command has made it meanwhile
                Ok(_) => return fs::canonicalize(path),
                Err(_) => {}
            }
            let name = path.file_name().ok_or(error)?;
            Ok(fs::canonicalize(folder(path))?.join(name))
        }
        found => found,
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the text to a new file beside its place. The drop of the file deletes it.
fn beside(path: &Path, text: &str, mode: u32) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(format!(".{}.", std::process::id()));
    let mut file = Builder::new()
        .prefix(&prefix)
        .rand_bytes(RANDOM_LETTERS)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder(path))?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Gives a new file the owner and the mode of the old one.
fn keep(file: &NamedTempFile, old: &Metadata) -> io::Result<()> {
    let new = file.as_file().metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        chown(file.path(), Some(old.uid()), Some(old.gid()))?;
    }
    file.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// The error for a file.
pub(crate) fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::rejected(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_a_link_and_its_file_keeps_mode_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        // only root can give a file away; for others the owner is the own user
        let given = chown(&real, Some(4711), Some(4712)).is_ok();
        symlink("real", &link).unwrap();
        Edited::lock(&link).unwrap().replace("new", 0o644).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("real"));
        let found = fs::metadata(&real).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o640);
        assert_eq!((found.uid(), found.gid()) == (4711, 4712), given);
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(names(folder.path()), ["link", "real"]);
    }

    #[test]
    fn a_link_to_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("nothing", &link).unwrap();
        let Err(error) = Edited::lock(&link) else { panic!("it is locked") };
        assert!(error.to_string().contains("a link to a file that is missing"), "{error}");
        assert_eq!(names(folder.path()), ["link"]);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_needs_no_fixed_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::create_dir(folder.path().join("file.new")).unwrap();
        write(&path, "text", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        write(&folder.path().join("file.new"), "text", 0o600).unwrap_err();
        assert_eq!(names(folder.path()), ["file", "file.new"]);
    }
}
